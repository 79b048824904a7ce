"""What every test may use: the folder of real scans, and a seeded generator."""

import os
import time

# before numpy loads its BLAS: small matrices are not worth threads, which a busy machine makes wait for seconds, as
# torch's do beside those of another worker; the library's own are two, so that what they share is tested
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PISOLVE_THREADS", "2")

from pathlib import Path

import numpy as np
import pytest

DATA = Path(os.environ.get("PISOLVE_DATA", Path(__file__).parents[1].parent / "shared" / "data"))


def data_path(name: str) -> Path:
    """The path of a shared data file; skips the test, with the reason, where it is not there."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {name}: set PISOLVE_DATA to the folder of real scans")
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder: exit code, stdout, stderr."""
    from pisolve import cli

    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main([str(w) for w in words])
        return (code, *capsys.readouterr())

    return call


@pytest.fixture
def threads(monkeypatch):
    """threads(n): the library uses n threads from here on."""
    from pisolve.backend import _threads

    def use(n):
        monkeypatch.setattr(_threads, "_available", lambda: n)
        _threads._pool.cache_clear()

    yield use
    _threads._pool.cache_clear()


@pytest.fixture
def one_thread():
    """Tiny networks are faster, and on a busy machine much faster, without a second thread of torch."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: clock(place, name, seconds) makes a call of that function cost seconds of it."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def costs(place, name, seconds):
        called = getattr(place, name)

        def slow(*a, **k):
            now[0] += seconds
            return called(*a, **k)

        monkeypatch.setattr(place, name, slow)

    return costs
