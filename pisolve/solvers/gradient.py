"""Gradient descent and proximal gradient methods."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pisolve import backend
from pisolve._check import dtype_name, number
from pisolve._types import ArrayLike
from pisolve.backend import real
from pisolve.priors import Zero
from pisolve.problem import Problem
from pisolve.solvers.base import EPS, Solver, State, half_a_run, relative_change, walk

_GROW, _SHRINK = 1.1, 0.5  # of the line search: one in seven steps is tried twice


def _step_size(step_size, L, most=2):
    """1 / L, or the user's own step where it is at most `most` / L; most = inf: a line search will look after it."""
    step_size = number("step_size", step_size, low=0, strict=True, allow_none=True)
    if not math.isfinite(L) and most < math.inf:
        raise ValueError("the prior's gradient has no known Lipschitz constant: take FISTA(backtracking=True)")
    if step_size is None:
        return 1 / L
    if step_size > most / L:
        raise ValueError(f"step_size {step_size:g} is above {most}/L = {most / L:g}, where the iteration diverges: "
                         "leave it out for 1/L")
    return step_size


def _follows_the_step(name, f):
    """Refuse a prox whose strength is fixed where the solver's step varies: the fixed point would move with it."""
    inner = [p for p in walk(f) if not p.parts()]  # behind factors and operators
    if f.implicit and any(getattr(p, "fixed_level", 0) is not None for p in inner):
        raise ValueError(f"{name} varies its step, and {f!r} does not follow it: take FISTA() or ADMM()")


def _direction(problem, h, z):
    """The gradient of 1/2 ||A x - y||^2 + h at z, times the preconditioner.

    Its product is added below, z + -step * g: numpy then works in place of it, z - step * g takes one more new array.
    """
    g = problem.data_grad(z)
    return problem.metric(g if isinstance(h, Zero) else g + h.grad(z))


def nesterov_t(t: float) -> float:
    """t_{k+1} of Nesterov's sequence."""
    return (1 + (1 + 4 * t * t) ** 0.5) / 2


def extrapolate(x, move, z, t: float, restart: bool):
    """Nesterov's next point from the image x that came out of z, with move = x - x_old: returns (z, t).

    `restart`: back to z = x, t = 1 where the momentum points uphill.
    """
    if restart and real(backend.dot(z - x, move)) > 0:
        return x, 1.0
    t_new = nesterov_t(t)
    return (x + (t - 1) / t_new * move if t > 1 else x), t_new


def _certificate(state, limit) -> dict:
    return {"what": "step", "size": real(state.aux["step"]), "limit": limit}


@dataclass(frozen=True)
class GradientDescent(Solver):
    """x <- x - step (A^H (A x - y) + grad g(x)), for priors with a gradient.

    Use:
        for comparison and in unrolled networks; else CG, or FISTA, which is faster.

    Args:
        step_size: at most 2/L; None: 1/L with L = ||A||^2 + Lip(grad g).

    Reference:
        Landweber, Amer J Math 73 (1951) 615.

    Example:
        pi.solve(A, y, 0.01 * pi.Tikhonov(), pi.GradientDescent())
    """

    learnable: ClassVar[dict[str, Any]] = {"step": 1.0}
    steps = preconditions = True
    step_size: float | None = None

    def gradient_weight(self, values: ArrayLike) -> Any:
        return 1 / values["step"]

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        if not problem.prior.has_grad:
            raise ValueError(f"GradientDescent needs a prior with a gradient, {problem.prior!r} has none: "
                             f"{problem.remedy}")
        step = _step_size(self.step_size, problem.smoothness(problem.prior))
        return State(problem.start(x0), aux={"step": step})

    def certificate(self, problem: Problem, state: State) -> dict[str, Any] | None:
        return _certificate(state, 2 / problem.smoothness(problem.prior))

    def step(self, problem: Problem, state: State) -> State:
        x = state.x + -state.aux["step"] * _direction(problem, problem.prior, state.x)
        return state.next(x, relative_change(x, state.x))


@dataclass(frozen=True)
class FISTA(Solver):
    """Proximal gradient with Nesterov's momentum, x <- prox_{step g}(z - step grad F(z)).

    A smooth part of a sum (Tikhonov, RED) goes into F by its gradient. `momentum=False` is ISTA, proximal gradient.

    Use:
        for priors with a prox in closed form; the automatic choice where it is not convex, for cycle spinning, which
        makes it swing less than POGM.

    Args:
        step_size: at most 2/L; None: 1/L. With `backtracking` it is the first step, of any size.
        momentum: extrapolate, z = x + (t_k - 1)/t_{k+1} (x - x_old).
        restart: forget the momentum where it points uphill (O'Donoghue and Candes, Found Comput Math 15 (2015) 715).
        backtracking: each step is tried 10 % longer than the last one and halved until
            <x - z, grad F(x) - grad F(z)> <= ||x - z||^2 / step, with twice the part of a smooth prior that is not
            quadratic; t follows the change (Scheinberg, Goldfarb and Bai, Found Comput Math 14 (2014) 389). For a
            Lipschitz constant that is pessimistic, or unknown (math.inf). A trial costs one A^H A, a step that is
            taken at once no more than without.

    Raises:
        ValueError: a prior without a prox; `backtracking` with a denoiser of fixed level, which knows no step.

    Reference:
        Beck and Teboulle, SIAM J Imaging Sci 2 (2009) 183; the test by gradients, whose rounding errors stay small
        where differences of F cancel: Becker, Candes and Grant, Math Prog Comp 3 (2011) 165, section 5.3.

    Example:
        pi.solve(A, y, 0.02 * pi.Wavelet(), pi.FISTA())
    """

    learnable: ClassVar[dict[str, Any]] = {"step": 1.0}
    steps = preconditions = True
    step_size: float | None = None
    momentum: bool = True
    restart: bool = True
    backtracking: bool = False

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        h, f = problem.forms
        x = problem.start(x0)
        if not self.backtracking:
            step = _step_size(self.step_size, problem.smoothness(h))
            return State(x, aux={"z": x, "t": 1.0, "step": step})
        if not problem.metric.plain:
            raise ValueError("FISTA(backtracking=True) takes no preconditioner: leave out one of them")
        _follows_the_step("FISTA(backtracking=True)", f)
        L = problem.lipschitz + (h.lipschitz if math.isfinite(h.lipschitz) else 0)
        Nx = problem.normal(x)
        return State(x, aux={"old": x, "Nx": Nx, "Nold": Nx, "t": 1.0, "step": _step_size(self.step_size, L, math.inf)})

    def certificate(self, problem: Problem, state: State) -> dict[str, Any] | None:
        if self.backtracking:
            return None
        return _certificate(state, (1 if self.momentum else 2) / problem.smoothness(problem.forms[0]))

    def memory(self, k: int) -> int:
        return half_a_run(k) if self.momentum else super().memory(k)

    def calm(self) -> Solver:
        return replace(self, momentum=False)

    def step(self, problem: Problem, state: State) -> State:
        if self.backtracking:
            return self._searched(problem, state)
        (h, f), (z, t, step) = problem.forms, (state.aux[n] for n in ("z", "t", "step"))
        steps = step if isinstance(f, Zero) else step * problem.metric.steps(z)
        x = f.at(state.k).prox(z + -step * _direction(problem, h, z), steps)  # (4.1)
        move = x - state.x
        z, t = extrapolate(x, move, z, t, self.restart) if self.momentum else (x, 1.0)  # (4.2), (4.3)
        return state.next(x, backend.norm(move) / (backend.norm(x) + 1e-30), z=z, t=t)

    def _searched(self, problem, state):
        """A step with line search. A^H A z is put together from A^H A x of the last two images."""
        (h, f), x = problem.forms, state.x
        old, Nx, Nold, t, last = (state.aux[n] for n in ("old", "Nx", "Nold", "t", "step"))
        step, rounding = _GROW * last, 4 * EPS[dtype_name(x)] * problem.lipschitz
        while True:
            t_new = nesterov_t((last / step) ** 0.5 * t) if self.momentum else 1.0
            beta = (t - 1) / t_new
            z, Nz = x + beta * (x - old), Nx + beta * (Nx - Nold)
            grad_h = h.grad(z)
            new = f.at(state.k).prox(z + -step * (Nz - problem.AHy + grad_h), step)
            Nnew, d = problem.normal(new), new - z
            bend = real(backend.dot(d, Nnew - Nz))
            if not isinstance(h, Zero):
                bend += (1 if h.quadratic else 2) * real(backend.dot(d, h.grad(new) - grad_h))
            size = real(backend.norm(d))
            noise = rounding * size * real(backend.norm(z))
            if not bend > size**2 / step + noise:  # also NaN: the run's status says so
                break
            step *= _SHRINK
        if size**2 <= step * noise:  # a move of the size of rounding errors tells no curvature
            step = min(step, last)
        move = new - x
        if self.restart and real(backend.dot(z - new, move)) > 0:
            t_new = 1.0
        residual = backend.norm(move) / (backend.norm(new) + 1e-30)
        return state.next(new, residual, old=x, Nx=Nnew, Nold=Nx, t=t_new, step=step)


@dataclass(frozen=True)
class POGM(Solver):
    """Proximal optimised gradient method: as FISTA, with half its bound on the objective after the same iterations.

    w_k = x_{k-1} - grad F(x_{k-1}) / L,
    z_k = w_k + (t_{k-1} - 1)/t_k (w_k - y_{k-1}) + t_{k-1}/t_k (w_k - x_{k-1}),
    x_k = prox_{gamma_k f}(z_k),  y_k = w_k + (x_k - z_k) / (L gamma_k),  gamma_k = (2 t_{k-1} + t_k - 1) / (L t_k),
    t as in FISTA: the last iteration's own t, for which its number had to be known, is left out. y, the proximal
    gradient step of F + f, stands for two of the paper's sequences. Takes what FISTA takes but for denoisers of fixed
    level, since gamma varies.

    Use:
        for convex priors with a prox in closed form, and such a one in a sum with RED: the automatic choice there, two
        thirds of FISTA's iterations.

    Args:
        step_size: 1/L at most, which None is.
        restart: forget the momentum where y_k - y_{k-1} points up the composite gradient, L (x_{k-1} - y_k).

    Raises:
        ValueError: a prior without a prox, or a denoiser whose strength does not follow the step.

    Reference:
        Taylor, Hendrickx and Glineur, SIAM J Optim 27 (2017) 1283; Kim and Fessler, J Optim Theory Appl 178 (2018) 240
        (the restart; the decrease of gamma measured no gain on wavelet and Tikhonov problems and is left out).

    Example:
        pi.solve(A, y, 0.02 * pi.Wavelet(), pi.POGM())
    """

    steps = True
    step_size: float | None = None
    restart: bool = True

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        h, f = problem.forms
        _follows_the_step("POGM", f)
        step = _step_size(self.step_size, problem.lipschitz + h.lipschitz, most=1)
        x = problem.start(x0)
        return State(x, aux={"y": x, "t": 1.0, "step": step})

    def certificate(self, problem: Problem, state: State) -> dict[str, Any] | None:
        return _certificate(state, 1 / (problem.lipschitz + problem.forms[0].lipschitz))

    def memory(self, k: int) -> int:
        return half_a_run(k)

    def calm(self) -> Solver:
        return FISTA(step_size=self.step_size, momentum=False)

    def step(self, problem: Problem, state: State) -> State:
        (h, f), x = problem.forms, state.x
        y, t, step = (state.aux[n] for n in ("y", "t", "step"))
        t_new = nesterov_t(t)
        w = x + -step * _direction(problem, h, x)
        z = w + t / t_new * (w - x) + (t - 1) / t_new * (w - y)
        ratio = (2 * t + t_new - 1) / t_new  # gamma over the step
        new = f.at(state.k).prox(z, ratio * step)
        y_new = w + 1 / ratio * (new - z)
        if self.restart and real(backend.dot(x - y_new, y_new - y)) > 0:
            t_new = 1.0
        return state.next(new, relative_change(new, x), y=y_new, t=t_new)
