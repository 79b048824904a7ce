"""The numbers of a DICOM image, plain or packed: RLE by pydicom alone, JPEG, JPEG-LS and JPEG 2000 by what it finds.

pydicom takes the first of its decoders that is installed, and Pillow is one for some of them; the extra `jpeg` brings
pylibjpeg, which reads them all. GDCM's, which some have, can end the process. What a packed frame says of its own size
is compared with the file's before it is unpacked.

References:
    DICOM PS3.5, 8.2 and annex A.4; ITU-T T.81, B.2.2 (SOF); ITU-T T.800, A.5.1 (SIZ).
"""

from __future__ import annotations

import math

import numpy as np

from pisolve import _check
from pisolve.io.limits import spend

_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_DEFLATED, _RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
_ARRAYS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SOF = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)  # JPEG's, JPEG-LS'
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers that nothing follows


def syntax_of(path) -> str:
    """How a file is written, its transfer syntax.

    Raises:
        ValueError: it has no header of a DICOM file, or is deflated as a whole.
    """
    pydicom = _check.extra("pydicom", "dicom")
    with open(path, "rb") as file:
        if file.read(132)[128:] != b"DICM":
            raise ValueError(f"{path} does not begin as a DICOM file does: where it is a data set alone, dcmconv "
                             "--read-dataset writes the header before it")
    syntax = str(pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID", _PLAIN[0]))
    if syntax == _DEFLATED:
        raise ValueError(f"{path} is deflated as a whole ({syntax}): write it plainly first, for example with dcmconv "
                         "+te")
    return syntax


def frames(path, ds, syntax: str, most: int) -> np.ndarray:
    """(frame, y, x), as stored, of an open data set.

    Bits above those that are stored, in which old files keep overlays, are cut off.

    Raises:
        ValueError: no grey image, damaged, or packed in a way that nothing here reads.
        ImportError: packed in a way that the extra `jpeg` reads, and it is not installed.
    """
    bits, count = int(ds.get("BitsAllocated", 0)), int(ds.get("NumberOfFrames", 1) or 1)
    rows, columns = int(ds.get("Rows", 0)), int(ds.get("Columns", 0))
    name = next((n for n in _ARRAYS if n in ds), None)
    if name is None or min(rows, columns, count) < 1:
        raise ValueError(f"{path} holds no image: it is {_called(ds)}")
    kind = str(ds.get("PhotometricInterpretation") or "MONOCHROME2")
    if int(ds.get("SamplesPerPixel", 1)) != 1 or bits not in (8, 16, 32, 64) or not kind.startswith("MONOCHROME"):
        raise ValueError(f"{path} holds no grey image: {rows} x {columns}, {count} frames of {bits} bits, {kind}")
    spend(path, "its image", 8 * rows * columns * count, most)
    if syntax in _PLAIN:
        return _plain(path, ds, name, syntax, bits, (count, rows, columns))
    return _packed(path, ds, syntax, (count, rows, columns))


def _called(ds) -> str:
    """What kind of object a data set is, in words."""
    kind = ds.file_meta.get("MediaStorageSOPClassUID") or ds.get("SOPClassUID")
    return getattr(kind, "name", None) or "something without pixels"


def _plain(path, ds, name: str, syntax: str, bits: int, shape) -> np.ndarray:
    order = "><"[syntax != _PLAIN[2]]
    size, there = math.prod(shape) * bits // 8, len(ds[name].value or b"")
    if there < size:
        raise ValueError(f"{path} is cut off: it has {there:,} bytes of pixels, and {size:,} belong to it")
    if name != _ARRAYS[0]:
        return np.frombuffer(ds[name].value, f"{order}f{bits // 8}", math.prod(shape)).reshape(shape)
    sign = "ui"[bool(ds.get("PixelRepresentation"))]
    pixels = np.frombuffer(ds.PixelData, f"{order}{sign}{bits // 8}", math.prod(shape)).reshape(shape)
    free = bits - int(ds.get("BitsStored", bits) or bits)
    return pixels if not 0 < free < bits else (pixels << free) >> free


def _packed(path, ds, syntax: str, shape) -> np.ndarray:
    from pydicom.encaps import generate_frames
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    what = UID(syntax).name
    try:
        decoder = get_decoder(UID(syntax))
    except NotImplementedError:
        raise ValueError(f"{path} has its pixels packed in a way that is not read here, {what}: unpack them first, for "
                         "example with gdcmconv --raw") from None
    if not decoder.is_available:
        raise ImportError(f"{path} has its pixels packed, {what}, and nothing that reads it is installed: "
                          "pip install 'pisolve[jpeg]'")
    count, *size = shape
    for k, one in enumerate(generate_frames(ds.PixelData, number_of_frames=count)):
        _check_frame(path, one, syntax, size, k, int(ds.BitsAllocated))
    try:
        found = decoder.as_array(ds, raw=True)[0]
    except RuntimeError as error:  # all that is installed failed, each with a reason of its own
        raise ValueError(f"{path} has its pixels packed, {what}, and what is installed (pip install 'pisolve[jpeg]' is "
                         f"the most there is) does not unpack it: {_check.brief(' '.join(str(error).split()))}"
                         ) from error
    if found.size != math.prod(shape):
        raise ValueError(f"{path} unpacks to {found.shape}, and says that it is {shape}")
    return found.reshape(shape)


def _check_frame(path, data: bytes, syntax: str, size, k: int, bits: int) -> None:
    """Refuse a packed frame that says another size than the file, before it is unpacked."""
    if syntax == _RLE:
        most = 2 * size[0] * size[1] * bits // 8 + 1024  # it never doubles
        if len(data) > most:
            raise ValueError(f"{path}: frame {k} has {len(data):,} packed bytes, more than the {most:,} that "
                             f"{size[0]} x {size[1]} pixels can have")
        return
    found = size_of(data)
    if found != tuple(size):
        said = "does not say its size" if found is None else f"is {found[0]} x {found[1]}"
        raise ValueError(f"{path}: frame {k} {said}, and the file says {size[0]} x {size[1]}: it is damaged")


def size_of(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a frame of JPEG, JPEG-LS or JPEG 2000; None where it does not say them."""
    at = data[:4096].find(b"\xff\x4f\xff\x51")
    if at >= 0 and len(data) >= at + 24:  # SIZ: its length, capabilities, then the far corner and the offset
        right, bottom, left, top = (int.from_bytes(data[at + 8 + 4 * i : at + 12 + 4 * i], "big") for i in range(4))
        return bottom - top, right - left
    at = 2 if data[:2] == b"\xff\xd8" else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SOF:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        filled = 1 if marker == 0xFF else 2
        at += filled if marker in (0xFF, *_ALONE) else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
