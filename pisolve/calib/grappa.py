"""GRAPPA: missing samples of k-space from their measured neighbours in all coils, one linear fit for each geometry."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _check, masks
from pisolve._types import Array, ArrayLike, PathLike
from pisolve.backend import one_blas_thread, parallel
from pisolve.calib import _unalias
from pisolve.calib._geometry import acceleration, enclosed, geometries, offsets
from pisolve.calib.region import calibration_data, gram, ridge
from pisolve.io import atomic
from pisolve.io.numpy import read_npz
from pisolve.linops.grappa import Term, fill

MOST = 1 << 27  # entries of all weights together: 1 GB in single precision
MANY = 10_000  # geometries whose fits take more than seconds
LARGEST = 31  # samples of a window along one axis
DEPENDENT = 1e-9  # a coil with less of the strongest one's energy, beside what the others tell, is none


@dataclass(frozen=True, eq=False)
class GrappaWeights:
    """Weights for one sampling pattern, made by `grappa`; call it on k-space to fill the missing samples.

        k_c(r) = sum over measured r + d in the window, coils c'   w[c, c', d] y_c'(r + d)      where mask(r) is False

    Attributes:
        kernel: size (ky, kx) of the window in samples.
        mask: the sampling pattern (ky, kx), bool.
        lam: the strength of the ridge.
        coils: the number of coils.
        matrices: weights (coil, coil * samples) of each geometry, the samples of a coil side by side.
    """

    kernel: tuple[int, int]
    mask: np.ndarray
    lam: float
    coils: int
    matrices: tuple[Any, ...]

    @cached_property
    def terms(self) -> list[Any]:
        """A `Term` (weights, flat indices of the holes, flat displacements of the samples) of each geometry."""
        patterns, holes, _ = geometries(self.mask, self.kernel)
        at = offsets(self.kernel) @ (self.mask.shape[1], 1)
        return [Term(W, h, at[p]) for W, h, p in zip(self.matrices, holes, patterns)]

    def __call__(self, kspace: ArrayLike) -> Array:
        """K-space (..., coil, ky, kx) with the missing samples filled; what is measured by the mask stays as it is.

        Numpy, cupy or torch; kind and precision are kept, the result is a new array. What the mask says is missing is
        not read. Missing samples whose window holds no measured one are 0.

        Raises:
            ValueError: another matrix size or number of coils than the weights are for, NaN or Inf.
        """
        kspace = _check.array("kspace", kspace)
        self.check("kspace", kspace.shape)
        return fill(kspace, self.mask, self.terms)

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raise a ValueError where the weights are not for k-space of `shape`."""
        if tuple(shape[-3:]) != (self.coils, *self.mask.shape):
            raise ValueError(f"{name} has shape {tuple(shape)}: these weights are for (..., coil, ky, kx) with "
                             f"{(self.coils, *self.mask.shape)}; fit others with calib.grappa")

    def unaliasing(self, shape: Sequence[int] | None = None, *, mps: ArrayLike | None = None) -> np.ndarray:
        """Maps U with which the coil images of the regular samples alone, zero elsewhere, are unaliased.

            image_c(r) = sum_c' U[c, c'](r) aliased_c'(r),    U(r) = sum_d w[., ., d] exp(-2 pi i d . (r - N//2) / N)

        This equals filling k-space up to the edges of k-space (where neighbours are missing and U's wrap around) and to
        calibration lines, which it does not know.

        Args:
            shape: (y, x) of the image; None: that of the mask.
            mps: combination maps (coil, y, x): what comes out is sum_c conj(mps_c) U[c, c'].

        Returns:
            numpy (coil, coil, y, x), or (coil, y, x) with `mps`, of the precision of the weights.

        Raises:
            ValueError: sampling that is no regular lattice (with or without calibration lines), wrong shapes.

        Reference:
            F. A. Breuer et al., General formulation for quantitative g-factor calculation in GRAPPA reconstructions,
            Magn. Reson. Med. 62:739-746 (2009).
        """
        return _unalias.unaliasing(self, shape, mps)[0]

    def gfactor(self, shape: Sequence[int] | None = None, *, mps: ArrayLike | None = None,
                covariance: ArrayLike | None = None) -> np.ndarray:
        """The g-factor: the standard deviation of the noise beside that of a full scan, divided by sqrt(R).

            g = sqrt(u Sigma u^H / (p Sigma p^H)) / R,    u = sum_c p_c U[c, .],  p = conj(mps)

        R is the acceleration of the lattice; calibration lines inside the scan, which lower the noise, are not counted.

        Args:
            shape: (y, x) of the image; None: that of the mask.
            mps: combination maps (coil, y, x); None: a g-factor for each coil's own image.
            covariance: of the noise between the coils, (coil, coil); None: equal and independent.

        Returns:
            numpy (y, x), or (coil, y, x) without `mps`; 0 where all maps are 0.

        Raises:
            ValueError: as for `unaliasing`; a covariance that is not positive definite.

        Reference:
            as for `unaliasing`.
        """
        return _unalias.gfactor(self, shape, mps, covariance)

    def save(self, path: PathLike) -> None:
        """Write the weights to a .npz, whole or not at all."""
        values = np.concatenate([W.ravel() for W in self.matrices]) if self.matrices else np.zeros(0, np.complex64)
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, kernel=np.array(self.kernel), mask=self.mask, lam=np.array(self.lam),
                     coils=np.array(self.coils), values=values)

    @staticmethod
    def load(path: PathLike) -> GrappaWeights:
        """Read weights that `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged file, or one that holds no GRAPPA weights.
        """
        names = ("kernel", "mask", "lam", "coils", "values")
        found = read_npz(path, names, 16 * MOST)
        try:
            kernel, coils, lam = _kernel(tuple(found["kernel"].tolist())), int(found["coils"]), float(found["lam"])
            mask, values = found["mask"], found["values"]
            if mask.ndim != 2 or mask.dtype != bool or values.dtype.name not in _check.COMPLEX or coils < 1:
                raise ValueError
            sizes = geometries(mask, kernel)[0].sum(1) * coils**2
            if sizes.sum() != values.size or not _check.all_finite(values):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path} holds no GRAPPA weights: write them with GrappaWeights.save") from None
        parts = np.split(values, np.cumsum(sizes)[:-1]) if len(sizes) else []
        return GrappaWeights(kernel, mask, lam, coils, tuple(part.reshape(coils, -1) for part in parts))


def grappa(kspace: ArrayLike, mask: ArrayLike | None = None, calib: ArrayLike | None = None,
           kernel: Sequence[int] = (5, 5), lam: float = 0.01, *, padded: bool = False) -> GrappaWeights:
    """Fit GRAPPA weights to the fully sampled centre, for every geometry of measured neighbours that the mask has.

        w = (A_S^H A_S + lam ||A_S^H A_S||_F / n)^-1 A_S^H A_t

    A holds all windows of the calibration samples, S the samples of a window that are measured around a hole, t its
    centre in all coils. A^H A is computed once, and each geometry takes its rows and columns. Any mask: lines along ky
    or kx, two-dimensional lattices with or without CAIPI shift, random points.

        weights = calib.grappa(y, mask)
        full = weights(y)

    Args:
        kspace: (coil, ky, kx) complex, any scale; numpy, cupy or torch. The fit is done on the CPU in double
            precision, the weights are kept in the precision of `kspace`. For series, fit one frame and apply the
            weights to all.
        mask: sampling mask (ky, kx), (ky, 1) or (1, kx), True where measured; None: where `kspace` is not 0.
        calib: calibration k-space (coil, cy, cx), all of it, in place of the fully sampled centre of `kspace`; with
            the same distance between samples.
        kernel: size (ky, kx) of the window around a missing sample, in samples measured or not, as pygrappa's
            kernel_size. Griswold's 4 lines by 5 at acceleration R is (4 R - 1, 5). (5, 5) sees both neighbouring
            lines up to R = 3 and the nearer one up to R = 5. On a bottle phantom of 16 coils and simulated data of 8,
            R = 2 to 4 with 24 calibration lines, larger windows lowered the error by at most 3 % and raised it by up
            to 60 % (R = 4): too few windows fit into the calibration lines.
        lam: strength of the ridge, in the units of the data; 0: pseudo-inverse.
        padded: take also windows that hang over the edge of the calibration samples, zeros beside it, as pygrappa does.
            False fits to true samples only: on these data with (5, 5) up to 7 % less error with 16 to 32 lines, up to
            30 % less with 12, and at worst 1 % more.

    Returns:
        GrappaWeights, a function of k-space.

    Raises:
        TypeError, ValueError: bad shapes or values, a full centre or `calib` smaller than the kernel, other coils in
            `calib`, a window that sees no measured sample, more geometries than fit into memory.

    Warns:
        UserWarning: an acceleration beyond the independent coils, holes that no window fills, many geometries.

    Reference:
        M. A. Griswold et al., Generalized autocalibrating partially parallel acquisitions (GRAPPA),
        Magn. Reson. Med. 47:1202-1210 (2002).
    """
    kspace = _check.array("kspace", kspace, ndim=3, nonzero=True)
    coils = kspace.shape[0]
    mask = masks.estimate(kspace) if mask is None else _check.mask("mask", mask, kspace.shape)
    kernel, lam = _kernel(kernel), _check.number("lam", lam, low=0)
    patterns, _, blind = geometries(mask, kernel)
    if not len(patterns) and not blind.size:
        return GrappaWeights(kernel, mask, lam, coils, ())
    _check_work(mask, kernel, int(patterns.sum()) * coils**2, len(patterns), blind)
    block = calibration_data(kspace, mask, calib, kernel=kernel)
    if padded:
        block = np.pad(block, [(0, 0), *((k // 2, k - 1 - k // 2) for k in kernel)])
    first = np.arange(coils)[:, None] * (kernel[0] * kernel[1])
    centre = first[:, 0] + kernel[0] // 2 * kernel[1] + kernel[1] // 2
    with one_blas_thread():
        B = gram(block / abs(block).max(), kernel)
        _check_coils(mask, B[np.ix_(centre, centre)])

        def fit(pattern):
            samples = (first + np.flatnonzero(pattern)).ravel()
            W = ridge(B[np.ix_(samples, samples)], B[np.ix_(samples, centre)], lam)
            return np.ascontiguousarray(W.T, _check.dtype_name(kspace))

        return GrappaWeights(kernel, mask, lam, coils, tuple(parallel(fit, patterns)))


def _kernel(kernel):
    kernel = _check.shape("kernel", kernel)
    if len(kernel) != 2 or kernel == (1, 1) or max(kernel) > LARGEST:
        raise ValueError(f"kernel must be two sizes (ky, kx) in samples, up to {LARGEST}, such as (5, 5), got {kernel}")
    return kernel


def _check_work(mask, kernel, entries, count, blind):
    """Refuse or warn of windows that see nothing, and of more geometries than is sensible."""
    missing = int((~mask).sum())
    if blind.size == missing:
        raise ValueError(f"kernel {kernel} sees no measured sample from any missing one: give a larger one, for every "
                         "R-th line (4 R - 1, 5)")
    lost = enclosed(mask, blind)
    if lost:
        warnings.warn(f"{lost / missing:.1%} of the missing samples have no measured one within kernel {kernel} and "
                      "stay 0: give a larger kernel", stacklevel=3)
    if entries > MOST:
        raise ValueError(f"mask has {count} geometries within kernel {kernel}, whose weights have {entries:,} entries: "
                         "irregular masks are for SPIRiT or linops.sense, or give a smaller kernel")
    if count > MANY:
        warnings.warn(f"mask has {count} geometries within kernel {kernel}, each with its own fit: this takes long; "
                      "irregular masks are for SPIRiT or linops.sense", stacklevel=3)


def _check_coils(mask, covariance):
    """Warn where there are more holes than coils to tell them apart."""
    energy = np.linalg.eigvalsh(covariance)
    independent, accel = int((energy > DEPENDENT * energy[-1]).sum()), acceleration(mask)
    if round(accel) >= max(independent, 2):
        coils = f"{independent} independent coil{'s' * (independent > 1)}"
        warnings.warn(f"acceleration {accel:.1f} beside the calibration lines is not resolved by {coils}: take a "
                      "smaller one, or linops.sense with a prior", stacklevel=3)
