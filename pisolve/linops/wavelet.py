"""An orthonormal wavelet transform for any image size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._types import Axes
from pisolve.linops._windows import Windows
from pisolve.linops.base import Adjoint, Linop

_ORTHONORMAL = 1e-9  # PyWavelets' tables are right to 1e-11, but for dmey, a series that was cut off: 2e-3


class WaveletTransform(Linop):
    """The class behind `wavelet`."""

    unitary: bool
    host: bool
    axes: tuple[int, ...]
    filters: Any
    name: str
    levels: int

    unitary, host = True, False

    def __init__(self, shape: Sequence[int], name: str = "db2", levels: int | None = None, axes: Axes = (-2, -1)):
        import pywt

        shape = _check.shape("shape", shape)
        self.axes = _check.axes("axes", axes, len(shape))
        try:
            self.filters = pywt.Wavelet(name)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"name is an unknown wavelet {name!r}: see pywt.wavelist(kind='discrete')") from error
        if not self.filters.orthogonal:
            raise ValueError(f"name {name!r} is no orthogonal wavelet: take for example 'haar', 'db4' or 'sym4'")
        off = _off_orthonormal(self.filters)
        if off > _ORTHONORMAL:
            raise ValueError(f"name {name!r} is orthogonal in name only, its filters are off by {off:.1e}: take for "
                             "example 'sym8' or 'coif5', which are smooth, too")
        self.name = name
        # a short third axis, or one of a single sample, does not decide: it goes down as far as it reaches
        side = sorted(n for n in (shape[a] for a in self.axes) if n > 1)[-2:] or [1]
        most = int(np.log2(side[0]))
        if levels is None:  # the coarsest image stays as wide as the filter, as in pywt.dwt_max_level
            levels = min(5, max(1, pywt.dwt_max_level(side[0], self.filters.dec_len)), most)
        self.levels = _check.integer("levels", levels, low=0, high=most)
        super().__init__(shape, shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return WaveletTransform, (tuple(self.oshape), self.name, self.levels, self.axes)

    def bands(self) -> np.ndarray:
        """What each coefficient belongs to, numbers of the image's shape: 0 the coarsest image, then coarse to fine.

        `weights[W.bands()]` makes an array of strengths for `L1` of weights for each level.
        """
        out = np.zeros(self.ishape, int)
        for k, region in enumerate(self._regions()):
            inner = tuple(slice((r.stop + 1) // 2) if a in self.axes else r for a, r in enumerate(region))
            kept = out[inner].copy()
            out[region] = self.levels - k
            out[inner] = kept
        return out

    def _regions(self):
        """Index of the approximation at each level: the leading ceil(n / 2^level) entries of every axis."""
        size = [self.ishape[a] for a in self.axes]
        for _ in range(self.levels):
            yield tuple(slice(size[self.axes.index(i)]) if i in self.axes else slice(None)
                        for i in range(len(self.ishape)))
            size = [(n + 1) // 2 for n in size]

    def _long(self, region):
        """The axes along which a region has more than one sample."""
        return [a for a in self.axes if region[a].stop > 1]

    def _apply(self, input):
        if self._compiled(input):
            return self._run(input, False)
        analyse = self._analyse if isinstance(input, np.ndarray) else self._windows.analyse
        x = backend.copy(input)
        for region in self._regions():
            for axis in self._long(region):
                x[region] = analyse(x[region], axis)
        return x

    def _apply_adjoint(self, input):
        if self._compiled(input):
            return self._run(input, True)
        synthesise = self._synthesise if isinstance(input, np.ndarray) else self._windows.synthesise
        x = backend.copy(input)
        for region in reversed(list(self._regions())):
            for axis in reversed(self._long(region)):
                x[region] = synthesise(x[region], axis)
        return x

    @cached_property
    def _windows(self):
        """What does it on a GPU."""
        return Windows(self.filters.dec_lo, self.filters.dec_hi)

    def _compiled(self, x) -> bool:
        last = len(self.ishape) - 2
        return self.axes == (last, last + 1) and backend.compiles(x) and min(self.ishape[-2:]) > 1

    def _run(self, x, inverse):
        from pisolve.linops import _filters

        x = np.array(x, order="C")
        filters = [np.array(f, x.real.dtype) for f in (self.filters.dec_lo, self.filters.dec_hi)]
        images = x.reshape(-1, x.shape[-2] * x.shape[-1])
        backend.parallel(lambda image: _filters.transform(image, *x.shape[-2:], self.levels, *filters, inverse), images)
        return x

    def _analyse(self, x, axis):
        import pywt

        even = x.shape[axis] // 2 * 2
        low, high = pywt.dwt(_take(x, axis, 0, even), self.filters, "periodization", axis=axis)
        return np.concatenate([low, _take(x, axis, even, None), high], axis=axis)

    def _synthesise(self, x, axis):
        import pywt

        half, odd = x.shape[axis] // 2, x.shape[axis] % 2
        y = pywt.idwt(_take(x, axis, 0, half), _take(x, axis, half + odd, None), self.filters, "periodization",
                      axis=axis)
        return np.concatenate([y, _take(x, axis, half, half + odd)], axis=axis) if odd else y

    def _adjoint_linop(self):
        return Adjoint(self)


def _off_orthonormal(filters) -> float:
    """How far a filter bank's even shifts are from orthonormal, and its synthesis from the analysis turned round."""
    low, high = np.array(filters.dec_lo), np.array(filters.dec_hi)
    n = len(low)
    products = [a[shift:] @ b[:n - shift] - (a is b and shift == 0)
                for a in (low, high) for b in (low, high) for shift in range(0, n, 2)]
    turned = [low - filters.rec_lo[::-1], high - filters.rec_hi[::-1]]
    return float(max(np.abs(products).max(), np.abs(turned).max()))


def _take(x, axis, start, stop):
    return x[tuple(slice(start, stop) if i == axis else slice(None) for i in range(x.ndim))]


def wavelet(shape: Sequence[int], name: str = "db2", levels: int | None = None, *,
            axes: Axes = (-2, -1)) -> WaveletTransform:
    """W: orthonormal wavelet transform, W^H W = W W^H = I, for every size; coefficients have the image's shape.

    Periodised at the border (PyWavelets' "periodization"). Where a level meets an odd length, its last sample is
    carried down unfiltered: still orthonormal, so that soft thresholding in W is the exact prox of ||W x||_1 (zero
    padding, as in SigPy, makes W a frame, whose thresholding is not).

    Args:
        shape: image shape (..., y, x).
        name: an orthogonal wavelet of PyWavelets: "haar", "db4", "sym4", ... The filters themselves are asked: "dmey"
            is orthogonal to 2e-3 only, which is refused.
        levels: number of levels; None: as many as keep the coarsest image wider than the filter, at most 5. Of three
            axes the second longest decides, and axes of one sample do not; shorter ones go down as far as they reach.
        axes: the axes transformed.

    Raises:
        ValueError: unknown wavelet, or one that is not orthogonal; more levels than the size allows.
    """
    return WaveletTransform(shape, name, levels, axes)
