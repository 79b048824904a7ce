"""The shape of the image that a trajectory is for."""

from __future__ import annotations

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
