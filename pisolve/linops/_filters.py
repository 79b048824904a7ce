"""The periodised wavelet transform of images, compiled: one block of columns or rows at a time, all levels in place.

To be imported where it is run, since it loads numba.
"""

from __future__ import annotations

import numpy as np

from pisolve.backend import jit
from pisolve.linops._lanes import BYTES, get, load, put, store, transpose


@jit
def _square(x, start, width, n, count, buffer, row, back, spare):
    """`n` rows of the image, of `count` samples each, to rows of the buffer, or `back`; missing lanes are arbitrary."""
    if count == BYTES // x.itemsize:
        if back:
            for i in range(n):
                store(x, start + i * width, get(buffer, row + i))
        else:
            for i in range(n):
                put(buffer, row + i, load(x, start + i * width))
        return
    for i in range(n):  # at the border: never read or write beside it
        if back:
            store(spare, 0, get(buffer, row + i))
        for j in range(count):
            if back:
                x[start + i * width + j] = spare[j]
            else:
                spare[j] = x[start + i * width + j]
        if not back:
            put(buffer, row + i, load(spare, 0))


@jit
def _move(x, width, start, n, count, rows, buffer, tile, spare, back):
    """Lines of length n, `count` side by side, from the image to the rows of the buffer, or `back`.

    Columns are the rows of the buffer as they are; the image's `rows` go through a square tile.
    """
    size = BYTES // x.itemsize
    if not rows:
        _square(x, start, width, n, count, buffer, 0, back, spare)
        return
    for first in range(0, n, size):
        if back:
            transpose(buffer, first, tile, 0)
        _square(x, start + first, width, count, min(size, n - first), tile, 0, back, spare)
        if not back:
            transpose(tile, 0, buffer, first)


@jit
def _analyse(source, target, n, low, high):
    """low[i] = sum_j l_j x[m/2 + 2 i - j mod even], high with h_j; an odd last sample goes between them as it is."""
    m, half = len(low), n // 2
    for i in range(half):
        k = m // 2 + 2 * i
        while k >= 2 * half:
            k -= 2 * half
        x = get(source, k)
        a, b = low[0] * x, high[0] * x
        for j in range(1, m):
            k = k - 1 if k else 2 * half - 1
            x = get(source, k)
            a, b = a + low[j] * x, b + high[j] * x
        put(target, i, a)
        put(target, n - half + i, b)
    if n % 2:
        put(target, half, get(source, n - 1))


@jit
def _synthesise(source, target, n, low, high):
    """The transpose of `_analyse`."""
    m, half = len(low), n // 2
    for i in range(2 * half):
        j = (i + m // 2) % 2
        k = (i + j - m // 2) // 2 % half
        x, y = get(source, k), get(source, n - half + k)
        a = low[j] * x + high[j] * y
        for j in range(j + 2, m, 2):  # noqa: B020
            k = k + 1 if k < half - 1 else 0
            x, y = get(source, k), get(source, n - half + k)
            a = a + low[j] * x + high[j] * y
        put(target, i, a)
    if n % 2:
        put(target, n - 1, get(source, half))


@jit
def transform(x, ny, nx, levels, low, high, inverse):
    """The flat image x in place: all levels of both axes, forward or back."""
    size = BYTES // x.itemsize
    longest = (max(ny, nx) + size) * size
    source, target = np.zeros(longest, x.dtype), np.zeros(longest, x.dtype)
    tile, spare = np.zeros(size * size, x.dtype), np.zeros(size, x.dtype)
    for k in range(2 * levels):
        level, second = divmod(2 * levels - 1 - k if inverse else k, 2)
        n = (ny + (1 << level) - 1) >> level
        side = (nx + (1 << level) - 1) >> level
        stride = 1
        if second:
            n, side, stride = side, n, nx
        for first in range(0, side, size):
            count = min(size, side - first)
            _move(x, nx, first * stride, n, count, second == 1, source, tile, spare, False)
            if inverse:
                _synthesise(source, target, n, low, high)
            else:
                _analyse(source, target, n, low, high)
            _move(x, nx, first * stride, n, count, second == 1, target, tile, spare, True)
