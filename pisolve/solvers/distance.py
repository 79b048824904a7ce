"""How far an image still is from the solution, by how fast its steps shrink."""

from __future__ import annotations

import math

import numpy as np

from pisolve import backend
from pisolve.backend import real
from pisolve.solvers.base import relative_change

FACTOR = 10  # "converged" is within so many times `tol` of the solution
_EARLY = 100  # solvers whose residual is no step of the image are watched from so many times `tol` on


def watch(solver, old, new, residual: float, tol: float) -> None:
    """Write the relative size of the last step into the state, `aux["moves"]`: so a resumed run judges as a whole one.

    It costs nothing where the residual is that size; else a norm a step, and only near the end.
    """
    known = old.aux.get("moves", ())
    if not math.isfinite(residual) or not (solver.steps or residual <= _EARLY * tol):
        if len(known):
            new.aux["moves"] = np.zeros(0)
        return
    move = residual if solver.steps else real(relative_change(new.x, old.x))
    known = backend.to_numpy(known) if len(known) else np.zeros(0)
    new.aux["moves"] = np.append(known, move)[-solver.memory(new.k):].astype(np.float64)


def distance(state) -> tuple[float, float] | None:
    """(the estimated ||x - solution|| / ||x||, the contraction q of a step); None before two steps are known.

    With steps that shrink by q each the rest of the way is r q / (1 - q). Where they shrink as a power of k, as those
    of a method without strong convexity do, q rises to 1 and that is too short; r q / (1 - q - 1/k) is right for both.
    r is the largest of the last steps and q their mean contraction against as many before (`Solver.memory`: a method
    with momentum has small steps wherever it turns, so half of its run is looked at). Infinite where steps do not
    shrink faster than 1/k. An estimate: what hardly moves yet is not seen.
    """
    moves = state.aux.get("moves", ())
    if len(moves) and not moves[-1] > 0:
        return 0.0, 0.0
    if len(moves) < 2:
        return None
    moves = [float(m) for m in moves]
    w = len(moves) // 2
    before, now = sum(moves[-2 * w:-w]), sum(moves[-w:])
    q = (now / before) ** (1 / w) if before > 0 else math.inf
    left = 1 - q - 1 / state.k
    return (max(moves[-w:]) * q / left if left > 0 else math.inf), q
