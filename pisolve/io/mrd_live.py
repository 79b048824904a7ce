"""A measurement that is still going on: readouts as they come from a scanner, and the scan that some of them make."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve.io import mrd
from pisolve.io.door import reading
from pisolve.io.grid import AXES, BOTH, IMAGE, NOISE
from pisolve.io.header import Header
from pisolve.io.limits import limit
from pisolve.io.mrd_wire import Message
from pisolve.scan import Scan

LAST = 8  # ISMRMRD's flag of a slice's last readout
NAME = "the measurement"  # in messages


class Live:
    """The readouts of one measurement, and the parts that they are: a key has the counters of `axes`, in their order.

    Args:
        xml: ISMRMRD's header.
        axes: those along which problems are independent, such as ("slice",), as `Recipe.each` has them.

    Raises:
        ValueError: a header that cannot be read.
    """

    def __init__(self, xml: str, axes: tuple[str, ...] = ("slice",)):
        with reading(NAME):
            self.header = Header(xml, "the ISMRMRD header")
            counts = {c: self.header.number(f"encoding/encodingLimits/{c}/maximum") for c in AXES}
            size = self.header.number("encoding/encodedSpace/matrixSize/z")
        self._kind = _check.extra("ismrmrd", "mrd").hdf5.acquisition_header_dtype
        self._volume = isinstance(size, int) and size > 1
        self._by = [c for c, axis in AXES.items() if axis in axes and c != "average"]
        self._last = {c: n for c, n in counts.items() if c not in self._by and isinstance(n, int) and n > 0}
        self._heads, self._samples, self._lines = [], [], []

    def __len__(self):
        return len(self._heads)

    @property
    def heads(self) -> np.ndarray:
        """The heads of all readouts so far."""
        return np.frombuffer(b"".join(self._heads), self._kind)

    def add(self, message: Message) -> tuple[tuple | None, bool]:
        """Take a readout; (the key of the part it belongs to, whether it is the last of it).

        A part is whole with the readout that ISMRMRD flags as the last of its slice, of the last repetition, contrast,
        ... that the header announces, as far as these are no parts of their own; a volume when the measurement ends.
        The key is None where it is no imaging readout.
        """
        head = np.frombuffer(message.head, self._kind)
        self._heads.append(message.head)
        self._samples.append(message.samples)
        self._lines.append(message.trajectory)
        if mrd.roles(head)[0] not in (IMAGE, BOTH):
            return None, False
        index = head[0]["idx"]
        last = int(head[0]["flags"]) >> (LAST - 1) & 1 and all(index[c] >= n for c, n in self._last.items())
        return tuple(int(index[c]) for c in self._by), bool(last) and not self._volume

    def of(self, key: tuple | None = None) -> np.ndarray:
        """The numbers of the readouts of a part, with noise and what else was measured of its slice; None: all."""
        heads = self.heads
        if key is None:
            return np.arange(len(heads))
        role = mrd.roles(heads)
        own = {c: heads["idx"][c] == value for c, value in zip(self._by, key)}
        beside = (role != IMAGE) & own.get("slice", np.True_)
        return np.flatnonzero((role == NOISE) | beside | np.logical_and.reduce([*own.values(), role >= 0]))

    def counters(self, key: tuple | None) -> dict[str, int]:
        """The counters of a part by name."""
        return {} if key is None else dict(zip(self._by, key))

    def label(self, key: tuple | None) -> str:
        """What a part is called in messages: "slice 3"."""
        return ", ".join(f"{c} {n}" for c, n in self.counters(key).items()) or NAME

    def scan(self, index, max_bytes: int | None = None) -> Scan:
        """The scan that some readouts make, as `load` has it of a file.

        Raises:
            ValueError: as `load`.
        """
        with reading(NAME):
            heads = self.heads[index]
            data = _Readouts(heads, [self._lines[i] for i in index], [self._samples[i] for i in index])
            return mrd.scan_of(NAME, data, heads, self.header, {}, limit(max_bytes))

    def head(self, **counters: int):
        """The head of the first imaging readout with these counters, as far as there is one."""
        heads = self.heads
        fits = np.isin(mrd.roles(heads), (IMAGE, BOTH))
        for name, value in counters.items():
            alike = fits & (heads["idx"][name] == value)
            fits = alike if alike.any() else fits
        return heads[np.flatnonzero(fits)[0] if fits.any() else 0]


class _Readouts:
    """Readouts in memory with what `scan_of` asks of a dataset."""

    def __init__(self, heads, lines, samples):
        self.dtype = np.dtype([("head", heads.dtype), ("traj", object), ("data", object)])
        self._fields = {"head": heads, "traj": _objects(lines), "data": _objects(samples)}

    def fields(self, name: str):
        """The column of this name."""
        return self._fields[name]


def _objects(arrays) -> np.ndarray:
    found = np.empty(len(arrays), object)
    for i, array in enumerate(arrays):
        found[i] = array
    return found
