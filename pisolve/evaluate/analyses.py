"""What to trust of the methods of a comparison, beside each other: sections of its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve._words import ANALYSES
from pisolve.evaluate.comparison import Comparison
from pisolve.evaluate.consistency.visibility import visibility
from pisolve.evaluate.gfactor import gfactors
from pisolve.evaluate.job import chosen, jobs_of, prepared
from pisolve.evaluate.outcome import FAILED
from pisolve.evaluate.plan import Plan
from pisolve.evaluate.planes import one_part, told, which
from pisolve.evaluate.realism import TITLE, compared
from pisolve.evaluate.section import Curves, Picture, Section
from pisolve.evaluate.stability.stability import stability
from pisolve.evaluate.uncertainty.posterior import score_of
from pisolve.evaluate.uncertainty.uncertainty import uncertainty
from pisolve.prepare import Sampling, fully_sampled

SIZES, STEPS = (0.005, 0.01, 0.02, 0.05), 3


def check(analyses) -> tuple[str, ...]:
    """The names of the analyses that were asked for."""
    names = (analyses,) if isinstance(analyses, str) else tuple(analyses)
    for name in names:
        _check.choice("analyses", name, ANALYSES)
    return names


def explained(comparison: Comparison) -> list[Section]:
    """One section: chi of every method, and where in k-space the first setting's images disagree with the data."""
    rows, pictures = [], {}
    for (k, name), o in sorted(comparison.outcomes.items(), key=lambda item: item[0][0]):
        if o.values.get("chi") is None:
            continue
        rows.append({"setting": comparison.settings[k].label, "method": name, "chi": o.values["chi"]})
        if k == 0 and o.residual is not None:
            shown = np.log10(np.maximum(o.residual.astype(float), 10.0**-2)) * (o.residual > 0)
            pictures[name] = Picture(np.where(o.residual > 0, shown, -2.0), -1.0, 1.5, "log10 of the noise", "heat",
                                     place=False)
    if not rows:
        return []
    first = comparison.settings[0]
    text = ("Every image is sent through coil maps, Fourier transform and sampling and compared with what was "
            f"measured, in units of the noise (standard deviation {first.noise:.3g}, {first.noise_from}). "
            "chi = sqrt(mean |r|^2 / 2): 1 is noise alone, well above 1 something was invented or lost, below 1 the "
            "image follows the noise of its samples. The pictures show |r| by its place in k-space, root mean square "
            f"over coils, for the middle plane of {first.label}; of samples anywhere by shot and sample.\n\nWhat the "
            "samples do not determine leaves no trace here: a structure made to lie in the null space passes whatever "
            "it shows. 'visibility' maps where that is possible.")
    return [Section("Does the image explain the data?", text, rows, pictures)]


def analyse(names, plan: Plan, work: Path, comparison: Comparison, progress: bool = False) -> list[Section]:
    """The sections of the analyses, on the middle slice of the first setting, at the strengths that were chosen.

    "realism" is of all settings, and comes by itself where a network says that it may invent detail.
    """
    if comparison.about.get("warned") and "realism" not in names:
        names = (*names, "realism")
    if not names:
        return []
    scan, out = prepared(work, 0), []
    z = which(scan, None)
    one, label = one_part(scan, z), told(scan.labels()[z])
    recipes = {name: chosen(job) for name, job in zip(plan.methods, jobs_of(plan, work))  # the first setting's
               if job.recipe is not None and comparison.outcomes[0, name].status not in FAILED}
    where = f" On {comparison.settings[0].label}" + (f", {label}." if label else ".")
    for name in names:
        try:
            if name == "realism":
                out += compared(comparison) or [Section(TITLE, warnings=["realism needs a reference, and a method that "
                                                                       "did not fail"])]
            elif name == "visibility":
                found = visibility(one).section()
                out.append(replace(found, title="Where could something hide?", text=found.text + where))
            elif name == "gfactor":
                out += gfactors(recipes, one, where, progress)
            elif recipes:
                out += _EACH[name](recipes, plan, one, where, progress)
        except (ArithmeticError, MemoryError, RuntimeError, TypeError, ValueError) as error:  # the others are worth it
            out.append(Section(name.capitalize(), warnings=[f"{name} could not be done: {error}"]))
    return [section.on(comparison.settings[0].pixel) for section in out]


def _stability(recipes, plan, one, where, progress) -> list[Section]:
    full, sampling = next(iter(plan.scans.values())), plan.samplings[0]
    more = isinstance(sampling, Sampling) and fully_sampled(full)
    found, notes = {}, []
    for name, recipe in recipes.items():
        found[name] = stability(recipe, one, sizes=SIZES, steps=STEPS, tests=("perturbation", "details"),
                                progress=progress)
        notes += [f"{name}: {w}" for w in found[name].warnings]
    gains = {n: ([100 * r["size"] for r in s.perturbation.rows], [r["gain"] for r in s.perturbation.rows])
             for n, s in found.items()}
    rows = [{"method": n, **{f"gain at {100 * r['size']:g} %": r["gain"] for r in s.perturbation.rows},
             "gain of noise": s.perturbation.rows[-1]["noise gain"], "found by": s.perturbation.by}
            for n, s in found.items()]
    out = [Section("Stability: perturbed data", "The worst change of the data that was found, of 0.5 to 5 % of their "
                   "norm, beside white noise of the same size: gain = relative change of the image over relative "
                   "change of the data. A large gain refutes; a small one is good news, and no proof. Classical "
                   "methods have gains well above 1, too, where the coils tell pixels apart least: compare." + where,
                   rows,
                   curves=[Curves("Worst perturbation", "size [% of the data]", "gain", gains, "xy")],
                   warnings=notes)]
    rows = [{"structure": r["structure"], "contrast": r["contrast"],
             **{n: next((q["recovered"] for q in s.details.rows if (q["structure"], q["contrast"]) ==
                         (r["structure"], r["contrast"])), None) for n, s in found.items()}}
            for r in next(iter(found.values())).details.rows]
    out.append(Section("Stability: small structures", "Dots, lines, a lesion and text inserted into the object, at a "
                       "contrast in units of its 99th percentile: the table says how much of each is recovered, 1 as "
                       "it is, 0 lost, mean over the copies." + where, rows))
    if more:
        lines, worse = {}, []
        for name, recipe in recipes.items():
            s = stability(replace(recipe, sampling=sampling), full, tests=("samples",), progress=progress)
            if s.samples:
                lines[name] = ([r["acceleration"] for r in s.samples], [r["NMSE"] for r in s.samples])
                worse += [f"{name}: {w}" for w in s.warnings]
        if lines:
            out.append(Section("Stability: more and fewer samples", "The full scan under other accelerations than that "
                               "of the comparison, with the same strengths; maps are made anew from each.",
                               curves=[Curves("More and fewer samples", "acceleration", "NMSE inside the body", lines,
                                              "y")], warnings=worse))
    return out


def _uncertainty(recipes, plan, one, where, progress) -> list[Section]:
    rows, pictures, notes, text = [], {}, [], ""
    for name, recipe in recipes.items():
        if recipe.method.fits:
            continue
        found = uncertainty(recipe, one, progress=progress)
        part = found.section()
        text = text or part.text.split("\n\nAgainst")[0]
        rows.append({"method": name, **{k: v for k, v in part.rows[0].items() if k != "by"}})
        pictures[name] = part.pictures["std"]
        notes += [f"{name}: {w}" for w in part.warnings]
    high = max((p.high for p in pictures.values()), default=1.0)
    pictures = {n: replace(p, high=high) for n, p in pictures.items()}
    left = [n for n in recipes if n not in pictures]
    text += where + (f" Not done for {', '.join(left)}: k-space methods." if left else "")
    return [Section("Uncertainty: noise in the image", text, rows, pictures, warnings=notes)]


def _posterior(recipes, plan, one, where, progress) -> list[Section]:
    """Draws by the denoiser of each method that has one."""
    out = []
    for name, recipe in recipes.items():
        if score_of(recipe) is not None:
            part = uncertainty(recipe, one, by="posterior", progress=progress).section()
            out.append(replace(part, title=f"Uncertainty: draws from the posterior, {name}", text=part.text + where))
    if not out:
        raise ValueError("no method here has a denoiser for any level, such as pnp: there is nothing to draw with")
    return out


_EACH = {"stability": _stability, "uncertainty": _uncertainty, "posterior": _posterior}
