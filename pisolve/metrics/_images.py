"""What all metrics share: magnitudes in double precision, one shape, one scale, a region, a range."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve.backend import to_numpy


def magnitude(name, x) -> np.ndarray:
    """The magnitude of an image (y, x), (slice, y, x) or (..., y, x) in double precision, checked."""
    x = image_of(x)
    if getattr(x, "display_only", False):
        raise TypeError(f"{name} is display only (noise was added for the eye): measure the image it was made from")
    x = to_numpy(x) if _check.is_array(x) else x
    _check.array(name, x, ndim=None if getattr(x, "ndim", 0) > 3 else (2, 3), complex_=False,
                 nonzero=name == "reference")
    return abs(x.astype(np.complex128)) if x.dtype.kind == "c" else x.astype(np.float64)


def image_of(x, other=None):
    """The image of a `Reconstruction`, beside its scan's own reference as that shows it; anything else as it is."""
    if not (hasattr(x, "scan") and hasattr(x, "like_reference")):
        return x
    return x.x if other is None or other is not x.scan.reference else x.like_reference


def cropped(image, shape):
    """A result's image in this shape: its centre along y and x, as fastMRI crops; axes of size 1 do not matter."""
    if image.shape[-2] >= shape[-2] and image.shape[-1] >= shape[-1]:
        top, left = (image.shape[-2] - shape[-2]) // 2, (image.shape[-1] - shape[-1]) // 2
        image = image[..., top: top + shape[-2], left: left + shape[-1]]
    alike = [n for n in image.shape if n > 1] == [n for n in shape if n > 1]
    return image.reshape(shape) if alike else image


def pair(reference, image):
    """The magnitudes of two images of one shape."""
    given = reference, image
    reference, image = image_of(reference, image), image_of(image, reference)
    results = [a is not b for a, b in zip(given, (reference, image))]
    reference, image = magnitude("reference", reference), magnitude("image", image)
    if results[1]:
        image = cropped(image, reference.shape)
    elif results[0]:
        reference = cropped(reference, image.shape)
    if reference.shape != image.shape:
        raise ValueError(f"image has shape {image.shape}, reference {reference.shape}: crop them to one shape")
    return reference, image


def scaled(reference, image, peak=None):
    """All three divided by the power of two that brings the reference's largest magnitude to 0.5..1."""
    exponent = -int(np.frexp(abs(reference).max())[1])
    with np.errstate(over="ignore", under="ignore"):
        image, peak = np.ldexp(image, exponent), 1.0 if peak is None else float(np.ldexp(peak, exponent))
    for name, size, low in (("image", float(abs(image).max()), 0), ("data_range", peak, 1e-100)):
        if not low <= size <= 1e100:
            raise ValueError(f"{name} and reference are more than a factor of 1e100 apart: bring them to one scale")
    return np.ldexp(reference, exponent), image, peak


def slices(x) -> np.ndarray:
    """(slice, y, x) of an image: of all its axes before the last two, which count as slices of one volume."""
    return x.reshape(-1, *x.shape[-2:])


def inside(region, reference) -> np.ndarray:
    """`region` as a bool array of the shape of the reference; None: everywhere."""
    if region is None:
        return np.ones(reference.shape, bool)
    if not _check.is_array(region) or _check.dtype_name(region) != "bool":
        raise TypeError("region must be a boolean array, for example metrics.body(reference)")
    region = to_numpy(region)
    if region.shape not in (reference.shape, reference.shape[-2:]):
        raise ValueError(f"region has shape {region.shape}, expected {reference.shape} or {reference.shape[-2:]}")
    if not region.any():
        raise ValueError("region is False everywhere: nothing to compare")
    return np.broadcast_to(region, reference.shape)


def peak_of(reference, data_range) -> float:
    """`data_range`, or where it is None the largest value of the whole reference."""
    if data_range is not None:
        return _check.number("data_range", data_range, low=0, strict=True)
    if reference.max() <= 0:
        raise ValueError("reference has no positive value: give data_range")
    return float(reference.max())
