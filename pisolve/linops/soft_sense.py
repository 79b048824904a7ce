"""Soft SENSE: several sets of coil maps, and one image for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _axes, _check, backend
from pisolve._types import Array, ArrayLike, Axes
from pisolve.linops._maps import checked_maps, spread
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint
from pisolve.linops.sense import Sense, gather
from pisolve.linops.soft_points import SoftPoints, soft_points


class SoftSense(Linop):
    """The class behind `soft_sense`.

    Attributes:
        mps: the maps, ([slice,] set, coil, y, x).
        weight: as of `sense`.
    """

    host = False

    ndim = 2
    coil_axis = -3
    soft = True  # there are several sets of maps

    def __init__(self, mps, mask=None, weights=None):
        self.mps, self.lead = mps, tuple(mps.shape[:-4])
        super().__init__((*self.lead, *mps.shape[-3:]), (*self.lead, mps.shape[-4], *mps.shape[-2:]))
        # k-space knows no sets: weights, FFTs and the order of the coils are those of SENSE with any one set
        sets = (mps[..., s, :, :, :] for s in range(mps.shape[-4]))
        self._one = Sense(next(one for one in sets if bool((one != 0).any())), mask, weights)
        self.weight = self._one.weight

    @property
    def varying_axes(self) -> tuple[int, ...]:
        """The axes along which the sampling varies: the only ones that A^H A has to transform."""
        return self._one.varying_axes

    def norm_bound(self):
        return self._bound

    @cached_property
    def _bound(self):
        """||A|| <= max over pixels of the largest singular value of the (coil, set) matrix, times that of the weights.

        Its square is the largest eigenvalue of the (set, set) Gram matrix, rounded up.
        """
        xp = backend.namespace(self.mps)
        largest = max(float(xp.linalg.eigvalsh(xp.moveaxis(self._gram(i), (0, 1), (-2, -1))).max())
                      for i in np.ndindex(self.lead))
        bound = largest**0.5 * (1 + 1e-6)
        return bound if self.weight is None else bound * float(self.weight.max())

    def _gram(self, i):
        """sum_c conj(S_sc) S_tc of a slice, (s, t, y, x), in double precision."""
        mps = self.mps[i]
        out = backend.zeros((len(mps), len(mps), *mps.shape[-2:]), mps, "complex128")
        for s in range(len(mps)):
            for t in range(s, len(mps)):
                for a, b in zip(mps[s], mps[t]):
                    out[s, t] += a.conj() * b
                out[t, s] = out[s, t].conj()
        return out

    def _add(self, x, i, c, out=None):
        """sum_s S_sc x_s of one coil, in `out` if there is one."""
        if out is None or out.dtype != np.result_type(self.mps.dtype, x.dtype):
            out = self.mps[(*i, 0, c)] * x[(*i, 0)]
        else:
            np.multiply(self.mps[(*i, 0, c)], x[(*i, 0)], out=out)
        for s in range(1, self.mps.shape[-4]):
            out += self.mps[(*i, s, c)] * x[(*i, s)]
        return out

    def _sum(self, x, i, coils):
        """sum_s S_sc x_s of the coils of a group: on a GPU, all at a time."""
        maps = self.mps[(*i, slice(None), coils)]
        return sum(s * image for s, image in zip(maps, x[i]))

    def _spread(self, t, i, coils):
        """sum_c conj(S_sc) t_c of the coils of a group, for every set."""
        return backend.namespace(t).stack([(s.conj() * t).sum(0) for s in self.mps[(*i, slice(None), coils)]])

    def _apply(self, input):
        xp = backend.namespace(input)
        out = backend.empty(self.oshape, input, backend.together(input, self.mps))
        ones = np.ones((1, 1), out.real.dtype) if xp is np else None

        def work(i, coils):
            if xp is not np:
                t = backend.fft(self._sum(input, i, coils), (-2, -1))
                out[(*i, coils)] = t if self.weight is None else t * self._one._weight(i)
                return
            for c in range(coils.start, coils.stop):
                t = self._add(input, i, c)
                one = np.broadcast_to(ones, t.shape)
                self._one._encode[i].forward(t[None], one, out[(*i, slice(c, c + 1))])

        self._one._each(work)
        return out

    def _apply_adjoint(self, input):
        xp = backend.namespace(input)
        ones = np.ones((1, 1, 1), input.real.dtype) if xp is np else None

        def work(i, coils):
            if xp is not np:
                y = input[(*i, coils)]
                t = backend.fft(y if self.weight is None else y * self._one._weight(i), (-2, -1), inverse=True)
                return self._spread(t, i, coils)
            total = 0
            for c in range(coils.start, coils.stop):
                y = input[(*i, c)]
                t = self._one._encode[i].backward(np.broadcast_to(ones, (1, *y.shape)), y[None])
                total = total + self.mps[(*i, slice(None), c)].conj() * t
            return total

        return gather(self.ishape, *self._one._each(work))

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, _Normal(self), "SoftSense.N")


class _Normal:
    """(A^H A x)_s = sum_c conj(S_sc) F_m^H w^2 F_m sum_t S_tc x_t, F_m over the axes that the mask varies along only.

    One coil image at a time goes through while it is in the cache; with no varying axis it is a small matrix a pixel.
    """

    def __init__(self, A: SoftSense):
        self.A, self.axes = A, A.varying_axes
        xp = backend.namespace(A.mps)
        if self.axes:
            self.w2 = backend.shift(A.weight**2, self.axes, inverse=True)
            return
        gram = xp.stack([A._gram(i) for i in np.ndindex(A.lead)])
        gram = gram if A.lead else gram[0]
        if A.weight is not None:  # of size 1 along y and x
            gram *= (backend.cast(A.weight, "float64") ** 2)[..., None, None, :, :]
        self.gram = backend.cast(gram, A.mps)

    def __call__(self, x):
        if not self.axes:
            return (self.gram * x[..., None, :, :, :]).sum(-3)
        work = self._cached if backend.namespace(x) is np else self._batched
        return gather(self.A.ishape, *self.A._one._each(lambda i, c: work(x, i, c)))

    def _w2(self, i):
        return self.w2 if self.w2.ndim == 2 else self.w2[i]

    def _cached(self, x, i, coils):
        """sum_c conj(S_c) F^H w^2 F t as conj(sum_c S_c F conj(w^2 F t)): no second copy of the maps."""
        import scipy.fft

        w2, mps = self._w2(i), self.A.mps[i]
        total = np.zeros(self.A.ishape[-3:], np.result_type(x, mps))
        t = None
        for c in range(coils.start, coils.stop):
            t = self.A._add(x, i, c, t)
            t = scipy.fft.fftn(t, axes=self.axes, norm="ortho", overwrite_x=True, workers=1)
            t *= w2
            t = scipy.fft.fftn(np.conjugate(t, out=t), axes=self.axes, norm="ortho", overwrite_x=True, workers=1)
            for s, maps in enumerate(mps[:, c]):
                total[s] += maps * t
        return np.conjugate(total, out=total)

    def _batched(self, x, i, coils):
        t = backend.fft(self.A._sum(x, i, coils), self.axes, centred=False) * self._w2(i)
        return self.A._spread(backend.fft(t, self.axes, centred=False, inverse=True), i, coils)


def soft_sense(mps: ArrayLike, mask: ArrayLike | None = None, weights: ArrayLike | None = None, *,
               coord: ArrayLike | None = None, axes: Axes | None = None, shape: Sequence[int] | None = None,
               eps: float = 1e-6) -> SoftSense | SoftPoints:
    """SENSE with several sets of maps, A x = M W^(1/2) F sum_s S_s x_s: images of the sets -> k-space of every coil.

    Where more than one thing is seen at a pixel (an object larger than the field of view, fat and water apart, motion
    while the centre was measured), one set of maps contradicts the data; ESPIRiT's second set takes the rest. The
    adjoint is (A^H y)_s = sum_c conj(S_sc) F^H M W^(1/2) y_c. There is one FFT for each coil, whatever the number of
    sets, and `A.N` transforms only the axes along which the mask varies. With maps of `calib.espirit`, which are
    orthonormal at every pixel, and a boolean mask, ||A|| <= 1.

    Args:
        mps: maps (set, coil, y, x), or (slice, set, coil, y, x) for a volume of slices; complex.
        mask: as for `sense`.
        weights: as for `sense`.
        coord, eps: points of k-space (..., 2) in place of the grid, as for `sense`; they get no gradient.
        axes, shape: the names of the axes of k-space, and its shape, as for `sense`; 2-D only. The axis of the sets is
            called "maps".

    Returns:
        A `sigpy.linop.Linop` from (..., set, y, x) to (..., coil, ky, kx). `combine_sets` makes one image.

    Raises:
        TypeError, ValueError: as `sense`.

    Reference:
        M. Uecker et al., ESPIRiT - an eigenvalue approach to autocalibrating parallel MRI: where SENSE meets GRAPPA,
        Magn. Reson. Med. 71:990-1001 (2014).
    """
    mps = checked_maps(mps, None if axes or shape else (4, 5))
    names = None if axes is None else _axes.words("axes", axes)
    if names is not None and len(_axes.encoded(names)) > 2:
        raise ValueError("several sets of maps are for 2-D scans: take one set, calib.espirit(sets=1), or give "
                         "each=('slice', 'x') for planes of a 3-D scan")
    if coord is not None:
        if mask is not None:
            raise ValueError("mask beside coord: leave out the coordinates of samples that were not measured")
        mps = backend.to_numpy(mps) if _check.is_torch(mps) else mps
        A = soft_points(mps, coord, weights, axes=axes, shape=shape, eps=eps)
    else:
        if shape is not None:
            mps = spread(mps, (*shape[:-3], mps.shape[-4], *shape[-3:]), 3)
        A = SoftSense(mps, mask, weights)
    if names is not None:
        A.oaxes, image = names, _axes.of_image(names)
        A.iaxes = (*image[:-2], _axes.MAPS, *image[-2:])
    return A


def combine_sets(x: Any) -> Array:
    """One image of the sets' images: their root sum of squares, with the phase of the first (of 0, where that is 0).

    Args:
        x: (..., set, y, x) complex, numpy, cupy or torch.

    Returns:
        (..., y, x) of the same kind and precision.
    """
    x = _check.array("x", x)
    if x.ndim < 3:
        raise ValueError(f"x has shape {tuple(x.shape)}: images of several sets (set, y, x) are needed")
    return backend.sqrt((abs(x) ** 2).sum(-3)) * backend.unit(x[..., 0, :, :])
