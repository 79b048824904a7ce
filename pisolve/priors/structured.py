"""Structured low rank: neighbourhoods of multi-coil k-space span a small space, without any calibration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._types import Array, ArrayLike
from pisolve.linops import apply, coil_filter
from pisolve.priors.base import Prior
from pisolve.priors.sparse import as_call


class StructuredLowRank(Prior):
    """SAKE: the block-Hankel matrix H of all coils' k-space neighbourhoods has rank `rank`; no calibration is needed.

        prox(x): H <- Hankel(F x),  H <- its best approximation of rank r,  x <- F^H (mean of H's copies of a sample)

    for coil images x (coil, y, x), k-space being periodic. This is one step of Cadzow's algorithm and not the prox of a
    function: H is projected, then the Hankel structure is restored. So the prior is implicit, and a run looks for a
    fixed point. `FISTA(momentum=False)` with `linops.sampled_fft` alternates it with the measured samples, which is
    SAKE as published. H itself is never made: with the leading right singular vectors V of H, from the correlations of
    the coil images at a few shifts, the step is the convolution with V V^H summed along its diagonals,
    `linops.coil_filter`. Gradients through it take the projection as constant.

    Use:
        for undersampled multi-coil scans without a fully sampled centre, sampled at random or with variable density.
        Afterwards its k-space calibrates ESPIRiT or SPIRiT, which is faster and takes other priors.

    Args:
        rank: singular vectors that are kept, of coil * ky * kx. Published values are 1.5 to 2.5 times ky * kx.
        kernel: (ky, kx) size of the neighbourhood in samples.

    Raises:
        TypeError, ValueError: sizes that are no whole numbers >= 1; with an image, fewer columns than `rank`, or a
            kernel of more than half of its size.

    Reference:
        Shin et al., Magn Reson Med 72 (2014) 959; Cadzow, IEEE Trans Acoust Speech Signal Process 36 (1988) 49.

    Example:
        M = pi.linops.sampled_fft(scan.kspace.shape, scan.mask)
        pi.solve(M, scan.kspace, pi.StructuredLowRank(40), pi.FISTA(momentum=False), max_iter=30)
    """

    rank: int | None
    kernel: Any

    convex = False
    implicit = True
    __repr__ = as_call

    def __init__(self, rank: int, *, kernel: tuple[int, int] = (5, 5)):
        self.rank: int | None = _check.integer("rank", rank, low=1)
        self.kernel: Any = _check.shape("kernel", kernel)
        if len(self.kernel) != 2:
            raise ValueError(f"kernel must be two sizes (ky, kx), got {self.kernel}")

    def value(self, x: ArrayLike) -> float | None:
        return None

    def __mul__(self, lam: Any) -> Prior:
        raise ValueError("lam has no effect on StructuredLowRank: its strength is rank")

    __rmul__ = __mul__

    def split(self, shape: Sequence[int]) -> tuple[Prior, Any]:
        columns = shape[0] * self.kernel[0] * self.kernel[1]
        if len(shape) != 3 or any(2 * k - 1 > n for k, n in zip(self.kernel, shape[1:])):
            raise ValueError(f"StructuredLowRank is for coil images (coil, y, x) of at least "
                             f"{2 * self.kernel[0] - 1} x {2 * self.kernel[1] - 1} pixels, got shape {tuple(shape)}")
        if self.rank > columns:
            raise ValueError(f"rank must be at most coils * kernel = {columns}, got {self.rank}")
        return self, None

    def prox(self, x: ArrayLike, step: Any) -> Array:
        self.split(x.shape)
        if not _check.all_finite(x):  # LAPACK would raise; a run says so in its status
            return x * float("nan")
        kernel = self._filter(backend.from_torch(x, x if backend.native(x) else None) if _check.is_torch(x) else x)
        return apply(coil_filter(kernel, tuple(x.shape)), x)

    def _filter(self, x):
        """The convolution kernel (coil, coil, 2 ky - 1, 2 kx - 1) of the step, a function of the coil images only."""
        (ky, kx), coils, xp = self.kernel, len(x), backend.namespace(x)
        with backend.one_blas_thread():
            gram = self._gram(x)
            V = xp.linalg.eigh(gram)[1][:, -self.rank:]
        P = (V.conj() @ V.T).reshape(coils, ky, kx, coils, ky, kx) / (ky * kx)
        out = backend.zeros((coils, coils, 2 * ky - 1, 2 * kx - 1), x, "complex128")
        for dy, dx in np.ndindex(ky, kx):  # sample d of the row that is written, all those that are read
            top, left = ky - 1 - dy, kx - 1 - dx
            out[:, :, top:top + ky, left:left + kx] += P[:, dy, dx]
        return backend.cast(out, x)

    def _gram(self, x):
        """H^H H, which holds R_ab[l] = sum over pixels of conj(x_a) x_b exp(-2 pi i l r / N) at short lags l."""
        (ky, kx), (coils, ny, nx), xp = self.kernel, x.shape, backend.namespace(x)
        lags = [_turns(n, k).like(x) for n, k in ((ny, ky), (nx, kx))]
        size = float(abs(x).max()) or 1.0
        x = backend.cast(x, "complex128") / size
        along_x = (x[:, None] * lags[1].T[None, :, None]).reshape(-1, ny, nx)  # (coil * lag, y, x)
        if xp is np:
            R = np.stack(backend.parallel(lambda y: x[:, y].conj() @ along_x[:, y].T, range(ny)))
        else:
            R = x.conj().swapaxes(0, 1) @ xp.moveaxis(along_x, 0, 2)  # (y, coil, coil * lag)
        R = xp.tensordot(lags[0].T, R, 1).reshape(2 * ky - 1, coils, coils, 2 * kx - 1)
        R = xp.moveaxis(R, 0, 2)
        gram = backend.empty((coils, ky, kx, coils, ky, kx), x, "complex128")
        for dy, dx in np.ndindex(ky, kx):
            top, left = ky - 1 - dy, kx - 1 - dx
            gram[:, dy, dx] = R[:, :, top:top + ky, left:left + kx]
        return gram.reshape(coils * ky * kx, -1)


@lru_cache(16)
def _turns(n, k) -> backend.Constant:
    """exp(-2 pi i l r / N) at the pixels r of an axis and the lags l within a window of k samples."""
    return backend.Constant(np.exp(-2j * np.pi / n * np.outer(np.arange(n) - n // 2, np.arange(2 * k - 1) - (k - 1))))
