"""How much memory a computation takes at its peak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LEAST = 1.0  # MiB: less says that what the process had already was enough, not how much was needed
_SELF = Path("/proc/self")


@dataclass
class Peak:
    """Growth of the process's resident memory, in MiB; None where the system does not tell, or less than `LEAST`."""

    mb: float | None = None


@contextmanager
def peak_growth() -> Iterator[Peak]:
    """The peak of resident memory inside the block above what there was at its start, in `mb` afterwards.

    Linux resets its high-water mark on demand; elsewhere there is no such number. Memory that was free in the process
    before and is used again does not count: growth below `LEAST` is not told, rather than 0.
    """
    peak = Peak()
    start = _reset()
    try:
        yield peak
    finally:
        end = _read("VmHWM") if start is not None else None
        peak.mb = None if end is None or end - start < LEAST else round(end - start, 2)


def _reset() -> float | None:
    try:
        (_SELF / "clear_refs").write_text("5")
    except OSError:
        return None
    return _read("VmRSS")


def _read(name) -> float | None:
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", (_SELF / "status").read_text())
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None
