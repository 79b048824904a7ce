"""A^H A of the 3-D Cartesian encoding: planes across an axis that was sampled fully are problems of their own."""

from __future__ import annotations

import numpy as np

from pisolve import backend
from pisolve.linops._normal import Normal, takes

PLANES = 32  # so many at a time: their copies are small, and stay in the cache


class NormalVolume:
    """x -> A^H A x for maps (..., coil, kz, ky, kx) and squared weights with the origin first.

    Along an axis on which the weights do not change F^H F = I cancels. Maps are kept with that axis in front, which
    takes the volume apart into planes; the compiled kernel of 2-D slices does them.
    """

    def __init__(self, mps, w2):
        self.dtype, self._free = mps.dtype, []  # memory for a call
        self.axis = _across(a for a in (-3, -2, -1) if w2.shape[a] > 1)
        lead = mps.shape[:-4]
        shared = not any(mps.strides[:-4])  # one set of maps for all frames: one copy of them serves
        planes = np.ascontiguousarray(np.moveaxis(mps[(0,) * len(lead)] if shared else mps, self.axis, -4))
        weights = np.squeeze(w2, self.axis)
        own = weights.ndim > 2  # each frame has weights of its own
        each = list(np.ndindex(*lead)) if own or not shared else [()]
        some = range(0, planes.shape[-4], PLANES)
        self.parts = [[Normal((planes if shared else planes[i])[k:k + PLANES], weights[i] if own else weights)
                       for k in some] for i in each]

    @staticmethod
    def fits(mps, axes) -> bool:
        """True where an axis was sampled fully, and the compiled kernel can take the planes across it."""
        if len(axes) == 3:
            return False
        plane = [a for a in (-3, -2, -1) if a != _across(axes)]
        return takes(mps.size, [mps.shape[a] for a in plane], mps.dtype, [plane.index(a) for a in axes])

    def __call__(self, x):
        out = np.empty(x.shape, self.dtype)
        shape = (2, min(PLANES, x.shape[self.axis]), *np.moveaxis(x, self.axis, -3).shape[-2:])
        volumes = zip(*(np.moveaxis(a.reshape(-1, *x.shape[-3:]), self.axis, 1) for a in (x, out)), strict=True)
        with backend.borrowed(self._free, lambda: backend.scratch(shape, self.dtype)) as (before, after):
            for i, (planes, new) in enumerate(volumes):
                for k, normal in enumerate(self.parts[i if len(self.parts) > 1 else 0]):
                    some = slice(k * PLANES, (k + 1) * PLANES)
                    n = len(planes[some])
                    before[:n] = planes[some]
                    new[some] = normal(before[:n], after[:n])
        return out


def _across(varying) -> int:
    """The axis that planes go across: the last along which the weights do not change."""
    return max({-3, -2, -1} - set(varying))
