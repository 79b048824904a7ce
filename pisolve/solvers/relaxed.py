"""Averaged steps: the remedy for a run that swings up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pisolve._check import brief, is_array, number
from pisolve._types import ArrayLike
from pisolve.problem import Problem
from pisolve.solvers.base import Solver, State


@dataclass(frozen=True)
class Relaxed(Solver):
    """s <- (1 - weight) s + weight T(s), with T the step of another solver and s all arrays of its state.

    The fixed points are those of T; where T is non-expansive the averaged steps converge, and where T swings around a
    fixed point they may converge although T does not. `solve` turns to it by itself, with weights 1/2, 1/4 and 1/8,
    where a denoiser makes a run diverge; extrapolation (FISTA's momentum) is then left out. A denoiser that grows
    images in one direction diverges all the same, and the result says so.

    Use:
        for a denoiser that is known to make a run swing; `solve` does so by itself.

    Args:
        solver: whose step is averaged.
        weight: 0 < weight <= 1.

    Reference:
        Krasnosel'skii (1955); Mann, Proc Amer Math Soc 4 (1953) 506; for PnP: Sun et al., IEEE TCI 5 (2019) 395.

    Example:
        pi.solve(A, y, pi.PnP(D, sigma=0.05), pi.Relaxed(pi.ADMM(), 0.5), max_iter=20)
    """

    solver: Solver
    weight: float = 0.5

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        if not isinstance(self.solver, Solver):
            raise TypeError(f"solver must be a solver such as pi.ADMM(), got {brief(self.solver)}")
        if not self.solver.averages:
            self.solver.init(problem)  # refused by its own reason first
            raise ValueError(f"{self.solver} builds its steps on each other, averaged they are no method: take "
                             f"{self.solver} by itself")
        number("weight", self.weight, low=0, high=1)
        number("weight", self.weight, low=0, strict=True)
        return self.solver.calm().init(problem, x0)

    def step(self, problem: Problem, state: State) -> State:
        new, w = self.solver.calm().step(problem, state), self.weight
        aux = {n: (1 - w) * state.aux[n] + w * v if is_array(v) and v.shape else v for n, v in new.aux.items()}
        return state.next((1 - w) * state.x + w * new.x, new.residual, **aux)

    def certificate(self, problem: Problem, state: State) -> dict[str, Any] | None:
        return self.solver.calm().certificate(problem, state)
