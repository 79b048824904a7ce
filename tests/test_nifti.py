"""NIfTI: images written and read, against nibabel itself."""

import contextlib
import struct

import nibabel
import numpy as np
import pytest
import torch
from test_io import centred

import pisolve.cli
from pisolve import io

IMAGE = centred((3, 5, 7))
AFFINE = [[0, -2.0, 0, 5], [-3.0, 0, 0, 1], [0, 0, 4.0, -2], [0, 0, 0, 1.0]]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("image", [IMAGE, IMAGE[0], abs(IMAGE), torch.from_numpy(IMAGE), IMAGE.astype(complex)])
def test_round_trip(tmp_path, suffix, image):
    path, values = tmp_path / f"a.b{suffix}", np.asarray(image)
    io.save(path, image)
    stack = values if values.ndim == 3 else values[None]
    again = io.load_image(path)
    assert again.dtype == np.float32
    assert np.allclose(again, abs(stack), rtol=1e-6)
    io.save(path, image, magnitude=False)
    again = io.load_image(path)
    assert again.dtype == (np.complex64 if values.dtype.kind == "c" else np.float32)
    assert np.allclose(again, stack, rtol=1e-6)
    theirs = nibabel.load(path)
    assert theirs.shape == stack.shape[::-1]  # (x, y, slice)
    assert theirs.dataobj[6, 4, -1] == again[-1, 4, 6]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_place_and_size(tmp_path):
    path = tmp_path / "a.nii.gz"
    io.save(path, IMAGE, meta={"voxel_mm": [4.0, 1.5, 2.0], "trajectory": "cartesian"})
    found = nibabel.load(path)
    assert np.allclose(found.header.get_zooms(), (2, 1.5, 4))
    assert found.header["qform_code"] == found.header["sform_code"] == 0  # where it lies is not known
    assert found.header.get_xyzt_units()[0] == "mm"
    io.save(path, IMAGE, meta={"affine": AFFINE, "voxel_mm": [4.0, 2.0, 3.0]})
    found = nibabel.load(path)
    assert np.allclose(found.affine, AFFINE)
    assert found.header["sform_code"] == found.header["qform_code"] == 1
    assert nibabel.aff2axcodes(found.affine) == ("P", "L", "S")
    for meta in ({"affine": [[1]]}, {"voxel_mm": [1, 0, 1]}, {"voxel_mm": [1, np.nan, 1]}, {"voxel_mm": [1, 2]}):
        with pytest.raises(ValueError, match="meta"):
            io.save(path, IMAGE, meta=meta)


def test_the_same_image_gives_the_same_bytes(tmp_path):
    for name in ("a.nii", "b.nii"):
        io.save(tmp_path / name, IMAGE)
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()


def test_magnitude_of_other_formats(tmp_path):
    for suffix in (".npy", ".h5", ".cfl"):
        io.save(tmp_path / f"a{suffix}", IMAGE, magnitude=True)
        assert np.allclose(io.load_image(tmp_path / f"a{suffix}"), abs(IMAGE))


def test_scaled_images_and_more_axes(tmp_path):
    found = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(4, 3, 2, 1), np.eye(4))
    found.header.set_slope_inter(0.5, 1)
    found.to_filename(tmp_path / "a.nii")
    stored = nibabel.load(tmp_path / "a.nii").get_fdata()[..., 0]
    assert np.allclose(io.load_image(tmp_path / "a.nii"), stored.T)
    for shape, kind, message in (((4, 3, 2, 2, 2), np.float32, "one image"), ((4,), np.float32, "one image"),
                                 ((4, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")], "one image")):
        nibabel.Nifti1Image(np.zeros(shape, kind), np.eye(4)).to_filename(tmp_path / "b.nii")
        with pytest.raises(ValueError, match=message):
            io.load_image(tmp_path / "b.nii")


def test_what_is_refused(tmp_path):
    io.save(tmp_path / "a.nii.gz", IMAGE)
    content = (tmp_path / "a.nii.gz").read_bytes()
    for name, data in (("cut.nii.gz", content[:-40]), ("text.nii", b"hello" * 100), ("short.nii", b"hello"),
                       ("bytes.nii.gz", content[:60] + bytes(20) + content[80:])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=name):
            io.load_image(tmp_path / name)
    with pytest.raises(ValueError, match="max_bytes"):
        io.load_image(tmp_path / "a.nii.gz", max_bytes=100)
    with pytest.raises(ValueError, match="load_image reads"):
        io.load(tmp_path / "a.nii.gz")
    for options in ({"scale": 2.0}, {"recipe": {}}):
        with pytest.raises(ValueError, match=r"\.nii holds numbers only"):
            io.save(tmp_path / "b.nii", IMAGE, **options)
    with pytest.raises(ValueError, match="NaN or Inf"), np.errstate(over="ignore"):
        io.save(tmp_path / "b.nii", np.full((4, 4), 1e300))
    assert not (tmp_path / "b.nii").exists()


def test_of_other_programs(tmp_path):
    """Before, NaN outside of a mask was refused, and numbers of the other byte order stayed so."""
    image = np.arange(120.0).reshape(4, 6, 5)
    image[0] = np.nan
    made = nibabel.Nifti1Image(image.T.astype(">f4"), np.eye(4), nibabel.Nifti1Header(endianness=">"))
    made.to_filename(tmp_path / "a.nii")
    with pytest.warns(UserWarning, match=r"a\.nii: 30 of 120 voxels are NaN"):
        found = io.load_image(tmp_path / "a.nii")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, np.nan_to_num(image).astype(np.float32))
    axis = nibabel.cifti2.SeriesAxis(0, 1, 3)
    scalars = nibabel.cifti2.ScalarAxis(["a", "b"])
    nibabel.Cifti2Image(np.zeros((2, 3), np.float32), (scalars, axis)).to_filename(tmp_path / "b.nii")
    with pytest.raises(ValueError, match="Cifti2, which is no picture"):
        io.load_image(tmp_path / "b.nii")


def test_info(tmp_path, capsys):
    io.save(tmp_path / "a.nii.gz", IMAGE)
    assert pisolve.cli.main(["info", str(tmp_path / "a.nii.gz")]) == 0
    assert "(3, 5, 7), float32" in capsys.readouterr().out


@pytest.mark.parametrize(("at", "kind", "value"), [(70, "<h", 9999), (72, "<h", 3), (108, "<f", 1.0), (40, "<h", -3)])
def test_damaged_headers_are_told_by_us_alone(tmp_path, capfd, at, kind, value):
    """nibabel writes what it thinks of a header to the terminal: not through us, and elsewhere as ever."""
    path = tmp_path / "a.nii"
    io.save(path, IMAGE)
    data = bytearray(path.read_bytes())
    struct.pack_into(kind, data, at, value)
    path.write_bytes(data)
    with contextlib.suppress(ValueError):
        io.load_image(path)
    assert capfd.readouterr() == ("", "")
    nibabel.imageglobals.logger.warning("heard")
    assert not nibabel.imageglobals.logger.filters
