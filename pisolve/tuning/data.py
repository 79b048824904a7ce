"""Operator and data with what tuning asks of them: where they are sampled, parts of them, their centre."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from pisolve import _axes, backend
from pisolve._check import dtype_name, is_torch, real_name
from pisolve._types import Seed
from pisolve.backend._sigpy import sigpy
from pisolve.linops import sense
from pisolve.linops.sense import Sense
from pisolve.problem import Problem
from pisolve.scan.grid import Grid, shortened
from pisolve.scan.points import Points

_CENTRE = 24  # the widest centre that an image of low resolution is made of


class Data:
    """The operator and the data of a problem.

    Attributes:
        A, y: operator and data, zero where not sampled; numpy, cupy or torch.
        plain: A without off-resonance.
        ndim: how many of y's axes are encoded, the last ones.
        inside: numpy bool array that broadcasts to y, True where sampled.
        sampled: numpy bool array of the shape of y's encoded axes, where frames (slices, ...) have their own masks with
            the axes before the coils in front: True where any coil was sampled.
        grid: the `Grid` of `sampled`, whose `units()` are what can be withheld as one.
        count: number of complex samples.
        lipschitz: L >= ||A||^2.
    """

    A: Any
    y: Any
    plain: Any
    ndim: int
    inside: Any
    sampled: Any
    grid: Grid
    count: int
    lipschitz: float

    def __init__(self, problem: Problem):
        self.A, y = problem.linop, problem.y
        self.plain = self.A.A if hasattr(self.A, "around") else self.A
        if y.ndim < 2:
            raise ValueError(f"y has shape {tuple(y.shape)}: tuning needs data of two or more axes")
        y = backend.from_torch(y, y if backend.native(y) else None) if is_torch(y) else y
        shots = len(self.plain.oshape) - 1 - len(self.plain.lead) if self.anywhere else 2
        self.ndim = self.plain.ndim if self.is_sense else shots
        weight = _weight(self.plain)
        inside = y != 0 if weight is None else weight > 0
        self.y = y * inside
        self.inside = backend.to_numpy(inside)
        self.count = int(np.broadcast_to(self.inside, y.shape).sum())
        self.grid = self._grid(tuple(y.shape))
        self.sampled = self.grid.mask
        self.lipschitz = problem.lipschitz

    def _grid(self, shape) -> Grid:
        """Names where there are none: those of slices, as far as one knows."""
        size, lead = shape[-self.ndim:], shape[:-1 - self.ndim] if self.is_sense or self.anywhere else ()
        names = [a for a in getattr(self.A, "oaxes", None) or () if a not in _axes.SPATIAL and a != _axes.COIL]
        if len(names) != len(lead):
            names = [_axes.SLICE, "frame", *(f"axis{k}" for k in range(len(lead)))][:len(lead)]
        if self.anywhere and self.ndim < 4:  # each frame's shots by themselves
            first = "kz" if self.plain.stacked else "segment"
            axes = (*names, *(first, "shot", "sample")[-self.ndim:])
            mask = np.broadcast_to(self.inside, shape).any(axis=-1 - self.ndim)
            return Points(axes, (*lead, *size), mask if self.plain.own else shortened(mask, axes))
        axes = (*names, *tuple(_axes.SPATIAL)[-self.ndim:])
        if self.is_sense and self.inside.ndim > self.ndim + 1:
            mask = shortened(np.broadcast_to(self.inside[..., 0, *(slice(None),) * self.ndim], (*lead, *size)), axes)
        else:
            mask = self.inside.any(axis=tuple(range(self.inside.ndim - self.ndim)))
        return Grid(axes, (*lead, *size), np.broadcast_to(mask, (*mask.shape[:-self.ndim], *size)).copy())

    @property
    def is_sense(self) -> bool:
        """Whether y is k-space on a grid."""
        return isinstance(self.plain, Sense)

    @property
    def anywhere(self) -> bool:
        """Whether y are samples anywhere in k-space, in shots."""
        return hasattr(self.plain, "reweighted")

    def like(self, x: Any) -> Any:
        """The numpy array `x` as an array of y's kind."""
        return backend.like(x, self.y)

    def on_data(self, samples: Any) -> Any:
        """An array of the shape of `sampled` as one that broadcasts to y: with an axis of coils."""
        return samples if samples.ndim == self.ndim else np.expand_dims(samples, -1 - self.ndim)

    def restricted(self, keep: Any) -> tuple[Any, Any]:
        """(A, y) of the samples in `keep`, a numpy bool array of the shape of `sampled`."""
        keep = keep.astype(real_name(self.y))
        kept = self.like(self.on_data(keep))
        A = self.plain
        if self.is_sense or self.anywhere:
            less = A.reweighted(keep) if self.anywhere else _reweighted(A, self.like(keep))
            return less if A is self.A else self.A.around(less), self.y * kept
        full = backend.namespace(kept).broadcast_to(kept, tuple(self.y.shape))
        return sigpy.linop.Multiply(self.A.oshape, full) * self.A, self.y * kept

    def noise(self, seed: Seed) -> Any:
        """Complex Gaussian noise on the samples, real and imaginary part of standard deviation 1."""
        n = np.random.default_rng(seed).standard_normal((2, *self.y.shape), np.float32)
        return self.like(((n[0] + 1j * n[1]) * self.inside).astype(dtype_name(self.y)))

    def low_resolution(self) -> Any:
        """A^H of the full centre of k-space under a Hann window: phase and outline of the object; None without one.

        Frames with masks of their own share the centre that all of them have.
        """
        shared = self.grid.everywhere
        size = [min(n, _CENTRE) for n in centre(shared)]
        if not self.is_sense or min(size) < 4:
            return None
        window = np.zeros(shared.shape, np.float32)
        window[_block(shared.shape, size)] = reduce(np.multiply.outer, [np.hanning(n + 2)[1:-1] for n in size])
        return self.A.H(self.y * self.like(window))

    def split(self, *, folds: int, share: float, seed: int) -> list[Any]:
        """At most `folds` seeded sets of samples, bool like `sampled`: each `share` of those outside the full centre.

        The centre stays. What is withheld are the units of the sampling, `Grid.units`: whole shots of samples anywhere,
        whole lines where the pattern varies along one axis, else points (lines of two phase encodings in 3-D), each of
        its own frame where frames have their own masks; disjoint as far as folds * share <= 1. Where everything is
        sampled, the central eighth along each axis counts as the centre.

        Raises:
            ValueError: fewer than two lines or points outside the centre.
        """
        outer = self.sampled.copy()
        if self.is_sense:
            for part in outer.reshape(-1, *outer.shape[-self.ndim:]):
                size = [n // 8 for n in part.shape] if self.sampled.all() else centre(part)
                part[_block(part.shape, size)] = False
        number = self.grid.units()
        shared = tuple(a for a in range(-self.ndim, 0) if number.shape[a] == 1)
        units = number[outer.any(axis=shared, keepdims=True)]
        if len(units) < 2:
            raise ValueError(f"holdout needs samples outside the full centre of k-space, and finds {len(units)} "
                             f"{'lines' if shared else 'points'}: take criterion='sure'")
        units = np.random.default_rng(seed).permutation(units)
        count, sets = max(1, round(share * len(units))), []
        for k in range(min(folds, len(units))):
            chosen = np.take(units, range(k * count, (k + 1) * count), mode="wrap")
            sets.append(outer & np.isin(number, chosen))
        return sets


def centre(mask) -> list[int]:
    """Size of the largest fully sampled block around index N//2 of a mask of two or three axes, see `masks.centre`."""
    order = [np.argsort(np.where(d < 0, -2 * d - 1, 2 * d)) for d in (np.arange(n) - n // 2 for n in mask.shape)]
    full = mask[np.ix_(*order)]
    for axis in range(mask.ndim):
        full = np.logical_and.accumulate(full, axis)
    sizes = np.argwhere(full) + 1  # full[i, j]: the block of (i + 1, j + 1) samples
    if not len(sizes):
        return [0] * mask.ndim
    return sizes[np.lexsort((sizes.prod(1), sizes.min(1)))[-1]].tolist()


def _weight(A):
    """The weights inside a `sense`, broadcastable to its data; None for another operator."""
    if not isinstance(A, Sense):
        return None
    if A.weight is None:
        return backend.like(np.ones((1,) * A.ndim, "float32"), A.mps)
    return A.weight if A.weight.ndim == A.ndim else A.weight[(..., None, *(slice(None),) * A.ndim)]


def _reweighted(A, keep):
    """A `sense` on a grid with its weights times `keep`."""
    named = {} if A.oaxes is None else {"axes": A.oaxes, "shape": tuple(A.oshape)}
    return sense(A.mps, weights=keep if A.weight is None else A.weight**2 * keep, **named)


def _block(shape, size):
    """The centred block of this size, as `masks.centre` counts it."""
    return tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(shape, size))
