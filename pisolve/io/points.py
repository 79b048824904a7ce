"""Samples anywhere in k-space, as files hold them: `coord` and the size of the image beside k-space."""

from __future__ import annotations

import numpy as np

from pisolve import _axes
from pisolve.scan import Scan

SIZES = ("size", "shape", "img_shape", "image_shape")  # what files call the shape of the image


def scan(path, kspace, coord, size, axes, mask=None, meta=None, **arrays) -> Scan:
    """A scan with `coord`.

    Args:
        path: for messages.
        size: (y, x) or (z, y, x); None: the smallest even one whose k-space holds the coordinates, which is said.
        axes: the names of k-space's axes, "spoke" and the like included, or None.

    Raises:
        TypeError, ValueError: as `Scan`, with the path.
    """
    meta = dict(meta or {})
    if size is None:
        size = reached(path, coord, kspace, axes)
        meta["assumed"] = (f"the file does not say the size of the image: {size}, from the reach of its coordinates; "
                           "store an entry size, such as (128, 128)")
    axes = None if axes is None else tuple(_axes.meant(a, _axes.POINTS) for a in axes)
    size = tuple(int(n) for n in np.ravel(size))
    if mask is not None and mask.shape[-len(size):] == size != kspace.shape[-len(size):]:
        meta["assumed"] = f"mask has shape {mask.shape}, an image's: it says nothing of samples, and is left out"
        mask = None
    try:
        return Scan(kspace, mask, meta=meta, axes=axes, coord=coord, size=size, **arrays)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from error


def reached(path, coord, kspace, axes) -> tuple[int, ...]:
    """The smallest even size of an image whose k-space holds the coordinates; a stack has its partitions before it.

    Raises:
        ValueError: the coordinates are not in -N/2..N/2.
    """
    reach = float(abs(np.asarray(coord)).max(initial=0))
    if not 8 <= reach < 4096:
        raise ValueError(f"{path}: coord reaches {reach:.4g}, and the file does not say the size of the image: "
                         "coordinates are in -N/2..N/2, in units of 1 / field of view; store an entry size, such as "
                         "(128, 128)")
    size = tuple(int(2 * np.ceil(m - 0.01)) for m in abs(np.asarray(coord)).reshape(-1, coord.shape[-1]).max(0))
    stack = len(size) == 2 and axes is not None and "kz" in axes
    return (kspace.shape[list(axes).index("kz")], *size) if stack else size
