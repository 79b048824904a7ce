"""Rosettes: petals through the centre of k-space, which every shot passes again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve._check import integer, number
from pisolve.trajectories._shape import sizes


def rosette(shape: Sequence[int], shots: int, samples: int = 2048, *, petals: int = 15,
            twist: float | None = None) -> np.ndarray:
    """Petals from the centre to the edge and back: (shot, sample, 2) for (y, x).

        k_s(q) = N / 2 sin(pi p q) exp(i (pi p twist q + 2 pi s / (p shots))),    0 <= q <= 1,    p petals

    Every shot passes the centre p + 1 times, at evenly spaced times: for images at several echo times, and for motion.
    The ends of the petals of all shots lie evenly on the edge with the default twist.

    Args:
        shape: of the image, (y, x).
        shots: how many.
        samples: of each.
        petals: of each.
        twist: how fast a petal turns, in units of its own frequency (omega_2 / omega_1): 1 + 2 / petals by default,
            wide petals; 1 makes circles through the centre, near 0 they are spokes.

    Raises:
        TypeError, ValueError: an image that is not 2-D, numbers out of range.

    Reference:
        Noll, IEEE Trans Med Imaging 16 (1997) 372.
    """
    shape = sizes(shape, 2)
    count, n = integer("shots", shots, low=1), integer("samples", samples, low=8)
    p = integer("petals", petals, low=1)
    twist = 1 + 2 / p if twist is None else number("twist", twist)
    q = np.linspace(0, 1, n)
    arm = np.sin(np.pi * p * q) * np.exp(1j * np.pi * p * twist * q)
    k = np.exp(2j * np.pi / (p * count) * np.arange(count))[:, None] * arm
    return np.stack([k.imag, k.real], -1) * np.array(shape) / 2
