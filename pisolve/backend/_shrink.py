"""Soft thresholding, compiled; imported where it is run, since `jit` loads numba."""

from __future__ import annotations

import numpy as np

from pisolve.backend._jit import jit


@jit
def shrink(x, threshold, out, first, last):
    """One pass over the samples from `first` to `last` of (group, sample) reals, real and imaginary parts in turn.

    `threshold` > 0 is of their type.
    """
    groups = len(x)
    factor, one, none = np.empty(512, x.dtype), x.dtype.type(1), x.dtype.type(0)
    for start in range(first, last, 512):
        count = min(512, last - start)
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
