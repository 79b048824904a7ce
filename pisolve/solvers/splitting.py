"""Solvers that split g = f o G by a penalty: ADMM and half-quadratic splitting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from pisolve import backend
from pisolve._check import integer, number
from pisolve._types import ArrayLike
from pisolve.priors._dual import squared_norm
from pisolve.priors.base import Separable
from pisolve.problem import Problem
from pisolve.solvers._multiplier import relaxed, updated
from pisolve.solvers.base import Solver, State, relative_change, walk


def automatic_rho(problem, z, factor: float = 3.0) -> float:
    """A penalty in the units of the problem, from the first z = G x.

    For an explicit f, rho = factor f(G x) / ||G x||^2: the threshold of the prox then is that part of the
    energy-weighted mean magnitude of G x. With 3 ADMM takes 0.4 to 0.9 of the steps that it takes with 10 to 1e-3 of
    the minimum, for TV in two and three dimensions and TGV at several strengths. Constraints in a sum do not count:
    with them rho was L, and ADMM stood still. A denoiser with a fixed level sigma
    stands for a prior of strength rho sigma^2, which should be about the variance of the noise in the data:
    rho = c (0.01 max|A^H y / c| / sigma)^2, at most c, with the curvature c of the data term, 1 for normalised maps
    (`Problem.units`): as in DPIR but for the constant. Other implicit priors: rho = L.
    """
    L = problem.lipschitz
    if problem.prior.implicit:
        sigma = _level(problem.prior)
        if sigma is None:
            return L
        c, most = problem.units
        return c * min((0.01 * most / sigma) ** 2, 1.0) or L
    value, energy = _strength_and_energy(problem.splitting.f, z)
    rho = factor * value / energy if 0 < value < math.inf and energy > 0 else L
    return min(max(rho, 1e-4 * L), 1e4 * L)


def _strength_and_energy(f, z) -> tuple[float, float]:
    """f(z) and ||z||^2, in a sum without the parts that say nothing of a strength, 0 or infinite, as constraints."""
    if not isinstance(f, Separable):
        return _strength(f, z), squared_norm(z)
    pairs = list(zip(f.priors, f.pack.parts(z), strict=True))
    values = [_strength(g, part) for g, part in pairs]
    silent = [squared_norm(part) for v, (_, part) in zip(values, pairs) if not 0 < v < math.inf]
    return sum(v for v in values if 0 < v < math.inf), squared_norm(z) - sum(silent)


def _strength(f, z) -> float:
    """f(z); of a quadratic without its reference, which says nothing of the size of z."""
    if isinstance(f, Separable):
        return sum(_strength(g, part) for g, part in zip(f.priors, f.pack.parts(z), strict=True))
    return 0.5 * f.lipschitz * squared_norm(z) if f.quadratic else f.value(z)


def _level(prior):
    """The fixed noise level of a denoiser in the prior, or None."""
    return next((s for p in walk(prior) if (s := getattr(p, "fixed_level", None)) is not None), None)


def _data_step(problem, rho, v, w, inner):
    """argmin_w 1/2 ||A x - y||^2 + rho/2 ||G w - v||^2, x the image in w, by conjugate gradients from the last w."""
    split = problem.splitting
    if split.linop is None:
        return problem.data_prox(v, rho, w, inner)
    b = split.lift(problem.AHy) + rho * split.GH(v)
    return problem.inner(lambda p: split.lift(problem.normal(split.image(p))) + rho * split.GN(p), b, w, inner)


def _image(split, w, z):
    """What a splitting solver shows: z where it is an image, which then obeys the prior exactly."""
    return z if split.linop is None else split.image(w)


@dataclass(frozen=True)
class ADMM(Solver):
    """Alternating direction method of multipliers on min 1/2 ||A x - y||^2 + f(z), z = G x.

    x <- argmin 1/2 ||A x - y||^2 + rho/2 ||G x - z + u||^2;  z <- prox_{f/rho}(G x + u);  u <- u + G x - z.
    The residual is the larger of ||G x - z|| / max(||G x||, ||z||) and ||z - z_old|| / max(||u||, ||z||).

    Use:
        for everything that splits: TV, TGV, sums, L1 behind any operator, denoisers. The automatic choice there. With
        an explicit prior rho changes the speed only, with a denoiser of fixed sigma the image.

    Args:
        rho: penalty; None: from the problem, see `automatic_rho`.
        inner: most conjugate gradient steps of the x-update, warm-started.
        relaxation: G x is replaced by a G x + (1 - a) z_old in the updates of z and u, 0 < a < 2; same fixed points.
            None: 1.6 for explicit priors, which takes about 40 % fewer iterations, and 1 for denoisers.
        balance: in the first 50 iterations rho is doubled or halved where one residual is 10 times the other. Not for
            denoisers with a fixed level, whose strength depends on rho.

    Reference:
        Boyd et al., Found Trends Mach Learn 3 (2011) 1, sections 3.1.1, 3.4.1 and 3.4.3; Venkatakrishnan et al. (2013),
        PnP.

    Example:
        pi.solve(A, y, 0.02 * pi.TV(), pi.ADMM(rho=0.5, inner=5))
    """

    learnable: ClassVar[dict[str, Any]] = {"rho": 0.05, "eta": 1.0}
    rho: float | None = None
    inner: int = 10
    relaxation: float | None = None
    balance: bool = False

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        integer("inner", self.inner, low=1)
        number("relaxation", self.relaxation, low=0, high=2, strict=True, allow_none=True)
        if self.balance and problem.prior.implicit:
            raise ValueError("balance changes rho, which is part of an implicit prior's strength: leave it out")
        x = problem.splitting.lift(problem.start(x0))
        z = problem.splitting.G(x)
        rho = number("rho", self.rho, low=0, strict=True, allow_none=True) or automatic_rho(problem, z)
        return State(problem.splitting.image(x), aux={"x": x, "z": z, "u": backend.zeros_like(z), "rho": rho})

    def step(self, problem: Problem, state: State) -> State:
        split, (x, z, u, rho) = problem.splitting, (state.aux[n] for n in ("x", "z", "u", "rho"))
        x = _data_step(problem, rho, z - u, x, self.inner)
        Gx = split.G(x)
        a = self.relaxation or (1.0 if problem.prior.implicit else 1.6)
        v = relaxed(u, Gx, z, a)
        z_new = split.f.at(state.k).prox(v, 1 / rho)
        u, primal, dual = updated(v, Gx, z, z_new)
        if self.balance and state.k < 50:  # (3.13)
            factor = 2.0 if primal > 10 * dual else 0.5 if dual > 10 * primal else 1.0
            rho, u = rho * factor, u / factor
        return state.next(_image(split, x, z_new), max(primal, dual), x=x, z=z_new, u=u, rho=rho)


@dataclass(frozen=True)
class HQS(Solver):
    """Half-quadratic splitting with continuation.

    x <- argmin 1/2 ||A x - y||^2 + rho_k/2 ||G x - z||^2;  z <- prox_{f/rho_k}(G x).
    rho_k rises geometrically to `rho` over `iterations` steps and stays there. A denoiser's level falls meanwhile. In
    step k = 0, 1, ... it is

        sigma_k = sigma ratio^(w / 2),  rho_k = rho ratio^(-coupling w),  w = max(1 - k / (iterations - 1), 0)

    so the first level is sigma sqrt(ratio), and from step `iterations` - 1 on it is sigma. `coupling` 1 is DPIR's way;
    0 keeps rho, which was better by up to 4 dB at 8x, where DPIR's first steps trust the data alone. `ratio` 1 denoises
    at sigma throughout. An explicit f is penalised with rho, and the minimum of the penalised problem is near the true
    one as far as rho is large. The residual is the relative change of z, and inf until the schedule is through; the
    history's `moved` tells meanwhile how far each step went.

    Use:
        for denoisers with a falling level, in few iterations. With explicit priors prefer ADMM.

    Args:
        rho: last penalty; None: a fifth of ADMM's for a denoiser, 10 times ADMM's for an explicit prior.
        ratio: last over first penalty; for a denoiser, first over last sigma squared.
        coupling: of the penalty to a denoiser's level, rho_k = rho (sigma / sigma_k)^(2 coupling); 1 for explicit f.
        iterations: length of the schedule.
        inner: most conjugate gradient steps of the x-update, warm-started.

    Reference:
        Geman and Yang, IEEE Trans Image Process 4 (1995) 932; Zhang et al., IEEE TPAMI 44 (2022) 6360.

    Example:
        pi.solve(A, y, pi.PnP(D, sigma=0.02), pi.HQS(rho=0.2, ratio=100, iterations=40, coupling=0), max_iter=40)
    """

    penalised = True
    learnable: ClassVar[dict[str, Any]] = {"rho": 0.05}
    rho: float | None = None
    ratio: float = 100.0
    iterations: int = 10
    inner: int = 10
    coupling: float = 1.0

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        number("ratio", self.ratio, low=1)
        number("coupling", self.coupling, low=0, high=1)
        if self.coupling != 1 and not problem.prior.implicit:
            raise ValueError(f"coupling={self.coupling:g} is for denoisers, whose level falls by itself; "
                             f"{problem.prior!r} needs 1")
        integer("iterations", self.iterations, low=1)
        integer("inner", self.inner, low=1)
        x = problem.splitting.lift(problem.start(x0))
        z = problem.splitting.G(x)
        rho = number("rho", self.rho, low=0, strict=True, allow_none=True)
        rho = rho or automatic_rho(problem, z, 10) * (0.2 if problem.prior.implicit else 10)
        return State(problem.splitting.image(x), aux={"x": x, "z": z, "rho": rho})

    def step(self, problem: Problem, state: State) -> State:
        split, (x, z, rho) = problem.splitting, (state.aux[n] for n in ("x", "z", "rho"))
        left = max(1 - state.k / (self.iterations - 1), 0) if self.iterations > 1 else 0
        x = _data_step(problem, rho * self.ratio ** (-left * self.coupling), z, x, self.inner)
        z_new = split.f.coupled(1 / rho).at(state.k).prox(split.G(x), self.ratio**left / rho)
        residual = relative_change(z_new, z) if left == 0 else math.inf
        return state.next(_image(split, x, z_new), residual, x=x, z=z_new)
