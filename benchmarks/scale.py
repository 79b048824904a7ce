"""Weak scaling of a batch by simulation: Dask's own scheduler, up to 1000 workers, work that only takes its time.

    python benchmarks/scale.py [--workers 10,100,300,1000] [--seconds 20] [--rounds 2] [--out FILE]

`recon_many`'s own loop feeds a real scheduler over TCP with as many tasks as a batch would have, of the same plain
values. The workers are not Dask's, a thousand of which would need more than two cores themselves: they speak its
protocol (register, compute-task, task-finished, get_data), many in one process, and instead of a reconstruction wait.
They let nobody steal their tasks, and so get a new one as they end one, where a batch hands over all of them at once.
So what is measured is all that is not the work: the loop, the scheduler, messages. Efficiency is rounds * seconds over
the time that it took, CPU seconds say what a task costs the client and the scheduler.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from pisolve import TV, Recipe
from pisolve.workers import run as loop
from pisolve.workers.pools import workers_of

METRICS = {"bandwidth": {"total": 1e8, "workers": {}, "types": {}}, "spilled_bytes": {"memory": 0, "disk": 0},
           "memory": 1 << 28, "digests_total_since_heartbeat": {}}  # what the scheduler asks of workers


def waits(task):
    """What workers are asked to do, and do not: they wait as long as the task says."""
    raise NotImplementedError


async def serve(address: str, number: int, seconds: float) -> None:
    """So many workers, until the process is ended; each has an address of its own, which this process listens at."""
    from distributed.comm import listen

    async def fetched(comm):
        """What a client asks a worker for: the rows of its tasks."""
        from distributed.protocol import to_serialize

        asked = await comm.read()
        while asked.get("op") == "get_data":
            await comm.write({"status": "OK", "data": {k: to_serialize({"status": "done"}) for k in asked["keys"]}})
            await comm.read()
            asked = await comm.read()

    listener = await listen("tcp://0.0.0.0:0", fetched)
    port = listener.contact_address.rpartition(":")[2]
    gate = asyncio.Semaphore(20)
    await asyncio.gather(*(worker(address, f"tcp://127.1.{k // 250}.{1 + k % 250}:{port}", seconds, gate)
                           for k in range(number)))


async def worker(scheduler: str, address: str, seconds: float, gate) -> None:
    """One of them: a task after another."""
    import pickle

    from distributed.comm import connect

    async with gate:
        comm = await connect(scheduler)
        await comm.write({"op": "register-worker", "reply": False, "address": address, "status": "running",
                          "nthreads": 1, "name": address, "now": time.time(), "resources": {}, "memory_limit": 1 << 34,
                          "local_directory": "", "services": {}, "nanny": None, "pid": os.getpid(), "versions": {},
                          "metrics": METRICS, "extra": {}, "stimulus_id": f"worker-connect-{address}",
                          "server_id": f"Worker-{address}"}, serializers=["msgpack"])
        await comm.read(deserializers=["msgpack"])
    todo: asyncio.Queue = asyncio.Queue()

    async def works():
        while True:
            message, start = await todo.get(), time.time()
            await asyncio.sleep(seconds)
            took = {"action": "compute", "start": start, "stop": time.time()}
            await comm.write([{"op": "task-finished", "status": "OK", "key": message["key"], "nbytes": 100,
                               "run_id": message["run_id"], "type": pickle.dumps(dict), "typename": "dict",
                               "metadata": {}, "thread": 1, "startstops": [took],
                               "stimulus_id": f"task-finished-{time.time()}"}])

    doing = asyncio.create_task(works())
    try:
        while True:
            for message in await comm.read():
                if message.get("op") == "compute-task":
                    todo.put_nowait(message)
    finally:
        doing.cancel()


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def measure(number: int, seconds: float, rounds: int) -> dict:
    """One size: a scheduler, workers, and `rounds` tasks for each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, quiet = f"tcp://127.0.0.1:{port}", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
                                  "--port", str(port), "--no-dashboard"], **quiet)
    fleet = subprocess.Popen([sys.executable, __file__, "--serve", address, str(number), str(seconds)], **quiet)
    pool = None
    try:
        begun = time.monotonic()
        pool = workers_of(address, None, number)
        pool.client.wait_for_workers(number, timeout=600)
        pool.width = number
        start = time.monotonic() - begun
        recipe = Recipe(2e-3 * TV()).to_dict()
        tasks = [{"file": f"{k}", "bytes": 1, "seconds": seconds, "recipe": recipe, "load": {}, "select": {},
                  "path": f"/data/scans/{k}.h5", "target": f"/data/images/{k}.h5"} for k in range(rounds * number)]
        before = time.process_time(), cpu(scheduler.pid), cpu(fleet.pid)
        begun = time.monotonic()
        rows = list(loop.run(tasks, pool, 0, waits))
        wall = time.monotonic() - begun
        after = time.process_time(), cpu(scheduler.pid), cpu(fleet.pid)
        assert {row["status"] for _, row in rows} == {"done"}
        each = [round(1e3 * (b - a) / len(tasks), 2) for a, b in zip(before, after)]
        return {"workers": number, "tasks": len(tasks), "seconds a task": seconds, "start [s]": round(start, 1),
                "wall [s]": round(wall, 2), "efficiency": round(rounds * seconds / wall, 3),
                **dict(zip(("client [ms a task]", "scheduler [ms a task]", "workers [ms a task]"), each))}
    finally:
        if pool is not None:
            pool.close(True)
        for one in (scheduler, fleet):
            one.kill()
            one.wait()


def main() -> None:
    """All sizes; the table goes to a file."""
    if sys.argv[1:2] == ["--serve"]:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        asyncio.run(serve(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="10,100,300,1000")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scale.json")
    a = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    for number in map(int, a.workers.split(",")):
        rows.append(measure(number, a.seconds, a.rounds))
        print(rows[-1], flush=True)
    a.out.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
