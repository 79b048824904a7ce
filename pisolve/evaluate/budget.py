"""The time that a comparison may take: how many strengths are tried, the same for all methods, so that it fits."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from pathlib import Path

from pisolve import _check
from pisolve.evaluate import run
from pisolve.evaluate.folder import read_json, write_json
from pisolve.evaluate.job import prepared
from pisolve.evaluate.notes import predicts
from pisolve.evaluate.plan import Plan
from pisolve.prepare import holds, models_of
from pisolve.problem import Problem
from pisolve.tuning.budget import affordable, runs, seconds_of
from pisolve.tuning.choose import FOLDS
from pisolve.tuning.strength import family

_SHARE = 0.9  # of the time: what is left is for metrics and the report


def decided(plan: Plan, work: Path, start: float, workers: int = 1) -> Plan:
    """The plan with as many trials and folds as its minutes allow; what was decided in a folder once stays so.

    Args:
        plan: a plan; one without `minutes` is returned as it is.
        work: the folder of its parts.
        start: `time.perf_counter()` when the comparison began.
        workers: processes that share the work.

    Raises:
        ValueError: the folder holds the comparison with other trials, decided on another run.

    Warns:
        UserWarning: even the fewest trials take longer.
    """
    if plan.minutes is None:
        return plan
    path = work / "000" / "budget.json"
    found = read_json(path) if path.exists() else None
    if plan.trials is None and found is None:
        for k in range(len(plan.settings())):
            run.settle(plan, work, k)
        plan = _measured(plan, work, start, workers)
    if found is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"trials": plan.trials, "folds": plan.folds})
    elif plan.trials is not None and (plan.trials, plan.folds) != (found["trials"], found["folds"]):
        raise ValueError(f"{work.parent} holds this comparison with {found['trials']} trials and {found['folds']} folds"
                         ", as its time allowed: give a new folder")
    else:
        plan = replace(plan, trials=found["trials"], folds=found["folds"])
    return plan


def _measured(plan, work, start, workers) -> Plan:
    seconds = 60 * plan.minutes
    one = {name: _once(plan, work, name, seconds / (20 * len(plan.methods))) for name in plan.methods}
    images, tuned, first = 0.0, 0.0, {}
    for k in range(len(plan.settings())):
        scan = prepared(work, k)
        for name in (n for n in plan.methods if one[n]):
            recipe = plan.methods[name]
            parts = len(scan.labels(recipe.each))
            large = scan.kspace.nbytes / parts
            seconds_each = one[name] * large / first.setdefault(name, large)
            judged = FOLDS if scan.reference is None and predicts(recipe) else 0
            images += (1 + judged) * parts * seconds_each
            tuned += seconds_each * plan.tuned(name)
    left = workers * (_SHARE * seconds - (time.perf_counter() - start)) - images
    trials, folds = affordable(left, plan.tune, tuned)
    needed = (runs(plan.tune, trials, folds) * tuned + images) / workers + time.perf_counter() - start
    if tuned and needed > seconds:
        warnings.warn(f"minutes={plan.minutes:g} are too few: with {trials} trials and {folds} fold this takes about "
                      f"{needed / 60:.2g}, {images / workers / 60:.2g} of them for the images alone",
                      stacklevel=_check.outside())
    return replace(plan, trials=trials, folds=folds)


def _once(plan, work, name, limit) -> float:
    """Seconds that one image of the middle part of the first setting takes, of a method that fails 0."""
    recipe = plan.methods[name]
    if recipe is None:
        return 0.0
    try:
        scan = prepared(work, 0)
        begun = time.perf_counter()
        models, scale = models_of(scan, recipe.method, each=recipe.each)
        fit = (time.perf_counter() - begun) / len(models)
        filled = [m for m, part in zip(models, scan.parts(recipe.each)) if m is not None and holds(part)]
        model = filled[len(filled) // 2]
        if plan.tuned(name):
            chosen = family(recipe.prior)
            grid = chosen.grid(Problem(model.A, model.y * model.y.real.dtype.type(scale)))
            recipe = replace(recipe, prior=chosen.make(grid[len(grid) // 2]))
        return fit + seconds_of(lambda callbacks: recipe.solve_model(model, scale, callbacks), recipe.max_iter, limit)
    except (ArithmeticError, ImportError, IndexError, MemoryError, RuntimeError, TypeError, ValueError):
        return 0.0  # `run.do` says why
