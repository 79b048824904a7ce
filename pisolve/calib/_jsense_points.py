"""JSENSE of samples anywhere in k-space: maps and image of its centre, by convolutions on a small grid."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve.backend.points import PointTransform, checked_coord
from pisolve.calib import _coils, _smooth
from pisolve.linops._toeplitz import Toeplitz
from pisolve.linops.solve import cg_solve
from pisolve.scan.density import density


def fit(kspace, coord, shape, *, calib_width, kernel_width, lam, iterations, inner, thresh):
    """Coil maps (coil, y, x) of k-space (coil, *points) at coordinates (*points, 2); see `jsense`.

    All that the alternation needs of the data is E^H y and the convolution E^H E, on a grid of the field of view that
    holds the centre and the reach of the kernels.
    """
    shape = _check.shape("shape", shape)
    if len(shape) != 2:
        raise ValueError(f"shape is {shape}: jsense of samples anywhere is for images (y, x)")
    coord = checked_coord(coord, shape)
    kspace = np.asarray(_check.array("kspace", kspace, nonzero=True))
    if kspace.shape[1:] != coord.shape[:-1]:
        raise ValueError(f"kspace has shape {kspace.shape}, coord {coord.shape}: give (coil, *coord.shape[:-1])")
    coord, y = coord.reshape(-1, 2), kspace.reshape(len(kspace), -1)
    near = (abs(coord) <= calib_width / 2).all(-1) & y.any(0)
    if near.sum() < 9:
        raise ValueError(f"{int(near.sum())} samples lie in the centre of {calib_width} x {calib_width} cells: jsense "
                         "needs at least 9 there, or a larger calib_width")
    k, y = coord[near], y[:, near].astype(np.complex128)
    y /= abs(y).max()
    kernels, u = _alternate(y, k, calib_width, kernel_width, lam, iterations, inner)
    mps = _smooth.field(kernels, shape).astype(kspace.dtype)
    keep = _coils.support(np.linalg.norm(_images(y, k, shape, calib_width), axis=0), thresh)
    return _coils.finish(mps, u, keep, y.any(1))


def _alternate(y, k, calib_width, width, lam, iterations, inner):
    """(the kernels (coil, w, w), the dominant virtual coil) of samples y (coil, point) at k."""
    import scipy.fft
    import scipy.linalg

    n = scipy.fft.next_fast_len(calib_width + width // _smooth.STEP + 1)
    grid = (n, n)
    points = PointTransform(k, grid, 1e-8)
    convolve = Toeplitz(None, points.kernel())
    data = np.empty((len(y), *grid), complex)
    points.backward(y, data)
    u = _coils.leading_coil(y @ y.conj().T)
    first = _images(y, k, grid, None)
    x = np.linalg.norm(first, axis=0) * np.exp(1j * np.angle(np.einsum("c,cyx->yx", u.conj(), first)))
    units = np.eye(width**2, dtype=complex).reshape(-1, width, width)
    waves = _smooth.field(units, grid)  # of every place of a kernel
    q = (np.arange(width) - width // 2) * 2 / width
    penalty = ((1 + q[:, None] ** 2 + q**2) ** _smooth._ORDER).ravel()
    for _ in range(iterations):
        moved = x * waves
        flat = moved.reshape(len(moved), -1).conj()
        gram = flat @ convolve(moved).reshape(len(moved), -1).T
        gram[np.diag_indices_from(gram)] += max(lam, 1e-9) * np.trace(gram).real / len(gram) * penalty
        found = scipy.linalg.solve(gram, flat @ data.reshape(len(data), -1).T, assume_a="pos", check_finite=False)
        kernels = np.ascontiguousarray(found.T.reshape(len(y), width, width))
        mps = _smooth.field(kernels, grid)
        energy = float((abs(mps) ** 2).sum(0).mean())
        scale = len(k) / n**2  # the mean diagonal of E^H E

        def normal(p, mps=mps, mu=lam * energy * scale):
            return (mps.conj() * convolve(mps * p)).sum(0) + mu * p

        x = cg_solve(normal, (mps.conj() * data).sum(0), x, iterations=inner, tol=1e-6)
    return kernels, u


def _images(y, k, shape, width):
    """Gridded images of every coil, under a Hann window of `width` cells where there is one."""
    w = density(k, shape)
    if width is not None:
        w = w * np.prod(0.5 + 0.5 * np.cos(2 * np.pi * k / (width + 1)), axis=-1)
    out = np.empty((len(y), *shape), complex)
    PointTransform(k, shape, 1e-5).backward(y * w, out)
    return out
