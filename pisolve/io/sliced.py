"""A file of slices of which one at a time is in memory: fastMRI's .h5."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pisolve import _axes, _check
from pisolve.io import fastmri
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

    def __len__(self):
        return len(self.scan.kspace)

    def __getitem__(self, block: slice) -> Scan:
        """Some slices in a row; they may hold nothing."""
        some = self.scan.select(block)
        with reading(self._path), open_hdf5(self._path) as file:
            item = array_at(file, "kspace", Budget(1 << 62), self._path)
            spend(self._path, "k-space of some slices", some.kspace.size * item.dtype.itemsize, Budget(self._most))
            return some._with(kspace=_check.array("kspace", item[block]))

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
    if path.suffix not in HDF5 or not path.is_file():
        return None
    try:
        if is_raw(path):
            return None
        with reading(path):
            scan = fastmri.read(path, most, kspace_of=_shell)
    except (ValueError, TypeError):  # `load` says what is wrong
        return None
    plain = scan is not None and scan.axes == (_axes.SLICE, _axes.COIL, "ky", "kx") and scan.mps is None
    return Slices(path, scan, most) if plain and len(scan.kspace) > 1 else None


def shape_of(path) -> tuple[int, ...] | None:
    """The shape of k-space of a file that could be read so, at a glance; None where that needs a second look."""
    if Path(path).suffix not in HDF5:
        return None
    try:
        with reading(path), open_hdf5(path, texts=False) as file:
            shape, kind = kind_of(file, "kspace", path) or ((), None)
            alone = all(kind_of(file, name, path) is None for name in ("mps", "coord", "axes"))
    except (ValueError, TypeError, OSError):
        return None
    return shape if alone and len(shape) == 4 and shape[0] > 1 and kind.kind == "c" and min(shape) > 0 else None


def _shell(file, name: str, max_bytes: int, path):
    """k-space's shape and type; None for what is no (slice, coil, ky, kx)."""
    shape, kind = kind_of(file, name, path) or ((), None)
    if len(shape) != 4 or kind.kind != "c":
        raise ValueError(f"{path}: {name} has shape {shape}")
    return np.broadcast_to(np.ones((), kind), shape)
