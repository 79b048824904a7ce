"""Images as NIfTI, .nii and .nii.gz, through nibabel: axes (x, y, slice) there, (slice, y, x) here."""

from __future__ import annotations

import math
import zlib

import numpy as np

from pisolve import _check
from pisolve.io.limits import too_large

SUFFIXES = (".nii", ".nii.gz")


def write(path, image: np.ndarray, *, meta: dict | None = None) -> None:
    """Write an image (y, x) or (slice, y, x), float32 of real, complex64 of complex ones, to a new file at `path`.

    Args:
        meta: "affine" (4 x 4, (x, y, slice) indices to mm, right, front, head) or "voxel_mm" (slice, y, x) as `load`
            finds them in raw data; further entries have no place in a NIfTI. Without them voxels measure 1 mm, and the
            file says that their place is not known.
    """
    nibabel, meta = _check.extra("nibabel", "nifti"), meta or {}
    image = (image if image.ndim == 3 else image[None]).T
    image = np.asfortranarray(image, np.complex64 if image.dtype.kind == "c" else np.float32)
    affine, voxel = (None if n not in meta else np.array(meta[n], float) for n in ("affine", "voxel_mm"))
    if affine is not None and (affine.shape != (4, 4) or not np.isfinite(affine).all()):
        raise ValueError(f"meta['affine'] has shape {affine.shape}: a finite 4 x 4 matrix is needed")
    if voxel is not None and (voxel.shape != (3,) or not (voxel > 0).all() or not np.isfinite(voxel).all()):
        raise ValueError(f"meta['voxel_mm'] is {_check.brief(meta['voxel_mm'])}: mm along (slice, y, x) are needed")
    kind = nibabel.Nifti1Image if max(image.shape) < 1 << 15 else nibabel.Nifti2Image
    made = kind(image, affine)
    if affine is None and voxel is not None:
        made.header.set_zooms(voxel[::-1])
    made.header.set_xyzt_units("mm")
    if affine is not None:
        made.set_sform(affine, 1)
        made.set_qform(affine, 1)
    made.to_filename(path)


def read(path, max_bytes: int) -> np.ndarray:
    """The image (y, x) or (slice, y, x) of a NIfTI file, scaled as it says.

    Raises:
        ValueError: damaged files, more than `max_bytes`, colours, or more than three axes.
    """
    nibabel = _check.extra("nibabel", "nifti")
    try:
        found = nibabel.load(path)
        shape = tuple(int(n) for n in found.shape)
        size = math.prod(shape) * 16  # the scaled image may be of double precision
        if size > max_bytes:
            raise too_large(path, "the image", size, max_bytes)
        image = np.asanyarray(found.dataobj) if min(shape, default=0) > 0 else np.zeros(0)
    except (ValueError, OSError, EOFError, zlib.error, KeyError, TypeError, OverflowError,
            nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
        if isinstance(error, PermissionError) or "max_bytes" in str(error):
            raise
        raise ValueError(f"{path} cannot be read as NIfTI, damaged, cut off or something else: {error}") from error
    while image.ndim > 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim not in (2, 3) or image.dtype.kind not in "biufc":
        raise ValueError(f"{path} holds {image.dtype} of shape {shape}: one image, (x, y) or (x, y, slice), is needed")
    return np.ascontiguousarray(image.T)
