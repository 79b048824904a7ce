"""DICOM's images, classic and multi-frame, read through pydicom, and where they lie."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np

from pisolve import _check
from pisolve.io import dicom_pixels
from pisolve.io.dicom import WORLD
from pisolve.io.limits import spend

# what scanners count frames by, where their label is no word of ours
_COUNTED = {0x00209057: "slice", 0x00200032: "slice", 0x00209128: "frame", 0x00189092: "frame", 0x00209153: "frame",
            0x00189082: "echo", 0x00080008: "part"}


def read(path, most: int):
    """(an image, the names of its axes or None, voxel size and place) of a file, its numbers scaled as it says.

    Raises:
        ValueError: damaged files, no image, colours, packed pixels that nothing reads, more than `most`.
        ImportError: without `pydicom`, or without what unpacks the pixels, see `dicom_pixels`.
    """
    pydicom = _check.extra("pydicom", "dicom")
    spend(path, "the file", path.stat().st_size, most)
    syntax = dicom_pixels.syntax_of(path)
    ds = pydicom.dcmread(path)
    pixels = dicom_pixels.frames(path, ds, syntax, most)
    frames, *plane = pixels.shape
    shared = (ds.get("SharedFunctionalGroupsSequence") or [ds])[0]
    each = ds.get("PerFrameFunctionalGroupsSequence") or [ds]
    scale = [_within("PixelValueTransformationSequence", g, shared, ds) for g in each]
    slope, shift = (np.array([_number(s, n, d) for s in scale]).reshape(-1, 1, 1) for n, d in (
        ("RescaleSlope", 1), ("RescaleIntercept", 0)))
    image, names = (pixels * slope + shift).astype(np.float32), None
    counted = _counted(ds, each) if frames > 1 and len(each) == frames else None
    if counted is not None:
        order, sizes, names = counted
        image, each = image[order].reshape(*sizes, *plane), [each[i] for i in order]
        names = names and (*names, "y", "x")
    image = image if names or frames > 1 else image[0]
    if "MOSAIC" in (ds.get("ImageType") or ()):
        warnings.warn(f"{path} is a mosaic, many slices in one picture: it is read as one plane whose place is not "
                      "known; dcm2niix makes a NIfTI of it, which load_image reads", stacklevel=_check.outside())
        return image, names, {}
    return image, names, _meta(ds, shared, each)


def _counted(ds, each):
    """(the order of the frames, sizes, names or None) of a file whose frames are one for each index; else None.

    Dimensions along which nothing changes are left out.
    """
    said = ds.get("DimensionIndexSequence") or []
    if not said or any("FrameContentSequence" not in g for g in each):
        return None
    index = np.array([np.ravel(g.FrameContentSequence[0].get("DimensionIndexValues", [])) for g in each], int)
    if index.ndim != 2 or index.shape[1] != len(said):
        return None
    index = np.stack([np.unique(column, return_inverse=True)[1] for column in index.T], 1)
    sizes = [int(n) for n in index.max(axis=0) + 1]
    own = [_word(i) for i in said]
    # files of our own name every dimension, those of scanners some with one entry
    labels = [str(i.get("DimensionDescriptionLabel") or "") for i in said]
    keep = [k for k, n in enumerate(sizes) if n > 1 or labels[k] == own[k] != ""]
    names, sizes = [own[k] for k in keep], [sizes[k] for k in keep]
    if math.prod(sizes) != len(each) or len(np.unique(index[:, keep], axis=0)) != len(each):
        return None
    good = all(names) and len(set(names)) == len(names)
    return np.lexsort(index[:, keep].T[::-1]), sizes, tuple(names) if good else None


def _word(item) -> str:
    """What a dimension is called: its label where that is a word of ours, else by what it counts."""
    label = str(item.get("DimensionDescriptionLabel") or "")
    if re.fullmatch("[a-z][a-z0-9_]*", label):
        return label
    pointer = item.get("DimensionIndexPointer")
    found = _COUNTED.get(None if pointer is None else int(pointer))
    return found or re.sub("[^a-z0-9]+", "_", label.lower()).strip("_0123456789")


def _within(name: str, *groups):
    """The first item of a sequence in the first group that has it, else the last group."""
    return next((g[name][0] for g in groups if g.get(name)), groups[-1])


def _number(item, name: str, other: float) -> float:
    """A number, or `other` where there is none, or nothing in its place."""
    value = item.get(name)
    return other if value is None or value == "" else float(value)


def _meta(ds, shared, each) -> dict:
    """`voxel_mm` and `affine` as far as a file says them; frames that are not parallel or not even have no affine."""
    measures = _within("PixelMeasuresSequence", each[0], shared, ds)
    spacing = measures.get("PixelSpacing")
    ways = [_within("PlaneOrientationSequence", g, shared, ds).get("ImageOrientationPatient") for g in each]
    where = [_within("PlanePositionSequence", g, shared, ds).get("ImagePositionPatient") for g in each]
    if not spacing or not all(ways) or not all(where):
        return {}
    ways, where, spacing = np.array(ways, float), np.array(where, float), np.array(spacing, float)
    direction = ways[0].reshape(2, 3)
    steps = where[np.sort(np.unique(where, axis=0, return_index=True)[1])]
    gap = _number(measures, "SpacingBetweenSlices", 0) or _number(measures, "SliceThickness", 0) or 1.0
    step = (steps[-1] - steps[0]) / (len(steps) - 1) if len(steps) > 1 else np.cross(*direction) * gap
    thick = _number(measures, "SliceThickness", 0) or float(np.linalg.norm(step))
    voxel = {"voxel_mm": [float(thick), float(spacing[0]), float(spacing[1])]}
    even = abs(np.diff(steps, axis=0) - step).max(initial=0) <= 0.02 * np.linalg.norm(step) + 1e-3
    if not even or not np.allclose(ways, ways[0], atol=1e-3):
        return voxel
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([direction[0] * spacing[1], direction[1] * spacing[0], step])
    matrix[:3, 3] = where[0]
    return voxel | {"affine": (WORLD @ matrix).tolist()}
