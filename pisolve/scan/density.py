"""Density compensation: the area of k-space that each sample stands for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.backend.points import PointTransform, checked_coord

_KEPT, _MOST = OrderedDict(), 1 << 24  # densities of late by a digest of their coordinates, and numbers in them


def density(coord: ArrayLike, shape: Sequence[int], *, iterations: int = 30) -> np.ndarray:
    """The area (volume) of k-space that each sample stands for, in cells of 1 / field of view: w for A^H w y.

        w <- w / (C w),    C[j, k] = c(k_j - k_k),    c the transform of the autocorrelation of the field of view

    c is positive and its main lobe is one cell wide, so that w is what it has to be inside of the field of view; the
    convolution is a pair of transforms on twice the field of view. Samples in one place share its area. With these
    weights A^H w y is the gridded image in the units of the object, A^H w A about the identity. They are no part of the
    least-squares problem: there they would say that the samples in the centre are less to be believed.

    Args:
        coord: (..., axis), as for `linops.nufft`.
        shape: of the image, an axis for each of the coordinates.
        iterations: of the update.

    Returns:
        float64 of shape coord.shape[:-1].

    Raises:
        TypeError, ValueError: as `linops.nufft`.

    Reference:
        Pipe and Menon, Magn Reson Med 41 (1999) 179; Johnson and Pipe, Magn Reson Med 61 (2009) 439 (the kernel).
    """
    return kept(coord, shape, iterations=iterations).copy()


def kept(coord: ArrayLike, shape: Sequence[int], *, iterations: int = 30) -> np.ndarray:
    """`density` of these coordinates, made once for all copies and parts of a scan; not to be written into."""
    shape = _check.shape("shape", shape)
    coord = np.ascontiguousarray(checked_coord(coord, shape))
    count = _check.integer("iterations", iterations, low=1)
    key = (coord.shape, shape, count, blake2b(coord).digest())
    found = _KEPT.get(key)
    if found is None:
        found = _pipe_menon(coord, shape, count)
        found.setflags(write=False)
        _KEPT[key] = found
        while len(_KEPT) > 1 and sum(w.size for w in list(_KEPT.values())) > _MOST:
            _KEPT.popitem(last=False)
    return found


def _pipe_menon(coord, shape, iterations):
    d, twice = len(shape), tuple(2 * n for n in shape)
    points = PointTransform(2 * coord.reshape(-1, d), twice, 1e-5, finer=1.25)
    window = _autocorrelation(shape)
    w = np.ones((1, len(points.coord)), np.complex128)
    image, seen = np.empty((1, *twice), np.complex128), np.empty_like(w)
    for _ in range(iterations):
        points.backward(w, image)
        image *= window
        points.forward(image, seen)
        w /= np.maximum(abs(seen), 1e-12)
    return (w.real / 2**d).reshape(coord.shape[:-1])


def _autocorrelation(shape):
    """Of an ellipsoid that fills the field of view, 1 in the middle, on twice the field of view."""
    axes = np.meshgrid(*((np.arange(2 * n) - n) / n for n in shape), indexing="ij", sparse=True)
    r = np.minimum(np.sqrt(sum(a**2 for a in axes)), 1)
    if len(shape) == 1:
        return 1 - r
    if len(shape) == 2:
        return 2 / np.pi * (np.arccos(r) - r * np.sqrt(1 - r**2))
    return 1 - 1.5 * r + 0.5 * r**3
