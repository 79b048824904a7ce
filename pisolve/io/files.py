"""`load`, `save` and `load_image`: the suffix chooses the format."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.backend import to_numpy
from pisolve.io import cfl, fastmri
from pisolve.io import numpy as npy
from pisolve.io.atomic import atomic
from pisolve.io.limits import limit
from pisolve.io.scan import Scan

SUFFIXES = (".h5", ".hdf5", ".npy", ".npz", ".cfl", ".hdr")


def load(path, *, mps=None, max_bytes: int | None = None) -> Scan:
    """Read a scan: fastMRI's .h5, BART's .cfl/.hdr, k-space in .npy, or `kspace`, `mask`, `mps`, `reference` in .npz.

    Args:
        path: str or os.PathLike.
        mps: coil sensitivities (coil, ky, kx) to go with it: an array, or the path of a file (in .h5 and .npz under
            the name `mps`).
        max_bytes: refuse arrays that need more; None is half of the machine's memory.

    Returns:
        `Scan` with kspace (slice, coil, ky, kx) of an .h5, (coil, ky, kx) where a .cfl or .npy has no slices.

    Raises:
        FileNotFoundError, IsADirectoryError: no such file.
        ValueError, TypeError: unknown suffix, damaged or foreign content, unfit shapes or values; it names the file.
    """
    path, most = _existing(path), limit(max_bytes)
    try:
        if path.suffix in (".h5", ".hdf5"):
            scan = fastmri.read(path, most)
        elif path.suffix in (".npy", ".npz"):
            scan = npy.read(path, most)
        else:
            scan = Scan(cfl.read_coils(path, most))
        if mps is None:
            return scan
        return replace(scan, mps=_load_maps(mps, most) if isinstance(mps, str | os.PathLike) else mps)
    except (TypeError, ValueError) as error:
        raise _named(error, path) from error


def load_image(path, *, max_bytes: int | None = None) -> np.ndarray:
    """Read an image (y, x) or (slice, y, x): `reconstruction` (or `reconstruction_rss`, ...) of an .h5, .npy, .cfl.

    Raises:
        As `load`.
    """
    path, most = _existing(path), limit(max_bytes)
    try:
        if path.suffix in (".h5", ".hdf5"):
            image = fastmri.read_array(path, fastmri.IMAGES, most)
        elif path.suffix == ".npy":
            image = npy.read_npy(path, most)
        elif path.suffix == ".npz":
            raise ValueError("a .npz holds no image: load reads a scan from it")
        else:
            image = cfl.read_image(path, most)
        return _check.array("image", image, ndim=(2, 3), complex_=False)
    except (TypeError, ValueError) as error:
        raise _named(error, path) from error


def save(path, image, *, recipe=None, scale: float | None = None, meta: dict | None = None) -> None:
    """Write an image under its suffix: .h5 (with everything known about it), .npy, or .cfl (with its .hdr).

    The file is complete or not there: it is written under a temporary name and renamed.

    Args:
        path: .h5 writes `reconstruction` (slice, y, x) complex64; .npy the array as it is; .cfl complex64.
        image: numpy, cupy or torch array (y, x) or (slice, y, x).
        recipe: dict, or an object with `to_dict`, stored as JSON in the attribute `recipe`. Only for .h5.
        scale: the factor that k-space was multiplied with, attribute `scale`. Only for .h5.
        meta: further attributes by name. Only for .h5.

    Raises:
        ValueError: unknown suffix, NaN or Inf, or options that the format cannot hold.
        FileNotFoundError, IsADirectoryError: no such folder, or a folder of that name.
    """
    path = _path(path)
    image = to_numpy(_check.array("image", image, ndim=(2, 3), complex_=False))
    given = [name for name, value in (("recipe", recipe), ("scale", scale), ("meta", meta)) if value is not None]
    if path.suffix in (".npy", ".cfl") and given:
        raise ValueError(f"{path.suffix} holds numbers only: save as .h5, or without {', '.join(given)}")
    if path.suffix in (".h5", ".hdf5"):
        single = _check.array("image", image.astype(np.complex64))  # finite in single precision, too
        with atomic(path) as temporary:
            fastmri.write_image(temporary, single, recipe=recipe, scale=scale, meta=meta)
    elif path.suffix == ".npy":
        with atomic(path) as temporary:
            np.save(temporary, image, allow_pickle=False)
    elif path.suffix == ".cfl":
        cfl.write(path, image)
    else:
        raise ValueError(f"{path} has the unknown suffix {path.suffix!r}: .h5, .hdf5, .npy or .cfl")


def _load_maps(path, most: int) -> np.ndarray:
    path = _existing(path)
    if path.suffix in (".h5", ".hdf5"):
        return fastmri.read_array(path, ("mps",), most)
    if path.suffix == ".npz":
        found = npy.read_npz(path, ("mps",), most)
        if not found:
            raise ValueError(f"{path} has no array mps; it holds: {', '.join(npy.names(path)) or 'nothing'}")
        return found["mps"]
    return npy.read_npy(path, most) if path.suffix == ".npy" else cfl.read_coils(path, most)


def _path(path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or os.PathLike, got {type(path).__name__}")
    return Path(path)


def _existing(path) -> Path:
    path = _path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} has the unknown suffix {path.suffix!r}: one of {', '.join(SUFFIXES)}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    return path


def _named(error, path):
    """The same error with the file's name in front, where it is not in it yet."""
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return error if str(path) in str(error) else kind(f"{path}: {error}")
