"""kill -9 of workers, of the command, of Dask's scheduler and of a server's clients: is what is left as undisturbed?

    python benchmarks/kills.py [--workers 20] [--commands 20] [--schedulers 10] [--clients 20] [--out FILE]

Small scans go through `pisolve recon FOLDER` while its processes are killed at random times; whatever ended is gone on
with by `--resume`. In the end the folder must hold the same bytes, image by image, as that of a run that nobody
disturbed, a row "done" for each scan, and nothing half-written. A server's clients are killed while they send; the next
one must get the bytes that the first got.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import pisolve as pi
from pisolve import io

SCANS, SIZE, COILS = 24, (96, 80), 4
RECIPE = pi.Recipe(2e-3 * pi.TV(), max_iter=60, tol=0.0, sampling=pi.Sampling(accel=3, seed=1))
HERE = os.environ | {"PYTHONPATH": str(Path(pi.__file__).parents[1]), "PISOLVE_THREADS": "1"}
LONG = 300.0  # seconds that no run here takes


def started(*words, log):
    """A command of pisolve's, or of a module."""
    return subprocess.Popen([sys.executable, "-m", *map(str, words)], stdout=log, stderr=log, env=HERE)


def recon(scans: Path, out: Path, log, *more):
    """The command that all kills are about."""
    return started("pisolve", "recon", scans, "-o", out, "--recipe", scans.parent / "recipe.json", "--resume", *more,
                   log=log)


def children(pid: int) -> list[int]:
    """The processes below a process that reconstruct: those that were spawned."""
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True)
    return [int(p) for p in found.stdout.split()]


def images(out: Path) -> int:
    """How many are there."""
    return len(list(out.rglob("*.h5"))) if out.is_dir() else 0


def alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def state(out: Path) -> dict:
    """{file: digest} of images, and the rows of the table without their seconds."""
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob("*.h5"))}
    rows = [line.split(",") for line in (out / "summary.csv").read_text().splitlines()]
    keep = [i for i, name in enumerate(rows[0]) if name != "seconds"]
    return {"images": found, "rows": [[row[i] for i in keep] for row in rows],
            "half": [p.name for p in out.rglob(".pisolve-*")]}


def kill(pid: int) -> bool:
    """kill -9; whether there was somebody."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def killed_workers(scans, place, number, r, log, expected) -> dict:
    """Processes of the command's are killed while they work; it begins their scans again by itself."""
    kills = runs = different = 0
    while kills < number:
        out = place / f"workers-{runs}"
        command, most, end = recon(scans, out, log, "--workers", 2, "--retries", 50), min(10, number - kills), 0
        while command.poll() is None and end < most:
            time.sleep(r.uniform(0.2, 1.5))
            there = children(command.pid)
            end += bool(there) and kill(r.choice(there))
        assert command.wait(LONG) == 0
        kills, runs, different = kills + end, runs + 1, different + (state(out) != expected)
    return {"kills": kills, "runs": runs, "different": different}


def killed_commands(scans, place, number, r, log, expected) -> dict:
    """The command itself is killed, and the same is called again until it is through."""
    kills = runs = different = left = 0
    out = place / "commands-0"
    while kills < number:
        command = recon(scans, out, log, "--workers", 2)
        time.sleep(r.uniform(0.1, 6))
        below = children(command.pid)
        if command.poll() is None:
            kills += kill(command.pid)
            command.wait()
            end = time.monotonic() + 20
            while any(alive(p) for p in below) and time.monotonic() < end:
                time.sleep(0.1)
            left += sum(map(alive, below))
            continue
        different, runs = different + (state(out) != expected), runs + 1
        out = place / f"commands-{runs}"
    assert recon(scans, out, log, "--workers", 2).wait(LONG) == 0
    return {"kills": kills, "runs": runs + 1, "different": different + (state(out) != expected), "workers left": left}


def killed_schedulers(scans, place, number, r, log, expected) -> dict:
    """Dask's scheduler is killed; the command says so and ends, and goes on with another one."""
    kills = runs = different = hung = 0
    out = place / "schedulers-0"
    while kills < number:
        scheduler, workers, address = cluster(log)
        command = recon(scans, out, log, "--cluster", address)
        try:
            before = images(out)
            while images(out) == before and command.poll() is None:
                time.sleep(0.05)
            time.sleep(r.uniform(0, 3))
            if command.poll() is None:
                kills += kill(scheduler.pid)
                try:
                    code = command.wait(LONG)
                except subprocess.TimeoutExpired:
                    hung += 1
                    kill(command.pid)
                    code = None
            else:
                code = command.returncode
            if code == 0:  # all was done by then
                different, runs = different + (state(out) != expected), runs + 1
                out = place / f"schedulers-{runs}"
        finally:
            for one in (scheduler, *workers):
                one.kill()
                one.wait()
    assert recon(scans, out, log, "--workers", 2).wait(LONG) in (0,)
    return {"kills": kills, "runs": runs + 1, "different": different + (state(out) != expected), "hung": hung}


def cluster(log):
    """(a scheduler, two workers, its address)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = started("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard",
                        log=log)
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
    workers = [started("distributed.cli.dask_worker", address, *options, log=log) for _ in range(2)]
    return scheduler, workers, address


def killed_clients(place, number, r, log) -> dict:
    """Clients of a server are killed while they send; before and after, one that is not gets the same bytes."""
    from ismrmrd.serialization import ProtocolDeserializer

    raw = place / "raw.mrd"
    io.save_mrd(raw, io.Scan(np.stack([pi.phantom.brain(SIZE, COILS, noise=0.02, seed=s).kspace for s in range(4)])))
    stream = place / "stream"
    stream.write_bytes(messages(raw))
    RECIPE.replace(sampling=None).save(place / "tv.json")
    with open(place / "server.log", "w+") as told:
        server = started("pisolve", "serve", "--recipe", place / "tv.json", "--port", 0, "--seconds", 30, log=told)
        try:
            while "listens" not in (place / "server.log").read_text():
                time.sleep(0.05)
            port = int((place / "server.log").read_text().split(",")[0].rpartition(":")[2])

            def ask():
                with socket.create_connection(("localhost", port), timeout=120) as sock:
                    sock.sendall(stream.read_bytes())
                    return [i.data.tobytes() for i in ProtocolDeserializer(sock.makefile("rb")).deserialize()]

            expected, begun = ask(), time.monotonic()
            assert ask() == expected
            seconds = time.monotonic() - begun
            kills = different = 0
            while kills < number:
                pid = os.fork()
                if not pid:
                    try:
                        drip(port, stream, 0.7 * seconds)
                    finally:
                        os._exit(0)
                time.sleep(r.uniform(0.05, 1) * seconds)
                kills += kill(pid)
                os.waitpid(pid, 0)
                different += ask() != expected if kills % 5 == 0 else 0
            return {"kills": kills, "images": len(expected), "different": different + (ask() != expected),
                    "server ended": server.poll() is not None}
        finally:
            server.terminate()
            server.wait()


def drip(port: int, stream: Path, seconds: float) -> None:
    """Send all of it over some time, and read what comes for ever."""
    data = stream.read_bytes()
    with socket.create_connection(("localhost", port), timeout=120) as sock:
        for start in range(0, len(data), -(-len(data) // 20)):
            sock.sendall(data[start : start - (-len(data) // 20)])
            time.sleep(seconds / 20)
        while sock.recv(1 << 16):
            pass
    time.sleep(LONG)


def messages(raw: Path) -> bytes:
    """A file of raw data as its scanner sends it, the last readout of each slice flagged."""
    import io as memory

    import ismrmrd
    from ismrmrd.serialization import ConfigFile, ProtocolSerializer

    out = memory.BytesIO()
    with ismrmrd.Dataset(str(raw), "dataset", create_if_needed=False) as file:
        readouts = [file.read_acquisition(i) for i in range(file.number_of_acquisitions())]
        last = {r.idx.slice: i for i, r in enumerate(readouts)}
        for i in last.values():
            readouts[i].set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
        write = ProtocolSerializer(out)
        for one in (ConfigFile("tv"), ismrmrd.xsd.CreateFromDocument(file.read_xml_header()), *readouts):
            write.serialize(one)
        write.close()
    return out.getvalue()


def main() -> None:
    """All kinds that are asked for; what an earlier run found of others stays in the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = {"workers": killed_workers, "commands": killed_commands, "schedulers": killed_schedulers}
    for name, number in (("workers", 20), ("commands", 20), ("schedulers", 10), ("clients", 20)):
        parser.add_argument(f"--{name}", type=int, default=number, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "kills.json")
    a = parser.parse_args()
    found = json.loads(a.out.read_text()) if a.out.exists() else {}
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w") as log:
        place, r = Path(folder), random.Random(a.seed)
        scans = place / "scans"
        scans.mkdir()
        for seed in range(SCANS):
            kspace = pi.phantom.brain(SIZE, COILS, noise=0.02, seed=seed).kspace
            io.save_scan(scans / f"{seed:02d}{('.npz', '.h5', '.npy')[seed % 3]}", io.Scan(kspace))
        RECIPE.save(place / "recipe.json")
        begun = time.monotonic()
        assert recon(scans, place / "whole", log, "--workers", 1).wait(LONG) == 0, (place / "log").read_text()[-2000:]
        expected = state(place / "whole")
        print(f"undisturbed: {len(expected['images'])} images, {time.monotonic() - begun:.1f} s", flush=True)
        for name, work in kinds.items():
            if getattr(a, name):
                found[name] = work(scans, place, getattr(a, name), r, log, expected)
                a.out.write_text(json.dumps(found, indent=2) + "\n")
                print(name, found[name], flush=True)
        if a.clients:
            found["clients of a server"] = killed_clients(place, a.clients, r, log)
            print("clients", found["clients of a server"], flush=True)
    a.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
