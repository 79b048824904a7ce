"""Sparsity in an orthonormal transform, whose prox is exact: wavelets, cosines, the Fourier transform in time."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from typing import Any

import numpy as np

from pisolve import _axes, backend
from pisolve._check import integer, number
from pisolve._check import levels as check_levels
from pisolve._types import ArrayLike, Axes
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

    f: Any
    weights: Any

    homogeneous = True
    __repr__ = as_call

    def __init__(self, weights: Any = None) -> None:
        self.f: Any = L1(weights=weights)
        self.weights: Any = self.f.weights

    def W(self, shape: Any) -> Any:
        """The transform for an image of this shape."""
        raise NotImplementedError

    def norm(self, W: Any) -> Any:
        """The norm of the coefficients that W makes."""
        return self.f

    def weighted(self, weights: Any) -> Any:
        other = copy(self)
        _SparseTransform.__init__(other, self.f.weighted(weights).weights)
        return other

    def value(self, x: Any) -> Any:
        W = self.W(x.shape)
        return self.norm(W).value(apply(W, x))

    def prox(self, x: Any, step: Any) -> Any:
        W = self.W(x.shape)
        return apply(W.H, self.norm(W).prox(apply(W, x), step))

    def dual_norm(self, x: Any) -> Any:
        W = self.W(x.shape)
        return self.norm(W).dual_norm(apply(W, x))

    def split(self, shape: Any) -> Any:
        f = self.norm(self.W(shape))  # axes and weights that do not fit the image are refused here
        if f.weights is not None:
            check_levels("weights", f.weights.array, shape, zero=True)
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
        weights: w >= 0 for g(x) = sum w |W x|: of the coefficients, an array that broadcasts to the image's shape, as
            `w * Wavelet()` makes it (without shifts, since these move the coefficients); or a tuple of numbers, of the
            coarsest image and of the details from coarse to fine, levels + 1 in all: (0, 1, 1, 0.5).

    Raises:
        TypeError: weights that are no real array and no tuple of numbers.
        ValueError: unknown wavelet, or one that is not orthogonal; axes that the unknown has not; a negative weight,
            an array of weights with shifts; with an image, weights of another number of levels or another shape.

    Reference:
        Lustig et al., Magn Reson Med 58 (2007) 1182; Coifman and Donoho (1995) for cycle spinning.

    Example:
        pi.recon(scan, 2e-3 * pi.Wavelet(shifts=16))
    """

    name: str
    levels: int | None
    shifts: int | None
    seed: int | None
    axes: Any
    bands: Any
    weights: Any

    def __init__(self, name: str = "db2", levels: int | None = None, *, shifts: int = 0, seed: int = 0,
                 axes: Axes | None = None, weights: ArrayLike | None = None):
        self.name, self.levels = name, integer("levels", levels, low=0, allow_none=True)
        self.shifts, self.seed = integer("shifts", shifts, low=0), integer("seed", seed, low=0)
        self.axes: Any = axis_tuple("axes", axes)
        wavelet((8, 8), name, 1)  # an unknown name is refused here, not in the middle of a run
        bands = weights if isinstance(weights, tuple | list) else None
        super().__init__(None if bands else weights)
        self.bands: Any = bands and tuple(number("weights", w, low=0) for w in bands)
        self.weights: Any = self.bands or self.weights
        self._still()

    def _still(self):
        if self.shifts and self.f.weights is not None:
            raise ValueError("weights of single coefficients do not go with shifts, which move the coefficients: give "
                             "shifts=0, or a number for each level such as weights=(0, 1, 1)")

    def weighted(self, weights: ArrayLike) -> Any:
        other = super().weighted(weights)
        other._still()
        return other

    def W(self, shape: Sequence[int]) -> Any:
        return _wavelet(tuple(shape), self.name, self.levels, axes=self.places("axes", self.axes, len(shape)))

    def norm(self, W: Any) -> Any:
        return self.f if self.bands is None else _banded(W, self.bands, self.f.weights)

    def __repr__(self) -> str:
        weights = "" if self.weights is None else f", weights={self.weights!r}"
        return f"Wavelet({self.name!r}{f', shifts={self.shifts}' if self.shifts else ''}{weights})"


class DCT(_SparseTransform):
    """g(x) = ||C x||_1, C the orthonormal cosine transform (DCT-II) over `axes`; exact prox C^H shrink(C x).

    Use:
        for smooth images and, along the frames (`axes=("frame",)`), smooth time courses. Edges ring.

    Args:
        axes: the axes transformed, names or numbers; None: the spatial ones.
        weights: w >= 0 of the coefficients, an array that broadcasts to x, for g(x) = sum w |C x|; or `w * DCT()`.

    Raises:
        TypeError, ValueError: axes that are no tuple of distinct whole numbers; weights as in `L1`.

    Reference:
        Ahmed, Natarajan and Rao, IEEE Trans Comput C-23 (1974) 90.

    Example:
        pi.recon(scan, 2e-3 * pi.DCT())
    """

    axes: Any

    def __init__(self, axes: Axes | None = None, *, weights: ArrayLike | None = None):
        super().__init__(weights)
        self.axes: Any = axis_tuple("axes", axes)

    def W(self, shape: Sequence[int]) -> Any:
        return _dct(tuple(shape), self.places("axes", self.axes, len(shape)))


class TemporalFFT(_SparseTransform):
    """g(x) = ||F_t x||_1, F_t the orthonormal Fourier transform along the frames of a series: x-f sparsity.

    What moves periodically, such as the heart, has few temporal frequencies; what rests has one.

    Use:
        for periodic motion over whole periods, such as gated cine.

    Args:
        axis: the axis of the frames, a name or a number.
        weights: w >= 0 of the coefficients, an array that broadcasts to x, for g(x) = sum w |F_t x|, such as 0 for the
            temporal mean, which is at index N // 2; or `w * TemporalFFT()`.

    Raises:
        TypeError, ValueError: no axis, or one that the unknown has not; weights as in `L1`.

    Reference:
        Jung et al., "k-t FOCUSS", Magn Reson Med 61 (2009) 103; Feng et al., Magn Reson Med 70 (2013) 64.

    Example:
        pi.solve(A, y, 0.03 * pi.TemporalFFT(), max_iter=30)
    """

    axis: str | int | None

    def __init__(self, axis: str | int = "frame", *, weights: ArrayLike | None = None):
        super().__init__(weights)
        self.axis: str | int | None = one_axis("axis", axis)

    def W(self, shape: Sequence[int]) -> Any:
        return _fft(tuple(shape), self.places("axis", self.axis, len(shape)))


@lru_cache(32)
def _banded(W, bands, weights) -> L1:
    """The norm whose weights are those of the bands of W, times others."""
    if len(bands) != W.levels + 1:
        raise ValueError(f"weights has {len(bands)} numbers, a wavelet of {W.levels} levels on {tuple(W.ishape)} needs "
                         f"{W.levels + 1}: of the coarsest image and of each level, or give levels={len(bands) - 1}")
    own = np.array(bands)[W.bands()]
    return L1(weights=own if weights is None else own * weights.array)


# Operators are made once for each shape.
_wavelet, _dct, _fft = lru_cache(32)(wavelet), lru_cache(32)(dct), lru_cache(32)(fft)
