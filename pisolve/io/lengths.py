"""Lengths of texts and lists in HDF5, looked at before libhdf5 reads them: it takes the memory that they declare.

A file keeps such a text as 4 bytes of length, then 8 and 4 that say where it lies. These 16 bytes stand in the array of
a dataset, or in the header of the object that has the attribute. h5py shows neither, so they are read from the file.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np

TEXT = 1 << 24  # bytes of a text
PLACE = 16  # bytes of a length and of where the text lies
BLOCKS = 1000  # of one object's header
NAME = 1100  # bytes of an attribute before its kind
_ATTRIBUTE, _CONTINUED, _MANY = 0x0C, 0x10, 0x15  # HDF5's numbers for parts of a header
# a text of any length, 16 bytes, made of bytes
_KIND = re.compile(rb"[\x19\x29\x39\x49\x59].{3}\x10\x00\x00\x00[\x10\x13\x20\x23\x30\x33\x40\x43].{3}\x01\x00\x00\x00",
                   re.DOTALL)


def of_dataset(item, path, widths: dict[str | None, int], most: int) -> None:
    """Refuse a dataset in which a text or a list declares more bytes than there can be.

    Args:
        item: the h5py.Dataset.
        path: its file.
        widths: the bytes of one entry of the lists, by the names of their fields; {None: 1} for a dataset of texts.
        most: most bytes of one list; the size of the file is a limit, too.

    Raises:
        ValueError: a list is longer, or its length cannot be looked at.
    """
    kind, most = item.id.get_type(), min(most, os.stat(path).st_size)
    _known_places(item, path)
    places = {name: 0 if name is None else kind.get_member_offset(kind.get_member_index(name.encode()))
              for name in widths}
    for rows in _rows(item, path, kind.get_size()):
        for name, width in widths.items():
            lengths = rows[:, places[name]: places[name] + 4].copy().view("<u4").ravel()
            refuse(int(lengths.max(initial=0)) * width, most, path, item.name if name is None else name)


def of_attributes(item, path) -> dict[str, int]:
    """{name: length of its longest text} of the attributes of an object that are texts of any length.

    One that is not among them keeps its kind elsewhere in the file (a named type), so nothing is known of its length.

    Raises:
        ValueError: a text declares more bytes than the file has, or than a text may have.
    """
    _known_places(item, path)
    found, most = {}, min(TEXT, os.stat(path).st_size)
    with open(path, "rb") as file:
        for name, lengths in _texts(file, item):
            found[name] = max(found.get(name, 0), *lengths, 0)
            refuse(found[name], most, path, name)
    return found


def refuse(length: int, most: int, path, name: str) -> None:
    """ValueError where a text or a list declares more than `most` bytes."""
    if length > most:
        raise ValueError(f"{path}: {name} declares {length:,} bytes of text or of a list, more than {most:,}")


def _known_places(item, path) -> None:
    if item.file.id.get_create_plist().get_sizes() != (8, 8):
        raise ValueError(f"{path}: texts are read of files with addresses of 8 bytes only: write it anew by h5repack")


def _rows(item, path, size: int) -> Iterator[np.ndarray]:
    """The entries of a dataset as the file keeps them, (number, size) bytes, some at a time."""
    import h5py

    plist = item.id.get_create_plist()
    if plist.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED or plist.get_layout() == h5py.h5d.COMPACT:
        raise ValueError(f"{path}: {item.name} keeps texts or lists in its header, which is refused: write it anew "
                         "by h5repack")
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= set(_UNPACK):
        raise ValueError(f"{path}: {item.name} keeps texts or lists packed by filter {filters}: unpack it by "
                         "h5repack -f NONE")
    if item.chunks is None:
        at = item.id.get_offset()
        pieces = [] if at is None else [(at, item.size * size, 0)]
    else:
        pieces = []
        item.id.chunk_iter(lambda c: pieces.append((c.byte_offset, c.size, c.filter_mask)))
    with open(path, "rb") as file:
        whole = os.fstat(file.fileno()).st_size
        for at, length, unused in pieces:
            file.seek(at)
            content = file.read(min(length, whole))  # read() takes what it is asked for before it looks
            for i in reversed(range(len(filters))):
                if not unused >> i & 1:
                    content = _UNPACK[filters[i]](content, size, math.prod(item.chunks) * size)
            rows = np.frombuffer(content, np.uint8)
            yield rows[: len(rows) // size * size].reshape(-1, size)


def _inflated(content: bytes, size: int, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, most)
    except zlib.error as error:
        raise ValueError(f"a chunk of texts or lists is damaged: {error}") from error


def _unshuffled(content: bytes, size: int, most: int) -> bytes:
    whole = len(content) // size * size
    return np.frombuffer(content[:whole], np.uint8).reshape(size, -1).T.tobytes() + content[whole:]


_UNPACK = {1: _inflated, 2: _unshuffled, 3: lambda content, size, most: content[:-4]}  # by HDF5's numbers of filters


def _texts(file, item) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, lengths) of the attributes of an object that are texts of any length."""
    import h5py

    many, base = False, item.file.userblock_size
    for kind, body in _parts(file, h5py.h5o.get_info(item.id).addr + base, base):
        many |= kind == _MANY and body[2 + 2 * (body[1] & 1):][:8] != b"\xff" * 8
        if kind == _ATTRIBUTE and (found := _text(body)):
            yield found
    if many:  # more than a header holds lie elsewhere, each as one piece
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for match in _KIND.finditer(content):
                at = _start(content[max(0, match.start() - NAME): match.start()])
                if at and (found := _text(content[match.start() - at: match.start() + (1 << 16)])):
                    yield found


def _start(before: bytes) -> int:
    """How many bytes before the kind of an attribute its own begin; 0 where there is none."""
    for first, versions in ((8, (1, 2)), (9, (3,))):
        for at in range(first + 1, len(before) + 1):
            version, _, size = struct.unpack_from("<BBH", before, len(before) - at)
            if version in versions and first + _padded(version, size) == at:
                return at
    return 0


def _padded(version: int, size: int) -> int:
    """The bytes that a part of an attribute takes: only in version 1 each begins at a multiple of 8."""
    return -(-size // 8) * 8 if version == 1 else size


def _text(body: bytes) -> tuple[str, tuple[int, ...]] | None:
    """(name, lengths) of the attribute whose bytes begin with `body`; None where it is something else."""
    if len(body) < 9:
        return None
    first = 8 + (body[0] == 3)
    name, own, shape = struct.unpack_from("<HHH", body, 2)
    told = body[first: first + name].rstrip(b"\0").decode("utf-8", "surrogateescape")
    name, own, shape = (_padded(body[0], n) for n in (name, own, shape))
    if not _KIND.match(body, first + name):
        return None
    version, rank = body[first + name + own:][:2].ljust(2, b"\0")
    dims = body[first + name + own + (8 if version == 1 else 4):][:8 * rank].ljust(8 * rank, b"\0")
    here = first + name + own + shape
    number = min(math.prod(struct.unpack(f"<{rank}Q", dims)), max(0, len(body) - here) // PLACE)
    return told, tuple(struct.unpack_from("<I", body, here + PLACE * i)[0] for i in range(number))


def _parts(file, at: int, base: int) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of all parts of the header at `at` of a file whose own bytes begin at `base`."""
    file.seek(at)
    start = file.read(64).ljust(64, b"\0")
    new = start.startswith(b"OHDR")
    if new:
        place = 6 + 16 * (start[5] >> 5 & 1) + 4 * (start[5] >> 4 & 1)
        width, head = 1 << (start[5] & 3), 4 + 2 * (start[5] >> 2 & 1)
        blocks = [(at + place + width, int.from_bytes(start[place: place + width], "little"))]
    else:
        blocks, head = [(at + 16, int.from_bytes(start[8:12], "little"))], 8
    for at, size in blocks:  # it grows on the way
        file.seek(at)
        block, here = file.read(min(size, TEXT)), 0
        while here + head <= len(block):
            kind, length = struct.unpack_from("<BH" if new else "<HH", block, here)
            body = block[here + head:][:length]
            if kind == _CONTINUED and len(body) >= 16 and len(blocks) < BLOCKS:
                further, size = struct.unpack_from("<QQ", body)
                blocks.append((base + further + 4, size - 8) if new else (base + further, size))
            if body:
                yield kind, body.ljust(16, b"\0") if kind == _MANY else body
            here += head + length
