"""Sections alone as one HTML file: tables, pictures with bars and curves, without a viewer."""

from __future__ import annotations

from pathlib import Path

from pisolve import _check
from pisolve._version import __version__
from pisolve.evaluate.report.write import STYLES, bars_of, digest, drawn, environment_of, joined, proportions
from pisolve.io.atomic import atomic

_STYLES, _SCRIPTS = STYLES[:2], ("page.js",)


def write_sections(sections, path, *, title: str = "") -> None:
    """Write sections as one self-contained HTML file, as the report of a comparison is.

    Args:
        sections: of `Section`.
        path: .html; written whole or not at all.
        title: the heading; "": that of the first section.

    Raises:
        ImportError: jinja2 or matplotlib (for the colour maps) is not installed (the extra `report`).
        ValueError: no section, another suffix.
        FileNotFoundError: the folder of `path` does not exist.
    """
    _check.choice("the suffix of path", Path(path).suffix, (".html", ".htm"))
    if not sections:
        raise ValueError("there is no section to write")
    jinja2 = _check.extra("jinja2", "report")
    _check.extra("matplotlib", "report")
    drawings = [drawn(s) for s in sections]
    style, script = joined(_STYLES) + proportions(drawings), joined(_SCRIPTS)
    page = environment_of(jinja2).get_template("sheet.html").render(
        title=title or sections[0].title, version=__version__, style=style, script=script, style_hash=digest(style),
        script_hash=digest(script), sections=drawings, bars=bars_of(sections))
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
