"""Parts and planes of scans and images by name: what all analyses go through, slices, frames and volumes alike."""

from __future__ import annotations

import numpy as np

from pisolve import _check, calib
from pisolve.prepare import EACH


def told(label: dict) -> str:
    """A part in words: "slice 2, frame 5"; "" where there is one."""
    return ", ".join(f"{name} {number}" for name, number in label.items())


def filled(part) -> bool:
    """Whether there is something to solve in a part of a prepared scan."""
    return bool(part.kspace.any() and (part.mps is None or part.mps.any()))


def which(scan, slice: int | None, each=EACH) -> int:
    """The index of a slice's part, of several the middle one; None: the middle of all, or the nearest filled one."""
    labels = scan.labels(each)
    if slice is None:
        middle, parts = len(labels) // 2, scan.parts(each)
        order = sorted(range(len(labels)), key=lambda k: (abs(k - middle), k))
        return next((k for k in order if filled(parts[k])), middle)
    count = max(label.get("slice", 0) for label in labels) + 1
    index = _check.integer("slice", slice, low=0, high=count - 1)
    found = [k for k, label in enumerate(labels) if label.get("slice", 0) == index]
    return found[len(found) // 2]


def one_part(scan, z: int, each=EACH):
    """Part z of a scan, with its maps, reference and calibration lines."""
    return scan.parts(each)[z]


def split(scan, image, each=EACH) -> list:
    """An image of the scan, with all its axes, as those of its parts; the inverse of `Scan.assemble`."""
    return [p.reference for p in scan._with(reference=image, mps=None, calib=None).parts(each)]


def planes(x) -> np.ndarray:
    """An image (..., y, x) as (plane, y, x)."""
    return x.reshape(-1, *x.shape[-2:])


def middle(x) -> np.ndarray:
    """The middle plane of an image (..., y, x)."""
    return x[tuple(n // 2 for n in x.shape[:-2])]


def labels(axes, shape) -> list[dict]:
    """{name: number} of each plane of an image with these axes and sizes."""
    return [dict(zip(axes[:-2], index)) for index in np.ndindex(*shape[:-2])]


def flat(scan, slice: int | None, what: str):
    """One plane of a prepared scan, of the middle frame of a slice, as a scan (coil, ky, kx).

    Raises:
        ValueError: a 3-D scan, with what to do.
    """
    each = (*EACH, *scan.further)
    if len(scan.encoding.encoded) > 2:
        along = scan.separable[-1:]
        remedy = (f"scan.parts(each=('slice', {along[0]!r})) are its planes along {along[0]}, which was sampled fully: "
                  "give one of them" if along else "all its axes were undersampled, so it has none")
        raise ValueError(f"{what} looks at planes, and this scan is 3-D: {remedy}")
    return one_part(scan, which(scan, slice, each), each)


def mixed(matrix, x, ndim: int = 2):
    """matrix @ coils of k-space (..., coil, ky, kx), in 3-D (..., coil, kz, ky, kx)."""
    if ndim == 2:
        return calib.mix(matrix, x)
    out = calib.mix(matrix, x.reshape(*x.shape[:-3], -1, x.shape[-1]))
    return out.reshape(*out.shape[:-2], *x.shape[-3:])
