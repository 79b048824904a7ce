"""Cartesian speed in one run on the same arrays: pisolve, SigPy and BART (whole process, files included), 2 threads.

    OMP_NUM_THREADS=2 python benchmarks/cartesian.py [--repeats 5] [--small]

Every row interleaves its programs' repeats and gives medians and ratios. What is timed:

* fft: the two 1-D transforms of all coils that a mask along ky makes necessary for one A^H A (scipy, all threads).
* normal: one A^H A, of ten in a row.   * cg: CG-SENSE, 30 iterations, lambda 0.01.
* espirit: one set of maps, 24 x 24, kernel 6.
* wavelet: pisolve until its objective is as near to its minimum, relatively, as SigPy's is to SigPy's after 200
  iterations (their wavelets differ at the border, so each has its own minimum, from a run of 600 iterations); BART
  runs as many FISTA iterations as pisolve needed.
* tv: anisotropic, until the objective is within 1e-3 of the minimum (the lowest of 300 iterations of pisolve's ADMM);
  SigPy likewise, at most --sigpy-tv iterations, timed by 50 of them; BART's TV is isotropic: it runs until within 1e-3
  of this objective or 100 iterations, so its time says little about the same problem.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.fft
import sigpy.mri

import pisolve as pi
from pisolve import backend, phantom
from pisolve.io import atomic, cfl

OUT = Path(__file__).parent / "results" / "cartesian.json"
LAM_WAVELET, LAM_TV = 2e-3, 2e-3


class Case:
    """One simulated scan: noisy analytic k-space, random lines at 4x, maps from its centre, k-space scaled."""

    def __init__(self, coils, ny, nx, folder, sigpy_tv):
        self.sigpy_tv = sigpy_tv
        self.full = phantom.brain((ny, nx), coils, noise=0.01, seed=0).kspace
        mask = pi.masks.random((ny, nx), 4, seed=0)
        self.mps = pi.calib.espirit(self.full)
        self.A = pi.linops.sense(self.mps, mask)
        y = self.full * mask
        self.y = (y / np.percentile(abs(self.A.H(y)), 99)).astype(np.complex64)
        self.weights = mask.astype(np.float32)
        self.folder = Path(folder)
        self.bart = shutil.which("bart") is not None
        for name, array in (("full", self.full), ("y", self.y), ("mps", self.mps)):
            cfl.write(self.folder / name, array, coils=True)

    def run_bart(self, *words):
        subprocess.run(["bart", *map(str, words)], cwd=self.folder, check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "OMP_NUM_THREADS": str(backend.threads())})


def timed(programs, repeats):
    """name -> median seconds, the programs taking turns; one warm-up each."""
    for run in programs.values():
        run()
    seconds = {name: [] for name in programs}
    for _ in range(repeats):
        for name, run in programs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(s)) for name, s in seconds.items()}


def normal(case, repeats):
    x = np.ones(case.A.ishape, np.complex64)
    theirs = sigpy.mri.linop.Sense(case.mps, weights=case.weights).N
    data = case.mps.copy()

    def pair():
        k = scipy.fft.fft(data, axis=-2, norm="ortho", workers=backend.threads())
        scipy.fft.ifft(k, axis=-2, norm="ortho", workers=backend.threads(), overwrite_x=True)

    assert np.linalg.norm(case.A.N(x) - theirs(x)) < 1e-5 * np.linalg.norm(x)

    def ten(run):  # in a row, as a solver calls it, with the caches as they then are
        return lambda: [run() for _ in range(10)]

    programs = {"fft": ten(pair), "pisolve": ten(lambda: case.A.N(x)), "sigpy": ten(lambda: theirs(x))}
    return {name: seconds / 10 for name, seconds in timed(programs, 2 * repeats).items()}


def cg(case, repeats):
    programs = {
        "pisolve": lambda: pi.solve(case.A, case.y, 0.01 * pi.Tikhonov(), max_iter=30, tol=0),
        "sigpy": lambda: sigpy.mri.app.SenseRecon(case.y, case.mps, lamda=0.01, weights=case.weights, max_iter=30,
                                                  tol=0, show_pbar=False).run()}
    if case.bart:
        programs["bart"] = lambda: case.run_bart("pics", "-S", "-w1", "-l2", "-r0.01", "-i30", "y", "mps", "x")
    return timed(programs, repeats)


def espirit(case, repeats):
    programs = {"pisolve": lambda: pi.calib.espirit(case.full),
                "sigpy": lambda: sigpy.mri.app.EspiritCalib(case.full, show_pbar=False).run()}
    if case.bart:
        programs["bart"] = lambda: case.run_bart("ecalib", "-m1", "-k6", "-r24", "full", "maps")
    return timed(programs, repeats)


def first(values, goal):
    """The first step (from 1) whose value is at most the goal, or None."""
    return next((k for k, v in enumerate(values, 1) if v <= goal), None)


def curve(case, prior, solver, steps):
    """The objective after each step."""
    record = [lambda problem, state: {"objective": problem.value(state.x)}]
    result = pi.solve(case.A, case.y, prior, solver, max_iter=steps, tol=0, callbacks=record)
    return [entry["objective"] for entry in result.history]


def their_curve(app, value, marks):
    """The objective of a SigPy app at some iterations of one run."""
    values = {}
    for k in range(1, max(marks) + 1):
        app.alg.update()
        if k in marks:
            values[k] = value(app.x)
    return values


def wavelet(case, repeats):
    prior = LAM_WAVELET * pi.Wavelet()
    W = sigpy.linop.Wavelet(case.A.ishape)

    def theirs(n):
        return sigpy.mri.app.L1WaveletRecon(case.y, case.mps, LAM_WAVELET, weights=case.weights, max_iter=n,
                                            show_pbar=False)

    their_values = their_curve(theirs(600), lambda x: case_value(case, x) + LAM_WAVELET * float(abs(W(x)).sum()),
                               (200, 600))
    gap = max(their_values[200] / their_values[600] - 1, 1e-7)
    values = curve(case, prior, pi.FISTA(), 600)
    steps = first(values, min(values) * (1 + gap))
    programs = {"pisolve": lambda: pi.solve(case.A, case.y, prior, pi.FISTA(), max_iter=steps, tol=0),
                "sigpy": lambda: theirs(200).run()}
    if case.bart:
        programs["bart"] = lambda: case.run_bart("pics", "-S", "-w1", f"-RW:3:0:{LAM_WAVELET}", f"-i{steps}", "y",
                                                 "mps", "x")
    return {**timed(programs, max(repeats // 2, 2)), "gap": gap, "iterations": steps, "iterations_sigpy": 200}


def case_value(case, x):
    return 0.5 * float(np.linalg.norm(case.A(x) - case.y)) ** 2


def tv(case, repeats):
    prior = LAM_TV * pi.TV(isotropic=False)
    problem = pi.Problem(case.A, case.y, prior)
    curves = {solver: curve(case, prior, solver, n) for solver, n in ((pi.ADMM(), 300),)}
    best = min(map(min, curves.values()))
    goal = best * 1.001
    steps = {solver: first(values, goal) for solver, values in curves.items()}
    programs = {f"pisolve {type(s).__name__}": lambda s=s, n=n: pi.solve(case.A, case.y, prior, s, max_iter=n, tol=0)
                for s, n in steps.items() if n}
    info = {f"iterations {type(s).__name__}": n for s, n in steps.items()}

    def theirs(n):
        return sigpy.mri.app.TotalVariationRecon(case.y, case.mps, LAM_TV, weights=case.weights, max_iter=n,
                                                 show_pbar=False)

    most = case.sigpy_tv
    marks = tuple(n for n in (50, 100, 150, 200, 300, 400, 600, most) if n <= most)
    values = their_curve(theirs(most), problem.value, marks)
    within = next((n for n in marks if values[n] <= goal), None)
    info["iterations sigpy"] = within or f"not within 1e-3 after {most}: gap {values[most] / best - 1:.2g}"
    programs["sigpy"] = lambda: theirs(50).run()
    if case.bart:
        def bart(n):
            case.run_bart("pics", "-S", "-w1", f"-RT:3:0:{LAM_TV}", f"-i{n}", "-u0.1", "y", "mps", "x")
            return cfl.read_image(case.folder / "x")

        values = {n: problem.value(bart(n)) / best - 1 for n in (20, 50, 100)}
        info["gap of bart by this (anisotropic) objective"] = {str(n): float(f"{v:.2g}") for n, v in values.items()}
        end = next((n for n, v in values.items() if v <= 1e-3), None)
        info["iterations bart"] = end or "not within 1e-3 after 100"
        programs["bart"] = lambda: bart(end or 100)
    row = timed(programs, 2)
    row["sigpy"] *= (within or most) / 50  # 50 iterations are timed
    return {**row, **info}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="4 x 64 x 64 only, to try the script; writes nothing")
    parser.add_argument("--only", default="", help="run this row only, and put it into the results that are there")
    parser.add_argument("--sigpy-tv", type=int, default=800, help="iterations after which SigPy's TV is not waited for")
    parser.add_argument("--shape", default="", help="one shape only, such as 12x320x320")
    args = parser.parse_args()
    report = {"command": "OMP_NUM_THREADS=2 python benchmarks/cartesian.py", "threads": backend.threads(), "cases": {}}
    if args.only:
        report = json.loads(OUT.read_text())
    for shape in [(4, 64, 64)] if args.small else [(12, 320, 320), (15, 640, 368)]:
        if args.shape and args.shape != "x".join(map(str, shape)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = Case(*shape, folder, args.sigpy_tv)
            rows = report["cases"].setdefault("x".join(map(str, shape)), {})
            for task in (normal, cg, espirit, wavelet, tv):
                if args.only not in task.__name__:
                    continue
                row = task(case, args.repeats)
                ours = min(v for k, v in row.items() if k.startswith("pisolve"))
                row["ratios"] = {k: round(row[k] / ours, 2) for k in ("sigpy", "bart") if k in row}
                rows[task.__name__] = row
                print("x".join(map(str, shape)), task.__name__, json.dumps(row, default=str), flush=True)
            if not all(name in rows for name in ("normal", "cg", "wavelet")):
                continue
            pair = rows["normal"]["fft"]
            rows["per iteration over the necessary FFTs"] = {
                "normal": round(rows["normal"]["pisolve"] / pair, 2), "cg": round(rows["cg"]["pisolve"] / 30 / pair, 2),
                "wavelet": round(rows["wavelet"]["pisolve"] / rows["wavelet"]["iterations"] / pair, 2)}
            print(rows["per iteration over the necessary FFTs"], flush=True)
        if not args.small:  # what is done is kept
            OUT.parent.mkdir(exist_ok=True)
            with atomic(OUT) as part:
                Path(part).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
