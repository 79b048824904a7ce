"""Volumes and series against SigPy and BART in one run, 2 threads: A^H A, CG-SENSE, TV in 3-D, LLR of a cine; memory.

    OMP_NUM_THREADS=2 python benchmarks/volumes.py [--only cine] [--repeats 3]

3-D: 8 coils x 128 x 128 x 96, 4x by a Poisson disc in two phase encodes. CG-SENSE is 30 iterations of each. TV is
timed to 1e-3 of the minimum: SigPy's is anisotropic and is judged by ours of that kind; BART's takes backward
differences, so it is judged by ours of the mirrored image, with the best of three ADMM penalties. Cine: 15 frames x
12 coils x 144 x 144 at 4x, every frame with its own lines; BART's LLR scales lambda by its blocks, so of several
lambdas the one counts whose image has the lowest objective of ours, and the time is that of ours to the same
objective. BART is timed as a process with its files. Memory is the peak of a process that holds maps and k-space and
solves, above what it has before them, in units of k-space.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sigpy.mri
from keep import bart, keep, timed

import pisolve as pi
from pisolve import backend
from pisolve.io import cfl

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "benchmarks" / "results" / "volumes.json"
SIZE, COILS, LAM, GAP = (128, 128, 96), 8, 2e-3, 1e-3
MEMORY = """
import sys
import numpy as np
import pisolve as pi
def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
mps, mask, y = (np.load(sys.argv[1] + f"/{n}.npy", mmap_mode="r") for n in ("mps", "mask", "y"))
small = pi.linops.sense(np.ones((2, 8, 48, 48), "complex64"), np.arange(8 * 48).reshape(8, 48, 1) % 3 > 0)
pi.solve(small, np.ones(small.oshape, "complex64") * 1, 1e-3 * pi.Tikhonov(), max_iter=2)  # kernels are loaded
before = status("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak counts from here
mps, mask, y = np.array(mps), np.array(mask), np.array(y)
A = pi.linops.sense(mps, mask, axes=("coil", "kz", "ky", "kx"))
pi.solve(A, y, 1e-3 * pi.Tikhonov(), max_iter=10, tol=0)
print((status("VmHWM") - before) / y.nbytes)
"""


def write(path, array, dims):
    """BART's files of an array whose axes, last one first, are these dimensions of BART's."""
    sizes = [1] * cfl.DIMS
    for dim, n in zip(dims, array.shape[::-1]):
        sizes[dim] = n
    array.astype("<c8").tofile(f"{path}.cfl")
    Path(f"{path}.hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))}\n")


class Volume:
    """Ellipsoids in 3-D seen by Gaussian coils, 4x in two phase encodes."""

    axes, dims, flags = ("coil", "kz", "ky", "kx"), (0, 1, 2, 3), 7

    def __init__(self, folder):
        z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SIZE), indexing="ij")
        image = (x**2 + y**2 + z**2 < 0.7) * (1 + 0.3 * (x > 0.1) - 0.5 * (np.hypot(y - 0.2, z) < 0.25))
        at = [(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
        mps = np.stack([np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2 + 1j * (a * x + b * y))
                        for a, b, c in at])
        self.mps = (mps / np.linalg.norm(mps, axis=0)).astype(np.complex64)
        self.mask = pi.masks.poisson(SIZE[:2], 4, calib=24, seed=1)[:, :, None]
        self.A = pi.linops.sense(self.mps, self.mask, axes=self.axes)
        rng = np.random.default_rng(0)
        noise = 0.02 * (rng.standard_normal(self.A.oshape) + 1j * rng.standard_normal(self.A.oshape)) * self.mask
        self.y = (self.A(image.astype(np.complex64)) + noise).astype(np.complex64)
        self.weights = np.broadcast_to(self.mask, SIZE).astype(np.float32)
        self.folder = Path(folder)
        write(self.folder / "y", self.y, self.dims)
        write(self.folder / "mps", self.mps, self.dims)

    def data(self, x):
        return 0.5 * float(np.linalg.norm((self.A(x.astype(np.complex64)) - self.y).astype(np.complex128)) ** 2)

    def bart(self, *words):
        bart(self.folder, "pics", "-S", "-w1", *words, "y", "mps", "x")
        return np.squeeze(cfl.read(self.folder / "x")).reshape(self.A.ishape)


def first(values, goal):
    """The number of steps of a dict of objectives by steps that first reaches a goal."""
    return min((n for n, v in values.items() if v <= goal), default=None)


def curve(case, prior, solver, seconds):
    """{steps: objective} of ours."""
    problem, values, start = pi.Problem(case.A, case.y, prior), {}, time.perf_counter()
    for state in pi.iterate(solver, problem):
        values[state.k] = case.data(state.x) + problem.prior.value(state.x.astype(np.complex128))
        if time.perf_counter() - start > seconds:
            return {k: v for k, v in values.items() if k}


def ratio(times, ours="pisolve"):
    """Medians in seconds, and what the others take of ours."""
    return {"seconds": {n: round(t, 4) for n, t in times.items()},
            "ratio": {n: round(t / times[ours], 1) for n, t in times.items() if n != ours}}


def normal(case, repeats):
    x, theirs = case.A.H(case.y), sigpy.mri.linop.Sense(case.mps, weights=case.weights)
    N, M = case.A.N, theirs.N
    return ratio(timed({"pisolve": lambda: N(x), "SigPy": lambda: M(x)}, repeats))


def least_squares(case, repeats):
    lam = 1e-2
    ours = lambda: pi.solve(case.A, case.y, lam * pi.Tikhonov(), pi.CG(), max_iter=30, tol=0)  # noqa: E731
    theirs = lambda: sigpy.mri.app.SenseRecon(case.y, case.mps, lamda=lam, weights=case.weights, tol=0, max_iter=30,  # noqa: E731
                                              show_pbar=False).run()
    programs = {"pisolve": ours, "SigPy": theirs}
    if shutil.which("bart"):
        programs["BART"] = lambda: case.bart("-l2", f"-r{lam}", "-i30")
    return ratio(timed(programs, repeats))


def variation(case, repeats, seconds):
    rows = {}
    for kind, isotropic in (("isotropic", True), ("anisotropic", False)):
        prior = LAM * pi.TV(isotropic=isotropic)
        values = {s: curve(case, prior, s, seconds) for s in (pi.ADMM(), pi.ADMM(inner=4), pi.ADMM(balance=True))}
        least = min(min(v.values()) for v in values.values())
        steps = first(values[pi.ADMM()], least * (1 + GAP))
        programs = {"pisolve": lambda n=steps, p=prior: pi.solve(case.A, case.y, p, pi.ADMM(), max_iter=n, tol=0)}
        row = {"minimum": least, "iterations": {"pisolve": steps}}
        if isotropic and shutil.which("bart"):
            mirrored = lambda x: np.roll(x[::-1, ::-1, ::-1], 1, (0, 1, 2))  # noqa: E731
            tv, best = pi.TV(axes=(-3, -2, -1)), None
            for u in (0.5, 0.1, 0.02):
                words, found = [f"-RT:{case.flags}:0:{LAM}", f"-u{u}"], {}
                for n in (10, 20, 30, 40, 60, 80, 120):
                    x = case.bart(*words, f"-i{n}")
                    found[n] = case.data(x) + LAM * tv.value(mirrored(x).astype(np.complex128))
                    if found[n] <= least * (1 + GAP):
                        break
                n = first(found, least * (1 + GAP))
                row.setdefault("BART's gaps", {})[f"u={u}"] = {k: float(f"{v / least - 1:.3g}")
                                                               for k, v in found.items()}
                best = (n, words) if n and (best is None or n < best[0]) else best
            if best:
                row["iterations"]["BART"] = best[0]
                programs["BART"] = lambda best=best: case.bart(*best[1], f"-i{best[0]}")
        if not isotropic:
            app = sigpy.mri.app.TotalVariationRecon(case.y, case.mps, LAM, weights=case.weights, max_iter=40,
                                                    show_pbar=False)
            app.run()
            row["SigPy's gap after 40"] = (case.data(app.x) + prior.value(app.x)) / least - 1
            programs["SigPy, 40 iterations"] = lambda: sigpy.mri.app.TotalVariationRecon(
                case.y, case.mps, LAM, weights=case.weights, max_iter=40, show_pbar=False).run()
        rows[kind] = row | ratio(timed(programs, repeats))
        print(kind, json.dumps(rows[kind]), flush=True)
    return rows


class Cine(Volume):
    """The cardiac series, every frame with its own lines."""

    axes, dims = ("frame", "coil", "ky", "kx"), (0, 1, 3, 10)

    def __init__(self, folder):
        frames = np.load(DATA / "volumes" / "cardiac_cine.npy")[::2].astype(np.complex64)
        n = frames.shape[-1]
        mps = pi.phantom.brain((n, n), 12).mps
        self.mps = (mps / np.linalg.norm(mps, axis=0)).astype(np.complex64)
        self.mask = np.stack([pi.masks.random((n, n), 4, seed=s) for s in range(len(frames))])
        self.A = pi.linops.sense(self.mps, self.mask, axes=self.axes, shape=(len(frames), *self.mps.shape))
        y = self.A(frames / np.percentile(abs(frames), 99))
        rng = np.random.default_rng(0)
        self.y = (y + 0.02 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape)) * (y != 0)).astype("c8")
        self.folder = Path(folder)
        write(self.folder / "y", self.y, self.dims)
        write(self.folder / "mps", self.mps, (0, 1, 3))


def low_rank(case, repeats, seconds):
    prior = 2e-2 * pi.LLR()
    problem = pi.Problem(case.A, case.y, prior)
    value = lambda x: case.data(x) + problem.prior.value(x.astype(np.complex128))  # noqa: E731
    values = curve(case, prior, pi.POGM(), seconds)
    row = {"minimum": min(values.values()), "iterations": {}, "BART's gaps": {}}
    best = None
    for scale in (0.03, 0.06, 0.125, 0.25, 0.5, 1):
        words = [f"-RL:3:3:{2e-2 * scale}", "-b8"]
        for n in (20, 50, 100, 200):
            gap = value(case.bart(*words, f"-i{n}")) / row["minimum"] - 1
            row["BART's gaps"][f"{scale:g} lambda, {n}"] = float(f"{gap:.3g}")
            best = (gap, n, words) if best is None or gap < 0.8 * best[0] else best
    gap, n, words = best
    steps = first(values, row["minimum"] * (1 + max(gap, GAP)))
    row |= {"gap": gap, "iterations": {"pisolve": steps, "BART": n}, "options": " ".join(words)}
    return row | ratio(timed({"pisolve": lambda: pi.solve(case.A, case.y, prior, pi.POGM(), max_iter=steps, tol=0),
                              "BART": lambda: case.bart(*words, f"-i{n}")}, repeats))


SLICES = """
import sys, time
import numpy as np
import pisolve as pi
full = pi.phantom.brain((256, 256), 8, noise=0.02).kspace
mask = pi.masks.random(full.shape, 4, seed=1)
scan = pi.io.Scan(np.stack([full * (1 + 0.05 * k) for k in range(12)]) * mask, mask)
prior = eval(sys.argv[1])
pi.recon(scan.select(0), prior, max_iter=5)
start = time.perf_counter()
pi.recon(scan, prior, max_iter=40)
print(time.perf_counter() - start)
"""


def slices(repeats):
    """Twelve slices, maps included, on one thread and on two: seconds, processes taking turns, medians.

    What two separate processes of one thread gain, side by side, is what the machine allows.
    """
    rows = {}

    def begun(prior, threads):
        place = os.environ | {"PISOLVE_THREADS": threads, "OMP_NUM_THREADS": threads}
        return subprocess.Popen([sys.executable, "-c", SLICES, prior], cwd=ROOT, env=place, stdout=subprocess.PIPE,
                                text=True)

    for prior in ("1e-3 * pi.TV()", "2e-3 * pi.Wavelet(shifts=16)"):
        taken = {"1 thread": [], "2 threads": [], "2 processes": []}
        for _ in range(repeats):
            for name, threads, count in (("1 thread", "1", 1), ("2 threads", "2", 1), ("2 processes", "1", 2)):
                running = [begun(prior, threads) for _ in range(count)]
                taken[name].append(max(float(process.communicate()[0]) for process in running))
        one, two, both = (float(np.median(t)) for t in taken.values())
        rows[prior.partition("pi.")[2]] = {
            "seconds": {name: round(float(np.median(t)), 2) for name, t in taken.items()},
            "gain": round(one / two, 2), "gain of separate processes": round(2 * one / both, 2)}
    return rows


def memory(case):
    for name in ("mps", "mask", "y"):
        np.save(case.folder / f"{name}.npy", getattr(case, name))
    done = subprocess.run([sys.executable, "-c", MEMORY, str(case.folder)], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    return float(done.stdout) if not done.returncode else done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="normal, cg, tv, memory, slices or cine, put into the last results")
    parser.add_argument("--seconds", type=float, default=60, help="of each of our curves of the objective")
    a = parser.parse_args()
    report = json.loads(OUT.read_text()) if a.only and OUT.exists() else {}
    report |= {"command": "OMP_NUM_THREADS=2 python benchmarks/volumes.py", "threads": backend.threads()}
    with tempfile.TemporaryDirectory() as folder:
        if a.only not in ("cine", "slices"):
            case = Volume(folder)
            tasks = {"normal": lambda: normal(case, a.repeats), "cg": lambda: least_squares(case, a.repeats),
                     "tv": lambda: variation(case, a.repeats, a.seconds), "memory": lambda: memory(case)}
            for name, task in tasks.items():
                if a.only in ("", name):
                    report[name] = task()
                    print(name, json.dumps(report[name]), flush=True)
                    keep(OUT, report)
        if a.only in ("", "slices"):
            report["slices"] = slices(a.repeats)
            print("slices", json.dumps(report["slices"]), flush=True)
            keep(OUT, report)
        if a.only in ("", "cine") and DATA.exists():
            report["cine"] = low_rank(Cine(folder), a.repeats, a.seconds / 2)
            print("cine", json.dumps(report["cine"]), flush=True)
            keep(OUT, report)


if __name__ == "__main__":
    main()
