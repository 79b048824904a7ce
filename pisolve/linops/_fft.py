"""The plan of an FFT of many columns at once, whose compiled passes are in `_passes.py`: radix 4, 2, 5, any odd prime.

The forward transform (decimation in frequency) leaves the frequencies in the order that `plan` gives, and the backward
one (decimation in time) takes them in this order; weights are reordered once instead of the data.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

LARGEST = 61  # prime factor; above it SciPy's algorithm of Bluestein wins
BYTES = 128  # of a value of `_lanes`: one cache line, or one AVX-512 register, for each of its two parts


@lru_cache(64)
def plan(n: int, dtype: str):
    """(passes, roots, order) for length n, or None where n has a prime factor above `LARGEST`.

    Each row of `passes` is radix, sub-length, and the start of its twiddle factors in `roots`. The frequency at place i
    after `forward` is order[i].
    """
    radices, rest = [], n
    for prime in range(3, LARGEST + 1, 2):
        while rest % prime == 0:
            radices, rest = [prime, *radices], rest // prime
    while rest % 4 == 0:
        radices, rest = [*radices, 4], rest // 4
    if rest > 2:
        return None
    radices += [2] * (rest == 2)
    passes, roots, order, m, start = [], [np.zeros(1)], np.zeros(1, int), n, 1
    for r in radices:
        passes.append((r, m // r, start))
        twiddles = np.exp(-2j * np.pi / m * np.outer(np.arange(1, r), np.arange(m // r)))
        roots += [twiddles.ravel(), np.exp(2j * np.pi * np.arange(r) / r)]
        start, m = start + twiddles.size + r, m // r
    for r in reversed(radices):
        order = (np.arange(r)[:, None] + r * order).ravel()
    return np.array(passes, int).reshape(-1, 3), np.concatenate(roots).astype(dtype), order
