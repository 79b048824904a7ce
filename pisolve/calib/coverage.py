"""How much of the object the coil maps see."""

from __future__ import annotations

import numpy as np

from pisolve import _check, masks
from pisolve.backend import fft, to_numpy


def coverage(mps, kspace, mask=None) -> float | None:
    """Share of the object's energy where the coil maps are not zero: what they crop away no reconstruction can show.

        sum over r with mps(r) != 0 of |F^H P y|^2 / sum over all r of |F^H P y|^2,    P: the full centre of k-space

    The centre alone gives a blurred image, but one without the aliasing of an undersampled scan. Good maps keep 97 %
    or more; ESPIRiT's with a crop that is too high, or from too small a calibration region, keep less.

    Args:
        mps: coil maps (coil, y, x) or (slice, coil, y, x) that broadcast to the shape of `kspace`; several sets of maps
            have an axis more, before the coils.
        kspace: k-space (coil, ky, kx) or (slice, coil, ky, kx), complex, any scale.
        mask: bool or 0/1 array (ky, kx) of what was sampled; None: where `kspace` is not 0.

    Returns:
        a number in 0..1 over all slices; None where the centre of k-space is not sampled, so that nothing can be said.

    Raises:
        ValueError: shapes that do not fit, NaN or Inf, k-space that is zero everywhere.
    """
    kspace = to_numpy(_check.array("kspace", kspace, ndim=(3, 4), nonzero=True))
    mps = to_numpy(_check.array("mps", mps, ndim=(3, 4, 5))) != 0
    if mps.ndim > kspace.ndim:  # what any set sees
        mps = mps.any(-4)
    if mps.shape not in (kspace.shape, kspace.shape[-3:]):
        raise ValueError(f"mps has shape {mps.shape}, expected {kspace.shape}: one map for each coil of kspace")
    mask = masks.estimate(kspace) if mask is None else _check.mask("mask", mask, kspace.shape)
    block = tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(mask.shape, masks.centre(mask)))
    kspace, mps = (x.reshape(-1, *x.shape[-3:]) for x in (kspace, mps))
    peak = abs(kspace[(..., *block)]).max(initial=0)
    if peak == 0:
        return None
    seen = total = 0.0
    for z, one in enumerate(kspace):  # slice by slice, to hold one slice's coil images only
        centre = np.zeros(one.shape, np.complex128)  # single precision overflows for denormal data
        centre[(slice(None), *block)] = one[(slice(None), *block)].astype(np.complex128) / float(peak)
        energy = (abs(fft(centre, (-2, -1), inverse=True)) ** 2).sum(0, dtype=float)
        seen += energy[mps[z % len(mps)].any(0)].sum()
        total += energy.sum()
    return float(seen / total)
