"""What an analysis has to say, in a form that the report can draw and a terminal can print."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from pisolve._check import brief


class Told:
    """Base of results that are printed as words and a table, and shown as one line: never as arrays."""

    def __str__(self) -> str:
        """Title, verdict, table and warnings of the section, without its paragraphs."""
        from pisolve.evaluate.tables import markdown

        s, verdict = self.section(), getattr(self, "verdict", "")
        return "\n\n".join(["\n".join([s.title, "=" * len(s.title)]), *filter(None, (verdict, s.rows and markdown(
            s.rows))), *(f"warning: {w}" for w in s.warnings)])

    def __repr__(self) -> str:
        told = (f"{f.name}={_short(getattr(self, f.name))}" for f in fields(self) if f.repr)
        return f"{type(self).__name__}({', '.join(told)})"


def _short(x) -> str:
    """A value in few words: arrays by their shapes, long lists by their lengths."""
    if hasattr(x, "shape") and np.ndim(x):
        return f"{x.dtype} {tuple(x.shape)}"
    if isinstance(x, list | tuple | dict) and len(x) and (len(x) > 4 or not all(np.isscalar(v) for v in x)):
        return f"[{len(x)} entries]"
    return f"{x:.4g}" if isinstance(x, float) else brief(x)


@dataclass(frozen=True)
class Curves:
    """Lines over one axis.

    Attributes:
        title, xlabel, ylabel: words, with units.
        lines: name -> (xs, ys), finite numbers; x need not be ascending.
        log: which axes are logarithmic: "", "x", "y" or "xy".
    """

    title: str
    xlabel: str
    ylabel: str
    lines: dict[str, tuple[Any, ...]]
    log: str = ""


@dataclass(frozen=True)
class Picture:
    """One panel: a real image (y, x) on a scale of its own.

    Attributes:
        image: (y, x), real.
        low, high: what is black and what is white, in the image's units.
        unit: of the image, for the legend.
        map: "gray" for anatomy, "heat" for what is large where it is bad, "signed" for what has a sign (low = -high);
            of quantities, whose NaN is black: "relaxation" for times, "share" for fractions, "field" for Hz.
        pixel: how large a pixel is along y and x, see `Section.on`.
        place: whether it shows places of the object; k-space and tables of colours have square cells.
    """

    image: np.ndarray
    low: float
    high: float
    unit: str = ""
    map: str = "gray"
    pixel: tuple[float, float] = (1.0, 1.0)
    place: bool = True


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: a few words.
        text: paragraphs of plain text, separated by blank lines: what was done, how to read it.
        rows: a table, one dict a row with the same keys; numbers stay numbers.
        pictures: name -> `Picture`, drawn side by side.
        curves: drawn below the table.
        warnings: one sentence each, drawn so that they are seen.
    """

    title: str
    text: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    curves: list[Curves] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def on(self, pixel: tuple[float, float]) -> Section:
        """The section of a scan with pixels of this size along y and x: its pictures are drawn in this proportion."""
        return replace(self, pictures={n: replace(p, pixel=pixel) if p.place else p for n, p in self.pictures.items()})

    def __str__(self) -> str:
        """The section as text, without its pictures."""
        from pisolve.evaluate.tables import markdown

        parts = [self.title, "=" * len(self.title), self.text, markdown(self.rows) if self.rows else ""]
        return "\n\n".join(["\n".join(parts[:2]), *filter(None, parts[2:]), *(f"warning: {w}" for w in self.warnings)])
