"""ISMRMRD's messages on a socket, as scanners and their servers exchange them: read within limits, and written.

A message is its number, two bytes, and what follows it, all little-endian:

    1  config file   1024 bytes, a name, padded with 0         4  close         nothing
    2  config text   length (4 bytes), text                    5  text          length (4), text
    3  header        length (4), XML                        1008  readout       head (340), trajectory, samples
    1022  image      head (198), length (8), attributes, pixels
    1026  waveform   head (40), samples of 4 bytes

The package `ismrmrd` reads them, too (`ismrmrd.serialization`), but takes as much as a message claims to have. Here the
sizes are looked at first, and a message that does not come is given up; a test holds both to the same bytes.

Reference:
    ISMRMRD's documentation, "Message Types" (mrd_messages.md); Hansen and Sorensen, Gadgetron, Magn Reson Med 69:1768,
    2013, whose numbers they are.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pisolve import _check

CONFIG_FILE, CONFIG_TEXT, HEADER, CLOSE, TEXT = 1, 2, 3, 4, 5
READOUT, IMAGE, WAVEFORM = 1008, 1022, 1026
TEXTS = (CONFIG_TEXT, HEADER, TEXT)
_NAME = 1024  # bytes of a config file's name
_HEADS = {READOUT: 340, IMAGE: 198, WAVEFORM: 40}
_PIXEL = (0, 2, 2, 4, 4, 4, 8, 8, 16)  # bytes by ISMRMRD's number of a data type
_PIECE = 1 << 20  # bytes that are asked for at once
_BESIDE = 1024  # bytes that a readout takes beside its numbers


class Ended(ConnectionError):
    """The other side is gone, without a close."""


@dataclass(frozen=True)
class Limits:
    """What one connection may take.

    Args:
        seconds: a message must be whole after so many from the end of the one before it.
        total: seconds of all messages.
        size: bytes of all of them, that are kept.
        messages: how many, of any kind.
        text: bytes of one text, a header too.
    """

    seconds: float = 60.0
    total: float = 3600.0
    size: int = 4 << 30
    messages: int = 1 << 22
    text: int = 1 << 20

    def __post_init__(self):
        for name in ("seconds", "total"):
            _check.number(name, getattr(self, name), low=0, strict=True)
        for name in ("size", "messages", "text"):
            _check.integer(name, getattr(self, name), low=1)


class Message(NamedTuple):
    """A message: its number, its text, and of a readout head (bytes), trajectory and samples (float32)."""

    kind: int
    text: str = ""
    head: bytes = b""
    trajectory: np.ndarray | None = None
    samples: np.ndarray | None = None


class Reader:
    """The messages that come in on a socket, one after another.

    Args:
        sock: a connected socket; its time-out is set.
        limits: what may come.
    """

    def __init__(self, sock: socket.socket, limits: Limits):
        self._sock, self._limits, self._end = sock, limits, time.monotonic() + limits.total
        self._deadline, self._size, self.count = 0.0, 0, 0

    def __iter__(self):
        """Messages, up to and with the close.

        Raises:
            Ended: the connection ended without one.
            TimeoutError: a message did not come in time.
            ValueError: no message of ISMRMRD's, or more than the limits allow.
        """
        while True:
            self._deadline = min(time.monotonic() + self._limits.seconds, self._end)
            kind, = struct.unpack("<H", self._read(2))
            self.count += 1
            if self.count > self._limits.messages:
                raise ValueError(f"more than {self._limits.messages:,} messages came: raise the limit if they are to "
                                 "be trusted")
            yield self._message(kind)
            if kind == CLOSE:
                return

    def _message(self, kind: int) -> Message:
        if kind == CLOSE:
            return Message(kind)
        if kind == CONFIG_FILE:
            return Message(kind, _text(self._read(_NAME)))
        if kind in TEXTS:
            size, = struct.unpack("<I", self._read(4))
            if size > self._limits.text:
                raise ValueError(f"a text of {size:,} bytes is announced, more than {self._limits.text:,}")
            return Message(kind, _text(self._read(size)))
        if kind == READOUT:
            return self._readout()
        if kind == IMAGE:
            head = self._read(_HEADS[kind])
            channels, size, number = struct.unpack_from("<H", head, 34)[0], struct.unpack_from("<3H", head, 16), head[2]
            attributes, = struct.unpack("<Q", self._read(8))
            if not 1 <= number < len(_PIXEL) or head[3]:
                raise ValueError(f"an image of the data type {number + 256 * head[3]} came, which ISMRMRD has not")
            self._pass(attributes + channels * math.prod(size) * _PIXEL[number])
            return Message(kind, head=head)
        if kind == WAVEFORM:
            head = self._read(_HEADS[kind])
            self._pass(4 * math.prod(struct.unpack_from("<2H", head, 28)))  # samples and channels
            return Message(kind, head=head)
        raise ValueError(f"a message of the number {kind} came, which is none of ISMRMRD's")

    def _readout(self) -> Message:
        head = self._read(_HEADS[READOUT])
        samples, channels, dimensions = (struct.unpack_from("<H", head, at)[0] for at in (34, 38, 176))
        line, size = 4 * samples * dimensions, 8 * samples * channels
        self._spend(_BESIDE + line + size)
        trajectory = np.frombuffer(self._read(line), "<f4")
        return Message(READOUT, head=head, trajectory=trajectory, samples=np.frombuffer(self._read(size), "<f4"))

    def _spend(self, size: int) -> None:
        self._size += size
        if self._size > self._limits.size:
            raise ValueError(f"the readouts of this connection need more than {self._limits.size:,} bytes: raise the "
                             "limit if they are to be trusted")

    def _read(self, size: int) -> bytes:
        """So many bytes; memory is taken as they come, not as they are announced."""
        if size <= _PIECE:
            return self._piece(size)
        pieces = [self._piece(min(_PIECE, size - start)) for start in range(0, size, _PIECE)]
        return b"".join(pieces)

    def _pass(self, size: int) -> None:
        """Read over what nobody wants, as far as it could be kept."""
        if size > self._limits.size:
            raise ValueError(f"a message of {size:,} bytes is announced, more than {self._limits.size:,}")
        for start in range(0, size, _PIECE):
            self._piece(min(_PIECE, size - start))

    def _piece(self, size: int) -> bytes:
        found = bytearray(size)
        rest = memoryview(found)
        while len(rest):
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no whole message came within {self._limits.seconds:g} s, or not all within "
                                   f"{self._limits.total:g} s")
            self._sock.settimeout(left)
            try:
                n = self._sock.recv_into(rest)
            except TimeoutError:
                continue
            if not n:
                raise Ended("the connection ended without a close")
            rest = rest[n:]
        return bytes(found)


def _text(data: bytes) -> str:
    """Text up to its first 0; what is not UTF-8 is written out."""
    return data.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def text(words: str) -> bytes:
    """A text message; it ends with a 0, as those of other servers do."""
    data = words.encode("utf-8", "backslashreplace") + b"\0"
    return struct.pack("<HI", TEXT, len(data)) + data


def close() -> bytes:
    """The message after the last one."""
    return struct.pack("<H", CLOSE)


def image(head: bytes, attributes: str, pixels: np.ndarray) -> bytes:
    """The message of an image (z, y, x) whose head says its size."""
    data = attributes.encode("utf-8")
    return b"".join((struct.pack("<H", IMAGE), head, struct.pack("<Q", len(data)), data, pixels.tobytes()))
