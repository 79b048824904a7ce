"""The three tests over the workers of a cluster: the same bits."""

from __future__ import annotations

from collections.abc import Callable

from pisolve.backend import shares
from pisolve.evaluate.stability.perturbation import Perturbation, perturb
from pisolve.evaluate.stability.replay import Replay
from pisolve.evaluate.stability.samples import image_of
from pisolve.recipe import Recipe
from pisolve.scan import Scan
from pisolve.workers.spread import spread

_PIECES = 4  # of the inserted structures: each makes maps and the scan's own image first


def over(client, recipe, scan: Scan, slice: int | None, *, search: dict | None, data: list, parts: list,
         tick: Callable) -> tuple[Perturbation | None, list, list]:
    """(what `perturb` found, the images and statuses of other data, those of scans with other samples), in order.

    The search for the worst perturbation goes from step to step, and is one piece of work.

    Args:
        client: as for `recon_many`.
        recipe, scan, slice: as for `Replay`.
        search: what `perturb` is called with, or None.
        data: k-space as `Replay` takes it.
        parts: scans.
        tick: called with the number of reconstructions.
    """
    plain = recipe.to_dict()
    pieces = [data[a:b] for a, b in shares(len(data), min(_PIECES, len(data)))] if data else []
    mine = (plain, _fields(scan), slice)
    items = [(*mine, "search", search)] if search else []
    items += [(*mine, "data", piece) for piece in pieces] + [(plain, _fields(part), None, "part", None)
                                                             for part in parts]
    found = {}
    for k, value in spread(_work, items, client):
        found[k] = value
        tick(value.runs if isinstance(value, Perturbation) else len(value) if items[k][3] == "data" else 1)
    answers = [found[k] for k in range(len(items))]
    first, last = len(items) - len(parts) - len(pieces), len(items) - len(parts)
    return answers[0] if search else None, [one for piece in answers[first:last] for one in piece], answers[last:]


def _fields(scan: Scan) -> dict:
    return {n: getattr(scan, n) for n in scan.__dataclass_fields__}


def _work(item):
    """One piece, in another process."""
    recipe, fields, slice, kind, what = item
    recipe, scan = Recipe.from_dict(recipe), Scan(**fields)
    if kind == "part":
        return image_of(recipe, scan)
    replay = Replay(recipe, scan, slice=slice)
    return perturb(replay, tick=silent, **what) if kind == "search" else [replay(kspace) for kspace in what]


def silent() -> None:
    """No bar is shown where nobody sees it."""
