"""Cartesian k-space from samples anywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve import _check, linops
from pisolve._types import Array, ArrayLike
from pisolve.backend.points import checked_coord
from pisolve.scan.density import density


def gridded(kspace: ArrayLike, coord: ArrayLike, shape: Sequence[int], weights: ArrayLike | None = None) -> Array:
    """Cartesian k-space of every coil from samples anywhere: F E^H w y, for calibration and for a first look.

    Where the samples cover k-space, as in the middle of spokes and spirals, it is k-space to a few percent, so that
    `espirit`, `walsh` and the like take it: `espirit(gridded(kspace, coord, shape))`.

    Args:
        kspace: (coil, *coord.shape[:-1]), complex.
        coord: (..., axis), as for `linops.nufft`.
        shape: of the image, (y, x) or (z, y, x).
        weights: of each sample, `density(coord, shape)` where there are none.

    Returns:
        (coil, *shape), complex, of the dtype of `kspace`.

    Raises:
        TypeError, ValueError: as `linops.nufft`, and k-space that does not fit the coordinates.
    """
    shape = _check.shape("shape", shape)
    kspace = np.asarray(_check.array("kspace", kspace))
    coord = checked_coord(coord, shape)
    if kspace.shape[1:] != coord.shape[:-1]:
        raise ValueError(f"kspace has shape {kspace.shape}, coord {coord.shape}: give (coil, *coord.shape[:-1]), here "
                         f"(coil, {', '.join(map(str, coord.shape[:-1]))})")
    weights = density(coord, shape) if weights is None else np.broadcast_to(weights, coord.shape[:-1])
    A = linops.nufft((len(kspace), *shape), coord)
    return linops.fft(A.ishape, tuple(range(-len(shape), 0)))(A.H(kspace * weights.astype(kspace.real.dtype)))
