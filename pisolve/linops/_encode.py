"""A and A^H of SENSE on numpy arrays: only the lines of k-space that were sampled are transformed along kx."""

from __future__ import annotations

import numpy as np

from pisolve import backend


class Encode:
    """F and F^H of some coils' images between the sampled lines and the image, both centred and orthonormal.

    The shifts cost nothing: along ky the halves of the image change places as they are multiplied by the map, along kx
    the lines are rolled, of which there are as many as were sampled.

    Args:
        weight: what k-space is multiplied by, (ky or 1, kx or 1), or None.
        shape: (ky, kx).
    """

    def __init__(self, weight, shape):
        ny, nx = shape
        self.shape, self.kx = shape, nx // 2
        rows = np.arange(ny) if weight is None or weight.shape[0] == 1 else np.flatnonzero(weight.any(axis=1))
        self.rows, self.places = rows, (rows - ny // 2) % ny  # among centred lines, and among those from 0
        self.weight = weight if weight is None or weight.shape[0] == 1 else weight[rows]
        self.halves = (slice(ny // 2), slice(ny - ny // 2, ny)), (slice(ny // 2, ny), slice(ny - ny // 2))

    def forward(self, s, x, out):
        """out <- W F (s x), for maps s and data out (coil, ky, kx)."""
        import scipy.fft

        t = np.empty(out.shape, out.dtype)
        for image, shifted in self.halves:
            np.multiply(s[:, image], x[image], out=t[:, shifted])
        t = scipy.fft.fft(t, axis=1, norm="ortho", overwrite_x=True, workers=1)
        lines = np.roll(t[:, self.places], -self.kx, 2)
        lines = scipy.fft.fft(lines, axis=2, norm="ortho", overwrite_x=True, workers=1)
        lines = np.roll(lines, self.kx, 2)
        if self.weight is not None:
            lines *= self.weight
        if len(self.rows) < out.shape[1]:
            out[:] = 0
        out[:, self.rows] = lines

    def backward(self, s, y):
        """sum_c conj(s_c) F^H W y_c, as the conjugate of sum_c s_c F conj(W y_c)."""
        import scipy.fft

        lines = np.conjugate(y[:, self.rows])
        if self.weight is not None:
            lines *= self.weight
        lines = scipy.fft.fft(np.roll(lines, -self.kx, 2), axis=2, norm="ortho", overwrite_x=True, workers=1)
        t = np.zeros(s.shape, lines.dtype)
        t[:, self.places] = np.roll(lines, self.kx, 2)
        t = scipy.fft.fft(t, axis=1, norm="ortho", overwrite_x=True, workers=1)
        total = np.empty(self.shape, np.result_type(s, t))
        for image, shifted in self.halves:
            part = total[image]
            np.multiply(t[0, shifted], s[0, image], out=part)
            for c in range(1, len(s)):
                part += t[c, shifted] * s[c, image]
        return np.conjugate(total, out=total)


class EncodeVolume:
    """F and F^H of some coils' volumes: one coil after another, so that no copy of all of them is made.

    Args:
        weight: what k-space is multiplied by, of size 1 along the axes it does not vary, or None.
        shape: (kz, ky, kx).
    """

    def __init__(self, weight, shape):
        self.weight, self.shape = weight, shape

    def _centred(self, transform, t):
        """The centred transform of an array that may be overwritten.

        With even sides its shifts are signs, (-1)^n before and (-1)^(k + N/2) after, and nothing is copied.
        """
        import scipy.fft

        if any(n % 2 for n in self.shape):
            t = transform(scipy.fft.ifftshift(t), norm="ortho", overwrite_x=True, workers=1)
            return scipy.fft.fftshift(t)
        for half in (False, True):
            for axis, n in enumerate(self.shape):
                odd = t[(slice(None),) * axis + (slice((n // 2 + 1) % 2 if half else 1, None, 2),)]
                np.negative(odd, out=odd)
            t = t if half else transform(t, norm="ortho", overwrite_x=True, workers=1)
        return t

    def forward(self, s, x, out):
        """out <- W F (s x), for maps s and data out (coil, kz, ky, kx)."""
        import scipy.fft

        for one, data in zip(s, out):
            data[...] = self._centred(scipy.fft.fftn, one * x)
            if self.weight is not None:
                data *= self.weight

    def backward(self, s, y):
        """sum_c conj(s_c) F^H W y_c."""
        import scipy.fft

        kind = np.result_type(s, y)
        total, t = backend.scratch(self.shape, kind), backend.scratch(self.shape, kind)
        total[...] = 0
        for one, data in zip(s, y):
            np.multiply(data, 1 if self.weight is None else self.weight, out=t)
            t = self._centred(scipy.fft.ifftn, t)
            t = np.conjugate(t, out=t)  # conj(s) t by way of conj(s conj(t)): no copy of the map
            t *= one
            total += np.conjugate(t, out=t)
        return total
