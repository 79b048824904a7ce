"""Searching a strength on a logarithmic axis: a grid, golden sections, bisection."""

from __future__ import annotations

import math
from collections.abc import Callable

_GOLDEN = (3 - math.sqrt(5)) / 2  # 0.382, the share of the larger part that the next trial cuts off
_EXTEND = 4  # steps of the grid that may be added at an end


def minimise(score: Callable[[float], float], grid, *, refine: int, extend: bool,
             trials: int | None = None) -> tuple[dict, str]:
    """({strength: score}, status): the grid from strong to weak, then golden sections around its minimum.

    Args:
        score: of a strength; inf where a run failed.
        grid: ascending strengths.
        refine: number of golden sections in log strength.
        extend: go on beyond an end of the grid while the minimum lies there.
        trials: most strengths in all; what grid and extension leave of them is refined with. None: as many as it takes.

    Returns:
        every strength tried, and "ok", "edge" (the minimum is the first or last of them) or "failed" (no finite score).
    """
    curve = {s: score(s) for s in reversed(grid)}
    more = _EXTEND if extend and len(grid) > 1 else 0
    more = more if trials is None else min(more, trials - len(grid))
    while (place := _place(curve)) in ("low", "high") and more:
        found = sorted(curve)
        s = found[0] ** 2 / found[1] if place == "low" else found[-1] ** 2 / found[-2]
        curve[s] = score(s)
        more -= 1
    if place != "inside":
        return curve, {"failed": "failed", "alone": "ok"}.get(place, "edge")
    found = sorted(curve)
    at = found.index(min(curve, key=curve.get))
    a, m, b = (math.log(s) for s in found[at - 1 : at + 2])
    least = curve[found[at]]
    for _ in range(refine if trials is None else trials - len(curve)):
        x = m + _GOLDEN * (b - m) if b - m > m - a else m - _GOLDEN * (m - a)
        new = curve[math.exp(x)] = score(math.exp(x))
        if new < least:
            a, m, b, least = (m, x, b, new) if x > m else (a, x, m, new)
        else:
            a, b = (a, x) if x > m else (x, b)
    return curve, "ok"


def _place(curve) -> str:
    """Where the minimum of a curve lies: inside, low or high (an end), alone, or failed."""
    found = sorted(curve)
    at = found.index(min(curve, key=curve.get))
    if not math.isfinite(curve[found[at]]):
        return "failed"
    if len(found) == 1:
        return "alone"
    return "low" if at == 0 else "high" if at == len(found) - 1 else "inside"


def root(score: Callable[[float], float], grid, *, refine: int, trials: int | None = None) -> tuple[dict, str]:
    """({strength: score}, status): where a score that rises with the strength reaches 1, by bisection in log strength.

    The grid is bisected first, then the interval between two of its strengths `refine` times, or as often as is left
    of `trials`.

    Returns:
        every strength tried, and "ok", "unreachable" (above 1 at the weakest), "edge" (below 1 at the strongest) or
        "failed".
    """
    curve, low, high = {}, 0, len(grid) - 1

    def below(s):
        curve[s] = score(s)
        return curve[s] < 1  # a run that failed has inf: go weaker

    if not below(grid[low]):
        return curve, "unreachable" if math.isfinite(curve[grid[low]]) else "failed"
    if high == low or below(grid[high]):
        return curve, "edge"
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if below(grid[middle]) else (low, middle)
    a, b = grid[low], grid[high]
    for _ in range(refine if trials is None else trials - len(curve)):
        middle = math.sqrt(a * b)
        a, b = (middle, b) if below(middle) else (a, middle)
    return curve, "ok"
