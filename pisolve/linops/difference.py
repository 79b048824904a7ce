"""Finite differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve import _check, backend
from pisolve._types import Axes
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint


class Gradient(Linop):
    """The class behind `gradient`."""

    host = False

    axes: tuple[int, ...]
    boundary: str

    def __init__(self, shape: Sequence[int], axes: Axes = (-2, -1), boundary: str = "periodic"):
        shape = _check.shape("shape", shape)
        self.axes = _check.axes("axes", axes, len(shape))
        self.boundary = _check.choice("boundary", boundary, ("periodic", "neumann"))
        super().__init__([len(self.axes), *shape], shape)

    def norm_bound(self) -> float:
        return 2.0 * len(self.axes) ** 0.5

    def _apply(self, input):
        if self._compiled(input):
            return self._run("forward", input, self.oshape)
        xp = backend.namespace(input)
        out = backend.empty(self.oshape, input)
        for d, axis in zip(out, self.axes):
            lo, hi, first, last = ends(input.ndim, axis)
            xp.subtract(input[hi], input[lo], out=d[lo])
            d[last] = input[first] - input[last] if self.boundary == "periodic" else 0
        return out

    def _apply_adjoint(self, input):
        if self._compiled(input):
            return self._run("backward", input, self.ishape)
        out = backend.zeros(self.ishape, input)
        for d, axis in zip(input, self.axes):
            lo, hi, first, last = ends(d.ndim, axis)
            out[lo] -= d[lo]
            out[hi] += d[lo]
            if self.boundary == "periodic":
                out[last] -= d[last]
                out[first] += d[last]
        return out

    def _compiled(self, x) -> bool:
        """True where a compiled kernel knows these axes and this kind of array."""
        n = len(self.ishape)
        return self.axes in ((n - 2, n - 1), (n - 3, n - 2, n - 1)) and backend.compiles(x)

    def _run(self, kernel, x, shape):
        from pisolve.linops import _stencil

        out = np.empty(tuple(shape), x.dtype)
        *volume, ny, nx = self.ishape[-len(self.axes):]
        flat = (lambda a: np.require(a, requirements=["C", "W"]).view(a.real.dtype)  # noqa: E731
                .reshape(*a.shape[:a.ndim - len(self.ishape)], -1, *volume, ny, 2 * nx))
        _stencil.run(getattr(_stencil, kernel), flat(x), flat(out), self.boundary == "periodic")
        return out

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, self._laplacian, "Gradient.N")

    def _laplacian(self, x):
        """-Laplace(x): each neighbour pair adds its difference to both ends; no gradient field is stored."""
        if self._compiled(x):
            return self._run("laplacian", x, self.ishape)
        out = backend.zeros_like(x)
        for axis in self.axes:
            lo, hi, first, last = ends(x.ndim, axis)
            d = x[hi] - x[lo]
            out[lo] -= d
            out[hi] += d
            if self.boundary == "periodic":
                d = x[first] - x[last]
                out[last] -= d
                out[first] += d
        return out


def ends(ndim, axis):
    """Indices along an axis: all but the last, all but the first, the first, the last."""
    at = lambda s: tuple(s if i == axis else slice(None) for i in range(ndim))  # noqa: E731
    return at(slice(None, -1)), at(slice(1, None)), at(slice(0, 1)), at(slice(-1, None))


def gradient(shape: Sequence[int], axes: Axes = (-2, -1), *, boundary: str = "periodic") -> Gradient:
    """Forward differences, (G x)[i] = x[. + e_i] - x[.] for each axis i: shape -> (len(axes), *shape).

    Args:
        shape: image shape, (..., y, x).
        axes: the axes along which to differ.
        boundary: "periodic" (as SigPy and BART: the DFT's own image is periodic) or "neumann" (0 at the far edge).

    Raises:
        TypeError, ValueError: a bad shape, axes that do not fit it, unknown boundary.
    """
    return Gradient(shape, axes, boundary)
