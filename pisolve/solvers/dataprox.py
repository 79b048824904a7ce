"""Proximal gradient the other way round: the data term by its prox, the prior by its gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pisolve import backend
from pisolve._check import integer, number
from pisolve._types import ArrayLike
from pisolve.problem import Problem
from pisolve.solvers.base import Solver, State, half_a_run
from pisolve.solvers.gradient import extrapolate


@dataclass(frozen=True)
class DataProx(Solver):
    """x <- argmin 1/2 ||A x - y||^2 + rho/2 ||x - v||^2,  v = z - grad g(z) / rho, for priors with a gradient (RED).

    With lam RED and rho = lam this is RED's fixed-point iteration, v = D(z); with a larger rho RED-PG, and with
    `momentum` RED-APG. One evaluation of the prior a step, where GradientDescent needs one for every A^H A: for priors
    that are dear, networks above all.

    Use:
        for RED with a network, whose evaluations cost more than A^H A: the automatic choice there.

    Args:
        rho: at least Lip(grad g) / 2; None: Lip(grad g), which momentum is proven for. The fixed points do not depend
            on it. lam RED with rho = lam, the limit, took about half of the steps with a trained network.
        momentum: z = x + (t_k - 1)/t_{k+1} (x - x_old) (Nesterov); False: z = x.
        restart: forget the momentum where it points uphill.
        inner: most conjugate gradient steps of the x-update, warm-started.

    Raises:
        ValueError: a prior without a gradient, or with a gradient of zero (plain least squares); a rho below the limit.

    Reference:
        Romano, Elad and Milanfar, SIAM J Imaging Sci 10 (2017) 1804 (fixed point); Reehorst and Schniter, IEEE Trans
        Comput Imaging 5 (2019) 52 (RED-PG, RED-APG).

    Example:
        pi.solve(A, y, 0.2 * pi.RED(D, sigma=0.05), pi.DataProx(), max_iter=20)
    """

    learnable: ClassVar[dict[str, Any]] = {"rho": 0.05}
    steps = True
    rho: float | None = None
    momentum: bool = True
    restart: bool = True
    inner: int = 10

    def gradient_weight(self, values: ArrayLike) -> Any:
        return values["rho"]

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        prior = problem.prior
        integer("inner", self.inner, low=1)
        rho = number("rho", self.rho, low=0, strict=True, allow_none=True)
        if not prior.has_grad or not 0 < prior.lipschitz < float("inf"):
            raise ValueError(f"DataProx needs a prior with a gradient and its Lipschitz constant, {prior!r} has none: "
                             f"{problem.remedy}")
        if rho is not None and rho < prior.lipschitz / 2 * (1 - 1e-6):
            raise ValueError(f"rho {rho:g} is below Lip(grad g) / 2 = {prior.lipschitz / 2:g}, where the iteration may "
                             "diverge: leave it out")
        x = problem.start(x0)
        return State(x, aux={"z": x, "t": 1.0, "rho": rho or prior.lipschitz})

    def memory(self, k: int) -> int:
        return half_a_run(k) if self.momentum else super().memory(k)

    def calm(self) -> Solver:
        return replace(self, momentum=False)

    def step(self, problem: Problem, state: State) -> State:
        z, t, rho = (state.aux[n] for n in ("z", "t", "rho"))
        x = problem.data_prox(z - problem.prior.grad(z) / rho, rho, state.x, self.inner)
        move = x - state.x
        z, t = extrapolate(x, move, z, t, self.restart) if self.momentum else (x, 1.0)
        return state.next(x, backend.norm(move) / (backend.norm(x) + 1e-30), z=z, t=t)
