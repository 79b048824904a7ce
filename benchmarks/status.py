"""How far "converged" is from the solution, and how much work PDHG takes: the tables of docs/solvers.md.

    python benchmarks/status.py [--table distance|pdhg] [--only spiral]

distance: every solver on a badly conditioned scan (32 x 24, 4 coils, 2x, double precision) at the default tol of 1e-4;
what the run estimates, and ||x - solution|| / ||x|| by a long run. pdhg: applications of A^H A to a relative distance
of 1e-2 and 1e-3 of ADMM's long run, on the scan of docs/priors.md, two in vivo and a simulated spiral.
"""

import argparse
import os
from pathlib import Path

import numpy as np

import pisolve as pi

DATA = Path(os.environ.get("PISOLVE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PRIORS = {"Zero()": pi.Zero(), "1e-3 Tikhonov": 1e-3 * pi.Tikhonov(), "0.05 Tikhonov": 0.05 * pi.Tikhonov(),
          "5e-4 Wavelet": 5e-4 * pi.Wavelet(), "0.02 Wavelet": 0.02 * pi.Wavelet(), "5e-4 TV": 5e-4 * pi.TV(),
          "0.02 TV": 0.02 * pi.TV()}
SOLVERS = [pi.CG(), pi.LSMR(), pi.GMRES(), pi.GradientDescent(), pi.FISTA(), pi.POGM(), pi.DataProx(), pi.ADMM(),
           pi.PDHG()]


def apart(x, y) -> float:
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))


def distances(most=5000):
    """A row a prior: of every solver its iterations, the estimate and the truth."""
    brain, mask = pi.phantom.brain((32, 24), 4, noise=0.02), pi.masks.random((32, 24), accel=2, seed=1)
    A, y = pi.linops.sense(brain.mps.astype(complex), mask), (brain.kspace * mask).astype(complex)
    for name, prior in PRIORS.items():
        exact = pi.solve(A, y, prior, max_iter=6000, tol=1e-9).x
        cells = []
        for solver in SOLVERS:
            try:
                run = pi.solve(A, y, prior, solver, max_iter=most, tol=1e-4)
            except ValueError:
                cells.append("")
                continue
            told = run.history[-1].get("distance")
            told = "?" if told is None else f"{told:.1e}"
            first = next((h["k"] for h in run.history if h["residual"] <= 1e-4), "-")
            star = "" if run.status == "converged" else "slow, "
            cells.append(f"{star}{run.state.k} ({first}): {told}, {apart(run.x, exact):.1e}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def scans():
    shape = (64, 64)
    brain = pi.phantom.brain(shape, 6, noise=0.02)
    yield "phantom", pi.io.Scan(brain.kspace).undersample(pi.masks.random(shape, accel=3, seed=1))
    head = pi.phantom.brain((128, 128), 6, noise=0.01)
    yield "phantom, spiral", pi.Sampling("spiral", 3, spokes=16)(pi.io.Scan(head.kspace, mps=head.mps))
    folder = DATA / "kspace"
    if folder.exists():
        yield "brain in vivo, 8 coils", pi.io.load(folder / "brain_sigpytut_8ch_undersampled.h5")
        full = pi.io.load(folder / "invivo_brain_cimax_16ch.h5").select(0)
        yield "brain in vivo, 16 coils", pi.Sampling("random", 4, 0.125)(full)


def counted(problem, calls):
    """The problem, whose A^H A writes into a list."""
    def told(do):
        return lambda x: calls.append(1) or do(x)

    problem.normal, problem.data_grad = told(problem.normal), told(problem.data_grad)
    return problem


def pdhg(only=""):
    """A row a scan and prior: the A^H A of each form."""
    for title, scan in scans():
        for prior in (1e-3 * pi.TV(), 1e-2 * pi.TV(), 2e-3 * pi.Wavelet(), 1e-3 * pi.TGV(),
                      5e-4 * pi.TV() + 1e-3 * pi.Wavelet()):
            if only not in f"{title}, {prior!r}":
                continue
            given = pi.recon(scan, prior, max_iter=0).results[0].problem
            exact = pi.solve(given.linop, given.y, prior, pi.ADMM(inner=20), max_iter=400, tol=0).x
            cells = []
            for solver in (pi.PDHG(accelerate=False), pi.PDHG(backtracking=True), pi.PDHG(restart=False), pi.PDHG(),
                           pi.ADMM()):
                marks, calls = {}, []
                for state in pi.iterate(solver, counted(pi.Problem(given.linop, given.y, prior), calls)):
                    away = apart(state.x, exact)
                    marks |= {goal: len(calls) for goal in (1e-2, 1e-3) if away <= goal and goal not in marks}
                    if len(calls) >= 1000 or len(marks) == 2:
                        break
                cells.append(f"{marks.get(1e-2, '-')}, {marks.get(1e-3, '-')}"
                             + (f" ({away:.0e})" if len(marks) < 2 else ""))
            print(f"| {title}, `{prior!r}` | " + " | ".join(cells) + " |", flush=True)


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--table", choices=("distance", "pdhg"))
    words.add_argument("--only", default="", help="rows of the table pdhg whose title holds this")
    args = words.parse_args()
    if args.table != "pdhg":
        distances()
    if args.table != "distance":
        pdhg(args.only)


if __name__ == "__main__":
    main()
