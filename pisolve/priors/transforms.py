"""Sparsity in an orthonormal transform, whose prox is exact: wavelets, cosines, the Fourier transform in time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pisolve import _axes, backend
from pisolve._check import integer
from pisolve.linops import apply, dct, fft, wavelet
from pisolve.priors._names import ByName
from pisolve.priors.base import Prior
from pisolve.priors.sparse import L1, as_call, axis_tuple, one_axis


class Spinning(Prior):
    """A prior of blocks or of a decimated transform, which may act on a randomly shifted image in every iteration.

    Attributes:
        shifts: number of seeded random offsets of the spatial axes (periodic); iteration k of a solver takes the
            (k mod shifts)-th. 0: none.
        seed: of the offsets.
    """

    shifts = seed = 0

    def at(self, k: int) -> Prior:
        """The prior as it acts in iteration k: with its own shift when cycle spinning is on."""
        if not self.shifts:
            return self
        count = 2 if self.names is None else len(_axes.spatial(self.names))
        offset = np.random.default_rng([self.seed, k % self.shifts]).integers(0, 1 << 12, count)
        return _Shifted(self, tuple(int(n) for n in offset))


class _Shifted(Prior):
    """A prior of the image rolled by an offset of its spatial axes, the last ones."""

    def __init__(self, prior, offset):
        self.prior, self.offset = prior, offset
        self.convex, self.homogeneous = prior.convex, prior.homogeneous

    def _roll(self, x, sign):
        xp = backend.namespace(x)
        axes = tuple(range(-len(self.offset), 0))
        return xp.roll(x, tuple(sign * n % x.shape[a] for n, a in zip(self.offset, axes)), axes)

    def value(self, x):
        return self.prior.value(self._roll(x, 1))

    def prox(self, x, step):
        return self._roll(self.prior.prox(self._roll(x, 1), step), -1)

    def dual_norm(self, x):
        return self.prior.dual_norm(self._roll(x, 1))


class _SparseTransform(ByName, Spinning):
    """||W x||_1 with an orthonormal W, made by `W(shape)`: exact prox W^H shrink(W x)."""

    homogeneous = True
    f = L1()
    __repr__ = as_call

    def W(self, shape):
        """The transform for an image of this shape."""
        raise NotImplementedError

    def value(self, x):
        return self.f.value(apply(self.W(x.shape), x))

    def prox(self, x, step):
        W = self.W(x.shape)
        return apply(W.H, self.f.prox(apply(W, x), step))

    def dual_norm(self, x):
        return self.f.dual_norm(apply(self.W(x.shape), x))

    def split(self, shape):
        self.W(shape)  # axes that do not fit the image are refused here
        return self, None


class Wavelet(_SparseTransform):
    """g(x) = ||W x||_1, W an orthonormal wavelet transform of the spatial axes, two or three; prox W^H shrink(W x).

    Use:
        first: robust, fast, no training. `shifts=16`, the default of `pi.recon`, gives better images, settles near a
        minimiser and need not reach the tolerance; `shifts=0` is the exact minimiser.

    Args:
        name: an orthogonal wavelet of PyWavelets.
        levels: number of levels, None for as many as make sense (at most 5).
        shifts: cycle spinning: iteration k of a solver takes W on an image shifted by the (k mod shifts)-th of this
            many seeded random offsets, which removes the blocks of a decimated transform. 0: none, the exact minimiser.
        seed: of the offsets.
        axes: the axes transformed, names or numbers; None: the spatial ones.

    Raises:
        ValueError: unknown wavelet, or one that is not orthogonal; axes that the unknown has not.

    Reference:
        Lustig et al., Magn Reson Med 58 (2007) 1182; Coifman and Donoho (1995) for cycle spinning.

    Example:
        pi.recon(scan, 2e-3 * pi.Wavelet(shifts=16))
    """

    def __init__(self, name: str = "db4", levels: int | None = None, *, shifts: int = 0, seed: int = 0, axes=None):
        self.name, self.levels = name, integer("levels", levels, low=0, allow_none=True)
        self.shifts, self.seed = integer("shifts", shifts, low=0), integer("seed", seed, low=0)
        self.axes = axis_tuple("axes", axes)
        wavelet((8, 8), name, 1)  # an unknown name is refused here, not in the middle of a run

    def W(self, shape):
        return _wavelet(tuple(shape), self.name, self.levels, axes=self.places("axes", self.axes, len(shape)))

    def __repr__(self):
        return f"Wavelet({self.name!r}{f', shifts={self.shifts}' if self.shifts else ''})"


class DCT(_SparseTransform):
    """g(x) = ||C x||_1, C the orthonormal cosine transform (DCT-II) over `axes`; exact prox C^H shrink(C x).

    Use:
        for smooth images and, along the frames (`axes=("frame",)`), smooth time courses. Edges ring.

    Args:
        axes: the axes transformed, names or numbers; None: the spatial ones.

    Raises:
        TypeError, ValueError: axes that are no tuple of distinct whole numbers.

    Reference:
        Ahmed, Natarajan and Rao, IEEE Trans Comput C-23 (1974) 90.

    Example:
        pi.recon(scan, 2e-3 * pi.DCT())
    """

    def __init__(self, axes=None):
        self.axes = axis_tuple("axes", axes)

    def W(self, shape):
        return _dct(tuple(shape), self.places("axes", self.axes, len(shape)))


class TemporalFFT(_SparseTransform):
    """g(x) = ||F_t x||_1, F_t the orthonormal Fourier transform along the frames of a series: x-f sparsity.

    What moves periodically, such as the heart, has few temporal frequencies; what rests has one.

    Use:
        for periodic motion over whole periods, such as gated cine.

    Args:
        axis: the axis of the frames, a name or a number.

    Raises:
        TypeError, ValueError: no axis, or one that the unknown has not.

    Reference:
        Jung et al., "k-t FOCUSS", Magn Reson Med 61 (2009) 103; Feng et al., Magn Reson Med 70 (2013) 64.

    Example:
        pi.solve(A, y, 0.03 * pi.TemporalFFT(), max_iter=30)
    """

    def __init__(self, axis: str | int = "frame"):
        self.axis = one_axis("axis", axis)

    def W(self, shape):
        return _fft(tuple(shape), self.places("axis", self.axis, len(shape)))


# Operators are made once for each shape.
_wavelet, _dct, _fft = lru_cache(32)(wavelet), lru_cache(32)(dct), lru_cache(32)(fft)
