"""The size of an image as it is wanted: the header's reconstruction matrix, or any other, cut out of its centre."""

from __future__ import annotations

import numpy as np

from pisolve import _check

WORDS = ("recon", "none")
_NEAR = 2  # pixels that the field of view may be off the matrix


def wanted(scan, crop) -> tuple[int, ...]:
    """The sizes along z (of a volume), y and x that an image of this scan is cut to.

    Args:
        crop: "recon", the reconstruction matrix of the header, in which readout and phase oversampling are gone, as far
            as it says one; "none" or None, all there is; one number for y and x; or (y, x), (z, y, x).

    Raises:
        TypeError, ValueError: none of these, or larger than the image.
    """
    inner = scan.image_shape[-len(scan.encoding.encoded):]
    if crop is None or crop == "none":
        return inner
    if isinstance(crop, str):
        _check.choice("crop", crop, WORDS)
        return _of_header(scan, inner)
    size = (crop,) * 2 if not isinstance(crop, tuple | list) else tuple(crop)
    size = tuple(_check.integer("crop", n, low=1) for n in size)
    if len(size) > len(inner) or any(n > m for n, m in zip(size[::-1], inner[::-1])):
        asked, there = (" x ".join(map(str, s)) for s in (size, inner))
        raise ValueError(f"crop is {asked}, and the image measures {there}: give a size that is no larger, or leave it "
                         "out")
    return (*inner[: len(inner) - len(size)], *size)


def _of_header(scan, inner) -> tuple[int, ...]:
    """What is left of each axis in the reconstruction's field of view, a size of the image where it is not said.

    Pixels are as large as the field of view over the samples, along the readout over those of the header, since their
    oversampling may be gone already. A matrix that is larger or smaller for the same field of view is an interpolation
    and cuts nothing off.
    """
    meta = scan.meta
    matrix = _three(meta.get("recon_size"))
    if matrix is None or scan.coord is not None:
        return inner
    encoded, fov, out = (_three(meta.get(n)) for n in ("encoded_size", "encoded_fov_mm", "recon_fov_mm"))
    axes = {a: a[1] for a in scan.encoding.encoded}
    if len(inner) == 2 and scan.readout == scan.encoding.encoded[0]:
        axes = dict(zip(scan.encoding.encoded, "xy"))
    size = []
    for name, n in zip(scan.encoding.encoded, inner):
        at = "xyz".index(axes[name])
        left = matrix[at]
        if fov is not None and out is not None and encoded is not None:
            pixel = fov[at] / (encoded[at] if axes[name] == "x" else n)
            exact = out[at] / pixel
            left = left if abs(exact - left) <= _NEAR else round(exact)
        size.append(int(min(max(left, 1), n)))
    return tuple(size)


def pixel_of(meta: dict) -> tuple[float, float]:
    """mm along y and x of an image's pixel; (1, 1) where a scan does not say it."""
    size = _three(meta.get("voxel_mm"))
    return (1.0, 1.0) if size is None else (float(size[1]), float(size[2]))


def tall_of(pixel: tuple) -> float:
    """How tall a pixel is over how wide it is."""
    if not isinstance(pixel, tuple | list) or len(pixel) != 2:
        raise ValueError(f"pixel must be its size along y and x, such as (1.0, 0.5), got {_check.brief(pixel)}")
    y, x = (_check.number("pixel", v, low=0, strict=True) for v in pixel)
    return y / x


def _three(values):
    """Three positive numbers, or None."""
    good = isinstance(values, list | tuple) and len(values) == 3 and all(
        isinstance(v, int | float) and 0 < v < float("inf") for v in values)
    return list(values) if good else None


def cut(image, meta: dict, size):
    """(the centre of an image along its last axes, `meta` with the affine of that).

    Index n // 2 stays the centre, as in `Scan.crop`: (n - m) // 2 entries go in front.
    """
    lead = [(n - m) // 2 for n, m in zip(image.shape[-len(size):], size)]
    if not any(lead) and tuple(image.shape[-len(size):]) == tuple(size):
        return image, meta
    image = image[(..., *(slice(a, a + m) for a, m in zip(lead, size)))]
    if meta.get("affine") is not None:
        matrix = np.array(meta["affine"], float)
        first = (*lead[::-1], 0)[:3] if len(size) == 2 else lead[::-1]
        matrix[:3, 3] += matrix[:3, :3] @ first
        meta = meta | {"affine": matrix.tolist()}
    return image, meta


def filled(image, shape):
    """An image that was cut, with zeros around it, in the shape it had; another one as it is."""
    image = np.asarray(image)
    flat = tuple(n for n in image.shape[:-2] if n > 1) == tuple(n for n in shape[:-2] if n > 1)
    small = all(n <= m for n, m in zip(image.shape[-2:], shape[-2:])) and image.shape[-2:] != tuple(shape[-2:])
    if not (flat and small):
        return image
    whole = np.zeros((*image.shape[:-2], *shape[-2:]), image.dtype)
    top, left = ((m - n) // 2 for n, m in zip(image.shape[-2:], shape[-2:]))
    whole[..., top : top + image.shape[-2], left : left + image.shape[-1]] = image
    return whole
