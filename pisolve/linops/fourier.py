"""The centred, orthonormal Fourier transform as an operator."""

from __future__ import annotations

from pisolve import _check, backend
from pisolve.linops.base import Adjoint, Linop


class FFT(Linop):
    """The class behind `fft`."""

    unitary = True

    def __init__(self, shape, axes=(-2, -1)):
        shape = _check.shape("shape", shape)
        self.axes = _check.axes("axes", axes, len(shape))
        super().__init__(shape, shape)

    def _apply(self, input):
        return backend.fft(input, self.axes)

    def _apply_adjoint(self, input):
        return backend.fft(input, self.axes, inverse=True)

    def _adjoint_linop(self):
        return Adjoint(self)


def fft(shape, axes=(-2, -1)) -> FFT:
    """F: X[k] = N^(-1/2) sum_n x[n] exp(-2 pi i (k - N//2)(n - N//2)/N) over `axes`; unitary.

    Args:
        shape: shape of the image and of its k-space.
        axes: the axes transformed, the last two by default.

    Raises:
        ValueError: an axis outside the shape.
    """
    return FFT(shape, axes)
