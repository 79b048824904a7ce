"""GRAPPA as a multiplication in image space, where the sampling is a regular lattice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve import _check
from pisolve._types import Array, ArrayLike
from pisolve.backend import parallel, to_numpy
from pisolve.calib._geometry import geometries, lattice_of, offsets


def unaliasing(weights, shape, mps):
    """The maps that `GrappaWeights.unaliasing` documents, and the acceleration of the lattice."""
    shape = weights.mask.shape if shape is None else _check.shape("shape", shape)
    if len(shape) != 2:
        raise ValueError(f"shape must be the two sizes (y, x) of the image, got {shape}")
    kernel, accel = _convolution(weights)
    y, x = (np.exp(-2j * np.pi / n * np.outer(np.arange(n) - n // 2, np.arange(k) - k // 2)).astype(kernel.dtype)
            for n, k in zip(shape, weights.kernel))
    if mps is not None:
        mps = to_numpy(_check.array("mps", mps, shape=(weights.coils, *shape))).conj().astype(kernel.dtype)

    def work(coil):  # what the aliased image of one coil adds to all coils
        maps = y @ (kernel[:, coil] @ x.T)
        return maps if mps is None else (mps * maps).sum(0)

    found = parallel(work, range(weights.coils))
    return np.stack(found, 1 if mps is None else 0), accel


def gfactor(weights: ArrayLike, shape: Sequence[int], mps: ArrayLike, covariance: ArrayLike) -> Array:
    """The map that `GrappaWeights.gfactor` documents."""
    maps, accel = unaliasing(weights, shape, mps)
    full = np.eye(weights.coils)[:, :, None, None] if mps is None else to_numpy(mps).conj()
    if covariance is None:
        covariance = np.eye(weights.coils)
    covariance = to_numpy(_check.array("covariance", covariance, shape=(weights.coils, weights.coils), nonzero=True))
    try:
        root = np.linalg.cholesky(covariance.astype("complex128"))
    except np.linalg.LinAlgError:
        raise ValueError("covariance must be Hermitian and positive definite: take it from a noise scan, "
                         "calib.noise_covariance") from None
    root = root.astype(maps.dtype)
    after, before = (abs(np.einsum("...dyx,de->...eyx", p, root, optimize=True)) ** 2 for p in (maps, full))
    after, before = after.sum(-3), before.sum(-3)
    return np.sqrt(np.divide(after, before, out=np.zeros_like(after), where=before > 0)) / accel


def _convolution(weights):
    """The kernel (coil, coil, ky, kx) with which lattice samples are convolved, 1 at its centre; and R.

    A displacement leads from one class of missing samples only to a lattice point, so the classes' weights are entries
    of one kernel.
    """
    lattice = lattice_of(weights.mask)
    if lattice is None:
        raise ValueError("mask is no regular lattice beside its calibration lines: unaliasing maps exist for regular "
                         "sampling only, apply the weights to k-space")
    patterns, _, _ = geometries(weights.mask, weights.kernel)
    known = {p.tobytes(): W for p, W in zip(patterns, weights.matrices)}
    at = offsets(weights.kernel)
    coils = weights.coils
    dtype = weights.matrices[0].dtype if weights.matrices else np.complex64
    out = np.zeros((coils, coils, len(at)), dtype)
    out[:, :, (at == 0).all(1)] = np.eye(coils)[:, :, None]
    for hole in np.ndindex(lattice.ry, lattice.rx):
        if hole == (0, 0):
            continue
        step, rest = np.divmod(hole[0] + at[:, 0], lattice.ry)
        pattern = (rest == 0) & ((hole[1] + at[:, 1] - step * lattice.shift) % lattice.rx == 0)
        if not pattern.any():
            continue
        if pattern.tobytes() not in known:
            raise ValueError("mask has no missing sample that sees the regular lattice alone: its calibration lines "
                             "cover it, give them as calib and the lattice as mask")
        out[:, :, pattern] = known[pattern.tobytes()].reshape(coils, coils, -1)
    return out.reshape(coils, coils, *weights.kernel), lattice.ry * lattice.rx
