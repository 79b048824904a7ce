"""The primal-dual method: plain, accelerated, and with a line search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from pisolve import backend
from pisolve._check import dtype_name, number
from pisolve._types import ArrayLike
from pisolve.backend import real
from pisolve.priors._dual import squared_norm
from pisolve.priors.base import Separable
from pisolve.problem import Problem
from pisolve.solvers.base import EPS, Solver, State, half_a_run, relative_change, spins
from pisolve.solvers.splitting import _strength, automatic_rho

_LEAST = 10  # steps between two restarts
_GROW, _SHRINK, _DELTA = 1.1, 0.7, 0.99  # of the line search


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
    With a line search (Malitsky and Pock, whose x and y are our p and x): p <- prox_{sigma f*}(p + sigma G x);
    x <- x - tau (A^H (A x - y) + G^H (p + theta (p - p_old))), tau = theta tau_old, sigma = theta sigma_old, with
    theta <= sqrt(1 + theta_old), 1.1 to begin with, and times 0.7 until the move d of the image has
    tau (sigma ||G d||^2 + ||A d||^2) <= 0.99 ||d||^2.

    Use:
        for what ADMM takes, where memory or simple steps (unrolling) count.

    Args:
        sigma: dual step; None: as ADMM's penalty, or as above.
        tau: primal step; None: 1 / (L/2 + sigma ||G||^2), the largest that is proven, or as above.
        accelerate: None: without a preconditioner, where sigma and tau are left out and the prior is explicit, convex
            and the same in every iteration. Denoisers of a fixed level want a fixed sigma, which is part of their
            strength.
        restart: of the accelerated form.
        backtracking: find both steps by a line search, where the norms are pessimistic; sigma / tau stays that of the
            first ones, sigma as ADMM's penalty. A trial costs one A^H A and one G, a step that is taken at once no more
            than without.

    Raises:
        ValueError: a tau above that limit; `accelerate` or `backtracking` with a sigma, a tau or a denoiser, or both.

    Reference:
        Chambolle and Pock, J Math Imaging Vis 40 (2011) 120; Condat, J Optim Theory Appl 158 (2013) 460, Thm 3.1; Chen,
        Lan and Ouyang, SIAM J Optim 24 (2014) 1779, algorithm 2; the restart as FISTA's, the balance at a restart as
        in Applegate et al., NeurIPS 2021 (PDLP); Malitsky and Pock, SIAM J Optim 28 (2018) 411, section 4.

    Example:
        pi.solve(A, y, 0.02 * pi.TV(), pi.PDHG(), max_iter=300)
    """

    learnable: ClassVar[dict[str, Any]] = {"sigma": 0.1, "tau": None}
    preconditions = True
    sigma: float | None = None
    tau: float | None = None
    accelerate: bool | None = None
    restart: bool = True
    backtracking: bool = False

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        split = problem.splitting
        if split.domain is not None and not problem.metric.plain:
            raise ValueError(f"{problem.prior!r} minimises over more than the image, for which the preconditioner is "
                             "made: leave it out")
        x = split.lift(problem.start(x0))
        z = split.G(x)
        sigma, tau = (number(n, getattr(self, n), low=0, strict=True, allow_none=True) for n in ("sigma", "tau"))
        image, zero = split.image(x), backend.zeros_like(z)
        if self.backtracking:
            return self._first_search(problem, x, z)
        if self._accelerated(problem):
            self._refuse("accelerate", problem)
            return State(image, aux={"x": x, "p": zero, "mean": x, "ahead": x, "t": 1.0, "r": _balance(problem, x, z)})
        sigma = sigma or automatic_rho(problem, z, 10)
        limit = 1 / (problem.step_lipschitz / 2 + sigma * split.norm2(x, problem.metric))
        tau = tau or limit
        if tau > limit * (1 + 1e-6):
            raise ValueError(f"tau {tau:g} is above 1 / (L/2 + sigma ||G||^2) = {limit:g}, where it may diverge: leave "
                             "it out")
        return State(image, aux={"x": x, "p": zero, "tau": tau, "sigma": sigma})

    def _refuse(self, word, problem):
        """Refuse what a form that chooses its own steps cannot do."""
        if self.sigma or self.tau or problem.prior.implicit:
            raise ValueError(f"{word}=True chooses sigma and tau and is not for denoisers: leave it out")

    def _accelerated(self, problem) -> bool:
        if self.accelerate is not None:
            return self.accelerate
        prior, own = problem.prior, self.sigma is not None or self.tau is not None
        return problem.metric.plain and not own and prior.convex and not prior.implicit and not spins(prior)

    def memory(self, k: int) -> int:
        return half_a_run(k)

    def certificate(self, problem: Problem, state: State) -> dict[str, Any] | None:
        if self.backtracking:
            return None
        if "t" in state.aux:  # tau is that of the theorem
            size = limit = _steps(problem, state)[0]
        else:
            G2 = problem.splitting.norm2(state.aux["x"], problem.metric)
            limit = 1 / (problem.step_lipschitz / 2 + state.aux["sigma"] * G2)
            size = real(state.aux["tau"])
        return {"what": "tau", "size": size, "limit": limit}

    def step(self, problem: Problem, state: State) -> State:
        if self.backtracking:
            return self._searched(problem, state)
        if "t" in state.aux:
            return self._accelerated_step(problem, state)
        split, (x, p, tau, sigma) = problem.splitting, (state.aux[n] for n in ("x", "p", "tau", "sigma"))
        x_new = x - tau * problem.metric(split.lift(problem.data_grad(split.image(x))) + split.GH(p))
        p_new = _dual_step(split, state, p, split.G(2 * x_new - x), sigma)
        change = max(relative_change(x_new, x), relative_change(p_new, p))
        return state.next(split.image(x_new), change, x=x_new, p=p_new)

    def _accelerated_step(self, problem, state):
        split, (x, p, mean, t, r) = problem.splitting, (state.aux[n] for n in ("x", "p", "mean", "t", "r"))
        tau, sigma = _steps(problem, state)
        share = 2 / (t + 1)
        p_new = _dual_step(split, state, p, split.G(state.aux["ahead"]), sigma)
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

    def _first_search(self, problem, x, z):
        """Steps with tau (L + sigma ||G||^2) = 1, sigma as ADMM's penalty."""
        self._refuse("backtracking", problem)
        if self.accelerate:
            raise ValueError("accelerate and backtracking are two forms of PDHG: leave out one of them")
        split, sigma = problem.splitting, automatic_rho(problem, z)
        tau = 1 / (problem.step_lipschitz + sigma * split.norm2(x, problem.metric))
        p, image = backend.zeros_like(z), split.image(x)
        return State(image, aux={"x": x, "Nx": problem.normal(image), "Gx": z, "p": p, "pull": split.GH(p),
                                 "tau": tau, "sigma": sigma, "theta": 1.0})

    def _searched(self, problem, state):
        names = ("x", "Nx", "Gx", "p", "pull", "tau", "sigma", "theta")
        split, (x, Nx, Gx, p, pull, tau, sigma, theta) = problem.splitting, (state.aux[n] for n in names)
        p_new = _dual_step(split, state, p, Gx, sigma)
        pull_new = split.GH(p_new)
        down, turn = split.lift(Nx - problem.AHy) + pull_new, pull_new - pull
        rounding = 4 * EPS[dtype_name(x)] * real(backend.norm(x))
        L, G2 = problem.lipschitz, split.norm2(x)
        trial = min((1 + theta) ** 0.5, _GROW)
        while True:
            g = down + trial * turn
            x_new = x + -trial * tau * problem.metric(g)
            d, image = x_new - x, split.image(x_new)
            Nnew, Gnew = problem.normal(image), split.G(x_new)
            bend = trial * sigma * squared_norm(Gnew - Gx) + real(backend.dot(split.image(d), Nnew - Nx))
            size2 = squared_norm(d) if problem.metric.plain else -trial * tau * real(backend.dot(d, g))
            noise = rounding * (L + trial * sigma * G2) * real(backend.norm(d))
            if not trial * tau * bend > _DELTA * size2 + trial * tau * noise:  # also NaN: the run's status says so
                break
            trial *= _SHRINK
        if size2 <= trial * tau * noise:  # a move of the size of rounding errors tells no curvature
            trial = min(trial, 1.0)
        change = max(relative_change(x_new, x), relative_change(p_new, p))
        return state.next(image, change, x=x_new, Nx=Nnew, Gx=Gnew, p=p_new, pull=pull_new, tau=trial * tau,
                          sigma=trial * sigma, theta=trial)


def _dual_step(split, state, p, Gw, sigma):
    """prox_{sigma f*}(p + sigma G w), by Moreau."""
    v = p + sigma * Gw
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
