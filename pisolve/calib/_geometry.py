"""Which missing samples see which measured ones: the distinct patterns of a kernel's window on a mask."""

from __future__ import annotations

import numpy as np

from pisolve import masks
from pisolve.calib._lattice import Lattice, first_rows
from pisolve.calib.region import middle


def offsets(kernel):
    """Displacements (ky * kx, 2) of a window's samples from its centre sample, index (ky // 2, kx // 2)."""
    return np.stack(np.indices(kernel), -1).reshape(-1, 2) - np.floor_divide(kernel, 2)


def geometries(mask, kernel):
    """The distinct windows around the samples that are False in `mask` (ky, kx); outside of it nothing is measured.

    Returns:
        patterns: bool (n, ky * kx), each with at least one True, in an order that depends on the mask alone.
        holes: n arrays of flat indices into the mask, ascending.
        blind: flat indices of the holes whose window holds no measured sample.
    """
    at = np.flatnonzero(~mask)
    if not at.size:
        return np.zeros((0, kernel[0] * kernel[1]), bool), [], at
    before = np.floor_divide(kernel, 2)
    padded = np.pad(mask, [(b, k - 1 - b) for b, k in zip(before, kernel)]).astype(np.int64)
    ny, nx = mask.shape
    rows = np.zeros((len(padded), nx), np.int64)  # a row of the window as a number
    for j in range(kernel[1]):
        rows = 2 * rows + padded[:, j:j + nx]
    code = np.zeros(at.size, np.int64)
    width = 0
    for i in range(kernel[0]):
        if width + kernel[1] > 62:  # as many numbers as there are different windows so far
            kinds, code = np.unique(code, return_inverse=True)
            width = max(len(kinds) - 1, 1).bit_length()
        code = (code << kernel[1]) + rows[i:i + ny].ravel()[at]
        width += kernel[1]
    _, first, kind = np.unique(code, return_index=True, return_inverse=True)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel)
    patterns = windows[at[first] // nx, at[first] % nx].reshape(len(first), -1) != 0
    groups = np.split(at[np.argsort(kind, kind="stable")], np.cumsum(np.bincount(kind))[:-1])
    seen = patterns.any(1)
    blind = [group for group, ok in zip(groups, seen) if not ok]
    return patterns[seen], [g for g, ok in zip(groups, seen) if ok], blind[0] if blind else at[:0]


def enclosed(mask, at):
    """How many of the flat indices `at` have measured samples in all four quadrants around them."""
    inside = np.ones(mask.shape, bool)
    for flip in (np.s_[:, :], np.s_[::-1, :], np.s_[:, ::-1], np.s_[::-1, ::-1]):
        corner = np.logical_or.accumulate(np.logical_or.accumulate(mask[flip], 0), 1)
        inside &= corner[flip]
    return int(inside.ravel()[at].sum())


def acceleration(mask) -> float:
    """Samples per measured sample beside the fully sampled centre, in the rectangle that measured samples span."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    rest = np.zeros(mask.shape, bool)
    rest[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1] = True
    rest[tuple(middle(n, size) for n, size in zip(mask.shape, masks.centre(mask)))] = False
    measured = int((mask & rest).sum())
    return float(rest.sum() / measured) if measured else 1.0


def lattice_of(mask) -> Lattice | None:
    """The regular lattice of a mask that may hold a fully sampled rectangle (calibration lines) beside it, or None.

    The matrix size need not be a multiple of it.
    """
    found = first_rows(mask)
    points = found.mask(mask.shape)
    rest = np.nonzero(mask & ~points)
    if (points & ~mask).any():
        return None
    if rest[0].size and not mask[rest[0].min():rest[0].max() + 1, rest[1].min():rest[1].max() + 1].all():
        return None
    return found
