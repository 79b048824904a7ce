"""What is looked at of images and of k-space: planes of magnitudes, and k-space on a logarithmic scale."""

from __future__ import annotations

import numpy as np

from pisolve import _axes
from pisolve.backend import fft, to_numpy

DECADES = 4  # of k-space that are shown below its peak
_LEVELS = ("slice", "z")  # axes whose middle is shown, where the brightest is of frames, echoes, ...


def names_of(image, names) -> tuple[str, ...]:
    """The names of an image's axes, made up where they are not known."""
    if names is not None and len(names) == image.ndim and None not in names:
        return tuple(names)
    plain = {2: ("y", "x"), 3: ("slice", "y", "x")}
    return plain.get(image.ndim) or (*(f"axis {k}" for k in range(image.ndim - 2)), "y", "x")


def planes(image, names=None, *, most: int = 6, along: str | None = None) -> list[tuple[str, np.ndarray]]:
    """[(which it is, plane (y, x))] of an image with any axes in front: along one of them, of the others one each.

    Args:
        image: numpy array, real or complex, with at least two axes.
        names: of its axes, or None.
        most: planes, evenly spaced.
        along: the axis that is gone along; None: the longest.

    Raises:
        ValueError: the image has no such axis.
    """
    image, names = to_numpy(image), names_of(image, names)
    lead = dict(zip(names[:-2], image.shape))
    if along is not None and along not in lead:
        raise ValueError(f"the image has no axis {along!r} in front of (y, x): it has {', '.join(lead) or 'none'}")
    if not lead:
        return [("", image)]
    along = max(lead, key=lead.get) if along is None else along
    for name in [n for n in lead if n != along]:
        at = [n for n in names if n in lead or n in names[-2:]].index(name)
        others = tuple(i for i in range(image.ndim) if i != at)
        number = image.shape[at] // 2 if name in _LEVELS else int((abs(image) ** 2).sum(axis=others).argmax())
        image, names = np.take(image, number, axis=at), tuple(n for n in names if n != name)
        lead.pop(name)
    count = len(image)
    shown = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
    return [(f"{along} {i}" if count > 1 else "", image[i]) for i in shown]


def chosen_of(scan) -> dict[str, int]:
    """{axis: number} of the part that is shown: the middle slice, the frame, echo, ... of the most energy."""
    found = {}
    for at, (name, n) in enumerate(zip(scan.axes, scan.kspace.shape)):
        if name == _axes.SLICE:
            found[name] = n // 2
        elif name in _axes.further(scan.axes):
            parts = np.moveaxis(scan.kspace, at, 0)
            found[name] = int(np.argmax([np.linalg.norm(part) for part in parts])) if n > 1 else 0
    return found


def middle(scan):
    """The part of a scan that `chosen_of` says, without these axes."""
    chosen, fields = chosen_of(scan), {}
    for name, (array, axes) in scan.named().items():
        if array is None:
            continue
        index = tuple(slice(None) if a not in chosen else 0 if array.shape[i] == 1 else chosen[a]
                      for i, a in enumerate(axes))
        fields[name] = array[index]
    left = tuple(a for a in scan.axes if a not in chosen)
    return scan._with(**fields | {"axes": left, "calib": None, "noise": None, "reference": None})


def coil_images(one) -> np.ndarray:
    """(coil, y, x) complex of a part without further axes: of a volume the plane in the middle of z."""
    kspace = to_numpy(one.kspace)
    if one.coord is not None:
        images = one.encoding.gridded(kspace)
        return images if images.ndim == 3 else images[:, images.shape[1] // 2]
    if kspace.ndim == 4:  # at z = n // 2 all phases are 1
        kspace = kspace.sum(axis=1) / np.sqrt(kspace.shape[1])
    return fft(kspace, (-2, -1), inverse=True)


def log_kspace(one) -> np.ndarray:
    """(ky, kx), or (shot, sample): log10 of the coils' root sum of squares over its peak, from -DECADES; -inf for 0.

    Of a volume the plane through the centre of k-space.
    """
    kspace = to_numpy(one.kspace)
    kspace = kspace if kspace.ndim == 3 else kspace[:, kspace.shape[1] // 2]
    size = np.linalg.norm(kspace, axis=0)
    peak = size.max()
    with np.errstate(divide="ignore"):
        found = np.log10(size / peak) if peak else np.full(size.shape, -np.inf)
    return np.where(np.isfinite(found), np.maximum(found, -DECADES), -np.inf)
