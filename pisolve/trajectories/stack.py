"""The same trajectory in every partition of a volume: stacks of stars and of spirals."""

from __future__ import annotations

import numpy as np

from pisolve._check import integer
from pisolve._types import ArrayLike


def stack(coord: ArrayLike, partitions: int) -> np.ndarray:
    """A 2-D trajectory (..., sample, 2) repeated at every kz: (partition, ..., sample, 3) for (z, y, x).

    kz runs over -partitions // 2 .. as the FFT's grid does.

    Args:
        coord: for (y, x).
        partitions: how many, the size of the image along z.

    Raises:
        ValueError: coordinates that are not of two axes.
    """
    coord = np.asarray(coord, np.float64)
    if coord.ndim < 2 or coord.shape[-1] != 2:
        raise ValueError(f"coord has shape {coord.shape}: a stack is made of a 2-D trajectory (..., 2)")
    n = integer("partitions", partitions, low=1)
    kz = (np.arange(n) - n // 2).reshape(n, *[1] * (coord.ndim - 1), 1)
    planes = np.broadcast_to(coord, (n, *coord.shape))
    return np.concatenate([np.broadcast_to(kz, (*planes.shape[:-1], 1)).astype(float), planes], -1)
