"""Where images lie in the patient."""

from __future__ import annotations

import numpy as np


def spatial_order(positions, normal):
    """The order of slices by their place along `normal`, or None where it is not known or they are in order.

    Args:
        positions: one (3,) a slice, mm.
        normal: (3,), the direction across the slices.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        place = np.array(positions, float) @ np.array(normal, float)
    steps = np.diff(place)
    if not len(steps) or not np.isfinite(place).all() or (steps > 0).all() or (steps < 0).all():
        return None
    order = np.argsort(place, kind="stable")
    return order if (np.diff(place[order]) > 0).all() else None


def affine(positions, axes, voxel, shape) -> list | None:
    """The 4 x 4 matrix from (x, y, slice) indices of an image (slice, y, x) to mm in NIfTI's world, or None.

    NIfTI's x points to the right and y to the front, those of scanners to the left and to the back. A position is the
    centre of a slice, or of the slab; images have it at index n // 2.

    Args:
        positions: one (3,) a slice, mm to the left, back and head; all the same for a slab.
        axes: unit vectors of the image's axes (slice, y, x).
        voxel: mm along them.
        shape: of the image, or of its k-space (slice, coil, y, x).
    """
    positions, axes = np.array(positions, float), np.array(axes, float)
    with np.errstate(invalid="ignore", over="ignore"):
        if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-3) or not np.isfinite(positions).all():
            return None
    steps = axes * np.array(voxel)[:, None]
    size = np.array([shape[0], *shape[-2:]])
    centre = np.where([len(positions) == size[0] and size[0] > 1, False, False], 0, size // 2)
    if centre[0] == 0 and len(positions) > 1:
        steps[0] = (positions[-1] - positions[0]) / (len(positions) - 1)
        if not np.any(steps[0]):
            return None
    matrix = np.eye(4)
    matrix[:3, :3] = steps[::-1].T
    matrix[:3, 3] = positions[0] - centre @ steps
    return (np.diag([-1, -1, 1, 1]) @ matrix).tolist()
