"""What a time allows: how many strengths are tried, and by how many folds each of them is judged."""

from __future__ import annotations

import time

from pisolve._check import choice, number
from pisolve._words import CRITERIA
from pisolve.solvers import solve

STEPS = ((12, 3), (12, 2), (9, 2), (12, 1), (9, 1), (7, 1), (5, 1))  # (trials, folds), the dearest first
LEAST = STEPS[-1][0]  # strengths that make a curve: four, a decade apart, and one beside the best of them
_RUNS = {"sure": 2}  # criterion -> runs of one trial; those of "holdout" are its folds


def check_tune(tune: str | None, minutes: float | None) -> None:
    """Refuse a criterion that is none, and a time that is none or where nothing is chosen."""
    choice("tune", tune, (None, *CRITERIA))
    if number("minutes", minutes, low=0, strict=True, allow_none=True) is not None and tune is None:
        raise ValueError(f"minutes={minutes!r} has no effect without tune: give tune='holdout', or leave it out")


def runs(criterion: str, trials: int, folds: int) -> int:
    """Runs of `solve` that a search takes."""
    return trials * (folds if criterion == "holdout" else _RUNS.get(criterion, 1))


def affordable(seconds: float, criterion: str, one: float) -> tuple[int, int]:
    """The most (trials, folds) whose runs, of `one` second each, end within `seconds`; the least where none do."""
    return next((step for step in STEPS if runs(criterion, *step) * one <= seconds), STEPS[-1])


def seconds_of(run, max_iter: int, limit: float) -> float:
    """Seconds that a run takes, at most `limit` of them spent: the rest of a longer one is reckoned from its beginning.

    Args:
        run: callbacks -> anything that begins the run, with these functions called after every iteration.
        max_iter: its iterations.
        limit: seconds.
    """
    at = []

    def watch(problem, state):
        at.append(time.perf_counter())
        return at[-1] < start + limit

    start = time.perf_counter()
    run((watch,))
    end = time.perf_counter()
    if len(at) < 2 or at[-1] < start + limit:  # it ended by itself, or has no iterations that are told
        return end - start
    each = (at[-1] - at[0]) / (len(at) - 1)  # the first one loads kernels and plans transforms
    return (at[0] - start) + each * (max_iter - 1)


def seconds_of_trial(problem, prior, solver, max_iter: int, tol: float, limit: float) -> float:
    """Seconds of one run of `solve` at this strength of the prior."""
    def run(callbacks):
        solve(problem.A, problem.y, prior, solver, max_iter=max_iter, tol=tol, callbacks=callbacks, check=False)

    return seconds_of(run, max_iter, limit)
