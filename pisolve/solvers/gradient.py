"""Gradient descent and proximal gradient methods."""

from __future__ import annotations

from dataclasses import dataclass

from pisolve import backend
from pisolve._check import number
from pisolve.priors.base import real
from pisolve.solvers.base import Solver, State, relative_change


def _step_size(step_size, L):
    """1 / L, or the user's own step where it is below the limit 2 / L of every gradient method."""
    step_size = number("step_size", step_size, low=0, strict=True, allow_none=True)
    if step_size is None:
        return 1 / L
    if step_size > 2 / L:
        raise ValueError(f"step_size {step_size:g} is above 2/L = {2 / L:g}, where the iteration diverges: "
                         "leave it out for 1/L")
    return step_size


@dataclass(frozen=True)
class GradientDescent(Solver):
    """x <- x - step (A^H (A x - y) + grad g(x)), for priors with a gradient.

    Args:
        step_size: at most 2/L; None: 1/L with L = ||A||^2 + Lip(grad g).
    """

    step_size: float | None = None

    def init(self, problem, x0=None):
        if not problem.prior.has_grad:
            raise ValueError(f"GradientDescent needs a prior with a gradient, {problem.prior!r} has none: take FISTA()")
        step = _step_size(self.step_size, problem.lipschitz + problem.prior.lipschitz)
        return State(problem.start(x0), aux={"step": step})

    def step(self, problem, state):
        x = state.x - state.aux["step"] * (problem.data_grad(state.x) + problem.prior.grad(state.x))
        return state.next(x, relative_change(x, state.x))


@dataclass(frozen=True)
class FISTA(Solver):
    """Proximal gradient with Nesterov's momentum, x <- prox_{step g}(z - step grad F(z)).

    A smooth part of a sum (Tikhonov, RED) goes into F by its gradient. `momentum=False` is ISTA, proximal gradient.

    Args:
        step_size: at most 2/L; None: 1/L.
        momentum: extrapolate, z = x + (t_k - 1)/t_{k+1} (x - x_old).
        restart: forget the momentum where it points uphill (O'Donoghue and Candes, Found Comput Math 15 (2015) 715).

    Reference:
        Beck and Teboulle, SIAM J Imaging Sci 2 (2009) 183.
    """

    step_size: float | None = None
    momentum: bool = True
    restart: bool = True

    def init(self, problem, x0=None):
        smooth, _ = problem.forms
        step = _step_size(self.step_size, problem.lipschitz + smooth.lipschitz)
        x = problem.start(x0)
        return State(x, aux={"z": x, "t": 1.0, "step": step})

    def step(self, problem, state):
        (h, f), (z, t, step) = problem.forms, (state.aux[n] for n in ("z", "t", "step"))
        x = f.at(state.k).prox(z - step * (problem.data_grad(z) + h.grad(z)), step)  # (4.1)
        move = x - state.x
        if not self.momentum or (self.restart and real(backend.dot(z - x, move)) > 0):
            t_new, z = 1.0, x
        else:
            t_new = (1 + (1 + 4 * t * t) ** 0.5) / 2  # (4.2)
            z = x + (t - 1) / t_new * move  # (4.3)
        return state.next(x, backend.norm(move) / (backend.norm(x) + 1e-30), z=z, t=t_new)
