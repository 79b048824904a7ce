"""Which samples were measured, in a file beside k-space, as data sets of challenges have it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import _axes
from pisolve.io import cfl, fastmri, matlab, zarr
from pisolve.io import numpy as npy
from pisolve.io.door import reading
from pisolve.io.named import spread
from pisolve.scan import Scan


def read(path, max_bytes: int):
    """(the mask of a file, the names of its axes or None): of a .npy, BART's pattern, else the array `mask`.

    Raises:
        ValueError: the file holds none.
    """
    path = Path(path)
    with reading(path):
        if path.suffix in (".cfl", ".hdr"):
            mask, names = cfl.read_named(path, max_bytes)
            return abs(mask), tuple(_axes.ENCODED.get(a, a) for a in names)
        if path.suffix == matlab.SUFFIX:
            return matlab.read_array(path, "mask", max_bytes), None
        if path.suffix == ".npy":
            return npy.read_npy(path, max_bytes), None
        if path.suffix == ".npz":
            found = npy.read_npz(path, ("mask",), max_bytes)
            if not found:
                raise ValueError(f"{path} has no array mask; it holds: {', '.join(npy.names(path)) or 'nothing'}")
            return found["mask"], None
        if path.suffix in (".h5", ".hdf5"):
            return fastmri.read_array(path, ("mask",), max_bytes), None
        if zarr.is_zarr(path):
            return zarr.read_array(path, ("mask",), max_bytes), None
        raise ValueError(f"{path} holds no mask: .npy, .npz, .h5, .zarr, .mat or .cfl")


def beside(scan: Scan, mask, max_bytes: int) -> Scan:
    """A scan with the mask of a file, or with an array."""
    mask, names = read(mask, max_bytes) if isinstance(mask, str | os.PathLike) else (np.asarray(mask), None)
    if scan.coord is None:
        mask = spread(mask, names, scan.axes, scan.kspace.shape)
    return replace(scan, mask=mask)
