"""Images as NIfTI, .nii and .nii.gz, through nibabel: axes (x, y, slice, frame) there, (slice, frame, y, x) here."""

from __future__ import annotations

import contextlib
import gzip
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from pisolve import _check
from pisolve.io.limits import spend
from pisolve.io.named import words

SUFFIXES = (".nii", ".nii.gz")
_START = 16 << 20  # the last byte at which an image may begin


def write(path, image: np.ndarray, *, meta: dict | None = None, axes=None) -> None:
    """Write an image (y, x) or (slice, y, x), float32 of real, complex64 of complex ones, to a new file at `path`.

    Args:
        meta: "affine" (4 x 4, (x, y, slice or z) indices to mm, right, front, head) or "voxel_mm" (slice or z, y, x) as
            `load` finds them in raw data, and "frame_s", seconds from frame to frame; further entries have no place in
            a NIfTI. Without them voxels measure 1 mm, and the file says that their place is not known; so it does
            with "affine_code" 0 beside the affine.
        axes: the names of other axes, such as ("frame", "z", "y", "x"); they are kept in the file's description.

    Raises:
        ValueError: more than seven axes, or meta that does not fit.
    """
    nibabel, meta = _check.extra("nibabel", "nifti"), meta or {}
    layout = _layout(axes or ("slice", "y", "x"))
    if axes is None:
        image = (image if image.ndim == 3 else image[None]).T
    else:
        image = image.transpose([axes.index(a) for a in layout if a is not None])
        image = image if layout[2] is not None else np.expand_dims(image, 2)
    if image.ndim > 7:
        raise ValueError(f"the image has the axes {', '.join(axes)}: NIfTI has seven with one of slices; save as .h5")
    image = np.asfortranarray(image, np.complex64 if image.dtype.kind == "c" else np.float32)
    affine, voxel = (None if n not in meta else np.array(meta[n], float) for n in ("affine", "voxel_mm"))
    if affine is not None and (affine.shape != (4, 4) or not np.isfinite(affine).all()):
        raise ValueError(f"meta['affine'] has shape {affine.shape}: a finite 4 x 4 matrix is needed")
    if voxel is not None and (voxel.shape != (3,) or not (voxel > 0).all() or not np.isfinite(voxel).all()):
        raise ValueError(f"meta['voxel_mm'] is {_check.brief(meta['voxel_mm'])}: mm along (slice, y, x) are needed")
    kind = nibabel.Nifti1Image if max(image.shape) < 1 << 15 else nibabel.Nifti2Image
    made = kind(image, affine)
    frame = _check.number("meta['frame_s']", meta.get("frame_s"), low=0, strict=True, allow_none=True)
    frame = frame if layout[3:4] == ["frame"] else None
    zooms = list(made.header.get_zooms())
    zooms[:3] = voxel[::-1] if affine is None and voxel is not None else zooms[:3]
    zooms[3:4] = zooms[3:4] if frame is None else [frame]
    made.header.set_zooms(zooms)
    made.header.set_xyzt_units("mm", None if frame is None else "sec")
    said = f"axes {','.join(axes or ())}".encode()
    if axes is not None and len(said) < 80:
        made.header["descrip"] = said
    if affine is not None:
        code = _check.integer("meta['affine_code']", meta.get("affine_code", 1), low=0, high=5)
        made.set_sform(affine, code)
        made.set_qform(affine, code)
    made.to_filename(path)


def _layout(axes) -> list:
    """The names of NIfTI's axes for an image with these: x, y, z or slice (None for neither), frame, the others."""
    third = "z" if "z" in axes else "slice" if "slice" in axes else None
    return ["x", "y", third, *sorted((a for a in axes if a not in ("x", "y", third)), key=lambda a: a != "frame")]


def _check_start(path) -> None:
    """Refuse a header that puts the image far behind it: nibabel reads what is between, of which .gz can hold much."""
    with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as file:
        head = file.read(540)
    for order in "<>":
        kind = struct.unpack(f"{order}i", head[:4].ljust(4, b"\0"))[0]
        form, at = {348: ("f", 108), 540: ("q", 168)}.get(kind, ("", 0))
        if form and len(head) >= at + 8:
            start = struct.unpack_from(f"{order}{form}", head, at)[0]
            if not 0 <= start <= _START:
                raise ValueError(f"{path}: the image begins at byte {start:,.0f}, more than {_START:,} is not read")


@contextlib.contextmanager
def quiet() -> Iterator[Any]:
    """The module nibabel, which writes nothing to the terminal from this thread: what is wrong is in our errors."""
    nibabel, here = _check.extra("nibabel", "nifti"), threading.get_ident()
    logger = nibabel.imageglobals.logger

    def ours(record) -> bool:
        return record.thread != here

    logger.addFilter(ours)
    try:
        yield nibabel
    finally:
        logger.removeFilter(ours)


def read(path, max_bytes: int):
    """(the image of a NIfTI file, scaled as it says; the names of its axes, None for (y, x) or (slice, y, x)).

    Files of others have (y, x), (slice, y, x) or (slice, frame, y, x), those of `write` the axes that it was given.

    Raises:
        ValueError: damaged files, more than `max_bytes`, colours, or more than four axes without names.
    """
    nibabel = _check.extra("nibabel", "nifti")
    try:
        _check_start(path)
        with quiet():
            found = nibabel.load(path)
            if not isinstance(found, nibabel.Nifti1Image):
                raise ValueError(f"it is {type(found).__name__.removesuffix('Image')}, which is no picture")
            shape = tuple(int(n) for n in found.shape)
            size = math.prod(shape) * 16  # the scaled image may be of double precision
            spend(path, "the image", size, max_bytes)
            image = np.asanyarray(found.dataobj) if min(shape, default=0) > 0 else np.zeros(0)
    except (ValueError, OSError, EOFError, zlib.error, KeyError, TypeError, OverflowError,
            nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
        if isinstance(error, PermissionError) or "max_bytes" in str(error):
            raise
        raise ValueError(f"{path} cannot be read as NIfTI, damaged, cut off or something else: {error}") from error
    if image.dtype.kind in "fc" and (lost := np.isnan(image)).any():
        warnings.warn(f"{path}: {lost.sum():,} of {lost.size:,} voxels are NaN, as programs write them where nothing "
                      "is: read as 0", stacklevel=_check.outside())
        image = np.where(lost, 0, image)
    axes = words(bytes(found.header["descrip"]).rstrip(b"\0").removeprefix(b"axes "))
    while image.ndim > 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.dtype.kind not in "biufc" or image.ndim < 2 or (axes is None and image.ndim > 4):
        raise ValueError(f"{path} holds {image.dtype} of shape {shape}: one image, (x, y), (x, y, slice) or (x, y, "
                         "slice, frame), is needed")
    if axes is not None and {"x", "y"} < set(axes) and len(set(axes)) == len(axes):
        layout = _layout(axes)
        image = image.reshape(*image.shape, *(1,) * (len(layout) - image.ndim))
        if image.ndim == len(layout) and (layout[2] is not None or image.shape[2] == 1):
            image = image if layout[2] is not None else image[:, :, 0]
            layout = [a for a in layout if a is not None]
            return np.ascontiguousarray(image.transpose([layout.index(a) for a in axes])), axes
    if image.ndim == 4:
        return np.ascontiguousarray(image.transpose(2, 3, 1, 0)), ("slice", "frame", "y", "x")
    return np.ascontiguousarray(image.T), None


def place(path, names) -> dict:
    """`voxel_mm` (slice or z, y, x), `affine` where the file knows it, and `frame_s`, seconds from frame to frame."""
    with quiet() as nibabel:
        head = nibabel.load(path).header
    zooms = [float(z) for z in head.get_zooms()]
    zooms += [1.0] * (3 - len(zooms))
    found = {"voxel_mm": zooms[2::-1]} if min(zooms[:3]) > 0 and np.isfinite(zooms[:3]).all() else {}
    if (head["sform_code"] > 0 or head["qform_code"] > 0) and np.isfinite(head.get_best_affine()).all():
        found["affine"] = head.get_best_affine().tolist()
    series = names is None or "frame" in names
    if series and len(zooms) > 3 and zooms[3] > 0 and head.get_xyzt_units()[1] == "sec":
        found["frame_s"] = zooms[3]
    return found
