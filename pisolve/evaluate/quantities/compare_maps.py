"""`compare_maps`: maps of several methods against a reference, or beside each other, by region."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import PathLike
from pisolve.evaluate.quantities.given import EVERYWHERE, by_name, quantities, regions_of
from pisolve.evaluate.quantities.pictures import sections
from pisolve.evaluate.report.sheet import write_sections
from pisolve.evaluate.section import Section, Told
from pisolve.evaluate.tables import csv_text
from pisolve.io import Quantity
from pisolve.io.atomic import atomic

_NORMAL = 1.4826  # standard deviation over the median of |x|, of a normal distribution
_SHORT = 0.02  # of the region: fewer pixels with a map are told


@dataclass(frozen=True, repr=False)
class MapComparison(Told):
    """What `compare_maps` returns.

    Attributes:
        maps: method -> {map: `io.Quantity`}.
        reference: {map: `io.Quantity`}, or None.
        regions: name -> bool array; "everywhere" is all of them.
        rows: what `records` returns.
        title: of the report.
        warnings: one sentence each.
    """

    maps: dict[str, Any]
    reference: dict[str, Any] | None
    regions: dict[str, Any]
    rows: list[Any] = field(default_factory=list)
    title: str = ""
    warnings: tuple[Any, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """One dict a map, region and method, in SI units, for `pandas.DataFrame(...)`.

        `value` is the median of the map, `reference` that of the reference; `bias` the median of the difference,
        `precision` 1.4826 times the median of |difference - bias| (a normal distribution's standard deviation, whatever
        a few pixels do), `error` the median of |difference|, `relative_error` that of |difference| / |reference|;
        `error_over_std` 1.4826 times the median of |difference - bias| / std, 1 where error bars are right;
        `determined` the share of the region's pixels that have a value. Without a reference `precision` is the spread
        of the values themselves.
        """
        return [dict(r) for r in self.rows]

    def section(self) -> Section:
        """The table of all maps, and the pictures of the first one."""
        found = self.sections()
        rows = [r for s in found for r in s.rows]
        return Section(self.title, found[0].text, rows, found[0].pictures, warnings=list(self.warnings))

    def sections(self) -> list[Section]:
        """One for each map: its table by region, its pictures and those of its differences, with bars in its unit."""
        return sections(self)

    def to_html(self, path: PathLike) -> None:
        """Write the report, one HTML file that needs nothing else.

        Raises:
            ImportError: jinja2 or matplotlib is not installed (the extra `report`).
            ValueError: another suffix.
        """
        write_sections(self.sections(), path, title=self.title)

    def save(self, folder: PathLike) -> list[Path]:
        """Write maps.csv, what `records` has, and report.html into a folder.

        Returns:
            The files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / "maps.csv", folder / "report.html"]
        with atomic(files[0]) as temporary:
            temporary.write_text(csv_text(self.rows), encoding="utf-8", newline="")
        self.to_html(files[1])
        return files


def compare_maps(maps: Any, reference: Any = None, *, regions: Any = None, names: dict[Any, Any] | None = None,
                 title: str = "") -> MapComparison:
    """Bias and precision of maps of T1, T2, T2*, a field or fat, by region, with units.

        bias = median(m - r),    precision = 1.4826 median |m - r - bias|

    over the pixels of a region in which the map m and the reference r are both determined. Medians, since a fit that
    fails in one pixel is off by any amount; how many pixels have no value stands beside them (`determined`).

    Args:
        maps: name -> maps of a method, or a list: what `quantify` returns, `signals.Maps`, the path of an .h5 that
            `recon --signal` wrote, or a dict of arrays (s, Hz) or `io.Quantity` such as {"t2": array}.
        reference: the same, of one method. None: values and their spread are told, nothing else.
        regions: labels of the maps' shape (0 is left out), the path of an image of labels, or a dict of masks. None:
            everywhere alone.
        names: {label: name} of the labels.
        title: of the report.

    Returns:
        `MapComparison`, with `.records()`, `.section()`, `.to_html(path)` and `.save(folder)`; `print` shows the table.

    Raises:
        TypeError, ValueError: no maps, no map that all have, other units or shapes, regions that do not fit.

    Reference:
        Raunig et al., Stat Methods Med Res 24 (2015) 27 (bias and precision of quantitative imaging).

    Example:
        done = pi.evaluate.compare_maps({"two steps": two, "one step": one}, {"t2": truth}, regions=labels)
        print(done)
    """
    if not isinstance(title, str):
        raise TypeError(f"title must be a string, got {_check.brief(title)}")
    given = by_name(maps)
    if not given:
        raise ValueError("maps is empty: the maps of one method at least are needed")
    found = {name: quantities(name, one) for name, one in given.items()}
    truth = None if reference is None else quantities("reference", reference)
    shared = _shared(found, truth)
    shape = _agreeing(found, truth, shared)
    places = regions_of(regions, shape, names)
    if EVERYWHERE in places:
        raise ValueError(f"regions: {EVERYWHERE!r} is all of them together: call it otherwise")
    notes = []
    rows = [one for n in shared for one in _rows(n, found, truth, places, shape, notes)]
    title = title or f"Maps: {', '.join(shared)}"
    return MapComparison({m: {n: q[n] for n in shared} for m, q in found.items()},
                         None if truth is None else {n: truth[n] for n in shared},
                         {**places, EVERYWHERE: _all(places, shape)}, rows, title, tuple(dict.fromkeys(notes)))


def _everyone(found, truth) -> dict:
    return found if truth is None else {**found, "reference": truth}


def _shared(found, truth) -> list[str]:
    everyone = _everyone(found, truth)
    shared = [n for n in next(iter(found.values())) if all(n in one for one in everyone.values())]
    if not shared:
        told = "; ".join(f"{name}: {', '.join(one)}" for name, one in everyone.items())
        raise ValueError(f"there is no map that all have: {told}")
    return shared


def _agreeing(found, truth, shared) -> tuple:
    """The shape of all maps, whose units agree, too."""
    everyone = _everyone(found, truth)
    first = next(iter(everyone))
    for n in shared:
        unit, shape = everyone[first][n].unit, everyone[first][n].values.shape
        for name, one in everyone.items():
            if one[n].unit != unit:
                raise ValueError(f"{n} is in {one[n].unit!r} in {name}, and in {unit!r} in {first}: bring them to one")
            if one[n].values.shape != shape:
                raise ValueError(f"{n} has shape {one[n].values.shape} in {name}, and {shape} in {first}: they must "
                                 "agree")
    return everyone[first][shared[0]].values.shape


def _all(places, shape):
    return np.any(list(places.values()), axis=0) if places else np.ones(shape, bool)


def _rows(n, found, truth, places, shape, notes):
    r = None if truth is None else truth[n].values
    for region, inside in {**places, EVERYWHERE: _all(places, shape)}.items():
        where = inside if r is None else inside & np.isfinite(r)
        for method, maps in found.items():
            row = {"map": n, "region": region, "method": method, "unit": maps[n].unit,
                   **_measured(maps[n], r, where)}
            if region != EVERYWHERE and row["determined"] < _SHORT:
                notes.append(f"{method}: {n} is determined in {row['determined']:.1%} of {region}")
            yield row


def _measured(q: Quantity, r, where) -> dict:
    """The numbers of one map in one region."""
    known = where & np.isfinite(q.values)
    out = {"pixels": int(where.sum()), "determined": float(known.sum() / max(where.sum(), 1))}
    nothing = dict.fromkeys(("value", "reference", "bias", "precision", "error", "relative_error", "error_over_std"),
                            float("nan"))
    if not known.any():
        return out | nothing
    m = q.values[known]
    d = m - (np.median(m) if r is None else r[known])
    bias = float(np.median(d))
    spread = abs(d - bias)
    told = {"value": float(np.median(m)), "precision": _NORMAL * float(np.median(spread))}
    if r is None:
        return out | nothing | told
    size = abs(r[known])
    told |= {"reference": float(np.median(r[known])), "bias": bias, "error": float(np.median(abs(d)))}
    if q.unit == "s" and (size > 0).any():
        told["relative_error"] = float(np.median(abs(d[size > 0]) / size[size > 0]))
    if q.std is not None:
        std = q.std[known]
        good = np.isfinite(std) & (std > 0)
        told["error_over_std"] = _NORMAL * float(np.median(spread[good] / std[good])) if good.any() else float("nan")
    return out | nothing | told
