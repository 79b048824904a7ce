"""What the checks for data crimes share: up to eight slices of a scan, their images, and the air around the object."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pisolve import _axes, io, masks
from pisolve.backend import fft
from pisolve.scan import estimate

SLICES = 8  # evenly spaced ones are looked at
BLOCK = 8  # pixels: the air is judged in squares of this side


@dataclass(frozen=True)
class Measured:
    """What a check found: the number that is held against its limit, and the evidence in words."""

    value: float
    evidence: str


@dataclass(frozen=True)
class View:
    """A scan as the checks see it.

    Args:
        whole: the scan.
        phase_axes: 2 where (ky, kx) are two phase-encoding axes, as in the slices of a 3-D scan.
        fired: names of the checks that found something already, in their order.
    """

    whole: io.Scan
    phase_axes: int = 1
    fired: list[str] = field(default_factory=list)

    @cached_property
    def scan(self) -> io.Scan | None:
        """The slices that are looked at; of a series frames, of a 3-D scan planes along its readout, as slices.

        None for a 3-D scan that was undersampled along all its axes, which has no planes.
        """
        whole, volume = self.whole, len(self.whole.encoding.encoded) > 2
        if whole.further or volume:
            return None if volume and not whole.separable else _as_slices(whole)
        count = len(whole.labels())
        if count <= SLICES:
            return whole
        return whole.select(_spread(count))

    @property
    def two_phases(self) -> bool:
        """Whether both axes of a plane are phase encodings."""
        return self.phase_axes == 2 or len(self.whole.encoding.encoded) > 2

    @cached_property
    def kspace(self) -> np.ndarray:
        """(slice, coil, ky, kx) with a largest magnitude of 1, so that no square over- or underflows."""
        kspace = self.scan.kspace.reshape((-1,) + self.scan.kspace.shape[-3:])
        return kspace / abs(kspace).max()

    @cached_property
    def sampled(self) -> np.ndarray:
        """Bool (ky, kx): the mask, or without one where k-space is not zero; in any slice or frame."""
        return self.scan.encoding.anywhere if self.scan.mask is not None else masks.estimate(self.kspace)

    @property
    def fraction(self) -> float:
        """The share of k-space that was sampled."""
        return self.scan.encoding.fraction if self.scan.mask is not None else float(self.sampled.mean())

    @cached_property
    def full(self) -> bool:
        """Whether k-space is fully sampled, as far as it reaches: zeros around it, but no holes in it."""
        if self.scan.mask is not None:
            return bool(self.scan.mask.all())
        rows, columns = (np.flatnonzero(self.sampled.any(axis)) for axis in (1, 0))
        inside = self.sampled[rows[0]: rows[-1] + 1, columns[0]: columns[-1] + 1]
        return bool(inside.mean() > 0.99)

    @cached_property
    def images(self) -> np.ndarray:
        """The coils' images (slice, coil, y, x)."""
        return fft(self.kspace, (-2, -1), inverse=True)

    @cached_property
    def rss(self) -> np.ndarray:
        """Root of the sum of squares over coils (slice, y, x), in double precision."""
        return np.linalg.norm(self.images, axis=1).astype(np.float64)

    @cached_property
    def air(self) -> np.ndarray:
        """Bool (slice, y, x): the quieter half of what lies apart from the object, where ghosts are weakest.

        The object is where the mean over 5x5 pixels is above 4 % of its 99th percentile and above 1.3 times its 10th,
        four pixels wider. Of the squares of 8x8 pixels outside those with a power up to the median are kept.
        """
        return np.stack([_quiet(image) for image in self.rss])

    @cached_property
    def enough_air(self) -> bool:
        """Whether there is enough air to measure noise in: 1 % of the pixels, and 200 of them."""
        return self.full and self.air.sum() >= 200 and self.air.mean() >= 0.01


def _spread(count: int) -> list[int]:
    return [round(i) for i in np.linspace(0, count - 1, min(count, SLICES))]


def _as_slices(whole) -> io.Scan:
    """Frames, or planes along the readout, of a scan as slices, evenly spaced ones."""
    if whole.mask is None and whole.further:  # frames may have been sampled apart
        mask = estimate(whole.kspace, whole.axes)
        whole = whole._with(mask=None if mask.ndim == len(whole.encoding.encoded) else mask)
    each = ("slice", *whole.further)
    if len(whole.encoding.encoded) > 2:
        along = _axes.SPATIAL[whole.readout]
        each += (along if along in whole.separable else whole.separable[-1],)
    known = whole.reference is not None and (whole.reference.shape == whole.image_shape
                                             or len(whole.encoding.encoded) == 2)
    parts = whole._with(reference=whole.reference if known else None, mps=None, calib=None).parts(each)
    parts = [parts[k] for k in _spread(len(parts))]
    stacked = {name: None if getattr(parts[0], name) is None else np.stack([getattr(p, name) for p in parts])
               for name in ("kspace", "mask", "reference")}
    return parts[0]._with(axes=("slice", *parts[0].axes), **stacked)


def _quiet(image) -> np.ndarray:
    from scipy import ndimage

    smooth = ndimage.uniform_filter(image, 5)
    limit = max(0.04 * np.percentile(smooth, 99), 1.3 * np.percentile(smooth, 10))
    outside = ~ndimage.binary_dilation(smooth > limit, iterations=4)
    if not outside.any():
        return outside
    y, x = (np.arange(n) // BLOCK for n in image.shape)
    label = y[:, None] * (x[-1] + 1) + x
    count = np.bincount(label[outside], minlength=label.max() + 1)
    power = np.bincount(label[outside], image[outside] ** 2, minlength=len(count)) / np.maximum(count, 1)
    return outside & (power <= np.median(power[count > 0]))[label]


def distance(n: int) -> np.ndarray:
    """How far each index of an axis is from its centre n // 2: 0 there, 1 at the edge of k-space."""
    return abs(np.arange(n) - n // 2) / (n / 2)


def periodic(power) -> tuple[float, float, int]:
    """How much lines of k-space repeat a pattern: the largest contrast over periods of 2, 3 and 4 lines.

    The logarithm of the lines' power, less its mean over 12 lines (in which all three periods go up), is averaged over
    each class of lines l mod R; the contrast is the quotient of the loudest and the quietest class, z their difference
    in units of its standard error under equal classes. The 30 % of the lines about the centre and the outer 5 % do
    not count.

    Args:
        power: (line,), positive where it counts.

    Returns:
        z, contrast, R: of the period with the largest z.
    """
    from scipy import ndimage

    power = np.maximum(power, 0.1 * ndimage.median_filter(power, 9))  # a single empty line is no pattern
    level = np.log(np.maximum(power, np.finfo(float).tiny))
    level = level - ndimage.convolve1d(level, np.array([0.5, *11 * [1], 0.5]) / 12, mode="nearest")
    far = distance(len(power))
    index = np.flatnonzero((far > 0.3) & (far < 0.95))
    level = level[index]
    best = (0.0, 1.0, 2)
    for period in (2, 3, 4):
        groups = [level[index % period == r] for r in range(period)]
        if min(map(len, groups)) < 4:
            continue
        means = [g.mean() for g in groups]
        scatter = np.concatenate([abs(g - m) for g, m in zip(groups, means)])
        error = 1.48 * np.median(scatter) * np.sqrt(2 * period / len(level)) + 1e-12
        best = max(best, ((max(means) - min(means)) / error, float(np.exp(max(means) - min(means))), period))
    return best
