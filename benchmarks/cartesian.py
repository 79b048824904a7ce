"""Cartesian speed in one run on the same arrays: pisolve, SigPy and BART (whole process, files included), 2 threads.

    OMP_NUM_THREADS=2 python benchmarks/cartesian.py [--repeats 5] [--small]

Every row interleaves its programs' repeats and gives medians and ratios. What is timed:

* fft: the two 1-D transforms of all coils that a mask along ky makes necessary for one A^H A (scipy, all threads).
* normal: one A^H A, of ten in a row.   * cg: CG-SENSE, 30 iterations, lambda 0.01.

Times to the minimum, with every solver, are in benchmarks/solvers.py.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import scipy.fft
import sigpy.mri
from keep import bart, keep, timed

import pisolve as pi
from pisolve import backend, phantom
from pisolve.io import cfl

OUT = Path(__file__).parent / "results" / "cartesian.json"


class Case:
    """One simulated scan: noisy analytic k-space, random lines at 4x, maps from its centre, k-space scaled."""

    def __init__(self, coils, ny, nx, folder):
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
        bart(self.folder, *words)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="4 x 64 x 64 only, to try the script; writes nothing")
    parser.add_argument("--only", default="", help="run this row only, and put it into the results that are there")
    parser.add_argument("--shape", default="", help="one shape only, such as 12x320x320")
    args = parser.parse_args()
    report = {"command": "OMP_NUM_THREADS=2 python benchmarks/cartesian.py", "threads": backend.threads(), "cases": {}}
    if args.only:
        report = json.loads(OUT.read_text())
    for shape in [(4, 64, 64)] if args.small else [(12, 320, 320), (15, 640, 368)]:
        if args.shape and args.shape != "x".join(map(str, shape)):
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = Case(*shape, folder)
            rows = report["cases"].setdefault("x".join(map(str, shape)), {})
            for task in (normal, cg):
                if args.only not in task.__name__:
                    continue
                row = task(case, args.repeats)
                ours = min(v for k, v in row.items() if k.startswith("pisolve"))
                row["ratios"] = {k: round(row[k] / ours, 2) for k in ("sigpy", "bart") if k in row}
                rows[task.__name__] = row
                print("x".join(map(str, shape)), task.__name__, json.dumps(row, default=str), flush=True)
            if not all(name in rows for name in ("normal", "cg")):
                continue
            pair = rows["normal"]["fft"]
            rows["per iteration over the necessary FFTs"] = {
                "normal": round(rows["normal"]["pisolve"] / pair, 2), "cg": round(rows["cg"]["pisolve"] / 30 / pair, 2)}
            print(rows["per iteration over the necessary FFTs"], flush=True)
        if not args.small:  # what is done is kept
            keep(OUT, report)


if __name__ == "__main__":
    main()
