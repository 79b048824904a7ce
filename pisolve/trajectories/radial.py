"""Spokes through the centre of k-space, in two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve._check import choice, integer
from pisolve.trajectories._shape import sizes

GOLDEN = (1 + 5**0.5) / 2
ANGLES = ("golden", "tiny golden", "uniform", "uniform full")


def radial(shape: Sequence[int], spokes: int, samples: int | None = None, *, angles: str = "golden",
           first: int = 0) -> np.ndarray:
    """Spokes through the centre: coord[s, j] = r_j (sin a_s, cos a_s) N / 2, (spoke, sample, 2) for (y, x).

    r_j runs from -1 to 1 - 2 / samples, so that sample `samples // 2` is the centre: the FFT's own grid along a spoke.

    Args:
        shape: of the image, (y, x).
        spokes: how many.
        samples: of a spoke; twice the larger side by default, as scanners oversample the readout.
        angles: "golden", a = s pi / ((1 + sqrt 5) / 2), about 111.2 degrees; "tiny golden", s pi / (6 + golden ratio),
            the seventh of its kind, about 23.6 degrees: small steps, which eddy currents bear better; "uniform",
            s pi / spokes; "uniform full", s 2 pi / spokes.
        first: the number of the first spoke, for frames of a series that goes on turning.

    Raises:
        TypeError, ValueError: an image that is not 2-D, no such angles, counts below 1.

    Reference:
        Winkelmann et al., IEEE Trans Med Imaging 26 (2007) 68; Wundrak et al., IEEE Trans Med Imaging 34 (2015) 1262.
    """
    shape = sizes(shape, 2)
    count = integer("spokes", spokes, low=1)
    choice("angles", angles, ANGLES)
    step = {"golden": np.pi / GOLDEN, "tiny golden": np.pi / (6 + GOLDEN), "uniform": np.pi / count,
            "uniform full": 2 * np.pi / count}[angles]
    a = step * (integer("first", first, low=0) + np.arange(count))
    r = along(shape, samples)
    return np.stack([np.sin(a)[:, None] * r, np.cos(a)[:, None] * r], -1) * np.array(shape) / 2


def radial_3d(shape: Sequence[int], spokes: int, samples: int | None = None, *, first: int = 0) -> np.ndarray:
    """Spokes through the centre of a volume, their ends spread over the sphere: (spoke, sample, 3) for (z, y, x).

    The ends are (sqrt(1 - z^2) sin a, sqrt(1 - z^2) cos a, z) with the two-dimensional golden means, z = 2 {s 0.4656} -
    1 and a = 2 pi s 0.6823, so that any spokes in a row cover it about evenly.

    Args:
        shape: of the image, (z, y, x).
        spokes, samples, first: as for `radial`.

    Raises:
        TypeError, ValueError: as for `radial`.

    Reference:
        Chan et al., Magn Reson Med 61 (2009) 354.
    """
    shape = sizes(shape, 3)
    s = integer("first", first, low=0) + np.arange(integer("spokes", spokes, low=1))
    z, a = 2 * (0.46557123187676802665 * s % 1) - 1, 2 * np.pi * 0.68232780382801932737 * s
    out = np.sqrt(1 - z**2)
    ends = np.stack([z, out * np.sin(a), out * np.cos(a)], -1)
    return ends[:, None] * along(shape, samples)[:, None] * np.array(shape) / 2


def along(shape, samples) -> np.ndarray:
    """The r_j of a spoke, -1 to 1 - 2 / samples, so that sample `samples // 2` is the centre."""
    n = 2 * max(shape) if samples is None else integer("samples", samples, low=2)
    return 2 * (np.arange(n) - n // 2) / n
