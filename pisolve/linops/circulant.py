"""The circulant operator that is nearest to A^H A of points anywhere in k-space: a preconditioner for CG."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import _check
from pisolve.linops.base import SelfAdjoint

_FLOOR = 1e-3  # of the largest eigenvalue: what the samples do not see is not divided by


class Circulant:
    """x -> M F^H D F M x, F over the last axes of D: the function behind `circulant`."""

    def __init__(self, inverse, support):
        self.inverse, self.support = inverse, support
        self.axes = tuple(range(-support.ndim, 0))

    def __call__(self, x):
        import scipy.fft

        support, inverse = (a.astype(x.real.dtype) for a in (self.support, self.inverse))
        k = scipy.fft.fftn(support * x, axes=self.axes, workers=1)
        k *= inverse
        return support * scipy.fft.ifftn(k, axes=self.axes, overwrite_x=True, workers=1)


def circulant(A: Any, lam: float = 0.0) -> SelfAdjoint:
    """P = M F^H (C + lam)^-1 F M, near (A^H A + lam)^-1: fewer steps of CG, `solve(A, y, prior, preconditioner=P)`.

    F^H C F is the mean of A^H A along its diagonals, on the support M of the maps; where these fill the field of view
    it is the circulant operator nearest to A^H A in the Frobenius norm. With the kernel t of the Toeplitz operator and
    the maps S_c

        c[n] = 1 / |M| sum_{l = n mod N} t[l] sum_c sum_r conj(S_c[r]) S_c[r - l],    C = F c >= 0

    C is the density of the samples, as wide as the coils' spectra blur it. Eigenvalues below 1e-3 of the largest count
    as that. P is Hermitian and positive, and 0 outside of the support, where there is no image either.

    Args:
        A: `sense(mps, coord=...)`, of stacks, too, or `nufft(shape, coord)`; frames are averaged, of maps and
            trajectory both.
        lam: strength of the quadratic prior, that of `lam * Tikhonov()`.

    Raises:
        TypeError: another operator.
        ValueError: lam below 0.

    Reference:
        Chan, SIAM J Sci Stat Comput 9 (1988) 766; Weller, Ramani and Fessler, IEEE Trans Med Imaging 33 (2014) 351.
    """
    if not hasattr(A, "convolutions"):
        raise TypeError(f"A must be made by sense(mps, coord=...) or nufft(shape, coord), got {_check.brief(A)}")
    lam = _check.number("lam", lam, low=0)
    lags = [_lags(kernel, mps) for kernel, mps in A.convolutions()]
    support = np.any([seen for _, seen in lags], 0)
    spectrum = np.fft.fftn(sum(c for c, _ in lags)).real / (len(lags) * support.sum())
    spectrum = np.maximum(spectrum, _FLOOR * spectrum.max())
    return SelfAdjoint(A.ishape, Circulant(1 / (spectrum + lam), support), "Circulant")


def _lags(kernel, mps):
    """|M| c[n] of one trajectory and its maps, the origin first, and where the maps are not 0."""
    import scipy.fft

    shape, axes = mps.shape[1:], range(-kernel.ndim, 0)
    energy = 0
    for s in mps:
        energy = energy + abs(scipy.fft.fftn(s.astype(np.complex128), kernel.shape, axes=axes)) ** 2
    c = scipy.fft.ifftn(kernel) * scipy.fft.ifftn(energy).conj()
    for a, n in enumerate(shape):  # lags -n + 1 .. n - 1 modulo n
        front = (slice(None),) * a
        folded = c[(*front, slice(n))].copy()
        if c.shape[a] > n:  # else, along kz of a stack, lags were modulo n
            folded[(*front, slice(1, None))] += c[(*front, slice(c.shape[a] - n + 1, None))]
        c = folded
    return c, mps.any(0)
