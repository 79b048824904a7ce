"""One level of the periodised wavelet transform along an axis as a matrix product with windows of it: for a GPU.

`_filters` does the same for numpy. Nothing here leaves the memory that the array is in.
"""

from __future__ import annotations

import numpy as np

from pisolve import backend
from pisolve._check import dtype_name


class Windows:
    """Analysis and synthesis by an orthogonal pair of filters of even length m.

        low[i] = sum_j l_j x[m/2 + 2 i - j mod even],    high[i] with h_j; an odd last sample goes between them as it is

    Every output reads a window of the axis: the windows are gathered, and one product with the filters does the rest.

    Args:
        low, high: the filters of the analysis.
    """

    def __init__(self, low, high):
        self.filters = np.stack([low, high], -1)  # (m, 2)
        self._known: dict = {}

    def _constant(self, kind, n):
        """The indices of the windows, and the matrices, for an even length n: made once."""
        if (kind, n) not in self._known:
            m = len(self.filters)
            j = np.arange(m)
            if kind == "analysis":
                made = (m // 2 + 2 * np.arange(n // 2)[:, None] - j) % n, self.filters
            else:  # of even and of odd samples: the taps j, and where they find low and high
                made = []
                for parity in (0, 1):
                    taps = j[(j + parity + m // 2) % 2 == 0]
                    at = (parity + 2 * np.arange(n // 2)[:, None] + taps - m // 2) // 2 % (n // 2)
                    made += [at, self.filters[taps].reshape(-1, 1)]
            self._known[kind, n] = [backend.Constant(np.ascontiguousarray(a)) for a in made]
        return self._known[kind, n]

    def analyse(self, x, axis):
        """(low, odd last sample, high) along `axis`."""
        xp, n = backend.namespace(x), x.shape[axis] // 2 * 2
        at, filters = self._constant("analysis", n)
        moved = xp.moveaxis(x, axis, -1)
        both = moved[..., :n][..., at.like(x)] @ filters.like(x, dtype_name(x))
        return xp.moveaxis(xp.concatenate([both[..., 0], moved[..., n:], both[..., 1]], -1), -1, axis)

    def synthesise(self, x, axis):
        """The transpose of `analyse`."""
        xp, half = backend.namespace(x), x.shape[axis] // 2
        moved = xp.moveaxis(x, axis, -1)
        odd = moved[..., half:x.shape[axis] - half]
        bands = xp.stack([moved[..., :half], moved[..., x.shape[axis] - half:]], -1)
        even_at, even, odd_at, uneven = self._constant("synthesis", 2 * half)
        out = xp.empty_like(moved)
        for parity, at, filters in ((0, even_at, even), (1, odd_at, uneven)):
            windows = bands[..., at.like(x), :]
            windows = windows.reshape(*windows.shape[:-2], -1)  # (..., i, tap * band)
            out[..., parity:2 * half:2] = (windows @ filters.like(x, dtype_name(x)))[..., 0]
        out[..., 2 * half:] = odd
        return xp.moveaxis(out, -1, axis)
