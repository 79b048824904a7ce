"""The orthonormal cosine transform as an operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pisolve import backend
from pisolve._check import dtype_name
from pisolve._types import Axes
from pisolve.linops.base import Transform


class CosineTransform(Transform):
    """The class behind `dct`."""

    def _apply(self, input):
        return self._transform(False, input)

    def _apply_adjoint(self, input):
        return self._transform(True, input)

    def _transform(self, inverse, x):
        if isinstance(x, np.ndarray):
            import scipy.fft

            run = scipy.fft.idctn if inverse else scipy.fft.dctn
            return run(x, axes=self.axes, norm="ortho", workers=backend.threads())
        xp = backend.namespace(x)
        for axis in self.axes:  # on a GPU a product with the matrix: its FFT would take the two parts by themselves
            C = _matrix(x.shape[axis]).like(x, dtype_name(x))
            x = xp.moveaxis(xp.moveaxis(x, axis, -1) @ (C if inverse else C.T), -1, axis)
        return x


@lru_cache(16)
def _matrix(n) -> backend.Constant:
    """The rows are the cosines, X = C x."""
    import scipy.fft

    return backend.Constant(scipy.fft.dct(np.eye(n), axis=0, norm="ortho"))


def dct(shape: Sequence[int], axes: Axes = (-2, -1)) -> CosineTransform:
    """C: the orthonormal DCT-II over `axes`, C^H C = C C^H = I; coefficients have the image's shape.

    X[k] = c_k sum_n x[n] cos(pi k (2 n + 1) / (2 N)) along each axis, c_0 = sqrt(1/N), c_k = sqrt(2/N); real and
    imaginary part are transformed alike. Its even extension has no jump at the border, unlike the DFT's.

    Args:
        shape: image shape, (..., y, x).
        axes: the axes transformed, the last two by default.

    Raises:
        TypeError, ValueError: a bad shape, axes that do not fit it.

    Reference:
        Ahmed, Natarajan and Rao, IEEE Trans Comput C-23 (1974) 90.
    """
    return CosineTransform(shape, axes)
