"""Tables as text: Markdown, and CSV by `io.words`."""

from __future__ import annotations

import math
import numbers

from pisolve.io.words import columns, csv_text, printable

__all__ = ["cell", "columns", "csv_text", "markdown"]


def cell(value) -> str:
    """A value as a table shows it: four significant digits for numbers, nothing for None and NaN."""
    if value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isnan(value)):
        return ""
    if isinstance(value, bool | numbers.Integral) or not isinstance(value, numbers.Real):
        return printable(value)
    return f"{float(value):.4g}"


def markdown(rows) -> str:
    """Rows of dicts as a Markdown table; numbers are right-aligned."""
    names = columns(rows)
    right = {n: any(isinstance(row.get(n), numbers.Real) for row in rows) for n in names}
    cells = [[printable(n) for n in names], *([cell(row.get(n)) for n in names] for row in rows)]
    text = [[c.replace("|", "\\|") for c in line] for line in cells]
    width = [max(3, *(len(line[k]) for line in text)) for k in range(len(names))]

    def line(cells):
        padded = (c.rjust(w) if right[n] else c.ljust(w) for c, w, n in zip(cells, width, names))
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (w + 1) + (":" if right[n] else "-") for w, n in zip(width, names)) + "|"
    return "\n".join([line(text[0]), rule, *map(line, text[1:])])
