"""What a solver is, `init` and `step`, and the one loop that drives it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pisolve import backend
from pisolve._types import Array, ArrayLike
from pisolve.priors.base import Prior
from pisolve.problem import Problem

EPS = {"complex64": 1.2e-7, "complex128": 2.2e-16}
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

    x: Array
    k: int = 0
    residual: Any = math.inf
    aux: dict[str, Any] = field(default_factory=dict)

    def next(self, image: ArrayLike, residual: Any, /, **aux: Any) -> State:
        """The state after one more step."""
        return State(image, self.k + 1, residual, {**self.aux, **aux})


class Solver:
    """Base of the solvers: frozen dataclasses of hyper-parameters, None meaning "choose it from the problem"."""

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        """The state before the first step; raises a ValueError that says which solver fits where this one does not."""
        raise NotImplementedError

    def step(self, problem: Problem, state: State) -> State:
        """One iteration: a new state, the old one unchanged."""
        raise NotImplementedError

    steps = False  # whether the residual is the relative size of the last step of the image
    averages = True  # whether averaged steps make sense, which recurrences of conjugate directions do not allow
    preconditions = False  # whether it takes `solve(..., preconditioner=)`
    penalised = False  # minimises another function than the problem's own
    # how many arrays of the size of the image and of the data it keeps, beside the usual few
    keeps_images: ClassVar[int] = 0
    keeps_data: ClassVar[int] = 0

    # what an unrolled network learns of each step: its first value, by the state's name
    learnable: ClassVar[dict[str, Any]] = {}

    def gradient_weight(self, values: dict[str, Any]) -> Any:
        """The weight of x - D(x) as the gradient of what a network learned, by what it learned of the step."""
        return 1.0

    interruptible = False  # Ctrl-C ends a run with what there is, status "stopped"

    def failure(self, state: State) -> str | None:
        """None, "nonfinite" or "diverged", of a solver that keeps its best image itself; by default `Health` judges."""
        return NotImplemented

    def tells(self, state: State) -> dict[str, Any]:
        """What the history and the progress bar say of a state beside its residual."""
        return {}

    def renewed(self, problem: Problem, state: State) -> State | None:
        """The state with its residual computed from the image, of a solver whose recurrence may say something else."""
        return None

    def memory(self, k: int) -> int:
        """How many steps before the k-th tell how fast steps shrink: more where they shrink and grow again."""
        return 10

    def objective(self, problem: Problem, state: State) -> dict[str, Any]:
        """{"objective": 1/2 ||A x - y||^2 + g(x)} where it costs next to nothing, else {}: for the history."""
        return {}

    def finish(self, problem: Problem) -> None:
        """Called at the end of a run: lets go of what it kept beside the state."""

    def calm(self) -> Solver:
        """The same method without extrapolation, for runs in trouble."""
        return self

    def certificate(self, problem: Problem, state: State) -> dict[str, Any] | None:
        """{"what", "size", "limit"} of the step beside the largest that is proven; None where any is."""
        return None


def iterate(solver: Solver, problem: Problem, x0: ArrayLike | None = None,
            state: State | None = None) -> Iterator[State]:
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


def spins(prior) -> bool:
    """Whether a prior changes with the iteration, as cycle spinning does."""
    return any(getattr(part, "shifts", 0) for part in walk(prior))


def walk(prior) -> Iterator[Prior]:
    """A prior and all priors in it; nothing for what is none."""
    if isinstance(prior, Prior):
        yield prior
        for part in prior.parts():
            yield from walk(part)


def half_a_run(k: int) -> int:
    """The `memory` of a method with momentum."""
    return min(max(k // 2, 10), 600)


def renewed(solver: Solver, problem: Problem, state: State, residual) -> State:
    """The state of a method of conjugate directions that begins again at the image of an old state.

    `residual` is a function of the fresh state's aux.
    """
    fresh = solver.init(problem, state.x)
    return State(state.x, state.k, residual(fresh.aux), {**state.aux, **fresh.aux})


def relative_change(new, old):
    """||new - old|| / ||new||, 0 where both are zero."""
    return backend.norm(new - old) / (backend.norm(new) + 1e-30)
