"""`solve`: a run of the one loop with what watches over it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pisolve._axes import of_linop
from pisolve._check import array, integer, is_array, number
from pisolve._hints import instead
from pisolve._types import Array, ArrayLike
from pisolve.backend import one_blas_thread, real, to_numpy
from pisolve.priors.base import Prior, Sum
from pisolve.problem import Problem
from pisolve.scan.html import page, planes
from pisolve.solvers.base import Solver, State, spins
from pisolve.solvers.cg import CG
from pisolve.solvers.dataprox import DataProx
from pisolve.solvers.gradient import FISTA, POGM
from pisolve.solvers.guard import Bar, Guard
from pisolve.solvers.primal_dual import PDHG
from pisolve.solvers.probe import probe
from pisolve.solvers.report import report
from pisolve.solvers.splitting import ADMM

STATUSES = ("converged", "max_iter", "diverged", "nonfinite", "stopped")


@dataclass(frozen=True)
class Result:
    """What `solve` returns.

    Attributes:
        x: the image (for a failed run the best finite iterate).
        status: "converged", "max_iter", "diverged", "nonfinite", "stopped" (by a callback, or by Ctrl-C in a fit), or
            "empty", of a part of a scan in which there was nothing to solve.
        state: the last state, for resuming.
        history: one dict a step: k, residual, seconds, whatever callbacks returned; of `CG` the objective, too;
            distance, the estimated ||x - solution|| / ||x||, where the contraction of the steps tells it; for implicit
            priors also ratio, ||x_k+1 - x_k|| / ||x_k - x_k-1||, moved, ||x_k+1 - x_k|| / ||x_k+1||, and relaxed, where
            the steps were averaged from here on.
        solver: the solver used (`Relaxed` where a denoiser would have made it diverge).
        problem: what was solved; it keeps A and y in memory as long as the result lives.
    """

    x: Array
    status: str
    state: State
    history: list[dict[str, Any]]
    solver: Solver
    problem: Problem = field(repr=False)

    def report(self, *, noise: float | None = None, show: bool = True) -> dict[str, Any]:
        """What the run did and how far its result can be trusted, see `solvers.report.report`."""
        return report(self, noise=noise, show=show)

    @property
    def ok(self) -> bool:
        """True for a run that ended as it should: "converged", "stopped", or "max_iter" with every iterate finite."""
        return self.status in ("converged", "max_iter", "stopped", "empty")

    @property
    def interrupted(self) -> bool:
        """True where Ctrl-C ended the run."""
        return bool(self.history and self.history[-1].get("interrupted"))

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture, and how the run ended."""
        x, names = to_numpy(self.x), None if self.problem is None else tuple(of_linop(self.problem.A))
        rows = [("status", self.status), ("iterations", self.state.k), ("solver", repr(self.solver))]
        return page(f"Result {tuple(x.shape)}", rows, planes(x, names))

    def __repr__(self) -> str:
        return (f"Result({self.status} after {self.state.k} iterations of {self.solver}, "
                f"residual {real(self.state.residual):.2e})")


def solve(A: Any, y: ArrayLike, prior: Prior | None = None, solver: Solver | None = None, *,
          x0: ArrayLike | None = None, state: State | None = None, max_iter: int = 100, tol: float = 1e-4,
          gap: float | None = None, callbacks: Sequence[Callable[..., Any]] = (), progress: bool = False,
          check: bool = True, preconditioner: Any = None) -> Result:
    """minimise over x  1/2 ||A x - y||^2 + g(x).

    Args:
        A: linop, image -> data.
        y: data of A's output shape (numpy, cupy or torch; not changed).
        prior: g; None for plain least squares.
        solver: None picks one that fits (see `choose`); the result names it.
        x0: first image.
        state: resume from the state of an earlier run: the same bits as without the interruption. (A denoiser's run in
            trouble is watched anew, and one with averaged steps goes on with them only by `solver=result.solver`.)
        max_iter: iterations in all, those before `state` included.
        tol: stop when the solver's relative residual is at most this and the image within ten times this of the
            solution, as far as the contraction of its steps tells (`solvers.distance`); 0 runs all iterations.
        gap: stop only when the relative duality gap, looked at every ten iterations, is at most this: then the
            objective is within `gap` of the minimum, whatever the solver (`tol` has no effect). For norms with a closed
            form (L1, wavelet, DCT, nuclear) and their multiples.
        callbacks: functions of (problem, state), called after every step. A returned dict is merged into the history's
            entry; a returned False ends the run with status "stopped".
        progress: show a progress bar.
        check: before the first step, test by a few dot products that `.H` and `.N` of operators made elsewhere are
            what they should be, and warn with the measured error where not.
        preconditioner: P near (A^H A + H_g)^-1, Hermitian and positive definite: an operator on images, a function, or
            a real array, P's diagonal: fewer iterations to the same minimum. For CG, GradientDescent, PDHG with every
            prior, FISTA where the prior is smooth, or acts pixel by pixel and P is diagonal.

    Returns:
        `Result`: never an exception and never silence for a run that fails, its status says so.

    Raises:
        TypeError, ValueError: arguments of the wrong kind, shape or value; a solver that cannot do this prior.
    """
    _in_order(A, y, prior)
    problem = Problem(A, y, prior, preconditioner)
    max_iter = integer("max_iter", max_iter, low=0)
    tol = number("tol", tol, low=0)
    gap = number("gap", gap, low=0, strict=True, allow_none=True)
    if gap is not None and problem.gap(problem.start()) is None:
        raise ValueError(f"gap needs a prior that is a norm in closed form, and {problem.prior!r} is not one: give tol")
    solver = choose(problem) if solver is None else solver
    if not isinstance(solver, Solver):
        raise TypeError(f"solver must be a solver such as pi.FISTA(), got {solver!r}{instead('solver', solver)}")
    if not problem.metric.plain and not solver.preconditions:
        raise ValueError(f"{type(solver).__name__} takes no preconditioner: leave it out, or {problem.remedy}")
    for callback in _sequence("callbacks", callbacks):
        if not callable(callback):
            raise TypeError(f"callbacks must be functions of (problem, state), got {callback!r}")
    if state is not None:
        _check_state(state, solver, problem)
    elif check:
        probe(problem)
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):  # a run that fails says so in its status
        return _run(solver, problem, x0, state, max_iter, tol, gap, callbacks, progress)


def _in_order(A, y, prior) -> None:
    """Tell arguments in another order what to type."""
    if isinstance(y, Prior) or isinstance(prior, Solver) or (is_array(A) and hasattr(y, "ishape")):
        wrong = ("y is a prior" if isinstance(y, Prior) else "A is an array and y an operator" if is_array(A) else
                 f"the third argument is a solver, {type(prior).__name__}")
        raise TypeError(f"{wrong}: write solve(A, y, prior, solver), or name them, solve(A, y, solver=pi.CG())")


def _run(solver, problem, x0, state, max_iter, tol, gap, callbacks, progress) -> Result:
    """Steps, each told to the bar and the user, until the guard, one of these or the distance ends it."""
    guard, history, status, clock = Guard(solver, problem, x0, state, tol), [], None, time.perf_counter()
    bar = Bar(progress, guard, max_iter)
    try:
        while status is None and guard.state.k < max_iter:
            state = guard.step()
            entry = {"k": state.k, "residual": real(state.residual), "seconds": time.perf_counter() - clock,
                     **guard.solver.tells(state), **guard.solver.objective(problem, state)}
            history.append(entry)
            status = guard.judge(entry)
            arrived = guard.arrived and gap is None
            if status is None and gap is not None and state.k % 10 == 0:
                entry["gap"] = problem.gap(guard.state.x)
                arrived = entry["gap"] <= gap
            status = status or _told((bar, *callbacks), problem, guard.state, entry)
            if status is None and arrived and not guard.calmed:
                status = "converged"
    except KeyboardInterrupt as cut:  # in a step or in a callback, such as one that writes a checkpoint
        if not guard.solver.interruptible:
            cut.history = history  # for who writes down how far it came
            raise
        state = guard.state
        if not history or history[-1]["k"] != state.k:
            history.append({"k": state.k, "residual": real(state.residual), "seconds": time.perf_counter() - clock})
        history[-1]["interrupted"], status = True, "stopped"
    bar.close()
    guard.solver.finish(problem)
    status = guard.last_word(status, history)
    x = guard.best if status in ("diverged", "nonfinite") else guard.state.x
    return Result(x, status, replace(guard.state), history, guard.solver, problem)


def _told(calls, problem, state, entry) -> str | None:
    """Tell a step to everyone; dicts that come back go into the history, a False ends the run when all were told."""
    ended = False
    for call in calls:  # no comprehension: its closure would keep the state with an error's traceback
        answer = call(problem, state)
        entry.update(answer if isinstance(answer, dict) else {})
        ended |= isinstance(answer, bool | np.bool_) and not answer
    return "stopped" if ended else None


def _sequence(name, value):
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list or tuple of functions, got {type(value).__name__}")
    return value


def _check_state(state, solver, problem):
    """Refuse a state that the solver cannot go on from."""
    if not isinstance(state, State):
        raise TypeError(f"state must be a State, of result.state or solvers.load_state, got {type(state).__name__}")
    array("state.x", state.x, shape=problem.ishape)
    fresh = solver.init(problem).aux
    missing = sorted(n for n in fresh if n not in state.aux or np.shape(fresh[n]) != np.shape(state.aux[n]))
    if missing:
        raise ValueError(f"state is of another solver: {type(solver).__name__} needs {', '.join(missing)} in state.aux")


def choose(problem: Problem) -> Solver:
    """The solver that `solve` takes by itself: what the prior offers decides.

    A prior with a solver of its own: that one. Quadratic priors: CG. With a preconditioner: FISTA where it fits, else
    PDHG. A convex prox in closed form: POGM; one that is not convex, or that changes with the iteration (cycle
    spinning): FISTA, which swings less. RED by itself: DataProx; in a sum with one prior that has a prox: POGM, one
    evaluation of the denoiser a step, where ADMM's prox of RED takes up to twenty. Denoisers and everything else: ADMM.
    `benchmarks/choices.py` measured them.
    """
    prior = problem.prior
    own = prior.solver()
    if own is not None:
        return own
    if prior.quadratic:
        return CG()
    if not problem.metric.plain:
        return PDHG() if _known(problem, "forms") is None else FISTA()
    if prior.has_prox and not prior.implicit:
        return POGM() if prior.convex and not spins(prior) else FISTA()
    if prior.has_grad and prior.implicit:
        return FISTA() if isinstance(prior, Sum) or not prior.lipschitz > 0 else DataProx()
    if _known(problem, "splitting") is None:
        return FISTA()
    h, f = (_known(problem, "forms") if prior.implicit else None) or (prior, prior)
    if not h.implicit or h is prior:
        return ADMM()
    return POGM() if f.convex and not spins(prior) else FISTA()


def _known(problem, name):
    """A way in which the problem can be seen, None where it cannot."""
    try:
        return getattr(problem, name)
    except ValueError:
        return None
