"""`save` and `save_scan`: the suffix chooses the format, and every file is complete or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike, Axes, PathLike
from pisolve.backend import to_numpy
from pisolve.io import cfl, dicom, fastmri, matlab, mrd_image, nifti, zarr
from pisolve.io.atomic import atomic, together
from pisolve.io.atomic_folder import atomic_folder
from pisolve.io.component import NAME, component, described
from pisolve.io.failure import room
from pisolve.io.files import path_of, suffix_of
from pisolve.io.mrd_write import save_mrd
from pisolve.io.named import PLAIN, of_image
from pisolve.scan import Scan

IMAGES = (".h5", ".hdf5", ".npy", ".cfl", *nifti.SUFFIXES, dicom.SUFFIX, ".mrd", matlab.SUFFIX, *zarr.SUFFIXES)
SCANS = (".h5", ".hdf5", ".npz", ".npy", ".cfl", ".mrd", matlab.SUFFIX, *zarr.SUFFIXES)
ARRAYS = ("kspace", "mask", "mps", "reference", "noise", "calib", "weights", "coord", "field_map", "times")  # of a scan
_ALL = (".h5", ".hdf5", *zarr.SUFFIXES)  # have a place for everything
_PLACED = (*nifti.SUFFIXES, dicom.SUFFIX, ".mrd")  # keep where an image lies, and no recipe as such


def save(path: PathLike, image: ArrayLike, *, axes: Axes | None = None, recipe: Any = None, scale: float | None = None,
         meta: dict[str, Any] | None = None, magnitude: bool | None = None, component: str | None = None) -> None:
    """Write an image under its suffix: .h5 (with everything known about it), .npy, .cfl (with its .hdr), .mat,
    .nii(.gz), .dcm, .mrd (ISMRMRD's /dataset/image_0), or .zarr and .zarr.zip, which hold what an .h5 does.

    The file is complete or not there: it is written under a temporary name and renamed. `save_scan` writes scans.

    Args:
        path: .h5 writes `reconstruction` (slice, y, x) complex64; .npy the array as it is; .cfl complex64; .mat `image`
            (y, x, slice); .nii and .nii.gz float32 or complex64, with the package `nibabel`, and with `meta` a .json
            beside it, with BIDS' names; .dcm with `pydicom`, a classic MR image of one plane, an enhanced one of
            several, a secondary capture where `meta` has no affine; .mrd with `ismrmrd`; .zarr, a folder, and
            .zarr.zip with `zarr`.
        image: numpy, cupy or torch array (y, x) or (slice, y, x), or with the axes that `axes` names.
        axes: the names of the image's axes, such as ("frame", "y", "x"), with (y, x) or (z, y, x) at the end, as
            `Scan.image_axes` has them. All but a .npy keep them.
        recipe: dict, or an object with `to_dict`, stored as JSON in the attribute `recipe`. Only for .h5 and .zarr.
        scale: the factor that k-space was multiplied with, attribute `scale`. Only for .h5 and .zarr.
        meta: further attributes by name for .h5 and .zarr; for .nii, .dcm and .mrd the scan's `meta`, of which they
            keep voxel size, place, the seconds from frame to frame and how it was measured (`voxel_mm`, `affine`, ...).
        magnitude: True for component="magnitude", False for "complex".
        component: "magnitude", "phase" (radians), "real", "imaginary" or "complex"; None: the magnitude for .nii and
            .dcm, which most viewers expect, else what the image is.

    Raises:
        ValueError: unknown suffix, NaN or Inf, or options that the format cannot hold; a .json instead of that of
            a .nii which pisolve has not written.
        FileNotFoundError, IsADirectoryError: no such folder, or a folder of that name.
        ImportError: a .nii without `nibabel`, a .dcm without `pydicom`, a .mrd without `ismrmrd`, a .zarr without
            `zarr`.
    """
    path = path_of(path)
    suffix = suffix_of(path)
    image = to_numpy(_check.array("image", image, complex_=False))
    if image.ndim < 2:
        raise ValueError(f"image has {image.ndim} dimensions, shape {image.shape}: at least (y, x) is needed")
    names = of_image(axes, image.shape)
    given = [name for name, value in (("recipe", recipe), ("scale", scale), ("meta", meta)) if value is not None]
    given = [name for name in given if not (name == "meta" and suffix in _PLACED)]
    if suffix not in _ALL and suffix in IMAGES and given:
        raise ValueError(f"{suffix} holds numbers only: save as .h5, or without {', '.join(given)}")
    image, part = _component(image, component, magnitude, suffix)
    if suffix in (".h5", ".hdf5"):
        single = _check.array("image", image.astype(np.complex64))  # finite in single precision, too
        with atomic(path) as temporary:
            room(path, single.nbytes)
            fastmri.write_image(temporary, single, recipe=recipe, scale=scale, meta=meta, axes=names)
    elif suffix in zarr.SUFFIXES:
        single = _check.array("image", image.astype(np.complex64))
        entries = fastmri.image_entries(recipe=recipe, scale=scale, meta=meta, axes=names)
        _zarr(path, {fastmri.IMAGES[0]: single[None] if single.ndim == 2 else single}, entries)
    elif suffix == ".npy":
        with atomic(path) as temporary:
            np.save(temporary, image, allow_pickle=False)
    elif suffix == ".cfl":
        cfl.write(path, image, axes=names)
    elif suffix == matlab.SUFFIX:
        with atomic(path) as temporary:
            matlab.write_image(temporary, image, names)
    elif suffix in _PLACED:
        _placed(path, suffix, image, part, names, meta)
    else:
        raise ValueError(f"{path} has the unknown suffix {suffix!r}: one of {', '.join(IMAGES)}")


def _zarr(path, arrays: dict, attributes: dict) -> None:
    """Write a .zarr or .zarr.zip, whole or not at all."""
    plain = {n: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for n, v in attributes.items()}
    with atomic(path) if suffix_of(path) == zarr.PACKED else atomic_folder(path, zarr.stands) as temporary:
        room(path, sum(a.nbytes for a in arrays.values()))
        zarr.write(temporary, arrays, plain)


def _component(image, wanted, magnitude, suffix: str):
    default = "magnitude" if suffix in (*nifti.SUFFIXES, dicom.SUFFIX) else "complex"
    return component(image, wanted, magnitude, default)


def _placed(path, suffix: str, image, part: str, names, meta: dict | None) -> None:
    """Write a format that keeps where an image lies, and for NIfTI what is said of it beside it."""
    single = _check.array("image", image.astype(np.complex64))
    said = described(meta or {}, part, PLAIN[image.ndim] if names is None else names)
    if suffix not in nifti.SUFFIXES:
        image = single if image.dtype.kind == "c" else image.astype(np.float32)
        write = dicom.write if suffix == dicom.SUFFIX else mrd_image.write
        with atomic(path) as temporary:
            room(path, image.nbytes if suffix == ".mrd" else image.size * 2)
            write(temporary, image, meta=meta or {}, axes=names, part=part, said=said)
        return
    beside = [] if meta is None else [sidecar(path)]
    for other in beside:
        refuse_foreign(other)
    with together(path, *beside) as (temporary, *others):
        nifti.write(temporary, image, meta=meta, axes=names)
        for other in others:
            other.write_text(json.dumps(said, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")


def sidecar(path) -> Path:
    """The .json beside a NIfTI file."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def refuse_foreign(path: Path) -> None:
    """Refuse to write over a .json that is no description of an image of ours.

    Raises:
        ValueError: it is something else.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        ours = json.loads(path.read_text(encoding="utf-8")).get(NAME) == "pisolve"
    except (ValueError, AttributeError, OSError, RecursionError):
        ours = False
    if not ours:
        raise ValueError(f"{path} stands where the description of the NIfTI file goes, and pisolve has not written it: "
                         "give the image another name")


def save_scan(path: PathLike, scan: Scan) -> list[str]:
    """Write a scan under its suffix: .h5 (fastMRI's names), .zarr and .zarr.zip (the same), .npz, .npy and .cfl
    (k-space alone), .mat, .mrd (raw data).

    `load` reads each again. What a format has no place for is left out.

    Args:
        path: complete or not there; .mrd as `save_mrd`.

    Returns:
        The names of what was left out.

    Raises:
        ValueError: an unknown suffix, or axes that the format does not know.
        TypeError: no `Scan`.
    """
    path = path_of(path)
    if not isinstance(scan, Scan):
        raise TypeError(f"scan must be a pisolve.io.Scan, got {type(scan).__name__}: make one of k-space first")
    suffix = _check.choice("the suffix of path", suffix_of(path), SCANS)
    arrays = {n: a for n in ARRAYS if (a := getattr(scan, n)) is not None}
    beside = {"axes": ",".join(scan.axes)} | ({} if scan.size is None else {"size": np.array(scan.size)})
    if scan.mask is not None:
        beside["mask_axes"] = ",".join(scan.named()["mask"][1])
    kept = {".npy": ("kspace",), ".cfl": ("kspace",), ".mrd": tuple(n for n in arrays if n not in ("weights", "coord")),
            matlab.SUFFIX: ("kspace", *matlab.OTHERS)}.get(suffix, tuple(arrays))
    lost = [n for n in arrays if n not in kept]
    if "coord" in lost:
        raise ValueError(f"{suffix} has no place for where the samples of this scan lie (coord): write .h5, .zarr or "
                         ".npz")
    if suffix == ".mrd":
        save_mrd(path, scan)
    elif suffix == ".cfl":
        cfl.write(path, scan.kspace, axes=scan.axes)
    elif suffix in zarr.SUFFIXES:
        _zarr(path, fastmri.named_arrays(arrays), fastmri.scan_entries(scan.meta | beside))
    else:
        with atomic(path) as temporary:
            if suffix == ".npz":
                np.savez(temporary, **arrays, **beside)
            elif suffix == ".npy":
                np.save(temporary, scan.kspace, allow_pickle=False)
            elif suffix == matlab.SUFFIX:
                matlab.write_scan(temporary, scan)
            else:
                room(path, sum(a.nbytes for a in arrays.values()))
                fastmri.write_scan(temporary, arrays, beside, scan.meta)
    return lost if suffix in (*_ALL, ".mrd") else [*lost, *["meta"] * bool(scan.meta)]
