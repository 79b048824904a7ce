"""Conjugate gradients on spokes with and without the circulant preconditioner: steps and time to the same minimum.

    OMP_NUM_THREADS=2 python benchmarks/preconditioner.py

8 coils x 128 x 128, noise of 0.01 in each part of a sample, 40 and 100 spokes of 256 samples, `lam * Tikhonov()`. The
minimum is found in double precision, to a residual of 1e-9; told is the first step whose image is within a distance of
it, and the time up to there, the preconditioner's making included, the least of seven. At most 300 steps. Writes
results/preconditioner.json.
"""

import json
import time
from pathlib import Path

import numpy as np
from keep import keep

import pisolve as pi
from pisolve import backend, linops

OUT = Path(__file__).parent / "results" / "preconditioner.json"
N, COILS, WITHIN = 128, 8, (0.1, 0.01, 0.001)


def least_time(work, repeats=7):
    """The least of several times in seconds: other work on the machine only adds."""
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def case(spokes, lam):
    head = pi.phantom.brain((N, N), COILS)
    mps = head.mps / np.linalg.norm(head.mps, axis=0)
    A = linops.sense(mps.astype("c8"), coord=pi.trajectories.radial((N, N), spokes))
    rng = np.random.default_rng(0)
    y = A(head.image.astype("c8"))
    y = (y + 0.01 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))).astype("c8")
    prior = lam * pi.Tikhonov()
    fine = linops.sense(A.mps.astype("c16"), coord=A.coord)
    least = pi.solve(fine, y.astype("c16"), prior, preconditioner=linops.circulant(fine, lam), max_iter=1000, tol=1e-9)
    least, found = least.x, least.status == "converged"
    A.N(A.H(y))  # plans and kernel are made
    P = linops.circulant(A, lam)
    made = least_time(lambda: linops.circulant(A, lam))
    rows = {"minimum found": found, "seconds to make it": round(made, 3)}
    for name, options in (("plain", {}), ("circulant", {"preconditioner": P})):
        far = []

        def look(problem, state, far=far):
            far.append(np.linalg.norm(state.x - least) / np.linalg.norm(least))
            return bool(far[-1] > min(WITHIN))

        pi.solve(A, y, prior, max_iter=300, tol=0, callbacks=[look], **options)
        steps = {w: next((k + 1 for k, d in enumerate(far) if d <= w), None) for w in WITHIN}
        taken = {}
        for w, k in steps.items():
            if k is not None:
                took = least_time(
                    lambda k=k, more=options: pi.solve(A, y, prior, max_iter=k, tol=0, check=False, **more))
                taken[w] = round(took + made * (name == "circulant"), 3)
        rows[name] = {"steps": steps, "seconds": taken}
    return rows


def main():
    cases = {f"{spokes} spokes, lam {lam:g}": case(spokes, lam) for spokes in (40, 100) for lam in (1e-1, 1e-2, 1e-3)}
    report = {"command": "OMP_NUM_THREADS=2 python benchmarks/preconditioner.py", "threads": backend.threads(),
              "cases": cases}
    print(json.dumps(report["cases"], indent=1))
    keep(OUT, report)


if __name__ == "__main__":
    main()
