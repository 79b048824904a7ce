"""One look at k-space that all checks share: magnitudes, energies, the outer level, and small images of its centre."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pisolve import _axes
from pisolve.backend import one_blas_thread, parallel, shares, threads, to_numpy

WIDTH, LEAST = 24, 8  # samples of the centre along an axis, at most and at least
POINTS = {2: 48, 3: 24}  # pixels of the small images along an axis, by the number of axes
_OUTER, _MEDIAN = 0.1, np.sqrt(2 * np.log(2))  # share of the samples far out; of |n| where parts have a deviation of 1


class Look:
    """What checks ask of a scan's k-space, each computed once.

    Attributes:
        magnitude: (part, coil, encoded axes) |y| over its peak; a part is a slice, frame, ...
        peak: of |y|.
        inner: the number of encoded axes.
    """

    def __init__(self, scan):
        self.scan, self.inner, self._profiles = scan, len(scan.encoding.encoded), {}
        kspace = to_numpy(scan.kspace)
        kspace = kspace.reshape((-1,) + kspace.shape[-1 - self.inner:])
        self.magnitude = np.empty(kspace.shape, kspace.real.dtype)
        self.peak = float(max(self.by_parts(lambda c: np.abs(kspace[c], out=self.magnitude[c]).max())))
        self.magnitude /= self.peak  # squares then neither over- nor underflow

    @cached_property
    def measured(self) -> np.ndarray:
        """(part, encoded axes) bool: not zero in some coil."""
        return np.concatenate(self.by_parts(lambda c: self.magnitude[c].any(axis=1)))

    @cached_property
    def coils(self) -> np.ndarray:
        """(coil,) root of the energy of each coil."""
        flat = self.magnitude.reshape(*self.magnitude.shape[:2], -1)
        return np.sqrt(np.einsum("pcn,pcn->pc", flat, flat).sum(axis=0, dtype=np.float64))

    @cached_property
    def power(self) -> np.ndarray:
        """(part, encoded axes) sum of |y|^2 over the coils."""
        flat = self.magnitude.reshape(*self.magnitude.shape[:2], -1)
        power = self.by_parts(lambda c: np.einsum("pcn,pcn->pn", flat[c], flat[c]))
        return np.concatenate(power).reshape(len(flat), *self.magnitude.shape[2:])

    def by_parts(self, work) -> list:
        """`[work(slice of the parts), ...]` on the library's threads."""
        return parallel(lambda c: work(slice(*c)), shares(len(self.magnitude), min(len(self.magnitude), threads())))

    def profile(self, axis: int) -> tuple[np.ndarray, float]:
        """(mean energy of a sample along an encoded axis, -1 the last, above its floor; this floor, of noise)."""
        if axis in self._profiles:
            return self._profiles[axis]
        others = tuple(a for a in range(self.power.ndim) if a != axis % self.power.ndim)
        count = self.measured.sum(axis=others)
        mean = self.power.sum(axis=others, dtype=np.float64) / np.maximum(count, 1)
        floor = np.sort(mean[count > 0])[: max(len(mean) // 10, 1)].mean() if (count > 0).sum() > 10 else 0.0
        self._profiles[axis] = np.maximum(mean - floor, 0) * (count > 0), float(floor)
        return self._profiles[axis]

    @cached_property
    def level(self) -> float:
        """sigma of the outermost tenth of what was measured, of the real part of a coil's sample, in units of `peak`.

        The mean over coils of (median |y| / 1.1774)^2, as `tuning.noise_level`; noise, and what signal there is out
        there, which makes it too large.
        """
        far = self.scan.encoding.far()
        there = self.measured.any(axis=0)
        reach = far[there]
        count = max(int(_OUTER * reach.size), min(50, reach.size))
        outer = there & (far >= np.partition(reach, reach.size - count)[reach.size - count])
        found = self.magnitude[:, :, outer]
        rows = [f[:, (f != 0).any(axis=0)] for f in found]
        return float(np.sqrt(np.mean([np.square(np.median(r, axis=1) / _MEDIAN).mean() for r in rows if r.size])))

    @property
    def noise(self) -> float:
        """The same in the units of k-space."""
        return self.level * self.peak

    @cached_property
    def small(self):
        """`Small` images of the part with the most energy, or of the mean over frames; None without a full centre."""
        return small(self.scan)


class Small:
    """Images of the centre of k-space at some of the pixels of the full image.

    c_i(r) = sum_k w_k y_i(k) exp(2 pi i k r),    |k| <= 12,    at every n-th pixel r of each axis

    Attributes:
        images: (coil, pixels along each axis) complex64.
        pixels: their indices along each axis.
        spread: sum_k w_k^2: the variance of the noise in a pixel over that of a sample.
        peak: what k-space was divided by.
        width: of the centre, along each axis.
        number: of the slice, None where there are none.
    """

    def __init__(self, images, size, peak, number=None):
        self.number, self.peak, self.pixels, spread = number, peak, [], 1.0
        self.width = width = images.shape[1:]
        for axis, (n, w) in enumerate(zip(size, width), start=1):
            k = np.arange(w) - w // 2
            pixels = np.arange(0, n, max(1, n // POINTS[len(size)]))
            window = np.cos(np.pi * k / (w + 2)) ** 2
            kernel = (np.exp(2j * np.pi * np.outer(pixels - n // 2, k) / n) * window).astype(np.complex64)
            with one_blas_thread():
                images = np.moveaxis(np.tensordot(kernel, images, (1, axis)), 0, axis)
            self.pixels.append(pixels)
            spread *= float((window**2).sum())
        self.images, self.spread = images, spread

    def of(self, maps) -> np.ndarray:
        """Maps (..., encoded axes), or another full image, at these pixels."""
        return maps[(..., *np.ix_(*self.pixels))]


def small(scan) -> Small | None:
    """`Small` images of a scan: of the slice with the most energy in its centre, of the mean over frames and the like.

    None where the centre is not sampled, or is smaller than 8 samples along some axis.
    """
    inner = len(scan.encoding.encoded)
    size = scan.kspace.shape[-inner:]
    most = [min(n, WIDTH) for n in size]
    kspace = to_numpy(scan.kspace[(..., *_middle(size, most))])
    peak = abs(kspace).max()
    if not peak:
        return None
    kspace = kspace.astype(np.complex128) / peak
    axes = [a for a in scan.axes if a in _axes.further(scan.axes)]
    number = None
    if _axes.SLICE in axes:
        number = int(np.argmax([np.linalg.norm(k) for k in kspace]))
        kspace, axes = kspace[number], axes[1:]
    over = tuple(range(len(axes)))
    count = (kspace != 0).any(axis=-1 - inner, keepdims=True).sum(axis=over)
    kspace = kspace.sum(axis=over) / np.maximum(count, 1)
    width = _full(count[0] > 0)
    if min(width) < min(LEAST, *size):
        return None
    kspace = kspace[(slice(None), *_middle(most, width))]
    return Small(kspace.astype(np.complex64), size, float(peak), number)


def _middle(size, width):
    """The slices of the block of `width` around the centre."""
    return tuple(slice(n // 2 - w // 2, n // 2 - w // 2 + w) for n, w in zip(size, width))


def _full(there) -> tuple[int, ...]:
    """The size of the largest block around the centre in which all is sampled: the longest shortest side first."""
    order = [np.argsort(np.where(d < 0, -2 * d - 1, 2 * d)) for d in (np.arange(n) - n // 2 for n in there.shape)]
    full = there[np.ix_(*order)]  # the order in which a growing block takes in its samples: c, c-1, c+1, c-2, ...
    for axis in range(full.ndim):
        full = np.logical_and.accumulate(full, axis)
    sizes = np.argwhere(full) + 1
    if not len(sizes):
        return (0,) * there.ndim
    return tuple(int(n) for n in sizes[np.lexsort((sizes.prod(axis=1), sizes.min(axis=1)))[-1]])
