"""The one loop: every solver is `init` and `step`, and `iterate` or `solve` drives it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pisolve import backend
from pisolve._check import array, integer, number
from pisolve.backend import real
from pisolve.priors.base import Prior, Sum
from pisolve.problem import Problem
from pisolve.solvers.health import Health

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

    averages = True  # whether averaged steps make sense, which recurrences of conjugate directions do not allow
    penalised = False  # minimises another function than the problem's own

    interruptible = False  # Ctrl-C ends a run with what there is, status "stopped"

    def failure(self, state: State) -> str | None:
        """None, "nonfinite" or "diverged", of a solver that keeps its best image itself; by default `Health` judges."""
        return NotImplemented

    def tells(self, state: State) -> dict:
        """What the history and the progress bar say of a state beside its residual."""
        return {}

    def finish(self, problem: Problem) -> None:
        """Called at the end of a run: lets go of what it kept beside the state."""

    def calm(self) -> Solver:
        """The same method without extrapolation, for runs in trouble."""
        return self

    def certificate(self, problem: Problem, state: State) -> dict | None:
        """{"what", "size", "limit"} of the step beside the largest that is proven; None where any is."""
        return None


@dataclass(frozen=True)
class Result:
    """What `solve` returns.

    Attributes:
        x: the image (for a failed run the best finite iterate).
        status: "converged", "max_iter", "diverged", "nonfinite", "stopped" (by a callback, or by Ctrl-C in a fit), or
            "empty", of a part of a scan in which there was nothing to solve.
        state: the last state, for resuming.
        history: one dict a step: k, residual, seconds, whatever callbacks returned; for implicit priors also ratio,
            ||x_k+1 - x_k|| / ||x_k - x_k-1||, and relaxed, where the steps were averaged from here on.
        solver: the solver used (`Relaxed` where a denoiser would have made it diverge).
        problem: what was solved; it keeps A and y in memory as long as the result lives.
    """

    x: object
    status: str
    state: State
    history: list
    solver: Solver
    problem: Problem = field(repr=False)

    def report(self, *, noise: float | None = None, show: bool = True) -> dict:
        """What the run did and how far its result can be trusted, see `solvers.report.report`."""
        from pisolve.solvers.report import report

        return report(self, noise=noise, show=show)

    @property
    def ok(self) -> bool:
        """True for a run that ended as it should: "converged", "stopped", or "max_iter" with every iterate finite."""
        return self.status in ("converged", "max_iter", "stopped", "empty")

    @property
    def interrupted(self) -> bool:
        """True where Ctrl-C ended the run."""
        return bool(self.history and self.history[-1].get("interrupted"))

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
          max_iter: int = 100, tol: float = 1e-4, gap: float | None = None, callbacks: Sequence[Callable] = (),
          progress: bool = False) -> Result:
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
        tol: stop when the solver's relative residual is at most this; 0 runs all iterations.
        gap: stop only when the relative duality gap, looked at every ten iterations, is at most this: then the
            objective is within `gap` of the minimum, whatever the solver (`tol` has no effect). For norms with a closed
            form (L1, wavelet, DCT, nuclear) and their multiples.
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
    gap = number("gap", gap, low=0, strict=True, allow_none=True)
    if gap is not None and problem.gap(problem.start()) is None:
        raise ValueError(f"gap needs a prior that is a norm with a closed form, {problem.prior!r} is none: give tol")
    solver = choose(problem) if solver is None else solver
    if not isinstance(solver, Solver):
        raise TypeError(f"solver must be a solver such as pi.FISTA(), got {solver!r}")
    for callback in _sequence("callbacks", callbacks):
        if not callable(callback):
            raise TypeError(f"callbacks must be functions of (problem, state), got {callback!r}")
    if state is not None:
        _check_state(state, solver, problem)
    with np.errstate(over="ignore", invalid="ignore"):  # a run that fails says so in its status
        return _run(solver, problem, x0, state, max_iter, tol, gap, callbacks, progress)


def _run(solver, problem, x0, state, max_iter, tol, gap, callbacks, progress) -> Result:
    from pisolve.solvers.relaxed import Relaxed

    states = iterate(solver, problem, x0, state)
    state = next(states)
    health, history, status = Health(problem, state), [], "max_iter"
    bar, start = _bar(progress, state.k, max_iter, solver), time.perf_counter()
    try:
        while state.k < max_iter:
            state = next(states)
            residual = real(state.residual)
            told = solver.tells(state)
            entry = {"k": state.k, "residual": residual, "seconds": time.perf_counter() - start, **told}
            history.append(entry)
            failed = solver.failure(state)
            if failed is NotImplemented:
                failed = health.check(state, residual)
            else:
                health.best = state.x
            if health.ratio is not None:
                entry["ratio"] = health.ratio
            weight = solver.weight / 2 if isinstance(solver, Relaxed) else 0.5
            if failed == "diverged" and problem.prior.implicit and solver.averages and weight > 0.1:
                solver = Relaxed(solver.solver if isinstance(solver, Relaxed) else solver, weight)
                state = replace(solver.init(problem, health.best), k=state.k)
                states = iterate(solver, problem, state=state)
                next(states)
                health.restart(state, weight)
                entry["relaxed"] = weight
            elif failed:
                status = failed
                break
            bar.update()
            if told:
                bar.set_postfix({n: f"{v:.4g}" for n, v in told.items()})
            distance = residual if gap is None else math.inf
            if gap is not None and state.k % 10 == 0:
                entry["gap"] = distance = problem.gap(state.x)
            ended = False
            for callback in callbacks:  # no comprehension: its closure would keep the state with an error's traceback
                answer = callback(problem, state)
                entry.update(answer if isinstance(answer, dict) else {})
                ended |= isinstance(answer, bool | np.bool_) and not answer
            if ended:
                status = "stopped"
                break
            if not failed and distance <= (tol if gap is None else gap) > 0:
                status = "converged"
                break
    except KeyboardInterrupt as cut:  # in a step or in a callback, such as one that writes a checkpoint
        if not solver.interruptible:
            cut.history = history  # for who writes down how far it came
            raise
        if not history or history[-1]["k"] != state.k:
            history.append({"k": state.k, "residual": real(state.residual), "seconds": time.perf_counter() - start})
        history[-1]["interrupted"], status = True, "stopped"
    bar.close()
    solver.finish(problem)
    if status == "max_iter" and any("relaxed" in entry for entry in history) and not (health.ratio or 2) <= 1:
        status = "diverged"  # averaged steps had not stopped it when it ran out of iterations
    x = health.best if status in ("diverged", "nonfinite") else state.x
    return Result(x, status, replace(state), history, solver, problem)


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

    A prior with a solver of its own: that one. Quadratic priors: CG. A convex prox in closed form: POGM; one that
    is not convex, or that changes with the iteration (cycle spinning): FISTA, which swings less. RED by itself:
    DataProx. Denoisers and everything else: ADMM.
    `benchmarks/solvers.py` measured them.
    """
    from pisolve.solvers import ADMM, CG, FISTA, POGM, DataProx

    prior = problem.prior
    own = prior.solver()
    if own is not None:
        return own
    if prior.quadratic:
        return CG()
    if prior.has_prox and not prior.implicit:
        return POGM() if prior.convex and not spins(prior) else FISTA()
    if prior.has_grad and prior.implicit:
        return FISTA() if isinstance(prior, Sum) or not prior.lipschitz > 0 else DataProx()
    try:
        problem.splitting  # noqa: B018
    except ValueError:
        return FISTA()
    return ADMM()


def spins(prior) -> bool:
    """Whether a prior changes with the iteration, as cycle spinning does."""
    return any(getattr(part, "shifts", 0) for part in walk(prior))


def walk(prior) -> Iterator[Prior]:
    """A prior and all priors in it; nothing for what is none."""
    if isinstance(prior, Prior):
        yield prior
        for part in prior.parts():
            yield from walk(part)


def _bar(progress, done, total, solver):
    from tqdm import tqdm

    return tqdm(initial=done, total=total, desc=type(solver).__name__, disable=not progress, leave=False)


def relative_change(new, old):
    """||new - old|| / ||new||, 0 where both are zero."""
    return backend.norm(new - old) / (backend.norm(new) + 1e-30)
