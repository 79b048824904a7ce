"""Soft thresholding, compiled; imported where it is run, since `jit` loads numba."""

from __future__ import annotations

import numpy as np

from pisolve.backend._jit import jit


@jit
def shrink(x, threshold, out):
    """One pass over (group, sample) of reals, real and imaginary parts in turn; `threshold` > 0 is of their type."""
    groups, n = x.shape
    n //= 2
    factor, one, none = np.empty(512, x.dtype), x.dtype.type(1), x.dtype.type(0)
    for start in range(0, n, 512):
        count = min(512, n - start)
        for g in range(groups):
            row = x[g, 2 * start:]
            for i in range(count):
                square = row[2 * i] * row[2 * i] + row[2 * i + 1] * row[2 * i + 1]
                factor[i] = square if g == 0 else factor[i] + square
        for i in range(count):
            f = one - threshold / np.sqrt(factor[i])
            factor[i] = none if f < none else f
        for g in range(groups):
            row, new = x[g, 2 * start:], out[g, 2 * start:]
            for i in range(count):
                new[2 * i] = factor[i] * row[2 * i]
                new[2 * i + 1] = factor[i] * row[2 * i + 1]
