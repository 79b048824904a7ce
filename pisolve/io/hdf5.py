"""Reading HDF5 files that somebody else wrote: no links out of the file, nothing larger than agreed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pisolve.io.limits import too_large


@contextmanager
def open_hdf5(path) -> Iterator:
    """Open an HDF5 file to read; what h5py cannot open or read becomes a ValueError with the path and its reason."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:  # h5py's word for truncated, damaged and foreign files
        if isinstance(error, PermissionError):
            raise
        raise ValueError(f"{path} cannot be read as HDF5, it is damaged, cut off or something else: {error}") from error


def contents(file) -> str:
    """The names at the top of the file with shapes, for messages."""
    import h5py

    names = []
    for name in file:
        link = file.get(name, getlink=True)
        item = file.get(name) if isinstance(link, h5py.HardLink) else None
        names.append(f"{name} {item.shape}" if isinstance(item, h5py.Dataset) else str(name))
    return ", ".join(names[:20]) or "nothing"


def dataset(file, name: str, max_bytes: int, path):
    """The array of the dataset `name`, or None where the file has none; every refusal is a ValueError."""
    item = array_at(file, name, max_bytes, path)
    if item is None:
        return None
    if item.dtype.kind not in "biufc":
        raise ValueError(f"{path}: {name} has dtype {item.dtype}: numbers are needed")
    return item[()]


def array_at(file, name: str, max_bytes: int, path):
    """The dataset `name`, unread, or None where the file has none; every refusal is a ValueError."""
    import h5py

    item = _resolve(file, name, path)
    if item is None:
        return None
    if not isinstance(item, h5py.Dataset):
        raise ValueError(f"{path}: {name} is a group, not an array")
    if item.is_virtual or item.external:
        raise ValueError(f"{path}: {name} keeps its data in other files, which is refused: copy it into one file "
                         "(h5repack)")
    if item.shape is None:
        raise ValueError(f"{path}: {name} has no entries: numbers are needed")
    # a chunk is held in memory whole, and may be declared larger than its array
    largest = max(math.prod(shape) * item.dtype.itemsize for shape in (item.shape, item.chunks or ()))
    if largest > max_bytes:
        raise too_large(path, name, largest, max_bytes)
    return item


def text(file, name: str, path) -> str | None:
    """The string stored as the dataset `name`, alone or as its only entry, or None where the file has none."""
    item = _resolve(file, name, path)
    if item is None:
        return None
    plain = getattr(item, "shape", None) in ((), (1,)) and not (item.is_virtual or item.external)
    value = item[()] if plain else None
    value = value.item() if isinstance(value, np.ndarray) else value
    if isinstance(value, np.bytes_ | bytes):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: {name} is not UTF-8 text: {error}") from error
    if not isinstance(value, str):
        raise ValueError(f"{path}: {name} is not a string")
    return value


def names(file, name: str, path, *, of: str = "kspace"):
    """What the file says under `name`, words or text: in a dataset, an attribute of its own or of the dataset `of`."""
    item = _resolve(file, name, path)
    if item is not None:
        plain = getattr(item, "dtype", None) is not None and item.dtype.kind in "OS" and item.size and item.size <= 64
        if not plain or item.is_virtual or item.external:
            raise ValueError(f"{path}: {name} must be names of axes, such as 'frame,coil,ky,kx'")
        return item[()].tolist() if item.shape else item[()]
    array = _resolve(file, of, path)
    for place in (array, file):
        if place is not None and name in place.attrs:
            value = place.attrs[name]
            return value.tolist() if isinstance(value, np.ndarray) else value
    return None


def attributes(file) -> dict:
    """The file's attributes as plain Python values; arrays of up to 64 entries as lists, others are left out."""
    found = {}
    for name in file.attrs:
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, np.ndarray | np.generic) and value.size <= 64 and value.dtype.kind in "biufSU":
            value = value.tolist()
        if isinstance(value, str | int | float | bool | list):
            found[str(name)] = value
    return found


def _resolve(file, name: str, path, depth: int = 0):
    """The object at `name`, following soft links inside the file only."""
    import h5py

    here = file
    for part in filter(None, name.split("/")):
        if not isinstance(here, h5py.Group):
            return None
        try:
            link = here.get(part, getlink=True)
        except TypeError as error:  # a user-defined kind of link
            raise ValueError(f"{path}: {name} is a link of an unknown kind, which is refused") from error
        if link is None:
            return None
        if isinstance(link, h5py.ExternalLink):
            raise ValueError(f"{path}: {name} is a link to another file, {link.filename!r}, which is refused: copy the "
                             "data into one file")
        if isinstance(link, h5py.SoftLink):
            if depth > 7:
                raise ValueError(f"{path}: {name} is a circle of links")
            target = link.path if link.path.startswith("/") else f"{here.name}/{link.path}"
            here = _resolve(file, target, path, depth + 1)
        else:
            here = here.get(part)
        if here is None:
            return None
    return here
