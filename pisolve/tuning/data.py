"""Operator and data with what tuning asks of them: where they are sampled, parts of them, their centre."""

from __future__ import annotations

import numpy as np

from pisolve import backend, masks
from pisolve._check import dtype_name, real_name
from pisolve.backend._sigpy import sigpy
from pisolve.linops import sense
from pisolve.linops.sense import Sense
from pisolve.problem import Problem

_CENTRE = 24  # the widest centre that an image of low resolution is made of


class Data:
    """The operator and the data of a problem.

    Attributes:
        A, y: operator and data, zero where not sampled; numpy or cupy.
        inside: numpy bool array that broadcasts to y, True where sampled.
        sampled: numpy bool array of the shape of y's last two axes: True where any coil or slice was sampled.
        count: number of complex samples.
        lipschitz: L >= ||A||^2.
    """

    def __init__(self, problem: Problem):
        self.A, y = problem.linop, problem.y
        if y.ndim < 2:
            raise ValueError(f"y has shape {tuple(y.shape)}: tuning needs data of two or more axes")
        y = backend.from_torch(y) if hasattr(y, "detach") else y
        weight = _weight(self.A)
        inside = y != 0 if weight is None else weight > 0
        self.y = y * inside
        self.inside = backend.to_numpy(inside)
        self.count = int(np.broadcast_to(self.inside, y.shape).sum())
        last = self.inside.any(axis=tuple(range(self.inside.ndim - 2)))
        self.sampled = np.broadcast_to(last, tuple(y.shape[-2:])).copy()
        self.lipschitz = problem.lipschitz

    @property
    def is_sense(self) -> bool:
        """Whether y is k-space on a grid."""
        return isinstance(self.A, Sense)

    def like(self, x):
        """The numpy array `x` as an array of y's kind."""
        return backend.namespace(self.y).asarray(x)

    def restricted(self, keep):
        """(A, y) of the samples in `keep`, a numpy bool array of the shape of `sampled`."""
        keep = self.like(keep.astype(real_name(self.y)))
        if self.is_sense:
            weight = self.A.weight
            return sense(self.A.mps, weights=keep if weight is None else weight**2 * keep), self.y * keep
        full = backend.namespace(keep).broadcast_to(keep, tuple(self.y.shape))
        return sigpy.linop.Multiply(self.A.oshape, full) * self.A, self.y * keep

    def noise(self, seed):
        """Complex Gaussian noise on the samples, real and imaginary part of standard deviation 1."""
        n = np.random.default_rng(seed).standard_normal((2, *self.y.shape), np.float32)
        return self.like(((n[0] + 1j * n[1]) * self.inside).astype(dtype_name(self.y)))

    def low_resolution(self):
        """A^H of the full centre of k-space under a Hann window: phase and outline of the object; None without one."""
        size = [min(n, _CENTRE) for n in masks.centre(self.sampled)]
        if not self.is_sense or min(size) < 4:
            return None
        window = np.zeros(self.sampled.shape, np.float32)
        window[_block(self.sampled.shape, size)] = np.outer(*(np.hanning(n + 2)[1:-1] for n in size))
        return self.A.H(self.y * self.like(window))

    def split(self, *, folds: int, share: float, seed: int) -> list:
        """At most `folds` seeded sets of samples, bool like `sampled`: each `share` of those outside the full centre.

        The centre stays. Whole lines where the pattern varies along one axis, else points; disjoint as far as
        folds * share <= 1. Where everything is sampled, the central eighth along each axis counts as the centre.

        Raises:
            ValueError: fewer than two lines or points outside the centre.
        """
        found = masks.describe(self.sampled)
        centre = [n // 8 for n in self.sampled.shape] if self.sampled.all() else found["centre"]
        outer = self.sampled.copy()
        if self.is_sense:
            outer[_block(outer.shape, centre)] = False
        lines = found["axes"][0] if len(found["axes"]) == 1 else None
        units = np.flatnonzero(outer if lines is None else outer.any(axis=-3 - lines))
        if len(units) < 2:
            raise ValueError(f"holdout needs samples outside the full centre of k-space, and finds {len(units)} "
                             f"{'points' if lines is None else 'lines'}: take method='sure'")
        units = np.random.default_rng(seed).permutation(units)
        count, sets = max(1, round(share * len(units))), []
        for k in range(min(folds, len(units))):
            chosen = np.take(units, range(k * count, (k + 1) * count), mode="wrap")
            out = np.zeros(outer.size if lines is None else outer.shape[lines], bool)
            out[chosen] = True
            shape = outer.shape if lines is None else (-1, 1) if lines == -2 else (1, -1)
            sets.append(outer & out.reshape(shape))
        return sets


def _weight(A):
    """The weights inside a `sense`, broadcastable to its data; None for another operator."""
    if not isinstance(A, Sense):
        return None
    if A.weight is None:
        return backend.namespace(A.mps).ones((1, 1), "float32")
    return A.weight if A.weight.ndim == 2 else A.weight[..., None, :, :]


def _block(shape, size):
    """The centred block of this size, as `masks.centre` counts it."""
    return tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(shape, size))
