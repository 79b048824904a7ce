"""Damaged files read by children that are watched: what became of each, counted.

    python tests/attack_children.py KIND,KIND|all NUMBER SEED FOLDER
"""

import contextlib
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

OURS = (ValueError, TypeError, OSError, ImportError)
SECONDS, GROWTH, BATCH = 10, 512, 100  # of CPU, MB, cases in one child


class Endless(BaseException):
    """More than `SECONDS` of CPU."""


def attack(kind: str, number: int, seed, base: Path, scratch: Path) -> tuple[dict, list]:
    """({what became: how many}, [(case, what, message)]) of `number` damaged files of a kind.

    "loaded" and "refused" are well. "unnamed" is an error that does not name the file, "other" one that is not ours,
    "endless", "grown" and "died" speak for themselves.
    """
    counts, notes, at = {}, [], 0
    while at < number:
        at = _one_child(kind, at, min(number, at + BATCH), seed, base, scratch, counts, notes)
    return counts, notes


def _one_child(kind, first, last, seed, base, scratch, counts, notes) -> int:
    """Cases `first` to `last` in a child; the number of the next one."""
    source, sink = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(source)
            _child(kind, first, last, seed, base, scratch, sink)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(9)
    os.close(sink)
    buffer, at, begun, heard = b"", first, None, time.monotonic()
    while True:
        if select.select([source], [], [], 1)[0]:
            data = os.read(source, 1 << 16)
            if not data:
                break
            heard = time.monotonic()
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                case, what, message = json.loads(line)
                if what == "begun":
                    begun = case
                    continue
                begun, at = None, case + 1
                counts[what] = counts.get(what, 0) + 1
                if what not in ("loaded", "refused"):
                    notes.append((case, what, message))
        elif time.monotonic() - heard > 4 * SECONDS:  # no Python runs in it, and no signal is heard
            os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    os.close(source)
    if begun is not None:
        what = "endless" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else "died"
        counts[what] = counts.get(what, 0) + 1
        notes.append((begun, what, f"status {status}"))
        at = begun + 1
    elif at < last:
        raise RuntimeError(f"{kind}: a child ended at case {at} with status {status}")
    return at


def _child(kind, first, last, seed, base, scratch, sink):
    from attack_files import KINDS

    warnings.simplefilter("ignore")
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (space + (2 << 30),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _too_long)
    for case in range(first, last):
        r = random.Random(f"{seed}-{case}-{kind}")
        files, call = KINDS[kind](base, scratch, r, case)
        _tell(sink, case, "begun", "")
        before = _peak(reset=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            what, message = _outcome(files, call)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        grown = _peak() - before
        if what in ("loaded", "refused") and grown > GROWTH:
            what, message = "grown", f"{grown} MB: {message}"
        _tell(sink, case, what, message)
    os._exit(0)


def _outcome(files, call) -> tuple[str, str]:
    """What became of one file, and what was said of it."""
    try:
        call()
    except Endless:
        return "endless", traceback.format_exc()[-600:]
    except MemoryError as error:
        return ("refused" if any(f.name in str(error) for f in files) else "unnamed"), f"MemoryError: {error}"[:300]
    except OURS as error:
        named = any(f.name in str(error) for f in files)
        where = traceback.extract_tb(error.__traceback__)[-1]
        return ("refused" if named else "unnamed"), (f"{type(error).__name__}: {error}"[:300] + f" @{where.filename}:"
                                                     f"{where.lineno}")
    except BaseException as error:
        return "other", f"{type(error).__name__}: {error} || {''.join(traceback.format_tb(error.__traceback__)[-2:])}"
    return "loaded", ""


def _too_long(*_):
    raise Endless


def _peak(*, reset: bool = False) -> int:
    """The largest resident memory so far, in MB; `reset`: from here on, and what is resident now."""
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    word = "VmRSS:" if reset else "VmHWM:"
    return int(Path("/proc/self/status").read_text().split(word)[1].split("kB")[0]) // 1024


def _tell(sink, *told):
    os.write(sink, (json.dumps(told) + "\n").encode())


def main(kinds: str, number: str, seed: str, folder: str) -> None:
    """Attack kinds and print the counts; the notes go to FOLDER/notes.json."""
    import torch
    from attack_files import KINDS, make

    torch.set_num_threads(1)
    base, scratch = Path(folder) / "base", Path(folder) / "scratch"
    Path(folder).mkdir(exist_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    if not base.exists():
        make(base)
    found = {}
    for kind in KINDS if kinds == "all" else kinds.split(","):
        begun = time.monotonic()
        counts, notes = attack(kind, int(number), seed, base, scratch)
        print(f"{kind:12} {json.dumps(counts)} {time.monotonic() - begun:.1f} s", flush=True)
        found[kind] = {"counts": counts, "notes": notes}
    (Path(folder) / "notes.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
