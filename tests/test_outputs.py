"""Images and scans in every format that is written, opened again with the formats' own packages."""

import itertools
import json
from pathlib import Path

import h5py
import ismrmrd
import nibabel
import numpy as np
import pydicom
import pydicom.data
import pytest
import scipy.io
from test_layouts import HEADER, h5, same, smooth

import pisolve as pi
from pisolve import io
from pisolve.backend import fft
from pisolve.scan.size import cut, wanted

IMAGE = smooth(3, 10, 14) * np.exp(1j * np.linspace(-3, 3, 14)).astype(np.complex64)
TURN = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1.0]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN * [2.0, 3.0, 5.5]  # x, y, slice
AFFINE[:3, 3] = 11, -7, 30
META = {"affine": AFFINE.tolist(), "voxel_mm": [5.0, 3.0, 2.0], "field_strength_t": 2.89, "te_ms": 4.5, "tr_ms": 20.0,
        "flip_deg": 15, "frame_s": 1.5}
LPS = np.diag([-1, -1, 1, 1]) @ AFFINE


def test_classic_dicom(tmp_path):
    io.save(tmp_path / "a.dcm", IMAGE[1], meta=META)
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    assert ds.SOPClassUID.name == "MR Image Storage"
    assert (ds.Rows, ds.Columns) == (10, 14)
    stored = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    assert abs(stored - abs(IMAGE[1])).max() <= 0.51 * float(ds.RescaleSlope)
    assert abs(IMAGE[1]).max() / float(ds.RescaleSlope) > 65000  # all 16 bits
    assert np.allclose(ds.PixelSpacing, [3, 2])  # between rows, between columns
    assert np.allclose(ds.ImageOrientationPatient, [-0.6, -0.8, 0, 0.8, -0.6, 0], atol=1e-6)
    assert np.allclose(ds.ImagePositionPatient, LPS[:3, 3])
    assert (ds.SliceThickness, ds.SpacingBetweenSlices) == (5, 5.5)
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY", "M"]
    assert "pisolve" in ds.DerivationDescription
    assert "not for diagnosis" in ds.ImageComments
    assert (float(ds.EchoTime), float(ds.RepetitionTime), float(ds.FlipAngle)) == (4.5, 20, 15)
    assert not ds.PatientName


def test_enhanced_dicom(tmp_path):
    frames = np.stack([IMAGE, 0.5 * IMAGE], 1)  # slice, frame, y, x
    path = tmp_path / "a.dcm"
    io.save(path, frames, axes=("slice", "frame", "y", "x"), meta=META)
    ds = pydicom.dcmread(path)
    assert ds.SOPClassUID.name == "Enhanced MR Image Storage"
    assert ds.pixel_array.shape == (6, 10, 14)
    shared = ds.SharedFunctionalGroupsSequence[0]
    slope = float(shared.PixelValueTransformationSequence[0].RescaleSlope)
    assert abs(ds.pixel_array.reshape(3, 2, 10, 14) * slope - abs(frames)).max() <= 0.51 * slope
    for number, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        assert list(group.FrameContentSequence[0].DimensionIndexValues) == [number // 2 + 1, number % 2 + 1]
        assert np.allclose(group.PlanePositionSequence[0].ImagePositionPatient, (LPS @ (0, 0, number // 2, 1))[:3])
    assert np.allclose(shared.PixelMeasuresSequence[0].PixelSpacing, [3, 2])
    assert shared.MREchoSequence[0].EffectiveEchoTime == 4.5
    assert (float(ds.RepetitionTime), float(ds.FlipAngle), float(ds.MagneticFieldStrength)) == (20, 15, 2.89)
    same(io.load_image(path), frames)
    assert io.image_axes(path) == ("slice", "frame", "y", "x")
    assert np.allclose(io.image_meta(path)["affine"], AFFINE, atol=1e-6)
    assert np.allclose(io.image_meta(path)["voxel_mm"], META["voxel_mm"])


@pytest.mark.parametrize("meta", [None, META | {"affine_code": 0}], ids=["none", "of an unknown vendor"])
def test_dicom_of_an_unknown_place_is_a_secondary_capture(tmp_path, meta):
    for image, name in ((IMAGE, "Multi-frame Grayscale Word Secondary Capture Image Storage"),
                        (IMAGE[0], "Secondary Capture Image Storage")):
        io.save(tmp_path / "a.dcm", image, meta=meta)
        ds = pydicom.dcmread(tmp_path / "a.dcm")
        assert ds.SOPClassUID.name == name
        assert "ImagePositionPatient" not in ds
        same(io.load_image(tmp_path / "a.dcm"), image)
        assert io.image_meta(tmp_path / "a.dcm") == {}


@pytest.mark.parametrize(("word", "part"), [("magnitude", abs), ("phase", np.angle), ("real", np.real),
                                            ("imaginary", np.imag)])
@pytest.mark.parametrize("suffix", [".dcm", ".nii.gz", ".npy", ".mat", ".mrd", ".h5", ".cfl", ".zarr"])
def test_components(tmp_path, word, part, suffix):
    path = tmp_path / f"a{suffix}"
    io.save(path, IMAGE, component=word, meta=META if suffix in (".dcm", ".mrd", ".nii.gz") else None)
    found, want = io.load_image(path), part(IMAGE)
    assert np.allclose(found, want, atol=1e-3 * abs(want).max())
    if suffix == ".dcm":
        assert pydicom.dcmread(path).ComplexImageComponent == word.upper()
    if suffix == ".nii.gz":
        assert json.loads((tmp_path / "a.json").read_text())["Units"] == ("rad" if word == "phase" else "arbitrary")


def test_what_components_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no complex numbers"):
        io.save(tmp_path / "a.dcm", IMAGE, component="complex")
    with pytest.raises(ValueError, match="give one of them"):
        io.save(tmp_path / "a.nii", IMAGE, component="phase", magnitude=True)
    with pytest.raises(ValueError, match="component must be one of"):
        io.save(tmp_path / "a.nii", IMAGE, component="modulus")
    assert not list(tmp_path.iterdir())


def test_a_description_beside_nifti(tmp_path):
    io.save(tmp_path / "sub-1.nii.gz", IMAGE, meta=META)
    said = json.loads((tmp_path / "sub-1.json").read_text())
    assert (said["EchoTime"], said["RepetitionTime"], said["FlipAngle"]) == (0.0045, 0.02, 15)  # seconds
    assert said["MagneticFieldStrength"] == 2.89
    assert said["ImageType"] == ["DERIVED", "SECONDARY", "RECON", "M"]
    assert said["ConversionSoftware"] == "pisolve"
    io.save(tmp_path / "sub-1.nii.gz", IMAGE, meta=META)  # its own is replaced
    (tmp_path / "other.json").write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=r"other\.json stands where"):
        io.save(tmp_path / "other.nii", IMAGE, meta=META)
    assert not (tmp_path / "other.nii").exists()
    assert (tmp_path / "other.json").read_text() == '{"mine": 1}'


def test_ismrmrd_images(tmp_path):
    frames = np.stack([IMAGE, 0.5 * IMAGE])
    path = tmp_path / "a.mrd"
    io.save(path, frames, axes=("frame", "slice", "y", "x"), meta=META)
    with ismrmrd.Dataset(str(path), mode="r") as file:
        assert file.number_of_images("image_0") == 6
        for number in range(6):
            one = file.read_image("image_0", number)
            assert (one.phase, one.slice) == divmod(number, 3)
            np.testing.assert_array_equal(one.data[0, 0], frames[number // 3, number % 3])
            assert tuple(one.matrix_size)[::-1] == (14, 10, 1) or tuple(one.matrix_size) == (14, 10, 1)
            assert np.allclose(one.field_of_view, (28, 30, 5))
            middle = (LPS @ (7, 5, number % 3, 1))[:3]
            assert np.allclose(one.position, middle, atol=1e-4)
            assert np.allclose(one.read_dir, LPS[:3, 0] / 2, atol=1e-6)
        assert one.image_type == ismrmrd.IMTYPE_COMPLEX
    assert io.image_axes(path) == ("frame", "slice", "y", "x")
    np.testing.assert_array_equal(io.load_image(path), frames)
    assert np.allclose(io.image_meta(path)["affine"], AFFINE, atol=1e-4)
    volume = tmp_path / "v.mrd"
    io.save(volume, IMAGE, axes=("z", "y", "x"), component="magnitude")
    with ismrmrd.Dataset(str(volume), mode="r") as file:
        assert file.number_of_images("image_0") == 1
        assert np.allclose(file.read_image("image_0", 0).data[0], abs(IMAGE))
    assert io.image_axes(volume) == ("z", "y", "x")


def test_images_that_others_wrote_as_ismrmrd(tmp_path):
    with ismrmrd.Dataset(str(tmp_path / "a.h5")) as file:
        for number in (2, 0, 1):
            one = ismrmrd.Image.from_array(abs(IMAGE[number]).astype(np.float32), transpose=False)
            one.slice = number
            file.append_image("image_3", one)
    same(io.load_image(tmp_path / "a.h5"), IMAGE)
    assert io.image_axes(tmp_path / "a.h5") == ("slice", "y", "x")


def test_matlab_images(tmp_path):
    io.save(tmp_path / "a.mat", IMAGE)
    theirs = scipy.io.loadmat(tmp_path / "a.mat")
    np.testing.assert_array_equal(theirs["image"], IMAGE.transpose(1, 2, 0))  # (y, x, slice)
    np.testing.assert_array_equal(io.load_image(tmp_path / "a.mat"), IMAGE)
    volume = np.stack([IMAGE, 2 * IMAGE])
    io.save(tmp_path / "b.mat", volume, axes=("frame", "z", "y", "x"))
    assert io.image_axes(tmp_path / "b.mat") == ("frame", "z", "y", "x")
    np.testing.assert_array_equal(io.load_image(tmp_path / "b.mat"), volume)


def scan_of(**more):
    kspace = fft(smooth(2, 3, 24, 20), (-2, -1))
    mask = np.arange(24)[:, None] % 2 + np.zeros((24, 20)) > 0
    return io.Scan(kspace * mask, mask, mps=smooth(2, 3, 24, 20) + 1, noise=smooth(1, 3, 8)[0], **more)


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".npy", ".cfl", ".mat", ".mrd", ".zarr", ".zarr.zip"])
def test_scans_come_back(tmp_path, suffix):
    scan = scan_of(meta={"voxel_mm": [5.0, 1, 2], "field_strength_t": 3.0},
                   weights=np.linspace(1, 2, 24 * 20).reshape(24, 20))
    lost = io.save_scan(tmp_path / f"a{suffix}", scan)
    again = io.load(tmp_path / f"a{suffix}", **({"axes": scan.axes} if suffix == ".npy" else {}))
    assert again.axes == scan.axes
    np.testing.assert_array_equal(again.kspace, scan.kspace)
    assert ("weights" in lost) == (suffix not in (".h5", ".npz", ".zarr", ".zarr.zip"))
    for name in {"mask", "mps", "noise", "weights"} - set(lost):
        a, b = (np.broadcast_to(getattr(s, name), getattr(scan, name).shape) for s in (again, scan))
        np.testing.assert_array_equal(a, b)
    assert {"mask", "mps"} <= set(lost) or suffix not in (".npy", ".cfl")
    if suffix in (".h5", ".zarr"):
        assert again.meta["voxel_mm"] == [5, 1, 2]


def test_a_trajectory_comes_back(tmp_path):
    coord = np.random.default_rng(1).uniform(-8, 8, (5, 32, 2))
    scan = io.Scan(fft(smooth(3, 5, 32), (-1,)), coord=coord, size=(16, 16), field_map=abs(smooth(1, 16, 16)[0]),
                   times=np.linspace(0, 0.01, 32))
    for suffix in (".h5", ".npz", ".zarr"):
        io.save_scan(tmp_path / f"a{suffix}", scan)
        again = io.load(tmp_path / f"a{suffix}")
        assert (again.axes, again.size) == (scan.axes, scan.size)
        for name in ("coord", "field_map", "times"):
            np.testing.assert_array_equal(getattr(again, name), getattr(scan, name))
    with pytest.raises(ValueError, match="coord"):
        io.save_scan(tmp_path / "a.npy", scan)


def fastmri_test(path, header):
    """A file of fastMRI's test set: no reference, twice oversampled rows, columns with phase oversampling."""
    kspace = fft(smooth(2, 3, 64, 46), (-2, -1))
    return h5(path, kspace=kspace, **({"ismrmrd_header": HEADER.format(
        ex=64, ey=46, fx=256, fy=184, rx=32, ry=32, gx=128, gy=128, last=45, centre=23)} if header else {}))


def test_images_of_fastmris_test_set_have_the_leaderboards_size(run):
    fastmri_test("t.h5", header=True)
    words = ("--prior", "zero", "--max-iter", 2)
    for name, more, shape in (("a.h5", (), (2, 32, 32)), ("b.npy", ("--crop", "20"), (2, 20, 20)),
                              ("c.npy", ("--crop", "none"), (2, 64, 46)), ("d.npy", ("--crop", "30x40"), (2, 30, 40))):
        assert run("recon", "t.h5", "-o", name, *words, *more)[0] == 0
        assert io.load_image(name).shape == shape
    np.testing.assert_array_equal(io.load_image("a.h5"), io.load_image("c.npy")[:, 16:48, 7:39].astype(np.complex64))
    fastmri_test("n.h5", header=False)
    assert run("recon", "n.h5", "-o", "e.npy", *words)[0] == 0
    assert io.load_image("e.npy").shape == (2, 64, 46)
    code, _, err = run("recon", "n.h5", "-o", "e.npy", *words, "--crop", "320")
    assert code == 2
    assert "crop is 320 x 320, and the image measures 64 x 46" in err
    again = pi.recon(io.load("t.h5"), pi.Zero(), x0="a.h5", max_iter=1)  # as it was written
    assert again.x.shape == (2, 64, 46)


def test_the_old_crop_still_is_that_of_maps(run):
    fastmri_test("n.h5", header=False)
    for words in (("--crop", 0.5), ("--map-crop", 0.5)):
        code, _, err = run("recon", "n.h5", "-o", "a.npy", "--prior", "zero", "--max-iter", 2, *words)
        assert code == 0
        assert ("called --map-crop now" in err) == (words[0] == "--crop")


def test_phase_oversampling_goes_and_the_place_stays():
    meta = {"encoded_size": [40, 30, 1], "recon_size": [20, 20, 1], "encoded_fov_mm": [80, 60, 5],
            "recon_fov_mm": [40, 40, 5], "phase_axis": -2, "affine": AFFINE.tolist()}
    scan = io.Scan(fft(smooth(2, 3, 30, 20), (-2, -1)), meta=meta)  # the readout's oversampling is gone already
    assert wanted(scan, "recon") == (20, 20)
    image = np.arange(600.0).reshape(30, 20)
    small, left = cut(image, meta, (20, 20))
    np.testing.assert_array_equal(small, image[5:25])
    assert np.allclose(np.array(left["affine"]) @ (3, 0, 1, 1), AFFINE @ (3, 5, 1, 1))
    coarse = io.Scan(scan.kspace, meta=meta | {"recon_size": [10, 15, 1], "recon_fov_mm": [40, 60, 5]})
    assert wanted(coarse, "recon") == (30, 20)  # a coarser matrix of the same field of view cuts nothing off
    assert wanted(io.Scan(scan.kspace), "recon") == (30, 20)


def test_convert_keeps_the_image_and_its_place(run):
    io.save("a.nii.gz", abs(IMAGE), meta=META)
    for old, new in itertools.pairwise(("a.nii.gz", "b.dcm", "c.mrd", "d.h5", "z.zarr", "e.mat", "f.cfl")):
        code, out, err = run("convert", old, new)
        assert (code, err) == (0, ""), err
        assert new in out
        same(io.load_image(new), IMAGE)
        if new in ("b.dcm", "c.mrd", "d.h5", "z.zarr"):
            assert np.allclose(io.image_meta(new)["affine"], AFFINE, atol=1e-4)
    code, _, err = run("convert", "f.cfl", "g.npy")
    assert code == 2
    assert "--as scan, or --as image" in err


def test_convert_scans(run):
    scan = scan_of()
    io.save_scan("a.npz", scan)
    for old, new in itertools.pairwise(("a.npz", "b.h5", "z.zarr", "c.mrd", "d.mat", "e.npz")):
        assert run("convert", old, new)[0] == 0
        np.testing.assert_array_equal(io.load(new).kspace, scan.kspace)
    code, out, _ = run("convert", "a.npz", "f.cfl")
    assert code == 0
    assert "left out" in out
    assert run("convert", "f.cfl", "g.npz")[0] == 0  # it has coils
    np.testing.assert_array_equal(io.load("g.npz").kspace, scan.kspace)
    np.save("real.npy", abs(IMAGE))
    assert run("convert", "real.npy", "h.mat")[0] == 0  # k-space is complex
    same(io.load_image("h.mat"), IMAGE)
    code, _, err = run("convert", "a.npz", "g.dcm")
    assert code == 2
    assert "is a scan" in err


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_no_input_is_written_over(run, name):
    io.save_scan("a.npz", scan_of())
    pi.Recipe(pi.Zero(), max_iter=2).save("x.json")
    before = Path("x.json").read_text()
    code, _, err = run("recon", "a.npz", "-o", name, "--recipe", "x.json")
    assert code == 2
    assert "x.json" in err
    assert Path("x.json").read_text() == before
    code, _, err = run("convert", "a.npz", "a.npz")
    assert code == 2


@pytest.mark.parametrize("suffix", [".dcm", ".nii", ".mrd", ".mat"])
def test_reconstructions(run, suffix):
    io.save_scan("a.h5", scan_of(meta={k: v for k, v in META.items() if k != "frame_s"}))
    assert run("recon", "a.h5", "-o", f"x{suffix}", "--prior", "zero", "--max-iter", 2, "--component", "phase")[0] == 0
    done = pi.recon(io.load("a.h5"), pi.Zero(), max_iter=2)
    assert np.allclose(io.load_image(f"x{suffix}"), np.angle(done.x), atol=2e-3)
    if suffix == ".nii":
        said = json.loads(Path("x.json").read_text())
        assert said["Recipe"]["max_iter"] == 2
        assert said["Units"] == "rad"
        assert nibabel.load("x.nii").header["sform_code"] == 1
    if suffix == ".dcm":
        assert "Reconstruction" in pydicom.dcmread("x.dcm").DerivationDescription
    assert "complex" in run("recon", "a.h5", "-o", "y.dcm", "--component", "complex")[2]


def test_each_echo_says_its_time(tmp_path):
    meta = META | {"te_ms": [4.0, 9.0, 15.5]}
    io.save(tmp_path / "a.dcm", IMAGE[:, None], axes=("echo", "slice", "y", "x"), meta=meta)
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    assert [g.MREchoSequence[0].EffectiveEchoTime for g in ds.PerFrameFunctionalGroupsSequence] == [4, 9, 15.5]


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"])
def test_dicom_of_a_scanner(name):
    path = pydicom.data.get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom does not bring {name}")
    ds = pydicom.dcmread(path)
    np.testing.assert_array_equal(io.load_image(path), ds.pixel_array)
    meta = io.image_meta(path)
    assert np.allclose(meta["voxel_mm"][1:], ds.PixelSpacing)
    assert np.allclose(np.diag([-1, -1, 1, 1]) @ np.array(meta["affine"]) @ (0, 0, 0, 1), [*ds.ImagePositionPatient, 1])


def test_damaged_dicom(tmp_path):
    io.save(tmp_path / "a.dcm", IMAGE, meta=META)
    whole = (tmp_path / "a.dcm").read_bytes()
    for data in (whole[:-100], whole[:150], b"hello" * 100):
        (tmp_path / "b.dcm").write_bytes(data)
        with pytest.raises(ValueError, match=r"b\.dcm"):
            io.load_image(tmp_path / "b.dcm")
    with pytest.raises(ValueError, match="max_bytes"):
        io.load_image(tmp_path / "a.dcm", max_bytes=100)
    with pytest.raises(ValueError, match="DICOM holds images"):
        io.load(tmp_path / "a.dcm")


def test_h5_keeps_the_place(tmp_path):
    scan = scan_of(meta=META)
    pi.recon(scan, pi.Zero(), max_iter=2).save(tmp_path / "a.h5")
    assert np.allclose(io.image_meta(tmp_path / "a.h5")["affine"], AFFINE)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["status"] in ("converged", "max_iter")
