"""Runs that are killed, that begin together, and that meet a limit: what `attack.py` counts."""

import json
import os
import random
import resource
import signal
import subprocess
import time
import traceback
import warnings
import zipfile
from pathlib import Path

import attack_files
import h5py
import numpy as np
import torch

import pisolve as pi
from pisolve import io
from pisolve.cli.main import main
from pisolve.io import seal
from pisolve.recipe import checkpoint

LIMITS = ("disk full", "file size", "read-only", "memory")
MEMORY = 64 << 20  # bytes more than the libraries take
SCAN = ("--accel", "3", "--prior", "tv", "--max-iter", "40", "--tol", "0")


def start(call, log: Path, gate: float = 0.0, before=lambda: None) -> int:
    """The number of a forked child that calls; its exit code is what the call returns, its words are in `log`."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        sink = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        before()
        while time.time() < gate:
            pass
        code = call() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code if isinstance(code, int) else 0)


def wait(pid: int) -> int:
    """The exit code of a child, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def words(*given):
    """A call of the command line."""
    return lambda: main([str(w) for w in given])


def told(log: Path) -> str:
    """The last line that a child wrote."""
    return ([line for line in log.read_text(errors="replace").splitlines() if line.strip()] or [""])[-1]


def scan_file(folder: Path) -> Path:
    """Eight slices."""
    path = folder / "scan.npz"
    if not path.exists():
        kspace = pi.phantom.brain((64, 48), 4, noise=0.01).kspace.astype(np.complex64)
        np.savez(path, kspace=np.stack([kspace * np.complex64(1 + 0.05j * z) for z in range(8)]))
    return path


def image(path: Path) -> bytes:
    """The numbers of an image."""
    return io.load_image(path).tobytes()


def table(folder: Path) -> bytes:
    """What a comparison found, without its costs."""
    found = json.loads((folder / "comparison.json").read_text())
    costs = ("seconds", "tuning_seconds", "memory_mb")
    rows = [{k: v for k, v in row.items() if k not in costs} for row in found["records"]]
    return json.dumps([found["methods"], rows]).encode()


def weights(folder: Path) -> bytes:
    """The weights that a training came to."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return b"".join(v.numpy().tobytes() for v in state["average"].values())


def unreadable(folder: Path) -> list[str]:
    """Files under a final name that are not whole."""
    bad = []
    for path in folder.rglob("*") if folder.is_dir() else ():
        if not path.is_file() or path.name.startswith(".pisolve-"):
            continue
        try:
            _read(path)
        except Exception as error:
            bad.append(f"{path.name}: {error}"[:200])
    return bad


def _read(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
    elif path.suffix == ".h5":
        seal.check(path)
        with h5py.File(path) as file:
            assert len(file)
    elif path.suffix == ".pt":
        assert seal.check(path, needed=True)
    elif path.suffix in (".cfl", ".npy", ".gz"):
        io.load_image(path)
    elif path.suffix == ".png":
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")


def often(seconds: float = 0.03):
    """States are kept often."""
    checkpoint.SECONDS = seconds


def jobs(folder: Path) -> dict:
    """name -> (a call for a place, what came of it there)."""
    scan, full = scan_file(folder), folder / "base" / "full.npz"
    big = folder / "big.npy"
    rng = np.random.default_rng(0)
    np.save(big, (rng.standard_normal((12, 1, 192, 192)) + 1j).astype(np.complex64))

    def recon(place):
        return words("recon", scan, *SCAN, "-o", place / "o.h5", "--checkpoint", place / "kept")

    def compare(place):
        return words("compare", full, "--accel", "2", "--methods", "sense,tikhonov,tv", "--trials", "9", "-o", place)

    def convert(suffix):
        return lambda place: words("recon", big, "--prior", "zero", "--max-iter", "1", "-o", place / f"o{suffix}")

    found = {"recon": (recon, lambda place: image(place / "o.h5")), "compare": (compare, table),
             "train": (lambda place: lambda: attack_files.train(place), weights)}
    for suffix in (".h5", ".npy", ".cfl", ".nii.gz"):
        found[f"convert {suffix}"] = (convert(suffix), lambda place, s=suffix: image(place / f"o{s}"))
    return found


def kills(number: int, seed: int, folder: Path) -> dict:
    """kill -9 at a random time, and the same run again."""
    r, rows = random.Random(seed), {}
    found, log = jobs(folder), folder / "log"
    shares = {name: max(1, number // (16 if name.startswith("convert") else 4)) for name in found}
    for name, (call, result) in found.items():
        place = folder / f"whole-{name}"
        place.mkdir()
        begun = time.monotonic()
        assert wait(start(call(place), log)) == 0, told(log)
        seconds, expected = time.monotonic() - begun, result(place)
        row = {"kills": 0, "unreadable": 0, "resumed wrongly": 0, "different": 0, "left": 0}
        for n in range(shares[name]):
            place = folder / f"{name}-{n}"
            place.mkdir()
            if name.startswith("convert"):
                assert wait(start(call(place), log)) == 0  # an old file, which must stay whole
            pid = start(call(place), log, before=often if n % 2 else lambda: None)
            time.sleep(r.uniform(0.02, 1) * seconds)
            os.kill(pid, signal.SIGKILL)
            row["kills"] += wait(pid) == -signal.SIGKILL
            row["unreadable"] += len(unreadable(place))
            if wait(start(call(place), log)):
                row["resumed wrongly"] += 1
                print(name, n, told(log))
                continue
            row["different"] += result(place) != expected
            row["left"] += len(list(place.rglob(".pisolve-*")))
        rows[name] = row
        print(name, row, f"{seconds:.1f} s each", flush=True)
    return rows


def pairs(number: int, folder: Path) -> dict:
    """Two runs of other settings in one new folder at the same instant."""
    scan, full, log = scan_file(folder), folder / "base" / "full.npz", [folder / "log0", folder / "log1"]

    def recon(place, k):
        lam = ("1e-3", "5e-2")[k]
        return words("recon", scan, *SCAN, "--lam", lam, "-o", place / f"o{k}.h5", "--checkpoint", place / "kept")

    def compare(place, k):
        return words("compare", full, "--accel", "23"[k], "--methods", "zero-filled,sense", "--tune", "none", "-o",
                     place / "kept")

    def train(place, k):
        def call():
            torch.manual_seed(k)
            attack_files.train(place / "kept", resume=False)

        return call

    kinds = {"recon": (recon, lambda place, k: image(place / f"o{k}.h5"), 2),
             "compare": (compare, lambda place, k: table(place / "kept"), 4),
             "train": (train, lambda place, k: weights(place / "kept"), 4)}
    rows = {}
    for name, (call, result, share) in kinds.items():
        expected = []
        for k in range(2):
            place = folder / f"alone-{name}-{k}"
            place.mkdir()
            assert wait(start(call(place, k), log[k])) == 0, told(log[k])
            expected.append(result(place, k))
        row = {"pairs": number // share, "wrong": 0, "both ran": 0, "not told": 0}
        for n in range(number // share):
            place, gate = folder / f"pair-{name}-{n}", time.time() + 0.1
            place.mkdir()
            codes = [wait(pid) for pid in [start(call(place, k), log[k], gate) for k in range(2)]]
            row["both ran"] += codes == [0, 0]
            for k, code in enumerate(codes):
                if code == 0:
                    row["wrong"] += result(place, k) != expected[k]
                    continue
                said = log[k].read_text()
                row["not told"] += not any(w in said for w in ("is in use by", "is of another", "another comparison",
                                                               "holds a checkpoint"))
                if codes[1 - k] != 0:
                    print(name, n, codes, said[-200:])
        rows[name] = row
        print(name, row, flush=True)
    return rows


def limits(folder: Path) -> list[dict]:
    """Every word that writes, under every limit: exit code, the line that it says, whether the old file stayed."""
    scan, full = scan_file(folder), folder / "base" / "full.npz"
    toml = folder / "base" / "train.toml"
    toml.write_text(toml.read_text() + "\nsteps = 2\n")
    picture = [] if _missing("matplotlib") else ["--png", "o.png"]
    lines = {"recon": (["recon", scan, "--prior", "zero", "--max-iter", "1", "-o", "o.npy", *picture], "o.npy"),
             "recon --checkpoint": (["recon", scan, "--prior", "tv", "--max-iter", "2", "-o", "o.npy", "--checkpoint",
                                     "kept"], "o.npy"),
             "calib": (["calib", scan, "-o", "o.npz"], "o.npz"),
             "compare": (["compare", full, "--accel", "2", "--methods", "sense", "--tune", "none", "-o", "out"],
                         "out/records.csv"),
             "train": (["train", toml, "--out", "out"], "out/train.safetensors"),
             "consistency --png": (["consistency", full, "--prior", "sense", "--accel", "2", "--png", "o.png"],
                                   "o.png")}
    rows, large = [], folder / "large.npz"
    kspace = pi.phantom.brain((256, 256), 8).kspace.astype(np.complex64)
    np.savez_compressed(large, kspace=np.stack([kspace] * 24))
    for limit in LIMITS:
        for name, (line, old) in lines.items():
            line = [large if limit == "memory" and word in (scan, full) else word for word in line]
            place = folder / f"limit-{limit}-{name}".replace(" ", "_").replace("--", "")
            place.mkdir()
            row = _limited(limit, line, old, place)
            rows.append({"word": name, "limit": limit, **row})
            print(rows[-1], flush=True)
    return rows


def _missing(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return True
    return False


def _limited(limit, line, old, place) -> dict:
    log = place.with_suffix(".log")
    mounted = limit == "disk full" and not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "none", place],
                                                          capture_output=True).returncode
    if limit == "disk full" and not mounted:
        return {"exit": None, "said": "not run: no right to mount a small disk", "old": None}
    try:
        (place / old).parent.mkdir(exist_ok=True)
        (place / old).write_bytes(b"old")
        if limit == "disk full":
            (place / "filler").write_bytes(bytes(36 << 10))
        for path in (place, *place.rglob("*")):
            path.chmod(0o555 if path.is_dir() and limit == "read-only" else 0o755)

        def before():
            os.chdir(place)
            signal.alarm(60)
            warnings.simplefilter("ignore")
            if limit == "read-only" and os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            if limit == "file size":
                resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10,) * 2)
            if limit == "memory":
                pages = int(Path("/proc/self/statm").read_text().split()[0])
                resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)

        code = wait(start(words(*line), log, before=before))
        said = log.read_text(errors="replace")
        kept = (place / old).read_bytes() == b"old"
        return {"exit": code, "said": told(log).replace(str(place.parent), "")[:160], "traceback": "Traceback" in said,
                "old": kept}
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)
