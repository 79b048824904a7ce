"""The symmetrised derivative of a vector field, for second-order total generalised variation."""

from __future__ import annotations

from collections.abc import Sequence

from pisolve import backend
from pisolve._check import shape as check_shape
from pisolve._types import Axes
from pisolve.linops.base import Adjoint, Linop
from pisolve.linops.difference import ends, gradient


class SymmetricGradient(Linop):
    """The class behind `symmetric_gradient`."""

    host = False

    axes: tuple[int, ...]
    boundary: str
    pairs: list[tuple[int, int]]

    def __init__(self, shape: Sequence[int], axes: Axes = (-2, -1), boundary: str = "periodic"):
        shape, self.boundary = check_shape("shape", shape), boundary
        self.axes = gradient(shape, axes, boundary=boundary).axes  # with its checks
        d = len(self.axes)
        self.pairs = [(i, j) for i in range(d) for j in range(i + 1, d)]
        super().__init__([d + len(self.pairs), *shape], [d, *shape])

    def norm_bound(self) -> float:
        """||E v|| <= ||grad v|| <= 2 sqrt(d) ||v||."""
        return 2.0 * len(self.axes) ** 0.5

    def _back(self, v, i):
        """Backward difference; 0 at the near edge for "neumann"."""
        xp, (lo, hi, first, last) = backend.namespace(v), ends(v.ndim, self.axes[i])
        out = xp.empty_like(v)
        xp.subtract(v[hi], v[lo], out=out[hi])
        out[first] = v[first] - v[last] if self.boundary == "periodic" else 0
        return out

    def _back_adjoint(self, q, i):
        lo, hi, first, last = ends(q.ndim, self.axes[i])
        out = backend.copy(q)
        out[lo] -= q[hi]
        if self.boundary == "periodic":
            out[last] -= q[first]
        else:
            out[first] -= q[first]
        return out

    def _apply(self, input):
        out = backend.empty(self.oshape, input)
        d = len(self.axes)
        for i in range(d):
            out[i] = self._back(input[i], i)
        for k, (i, j) in enumerate(self.pairs):
            out[d + k] = (self._back(input[i], j) + self._back(input[j], i)) * _HALF
        return out

    def _apply_adjoint(self, input):
        out = backend.empty(self.ishape, input)
        d = len(self.axes)
        for i in range(d):
            out[i] = self._back_adjoint(input[i], i)
        for k, (i, j) in enumerate(self.pairs):
            out[i] += _HALF * self._back_adjoint(input[d + k], j)
            out[j] += _HALF * self._back_adjoint(input[d + k], i)
        return out

    def _adjoint_linop(self):
        return Adjoint(self)


_HALF = 0.5**0.5


def symmetric_gradient(shape: Sequence[int], axes: Axes = (-2, -1), *, boundary: str = "periodic") -> SymmetricGradient:
    """E v = (D v + (D v)^T) / 2 of a vector field v (d, *shape), by backward differences.

    The d diagonal entries come first, then each pair's entry (D_j v_i + D_i v_j) / 2 times sqrt(2), so that the
    Euclidean norm over the first axis is the Frobenius norm of the matrix. E after the forward differences of
    `gradient` is the centred second difference.

    Args:
        shape: the image's shape (..., y, x); v has one component for each of `axes`.
        axes: the axes of the derivatives.
        boundary: "periodic" or "neumann", as for `gradient`.

    Reference:
        Bredies, Kunisch and Pock, SIAM J Imaging Sci 3 (2010) 492.
    """
    return SymmetricGradient(shape, axes, boundary)
