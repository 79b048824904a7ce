"""The primal-dual method, plain and accelerated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pisolve import backend
from pisolve._check import number
from pisolve._types import ArrayLike
from pisolve.backend import real
from pisolve.priors.base import Separable
from pisolve.problem import Problem
from pisolve.solvers.base import Solver, State, half_a_run, relative_change, spins
from pisolve.solvers.splitting import _strength, automatic_rho

_LEAST = 10  # steps between two restarts


@dataclass(frozen=True)
class PDHG(Solver):
    """Primal-dual hybrid gradient with the data term by its gradient: no inner problem, one A^H A a step.

    Plain (Condat-Vu): x <- x - tau (A^H (A x - y) + G^H p);  p <- prox_{sigma f*}(p + sigma G (2 x - x_old)).
    Accelerated (Chen, Lan and Ouyang), m the image that is shown, b = (t + 1)/2, t = 1, 2, ...:
    p <- prox_{sigma f*}(p + sigma G w);  x_old <- x;  x <- x - tau (A^H (A v - y) + G^H p),  v = m + (x - m)/b;
    m <- m + (x - m)/b;  w <- x + t/(t + 1) (x - x_old);  tau = t / (2 L + t r ||G||),  sigma = r / ||G||.
    While t r ||G|| < 2 L this is Nesterov's method on the data term, whose steps grow where the plain ones end at 2/L:
    the objective falls as L/t^2 + r ||G|| / t. r, the balance of the steps, is about the size of p over that of
    x: 5 f(G x) / (||G x|| ||x||) at the first image. Where the momentum points uphill t goes back to 1 and r to
    3 ||p|| / ||x||. A preconditioner P (`solve(..., preconditioner=)`) goes between tau and the bracket, L and ||G||^2
    are then the largest eigenvalues of P A^H A and P G^H G. The residual is the larger relative change of the image
    and p.

    Use:
        for what ADMM takes, where memory or simple steps (unrolling) count.

    Args:
        sigma: dual step; None: as ADMM's penalty, or as above.
        tau: primal step; None: 1 / (L/2 + sigma ||G||^2), the largest that is proven, or as above.
        accelerate: None: without a preconditioner, where sigma and tau are left out and the prior is explicit, convex
            and the same in every iteration. Denoisers of a fixed level want a fixed sigma, which is part of their
            strength.
        restart: of the accelerated form.

    Raises:
        ValueError: a tau above that limit; `accelerate` with a sigma, a tau or a denoiser.

    Reference:
        Chambolle and Pock, J Math Imaging Vis 40 (2011) 120; Condat, J Optim Theory Appl 158 (2013) 460, Thm 3.1; Chen,
        Lan and Ouyang, SIAM J Optim 24 (2014) 1779, algorithm 2; the restart as FISTA's, the balance at a restart as
        in Applegate et al., NeurIPS 2021 (PDLP).

    Example:
        pi.solve(A, y, 0.02 * pi.TV(), pi.PDHG(), max_iter=300)
    """

    learnable = {"sigma": 0.1, "tau": None}
    preconditions = True
    sigma: float | None = None
    tau: float | None = None
    accelerate: bool | None = None
    restart: bool = True

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        split = problem.splitting
        if split.domain is not None and not problem.metric.plain:
            raise ValueError(f"{problem.prior!r} minimises over more than the image, for which the preconditioner is "
                             "made: leave it out")
        x = split.lift(problem.start(x0))
        z = split.G(x)
        sigma, tau = (number(n, getattr(self, n), low=0, strict=True, allow_none=True) for n in ("sigma", "tau"))
        image, zero = split.image(x), backend.zeros_like(z)
        if self._accelerated(problem):
            if sigma or tau or problem.prior.implicit:
                raise ValueError("accelerate=True chooses sigma and tau and is not for denoisers: leave it out")
            return State(image, aux={"x": x, "p": zero, "mean": x, "ahead": x, "t": 1.0, "r": _balance(problem, x, z)})
        sigma = sigma or automatic_rho(problem, z, 10)
        limit = 1 / (problem.step_lipschitz / 2 + sigma * split.norm2(x, problem.metric))
        tau = tau or limit
        if tau > limit * (1 + 1e-6):
            raise ValueError(f"tau {tau:g} is above 1 / (L/2 + sigma ||G||^2) = {limit:g}, where it may diverge: leave "
                             "it out")
        return State(image, aux={"x": x, "p": zero, "tau": tau, "sigma": sigma})

    def _accelerated(self, problem) -> bool:
        if self.accelerate is not None:
            return self.accelerate
        prior, own = problem.prior, self.sigma is not None or self.tau is not None
        return problem.metric.plain and not own and prior.convex and not prior.implicit and not spins(prior)

    def memory(self, k: int) -> int:
        return half_a_run(k)

    def certificate(self, problem: Problem, state: State) -> dict | None:
        if "t" in state.aux:  # tau is that of the theorem
            size = limit = _steps(problem, state)[0]
        else:
            G2 = problem.splitting.norm2(state.aux["x"], problem.metric)
            limit = 1 / (problem.step_lipschitz / 2 + state.aux["sigma"] * G2)
            size = real(state.aux["tau"])
        return {"what": "tau", "size": size, "limit": limit}

    def step(self, problem: Problem, state: State) -> State:
        if "t" in state.aux:
            return self._accelerated_step(problem, state)
        split, (x, p, tau, sigma) = problem.splitting, (state.aux[n] for n in ("x", "p", "tau", "sigma"))
        x_new = x - tau * problem.metric(split.lift(problem.data_grad(split.image(x))) + split.GH(p))
        p_new = _dual_step(split, state, p, 2 * x_new - x, sigma)
        change = max(relative_change(x_new, x), relative_change(p_new, p))
        return state.next(split.image(x_new), change, x=x_new, p=p_new)

    def _accelerated_step(self, problem, state):
        split, (x, p, mean, t, r) = problem.splitting, (state.aux[n] for n in ("x", "p", "mean", "t", "r"))
        tau, sigma = _steps(problem, state)
        share = 2 / (t + 1)
        p_new = _dual_step(split, state, p, state.aux["ahead"], sigma)
        v = mean + share * (x - mean)
        x_new = x + -tau * problem.metric(split.lift(problem.data_grad(split.image(v))) + split.GH(p_new))
        m = mean + share * (x_new - mean)
        move = m - mean
        ahead, t_new = x_new + t / (t + 1) * (x_new - x), t + 1
        if self.restart and t > _LEAST and real(backend.dot(v - m, move)) > 0:
            ahead, x_new, t_new, r = m, m, 1.0, _ratio(p_new, m) * _scale(problem) or r
        image = split.image(m)
        change = max(backend.norm(split.image(move)) / (backend.norm(image) + 1e-30), relative_change(p_new, p))
        return state.next(image, change, x=x_new, p=p_new, mean=m, ahead=ahead, t=t_new, r=r)


def _dual_step(split, state, p, w, sigma):
    """prox_{sigma f*}(p + sigma G w), by Moreau."""
    v = p + sigma * split.G(w)
    return v - sigma * split.f.at(state.k).prox(v / sigma, 1 / sigma)


def _steps(problem, state) -> tuple[float, float]:
    """(tau, sigma) of the accelerated form."""
    G, t, r = problem.splitting.norm2(state.aux["x"], problem.metric) ** 0.5, state.aux["t"], state.aux["r"]
    return t / (2 * problem.step_lipschitz + t * r * G), r / G


def _balance(problem, x, z) -> float:
    """5 f(z) / (||z|| ||x||), some times the size of p over that of x, without what is infinite, as constraints."""
    f = problem.splitting.f
    parts = zip(f.priors, f.pack.parts(z), strict=True) if isinstance(f, Separable) else [(f, z)]
    value = sum(v for v in (_strength(g, part) for g, part in parts) if math.isfinite(v))
    size = real(backend.norm(z)) * real(backend.norm(x))
    return _within(problem, 5 * _scale(problem) * value / size if size > 0 else 0.0)


def _scale(problem) -> float:
    """||x|| / ||P^-1/2 x|| at x = P A^H y, where the second is the size of x as steps along P see it; 1 without P."""
    if problem.metric.plain:
        return 1.0
    x = problem.metric(problem.AHy)
    inner = real(backend.dot(x, problem.AHy))
    return real(backend.norm(x)) / inner**0.5 if inner > 0 else 1.0


def _within(problem, r: float) -> float:
    """A balance within sane limits; a tenth of L where nothing tells it."""
    L = problem.step_lipschitz
    return min(max(r, 1e-6 * L), 1e2 * L) if r > 0 else 0.1 * L


def _ratio(p, x) -> float:
    """3 ||p|| / ||x||; 0 where it is not known."""
    size = real(backend.norm(x))
    return 3 * real(backend.norm(p)) / size if size > 0 else 0.0
