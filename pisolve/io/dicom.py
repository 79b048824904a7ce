"""DICOM through pydicom: one plane as a classic MR image, several as one enhanced, multi-frame MR image.

An image whose place in the patient is not known is a secondary capture, which needs none. Values are whole numbers of
16 bits times `RescaleSlope`: magnitudes 0..65535, phases and parts of complex images -32767..32767.

References:
    DICOM PS3.3, A.4 MR Image, A.36 Enhanced MR Image, A.8 Secondary Capture; C.7.6.2 Image Plane.
"""

from __future__ import annotations

import hashlib
import time

import numpy as np

from pisolve import _check
from pisolve._version import __version__
from pisolve.io.component import LETTERS, known_place
from pisolve.io.named import PLAIN

SUFFIX = ".dcm"
MR, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
CAPTURE, CAPTURES = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.3"
WORLD = np.diag([-1.0, -1, 1, 1])  # NIfTI's right and front to DICOM's left and back
_COUNTED = {"slice": (0x0020, 0x9057), "z": (0x0020, 0x9057), "frame": (0x0020, 0x9128), "repetition": (0x0020, 0x9128)}
_LABEL = (0x0020, 0x9453)  # of a frame, in words


def write(path, image: np.ndarray, *, meta: dict, axes=None, part: str = "magnitude", said: dict | None = None) -> None:
    """Write an image (y, x), (slice, y, x) or (z, y, x), real, or with the further `axes` named, to a new file.

    Args:
        meta: "affine" and "voxel_mm" as for NIfTI; without an affine it is a secondary capture.
        part: "magnitude", "phase", "real" or "imaginary".
        said: further facts by BIDS' names, such as MagneticFieldStrength and EchoTime.

    Raises:
        ValueError: a complex image, or more than 65535 rows or columns.
        ImportError: without the package `pydicom` (the extra `dicom`).
    """
    _check.extra("pydicom", "dicom")
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    if image.dtype.kind == "c":
        raise ValueError("a DICOM image holds no complex numbers: choose component='magnitude', 'phase', 'real' or "
                         "'imaginary'")
    if max(image.shape[-2:]) >= 1 << 16:
        raise ValueError(f"image has shape {image.shape}: DICOM counts rows and columns to 65535")
    names = PLAIN[image.ndim] if axes is None else tuple(axes)
    planes = image.reshape(-1, *image.shape[-2:])
    stored, slope = quantised(planes, part)
    place = _place(meta, stored.shape)
    said, many = said or {}, len(planes) > 1
    ds = Dataset()
    ds.SOPClassUID = {(True, True): ENHANCED, (True, False): MR, (False, True): CAPTURES, (False, False): CAPTURE}[
        place is not None, many]
    _patient(ds, stored, said)
    window = _pixels(ds, stored)
    if ds.SOPClassUID == ENHANCED:
        ds.ImageType = ["DERIVED", "PRIMARY", "OTHER", "NONE"]
    else:
        ds.ImageType, ds.Laterality = ["DERIVED", "SECONDARY", LETTERS[part]], ""
    how = said.get("DerivationDescription", part)
    ds.DerivationDescription = f"reconstructed by pisolve {__version__}: {how}"[:1024]
    ds.ImageComments = f"{part}; derived image for research, not for diagnosis"
    if many:
        _frames(ds, dict(zip(names[:-2], image.shape)), place, (slope, window), part, said)
    elif place:
        _classic(ds, place, said)
    if ds.SOPClassUID != ENHANCED:
        _scale(ds, slope, window)
    if place:
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid(stored, "place"), ""
    else:
        _capture(ds, len(planes))
    if place is None and meta.get("voxel_mm"):
        ds.NominalScannedPixelSpacing = [_ds(v) for v in meta["voxel_mm"][1:]]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)


def quantised(planes, part: str):
    """(16-bit numbers, what they are to be multiplied with) of real planes."""
    low, kind = (0, np.uint16) if part == "magnitude" else (-32767, np.int16)
    high = np.iinfo(kind).max
    peak = float(abs(planes).max())
    slope = float(_ds(peak / high)) if peak else 1.0
    while peak and peak / slope > high + 0.4:  # the text is shorter than the number
        slope = float(_ds(slope * (1 + 1e-9)))
    return np.clip(np.rint(np.asarray(planes, float) / slope), low, high).astype(kind), slope


class _Place:
    """Where planes are: `matrix` from (x, y, slice) to DICOM's left, back and head."""

    def __init__(self, matrix, voxel):
        self.matrix, self.voxel = matrix, voxel
        self.steps = np.linalg.norm(matrix[:3, :3], axis=0)

    def at(self, number: int) -> dict:
        """The attributes of a plane."""
        direction = (self.matrix[:3, :2] / self.steps[:2]).T.ravel()
        return {"ImagePositionPatient": [_ds(v) for v in (self.matrix @ (0, 0, number, 1))[:3]],
                "ImageOrientationPatient": [_ds(v) for v in direction],
                "PixelSpacing": [_ds(self.steps[1]), _ds(self.steps[0])],
                "SliceThickness": _ds(self.voxel if self.voxel else self.steps[2]),
                "SpacingBetweenSlices": _ds(self.steps[2])}


def _place(meta: dict, shape) -> _Place | None:
    """The place of the planes; None where it is not known, or where rows and columns are no right angle."""
    affine = known_place(meta)
    if affine is None:
        return None
    matrix = WORLD @ affine
    steps = np.linalg.norm(matrix[:3, :3], axis=0)
    slant = abs(matrix[:3, 0] @ matrix[:3, 1])
    if not np.isfinite(matrix).all() or not steps.all() or slant > 1e-3 * steps[0] * steps[1]:
        return None
    voxel = meta.get("voxel_mm")
    return _Place(matrix, float(voxel[0]) if voxel else None)


def _ds(value) -> str:
    """A number in DICOM's 16 letters."""
    for digits in range(14, 4, -1):
        text = f"{float(value) + 0.0:.{digits}g}"
        if len(text) <= 16:
            break
    return text


def _uid(stored, what: str) -> str:
    from pydicom.uid import generate_uid

    return generate_uid(entropy_srcs=[what, hashlib.sha256(stored.tobytes()).hexdigest(), __version__])


def _patient(ds, stored, said: dict) -> None:
    """Patient, study, series and equipment; names are left empty, since a scan's header is no place to ask for them."""
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber",
                 "ReferringPhysicianName", "StudyDate", "StudyTime", "PatientPosition"):
        setattr(ds, name, "")
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "MR", 1, 1
    ds.SeriesDescription = "pisolve"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (
        _uid(stored, what) for what in ("study", "series", "image"))
    ds.Manufacturer = ds.ManufacturerModelName = "pisolve"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "0", __version__
    now = time.localtime()
    ds.ContentDate, ds.ContentTime = time.strftime("%Y%m%d", now), time.strftime("%H%M%S", now)
    ds.InstanceCreationDate, ds.InstanceCreationTime = ds.ContentDate, ds.ContentTime
    ds.BurnedInAnnotation, ds.LossyImageCompression, ds.ContentQualification = "NO", "00", "RESEARCH"


def _pixels(ds, stored) -> tuple[int, int]:
    """Put the numbers into a data set; returns the window in which most of them lie."""
    count, ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, int(stored.dtype.kind == "i")
    if count > 1:
        ds.NumberOfFrames = count
    top = int(np.percentile(stored, 99.8))
    low = 0 if stored.dtype.kind == "u" else int(np.percentile(stored, 0.2))
    ds.PixelData = stored.astype("<" + stored.dtype.str[1:]).tobytes()
    return low, max(top, low + 1)


def _scale(ds, slope: float, window) -> None:
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", _ds(slope), "US"
    low, high = window
    ds.WindowCenter, ds.WindowWidth = _ds((low + high) / 2 * slope), _ds((high - low) * slope)
    ds.VOILUTFunction = "LINEAR_EXACT"


def _capture(ds, count: int) -> None:
    """What a secondary capture has beside its pixels."""
    ds.ConversionType, ds.PatientOrientation = "SYN", ""
    if count > 1:
        ds.PresentationLUTShape, ds.FrameIncrementPointer = "IDENTITY", 0x00182001
        ds.PageNumberVector = list(range(1, count + 1))


def _classic(ds, place, said: dict) -> None:
    """Place and contrast of one plane; the sequence is not known."""
    for name, value in place.at(0).items():
        setattr(ds, name, value)
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "RM", "NONE", "", "2D"
    ds.EchoTrainLength = ""
    for name, key, factor in (("MagneticFieldStrength", "MagneticFieldStrength", 1), ("EchoTime", "EchoTime", 1000),
                              ("RepetitionTime", "RepetitionTime", 1000), ("FlipAngle", "FlipAngle", 1)):
        value = said.get(key)
        value = value[0] if isinstance(value, list) and value else value
        setattr(ds, name, "" if value is None else _ds(value * factor))


def _frames(ds, front: dict, place, scale, part: str, said: dict) -> None:
    """The functional groups of a multi-frame image, and what its dimensions are: `front`, their sizes by name."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence
    from pydicom.tag import Tag

    def item(**values):
        one = Dataset()
        for name, value in values.items():
            setattr(one, name, value)
        return one

    organisation = _uid(np.frombuffer(ds.PixelData[:4096], np.uint8), "dimensions")
    ds.DimensionOrganizationSequence = Sequence([item(DimensionOrganizationUID=organisation)])
    ds.DimensionIndexSequence = Sequence([
        item(DimensionOrganizationUID=organisation, DimensionIndexPointer=Tag(*_COUNTED.get(name, _LABEL)),
             FunctionalGroupPointer=Tag(0x0020, 0x9111), DimensionDescriptionLabel=name) for name in front])
    values, shared = item(), item()
    _scale(values, *scale)
    window = {n: getattr(values, n) for n in ("WindowCenter", "WindowWidth", "VOILUTFunction")}
    shared.FrameVOILUTSequence = Sequence([item(**window)])
    for name in window:
        delattr(values, name)
    shared.PixelValueTransformationSequence = Sequence([values])
    if place:
        first = place.at(0)
        shared.PixelMeasuresSequence = Sequence([item(**{n: first[n] for n in (
            "PixelSpacing", "SliceThickness", "SpacingBetweenSlices")})])
        shared.PlaneOrientationSequence = Sequence([item(ImageOrientationPatient=first["ImageOrientationPatient"])])
        component = {"magnitude": "MAGNITUDE", "phase": "PHASE"}.get(part, part.upper())
        about = {"PixelPresentation": "MONOCHROME", "VolumetricProperties": "VOLUME", "VolumeBasedCalculationTechnique":
                 "NONE", "ComplexImageComponent": component, "AcquisitionContrast": "UNKNOWN"}
        for name, value in about.items():
            setattr(ds, name, value)
        shared.MRImageFrameTypeSequence = Sequence([item(FrameType=list(ds.ImageType), **about)])
        ds.PresentationLUTShape, ds.ResonantNucleus, ds.AcquisitionContextSequence = "IDENTITY", "1H", Sequence()
        body = item(CodeValue="38266002", CodingSchemeDesignator="SCT", CodeMeaning="Entire Body")  # it is not known
        shared.FrameAnatomySequence = Sequence([item(FrameLaterality="U", AnatomicRegionSequence=Sequence([body]))])
        if "MagneticFieldStrength" in said:
            ds.MagneticFieldStrength = said["MagneticFieldStrength"]
        _timing(ds, shared, said, item)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(_each(front, place, said, item))


def _timing(ds, shared, said: dict, item) -> None:
    """Echo time, repetition time and flip angle, where they are known and the same for all frames.

    The latter two stand beside the functional groups: theirs asks for heating and modes of operation, too.
    """
    from pydicom.sequence import Sequence

    if isinstance(said.get("EchoTime"), float):
        shared.MREchoSequence = Sequence([item(EffectiveEchoTime=said["EchoTime"] * 1000)])
    for name, factor in (("RepetitionTime", 1000), ("FlipAngle", 1)):
        if isinstance(said.get(name), int | float):
            setattr(ds, name, _ds(said[name] * factor))


def _each(front: dict, place, said: dict, item) -> list:
    """What each frame says of itself: its number along each dimension, where it lies, and its echo time of several."""
    from pydicom.sequence import Sequence

    echoes = said.get("EchoTime")
    echoes = echoes if isinstance(echoes, list) and len(echoes) == front.get("echo") else None
    each = []
    for index in np.ndindex(*front.values()):
        where = dict(zip(front, index))
        number = where.get("slice", where.get("z", 0))
        content = item(StackID="1", InStackPositionNumber=number + 1, DimensionIndexValues=[i + 1 for i in index])
        time_at = where.get("frame", where.get("repetition"))
        if time_at is not None:
            content.TemporalPositionIndex = time_at + 1
        others = [f"{n} {i + 1}" for n, i in where.items() if n not in _COUNTED]
        if others:
            content.FrameLabel = " ".join(others)[:64]
        group = item(FrameContentSequence=Sequence([content]))
        if place:
            at = place.at(number)["ImagePositionPatient"]
            group.PlanePositionSequence = Sequence([item(ImagePositionPatient=at)])
            if echoes:
                group.MREchoSequence = Sequence([item(EffectiveEchoTime=echoes[where["echo"]] * 1000)])
        each.append(group)
    return each
