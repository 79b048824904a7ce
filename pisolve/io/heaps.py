"""HDF5's global heaps, where texts and raw data's readouts lie: libhdf5 walks them without end where a size is 0.

An entry is 2 bytes of number, 2 of references, 4 of nothing, 8 of size. Number 0 is free space, whose size counts its
head, too; with the size 0 the library stays where it is. So every heap of a file is walked here first.
"""

from __future__ import annotations

import os
import struct

_MARK = b"GCOL\x01\x00\x00\x00"
_BLOCK = 1 << 20
ENTRIES = 1 << 22  # of a heap; libhdf5 makes another one after 64 kB, or for each larger entry
_known = {}  # (device, number, size, time) of a file: looked through already


def check(path) -> None:
    """Refuse a file in whose global heaps libhdf5 would not come to an end; 0.6 s for 1 GB, once for each file.

    Raises:
        ValueError: a heap is damaged.
    """
    about = os.stat(path)
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
    if key in _known:
        return
    with open(path, "rb") as file:
        for at in _marks(file):
            _walk(file, at, about.st_size, path)
    if len(_known) > 10_000:
        _known.clear()
    _known[key] = True


def _marks(file):
    """The places of all global heaps of an open file."""
    before, kept = b"", 0
    file.seek(0)
    while block := file.read(_BLOCK):
        joined, place = before + block, -1
        base = kept - len(before)
        while (place := joined.find(_MARK, place + 1)) >= 0:
            yield base + place
            file.seek(kept + len(block))
        kept += len(block)
        before = joined[-len(_MARK) + 1:]


def _walk(file, at: int, most: int, path) -> None:
    """Raise where the entries of the heap at a place of the file do not lead to its end."""
    file.seek(at)
    head = file.read(16)
    size = struct.unpack_from("<Q", head, 8)[0] if len(head) == 16 else 0
    if not 16 <= size <= most - at:
        raise ValueError(f"{path} is damaged: a heap of texts at byte {at:,} has {size:,} bytes, which it cannot")
    content, here, entries = file.read(size - 16), 0, 0
    while here + 16 <= len(content):
        number, length = struct.unpack_from("<H6xQ", content, here)
        need = 16 + -(-length // 8) * 8 if number else length
        entries += 1
        if need < 16 or here + need > len(content) or entries > ENTRIES:
            raise ValueError(f"{path} is damaged: a heap of texts at byte {at:,} does not come to its end")
        here += need
