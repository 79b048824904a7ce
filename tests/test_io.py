"""Files: round trips, BART's own programs, fastMRI's layout, real scans."""

import json
import os

import h5py
import numpy as np
import pytest
import torch
from conftest import data_path
from helpers import bart

from pisolve import io, masks
from pisolve.backend import fft
from pisolve.io import cfl

RNG = np.random.default_rng(1)


def centred(shape):
    """K-space with its energy at the centre, like that of any object."""
    noise = RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)
    y, x = (np.arange(n) - n // 2 for n in shape[-2:])
    return (noise / (1 + y[:, None] ** 2 + x**2)).astype(np.complex64)


K4, K3 = centred((2, 3, 16, 12)), centred((3, 16, 12))
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><acquisitionSystemInformation>
<systemFieldStrength_T>2.8936</systemFieldStrength_T></acquisitionSystemInformation><encoding><encodedSpace><matrixSize>
<x>16</x><y>10</y><z>1</z></matrixSize><fieldOfView_mm><x>440</x><y>220.5</y><z>4</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>8</x><y>8</y><z>1</z></matrixSize></reconSpace><encodingLimits><kspace_encoding_step_1>
<minimum>0</minimum><maximum>8</maximum><center>4</center></kspace_encoding_step_1></encodingLimits>
<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""


def h5(path, attrs=None, **datasets):
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
        file.attrs.update(attrs or {})
    return path


# --- fastMRI's HDF5

def test_fastmri_multicoil(tmp_path):
    mask = masks.random((16, 12), 4, axis=-1)[0].astype(np.float32)  # fastMRI: one number per column
    attrs = {"acquisition": "AXT2", "max": np.float64(2), "patient_id": b"x1", "size": np.array([1, 2])}
    path = h5(tmp_path / "file1.h5", attrs, kspace=K4, mask=mask, reconstruction_rss=np.ones((2, 8, 8), np.float32),
              ismrmrd_header=HEADER.encode())
    scan = io.load(path)
    assert scan.kspace.dtype == np.complex64
    assert (scan.kspace == K4).all()
    assert (scan.mask == (mask > 0)[None, :]).all()
    assert scan.mask.shape == (16, 12)
    assert scan.phase_axis == -1  # the readout, 16 long, is on the rows
    assert scan.meta == {"acquisition": "AXT2", "max": 2.0, "patient_id": "x1", "size": [1, 2],
                         "trajectory": "cartesian",
                         "encoded_size": [16, 10, 1], "recon_size": [8, 8, 1], "encoded_fov_mm": [440, 220.5, 4],
                         "field_strength_t": 2.8936, "padding": [1, 10], "phase_axis": -1}
    image = np.arange(2 * 16 * 12).reshape(2, 16, 12)
    assert (scan.crop(image) == image[:, 4:12, 2:10]).all()


@pytest.mark.parametrize(("x", "axis"), [(16, -1), (12, -2), (99, -2)])
def test_phase_axis_from_the_header(tmp_path, x, axis):
    header = HEADER.replace("<x>16</x>", f"<x>{x}</x>")
    assert io.load(h5(tmp_path / "f.h5", kspace=K4, ismrmrd_header=header)).phase_axis == axis
    square = h5(tmp_path / "s.h5", kspace=centred((1, 2, x, x)), ismrmrd_header=header)
    assert io.load(square).phase_axis == -1  # where the sizes do not tell, fastMRI's layout holds


@pytest.mark.parametrize(("mask", "axis"), [
    (None, -2), (masks.random((16, 12), 4), -2), (masks.random((16, 12), 4, axis=-1), -1), (np.ones((16, 12)), -2)])
def test_phase_axis_from_the_mask(mask, axis):
    assert io.Scan(K3, mask).phase_axis == axis


def test_fastmri_single_coil(tmp_path):
    scan = io.load(h5(tmp_path / "a.h5", kspace=K3, reconstruction_esc=np.ones((3, 16, 12))))
    assert (scan.kspace == K3[:, None]).all()
    assert scan.reference.shape == (3, 16, 12)
    assert scan.warnings() == []
    assert any("of one coil" in w for w in io.load(h5(tmp_path / "b.h5", kspace=K3)).warnings())


def test_links_inside_the_file_are_followed(tmp_path):
    path = h5(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["group/data"] = K4
        file["alias"] = h5py.SoftLink("/group")
        file["kspace"] = h5py.SoftLink("alias/data")
    assert (io.load(path).kspace == K4).all()


@pytest.mark.parametrize(("name", "coils"), [
    ("invivo_brain_cimax_16ch", 16), ("head_sag_1ch", 1), ("phantom_cimax_16ch", 16)])
def test_real_scans(name, coils):
    scan = io.load(data_path(f"kspace/{name}.h5"))
    assert scan.kspace.shape[:2] == (1, coils)
    assert abs(scan.rss() - scan.reference).max() < 1e-6  # their RSS was made elsewhere
    assert scan.warnings() == []
    assert scan.phase_axis == -2
    assert scan.meta["license"]


def test_real_undersampled_scan_and_foreign_files():
    scan = io.load(data_path("kspace/brain_sigpytut_8ch_undersampled.h5"))
    assert (scan.mask == (scan.kspace != 0).any(axis=(0, 1))).all()
    assert scan.warnings() == []
    with pytest.raises(ValueError, match=r"no dataset kspace; it holds: image \(128, 128\), mps \(32, 128, 128\)"):
        io.load(data_path("maps/neonatal_32ch.h5"))
    radial = io.load(data_path("noncartesian/phantom_radial33_17ch.h5"))
    assert (radial.axes, radial.size) == (("slice", "coil", "shot", "sample"), (128, 128))


# --- BART

def test_bart_kspace_is_ours(tmp_path):
    bart(tmp_path, "phantom", "-x", "64", "-k", "-s", "8", "full")
    bart(tmp_path, "resize", "-c", "1", "48", "full", "ksp")  # another size along y
    bart(tmp_path, "fft", "-u", "-i", "3", "ksp", "img")
    bart(tmp_path, "rss", "8", "img", "rss")
    scan = io.load(tmp_path / "ksp.cfl")
    assert scan.kspace.shape == (8, 48, 64)  # (coil, ky, kx): BART's x, 64, is last
    assert scan.warnings() == []
    coils = cfl.read_coils(tmp_path / "img")
    ours = fft(scan.kspace, (-2, -1), inverse=True)
    assert np.linalg.norm(ours - coils) < 1e-6 * np.linalg.norm(coils)
    io.save(tmp_path / "ours.cfl", scan.rss())
    assert float(bart(tmp_path, "nrmse", "rss", "ours")) < 1e-6
    assert (io.load_image(tmp_path / "rss.hdr") == io.load_image(tmp_path / "rss.cfl")).all()
    assert io.load(tmp_path / "ksp.cfl", mps=tmp_path / "img.cfl").mps.shape == (8, 48, 64)
    # one entry, read by BART and by us
    bart(tmp_path, "slice", "0", "40", "1", "20", "3", "5", "ksp", "one")
    one = complex(bart(tmp_path, "show", "one").strip().replace("i", "j"))
    assert one == pytest.approx(complex(scan.kspace[5, 20, 40]), rel=1e-5)  # BART's x 40, y 20, coil 5


@pytest.mark.parametrize(("array", "coils", "dims"), [
    (K4, True, {0: 12, 1: 16, 3: 3, 13: 2}), (K3, True, {0: 12, 1: 16, 3: 3}), (K3, False, {0: 12, 1: 16, 13: 3}),
    (K3[0].real, False, {0: 12, 1: 16})])
def test_bart_reads_what_we_write(tmp_path, array, coils, dims):
    cfl.write(tmp_path / "a", array, coils=coils)
    expected = [dims.get(d, 1) for d in range(16)]
    shown = next(line for line in bart(tmp_path, "show", "-m", "a").splitlines() if line.startswith("AoD"))
    assert [int(n) for n in shown.split()[1:]] == expected
    bart(tmp_path, "scale", "2", "a", "b")
    again = (cfl.read_coils if coils else cfl.read_image)(tmp_path / "b.cfl")
    assert (again == 2 * array).all()
    assert again.shape == array.shape
    assert (cfl.read(tmp_path / "a.hdr").T.shape) == tuple(expected)


@pytest.mark.parametrize("shape", [(2, 3, 16, 12), (4, 2, 3, 16, 12)])
def test_sets_of_maps_lie_in_barts_dimension_4(tmp_path, shape):
    mps = centred(shape)
    cfl.write(tmp_path / "a", mps, coils=True, sets=True)
    assert cfl.read(tmp_path / "a").T.shape == (12, 16, 1, 3, 2, *[1] * 8, *((4,) if len(shape) == 5 else (1,)), 1, 1)
    bart(tmp_path, "scale", "2", "a", "b")
    np.testing.assert_array_equal(cfl.read_maps(tmp_path / "b"), 2 * mps)
    np.testing.assert_array_equal(cfl.read_maps(tmp_path / "b", slices=True).reshape(shape), 2 * mps)
    assert cfl.read_maps(tmp_path / "b", slices=True).ndim == 5
    for read, what in ((cfl.read_coils, r"4 \(maps\) = 2"), (cfl.read_image, r"3 \(coil\) = 3")):
        with pytest.raises(ValueError, match=what):
            read(tmp_path / "b")
    with pytest.raises(ValueError, match="array has 3 dimensions"):
        cfl.write(tmp_path / "c", mps[..., 0, :, :, :].reshape(-1, 16, 12), coils=True, sets=True)


def test_cfl_bytes_are_column_major(tmp_path):
    cfl.write(tmp_path / "a.cfl", np.arange(6).reshape(2, 3))  # y = 2, x = 3: x runs fastest
    assert np.fromfile(tmp_path / "a.cfl", "<f4").tolist() == [0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert (tmp_path / "a.hdr").read_text().splitlines()[:2] == ["# Dimensions", "3 2" + " 1" * 14]
    assert not [p for p in os.listdir(tmp_path) if p.startswith(".")]


@pytest.mark.parametrize(("dims", "shape"), [
    ("1 12 16 3", (3, 16, 12)), ("12 16 1 3", (3, 16, 12)), ("12 48", (1, 48, 12))])
def test_cfl_dimensions(tmp_path, dims, shape):
    (tmp_path / "a.hdr").write_text(f"# Dimensions\n{dims}\n")
    K3.tofile(tmp_path / "a.cfl")
    assert (io.load(tmp_path / "a.cfl").kspace == K3.reshape(shape)).all()


# --- save, load_image, atomic

@pytest.mark.parametrize("suffix", [".h5", ".npy", ".cfl"])
@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7)])
def test_image_round_trip(tmp_path, suffix, shape):
    image = centred(shape)
    io.save(tmp_path / f"a{suffix}", torch.from_numpy(image))
    again = io.load_image(tmp_path / f"a{suffix}")
    assert again.dtype == np.complex64
    assert (again == (image[None] if suffix == ".h5" and len(shape) == 2 else image)).all()
    assert {p.suffix for p in tmp_path.iterdir()} == ({".cfl", ".hdr"} if suffix == ".cfl" else {suffix})
    assert not any(p.name.startswith(".") for p in tmp_path.iterdir())


def test_saved_h5_says_how_it_was_made(tmp_path):
    recipe = {"prior": {"name": "TV", "lam": 1e-3}, "solver": "ADMM"}
    meta = {"note": "x", "slices": [1, 2], "seconds": np.float32(2.5), "nested": {"a": None}}
    for name in ("a.h5", "b.h5"):
        io.save(tmp_path / name, np.ones((2, 4, 4)), recipe=recipe, scale=3e4, meta=meta)
    with h5py.File(tmp_path / "a.h5") as file:
        attrs = dict(file.attrs)
        assert file["reconstruction"].dtype == np.complex64
    assert json.loads(attrs["recipe"]) == recipe
    assert attrs["scale"] == 3e4
    assert attrs["numpy_version"] == np.__version__
    assert torch.__version__.startswith(attrs["torch_version"])  # some wheels do not say their "+cu130"
    assert {"pisolve_version", "sigpy_version"} <= set(attrs)
    assert (attrs["note"], json.loads(attrs["slices"]), attrs["seconds"]) == ("x", [1, 2], 2.5)
    assert json.loads(attrs["nested"]) == {"a": None}
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_atomic_keeps_the_old_file_and_removes_the_temporary(tmp_path):
    target = tmp_path / "a.npy"
    target.write_text("old")
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), io.atomic(target) as temporary:
            temporary.write_text("half")
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".npy"
            raise error
        assert target.read_text() == "old"
        assert os.listdir(tmp_path) == ["a.npy"]
    (tmp_path / "link.npy").symlink_to(target)
    with io.atomic(tmp_path / "link.npy") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.npy").is_symlink()
    assert target.read_text() == "new"
    other = tmp_path / "plain"
    other.write_text("")
    assert target.stat().st_mode == other.stat().st_mode  # the usual permissions, not a temporary file's


def test_failed_saves_leave_nothing(tmp_path):
    for name, options in (("a.h5", {"recipe": {"f": print}}), ("a.h5", {"meta": {"recipe": 1}}),
                          ("a.npy", {"scale": 2.0}), ("a.h5", {"meta": {"long": "x" * 70000}}),
                          ("a.xyz", {}), ("a", {})):
        with pytest.raises((TypeError, ValueError)):
            io.save(tmp_path / name, np.ones((4, 4)), **options)
    for value in (np.nan, 1e300):
        for name in ("a.h5", "a.cfl"):
            with pytest.raises(ValueError, match="NaN or Inf"), np.errstate(over="ignore"):
                io.save(tmp_path / name, np.full((4, 4), value))
    with pytest.raises(FileNotFoundError, match="folder"):
        io.save(tmp_path / "no" / "a.npy", np.ones((4, 4)))
    (tmp_path / "dir.npy").mkdir()
    with pytest.raises(IsADirectoryError):
        io.save(tmp_path / "dir.npy", np.ones((4, 4)))
    assert os.listdir(tmp_path) == ["dir.npy"]


# --- npy and npz

def test_numpy_files(tmp_path):
    mask = masks.random((16, 12), 2)
    np.save(tmp_path / "a.npy", K3)
    np.save(tmp_path / "f.npy", np.asfortranarray(K4.astype(">c16")))
    np.savez_compressed(tmp_path / "b.npz", kspace=K4 * mask, mask=mask, mps=K3, reference=abs(K4[:, 0]))
    assert (io.load(tmp_path / "a.npy", mps=K3).mps == K3).all()
    assert (io.load(tmp_path / "f.npy").kspace == K4).all()
    assert io.load(tmp_path / "f.npy").kspace.dtype == np.complex128
    scan = io.load(str(tmp_path / "b.npz"))
    assert (scan.mask == mask).all()
    assert (scan.mps == K3).all()
    assert scan.reference.shape == (2, 16, 12)
    assert (io.load(tmp_path / "a.npy", mps=tmp_path / "b.npz").mps == K3).all()
    np.save(tmp_path / "two.npy", K3[:2])
    with pytest.raises(ValueError, match="mps has shape"):
        io.load(tmp_path / "a.npy", mps=tmp_path / "two.npy")


def test_wrong_kinds_of_arguments(tmp_path):
    for call in (lambda: io.load(3), lambda: io.save(None, np.ones((4, 4))), lambda: io.save(tmp_path / "a.npy", [[1]]),
                 lambda: io.load(tmp_path / "a.npz", max_bytes="1 GB")):
        np.savez(tmp_path / "a.npz", kspace=K3)
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="no image"):
        io.load_image(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="no array mps"):
        io.load(tmp_path / "a.npz", mps=tmp_path / "a.npz")
    with pytest.raises(ValueError, match="no dataset reconstruction"):
        io.load_image(h5(tmp_path / "a.h5", kspace=K4))
