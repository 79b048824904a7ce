"""The one loop: every solver is `init` and `step`, and `iterate` or `solve` drives it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pisolve import backend
from pisolve._check import array, integer, number
from pisolve.priors.base import real
from pisolve.problem import Problem

STATUSES = ("converged", "max_iter", "diverged", "nonfinite", "stopped")


@dataclass(frozen=True)
class State:
    """Where a run stands: everything the next step needs, so that it can be saved and resumed.

    Attributes:
        x: the image.
        k: number of steps done.
        residual: how far from a fixed point, relative (each solver says what it measures); inf before the first step.
        aux: the solver's further arrays and numbers by name.
    """

    x: object
    k: int = 0
    residual: object = math.inf
    aux: dict = field(default_factory=dict)

    def next(self, image, residual, /, **aux) -> State:
        """The state after one more step."""
        return State(image, self.k + 1, residual, {**self.aux, **aux})


class Solver:
    """Base of the solvers: frozen dataclasses of hyper-parameters, None meaning "choose it from the problem"."""

    def init(self, problem: Problem, x0=None) -> State:
        """The state before the first step; raises a ValueError that says which solver fits where this one does not."""
        raise NotImplementedError

    def step(self, problem: Problem, state: State) -> State:
        """One iteration: a new state, the old one unchanged."""
        raise NotImplementedError


@dataclass(frozen=True)
class Result:
    """What `solve` returns.

    Attributes:
        x: the image (for a failed run the best finite iterate).
        status: "converged", "max_iter", "diverged", "nonfinite" or "stopped" (by a callback).
        state: the last state, for resuming.
        history: one dict a step: k, residual, seconds, and whatever callbacks returned.
        solver: the solver used.
    """

    x: object
    status: str
    state: State
    history: list
    solver: Solver

    @property
    def ok(self) -> bool:
        """True for a run that ended as it should: "converged", or "max_iter" with every iterate finite."""
        return self.status in ("converged", "max_iter", "stopped")

    def __repr__(self):
        return (f"Result({self.status} after {self.state.k} iterations of {self.solver}, "
                f"residual {real(self.state.residual):.2e})")


def iterate(solver: Solver, problem: Problem, x0=None, state: State | None = None) -> Iterator[State]:
    """The states of a run without end, the first one included: the only loop of the library.

    Args:
        solver: any solver.
        problem: what to minimise.
        x0: first image; None lets the solver choose.
        state: go on from here instead (x0 is then ignored).
    """
    state = solver.init(problem, x0) if state is None else state
    while True:
        yield state
        state = solver.step(problem, state)


def solve(A, y, prior=None, solver: Solver | None = None, *, x0=None, state: State | None = None,
          max_iter: int = 100, tol: float = 1e-4, callbacks: Sequence[Callable] = (),
          progress: bool = False) -> Result:
    """minimise over x  1/2 ||A x - y||^2 + g(x).

    Args:
        A: linop, image -> data.
        y: data of A's output shape (numpy, cupy or torch; not changed).
        prior: g; None for plain least squares.
        solver: None picks one that fits (see `choose`); the result names it.
        x0: first image.
        state: resume from the state of an earlier run: the same bits as without the interruption.
        max_iter: iterations in all, those before `state` included.
        tol: stop when the solver's relative residual is at most this; 0 runs all iterations.
        callbacks: functions of (problem, state), called after every step. A returned dict is merged into the history's
            entry; a returned False ends the run with status "stopped".
        progress: show a progress bar.

    Returns:
        `Result`: never an exception and never silence for a run that fails, its status says so.

    Raises:
        TypeError, ValueError: arguments of the wrong kind, shape or value; a solver that cannot do this prior.
    """
    problem = Problem(A, y, prior)
    max_iter = integer("max_iter", max_iter, low=0)
    tol = number("tol", tol, low=0)
    solver = choose(problem) if solver is None else solver
    if not isinstance(solver, Solver):
        raise TypeError(f"solver must be a solver such as pi.FISTA(), got {solver!r}")
    for callback in _sequence("callbacks", callbacks):
        if not callable(callback):
            raise TypeError(f"callbacks must be functions of (problem, state), got {callback!r}")
    if state is not None:
        _check_state(state, solver, problem)
    with np.errstate(over="ignore", invalid="ignore"):  # a run that fails says so in its status
        return _run(solver, problem, x0, state, max_iter, tol, callbacks, progress)


def _run(solver, problem, x0, state, max_iter, tol, callbacks, progress) -> Result:
    states = iterate(solver, problem, x0, state)
    state = next(states)
    health, history, status = _Health(problem, state), [], "max_iter"
    bar, start = _bar(progress, state.k, max_iter, solver), time.perf_counter()
    while state.k < max_iter:
        state = next(states)
        entry = {"k": state.k, "residual": real(state.residual), "seconds": time.perf_counter() - start}
        history.append(entry)
        failed = health.check(state)
        if failed:
            status = failed
            break
        bar.update()
        answers = [callback(problem, state) for callback in callbacks]
        for answer in answers:
            entry.update(answer if isinstance(answer, dict) else {})
        if any(answer is False for answer in answers):
            status = "stopped"
            break
        if entry["residual"] <= tol and tol > 0:
            status = "converged"
            break
    bar.close()
    x = health.best if status in ("diverged", "nonfinite") else state.x
    return Result(x, status, replace(state), history, solver)


def _sequence(name, value):
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list or tuple of functions, got {type(value).__name__}")
    return value


def _check_state(state, solver, problem):
    """Refuse a state that the solver cannot go on from."""
    if not isinstance(state, State):
        raise TypeError(f"state must be a State, of result.state or solvers.load_state, got {type(state).__name__}")
    array("state.x", state.x, shape=problem.ishape)
    missing = sorted(set(solver.init(problem).aux) - set(state.aux))
    if missing:
        raise ValueError(f"state is of another solver: {type(solver).__name__} needs {', '.join(missing)} in state.aux")


def choose(problem: Problem) -> Solver:
    """The solver that `solve` takes by itself: what the prior offers decides.

    Quadratic priors: CG. A prox in closed form: FISTA. RED: FISTA on its gradient. Denoisers and everything else: ADMM.
    """
    from pisolve.solvers import ADMM, CG, FISTA

    prior = problem.prior
    if prior.quadratic:
        return CG()
    if (prior.has_prox and not prior.implicit) or (prior.has_grad and prior.implicit):
        return FISTA()
    return ADMM()


class _Health:
    """Notices a run that fails, and keeps its best finite iterate: the one that moved least.

    Sizes are judged against the first image and a A^H y, with the a that fits the data best. An implicit prior's run
    has diverged when its steps grew three times in a row to over 1 % and the image to 1.15 times that size, or when the
    image is 10 times it; an explicit prior with a certified step cannot grow, 1000 times means that the step was none.
    """

    def __init__(self, problem: Problem, state: State):
        self.implicit = problem.prior.implicit
        self.last, self.best, self.least = state.x, state.x, math.inf
        self.size = max(real(backend.norm(state.x)), real(backend.norm(problem.AHy)) / problem.curvature)
        self.moves = []

    def check(self, state: State) -> str | None:
        """None, "nonfinite" or "diverged"."""
        size, move = real(backend.norm(state.x)), real(backend.norm(state.x - self.last))
        if not math.isfinite(size) or math.isnan(real(state.residual)):
            return "nonfinite"
        self.last = state.x
        settled = math.isfinite(real(state.residual))  # a schedule may still grow
        self.moves = [*self.moves, (move, size)][-4:] if settled else []
        if move < self.least:
            self.best, self.least = state.x, move
        if not self.implicit:
            return "diverged" if size > 1e3 * self.size > 0 else None
        growing = len(self.moves) == 4 and size > self.moves[0][1] and move > 0.01 * self.size and all(
            a[0] < b[0] for a, b in zip(self.moves[:-1], self.moves[1:]))
        return "diverged" if size > (1.15 if growing else 10) * self.size > 0 else None


def _bar(progress, done, total, solver):
    from tqdm import tqdm

    return tqdm(initial=done, total=total, desc=type(solver).__name__, disable=not progress, leave=False)


def relative_change(new, old):
    """||new - old|| / ||new||, 0 where both are zero."""
    return backend.norm(new - old) / (backend.norm(new) + 1e-30)
