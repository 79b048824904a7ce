"""`load` and `load_image`: the suffix chooses the format; `saving` has what writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import Axes, PathLike
from pisolve.io import beside, cfl, dicom, dicom_read, fastmri, foreign, matlab, mrd_image, nifti, pattern, raw, zarr
from pisolve.io import numpy as npy
from pisolve.io.door import reading
from pisolve.io.epi import refuse
from pisolve.io.hdf5 import link, open_hdf5
from pisolve.io.limits import limit
from pisolve.io.named import PLAIN
from pisolve.io.readouts import check_part
from pisolve.io.sieve import AVERAGE
from pisolve.scan import Scan

HDF5 = raw.HDF5
_DOUBLE = (".nii.gz", zarr.PACKED)
PICTURES = (*nifti.SUFFIXES, dicom.SUFFIX)  # that hold images only
SUFFIXES = (*HDF5, ".dat", *PICTURES, ".npy", ".npz", ".cfl", ".hdr", matlab.SUFFIX, *zarr.SUFFIXES)


def load(path: PathLike, *, mps: Any = None, part: dict[str, Any] | None = None, axes: Axes | None = None,
         coord: Any = None, size: Sequence[int] | None = None, max_bytes: int | None = None, noise: Any = None,
         average: str = "mean", epi: str = "auto", mask: Any = None) -> Scan:
    """Read a scan by its suffix: k-space and what belongs to it.

    fastMRI's .h5, ISMRMRD's .h5 and .mrd, Siemens' twix .dat (with the package `twixtools`; never tried on a scanner's
    own file), BART's .cfl/.hdr, MATLAB's .mat, k-space in .npy, or the arrays of a `Scan` by name in .npz, or in a
    .zarr folder or .zarr.zip (with the package `zarr`). Layouts of public data sets are recognised: `layouts` has
    them, and CMRxRecon's is in `matlab`.

    Raw data is sorted by its headers: readouts for noise go to `noise`, those for calibration alone to `calib`,
    navigators and others that are no imaging data are left out and counted in `meta`. Averages are averaged, the
    readout's oversampling is removed. Cardiac phases, contrasts, repetitions and sets become the axes "frame", "echo",
    "repetition" and "set" where there is more than one; slices, frames, ... may each have lines of their own.

    The axes of arrays are named by the file: .h5, .zarr and .npz by an entry `axes`, such as "frame,coil,ky,kx" or
    a list of these words, with `mask_axes` for a mask that has fewer; a .cfl by which of BART's 16 dimensions are used.

    Args:
        path: str or os.PathLike.
        mps: coil sensitivities (coil, ky, kx) to go with it: an array, or the path of a file (in .h5 and .npz under
            the name `mps`).
        part: of raw data, which contrast, phase, repetition, set, average, encoding or slice (of a 3-D encoding the
            slab), for example {"repetition": 2}, which then is no axis; else all, and the first of several encodings.
            "measurement" chooses among several in one file, counted from 0 (else the last with imaging readouts),
            "channels" among readouts of an array and of a body coil (else the most channels).
        axes: the names of the axes of k-space in an array file, instead of what the file says, see `Scan`.
        coord: where the samples of an array file lie, see `Scan`: an array, or the path of a .npy, .npz, .h5 or .mat
            with `coord`, or of BART's trajectory, a .cfl, beside a .cfl of BART's samples. Of raw data, too: Siemens'
            files have no trajectories; there every readout is a shot, in the order and with the samples of the file.
        size: the shape of the image with `coord`; None: as far as the coordinates reach.
        max_bytes: refuse a file whose arrays need more together; None is half of the machine's memory.
        noise: noise alone, instead of what the file has: the path of raw data measured without excitation, which
            is brought to the dwell time, bandwidth and averages of the image; or samples (coil, samples) as `Scan`
            takes them, an array, a .npy, or of an .npz or .h5 the array `noise`.
        average: what becomes of lines that raw data has several times: "mean", or "keep", along an axis "average".
        epi: of an EPI scan's lines how the N/2 ghost is found, "navigator", "entropy", "auto" (navigators where there
            are any, else entropy) or "none", see `calib.epi`; what was corrected is in `meta["epi"]`.
        mask: which samples of an array file were measured, where another file says it, such as CMRxRecon's
            cine_sax_mask.mat: an array as for `Scan`, or the path of a .npy, BART's pattern, or a .mat, .npz or .h5
            with `mask`.

    Returns:
        `Scan` with kspace (slice, coil, ky, kx) of an .h5 or of raw data, (coil, kz, ky, kx) of a 3-D encoding,
        (coil, ky, kx) where a .cfl or .npy has no slices, and the further axes before the coils.

    Raises:
        FileNotFoundError, IsADirectoryError: no such file.
        ValueError, TypeError: unknown suffix, damaged or foreign content, unfit shapes or values; it names the file.
    """
    path, most, chosen = _existing(path), limit(max_bytes), check_part(part)
    _check.choice("average", average, AVERAGE)
    if isinstance(noise, str | os.PathLike):
        noise = raw.load_noise(_existing(noise), most)
    with reading(path):
        if is_picture(path):
            what = "DICOM" if path.suffix == dicom.SUFFIX else "NIfTI"
            raise ValueError(f"{what} holds images: load_image reads them")
        is_raw = raw.is_raw(path)
        if chosen and not is_raw:
            raise ValueError(f"part chooses from raw data, and this is not raw data: leave out {_check.brief(part)}")
        if average != "mean" and not is_raw:
            raise ValueError("average is for raw data, and this file is not raw data: leave it out")
        if mask is not None and is_raw:
            raise ValueError("mask is for k-space in an array file, and this is raw data, which says what it measured: "
                             "leave it out; scan.undersample(mask) leaves lines out")
        if size is not None and coord is None:
            raise ValueError("size is the image's beside coord: leave it out, a file with coord has its own entry size")
        if is_raw and axes is not None:
            raise ValueError("axes names those of an array, and this is raw data, whose counters name them: leave axes "
                             "out, part={...} chooses")
        if coord is not None or path.suffix in (matlab.SUFFIX, ".cfl", ".hdr"):
            refuse(epi)
        if is_raw:
            coord = None if coord is None else beside.coordinates(coord, most)
            scan = raw.read(path, most, chosen, average=average, noise=noise, epi=epi, coord=coord, size=size)
        elif coord is not None:
            scan = beside.read(path, path.suffix, coord, size, axes, most)
        elif path.suffix in HDF5:
            scan = fastmri.read(path, most, axes, epi)
        elif path.suffix == matlab.SUFFIX:
            own = {n: a for n, a in (("mps", mps), ("mask", mask)) if _of_matlab(a)}  # their axes are k-space's there
            scan = matlab.read(path, most, axes, {n: matlab.read_array(_existing(a), n, most) for n, a in own.items()})
            mps, mask = (None if n in own else a for n, a in (("mps", mps), ("mask", mask)))
        elif path.suffix in (".npy", ".npz"):
            scan = npy.read(path, most, axes, epi)
        elif zarr.is_zarr(path):
            scan = zarr.read(path, most, axes, epi)
        else:
            kspace, names = cfl.read_kspace(path, most, sets=axes is not None)
            scan = Scan(kspace, axes=names if axes is None else axes, meta=cfl.assumed(path) if axes is None else {})
        scan = scan if is_raw or noise is None else raw.beside(scan, noise)
        if mask is not None:
            scan = pattern.beside(scan, _existing(mask) if isinstance(mask, str | os.PathLike) else mask, most)
        if mps is None:
            return scan
        mps = _load_maps(mps, most, "slice" in scan.axes) if isinstance(mps, str | os.PathLike) else mps
        return replace(scan, mps=mps)


def _of_matlab(path) -> bool:
    return isinstance(path, str | os.PathLike) and Path(path).suffix == matlab.SUFFIX


def load_image(path: PathLike, *, max_bytes: int | None = None) -> np.ndarray:
    """Read an image (y, x), (slice, y, x) or with more axes: of .h5 `reconstruction` (or `reconstruction_rss`, ...),
    ISMRMRD's image_0, .npy, .cfl, .mat, .nii, .dcm, .zarr. `image_axes` says which axes these are,
    `image_meta` where it lies.

    Raises:
        As `load`.
    """
    return read_image(path, max_bytes)[0]


def image_axes(path: PathLike, *, max_bytes: int | None = None) -> tuple[str, ...] | None:
    """The names of the axes of the image that `load_image` reads, such as ("frame", "y", "x").

    Without names in the file (y, x) or (slice, y, x); None for more axes, as a .npy has no place for names.

    Raises:
        As `load`.
    """
    image, names, _ = read_image(path, max_bytes)
    return PLAIN.get(image.ndim) if names is None else names


def image_meta(path: PathLike, *, max_bytes: int | None = None) -> dict[str, Any]:
    """What an image's file says of its place: `voxel_mm` (slice or z, y, x), `affine`, `frame_s`, as far as it does.

    Raises:
        As `load`.
    """
    return read_image(path, max_bytes)[2]


def read_image(path, max_bytes: int | None = None):
    """(an image, the names of its axes, None where the file does not say them, what it says of its place)."""
    path, most = _existing(path), limit(max_bytes)
    meta = {}
    with reading(path):
        if path.suffix in HDF5:
            image, names, meta = _of_hdf5(path, most)
        elif path.suffix == ".npy":
            image, names = npy.read_npy(path, most), None
        elif path.suffix == matlab.SUFFIX:
            image, names = matlab.read_image(path, most)
        elif path.suffix == dicom.SUFFIX:
            image, names, meta = dicom_read.read(path, most)
        elif suffix_of(path) in nifti.SUFFIXES:
            image, names = nifti.read(path, most)
            meta = nifti.place(path, names)
        elif zarr.is_zarr(path):
            image, names, meta = zarr.read_image(path, most)
        elif path.suffix in (".npz", ".dat"):
            raise ValueError(f"a {path.suffix} holds no image: load reads a scan from it")
        else:
            image, names = cfl.read_named(path, most)
        if image.ndim < 2:
            raise ValueError(f"image has {image.ndim} dimensions, shape {image.shape}: at least (y, x) is needed")
        image = image.astype(image.dtype.newbyteorder("="), copy=False)  # big-endian files are
        return _check.array("image", image, complex_=False), names, meta


def _of_hdf5(path, most: int):
    with open_hdf5(path) as file:
        group = None if any(link(file, n) is not None for n in fastmri.IMAGES) else mrd_image.group_of(file)
        if group is not None:
            return mrd_image.read(file, group, most, path)
    return fastmri.read_image(path, most)


def is_picture(path) -> bool:
    """Whether a file holds images only, so that why it is no image says more than why it is no scan."""
    return suffix_of(Path(path)) in PICTURES


def below(folder) -> list[Path]:
    """The files in a folder and in those below it, a .zarr folder as one; hidden ones, and BART's second, left out."""
    root, found = Path(folder), []
    for path in sorted(root.rglob("*")):
        *above, name = path.relative_to(root).parts
        left_out = any(part.startswith(".") for part in (*above, name)) or any(p.endswith(zarr.FOLDER) for p in above)
        second = path.suffix == ".hdr" and path.with_suffix(".cfl").exists()
        if not left_out and not second and (path.is_file() or is_scan_folder(path)):
            found.append(path)
    return found


def is_scan_folder(path) -> bool:
    """Whether a folder is one scan or image, a .zarr, and not a folder of them."""
    path = Path(path)
    return path.suffix == zarr.FOLDER and path.is_dir()


def suffix_of(path: Path) -> str:
    """The suffix of a path, .nii.gz and .zarr.zip as one."""
    return next((s for s in _DOUBLE if path.name.endswith(s)), path.suffix)


def _load_maps(path, most: int, slices: bool) -> np.ndarray:
    path = _existing(path)
    if path.suffix in HDF5:
        return fastmri.read_array(path, ("mps",), most)
    if zarr.is_zarr(path):
        return zarr.read_array(path, ("mps",), most)
    if path.suffix == ".dat" or suffix_of(path) in PICTURES:
        raise ValueError(f"{path} holds no coil maps: .h5, .npz, .npy, .cfl, .zarr or .mat")
    if path.suffix == matlab.SUFFIX:
        return matlab.read_array(path, "mps", most)
    if path.suffix == ".npz":
        found = npy.read_npz(path, ("mps",), most)
        if not found:
            raise ValueError(f"{path} has no array mps; it holds: {', '.join(npy.names(path)) or 'nothing'}")
        return found["mps"]
    return npy.read_npy(path, most) if path.suffix == ".npy" else cfl.read_maps(path, most, slices=slices)


def path_of(path) -> Path:
    """A path as `Path`; a TypeError for what is none."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or os.PathLike, got {type(path).__name__}")
    return Path(path)


def _existing(path) -> Path:
    path = path_of(path)
    if is_scan_folder(path):
        return path
    if path.is_dir():
        more = ", or call it scan.zarr, as it holds Zarr" if zarr.stands(path) else ""
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it{more}")
    foreign.refuse(path)
    known = suffix_of(path) in SUFFIXES
    if known and not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file, such as a FIFO or a device: copy it into one")
    if not known:
        more = foreign.hint(path) if path.exists() else ""
        raise ValueError(f"{path} has the unknown suffix {suffix_of(path)!r}: one of {', '.join(SUFFIXES)}{more}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    return path
