"""BART's pair of files: `name.hdr` with 16 dimensions as text, `name.cfl` with complex64 numbers, first index fastest.

BART's dimensions are names: 0, 1, 2 are x, y, z, 3 coils, 4 sets of maps, 5 echoes, 10 frames, 13 slices. Read with the
last dimension first they are C-ordered arrays whose last two axes are (y, x), which is pisolve's order.

Reference:
    Uecker et al., Berkeley Advanced Reconstruction Toolbox, Proc. ISMRM 23:2486, 2015.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve._version import __version__
from pisolve.io.atomic import together, unfinished
from pisolve.io.limits import limit, spend

DIMS = 16
NAMES = ("x", "y", "z", "coil", "maps", "te", "coeff", "coeff2", "iter", "cshift", "time", "time2", "level", "slice",
         "avg", "batch")
COIL, SETS, SLICE = 3, 4, 13
# what they are called here; "set" and "repetition" lie where BART has its levels and batches
AXES = ("x", "y", "z", "coil", "maps", "echo", "coeff", "coeff2", "iter", "cshift", "frame", "frame2", "set", "slice",
        "average", "repetition")


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
    if not data.is_file():
        raise FileNotFoundError(f"{data} does not exist: BART's files come as a pair, .cfl and .hdr")
    head = _head_of(data, head)
    if not head.is_file():
        raise FileNotFoundError(f"{head} does not exist: BART's files come as a pair, .cfl and .hdr")
    dims = _dimensions(head)
    size = 8 * math.prod(dims)  # Python's integers do not overflow
    if size != data.stat().st_size:
        raise ValueError(f"{data} has {data.stat().st_size:,} bytes, but {head.name} says {size:,} for dimensions "
                         f"{' '.join(map(str, dims))}: cut off, or not a pair")
    spend(data, "the header", size, limit(max_bytes))
    array = np.fromfile(data, "<c8").astype(np.complex64, copy=False)
    return array.reshape((dims + [1] * (DIMS - len(dims)))[::-1])


def read_kspace(path, max_bytes: int | None = None, *, sets: bool = False):
    """(k-space, the names of its axes): "coil", "ky" and "kx", and of the other dimensions those that are used.

    Args:
        path, max_bytes: as for `read`.
        sets: whether dimension 4, of sets of maps, may be used, too.
    """
    array, axes = _used(_read_no_trajectory(path, max_bytes), path, {COIL}, set() if sets else {SETS})
    return array, tuple(f"k{a}" if a in ("x", "y", "z") else a for a in axes)


def assumed(path) -> dict:
    """What is assumed of k-space, for a scan's `meta`: spokes without their trajectory look like a plane of lines."""
    dims = [*_dimensions(_head_of(*pair(path))), 1, 1, 1]
    plane = dims[0] == 1 and min(dims[1:3]) > 1
    told = ("BART's dimension 0 has one entry: k-space is read as a plane (ky, kz) of a 3-D scan; for spokes or "
            "spirals give their trajectory, coord=... or --coord")
    return {"assumed": told} if plane else {}


def _read_no_trajectory(path, max_bytes):
    array = read(path, max_bytes)
    if array.shape[-1] in (2, 3) and array.size > 81 and not array.imag.any():
        raise ValueError(f"{path} is a trajectory, {array.shape[-1]} real coordinates along BART's dimension 0: give "
                         "it beside k-space, load(kspace, coord=...) or --coord")
    return array


def read_coils(path, max_bytes: int | None = None) -> np.ndarray:
    """K-space: (coil, y, x), or (slice, coil, y, x) where BART's slice dimension is used; see `read_kspace`."""
    return read_kspace(path, max_bytes)[0]


def read_maps(path, max_bytes: int | None = None, *, slices: bool = False) -> np.ndarray:
    """Coil maps: (coil, y, x), (coil, z, y, x), with several sets and slices (slice, set, coil, ...).

    Args:
        path, max_bytes: as for `read`.
        slices: whether several sets keep an axis of slices where there is one only, for k-space that has it.
    """
    array, axes = _used(read(path, max_bytes), path, {COIL}, set(range(DIMS)) - {0, 1, 2, COIL, SETS, SLICE})
    return array[None] if slices and "maps" in axes and "slice" not in axes else array


def read_image(path, max_bytes: int | None = None) -> np.ndarray:
    """An image (y, x), or (slice, y, x) where BART's slice dimension is used; see `read_named`."""
    return read_named(path, max_bytes)[0]


def read_named(path, max_bytes: int | None = None):
    """(an image, the names of its axes): "y" and "x", and of the other dimensions those that are used.

    Of two sets of maps `bart pics` makes two images, which have an axis "maps".
    """
    return _used(_read_no_trajectory(path, max_bytes), path, set(), {COIL})


def write(path, array, *, coils: bool = False, sets: bool = False, axes=None) -> None:
    """Write an image (y, x) or (slice, y, x), or with `coils` an array (coil, y, x) or (slice, coil, y, x), complex64.

    Args:
        path: the .cfl, the .hdr, or their common name; both files are complete or not there.
        array: real or complex numpy array.
        coils: there is an axis of coils.
        sets: there is one of sets of maps before that of coils: (set, coil, y, x) or (slice, set, coil, y, x).
        axes: the names of all axes instead, such as ("frame", "y", "x").

    Raises:
        ValueError: an axis that BART has no dimension for.
    """
    if axes is None:
        plain = ("maps",) * sets + ("coil",) * (coils or sets) + ("y", "x")
        array = _check.array("array", array, ndim=(len(plain), len(plain) + 1))
        axes = ("slice",) * (array.ndim - len(plain)) + plain
    axes = tuple(a.removeprefix("k") if a in ("kx", "ky", "kz") else a for a in axes)
    unknown = [a for a in axes if a not in AXES]
    if unknown:
        raise ValueError(f"the axis {unknown[0]!r} has no dimension in BART's files, which are {', '.join(AXES)}: a "
                         ".h5 takes any name")
    places = [AXES.index(a) for a in axes]
    array = _check.array("array", array, ndim=len(axes)).transpose(np.argsort(places)[::-1])
    array = _check.array("array", np.ascontiguousarray(array, np.complex64))  # finite in single precision, too
    dims = [1] * DIMS
    for dim, n in zip(sorted(places, reverse=True), array.shape):
        dims[dim] = n
    data, head = pair(path)
    with together(data, head) as (new_data, new_head):
        array.astype("<c8", copy=False).tofile(new_data)
        new_head.write_text(f"# Dimensions\n{' '.join(map(str, dims))}\n# Creator\npisolve {__version__}\n")


def pair(path) -> tuple[Path, Path]:
    """The paths of the .cfl and the .hdr of either, or of their common name."""
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    return stem.with_name(stem.name + ".cfl"), stem.with_name(stem.name + ".hdr")


def coils_of(path) -> int:
    """The size of the dimension of coils, by the header."""
    dims = _dimensions(_head_of(*pair(path)))
    return dims[COIL] if len(dims) > COIL else 1


def _head_of(data: Path, head: Path) -> Path:
    """The header, or that of a run which was killed, complete, between the renames of its two files."""
    def fits(found):
        with suppress(ValueError, OSError):
            return 8 * math.prod(_dimensions(found)) == data.stat().st_size

    return head if fits(head) else next(filter(fits, unfinished(data, ".hdr")), head)


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


def _used(array: np.ndarray, path, always: set, never: set):
    """(array, names of its axes) of a 16-axis array: x, y, those of `always` and the used ones, slices in front.

    Of two used dimensions of x, y and z the first becomes x and the second y: a slice of a 3-D scan is one.
    """
    dims = list(array.shape[::-1])
    spatial = [n for n in dims[:3] if n > 1]
    if dims[2] > 1 and len(spatial) < 3:
        dims[:3] = [*spatial, 1] if len(spatial) == 2 else [1, dims[2], 1]
    used = [d for d in reversed(range(DIMS)) if dims[d] > 1 or d < 2 or d in always]
    wrong = [d for d in sorted(used) if d in never and dims[d] > 1]
    if wrong:
        more = ", ".join(f"{d} ({NAMES[d]}) = {dims[d]}" for d in wrong)
        raise ValueError(f"{path} has further dimensions: {more}; choose one of each with 'bart slice'")
    array, axes = array.reshape([dims[d] for d in used]), [AXES[d] for d in used]
    if "slice" in axes:
        array = np.ascontiguousarray(np.moveaxis(array, axes.index("slice"), 0))
        axes.insert(0, axes.pop(axes.index("slice")))
    return array, tuple(axes)
