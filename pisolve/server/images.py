"""The images of a reconstruction as ISMRMRD's messages: where each lies, and which slice, frame, ... it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pisolve import _check
from pisolve.io import mrd_wire
from pisolve.io.component import PARTS, component
from pisolve.io.geometry import sign_of
from pisolve.io.grid import AXES
from pisolve.io.mrd_image import KINDS
from pisolve.scan.size import cut, wanted

PIXELS = ("float", "ushort")
_TYPES = {"ushort": (1, "<u2"), "float": (5, "<f4"), "complex": (7, "<c8")}  # ISMRMRD's numbers
_BRIGHT = 4096  # the brightest pixel of a connection's first image in whole numbers; others may be 16 times brighter
_COUNTER = {axis: counter for counter, axis in AXES.items()}
_COPIED = ("measurement_uid", "patient_table_position", "acquisition_time_stamp", "physiology_time_stamp", "user_int",
           "user_float")
_COUNTED = ("average", "slice", "contrast", "phase", "repetition", "set")


@dataclass
class Style:
    """How the images of one connection are written.

    Args:
        part: one of `component.PARTS`.
        pixels: "float", or "ushort": whole numbers, with one factor for all images of a connection.
        factor: of whole numbers; the first image says it.
        count: images so far.

    Raises:
        ValueError: another word, or whole numbers of what is not a magnitude.
    """

    part: str = "magnitude"
    pixels: str = "float"
    factor: float | None = None
    count: int = 0

    def __post_init__(self):
        _check.choice("component", self.part, tuple(PARTS))
        _check.choice("pixels", self.pixels, PIXELS)
        if self.pixels == "ushort" and self.part != "magnitude":
            raise ValueError(f"pixels='ushort' beside component={self.part!r}: whole numbers are for the magnitude")


def messages(done, live, style: Style, **counters: int) -> Iterator[bytes]:
    """One message for each plane of a `Reconstruction`, of a 3-D encoding for each volume.

    Position and directions are those of the readouts, turned where the image's axes run against them (Siemens), the
    counters those of the readouts that an image was made of. The size is the header's, without oversampling.

    Args:
        done: the reconstruction of readouts of `live`.
        live: the measurement.
        style: of the connection; its count and factor go on.
        counters: of the part that was reconstructed.
    """
    ismrmrd = _check.extra("ismrmrd", "mrd")
    scan, names = done.scan, done.axes
    inner = 3 if "z" in names else 2
    image, _ = cut(done.x, scan.meta, wanted(scan, "recon"))
    image, part = component(image, style.part, None, "magnitude")
    lead = [a + m // 2 - n // 2 for n, m in zip(done.x.shape[-inner:], image.shape[-inner:])
            for a in [(n - m) // 2]]  # steps that the middle moved by when the image was cut
    values = {"slice": scan.meta.get("slices"), **scan.meta.get("counters", {})}
    for at in np.ndindex(image.shape[:-inner]):
        here = {_COUNTER[a]: int((values.get(a) or range(image.shape[k]))[i])
                for k, (a, i) in enumerate(zip(names, at)) if a in _COUNTER}
        plane = image[at] if inner == 3 else image[at][None]
        yield _message(ismrmrd, plane, part, live.head(**counters | here), scan, lead, style)


def _message(ismrmrd, plane, part: str, source, scan, lead, style: Style) -> bytes:
    kind = "complex" if plane.dtype.kind == "c" else style.pixels
    plane, said = _written(plane, kind, style)
    style.count += 1
    head = np.zeros(1, ismrmrd.hdf5.image_header_dtype)[0]
    for name in _COPIED:
        head[name] = source[name]
    for name in _COUNTED:
        head[name] = source["idx"][name]
    head["version"], head["channels"], head["image_series_index"] = 1, 1, 1
    head["image_index"], head["matrix_size"] = style.count & 0xFFFF, plane.shape[::-1]
    head["data_type"], head["image_type"] = _TYPES[kind][0], KINDS[part]
    voxel = np.array(scan.meta.get("voxel_mm") or (1.0, 1.0, 1.0), float)
    head["field_of_view"] = (voxel * plane.shape)[::-1]
    directions = _directions(source, scan)
    for name, direction in directions.items():
        head[name] = direction
    steps = (0, *lead)[-3:]  # z, y, x
    head["position"] = source["position"] + sum(
        n * v * d for n, v, d in zip(steps, voxel, list(directions.values())[::-1]))
    rows = {name: [f"{v:.9f}" for v in directions[d]]
            for name, d in (("ImageRowDir", "read_dir"), ("ImageColumnDir", "phase_dir"))}
    attributes = ismrmrd.Meta({"DataRole": "Image", "ImageProcessingHistory": "pisolve", "Keep_image_geometry": "1",
                               **rows, **said}).serialize()
    attributes = attributes.decode() if isinstance(attributes, bytes) else attributes
    head["attribute_string_len"] = len(attributes.encode())
    return mrd_wire.image(head.tobytes(), attributes, plane)


def _written(plane, kind: str, style: Style):
    """(pixels in the type that goes out, what to say of them)."""
    if kind != "ushort":
        return np.ascontiguousarray(plane, _TYPES[kind][1]), {}
    if style.factor is None:
        most = float(plane.max(initial=0))
        style.factor = _BRIGHT / most if most > 0 else 1.0
    values = np.clip(np.rint(plane * style.factor), 0, 65535)
    said = {"pisolve_factor": f"{style.factor:.9g}", "WindowCenter": str(_BRIGHT // 2), "WindowWidth": str(_BRIGHT)}
    return np.ascontiguousarray(values, _TYPES[kind][1]), said


def _directions(source, scan) -> dict:
    """Unit vectors along x, y and z of the image, in the scanner's left, back and head."""
    sign = sign_of(scan.meta.get("vendor")) or 1
    across = sign if "kz" in scan.axes else 1
    return {name: np.array(source[name], float) * s
            for name, s in (("read_dir", sign), ("phase_dir", sign), ("slice_dir", across))}
