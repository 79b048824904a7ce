"""The names of axes: one word for one thing, in k-space, in images, in files and on the command line.

K-space has the encoded axes "ky" and "kx", in 3-D "kz" too, of which the transform makes "z", "y" and "x"; or, where
samples lie anywhere, "shot" (a spoke, an interleave) and "sample", in a stack "kz" too; "coil"; "slice", whose slices
are problems of their own; and any further axes of the unknown: "frame", "echo", "repetition", "set", or a word of your
own.
"""

from __future__ import annotations

import re

from pisolve import _check

GRID = {"kz": "z", "ky": "y", "kx": "x"}  # encoded axis: what the Fourier transform makes of it
POINTS = {"segment": "z", "shot": "y", "sample": "x"}  # of samples anywhere: as many as there are coordinates
SPATIAL = GRID | POINTS
ENCODED = {image: encoded for encoded, image in GRID.items()}
COIL, SLICE, MAPS = "coil", "slice", "maps"  # `maps`: of several sets of coil maps, one image each
FURTHER = ("frame", "echo", "repetition", "set", "average")  # what files count, in the order in which they are stored
_MEANT = {"coils": COIL, "channel": COIL, "channels": COIL, "slices": SLICE, "frames": "frame", "time": "frame",
          "t": "frame", "phase": "frame", "phases": "frame", "echoes": "echo", "contrast": "echo", "contrasts": "echo",
          "te": "echo", "repetitions": "repetition", "rep": "repetition", "sets": "set", "averages": "average",
          "x": "kx", "y": "ky", "z": "kz", "row": "ky", "column": "kx", "spoke": "shot", "spokes": "shot",
          "shots": "shot", "interleave": "shot", "interleaves": "shot", "arm": "shot", "readout": "sample",
          "samples": "sample", "point": "sample"}


def checked(axes, shape) -> tuple[str, ...]:
    """The names of k-space's axes as a tuple; None: (coil, ky, kx), or (slice, coil, ky, kx).

    Raises:
        TypeError: no sequence of words.
        ValueError: another number of names than axes, a name twice, a misspelt one, or not two or three encoded axes.
    """
    if axes is None:
        if len(shape) not in (3, 4):
            raise ValueError(f"kspace has {len(shape)} dimensions, shape {tuple(shape)}: without axes=... it is (coil, "
                             "ky, kx) or (slice, coil, ky, kx); name them, for example axes=('frame', 'coil', 'ky', "
                             "'kx')")
        return (SLICE, COIL, "ky", "kx")[-len(shape):]
    names = words("axes", axes)
    if len(names) != len(shape):
        raise ValueError(f"axes names {len(names)} axes, {', '.join(names)}, and kspace has {len(shape)}, shape "
                         f"{tuple(shape)}: one name for each")
    for name in names:
        if name in _MEANT or name == MAPS:
            hint = f"write {_MEANT[name]!r}" if name in _MEANT else "it is the axis of several sets of coil maps"
            raise ValueError(f"axes names {name!r}, which is no axis of k-space: {hint}")
    grid, points = (tuple(a for a in kind if a in names) for kind in (GRID, POINTS))
    if (points and grid not in ((), ("kz",))) or len(encoded(names)) not in (2, 3):
        raise ValueError(f"axes are {', '.join(names)}: two or three of 'kz', 'ky' and 'kx' are needed, or with coord "
                         "'shot' and 'sample', with 'kz' before them in a stack")
    return names


def words(name: str, axes) -> tuple[str, ...]:
    """A sequence of distinct lower-case words as a tuple; one word, or words joined by commas, count as well."""
    names = tuple(axes.replace(" ", "").split(",")) if isinstance(axes, str) else axes
    if not isinstance(names, tuple | list) or not all(isinstance(n, str) for n in names):
        raise TypeError(f"{name} must be names such as ('frame', 'coil', 'ky', 'kx'), got {_check.brief(axes)}")
    wrong = [n for n in names if not re.fullmatch("[a-z][a-z0-9_]*", n)]
    if wrong:
        raise ValueError(f"{name} holds {wrong[0]!r}: an axis is named by a lower-case word such as 'frame'")
    if len(set(names)) < len(names):
        raise ValueError(f"{name} {', '.join(names)} name one axis twice: give each once")
    return tuple(names)


def meant(name: str, among) -> str:
    """The word for an axis that is called otherwise, where it is one of `among`; else as it is."""
    return _MEANT[name] if _MEANT.get(name) in among else name


def encoded(axes) -> tuple[str, ...]:
    """The encoded axes among some, as kz, ky, kx."""
    return tuple(a for a in SPATIAL if a in axes)


def further(axes) -> tuple[str, ...]:
    """The axes of k-space that are neither encoded nor of coils: slices and what belongs to the unknown."""
    return tuple(a for a in axes if a not in SPATIAL and a != COIL)


def canonical(axes) -> tuple[str, ...]:
    """The order in which arrays are kept: slice, the further axes as they were given, coil, kz, ky, kx."""
    rest = further(axes)
    first = (SLICE,) if SLICE in rest else ()
    return (*first, *(a for a in rest if a != SLICE), COIL, *encoded(axes))


def of_image(axes) -> tuple[str, ...]:
    """The axes of the image that k-space with these axes gives."""
    return tuple(SPATIAL.get(a, a) for a in axes if a != COIL)


def image_shape(axes, shape, size=None) -> tuple[int, ...]:
    """The sizes of `of_image(axes)` for k-space of this shape; `size`: of the spatial ones of samples anywhere."""
    sizes = tuple(n for a, n in zip(axes, shape) if a != COIL)
    return sizes if size is None else (*sizes[:-len(size)], *size)


def of_linop(A) -> tuple[str | None, ...]:
    """The names of the axes that an operator takes, None for each where it has no names."""
    found = getattr(A, "iaxes", None)
    return (None,) * len(A.ishape) if found is None else tuple(found)


def spatial(names) -> tuple[int, ...]:
    """Where the spatial axes of an unknown are, counted from the end: the last two where they have no names."""
    found = tuple(i - len(names) for i, n in enumerate(names) if n in ENCODED)
    return found or tuple(range(-min(len(names), 2), 0))


def series(names) -> tuple[int, ...]:
    """Where the axes of an unknown are that are not spatial; without names the first one of three or more."""
    if None in names:
        return (-len(names),) if len(names) > 2 else ()
    return tuple(i - len(names) for i, n in enumerate(names) if n not in ENCODED)


def place(name: str, axis, names) -> int:
    """Where an axis of the unknown is, counted from the end.

    A word must be one of `names`. Where the unknown has no names, as behind a plain operator, "z", "y" and "x" are its
    last axes and any other word is the first of three or more. A number counts from the end; from the front it must
    not land on a spatial axis that has a name: that is how rows were once taken for time.

    Args:
        name: the argument's, for messages.
        axis: a word or a whole number.
        names: of the unknown's axes, see `of_linop`.

    Raises:
        ValueError: no such axis, with those there are.
    """
    ndim = len(names)
    known = None not in names
    told = f"has the axes {', '.join(names)}" if known else f"has {ndim} dimensions"
    if isinstance(axis, str):
        where = names.index(axis) - ndim if axis in names else None
        if not known:
            where = -1 - "xyz".index(axis) if axis in ENCODED else -ndim if ndim > 2 else None
        if where is not None and where >= -ndim:
            return where
        others = [repr(names[i]) for i in series(names)] if known and axis not in ENCODED else []
        hint = ("a volume is a scan with axes=('coil', 'kz', 'ky', 'kx')" if axis in ENCODED else
                f"name {' or '.join(others)}" if others else
                f"a series is a scan with axes=({axis!r}, 'coil', 'ky', 'kx')")
        raise ValueError(f"{name}={axis!r}: the unknown {told}, and no {axis!r}: {hint}")
    if not -ndim <= axis < ndim:
        raise ValueError(f"{name} {axis} does not fit the unknown, which {told}")
    at = axis - ndim if axis >= 0 else axis
    if axis >= 0 and known and names[at] in ENCODED:
        raise ValueError(f"{name}={axis} is {names[at]!r} of the unknown, which {told}: write {names[at]!r} if that is "
                         "meant, and 'frame' for the time of a series")
    return at
