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
from pisolve.evaluate.comparison import Comparison
from pisolve.evaluate.crimes.crimes import Crime, Crimes
from pisolve.evaluate.folder import read_json
from pisolve.evaluate.job import jobs_of
from pisolve.evaluate.measures import DEFINITIONS
from pisolve.evaluate.outcome import FAILED, Outcome, Setting
from pisolve.evaluate.plan import PLAIN, Plan
from pisolve.evaluate.planes import planes
from pisolve.prepare import SENSE
from pisolve.recipe import WORST

METRICS = ("psnr_body", "nmse", "psnr", "ssim", "hfen")


def gather(plan: Plan, work: Path, further: dict | None = None) -> Comparison:
    """The comparison of what lies in a folder.

    Args:
        plan, work: the plan, and the folder of its parts.
        further: metrics beside `METRICS`, name -> function (reference, image, data_range).
    """
    settings, outcomes, suspected = [], {}, {}
    for k, (name, _) in enumerate(plan.settings()):
        with np.load(work / f"{k:03d}" / "setting.npz") as file:
            about = json.loads(str(file["about"]))
            pattern, reference = file["pattern"], file.get("reference")
        settings.append(Setting(about["scan"], about.get("accel"), about.get("mask"), about.get("seed"), pattern,
                                reference, about["kind"], tuple(about["shape"]), about["scale"],
                                tuple(about["warnings"]), about["noise"], about["noise_from"],
                                tuple(about.get("axes", PLAIN)), about.get("size") and tuple(about["size"]),
                                tuple(about.get("pixel", (1.0, 1.0)))))
        found = about["crimes"]
        suspected.setdefault(name, Crimes(tuple(Crime(**c) for c in found["found"]), tuple(found["checks"])).section())
    for job in jobs_of(plan, work):
        name = list(plan.methods)[job.method]
        outcomes[job.setting, name] = _outcome(job, name, settings[job.setting], further or {})
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
    networks = {name: getattr(recipe, "network", None) for name, recipe in plan.methods.items()}
    warned = {name: network.warning for name, network in networks.items() if getattr(network, "warning", None)}
    notes += [f"{name}: {warning}" for name, warning in warned.items()]
    time = {} if plan.minutes is None else {"folds": plan.folds, "minutes": plan.minutes}
    about = {"pisolve": __version__, "tune": plan.tune, "trials": plan.trials, **time, "plan": written,
             **({"warned": warned} if warned else {}),
             "versions": {n: importlib.metadata.version(n) for n in ("numpy", "scipy", "sigpy", "torch")},
             **{n: repr(v) for n, v in plan.common.items() if v and v != "auto"},
             "definitions": {m: DEFINITIONS[m] for o in outcomes.values() for m in o.values if m in DEFINITIONS}}
    sections = [replace(s, title=f"{s.title}: {name}", warnings=[]) for name, s in suspected.items()]  # told already
    words = {n: _words(r, plan.tuned(n)) for n, r in plan.methods.items()}
    return Comparison(tuple(settings), words, outcomes, about, tuple(notes), tuple(sections))


def _words(recipe, tuned: bool) -> str:
    if recipe is None:
        return "A^H y, weighted by the coil maps"
    if recipe.network is not None:
        return f"network {type(recipe.network).__name__}"
    method = "" if recipe.method == SENSE else f"{recipe.method!r}, "
    solver = "" if recipe.solver is None else f" by {recipe.solver!r}"
    chosen = ", its strength chosen" if tuned else ""
    return f"{method}{recipe.prior!r}{chosen}{solver}, at most {recipe.max_iter} iterations"


def _outcome(job, name, setting, further) -> Outcome:
    failed = _read(job, "failed")
    if failed is not None:
        return _failed(job, name, setting, failed["error"], further)
    parts, places, images, residual = _parts(job, setting)
    worst = min((p["status"] for p in parts), key=WORST.index)
    values, slices = (unjudged if worst in FAILED else judged)(setting.reference, images, further)
    chis = [p["chi"] for p in parts if p["status"] != "empty"]
    if chis and None not in chis:
        values["chi"] = float(np.sqrt(np.mean(np.square(chis))))
        slices["chi"] = _over(places, [math.nan if p["chi"] is None else p["chi"] for p in parts])
    tuning, holdout = (_read(job, kind) for kind in ("tuning", "holdout"))
    if holdout is not None:
        for kind, one, each in (("holdout", "error", "slices"), ("holdout_image", "image_error", "image_slices")):
            if holdout[one] is not None:
                values, slices = {kind: holdout[one], **values}, {kind: _over(places, holdout[each]), **slices}
    if worst in FAILED or (holdout and holdout["failed"]):  # numbers of a stand-in, or of the easier folds
        values, slices = dict.fromkeys(values, math.nan), {n: [math.nan] * len(v) for n, v in slices.items()}
    strength = "" if tuning is None else f"{tuning['kind']} = {tuning['strength']:.3g}"
    memory = [p["memory_mb"] for p in parts if p["memory_mb"] is not None]
    count = [sum(z in place for place in places) for z in range(len(parts))]  # planes of each part
    shared = [p["seconds"] / n for p, n in zip(parts, count)]
    solver = next((p["solver"] for p in parts if p["status"] != "empty"), "")
    return Outcome(job.setting, name, images, worst, tuple(max(parts[z]["iterations"] for z in at) for at in places),
                   tuple(sum(shared[z] for z in at) for at in places), max(memory, default=None), values, slices,
                   strength, tuning, parts[len(parts) // 2]["history"], solver, residual)


def _parts(job, setting):
    """What is known of each part, the parts of each plane, the whole image, and the residual of the middle part."""
    parts, kept, image = [], [], None
    while job.slice_file(len(parts)).exists():
        with np.load(job.slice_file(len(parts))) as file:
            parts.append(json.loads(str(file["about"])))
            kept.append(file.get("residual"))
            found, label = file["image"], parts[-1].setdefault("label", {"slice": len(parts) - 1})
        size = found.shape[-2:] if len(found.shape) == 2 == len(setting.image_shape) - 1 else setting.image_shape[-2:]
        image = np.zeros((*setting.image_shape[:-2], *size), found.dtype) if image is None else image
        image[tuple(label.get(a, slice(None)) for a in setting.image_axes)] = found
    leads = [dict(zip(setting.image_axes[:-2], index)) for index in np.ndindex(*setting.image_shape[:-2])]
    places = [[z for z, p in enumerate(parts) if all(p["label"].get(a, n) == n for a, n in lead.items())]
              for lead in leads]
    if setting.reference is not None:  # which may be a smaller centre
        size = setting.reference.shape[-2:]
        top, left = ((n - m) // 2 for n, m in zip(image.shape[-2:], size))
        image = image[..., top: top + size[0], left: left + size[1]]
    return parts, places, image, kept[len(kept) // 2]


def _over(places, values) -> list[float]:
    """The root mean square over the parts that make a plane: one value a plane; None and NaN count as not known."""
    out = []
    for at in places:
        known = [values[z] for z in at if values[z] is not None and not math.isnan(values[z])]
        out.append(known[0] if len(known) == 1 else float(np.sqrt(np.mean(np.square(known)))) if known else math.nan)
    return out


def _failed(job, name, setting, error, further) -> Outcome:
    """A method that raised: no image and no numbers, and what it said instead of its solver."""
    shape = setting.image_shape if setting.reference is None else setting.reference.shape
    images = np.zeros(shape, np.complex64)
    none = (0,) * len(planes(images))
    return Outcome(job.setting, name, images, "failed", none, tuple(map(float, none)), None,
                   *unjudged(setting.reference, images, further), solver=error)


def _read(job, kind) -> dict | None:
    """What a job has written beside its images."""
    path = job.file(f"{kind}.json")
    return read_json(path) if path.exists() else None


def judged(reference, images, further=()) -> tuple[dict, dict]:
    """({metric: value over the volume}, {metric: one value a plane}) against a reference; empty without one.

    Planes are judged with the volume's maximum as range, so that they can be compared with each other.
    """
    if reference is None:
        return {}, {}
    reference, images = planes(reference), planes(images)
    body, peak = metrics.body(reference), float(reference.max())
    further = dict(further)
    none = dict.fromkeys((*METRICS, *further), math.nan)
    each = [_measured(truth, image, peak, inside, further) if truth.any() and inside.any() else none
            for truth, image, inside in zip(reference, images, body)]
    return _measured(reference, images, peak, body, further), {n: [one[n] for one in each] for n in none}


def _measured(reference, image, peak, inside, further) -> dict:
    """`METRICS` of a volume or a slice, and what there is further."""
    return {"psnr_body": metrics.psnr(reference, image, data_range=peak, region=inside),
            "nmse": metrics.nmse(reference, image), "psnr": metrics.psnr(reference, image, data_range=peak),
            "ssim": metrics.ssim(reference, image, data_range=peak), "hfen": metrics.hfen(reference, image),
            **{name: f(reference, image, peak) for name, f in further.items()}}


def unjudged(reference, images, further=()) -> tuple[dict, dict]:
    """What `judged` gives, without the numbers."""
    names = () if reference is None else (*METRICS, *further)
    return dict.fromkeys(names, math.nan), {n: [math.nan] * len(planes(images)) for n in names}
