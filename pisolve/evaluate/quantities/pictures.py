"""A comparison of maps as sections of a report: tables in readable units, pictures with bars made for the unit."""

from __future__ import annotations

import numpy as np

from pisolve.evaluate.quantities.given import EVERYWHERE
from pisolve.evaluate.section import Picture, Section
from pisolve.signals._drawing import window

COLOURS = {"s": "relaxation", "Hz": "field"}  # of a report's pictures, by unit; others are shares
_MILLI = 0.5  # s: maps with a smaller median are told in ms
_WIDE = 95  # percentile of |difference| that is white in its picture

_TEXT = ("bias is the median of map minus reference over the pixels of a region, precision 1.4826 times the median of "
         "|difference - bias|: the standard deviation of a normal distribution, whatever a few pixels do. determined "
         "is the share of pixels that have a value; error / std is 1 where the maps' own error bars are right.")
_ALONE = ("There is no reference: the value is the median over a region, precision its spread there, 1.4826 times the "
          "median of |value - median|, which holds what the tissue itself varies.")


def shown_in(unit: str, median: float) -> tuple[float, str]:
    """(factor, unit) in which values of this size are told: T2 in ms, T1 in s."""
    return (1e3, "ms") if unit == "s" and np.isfinite(median) and abs(median) < _MILLI else (1.0, unit)


def middle(array):
    """The middle plane of a map (..., y, x)."""
    return array[tuple(n // 2 for n in array.shape[:-2])]


def sections(done) -> list[Section]:
    """One section for each map of a `MapComparison`."""
    first, out = next(iter(done.maps.values())), []
    for k, n in enumerate(first):
        inside = done.regions[EVERYWHERE]
        base = (done.reference or first)[n].values
        known = base[inside & np.isfinite(base)]
        factor, unit = shown_in(first[n].unit, float(np.median(known)) if known.size else np.nan)
        text = (_ALONE if done.reference is None else _TEXT) + " Black: not determined."
        rows = [_row(r, factor, unit, done.reference is not None) for r in done.rows if r["map"] == n]
        out.append(Section(f"{n}, in {unit}" if unit else n, text, rows, _pictures(done, n, factor, unit),
                           warnings=list(done.warnings) if k == 0 else []))
    return out


def _row(r, factor, unit, referenced) -> dict:
    """A record in readable units, without what is not known of any."""
    unit = f" [{unit}]" if unit else ""
    told = {"map": r["map"], "region": r["region"], "method": r["method"]}
    if not referenced:
        return told | {f"value{unit}": factor * r["value"], f"precision{unit}": factor * r["precision"],
                       "determined [%]": 100 * r["determined"], "pixels": r["pixels"]}
    told |= {f"reference{unit}": factor * r["reference"], f"bias{unit}": factor * r["bias"],
             f"precision{unit}": factor * r["precision"]}
    if r["unit"] == "s":
        told |= {"bias [%]": 100 * r["bias"] / r["reference"] if r["reference"] else float("nan"),
                 "error [%]": 100 * r["relative_error"]}
    else:
        told[f"error{unit}"] = factor * r["error"]
    return told | {"error / std": r["error_over_std"], "determined [%]": 100 * r["determined"], "pixels": r["pixels"]}


def _pictures(done, n, factor, unit) -> dict[str, Picture]:
    """The reference and every method in one window, and their differences in another."""
    planes = {} if done.reference is None else {"reference": done.reference[n]}
    planes |= {m: q[n] for m, q in done.maps.items()}
    shown = {m: np.where(np.isfinite(v := middle(q.values)), factor * v, np.nan) for m, q in planes.items()}
    inside = middle(done.regions[EVERYWHERE])
    first = next(iter(shown.values()))
    low, high = window(first[inside], next(iter(planes.values())).unit)
    colours = COLOURS.get(next(iter(planes.values())).unit, "share")
    pictures = {m: Picture(v, low, high, unit, colours) for m, v in shown.items()}
    if done.reference is None:
        return pictures
    off = {m: shown[m] - shown["reference"] for m in done.maps}
    sizes = np.concatenate([abs(d[inside & np.isfinite(d)]) for d in off.values()])
    top = float(np.percentile(sizes, _WIDE)) if sizes.size else 1.0
    top = top or 1.0
    return pictures | {f"{m} - reference": Picture(np.where(inside, d, np.nan), -top, top, unit, "field")
                       for m, d in off.items()}
