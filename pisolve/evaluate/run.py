"""Running a plan: every finished reconstruction is on the disk, so that a killed comparison goes on where it was."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pisolve import backend, io, masks
from pisolve.evaluate.consistency.consistency import consistency
from pisolve.evaluate.consistency.forward import noise_of
from pisolve.evaluate.consistency.holdout import holdout_error
from pisolve.evaluate.crimes.crimes import Crime, crimes
from pisolve.evaluate.memory import peak_growth
from pisolve.evaluate.notes import predicts, unjudged
from pisolve.evaluate.plan import Plan, kept
from pisolve.evaluate.stability.replay import one_slice
from pisolve.prepare import Sampling, Sense, fully_sampled, like_rss, models_of, prepare, zero_filled
from pisolve.recipe import Recipe, Reconstruction
from pisolve.tuning import tune_prepared
from pisolve.tuning.strength import family

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
    found = _crimes(plan, folder, name, index)
    notes = [str(Crime(**c)) for c in found["found"]]
    if NO_TRUTH in [c["name"] for c in found["found"]]:
        scan = replace(scan, reference=None)
        notes.append("the reference of this scan is not used: methods are judged by withheld samples instead")
    kind = GIVEN if scan.reference is not None and not plan.common["whiten"] else FULL
    if sampling is not None and not fully_sampled(scan):
        if scan.mask is None:  # or undersampling would take it for a full scan
            scan = replace(scan, mask=masks.estimate(scan.kspace))
        if scan.reference is None:
            notes.append("not fully sampled to begin with, so there is no reference: what was sampled is thinned out")
    if isinstance(sampling, np.ndarray):
        sampling = _Given(sampling)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scan = prepare(scan, sampling=sampling, method=_common(plan), **plan.common)
    notes += [str(w.message) for w in caught if issubclass(w.category, UserWarning)] + unjudged(plan, scan)
    if sampling is not None:
        notes += scan.warnings()  # such as too few lines in the centre for coil maps
    arrays = {n: getattr(scan, n) for n in ("kspace", "mask", "mps", "reference", "noise", "calib")}
    _savez(place / "prepared.npz", **{n: a for n, a in arrays.items() if a is not None},
           meta=json.dumps(kept(scan.meta)))
    scale = models_of(scan, _common(plan))[1]
    shape = scan.kspace.shape if scan.kspace.ndim == 4 else (1, *scan.kspace.shape)
    noise = _noise(scan)
    reference = {} if scan.reference is None else {"reference": abs(_volume(scan.reference))}
    about = {"scan": name, "kind": kind if reference else "", "shape": list(shape), "scale": scale,
             "noise": noise and noise.sigma, "noise_from": noise.source if noise else "no noise was found",
             "samples": scan.noise is not None, "crimes": found, "warnings": list(dict.fromkeys(notes))}
    if isinstance(sampling, Sampling):
        about |= {"accel": sampling.accel, "mask": sampling.mask, "seed": sampling.seed}
    _savez(place / "setting.npz", pattern=scan.mask, about=json.dumps(about), **reference)


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
        return _about(path)["crimes"]
    return crimes(plan.scans[name]).to_dict()


def _about(path) -> dict:
    with np.load(path) as file:
        return json.loads(str(file["about"]))


def _noise(scan):
    """The noise of a scan, None where there is none, as in some simulations."""
    try:
        return noise_of(scan)
    except ValueError:
        return None


def _common(plan):
    """The method that all get maps and the setting its scale by: SENSE where any needs maps, for it takes any mask."""
    methods = [r.method for r in plan.methods.values() if r is not None]
    return Sense() if not methods or any(m.needs_maps for m in methods) else methods[0]


def prepared(folder: Path, index: int) -> io.Scan:
    """The scan that all methods get on a setting."""
    with np.load(folder / f"{index:03d}" / "prepared.npz") as file:
        parts = {n: file[n] for n in file.files}
    return io.Scan(parts.pop("kspace"), meta=json.loads(str(parts.pop("meta"))), **parts)


@dataclass(frozen=True)
class Job:
    """One method on one setting: picklable, for other processes.

    Attributes:
        folder: where everything is kept.
        setting: index of the setting.
        method: index of the method.
        recipe: what to do, None for the zero-filled image.
        tune, trials: how its strength is chosen; tune None: as it is.
    """

    folder: Path
    setting: int
    method: int
    recipe: Recipe | None
    tune: str | None
    trials: int

    def file(self, what: str) -> Path:
        """Where something of this job is kept."""
        return self.folder / f"{self.setting:03d}" / f"{self.method:02d}-{what}"

    def missing(self, count: int) -> list[int]:
        """The slices that are still to be done."""
        return [z for z in range(count) if not self.slice_file(z).exists()]

    def unfinished(self, count: int) -> bool:
        """Whether anything is left to do; what failed is tried again."""
        if self.missing(count) or self.file("failed.json").exists():
            return True
        return predicts(self.recipe) and not self.file("holdout.json").exists() and not self.truth()

    def truth(self) -> bool:
        """Whether the setting has a reference."""
        with np.load(self.folder / f"{self.setting:03d}" / "setting.npz") as file:
            return "reference" in file

    def noise(self) -> float | None:
        """The noise level of the setting, None where its noise samples say it."""
        about = _about(self.folder / f"{self.setting:03d}" / "setting.npz")
        return None if about["samples"] else about["noise"]

    def slice_file(self, z: int) -> Path:
        """Where the result of one slice is."""
        return self.file(f"{z:03d}.npz")


def jobs_of(plan: Plan, folder: Path) -> list[Job]:
    """Every method on every setting."""
    return [Job(folder, k, m, recipe, plan.tune if plan.tuned(name) else None, plan.trials)
            for k in range(len(plan.settings())) for m, (name, recipe) in enumerate(plan.methods.items())]


def do(job: Job, done: Callable[[], None] = lambda: None, progress: bool = False) -> None:
    """Run a job as far as it is not done: tuning first, then slice by slice; `done` is called after each of them.

    A method that raises must not take the others with it: what it said is kept, and the method has failed.
    """
    failed = job.file("failed.json")
    failed.unlink(missing_ok=True)
    try:
        _do(job, done, progress)
    except (ArithmeticError, ImportError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        with io.atomic(failed) as temporary:
            temporary.write_text(json.dumps({"error": " ".join(f"{type(error).__name__}: {error}".split())}))


def _do(job, done, progress):
    scan = prepared(job.folder, job.setting)
    if job.recipe is None:
        return _zero_filled(job, scan, done)
    recipe, models, noise = job.recipe, None, job.noise()
    if job.tune is not None:
        _tune(job, scan, progress)
        recipe = chosen(job)
        done()
    count = len(_volume(scan.kspace, 4))
    for z in job.missing(count):
        if models is None:  # of all slices, for the scale: each gets an equal share of what that costs
            start = time.perf_counter()
            with peak_growth() as fitting:
                models, scale = models_of(scan, recipe.method.watched(count, progress=progress))
            share = (time.perf_counter() - start) / count
        start = time.perf_counter()
        with peak_growth() as solving:
            result = recipe.solve(models[z], scale)
        x = backend.to_numpy(models[z].image(result.x))
        x = x / x.real.dtype.type(scale)
        seconds = share + time.perf_counter() - start
        memory = max((p.mb for p in (fitting, solving) if p.mb is not None), default=None)
        one = one_slice(scan, z)
        as_one = Reconstruction(x, result.status, [result], scale, replace(recipe, solver=result.solver), one, {})
        found = consistency(as_one, noise=noise) if result.ok and (noise or scan.noise is not None) else None
        shown = like_rss(one, x) if recipe.method.needs_maps else x  # the others are roots of sums of squares
        _savez(job.slice_file(z), image=scan.crop(shown), **_residual(found), about=json.dumps(
            {"status": result.status, "iterations": result.state.k, "seconds": seconds, "memory_mb": memory,
             "solver": "network" if recipe.network is not None else type(result.solver).__name__,
             "history": [] if recipe.network is not None else _history(result), "chi": found and found.chi}))
        done()
    if scan.reference is None:
        _predicted(job, recipe, scan)


def _residual(found) -> dict:
    """The residual in k-space, in units of the noise, where there is one."""
    return {} if found is None or found.kspace is None else {"residual": np.minimum(found.kspace, 6e4).astype("f2")}


def _predicted(job, recipe, scan) -> None:
    """Keep how well the method predicts samples that it does not see."""
    path = job.file("holdout.json")
    if path.exists() or not predicts(recipe):
        return
    found = holdout_error(recipe, scan, memo=Memo(path.with_suffix(".jsonl")))
    with io.atomic(path) as temporary:
        temporary.write_text(json.dumps(found.to_dict()))


def _zero_filled(job, scan, done):
    for z in job.missing(len(_volume(scan.kspace, 4))):
        one, start = one_slice(scan, z), time.perf_counter()
        image = zero_filled(one)
        about = {"status": "done", "iterations": 0, "seconds": time.perf_counter() - start, "memory_mb": None,
                 "solver": "", "history": [], "chi": None}
        image = scan.crop(like_rss(one, image))
        _savez(job.slice_file(z), image=image.astype(scan.kspace.dtype), about=json.dumps(about))
        done()


def _tune(job: Job, scan, progress) -> None:
    """Choose the strength; what is known of it is read, what is found is kept at once."""
    path = job.file("tuning.json")
    if path.exists():
        return
    memo = Memo(path.with_suffix(".jsonl"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tuning = tune_prepared(scan, job.recipe.prior, method=job.tune, solver=job.recipe.solver,
                               max_iter=job.recipe.max_iter, tol=job.recipe.tol, trials=job.trials, memo=memo,
                               progress=progress)
    told = [str(w.message).removeprefix("tune: ") for w in caught if issubclass(w.category, UserWarning)]
    with io.atomic(path) as temporary:
        temporary.write_text(json.dumps({**tuning.to_dict(), "warnings": told}))


def chosen(job: Job) -> Recipe:
    """The recipe at the strength that was chosen for it."""
    if job.tune is None:
        return job.recipe
    found = json.loads(job.file("tuning.json").read_text())
    return replace(job.recipe, prior=family(job.recipe.prior).make(found["strength"]))


class Memo(dict):
    """Numbers by name that outlive the process: every new one is appended to a file at once."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]  # a kill may have cut the last one off
        for line in whole:
            super().__setitem__(*json.loads(line))
        if len(whole) < len(lines):
            with io.atomic(path) as temporary:
                temporary.write_text("".join(whole))

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps([key, value]) + "\n")


def _history(result) -> list[dict]:
    """What a run says of each of its iterations, as plain numbers."""
    names = ("k", "residual", "seconds", "value", "ratio")
    return [{n: float(h[n]) for n in names if h.get(n) is not None} for h in result.history]


def _savez(path, **arrays) -> None:
    with io.atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def _volume(x, ndim: int = 3):
    return x if x.ndim == ndim else x[None]
