"""The names of axes in files: how they are written, and what a mask with fewer axes than k-space means."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np

from pisolve import _axes
from pisolve.io.words import decoded

_WORD = "[A-Za-z][A-Za-z0-9_]*"
PLAIN = {2: ("y", "x"), 3: (_axes.SLICE, "y", "x")}  # images that need no names


def words(said, array: str = "kspace") -> tuple[str, ...] | None:
    """The names that an entry `axes` of a file gives to the axes of an array, None where it gives none.

    It is a list of words, the same as JSON, words between commas, or a sentence with "kspace (frame, coil, ky, kx)".
    Another array than k-space has names in a sentence only.
    """
    if isinstance(said, np.ndarray):
        said = said.tolist()
    said = decoded(said) if isinstance(said, bytes) else said
    if isinstance(said, str) and said.strip().startswith("["):
        try:
            said = json.loads(said)
        except ValueError:
            return None
    if isinstance(said, list | tuple) and array == "kspace":
        found = [decoded(s) if isinstance(s, bytes) else s for s in said]
        return tuple(found) if found and all(isinstance(s, str) for s in found) else None
    if not isinstance(said, str):
        return None
    inside = re.search(rf"\b{array}\s*\(([^()]*)\)", said)
    if inside or array == "kspace":
        text = inside[1] if inside else said.strip().strip("()")
        if re.fullmatch(rf"\s*{_WORD}(\s*,\s*{_WORD})+\s*", text):
            return tuple(part.strip() for part in text.split(","))
    return None


def of_kspace(axes, shape, remedy: str) -> tuple[str, ...] | None:
    """The names of k-space's axes that a file gives, checked; None stays.

    Raises:
        ValueError: names that are none of k-space's, or another number than it has axes.
    """
    try:
        return None if axes is None else _axes.checked(axes, shape)
    except ValueError as error:
        raise ValueError(f"{error}; {remedy}") from error


def spread(mask, own, axes, shape):
    """A mask with an axis for each of k-space's, of size 1 where it has none, so that it broadcasts to them.

    Args:
        mask: an array, or None.
        own: the names of its axes; None: the encoded ones where they fit, as for `Scan`, else those that its sizes
            leave as the only ones.
        axes, shape: of k-space.

    Raises:
        ValueError: names or sizes that are not those of k-space, or that leave more than one possibility.
    """
    if mask is None or axes is None:
        return mask
    sizes = {a: n for a, n in zip(axes, shape) if a != _axes.COIL}
    own = _guess(mask.shape, sizes, len(_axes.encoded(axes))) if own is None else _axes.words("mask_axes", own)
    if own is None:
        return mask
    wrong = [a for a in own if a not in sizes]
    if wrong or len(own) != mask.ndim:
        raise ValueError(f"mask has shape {mask.shape} and mask_axes {', '.join(own)}: one of {', '.join(sizes)} for "
                         "each of its axes, in any order")
    order = [own.index(a) for a in sizes if a in own]
    return mask.transpose(order).reshape([mask.shape[own.index(a)] if a in own else 1 for a in sizes])


def _guess(shape, sizes: dict, inner: int) -> tuple[str, ...] | None:
    """Names for the axes of a mask of this shape; None where it is to be taken as `Scan` takes it, from the end."""
    names, n = tuple(sizes), len(shape)
    last = all(m in (1, sizes[a]) for m, a in zip(shape[::-1], names[::-1]))
    if n < 2 or n >= len(names) or (last and (n == inner or 1 in shape)):
        return None
    fit = [c for c in itertools.combinations(names, n) if all(m in (1, sizes[a]) for m, a in zip(shape, c))]
    if len(fit) > 1:
        told = " or ".join(f"({', '.join(c)})" for c in fit[:4])
        raise ValueError(f"mask has shape {tuple(shape)}, which may be {told}: name its axes in an entry mask_axes of "
                         f"the file, such as {','.join(fit[0])!r}")
    return fit[0] if fit else None


def of_image(axes, shape) -> tuple[str, ...] | None:
    """The names of an image's axes, checked; None for an image (y, x) or (slice, y, x), which needs none.

    Raises:
        TypeError, ValueError: no names, another number than axes, or not z, y and x, or y and x, at the end.
    """
    if axes is None and len(shape) in PLAIN:
        return None
    if axes is None:
        raise ValueError(f"image has {len(shape)} dimensions, shape {tuple(shape)}: name them, for example "
                         "axes=('slice', 'frame', 'y', 'x')")
    names = _axes.words("axes", axes)
    if len(names) != len(shape):
        raise ValueError(f"axes names {len(names)} axes, {', '.join(names)}, and the image has {len(shape)}, shape "
                         f"{tuple(shape)}: one name for each")
    inner = 3 if "z" in names else 2
    if names[-inner:] != ("z", "y", "x")[-inner:] or set(names) & {*_axes.SPATIAL, _axes.COIL}:
        raise ValueError(f"axes of the image are {', '.join(names)}: 'y', 'x' or 'z', 'y', 'x' at the end are needed, "
                         "and none of k-space")
    return None if names == PLAIN.get(len(names)) else names
