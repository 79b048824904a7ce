"""What trajectories share: the shape of the image that they are for, and the times at which a curve is sampled."""

from __future__ import annotations

import numpy as np

from pisolve import _check


def sizes(shape, axes: int) -> tuple[int, ...]:
    """A checked shape (y, x) or (z, y, x).

    Raises:
        TypeError, ValueError: no shape, or one of another number of axes.
    """
    shape = _check.shape("shape", shape)
    if len(shape) != axes:
        raise ValueError(f"shape must be {'(y, x)' if axes == 2 else '(z, y, x)'}, the image's, got {shape}")
    return shape


def paced(radius, steps, n: int) -> np.ndarray:
    """Where n samples, equally spaced in time, lie on a curve from the centre outwards, in numbers of its points.

    The speed is one that a scanner could play: the slew rate is its limit near the centre, speed ~ sqrt(radius), and
    the gradient further out, with the change of one into the other at a fifth of the radius.

    Args:
        radius: of the curve's points (point,), 1 at the edge.
        steps: their distances (point - 1,).
        n: how many samples.
    """
    pace = np.hypot(np.minimum(radius / 0.2, 1) ** 0.5, 0.05)
    length = np.concatenate([[0], np.cumsum(steps / pace[1:])])
    return np.interp(np.linspace(0, length[-1], n), length, np.arange(len(radius)))
