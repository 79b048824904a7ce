"""Magnitudes and phases of complex arrays, soft thresholding, and their derivatives in torch, finite at every number.

Torch's derivative of |x| is NaN where |x| is subnormal (below 1e-38 in complex64), and numpy's x / |x| is, too.
"""

from __future__ import annotations

import numpy as np

from pisolve._check import is_cupy, is_torch
from pisolve.backend._threads import pieces

_LARGE = 2.0**64  # by which a subnormal number of either precision becomes a normal one, exactly


def namespace(x):
    """The module (numpy, cupy or torch) that the array `x` belongs to."""
    if is_torch(x):
        import torch

        return torch
    if is_cupy(x):
        import cupy

        return cupy
    return np


def compiles(x) -> bool:
    """True for complex numpy arrays that are large enough to be worth a kernel's compilation (seconds, once)."""
    return isinstance(x, np.ndarray) and x.dtype.char in "FD" and x.size >= 1 << 14


def magnitude(x):
    """|x| of a complex array; in torch differentiable everywhere, with the slope 0 where |x| is 0 or subnormal."""
    if not (is_torch(x) and _differentiated(x)):
        return abs(x)
    import torch

    small = abs(x.detach()) < _tiny(x)
    return torch.where(small, torch.zeros_like(x), x).abs()


def unit(x):
    """e^(i phase) of every entry, x / |x|, and 1 where x is 0.

    In torch the phase counts as a constant where |x|^2 is subnormal, since its slope 1 / |x| would overflow.
    """
    xp = namespace(x)
    if is_torch(x):
        held = x.detach() * _LARGE
        small = abs(x.detach()) < _tiny(x) ** 0.5
        one = xp.ones_like(x)
        return xp.where(small, xp.where(held == 0, one, xp.sgn(held)), xp.sgn(xp.where(small, one, x)))
    size = abs(x)
    if bool(((size > 0) & (size < _tiny(x))).any()):
        x = xp.where(size < _tiny(x), x * _LARGE, x)
        size = abs(x)
    return xp.where(size > 0, x / (size + (size == 0)), 1)


def _tiny(x) -> float:
    """The least normal number of the array's precision."""
    return float(namespace(x).finfo(x.dtype).tiny)


def _differentiated(x) -> bool:
    """True where torch records or pushes derivatives through `x`: reverse, forward, or those of torch.func."""
    import torch

    return x.requires_grad or torch._C._are_functorch_transforms_active() or \
        torch.autograd.forward_ad.unpack_dual(x).tangent is not None


def shrink(x, threshold, *, axes=()):
    """Soft thresholding of magnitudes, x * max(1 - threshold / |x|, 0); the phase is kept, 0 stays 0.

    With `axes` |x| is the Euclidean length over these axes: what lies along them goes to zero together.
    """
    axes = tuple(a % x.ndim for a in axes)
    if axes in ((), (0,)) and compiles(x) and np.ndim(threshold) == 0:
        low, high = _SAFE[x.dtype.char]
        if low <= threshold <= high:
            from pisolve.backend._shrink import shrink as shrink_

            x = np.require(x, requirements=["C", "W"])
            out, real, flat = np.empty_like(x), x.real.dtype, (len(x) if axes else 1, -1)
            pieces(lambda *ends: shrink_(x.view(real).reshape(flat), real.type(threshold), out.view(real).reshape(flat),
                                         *ends), x.size // flat[0], SHARED)
            return out
    if not axes:
        return x * shrink_factor(magnitude(x), threshold)
    square = x.real**2 + x.imag**2
    if is_torch(x):  # the square root's slope at 0 is cut off, not NaN
        square = square.sum(axes, keepdim=True).clamp_min(namespace(x).finfo(square.dtype).tiny)
    else:
        square = square.sum(axes, keepdims=True)
    return x * shrink_factor(sqrt(square), threshold)


SHARED = 1 << 18  # pixels a thread takes at a time: below, handing them over costs more than it saves

# thresholds with which a magnitude whose square under- or overflows is 0 or itself to rounding, as it should be
_SAFE = {"F": (1e-18, 1e11), "D": (1e-150, 1e135)}


def shrink_factor(magnitude, threshold):
    """max(1 - threshold / magnitude, 0), and 0 where magnitude <= threshold: no division by zero, smooth in torch."""
    xp = namespace(magnitude)
    if xp is not np:
        safe = xp.where(magnitude > threshold, magnitude, xp.ones_like(magnitude))
        if is_torch(safe) and _differentiated(safe):  # the slope of 1 / |x| is 1 / |x|^2, which must not overflow
            safe = xp.where(safe.detach() < 2 * _tiny(safe) ** 0.5, safe.detach(), safe)
        return xp.where(magnitude > threshold, 1 - threshold / safe, xp.zeros_like(magnitude))
    threshold = np.asarray(threshold, magnitude.dtype)
    factor = np.maximum(magnitude, np.maximum(threshold, np.finfo(magnitude.dtype).tiny))  # 1 - t/t = 0 below t
    np.divide(-threshold, factor, out=factor)  # no further temporaries: this is the hot line of every sparse prior
    factor += 1
    return factor


def sqrt(x):
    """Square root of the array's own kind."""
    return namespace(x).sqrt(x)
