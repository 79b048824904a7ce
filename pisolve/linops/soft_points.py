"""Soft SENSE at any points of k-space: several sets of coil maps, and one image for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import _check
from pisolve.linops._maps import spread
from pisolve.linops._points import sense_points
from pisolve.linops._toeplitz import Toeplitz
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint


class SoftPoints(Linop):
    """The class behind `soft_sense` with `coord`: sets are added before the transform, so that their number costs none.

    Attributes:
        mps: the maps, (..., set, coil, y, x).
        one: `SensePoints` of the first set, whose points and weights are those of all.
    """

    ndim: int
    soft: bool
    lead: Any
    coord: Any
    coil_axis: Any
    row_energy: Any

    ndim, soft = 2, True

    def __init__(self, mps: Any, one: Any) -> None:
        self.mps, self.one, self.lead = mps, one, one.lead
        self.coord, self.coil_axis, self.row_energy = one.coord, one.coil_axis, one.row_energy
        super().__init__(one.oshape, (*one.lead, mps.shape[-4], *mps.shape[-2:]))

    def _seen(self, i, x):
        """sum_s S_sc x_s, (coil, y, x)."""
        return sum(s * image for s, image in zip(self.mps[i], x[i]))

    def _spread(self, i, images):
        """sum_c conj(S_sc) t_c, (set, y, x)."""
        return np.stack([(s.conj() * images).sum(0) for s in self.mps[i]])

    def _apply(self, input):
        return self.one.forward(np.empty(self.oshape, np.result_type(input, self.mps)), lambda i: self._seen(i, input))

    def _apply_adjoint(self, input):
        out = np.empty(self.ishape, np.result_type(input, self.mps))
        for i, points, data in self.one.weighted_samples(input):
            images = np.empty((len(data), *self.mps.shape[-2:]), out.dtype)
            points.backward(data, images)
            out[i] = self._spread(i, images)
        return out

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, _Normal(self), "SoftPoints.N")

    def weighted_normal(self, weights: Any) -> Any:
        """x -> A^H w A x for real w that broadcast to the points; None where only they change from frame to frame."""
        if weights.ndim >= self.coord.ndim:
            return None
        return _Normal(self, np.broadcast_to(weights, self.coord.shape[:-1]))

    def reweighted(self, factor: Any) -> Any:
        """The same operator with its weights times `factor`, an array that broadcasts to data without coils."""
        A = SoftPoints(self.mps, self.one.reweighted(factor))
        A.iaxes, A.oaxes = self.iaxes, self.oaxes
        return A


class _Normal:
    """(A^H A x)_s = sum_c conj(S_sc) T sum_t S_tc x_t, T a convolution (Toeplitz)."""

    def __init__(self, A: SoftPoints, further=None):
        self.A, made = A, {}
        self.parts = [(i, made.setdefault(own, Toeplitz(None, kernel))) for i, own, kernel in A.one.kernels(further)]

    def __call__(self, x):
        out = np.empty(self.A.ishape, np.result_type(x, self.A.mps))
        for i, convolve in self.parts:
            out[i] = self.A._spread(i, convolve(self.A._seen(i, x)))
        return out


def soft_points(mps, coord, weights=None, *, axes=None, shape=None, eps: float = 1e-6) -> SoftPoints:
    """`soft_sense` at points of k-space; see there. `mps` are checked, `axes` 2-D."""
    if _check.is_torch(coord) and coord.requires_grad:
        raise TypeError("coord is a tensor that requires a gradient: several sets of maps give it none, give coord."
                        "detach(), or one set to sense")
    first = next(s for s in np.moveaxis(mps, -4, 0) if (s != 0).any())
    one = sense_points(first, coord, weights, axes=axes, shape=shape, eps=eps)
    if one.ndim != 2:
        raise ValueError("several sets of maps are for coordinates (..., 2): take one set, calib.espirit(sets=1)")
    if one.lead:
        mps = spread(mps, (*one.lead, *mps.shape[-4:]), 3)
    return SoftPoints(mps, one)
