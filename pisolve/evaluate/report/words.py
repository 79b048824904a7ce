"""What the report says in words and tables: the verdict, the terms, the warnings."""

from __future__ import annotations

import math
import numbers

import numpy as np

from pisolve.evaluate.comparison import HIGHER
from pisolve.evaluate.tables import cell, columns

METRICS = {  # name -> what a table calls it, unit, decimals
    "psnr": ("PSNR", "dB", 2), "psnr_body": ("PSNR in the body", "dB", 2), "ssim": ("SSIM", "", 4),
    "ms_ssim": ("MS-SSIM", "", 4), "vif": ("VIF", "", 4), "nmse": ("NMSE", "", 5), "hfen": ("HFEN", "", 4),
    "holdout": ("hold-out error", "", 5), "holdout_image": ("hold-out error in the image", "", 5),
    "chi": ("misfit / noise", "", 3), "seconds": ("time", "s", 2),
    "memory_mb": ("memory", "MiB", 0), "tuning_seconds": ("tuning time", "s", 1)}
NEAR_ONE = ("chi",)  # neither high nor low is good: no value is marked as the best
FEW = 6  # pairs, below which an interval is called rough
_BAD = ("nonfinite", "diverged")
_TUNE = {"holdout": "by withheld samples; the reference was not seen", "sure": "by SURE; the reference was not seen",
         "discrepancy": "by the discrepancy principle; the reference was not seen",
         "reference": "by the reference itself, an oracle", None: "strengths as they were given"}
_TERMS = {"pisolve": "pisolve", "tune": "strengths chosen", "trials": "most trials for each prior"}


def label(metric: str) -> str:
    """A metric's name with its unit."""
    name, unit, _ = METRICS.get(metric, (metric.replace("_", " "), "", 0))
    return f"{name} ({unit})" if unit else name


def value(metric: str, x, *, unit: bool = False, sign: bool = False) -> str:
    """A metric's value with the decimals that mean something; nothing for None and NaN."""
    if not isinstance(x, numbers.Real) or math.isnan(x):
        return ""
    _, words, digits = METRICS.get(metric, ("", "", None))
    shown = cell(x) if digits is None else f"{x:{'+' if sign else ''}.{digits}f}"
    return shown.replace("-", "\N{MINUS SIGN}") + (f" {words}" if unit and words else "")


def direction(metric: str) -> str:
    """Which way is better."""
    if metric in NEAR_ONE:
        return "1 is noise alone"
    return {True: "higher is better", False: "lower is better"}.get(HIGHER.get(metric), "")


def told_apart(row: dict) -> bool:
    """Whether the interval of a paired difference leaves 0 out; False where there is none."""
    return row["low"] > 0 or row["high"] < 0


def verdict(comparison) -> dict:
    """The best method and how sure that is: {"best", "kicker", "text"}."""
    if not comparison.metrics:
        text = ("No ranking: without a reference, and without another measure of quality, methods cannot be ranked. "
                "Look at the images and at the sections below.")
        return {"best": "", "kicker": "Result", "text": text}
    rows = comparison.differences()
    metric, best = rows[0]["metric"], rows[0]
    if math.isnan(best["mean"]):
        return {"best": "", "kicker": "Result", "text": f"No ranking: no method has a finite {label(metric)}."}
    name, mean = METRICS.get(metric, (metric,))[0], value(metric, best["mean"], unit=True)
    head = f"{name} {mean}" + (f" in the mean of {len(comparison.settings)} settings" if len(comparison.settings) > 1
                               else "")
    if len(rows) == 1:
        text = f"{head}. One method was run: nothing to compare with."
        return {"best": best["method"], "kicker": "Result", "text": text}
    tied = [r for r in rows[1:] if math.isfinite(r["low"]) and not told_apart(r)]
    near = (tied or rows[1:])[0]
    gap = value(metric, abs(near["difference"]), unit=True)
    pairs = f"{near['pairs']} paired slice{'s' * (near['pairs'] != 1)}"
    few = " With so few pairs the interval is a rough guide." if near["pairs"] < FEW else ""
    if not math.isfinite(near["low"]):
        text = (f"{head}; {near['method']} comes next, {gap} away, on {pairs}. No interval can be given: whether "
                "another slice would say the same is not known.")
    elif tied:
        others = f" Nor from {', '.join(r['method'] for r in tied[1:])}." if tied[1:] else ""
        text = (f"{head}. Not told apart from {near['method']}: the 95 % interval of the paired difference, "
                f"{interval(metric, near)}, holds 0 ({pairs}).{others}{few}")
    else:
        low, high = sorted(abs(near[end]) for end in ("low", "high"))
        text = (f"{head}, {gap} better than the next, {near['method']} (95 % interval {value(metric, low)} to "
                f"{value(metric, high)}; {pairs}, {near['method']} is better on {near['wins']}).{few}")
    kicker = ("First, but one slice proves nothing" if not math.isfinite(near["low"]) else "First, but not told apart"
              if tied else "First, on few slices" if few else "Best")
    return {"best": best["method"], "kicker": kicker, "text": text}


def warnings(comparison, notes=()) -> list[str]:
    """Every warning there is, one sentence each; one that several methods or settings share stands once."""
    found: dict[str, list[str]] = {}
    for text in comparison.warnings:
        found.setdefault(text, [])
    for s in comparison.settings:
        for text in s.warnings:
            found.setdefault(text, []).append(s.label)
    for (k, name), o in sorted(comparison.outcomes.items()):
        where = f"{name} on {comparison.settings[k].label}"
        if o.status in _BAD:
            found.setdefault({"diverged": "The iteration diverged; the image shown is its steadiest iterate.",
                              "nonfinite": "The result is not finite."}[o.status], []).append(where)
        for text in (o.tuning or {}).get("warnings", ()):
            found.setdefault(f"Tuning: {text}", []).append(where)
    for section in comparison.sections:
        for text in section.warnings:
            found.setdefault(text, []).append(section.title)
    for text in notes:
        found.setdefault(text, [])
    return [text + (f" [{'; '.join(dict.fromkeys(where))}]" if where else "") for text, where in found.items()]


def _plain(x) -> str:
    if isinstance(x, dict):
        return "; ".join(f"{k}: {_plain(v)}" for k, v in x.items())
    if isinstance(x, list | tuple):
        return ", ".join(map(_plain, x))
    return "none" if x is None else cell(x)


def terms(comparison) -> list[tuple[str, str]]:
    """What all methods shared, (name, words)."""
    about = comparison.about
    out = [("k-space, mask, maps, scale", "the same for all methods of a setting, see the table of settings")]
    if "tune" in about:
        out.append((_TERMS["tune"], _TUNE.get(about["tune"], _plain(about["tune"]))))
    skip = {"tune", "plan", "definitions", "versions"}
    out += [(_TERMS.get(k, k.replace("_", " ")), _plain(v)) for k, v in about.items() if k not in skip]
    counts = {max(o.iterations, default=0) for o in comparison.outcomes.values()}
    out.append(("iterations that were run", " to ".join(f"{n}" for n in sorted({min(counts), max(counts)})) +
                ", each method by its own solver, see the tables"))
    return out


def versions(comparison) -> list[tuple[str, str]]:
    """(name, version) as the comparison noted them."""
    found = comparison.about.get("versions") or {}
    return [(str(k), _plain(v)) for k, v in found.items()]


def _number(x) -> bool:
    return isinstance(x, numbers.Real) and not isinstance(x, bool)


def _cell(key, x, best=False):
    shown = value(key, x) if key in METRICS and _number(x) else cell(x)
    shown = {True: "yes", False: "no"}[x] if isinstance(x, bool) else shown
    return {"text": shown, "sort": float(x) if _number(x) and math.isfinite(x) else None, "number": _number(x),
            "best": best}


def table(rows: list[dict], *, best: bool = False) -> dict:
    """Rows of dicts as what the template draws: {"head", "rows"}; `best` marks the best value of each metric."""
    rows = [{k: v.item() if isinstance(v, np.generic) else v for k, v in r.items()} for r in rows]
    keys = columns(rows)
    head = [{"text": label(k) if k in METRICS else k, "hint": direction(k), "number": any(
        _number(r.get(k)) for r in rows)} for k in keys]
    top = {}
    for key in keys if best and len(rows) > 1 else ():
        values = [r[key] for r in rows if _number(r.get(key)) and math.isfinite(r[key])]
        if key in HIGHER and key not in NEAR_ONE and len(set(values)) > 1:
            top[key] = max(values) if HIGHER[key] else min(values)
    return {"head": head, "rows": [[_cell(k, r.get(k), k in top and r.get(k) == top[k]) for k in keys] for r in rows]}


def summary(comparison) -> dict:
    """The table of methods, best first, with the paired difference and its interval in one cell."""
    metric = comparison.metrics[0] if comparison.metrics else ""
    made = table([{k: v for k, v in r.items() if k not in ("low", "high")} for r in comparison.summary()], best=True)
    for h in made["head"]:
        if h["text"] == "to best":
            h["text"], h["hint"] = "paired difference to the best", f"{label(metric)}, mean and 95 % interval"
            at = made["head"].index(h)
            for cells, r in zip(made["rows"], comparison.summary()):
                cells[at]["text"] = "best" if r["method"] == made["rows"][0][0]["text"] else interval(metric, r)
    return made


def interval(metric: str, row: dict) -> str:
    """A difference with its interval: "+0.12 [-0.01, +0.25]"."""
    middle = row["to best"] if "to best" in row else row["difference"]
    ends = [value(metric, row[k], sign=True) for k in ("low", "high")]
    return value(metric, middle, sign=True) + (f" [{', '.join(ends)}]" if all(ends) else " (no interval)")


def settings(comparison) -> dict:
    """The table of settings."""
    return table([{"scan": s.scan, "sampling": s.sampling, "slices, coils, ky, kx": " × ".join(map(str, s.shape)),
                   "sampled": f"{100 * s.pattern.mean():.1f} %", "reference": s.reference_kind or "none",
                   "scale of k-space": s.scale} for s in comparison.settings])
