"""exp(2 pi i f t) as a sum of few products of a function of t and one of f: time segments, by least squares."""

from __future__ import annotations

import numpy as np

from pisolve import _check, backend

_FLAT = 0.5  # of the weights go by the histogram, the rest is the same for every frequency there is
_MOST = 512  # segments
_TINY = 1e-15  # what a segment adds, beside the first, where it is rounding
_BLOCK = 4096  # times whose interpolators are computed at once
LONGEST = 2.0  # s that a readout takes at most; longer ones are in ms


class Segments:
    """exp(2 pi i f t) = sum_l b_l(t) exp(2 pi i f t_l), with the b_l(t) that fit best over the frequencies there are.

    The frequencies are those of a histogram, half of whose weight is the same for every bin that is not empty, so that
    few pixels far off are fitted, too. The t_l are chosen from a grid by a pivoted QR factorisation, the most telling
    ones first, until the largest error over times and frequencies is below the accuracy.

    Args:
        values: frequencies, Hz.
        first, last: the times between which it has to hold, s.
        accuracy: the largest error of a factor of modulus 1; None: `count` segments.
        count: how many segments.
        differences: of all f' - f instead of f: then the b_l are real.

    Attributes:
        times: (segment,) t_l in s.
        error: the largest |sum - exp| over a grid of times and the bins of the histogram, finer than either changes.
    """

    def __init__(self, values, first, last, *, accuracy=None, count=None, differences=False):
        self.real = differences
        self.points, weights = _histogram(np.ravel(values), last - first, differences)
        self.root = np.sqrt(weights)
        turns = (self.points.max() - self.points.min()) * (last - first)
        grid = np.linspace(first, last, int(min(64 + 8 * turns, 4096)) | 1) if last > first else np.array([first])
        waves = self._waves(grid)
        order, sizes = _pivots((waves * self.root).T)
        most = min(1 + int((sizes[1:] > _TINY * sizes[0]).sum()), _MOST)
        self.times = grid[order[:1]]
        count = most if count is None else min(count, most)
        start = count if accuracy is None else 1 + int((sizes[:count - 1] > accuracy * sizes[0]).sum() * 0.7)
        for n in range(start, count + 1):
            self.times = np.sort(grid[order[:n]])
            self._factorise()
            self.error = float(abs(self.interpolators(grid) @ self._waves(self.times) - waves).max())
            if accuracy is not None and self.error <= accuracy:
                break

    def __len__(self):
        return len(self.times)

    def _waves(self, times):
        return np.exp(2j * np.pi * np.multiply.outer(times, self.points))

    def _factorise(self):
        self._q, self._r = np.linalg.qr((self._waves(self.times) * self.root).T)

    def interpolators(self, times) -> np.ndarray:
        """b_l(t), (time, segment), float64 of differences and complex128 otherwise."""
        import scipy.linalg

        out = np.empty((len(times), len(self.times)), np.float64 if self.real else np.complex128)
        for k in range(0, len(times), _BLOCK):  # one after the other: R^-1 Q^H itself would lose the digits
            found = (self._waves(times[k:k + _BLOCK]) * self.root) @ self._q.conj()
            found = scipy.linalg.solve_triangular(self._r, found.T, check_finite=False).T
            out[k:k + _BLOCK] = found.real if self.real else found
        return out

    def factors(self, field) -> np.ndarray:
        """exp(2 pi i f t_l), (segment, *field.shape)."""
        return np.exp(2j * np.pi * np.multiply.outer(self.times, field))


def _histogram(values, span, differences):
    """(frequencies, their weights): the middles of bins that are not empty, and places up to their edges."""
    low, high = float(values.min()), float(values.max())
    bins = int(min(16 + 4 * (high - low) * span, 4096)) if high > low else 1
    step = (high - low) / max(bins - 1, 1)
    number = np.rint((values - low) / step).astype(int) if step else np.zeros(len(values), int)
    counts = np.bincount(number, minlength=bins) / len(values)
    middles, ends, reach = low + step * np.arange(bins), (low, high), 1
    if differences:
        there = np.correlate((counts > 0).astype(float), (counts > 0).astype(float), "full") > 0.5
        counts = np.where(there, np.maximum(np.correlate(counts, counts, "full"), 1e-12), 0)
        middles, ends, reach = step * np.arange(1 - bins, bins), (low - high, high - low), 2
    middles, counts = middles[counts > 0], counts[counts > 0]
    counts = _FLAT * counts / counts.sum() + (1 - _FLAT) / len(counts)
    if not step:
        return middles, counts
    places = np.arange(-reach, reach + 1) / 2  # a pixel lies in half a bin around the middle, a difference in a whole
    at = np.rint(2 * np.add.outer(middles / step, places) - 2 * ends[0] / step).astype(int)
    inside = (at >= 0) & (at <= round(2 * (ends[1] - ends[0]) / step))
    weights = np.bincount(at[inside], np.broadcast_to(counts[:, None], at.shape)[inside])
    kept = np.flatnonzero(weights)
    return ends[0] + kept * step / 2, weights[kept] / weights.sum()


def _pivots(matrix):
    """(columns, the most telling first; the size of what each adds to those before it)."""
    import scipy.linalg

    r, order = scipy.linalg.qr(matrix, mode="r", pivoting=True, check_finite=False)
    return order, abs(np.diag(r))


def checked_field(field, shape) -> np.ndarray:
    """A field map in Hz that broadcasts to images of this shape, as float64.

    Raises:
        TypeError, ValueError: no real numbers, not finite, of another shape.
    """
    field = _real("field_map", field, "the field in Hz, one number for each pixel")
    if field.ndim > len(shape) or any(n not in (1, m) for n, m in zip(field.shape[::-1], shape[::-1])):
        raise ValueError(f"field_map has shape {field.shape}, the image {tuple(shape)}: give it the shape of the "
                         "image, of its last axes, or 1 where it does not change")
    if not np.isfinite(field).all():
        count = int((~np.isfinite(field)).sum())
        raise ValueError(f"field_map holds NaN or infinite numbers at {count} pixels: set them to 0, or to the field "
                         "beside them, field_map[~np.isfinite(field_map)] = 0")
    return field


def checked_times(times, shape, increasing: bool = True) -> np.ndarray:
    """Sampling times in s that broadcast to samples of this shape (without coils), as float64.

    Args:
        times: of each sample, since the moment when all spins are in phase.
        shape: of the samples.
        increasing: whether they must increase along the last axis; else they may fall along a line, too.

    Raises:
        TypeError, ValueError: no real numbers, not finite, negative, out of order, in other units, of another shape.
    """
    times = _real("times", times, "seconds, one number for each sample")
    if times.ndim > len(shape) or any(n not in (1, m) for n, m in zip(times.shape[::-1], shape[::-1])):
        raise ValueError(f"times has shape {times.shape}, the samples {tuple(shape)}: give the time of each, of "
                         "the last axes, or 1 where it does not change")
    if not np.isfinite(times).all():
        raise ValueError("times holds NaN or infinite numbers: give the time of each sample in seconds")
    if (times < 0).any():
        raise ValueError(f"times goes down to {times.min():.4g} s: give seconds since the excitation. Those since an "
                         "echo may be moved, times - times.min(), which turns the phase of the image only")
    if times.shape and times.shape[-1] > 1:
        steps = np.diff(times, axis=-1)
        rising, falling = (steps > 0).all(-1), (steps < 0).all(-1)
        if not (rising if increasing else rising | falling).all():
            what = "do not increase" if increasing else "neither rise nor fall"
            raise ValueError(f"times {what} along the last axis, of {times.shape[-1]} samples: each sample of a "
                             "readout is measured after the one before it, times[i] = start + i * dwell")
    if times.max() - times.min() > LONGEST:
        factor, unit = (1e-6, "microseconds") if times.max() - times.min() > 1e3 * LONGEST else (1e-3, "milliseconds")
        raise ValueError(f"times spans {times.max() - times.min():.4g} s, longer than any readout: this looks like "
                         f"{unit}. Multiply it by {factor:g}, and for shots give times since their own excitation")
    return times


def _real(name, x, what):
    if not _check.is_array(x):
        raise TypeError(f"{name} must be an array of {what}, got {type(x).__name__}")
    x = backend.to_numpy(x)
    if x.dtype.kind not in "iuf" or not x.size:
        raise TypeError(f"{name} has dtype {x.dtype} and shape {x.shape}: give {what}")
    return x.astype(np.float64)
