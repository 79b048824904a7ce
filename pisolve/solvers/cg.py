"""Conjugate gradients, for quadratic problems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pisolve import backend
from pisolve._types import ArrayLike
from pisolve.backend import real
from pisolve.linops.solve import cg_step
from pisolve.priors import Zero
from pisolve.problem import Problem
from pisolve.solvers.base import Solver, State, renewed

_TINY = 1e-37


@dataclass(frozen=True)
class CG(Solver):
    """Conjugate gradients on the normal equations (A^H A + H_g) x = A^H y - grad g(0), for quadratic priors.

    The residual is ||b - H x|| / ||b||. Starts from zeros. With `solve(..., preconditioner=P)`, P near H^-1, Hermitian
    and positive definite: a diagonal (`sigpy.linop.Multiply`), a circulant (F^H D F), or a function of images; the
    directions are then conjugate in H and built from P r, the minimum is the same.

    Use:
        for every quadratic prior: the automatic choice, and the cheapest.

    Reference:
        Hestenes and Stiefel, J Res Nat Bur Stand 49 (1952) 409; Pruessmann et al., Magn Reson Med 46 (2001) 638.

    Example:
        pi.solve(A, y, 0.01 * pi.Tikhonov(), pi.CG(), max_iter=30)
    """

    averages = False
    preconditions = True

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        if not problem.prior.quadratic:
            raise ValueError(f"CG needs a quadratic prior, and {problem.prior!r} is not one: {problem.remedy}")
        x = problem.start(x0, zero=True)
        b = self._rhs(problem)
        r = b if x0 is None else b - self._hessian(problem, x)
        aux = {"r": r, "p": r, "rr": backend.dot(r, r), "size": backend.norm(b)}
        if not problem.metric.plain:
            z = problem.metric(r)
            aux |= {"p": z, "rz": _positive(r, z)}
        if problem.at_zero is not None:
            start = 0 if x0 is None else 0.5 * (backend.dot(x, b) + backend.dot(x, r))
            aux["value"] = problem.at_zero - start + 0 * aux["rr"]
        return State(x, aux=aux)

    def step(self, problem: Problem, state: State) -> State:
        if not problem.metric.plain:
            return self._preconditioned(problem, state)
        r, p, old, size = (state.aux[n] for n in ("r", "p", "rr", "size"))
        x, r, p, rr, alpha = cg_step(lambda v: self._hessian(problem, v), state.x, r, p, old)
        return state.next(x, rr**0.5 / (size + _TINY), r=r, p=p, rr=rr, **_lower(state, alpha * old))

    def _preconditioned(self, problem, state):
        r, p, rz, size = (state.aux[n] for n in ("r", "p", "rz", "size"))
        Hp = self._hessian(problem, p)
        alpha = rz / (backend.dot(p, Hp) + _TINY)
        x, r = state.x + alpha * p, r + -alpha * Hp
        z = problem.metric(r)
        new, rr = _positive(r, z), backend.dot(r, r)
        return state.next(x, rr**0.5 / (size + _TINY), r=r, p=z + (new / (rz + _TINY)) * p, rr=rr, rz=new,
                          **_lower(state, alpha * rz))

    def memory(self, k: int) -> int:
        return 20

    def renewed(self, problem: Problem, state: State) -> State | None:
        return renewed(self, problem, state, lambda aux: aux["rr"] ** 0.5 / (aux["size"] + _TINY))

    def objective(self, problem: Problem, state: State) -> dict[str, Any]:
        """A step of length alpha lowers it by 1/2 alpha ||r||^2: no pass over the image."""
        return {"objective": real(state.aux["value"])} if "value" in state.aux else {}

    @staticmethod
    def _rhs(problem):
        return problem.AHy if problem.slope is None else problem.AHy - problem.slope

    @staticmethod
    def _hessian(problem, v):
        if isinstance(problem.prior, Zero):
            return problem.normal(v)
        Hv = problem.normal(v) + problem.prior.grad(v)
        return Hv if problem.slope is None else Hv - problem.slope


def _lower(state, twice) -> dict:
    """The objective after a step that lowers it by half of `twice`; nothing where it is not known."""
    return {"value": state.aux["value"] - 0.5 * twice} if "value" in state.aux else {}


def _positive(r, z):
    """Re <r, P r>, which a positive definite P keeps above 0."""
    rz = backend.dot(r, z)
    if backend.real(rz) < 0:
        raise ValueError(f"preconditioner is not positive definite: Re <r, P r> = {backend.real(rz):.3g}: leave it out")
    return rz
