"""The parts of a scan solved, one after another or side by side, and what was kept of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from pisolve import backend
from pisolve.prepare import holds, model_of, models_of
from pisolve.problem import Problem
from pisolve.recipe import automatic, first
from pisolve.recipe.agreement import Misfit, misfit
from pisolve.recipe.checkpoint import Checkpoints
from pisolve.recipe.device import home, networks
from pisolve.recipe.reconstruction import empty, plain
from pisolve.solvers.base import walk
from pisolve.solvers.probe import behind, foreign, probe


class Run(NamedTuple):
    """What came out: the scale, a picture and a result for each part, seconds of the fits before (None: no fits).

    `misfits` says of each part what its image leaves of the data, None where it predicts none; `recipe` is what ran,
    with its levels chosen.
    """

    scale: float
    images: list
    results: list
    fit: float | None
    misfits: list[Misfit | None]
    recipe: object


def run(recipe, scan, sigma: float, *, gpu=None, keep=None, callbacks=(), progress=False, folder=None,
        scale: float | None = None) -> Run:
    """Solve all parts of a prepared scan by a recipe whose strength is fixed.

    Args:
        recipe, scan: the recipe, and the scan after `recipe.prepare`.
        sigma: of the noise of its samples, see `Agreement`.
        gpu: the `torch.device` to run on, None: the CPU.
        keep: how many parts' data are on the GPU at a time.
        callbacks, progress: as for `solve`; of several parts the bar counts these.
        folder: of checkpoints, or None.
        scale: of the whole scan that this one is a part of; None: its own.
    """
    kept = None if folder is None else Checkpoints(folder, recipe.to_dict(), scan, networks(recipe))
    parts, start = scan.parts(recipe.each), time.perf_counter()
    method = recipe.method.watched(sum(map(holds, parts)), progress=progress, folder=folder)
    try:
        models, own = models_of(scan, method, parts=parts, gpu=gpu, keep=keep, scaled=scale is None)
        scale = own if scale is None else scale
        recipe = automatic.settled(recipe, scan, models, parts, scale)
        starts = first.starts(recipe, scan)
        _tested(recipe, models)
        fit = time.perf_counter() - start if recipe.method.fits else None
        one = _Part(recipe, parts, models, scale, sigma, gpu, kept, tuple(callbacks), progress, starts)
        bar = _bar(progress and len(parts) > 1, len(parts))
        with bar:
            done = list(_side_by_side(one, bar) if one.independent else _in_turns(one, bar))
    except BaseException:  # a folder in which nothing was kept is not bound to what was refused or cut
        if kept is not None:
            kept.release()
        raise
    images, results, misfits = map(list, zip(*done))
    return Run(scale, images, results, fit, misfits, recipe)


def _tested(recipe, models) -> None:
    """Operators made elsewhere, once for all parts: the model's own are ours."""
    if recipe.check and any(map(foreign, behind(recipe.prior))):
        model = next((m for m in models if m is not None), None)
        if model is not None:
            probe(Problem(model.A, model.y), recipe.prior)


class _Part:
    """Part z solved: (picture, result, misfit)."""

    def __init__(self, recipe, parts, models, scale, sigma, gpu, kept, callbacks, progress, starts=None):
        self.recipe, self.parts, self.models, self.scale, self.sigma = recipe, parts, models, scale, sigma
        self.gpu, self.kept, self.callbacks, self.progress = gpu, kept, callbacks, progress
        self.starts = starts
        self.cut = False  # Ctrl-C ended a fit: those that were not begun are as they would begin

    @property
    def independent(self) -> bool:
        """Whether parts can run side by side: nothing but arrays of their own, no network and no call of the user's."""
        return (len(self.parts) > 1 and backend.threads() > 1 and self.gpu is None and not self.callbacks
                and self.recipe.network is None and self.recipe.prior.solver() is None
                and not any(p.implicit for p in walk(self.recipe.prior)))

    def __call__(self, z: int, stop: Callable | None = None):
        model, recipe = self.models[z], self.recipe
        if model is None:
            result = empty(self.parts[z])
            return result.x, result, None
        fits = recipe.prior is not None and recipe.prior.solver() is not None
        shown = self.progress and (len(self.parts) == 1 or fits)
        solve = partial(recipe.solve_model, model, self.scale, progress=shown, check=False,
                        x0=self.starts and self.starts[z])
        callbacks = self.callbacks if stop is None else (stop,)
        if self.cut and not (self.kept and self.kept.finished(z)):
            result = replace(solve(max_iter=0), status="stopped", history=[])
        else:
            result = solve(callbacks) if self.kept is None else self.kept.run(z, solve, callbacks, model.y)
            self.cut |= result.interrupted
        usable = result.ok or len(self.parts) == 1
        image = backend.to_numpy(model.image(result.x if usable else plain(model, self.scale)))
        left = misfit(model, result, self.parts[z], recipe, self.scale, self.sigma)
        if self.gpu is not None:
            result = home(result, partial(_problem, recipe, self.parts[z], self.scale))
        return image, result, left


def _in_turns(one, bar):
    for z in range(len(one.parts)):
        done = one(z)
        bar.update()
        yield done


def _side_by_side(one, bar):
    """All parts on the library's threads, each part on one of them: the same bits as one after another."""
    cut = threading.Event()

    def stop(problem, state):
        if cut.is_set():
            raise KeyboardInterrupt

    def work(z):
        done = one(z, stop)
        bar.update()
        return done

    return backend.side_by_side(work, range(len(one.parts)), cut)


def _bar(shown, total):
    from tqdm import tqdm

    return tqdm(total=total, desc="parts", disable=not shown, leave=False)


def _problem(recipe, part, scale):
    """(A, y, prior) of a part in scaled units, on the CPU."""
    model = model_of(part, recipe.method)
    return model.A, model.y * backend.number(scale, model.y), recipe.prior
