"""fastMRI's metrics: NMSE, PSNR and SSIM over the volume, with the volume's maximum as range; the body mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve._types import ArrayLike
from pisolve.metrics._images import inside, magnitude, pair, peak_of, scaled, slices

WINDOW = 7
_ABOVE = 1.25  # times the noise floor; 5x5 averages of the noise of one coil scatter by a tenth of it, of more by less


def nmse(reference: ArrayLike | None, image: Any, *, region: ArrayLike | None = None) -> float:
    """Normalised mean squared error over the volume, ||reference - image||^2 / ||reference||^2: 0 is equal.

    Args:
        reference: real or complex array (y, x), (slice, y, x) or (..., y, x); complex is compared by magnitude.
        image: array of the same shape.
        region: bool array of that shape, or (y, x) for all slices: only the pixels where it is True count.

    Raises:
        ValueError: shapes differ, NaN or Inf, or a reference that is zero everywhere.

    Reference:
        Zbontar et al., fastMRI: An Open Dataset and Benchmarks for Accelerated MRI, arXiv:1811.08839, section 5.3.
    """
    reference, image = pair(reference, image)
    region = inside(region, reference)
    reference, image = reference[region], image[region]
    if not reference.any():
        raise ValueError("reference is zero everywhere inside region: choose a region that holds the object")
    reference, image, _ = scaled(reference, image)
    return float(np.sum((reference - image) ** 2) / np.sum(reference**2))


def psnr(reference: ArrayLike | None, image: Any, *, data_range: float | None = None,
         region: ArrayLike | None = None) -> float:
    """Peak signal-to-noise ratio over the volume in dB, 10 log10(range^2 / mean (reference - image)^2).

    One mean squared error for the whole volume, not a mean of slices' values (which differ by decibels); infinite for
    equal images.

    Args:
        reference: real or complex array (y, x), (slice, y, x) or (..., y, x); complex is compared by magnitude.
        image: array of the same shape.
        data_range: the peak; None takes the maximum of the whole reference volume, as fastMRI does.
        region: bool array of that shape, or (y, x): the mean is taken where it is True.

    Raises:
        ValueError: as `nmse`.

    Reference:
        Zbontar et al., arXiv:1811.08839, section 5.3.
    """
    reference, image = pair(reference, image)
    region = inside(region, reference)
    reference, image, peak = scaled(reference, image, peak_of(reference, data_range))
    mse = np.mean((reference[region] - image[region]) ** 2)
    return float("inf") if mse == 0 else float(20 * np.log10(peak) - 10 * np.log10(mse))


def ssim(reference: ArrayLike | None, image: Any, *, data_range: float | None = None) -> float:
    """Structural similarity, mean over slices of (2 m n + c1)(2 s_mn + c2) / ((m^2 + n^2 + c1)(s_m^2 + s_n^2 + c2)).

    Means, variances and the covariance in a uniform 7x7 window with the sample (N - 1) normalisation; c1 = (0.01 L)^2,
    c2 = (0.03 L)^2 with the range L; windows that leave the image do not count (a border of 3 pixels).

    Args:
        reference: real or complex array (y, x) or (..., y, x), at least 7x7; complex is compared by magnitude.
        image: array of the same shape.
        data_range: L; None takes the maximum of the whole reference volume, as fastMRI does.

    Raises:
        ValueError: as `nmse`, or an image smaller than the window.

    Reference:
        Wang et al., Image Quality Assessment, IEEE Trans Image Process 13:600, 2004; arXiv:1811.08839, section 5.3.
    """
    from scipy import ndimage

    reference, image = pair(reference, image)
    if min(reference.shape[-2:]) < WINDOW:
        raise ValueError(f"reference has shape {reference.shape}: SSIM's window needs {WINDOW}x{WINDOW} pixels")
    reference, image, peak = scaled(reference, image, peak_of(reference, data_range))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    sample = WINDOW**2 / (WINDOW**2 - 1)
    edge = WINDOW // 2
    values = []
    for a, b in zip(slices(reference), slices(image)):
        ma, mb, aa, bb, ab = (ndimage.uniform_filter(v, WINDOW)[edge:-edge, edge:-edge]
                              for v in (a, b, a * a, b * b, a * b))
        var_a, var_b, cov = sample * (aa - ma * ma), sample * (bb - mb * mb), sample * (ab - ma * mb)
        values.append(np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (var_a + var_b + c2))))
    return float(np.mean(values))


def all(reference: ArrayLike | None, image: Any, *, region: ArrayLike | None = None) -> dict[str, float]:
    """The three of them, {"nmse", "psnr", "ssim"}, over the volume; `region` holds for NMSE and PSNR."""
    return {"nmse": nmse(reference, image, region=region), "psnr": psnr(reference, image, region=region),
            "ssim": ssim(reference, image)}


def body(reference: ArrayLike) -> np.ndarray:
    """A bool mask of the object: smoothed magnitude above 10 % of its 99th percentile, largest piece, holes filled.

    The magnitude is averaged over 5x5 pixels, so that single noise peaks do not count; of each slice the largest
    connected piece is kept and its holes (air, bone, fluid) are filled. The 99th percentile is that of the volume.
    A root sum of squares has noise in the air that averaging does not remove, at sqrt(2 coils) times the noise of one
    part: where that floor shows the threshold is at least 1.25 times it. A floor above 40 % of the percentile cannot be
    told from an object that fills the image, and then all of the image counts.

    Args:
        reference: real or complex array (y, x), (slice, y, x) or (..., y, x).

    Returns:
        bool array of the same shape; False everywhere in a slice without signal.

    Raises:
        ValueError: NaN or Inf, or zero everywhere.
    """
    from scipy import ndimage

    reference, _, _ = scaled(*2 * [magnitude("reference", reference)])
    smooth = np.stack([ndimage.uniform_filter(s, 5) for s in slices(reference)])
    high = np.percentile(smooth, 99)
    found = smooth > max(0.1 * high, _ABOVE * _floor(smooth, high))
    for k, piece in enumerate(found):
        labels, count = ndimage.label(piece)
        if count:
            largest = 1 + np.argmax(ndimage.sum_labels(piece, labels, range(1, count + 1)))
            found[k] = ndimage.binary_fill_holes(labels == largest)
    return found.reshape(reference.shape)


def _floor(smooth, high) -> float:
    """The noise floor of smoothed magnitudes (slice, y, x) whose 99th percentile is `high`, or 0 where none shows.

    The median of the lowest values, if they look like noise in the air: many are equal (5 % of the pixels within 25 %
    of it), few lie just above (a shaded object would fill that band, too), and the object stands out of it (`high` is
    2.5 times as much or more: else it may be an object that fills the image).
    """
    seen = smooth[smooth.any(axis=(1, 2))]  # empty slices say nothing
    low = np.percentile(seen, 1)
    if low <= 0:  # air without noise; the running sums of the averages can end below 0
        return 0.0
    level = float(np.median(seen[seen <= 1.5 * low]))
    flat = np.mean(abs(seen - level) < 0.25 * level)
    above = np.mean((seen >= 1.25 * level) & (seen < 1.5 * level))
    return level if flat > 0.05 and 5 * above < flat and 2.5 * level < high else 0.0
