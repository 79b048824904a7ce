"""Arguments that the patterns share."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from pisolve import _check


def check_shape(shape) -> tuple[int, int]:
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) < 2:
        raise TypeError(f"shape must be a tuple (..., ky, kx), got {_check.brief(shape)}: for an array give its .shape")
    return tuple(_check.integer("shape", n, low=1) for n in shape[-2:])


def check_axis(axis) -> int:
    if not isinstance(axis, Integral) or axis not in (-2, -1):
        raise ValueError(f"axis must be -2 (ky) or -1 (kx), got {_check.brief(axis)}: it is the phase-encoding axis")
    return axis


def centre_block(shape, calib):
    """`calib` as a pair, and the mask of that centred block (cut to the grid)."""
    pair = tuple(calib) if isinstance(calib, Sequence) and not isinstance(calib, str) else (calib, calib)
    if len(pair) != 2:
        raise ValueError(f"calib must be an int or (ky, kx), got {_check.brief(calib)}")
    pair = tuple(_check.integer("calib", c, low=0) for c in pair)
    rows, columns = (abs(2 * np.arange(n) - 2 * (n // 2) + (c + 1) % 2) < c for n, c in zip(shape, pair))
    return pair, rows[:, None] & columns[None, :]


def too_fast(accel, n, low, what: str = "lines", centre: str = "center_fraction") -> ValueError:
    return ValueError(f"accel {accel:g} leaves {n / accel:.4g} of {n} {what}, but the full centre has {low}: lower "
                      f"accel or {centre}")
