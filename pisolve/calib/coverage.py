"""How much of the object the coil maps see."""

from __future__ import annotations

import numpy as np

from pisolve import _check, masks
from pisolve._types import ArrayLike
from pisolve.backend import fft, parallel, side_by_side, to_numpy
from pisolve.calib.region import middle

NARROW = 8  # lines: a narrower centre inside wider sampling shows too little of the object


def coverage(mps: ArrayLike, kspace: ArrayLike, mask: ArrayLike | None = None,
             calib: ArrayLike | None = None) -> float | None:
    """Share of the object's energy where the coil maps are not zero: what they crop away no reconstruction can show.

        sum over r with mps(r) != 0 of |F^H P y|^2 / sum over all r of |F^H P y|^2,    P: the full centre of k-space

or `calib`, calibration lines that were measured apart, instead of P y.
    The centre alone gives a blurred image, but one without the aliasing of an undersampled scan. Good maps keep 97 %
    or more; ESPIRiT's with a crop that is too high, or from too small a calibration region, keep less.

    Args:
        mps: coil maps (coil, y, x) or (slice, coil, y, x) that broadcast to the shape of `kspace`; several sets of maps
            have an axis more, before the coils.
        kspace: k-space (coil, ky, kx) or (slice, coil, ky, kx), complex, any scale.
        mask: bool or 0/1 array (ky, kx) of what was sampled; None: where `kspace` is not 0.
        calib: calibration k-space (coil, cy, cx) or (slice, coil, cy, cx) measured apart; None: the centre of `kspace`.

    Returns:
        a number in 0..1 over all slices; None where nothing can be said, since the centre of k-space is not sampled or,
        in a scan that sampled more than that, less than 8 samples high or wide (a lattice without calibration lines).

    Raises:
        ValueError: shapes that do not fit, NaN or Inf, k-space that is zero everywhere.
    """
    kspace = to_numpy(_check.array("kspace", kspace, ndim=(3, 4), nonzero=True))
    mps = to_numpy(_check.array("mps", mps, ndim=(3, 4, 5)))
    if mps.ndim <= kspace.ndim:
        mps = np.expand_dims(mps, -4)  # one set
    shape = (*mps.shape[:-4], *mps.shape[-3:])
    if shape not in (kspace.shape, kspace.shape[-3:]):
        raise ValueError(f"mps has shape {shape}, expected {kspace.shape}: one map for each coil of kspace")
    samples = _centre(kspace, mask) if calib is None else to_numpy(_check.array("calib", calib, ndim=(3, 4)))
    if samples is None:
        return None
    if samples.shape[:-2] not in (kspace.shape[:-2], kspace.shape[-3:-2]):
        raise ValueError(f"calib has shape {samples.shape}, kspace {kspace.shape}: coils and slices must agree")
    grid = kspace.shape[-2:]
    if any(m > n for m, n in zip(samples.shape[-2:], grid)):
        raise ValueError(f"calib has shape {samples.shape}, larger than kspace {kspace.shape}: crop its centre")
    block = tuple(middle(n, m) for n, m in zip(grid, samples.shape[-2:]))
    samples, mps = samples.reshape(-1, *samples.shape[-3:]), mps.reshape(-1, *mps.shape[-4:])
    peak = max(parallel(lambda one: abs(one).max(initial=0), samples))
    if peak == 0:
        return None

    def work(z):  # slice by slice, to hold few slices' coil images
        one = samples[z % len(samples)]
        lines = np.zeros((*one.shape[:-1], grid[1]), np.complex64)
        lines[..., block[1]] = one.astype(np.complex128) / float(peak)  # single precision alone overflows for denormals
        centre = np.zeros((len(one), *grid), np.complex64)
        centre[:, block[0]] = fft(lines, (-1,), inverse=True)
        image = fft(centre, (-2,), inverse=True).view(np.float32)
        energy = np.einsum("cyx,cyx->yx", image, image).reshape(*grid, 2).sum(-1, dtype=float)
        return energy[mps[z % len(mps)].any((0, 1))].sum(), energy.sum()

    seen, total = map(sum, zip(*side_by_side(work, range(max(len(samples), len(mps))))))
    return float(seen / total)


def _centre(kspace, mask):
    """The full centre of k-space, None where it is too narrow to tell the object."""
    mask = masks.estimate(kspace) if mask is None else _check.mask("mask", mask, kspace.shape)
    size = masks.centre(mask)
    if min(size) == 0 or (any(m < min(NARROW, n) for m, n in zip(size, mask.shape)) and mask.sum() > np.prod(size)):
        return None
    return kspace[(..., *(middle(n, m) for n, m in zip(mask.shape, size)))]
