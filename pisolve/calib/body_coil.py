"""Coil sensitivities measured against the body coil."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve._types import Array, ArrayLike
from pisolve.backend import like, one_blas_thread, to_numpy
from pisolve.calib import _coils, _smooth
from pisolve.calib.region import middle, region, sampled

REMEDY = "give k-space with a full centre, or maps from elsewhere"


def body_coil(kspace: ArrayLike, reference: ArrayLike, *, calib_width: int = 48, kernel_width: int = 16,
              lam: float = 1e-3, thresh: float = 0.02, margin: int = 3, normalise: str = "rss",
              mask: ArrayLike | None = None) -> Array:
    """Coil maps as the smooth ratio of the coils' images to the image of the body coil.

        min over m    sum over measured k of |(m_c * b)(k) - y_c(k)|^2 + lam penalty(m),        mps_c = F^H m_c

    b is the body coil's k-space, y_c the centre of the coil's, m_c a k-space kernel: the ratio I_c / B of images,
    weighted by |B|^2, smooth, extrapolated past the object's edge, and free of the ringing that a ratio of
    low-resolution images has. Several channels of the body coil are first made one image: their root sum of squares
    with the phase of their dominant virtual coil. The same slice, position and contrast are needed, any two scales.

    Args:
        kspace: (coil, ky, kx) or (slice, coil, ky, kx) complex, may be undersampled around a full centre. Numpy, cupy
            or torch; the work is done on the CPU.
        reference: body coil's k-space (channel, ky, kx) or (slice, channel, ky, kx) of the same matrix; of an
            undersampled or low-resolution one the full centre is used.
        calib_width: largest size of the centre of `kspace` that is fitted.
        kernel_width: size of the maps' kernels in half k-space samples, see `jsense`.
        lam: strength of the penalty (see `jsense`), relative to the mean diagonal of the normal equations, >= 0.
        thresh: the object is where the body coil's low-resolution image is above this times its 99th percentile.
        margin: pixels by which maps reach past the object; outside of that they are 0.
        normalise: "rss": sum_c |mps_c|^2 = 1, images are shaded as the root sum of squares. "reference": the ratio
            itself, times one number per slice that makes the mean of sum_c |mps_c|^2 over the object 1: images are as
            uniform as the body coil's.
        mask: sampling mask of `kspace` that broadcasts to (ky, kx); default: where it is not 0.

    Returns:
        mps: shape, precision and kind of `kspace`. Their phase is relative to the body coil, so a reconstruction has
        the body coil's phase; `espirit` differs from it by one smooth phase common to all coils.

    Raises:
        ValueError: bad sizes or values, zero or non-finite data, no full centre, slices or matrices that differ.

    Reference:
        K. P. Pruessmann et al., SENSE: sensitivity encoding for fast MRI, Magn. Reson. Med. 42:952-962 (1999).
    """
    kspace = _check.array("kspace", kspace, ndim=(3, 4), nonzero=True)
    reference = _check.array("reference", reference, ndim=kspace.ndim, nonzero=True)
    same = (*reference.shape[:-3], *reference.shape[-2:]) == (*kspace.shape[:-3], *kspace.shape[-2:])
    if not same:
        raise ValueError(f"reference has shape {tuple(reference.shape)}, kspace {tuple(kspace.shape)}: slices and "
                         "matrix must be the same, only the number of coils may differ")
    calib_width = _check.integer("calib_width", calib_width, low=3)
    kernel_width = _check.integer("kernel_width", kernel_width, low=1)
    lam = _check.number("lam", lam, low=0)
    from scipy import ndimage

    thresh = _coils.fraction("thresh", thresh)
    margin = _check.integer("margin", margin, low=0)
    _check.choice("normalise", normalise, ("rss", "reference"))
    known = None if mask is None else sampled(mask, kspace.shape[-2:])
    coils, body = (to_numpy(x).reshape(-1, *x.shape[-3:]) for x in (kspace, reference))
    out = np.zeros(coils.shape, _check.dtype_name(kspace))
    for z, (y, b) in enumerate(zip(coils, body)):
        where = f" (slice {z})" if len(coils) > 1 else ""
        measured = (y != 0).any(0) if known is None else known
        smallest = (min(3, *y.shape[1:]),) * 2
        seen = region(f"reference{where}", (b != 0).any(0), None, smallest, REMEDY)
        reach = 2 * (kernel_width // 4)  # a sample of the product needs the body coil's around it
        limit = [s - reach if s < n and s >= 2 * reach else s for s, n in zip(seen, b.shape[1:])]
        inner = np.zeros_like(measured)
        block = tuple(middle(n, s) for n, s in zip(b.shape[1:], limit))
        inner[block] = measured[block]
        sizes = region(f"kspace{where}", inner, calib_width, smallest, REMEDY)
        data = _coils.centre(f"kspace{where}", y, sizes)
        image, low = _combined(_coils.centre(f"reference{where}", b, seen), b.shape[1:])
        with one_blas_thread():
            kernels = _smooth.fit(image, data, np.ones(sizes, bool), kernel_width, lam)
        mps = _smooth.field(kernels, y.shape[1:])
        body_there = _coils.support(low, thresh)
        keep = ndimage.binary_dilation(body_there, iterations=margin) if margin else body_there
        size = np.linalg.norm(mps, axis=0)
        level = size if normalise == "rss" else np.sqrt((size[body_there] ** 2).mean())
        keep &= size > 0
        out[z] = np.where(keep, mps / np.where(keep, level, 1), 0)
    return like(out.reshape(kspace.shape), kspace)


def _combined(block, shape):
    """(image (y, x) of the channels together, its magnitude at low resolution)."""
    channels = _coils.images(block, shape, np.complex128, taper=False)
    phase = np.einsum("c,cyx->yx", _coils.virtual(block).conj(), channels)
    image = np.linalg.norm(channels, axis=0) * np.exp(1j * np.angle(phase))
    small = [min(n, 48) for n in block.shape[1:]]
    small = block[:, middle(block.shape[1], small[0]), middle(block.shape[2], small[1])]
    return image, np.linalg.norm(_coils.images(small, shape, np.complex128), axis=0)
