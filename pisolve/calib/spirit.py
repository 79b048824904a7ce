"""SPIRiT's kernel: every sample of every coil from its neighbourhood in all coils."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve import _check
from pisolve._types import Array, ArrayLike
from pisolve.backend import like, one_blas_thread
from pisolve.calib.region import calibration_data, gram, ridge


def spirit_kernel(kspace: ArrayLike, mask: ArrayLike | None = None, calib: ArrayLike | None = None, *,
                  kernel: Sequence[int] = (5, 5), lam: float = 0.01, calib_width: int | None = None) -> Array:
    """The kernel g with which k-space is consistent with itself, fitted to the fully sampled centre.

        k_c(y, x) = sum over c', dy, dx of g[c, c', dy, dx] k_c'(y + dy - ky//2, x + dx - kx//2),   g[c, c, centre] = 0

    Each coil is a ridge regression on its neighbourhood without itself. All of them come out of one factorisation:
    with P = (A^H A + mu I)^-1 of the full calibration matrix A, the weights that give column j from the others are
    -P_ij / P_jj. mu = lam ||A^H A||_F / n as in Lustig's code, but for the norm being that of the full Gram matrix,
    which is the same for all coils.

    Args:
        kspace: (coil, ky, kx) or (slice, coil, ky, kx) complex, any scale; each slice is fitted by itself. Numpy, cupy
            or torch; the fit is done on the CPU in double precision.
        mask: sampling mask that broadcasts to (ky, kx); None: where `kspace` is not 0.
        calib: calibration k-space (coil, cy, cx), or with slices (slice, coil, cy, cx), in place of the centre of
            `kspace`; (coil, cy, cx) holds for all slices.
        kernel: (ky, kx) size of the neighbourhood in samples, odd.
        lam: strength of the ridge, relative to the mean energy of a sample; 0: the pseudo-inverse (slow: coil by coil).
        calib_width: largest height and width of the calibration region; None: all of the full centre.

    Returns:
        g: (coil, coil, ky, kx), or (slice, coil, coil, ky, kx), of the precision and kind of `kspace`.

    Raises:
        TypeError, ValueError: bad shapes or values, an even kernel, a full centre smaller than the kernel.

    Reference:
        M. Lustig, J. M. Pauly, SPIRiT: iterative self-consistent parallel imaging reconstruction from arbitrary
        k-space, Magn. Reson. Med. 64:457-471 (2010).
    """
    kspace = _check.array("kspace", kspace, ndim=(3, 4), nonzero=calib is None)
    kernel = odd_kernel("kernel", kernel)
    lam = _check.number("lam", lam, low=0)
    calib_width = _check.integer("calib_width", calib_width, low=1, allow_none=True)
    if calib is not None:
        calib = _check.array("calib", calib, ndim=tuple(sorted({3, kspace.ndim})), nonzero=True)
        if calib.ndim == 4 and len(calib) != len(kspace):
            raise ValueError(f"calib has {len(calib)} slices, kspace {len(kspace)}: they must be the same slices")
    if kspace.ndim == 3 or (calib is not None and calib.ndim == 3):  # one fit
        slices = [(kspace if kspace.ndim == 3 else kspace[0], calib)]
    else:
        slices = zip(kspace, [None] * len(kspace) if calib is None else calib)
    found = []
    with one_blas_thread():
        for one, reference in slices:
            block = calibration_data(one, mask, reference, kernel=kernel, calib_width=calib_width)
            found.append(_fit(block, kernel, lam))
    shape = (*kspace.shape[:-3], *found[0].shape)
    out = np.stack(found).reshape(-1, *found[0].shape).astype(_check.dtype_name(kspace))
    out = np.broadcast_to(out, (len(kspace), *shape[1:])).copy() if kspace.ndim == 4 else out[0]
    return like(out, kspace)


def odd_kernel(name: str, kernel) -> tuple[int, int]:
    """Check the (ky, kx) size of a neighbourhood that has a centre; returns it as a tuple of ints."""
    kernel = _check.shape(name, kernel)
    if len(kernel) != 2 or not all(n % 2 for n in kernel) or kernel == (1, 1):
        raise ValueError(f"{name} must be two odd sizes (ky, kx) such as (5, 5), got {kernel}")
    return kernel


def _fit(block, kernel, lam):
    """The kernel (coil, coil, ky, kx) of calibration samples (coil, cy, cx) in double precision."""
    coils, taps = len(block), kernel[0] * kernel[1]
    B = gram(block / abs(block).max(), kernel)
    n = len(B)
    targets = np.arange(coils) * taps + taps // 2
    weights = np.zeros((n, coils), complex)
    if lam == 0:  # P does not exist where the Gram matrix is singular
        for c, j in enumerate(targets):
            others = np.arange(n) != j
            weights[others, c] = ridge(B[np.ix_(others, others)], B[others, j], 0)
    else:
        weights = -ridge(B, np.eye(n)[:, targets], lam)
        weights /= -weights[targets, np.arange(coils)]
        weights[targets, np.arange(coils)] = 0
    return weights.T.reshape(coils, coils, *kernel)
