"""MATLAB's version 5, numbers and characters alone: elements of 4 bytes of kind and 4 of size, some of them packed.

SciPy's own reader ends the process on some damaged files; here every size is held against what is there before anything
is taken.

Reference:
    MathWorks, MAT-File Format, level 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass

import numpy as np

from pisolve.io.limits import spend, too_large
from pisolve.io.words import printable

_HEAD, _MATRIX, _PACKED = 128, 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1",
           17: "u2"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_TEXT, _COMPLEX = 4, 0x800
_START = 4096  # bytes in which a variable says what it is


@dataclass(frozen=True)
class Element:
    """A variable: where it is in the file, and what it says of itself.

    Args:
        at, size: its bytes in the file, without its own kind and size.
        packed: whether they are packed.
        order: "<" or ">".
        body: where its numbers begin, in what is unpacked.
        shape: in MATLAB's order.
        kind: dtype of its real part, None for what are no numbers.
        complex, text: what it is.
    """

    at: int
    size: int
    packed: bool
    order: str
    body: int
    shape: tuple[int, ...]
    kind: str | None
    complex: bool
    text: bool


def begins(head: bytes) -> bool:
    """Whether a file begins as one of version 5."""
    return len(head) >= _HEAD and head[126:128] in (b"IM", b"MI") and head[124:126] in (b"\0\1", b"\1\0")


def elements(path, most: int) -> dict[str, Element]:
    """{name: variable} of a file, of which only the beginnings are read.

    Raises:
        ValueError: elements that do not add up to the file.
    """
    found = {}
    with open(path, "rb") as file:
        order = "<" if file.read(_HEAD)[126:128] == b"IM" else ">"
        end, at = file.seek(0, 2), _HEAD
        while at + 8 <= end:
            file.seek(at)
            kind, size = struct.unpack(f"{order}II", file.read(8))
            if kind not in (_PACKED, _MATRIX) or size > end - at - 8:
                raise ValueError(f"{path} is damaged or cut off: an element of kind {kind} with {size:,} bytes at byte "
                                 f"{at:,}")
            start = file.read(min(size, _START))
            if kind == _PACKED:
                start = zlib.decompressobj().decompress(start, _START)
                if len(start) < 8 or struct.unpack(f"{order}I", start[:4])[0] != _MATRIX:
                    raise ValueError(f"{path} is damaged: what is packed at byte {at:,} is no variable")
                start = start[8:]
            name, one = _begun(path, start, at + 8, size, kind == _PACKED, order)
            found[name] = one
            at += 8 + size
            if len(found) > 10_000:
                raise ValueError(f"{path} has more than 10,000 variables, which is not read")
    return found


def _begun(path, start: bytes, at: int, size: int, packed: bool, order: str):
    """(name, `Element`) of a variable's first bytes: flags, sizes, name."""
    parts, here = [], 0
    for _ in range(3):
        kind, length, data, here = _element(path, start, here, order)
        parts.append((kind, start[data : data + length]))
    flags, sizes, name = (p[1] for p in parts)
    if len(flags) < 4 or len(sizes) < 8 or len(sizes) > 128 or len(sizes) % 4:
        raise ValueError(f"{path} is damaged: the variable at byte {at:,} does not say what it is")
    flags = struct.unpack(f"{order}I", flags[:4])[0]
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if min(shape) < 0:
        raise ValueError(f"{path} is damaged: the variable at byte {at:,} has the sizes {shape}")
    number = flags & 0xFF
    return printable(name.decode("ascii", "replace")), Element(
        at, size, packed, order, here, shape, _CLASSES.get(number), bool(flags & _COMPLEX), number == _TEXT)


def _element(path, data, at: int, order: str):
    """(kind, bytes, where they begin, where the next element begins) of an element in a variable; small ones are 8."""
    if at + 8 > len(data):
        raise ValueError(f"{path} is damaged or cut off: a variable ends too soon")
    first, second = struct.unpack_from(f"{order}II", data, at)
    if first >> 16:  # up to four bytes instead of the size
        return first & 0xFFFF, min(first >> 16, 4), at + 4, at + 8
    return first, second, at + 8, at + 8 + -(-second // 8) * 8


def numbers(path, one: Element, most: int) -> np.ndarray:
    """The numbers of a variable, of its own class, in MATLAB's order.

    Raises:
        ValueError: fewer or more numbers than its sizes say, or more bytes than `most`.
    """
    count = math.prod(one.shape)
    kind = np.dtype(one.kind)
    spend(path, "a variable", count * kind.itemsize * (1 + one.complex), most)
    data, here, found = _body(path, one, most), one.body, []
    for _ in range(1 + one.complex):
        stored, length, begin, here = _element(path, data, here, one.order)
        if stored not in _STORED or begin + length > len(data):
            raise ValueError(f"{path} is damaged or cut off: a variable has {length:,} bytes of kind {stored}")
        item = np.dtype(one.order + _STORED[stored])
        if length != count * item.itemsize:
            raise ValueError(f"{path} is damaged: a variable of sizes {one.shape} has {length:,} bytes of {item}")
        found.append(np.frombuffer(data, item, count, begin))
    if not one.complex:
        return found[0].astype(kind).reshape(one.shape, order="F")
    whole = np.empty(count, np.complex64 if one.kind == "f4" else np.complex128)
    whole.real, whole.imag = found
    return whole.reshape(one.shape, order="F")


def text(path, one: Element, most: int) -> str | None:
    """The characters of a short variable in one row; None for others."""
    if math.prod(one.shape) > 4096:
        return None
    data = _body(path, one, most)
    stored, length, begin, _ = _element(path, data, one.body, one.order)
    item = _STORED.get(stored, "u1")
    if item not in ("u1", "i1", "u2"):
        return None
    return "".join(map(chr, np.frombuffer(data[begin : begin + length // int(item[1]) * int(item[1])], one.order + (
        "u1" if item == "i1" else item)).tolist()))


def _body(path, one: Element, most: int) -> bytes:
    """A variable's bytes, unpacked to as many as it says."""
    with open(path, "rb") as file:
        file.seek(one.at)
        data = file.read(one.size)
    if not one.packed:
        return data
    stream = zlib.decompressobj()
    head = stream.decompress(data, 8)
    said = struct.unpack(f"{one.order}II", head)[1]
    if said > most:
        raise too_large(path, "a variable", said, most)
    body = stream.decompress(stream.unconsumed_tail, said + 1)
    if len(body) != said or not stream.eof:
        raise ValueError(f"{path} is damaged: a packed variable says {said:,} bytes and has {len(body):,}")
    return body
