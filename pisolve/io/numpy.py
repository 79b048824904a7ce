"""NumPy's .npy and .npz: never pickles, and no memory asked for that the file does not hold."""

from __future__ import annotations

import math
import zipfile
import zlib

import numpy as np

from pisolve.io import epi as lines
from pisolve.io import field, points
from pisolve.io.layouts import hybrid, is_interleaved
from pisolve.io.limits import spend, too_large
from pisolve.io.named import of_kspace, spread, words
from pisolve.scan import Scan
from pisolve.scan.checks import complex_samples

ARRAYS = ("kspace", "mask", "mps", "reference", "noise", "calib", "weights", *field.NAMES)
NAMES = ("axes", "mask_axes")
REMEDY = "or say them otherwise, load(path, axes=...)"


def read(path, max_bytes: int, axes=None, epi: str = "auto") -> Scan:
    """A scan from a .npy with k-space, or a .npz with `kspace` and where present the other arrays of a `Scan`.

    Args:
        axes: the names of the axes of k-space, instead of the entry `axes` of a .npz. Its mask may have fewer axes,
            named by an entry `mask_axes`.
        epi: of EPI's lines, which have `kx` and `ky` beside them, how the ghost is found, see `calib.epi`.
    """
    if path.suffix == ".npy":
        arrays = {"kspace": read_npy(path, max_bytes)}
        found = arrays["kspace"]
        if axes is None and is_interleaved(found.shape, found.dtype) and found.min() < 0:
            told = ("four axes of real numbers, the last one short: read as Calgary-Campinas has them, (x, ky, kz, "
                    "real and imaginary parts in turns), slices along x, kz as kx")
            return Scan(**hybrid(found), meta={"assumed": told})
    else:
        arrays = read_npz(path, (*ARRAYS, *NAMES, "coord", *points.SIZES, *lines.ARRAYS), max_bytes)
        if "kspace" not in arrays:
            raise ValueError(f"{path} has no array kspace; it holds: {', '.join(names(path)) or 'nothing'}")
    complex_samples(f"{path}: kspace", arrays["kspace"])
    said = {name: arrays.pop(name, None) for name in NAMES}
    for name, value in said.items():
        if value is not None and value.dtype.kind not in "US":
            raise ValueError(f"{path}: {name} has dtype {value.dtype}: names such as 'frame,coil,ky,kx' are needed")
    sizes = [found for name in points.SIZES if (found := arrays.pop(name, None)) is not None]
    names_ = words(said["axes"]) if axes is None else axes
    own = lines.lines_of(arrays.get, names_)
    meta, more = field.taken(arrays.get)
    arrays = {n: a for n, a in arrays.items() if n not in (*lines.ARRAYS, *field.NAMES)} | more
    if own and "coord" not in arrays:
        kspace = arrays.pop("kspace")
        return lines.scan(path, kspace, own, next(iter(sizes), None), names_, epi, max_bytes, meta, **arrays)
    lines.refuse(epi)
    if "coord" in arrays:
        kspace, coord = arrays.pop("kspace"), arrays.pop("coord")
        return points.scan(path, kspace, coord, next(iter(sizes), None), names_, meta=meta, **arrays)
    shape = arrays["kspace"].shape
    axes = of_kspace(words(said["axes"]) if axes is None else axes, shape, REMEDY)
    own = None if said["mask_axes"] is None else words(said["mask_axes"])
    mask = spread(arrays.get("mask"), own, axes, shape)
    return Scan(**arrays | {"mask": mask, "axes": axes, "meta": meta})


def read_npy(path, max_bytes: int) -> np.ndarray:
    """The array of a .npy file; its header is checked against the size of the file before memory is asked for."""
    with open(path, "rb") as file:
        _header(file, path, path.name, path.stat().st_size, max_bytes)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def read_npz(path, wanted, max_bytes: int) -> dict[str, np.ndarray]:
    """Those of the `wanted` arrays that a .npz holds; the unpacked size is limited before anything is unpacked."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {n: archive.getinfo(f"{n}.npy") for n in wanted if f"{n}.npy" in archive.namelist()}
            total = sum(m.file_size for m in members.values())
            spend(path, "the archive", total, max_bytes)
            for name, member in members.items():
                with archive.open(member) as file:  # two passes: a packed stream cannot be wound back cheaply
                    _header(file, path, name, member.file_size, max_bytes)
                with archive.open(member) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        if isinstance(error, PermissionError):
            raise
        raise ValueError(f"{path} cannot be read as .npz, damaged, encrypted or something else: {error}") from error
    return arrays


def names(path) -> list[str]:
    """The names of the arrays in a .npz."""
    with zipfile.ZipFile(path) as archive:
        return [n.removesuffix(".npy") for n in archive.namelist()[:20]]


def _header(file, path, name: str, size: int, max_bytes: int) -> None:
    """Read the header of one array and refuse pickles, and shapes that need more bytes than there are."""
    try:
        major, minor = np.lib.format.read_magic(file)
        readers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        if major not in readers:  # version 3 exists for field names only
            raise ValueError(f"format version {major}.{minor}")
        shape, _, dtype = readers[major](file)
    except Exception as error:  # of a broken header NumPy lets through tokenize's and ast's own errors
        raise ValueError(f"{path}: {name} is not a readable .npy array: {error}") from None
    if dtype.hasobject:
        raise ValueError(f"{path}: {name} holds pickled Python objects, which can run code: refused, save numbers")
    needed = math.prod(shape) * dtype.itemsize
    if any(n < 0 for n in shape) or needed > size - file.tell():
        raise ValueError(f"{path}: {name} declares shape {shape} of {dtype}, {needed:,} bytes, but has "
                         f"{size - file.tell():,}: cut off, or a wrong header")
    if needed > max_bytes:
        raise too_large(path, name, needed, max_bytes)
