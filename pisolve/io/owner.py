"""Which process a temporary file belongs to: written into its name, so that what a killed run left can be told.

A name is `.pisolve-HOST-PID-START-TOKEN.suffix`. HOST tells this machine, and the container, from others that share the
disk; START is when the process began, for numbers of processes are used again.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from functools import cache
from pathlib import Path

NAME = re.compile(r"\.pisolve-([0-9a-f]{8})-(\d+)-(\d+)-([0-9a-f]+)((?:\.[^.]+)*)", re.ASCII)


@cache
def host() -> str:
    """Eight letters for this machine and its numbering of processes."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def began(pid: int) -> int:
    """When a process began, in ticks since the machine did; 0 where that cannot be asked."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def temporary_name(token: str, suffix: str) -> str:
    """The name of a temporary file of this process."""
    return f".pisolve-{host()}-{os.getpid()}-{began(os.getpid())}-{token}{suffix}"


def gone(pid: int, start: int) -> bool:
    """Whether a process of this machine has ended; False where that cannot be known."""
    if os.name != "posix":  # there is no signal 0 elsewhere
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return bool(start) and began(pid) not in (0, start)


def left_behind(name: str) -> re.Match | None:
    """The parts of a temporary file's name whose process, of this machine, has ended; else None."""
    found = NAME.fullmatch(name)
    if found is None or found[1] != host() or not gone(int(found[2]), int(found[3])):
        return None
    return found
