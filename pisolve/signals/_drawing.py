"""Pictures of maps: one column a map, its standard deviation below, each with a bar in its unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.figure import SUFFIXES
from pisolve.io.atomic import atomic
from pisolve.io.words import caption

_DARK, _TEXT, _DIM = "#0d0f12", "#e8eaed", "#9aa0a6"
_CELL, _BAR = 2.6, 0.75  # inches
_COLOURS = {"s": "viridis", "Hz": "coolwarm", "": "cividis"}  # by unit; a field is the same to both sides of 0
_STD = "magma"


def plane_of(maps, slice=None):
    """(the index of the plane that is shown, in words which it is): the middle one, or as `slice` says."""
    shape, axes = maps.amplitude.shape, maps.axes
    lead = shape[:-2]
    names = axes[:-2] if axes is not None else ("slice",) if len(lead) == 1 else tuple(f"axis {k}" for k in range(
        len(lead)))
    wanted = slice if isinstance(slice, dict) else {} if slice is None or not lead else {names[0]: slice}
    for name in wanted:
        _check.choice("slice", name, names)
    index = tuple(_check.integer("slice", wanted.get(n, size // 2), low=0, high=size - 1)
                  for n, size in zip(names, lead))
    return index, ", ".join(f"{n} {k} of 0..{size - 1}" for n, k, size in zip(names, index, lead) if size > 1)


def window(values, unit: str) -> tuple[float, float]:
    """(low, high) of the colours: the middle 96 percent of what is finite; of Hz the same to both sides of 0."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, (2, 98)))
    if unit == "Hz":
        high = max(abs(low), abs(high))
        low = -high
    elif low > 0 and low < 0.5 * high:
        low = 0.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def planes(maps):
    """[(name, plane)] of each map in its window, 0 to 1, for a page."""
    index, _ = plane_of(maps)
    found = []
    for name, values in maps.values.items():
        low, high = window(values[index], maps.units[name])
        unit = f" ({low:.3g} to {high:.3g} {maps.units[name]})"
        found.append((name + unit, np.nan_to_num(np.clip((values[index] - low) / (high - low), 0, 1))))
    return found


def draw(maps, *, path=None, slice=None, title: str = "", dpi: int = 150):
    """See `Maps.plot`."""
    if path is not None:
        _check.choice("the suffix of path", Path(path).suffix, SUFFIXES)
    _check.extra("matplotlib", "plot")
    import matplotlib

    index, where = plane_of(maps, slice)
    panels = []
    for name, q in maps.quantities().items():
        panels.append((name, q.unit, q.values[index], None if q.std is None else q.std[index]))
    rows = 1 + any(p[3] is not None for p in panels)
    ny, nx = panels[0][2].shape
    height = min(max(_CELL * ny / nx, 0.5 * _CELL), 2 * _CELL)
    head, foot = 0.32, 0.3
    size = (len(panels) * (_CELL + _BAR) + 0.1, rows * (height + head) + foot + (0.3 if title else 0))
    if path is None:
        from matplotlib import pyplot

        drawn = pyplot.figure(figsize=size, facecolor=_DARK)
    else:
        from matplotlib.figure import Figure

        drawn = Figure(figsize=size, facecolor=_DARK)

    def panel(column, row, values, name, unit, colours, ends):
        left, bottom = 0.1 + column * (_CELL + _BAR), size[1] - (0.3 if title else 0) - (row + 1) * (height + head)
        here = drawn.add_axes((left / size[0], bottom / size[1], _CELL / size[0], height / size[1]))
        here.set_axis_off()
        shown = matplotlib.colormaps[colours].with_extremes(bad="black")
        picture = here.imshow(np.where(np.isfinite(values), values, np.nan), cmap=shown, vmin=ends[0], vmax=ends[1],
                              interpolation="nearest", aspect="auto")
        drawn.text((left + _CELL / 2) / size[0], (bottom + height + head / 2) / size[1], caption(name), color=_TEXT,
                   ha="center", va="center", fontsize=10, weight="bold" if row == 0 else "normal")
        bar = drawn.colorbar(picture, cax=drawn.add_axes(((left + _CELL + 0.06) / size[0], bottom / size[1],
                                                          0.1 / size[0], height / size[1])))
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=_DIM, labelsize=7.5, length=2)
        bar.ax.set_title(unit, color=_DIM, fontsize=8, pad=3)

    for column, (name, unit, values, std) in enumerate(panels):
        panel(column, 0, values, name, unit, _COLOURS.get(unit, "viridis"), window(values, unit))
        if std is not None:
            known = std[np.isfinite(std)]
            top = float(np.percentile(known, 98)) if known.size else 1.0
            panel(column, 1, std, "standard deviation", unit, _STD, (0.0, top or 1.0))
    note = "   |   ".join(filter(None, ["black: not determined", where]))
    drawn.text(0.1 / size[0], 0.12 / size[1], caption(note), color=_DIM, fontsize=8, va="center")
    if title:
        drawn.text(0.1 / size[0], (size[1] - 0.17) / size[1], caption(title), color=_TEXT, fontsize=11, va="center")
    if path is None:
        return drawn
    with atomic(path) as temporary:
        drawn.savefig(temporary, dpi=dpi, facecolor=_DARK)
    return None
