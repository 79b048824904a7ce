"""A file of slices of which one at a time is in memory: fastMRI's .h5, and Zarr."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pisolve import _axes, _check
from pisolve.io import fastmri, zarr
from pisolve.io.door import reading
from pisolve.io.hdf5 import array_at, kind_of, open_hdf5
from pisolve.io.limits import Budget, limit, spend
from pisolve.io.raw import HDF5, is_raw
from pisolve.scan import Scan, estimate


class Slices:
    """The slices of a file, read when they are asked for.

    Attributes:
        scan: all that belongs to them, in the place of k-space ones that take no memory.
    """

    def __init__(self, path, scan: Scan, max_bytes: int):
        self._path, self._most, self.scan = path, max_bytes, scan
        self._rows = zarr.block_of if zarr.is_zarr(path) else _rows

    def __len__(self):
        return len(self.scan.kspace)

    def __getitem__(self, block: slice) -> Scan:
        """Some slices in a row; they may hold nothing."""
        some = self.scan.select(block)
        with reading(self._path):
            return some._with(kspace=_check.array("kspace", self._rows(self._path, block, Budget(self._most))))

    def masked(self) -> None:
        """Give `scan` the mask that all of k-space says, as a scan without one gets it when it is prepared."""
        seen = np.stack([(self[z : z + 1].kspace[0] != 0).any(axis=0) for z in range(len(self))])
        self.scan = self.scan._with(mask=estimate(seen[:, None], self.scan.axes))


def slices(path, max_bytes: int | None = None) -> Slices | None:
    """The slices of a file; None where it holds none that could be read one by one, and `load` has its say.

    Args:
        path: of a file that exists.
        max_bytes: as for `load`, of what is read at once.
    """
    path, most = Path(path), limit(max_bytes)
    if not (path.is_file() if path.suffix in HDF5 else zarr.is_zarr(path) and path.exists()):
        return None
    try:
        if is_raw(path):
            return None
        with reading(path):
            scan = (zarr if zarr.is_zarr(path) else fastmri).read(path, most, kspace_of=_shell)
    except (ValueError, TypeError, ImportError):  # `load` says what is wrong
        return None
    plain = scan is not None and scan.axes == (_axes.SLICE, _axes.COIL, "ky", "kx") and scan.mps is None
    return Slices(path, scan, most) if plain and len(scan.kspace) > 1 else None


def shape_of(path) -> tuple[int, ...] | None:
    """The shape of k-space of a file that could be read so, at a glance; None where that needs a second look."""
    look = zarr.kind_of if zarr.is_zarr(path) else _kind_of if Path(path).suffix in HDF5 else None
    try:
        with reading(path):
            shape, kind, alone = (None if look is None else look(path)) or ((), None, False)
    except (ValueError, TypeError, OSError, ImportError):
        return None
    return shape if alone and len(shape) == 4 and shape[0] > 1 and kind.kind == "c" and min(shape) > 0 else None


def _rows(path, block: slice, max_bytes: int):
    """Some slices of k-space."""
    with open_hdf5(path) as file:
        item = array_at(file, "kspace", Budget(1 << 62), path)
        size = len(range(*block.indices(len(item)))) * math.prod(item.shape[1:]) * item.dtype.itemsize
        spend(path, "k-space of some slices", size, max_bytes)
        return item[block]


def _kind_of(path):
    """(shape, dtype) of k-space, and whether it needs no other array to be read; None for none."""
    with open_hdf5(path, texts=False) as file:
        found = kind_of(file, "kspace", path)
        return found and (*found, all(kind_of(file, name, path) is None for name in ("mps", "coord", "axes")))


def _shell(file, name: str, max_bytes: int, path):
    """Ones of k-space's shape and type that take no memory; a ValueError for what is no (slice, coil, ky, kx)."""
    shape, kind = (file.kind_of(name) if zarr.is_zarr(path) else kind_of(file, name, path)) or ((), None)
    if len(shape) != 4 or kind.kind != "c":
        raise ValueError(f"{path}: {name} has shape {shape}")
    return np.broadcast_to(np.ones((), kind), shape)
