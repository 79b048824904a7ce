"""The library's threads: order, errors, who works, and BLAS on one thread meanwhile."""

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import pisolve as pi
from pisolve.backend import _threads, one_blas_thread, parallel, side_by_side, threads


@pytest.fixture(autouse=True)
def three(monkeypatch):
    monkeypatch.setattr(_threads, "_available", lambda: 3)


def blas():
    """How many threads each BLAS of the process has."""
    return {lib["filepath"]: lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


@pytest.mark.parametrize("run", [parallel, side_by_side])
def test_results_come_in_order_and_the_callers_thread_works_too(run):
    workers, meet = set(), threading.Barrier(3, timeout=10)

    def work(i):
        workers.add(threading.get_ident())
        if i < 3:  # the first three run at the same time
            meet.wait()
        return i * i

    assert run(work, range(20)) == [i * i for i in range(20)]
    assert len(workers) == 3
    assert threading.get_ident() in workers


@pytest.mark.parametrize("run", [parallel, side_by_side])
def test_the_first_error_in_time_is_raised_and_nothing_more_is_begun(run):
    begun, failed = [], threading.Event()

    def work(i):
        begun.append(i)
        if i == 2:
            failed.set()
            raise ValueError("the cause")
        if i < 2:
            failed.wait(10)
            time.sleep(0.05)
            raise RuntimeError("what follows from it")

    with pytest.raises(ValueError, match="the cause"):
        run(work, range(20))
    assert sorted(begun) == [0, 1, 2]


def test_pieces_that_run_see_one_thread_and_are_told_to_end():
    cut, seen, meet = threading.Event(), [], threading.Barrier(3, timeout=10)

    def work(i):
        seen.append(threads())
        meet.wait()
        if i == 1:
            raise ValueError("one of them")
        assert cut.wait(10)

    with pytest.raises(ValueError, match="one of them"):
        side_by_side(work, range(3), cut)
    assert seen == [1, 1, 1]
    assert threads() == 3  # the caller's thread is as it was


def test_a_solve_keeps_blas_to_one_thread_and_gives_it_back():
    with one_blas_thread():  # both libraries are there
        pass
    before, found = blas(), []
    A = pi.linops.identity((8, 8))
    pi.solve(A, np.ones((8, 8), np.complex64), max_iter=1, callbacks=[lambda problem, state: found.append(blas())])
    assert set(found[0].values()) == {1}
    assert blas() == before
