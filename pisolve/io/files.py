"""`load`, `save` and `load_image`: the suffix chooses the format."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import _check
from pisolve.backend import to_numpy
from pisolve.io import beside, cfl, fastmri, mrd, nifti, twix
from pisolve.io import numpy as npy
from pisolve.io.atomic import atomic
from pisolve.io.door import reading
from pisolve.io.failure import room
from pisolve.io.hdf5 import link, open_hdf5
from pisolve.io.limits import limit
from pisolve.io.named import PLAIN, of_image
from pisolve.io.readouts import check_part
from pisolve.scan import Scan

HDF5 = (".h5", ".hdf5", ".mrd")
SUFFIXES = (*HDF5, ".dat", *nifti.SUFFIXES, ".npy", ".npz", ".cfl", ".hdr")


def load(path, *, mps=None, part: dict | None = None, axes=None, coord=None, size=None,
         max_bytes: int | None = None) -> Scan:
    """Read a scan by its suffix: k-space and what belongs to it.

    fastMRI's .h5, ISMRMRD's .h5 and .mrd, Siemens' twix .dat (with the package `twixtools`; never tried on a scanner's
    own file), BART's .cfl/.hdr, k-space in .npy, or the arrays of a `Scan` by name in .npz.

    Raw data is sorted by its headers: readouts for noise go to `noise`, those for calibration alone to `calib`,
    navigators and others that are no imaging data are left out and counted in `meta`. Averages are averaged, the
    readout's oversampling is removed. Cardiac phases, contrasts, repetitions and sets become the axes "frame", "echo",
    "repetition" and "set" where there is more than one; slices, frames, ... may each have lines of their own.

    The axes of arrays are named by the file: .h5 and .npz by an entry `axes`, such as "frame,coil,ky,kx" or a list of
    these words, with `mask_axes` for a mask that has fewer; a .cfl by which of BART's 16 dimensions are used.

    Args:
        path: str or os.PathLike.
        mps: coil sensitivities (coil, ky, kx) to go with it: an array, or the path of a file (in .h5 and .npz under
            the name `mps`).
        part: of raw data, which contrast, phase, repetition, set, encoding or slice (of a 3-D encoding the slab), for
            example {"repetition": 2}, which then is no axis; else all, and the first of several encodings.
        axes: the names of the axes of k-space in an array file, instead of what the file says, see `Scan`.
        coord: where the samples of an array file lie, see `Scan`: an array, or the path of a .npy, .npz or .h5 with
            `coord`, or of BART's trajectory, a .cfl, beside a .cfl of BART's samples.
        size: the shape of the image with `coord`; None: as far as the coordinates reach.
        max_bytes: refuse a file whose arrays need more together; None is half of the machine's memory.

    Returns:
        `Scan` with kspace (slice, coil, ky, kx) of an .h5 or of raw data, (coil, kz, ky, kx) of a 3-D encoding,
        (coil, ky, kx) where a .cfl or .npy has no slices, and the further axes before the coils.

    Raises:
        FileNotFoundError, IsADirectoryError: no such file.
        ValueError, TypeError: unknown suffix, damaged or foreign content, unfit shapes or values; it names the file.
    """
    path, most, chosen = _existing(path), limit(max_bytes), check_part(part)
    with reading(path):
        if _suffix(path) in nifti.SUFFIXES:
            raise ValueError("NIfTI holds images: load_image reads them")
        raw = path.suffix == ".dat" or (path.suffix in HDF5 and _is_raw(path))
        if chosen and not raw:
            raise ValueError(f"part chooses from raw data, and this is none: {_check.brief(part)}")
        if raw and coord is not None:
            raise ValueError("coord is for k-space in an array file, and this is raw data: leave it out, or give "
                             "Scan(kspace, coord=...)")
        if size is not None and coord is None:
            raise ValueError("size is the image's beside coord: leave it out, a file with coord has its own entry size")
        if raw and axes is not None:
            raise ValueError("axes names those of an array, and this is raw data, whose counters name them: leave axes "
                             "out, part={...} chooses")
        if coord is not None:
            scan = beside.read(path, path.suffix, coord, size, axes, most)
        elif raw:
            scan = (twix if path.suffix == ".dat" else mrd).read(path, most, chosen)
        elif path.suffix in HDF5:
            scan = fastmri.read(path, most, axes)
        elif path.suffix in (".npy", ".npz"):
            scan = npy.read(path, most, axes)
        else:
            kspace, names = cfl.read_kspace(path, most, sets=axes is not None)
            scan = Scan(kspace, axes=names if axes is None else axes)
        if mps is None:
            return scan
        mps = _load_maps(mps, most, "slice" in scan.axes) if isinstance(mps, str | os.PathLike) else mps
        return replace(scan, mps=mps)


def load_image(path, *, max_bytes: int | None = None) -> np.ndarray:
    """Read an image (y, x), (slice, y, x) or with more axes: of .h5 `reconstruction` (or `reconstruction_rss`, ...),
    .npy, .cfl, .nii. `image_axes` says which axes these are.

    Raises:
        As `load`.
    """
    return _image(path, max_bytes)[0]


def image_axes(path, *, max_bytes: int | None = None) -> tuple[str, ...] | None:
    """The names of the axes of the image that `load_image` reads, such as ("frame", "y", "x").

    Without names in the file (y, x) or (slice, y, x); None for more axes, as a .npy has no place for names.

    Raises:
        As `load`.
    """
    image, names = _image(path, max_bytes)
    return PLAIN.get(image.ndim) if names is None else names


def _image(path, max_bytes: int | None):
    """(an image, the names of its axes, None where the file does not say them)."""
    path, most = _existing(path), limit(max_bytes)
    with reading(path):
        if path.suffix in HDF5:
            image, names = fastmri.read_image(path, most)
        elif path.suffix == ".npy":
            image, names = npy.read_npy(path, most), None
        elif _suffix(path) in nifti.SUFFIXES:
            image, names = nifti.read(path, most)
        elif path.suffix in (".npz", ".dat"):
            raise ValueError(f"a {path.suffix} holds no image: load reads a scan from it")
        else:
            image, names = cfl.read_named(path, most)
        if image.ndim < 2:
            raise ValueError(f"image has {image.ndim} dimensions, shape {image.shape}: at least (y, x) is needed")
        return _check.array("image", image, complex_=False), names


def save(path, image, *, axes=None, recipe=None, scale: float | None = None, meta: dict | None = None,
         magnitude: bool | None = None) -> None:
    """Write an image under its suffix: .h5 (with everything known about it), .npy, .cfl (with its .hdr), .nii(.gz).

    The file is complete or not there: it is written under a temporary name and renamed. `save_mrd` writes scans.

    Args:
        path: .h5 writes `reconstruction` (slice, y, x) complex64; .npy the array as it is; .cfl complex64; .nii and
            .nii.gz float32 or complex64, with the package `nibabel`.
        image: numpy, cupy or torch array (y, x) or (slice, y, x), or with the axes that `axes` names.
        axes: the names of the image's axes, such as ("frame", "y", "x"), with (y, x) or (z, y, x) at the end, as
            `Scan.image_axes` has them. .h5 and .nii keep them, a .cfl by its dimensions, a .npy not.
        recipe: dict, or an object with `to_dict`, stored as JSON in the attribute `recipe`. Only for .h5.
        scale: the factor that k-space was multiplied with, attribute `scale`. Only for .h5.
        meta: further attributes by name for .h5; for .nii the scan's `meta`, of which it keeps voxel size, place and
            the seconds from frame to frame (`voxel_mm`, `affine`, `frame_s`).
        magnitude: write |image|; None: for .nii only, which most viewers expect.

    Raises:
        ValueError: unknown suffix, NaN or Inf, or options that the format cannot hold.
        FileNotFoundError, IsADirectoryError: no such folder, or a folder of that name.
        ImportError: a .nii without `nibabel`.
    """
    path = _path(path)
    suffix = _suffix(path)
    image = to_numpy(_check.array("image", image, complex_=False))
    if image.ndim < 2:
        raise ValueError(f"image has {image.ndim} dimensions, shape {image.shape}: at least (y, x) is needed")
    names = of_image(axes, image.shape)
    given = [name for name, value in (("recipe", recipe), ("scale", scale), ("meta", meta)) if value is not None]
    given = [name for name in given if not (name == "meta" and suffix in nifti.SUFFIXES)]
    if suffix in (".npy", ".cfl", *nifti.SUFFIXES) and given:
        raise ValueError(f"{suffix} holds numbers only: save as .h5, or without {', '.join(given)}")
    if suffix in nifti.SUFFIXES if magnitude is None else magnitude:
        image = abs(image)
    if suffix in (".h5", ".hdf5"):
        single = _check.array("image", image.astype(np.complex64))  # finite in single precision, too
        with atomic(path) as temporary:
            room(path, single.nbytes)
            fastmri.write_image(temporary, single, recipe=recipe, scale=scale, meta=meta, axes=names)
    elif suffix == ".npy":
        with atomic(path) as temporary:
            np.save(temporary, image, allow_pickle=False)
    elif suffix == ".cfl":
        cfl.write(path, image, axes=names)
    elif suffix in nifti.SUFFIXES:
        _check.array("image", image.astype(np.complex64))
        with atomic(path) as temporary:
            nifti.write(temporary, image, meta=meta, axes=names)
    else:
        raise ValueError(f"{path} has the unknown suffix {suffix!r}: .h5, .hdf5, .npy, .cfl, .nii or .nii.gz")


def _suffix(path: Path) -> str:
    return ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix


def _is_raw(path) -> bool:
    with open_hdf5(path) as file:
        return link(file, "kspace") is None and mrd.group_of(file) is not None


def _load_maps(path, most: int, slices: bool) -> np.ndarray:
    path = _existing(path)
    if path.suffix in HDF5:
        return fastmri.read_array(path, ("mps",), most)
    if path.suffix == ".dat" or _suffix(path) in nifti.SUFFIXES:
        raise ValueError(f"{path} holds no coil maps: .h5, .npz, .npy or .cfl")
    if path.suffix == ".npz":
        found = npy.read_npz(path, ("mps",), most)
        if not found:
            raise ValueError(f"{path} has no array mps; it holds: {', '.join(npy.names(path)) or 'nothing'}")
        return found["mps"]
    return npy.read_npy(path, most) if path.suffix == ".npy" else cfl.read_maps(path, most, slices=slices)


def _path(path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or os.PathLike, got {type(path).__name__}")
    return Path(path)


def _existing(path) -> Path:
    path = _path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if _suffix(path) not in SUFFIXES:
        raise ValueError(f"{path} has the unknown suffix {_suffix(path)!r}: one of {', '.join(SUFFIXES)}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if not path.is_file():
        raise ValueError(f"{path} is no regular file, such as a FIFO or a device: copy it into one")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    return path
