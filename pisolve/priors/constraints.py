"""Constraints: g is 0 on a convex set and infinite outside, its prox the projection onto the set at every step.

`value` forgives rounding, 100 units in the last place of the array's precision (1e-5 of the size for complex64).
"""

from __future__ import annotations

import math
from typing import Any

from pisolve import backend
from pisolve._check import number
from pisolve._types import Array, ArrayLike
from pisolve.backend import real
from pisolve.priors.base import Prior
from pisolve.priors.sparse import as_call


def _slack(x) -> float:
    return 100 * float(backend.namespace(x).finfo(x.dtype).eps)


class Box(Prior):
    """g(x) = 0 where |x| <= high everywhere, else inf; prox(v) = v / max(|v| / high, 1), the phase is kept.

    Use:
        beside another prior, where a largest magnitude is known.

    Args:
        high: the largest magnitude allowed, in the units of x.

    Raises:
        ValueError: high <= 0.

    Reference:
        Youla and Webb, IEEE Trans Med Imaging 1 (1982) 81.

    Example:
        pi.recon(scan, pi.Box(high=1.2))
        pi.recon(scan, pi.Box(high=1.2) + 1e-3 * pi.TV(), max_iter=30)
    """

    high: float | None

    pointwise = True
    __repr__ = as_call

    def __init__(self, *, high: float = 1.0):
        self.high: float | None = number("high", high, low=0, strict=True)

    def value(self, x: ArrayLike) -> float | None:
        return 0.0 if real(abs(x).max()) <= self.high * (1 + _slack(x)) else math.inf

    def prox(self, x: ArrayLike, step: Any) -> Array:
        return x / (backend.magnitude(x) / self.high).clip(min=1)


class RealNonNegative(Prior):
    """g(x) = 0 where x is real and >= 0 everywhere, else inf; prox(v) = max(Re v, 0).

    For images whose phase was taken out, into the coil maps for example: it halves the unknowns. With a phase left in
    x it is wrong.

    Use:
        where the phase is known and part of the maps, for gaps in k-space that its symmetry then fills.

    Reference:
        Youla and Webb, IEEE Trans Med Imaging 1 (1982) 81; Willig-Onwuachi et al., J Magn Reson 176 (2005) 187.

    Example:
        phase = np.exp(1j * np.angle(brain.image))
        pi.solve(pi.linops.sense(brain.mps * phase), brain.kspace, pi.RealNonNegative())
    """

    pointwise = True
    def value(self, x: ArrayLike) -> float | None:
        slack = _slack(x) * real(abs(x).max())
        return 0.0 if real(abs(x.imag).max()) <= slack and real(x.real.min()) >= -slack else math.inf

    def prox(self, x: ArrayLike, step: Any) -> Array:
        return x.real.clip(min=0) + 0j
