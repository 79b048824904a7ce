"""The health of a run: notices one that fails, and keeps its best finite iterate."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from pisolve import backend
from pisolve.backend import real
from pisolve.problem import Problem


class Health:
    """Watches a run and keeps its best finite iterate.

    Sizes are judged against the first image and a A^H y, with the a that fits the data best. An implicit prior's run
    has diverged when its steps grew three times in a row to over 1 % and the image to 1.15 times that size, or when the
    image is 10 times it; the best iterate is the one that moved least. An explicit prior with a certified step cannot
    grow: its size is looked at every ten iterations, 1000 times means that the step was none, and the best iterate is
    the last finite one.
    """

    def __init__(self, problem: Problem, state):
        self.implicit = problem.prior.implicit
        self.best = state.x
        self.problem = problem  # on a GPU the size of the first image waits until it is asked for
        self.first = real(backend.norm(state.x)) if isinstance(state.x, np.ndarray) else state.x
        self.least, self.early = math.inf, 0.0
        self.restart(state, 1.0)

    def restart(self, state, weight: float):
        """Go on from this state with steps averaged by this weight; sizes and the best iterate stay."""
        self.last = state.x if self.implicit else None  # whose steps are judged
        self.moves, self.ratio, self.moved, self.weight = [], None, None, weight

    @cached_property
    def size(self) -> float:
        """The reference size; it costs an A^H A, so that runs which never grow are spared it."""
        first = self.first if isinstance(self.first, float) else real(backend.norm(self.first))
        return max(first, real(backend.norm(self.problem.AHy)) / self.problem.curvature)

    def check(self, state, residual: float) -> str | None:
        """None, "nonfinite" or "diverged"; for implicit priors `ratio` is then ||x_k+1 - x_k|| / ||x_k - x_k-1||, and
        `moved` ||x_k+1 - x_k|| / ||x_k+1||.

        `residual` is the state's as a float: every look at it waits for a GPU.
        """
        if math.isnan(residual):
            return "nonfinite"
        if not self.implicit:
            if state.k % 10 == 0 or not math.isfinite(residual):
                size = real(backend.norm(state.x))
                if not math.isfinite(size):
                    return "nonfinite"
                if size > 1e3 * self.early > 0 and size > 1e3 * self.size > 0:
                    return "diverged"
                self.early = self.early or size
            self.best = state.x
            return None
        size, move = real(backend.norm(state.x)), real(backend.norm(state.x - self.last))
        if not math.isfinite(size):
            return "nonfinite"
        self.last, self.moved = state.x, move / size if size > 0 else None
        settled = math.isfinite(residual)  # a schedule may still grow
        self.ratio = move / self.moves[-1][0] if self.moves and self.moves[-1][0] > 0 else None
        self.moves = [*self.moves, (move, size)][-4:] if settled else []
        if move / self.weight < self.least:
            self.best, self.least = state.x, move / self.weight
        growing = len(self.moves) == 4 and size > self.moves[0][1] and move > 0.01 * self.size and all(
            a[0] < b[0] for a, b in zip(self.moves[:-1], self.moves[1:]))
        return "diverged" if size > (1.15 if growing else 10) * self.size > 0 else None

    def worse(self, state, history) -> bool:
        """Whether a run out of iterations ended above the objective of an image of zeros, which no minimiser does.

        Looked at only where the image is over 10 times the reference size or the residual grew over the run: a wrong
        adjoint makes it so.
        """
        if self.implicit or not history:
            return False
        size, problem = real(backend.norm(state.x)), self.problem
        large = not problem.bounded or size > 10 * real(backend.norm(problem.AHy)) / problem.lipschitz
        large = large and size > 10 * self.size  # this costs an A^H A, a bound in closed form nothing
        if not large and not history[-1]["residual"] > history[0]["residual"]:
            return False
        try:
            value, zero = map(self.problem.value, (state.x, backend.zeros_like(state.x)))
        except NotImplementedError:  # a prior of one's own without a value
            return False
        return math.isfinite(value) and value > zero
