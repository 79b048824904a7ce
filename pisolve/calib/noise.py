"""Receiver noise: its covariance between coils, and k-space in which it is white."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve._types import Array, ArrayLike
from pisolve.backend import like, to_numpy

CHUNK = 1 << 16  # samples of all coils that are widened to double precision at a time
SINGULAR = 1e-8  # smallest eigenvalue of the correlation matrix: below, coils repeat each other up to rounding


def noise_covariance(noise: ArrayLike) -> Array:
    """Covariance of the receivers' noise from a noise scan (radio frequency off):

        Psi = 1/N  sum_i n_i n_i^H,        Psi_cc = E |n_c|^2 = 2 sigma_c^2

    with sigma_c the standard deviation of the real and of the imaginary part each. The mean is not taken off: receiver
    noise has none, and a constant offset is a disturbance to be seen. (SigPy's `get_cov` takes it off, does not divide
    by N, and overwrites its argument.)

    Args:
        noise: (coil, samples) or (coil, ...) complex; at least as many samples as coils, better 100 times as many: the
            relative error of an entry is about 1 / sqrt(samples). Numpy, cupy or torch; summed on the CPU.

    Returns:
        (coil, coil) complex128, Hermitian, in the units of noise squared; the kind of array is that of `noise`.

    Raises:
        TypeError, ValueError: not an array of at least two dimensions, NaN or Inf, zero everywhere, too few samples.

    Reference:
        K. P. Pruessmann et al., Magn. Reson. Med. 46:638-651 (2001), appendix B.
    """
    noise = _check.array("noise", noise, nonzero=True)
    if noise.ndim < 2:
        raise ValueError(f"noise has {noise.ndim} dimensions, shape {tuple(noise.shape)}: (coil, samples) needed")
    n = to_numpy(noise).reshape(noise.shape[0], -1)
    if n.shape[1] < n.shape[0]:
        raise ValueError(f"noise has {n.shape[1]} samples of {n.shape[0]} coils, whose covariance is singular: give at "
                         "least as many samples as coils, better 100 times as many")
    psi = np.zeros((len(n), len(n)), np.complex128)
    for start in range(0, n.shape[1], CHUNK):
        part = n[:, start:start + CHUNK].astype(np.complex128)
        psi += part @ part.conj().T
    psi /= n.shape[1]
    return like((psi + psi.conj().T) / 2, noise)


def whitening_matrix(covariance: ArrayLike) -> Array:
    """W = L^-1 with Psi = L L^H (Cholesky): W Psi W^H = I, so W n is white with E |(W n)_c|^2 = 1.

    Real and imaginary part of whitened noise then have a standard deviation of 1 / sqrt(2) each.

    Args:
        covariance: (coil, coil) complex, Hermitian and positive definite, as `noise_covariance` returns. Numpy, cupy or
            torch; decomposed on the CPU.

    Returns:
        (coil, coil) complex128, lower triangular; in units of 1 / noise.

    Raises:
        ValueError: not square or not Hermitian, or singular: the message names the coils without noise (dead) and the
            coils that repeat each other.
    """
    covariance = _check.array("covariance", covariance, ndim=2, nonzero=True)
    psi = to_numpy(covariance).astype(np.complex128)
    if psi.shape[0] != psi.shape[1]:
        raise ValueError(f"covariance has shape {psi.shape}: (coil, coil) needed, as noise_covariance returns")
    if np.linalg.norm(psi - psi.conj().T) > 1e-4 * np.linalg.norm(psi):
        raise ValueError("covariance is not Hermitian: for noise samples use noise_covariance first")
    variance = psi.diagonal().real
    if (variance < 0).any():
        raise ValueError(f"covariance has a negative variance for coils {_names(variance < 0)}: it is no covariance")
    dead = variance == 0
    if dead.any():
        raise ValueError(f"covariance is singular, coils {_names(dead)} have no noise at all, they are dead: drop "
                         f"them, scan.drop_coils([{_names(dead)}])")
    level = np.sqrt(variance)
    values, vectors = np.linalg.eigh(psi / np.outer(level, level))  # gains differ between coils: not a singularity
    if values[0] < -SINGULAR:
        raise ValueError(f"covariance has a negative eigenvalue ({values[0]:.2g} of the coils' correlation): it is no "
                         "covariance, use noise_covariance")
    if values[0] < SINGULAR:
        null = (abs(vectors[:, values < SINGULAR]) > 1e-3).any(1)
        raise ValueError(f"covariance is singular, coils {_names(null)} repeat each other: drop duplicates (or one of "
                         "these) by scan.drop_coils, or give more noise samples")
    L = np.linalg.cholesky(psi / np.outer(level, level))
    W = np.linalg.solve(L, np.eye(len(L))) / level
    return like(np.tril(W), covariance)


def prewhiten(kspace: ArrayLike, noise: ArrayLike) -> Array:
    """K-space W y of virtual coils whose noise is white and of unit variance, W = L^-1, Psi = L L^H.

    Least squares then weighs the coils by what they know. Everything that comes from the coils afterwards (maps,
    calibration data) has to be made of whitened data, too.

    Args:
        kspace: (..., coil, ky, kx) complex, or (coil, samples). Numpy, cupy or torch, where the product is computed.
        noise: a noise scan (coil, samples) or (coil, ...), or the covariance (coil, coil) that `noise_covariance` made
            of one, in the units of `kspace` (of the same receiver bandwidth, or scaled for it). A square Hermitian
            array is a covariance.

    Returns:
        Shape, precision and kind of `kspace`, in units of the noise: sigma of real and imaginary part is 1 / sqrt(2).

    Raises:
        ValueError: other coils than those of kspace, or what `noise_covariance` and `whitening_matrix` refuse.

    Reference:
        K. P. Pruessmann et al., Magn. Reson. Med. 46:638-651 (2001), appendix B.
    """
    kspace = _check.array("kspace", kspace)
    if kspace.ndim < 2:
        raise ValueError(f"kspace has {kspace.ndim} dimensions: (..., coil, ky, kx) or (coil, samples) needed")
    noise = _check.array("noise", noise, nonzero=True)
    axis = kspace.ndim - 3 if kspace.ndim > 2 else 0
    if noise.shape[0] != kspace.shape[axis]:
        raise ValueError(f"noise has {noise.shape[0]} coils, kspace {kspace.shape[axis]} in axis {axis} of shape "
                         f"{tuple(kspace.shape)}: they must be the same coils")
    W = whitening_matrix(noise if noise.ndim == 2 and noise.shape[0] == noise.shape[1] else noise_covariance(noise))
    return mix(to_numpy(W), kspace)


def mix(matrix: ArrayLike, x: ArrayLike) -> Array:
    """matrix @ coils: a numpy (virtual, coil) matrix on the coil axis of (..., coil, y, x), or of (coil, samples)."""
    M = like(matrix.astype(_check.dtype_name(x)), x)
    if x.ndim == 2:
        return M @ x
    flat = x.reshape((*x.shape[:-2], -1))
    return (M @ flat).reshape((*x.shape[:-3], len(matrix), *x.shape[-2:]))


def _names(which) -> str:
    return ", ".join(map(str, np.flatnonzero(which)))
