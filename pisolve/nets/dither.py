"""Dithering: noise for the eye on smooth network images, which metrics refuse to judge."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.backend import to_numpy


class DisplayOnly(np.ndarray):
    """A numpy array to look at, not to measure: `pisolve.metrics` refuse it, and what is computed from it is one, too.

    `numpy.asarray(image)` takes the mark off, for those who know what they do.
    """

    display_only = True


def dither(image: ArrayLike, sigma: float = 0.02, *, window: int = 11, seed: int = 0) -> DisplayOnly:
    """x / max(x) + n with n ~ N(0, sigma^2 m), m the median of x / max(x) over `window` x `window` pixels.

    Networks trained on a pixel loss or SSIM smooth the noise away, and readers take such images for blurred; noise that
    follows the local brightness makes them look natural. It adds no detail and worsens every metric, so the result is
    marked `DisplayOnly`. No noise is added where the local median is 0, as in the air.

    Args:
        image: magnitude images (y, x) or (slice, y, x), real and >= 0; one maximum for the whole volume.
        sigma: >= 0; E2E-VarNet's authors take 0.02 for brains and proton density, 0.03 for fat suppression.
        window: side of the median's window in pixels, odd; the image is reflected at its edges.
        seed: the same seed gives the same noise.

    Returns:
        `DisplayOnly` float32 or float64 numpy array of the image's shape, with values of about 0 to 1 (noise may leave
        this range).

    Raises:
        TypeError: complex input.
        ValueError: negative values, NaN or Inf, an image of zeros, or arguments out of range.

    Reference:
        Sriram et al., "End-to-End Variational Networks for Accelerated MRI Reconstruction", MICCAI 2020, supplement.
    """
    from scipy import ndimage

    x = to_numpy(image) if _check.is_array(image) else image
    _check.array("image", x, ndim=(2, 3), complex_=False, nonzero=True)
    if x.dtype.kind == "c":
        raise TypeError(f"image has dtype {x.dtype}: dithering is for magnitudes, give abs(image)")
    if x.min() < 0:
        raise ValueError(f"image has values down to {x.min():.3g}: dithering is for magnitudes, give abs(image)")
    sigma = _check.number("sigma", sigma, low=0)
    if _check.integer("window", window, low=1) % 2 == 0:
        raise ValueError(f"window must be odd, got {window}")
    seed = _check.integer("seed", seed, low=0)
    x = x.astype(np.float32 if x.dtype == np.float32 else np.float64)
    x /= x.max()
    median = np.stack([ndimage.median_filter(s, window, mode="reflect") for s in x.reshape(-1, *x.shape[-2:])])
    noise = np.random.default_rng(seed).standard_normal(x.shape, dtype=x.dtype)
    x += sigma * np.sqrt(median.reshape(x.shape)) * noise
    return x.view(DisplayOnly)
