"""What `save_mrd` keeps beside ISMRMRD's own fields, and how it is undone when such a file is read."""

from __future__ import annotations

import numpy as np

from pisolve import _axes
from pisolve.io.grid import AXES
from pisolve.scan.checks import axes_of_maps

KEPT = ("mps", "reference", "field_map", "times")  # arrays of a scan that the format has no place for
VOLUME = ("kz", "ky", "kx")  # of an image and of its voxels: slice or z, y, x


def exchange(array, readout: str):
    """An array (..., kz, ky, kx) or (..., ky, kx) with the readout's axis and kx exchanged; None stays."""
    at = VOLUME.index(readout) - 3
    return None if array is None else np.ascontiguousarray(array.swapaxes(at, -1))


def exchanged(meta: dict, readout: str) -> dict:
    """`meta` with the millimetres and the place of an image whose readout's axis and x are exchanged."""
    meta, at = dict(meta), VOLUME.index(readout)
    order = [0, 1, 2]
    order[at], order[2] = 2, at
    if meta.get("voxel_mm"):
        meta["voxel_mm"] = [meta["voxel_mm"][i] for i in order]
    if meta.get("affine") is not None:
        meta["affine"] = np.array(meta["affine"], float)[:, [*(2 - i for i in order[::-1]), 3]].tolist()
    return meta


def turn(fields: dict, meta: dict, readout: str) -> None:
    """Undo that `save_mrd` exchanged the readout's axis and kx."""
    for name in ("kspace", "mask", "calib"):
        fields[name] = exchange(fields[name], readout)
    if "kz" not in fields["axes"]:
        meta["phase_axis"] = -1
    if "partial_fourier" in meta:
        other = {"kx": readout, readout: "kx"}
        meta["partial_fourier"] = {other.get(a, a): part for a, part in meta["partial_fourier"].items()}


def no_hybrid(own: dict, meta: dict) -> None:
    """Bring what older versions wrote beside a 3-D scan, as slices (x, z, y) along its readout, into (z, y, x)."""
    del meta["hybrid"]
    if meta.get("voxel_mm"):
        x, z, y = meta["voxel_mm"]
        meta["voxel_mm"] = [z, y, x]
    if "affine" in meta:  # columns y, z, x of the image
        meta["affine"] = np.array(meta["affine"], float)[:, [2, 0, 1, 3]].tolist()
    for name in ("mps", "reference"):
        if own[name] is not None and own[name].ndim > 2:
            own[name] = np.ascontiguousarray(np.moveaxis(own[name], 0, -1))


def take(own: dict, fields: dict, counts: dict, part: dict) -> None:
    """Take the part of maps and reference that was chosen of k-space; `part` by counters, `counts` by axes."""
    chosen = {AXES[name]: value for name, value in part.items() if name in AXES}
    whole = (*counts, _axes.COIL, *_axes.encoded(fields["axes"]))
    for name, array in own.items():
        if array is None:
            continue
        without = tuple(a for a in whole if a != _axes.COIL)
        axes = {"mps": axes_of_maps(whole, array.ndim), "times": without}.get(name, _axes.of_image(whole))
        if len(axes) == array.ndim:
            same = {a for a, n in zip(axes, array.shape) if n == 1 and name in KEPT[2:]}  # along which it is alike
            of = {a: 0 if a in same else i for a, i in chosen.items()}
            keep = [[of[a]] if a in of and a in fields["axes"] else of.get(a, slice(None)) for a in axes]
            for at in reversed(range(array.ndim)):
                array = array[(slice(None),) * at + (keep[at],)]
            own[name] = array
