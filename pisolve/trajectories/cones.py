"""Cones: spirals on the surfaces of cones about the z axis, for volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve._check import integer, number
from pisolve.trajectories._shape import paced, sizes

_FINE = 20_000  # points of the curve on which times are integrated


def cones(shape: Sequence[int], cones: int, interleaves: int = 1, samples: int = 1024, *, density: float = 1.0,
          turns: float | None = None) -> np.ndarray:
    """Spirals on cones of all polar angles: (cone * interleaf, sample, 3) for (z, y, x).

        k(q) = N / 2 q^density (cos t_j, sin t_j sin f, sin t_j cos f),    f = 2 pi (turns q + i / interleaves + j g)

    for 0 <= q <= 1 and the polar angles t_j = (j + 1/2) pi / cones; cone j is turned by j golden angles, g = 0.618.
    Nyquist's rule asks for pi N / 2 cones, and for the default number of turns: windings of all interleaves then lie
    1 / field of view apart along a cone at the edge. Far fewer and longer shots than spokes.

    Args:
        shape: of the image, (z, y, x).
        cones: how many.
        interleaves: of each cone.
        samples: of each shot, equally spaced in time at a speed as for `spiral`.
        density: exponent >= 1 of the radius; above 1 the centre is denser.
        turns: of a shot about the axis; density * max(shape) / 2 / interleaves by default.

    Raises:
        TypeError, ValueError: an image that is not 3-D, numbers out of range.

    Reference:
        Irarrazabal and Nishimura, Magn Reson Med 33 (1995) 656; Gurney, Hargreaves and Nishimura, ibid. 55 (2006) 575.
    """
    shape = sizes(shape, 3)
    count, each = integer("cones", cones, low=1), integer("interleaves", interleaves, low=1)
    n, power = integer("samples", samples, low=8), number("density", density, low=1, high=10)
    turns = power * max(shape) / 2 / each if turns is None else number("turns", turns, low=0)
    q, golden = np.linspace(0, 1, _FINE), (5**0.5 - 1) / 2
    radius, shots = q**power, []
    for j in range(count):
        t = (j + 0.5) * np.pi / count
        wound = np.exp(2j * np.pi * turns * q)
        curve = radius * np.stack([np.full(_FINE, np.cos(t)), np.sin(t) * wound.imag, np.sin(t) * wound.real])
        where = paced(radius, np.linalg.norm(np.diff(curve), axis=0), n)
        z, y, x = (np.interp(where, np.arange(_FINE), c) for c in curve)
        turn = np.exp(2j * np.pi * (np.arange(each) / each + j * golden))[:, None] * (x + 1j * y)
        shots.append(np.stack([np.broadcast_to(z, turn.shape), turn.imag, turn.real], -1))
    return np.concatenate(shots) * np.array(shape) / 2
