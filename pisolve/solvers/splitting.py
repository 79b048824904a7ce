"""Solvers that split g = f o G: ADMM, half-quadratic splitting and the primal-dual method."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pisolve import backend
from pisolve._check import integer, number
from pisolve.linops import Linop, apply, opnorm
from pisolve.priors.base import Composed, Sum, real, squared_norm
from pisolve.solvers.base import Solver, State, relative_change
from pisolve.solvers.cg import cg_solve


class _Split:
    """f, G and what goes with them, with G = None standing for the identity."""

    def __init__(self, problem):
        self.f, self.linop = problem.prior.split(problem.ishape)
        if not self.f.has_prox and not self.f.slow_prox:
            raise ValueError(f"{problem.prior!r} has no prox to split off: take CG() or GradientDescent()")

    def G(self, x):
        return x if self.linop is None else apply(self.linop, x)

    def GH(self, z):
        return z if self.linop is None else apply(self.linop.H, z)

    def GN(self, x):
        return x if self.linop is None else apply(self.linop.N, x)

    def norm2(self, x):
        """A bound of ||G||^2."""
        if self.linop is None:
            return 1.0
        return opnorm(self.linop, like=None if isinstance(self.linop, Linop) or hasattr(x, "detach") else x) ** 2


def automatic_rho(problem, split, x) -> float:
    """A penalty in the units of the problem, from the first image x.

    For an explicit f, rho = 10 f(G x) / ||G x||^2: the threshold of the prox then is a tenth of the energy-weighted
    mean magnitude of G x (the factor was the fastest of 1, 3, 10, 30, 100 for wavelet and TV at two lambdas on a real
    scan). A denoiser with a fixed level sigma stands for a prior of strength rho sigma^2, which should be about the
    variance of the noise in the data: rho = c (0.01 max|A^H y / c| / sigma)^2, at most c, with the curvature c of the
    data term, 1 for normalised maps: as in DPIR but for the constant. Other implicit priors: rho = L.
    """
    L, c = problem.lipschitz, problem.curvature
    if problem.prior.implicit:
        sigma = _level(problem.prior)
        return L if sigma is None else c * min((0.01 * real(abs(problem.AHy).max()) / c / sigma) ** 2, 1.0) or L
    v = split.G(x)
    energy = squared_norm(v)
    rho = 10 * split.f.value(v) / energy if energy > 0 else L
    return min(max(rho, 1e-4 * L), 1e4 * L)


def _level(prior):
    """The fixed noise level of a denoiser in the prior, or None."""
    if isinstance(prior, Sum):
        return next((s for s in map(_level, prior.priors) if s is not None), None)
    return _level(prior.f) if isinstance(prior, Composed) else getattr(prior, "fixed_level", None)


def _data_step(problem, split, rho, v, x, inner):
    """argmin_x 1/2 ||A x - y||^2 + rho/2 ||G x - v||^2 by conjugate gradients from the last x."""
    b = problem.AHy + rho * split.GH(v)
    return cg_solve(lambda p: problem.normal(p) + rho * split.GN(p), b, x, iterations=inner, tol=0.1)


@dataclass(frozen=True)
class ADMM(Solver):
    """Alternating direction method of multipliers on min 1/2 ||A x - y||^2 + f(z), z = G x.

    x <- argmin 1/2 ||A x - y||^2 + rho/2 ||G x - z + u||^2;  z <- prox_{f/rho}(G x + u);  u <- u + G x - z.
    The residual is the larger of ||G x - z|| / max(||G x||, ||z||) and ||z - z_old|| / ||z||.

    Args:
        rho: penalty; None: from the problem, see `automatic_rho`.
        inner: most conjugate gradient steps of the x-update, warm-started.
        relaxation: G x is replaced by a G x + (1 - a) z_old in the updates of z and u, 0 < a < 2; same fixed points.

    Reference:
        Boyd et al., Found Trends Mach Learn 3 (2011) 1, sections 3.1.1 and 3.4.1; Venkatakrishnan et al. (2013), PnP.
    """

    rho: float | None = None
    inner: int = 10
    relaxation: float = 1.0

    def init(self, problem, x0=None):
        integer("inner", self.inner, low=1)
        number("relaxation", self.relaxation, low=0, high=2, strict=True)
        split, x = _Split(problem), problem.start(x0)
        rho = number("rho", self.rho, low=0, strict=True, allow_none=True) or automatic_rho(problem, split, x)
        z = split.G(x)
        return State(x, aux={"x": x, "z": z, "u": backend.zeros_like(z), "rho": rho})

    def step(self, problem, state):
        split, (x, z, u, rho) = _Split(problem), (state.aux[n] for n in ("x", "z", "u", "rho"))
        x = _data_step(problem, split, rho, z - u, x, self.inner)
        Gx = split.G(x)
        relaxed = Gx if self.relaxation == 1 else self.relaxation * Gx + (1 - self.relaxation) * z
        z_new = split.f.at(state.k).prox(relaxed + u, 1 / rho)
        u = u + relaxed - z_new
        primal = backend.norm(Gx - z_new) / (max(backend.norm(Gx), backend.norm(z_new)) + 1e-30)
        dual = backend.norm(z_new - z) / (max(backend.norm(u), backend.norm(z_new)) + 1e-30)
        image = z_new if split.linop is None else x
        return state.next(image, max(primal, dual), x=x, z=z_new, u=u)


@dataclass(frozen=True)
class HQS(Solver):
    """Half-quadratic splitting with continuation.

    x <- argmin 1/2 ||A x - y||^2 + rho_k/2 ||G x - z||^2;  z <- prox_{f/rho_k}(G x).
    rho_k rises geometrically to `rho` over `iterations` steps and stays there. A denoiser's level falls with it,
    sigma_k = sigma sqrt(rho / rho_k), down to its own sigma (DPIR); an explicit f is penalised with rho, and the
    minimum of the penalised problem is near the true one as far as rho is large. The residual is the relative change
    of z, and inf until the schedule is through.

    Args:
        rho: last penalty; None: a fifth of ADMM's for a denoiser, 10 times ADMM's for an explicit prior.
        ratio: last over first penalty.
        iterations: length of the schedule.
        inner: most conjugate gradient steps of the x-update, warm-started.

    Reference:
        Geman and Yang, IEEE Trans Image Process 4 (1995) 932; Zhang et al., IEEE TPAMI 44 (2022) 6360.
    """

    rho: float | None = None
    ratio: float = 100.0
    iterations: int = 10
    inner: int = 10

    def init(self, problem, x0=None):
        number("ratio", self.ratio, low=1)
        integer("iterations", self.iterations, low=1)
        integer("inner", self.inner, low=1)
        split, x = _Split(problem), problem.start(x0)
        rho = number("rho", self.rho, low=0, strict=True, allow_none=True)
        rho = rho or automatic_rho(problem, split, x) * (0.2 if problem.prior.implicit else 10)
        return State(x, aux={"x": x, "z": split.G(x), "rho": rho})

    def step(self, problem, state):
        split, (x, z, rho) = _Split(problem), (state.aux[n] for n in ("x", "z", "rho"))
        left = max(1 - state.k / max(self.iterations - 1, 1), 0)
        rho_k = rho * self.ratio**-left
        x = _data_step(problem, split, rho_k, z, x, self.inner)
        z_new = split.f.coupled(1 / rho).at(state.k).prox(split.G(x), 1 / rho_k)
        residual = relative_change(z_new, z) if left == 0 else math.inf
        return state.next(z_new if split.linop is None else x, residual, x=x, z=z_new)


@dataclass(frozen=True)
class PDHG(Solver):
    """Primal-dual hybrid gradient with the data term by its gradient (Condat-Vu): no inner problem, one A^H A a step.

    x <- x - tau (A^H (A x - y) + G^H p);  p <- prox_{sigma f*}(p + sigma G (2 x - x_old)).
    The residual is the larger relative change of x and p.

    Args:
        sigma: dual step; None: as ADMM's penalty.
        tau: primal step; None: 1 / (L/2 + sigma ||G||^2), the largest that is proven.

    Raises:
        ValueError: a tau above that limit.

    Reference:
        Chambolle and Pock, J Math Imaging Vis 40 (2011) 120; Condat, J Optim Theory Appl 158 (2013) 460, Thm 3.1.
    """

    sigma: float | None = None
    tau: float | None = None

    def init(self, problem, x0=None):
        split, x = _Split(problem), problem.start(x0)
        sigma = number("sigma", self.sigma, low=0, strict=True, allow_none=True) or automatic_rho(problem, split, x)
        limit = 1 / (problem.lipschitz / 2 + sigma * split.norm2(x))
        tau = number("tau", self.tau, low=0, strict=True, allow_none=True) or limit
        if tau > limit * (1 + 1e-6):
            raise ValueError(f"tau {tau:g} is above 1 / (L/2 + sigma ||G||^2) = {limit:g}, where it may diverge")
        return State(x, aux={"p": backend.zeros_like(split.G(x)), "tau": tau, "sigma": sigma})

    def step(self, problem, state):
        split, (p, tau, sigma) = _Split(problem), (state.aux[n] for n in ("p", "tau", "sigma"))
        x = state.x - tau * (problem.data_grad(state.x) + split.GH(p))
        v = p + sigma * split.G(2 * x - state.x)
        p_new = v - sigma * split.f.at(state.k).prox(v / sigma, 1 / sigma)  # Moreau
        change = max(relative_change(x, state.x), relative_change(p_new, p))
        return state.next(x, change, p=p_new)
