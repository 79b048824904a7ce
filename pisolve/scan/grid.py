"""A Cartesian encoding: which samples of a grid with named axes were measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _axes, _check
from pisolve._types import ArrayLike, Axes

SAME = 0.99  # parts whose own samples are this share of all parts' were sampled alike: a sample may be 0 by chance
FILLED = 0.95  # the share of a grid of rows and columns that is not 0 where all of it counts as sampled


@dataclass(frozen=True, eq=False)
class Grid:
    """Samples on a Cartesian grid.

    Args:
        axes: names of k-space's axes without the coils, such as ("frame", "ky", "kx").
        shape: their sizes.
        mask: bool, True where sampled: of the encoded axes alone where all slices, frames, ... were sampled alike, else
            with an axis for each of `axes`, of size 1 where it does not matter. None: everything was.
    """

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    mask: np.ndarray | None = None

    @cached_property
    def encoded(self) -> tuple[str, ...]:
        """The axes of the Fourier transform."""
        return _axes.encoded(self.axes)

    @cached_property
    def own(self) -> tuple[str, ...]:
        """The axes, other than the encoded ones, along which the sampling changes."""
        lead = len(self.axes) - len(self.encoded)
        if self.mask is None or self.mask.ndim == len(self.encoded):
            return ()
        return tuple(a for a, n in zip(self.axes[:lead], self.mask.shape) if n > 1)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The encoded axes along which the sampling changes."""
        if self.mask is None:
            return ()
        first = len(self.encoded)
        return tuple(a for i, a in enumerate(self.encoded)
                     if (self.mask != np.take(self.mask, [0], axis=i - first)).any())

    @property
    def inside(self) -> np.ndarray | None:
        """The mask as an array that broadcasts to k-space with its coils, or None."""
        inner = len(self.encoded)
        return self.mask if self.mask is None or self.mask.ndim == inner else np.expand_dims(self.mask, -1 - inner)

    @property
    def fraction(self) -> float:
        """The share of k-space that was sampled."""
        return 1.0 if self.mask is None else float(self.mask.mean())

    @cached_property
    def gaps(self) -> bool:
        """Whether it was undersampled: some sample that is missing lies between two along some encoded axis."""
        if self.mask is None:
            return False
        for axis in range(-len(self.encoded), 0):
            before = np.logical_or.accumulate(self.mask, axis=axis)
            after = np.flip(np.logical_or.accumulate(np.flip(self.mask, axis), axis=axis), axis)
            if (before & after & ~self.mask).any():
                return True
        return False

    @cached_property
    def everywhere(self) -> np.ndarray:
        """(encoded axes) bool: sampled in every part."""
        return self._over_parts(np.all)

    @cached_property
    def anywhere(self) -> np.ndarray:
        """(encoded axes) bool: sampled in any part."""
        return self._over_parts(np.any)

    def _over_parts(self, how):
        size = self.shape[len(self.shape) - len(self.encoded):]
        if self.mask is None:
            return np.ones(size, bool)
        return how(self.mask, axis=tuple(range(self.mask.ndim - len(size))))

    def far(self) -> np.ndarray:
        """The squared distance of each sample from the centre, in units of the size along each axis; (encoded axes)."""
        found = np.zeros((1,) * len(self.encoded), np.float32)
        for i, n in enumerate(self.shape[-len(self.encoded):]):
            at = np.square((np.arange(n, dtype=np.float32) - n // 2) / n)
            found = found + at.reshape([-1 if a == i else 1 for a in range(len(self.encoded))])
        return found

    def units(self) -> np.ndarray:
        """What can be left out as one: the number of the unit of each sample, -1 where there is none.

        A unit is what shares its place along the axes along which the sampling changes: lines of a 2-D scan, points of
        two phase encodings, in a series those of each frame by themselves. The result broadcasts to k-space without
        coils. A scan that was sampled fully has units of single points.
        """
        size = len(self.encoded)
        mask = np.ones(self.shape[-size:], bool) if self.mask is None else self.mask
        apart = [a - size for a, name in enumerate(self.encoded) if name in self.varying or not self.varying]
        shared = tuple(a for a in range(-size, 0) if a not in apart)
        there = mask.any(axis=shared, keepdims=True) if shared else mask
        return np.where(there, np.cumsum(there).reshape(there.shape) - 1, -1)

    def keep(self, keep: Any) -> Grid:
        """The same grid with those samples only that a mask `keep` holds, too.

        Raises:
            ValueError: a mask that does not fit, or leaves nothing.
        """
        keep = check_mask("mask", keep, self.axes, self.shape)
        return Grid(self.axes, self.shape, keep if self.mask is None else shortened(keep & self.mask, self.axes))

    def describe(self) -> dict[str, Any]:
        """What it is, for `pisolve info`: axes, shape, fraction, acceleration, and along which axes it changes."""
        return {"axes": self.axes, "shape": self.shape, "fraction": self.fraction, "acceleration": 1 / self.fraction,
                "varying": self.varying, "own": self.own}


def estimate(kspace: ArrayLike, axes: Axes) -> np.ndarray:
    """The mask of zero-filled k-space with these axes: where any coil is not zero, for each slice, frame, ... its own.

    A sample that is zero in all coils by chance is no hole: where nearly all of the grid of occupied rows and columns
    is not zero, the whole grid counts. Parts that were sampled alike give one mask without their axes. A part without
    any sample has an empty mask of its own.

    Raises:
        ValueError: k-space that is zero everywhere.
    """
    axes = tuple(axes)
    inner = len(_axes.encoded(axes))
    found = (kspace != 0).any(axis=axes.index(_axes.COIL))
    lead = found.shape[:found.ndim - inner]
    whole = found.any(axis=tuple(range(len(lead))))
    if not whole.any():
        raise ValueError("kspace is zero everywhere: nothing was measured, or the wrong data set was read")
    if lead:
        counts = found.reshape(*lead, -1).sum(-1)
        others = tuple(i for i, a in enumerate(axes[:len(lead)]) if a != _axes.SLICE)
        held = counts.any(axis=others, keepdims=True)  # a slice that is empty as a whole is no other sampling
        if ((counts < SAME * whole.sum()) & held).any():
            filled = [_filled(found[i]) for i in np.ndindex(lead)]
            return shortened(np.stack(filled).reshape(found.shape), [a for a in axes if a != _axes.COIL])
    return _filled(whole)


def _filled(found):
    """The grid of all occupied rows and columns where nearly all of it is occupied, else what is."""
    grid = np.ones(found.shape, bool)
    for axis in range(found.ndim):
        grid &= found.any(axis=tuple(a for a in range(found.ndim) if a != axis), keepdims=True)
    return grid if found.sum() >= FILLED * grid.sum() else found


def check_mask(name: str, x, axes, shape) -> np.ndarray:
    """Check a mask for k-space with these axes and sizes, without coils; returns a new bool array for `Grid`.

    Bool, 0/1 integers or 0.0/1.0 floats that broadcast to `shape`, as numpy does it, from the end; an axis of coils may
    be there too, before the encoded ones, if the mask repeats along it. One pattern for all comes back as such.

    Raises:
        TypeError, ValueError: as `_check.mask`.
    """
    axes, shape = tuple(axes), tuple(int(n) for n in shape)
    inner = len(_axes.encoded(axes))
    lead = len(axes) - inner
    if inner == 2 and getattr(x, "ndim", 0) < 3:
        return _check.mask(name, x, shape)
    pattern = _check.booleans(name, x)
    if pattern.ndim == len(axes) + 1 or (pattern.ndim == inner + 1 and lead == 0):  # with coils
        if not (pattern == pattern[..., :1, *(slice(None),) * inner]).all():
            raise ValueError(f"{name} of shape {pattern.shape} differs between coils, which are sampled together: give "
                             f"{_told(axes, shape)}")
        pattern = pattern[..., 0, *(slice(None),) * inner]
    while pattern.ndim > inner and (pattern == pattern[:1]).all():  # one pattern for all, however it was repeated
        pattern = pattern[0]
    if pattern.ndim > len(axes) or any(n not in (1, m) for n, m in zip(pattern.shape[::-1], shape[::-1])):
        raise ValueError(f"{name} has shape {np.shape(x)}, expected {_told(axes, shape)}, with 1 where it does not "
                         "change, or the encoded axes alone")
    if not pattern.any():
        raise ValueError(f"{name} is False everywhere: no sample is left")
    if pattern.ndim > inner:  # an axis for each of the others
        pattern = pattern.reshape((1,) * (len(axes) - pattern.ndim) + pattern.shape)
    return np.broadcast_to(pattern, (*pattern.shape[:-inner], *shape[-inner:])).copy()


def shortened(mask, axes) -> np.ndarray:
    """A mask with an axis for each of `axes`, without those that do not matter: they go, or have size 1."""
    lead = mask.ndim - len(_axes.encoded(axes))
    for axis in range(lead):
        first = np.take(mask, [0], axis=axis)
        if (mask == first).all():
            mask = first
    return squeezed(mask, mask.ndim - lead)


def squeezed(mask, inner: int) -> np.ndarray:
    """A mask of its last `inner` axes alone where those before them have size 1."""
    lead = mask.ndim - inner
    return mask[(0,) * lead] if all(n == 1 for n in mask.shape[:lead]) else mask


def _told(axes, shape) -> str:
    return f"{shape} ({', '.join(axes)})"
