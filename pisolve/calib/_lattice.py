"""Regular sampling lattices, and the pixels that fold onto each other under them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pisolve import _check


class Lattice(NamedTuple):
    """Samples (oy + a Ry, ox + a shift + b Rx) modulo the matrix size, for all whole a, b (CAIPI where shift > 0)."""

    ry: int
    rx: int
    shift: int
    offset: tuple[int, int]

    def mask(self, shape) -> np.ndarray:
        """The lattice as a bool array (ky, kx)."""
        y, x = np.ogrid[:shape[0], :shape[1]]
        a, rest = np.divmod(y - self.offset[0], self.ry)
        return (rest == 0) & ((x - self.offset[1] - a * self.shift) % self.rx == 0)

    def folds(self, shape) -> np.ndarray:
        """The displacements (ry * rx, 2) in pixels of the pixels that fold onto one; the first is (0, 0)."""
        i, j = np.divmod(np.arange(self.ry * self.rx), self.rx)
        dy = shape[0] * (i * self.rx - self.shift * j) // (self.ry * self.rx)
        return np.stack([dy % shape[0], j * shape[1] // self.rx], 1)


def lattice(mask) -> Lattice | None:
    """The regular lattice that a mask (ky, kx) is, or None.

    The matrix size must be a multiple of the acceleration along each axis, and the CAIPI shift must close up over the
    edge: otherwise pixels do not fold onto whole pixels.
    """
    mask = np.asarray(mask) != 0
    if not mask.any():
        return None
    found = first_rows(mask)
    if mask.shape[0] % found.ry or mask.shape[1] % found.rx or mask.shape[0] // found.ry * found.shift % found.rx:
        return None
    return found if (found.mask(mask.shape) == mask).all() else None


def first_rows(mask) -> Lattice:
    """The lattice that the first two sampled rows of a bool mask (ky, kx) belong to, if it is any."""
    rows = np.flatnonzero(mask.any(1))
    first = np.flatnonzero(mask[rows[0]])
    ry = int(rows[1] - rows[0]) if len(rows) > 1 else mask.shape[0]
    rx = int(first[1] - first[0]) if len(first) > 1 else mask.shape[1]
    shift = int(np.flatnonzero(mask[rows[1]])[0] - first[0]) % rx if len(rows) > 1 else 0
    return Lattice(ry, rx, shift, (int(rows[0]), int(first[0])))


def as_lattice(name: str, x, shape) -> Lattice:
    """A lattice from a mask, an acceleration along ky or a pair (Ry, Rx); a ValueError where there is none."""
    if isinstance(x, int | np.integer | tuple | list):
        accel = tuple(x) if isinstance(x, tuple | list) else (x, 1)
        if len(accel) != 2:
            raise ValueError(f"{name} must be an acceleration along ky or a pair (Ry, Rx), got {_check.brief(x)}")
        ry, rx = (_check.integer(name, r, low=1) for r in accel)
        if shape[0] % ry or shape[1] % rx:
            raise ValueError(f"{name} {(ry, rx)} does not divide the matrix size {tuple(shape)}: pixels then do not "
                             "fold onto pixels; solve iteratively, pi.solve(linops.sense(mps, mask), ...)")
        return Lattice(ry, rx, 0, (shape[0] // 2 % ry, shape[1] // 2 % rx))
    found = lattice(_check.mask(name, x, shape))
    if found is None:
        raise ValueError(f"{name} is no regular lattice (every R-th line, R a divisor of {tuple(shape)}, "
                         "without calibration lines): give the lattice alone as mask, or solve iteratively with "
                         "linops.sense")
    return found
