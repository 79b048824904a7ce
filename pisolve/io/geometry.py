"""Where images lie in the patient: the order of slices, and the matrix from indices to mm."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve import _axes, _check

# Which way the axes of an image made by the inverse FFT run, against the directions that raw data of a vendor gives for
# them: a Siemens scanner's read, phase and partition directions all point the other way. What `save_mrd` writes of
# other scans is "pisolve". For all others it is not known, and neither is the place of the image.
SIGNS = {"siemens": -1, "pisolve": 1}


def sign_of(vendor) -> int | None:
    """1 where images run along the vendor's directions, -1 where against them, None where that is not known."""
    return next((sign for name, sign in SIGNS.items() if name in str(vendor).lower()), None)


def place(fields: dict, meta: dict, positions, directions, voxel, *, flat: bool, vendor, size=None) -> None:
    """Bring slices into the order of their positions, and say in `meta` where the image lies, as far as that is known.

    `affine` is the 4 x 4 matrix from indices to mm, see `affine`; with `affine_code` 0, as NIfTI has it, where nobody
    says which way this vendor's axes run. Slices that are not parallel, or not evenly spaced, have none.

    Args:
        fields: kspace, mask, calib, coord and axes of a scan; they are changed, and so is meta with its `slices`.
        positions: one (3,) a slice, the centre of it or of the slab, mm to the left, back and head.
        directions: one (3, 3) a slice: unit vectors of the image's axes (slice, y, x).
        voxel: mm along them, or None.
        flat: slices of a 2-D encoding; else slabs of a 3-D one.
        vendor: of the scanner, or None.
        size: of the image, where that is not k-space's.
    """
    positions, directions = np.array(positions, float), np.array(directions, float)
    if voxel is not None:
        meta["voxel_mm"] = voxel
    with np.errstate(all="ignore"):
        parallel = np.allclose(directions, directions[:1], atol=1e-3)
    if not parallel:
        _no_place(f"the {len(positions)} slices are not parallel")
        return
    order = sort_slices(fields, meta, positions, _normal(positions, directions[0, 0]))
    positions, sign = positions[order], sign_of(vendor)
    if voxel is None or (not flat and len(positions) > 1):  # several slabs are no regular volume
        return
    if flat and not _even(positions):
        _no_place(f"the {len(positions)} slices are not evenly spaced")
        return
    size = fields["kspace"].shape[-3:] if size is None else size
    size = (len(positions) if flat else size[-3], *size[-2:])
    encoded = np.array([1 if flat else sign or 1, sign or 1, sign or 1])
    found = affine(positions, directions[0], voxel, size, encoded)
    if found is not None:
        meta |= {"affine": found} | ({"affine_code": 0} if sign is None else {})


def _no_place(why: str) -> None:
    warnings.warn(f"{why}: no matrix gives the place of all of them, and there is no meta['affine']; read one by "
                  "load(path, part={'slice': 0}) or --part slice=0", stacklevel=_check.outside())


def _normal(positions, normal):
    """The direction across the slices; where it is not said, the one in which they lie most apart."""
    if np.isfinite(normal).all() and np.linalg.norm(normal) > 0.5:
        return normal
    if not np.isfinite(positions).all():
        return normal
    found = np.linalg.svd(positions - positions.mean(axis=0))[2][0]
    return found * np.sign(found[abs(found).argmax()])


def _even(positions) -> bool:
    """Whether all steps from slice to slice are the same, to 2 %."""
    with np.errstate(all="ignore"):
        steps = np.diff(positions, axis=0)
        return len(steps) < 2 or bool((abs(steps - steps[0]) <= 0.02 * np.linalg.norm(steps[0]) + 1e-3).all())


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


def sort_slices(fields: dict, meta: dict, positions, normal) -> list[int]:
    """Bring the slices of `fields` and `meta` into the order of their positions along `normal`; returns the order."""
    order = spatial_order(positions, normal) if "slice" in fields["axes"] else None
    if order is None:
        return list(range(len(positions)))
    inner = len(_axes.encoded(fields["axes"]))
    # the least axes with slices
    for name, ndim in (("kspace", 0), ("mask", inner + 1), ("calib", inner + 2), ("coord", inner + 2)):
        if fields.get(name) is not None and fields[name].ndim >= ndim and len(fields[name]) > 1:
            fields[name] = fields[name][order]
    meta["slices"] = [meta["slices"][i] for i in order]
    return order.tolist()


def directions_of(quaternion) -> np.ndarray:
    """(slice, phase, read) unit vectors of Siemens' quaternion (w, x, y, z): the columns of its rotation are (phase,
    read, slice), along the axes left, back, head; zeros where it was never filled in."""
    w, x, y, z = np.array(quaternion, float)
    with np.errstate(all="ignore"):
        if not abs(w * w + x * x + y * y + z * z - 1) < 1e-3:
            return np.zeros((3, 3))
        matrix = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                           [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                           [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
    return matrix.T[[2, 0, 1]]


def affine(positions, axes, voxel, shape, sign=1) -> list | None:
    """The 4 x 4 matrix from (x, y, slice) indices of an image (slice, y, x) to mm in NIfTI's world, or None.

    NIfTI's x points to the right and y to the front, those of scanners to the left and to the back. A position is the
    centre of a slice, or of the slab; images have it at index n // 2, whichever way they run.

    Args:
        positions: one (3,) a slice, mm to the left, back and head; all the same for a slab.
        axes: unit vectors of the image's axes (slice, y, x).
        voxel: mm along them.
        shape: of the image, or of its k-space (slice, coil, y, x).
        sign: 1 or -1, which way each axis of the image runs along them.
    """
    positions, axes = np.array(positions, float), np.array(axes, float)
    with np.errstate(invalid="ignore", over="ignore"):
        if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-3) or not np.isfinite(positions).all():
            return None
    steps = axes * (np.array(voxel) * sign)[:, None]
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
