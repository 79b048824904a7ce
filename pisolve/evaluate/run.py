"""Running a plan: every finished reconstruction is on the disk, so that a killed comparison goes on where it was."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pisolve import backend
from pisolve.evaluate.consistency.consistency import consistency
from pisolve.evaluate.consistency.forward import noise_of
from pisolve.evaluate.consistency.holdout import holdout_error
from pisolve.evaluate.crimes.crimes import Crime, Crimes, crimes
from pisolve.evaluate.folder import Memo, write_json, write_npz
from pisolve.evaluate.job import Job, about, chosen, prepared
from pisolve.evaluate.memory import peak_growth
from pisolve.evaluate.notes import predicts, unjudged
from pisolve.evaluate.objective import Objective, told
from pisolve.evaluate.plan import Plan, kept
from pisolve.evaluate.planes import middle
from pisolve.prepare import EACH, SENSE, TOLD, Sampling, fully_sampled, like_rss, models_of, prepare, zero_filled
from pisolve.recipe import Reconstruction
from pisolve.recipe.reconstruction import empty
from pisolve.scan import estimate
from pisolve.scan.size import pixel_of
from pisolve.tuning import tune_prepared

NO_TRUTH = "reference of undersampled data"  # the crime
FULL, GIVEN = "root sum of squares of the fully sampled k-space", "given with the scan"


def settle(plan: Plan, folder: Path, index: int) -> None:
    """Write what all methods get on one setting, k-space, mask and maps, where it is not there yet."""
    place = folder / f"{index:03d}"
    if (place / "setting.npz").exists() and (place / "prepared.npz").exists():
        return
    place.mkdir(parents=True, exist_ok=True)
    name, sampling = plan.settings()[index]
    scan = plan.scans[name]
    suspected = _crimes(plan, folder, name, index)
    notes = [str(Crime(**c)) for c in suspected["found"]]
    if NO_TRUTH in [c["name"] for c in suspected["found"]]:
        scan = replace(scan, reference=None)
        notes.append("the reference of this scan is not used: methods are judged by withheld samples instead")
    kind = GIVEN if scan.reference is not None and not plan.common["whiten"] else FULL
    if sampling is not None and not fully_sampled(scan):
        if scan.mask is None:  # or undersampling would take it for a full scan
            scan = replace(scan, mask=estimate(scan.kspace, scan.axes))
        if scan.reference is None:
            notes.append("not fully sampled to begin with, so there is no reference: what was sampled is thinned out")
    if isinstance(sampling, np.ndarray):
        sampling = _Given(sampling)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        method, each = _common(plan)
        scan = prepare(scan, sampling=sampling, method=method, each=each, **plan.common)
    notes += [f"{word}: {scan.meta[n]}" for n, word in TOLD.items() if n in scan.meta]
    notes += [str(w.message) for w in caught if issubclass(w.category, UserWarning)] + unjudged(plan, scan)
    if sampling is not None:
        notes += scan.warnings()  # such as too few lines in the centre for coil maps
    arrays = {n: getattr(scan, n) for n in (*scan.named(), "noise", "size") if n != "weights"}
    write_npz(place / "prepared.npz", **{n: a for n, a in arrays.items() if a is not None},
           meta=json.dumps(kept(scan.meta)), axes=json.dumps(scan.axes))
    scale = models_of(scan, method, each=each)[1]
    front = () if "slice" in scan.axes else (1,)  # images of a comparison have slices
    noise = _noise(scan)
    reference = {} if scan.reference is None else {"reference": abs(scan.reference[(None,) * len(front)])}
    inside = {} if scan.size is None else {"size": scan.size}
    found = {"scan": name, **inside, "kind": kind if reference else "", "shape": [*front, *scan.kspace.shape],
             "axes": [*("slice" for _ in front), *scan.axes], "scale": scale,
             "noise": noise and noise.sigma, "noise_from": noise.source if noise else "no noise was found",
             "pixel": pixel_of(scan.meta), "samples": scan.noise is not None, "crimes": suspected,
             "warnings": list(dict.fromkeys(notes))}
    if isinstance(sampling, Sampling):
        accel = sampling.accel if sampling.accel is not None else round(sampling.rate(scan.size), 2)
        found |= {"accel": accel, "mask": sampling.mask, "seed": sampling.seed}
    write_npz(place / "setting.npz", pattern=scan.mask, about=json.dumps(found), **reference)


@dataclass(frozen=True)
class _Given:
    """A pattern as a sampling."""

    mask: np.ndarray

    def __call__(self, scan):
        return scan.undersample(self.mask)


def _crimes(plan, folder, name, index) -> dict:
    """What is odd about a scan, looked for once however often it is sampled."""
    first = next(k for k, (scan, _) in enumerate(plan.settings()) if scan == name)
    path = folder / f"{first:03d}" / "setting.npz"
    if first != index and path.exists():
        return about(path)["crimes"]
    scan = plan.scans[name]
    return crimes(scan).to_dict() if scan.coord is None else Crimes((), ()).to_dict()  # they look at a grid


def _noise(scan):
    """The noise of a scan, None where there is none, as in some simulations."""
    try:
        return noise_of(scan)
    except ValueError:
        return None


def _common(plan):
    """The method, and its `each`, that all get maps and the setting its scale by.

    SENSE where any needs maps, for it takes any mask.
    """
    recipes = [r for r in plan.methods.values() if r is not None]
    if not recipes or any(r.method.needs_maps for r in recipes):
        return SENSE, EACH
    return recipes[0].method, recipes[0].each


def do(job: Job, done: Callable[[], None] = lambda: None, progress: bool = False) -> None:
    """Run a job as far as it is not done: tuning first, then part by part; `done` is called after each of them.

    A method that raises must not take the others with it: what it said is kept, and the method has failed.
    """
    failed = job.file("failed.json")
    failed.unlink(missing_ok=True)
    try:
        _do(job, done, progress)
    except (ArithmeticError, ImportError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        write_json(failed, {"error": " ".join(f"{type(error).__name__}: {error}".split())})


def _do(job, done, progress):
    scan = prepared(job.folder, job.setting)
    if job.recipe is None:
        return _zero_filled(job, scan, done)
    recipe, models, noise = job.recipe, None, job.noise()
    recipe.method.takes(scan, job.each)
    if job.tune is not None:
        _tune(job, scan, progress)
        recipe = chosen(job)
        done()
    parts, labels = scan.parts(job.each), scan.labels(job.each)
    count = len(parts)
    for z in job.missing(count):
        if models is None:  # of all slices, for the scale: each gets an equal share of what that costs
            start = time.perf_counter()
            with peak_growth() as fitting:
                models, scale = models_of(scan, recipe.method.watched(count, progress=progress), each=job.each)
            share = (time.perf_counter() - start) / count
        if models[z] is None:
            _keep(job, z, scan, labels[z], empty(parts[z]).x, {"status": "empty", "iterations": 0, "seconds": share})
            done()
            continue
        start, watch = time.perf_counter(), Objective()
        with peak_growth() as solving:
            result = recipe.solve(models[z], scale, (watch,) if z == count // 2 and told(recipe.prior) else ())
        x = backend.to_numpy(models[z].image(result.x))
        x = x / x.real.dtype.type(scale)
        seconds = share + time.perf_counter() - start - watch.seconds
        memory = max((p.mb for p in (fitting, solving) if p.mb is not None), default=None)
        one = parts[z]
        as_one = Reconstruction(x, result.status, [result], scale, replace(recipe, solver=result.solver, each=()), one,
                                {})
        judged = result.ok and (noise or scan.noise is not None)
        found = consistency(as_one, noise=noise) if judged else None
        shown = like_rss(one, x) if recipe.method.needs_maps else x  # the others are roots of sums of squares
        _keep(job, z, scan, labels[z], shown, {
            "status": result.status, "iterations": result.state.k, "seconds": seconds, "memory_mb": memory,
            "solver": "network" if result.solver is None else type(result.solver).__name__,
            "history": _history(result), "chi": found and found.chi}, **_residual(found))
        done()
    if scan.reference is None:
        _predicted(job, recipe, scan)


def _keep(job, z, scan, label, image, told, **arrays) -> None:
    """Write the image of a part, not cropped, and what is known of it."""
    label = label if "slice" in scan.axes else {"slice": 0, **label}
    usual = {"memory_mb": None, "solver": "", "history": [], "chi": None, "label": label}
    write_npz(job.slice_file(z), image=image, **arrays, about=json.dumps(usual | told))


def _residual(found) -> dict:
    """The residual in k-space, of the middle plane, in units of the noise, where there is one."""
    if found is None or found.kspace is None:
        return {}
    return {"residual": np.minimum(middle(found.kspace), 6e4).astype("f2")}


def _predicted(job, recipe, scan) -> None:
    """Keep how well the method predicts samples that it does not see."""
    path = job.file("holdout.json")
    if path.exists() or not predicts(recipe):
        return
    found = holdout_error(recipe, scan, memo=Memo(path.with_suffix(".jsonl")))
    write_json(path, found.to_dict())


def _zero_filled(job, scan, done):
    parts = scan.parts(job.each)
    for z in job.missing(len(parts)):
        one, start = parts[z], time.perf_counter()
        image = zero_filled(one)
        told = {"status": "done", "iterations": 0, "seconds": time.perf_counter() - start}
        _keep(job, z, scan, scan.labels(job.each)[z], like_rss(one, image).astype(scan.kspace.dtype), told)
        done()


def _tune(job: Job, scan, progress) -> None:
    """Choose the strength; what is known of it is read, what is found is kept at once."""
    path = job.file("tuning.json")
    if path.exists():
        return
    memo = Memo(path.with_suffix(".jsonl"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuning = tune_prepared(scan, job.recipe.prior, criterion=job.tune, solver=job.recipe.solver,
                               max_iter=job.recipe.max_iter, tol=job.recipe.tol, trials=job.trials, folds=job.folds,
                               memo=memo, each=job.each, progress=progress)
    told = [str(w.message).removeprefix("tune: ") for w in caught if issubclass(w.category, UserWarning)]
    write_json(path, {**tuning.to_dict(), "warnings": told})


def _history(result) -> list[dict]:
    """What a run says of each of its iterations, as plain numbers."""
    names = {"k": "k", "residual": "residual", "seconds": "seconds", "value": "objective", "ratio": "ratio",
             "moved": "moved"}
    return [{n: float(h[key] - (h.get("aside", 0) if n == "seconds" else 0)) for n, key in names.items()
             if h.get(key) is not None} for h in result.history]
