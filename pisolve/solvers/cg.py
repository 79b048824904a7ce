"""Conjugate gradients, for quadratic problems."""

from __future__ import annotations

from dataclasses import dataclass

from pisolve import backend
from pisolve.backend import real
from pisolve.linops.solve import cg_step
from pisolve.priors import Zero
from pisolve.solvers.base import Solver, State

_TINY = 1e-37


@dataclass(frozen=True)
class CG(Solver):
    """Conjugate gradients on the normal equations (A^H A + H_g) x = A^H y - grad g(0), for quadratic priors.

    The residual is ||b - H x|| / ||b||. Starts from zeros.

    Use:
        for every quadratic prior: the automatic choice, and the cheapest.

    Reference:
        Hestenes and Stiefel, J Res Nat Bur Stand 49 (1952) 409; Pruessmann et al., Magn Reson Med 46 (2001) 638.

    Example:
        pi.solve(A, y, 0.01 * pi.Tikhonov(), pi.CG(), max_iter=30)
    """

    averages = False

    def init(self, problem, x0=None):
        if not problem.prior.quadratic:
            raise ValueError(f"CG needs a quadratic prior, {problem.prior!r} is none: take FISTA(), ADMM() or PDHG()")
        x = problem.start(x0, zero=True)
        b = self._rhs(problem)
        r = b if x0 is None else b - self._hessian(problem, x)
        return State(x, aux={"r": r, "p": r, "rr": backend.dot(r, r), "size": backend.norm(b)})

    def step(self, problem, state):
        p = state.aux["p"]
        x, r, p, rr = cg_step(lambda v: self._hessian(problem, v), state.x, state.aux["r"], p, state.aux["rr"])
        return state.next(x, rr**0.5 / (state.aux["size"] + _TINY), r=r, p=p, rr=rr)

    def objective(self, problem, state):
        """With b - H x = r: f(x) = f(0) - 1/2 Re <x, b + r>; no further A."""
        if problem.at_zero is None:
            return {}
        inner = backend.dot(state.x, self._rhs(problem)) + backend.dot(state.x, state.aux["r"])
        return {"objective": problem.at_zero - 0.5 * real(inner)}

    @staticmethod
    def _rhs(problem):
        return problem.AHy if problem.slope is None else problem.AHy - problem.slope

    @staticmethod
    def _hessian(problem, v):
        if isinstance(problem.prior, Zero):
            return problem.normal(v)
        Hv = problem.normal(v) + problem.prior.grad(v)
        return Hv if problem.slope is None else Hv - problem.slope
