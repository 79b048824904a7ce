"""Conjugate gradients, as a solver of quadratic problems and as the inner solver of ADMM and HQS."""

from __future__ import annotations

from dataclasses import dataclass

from pisolve import backend
from pisolve.priors.base import real
from pisolve.solvers.base import Solver, State

_TINY = 1e-37


@dataclass(frozen=True)
class CG(Solver):
    """Conjugate gradients on the normal equations (A^H A + H_g) x = A^H y - grad g(0), for quadratic priors.

    The residual is ||b - H x|| / ||b||. Starts from zeros.

    Reference:
        Hestenes and Stiefel, J Res Nat Bur Stand 49 (1952) 409; Pruessmann et al., Magn Reson Med 46 (2001) 638.
    """

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

    @staticmethod
    def _rhs(problem):
        return problem.AHy - problem.prior.grad(backend.zeros_like(problem.AHy))

    @staticmethod
    def _hessian(problem, v):
        g = problem.prior
        return problem.normal(v) + g.grad(v) - g.grad(backend.zeros_like(v))


def cg_step(H, x, r, p, rr):
    """One step of conjugate gradients for H x = b with r = b - H x: returns (x, r, p, ||r||^2)."""
    Hp = H(p)
    alpha = rr / (backend.dot(p, Hp) + _TINY)
    x, r = x + alpha * p, r - alpha * Hp
    new = backend.dot(r, r)
    return x, r, r + (new / (rr + _TINY)) * p, new


def cg_solve(H, b, x, *, iterations: int, tol: float):
    """H x = b from the start x: at most `iterations` steps, until ||r|| <= tol * ||r at the start||."""
    r = b - H(x)
    p, rr = r, backend.dot(r, r)
    target = tol**2 * real(rr)
    for _ in range(iterations):
        if not real(rr) > target:
            break
        x, r, p, rr = cg_step(H, x, r, p, rr)
    return x
