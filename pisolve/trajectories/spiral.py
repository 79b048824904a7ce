"""Spirals from the centre outwards, in as many turned interleaves as cover k-space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve._check import choice, integer, number
from pisolve.trajectories._shape import paced, sizes

_FINE = 20_000  # points of the curve on which times are integrated


def spiral(shape: Sequence[int], interleaves: int, samples: int = 2048, *, density: float = 1.0, inside: str = "out",
           turn: str = "uniform", first: int = 0) -> np.ndarray:
    """Spirals that run from the centre to the edge of k-space: (interleave, sample, 2) for (y, x).

    In polar coordinates k(q) = N / 2 q^density at the angle 2 pi turns q, 0 <= q <= 1, where `turns` lets
    neighbouring windings of all interleaves be 1 / field of view apart at the edge; with density 1 they are so
    everywhere (Archimedes), above 1 the centre is denser. Samples are equally spaced in time at a speed that a scanner
    could play: the slew rate is the limit near the centre, and the gradient further out, with the change of one into
    the other at a fifth of the radius. `check` says what a scanner needs for it, `fastest` plays it as fast as one can.

    Args:
        shape: of the image, (y, x).
        interleaves: how many.
        samples: of each.
        density: exponent >= 1 of the radius.
        inside: "out", from the centre; "in", to the centre; "in-out", in along one and out along the turned one.
        turn: angle between interleaves, "uniform" 2 pi / interleaves or "golden".
        first: the number of the first one, for frames that go on turning.

    Raises:
        TypeError, ValueError: an image that is not 2-D, numbers out of range.

    Reference:
        Glover, Magn Reson Med 42 (1999) 412; Kim, Adalsteinsson and Spielman, Magn Reson Med 50 (2003) 214 (density).
    """
    shape = sizes(shape, 2)
    count, n = integer("interleaves", interleaves, low=1), integer("samples", samples, low=8)
    power = number("density", density, low=1, high=10)
    choice("inside", inside, ("out", "in", "in-out"))
    choice("turn", turn, ("uniform", "golden"))
    turns = power * max(shape) / 2 / count  # d k / d turn = 1 at the edge, of all interleaves together
    q = np.linspace(0, 1, _FINE)
    curve = q**power * np.exp(2j * np.pi * turns * q)
    half = n if inside != "in-out" else n - n // 2
    arm = paced(abs(curve), abs(np.diff(curve)), half)
    arm = np.interp(arm, np.arange(_FINE), curve.real) + 1j * np.interp(arm, np.arange(_FINE), curve.imag)
    arm = {"out": arm, "in": arm[::-1], "in-out": np.concatenate([-arm[::-1][:n - half], arm])}[inside]
    step = 2 * np.pi / count if turn == "uniform" else np.pi * (5**0.5 - 1)
    k = np.exp(1j * step * (integer("first", first, low=0) + np.arange(count)))[:, None] * arm
    return np.stack([k.imag, k.real], -1) * np.array(shape) / 2
