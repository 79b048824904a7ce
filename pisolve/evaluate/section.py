"""What an analysis has to say, in a form that the report can draw and a terminal can print."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


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
    lines: dict[str, tuple]
    log: str = ""


@dataclass(frozen=True)
class Picture:
    """One panel: a real image (y, x) on a scale of its own.

    Attributes:
        image: (y, x), real.
        low, high: what is black and what is white, in the image's units.
        unit: of the image, for the legend.
        map: "gray" for anatomy, "heat" for what is large where it is bad, "signed" for what has a sign (low = -high).
    """

    image: np.ndarray
    low: float
    high: float
    unit: str = ""
    map: str = "gray"


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
    rows: list[dict] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    curves: list[Curves] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __str__(self):
        """The section as text, without its pictures."""
        from pisolve.evaluate.tables import markdown

        parts = [self.title, "=" * len(self.title), self.text, markdown(self.rows) if self.rows else ""]
        return "\n\n".join(["\n".join(parts[:2]), *filter(None, parts[2:]), *(f"warning: {w}" for w in self.warnings)])
