"""sum_c conj(S_c) F^H W F (S_c x) for points anywhere in k-space: a convolution by FFTs on twice the grid."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pisolve import backend
from pisolve.linops._normal import Normal


class Toeplitz:
    """x -> sum_c conj(S_c) crop F^H P F pad (S_c x), for maps (coil, *shape) and the P of `Points.kernel`.

    In 2-D the compiled kernel of Cartesian scans does it, which leaves out the transforms of what is padded; other
    shapes go one coil image at a time through SciPy, whose transforms leave the same out axis by axis. Without maps
    images (..., *shape) are each convolved by themselves.
    """

    def __init__(self, mps, kernel):
        self.mps, self.ndim, self.kernel, self.compiled = mps, kernel.ndim, kernel, None
        if mps is not None and self.ndim == 2 and Normal.fits(mps, (-2, -1), kernel.shape):
            self.compiled = Normal(mps, kernel.astype(mps.real.dtype))

    def __call__(self, x):
        if self.compiled is not None and x.dtype == self.mps.dtype:
            return self.compiled(x)
        kernel = self.kernel if x.dtype.char == "D" else self._single
        if self.mps is None:
            images = x.reshape(-1, *x.shape[x.ndim - self.ndim:])
            return np.stack(backend.parallel(lambda image: self._convolved(image, kernel), images)).reshape(x.shape)
        parts = backend.parallel(lambda s: s.conj() * self._convolved(s * x, kernel), self.mps)
        return sum(parts[1:], parts[0])

    def one(self, image):
        """An image (*shape) convolved by the calling thread, without maps."""
        return self._convolved(image, self.kernel if image.dtype.char == "D" else self._single)

    @cached_property
    def _single(self):
        return self.kernel.astype(np.float32, copy=False)

    def _convolved(self, image, kernel):
        import scipy.fft

        t, axes = image, range(self.ndim)
        for a in axes:
            t = scipy.fft.fft(t, kernel.shape[a], axis=a, workers=1)
        t *= kernel
        for a in reversed(axes):
            t = scipy.fft.ifft(t, axis=a, overwrite_x=True, workers=1)
            t = t[(slice(None),) * a + (slice(image.shape[a]),)]
        return t
