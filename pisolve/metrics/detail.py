"""Metrics of detail and appearance beside fastMRI's: HFEN, MS-SSIM and VIF."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.metrics._images import inside, pair, peak_of, scaled, slices

LOG_SIZE, LOG_SIGMA = 15, 1.5
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang's exponents, fine to coarse
VIF_SIZE = 41  # pixels: what the four scales of VIF need


def hfen(reference: ArrayLike | None, image: Any, *, region: ArrayLike | None = None) -> float:
    """High-frequency error norm over the volume, ||LoG(reference - image)|| / ||LoG(reference)||: 0 is equal.

    LoG is the Laplacian of a Gaussian, 15 x 15 pixels with a standard deviation of 1.5 pixels and a sum of zero, as
    Matlab's `fspecial("log", 15, 1.5)`, slice by slice, with zeros beyond the edge. The error norm of the paper is
    divided by the reference's, so that a scale has no effect: it is large where edges and fine structures are wrong.

    Args:
        reference: real or complex array (y, x), (slice, y, x) or (..., y, x); complex is compared by magnitude.
        image: array of the same shape.
        region: bool array of that shape, or (y, x): only there are the filtered images summed.

    Raises:
        ValueError: as `nmse`, or a reference without any edge inside the region.

    Reference:
        Ravishankar and Bresler, MR image reconstruction from highly undersampled k-space data by dictionary learning,
        IEEE Trans Med Imaging 30:1028, 2011.
    """
    from scipy import ndimage

    reference, image = pair(reference, image)
    region = inside(region, reference)
    reference, image, _ = scaled(reference, image)
    kernel = _log()[None]
    error, own = (ndimage.convolve(slices(x), kernel, mode="constant").reshape(region.shape)[region]
                  for x in (reference - image, reference))
    size = np.linalg.norm(own)
    if size <= 1e-12 * np.sqrt(own.size):
        raise ValueError("reference has no edge inside region: choose a region that holds structures")
    return float(np.linalg.norm(error) / size)


def _log() -> np.ndarray:
    """Matlab's fspecial("log"): g (r^2 - 2 s^2) / s^4 with a normalised Gaussian g, less its mean."""
    axis = np.arange(LOG_SIZE) - LOG_SIZE // 2
    square = axis[:, None] ** 2.0 + axis**2.0
    gauss = np.exp(-square / (2 * LOG_SIGMA**2))
    kernel = gauss / gauss.sum() * (square - 2 * LOG_SIGMA**2) / LOG_SIGMA**4
    return kernel - kernel.mean()


def ms_ssim(reference: ArrayLike | None, image: Any, *, data_range: float | None = None) -> float:
    """Multi-scale structural similarity, mean over slices of prod_j cs_j^w_j ssim_M^w_M: 1 is equal.

    SSIM in a Gaussian 11 x 11 window (standard deviation 1.5 pixels, windows inside the image only) at up to five
    scales, each half as fine as the one before; all but the coarsest count without the luminance term. Slices under
    176 pixels have fewer scales (11 pixels are the least), and their exponents w are divided by their sum, so values
    of different matrix sizes are not comparable. By the package `sewar` (the extra `metrics`).

    Args:
        reference: real or complex array (y, x) or (..., y, x), at least 11 x 11; complex is compared by magnitude.
        image: array of the same shape.
        data_range: L in c1 = (0.01 L)^2, c2 = (0.03 L)^2; None: the maximum of the whole reference volume.

    Raises:
        ValueError: as `nmse`, or an image smaller than the window.
        ImportError: sewar is not installed.

    Reference:
        Wang, Simoncelli and Bovik, Multi-scale structural similarity for image quality assessment, Asilomar 2003.
    """
    reference, image = pair(reference, image)
    least = min(reference.shape[-2:])
    if least < 11:
        raise ValueError(f"reference has shape {reference.shape}: the window of MS-SSIM needs 11x11 pixels")
    reference, image, peak = scaled(reference, image, peak_of(reference, data_range))
    library = _check.extra("sewar.full_ref", "metrics")
    weights = np.array(SCALES[: int(np.log2(least / 11)) + 1])
    return float(np.mean([library.msssim(a / peak, b / peak, weights=weights / weights.sum(), MAX=1.0)
                          for a, b in zip(slices(reference), slices(image))]))


def vif(reference: ArrayLike | None, image: Any, *, data_range: float | None = None) -> float:
    """Visual information fidelity in the pixel domain (VIF-P), mean over slices: 1 is equal, above 1 more contrast.

    sum log(1 + g^2 s^2 / (s_v^2 + n)) / sum log(1 + s^2 / n) over four scales: how much of the information that the
    reference holds about a natural scene passes through the image, for an eye with the noise variance n = 2 where the
    range is 255 grey levels (images are scaled to it). By the package `sewar` (the extra `metrics`).

    Args:
        reference: real or complex array (y, x) or (..., y, x), at least 41 x 41; complex is compared by magnitude.
        image: array of the same shape.
        data_range: what becomes 255; None: the maximum of the whole reference volume.

    Raises:
        ValueError: as `nmse`, an image smaller than 41 x 41, or a slice of the reference without any structure.
        ImportError: sewar is not installed.

    Reference:
        Sheikh and Bovik, Image information and visual quality, IEEE Trans Image Process 15:430, 2006.
    """
    reference, image = pair(reference, image)
    if min(reference.shape[-2:]) < VIF_SIZE:
        raise ValueError(f"reference has shape {reference.shape}: VIF needs {VIF_SIZE}x{VIF_SIZE} pixels")
    reference, image, peak = scaled(reference, image, peak_of(reference, data_range))
    if any(np.ptp(s) == 0 for s in slices(reference)):
        raise ValueError("reference has a slice without structure, whose VIF is not defined: leave that slice out")
    library = _check.extra("sewar.full_ref", "metrics")
    return float(np.mean([library.vifp(255 / peak * a, 255 / peak * b)
                          for a, b in zip(slices(reference), slices(image))]))
