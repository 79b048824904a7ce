"""Who does the work: processes of this machine, a Dask cluster, or an executor of the user's own."""

from __future__ import annotations

import math
import multiprocessing
import warnings
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import suppress

from pisolve import _check, backend
from pisolve.io.door import reading, toml_of
from pisolve.workers import sizes
from pisolve.workers.processes import begin

_CLIENTS = ("None, 'local:4', 'tcp://host:8786', 'slurm:cluster.toml', a distributed.Client, or an executor of "
            "concurrent.futures")
WAIT, WAIT_QUEUE, QUIET = 600.0, 86400.0, 10.0  # s for a first worker: of a cluster, of a queue, until it is said
_QUEUES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster", "oar": "OARCluster",
           "moab": "MoabCluster", "htcondor": "HTCondorCluster"}  # of dask_jobqueue, by their words


class Processes:
    """Processes of this machine, each a pool by itself: one that is killed takes no other scan with it.

    Args:
        width: how many.
        threads: of each.
    """

    lost = (BrokenExecutor,)

    def __init__(self, width: int, threads: int):
        self.width, self.threads, self.budget = width, threads, sizes.budget()
        self._slots = [(None, None)] * width  # (pool, its last future)

    def submit(self, work, task: dict):
        """The future of `work(task)` on a process that is free; there is one as long as fewer than `width` run."""
        k = next(k for k, (_, last) in enumerate(self._slots) if last is None or last.done())
        pool = self._slots[k][0] or self._start()
        try:
            future = pool.submit(work, task)
        except BrokenExecutor:  # its process was lost
            pool = self._start()
            future = pool.submit(work, task)
        self._slots[k] = pool, future
        return future

    def _start(self):
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin, (self.threads,))

    def close(self, cut: bool) -> None:
        """End the processes; `cut`: at once, whatever they do."""
        for pool, _ in self._slots:
            if pool is not None:
                for child in list((pool._processes or {}).values()) if cut else ():
                    child.kill()
                pool.shutdown(cancel_futures=True)


class Executor:
    """An executor of the user's own, which stays open."""

    lost = (BrokenExecutor,)

    def __init__(self, executor, width: int):
        self.executor, self.width, self.budget = executor, width, sizes.budget()

    def submit(self, work, task: dict):
        """The future of `work(task)`."""
        return self.executor.submit(work, task)

    def close(self, cut: bool) -> None:
        """Nothing: it is not ours."""


class Cluster:
    """A Dask cluster: the scheduler has the queue, and sends a task to another worker where one was lost.

    Where workers declare the resource `memory` (`dask worker --resources memory=16e9`), a task waits for as much of it
    as it will take.

    Args:
        client: a `distributed.Client`.
        owned: what is closed at the end.
        budget: bytes that all tasks may take together.
        wait: seconds in which a first worker must come.

    Raises:
        TimeoutError: none came.
    """

    width = math.inf

    def __init__(self, client, owned=(), budget: float = math.inf, wait: float = WAIT):
        from distributed.scheduler import KilledWorker

        self.client, self.owned, self.budget, self.lost = client, owned, budget, (KilledWorker,)
        try:
            self._first(wait)
        except BaseException:
            self.close(True)
            raise
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        self.memory = max((w.get("resources", {}).get("memory", 0) for w in workers), default=0)

    def _first(self, wait: float) -> None:
        """Wait for a first worker: after some seconds it is said."""
        with suppress(TimeoutError):
            return self.client.wait_for_workers(1, timeout=min(QUIET, wait))
        where = getattr(getattr(self.client, "scheduler", None), "address", "the scheduler")
        if wait > QUIET:
            warnings.warn(f"the cluster at {where} has no worker yet: waiting for one, at most {wait:g} s; Ctrl-C ends "
                          "it", stacklevel=_check.outside())
        try:
            self.client.wait_for_workers(1, timeout=max(wait - QUIET, 0.01))
        except TimeoutError:
            raise TimeoutError(f"no worker came to the cluster at {where} within {wait:g} s: start one, dask worker "
                               f"{where}, look at the queue's jobs, or wait longer, wait = SECONDS in the queue's "
                               ".toml") from None

    def submit(self, work, task: dict):
        """The future of `work(task)`, as `concurrent.futures` has them."""
        need = {"resources": {"memory": min(task["bytes"], self.memory)}} if self.memory else {}
        return self.client.get_executor(pure=False, **need).submit(work, task)

    def close(self, cut: bool) -> None:
        """Close what was opened for this run."""
        for one in self.owned:
            one.close()


def share(workers: int | None, count: int) -> int:
    """The threads of each of so many processes of this machine, for `count` tasks."""
    workers, threads = _check.integer("workers", workers, low=1, allow_none=True), backend.threads()
    return max(1, threads // min(workers or threads, max(count, 1)))


def workers_of(client, workers: int | None, count: int):
    """Those that `recon_many` is given for `count` tasks: an object with `submit`, `width`, `budget`, `lost`, `close`.

    Raises:
        TypeError, ValueError: none of what it takes.
        ImportError: an address, and `distributed` is missing (the extra `cluster`).
    """
    workers, threads = _check.integer("workers", workers, low=1, allow_none=True), backend.threads()
    if client is None:
        return Processes(min(workers or threads, max(count, 1)), share(workers, count))
    if isinstance(client, str):
        return _opened(client, workers, threads)
    if hasattr(client, "get_executor"):
        _refuse(workers)
        return Cluster(client)
    if not hasattr(client, "submit"):
        raise TypeError(f"client must be {_CLIENTS}, got {_check.brief(client)}")
    return Executor(client, workers or getattr(client, "_max_workers", None) or threads)


def _opened(address: str, workers, threads: int) -> Cluster:
    kind, _, rest = address.partition(":")
    if kind in _QUEUES and rest:
        _refuse(workers)
        return _queued(kind, rest)
    number = int(rest) if kind == "local" and rest.isdigit() else 0
    if number < 1 and not (kind in ("tcp", "tls") and rest.startswith("//")):
        raise ValueError(f"client={_check.brief(address)} is no cluster: {_CLIENTS}")
    _refuse(workers)
    _check.extra("distributed", "cluster")
    from distributed import Client, LocalCluster

    if not number:
        client = Client(address)
        return Cluster(client, (client,))
    share = {"PISOLVE_THREADS": str(max(1, threads // number))}
    cluster = LocalCluster(n_workers=number, threads_per_worker=1, memory_limit=None, dashboard_address=None, env=share)
    client = Client(cluster)
    return Cluster(client, (client, cluster), sizes.budget())


def _queued(kind: str, path: str) -> Cluster:
    """Workers that a queue of jobs starts: `jobs` of them, and what else a .toml says for dask_jobqueue's cluster.

    `wait` is for how many seconds the first one may be waited for, a day by default.

    Each worker declares the memory that it has, as its share of that of a job, so that tasks wait for it.
    """
    values = toml_of(path)
    jobs = _check.integer(f"jobs in {path}", values.pop("jobs", 1), low=1)
    wait = _check.number(f"wait in {path}", values.pop("wait", WAIT_QUEUE), low=0, strict=True)
    values.setdefault("processes", _check.integer(f"cores in {path}", values.get("cores"), low=1))
    _check.extra("dask_jobqueue", "queue")
    import dask_jobqueue
    from dask.utils import parse_bytes
    from distributed import Client

    processes = _check.integer(f"processes in {path}", values["processes"], low=1)
    extra = values.setdefault("worker_extra_args", [])
    if values.get("memory") and "--resources" not in extra:
        extra += ["--resources", f"memory={parse_bytes(values['memory']) // processes}"]
    with reading(path):  # an argument that it does not know is said with the file's name
        cluster = getattr(dask_jobqueue, _QUEUES[kind])(**values)
    cluster.scale(jobs=jobs)
    client = Client(cluster)
    return Cluster(client, (client, cluster), wait=wait)


def _refuse(workers) -> None:
    if workers is not None:
        raise ValueError(f"workers={workers} beside a cluster, which has its own: leave it out")
