"""FFTs of many columns at once, without a reordering, compiled: passes of radix 4, 2, 5 and any odd prime, in place.

`_fft.py` plans them. This file, like every one that imports `_lanes`, loads numba: import it where a kernel is run.
"""

from __future__ import annotations

import numpy as np

from pisolve.backend import jit
from pisolve.linops._lanes import get, put, quarter

_C1, _C2 = float(np.cos(2 * np.pi / 5)), float(np.cos(4 * np.pi / 5))
_S1, _S2 = float(np.sin(2 * np.pi / 5)), float(np.sin(4 * np.pi / 5))


@jit
def _radix2(buffer, start, stop, m, roots, t, after):
    for base in range(start, stop, 2 * m):
        for k in range(m):
            i = base + k
            a, b = get(buffer, i), get(buffer, i + m)
            if not after:
                b = roots[t + k] * b
            put(buffer, i, a + b)
            b = a - b
            if after:
                b = roots[t + k] * b
            put(buffer, i + m, b)


@jit
def _radix4(buffer, start, stop, m, roots, t, after):
    for base in range(start, stop, 4 * m):
        for k in range(m):
            i = base + k
            a, b, c, d = get(buffer, i), get(buffer, i + m), get(buffer, i + 2 * m), get(buffer, i + 3 * m)
            u, v, w = roots[t + k], roots[t + m + k], roots[t + 2 * m + k]
            if not after:
                b, c, d = u * b, v * c, w * d
            e, f, g, h = a + c, b + d, a - c, quarter(b - d)
            put(buffer, i, e + f)
            b, c, d = g + h, e - f, g - h
            if after:
                b, c, d = u * b, v * c, w * d
            put(buffer, i + m, b)
            put(buffer, i + 2 * m, c)
            put(buffer, i + 3 * m, d)


@jit
def _radix5(buffer, start, stop, m, roots, t, after):
    for base in range(start, stop, 5 * m):
        for k in range(m):
            i = base + k
            a, b, c = get(buffer, i), get(buffer, i + m), get(buffer, i + 2 * m)
            d, e = get(buffer, i + 3 * m), get(buffer, i + 4 * m)
            u, v, w, z = roots[t + k], roots[t + m + k], roots[t + 2 * m + k], roots[t + 3 * m + k]
            if not after:
                b, c, d, e = u * b, v * c, w * d, z * e
            p, q, r, s = b + e, c + d, b - e, c - d
            put(buffer, i, a + p + q)
            f, g = a + _C1 * p + _C2 * q, a + _C2 * p + _C1 * q
            r, s = quarter(_S1 * r + _S2 * s), quarter(_S2 * r - _S1 * s)
            b, c, d, e = f + r, g + s, g - s, f - r
            if after:
                b, c, d, e = u * b, v * c, w * d, z * e
            put(buffer, i + m, b)
            put(buffer, i + 2 * m, c)
            put(buffer, i + 3 * m, d)
            put(buffer, i + 4 * m, e)


@jit
def _odd(buffer, start, stop, r, m, roots, t, after, spare):
    """Any odd radix r by the sums over pairs x_j, x_(r-j); their sums and differences wait in `spare`."""
    unit = t + (r - 1) * m
    for base in range(start, stop, r * m):
        for k in range(m):
            i = base + k
            a = get(buffer, i)
            total = a
            for j in range(1, r // 2 + 1):
                b, c = get(buffer, i + j * m), get(buffer, i + (r - j) * m)
                if not after:
                    b, c = roots[t + (j - 1) * m + k] * b, roots[t + (r - j - 1) * m + k] * c
                p = b + c
                total = total + p
                put(spare, j, p)
                put(spare, r - j, quarter(b - c))
            put(buffer, i, total)
            for q in range(1, r // 2 + 1):
                p, s, x = a, roots[unit].imag * a, 0
                for j in range(1, r // 2 + 1):
                    x += q
                    if x >= r:
                        x -= r
                    w = roots[unit + x]
                    p = p + w.real * get(spare, j)
                    s = s + w.imag * get(spare, r - j)
                b, c = p + s, p - s
                if after:
                    b, c = roots[t + (q - 1) * m + k] * b, roots[t + (r - q - 1) * m + k] * c
                put(buffer, i + q * m, b)
                put(buffer, i + (r - q) * m, c)


@jit
def _pass(buffer, start, stop, one, roots, after, spare):
    r, m, t = one
    if r == 4:
        _radix4(buffer, start, stop, m, roots, t, after)
    elif r == 2:
        _radix2(buffer, start, stop, m, roots, t, after)
    elif r == 5:
        _radix5(buffer, start, stop, m, roots, t, after)
    else:
        _odd(buffer, start, stop, r, m, roots, t, after, spare)


@jit
def forward(buffer, start, stop, passes, roots, spare):
    """FFT of rows start..stop of the buffer, each lane by itself; unnormalised, frequencies in the plan's order."""
    for k in range(len(passes)):
        _pass(buffer, start, stop, passes[k], roots, True, spare)


@jit
def again(buffer, start, stop, passes, roots, spare):
    """A forward FFT of rows in the plan's order into natural order: with real and imaginary parts exchanged before and
    after (`swap`), it is the inverse of `forward` times the length."""
    for k in range(len(passes) - 1, -1, -1):
        _pass(buffer, start, stop, passes[k], roots, False, spare)
