"""Independent pieces of other work over the same workers as many scans: what `client=` of a judge does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pisolve.workers.pools import workers_of
from pisolve.workers.run import run


@contextmanager
def opened(client, workers: int | None, count: int) -> Iterator:
    """The workers of a run of `count` tasks, see `workers_of`, closed at its end; killed where it is cut."""
    pool, cut = workers_of(client, workers, count), True
    try:
        yield pool
        cut = False
    finally:
        pool.close(cut)


def spread(work: Callable, items: list, client, retries: int = 2) -> Iterator[tuple[int, object]]:
    """(index, work(item)) of each item, as they end; one whose worker was lost is begun again.

    Args:
        work: of a module's own, so that it can be sent; it is called in another process.
        items: what it is called with, plain values and arrays.
        client: as for `recon_many`.
        retries: how often an item is begun again.

    Raises:
        RuntimeError: the work raised, or its worker was lost again and again; with what it said.
    """
    with opened(client, None, len(items)) as pool:
        yield from pieces(work, items, pool, retries)


def pieces(work: Callable, items: list, pool, retries: int = 2) -> Iterator[tuple[int, object]]:
    """`spread` over workers that were opened."""
    tasks = [{"file": str(k), "bytes": 1, "item": item} for k, item in enumerate(items)]
    for task, row in run(tasks, pool, retries, _Value(work)):
        if row["status"] != "done":
            raise RuntimeError(f"{row['status']}: {row['error']}")
        yield int(task["file"]), row["value"]


class _Value:
    """Work on an item as work on a task, which has a row."""

    def __init__(self, work: Callable):
        self._work = work

    def __call__(self, task: dict) -> dict:
        return {"status": "done", "value": self._work(task["item"])}
