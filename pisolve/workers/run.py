"""The loop over tasks: as many at a time as there are workers and memory, lost ones again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from queue import SimpleQueue

from pisolve.io.words import printable

LOST = "its worker ended {}: killed, out of memory, or a script without `if __name__ == '__main__':`"
GONE = "the cluster or the executor is gone: --resume goes on"


def run(tasks: list[dict], workers, retries: int, work: Callable) -> Iterator[tuple[dict, dict]]:
    """(task, its row) of each task, as they end: the largest are begun first.

    A task waits until what it and those that run will take is within `workers.budget`; what is larger than all of it
    runs alone. One whose worker was lost is begun again, `retries` times. `work` makes a row of a task.
    """
    waiting, running, tries = deque(sorted(tasks, key=lambda t: -t["bytes"])), {}, Counter()
    ended, taken = SimpleQueue(), 0
    try:
        while waiting or running:
            while waiting and len(running) < workers.width and (
                    not running or taken + waiting[0]["bytes"] <= workers.budget):
                task = waiting.popleft()
                try:
                    future = workers.submit(work, task)
                except (*workers.lost, RuntimeError):  # the latter of one that was shut down
                    yield task, {"file": task["file"], "status": "lost", "error": GONE}
                    continue
                running[future], taken = task, taken + task["bytes"]
                future.add_done_callback(ended.put)
            if not running:
                continue
            future = ended.get()
            task = running.pop(future)
            taken -= task["bytes"]
            row = _row(future, workers)
            if row["status"] == "lost":
                tries[task["file"]] += 1
                if (n := tries[task["file"]]) <= retries and row["error"] != GONE:
                    waiting.appendleft(task)
                    continue
                row["error"] = row["error"].format("once" if n == 1 else f"{n} times")
            yield task, {"file": task["file"], **row}
    finally:
        for future in running:
            future.cancel()


def _row(future, workers) -> dict:
    """What a task returned, or why it returned nothing."""
    try:
        return future.result()
    except workers.lost:
        return {"status": "lost", "error": LOST}
    except CancelledError:
        return {"status": "lost", "error": GONE}
    except Exception as error:  # such as of a cluster whose machines have no pisolve
        return {"status": "error", "error": words(error)}


def words(error: Exception) -> str:
    """An error in one line; what is no message to a user has its kind in front."""
    text = " ".join(printable(error).split())
    known = isinstance(error, ValueError | TypeError | OSError | ImportError)
    return text if known and text else f"{type(error).__name__}: {text}".rstrip(": ")
