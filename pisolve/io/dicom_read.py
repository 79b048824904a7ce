"""DICOM's images, classic and multi-frame, read through pydicom: pixels that are not packed, and where they lie."""

from __future__ import annotations

import math

import numpy as np

from pisolve import _check
from pisolve.io.dicom import WORLD
from pisolve.io.limits import spend

PLAIN_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


def read(path, most: int):
    """(an image, the names of its axes or None, voxel size and place) of a file, its numbers scaled as it says.

    Raises:
        ValueError: damaged files, packed pixels, colours, frames that are not one for each index, more than `most`.
    """
    pydicom = _check.extra("pydicom", "dicom")
    spend(path, "the file", path.stat().st_size, most)
    syntax = str(pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID", PLAIN_SYNTAXES[0]))
    if syntax not in PLAIN_SYNTAXES:
        raise ValueError(f"{path} has its pixels packed ({syntax}): unpack them first, for example with gdcmconv --raw")
    ds = pydicom.dcmread(path)
    bits, frames = int(ds.get("BitsAllocated", 0)), int(ds.get("NumberOfFrames", 1) or 1)
    rows, columns = int(ds.get("Rows", 0)), int(ds.get("Columns", 0))
    if int(ds.get("SamplesPerPixel", 1)) != 1 or bits not in (8, 16, 32) or min(rows, columns, frames) < 1:
        raise ValueError(f"{path} holds no grey image: {rows} x {columns}, {frames} frames of {bits} bits")
    spend(path, "its image", 8 * rows * columns * frames, most)
    order, sign = "><"[syntax != PLAIN_SYNTAXES[2]], "ui"[bool(ds.get("PixelRepresentation"))]
    kind = np.dtype(f"{order}{sign}{bits // 8}")
    pixels = np.frombuffer(ds.PixelData, kind, rows * columns * frames).reshape(frames, rows, columns)
    shared = (ds.get("SharedFunctionalGroupsSequence") or [ds])[0]
    each = ds.get("PerFrameFunctionalGroupsSequence") or [ds]
    scale = [_within("PixelValueTransformationSequence", g, shared, ds) for g in each]
    slope, shift = (np.array([float(s.get(n, d)) for s in scale]).reshape(-1, 1, 1) for n, d in (
        ("RescaleSlope", 1), ("RescaleIntercept", 0)))
    image = (pixels * slope + shift).astype(np.float32)
    labels = [str(i.get("DimensionDescriptionLabel", "")) for i in ds.get("DimensionIndexSequence") or []]
    names = None
    if frames > 1 and labels and len(each) == frames:
        index = np.array([np.ravel(g.FrameContentSequence[0].DimensionIndexValues) for g in each], int) - 1
        sizes = index.max(axis=0) + 1
        if index.min() >= 0 and math.prod(map(int, sizes)) == frames:
            image = image[np.lexsort(index.T[::-1])].reshape(*sizes, rows, columns)
            each = [each[i] for i in np.lexsort(index.T[::-1])]
            names = (*labels, "y", "x") if all(labels) else None
    image = image if names or frames > 1 else image[0]
    return image, names, _meta(ds, shared, each, image, names)


def _within(name: str, *groups):
    """The first item of a sequence in the first group that has it, else the last group."""
    return next((g[name][0] for g in groups if g.get(name)), groups[-1])


def _meta(ds, shared, each, image, names) -> dict:
    """`voxel_mm` and `affine` as far as a file says them."""
    spacing = _within("PixelMeasuresSequence", each[0], shared, ds).get("PixelSpacing")
    direction = _within("PlaneOrientationSequence", each[0], shared, ds).get("ImageOrientationPatient")
    where = [_within("PlanePositionSequence", g, shared, ds).get("ImagePositionPatient") for g in each]
    if not spacing or not direction or None in where:
        return {}
    where, direction = np.array(where, float), np.array(direction, float).reshape(2, 3)
    measures = _within("PixelMeasuresSequence", each[0], shared, ds)
    stack = np.unique(where, axis=0, return_index=True)[1]
    steps = where[np.sort(stack)]
    normal = np.cross(*direction)
    gap = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1)
    step = (steps[-1] - steps[0]) / (len(steps) - 1) if len(steps) > 1 else normal * gap
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack([direction[0] * float(spacing[1]), direction[1] * float(spacing[0]), step])
    matrix[:3, 3] = where[0]
    thick = float(measures.get("SliceThickness") or np.linalg.norm(step))
    return {"voxel_mm": [thick, float(spacing[0]), float(spacing[1])], "affine": (WORLD @ matrix).tolist()}
