"""What belongs to a scan must fit its k-space: checks of its arrays."""

from __future__ import annotations

import numpy as np

from pisolve import _axes, _check
from pisolve.backend import to_numpy


def complex_samples(name: str, kspace) -> None:
    """Refuse k-space that is real: a magnitude, or parts that were taken for samples.

    Raises:
        TypeError: with what it may be.
    """
    if not _check.is_array(kspace):
        return
    kind = ("c" if kspace.is_complex() else "f") if _check.is_torch(kspace) else kspace.dtype.kind
    if kind in "biuf":
        raise TypeError(f"{name} has dtype {_check.dtype_name(kspace)}, complex is needed: was the magnitude stored, "
                        "or real and imaginary part on an axis of their own?")


def ordered(array, given, wanted):
    """An array with the axes `given` in the order of `wanted`; as it is where it has another number of axes."""
    if given == wanted or getattr(array, "ndim", 0) != len(given):
        return array
    return np.ascontiguousarray(to_numpy(array).transpose([given.index(a) for a in wanted]))


def axes_of_maps(axes, ndim) -> tuple[str, ...]:
    """The names of the axes of coil maps, or calibration lines, of this many dimensions, beside k-space with `axes`."""
    base = (_axes.COIL, *_axes.encoded(axes))
    front = (_axes.SLICE,) if _axes.SLICE in axes else ()
    more = {0: (), 1: front or (_axes.MAPS,), 2: (*front, _axes.MAPS)}.get(ndim - len(base))
    return () if more is None or len(more) != ndim - len(base) else (*more, *base)


def maps(mps, axes, shape, given):
    """Coil maps beside k-space, its axes given in another order."""
    mps = to_numpy(_check.array("mps", mps, nonzero=True))
    names = axes_of_maps(axes, mps.ndim)
    if names and given != axes:
        mps = ordered(mps, (*(a for a in names if a in (_axes.SLICE, _axes.MAPS)),
                             *(a for a in given if a == _axes.COIL or a in _axes.SPATIAL)), names)
    sizes = dict(zip(axes, shape))
    if not names or any(a != _axes.MAPS and n != sizes[a] for a, n in zip(names, mps.shape)):
        raise ValueError(f"mps has shape {mps.shape}, kspace {tuple(shape)}: coils and size must agree, as in "
                         f"({', '.join(axes_of_maps(axes, 1 + len(_axes.encoded(axes))))})")
    return mps


def calib(calib, axes, shape, given):
    """Calibration lines beside k-space."""
    inner = len(_axes.encoded(axes))
    calib = to_numpy(_check.array("calib", calib, nonzero=True))
    names, sizes = axes_of_maps(axes, calib.ndim), dict(zip(axes, shape))
    if not names or _axes.MAPS in names or any(n != sizes[a] for a, n in zip(names[:-inner], calib.shape)) or any(
            c > sizes[a] for a, c in zip(names[-inner:], calib.shape[-inner:])):
        raise ValueError(f"calib has shape {calib.shape}, kspace {tuple(shape)}: coils and slices must agree, and its "
                         "size be that of k-space or a smaller centre")
    return calib


def reference(image, axes, shape):
    """The image to compare with."""
    names = _axes.of_image(axes)
    sizes = _axes.image_shape(axes, shape)
    image = to_numpy(_check.array("reference", image, ndim=len(names), complex_=False))
    larger = any(i > k for i, k in zip(image.shape[-2:], sizes[-2:]))
    if larger or image.shape[:-2] != sizes[:-2]:
        raise ValueError(f"reference has shape {image.shape}, kspace {tuple(shape)}: slices must agree, and "
                         f"its size be that of k-space or a centre crop, ({', '.join(names)})")
    return image


def weights(weights, axes, shape) -> np.ndarray:
    """Weights of the samples, with an axis for each but the coils, of size 1 where they do not change.

    Raises:
        TypeError, ValueError: complex or negative ones, another shape, zeros everywhere, others for each coil.
    """
    w = _check.weights("weights", to_numpy(_check.array("weights", weights, complex_=False)))
    inner = len(_axes.encoded(axes))
    if w.ndim > inner and w.ndim in (len(axes) + 1, inner + 1) and (w.ndim > len(axes) or w.shape[0] != shape[0]):
        first = w[..., :1, *(slice(None),) * inner]
        if not (w == first).all():
            raise ValueError(f"weights of shape {w.shape} differ between coils: give those of the samples, {shape}, "
                             "and noise=(coil, samples) with whiten=True for coils of unequal noise")
        w = w[..., 0, *(slice(None),) * inner]
    if w.ndim > len(axes) or any(n not in (1, m) for n, m in zip(w.shape[::-1], shape[::-1])):
        raise ValueError(f"weights has shape {w.shape}, expected {shape} ({', '.join(axes)}), with 1 where it does not "
                         "change, or the last of these axes alone")
    w = w.reshape((1,) * (len(axes) - w.ndim) + w.shape)
    return np.array(np.broadcast_to(w, (*w.shape[:-inner], *shape[-inner:])), float if w.itemsize == 8 else np.float32)


def noise(noise, coils) -> np.ndarray:
    """Samples of noise of this many coils."""
    noise = to_numpy(_check.array("noise", noise, ndim=2, nonzero=True))
    if len(noise) != coils:
        raise ValueError(f"noise has shape {noise.shape}, and kspace {coils} coils: (coil, samples) with its coils "
                         "needed")
    return noise
