"""What the report says in words and tables: the verdict, the terms, the warnings."""

from __future__ import annotations

import math
import numbers

import numpy as np

from pisolve.evaluate.measures import HIGHER, NEAR_ONE
from pisolve.evaluate.outcome import FAILED
from pisolve.evaluate.statistics import LEAST
from pisolve.evaluate.tables import cell, columns

METRICS = {  # name -> what a table calls it, unit, decimals
    "psnr": ("PSNR", "dB", 2), "psnr_body": ("PSNR in the body", "dB", 2), "ssim": ("SSIM", "", 4),
    "ms_ssim": ("MS-SSIM", "", 4), "vif": ("VIF", "", 4), "nmse": ("NMSE", "", 5), "hfen": ("HFEN", "", 4),
    "lpips": ("LPIPS", "", 4),
    "holdout": ("hold-out error", "", 5), "holdout_image": ("hold-out error in the image", "", 5),
    "chi": ("misfit / noise", "", 3), "seconds": ("time", "s", 2),
    "memory_mb": ("memory", "MiB", 0), "tuning_seconds": ("tuning time", "s", 1)}
FAILURES = {"failed": "failed", "nonfinite": "not finite", "diverged": "diverged"}  # status -> in a caption
_FAILURES = {"failed": "The method ended with an error and has no image.",
             "diverged": "The iteration diverged; the image shown is its steadiest iterate.",
             "nonfinite": "The result is not finite."}
FEW = 10  # scans, or slices of one scan, below which an interval is called rough
_TUNE = {"holdout": "by withheld samples; the reference was not seen", "sure": "by SURE; the reference was not seen",
         "discrepancy": "by the discrepancy principle; the reference was not seen",
         "reference": "by the reference itself, an oracle", None: "strengths as they were given"}
_TERMS = {"pisolve": "pisolve", "tune": "strengths chosen", "trials": "most trials for each prior",
          "folds": "folds that judge each trial", "minutes": "minutes allowed: they decide both"}


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
    metric = comparison.ranked_by
    if metric is None:
        text = ("No ranking: without a reference, and without another measure of quality, methods cannot be ranked. "
                "Look at the images and at the sections below.")
        return {"best": "", "kicker": "Result", "text": text}
    every = comparison.differences()
    rows, metric = [r for r in every if not math.isnan(r["mean"])], every[0]["metric"]
    measured, total, name = comparison.measured(metric), len(comparison.settings), METRICS.get(metric, (metric,))[0]
    of = f"{measured} of {total}" if measured < total else f"{total}"
    if not rows:
        where = "" if measured < 2 else f" on all {measured} settings that have it"
        return {"best": "", "kicker": "Result", "text": f"No ranking: no method has a finite {label(metric)}{where}."}
    best = rows[0]
    head = f"{name} {value(metric, best['mean'], unit=True)}" + (f" in the mean of {of} settings" if total > 1 else "")
    out = [r["method"] for r in every if math.isnan(r["mean"])]
    where = " on some settings" if measured > 1 else ""
    left = f" Not ranked, since {name} is missing{where}: {', '.join(out)}." if out else ""
    if len(rows) == 1:
        text = f"{head}. {'No other method has one' if out else 'One method was run'}: nothing to compare with.{left}"
        return {"best": best["method"], "kicker": "Result", "text": text}
    kicker, text = _against(metric, rows[1:])
    return {"best": best["method"], "kicker": kicker, "text": head + text + left + _besides(comparison, metric, rows)}


def _besides(comparison, metric, rows) -> str:
    """A sentence where the other usual metric, SSIM beside PSNR, has another winner; nothing where both agree."""
    other = "psnr" if metric == "ssim" else "ssim"
    means = {r["method"]: comparison.mean(r["method"], other) for r in rows} if other in comparison.metrics else {}
    means = {name: mean for name, mean in means.items() if math.isfinite(mean)}
    own = means.get(rows[0]["method"])
    if own is None or own == max(means.values()):
        return ""
    name, top = METRICS[other][0], max(means, key=means.get)
    place = "has the lowest value" if own == min(means.values()) and len(means) > 2 else "is behind it"
    return (f" By {name} the order is another: {top} comes first with {value(other, means[top], unit=True)}, "
            f"{rows[0]['method']} {place} ({value(other, own, unit=True)}).")


def _against(metric, rows) -> tuple[str, str]:
    """How the first method stands to the others, (kicker, words), from their paired differences to it."""
    tied = [r for r in rows if math.isfinite(r["low"]) and not told_apart(r)]
    near = (tied or rows)[0] if math.isfinite(rows[0]["low"]) else rows[0]
    gap, one = value(metric, abs(near["difference"]), unit=True), near["scans"] <= 1
    pairs = _count(near["pairs"], "paired slice") + ("" if one else f" of {near['scans']} scans")
    kind, groups = ("slice", near["slices"]) if one else ("scan", near["scans"])
    if not near["pairs"]:
        return "First, but not compared", f"; {near['method']} comes next, but no slice has a value of both."
    if not math.isfinite(near["low"]):
        alike = "" if one else ", and slices of one scan are not independent"
        prove = f"one {kind} proves" if groups == 1 else f"{groups} {kind}s prove"
        return f"First, but {prove} nothing", (
            f"; {near['method']} comes next, {gap} away, on {pairs}. No interval can be given: that takes at least "
            f"{LEAST} {kind}s{alike}. Whether another {kind} would say the same is not known.")
    few = f" With so few {kind}s the interval is a rough guide." if groups < FEW else ""
    few += " It takes the slices of this scan as independent, which they are not: of other scans it says nothing." * one
    if tied:
        others = f" Nor from {', '.join(r['method'] for r in tied[1:])}." if tied[1:] else ""
        return "First, but not told apart", (
            f". Not told apart from {near['method']}: the 95 % interval of the paired difference, "
            f"{interval(metric, near)}, holds 0 ({pairs}).{others}{few}")
    low, high = sorted(abs(near[end]) for end in ("low", "high"))
    kicker = f"First, on few {kind}s" if groups < FEW else "Best on this scan" if one else "Best"
    return kicker, (f", {gap} better than the next, {near['method']} (95 % interval {value(metric, low)} to "
                    f"{value(metric, high)}; {pairs}, {near['method']} is better on {near['wins']}).{few}")


def _count(n, what) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


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
        if o.status in _FAILURES:
            found.setdefault(_FAILURES[o.status], []).append(where)
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
    skip = {"tune", "plan", "definitions", "versions", *(["trials"] if about.get("tune", "") is None else [])}
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


def _ended(row):
    return row.get("status") not in FAILED


def table(rows: list[dict], *, best: bool = False) -> dict:
    """Rows of dicts as what the template draws: {"head", "rows"}; `best` marks the best value of each metric.

    What failed is marked as the best in nothing, as quick as it was.
    """
    rows = [{k: v.item() if isinstance(v, np.generic) else v for k, v in r.items()} for r in rows]
    keys = columns(rows)
    head = [{"text": label(k) if k in METRICS else k, "hint": direction(k), "number": any(
        _number(r.get(k)) for r in rows)} for k in keys]
    top = {}
    for key in keys if best and len(rows) > 1 else ():
        values = [r[key] for r in rows if _number(r.get(key)) and math.isfinite(r[key]) and _ended(r)]
        if key in HIGHER and key not in NEAR_ONE and len(set(values)) > 1:
            top[key] = max(values) if HIGHER[key] else min(values)
    return {"head": head, "rows": [[_cell(k, r.get(k), k in top and r.get(k) == top[k] and _ended(r)) for k in keys]
                                   for r in rows]}


def summary(comparison) -> dict:
    """The table of methods, best first, with the paired difference and its interval in one cell."""
    metric, rows = comparison.ranked_by or "", comparison.summary()
    made = table([{k: v for k, v in r.items() if k not in ("low", "high")} for r in rows], best=True)
    for h in made["head"]:
        if h["text"] == "to best":
            h["text"], h["hint"] = "paired difference to the best", f"{label(metric)}, mean and 95 % interval"
            at = made["head"].index(h)
            for k, (cells, r) in enumerate(zip(made["rows"], rows)):
                first = k == 0 and not math.isnan(r[metric])
                cells[at]["text"] = "best" if first else interval(metric, r)
                for c in cells[at + 1 :]:  # "2 of 3" stays on one line
                    c["text"] = c["text"].replace(" of ", "\N{NO-BREAK SPACE}of\N{NO-BREAK SPACE}")
    return made


def by_setting(comparison) -> dict | None:
    """The table with a column for each setting, the best of each marked; None where there is one setting."""
    metric, rows = comparison.ranked_by, comparison.by_setting()
    if not rows:
        return None
    made = table(rows)
    best = max if HIGHER.get(metric, True) else min
    for k in range(1, len(made["head"])):
        values = [line[k]["sort"] for line in made["rows"] if line[k]["sort"] is not None]
        for line in made["rows"]:
            x = line[k]["sort"]
            line[k].update(text="" if x is None else value(metric, x), best=len(set(values)) > 1 and x == best(values))
    return made


def pixels(comparison) -> str:
    """How large a pixel is drawn, in a sentence."""
    found = {s.pixel for s in comparison.settings}
    if found == {(1.0, 1.0)}:
        return "No pixel size is known: pixels are drawn square."
    sizes = "; ".join(f"{y:.3g} x {x:.3g} mm" for y, x in sorted(found))
    return f"Pixels are drawn in their true proportion, {sizes} (y, x)."


def interval(metric: str, row: dict) -> str:
    """A difference with its interval: "+0.12 [-0.01, +0.25]"; "none" where no pair has both values."""
    middle = row["to best"] if "to best" in row else row["difference"]
    if math.isnan(middle):
        return "none"
    ends = [value(metric, row[k], sign=True) for k in ("low", "high")]
    return value(metric, middle, sign=True) + (f" [{', '.join(ends)}]" if all(ends) else " (no interval)")


def settings(comparison) -> dict:
    """The table of settings."""
    plain = all(s.axes == ("slice", "coil", "ky", "kx") for s in comparison.settings)
    return table([{"scan": s.scan, "sampling": s.sampling, **_size(s, plain),
                   "sampled": f"{100 * s.pattern.mean():.1f} %", "reference": s.reference_kind or "none",
                   "scale of k-space": s.scale} for s in comparison.settings])


def _size(s, plain) -> dict:
    if plain:
        return {"slices, coils, ky, kx": " × ".join(map(str, s.shape))}
    return {"k-space": " × ".join(f"{n} {a}" for n, a in zip(s.shape, s.axes) if a != "slice" or n > 1)}
