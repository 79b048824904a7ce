"""The kernels of `_normal.py`, apart from it since they load numba: it imports this file where A^H A is applied."""

from __future__ import annotations

import numpy as np

from pisolve.backend import jit
from pisolve.linops._fft import LARGEST
from pisolve.linops._lanes import BYTES, get, load, put, store, swap, transpose, weigh
from pisolve.linops._passes import again, forward


@jit
def columns(x, mps, w, out, coils, n, nx, passes, roots, start, stop):
    """sum_c conj(S_c) F^H w F (S_c x) for blocks start..stop of columns, F along them.

    With z = F^H w F (S x) the backward FFT gives swap(z) = i conj(z), and S swap(z) = swap(conj(S) z): so the sum is
    swapped once, and the maps are not conjugated. The last block starts early enough to be whole.
    """
    size = BYTES // x.itemsize
    buffer, total, spare = np.empty(n * size, x.dtype), np.empty(n * size, x.dtype), np.empty(LARGEST * size, x.dtype)
    for block in range(start, stop):
        first = min(block * size, nx - size)
        total[:] = 0
        for c in range(coils):
            s = c * n * nx + first
            for i in range(n):
                put(buffer, i, load(mps, s + i * nx) * load(x, first + i * nx))
            forward(buffer, 0, n, passes, roots, spare)
            for i in range(n):
                put(buffer, i, w[i] * swap(get(buffer, i)))
            again(buffer, 0, n, passes, roots, spare)
            for i in range(n):
                put(total, i, get(total, i) + load(mps, s + i * nx) * get(buffer, i))
        for i in range(n):
            store(out, first + i * nx, swap(get(total, i)))


@jit
def planes(x, mps, w, out, coils, n, nx, m, mx, passes, roots, row_passes, row_roots):
    """The same with F along both axes (no `passes`: along rows only) and weights (block of rows, kx, row in block).

    After the FFT of its columns a block goes, transposed square by square, to a buffer in which neighbouring rows lie
    side by side; their FFT, weights and FFT back run there, and the squares return. F is on a grid of m x mx, at the
    start of which the image of n x nx lies; columns of nothing but zeros are not transformed.
    """
    size = BYTES // x.itemsize
    tiles = -(-m // size)
    buffer, spare = np.zeros(tiles * size * size, x.dtype), np.empty(LARGEST * size, x.dtype)
    rows = np.empty(tiles * mx * size, x.dtype)
    blocks = -(-nx // size)
    total = np.zeros(blocks * n * size, x.dtype)
    for c in range(coils):
        for block in range(blocks):
            first = min(block * size, nx - size)
            for i in range(n):
                put(buffer, i, load(mps, (c * n + i) * nx + first) * load(x, first + i * nx))
            buffer[n * size:m * size] = 0
            forward(buffer, 0, m, passes, roots, spare)
            for tile in range(tiles):
                transpose(buffer, tile * size, rows, tile * mx + first)
        for tile in range(tiles):
            start = tile * mx
            rows[(start + nx) * size:(start + mx) * size] = 0
            forward(rows, start, start + mx, row_passes, row_roots, spare)
            for k in range(start, start + mx):
                put(rows, k, weigh(w, k * size, swap(get(rows, k))))
            again(rows, start, start + mx, row_passes, row_roots, spare)
        for block in range(blocks):
            first = min(block * size, nx - size)
            for tile in range(tiles):
                transpose(rows, tile * mx + first, buffer, tile * size)
            again(buffer, 0, m, passes, roots, spare)
            for i in range(n):
                k = block * n + i
                put(total, k, get(total, k) + load(mps, (c * n + i) * nx + first) * get(buffer, i))
    for block in range(blocks):
        first = min(block * size, nx - size)
        for i in range(n):
            store(out, first + i * nx, swap(get(total, block * n + i)))
