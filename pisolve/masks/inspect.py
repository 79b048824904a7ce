"""Looking at a mask: does it fit and is it feasible, what does it sample, where does data have samples."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pisolve import _axes, _check, scan
from pisolve._types import ArrayLike, Axes
from pisolve.backend import to_numpy


class PoorMaskWarning(UserWarning):
    """A sampling pattern that no scanner can acquire, or that the reconstruction will suffer from."""


def check(mask: ArrayLike, shape: Sequence[int], *, phase_axes: int = 1) -> np.ndarray:
    """The mask as a new bool array (ky, kx) that fits k-space of `shape`; warns of a pattern not feasible in 2-D.

    A 2-D scan samples whole readout lines, so its mask repeats along the readout (or a contiguous part of it).

    Args:
        mask: bool or 0/1 array (ky, kx), (1, kx), (ky, 1) or (kx,), repeated over leading axes or not.
        shape: shape (..., ky, kx) of the k-space that it belongs to.
        phase_axes: 2 says that (ky, kx) are two phase-encoding axes, as in slices of a 3-D scan: no warning.

    Raises:
        ValueError: another size, differing between coils or slices, or no sample at all.

    Warns:
        PoorMaskWarning: the pattern needs two phase-encoding axes.
    """
    mask = _check.mask("mask", mask, shape)
    _check.choice("phase_axes", phase_axes, (1, 2))
    if phase_axes == 1 and not (_whole_lines(mask) or _whole_lines(mask.T)):
        warnings.warn("mask needs two phase-encoding axes: only feasible for 3-D scans; a 2-D scan takes whole lines, "
                      "as masks.random and masks.equispaced", PoorMaskWarning, stacklevel=2)
    return mask


def centre(mask: ArrayLike) -> tuple[int, int]:
    """Size (ky, kx) of the largest fully sampled block around index N//2: what a calibration may crop.

    A block of n samples spans N//2 - n//2 ... N//2 - n//2 + n - 1, as `sigpy.resize` crops. Largest means the longest
    shorter side, then the largest area. (0, 0) where the very centre is not sampled.

    Args:
        mask: bool or 0/1 array (..., ky, kx).
    """
    mask = _check.mask("mask", mask, getattr(mask, "shape", (0, 0))[-2:] if getattr(mask, "ndim", 2) > 1 else (1, 1))
    # the order in which a growing centred block takes in its samples: c, c-1, c+1, c-2, ...
    order = [np.argsort(np.where(d < 0, -2 * d - 1, 2 * d)) for d in (np.arange(n) - n // 2 for n in mask.shape)]
    full = np.logical_and.accumulate(np.logical_and.accumulate(mask[np.ix_(*order)], 0), 1)
    if not full[0, 0]:
        return 0, 0
    ny, nx = np.nonzero(full)  # full[i, j]: the block of (i + 1, j + 1) samples
    ny, nx = ny + 1, nx + 1
    best = np.lexsort((ny * nx, np.minimum(ny, nx)))[-1]
    return int(ny[best]), int(nx[best])


def describe(mask: ArrayLike) -> dict[str, Any]:
    """What a mask is: its shape, acceleration, fraction sampled, the axes it varies along, its full centre (ky, kx).

    Args:
        mask: bool or 0/1 array (..., ky, kx).

    Returns:
        dict with `shape`, `acceleration` (size / samples), `fraction`, `axes` (a tuple of -2 and -1), `centre`.
    """
    size = centre(mask)
    mask = _check.mask("mask", mask, mask.shape)
    varies = (bool((mask != mask[:1]).any()), bool((mask != mask[:, :1]).any()))
    return {"shape": mask.shape, "acceleration": mask.size / int(mask.sum()), "fraction": float(mask.mean()),
            "axes": tuple(a for a, v in zip((-2, -1), varies) if v), "centre": size}


def estimate(kspace: ArrayLike, axes: Axes | None = None) -> np.ndarray:
    """The sampled positions of zero-filled k-space: True where any coil of any slice is not zero.

    With the names of its axes, as for `Scan`, slices, frames, ... that were sampled apart get masks of their own.

    A sample that happens to be exactly zero in every coil (quantised data, a single coil) is no hole: where at least
    95 % of the grid of occupied rows and columns is not zero, the whole grid counts as sampled.

    Args:
        kspace: array (..., ky, kx), zero where nothing was measured.
        axes: names of its axes, such as ("frame", "coil", "ky", "kx"); None: one mask (ky, kx) for all of it.

    Returns:
        bool array (ky, kx); with `axes` one that broadcasts to k-space without coils.

    Raises:
        ValueError: fewer than two axes, NaN or Inf, or zero everywhere.
    """
    kspace = to_numpy(_check.array("kspace", kspace, complex_=False, nonzero=True))
    if kspace.ndim < 2:
        raise ValueError(f"kspace has {kspace.ndim} dimensions: (..., ky, kx) needed")
    if axes is not None:
        return scan.estimate(kspace, _axes.checked(axes, kspace.shape))
    found = (kspace != 0).any(axis=tuple(range(kspace.ndim - 2)))
    grid = found.any(axis=1)[:, None] & found.any(axis=0)[None, :]
    return grid if found.sum() >= 0.95 * grid.sum() else found


def _whole_lines(mask) -> bool:
    """True where every sampled row holds the same contiguous run of columns."""
    run = np.flatnonzero(mask.any(axis=0))
    return run[-1] - run[0] + 1 == len(run) and bool((mask[mask.any(axis=1)] == mask.any(axis=0)).all())
