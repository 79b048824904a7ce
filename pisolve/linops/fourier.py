"""The centred, orthonormal Fourier transform as an operator."""

from __future__ import annotations

from collections.abc import Sequence

from pisolve import backend
from pisolve._types import Axes
from pisolve.linops.base import Transform


class FFT(Transform):
    """The class behind `fft`."""

    def _apply(self, input):
        return backend.fft(input, self.axes)

    def _apply_adjoint(self, input):
        return backend.fft(input, self.axes, inverse=True)


def fft(shape: Sequence[int], axes: Axes = (-2, -1)) -> FFT:
    """F: X[k] = N^(-1/2) sum_n x[n] exp(-2 pi i (k - N//2)(n - N//2)/N) over `axes`; unitary.

    Args:
        shape: shape of the image and of its k-space.
        axes: the axes transformed, the last two by default.

    Raises:
        ValueError: an axis outside the shape.
    """
    return FFT(shape, axes)
