"""The kernel of `_subspace_normal.py`, apart from it since it loads numba."""

from __future__ import annotations

import numpy as np

from pisolve.backend import jit
from pisolve.linops._fft import LARGEST
from pisolve.linops._lanes import BYTES, get, load, put, store, swap
from pisolve.linops._passes import again, forward


@jit
def columns(x, mps, matrix, out, count, coils, n, nx, passes, roots, start, stop):
    """sum_c conj(S_c) F^H M F (S_c x) for blocks start..stop of columns of `count` coefficients, F along the columns.

    As `linops._normal_kernels.columns`, with a matrix (place, a, b) for each frequency in place of a weight.
    """
    size = BYTES // x.itemsize
    buffer, total = np.empty(count * n * size, x.dtype), np.empty(count * n * size, x.dtype)
    mixed, spare = np.empty(count * size, x.dtype), np.empty(LARGEST * size, x.dtype)
    for block in range(start, stop):
        first = min(block * size, nx - size)
        total[:] = 0
        for c in range(coils):
            s = c * n * nx + first
            for a in range(count):
                for i in range(n):
                    put(buffer, a * n + i, load(mps, s + i * nx) * load(x, (a * n + i) * nx + first))
                forward(buffer, a * n, (a + 1) * n, passes, roots, spare)
            for i in range(n):
                for a in range(count):
                    m = (i * count + a) * count
                    value = matrix[m] * get(buffer, i)
                    for b in range(1, count):
                        value = value + matrix[m + b] * get(buffer, b * n + i)
                    put(mixed, a, swap(value))
                for a in range(count):
                    put(buffer, a * n + i, get(mixed, a))
            for a in range(count):
                again(buffer, a * n, (a + 1) * n, passes, roots, spare)
                for i in range(a * n, (a + 1) * n):
                    put(total, i, get(total, i) + load(mps, s + (i - a * n) * nx) * get(buffer, i))
        for i in range(count * n):
            store(out, i * nx + first, swap(get(total, i)))
