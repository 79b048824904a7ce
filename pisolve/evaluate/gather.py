"""From the parts of a comparison to its numbers."""

from __future__ import annotations

import importlib.metadata
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import metrics
from pisolve._version import __version__
from pisolve.evaluate import run
from pisolve.evaluate.comparison import DEFINITIONS, Comparison, Outcome, Setting
from pisolve.evaluate.crimes.crimes import Crime, Crimes
from pisolve.evaluate.outcome import FAILED
from pisolve.evaluate.plan import Plan
from pisolve.recipe import WORST

METRICS = ("psnr_body", "nmse", "psnr", "ssim", "hfen")


def gather(plan: Plan, work: Path) -> Comparison:
    """The comparison of what lies in a folder."""
    settings, outcomes, suspected = [], {}, {}
    for k, (name, _) in enumerate(plan.settings()):
        with np.load(work / f"{k:03d}" / "setting.npz") as file:
            about = json.loads(str(file["about"]))
            pattern, reference = file["pattern"], file.get("reference")
        settings.append(Setting(about["scan"], about.get("accel"), about.get("mask"), about.get("seed"), pattern,
                                reference, about["kind"], tuple(about["shape"]), about["scale"],
                                tuple(about["warnings"]), about["noise"], about["noise_from"]))
        found = about["crimes"]
        suspected.setdefault(name, Crimes(tuple(Crime(**c) for c in found["found"]), tuple(found["checks"])).section())
    for job in run.jobs_of(plan, work):
        name = list(plan.methods)[job.method]
        outcomes[job.setting, name] = _outcome(job, name, settings[job.setting])
    try:
        written, notes = {**plan.to_dict(), "fingerprint": plan.fingerprint}, []
    except ValueError as error:
        written, notes = None, [f"this comparison cannot be run again from its file: {error}"]
    if plan.tune == "reference":
        notes.append("strengths were chosen by the reference, an oracle's choice: these numbers cannot be had in "
                     "practice")
    for (k, name), outcome in outcomes.items():
        if outcome.status in FAILED:
            why = outcome.solver if outcome.status == "failed" else outcome.status
            notes.append(f"{name} has no numbers on {settings[k].label}: {why}")
    about = {"pisolve": __version__, "tune": plan.tune, "trials": plan.trials, "plan": written,
             "versions": {n: importlib.metadata.version(n) for n in ("numpy", "scipy", "sigpy", "torch")},
             **{n: repr(v) for n, v in plan.common.items() if v},
             "definitions": {m: DEFINITIONS[m] for o in outcomes.values() for m in o.values if m in DEFINITIONS}}
    sections = [replace(s, title=f"{s.title}: {name}", warnings=[]) for name, s in suspected.items()]  # told already
    words = {n: _words(r, plan.tuned(n)) for n, r in plan.methods.items()}
    return Comparison(tuple(settings), words, outcomes, about, tuple(notes), tuple(sections))


def _words(recipe, tuned: bool) -> str:
    if recipe is None:
        return "A^H y, weighted by the coil maps"
    if recipe.network is not None:
        return f"network {type(recipe.network).__name__}"
    method = "" if type(recipe.method).__name__ == "Sense" else f"{recipe.method!r}, "
    solver = "" if recipe.solver is None else f" by {recipe.solver!r}"
    chosen = ", its strength chosen" if tuned else ""
    return f"{method}{recipe.prior!r}{chosen}{solver}, at most {recipe.max_iter} iterations"


def _outcome(job, name, setting) -> Outcome:
    failed = _read(job, "failed")
    if failed is not None:
        return _failed(job, name, setting, failed["error"])
    images, parts, residual = [], [], None
    for z in range(setting.shape[0]):
        with np.load(job.slice_file(z)) as file:
            images.append(file["image"])
            parts.append(json.loads(str(file["about"])))
            if z == setting.shape[0] // 2:
                residual = file.get("residual")
    images = np.stack(images)
    worst = min((p["status"] for p in parts), key=WORST.index)
    values, slices = (unjudged if worst in FAILED else judged)(setting.reference, images)
    chis = [p["chi"] for p in parts]
    if None not in chis:
        values["chi"], slices["chi"] = float(np.sqrt(np.mean(np.square(chis)))), chis
    tuning, holdout = (_read(job, kind) for kind in ("tuning", "holdout"))
    if holdout is not None:
        for kind, one, each in (("holdout", "error", "slices"), ("holdout_image", "image_error", "image_slices")):
            if holdout[one] is not None:
                values, slices = {kind: holdout[one], **values}, {kind: holdout[each], **slices}
    if worst in FAILED or (holdout and holdout["failed"]):  # numbers of a stand-in, or of the easier folds
        values, slices = dict.fromkeys(values, math.nan), {n: [math.nan] * len(v) for n, v in slices.items()}
    strength = "" if tuning is None else f"{tuning['kind']} = {tuning['strength']:.3g}"
    memory = [p["memory_mb"] for p in parts if p["memory_mb"] is not None]
    return Outcome(job.setting, name, images, worst, tuple(p["iterations"] for p in parts),
                   tuple(p["seconds"] for p in parts), max(memory, default=None), values, slices, strength, tuning,
                   parts[len(parts) // 2]["history"], parts[0]["solver"], residual)


def _failed(job, name, setting, error) -> Outcome:
    """A method that raised: no image and no numbers, and what it said in the place of its solver."""
    shape = (setting.shape[0], *setting.shape[-2:]) if setting.reference is None else setting.reference.shape
    images = np.zeros(shape, np.complex64)
    none = (0,) * shape[0]
    return Outcome(job.setting, name, images, "failed", none, tuple(map(float, none)), None,
                   *unjudged(setting.reference, images), solver=error)


def _read(job, kind) -> dict | None:
    """What a job has written beside its images."""
    path = job.file(f"{kind}.json")
    return json.loads(path.read_text()) if path.exists() else None


def judged(reference, images) -> tuple[dict, dict]:
    """({metric: value over the volume}, {metric: one value a slice}) against a reference; empty without one.

    Slices are judged with the volume's maximum as range, so that they can be compared with each other.
    """
    if reference is None:
        return {}, {}
    body, peak = metrics.body(reference), float(reference.max())
    each = [_measured(truth, image, peak, inside) if truth.any() and inside.any() else dict.fromkeys(METRICS, math.nan)
            for truth, image, inside in zip(reference, images, body)]
    return _measured(reference, images, peak, body), {n: [one[n] for one in each] for n in METRICS}


def _measured(reference, image, peak, inside) -> dict:
    """`METRICS` of a volume or a slice."""
    return {"psnr_body": metrics.psnr(reference, image, data_range=peak, region=inside),
            "nmse": metrics.nmse(reference, image), "psnr": metrics.psnr(reference, image, data_range=peak),
            "ssim": metrics.ssim(reference, image, data_range=peak), "hfen": metrics.hfen(reference, image)}


def unjudged(reference, images) -> tuple[dict, dict]:
    """What `judged` gives, without the numbers."""
    names = () if reference is None else METRICS
    return dict.fromkeys(names, math.nan), {n: [math.nan] * len(images) for n in names}
