"""Text out of files, made safe for where it is shown: a terminal, a table, a CSV, a picture."""

from __future__ import annotations

import csv
import io
import unicodedata

_KEPT = {"\t": " "}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text, *, lines: bool = False) -> str:
    r"""The text with everything that steers a terminal written out: "\x1b[2J" in place of the escape itself.

    Control characters, line and paragraph separators, marks that turn the direction of writing, characters of no
    meaning of their own and halves of surrogate pairs.

    Args:
        text: anything; its `str` is taken.
        lines: leave line breaks, for text of several lines that is our own.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c == "\n" and lines else _shown(c) for c in text)


def _shown(c: str) -> str:
    if c.isprintable():
        return c
    if c in _KEPT or unicodedata.category(c) == "Zs":  # blanks that are not the plain one
        return " "
    return c.encode("unicode_escape").decode("ascii")


def decoded(text) -> str:
    """Text of a file of somebody else as `str`: its bytes are UTF-8 or else Latin-1, as old programs write names.

    Args:
        text: bytes, or a `str` whose undecodable bytes became surrogates, as h5py gives it.
    """
    try:
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError:
        return text
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def caption(text) -> str:
    """Text for a picture: printable, line breaks as they are, and no dollar begins a formula."""
    return printable(text, lines=True).replace("$", r"\$")


def cell(value):
    """A value for a CSV that a spreadsheet may open: text that it would take for a formula gets an apostrophe in front.

    Numbers stay as they are, and so does text that is a number.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def columns(rows) -> list[str]:
    """The keys of all rows, in the order of their first use."""
    return list(dict.fromkeys(key for row in rows for key in row))


def csv_text(rows) -> str:
    """Rows of dicts as CSV, every digit kept; what a row does not have is empty, and no text is a formula."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns(rows), restval="", lineterminator="\n")
    writer.writerow({name: cell(name) for name in writer.fieldnames})
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()
