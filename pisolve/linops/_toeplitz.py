"""sum_c conj(S_c) F^H W F (S_c x) for points anywhere in k-space: a convolution by FFTs on twice the grid."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pisolve import backend
from pisolve.linops._fft import BYTES, plan
from pisolve.linops._normal import Normal, takes


class Toeplitz:
    """x -> sum_c conj(S_c) crop F^H P F pad (S_c x), for maps (coil, *shape) and the P of `PointTransform.kernel`.

    Along an axis where P is as long as the image nothing is padded: kz of a stack, sampled on the grid.

    In 2-D the compiled kernel of Cartesian scans does it, which leaves out the transforms of what is padded, and in 3-D
    `Volume` plane by plane; other shapes go one coil image at a time through SciPy, whose transforms leave the same out
    axis by axis. Without maps images (..., *shape) are each convolved by themselves.
    """

    def __init__(self, mps, kernel):
        self.mps, self.ndim, self.compiled = mps, kernel.ndim, None
        if mps is not None and self.ndim == 2 and Normal.fits(mps, (-2, -1), kernel.shape):
            self.compiled = Normal(mps, kernel.astype(mps.real.dtype))
        elif mps is not None and self.ndim == 3 and Volume.fits(mps, kernel.shape):
            self.compiled = Volume(mps, kernel)
            return  # which holds the kernel
        self.kernel = kernel

    def __call__(self, x):
        if self.compiled is not None and x.dtype == self.mps.dtype:
            return self.compiled(x)
        kernel = self.kernel if x.dtype.char == "D" else self._single
        if self.mps is None:
            images = x.reshape(-1, *x.shape[x.ndim - self.ndim:])
            return np.stack(backend.parallel(lambda image: self._convolved(image, kernel), images)).reshape(x.shape)
        parts = backend.parallel(lambda s: s.conj() * self._convolved(s * x, kernel), self.mps)
        return sum(parts[1:], parts[0])

    @cached_property
    def kernel(self):
        """P, where the images are of another precision than the maps."""
        return self.compiled.kernel()

    @cached_property
    def _single(self):
        return self.kernel.astype(np.float32, copy=False)

    def _convolved(self, image, kernel):
        t = padded(image, kernel.shape)
        t *= kernel
        return cropped(t, image.shape)


def padded(t, grid):
    """The FFT along the last axes of images that are padded to the grid, axis by axis: zeros are not transformed."""
    import scipy.fft

    for a, m in enumerate(grid, t.ndim - len(grid)):
        t = scipy.fft.fft(t, m, axis=a, workers=1)
    return t


def cropped(t, shape):
    """The backward FFT along the last axes, of which the start of this shape is kept; t may be overwritten."""
    import scipy.fft

    for a, n in reversed(list(enumerate(shape, t.ndim - len(shape)))):
        t = scipy.fft.ifft(t, axis=a, overwrite_x=True, workers=1)
        t = t[(slice(None),) * a + (slice(n),)]
    return t


class Volume:
    """`Toeplitz` of maps (coil, z, y, x), compiled: along z and back by blocks of columns, and plane by plane between.

    Work space is one coil image on twice the grid along z alone. Coils are summed in their order, columns each by
    itself, so the result does not depend on the number of threads.
    """

    def __init__(self, mps, kernel):
        self.mps = np.require(mps, requirements=["C", "W"])
        self.passes, self.roots, order = plan(len(kernel), str(mps.dtype))
        self.ones = np.ones(mps.shape[-2:], mps.dtype)
        real = mps.real.dtype
        planes = (Normal(self.ones[None], kernel[z].astype(real) / real.type(len(kernel))) for z in order)
        first = next(planes)
        self.grid = first.grid, first.passes, first.roots, first.row_passes, first.row_roots
        self.w = np.empty((len(kernel), *first.w2.shape), real)
        self.w[0] = first.w2
        for row, plane in zip(self.w[1:], planes):
            row[:] = plane.w2
        self._free = []  # work space of a call

    @staticmethod
    def fits(mps, grid) -> bool:
        """True where the kernels can take maps of this shape, and their time is worth a compilation."""
        return takes(mps.size, grid, mps.dtype, (-3, -2, -1)) and mps.shape[-1] >= BYTES // mps.itemsize

    def kernel(self):
        """P as it came, the origin first."""
        (my, mx), real = self.grid[0], self.w.dtype
        rows = self.w.swapaxes(-1, -2).reshape(len(self.w), -1, mx)[:, :my]
        P = np.empty(rows.shape, real)
        P[np.ix_(*(plan(m, str(self.mps.dtype))[2] for m in rows.shape))] = rows
        P *= real.type(P.size)
        return P

    def __call__(self, x):
        """A^H A x."""
        from pisolve.linops._toeplitz_kernels import across, back, gathered, there

        x = np.require(x, self.mps.dtype, ["C"]).ravel()
        n, rest, m = self.mps.shape[1], self.ones.size, len(self.w)
        (my, mx), *plans = self.grid
        blocks = -(-rest // (BYTES // x.itemsize))
        total, out = np.zeros(blocks * n * (BYTES // x.itemsize), x.dtype), np.empty_like(x)

        def shared(work, count, *words):
            ends = backend.shares(count, min(count, backend.threads()))
            backend.parallel(lambda some: work(*words, *some), ends)

        with backend.borrowed(self._free, lambda: backend.scratch(m * rest, x.dtype)) as volume:
            for s in self.mps:
                s = s.ravel()
                shared(there, blocks, x, s, volume, n, rest, m, self.passes, self.roots)
                shared(across, m, volume, self.ones.ravel(), self.w.ravel(), *self.ones.shape, my, mx, *plans)
                shared(back, blocks, volume, s, total, n, rest, m, self.passes, self.roots)
        shared(gathered, blocks, total, out, n, rest)
        return out.reshape(self.mps.shape[1:])
