"""What watches a run: the guard that steps, judges and calms, and the progress bar."""

from __future__ import annotations

import math
from dataclasses import replace

from pisolve.backend import real
from pisolve.solvers.base import iterate
from pisolve.solvers.distance import FACTOR, distance, watch
from pisolve.solvers.health import Health
from pisolve.solvers.relaxed import Relaxed


class Guard:
    """A solver's states, and whether they are well; the steps of a denoiser's run that diverges are averaged.

    Attributes:
        solver: the one that runs now.
        state: the last state.
        calmed: whether averaging began with the last step, which then says nothing about convergence.
        arrived: whether the last step's residual is at most `tol` and its image within 10 `tol` of the solution.
    """

    def __init__(self, solver, problem, x0=None, state=None, tol=0.0):
        self.solver, self.problem, self.calmed, self.relaxed = solver, problem, False, False
        self.tol, self.arrived = tol, False
        self._states = iterate(solver, problem, x0, state)
        self.state = next(self._states)
        self._health = Health(problem, self.state)

    @property
    def best(self):
        """The image to give back where the run failed."""
        return self._health.best

    def step(self):
        """The next state."""
        self._last, self.state = self.state, next(self._states)
        return self.state

    def judge(self, entry: dict) -> str | None:
        """None where the last step was well, else how the run ended; what is found goes into the history's entry."""
        self.calmed, self.arrived, health = False, False, self._health
        failed = self.solver.failure(self.state)
        if failed is NotImplemented:
            failed = health.check(self.state, entry["residual"])
            if failed is None:
                self._look(entry)
        else:  # such a solver says by its residual alone when it is done
            health.best, self.arrived = self.state.x, entry["residual"] <= self.tol > 0
        self._last = None  # an image less in memory
        found = {"ratio": health.ratio, "moved": health.moved}
        entry.update({name: value for name, value in found.items() if value is not None})
        weight = self.solver.weight / 2 if isinstance(self.solver, Relaxed) else 0.5
        if failed == "diverged" and self.problem.prior.implicit and self.solver.averages and weight > 0.1:
            self._calm(weight)
            entry["relaxed"] = weight
            return None
        return failed

    def _look(self, entry):
        """Whether the run has arrived; a recurrence's residual is computed anew before it is believed."""
        state, tol = self.state, self.tol
        watch(self.solver, self._last, state, entry["residual"], tol)
        found = distance(state)
        if found is not None and math.isfinite(found[0]):
            entry["distance"] = found[0]
            self.arrived = entry["residual"] <= tol > 0 and found[0] <= FACTOR * tol
        true = self.solver.renewed(self.problem, state) if self.arrived else None
        if true is None:
            return
        entry["residual"] = real(true.residual)
        self.arrived = entry["residual"] <= tol
        self._follow(replace(state, residual=true.residual) if self.arrived else true)

    def _follow(self, state):
        """Go on from this state."""
        self.state, self._states = state, iterate(self.solver, self.problem, state=state)
        next(self._states)

    def _calm(self, weight):
        """Go on from the best iterate with averaged steps."""
        self.calmed = self.relaxed = True
        inner = self.solver.solver if isinstance(self.solver, Relaxed) else self.solver
        self.solver = Relaxed(inner, weight)
        self._follow(replace(self.solver.init(self.problem, self.best), k=self.state.k))
        self._health.restart(self.state, weight)

    def last_word(self, status, history) -> str:
        """How a run ended: "max_iter" where nothing else did; averaged steps may not have stopped the divergence yet.

        A recurrence's residual of at most `tol` is computed anew, as it is where a run has converged.
        """
        if status not in (None, "converged"):
            return status
        if not self.arrived and history and history[-1]["residual"] <= self.tol:
            true = self.solver.renewed(self.problem, self.state)
            if true is not None:
                self.state = replace(self.state, residual=true.residual)
                history[-1]["residual"] = real(true.residual)
        swings = any("relaxed" in entry for entry in history) and not (self._health.ratio or 2) <= 1
        if status is None and (swings or self._health.worse(self.state, history)):
            return "diverged"
        return status or "max_iter"


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
