"""A section of a report as one picture, for the command line and for papers."""

from __future__ import annotations

from pathlib import Path

from pisolve import _check
from pisolve.evaluate.report.images import QUANTITIES
from pisolve.evaluate.report.svg import number, ticks
from pisolve.evaluate.section import Section
from pisolve.figure import SUFFIXES
from pisolve.io.atomic import atomic
from pisolve.io.words import caption

_MAPS = {"gray": "gray", "heat": "magma", "signed": "RdBu_r", **QUANTITIES}


def draw(section: Section, path) -> None:
    """Draw the pictures and curves of a section to .png, .pdf or .svg.

    Raises:
        ImportError: matplotlib is not installed (the extra `plot`).
        ValueError: another suffix, or a section with neither pictures nor curves.
        FileNotFoundError: the folder of `path` does not exist.
    """
    _check.choice("the suffix of path", Path(path).suffix, SUFFIXES)
    if not section.pictures and not section.curves:
        raise ValueError(f"section {section.title!r} has nothing to draw: print it")
    _check.extra("matplotlib", "plot")
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    rows = [r for r in (section.pictures, section.curves) if r]
    columns = max(map(len, rows))
    figure = Figure(figsize=(3.4 * columns, 3.3 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    for axis, (name, p) in zip(axes[0], section.pictures.items()):
        axis.set_visible(True)
        colours = colormaps[_MAPS[p.map]]
        colours = colours.with_extremes(bad="black") if p.map in QUANTITIES else colours
        shown = axis.imshow(p.image, cmap=colours, vmin=p.low, vmax=p.high, interpolation="nearest",
                            aspect=p.pixel[0] / p.pixel[1])
        axis.set(xticks=[], yticks=[])
        axis.set_title(caption(name), fontsize=9)
        figure.colorbar(shown, ax=axis, shrink=0.75, label=caption(p.unit))
    for axis, c in zip(axes[len(rows) - 1], section.curves):
        axis.set_visible(True)
        for name, (xs, ys) in c.lines.items():
            axis.plot(xs, ys, ".-", linewidth=1, label=caption(name))
        axis.set(xlabel=caption(c.xlabel), ylabel=caption(c.ylabel), xscale="log" if "x" in c.log else "linear",
                 yscale="log" if "y" in c.log else "linear")
        for side in c.log:
            _few_ticks(getattr(axis, f"{side}axis"))
        axis.set_title(caption(c.title), fontsize=9)
        axis.legend(frameon=False, fontsize=8)
    figure.suptitle(caption(section.title), fontsize=10)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _few_ticks(axis) -> None:
    """On a logarithmic axis the ticks of the report; matplotlib labels each of 2, 3, 4, ..., one over the other."""
    low, high = sorted(axis.get_view_interval())
    if not 0 < low < high:
        return
    places = ticks(float(low), float(high), log=True, most=4)
    axis.set_ticks(places, [number(v) for v in places])
    axis.set_ticks([], minor=True)
