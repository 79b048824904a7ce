"""What several words do with a scan: read it, say its size and sampling, and refuse a file that cannot be written."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import io, masks
from pisolve._check import choice, extra
from pisolve.cli.say import warn
from pisolve.io import cfl, zarr
from pisolve.io.atomic import place
from pisolve.io.files import suffix_of
from pisolve.io.saving import refuse_foreign, sidecar

PACKAGES = {".nii": ("nibabel", "nifti"), ".nii.gz": ("nibabel", "nifti"), ".dcm": ("pydicom", "dicom"),
            ".mrd": ("ismrmrd", "mrd"), ".zarr": ("zarr", "zarr"), ".zarr.zip": ("zarr", "zarr")}


def load(a) -> io.Scan:
    """What is asked for of the scan, with its maps; what is odd about it goes to stderr."""
    scan = selected(a, read(a))
    warn(scan.warnings())
    return scan


def read(a) -> io.Scan:
    """The whole scan."""
    named = {} if getattr(a, "axes", None) is None else {"axes": tuple(a.axes)}
    beside = {n: getattr(a, n, None) for n in ("mps", "coord", "size")}
    scan = io.load(a.scan, part=a.part, average=getattr(a, "average", "mean"), epi=a.epi,
                   noise=getattr(a, "noise_file", None), mask=getattr(a, "mask_file", None), **beside, **named)
    if getattr(a, "field_map", None) is not None:
        scan = _with_field(scan, a.field_map)
    if getattr(a, "phase_axis", None) is None:
        return scan
    if len(scan.encoding.encoded) > 2:
        raise ValueError(f"--phase-axis {a.phase_axis} is for 2-D scans, and this one is 3-D: leave it out")
    varying = scan.encoding.varying
    if scan.mask is not None and varying and a.phase_axis not in varying:
        raise ValueError(f"--phase-axis {a.phase_axis}: this scan's sampling changes along {' and '.join(varying)}, "
                         "which then is a phase encode: leave it out, or give the mask the other way round")
    return replace(scan, meta=scan.meta | {"phase_axis": -2 if a.phase_axis == "ky" else -1})


def _with_field(scan: io.Scan, path: str) -> io.Scan:
    """The scan with the field map of a file."""
    if scan.times is None:
        raise ValueError("--field-map needs the times of the samples, s since the excitation, and the scan has none: "
                         "store them in it as times")
    field = io.load_image(path)
    if field.dtype.kind == "c":  # as .h5 and .cfl keep all images
        if field.imag.any():
            raise ValueError(f"--field-map {path} is complex: the field in Hz is real")
        field = field.real
    wanted = scan.image_shape
    field = field.reshape(wanted) if field.size == np.prod(wanted) else np.squeeze(field)
    return replace(scan, field_map=field)


def selected(a, scan: io.Scan) -> io.Scan:
    """The slices, frames, ... that are asked for; `a.numbers` says which they are in the whole scan, by axis."""
    wanted = dict(getattr(a, "select", None) or {})
    if a.slices is not None:
        if "slice" in wanted:
            raise ValueError("--slices beside --select slice=...: give one of them")
        wanted["slice"] = a.slices
    less = scan.select(**wanted) if wanted else scan
    sizes = {name: n for name, n in zip(scan.axes, scan.kspace.shape) if name in wanted}
    a.numbers = {name: np.atleast_1d(np.arange(n)[wanted[name]]).tolist() for name, n in sizes.items()}
    return less


def check_output(path: str, suffixes, source: str) -> None:
    """Refuse a file that could not be written, before the work is done."""
    suffix = suffix_of(Path(path))
    choice("the suffix of the output", suffix, suffixes)
    check_folder(path)
    for one in cfl.pair(path) if suffix == ".cfl" else (path,):
        (zarr.place if suffix == zarr.FOLDER else place)(one)
    if suffix in PACKAGES:
        extra(*PACKAGES[suffix])
    if suffix in (".nii", ".nii.gz"):
        refuse_foreign(sidecar(path))
    if os.path.realpath(path) == os.path.realpath(source):
        raise ValueError(f"{path} is the scan itself: give the output another name")


def check_component(path: str, component: str | None) -> None:
    """Refuse complex numbers in a format that has none, before the work is done."""
    if component == "complex" and path.endswith(".dcm"):
        raise ValueError("--component complex: a .dcm holds no complex numbers, choose magnitude, phase, real or "
                         "imaginary")


def check_folder(path: str) -> None:
    """Refuse a file whose folder is not there."""
    if not Path(path).resolve().parent.is_dir():
        raise FileNotFoundError(f"the folder of {path} does not exist: make it first")


def counted(n: int, name: str) -> str:
    """A number of slices, frames, echoes, ... in words."""
    plural = f"{name}es" if name.endswith(("o", "s", "x", "ch")) else f"{name}s"
    return f"{n} {name if n == 1 else plural}"


def shape_of(scan: io.Scan) -> str:
    """The shape of k-space in words."""
    inner = scan.encoding.encoded
    front = [counted(n, a) for a, n in zip(scan.axes, scan.kspace.shape) if a not in inner]
    size = " x ".join(map(str, scan.kspace.shape[-len(inner):]))
    names = " x ".join(inner if scan.coord is not None else (a[1:] for a in inner))
    return f"{', '.join(front)}, {size}" + (f" ({names})" if len(inner) == 3 else "")


def sampled(grid) -> str:
    """What a scan's encoding samples, in words."""
    if hasattr(grid, "coord"):
        return _shots(grid)
    if not grid.varying and not grid.own:
        return "full"
    along, inner = " and ".join(grid.varying) or "nothing", len(grid.encoded)
    text = f"along {along}, {grid.fraction:.1%} of k-space"
    if not grid.own:
        return f"{1 / grid.fraction:.3g}x {text}{_centre(grid, grid.everywhere, ', full centre ')}"
    shares = grid.mask.reshape(-1, *grid.mask.shape[-inner:]).mean(tuple(range(1, 1 + inner)))
    filled, each = shares[shares > 0], " and ".join(grid.own)
    rates = sorted({f"{1 / s:.3g}x" for s in (filled.max(), filled.min())}, key=lambda r: float(r[:-1]))
    what = "lines" if len(grid.varying) == 1 else "points"
    empty = f", {len(shares) - len(filled)} of {len(shares)} without any sample" if len(filled) < len(shares) else ""
    return (f"{' to '.join(rates)} {text}, own {what} in each {each}{empty}"
            f"{_centre(grid, grid.anywhere, ', all together sample the full centre ')}")


def _shots(grid) -> str:
    """What an encoding of shots samples, in words."""
    shots, samples = grid.shape[-2:]
    each = " and ".join(a for a in grid.axes if a not in grid.encoded)
    own = f" of its own in each {each}" if grid.own_coord else ""
    stack = f", in each of {grid.size[0]} partitions" if grid.stacked else ""
    return (f"{grid.acceleration:.3g}x, {counted(shots, 'shot')} of {samples} samples{own}{stack} for an image of "
            f"{' x '.join(map(str, grid.size))}")


def _centre(grid, mask, before: str) -> str:
    """The full centre in words; nothing where a 3-D mask changes along all axes."""
    still = [i for i, a in enumerate(grid.encoded) if a not in grid.varying]
    if mask.ndim == 3 and not still:
        return ""
    if mask.ndim == 2:
        size = masks.centre(mask)
    else:
        size = list(masks.centre(np.take(mask, 0, axis=still[-1])))
        size.insert(still[-1], mask.shape[still[-1]])
    return f"{before}{' x '.join(map(str, size))} ({', '.join(grid.encoded)})"


def maps_of(scan: io.Scan) -> str:
    """The shape of the coil maps in words, and their sets where there are several."""
    if scan.mps is None:
        return "none"
    return f"{scan.mps.shape}" + (f", {scan.sets} sets (soft SENSE)" if scan.sets > 1 else "")
