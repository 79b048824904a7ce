"""ISMRMRD's images, /dataset/image_0 of an HDF5 file: header, data and attributes of each plane or volume."""

from __future__ import annotations

import itertools
import math

import numpy as np

from pisolve import _check
from pisolve.io.component import known_place
from pisolve.io.geometry import affine
from pisolve.io.grid import AXES
from pisolve.io.hdf5 import HARD, array_at, kind_of, link
from pisolve.io.named import PLAIN, words
from pisolve.io.words import decoded

COUNTER = {axis: counter for counter, axis in AXES.items()} | {"average": "average"}
KINDS = {"magnitude": 1, "phase": 2, "real": 3, "imaginary": 4, "complex": 5}  # ISMRMRD's numbers of image types
_FLOAT, _COMPLEX = 5, 7
_FIELDS = ("matrix_size", "field_of_view", "channels", "position", "read_dir", "phase_dir", "slice_dir",
           *COUNTER.values())


def write(path, image: np.ndarray, *, meta: dict, axes=None, part: str = "complex", said: dict | None = None) -> None:
    """Write the planes of an image (slice, y, x), or volumes (z, y, x), complex64 or float32, to a new file.

    Args:
        meta: "affine" and "voxel_mm", as for NIfTI; without them voxels measure 1 mm and the directions are zero.
        axes: the names of other axes; those that ISMRMRD counts.
        part: one of `component.PARTS`.
        said: further facts by name, kept as attributes.

    Raises:
        ValueError: an axis that ISMRMRD does not count, more than 65535 of something.
        ImportError: without the package `ismrmrd`.
    """
    ismrmrd = _check.extra("ismrmrd", "mrd")
    import h5py

    names = PLAIN[image.ndim] if axes is None else tuple(axes)
    inner = 3 if "z" in names else 2
    front = dict(zip(names[:-inner], image.shape))
    unknown = [a for a in front if a not in COUNTER]
    if unknown:
        raise ValueError(f"the axis {unknown[0]!r} has no counter in ISMRMRD, which counts {', '.join(COUNTER)}: save "
                         "as .h5")
    if max(image.shape) >= 1 << 16:
        raise ValueError(f"image has shape {image.shape}: ISMRMRD counts to 65535")
    size = (image.shape[-3] if inner == 3 else 1, *image.shape[-2:])
    planes = image.reshape(-1, 1, *size)
    kind = np.dtype([("real", "<f4"), ("imag", "<f4")]) if image.dtype.kind == "c" else np.dtype("<f4")
    heads = np.zeros(len(planes), ismrmrd.hdf5.image_header_dtype)
    heads["version"], heads["channels"], heads["image_series_index"] = 1, 1, 1
    heads["data_type"], heads["image_type"] = _FLOAT if kind == "<f4" else _COMPLEX, KINDS[part]
    heads["matrix_size"], heads["image_index"] = size[::-1], np.arange(1, len(planes) + 1) & 0xFFFF
    voxel = np.array(meta.get("voxel_mm") or (1.0, 1.0, 1.0), float)
    heads["field_of_view"] = (voxel * size)[::-1]
    for head, index in zip(heads, np.ndindex(*front.values())):
        for name, i in zip(front, index):
            head[COUNTER[name]] = i
        for name, value in _place(meta, size, dict(zip(front, index)).get("slice", 0)).items():
            head[name] = value
    facts = {"DataRole": "Image", "pisolve_axes": ",".join(names)} | {k: v for k, v in (said or {}).items()
                                                                     if isinstance(v, str | int | float)}
    attributes = ismrmrd.Meta({k: str(v) for k, v in facts.items()}).serialize()
    heads["attribute_string_len"] = len(attributes)
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset/image_0")
        group["header"] = heads
        group.create_dataset("attributes", (len(planes),), h5py.special_dtype(vlen=str))[:] = attributes
        data = np.ascontiguousarray(planes, np.complex64 if image.dtype.kind == "c" else np.float32)
        group["data"] = data.view(kind) if image.dtype.kind == "c" else data


def _place(meta: dict, size, number: int) -> dict:
    """Position of the middle, and directions, in the scanner's left, back and head; {} where they are not known."""
    found = known_place(meta)
    if found is None:
        return {}
    matrix = np.diag([-1, -1, 1, 1]) @ found
    if not np.linalg.norm(matrix[:3, :3], axis=0).all():
        return {}
    z, y, x = (n // 2 for n in size)
    found = {name: column[:3] / np.linalg.norm(column[:3])
             for name, column in zip(("read_dir", "phase_dir", "slice_dir"), matrix.T)}
    return found | {"position": (matrix @ (x, y, number if size[0] == 1 else z, 1))[:3]}


def group_of(file) -> str | None:
    """The place of the first series of images in an open HDF5 file, or None."""
    import h5py

    def groups(parent):
        names = itertools.islice(parent, 100)
        return (n for n in names if link(parent, n) == HARD and isinstance(parent[n], h5py.Group))

    for name in groups(file):
        for series in groups(file[name]):
            if {"header", "data"} <= set(itertools.islice(file[name][series], 8)):
                return f"{name}/{series}"
    return None


def read(file, group: str, most: int, path):
    """(the image, the names of its axes or None, what its headers say of its place) of a series of images.

    Raises:
        ValueError: no headers, several channels, images that are not one for each of the counters.
    """
    heads = array_at(file, f"{group}/header", most, path)
    missing = [f for f in _FIELDS if f not in (heads.dtype.names or ())]
    shape, kind = kind_of(file, f"{group}/data", path) or ((), None)
    fits = kind is not None and (kind.names == ("real", "imag") or kind.kind in "iuf")
    flat = heads.ndim == 1 and not heads.dtype.hasobject
    if missing or not fits or len(shape) != 5 or not flat or len(heads) != shape[0] or not shape[0]:
        raise ValueError(f"{path}: {group} is no list of ISMRMRD's images")
    if shape[1] != 1:
        raise ValueError(f"{path}: {group} has images of {shape[1]} channels: one image for all coils is needed")
    data = array_at(file, f"{group}/data", most, path)[()]
    if data.dtype.names:
        data = data.view(f"<c{data.dtype.itemsize}")
    heads = heads[()]
    order, names = np.arange(len(heads)), ()
    counts = {axis: np.unique(heads[name]) for axis, name in COUNTER.items()}
    sizes = {axis: len(values) for axis, values in counts.items() if len(values) > 1}
    if math.prod(sizes.values()) == len(heads):
        names = tuple(sizes)
        order = np.lexsort([heads[COUNTER[a]] for a in names[::-1]]) if names else order
    else:
        names, sizes = ("slice",), {"slice": len(heads)}
    image = data[order].reshape(*sizes.values(), *shape[2:])
    names = (*names, "z", "y", "x")
    kept = _kept_axes(file, group, path)
    if shape[2] == 1 and (kept is None or "z" not in kept):
        image, names = image.reshape(*image.shape[:-3], *image.shape[-2:]), (*names[:-3], "y", "x")
    if kept is not None and set(names) <= set(kept) and len(kept) <= 8:  # axes of size 1 are counted by nobody
        at = dict(zip(names, image.shape))
        image, names = image.transpose([names.index(a) for a in kept if a in names]).reshape(
            [at.get(a, 1) for a in kept]), kept
    return np.ascontiguousarray(image), names, _meta(heads[order], names, image.shape)


def _kept_axes(file, group: str, path):
    """The names of axes that `write` kept beside the first image; None where it was written by somebody else."""
    import re

    item = array_at(file, f"{group}/attributes", 1 << 24, path) if kind_of(file, f"{group}/attributes", path) else None
    text = item[0] if item is not None and item.dtype.kind == "O" and item.ndim == 1 and len(item) else b""
    text = decoded(text) if isinstance(text, bytes) else str(text)
    found = re.search(r"<name>\s*pisolve_axes\s*</name>\s*<value>([^<]{1,200})</value>", text)
    return words(found[1]) if found else None


def _meta(heads, names, shape) -> dict:
    """Voxel size and place of images in the order of their planes."""
    first, size = heads[0], (shape[-3] if "z" in names else 1, *shape[-2:])
    voxel = np.array(first["field_of_view"], float)[::-1] / (np.array(first["matrix_size"], float)[::-1].clip(1))
    if not (np.isfinite(voxel).all() and (voxel > 0).all()):
        return {}
    slices = np.unique(heads["slice"], return_index=True)[1] if "z" not in names else [0]
    axes = [first[f"{n}_dir"] for n in ("slice", "phase", "read")]
    place = affine([heads[i]["position"] for i in slices], axes, voxel,
                   (len(slices) if "z" not in names else size[0], *size[1:]))
    return {"voxel_mm": voxel.tolist()} | ({} if place is None else {"affine": place})
