"""Reading HDF5 files that somebody else wrote: no links out of the file, nothing larger than agreed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pisolve.io import heaps, lengths
from pisolve.io.lengths import TEXT
from pisolve.io.limits import spend
from pisolve.io.words import decoded, printable

HARD, SOFT, EXTERNAL = 0, 1, 64  # HDF5's own numbers for kinds of links
STEPS = 64  # of a path, soft links and what they lead through counted, too
ATTRIBUTES = 1000


@contextmanager
def open_hdf5(path, *, texts: bool = True) -> Iterator:
    """Open an HDF5 file to read; what h5py cannot open or read becomes a ValueError with the path and its reason.

    Args:
        path: the file.
        texts: whether texts or raw data's readouts are read, too, for which the whole file is looked through once.
    """
    import h5py

    if texts:
        heaps.check(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:  # h5py's word for truncated, damaged and foreign files
        if isinstance(error, PermissionError):
            raise
        raise ValueError(f"{path} cannot be read as HDF5, it is damaged, cut off or something else: {error}") from error


class File:
    """An open HDF5 file of somebody else, asked for arrays and words by name."""

    def __init__(self, file, path, max_bytes: int):
        self._file, self.path, self._most = file, path, max_bytes

    def array(self, name: str):
        """`dataset`."""
        return dataset(self._file, name, self._most, self.path)

    def names(self, name: str, of: str = "kspace"):
        """`names`."""
        return names(self._file, name, self.path, of=of)

    def attributes(self) -> dict:
        """`attributes`."""
        return attributes(self._file)

    def text(self, name: str) -> str | None:
        """`text`."""
        return text(self._file, name, self.path)

    def contents(self) -> str:
        """`contents`."""
        return contents(self._file)


def contents(file) -> str:
    """The names at the top of the file with shapes, for messages."""
    import h5py

    names = []
    for name in itertools.islice(file, 20):
        item = file.get(name) if link(file, name) == HARD else None
        names.append(printable(f"{name} {item.shape}" if isinstance(item, h5py.Dataset) else name))
    return ", ".join(names) or "nothing"


def link(group, name: str):
    """What the entry `name` of a group is: HARD, SOFT, another number; None for none. No link is followed.

    h5py's own `in` and `get` follow soft links to their end, which a small file can make endless.
    """
    key = name.encode("utf-8", "surrogateescape")
    return group.id.links.get_info(key).type if group.id.links.exists(key) else None


def dataset(file, name: str, max_bytes: int, path):
    """The array of the dataset `name`, or None where the file has none; every refusal is a ValueError."""
    item = array_at(file, name, max_bytes, path)
    if item is None:
        return None
    kind = number_kind(item.dtype)
    if kind is None:
        raise ValueError(f"{path}: {name} has dtype {item.dtype}: numbers are needed")
    found = item[()]
    return found if found.dtype == kind else np.ascontiguousarray(found).view(kind)


def number_kind(dtype):
    """The number type of a dataset, complex where it has the fields real and imag, as of MATLAB; None for others."""
    if dtype.names == ("real", "imag") and dtype["real"] == dtype["imag"] and dtype["real"].kind == "f" and (
            dtype.itemsize == 2 * dtype["real"].itemsize):
        return np.dtype(f"{dtype['real'].byteorder}c{dtype.itemsize}")
    return dtype if dtype.kind in "biufc" else None


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
    spend(path, name, largest, max_bytes)
    return item


def kind_of(file, name: str, path):
    """(shape, dtype) of the dataset `name`, of which nothing is read; None where the file has none."""
    item = _resolve(file, name, path)
    shape = getattr(item, "shape", None)
    return None if shape is None else (tuple(shape), item.dtype)


def text(file, name: str, path) -> str | None:
    """The string stored as the dataset `name`, alone or as its only entry, or None where the file has none."""
    item = _resolve(file, name, path)
    if item is None:
        return None
    plain = getattr(item, "shape", None) in ((), (1,)) and not (item.is_virtual or item.external)
    value = _words(item, path) if plain and _plain(item.dtype) else None
    value = value.item() if isinstance(value, np.ndarray) else value
    if not isinstance(value, bytes | str):
        raise ValueError(f"{path}: {name} is not a string")
    return decoded(value)


def names(file, name: str, path, *, of: str = "kspace"):
    """What the file says under `name`, words or text: in a dataset, an attribute of its own or of the dataset `of`."""
    item = _resolve(file, name, path)
    if item is not None:
        plain = getattr(item, "dtype", None) is not None and item.dtype.kind in "OS" and item.size and item.size <= 64
        if not plain or not _plain(item.dtype) or item.is_virtual or item.external:
            raise ValueError(f"{path}: {name} must be names of axes, such as 'frame,coil,ky,kx'")
        value = _words(item, path)
        return value.tolist() if item.shape else value
    array = _resolve(file, of, path)
    for place in (array, file):
        if place is not None and name in place.attrs:
            if not _small(place.attrs, name, lengths.of_attributes(place, path)):
                raise ValueError(f"{path}: the attribute {name} must be names of axes, such as 'frame,coil,ky,kx'")
            value = place.attrs[name]
            return value.tolist() if isinstance(value, np.ndarray) else value
    return None


def attributes(file) -> dict:
    """The file's attributes as plain Python values; arrays of up to 64 entries as lists, others are left out."""
    found, texts = {}, lengths.of_attributes(file, file.file.filename)
    for name in itertools.islice(file.attrs, ATTRIBUTES):
        if not _small(file.attrs, name, texts):
            continue
        value = file.attrs[name]
        if isinstance(value, bytes | str):
            value = decoded(value)
        elif isinstance(value, np.ndarray | np.generic) and value.size <= 64 and value.dtype.kind in "biufSU":
            value = value.tolist()
        if isinstance(value, str | int | float | bool | list):
            found[str(name)] = value
    return found


def _small(attributes, name: str, texts: dict[str, int]) -> bool:
    """Whether an attribute declares no more than a text may have, and only what is read without danger.

    `texts` are the lengths that `lengths.of_attributes` found.
    """
    found = attributes.get_id(name)
    number = -1 if found.shape is None else math.prod(found.shape)
    if number < 0 or number * found.dtype.itemsize > TEXT or not _plain(found.dtype):
        return False
    return found.dtype.kind != "O" or (name in texts and found.get_storage_size() == number * lengths.PLACE
                                       and number * texts[name] <= TEXT)


def _words(item, path):
    """The content of a dataset of text, whose lengths are looked at first."""
    if item.dtype.kind == "O":
        lengths.of_dataset(item, path, {None: 1}, TEXT)
    lengths.refuse(item.dtype.itemsize, TEXT, path, item.name)
    return item[()]


def _plain(dtype) -> bool:
    """Numbers or text. Lists of any length, which no file here needs, crash libhdf5 where their kind is damaged."""
    import h5py

    return dtype.kind in "biufcSU" or h5py.check_string_dtype(dtype) is not None


def _resolve(file, name: str, path, work: list | None = None):
    """The object at `name`, following soft links inside the file only, in `STEPS` steps at most, counted in `work`."""
    import h5py

    here, work = file, [0] if work is None else work
    for part in filter(None, name.split("/")):
        if not isinstance(here, h5py.Group):
            return None
        work[0] += 1
        if work[0] > STEPS:
            raise ValueError(f"{path}: {name[:60]!r} is a circle of links, or a path of more than {STEPS} steps")
        kind = link(here, part)
        if kind is None:
            return None
        if kind == HARD:
            here = here[part]  # get() would take a damaged object for none
        elif kind == SOFT:
            target = here.id.links.get_val(part.encode()).decode("utf-8", "surrogateescape")
            here = _resolve(file, target if target.startswith("/") else f"{here.name}/{target}", path, work)
        elif kind == EXTERNAL:
            other = here.id.links.get_val(part.encode())[0].decode("utf-8", "replace")
            raise ValueError(f"{path}: {name} is a link to another file, {other!r}, which is refused: copy the data "
                             "into one file")
        else:  # of a user's own
            raise ValueError(f"{path}: {name} is a link of an unknown kind, which is refused")
        if here is None:
            return None
    return here
