"""K-space in one file and its coordinates in another, such as BART's `ksp` and `traj`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.backend import to_numpy
from pisolve.io import cfl, fastmri, matlab, points, zarr
from pisolve.io import numpy as npy
from pisolve.io.door import reading
from pisolve.scan import Scan

SAMPLE, SHOT = 1, 2  # BART's dimensions beside coordinates; 0 is that of the coordinates


def read(path, suffix: str, coord, size, axes, max_bytes: int) -> Scan:
    """A scan of the k-space in `path` at the coordinates `coord`.

    Args:
        path, suffix: of k-space: .cfl in BART's dimensions, else an array `kspace`.
        coord: an array as for `Scan`, or the path of one; a .cfl is BART's (3, sample, shot, ...), in the order x, y,
            z.
        size: of the image, None: from the reach of the coordinates.
        axes: names of the axes of k-space in an array file.
        max_bytes: refuse a file that needs more.

    Raises:
        TypeError, ValueError: no such arrays, or ones that do not fit; it names the file.
    """
    bart = suffix in (".cfl", ".hdr")
    if bart and axes is not None:
        raise ValueError("axes names those of an array, and of a .cfl with coord BART's dimensions do: leave axes out")
    if bart:
        kspace, used = _kspace(path, max_bytes)
        axes = (*(cfl.AXES[d] for d in used if d > SHOT), "shot", "sample")
    else:
        kspace, used = _array(path, suffix, "kspace", max_bytes), None
    return points.scan(path, kspace, coordinates(coord, max_bytes, used, kspace.shape), size, axes)


def coordinates(coord, max_bytes: int, used=None, shape=None) -> np.ndarray:
    """An array of coordinates, or that of a file; BART's go with k-space of BART's dimensions `used`, and its shape."""
    if isinstance(coord, str | os.PathLike):
        coord = _coord(coord, used, shape, max_bytes)
    return to_numpy(_check.array("coord", coord, complex_=False))


def _kspace(path, max_bytes):
    """(BART's k-space (..., coil, shot, sample), the dimensions of its axes)."""
    array = cfl.read(path, max_bytes)
    dims = array.shape[::-1]
    if dims[0] != 1:
        raise ValueError(f"{path} has {dims[0]} samples along BART's dimension 0, beside a trajectory it is 1: its "
                         "samples are dimension 1, its spokes dimension 2")
    used = [d for d in reversed(range(1, cfl.DIMS)) if dims[d] > 1 or d in (SAMPLE, SHOT, cfl.COIL)]
    if cfl.SETS in used:
        raise ValueError(f"{path} has {dims[cfl.SETS]} sets of maps (dimension {cfl.SETS}): choose one with 'bart "
                         "slice'")
    return array.reshape([dims[d] for d in used]), used


def _coord(path, used, shape, max_bytes):
    """Coordinates of a file, in the order (z, y, x)."""
    suffix = Path(path).suffix
    with reading(path, "a trajectory"):
        if suffix not in (".cfl", ".hdr"):
            return _array(path, suffix, "coord", max_bytes)
        array = cfl.read(path, max_bytes)
        dims = array.shape[::-1]
        if dims[0] not in (2, 3) or abs(array.imag).max(initial=0) > 0:
            raise ValueError(f"{path} is no trajectory: BART's are real, with 3 coordinates along dimension 0, and "
                             f"this has {dims[0]}{' and imaginary parts' * bool(array.imag.any())}")
        k = array.real.astype(float)
        flat = dims[0] == 2 or not k[..., 2].any()
        k = k[..., 1::-1] if flat else k[..., ::-1]
        further = [d for d in range(SHOT + 1, cfl.DIMS) if dims[d] > 1]
        if used is None or not further:
            return k.reshape(*(dims[d] for d in reversed(further)), *k.shape[-3:])
        others = [d for d in used if d > SHOT and d != cfl.COIL]
        if set(further) - set(others):
            raise ValueError(f"{path} changes along BART's dimensions {further}, k-space along {others}: it must have "
                             "those")
        full = [n for n, d in zip(shape, used) if d in others]
        k = k.reshape(*(dims[d] for d in others), *k.shape[-3:])
        return np.broadcast_to(k, (*full, *k.shape[-3:]))


def _array(path, suffix: str, name: str, max_bytes: int):
    """An array of this name, or the only one of a .npy."""
    if suffix == ".npy":
        return npy.read_npy(Path(path), max_bytes)
    if suffix == ".npz":
        found = npy.read_npz(Path(path), (name,), max_bytes)
        if name not in found:
            raise ValueError(f"{path} has no array {name}; it holds: {', '.join(npy.names(path)) or 'nothing'}")
        return found[name]
    if suffix in (".h5", ".hdf5"):
        return fastmri.read_array(path, (name,), max_bytes)
    if zarr.is_zarr(path):
        return zarr.read_array(path, (name,), max_bytes)
    if suffix == matlab.SUFFIX:
        return matlab.read_array(path, name, max_bytes)
    raise ValueError(f"{path} holds no {name} that goes with coord: .cfl, .npy, .npz, .h5, .zarr or .mat")
