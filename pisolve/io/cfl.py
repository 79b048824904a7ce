"""BART's pair of files: `name.hdr` with 16 dimensions as text, `name.cfl` with complex64 numbers, first index fastest.

BART's dimensions 0, 1, 2 are x, y, z, 3 coils, 4 sets of maps, 13 slices. Read with the last dimension first they are
C-ordered arrays whose last two axes are (y, x), which is pisolve's order; nothing is transposed in memory.

Reference:
    Uecker et al., Berkeley Advanced Reconstruction Toolbox, Proc. ISMRM 23:2486, 2015.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve._version import __version__
from pisolve.io.atomic import atomic
from pisolve.io.limits import limit, too_large

DIMS = 16
NAMES = ("x", "y", "z", "coil", "maps", "te", "coeff", "coeff2", "iter", "cshift", "time", "time2", "level", "slice",
         "avg", "batch")
COIL, SETS, SLICE = 3, 4, 13


def read(path, max_bytes: int | None = None) -> np.ndarray:
    """The array with all 16 axes, BART's last dimension first: `read(path).T[i0, i1, ...]` is BART's order.

    Args:
        path: the .cfl, the .hdr, or their common name.
        max_bytes: refuse more than this; None is half of the machine's memory.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: dimensions that are not 1 to 16 positive numbers, or do not agree with the size of the .cfl.
    """
    data, head = pair(path)
    for part in (data, head):
        if not part.is_file():
            raise FileNotFoundError(f"{part} does not exist: BART's files come as a pair, .cfl and .hdr")
    dims = _dimensions(head)
    size = 8 * math.prod(dims)  # Python's integers do not overflow
    if size != data.stat().st_size:
        raise ValueError(f"{data} has {data.stat().st_size:,} bytes, but {head.name} says {size:,} for dimensions "
                         f"{' '.join(map(str, dims))}: cut off, or not a pair")
    if size > limit(max_bytes):
        raise too_large(data, "the header", size, limit(max_bytes))
    array = np.fromfile(data, "<c8").astype(np.complex64, copy=False)
    return array.reshape((dims + [1] * (DIMS - len(dims)))[::-1])


def read_coils(path, max_bytes: int | None = None) -> np.ndarray:
    """K-space: (coil, y, x), or (slice, coil, y, x) where BART's slice dimension is used."""
    array = _only(read(path, max_bytes), path, {COIL})[:, 0]
    return array if array.shape[0] > 1 else array[0]


def read_maps(path, max_bytes: int | None = None, *, slices: bool = False) -> np.ndarray:
    """Coil maps: as `read_coils`, with several sets (slice, set, coil, y, x), or (set, coil, y, x) of one slice.

    Args:
        path, max_bytes: as for `read`.
        slices: whether several sets keep an axis of slices where there is one only, for k-space that has it.
    """
    array = _only(read(path, max_bytes), path, {COIL, SETS})
    sets = array.shape[1] > 1
    array = array if sets else array[:, 0]
    return array if len(array) > 1 or (sets and slices) else array[0]


def read_image(path, max_bytes: int | None = None) -> np.ndarray:
    """An image: (y, x), or (slice, y, x) where BART's slice dimension is used."""
    array = _only(read(path, max_bytes), path, set())[:, 0, 0]
    return array if array.shape[0] > 1 else array[0]


def write(path, array, *, coils: bool = False, sets: bool = False) -> None:
    """Write an image (y, x) or (slice, y, x), or with `coils` an array (coil, y, x) or (slice, coil, y, x), complex64.

    Args:
        path: the .cfl, the .hdr, or their common name; both files are complete or not there.
        array: real or complex numpy array.
        coils: there is an axis of coils.
        sets: there is one of sets of maps before that of coils: (set, coil, y, x) or (slice, set, coil, y, x).
    """
    plain = 2 + (coils or sets) + sets  # axes of one slice
    array = _check.array("array", array, ndim=(plain, plain + 1))
    array = _check.array("array", np.ascontiguousarray(array, np.complex64))  # finite in single precision, too
    dims = [1] * DIMS
    dims[0], dims[1] = array.shape[-1], array.shape[-2]
    for axis, dim in zip(range(-3, -1 - plain, -1), (COIL, SETS)):
        dims[dim] = array.shape[axis]
    if array.ndim > plain:
        dims[SLICE] = array.shape[0]
    data, head = pair(path)
    with atomic(data) as new_data, atomic(head) as new_head:
        array.astype("<c8", copy=False).tofile(new_data)
        new_head.write_text(f"# Dimensions\n{' '.join(map(str, dims))}\n# Creator\npisolve {__version__}\n")


def pair(path) -> tuple[Path, Path]:
    """The paths of the .cfl and the .hdr of either, or of their common name."""
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    return stem.with_name(stem.name + ".cfl"), stem.with_name(stem.name + ".hdr")


def _dimensions(head: Path) -> list[int]:
    with open(head, encoding="ascii", errors="replace") as file:
        lines = [line.strip() for line in file.read(65536).splitlines()]
    following = lines[lines.index("# Dimensions") + 1 :] if "# Dimensions" in lines else []
    words = following[0].split() if following else []
    # int() takes any number of digits: a size above 2^63 is refused by its length before it is multiplied
    if not 1 <= len(words) <= DIMS or not all(w.isdecimal() and len(w) < 19 and int(w) > 0 for w in words):
        raise ValueError(f"{head} has no usable dimensions: 1 to {DIMS} positive whole numbers are needed in the line "
                         "after '# Dimensions'")
    return [int(w) for w in words]


def _only(array: np.ndarray, path, further: set) -> np.ndarray:
    """(slice, set, coil, y, x) of a 16-axis array without other dimensions than x, y, slice and `further`.

    A slice in BART's y and z becomes (y, x).
    """
    dims = list(array.shape[::-1])
    if dims[0] == 1 and dims[2] > 1:  # a slice across the readout of a 3-D scan: its axes are BART's y and z
        dims[0], dims[1], dims[2] = dims[1], dims[2], 1
    used = {d for d in range(DIMS) if dims[d] > 1} - {0, 1, SLICE} - further
    if used:
        more = ", ".join(f"{d} ({NAMES[d]}) = {dims[d]}" for d in sorted(used))
        raise ValueError(f"{path} has further dimensions: {more}; choose one of each with 'bart slice' (for z of a 3-D "
                         "scan after 'bart fft -i' along the readout)")
    return array.reshape(dims[SLICE], dims[SETS], dims[COIL], dims[1], dims[0])
