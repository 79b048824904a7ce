"""Slice-GRAPPA and split-slice-GRAPPA: kernels that take simultaneously excited slices apart in k-space."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pisolve import _check, backend
from pisolve._types import Array, ArrayLike
from pisolve.backend import to_numpy
from pisolve.calib.grappa import DEPENDENT
from pisolve.calib.region import holds_kernel, neighbourhoods, ridge
from pisolve.linops.sms import phases, shifts

_ROWS = 16  # of k-space in a task: fixed, so that results do not depend on the number of threads


@dataclass(frozen=True, eq=False)
class SliceGrappa:
    """What `slice_grappa` fitted; call it with collapsed k-space.

    Args:
        weights: (band, coil, coil, ky, kx) complex: band, coil out, coil in, kernel.
        caipi_shift: the shifts that the collapsed data carry, in fields of view, one for each band.
    """

    weights: np.ndarray
    caipi_shift: tuple[float, ...]

    def __call__(self, kspace: ArrayLike) -> Array:
        """Collapsed k-space (coil, ky, kx) -> single bands (band, coil, ky, kx), their shifts taken off again."""
        kspace = _check.array("kspace", kspace, ndim=3)
        if kspace.shape[0] != self.weights.shape[1]:
            raise ValueError(f"kspace has {kspace.shape[0]} coils, the kernels {self.weights.shape[1]}: they must be "
                             "the same coils")
        return sms_shift(self._convolve(kspace), [-d for d in self.caipi_shift])

    def leakage(self, kspace: ArrayLike) -> tuple[Array, Array]:
        """What becomes of each band alone, the kernels being linear: signal that passes and signal that leaks.

        Args:
            kspace: single bands (band, coil, ky, kx), without shifts, for instance those of the calibration.

        Returns:
            (L, images): L (band out, band in), numpy: energy of band `in` that arrives in band `out` as a fraction of
            its energy; 1 on and 0 off the diagonal would be perfect. images (out, in, coil, y, x): where it arrives,
            of the kind of `kspace`.
        """
        kspace = _check.array("kspace", kspace, ndim=4)
        if kspace.shape[0] != len(self.weights):
            raise ValueError(f"kspace has {kspace.shape[0]} bands, the kernels {len(self.weights)}")
        shifted, xp = sms_shift(kspace, list(self.caipi_shift)), backend.namespace(kspace)
        passed = xp.stack([self(band) for band in shifted], 1)
        energy = (abs(to_numpy(passed).astype(complex)) ** 2).sum((2, 3, 4))
        own = (abs(to_numpy(kspace).astype(complex)) ** 2).sum((1, 2, 3))
        return energy / np.where(own > 0, own, 1), backend.fft(passed, (-2, -1), inverse=True)

    def _convolve(self, x):
        """sum over c', dy, dx of w[band, c, c', dy, dx] x_c'(y + dy - ky//2, x + dx - kx//2), zero outside."""
        bands, coils, _, ky, kx = self.weights.shape
        xp = backend.namespace(x)
        w = backend.like(self.weights.astype(_check.dtype_name(x)).reshape(bands * coils, coils, ky, kx), x)
        ny, nx = x.shape[-2:]
        padded = backend.zeros((coils, ny + ky - 1, nx + kx - 1), x)
        padded[:, ky // 2:ky // 2 + ny, kx // 2:kx // 2 + nx] = x

        def rows(start, stop):
            total = 0
            for dy, dx in np.ndindex(ky, kx):
                part = padded[:, start + dy:stop + dy, dx:dx + nx].reshape(coils, -1)
                total = total + w[:, :, dy, dx] @ part
            return total.reshape(bands, coils, stop - start, nx)

        if xp is not np:
            return rows(0, ny)
        with backend.one_blas_thread():
            parts = backend.parallel(lambda y: rows(y, min(y + _ROWS, ny)), range(0, ny, _ROWS))
        return np.concatenate(parts, 2)


def sms_shift(kspace: ArrayLike, caipi_shift: float | Sequence[float]) -> Array:
    """K-space of single bands with the blipped-CAIPI phases, P_s y_s = exp(2 pi i ky Delta_s) y_s.

    The opposite shift takes them off again, which brings separated bands back to their places.

    Args:
        kspace: (band, coil, ky, kx) complex; numpy, cupy or torch.
        caipi_shift: as in `linops.sms`.

    Returns:
        Shape, precision and kind of `kspace`.
    """
    kspace = _check.array("kspace", kspace, ndim=4)
    return kspace * phases(shifts(caipi_shift, len(kspace)), kspace.shape[-2], kspace)[:, None]


def sms_collapse(kspace: ArrayLike, caipi_shift: float | Sequence[float] = 0) -> Array:
    """What a multiband pulse measures of single bands' k-space: y = sum_s P_s y_s, `sms_shift` and the sum over bands.

    Args:
        kspace: (band, coil, ky, kx) complex; numpy, cupy or torch.
        caipi_shift: as in `linops.sms`.

    Returns:
        (coil, ky, kx).

    Raises:
        TypeError, ValueError: not four dimensions, NaN or Inf, shifts that do not fit the bands.
    """
    return sms_shift(kspace, caipi_shift).sum(0)


def slice_grappa(calib: ArrayLike, caipi_shift: float | Sequence[float] = 0, *, kernel: Sequence[int] = (5, 5),
                 lam: float = 0.01, split: bool = True) -> SliceGrappa:
    """Kernels that separate simultaneously excited slices, from calibration data of the single slices.

        slice-GRAPPA:        W_z = argmin || (sum_s A_s) W - b_z ||^2
        split-slice-GRAPPA:  W_z = argmin sum_s || A_s W - delta_sz b_z ||^2

    A_s holds the neighbourhoods of slice s in k-space, with its shift, b_z the samples of slice z; both with ridge
    regularisation. Split trains each kernel to block the other slices one by one: less leakage between slices, and
    independent of how the slices' contrast changes.

    Args:
        calib: k-space of the centre of each slice alone (band, coil, ky, kx), complex; numpy, cupy or torch; the fit is
            done on the CPU.
        caipi_shift: of the collapsed data, as in `linops.sms`.
        kernel: (ky, kx) odd sizes.
        lam: Tikhonov weight relative to the data's, as in GRAPPA.
        split: split-slice-GRAPPA, else slice-GRAPPA.

    Returns:
        A `SliceGrappa`: call it with collapsed k-space (coil, ky, kx).

    Raises:
        ValueError: calibration data smaller than the kernel, zero, NaN or Inf, an even kernel, shifts that do not fit.

    Warns:
        UserWarning: fewer independent coils than slices, which they then cannot tell apart.

    Reference:
        Setsompop et al., Magn Reson Med 67 (2012) 1210; Cauley et al., Magn Reson Med 72 (2014) 93.
    """
    calib = _check.array("calib", calib, ndim=4, nonzero=True)
    lam = _check.number("lam", lam, low=0)
    kernel = _check.shape("kernel", kernel)
    if len(kernel) != 2 or not all(k % 2 for k in kernel):
        raise ValueError(f"kernel must be two odd sizes (ky, kx), got {kernel}: their centre is the sample to be found")
    holds_kernel("calib", calib.shape[-2:], kernel)
    data = to_numpy(calib).astype(np.complex128)
    largest = abs(data).max()
    data = sms_shift(data / largest, caipi_shift)
    bands, coils = data.shape[:2]
    with backend.one_blas_thread():
        energy = np.linalg.eigvalsh(sum(x @ x.conj().T for x in data.reshape(bands, coils, -1)))
    independent = int((energy > DEPENDENT * energy[-1]).sum())
    if independent < bands:
        warnings.warn(f"{bands} slices are more than {independent} independent coil{'s' * (independent > 1)} can tell "
                      "apart: excite fewer at once, or use linops.sms with a prior", stacklevel=2)
    middle = (slice(None), *(slice(k // 2, n - k // 2) for k, n in zip(kernel, data.shape[2:])))
    with backend.one_blas_thread():
        rows = [neighbourhoods(band, kernel) for band in data]
        sources = rows if split else [sum(rows)] * bands
        targets = [s.conj().T @ band[middle].reshape(coils, -1).T for s, band in zip(sources, data)]
        gram = sum(s.conj().T @ s for s in (rows if split else sources[:1]))
        solved = ridge(gram, np.concatenate(targets, 1), lam)
    weights = solved.reshape(coils, *kernel, bands, coils).transpose(3, 4, 0, 1, 2)
    return SliceGrappa(np.ascontiguousarray(weights), tuple(shifts(caipi_shift, bands)))
