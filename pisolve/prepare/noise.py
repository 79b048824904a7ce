"""How much noise there is in k-space, from its outer samples alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.backend import to_numpy

_SHARE, _LEAST = 0.1, 50  # of the sampled positions, the outermost; and how many at least
_MEDIAN = np.sqrt(2 * np.log(2))  # of |n| where real and imaginary part have the standard deviation 1: 1.1774


def noise_level(kspace: ArrayLike, mask: Any = None, *, ndim: int = 2, far: Any = None) -> float:
    """Standard deviation of the real and of the imaginary part of the noise in a k-space sample, from outer k-space.

    sigma^2 = mean over coils of (median |y_c| / 1.1774)^2 over the outermost tenth of the sampled positions (at least
    50), by their distance from the centre in units of the matrix size: the median of a Rayleigh distribution is 1.1774
    sigma. The median does not mind single bright samples, but any signal out there makes the estimate too large: by
    0 to 20 % on matrices of 128 to 192 where the noise is 2 to 3 % of the image, by 60 % where it is 1 %. With several
    coils and their maps `tuning.residual_noise` is better. Zero-padded borders do not count.

    Args:
        kspace: complex (..., coil, ky, kx) or (ky, kx), centred, orthonormal convention, any scale; numpy, cupy, torch.
        mask: bool or 0/1 (ky, kx) of what was sampled, with the axes before the coils in front (of size 1 where they do
            not matter) where frames have their own; None: where `kspace` is not 0.
        ndim: 3 for k-space (..., coil, kz, ky, kx).
        far: the distance of each sample from the centre, where it is not that on a grid.

    Raises:
        TypeError, ValueError: not an array of at least two dimensions, NaN or Inf, nothing but zeros.
    """
    kspace = to_numpy(_check.array("kspace", kspace, nonzero=True))
    if kspace.ndim < 2:
        raise ValueError(f"kspace has {kspace.ndim} dimensions: (..., ky, kx) needed")
    inner = kspace.shape[-ndim:]
    while getattr(mask, "ndim", 0) > ndim and (mask == mask[:1]).all():  # one for all, however it was repeated
        mask = mask[0]
    own = mask is not None and getattr(mask, "ndim", 0) > ndim and kspace.ndim > ndim + 1
    if own:  # each frame by its own samples
        masks = np.broadcast_to(mask, (*kspace.shape[:-1 - ndim], *inner)).reshape(-1, *inner) != 0
        kspace = kspace.reshape(-1, *kspace.shape[-1 - ndim:])
        rows = [_outer(k, (k != 0).any(axis=0) & m, far) for k, m in zip(kspace, masks) if (k[:, m] != 0).any()]
    else:
        sampled = (kspace != 0).any(axis=tuple(range(kspace.ndim - ndim)))
        if mask is not None:
            sampled &= _check.mask("mask", mask, kspace.shape) if ndim == 2 else np.asarray(mask) != 0
        rows = [_outer(kspace, sampled, far)] if sampled.any() else []
    if not rows:
        raise ValueError("kspace is zero wherever mask is True: the mask belongs to other data")
    return float(np.sqrt(np.mean([rayleigh(r) ** 2 for r in rows]))) if own else rayleigh(rows[0])


def _outer(kspace, sampled, far):
    """The outermost sampled positions, (coil, n)."""
    if far is None:
        far = sum(np.square((np.arange(n) - n // 2) / n).reshape([-1 if a == i else 1 for a in range(sampled.ndim)])
                  for i, n in enumerate(sampled.shape))
    order = np.argsort(np.where(sampled, -far, 1), axis=None, kind="stable")
    count = int(sampled.sum())
    outer = order[: min(count, max(_LEAST, int(_SHARE * count)))]
    return kspace.reshape(-1, sampled.size)[:, outer]


def rayleigh(samples) -> float:
    """sigma from samples (coil, n) that hold noise alone: the root mean square over coils of median / 1.1774."""
    return float(np.sqrt(np.mean((np.median(abs(samples), axis=1).astype(np.float64) / _MEDIAN) ** 2)))
