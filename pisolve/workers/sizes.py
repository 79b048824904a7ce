"""How much memory a scan will take, by a rule of its file's size alone, and how much there is."""

from __future__ import annotations

import math
import re
from pathlib import Path

from pisolve.io.sliced import shape_of
from pisolve.io.zarr import bytes_of, is_zarr

BASE = 400 << 20  # bytes of a process that has loaded what a reconstruction needs
FACTOR = 8  # k-space as read, sorted, weighted, scaled, as coil images, and what a solver holds
IMAGES = 32  # bytes of a pixel: x, its result, as the reference shows it, the reference, zero-filled
PACKED = {".npz": 2, ".mat": 2}  # what such files may hold compressed
SHARE = 0.8  # of the free memory: others work here, too


def estimate(path, at_a_time: int | None = None) -> int:
    """Bytes that the reconstruction of a file will take: 400 MiB + 8 times the file, 16 times an .npz or .mat.

    Of Zarr it is 8 times its k-space, unpacked.

    Args:
        at_a_time: how many slices are in memory at a time, of a file that need not be read whole: then 8 times these,
            and the images of all.
    """
    path = Path(path)
    shape = None if at_a_time is None else shape_of(path)
    if shape is not None:
        slices, _, ky, kx = shape
        return BASE + 8 * FACTOR * math.prod(shape) // slices * min(at_a_time, slices) + IMAGES * slices * ky * kx
    if is_zarr(path):
        return BASE + FACTOR * bytes_of(path)
    files = (path, path.with_suffix(".cfl")) if path.suffix == ".hdr" else (path,)
    try:
        size = max(p.stat().st_size for p in files if p.exists())
    except (OSError, ValueError):  # it is said when it is read
        return BASE
    return BASE + FACTOR * PACKED.get(path.suffix, 1) * size


def available() -> int | None:
    """Bytes of memory that may be taken, None where the system does not tell."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def budget() -> float:
    """Bytes that all reconstructions beside each other may take on this machine, infinity where nobody knows."""
    free = available()
    return float("inf") if free is None else SHARE * free
