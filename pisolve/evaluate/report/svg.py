"""Lines and intervals as SVG, coloured by the page's style sheet: the same in a dark and a light room, and in print."""

from __future__ import annotations

import math
from html import escape

WIDTH, HEIGHT = 520, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 42
SERIES = 12  # colours in the style sheet
LETTER, LINE = 6.5, 13  # of a label, width of a letter and height


def number(value: float) -> str:
    """A number on an axis."""
    if value and not 1e-3 <= abs(value) < 1e4:
        digits, power = f"{value:.2e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def ticks(low: float, high: float, log: bool = False, most: int = 6) -> list[float]:
    """Round numbers in low..high: 1, 2, 5 times powers of ten."""
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for parts in ((1, 2, 5), (1, 3), (1,)):
            found = [p * 10.0**e for e in powers for p in parts if low * 0.999 <= p * 10.0**e <= high * 1.001]
            if len(found) < 2 and len(parts) == 3:  # a part of a decade: the round numbers of a linear axis
                return ticks(low, high, most=most)
            if len(found) <= most + 1:
                return found
        return found[:: math.ceil(len(found) / most)]
    span = high - low
    if not span > 0:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(f for f in (1, 2, 5, 10) if span / (f * step) <= most)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


class _Axis:
    """From values to places between two ends."""

    def __init__(self, values, log, start, end):
        low, high = (min(values), max(values)) if values else (1.0, 10.0)
        if log:
            low, high = (low / 2, high * 2) if low == high else (low, high)
        else:
            gap = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
            low, high = low - gap, high + gap
        self.low, self.high, self.log, self.start, self.end = low, high, log, start, end

    def __call__(self, value):
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self):
        return ticks(self.low, self.high, self.log)


def _usable(xs, ys, log):
    return [(float(x), float(y)) for x, y in zip(xs, ys) if x is not None and y is not None and math.isfinite(x)
            and math.isfinite(y) and (x > 0 or "x" not in log) and (y > 0 or "y" not in log)]


def lines(curves, order=(), marks=None) -> str:
    """A `Curves` as an SVG with a legend, as HTML.

    Args:
        curves: what to draw; points that are not finite, or not positive on a logarithmic axis, are left out.
        order: names whose place is their colour, so that a method has one colour in the whole report.
        marks: name -> (x, y) of a point to mark.
    """
    names = list(dict.fromkeys([*(n for n in order if n in curves.lines), *curves.lines]))
    place = {n: list(order).index(n) if n in order else k for k, n in enumerate(names)}
    found = {n: _usable(*curves.lines[n], curves.log) for n in names}
    points = [p for line in found.values() for p in line]
    x = _Axis([p[0] for p in points], "x" in curves.log, LEFT, WIDTH - RIGHT)
    y = _Axis([p[1] for p in points], "y" in curves.log, HEIGHT - BOTTOM, TOP)
    out = [f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(curves.title)}">']
    end = -math.inf  # of the last label: one that would lie over it is left out, its line is not
    for value in x.ticks():
        half = LETTER * len(number(value)) / 2
        out.append(f'<path class="grid" d="M{x(value)} {TOP}V{HEIGHT - BOTTOM}"/>')
        if x(value) - half > end:
            out.append(f'<text x="{x(value)}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{number(value)}</text>')
            end = x(value) + half + LETTER
    end = math.inf
    for value in y.ticks():
        out.append(f'<path class="grid" d="M{LEFT} {y(value)}H{WIDTH - RIGHT}"/>')
        if y(value) < end:
            out.append(f'<text x="{LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{number(value)}</text>')
            end = y(value) - LINE
    out.append(f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
               f'{escape(curves.xlabel)}</text>')
    for n in names:
        if found[n]:
            path = "M" + "L".join(f"{x(a)} {y(b)}" for a, b in found[n])
            out.append(f'<g class="series s{place[n] % SERIES}"><title>{escape(n)}</title><path d="{path}"/>')
            if len(found[n]) <= 20:
                out += [f'<circle cx="{x(a)}" cy="{y(b)}" r="2"/>' for a, b in found[n]]
            if n in (marks or {}) and _usable(*([v] for v in marks[n]), curves.log):
                a, b = (min(max(v, axis.low), axis.high) for v, axis in zip(marks[n], (x, y)))
                out.append(f'<circle class="mark" cx="{x(a)}" cy="{y(b)}" r="6"/>')
            out.append("</g>")
    if not points:
        out.append(f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">nothing to draw</text>')
    out.append("</svg>")
    dash = '<svg viewBox="0 0 24 8" aria-hidden="true"><path d="M0 4H24"/></svg>'
    keys = "".join(f'<li class="s{place[n] % SERIES}">{dash}{escape(n)}{"" if found[n] else " (no finite values)"}</li>'
                   for n in names)
    head = f"<figcaption>{escape(curves.title)}<small>{escape(curves.ylabel)}</small></figcaption>"
    return f'<figure class="curves">{head}{"".join(out)}<ul class="legend">{keys}</ul></figure>'


def intervals(rows) -> tuple[list[str], str]:
    """Paired differences as bars on one scale: an SVG for each row and one with the axis below them.

    Args:
        rows: of `Comparison.differences`.
    """
    values = [v for r in rows for v in (r["difference"], r["low"], r["high"], 0.0) if math.isfinite(v)]
    x = _Axis(values, False, 12, 388)
    zero, out = x(0.0), []
    for r in rows:
        parts = [f'<path class="zero" d="M{zero} 0V26"/>']
        if math.isfinite(r["low"]):
            apart = "apart" if r["low"] > 0 or r["high"] < 0 else "tied"
            parts.append(f'<path class="interval {apart}" d="M{x(r["low"])} 13H{x(r["high"])}M{x(r["low"])} 8v10'
                         f'M{x(r["high"])} 8v10"/>')
        if math.isfinite(r["difference"]):
            parts.append(f'<circle class="middle" cx="{x(r["difference"])}" cy="13" r="4"/>')
        out.append(f'<svg class="bar" viewBox="0 0 400 26" aria-hidden="true">{"".join(parts)}</svg>')
    labels = "".join(f'<path class="grid" d="M{x(v)} 0v5"/><text x="{x(v)}" y="18" text-anchor="middle">{number(v)}'
                     "</text>" for v in ticks(x.low, x.high))
    return out, f'<svg class="bar" viewBox="0 0 400 22" aria-hidden="true">{labels}</svg>'
