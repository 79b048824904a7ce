"""The loop over tasks: as many at a time as there are workers and memory, lost ones again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait

from pisolve.many.task import reconstruct

LOST = "its worker ended {}: killed, out of memory, or a script without `if __name__ == '__main__':`"
GONE = "the cluster or the executor is gone: --resume goes on"


def run(tasks: list[dict], workers, retries: int) -> Iterator[tuple[dict, dict]]:
    """(task, its row) of each task, as they end: the largest are begun first.

    A task waits until what it and those that run will take is within `workers.budget`; what is larger than all of it
    runs alone. One whose worker was lost is begun again, `retries` times.
    """
    waiting, running, tries = deque(sorted(tasks, key=lambda t: -t["bytes"])), {}, Counter()
    try:
        while waiting or running:
            while waiting and _room(waiting[0], running.values(), workers):
                task = waiting.popleft()
                try:
                    running[workers.submit(reconstruct, task)] = task
                except (*workers.lost, RuntimeError):  # the latter of one that was shut down
                    yield task, _lost(task, GONE)
            if not running:
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                try:
                    yield task, future.result()
                except workers.lost:
                    tries[task["file"]] += 1
                    if tries[task["file"]] > retries:
                        n = tries[task["file"]]
                        yield task, _lost(task, LOST.format("once" if n == 1 else f"{n} times"))
                    else:
                        waiting.appendleft(task)
                except CancelledError:
                    yield task, _lost(task, GONE)
    finally:
        for future in running:
            future.cancel()


def _room(task, running, workers) -> bool:
    """Whether a task may begin beside those that run."""
    if len(running) >= workers.width:
        return False
    return not running or task["bytes"] + sum(t["bytes"] for t in running) <= workers.budget


def _lost(task, why: str) -> dict:
    return {"file": task["file"], "status": "lost", "error": why}
