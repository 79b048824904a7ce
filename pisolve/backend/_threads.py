"""The library's threads."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise

from pisolve.backend._blas import one_blas_thread

_here = threading.local()  # `inside` is set in the threads of `side_by_side`


def threads() -> int:
    """Number of CPU threads to use: `PISOLVE_THREADS`, else `OMP_NUM_THREADS`, else the cores this process may use.

    One within a thread of `side_by_side`, whose others are busy as well.
    """
    return 1 if getattr(_here, "inside", False) else _available()


@cache
def _available() -> int:
    for name in ("PISOLVE_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(pid: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads(), thread_name_prefix="pisolve")


def parallel(work, items) -> list:
    """`[work(i) for i in items]` on the library's threads (numpy and scipy.fft release the interpreter's lock).

    Results come in order, so a sum over them does not depend on the number of threads. The caller's thread works, too:
    where all threads are woken by one that then sleeps, two of them often share a core at first, which took twice the
    time. An error ends what has not begun. `work` must not call `parallel` itself.
    """
    items = list(items)
    if threads() == 1 or len(items) == 1:
        return [work(i) for i in items]
    return _shared(work, items, _pool(os.getpid()))


def _shared(work, items, pool) -> list:
    """`[work(i) for i in items]` by the caller's thread and those of a pool; of several errors the first in time."""
    results, left, failed = [None] * len(items), iter(range(len(items))), []

    def share():
        try:
            for i in left:
                results[i] = work(items[i])
        except BaseException as error:
            failed.append(error)
            for _ in left:  # nobody begins another one
                pass

    others = [pool.submit(share) for _ in range(min(threads(), len(items)) - 1)]
    share()
    for other in others:
        other.result()  # it waits
    try:
        if failed:
            raise failed[0]
    finally:
        failed.clear()  # an error's traceback would keep itself, and the arrays of its frames
    return results


def shares(count: int, parts: int) -> list[tuple[int, int]]:
    """range(count) cut into so many parts: (start, stop) of each."""
    return list(pairwise(count * k // parts for k in range(parts + 1)))


@contextmanager
def borrowed(kept: list, make):
    """One of the things in `kept`, or a new one where others use them all, for a `with`; then it is kept for the next.

    Threads that come at the same instant each have one of their own.
    """
    try:
        one = kept.pop()
    except IndexError:
        one = make()
    yield one
    kept.append(one)


def pieces(work, n: int, size: int = 1 << 16) -> list:
    """`[work(start, stop), ...]` over pieces of range(n) on the library's threads; `size` alone says where they end."""
    return parallel(lambda start: work(start, min(start + size, n)), range(0, n, size))


def side_by_side(work, items, cut: threading.Event | None = None) -> list:
    """`[work(i) for i in items]` for long, independent pieces of work: each runs on one thread, as many as there are.

    Args:
        work: called with an item; what it calls sees one thread, so that results are those of one thread.
        items: of the work.
        cut: is set at Ctrl-C or after an error, for work that is running to look at; what was not begun stays so.
    """
    cut = cut or threading.Event()

    def alone(item):
        before, _here.inside = getattr(_here, "inside", False), True
        try:
            return work(item)
        except BaseException:
            cut.set()
            raise
        finally:
            _here.inside = before

    pool = ThreadPoolExecutor(threads(), thread_name_prefix="pisolve-part")  # a long piece keeps nobody else waiting
    try:
        with one_blas_thread():
            return _shared(alone, list(items), pool)
    except BaseException:  # Ctrl-C may come between pieces, too
        cut.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
