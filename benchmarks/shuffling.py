"""A subspace of T2-shuffling's size against BART's `pics -B`, 30 iterations of the same least squares.

    OMP_NUM_THREADS=2 python benchmarks/shuffling.py [--repeats 3] [--part grid|points] [--small]

8 coils, 192 x 192, 16 echoes of a CPMG train of 150 degrees, 4 coefficients. grid: a quarter of the lines, others in
every echo. points: 12 golden-angle spokes an echo. Ours: `signals.encoding`, and the same by way of all echoes; BART is
a process with its files. What both minimise is 1/2 ||A Phi a - y||^2 + 0.005 ||a||^2; the series are compared after the
best factor, and A^H A is timed alone. Writes benchmarks/results/shuffling.json.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from keep import bart, keep, timed
from volumes import write

import pisolve as pi
from pisolve import backend
from pisolve.io import cfl

OUT = Path(__file__).parent / "results" / "shuffling.json"
ECHOES, COEFFICIENTS, COILS, LAM = 16, 4, 8, 1e-2
TE, COEFF = 5, 6  # of BART's dimensions


def basis():
    trains = pi.signals.dictionary(
        lambda t2, t1: pi.signals.fse(t2, t1, spacing=0.01, echoes=ECHOES, angles=150),
        t2=np.geomspace(0.02, 2, 60), t1=[0.7, 1.4, 3.0])
    return pi.signals.basis(trains, COEFFICIENTS)


class Case:
    """A series of echoes of a head, and where its samples are."""

    def __init__(self, n, part, folder):
        head = pi.phantom.brain((n, n), COILS)
        self.mps = (head.mps / np.linalg.norm(head.mps, axis=0)).astype("c8")
        self.basis, self.folder, self.n = basis(), folder, n
        t2 = np.where(np.arange(n)[:, None] < n // 2, 0.06, 0.11) + np.zeros((n, n))
        trains = pi.signals.fse(t2, 1.0, spacing=0.01, echoes=ECHOES, angles=150)
        series = (np.moveaxis(trains, -1, 0) * head.image).astype("c8")
        if part == "grid":
            mask = np.random.default_rng(0).random((ECHOES, n, 1)) < 0.25
            self.A = pi.linops.sense(self.mps, mask, shape=(ECHOES, COILS, n, n), axes=("echo", "coil", "ky", "kx"))
        else:
            self.coord = np.stack([pi.trajectories.radial((n, n), 12, first=12 * e) for e in range(ECHOES)])
            self.A = pi.linops.sense(self.mps, coord=self.coord, shape=(ECHOES, COILS, *self.coord.shape[1:3]),
                                     axes=("echo", "coil", "shot", "sample"))
        rng = np.random.default_rng(1)
        y = self.A(series)
        noise = 0.005 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
        self.y = (y + noise * (y != 0)).astype("c8")
        self.E = pi.signals.encoding(self.A, self.basis)
        self.long = self.A * self.E.subspace

    def ours(self):
        return pi.solve(self.E, self.y, LAM * pi.Tikhonov(), pi.CG(), max_iter=30, tol=0).x

    def long_way(self):
        return pi.solve(self.long, self.y, LAM * pi.Tikhonov(), pi.CG(), max_iter=30, tol=0).x

    def prepare_bart(self):
        write(f"{self.folder}/phi", self.basis.vectors.T, (TE, COEFF))
        cfl.write(f"{self.folder}/mps", self.mps, coils=True)
        words = []
        if hasattr(self, "coord"):  # BART's samples (1, sample, shot, coil, echo), its trajectory in x, y, z
            write(f"{self.folder}/y", self.y[..., None], (0, 1, 2, 3, TE))
            k = np.concatenate([self.coord[..., ::-1], np.zeros((*self.coord.shape[:-1], 1))], -1)
            write(f"{self.folder}/t", k, (0, 1, 2, TE))
            words = ["-t", "t"]
        else:
            cfl.write(f"{self.folder}/y", self.y, axes=("echo", "coil", "y", "x"))
        words = ["-S", "-w1", "-l2", f"-r{LAM}", "-i30", "-B", "phi", *words]
        return lambda: bart(self.folder, "pics", *words, "y", "mps", "x")

    def theirs(self):
        return cfl.read(f"{self.folder}/x").reshape(COEFFICIENTS, self.n, self.n)


def distance(a, b):
    """Relative, after the best factor."""
    scale = np.vdot(b, a) / np.vdot(b, b)
    return float(f"{np.linalg.norm(a - scale * b) / np.linalg.norm(a):.2g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--part", choices=("grid", "points"))
    parser.add_argument("--small", action="store_true", help="48 x 48, to try the script; writes nothing")
    args = parser.parse_args()
    report = {"command": "OMP_NUM_THREADS=2 python benchmarks/shuffling.py", "threads": backend.threads()}
    if OUT.exists() and not args.small:
        report = json.loads(OUT.read_text()) | report
    for part in ("grid", "points") if args.part is None else (args.part,):
        with tempfile.TemporaryDirectory() as folder:
            case = Case(48 if args.small else 192, part, folder)
            x = case.ours()
            ours, long = case.E.N, case.E.subspace.H * case.A.N * case.E.subspace
            normal = timed({"pisolve": lambda N=ours: N(x),  # noqa: B023
                            "by way of the echoes": lambda N=long: N(x)}, args.repeats)  # noqa: B023
            programs = {"pisolve": case.ours, "by way of the echoes": case.long_way}
            if shutil.which("bart"):
                programs["BART"] = case.prepare_bart()
            row = {"A^H A": normal, "seconds": timed(programs, args.repeats)}
            if shutil.which("bart"):
                row["BART over pisolve"] = round(row["seconds"]["BART"] / row["seconds"]["pisolve"], 1)
                row["difference"] = distance(case.E.subspace(x), case.E.subspace(case.theirs()))
            report[part] = row
            print(part, json.dumps(row), flush=True)
    if not args.small:
        keep(OUT, report)


if __name__ == "__main__":
    main()
