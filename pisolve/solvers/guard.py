"""What watches a run: the guard that steps, judges and calms, and the progress bar."""

from __future__ import annotations

from dataclasses import replace

from pisolve.solvers.base import iterate
from pisolve.solvers.health import Health
from pisolve.solvers.relaxed import Relaxed


class Guard:
    """A solver's states, and whether they are well; the steps of a denoiser's run that diverges are averaged.

    Attributes:
        solver: the one that runs now.
        state: the last state.
        calmed: whether averaging began with the last step, which then says nothing about convergence.
    """

    def __init__(self, solver, problem, x0=None, state=None):
        self.solver, self.problem, self.calmed, self.relaxed = solver, problem, False, False
        self._states = iterate(solver, problem, x0, state)
        self.state = next(self._states)
        self._health = Health(problem, self.state)

    @property
    def best(self):
        """The image to give back where the run failed."""
        return self._health.best

    def step(self):
        """The next state."""
        self.state = next(self._states)
        return self.state

    def judge(self, entry: dict) -> str | None:
        """None where the last step was well, else how the run ended; what is found goes into the history's entry."""
        self.calmed, health = False, self._health
        failed = self.solver.failure(self.state)
        if failed is NotImplemented:
            failed = health.check(self.state, entry["residual"])
        else:
            health.best = self.state.x
        if health.ratio is not None:
            entry["ratio"] = health.ratio
        weight = self.solver.weight / 2 if isinstance(self.solver, Relaxed) else 0.5
        if failed == "diverged" and self.problem.prior.implicit and self.solver.averages and weight > 0.1:
            self._calm(weight)
            entry["relaxed"] = weight
            return None
        return failed

    def _calm(self, weight):
        """Go on from the best iterate with averaged steps."""
        self.calmed = self.relaxed = True
        inner = self.solver.solver if isinstance(self.solver, Relaxed) else self.solver
        self.solver = Relaxed(inner, weight)
        self.state = replace(self.solver.init(self.problem, self.best), k=self.state.k)
        self._states = iterate(self.solver, self.problem, state=self.state)
        next(self._states)
        self._health.restart(self.state, weight)

    def last_word(self, history) -> str:
        """How a run ended that ran out of iterations: averaged steps may not have stopped it yet."""
        swings = any("relaxed" in entry for entry in history) and not (self._health.ratio or 2) <= 1
        return "diverged" if swings else "max_iter"


class Bar:
    """A progress bar as a callback."""

    def __init__(self, shown: bool, guard: Guard, total: int):
        from tqdm import tqdm

        self.guard = guard
        self._bar = tqdm(initial=guard.state.k, total=total, desc=type(guard.solver).__name__, disable=not shown,
                         leave=False)

    def __call__(self, problem, state):
        self._bar.update()
        told = self.guard.solver.tells(state) if not self._bar.disable else None
        if told:
            self._bar.set_postfix({n: f"{v:.4g}" for n, v in told.items()})

    def close(self):
        """At the end of the run."""
        self._bar.close()
