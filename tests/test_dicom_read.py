"""DICOM as scanners and archives write it: packed pixels, overlays in spare bits, dimensions, planes of no place."""

import io as streams
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.sequence import Sequence
from test_outputs import AFFINE, IMAGE, META

from pisolve import cli, io
from pisolve.io import dicom_pixels

RLE, JPEG, J2K = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
WORLD = np.diag([-1, -1, 1, 1])


def classic(path, pixels, **attributes):
    """A file of one or more planes with these numbers, without any scale."""
    io.save(path, np.ones((10, 14), np.float32), meta=META)
    ds = pydicom.dcmread(path)
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.BitsAllocated, ds.PixelRepresentation = 8 * pixels.itemsize, int(pixels.dtype.kind == "i")
    ds.BitsStored, ds.HighBit, ds.RescaleSlope = ds.BitsAllocated, ds.BitsAllocated - 1, "1"
    ds.PixelData = pixels.tobytes()
    if pixels.ndim > 2:
        ds.NumberOfFrames = len(pixels)
    for name, value in attributes.items():
        setattr(ds, name, value)
    ds.save_as(path)
    return path


def frame(pixels, kind):
    """A packed frame, by Pillow."""
    image = pytest.importorskip("PIL.Image")
    out = streams.BytesIO()
    options = {"irreversible": False} if kind == "JPEG2000" else {"quality": 100}
    try:
        image.fromarray(pixels).save(out, kind, **options)
    except (OSError, KeyError):
        pytest.skip(f"Pillow writes no {kind} here")
    data = out.getvalue()
    at = data.find(b"\xff\x4f\xff\x51")
    return data[at:] if kind == "JPEG2000" else data  # the codestream alone


def packed(path, pixels, syntax, *frames):
    """A file whose pixels are these frames."""
    ds = pydicom.dcmread(classic(path, pixels))
    ds.file_meta.TransferSyntaxUID, ds.PixelData = syntax, encapsulate(list(frames))
    ds["PixelData"].VR = "OB"
    ds.save_as(path)
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16])
def test_rle_needs_no_other_package(tmp_path, kind):
    """Before, every packed file was refused."""
    pixels = np.arange(3 * 9 * 11).reshape(3, 9, 11).astype(kind) * (-1 if kind is np.int16 else 1)
    path = classic(tmp_path / "a.dcm", pixels)
    ds = pydicom.dcmread(path)
    ds.compress(RLE, generate_instance_uid=False)
    ds.save_as(path)
    np.testing.assert_array_equal(io.load_image(path), pixels)
    assert cli.main(["info", str(path)]) == 0


@pytest.mark.parametrize(("syntax", "kind", "off"), [(JPEG, "JPEG", 3), (J2K, "JPEG2000", 0)])
def test_jpeg(tmp_path, syntax, kind, off):
    y, x = np.mgrid[:24, :20]
    pixels = (120 + 40 * np.sin(y / 7) + 30 * np.cos(x / 5)).astype(np.uint8)
    path = packed(tmp_path / "a.dcm", pixels, syntax, frame(pixels, kind))
    if not get_decoder(syntax).is_available:
        pytest.skip("nothing here unpacks it")
    assert abs(io.load_image(path) - pixels).max() <= off
    assert np.allclose(io.image_meta(path)["affine"], AFFINE)


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "JPEG-LL",
                                  "JPGLosslessP14SV1_1s_1f_8b", "JPEG2000", "emri_small_jpeg_ls_lossless",
                                  "J2K_pixelrep_mismatch", "MR-SIEMENS-DICOM-WithOverlays"])
def test_public_packed_files(name):
    """Those that pydicom brings, against what it unpacks."""
    path = pydicom.data.get_testdata_file(f"{name}.dcm", download=False)
    if path is None:
        pytest.skip(f"pydicom does not bring {name}")
    ds = pydicom.dcmread(path)
    if not get_decoder(ds.file_meta.TransferSyntaxUID).is_available:
        with pytest.raises(ImportError, match=r"pip install 'pisolve\[jpeg\]'"):
            io.load_image(path)
        return
    slope, shift = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    np.testing.assert_allclose(io.load_image(path), ds.pixel_array * slope + shift, rtol=1e-6)


def test_what_unpacks_it_is_named(tmp_path, monkeypatch, capsys):
    pixels = np.zeros((24, 20), np.uint8)
    path = packed(tmp_path / "a.dcm", pixels, JPEG, b"\xff\xd8" + b"\0" * 30)
    monkeypatch.setattr(type(get_decoder(JPEG)), "is_available", False)
    with pytest.raises(ImportError, match=r"a\.dcm.*JPEG Baseline.*pip install 'pisolve\[jpeg\]'"):
        io.load_image(path)
    assert cli.main(["info", str(path)]) == 2
    assert "pisolve[jpeg]" in capsys.readouterr().err
    (tmp_path / "b.npy").write_bytes(b"")
    assert cli.main(["info", str(tmp_path)]) == 2
    assert "error" in capsys.readouterr().out
    packed(path, pixels, "1.2.840.10008.1.2.4.100", b"\0" * 30)  # a film
    with pytest.raises(ValueError, match="not read here, MPEG2"):
        io.load_image(path)
    packed(path, pixels, "1.2.840.10008.1.2.1", b"\0" * 30)
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    ds.save_as(path)
    with pytest.raises(ValueError, match="deflated as a whole"):
        io.load_image(path)


def test_packed_frames_that_lie_are_not_unpacked(tmp_path):
    """A small frame may say that it is huge; C libraries believe it."""
    pixels = np.zeros((24, 20), np.uint8)
    good = frame(pixels, "JPEG")
    at = good.find(b"\xff\xc0") + 5
    huge = good[:at] + b"\xff\xf0\xff\xf0" + good[at + 4 :]
    if get_decoder(JPEG).is_available:
        for data, said in ((huge, "65520 x 65520"), (b"\xff\xd8\xff", "does not say"), (bytes(8), "does not say")):
            path = packed(tmp_path / "a.dcm", pixels, JPEG, data)
            with pytest.raises(ValueError, match=rf"a\.dcm.*{said}"):
                io.load_image(path)
    path = packed(tmp_path / "a.dcm", pixels, RLE, b"\1\0\0\0\x40\0\0\0" + b"\0" * 4000)
    with pytest.raises(ValueError, match=r"a\.dcm: frame 0 has 4,0"):
        io.load_image(path)
    good = frame(np.zeros((70, 50), np.uint8), "JPEG2000")
    assert dicom_pixels.size_of(good) == (70, 50)
    assert dicom_pixels.size_of(huge) == (65520, 65520)


@pytest.mark.parametrize(("kind", "spare"), [(np.uint16, 0xF000), (np.int16, 0)])
def test_bits_that_are_not_stored_are_no_numbers(tmp_path, kind, spare):
    """Old files keep overlays in the bits above; a signed number of 12 bits ends in its own sign."""
    values = np.arange(-40, 100, dtype=np.int32).reshape(10, 14) * (1 if kind is np.int16 else -1) + 100 * (
        kind is np.uint16)
    stored = ((values & 0x0FFF) | spare).astype(np.uint16).view(kind)
    path = classic(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(io.load_image(path), values)


def test_floating_point_images(tmp_path):
    path = classic(tmp_path / "a.dcm", np.zeros((10, 14), np.uint32))
    ds = pydicom.dcmread(path)
    del ds.PixelData
    values = np.linspace(-1, 1, 140, dtype=np.float32).reshape(10, 14)
    ds.add_new(0x7FE00008, "OF", values.tobytes())
    ds.save_as(path)
    np.testing.assert_array_equal(io.load_image(path), values)


def test_dimensions_of_scanners(tmp_path):
    """Before, the axes of a multi-frame file were called "Stack ID" and "In-Stack Position Number"."""
    path = tmp_path / "a.dcm"
    io.save(path, abs(np.stack([IMAGE, 2 * IMAGE], 1)), axes=("slice", "frame", "y", "x"), meta=META)
    ds = pydicom.dcmread(path)
    organisation = ds.DimensionIndexSequence[0].DimensionOrganizationUID
    items = []
    for pointer, label in ((0x00209056, "Stack ID"), (0x00209057, "In-Stack Position Number"),
                           (0x00189082, "Effective Echo Time")):
        item = Dataset()
        item.DimensionOrganizationUID, item.DimensionIndexPointer = organisation, pointer
        item.DimensionDescriptionLabel = label
        items.append(item)
    ds.DimensionIndexSequence = Sequence(items)
    for group in ds.PerFrameFunctionalGroupsSequence:
        content = group.FrameContentSequence[0]
        content.DimensionIndexValues = [1, *content.DimensionIndexValues[:1], 10 + 7 * content.DimensionIndexValues[1]]
    ds.save_as(path)
    assert io.image_axes(path) == ("slice", "echo", "y", "x")
    assert np.allclose(io.load_image(path)[:, 1], 2 * abs(IMAGE), atol=2e-4 * abs(IMAGE).max())
    assert np.allclose(io.image_meta(path)["affine"], AFFINE, atol=1e-4)
    out = tmp_path / "b.nii"
    assert cli.main(["convert", str(path), str(out)]) == 0
    assert io.image_axes(out) == ("slice", "echo", "y", "x")


@pytest.mark.parametrize("change", ["turned", "uneven"])
def test_planes_that_no_matrix_places(tmp_path, change):
    """Before, a localiser's frames got the matrix of the first."""
    path = tmp_path / "a.dcm"
    io.save(path, abs(IMAGE), meta=META)
    ds = pydicom.dcmread(path)
    one, last = Dataset(), ds.PerFrameFunctionalGroupsSequence[2]
    if change == "turned":
        one.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        last.PlaneOrientationSequence = Sequence([one])
    else:
        place = last.PlanePositionSequence[0]
        place.ImagePositionPatient = [float(v) + 9 for v in place.ImagePositionPatient]
    ds.save_as(path)
    assert set(io.image_meta(path)) == {"voxel_mm"}


def test_numbers_that_are_left_empty(tmp_path):
    path = classic(tmp_path / "a.dcm", np.arange(140, dtype=np.uint16).reshape(10, 14), RescaleSlope="",
                   RescaleIntercept=None, SliceThickness="")
    np.testing.assert_array_equal(io.load_image(path).ravel(), np.arange(140))
    assert io.image_meta(path)["voxel_mm"] == [5.5, 3, 2]  # its spacing


def test_a_mosaic_has_no_place(tmp_path):
    path = classic(tmp_path / "a.dcm", np.zeros((10, 14), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.warns(UserWarning, match="mosaic, many slices in one picture"):
        assert io.image_meta(path) == {}


def test_what_is_no_image_says_what_it_is(tmp_path):
    path = classic(tmp_path / "a.dcm", np.zeros((10, 14), np.uint16), SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3")
    ds = pydicom.dcmread(path)
    del ds.PixelData
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.PatientName = "Müller^Jörg".encode("latin-1")
    ds.save_as(path)
    with pytest.raises(ValueError, match=r"a\.dcm holds no image: it is RT Structure Set Storage"):
        io.load_image(path)


def test_what_is_cut_off_or_has_a_palette(tmp_path):
    """Before, a palette's numbers were taken for grey."""
    pixels = np.ones((10, 14), np.uint16)
    path = classic(tmp_path / "a.dcm", pixels)
    whole = path.read_bytes()
    ds = pydicom.dcmread(path)
    ds.PixelData = ds.PixelData[:-40]
    ds.save_as(path)
    with pytest.raises(ValueError, match=r"a\.dcm is cut off: it has 240 bytes of pixels, and 280"):
        io.load_image(path)
    path.write_bytes(whole[132:])
    with pytest.raises(ValueError, match=r"a\.dcm does not begin as a DICOM file does.*dcmconv --read-dataset"):
        io.load_image(path)
    classic(path, pixels, PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(ValueError, match=r"holds no grey image.*PALETTE COLOR"):
        io.load_image(path)


def test_what_fails_to_unpack_says_why(tmp_path):
    pixels = np.zeros((24, 20), np.uint8)
    if not get_decoder(J2K).is_available:
        pytest.skip("nothing here unpacks it")
    path = packed(tmp_path / "a.dcm", pixels, J2K, frame(pixels, "JPEG2000")[:60])
    with pytest.raises(ValueError, match=r"a\.dcm has its pixels packed, JPEG 2000.*pip install 'pisolve\[jpeg\]'"):
        io.load_image(path)


def test_names_in_any_alphabet(tmp_path):
    """Latin-1 without saying so, and what pydicom brings in other alphabets."""
    path = classic(tmp_path / "a.dcm", np.ones((10, 14), np.uint16), PatientName="x", SpecificCharacterSet="")
    data = path.read_bytes()
    ds = pydicom.dcmread(path)
    ds.PatientName = "Muller^Jorg "
    ds.save_as(path)
    data = path.read_bytes().replace(b"Muller^Jorg ", "Müller^Jörg ".encode("latin-1"))
    path.write_bytes(data)
    assert (io.load_image(path) == 1).all()
    for other in Path(pydicom.data.__file__).parent.glob("charset_files/*.dcm"):  # some of a few pixels
        with suppress(ValueError):
            assert io.load_image(other).ndim == 2
