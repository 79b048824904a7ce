"""Where the samples of single readouts go, and what of the grid they fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pisolve._words import COUNTERS as COUNTERS
from pisolve.backend import fft
from pisolve.io.limits import spend

IMAGE, CALIB, BOTH, NOISE, SKIP = range(5)
# the counters that become axes, in their order; of encodings one makes a scan
AXES = {"slice": "slice", "phase": "frame", "contrast": "echo", "repetition": "repetition", "set": "set",
        "average": "average"}  # in order; averages only where they are to be kept
STEPS = ("kspace_encoding_step_1", "kspace_encoding_step_2")
BLOCK = 1 << 24  # bytes that are read at once


@dataclass(frozen=True)
class Matrix:
    """An encoding: where its readouts go.

    Args:
        size: (x, y, z), x with the readout's oversampling.
        out: what is left of x without it.
        centre: counters of the line and of the partition at the centre of k-space.
        limits: ((first, last) line, (first, last) partition); a counter outside is an error.
        fov: (x, y, z) mm of `size`, or None; z is not looked at in 2-D.
        thickness: mm of a slice of a 2-D encoding, which may be thinner than what is encoded; None where not known.
    """

    size: tuple[int, int, int]
    out: int
    centre: tuple[int, int]
    limits: tuple[tuple[int, int], tuple[int, int]]
    fov: tuple[float, float, float] | None = None
    thickness: float | None = None

    @property
    def flat(self) -> bool:
        """Whether this is a 2-D encoding."""
        return self.size[2] == 1

    def fits(self, other: Matrix) -> bool:
        """Whether the steps in k-space are those of another encoding, as far as both are known."""
        if self.fov is None or other.fov is None:
            return self.size == other.size
        steps = [(m.fov[0] * m.out / m.size[0], *m.fov[1 : 2 if m.flat else 3]) for m in (self, other)]
        return bool(np.allclose(*steps, rtol=1e-3))

    def voxel(self) -> list[float] | None:
        """mm along (slice, y, x) of the images made of it, in 3-D along (z, y, x); None where they are not known."""
        if self.fov is None or (self.flat and self.thickness is None):
            return None
        x, y, z = (f / n for f, n in zip(self.fov, self.size))
        return [self.thickness if self.flat else z, y, x]


@dataclass(frozen=True)
class Readouts:
    """All readouts of a measurement: arrays with one entry each, and how their samples are read.

    Args:
        role: IMAGE, CALIB (for calibration only), BOTH, NOISE or SKIP.
        counters: by name `slice`, those of `STEPS` and of `COUNTERS`.
        samples, coils: size of each.
        centre: index of the sample at the centre of k-space, among all samples of the readout.
        pre, post: samples to be thrown away at its beginning and end.
        reverse: whether it was sampled from positive to negative kx.
        dwell: time of a sample, us; 0 where it is not known.
        read: index array -> list of (coil, samples) complex64.
        matrices: one `Matrix` an encoding, or in its place the error that is raised where it is needed.
    """

    role: np.ndarray
    counters: dict[str, np.ndarray]
    samples: np.ndarray
    coils: np.ndarray
    centre: np.ndarray
    pre: np.ndarray
    post: np.ndarray
    reverse: np.ndarray
    dwell: np.ndarray
    read: Callable[[np.ndarray], list[np.ndarray]]
    matrices: list[Matrix | ValueError]

    def matrix(self, encoding: int) -> Matrix:
        """The matrix of an encoding.

        Raises:
            ValueError: the header has no such encoding, or gives it no size.
        """
        if encoding >= len(self.matrices):
            raise ValueError(f"readouts refer to encoding {encoding}, but the header has {len(self.matrices)}")
        if isinstance(self.matrices[encoding], ValueError):
            raise self.matrices[encoding]
        return self.matrices[encoding]

    def blocks(self, index):
        """(positions in the sorted `index`, their samples) in pieces of about `BLOCK` bytes."""
        cost = np.cumsum(8 * self.samples[index].astype(np.int64) * self.coils[index])
        for at in np.split(np.arange(len(index)), np.flatnonzero(np.diff(cost // BLOCK)) + 1) if len(index) else []:
            yield at, self.read(index[at])


def fill(r: Readouts, index, m: Matrix, lead: dict, max_bytes: int):
    """K-space of some readouts, averaged.

    Args:
        lead: {counter: its values, sorted} of the axes in front, in their order.

    Returns:
        (k-space (*lead, coil, kz, ky, kx), of a 2-D encoding without kz; which samples were measured, the same without
        coils; the number of readouts of each measured line).

    Raises:
        ValueError: readouts that do not fit into the matrix or not together, more than `max_bytes`.
    """
    coils = np.unique(r.coils[index])
    if len(coils) > 1 or not coils[0]:
        raise ValueError(f"the number of channels changes between readouts: {coils.tolist()}")
    (x, y, z), parts = m.size, tuple(len(values) for values in lead.values())
    shape, lines = (*parts, int(coils[0]), z, y, m.out), (*parts, z, y)
    size = 8 * int(np.prod(shape, dtype=object))
    spend("the header", f"k-space of shape {shape}", size, max_bytes)
    (kz, ky), (first, last) = _rows(r, index, m), columns(r, index, m)
    place = [np.searchsorted(values, r.counters[name][index]) for name, values in lead.items()] + [kz, ky]
    measured, one, which, repeats = np.unique(np.ravel_multi_index(place, lines), return_index=True,
                                              return_inverse=True, return_counts=True)
    other = (first != first[one][which]) | (last != last[one][which])
    if other.any():
        raise ValueError(f"line {ky[other][0]} was read out over different parts of kx: these cannot be averaged")
    grid, places = np.zeros(shape, np.complex64), np.stack(place, 1)
    for at, data in r.blocks(index):
        for k, line in zip(at, _transformed(r, index[at], data, m, first[at], last[at])):
            *part, z_, y_ = places[k].tolist()
            grid[(*part, slice(None), z_, y_)] += line
    if repeats.max() > 1:
        count = np.ones(int(np.prod(lines)), np.float32)
        count[measured] = repeats
        grid /= count.reshape(*parts, 1, z, y, 1)
    # a sample of the cut readout counts as measured where its place on the fine one was
    fine = x // 2 + (np.arange(m.out) - m.out // 2) * (x / m.out)
    a, b = first[one, None], last[one, None]
    inside = (fine >= a) & (fine <= b - 1) | ((a == 0) & (b == x))
    mask = np.zeros((int(np.prod(lines)), m.out), bool)
    mask[measured] = inside
    mask = mask.reshape(*lines, m.out)
    if not inside.all():
        grid *= mask[(slice(None),) * len(parts) + (None,)]
    if m.flat:
        return grid[..., 0, :, :], mask[..., 0, :, :], repeats
    return grid, mask, repeats


def _rows(r: Readouts, index, m: Matrix):
    """(z, y) of each readout; counters outside the limits or the matrix are an error."""
    found = []
    for step, (first, last), centre, n in zip(STEPS, m.limits, m.centre, m.size[1:]):
        counter = r.counters[step][index].astype(np.int64)
        row = n // 2 - centre + counter
        wrong = (counter < first) | (counter > last) | (row < 0) | (row >= n)
        if wrong.any():
            raise ValueError(f"a readout has {step} {counter[wrong][0]}, outside the limits {first}..{last} with the "
                             f"centre {centre} of {n} that the header gives")
        found.append(row)
    return found[1], found[0]


def columns(r: Readouts, index, m: Matrix):
    """(first, one past the last) column of the matrix that each readout fills.

    The sample `centre` goes to x // 2. A reversed readout ends where a forward one begins; one of full length is
    flipped and not moved, whichever of its two middle samples the header calls the centre: scanners sample both ways
    symmetrically about the middle, and moving it by one would set them a sample apart.
    """
    n, x = r.samples[index].astype(np.int64), m.size[0]
    keep = n - r.pre[index] - r.post[index]
    centre = r.centre[index].astype(np.int64)
    middle = np.where(r.reverse[index], n - 1 - centre - r.post[index], centre - r.pre[index])
    if (keep < 1).any() or (keep > x).any():
        raise ValueError(f"a readout has {n[(keep < 1) | (keep > x)][0]} samples of which {keep.min()} to {keep.max()} "
                         f"are left, the encoding {x}: the header belongs to other data")
    start = x // 2 - middle
    whole = (keep == x) & ((abs(start) <= 1) | (centre == 0))  # 0: never filled in
    start = np.where(whole, 0, start)
    if (start < 0).any() or (start + keep > x).any():
        wrong = np.flatnonzero((start < 0) | (start + keep > x))[0]
        raise ValueError(f"a readout of {n[wrong]} samples has center_sample {centre[wrong]}: it does not fit around "
                         f"the centre of an encoding of {x}")
    return start, start + keep


def _transformed(r: Readouts, index, data, m: Matrix, first, last):
    """(readout, coil, x) of a block: placed, flipped, and without oversampling."""
    x, out = m.size[0], m.out
    block = np.zeros((len(index), len(data[0]), x), np.complex64)
    for row, samples, i, a, b in zip(block, data, index, first, last):
        samples = samples[:, r.pre[i] : samples.shape[1] - r.post[i]]
        row[:, a:b] = samples[:, ::-1] if r.reverse[i] else samples
    if out == x:
        return block
    return fft(fft(block, (-1,), inverse=True)[..., x // 2 - out // 2 : x // 2 - out // 2 + out], (-1,))
