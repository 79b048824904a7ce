"""Samples anywhere in k-space: an encoding beside `Grid`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _axes, _check
from pisolve._types import ArrayLike
from pisolve.backend import fft, side_by_side
from pisolve.backend.points import PointTransform, checked_coord
from pisolve.scan import density
from pisolve.scan.grid import Grid

_ACCURACY = 1e-5  # of gridded images


@dataclass(frozen=True, eq=False)
class Points(Grid):
    """Shots of samples anywhere in k-space.

    It is a `Grid` of shots and samples, whose mask says which were kept: shots are withheld as lines are. In a stack
    every partition of a Cartesian "kz" has shots in (y, x).

    Args:
        axes, shape, mask: as for `Grid`; the last of the axes are "shot" and "sample", in 3-D with "segment" before
            them, or "kz" where it is a stack.
        coord: (..., shot, sample, axis) in -N/2..N/2, with the encoded axes, or all but the coils, before them where
            partitions, or frames, have their own.
        size: the shape of the image.
    """

    coord: np.ndarray | None = None
    size: tuple[int, ...] = ()

    def keep(self, keep: ArrayLike) -> Points:
        return replace(self, mask=super().keep(keep).mask)

    @property
    def points(self) -> int:
        """How many of the axes are those of points; in a stack there is one more of the encoded ones."""
        return self.coord.shape[-1]

    @property
    def stacked(self) -> bool:
        """Whether it is a stack, Cartesian along kz."""
        return len(self.size) > self.points

    @property
    def varying(self) -> tuple[str, ...]:
        """The axes of what can be left out as one: shots."""
        return self.encoded[:-1]

    def units(self) -> np.ndarray:
        if self.coord is None or not self.own_coord:
            return super().units()
        mask = np.ones(self.shape, bool) if self.mask is None else np.broadcast_to(self.mask, self.shape)
        return Grid.units(Points(self.axes, self.shape, mask))  # shots of each frame by themselves

    @cached_property
    def own_coord(self) -> bool:
        """Whether each frame, slice, ... has coordinates of its own."""
        return self.coord.ndim - 1 > len(self.encoded)

    @property
    def coord_axes(self) -> tuple[str, ...]:
        """The names of the axes of `coord`, the last one aside."""
        return self.axes[len(self.axes) + 1 - self.coord.ndim:]

    @cached_property
    def density(self) -> np.ndarray:
        """The area of k-space that each sample stands for, 0 where it was not kept.

        It has the encoded axes, of size 1 along kz where partitions are alike, and all but the coils where frames have
        their own coordinates or mask.
        """
        p, inner = self.points, len(self.encoded)
        shape = self.coord.shape[-1 - p:-1]
        mask = np.ones(shape, bool) if self.mask is None else self.mask
        if self.stacked and mask.ndim > p and (mask == mask[..., :1, :, :]).all():
            mask = mask[..., :1, :, :]  # partitions that were sampled alike
        lead = np.broadcast_shapes((1,) * (inner - p), self.coord.shape[:-1 - p], mask.shape[:-p])
        coord = np.broadcast_to(self.coord, (*lead, *shape, p))
        mask = np.broadcast_to(mask, (*lead, *shape))
        found = np.zeros((*lead, *shape))

        def fill(i):
            if mask[i].any():
                found[i][mask[i]] = density.kept(coord[i][mask[i]], self.size[-p:])

        side_by_side(fill, np.ndindex(*lead))
        return found

    def far(self) -> np.ndarray:
        found = np.zeros(self.shape[-len(self.encoded):], np.float32)
        first = self.coord[(0,) * (self.coord.ndim - 1 - len(self.encoded))]
        found += np.square(first / self.size[-self.points:]).sum(-1)
        if self.stacked:
            n = self.size[0]
            found += np.square((np.arange(n) - n // 2) / n)[:, None, None]
        return found

    def radius(self) -> np.ndarray:
        """The distance of each sample from the centre, 1 in a corner of the grid; shaped as k-space without coils."""
        half = np.array(self.size, float) / 2
        found = np.square(self.coord / half[-self.points:]).sum(-1)
        if self.stacked:
            n = self.size[0]
            found = found + np.square((np.arange(n) - n // 2) / half[0])[:, None, None]
        return np.broadcast_to(np.sqrt(found / len(self.size)), self.shape)

    @property
    def cells(self) -> float:
        """How many cells of k-space the samples of a frame cover: each at most one."""
        inner = len(self.encoded)
        first = self.density[(0,) * (self.density.ndim - inner)]
        return float(np.broadcast_to(np.minimum(first, 1), self.shape[-inner:]).sum())

    @property
    def acceleration(self) -> float:
        """The area of the disc (ball, cylinder of a stack) that the samples reach over that which they cover."""
        d, reach = self.points, np.abs(self.coord).reshape(-1, self.points).max(0)
        height = self.size[0] if self.stacked else 1
        return float(height * np.prod(2 * reach) * (np.pi / 4 if d == 2 else np.pi / 6) / self.cells)

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"acceleration": self.acceleration, "image": self.size,
                                     "shots": self.shape[-2], "samples": self.shape[-1]}

    def gridded(self, kspace: ArrayLike) -> Any:
        """Images of every coil, E^H w y, of k-space (..., coil, shot, sample): (..., coil, *size)."""
        p, inner = self.points, len(self.encoded)
        out = np.empty((*kspace.shape[:-inner], *self.size), kspace.dtype)
        lead, count = kspace.shape[:-1 - inner], self.size[0] if self.stacked else 1
        data, images = (a.reshape(*lead, a.shape[len(lead)], count, *a.shape[-p:]) for a in (kspace, out))
        weights = self.density.reshape(*self.density.shape[:-inner], -1, *self.density.shape[-p:])
        weights = np.broadcast_to(weights, (*lead, *weights.shape[-1 - p:]))
        coord = self.coord.reshape(*self.coord.shape[:max(self.coord.ndim - 1 - inner, 0)], -1,
                                   *self.coord.shape[-1 - p:])
        made = {}
        for i in np.ndindex(*lead):
            own = i if self.own_coord else ()
            y = data[i] * weights[i].astype(kspace.real.dtype)
            for z in range(count) if coord.shape[len(own)] > 1 else [slice(None)]:  # partitions alike go together
                key = (*own, 0 if isinstance(z, slice) else z)
                if key not in made:  # slices and frames of one trajectory share its plans
                    made[key] = PointTransform(coord[key].reshape(-1, p), self.size[-p:], _ACCURACY)
                picture = images[i][:, z]
                made[key].backward(y[:, z].reshape(-1, coord[key].size // p), picture.reshape(-1, *picture.shape[-p:]))
        return fft(out, (-3,), inverse=True) if self.stacked else out


def as_points(kspace: ArrayLike, coord: ArrayLike, size: Any, given: Any):
    """(k-space, coord, size, axes) with as many axes of samples as the image has: shots, and segments in 3-D, of one.

    Raises:
        TypeError, ValueError: arrays that do not fit each other, no size, coordinates in other units.
    """
    if size is None:
        raise ValueError("size is needed beside coord: the shape of the image, such as size=(128, 128)")
    size = _check.shape("size", size)
    if len(size) not in (2, 3):
        raise ValueError(f"size is {size}: give (y, x) or (z, y, x)")
    names = _usual(kspace) if given is None else _axes.words("axes", given)
    stack = ("kz",) if "kz" in names and len(size) == 3 else ()
    d = len(size) - len(stack)
    coord = checked_coord(coord, size[-d:])
    wanted = tuple(_axes.POINTS)[-d:]
    points = tuple(a for a in wanted if a in names)
    if _axes.encoded(names) != stack + points or "sample" not in points:
        raise ValueError(f"axes are {', '.join(names)}: beside coord k-space has the axes {', '.join(wanted)}, or the "
                         "last of them, and of a stack, whose size is (z, y, x), 'kz' too")
    if names[-len(points):] != points:
        raise ValueError(f"axes are {', '.join(names)}: beside coord the last ones must be {', '.join(points)}")
    if len(names) != kspace.ndim:
        raise ValueError(f"axes names {len(names)} axes, {', '.join(names)}, and kspace has shape {kspace.shape}")
    shape = kspace.shape[-len(points):]
    sizes = dict(zip(names, kspace.shape))
    if stack and sizes["kz"] != size[0]:
        raise ValueError(f"kspace has {sizes['kz']} partitions (kz), size is {size}: give all {size[0]} of them, zero "
                         "and False in mask where they were not measured")
    lead = tuple(n for a, n in sizes.items() if a not in points and a != _axes.COIL)
    fitting = dict.fromkeys([shape, *((sizes["kz"], *shape) for _ in stack), (*lead, *shape)])
    if coord.shape[:-1] not in fitting:
        turned = given is None and kspace.shape[:-1] in (coord.shape[:-1], coord.shape[-3:-1])
        hint = "; the coils look last, and come before the samples: numpy.moveaxis(kspace, -1, 0)" * turned
        raise ValueError(f"coord has shape {coord.shape}, kspace {kspace.shape} ({', '.join(names)}): give coord "
                         f"{' or '.join(str((*f, d)) for f in fitting)}{hint}")
    more = (1,) * (d - len(points))
    kspace = kspace.reshape(*kspace.shape[:-len(points)], *more, *shape)
    coord = coord.reshape(*coord.shape[:-1 - len(points)], *more, *coord.shape[-1 - len(points):])
    return kspace, coord, size, (*names[:-len(points)], *wanted)


def _usual(kspace):
    """The names of axes that nobody has named."""
    if kspace.ndim not in (2, 3, 4):
        raise ValueError(f"kspace has shape {kspace.shape}: name its axes, such as axes=('frame', 'coil', 'shot', "
                         "'sample')")
    return ("coil", "sample") if kspace.ndim == 2 else ("slice", "coil", "shot", "sample")[-kspace.ndim:]
