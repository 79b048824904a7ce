"""The kernels of `_toeplitz.py` for volumes, in a file of their own since they load numba."""

from __future__ import annotations

import numpy as np

from pisolve.backend import jit
from pisolve.linops._fft import LARGEST
from pisolve.linops._lanes import BYTES, get, load, put, store, swap
from pisolve.linops._normal_kernels import planes
from pisolve.linops._passes import again, forward


@jit
def there(x, mps, out, n, rest, m, passes, roots, start, stop):
    """out = F pad (S x) along the first of two axes, (n, rest) -> (m, rest), for blocks start..stop of columns."""
    size = BYTES // x.itemsize
    buffer, spare = np.empty(m * size, x.dtype), np.empty(LARGEST * size, x.dtype)
    for block in range(start, stop):
        first = min(block * size, rest - size)
        for i in range(n):
            put(buffer, i, load(mps, i * rest + first) * load(x, i * rest + first))
        buffer[n * size:] = 0
        forward(buffer, 0, m, passes, roots, spare)
        for k in range(m):
            store(out, k * rest + first, get(buffer, k))


@jit
def across(volume, ones, w, n, nx, m, mx, passes, roots, row_passes, row_roots, start, stop):
    """volume[k] <- crop F^H w[k] F pad volume[k], for planes start..stop of n x nx on a grid of m x mx."""
    plane, weights = n * nx, len(w) // (len(volume) // (n * nx))
    for k in range(start, stop):
        image = volume[k * plane:(k + 1) * plane]
        planes(image, ones, w[k * weights:(k + 1) * weights], image, 1, n, nx, m, mx, passes, roots, row_passes,
               row_roots)


@jit
def back(volume, mps, total, n, rest, m, passes, roots, start, stop):
    """total += swap(conj(S) crop F^H volume), in blocks of columns of their own; `swap` as in `_normal_kernels`."""
    size = BYTES // volume.itemsize
    buffer, spare = np.empty(m * size, volume.dtype), np.empty(LARGEST * size, volume.dtype)
    for block in range(start, stop):
        first = min(block * size, rest - size)
        for k in range(m):
            put(buffer, k, swap(load(volume, k * rest + first)))
        again(buffer, 0, m, passes, roots, spare)
        for i in range(n):
            k = block * n + i
            put(total, k, get(total, k) + load(mps, i * rest + first) * get(buffer, i))


@jit
def gathered(total, out, n, rest, start, stop):
    """out = swap(total), blocks start..stop of columns."""
    size = BYTES // out.itemsize
    for block in range(start, stop):
        first = min(block * size, rest - size)
        for i in range(n):
            store(out, i * rest + first, swap(get(total, block * n + i)))
