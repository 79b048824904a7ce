"""Zarr folders of somebody else, looked at before the package `zarr` reads them: what they declare, and of what kind.

Metadata names codecs, some of which run code (pickles); chunks unpack to what their own heads say; links lead anywhere.
So only numbers, regular grids and the codecs below are read, no chunk unpacks to more than the metadata says of it, and
every file lies in the folder.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.io.limits import spend
from pisolve.io.words import printable

TEXT = 1 << 24  # bytes of a description
CHUNKS = 1 << 20  # of an array
PACKED = ("blosc", "zstd", "gzip", "zlib", "lz4")
PLAIN = ("bytes", "transpose", "crc32c")
NUMBERS = {"bool", *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)), "float16", "float32", "float64",
           "complex64", "complex128"}
_REMEDY = "write it anew with zarr's defaults, numbers in unsharded chunks packed by zstd, blosc or gzip"
_NO_MORE = (1 << 20) + 64  # bytes that a packed chunk may be larger than its numbers


@dataclass(frozen=True)
class Array:
    """What the metadata of an array says.

    Attributes:
        key: its place in the store; version: 2 or 3, of the format.
        chunks: the shape of one; packing: what unpacks it, or None; tail: bytes of a checksum after it.
        separator, lead: of a chunk's name.
        attributes: with the names of its dimensions as "axes" where they are said and no attribute of this name is.
    """

    key: str
    version: int
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    packing: str | None
    tail: int
    separator: str
    lead: str
    attributes: dict = field(default_factory=dict)

    def ranges(self, block: slice | None) -> list[range]:
        """Along each axis which chunks a block of the first one touches."""
        grid = [range(-(-n // c)) for n, c in zip(self.shape, self.chunks)]
        if block is not None and grid:
            start, stop, _ = block.indices(self.shape[0])
            grid[0] = range(start // self.chunks[0], -(-stop // self.chunks[0]))
        return grid

    def names(self, block: slice | None) -> Iterator[str]:
        """The keys of these chunks."""
        for index in itertools.product(*self.ranges(block)):
            name = self.separator.join([*([self.lead] if self.lead else []), *map(str, index)])
            yield f"{self.key}/{name or '0'}".lstrip("/")


class Store:
    """The files of a folder, or of a .zip of one: `size(key)` in bytes, None for none, and `read(key, most)`."""

    def __init__(self, path):
        self.path, self.zip, self.prefix = Path(path), None, ""
        if self.path.is_dir():
            self._root = os.path.realpath(path)
            return
        try:
            self.zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} cannot be read as a .zip, it is damaged, cut off or something else: {error}"
                             ) from error
        first = {n.split("/")[0] for n in self.zip.namelist()[:1000]}
        if len(first) == 1 and not any(self.size(n) for n in ("zarr.json", ".zgroup", ".zarray")):
            self.prefix = f"{first.pop()}/"  # a folder was packed, and not what is in it

    def close(self) -> None:
        if self.zip is not None:
            self.zip.close()

    def size(self, key: str) -> int | None:
        """The bytes of a file.

        Raises:
            ValueError: it is no regular file, or a link leads out of the folder.
        """
        if self.zip is not None:
            info = self.zip.NameToInfo.get(self.prefix + key)
            return None if info is None else info.file_size
        place = os.path.join(self._root, key)
        try:
            found = os.stat(place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not os.path.realpath(place).startswith(self._root + os.sep):
            raise ValueError(f"{self.path}: {key} is a link out of the folder, which is refused: copy the data into it")
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{self.path}: {key} is no regular file")
        return found.st_size

    def read(self, key: str, most: int) -> bytes:
        """The first `most` bytes of a file."""
        if self.zip is not None:
            with self.zip.open(self.prefix + key) as file:
                return file.read(most)
        with open(os.path.join(self._root, key), "rb") as file:
            return file.read(most)

    def described(self, key: str) -> dict | None:
        """The dict in a .json of the store, or None where there is none."""
        size = self.size(key)
        if size is None:
            return None
        if size > TEXT:
            raise ValueError(f"{self.path}: {key} has {size:,} bytes, more than {TEXT:,}: this is no description")
        value = json.loads(self.read(key, TEXT))
        if not isinstance(value, dict):
            raise ValueError(f"{self.path}: {key} is {_check.brief(value)}, a dict is needed")
        return value

    def names(self) -> list[str]:
        """The first names at the top, for messages."""
        if self.zip is not None:
            keys = (n.removeprefix(self.prefix) for n in self.zip.namelist()[:10_000])
            found = sorted({k.split("/")[0] for k in keys if "/" in k})
        else:
            found = sorted(e.name for e in itertools.islice(os.scandir(self._root), 1000) if e.is_dir())
        return [printable(n) for n in found[:20]]

    def attributes(self) -> dict:
        """Those of the top."""
        found = self.described("zarr.json")
        found = (found or {}).get("attributes", {}) if found is not None else self.described(".zattrs")
        return found if isinstance(found, dict) else {}

    def array(self, name: str) -> Array | None:
        """What is said of an array, None where there is none of this name; "" is the top itself.

        Raises:
            ValueError: it is of a kind that is not read here.
        """
        at = f"{name}/" if name else ""
        said = self.described(f"{at}zarr.json")
        if said is not None:
            return _of_v3(said, name, self.path) if said.get("node_type") == "array" else None
        said = self.described(f"{at}.zarray")
        return None if said is None else _of_v2(said, self.described(f"{at}.zattrs") or {}, name, self.path)

    def check(self, array: Array, block: slice | None, max_bytes: int) -> None:
        """Take a block of an array from the budget, and look at its chunks.

        Raises:
            ValueError: more than `max_bytes`, or a chunk that unpacks to more than it should.
        """
        name, ranges = array.key or "the array", array.ranges(block)
        chunk = math.prod(array.chunks) * array.dtype.itemsize
        number = math.prod(map(len, ranges))
        spend(self.path, name, number * chunk, max_bytes)  # chunks are held whole
        if number > CHUNKS:
            raise ValueError(f"{self.path}: {name} has {number:,} chunks, more than {CHUNKS:,}: write larger ones")
        for key in array.names(block):
            size = self.size(key)
            if size is None:  # it holds nothing
                continue
            least = chunk + array.tail + (_NO_MORE if array.packing else 0)
            found = size if size > least else _unpacked(array, size, lambda most, key=key: self.read(key, most), chunk)
            if size > least or found > chunk:
                raise ValueError(f"{self.path}: {key} unpacks to {found:,} bytes or more, and its {name} has chunks of "
                                 f"{chunk:,}: damaged")


def _of_v3(said: dict, name: str, path) -> Array:
    grid, keys = said.get("chunk_grid"), said.get("chunk_key_encoding")
    if not isinstance(grid, dict) or grid.get("name") != "regular" or said.get("storage_transformers"):
        raise _refused(path, name, f"has the chunks {_check.brief(grid)}")
    kind = said.get("data_type")
    if not isinstance(kind, str) or kind not in NUMBERS:
        raise _refused(path, name, f"has dtype {_check.brief(kind)}")
    codecs = said.get("codecs")
    codecs = [c.get("name") if isinstance(c, dict) else c for c in codecs] if isinstance(codecs, list) else [None]
    packing = [c for c in codecs if c not in PLAIN]
    plain = [c for c in codecs if c in PLAIN]
    good = plain in (["bytes"], ["transpose", "bytes"], ["bytes", "crc32c"], ["transpose", "bytes", "crc32c"])
    after = codecs[codecs.index("bytes") + 1:] if good else []
    if not good or packing not in ([], *([p] for p in PACKED[:3])) or after not in (packing, [*packing, "crc32c"]):
        raise _refused(path, name, f"is packed by {_check.brief(codecs)}")
    keys = keys if isinstance(keys, dict) else {}
    how = keys.get("configuration") if isinstance(keys.get("configuration"), dict) else {}
    plain_keys = keys.get("name") == "v2"
    own = said.get("attributes") if isinstance(said.get("attributes"), dict) else {}
    return Array(name, 3, *_shapes(said.get("shape"), (grid.get("configuration") or {}).get("chunk_shape"), path, name),
                 np.dtype(kind), packing[0] if packing else None, 4 * ("crc32c" in codecs),
                 _separator(how.get("separator", "." if plain_keys else "/"), path, name), "" if plain_keys else "c",
                 _with_axes(own, said.get("dimension_names")))


def _of_v2(said: dict, own: dict, name: str, path) -> Array:
    kind, packing = said.get("dtype"), said.get("compressor")
    try:
        dtype = np.dtype(kind) if isinstance(kind, str) and len(kind) < 9 else None
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in "biufc":
        raise _refused(path, name, f"has dtype {_check.brief(kind)}")
    packing = packing.get("id") if isinstance(packing, dict) else packing
    if said.get("filters") or packing not in (None, *PACKED):
        raise _refused(path, name, f"is packed by {_check.brief([said.get('filters'), packing])}")
    return Array(name, 2, *_shapes(said.get("shape"), said.get("chunks"), path, name), dtype, packing, 0,
                 _separator(said.get("dimension_separator", "."), path, name), "",
                 _with_axes(own, own.get("_ARRAY_DIMENSIONS")))


def _shapes(shape, chunks, path, name: str):
    both = [tuple(s) if isinstance(s, list) else None for s in (shape, chunks)]
    fine = None not in both and len(both[0]) == len(both[1]) <= 32 and all(
        isinstance(n, int) and low <= n < 1 << 62 for low, s in zip((0, 1), both) for n in s)
    if not fine:
        raise _refused(path, name, f"has shape {_check.brief(shape)} and chunks {_check.brief(chunks)}")
    return both


def _separator(said, path, name: str) -> str:
    if said not in ("/", "."):
        raise _refused(path, name, f"has chunks named with {_check.brief(said)}")
    return said


def _with_axes(own: dict, names) -> dict:
    told = isinstance(names, list) and names and all(isinstance(n, str) for n in names)
    return ({"axes": names} if told else {}) | own


def _refused(path, name: str, what: str) -> ValueError:
    return ValueError(f"{path}: {name or 'the array'} {what}, which is not read here: {_REMEDY}")


def _unpacked(array: Array, size: int, read, most: int) -> int:
    """The bytes that a chunk says it has unpacked, counted where it does not say."""
    if array.packing is None:
        return size - array.tail
    if array.packing in ("gzip", "zlib"):
        return _inflated(read(size)[: size - array.tail], most)
    head = read(24).ljust(24, b"\0")
    if array.packing == "blosc":
        if int.from_bytes(head[12:16], "little") != size - array.tail:  # numcodecs would read on behind the end
            raise ValueError(f"a chunk of {array.key or 'the array'} is cut off or damaged")
        return int.from_bytes(head[4:8], "little")
    if array.packing == "lz4":
        return int.from_bytes(head[:4], "little")
    flags = head[4]
    alone, width = flags >> 5 & 1, (0, 2, 4, 8)[flags >> 6]
    width = width or alone
    if not width or not head.startswith(b"\x28\xb5\x2f\xfd"):
        raise ValueError(f"a chunk of {array.key or 'the array'} is no zstd frame that says how long it is: {_REMEDY}")
    at = 5 + (not alone) + (0, 1, 2, 4)[flags & 3]
    return int.from_bytes(head[at : at + width], "little") + 256 * (width == 2)


def _inflated(content: bytes, most: int) -> int:
    """How long what zlib packed is, in pieces; it stops above `most`."""
    total = 0
    while content and total <= most:
        one = zlib.decompressobj(47)
        while not one.eof and total <= most:
            piece = one.decompress(content, 1 << 20)
            total, content = total + len(piece), one.unconsumed_tail
            if not piece and not content:
                break
        content = one.unused_data
    return total
