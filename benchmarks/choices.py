"""Is the automatic solver the quickest? Every prior example of docs/priors.md by every solver that takes it.

    python benchmarks/choices.py [--only TV] [--goal 5e-3] [--repeats 3] [--most 20]

Each solver runs from the start that it chooses, and the time of its steps is counted until the image is within `goal`
of the solution, relatively; the least of the repeats, solvers taking turns. The solution is the image of a long run of
the automatic solver. A solver is given up after four times the quickest one's time. What ends at another image (a
denoiser of fixed level, whose strength depends on the step; priors that are not convex; cycle spinning, which never
settles) is told by the distance at which it stays. Writes benchmarks/results/choices.json and prints the table.
"""

import argparse
import json
import math
import re
import time
from pathlib import Path

import numpy as np
from keep import keep

import pisolve as pi
from pisolve.solvers import choose

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "choices.json"
SOLVERS = [pi.CG(), pi.LSQR(), pi.LSMR(), pi.GMRES(5), pi.GradientDescent(), pi.FISTA(), pi.POGM(), pi.DataProx(),
           pi.ADMM(), pi.PDHG()]
SUMS = ["1e-3 * pi.TV() + 1e-2 * pi.Tikhonov()", "1e-3 * pi.Wavelet() + 1e-2 * pi.Tikhonov()",
        "5e-4 * pi.Wavelet() + 0.1 * pi.RED(D, sigma=0.03)", "5e-4 * pi.TV() + pi.PnP(D, sigma=0.1)"]


class Caught:
    """pisolve, but for `recon` and `solve`, which keep their problem and run nothing."""

    def __init__(self):
        self.problems = {}

    def __getattr__(self, name):
        return getattr(pi, name)

    def recon(self, scan, prior, *args, **options):
        known = {n: options[n] for n in ("maps", "method") if n in options}
        self._keep(pi.recon(scan, prior, max_iter=0, **known).results[0].problem)

    def solve(self, A, y, prior, *args, **options):
        self._keep(pi.Problem(A, y, prior))

    def _keep(self, problem):
        self.problems.setdefault(" ".join(repr(problem.prior).split()), problem)


def examples() -> dict:
    """{prior: problem} of the page's examples, those of `pi.recon` scaled as it does."""
    caught = Caught()
    names = {"pi": caught}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "priors.md").read_text(), re.DOTALL):
        try:
            exec(code.replace("import pisolve as pi", ""), names)
        except Exception as error:
            print(f"left out: {error!r}", flush=True)
    for text in SUMS:
        caught.recon(names["scan"], eval(text, names))
    return caught.problems


def distance(x, y) -> float:
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))


def run(solver, problem, x_true, goal, most):
    """(seconds until the image is within the goal, steps), or (None, the least distance)."""
    states, least, spent = pi.iterate(solver, problem), math.inf, 0.0
    while spent < most:
        start = time.perf_counter()
        state = next(states)
        spent += time.perf_counter() - start
        least = min(least, distance(state.x, x_true))
        if least <= goal:
            return spent, state.k
    return None, least


def row(problem, goal, repeats, most) -> dict:
    """Every solver's time, the automatic one's and the best's."""
    automatic = choose(problem)
    takes = {repr(automatic): automatic}
    for solver in SOLVERS:
        try:
            solver.init(problem)
        except ValueError:
            continue
        if not any(type(solver) is type(s) for s in takes.values()):
            takes[repr(solver)] = solver
    true = solution(problem, automatic, most)
    times, limit = {}, most
    for _ in range(repeats):
        for name, solver in takes.items():
            known = times.get(name, (0, 0))[0]
            if solver is not automatic and (known is None or known > limit / 2):  # no close second
                continue
            with np.errstate(all="ignore"):
                seconds, steps = run(solver, problem, true, goal, limit)
            old = times.get(name)
            times[name] = (min(seconds, old[0]), steps) if old and old[0] and seconds else (seconds, steps)
            limit = min(limit, 4 * seconds) if seconds else limit
    known = {n: t for n, (t, _) in times.items() if t}
    best = min(known, key=known.get) if known else None
    return {"automatic": repr(automatic), "best": best, "ratio": known[repr(automatic)] / known[best]
            if repr(automatic) in known else None, "solvers": times}


def solution(problem, automatic, most):
    """The image of a long run, `most` seconds at the longest."""
    start = time.perf_counter()
    for state in pi.iterate(automatic, problem):
        if (state.k > 30 and float(state.residual) < 1e-6) or time.perf_counter() - start > most or state.k >= 3000:
            return state.x


def cell(value) -> str:
    seconds, steps = value
    return f"{seconds:.3f} s, {steps}" if seconds else f"({steps:.1e})"


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--only", default="", help="priors whose name has this")
    words.add_argument("--goal", type=float, default=5e-3)
    words.add_argument("--repeats", type=int, default=3)
    words.add_argument("--most", type=float, default=8.0, help="seconds of a run at the longest")
    a = words.parse_args()
    report = json.loads(OUT.read_text()) if OUT.exists() else {"rows": {}}
    report |= {"goal": a.goal, "most": a.most}
    names = [type(s).__name__ for s in SOLVERS]
    for name, problem in examples().items():
        if a.only not in name:
            continue
        report["rows"][name] = found = row(problem, a.goal, a.repeats, a.most)
        by = {n.split("(")[0]: v for n, v in found["solvers"].items()}
        ratio = "-" if found["ratio"] is None else f"{found['ratio']:.2f}"
        print(f"| `{name}` | {found['automatic'].split('(')[0]} {ratio} | "
              + " | ".join(cell(by[n]) if n in by else "" for n in names) + " |", flush=True)
        keep(OUT, report)


if __name__ == "__main__":
    main()
