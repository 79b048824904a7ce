"""PROPELLER: blades of parallel lines, turned about the centre of k-space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pisolve._check import choice, integer
from pisolve.trajectories._shape import sizes
from pisolve.trajectories.radial import GOLDEN, along


def propeller(shape: Sequence[int], blades: int | None = None, lines: int = 16, samples: int | None = None, *,
              angles: str = "uniform", first: int = 0) -> np.ndarray:
    """Blades of parallel lines: (blade * line, sample, 2) for (y, x); line l of blade b is shot b * lines + l.

        k = R(a_b) (v_l, u_j),    u_j = r_j L along the blade,    v_l = l - (lines - 1) / 2 across it

    in cells of 1 / field of view, with r_j as for `radial`, R a turn by a_b, and L^2 = (N / 2)^2 - v_0^2: the corners
    of the blades lie on the edge of the disc. All of them hold the disc of `lines` cells about the centre, which shows
    motion from blade to blade and gives coil maps.

    Args:
        shape: of the image, (y, x).
        blades: how many; as many as cover the disc by default, pi / 2 max(shape) / lines.
        lines: of a blade.
        samples: of a line; twice the larger side by default.
        angles: "uniform", a_b = b pi / blades, or "golden", b times 111.2 degrees.
        first: the number of the first blade, for frames that go on turning.

    Raises:
        TypeError, ValueError: an image that is not 2-D, no such angles, counts below 1.

    Reference:
        Pipe, Magn Reson Med 42 (1999) 963.
    """
    shape = sizes(shape, 2)
    count = integer("lines", lines, low=1, high=min(shape))
    blades = math.ceil(np.pi / 2 * max(shape) / count) if blades is None else integer("blades", blades, low=1)
    step = {"uniform": np.pi / blades, "golden": np.pi / GOLDEN}[choice("angles", angles, ("uniform", "golden"))]
    v = np.arange(count) - (count - 1) / 2
    reach = ((max(shape) / 2) ** 2 - v[0] ** 2) ** 0.5
    u, v = np.broadcast_arrays(reach * along(shape, samples), v[:, None])
    a = step * (integer("first", first, low=0) + np.arange(blades))[:, None, None]
    k = np.stack([np.sin(a) * u + np.cos(a) * v, np.cos(a) * u - np.sin(a) * v], -1)
    return k.reshape(-1, u.shape[-1], 2) * np.array(shape) / max(shape)
