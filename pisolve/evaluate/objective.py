"""The objective along a run, for the report: at some iterations, beside the time and memory that are measured."""

from __future__ import annotations

import math
import time

from pisolve import backend
from pisolve.solvers.base import walk

_STEP = 1.3  # from one iteration that is looked at to the next


def told(prior) -> bool:
    """Whether a prior's objective is to be looked at: it has one, and its value takes no iterations."""
    return (prior is not None and not prior.quadratic and prior.solver() is None
            and not any(p.implicit or p.slow_value for p in walk(prior)))


class Objective:
    """A callback of `solve`: 1/2 ||A x - y||^2 + g(x) after iterations 1, 2, 3, 4, 6, 8, 11, ...

    By A^H A, which needs no array of k-space's size: 1/2 <x, A^H A x> - Re <x, A^H y> + 1/2 ||y||^2.

    Attributes:
        seconds: what this took, to be taken off a run's time.
    """

    def __init__(self):
        self.seconds, self._next, self._energy = 0.0, 1, None

    def __call__(self, problem, state):
        aside = {"aside": self.seconds}  # of an entry whose clock was read before
        if state.k < self._next:
            return aside
        start, x = time.perf_counter(), state.x
        self._next = math.ceil(_STEP * self._next + 1e-9) if self._next > 1 else 2
        try:
            if self._energy is None:
                self._energy = 0.5 * float(backend.norm(problem.y)) ** 2
            data = 0.5 * float(backend.dot(x, problem.normal(x))) - float(backend.dot(x, problem.AHy)) + self._energy
            return {**aside, "objective": data + float(problem.prior.value(x))}
        except (NotImplementedError, TypeError):  # a prior of the user's own need not have a value
            self._next = math.inf
            return aside
        finally:
            self.seconds += time.perf_counter() - start
