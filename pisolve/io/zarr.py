"""Zarr, a folder `scan.zarr` or the same in a file `scan.zarr.zip`: arrays and attributes by the names of our .h5."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.io import fastmri
from pisolve.io.atomic_folder import place_folder
from pisolve.io.limits import Budget
from pisolve.io.named import words
from pisolve.io.zarr_guard import Array, Store
from pisolve.scan import Scan

FOLDER, PACKED = SUFFIXES = (".zarr", ".zarr.zip")
_TOP = ("kspace", "image")  # what an array is that stands alone, without a group around it
_MARKS = ("zarr.json", ".zgroup", ".zarray")
_CHUNK = 64 << 20  # bytes of a chunk that is written, where the last two axes are no larger


def is_zarr(path) -> bool:
    """Whether a path is called so."""
    return os.fspath(path).endswith(SUFFIXES)


def stands(path) -> bool:
    """Whether a folder holds Zarr."""
    return any((Path(path) / mark).is_file() for mark in _MARKS)


class File:
    """An open Zarr of somebody else, asked as an HDF5 file is."""

    def __init__(self, store: Store, max_bytes: int):
        self.store, self._most, self.path = store, max_bytes, store.path

    def said(self, name: str) -> Array | None:
        """What the file says of an array; one alone is k-space or an image."""
        alone = self.store.array("") if name in _TOP else None
        return self.store.array(name) if alone is None else alone

    def kind_of(self, name: str):
        """(shape, dtype) of an array, of which nothing is read; None where the file has none."""
        said = self.said(name)
        return None if said is None else (said.shape, said.dtype)

    def array(self, name: str, block: slice | None = None, max_bytes: int | None = None) -> np.ndarray | None:
        """An array, or some of its first axis; None where the file has none."""
        said = self.said(name)
        if said is None:
            return None
        self.store.check(said, block, self._most if max_bytes is None else max_bytes)
        zarr = _check.extra("zarr", "zarr")
        kind = zarr.storage.LocalStore if self.store.zip is None else zarr.storage.ZipStore
        with kind(self.path, read_only=True) as store:
            array = zarr.open_array(store, path=self.store.prefix + said.key, mode="r", zarr_format=said.version)
            if array.shape != said.shape:
                raise ValueError(f"{name} has shape {array.shape}, and {said.shape} in its description")
            found = np.asarray(array[...] if block is None else array[block])
        return found.astype(found.dtype.newbyteorder("="), copy=False)

    def names(self, name: str, of: str = "kspace"):
        """What the file says under an attribute of its own or of an array, words or text."""
        array = self.said(of)
        places = ([array.attributes] if array is not None else []) + [self.store.attributes()]
        return next((place[name] for place in places if name in place), None)

    def attributes(self) -> dict:
        """The plain attributes at the top, lists of up to 64 entries; dicts as JSON, as HDF5 has them."""
        found = {}
        for name, value in self.store.attributes().items():
            if isinstance(value, dict):
                value = json.dumps(value)
            if isinstance(value, str | int | float) or (isinstance(value, list) and len(value) <= 64):
                found[str(name)] = value
        return found

    def text(self, name: str) -> str | None:
        """An attribute that is a text, such as ISMRMRD's header; None for none."""
        value = self.store.attributes().get(name)
        return value if isinstance(value, str) else None

    def contents(self) -> str:
        """The names at the top, for messages."""
        return ", ".join(self.store.names()) or "nothing"


@contextmanager
def opened(path, max_bytes: int) -> Iterator[File]:
    """An open Zarr folder, or a .zip of one.

    Raises:
        ValueError: it is none.
        ImportError: without the package `zarr`.
    """
    _check.extra("zarr", "zarr")
    store = Store(path)
    try:
        if all(store.size(mark) is None for mark in _MARKS):
            raise ValueError(f"{path} has no zarr.json, .zgroup or .zarray: it is no Zarr")
        yield File(store, max_bytes)
    finally:
        store.close()


def read(path, max_bytes: int, axes=None, epi: str = "auto", kspace_of=None) -> Scan:
    """A scan, as `fastmri.read`; the names of its axes are an attribute `axes`, or those of k-space's dimensions."""
    with opened(path, max_bytes) as file:
        kspace = file.array("kspace") if kspace_of is None else kspace_of(file, "kspace", max_bytes, path)
        return fastmri.scan_of(file, kspace, max_bytes, axes, epi)


def read_array(path, wanted, max_bytes: int) -> np.ndarray:
    """The first of the arrays `wanted` that the file has."""
    with opened(path, max_bytes) as file:
        return fastmri.first(file, wanted)


def read_image(path, max_bytes: int):
    """(the image of a file, the names of its axes or None, what it says of its place)."""
    with opened(path, max_bytes) as file:
        return (*fastmri.image_of(file), fastmri.placed(file.attributes()))


def block_of(path, block: slice, max_bytes: int) -> np.ndarray:
    """Some slices of k-space."""
    with opened(path, max_bytes) as file:
        return file.array("kspace", block)


def kind_of(path):
    """(shape, dtype) of k-space, and whether it needs no other array to be read: maps, coordinates, names of axes."""
    with opened(path, Budget(1)) as file:
        said = file.said("kspace")
        axes = words(file.names("axes"))
        alone = all(file.said(n) is None for n in ("mps", "coord")) and axes in (None, ("slice", "coil", "ky", "kx"))
        return None if said is None else (said.shape, said.dtype, alone)


def bytes_of(path) -> int:
    """The bytes of k-space, unpacked; 0 where that cannot be said, and reading will say why."""
    with suppress(ValueError, TypeError, OSError, ImportError, RecursionError):
        shape, dtype, _ = kind_of(path) or ((0,), np.dtype(bool), True)
        return math.prod(shape) * dtype.itemsize
    return 0


def place(path) -> None:
    """Refuse a folder that could not be written, as `atomic_folder` does."""
    place_folder(path, stands)


def write(path, arrays: dict, attributes: dict) -> None:
    """Write arrays by name and plain attributes, format 3, to a new folder or a .zip: chunks of one slice, coil, ..."""
    zarr = _check.extra("zarr", "zarr")
    packed = os.fspath(path).endswith(PACKED)
    with zarr.storage.ZipStore(path, mode="w") if packed else zarr.storage.LocalStore(path) as store:
        group = zarr.create_group(store, attributes=attributes)
        for name, array in arrays.items():
            group.create_array(name, data=np.ascontiguousarray(array), chunks=_chunks(array.shape, array.itemsize))


def _chunks(shape, itemsize: int) -> tuple[int, ...]:
    found = [max(n, 1) for n in shape]
    for i in range(len(shape) - 2):
        if i and math.prod(found) * itemsize <= _CHUNK:
            break
        found[i] = 1
    return tuple(found)
