"""Samples anywhere in k-space: an encoding beside `Grid`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pisolve import _axes, _check
from pisolve.backend.points import PointTransform, checked_coord
from pisolve.scan.density import density
from pisolve.scan.grid import Grid

_ACCURACY = 1e-5  # of gridded images


@dataclass(frozen=True, eq=False)
class Points(Grid):
    """Shots of samples anywhere in k-space.

    It is a `Grid` of shots and samples, whose mask says which were kept: shots are withheld as lines are.

    Args:
        axes, shape, mask: as for `Grid`; the last of the axes are "shot" and "sample", in 3-D "segment" before them.
        coord: (..., shot, sample, axis) in -N/2..N/2, with the axes before the coils where each frame has its own.
        size: the shape of the image.
    """

    coord: np.ndarray | None = None
    size: tuple[int, ...] = ()

    def keep(self, keep):
        return replace(self, mask=super().keep(keep).mask)

    @property
    def varying(self) -> tuple[str, ...]:
        """The axis of what can be left out as one: shots."""
        return self.encoded[:-1]

    @cached_property
    def own_coord(self) -> bool:
        """Whether each frame, slice, ... has coordinates of its own."""
        return self.coord.ndim - 1 > len(self.encoded)

    @cached_property
    def density(self) -> np.ndarray:
        """The area of k-space that each sample stands for, 0 where it was not kept; the axes of `coord`."""
        inner = len(self.encoded)
        lead = self.coord.shape[:-1 - inner]
        shape = self.coord.shape[-1 - inner:-1]
        mask = np.ones(shape, bool) if self.mask is None else self.mask
        if mask.ndim > inner and not lead:  # frames keep other shots of one trajectory
            lead = mask.shape[:-inner]
        found = np.zeros((*lead, *shape))
        for i in np.ndindex(*lead):
            coord = self.coord[i] if self.own_coord else self.coord
            kept = np.broadcast_to(mask[i] if mask.ndim > inner else mask, shape)
            found[i][kept] = density(coord[kept], self.size)
        return found

    def far(self):
        first = self.coord[(0,) * (self.coord.ndim - 1 - len(self.encoded))]
        return np.square(first / self.size).sum(-1).astype(np.float32)

    @property
    def cells(self) -> float:
        """How many cells of k-space the samples of a frame cover: each at most one."""
        inner = len(self.encoded)
        first = self.density[(0,) * (self.density.ndim - inner)]
        return float(np.minimum(first, 1).sum())

    @property
    def acceleration(self) -> float:
        """The area of the disc (ball) that the samples reach over that which they cover."""
        d, reach = len(self.size), np.abs(self.coord).reshape(-1, len(self.size)).max(0)
        return float(np.prod(2 * reach) * (np.pi / 4 if d == 2 else np.pi / 6) / self.cells)

    def describe(self):
        return super().describe() | {"acceleration": self.acceleration, "image": self.size,
                                     "shots": self.shape[-2], "samples": self.shape[-1]}

    def gridded(self, kspace):
        """Images of every coil, E^H w y, of k-space (..., coil, shot, sample): (..., coil, *size)."""
        inner = len(self.encoded)
        out = np.empty((*kspace.shape[:-inner], *self.size), kspace.dtype)
        weights, made = self.density, {}
        for i in np.ndindex(*kspace.shape[:-1 - inner]):
            own = i if self.own_coord else ()
            if own not in made:  # slices and frames of one trajectory share its plans
                made[own] = PointTransform(self.coord[own].reshape(-1, len(self.size)), self.size, _ACCURACY)
            w = weights[i] if weights.ndim > inner else weights
            made[own].backward((kspace[i] * w.astype(kspace.real.dtype)).reshape(kspace.shape[-1 - inner], -1), out[i])
        return out


def as_points(kspace, coord, size, given):
    """(k-space, coord, size, axes) with as many axes of samples as the image has: shots, and segments in 3-D, of one.

    Raises:
        TypeError, ValueError: arrays that do not fit each other, no size, coordinates in other units.
    """
    if size is None:
        raise ValueError("size is needed beside coord: the shape of the image, such as size=(128, 128)")
    size = _check.shape("size", size)
    d = len(size)
    if d not in (2, 3):
        raise ValueError(f"size is {size}: give (y, x) or (z, y, x)")
    coord = checked_coord(coord, size)
    wanted = tuple(_axes.POINTS)[-d:]
    if given is None:
        names = ("slice", "coil", "shot", "sample")[-kspace.ndim:] if kspace.ndim in (2, 3, 4) else None
        if names is None:
            raise ValueError(f"kspace has shape {kspace.shape}: name its axes, such as axes=('frame', 'coil', 'shot', "
                             "'sample')")
        names = ("coil", "sample") if kspace.ndim == 2 else names
    else:
        names = _axes.words("axes", given)
    points = tuple(a for a in wanted if a in names)
    if _axes.encoded(names) != points or "sample" not in points:
        raise ValueError(f"axes are {', '.join(names)}: beside coord k-space has the axes {', '.join(wanted)}, or the "
                         "last of them")
    if names[-len(points):] != points:
        raise ValueError(f"axes are {', '.join(names)}: beside coord the last ones must be {', '.join(points)}")
    if len(names) != kspace.ndim:
        raise ValueError(f"axes names {len(names)} axes, {', '.join(names)}, and kspace has shape {kspace.shape}")
    shape = kspace.shape[-len(points):]
    lead = tuple(n for a, n in zip(names, kspace.shape) if a not in points and a != _axes.COIL)
    if coord.shape[:-1] not in (shape, (*lead, *shape)):
        raise ValueError(f"coord has shape {coord.shape}, kspace {kspace.shape} ({', '.join(names)}): give coord "
                         f"{(*shape, d)}" + (f" or {(*lead, *shape, d)}" if lead else ""))
    more = (1,) * (d - len(points))
    kspace = kspace.reshape(*kspace.shape[:-len(points)], *more, *shape)
    coord = coord.reshape(*coord.shape[:-1 - len(points)], *more, *coord.shape[-1 - len(points):])
    return kspace, coord, size, (*names[:-len(points)], *wanted)
