"""Layouts of public data sets that are not fastMRI's own, recognised by the arrays of a file.

Each is read as its authors read it: which axis is which, where k-space has its origin, what is averaged. The axes that
`load(path, axes=...)` names go before all of them.

References:
    Souza et al., An open, multi-vendor, multi-field-strength brain MR dataset, NeuroImage 170:482, 2018.
    Desai et al., SKM-TEA: a dataset for accelerated MRI reconstruction with dense image labels, NeurIPS 2021.
    Tibrewala et al., FastMRI Prostate, Sci Data 11:404, 2024.
    Solomon et al., fastMRI Breast, Radiol Artif Intell 7:e240345, 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pisolve.backend import fft
from pisolve.io.hdf5 import array_at, attributes, dataset, kind_of, text
from pisolve.io.header import Header
from pisolve.io.limits import spend

_COMPLEX = "if it is something else, store complex numbers, or name the axes"
GOLDEN = np.pi / ((1 + 5**0.5) / 2)  # from spoke to spoke


@dataclass(frozen=True)
class Layout:
    """A data set's layout.

    Args:
        name: of the data set.
        said: how it is read, in words.
        fits: (a function of a name that gives (shape, dtype) of a dataset, or None) -> whether a file is one of it.
        read: (file, most bytes, path) -> the fields of a `Scan`.
    """

    name: str
    said: str
    fits: Callable
    read: Callable


def recognised(file, path) -> Layout | None:
    """The layout of an open HDF5 file; None for fastMRI's own and for those that are not known."""
    def look(name):
        return kind_of(file, name, path)

    return None if look("kspace") is None else next((one for one in LAYOUTS if one.fits(look)), None)


def read(layout: Layout, file, most: int, path) -> dict:
    """The fields of a scan in this layout, which its `meta` names."""
    fields = layout.read(file, most, path)
    meta = attributes(file) | fields.pop("meta", {})
    meta = {"layout": f"{layout.name}: {layout.said}"} | {k: v for k, v in meta.items() if k != "axes"}
    return fields | {"meta": meta}


def is_interleaved(shape, dtype) -> bool:
    """Whether an array is (x, ky, kz, 2 coils) of real and imaginary parts in turns, as Calgary-Campinas has them."""
    return (len(shape) == 4 and dtype.kind == "f" and shape[3] % 2 == 0 and 2 <= shape[3] <= 128
            and shape[3] < min(shape[1:3]))


def hybrid(data, names=("slice", "ky", "kx", "coil")) -> dict:
    """A scan of (x, ky, kz, real and imaginary parts in turns), transformed along x: slices along the readout.

    Its images are numpy.fft.ifft2(k), without shifts; where k-space has its origin, in the corner or in the middle, is
    asked of its energy. A centred transform gives the same image of

        k[m] exp(2 pi i (m - c) c / n),    c = n // 2

    with the origin in the middle: of even sizes this changes signs.
    """
    kind = np.complex64 if data.dtype.itemsize <= 4 else np.complex128
    data = np.ascontiguousarray(data, kind(0).real.dtype)
    kspace = data.view(kind)
    energy = sum(np.square(abs(part)).sum(-1, dtype=float) for part in kspace)
    for axis, n in enumerate(kspace.shape[1:3], start=1):
        profile = energy.sum(2 - axis)
        peak = int(profile.argmax())
        if min(peak, n - peak) < abs(peak - n // 2):
            kspace = np.roll(kspace, n // 2, axis)
        turn = np.exp(2j * np.pi * (np.arange(n) - n // 2) * (n // 2) / n).reshape(-1, *(1,) * (3 - axis))
        kspace = kspace * (turn if n % 2 else turn.real.round()).astype(kind if n % 2 else data.dtype)
    return {"kspace": kspace, "axes": names}


def _calgary(file, most, path) -> dict:
    data = dataset(file, "kspace", most, path)
    told = {"assumed": "four axes of real numbers, the last one of two: read as Calgary-Campinas' single coil, (x, ky, "
            f"kz, real and imaginary part); {_COMPLEX}"} if data.shape[3] == 2 else {}
    return hybrid(data) | {"meta": told}


def _skm_tea(file, most, path) -> dict:
    """(x, ky, kz, echo, coil), with maps (x, ky, kz, coil, set) and the image (x, y, z, echo, set)."""
    fields = {"kspace": dataset(file, "kspace", most, path).transpose(0, 3, 4, 1, 2),
              "axes": ("slice", "echo", "coil", "ky", "kx")}
    (x, ny, nz, echoes, coils), _ = kind_of(file, "kspace", path)
    maps, target = (kind_of(file, name, path) for name in ("maps", "target"))
    if maps is not None and maps[0][:4] == (x, ny, nz, coils) and len(maps[0]) == 5:
        mps = dataset(file, "maps", most, path).transpose(0, 4, 3, 1, 2)
        fields["mps"] = mps[:, 0] if mps.shape[1] == 1 else mps
    if target is not None and target[0][:4] == (x, ny, nz, echoes) and len(target[0]) == 5:
        fields["reference"] = abs(dataset(file, "target", most, path)[..., 0]).transpose(0, 3, 1, 2)
    return fields


def _prostate(file, most, path) -> dict:
    """(average, slice, coil, readout, phase): each sample's mean over the averages that measured it, padded to squares.

    The data set's images have their rows the other way round, which is undone.
    """
    item = array_at(file, "kspace", most, path)
    averages, slices, coils, rows, columns = item.shape
    meta, width, left = {"averages": averages, "phase_axis": -1}, max(rows, columns), None
    xml = text(file, "ismrmrd_header", path)
    if xml is not None:
        head = Header(xml)
        meta |= head.describe()
        centre = head.number("encoding/encodingLimits/kspace_encoding_step_1/center")
        width = max(int(meta.get("encoded_size", (width,))[0]), columns)
        left = None if centre is None else int(width // 2 - centre)
    left = width // 2 - columns // 2 if left is None or not 0 <= left <= width - columns else left
    spend(path, "the padded k-space", slices * coils * rows * width * item.dtype.itemsize, most)
    kspace = np.zeros((slices, coils, rows, width), item.dtype)
    for at in range(slices):
        part = item[:, at]
        count = (part != 0).any(axis=(1, 2), keepdims=True).sum(axis=0)
        kspace[at, :, :, left : left + columns] = part.sum(axis=0) / np.maximum(count, 1).astype(part.real.dtype)
    meta["padding"] = [left, left + columns]
    fields = {"kspace": kspace, "meta": meta, "axes": ("slice", "coil", "ky", "kx")}
    calib = dataset(file, "calibration_data", most, path)
    if calib is not None and calib.ndim == 4 and calib.shape[:2] == (slices, coils) and calib.any():
        fields["calib"] = calib
    reference = dataset(file, "reconstruction_rss", most, path)
    if reference is not None and reference.ndim == 3 and len(reference) == slices:
        fields["reference"] = reference[:, ::-1]
    return fields


def _diffusion(file, most, path) -> dict:
    """(repetition, slice, coil, readout, phase) of echo planar imaging, its ramps not regridded."""
    kspace = dataset(file, "kspace", most, path)
    told = ("fastMRI's diffusion of the prostate is echo planar: its samples on the ramps are not regridded here, nor "
            "its ghosts corrected")
    return {"kspace": kspace, "axes": ("repetition", "slice", "coil", "ky", "kx"),
            "meta": {"phase_axis": -1, "assumed": told}}


def _breast(file, most, path) -> dict:
    """A stack of stars, (2, spoke, sample, coil, partition) or the other way round: slices by the transform along kz.

    The spokes turn by 180 / 1.618 degrees; their samples, twice as many as the image has pixels, are half a step apart.
    """
    data = dataset(file, "kspace", most, path)
    turned = data.shape[0] != 2
    data = data.T if turned else data
    spend(path, "the complex k-space", 2 * data.nbytes, most)
    kspace = (data[0] + 1j * data[1]).astype(np.complex64).transpose(3, 2, 0, 1)  # partition, coil, spoke, sample
    parts, coils, spokes, samples = kspace.shape
    loud = np.array([np.linalg.norm(kspace[:, :, i]) for i in range(spokes)])
    if turned and loud.max() > 4 * np.median(loud):  # these are lines: every spoke goes through the centre
        told = "read as (slice, coil, ky, kx, real and imaginary part)"
        return {"kspace": np.ascontiguousarray(kspace.swapaxes(2, 3)), "axes": ("slice", "coil", "ky", "kx"),
                "meta": {"layout": told, "assumed": f"five axes of real numbers, one of two: {told}; {_COMPLEX}"}}
    centre = int(np.argmax([np.linalg.norm(part) for part in kspace]))
    slices = 2 * max(centre, parts - centre)
    stack = np.zeros((slices, coils, spokes, samples), np.complex64)
    stack[slices // 2 - centre : slices // 2 - centre + parts] = kspace
    stack = fft(stack, (0,))  # as the data set's own program does: slices come in its order
    angle, radius = np.arange(spokes)[:, None] * GOLDEN, (np.arange(samples) - samples // 2) / 2
    coord = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], -1)
    return {"kspace": stack, "axes": ("slice", "coil", "shot", "sample"), "coord": coord, "size": (samples // 2,) * 2}


def _is_prostate(look) -> bool:
    shape, dtype = look("kspace")
    return len(shape) == 5 and dtype.kind == "c" and look("calibration_data") is not None


def _is_breast(look) -> bool:
    shape, dtype = look("kspace")
    return len(shape) == 5 and dtype.kind == "f" and 2 in (shape[0], shape[4])


LAYOUTS = (
    Layout("Calgary-Campinas", "(x, ky, kz, real and imaginary parts of the coils), slices along x, kz as kx",
           lambda look: is_interleaved(*look("kspace")), _calgary),
    Layout("fastMRI Breast", "a stack of golden-angle stars, slices along z", _is_breast, _breast),
    Layout("fastMRI Prostate, diffusion", "(repetition, slice, coil, readout, phase)",
           lambda look: _is_prostate(look) and look("coil_sens_maps") is not None, _diffusion),
    Layout("fastMRI Prostate", "(average, slice, coil, readout, phase), averaged", _is_prostate, _prostate),
    Layout("SKM-TEA", "(x, ky, kz, echo, coil), slices along x, kz as kx",
           lambda look: len(look("kspace")[0]) == 5 and (look("maps") or look("target")) is not None, _skm_tea),
)
