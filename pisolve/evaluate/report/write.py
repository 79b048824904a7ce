"""The report of a comparison: one HTML file that needs nothing else, no network, no server."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

from pisolve import _check
from pisolve.evaluate.measures import plain
from pisolve.evaluate.report import images as pictures
from pisolve.evaluate.report import svg, words
from pisolve.evaluate.report.paper import sheets
from pisolve.evaluate.report.stepping import pattern, stepping, what
from pisolve.evaluate.section import Curves
from pisolve.io.atomic import atomic
from pisolve.io.words import printable

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("page.css", "tables.css", "viewer.css")
SCRIPTS = ("png.js", "page.js", "panels.js", "difference.js", "profile.js", "viewer.js")  # in this order


def write(comparison, path, *, title: str = "") -> None:
    """Write a comparison as one self-contained HTML file: tables, images side by side, curves, warnings.

    It opens from disk in any browser since 2023, loads nothing and sends nothing: its content security policy forbids
    both. Images are lossless grey PNG data of 12 bits, of 8 where the file would exceed about 25 MB; then fewer slices,
    then blocks of pixels: the report says so. Error maps are made of these in the browser; all numbers are computed
    before, from the images as they were reconstructed.

    Args:
        comparison: `Comparison`.
        path: .html; written whole or not at all.
        title: the heading; "": the names of the scans.

    Raises:
        ImportError: jinja2 or matplotlib (for the colour maps) is not installed (the extra `report`).
        TypeError, ValueError: no comparison, one without images, another suffix.
        FileNotFoundError: the folder of `path` does not exist.

    Example:
        comparison.to_html("report.html", title="Knee, 4x")
    """
    if not hasattr(comparison, "outcomes"):
        raise TypeError(f"comparison must be a Comparison, got {_check.brief(comparison)}")
    if not isinstance(title, str):
        raise TypeError(f"title must be a string, got {_check.brief(title)}")
    _check.choice("the suffix of path", Path(path).suffix, (".html", ".htm"))
    if not comparison.outcomes:
        raise ValueError("comparison has no outcomes: there is nothing to report")
    page = render(comparison, title)
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")


def render(comparison, title: str = "") -> str:
    """The page that `write` writes."""
    jinja2 = _check.extra("jinja2", "report")
    _check.extra("matplotlib", "report")
    images = pictures.sources(comparison)
    sections = [drawn(s, list(comparison.methods)) for s in comparison.sections]
    spent = sum(len(p["address"]) for s in sections for p in s["pictures"])
    budget = max(pictures.BUDGET - spent, pictures.BUDGET / 4)
    chosen = replace(pictures.plan(images, budget), what=tuple(map(what, comparison.settings)))
    data, scales, plan = pictures.encode(images, chosen, budget)
    notes = [*plan.notes, *_clipped(comparison, scales)]
    style, script = joined(STYLES), joined(SCRIPTS)
    paper = sheets(comparison, images, scales, plan, _caption)
    style += proportions(sections, paper)
    scans = list(dict.fromkeys(s.scan for s in comparison.settings))
    environment = environment_of(jinja2)
    parts = [_part(kind, part) for kind, part in comparison.by_sampling().items()]
    return environment.get_template("report.html").render(
        title=title or "Comparison: " + ", ".join(scans), comparison=comparison, words=words, style=style,
        version=comparison.about.get("pisolve", ""), script=script, style_hash=digest(style),
        script_hash=digest(script), parts=parts,
        oracle=comparison.about.get("tune") == "reference", warnings=words.warnings(comparison, notes),
        terms=words.terms(comparison), settings=words.settings(comparison),
        split=words.by_setting(comparison) if len(comparison.settings) > len(parts) else None,
        records=words.table(comparison.records(), best=False), metric=comparison.ranked_by or "", sections=sections,
        curves=[(s.label, _convergence(comparison, k), _strengths(comparison, k))
                for k, s in enumerate(comparison.settings)],
        definitions=comparison.about.get("definitions") or {},
        plan=json.dumps(plain(comparison.about.get("plan")), indent=1, ensure_ascii=False)
        if comparison.about.get("plan") is not None else "",
        versions=words.versions(comparison), bits=plan.bits, images=sorted(data.items()),
        data=_json(_viewer(comparison, images, scales, plan)),
        paper=paper, pixels=words.pixels(comparison), bars=bars_of(comparison.sections),
        unreferenced=[s.label for s in comparison.settings if s.reference is None])


def proportions(sections, paper=()) -> str:
    """The rules that draw pixels as large as they are, where they are not square."""
    rules = [f".picture-{s}-{p} {{ aspect-ratio: {picture['ratio']:.6g}; }}" for s, section in enumerate(sections, 1)
             for p, picture in enumerate(section["pictures"], 1) if picture["ratio"]]
    rules += [f".sheets-{sheet['setting']} img {{ aspect-ratio: {sheet['ratio']:.6g}; }}" for sheet in paper]
    return "".join("\n" + rule for rule in rules)


def _part(kind, comparison) -> dict:
    """Verdict, table and differences of the settings under one sampling."""
    rows = comparison.differences()
    bars, axis = svg.intervals(rows)
    return {"kind": kind, "verdict": words.verdict(comparison), "summary": words.summary(comparison), "axis": axis,
            "differences": list(zip(rows, bars)), "metric": comparison.ranked_by or "",
            "settings": len(comparison.settings)}


def _shown(value):
    """Text out of files without what steers anything; what is made here is `Markup`, no plain text."""
    return printable(value, lines=True) if type(value) is str else value


def environment_of(jinja2):
    """jinja2 as the templates want it."""
    made = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                              lstrip_blocks=True, undefined=jinja2.StrictUndefined, finalize=_shown)
    made.filters["markup"] = jinja2.utils.markupsafe.Markup  # of what is made and escaped here
    return made


def joined(names) -> str:
    """Files of the templates' folder, one behind the other."""
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def bars_of(sections) -> dict:
    """The bars of all colours that pictures of sections may have: {name: data URL}."""
    used = {p.map for s in sections for p in s.pictures.values()}
    return {name: pictures.bar(name) for name in pictures.MAPS if name in (*pictures.MAPS[:3], *used)}


def digest(text: str) -> str:
    """What a content security policy calls a text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(plain(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _clipped(comparison, scales):
    return [f"In the viewer values above {s.peak:.3g} are drawn as that, {100 * s.clipped:.2g} % of the pixels "
            f"[{comparison.settings[k].label}]" for k, s in enumerate(scales) if s.clipped > 1e-3]


def _viewer(comparison, images, scales, plan) -> dict:
    """What the viewer has to know beside the pixels."""
    order = list(comparison.methods)
    settings = []
    for k, (setting, found, scale) in enumerate(zip(comparison.settings, images, scales)):
        panels = [{"name": "reference" if n is None else n, "reference": n is None,
                   "colour": -1 if n is None else order.index(n) % svg.SERIES,
                   "note": "" if n is None else comparison.outcomes[k, n].strength,
                   "values": ["" if n is None else _caption(comparison, k, n, s) for s in plan.slices[k]],
                   "absent": ["" if n is None else pictures.absent(comparison.outcomes[k, n], s)
                              for s in plan.slices[k]]}
                  for n in found]
        size = [n // plan.step for n in next(iter(found.values())).shape[-2:]] if found else [1, 1]
        mask, down, across = pattern(setting)
        settings.append({
            "label": setting.label, "size": size, "aspect": setting.pixel[0] / setting.pixel[1],
            "slices": list(plan.slices[k]), "total": plan.total[k],
            **stepping(setting, plan.slices[k]),
            "top": scale.top, "peak": scale.peak, "limit": scale.limit, "panels": panels,
            "pattern": pictures.address(pictures.png(mask.astype("uint8") * 255)),
            "patternSize": list(mask.shape), "patternAxes": f"{down} down, {across} across",
            "sampled": f"{100 * setting.pattern.mean():.1f} % of k-space measured"})
    return {"bits": plan.bits, "step": plan.step, "settings": settings,
            **{name: pictures.text(pictures.colours(name).tobytes()) for name in ("heat", "signed")}}


def _caption(comparison, k, name, s) -> str:
    """Two metrics of a plane: what methods are ranked by, and SSIM or the next one; of a failed one that it is."""
    outcome = comparison.outcomes[k, name]
    if outcome.status in words.FAILURES:
        return pictures.absent(outcome, s) or f"{words.FAILURES[outcome.status]}: its best iterate, not judged"
    slices = outcome.slices
    order = sorted(slices, key=lambda m: (m != comparison.ranked_by, m != "ssim"))[:2]
    shown = [(m, slices[m][s]) for m in order if s < len(slices[m])]
    return "  ·  ".join(f"{words.METRICS.get(m, (m,))[0]} {words.value(m, x, unit=True) or 'none'}" for m, x in shown)


def drawn(section, methods=()) -> dict:
    """A `Section` as what the template draws; methods have their colours in its curves."""
    return {"title": section.title, "warnings": section.warnings,
            "paragraphs": [p.strip() for p in section.text.split("\n\n") if p.strip()],
            "table": words.table(section.rows) if section.rows else None,
            "pictures": [{"name": name, "address": pictures.picture(p), "size": p.image.shape[::-1], "map": p.map,
                          "low": svg.number(p.low), "high": svg.number(p.high), "unit": p.unit,
                          "ratio": None if p.pixel[0] == p.pixel[1] else
                          p.image.shape[1] * p.pixel[1] / (p.image.shape[0] * p.pixel[0])}
                         for name, p in section.pictures.items()],
            "curves": [svg.lines(c, list(methods)) for c in section.curves]}


def _own(comparison, k):
    return {n: comparison.outcomes[k, n] for n in comparison.methods if (k, n) in comparison.outcomes}


def _convergence(comparison, k) -> list[str]:
    """Residual and objective of the middle slice over iterations and over seconds."""
    out = []
    own = {n: [_residual(h, o.history) for h in o.history] for n, o in _own(comparison, k).items()}
    for key, title, ylabel in (
            ("residual", "Residual", "relative change of the iterate, by each solver's own definition"),
            ("value", "Objective", "1/2 ||A x − y||² + g(x), divided by its first value; each method has its own g")):
        lines = {n: [h for h in history if h.get(key) is not None and math.isfinite(h[key])]
                 for n, history in own.items()}
        lines = {n: found for n, found in lines.items() if len(found) > 1 and (key == "residual" or found[0][key] > 0)}
        for x, unit in (("k", "iteration"), ("seconds", "time in s")):
            made = {n: ([h[x] for h in found], [h[key] / (found[0][key] if key == "value" else 1) for h in found])
                    for n, found in lines.items() if all(h.get(x) is not None for h in found)}
            if made:
                over = "iterations" if x == "k" else "time"
                out.append(svg.lines(Curves(f"{title} over {over}", unit, ylabel, made, "y"), list(comparison.methods)))
    return out


def _residual(entry: dict, history: list) -> dict:
    """An entry of a history; a method that mostly has no residual, as while HQS's schedule runs, shows its steps."""
    told = 2 * sum(math.isfinite(h.get("residual", math.inf)) for h in history) > len(history)
    return entry if told or "moved" not in entry else {**entry, "residual": entry["moved"]}


def _strengths(comparison, k) -> list[str]:
    """The curves that strengths were chosen by, one picture for each kind of score."""
    groups: dict[tuple, dict] = {}
    for n, o in _own(comparison, k).items():
        if o.tuning and o.tuning.get("curve"):
            groups.setdefault((o.tuning.get("kind", "strength"), o.tuning.get("label", "score")), {})[n] = o.tuning
    out = []
    for (kind, label), found in groups.items():
        lines = {n: tuple(zip(*[p for p in t["curve"] if p[1] is not None])) or ((), ()) for n, t in found.items()}
        scores = [y for _, ys in lines.values() for y in ys if math.isfinite(y)]
        wide = bool(scores) and min(scores) > 0 and max(scores) > 20 * min(scores)
        marks = {n: (t["strength"], min(zip(*lines[n]), key=lambda p: abs(p[0] - t["strength"]))[1])
                 for n, t in found.items() if lines[n][0] and t.get("strength") is not None}
        out.append(svg.lines(Curves(f"Choosing {kind}", kind, label, lines, "xy" if wide else "x"),
                             list(comparison.methods), marks))
    return out
