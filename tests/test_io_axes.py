"""Every kind of scan through every format and back: the names of axes, masks with fewer axes, images."""

import json

import h5py
import nibabel
import numpy as np
import pytest
from conftest import data_path
from helpers import bart, refused
from test_io import centred, h5

import pisolve as pi
from pisolve import io
from pisolve.io import cfl, named

RNG = np.random.default_rng(2)
SIZES = {"slice": 2, "frame": 5, "echo": 3, "coil": 4, "kz": 6, "ky": 16, "kx": 12}
KINDS = {"one coil": ("coil", "ky", "kx"), "slice": ("coil", "ky", "kx"), "volume": ("slice", "coil", "ky", "kx"),
         "series": ("frame", "coil", "ky", "kx"), "series of slices": ("slice", "frame", "coil", "ky", "kx"),
         "3-D": ("coil", "kz", "ky", "kx"), "3-D series": ("frame", "coil", "kz", "ky", "kx"),
         "multi-echo": ("echo", "coil", "ky", "kx"), "echoes of frames": ("frame", "echo", "coil", "kz", "ky", "kx")}


def made(kind, *, empty=False):
    """A scan of this kind, whose slices, frames, ... have lines of their own; an `empty` one has a part without any."""
    axes = KINDS[kind]
    shape = tuple(1 if kind == "one coil" and a == "coil" else SIZES[a] for a in axes)
    mask = RNG.random([1 if a == "kx" else n for a, n in zip(axes, shape) if a != "coil"]) > 0.5
    mask[..., mask.shape[-2] // 2, :] = True
    if empty:
        mask[0] = False
    inner = 3 if "kz" in axes else 2
    kspace = centred(shape) * np.expand_dims(mask, -1 - inner)
    return io.Scan(kspace, mask, axes=axes, calib=None if empty else centred(shape[-1 - inner:])[..., 4:12, :])


SCANS = {kind: made(kind) for kind in KINDS} | {f"{kind}, a part empty": made(kind, empty=True)
                                                for kind in ("volume", "series", "series of slices", "3-D series")}


def as_npz(path, scan, **more):
    np.savez(path, **{n: getattr(scan, n) for n in ("kspace", "mask", "mps", "reference", "calib")
                      if getattr(scan, n) is not None}, axes=list(scan.axes), **more)


def as_h5(path, scan):
    names = {"mask": scan.mask, "calib": scan.calib, "kspace": scan.kspace}
    h5(path, {"axes": list(scan.axes)}, **{n: a for n, a in names.items() if a is not None})


WRITERS = {".npz": as_npz, ".zarr": io.save_scan, ".h5": as_h5, ".mrd": io.save_mrd,
           ".cfl": lambda p, s: cfl.write(p, s.kspace, axes=s.axes), ".npy": lambda p, s: np.save(p, s.kspace)}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("kind", SCANS)
def test_scans_come_back(tmp_path, kind, suffix):
    scan, path = SCANS[kind], tmp_path / f"a{suffix}"
    WRITERS[suffix](path, scan)
    again = io.load(path, axes=scan.axes if suffix == ".npy" else None)
    assert again.axes == scan.axes
    assert again.kspace.dtype == np.complex64
    assert (again.kspace == scan.kspace).all()
    if suffix in (".npz", ".h5", ".mrd", ".zarr"):
        assert np.array_equal(again.mask, scan.mask)
        assert scan.calib is None or np.array_equal(again.calib, scan.calib)
        assert again.encoding.own == scan.encoding.own
    assert again.image_axes == scan.image_axes


@pytest.mark.parametrize("suffix", [".h5", ".npy", ".cfl", ".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", KINDS)
def test_images_come_back(tmp_path, kind, suffix):
    axes = SCANS[kind].image_axes
    image, path = centred([SIZES[named._axes.ENCODED.get(a, a)] for a in axes]), tmp_path / f"a{suffix}"
    io.save(path, image, axes=axes, magnitude=False)
    again, told = io.load_image(path), io.image_axes(path)
    if axes == ("y", "x") and suffix not in (".npy", ".cfl"):  # as ever: a slice of its own
        image, axes = image[None], ("slice", "y", "x")
    assert again.shape == image.shape
    assert (again == image).all()
    assert told == (axes if suffix != ".npy" else {2: ("y", "x"), 3: ("slice", "y", "x")}.get(image.ndim))
    assert len(list(tmp_path.iterdir())) == (2 if suffix == ".cfl" else 1)


def test_images_without_names_are_as_before(tmp_path):
    image = centred((3, 16, 12))
    for suffix in (".h5", ".nii", ".cfl"):
        io.save(tmp_path / f"a{suffix}", image)
        io.save(tmp_path / f"b{suffix}", image, axes=("slice", "y", "x"))
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
        assert io.image_axes(tmp_path / f"a{suffix}") == ("slice", "y", "x")
    with h5py.File(tmp_path / "a.h5") as file:
        assert "axes" not in file.attrs


@pytest.mark.parametrize(("axes", "message"), [
    (None, "image has 4 dimensions, shape (2, 3, 4, 4): name them, for example axes=('slice', 'frame', 'y', 'x')"),
    (("y", "x"), "axes names 2 axes, y, x, and the image has 4"),
    (("frame", "coil", "y", "x"), "and none of k-space"), (("frame", "y", "x", "echo"), "at the end are needed"),
    (("frame", "frame", "y", "x"), "name one axis twice"), (("frame", "echo", "ky", "kx"), "at the end are needed"),
    (("z", "frame", "y", "x"), "'y', 'x' or 'z', 'y', 'x' at the end"), ("a,b", "axes names 2 axes")])
def test_names_of_images_that_do_not_fit(tmp_path, axes, message):
    refused(lambda: io.save(tmp_path / "a.h5", np.ones((2, 3, 4, 4)), axes=axes), ValueError, message)
    assert not list(tmp_path.iterdir())


def test_what_formats_cannot_hold(tmp_path):
    image = np.ones((2, 3, 4, 4))
    refused(lambda: io.save(tmp_path / "a.cfl", image, axes=("cycle", "frame", "y", "x")), ValueError,
            "the axis 'cycle' has no dimension in BART's files")
    io.save(tmp_path / "a.h5", image, axes=("cycle", "frame", "y", "x"))
    assert io.image_axes(tmp_path / "a.h5") == ("cycle", "frame", "y", "x")
    refused(lambda: io.save(tmp_path / "a.nii", image[None, None, None], axes="frame,echo,set,repetition,cycle,y,x"),
            ValueError, "NIfTI has seven with one of slices")
    np.save(tmp_path / "a.npy", image)
    assert io.image_axes(tmp_path / "a.npy") is None
    np.save(tmp_path / "b.npy", image[0, 0, 0])
    refused(lambda: io.load_image(tmp_path / "b.npy"), ValueError, "image has 1 dimensions")


def test_nifti_knows_pixels_and_frames(tmp_path):
    """(x, y, slice, frame) for other programs, with mm and seconds."""
    affine = [[0, -2.0, 0, 5], [-3.0, 0, 0, 1], [0, 0, 4.0, -2], [0, 0, 0, 1.0]]
    image, path = abs(centred((2, 5, 16, 12))), tmp_path / "a.nii.gz"
    for axes, meta in ((("slice", "frame", "y", "x"), {"voxel_mm": [4.0, 2.0, 3.0], "frame_s": 0.05}),
                       (("frame", "z", "y", "x"), {"affine": affine, "frame_s": 0.05})):
        io.save(path, image, axes=axes, meta=meta)
        found = nibabel.load(path)
        lead = [axes.index("frame"), 1 - axes.index("frame")]
        assert found.shape == (12, 16, image.shape[lead[1]], image.shape[lead[0]])
        assert (found.get_fdata() == image.transpose(3, 2, lead[1], lead[0])).all()
        assert np.allclose(found.header.get_zooms(), (3, 2, 4, 0.05))
        assert found.header.get_xyzt_units() == ("mm", "sec")
        assert ("affine" not in meta) or np.allclose(found.affine, affine)
    io.save(path, image, axes=("frame", "z", "y", "x"))
    assert nibabel.load(path).header.get_xyzt_units() == ("mm", "unknown")
    for value in (0, "x", -1):
        with pytest.raises((TypeError, ValueError), match="frame_s"):
            io.save(path, image, axes=("frame", "z", "y", "x"), meta={"frame_s": value})
    nibabel.Nifti1Image(image.transpose(3, 2, 0, 1), np.eye(4)).to_filename(path)  # somebody else's
    assert io.image_axes(path) == ("slice", "frame", "y", "x")
    assert (io.load_image(path) == image.astype(np.float32)).all()


# --- names

@pytest.mark.parametrize("said", [
    "frame,coil,ky,kx", " frame, coil, ky, kx ", '["frame", "coil", "ky", "kx"]', ["frame", "coil", "ky", "kx"],
    np.array(["frame", "coil", "ky", "kx"], "S"), "(frame, coil, ky, kx)",
    "kspace (frame,coil,ky,kx), kx read-out; mask (frame,ky,kx)"])
def test_ways_to_name_axes(tmp_path, said):
    scan = SCANS["series"]
    h5(tmp_path / "a.h5", {"axes": said}, kspace=scan.kspace, mask=scan.mask)
    np.savez(tmp_path / "a.npz", kspace=scan.kspace, mask=scan.mask, axes=said)
    with h5py.File(h5(tmp_path / "b.h5", kspace=scan.kspace), "a") as file:
        file["kspace"].attrs["axes"] = said
    h5(tmp_path / "c.h5", kspace=scan.kspace, axes=said)
    for name in ("a.h5", "a.npz", "b.h5", "c.h5"):
        again = io.load(tmp_path / name)
        assert again.axes == scan.axes
        assert (again.kspace == scan.kspace).all()
        assert name[0] != "a" or (again.mask == scan.mask).all()


def test_axes_in_another_order(tmp_path):
    """As MATLAB writes them: everything comes into the order of `Scan`."""
    scan = SCANS["series of slices"]
    order = ("kx", "ky", "coil", "frame", "slice")
    turned = scan.kspace.transpose([scan.axes.index(a) for a in order])
    h5(tmp_path / "a.h5", {"axes": ",".join(order), "mask_axes": "ky,frame,slice"}, kspace=turned,
       mask=scan.mask[..., 0].transpose(2, 1, 0))
    again = io.load(tmp_path / "a.h5")
    assert again.axes == scan.axes
    assert (again.kspace == scan.kspace).all()
    assert (again.mask == scan.mask).all()


def test_the_users_names_come_first(tmp_path):
    scan = SCANS["series"]
    as_npz(tmp_path / "a.npz", scan)
    h5(tmp_path / "a.h5", {"axes": "echo,coil,ky,kx"}, kspace=scan.kspace)
    cfl.write(tmp_path / "a.cfl", scan.kspace, axes=scan.axes)
    cfl.write(tmp_path / "b.cfl", scan.kspace, axes=("maps", "coil", "y", "x"))
    np.save(tmp_path / "a.npy", scan.kspace)
    for name in ("a.npz", "a.h5", "a.cfl", "b.cfl", "a.npy"):
        assert io.load(tmp_path / name, axes=("set", "coil", "ky", "kx")).axes == ("set", "coil", "ky", "kx")
        assert io.load(tmp_path / name, axes="slice,coil,ky,kx").encoding.axes == ("slice", "ky", "kx")
        refused(lambda name=name: io.load(tmp_path / name, axes="coil,ky,kx"), ValueError, f"{name}: axes names 3")
    io.save_mrd(tmp_path / "a.mrd", scan)
    refused(lambda: io.load(tmp_path / "a.mrd", axes=scan.axes), ValueError, "whose counters name them")


@pytest.mark.parametrize(("said", "message"), [
    ("time,coil,ky,kx", "axes names 'time', which is no axis of k-space: write 'frame'; or say them otherwise, load("),
    ("coil,ky,kx", "axes names 3 axes, coil, ky, kx, and kspace has 4"),
    ("kspace (acquisition,coil,line,sample) as measured", "two or three of 'kz', 'ky' and 'kx' are needed"),
    (["frame", "frame", "ky", "kx"], "name one axis twice")])
def test_names_that_do_not_fit(tmp_path, said, message):
    kspace = SCANS["series"].kspace
    h5(tmp_path / "a.h5", {"axes": said}, kspace=kspace)
    np.savez(tmp_path / "a.npz", kspace=kspace, axes=said)
    for name in ("a.h5", "a.npz"):
        refused(lambda name=name: io.load(tmp_path / name), ValueError, message)


@pytest.mark.parametrize("said", ["hello", "all axes", "(slice, y, x) of the image, 0.5 mm", [1, 2], "[1"])
def test_an_attribute_that_names_no_axes_is_left_alone(tmp_path, said):
    scan = io.load(h5(tmp_path / "a.h5", {"axes": said}, kspace=SCANS["volume"].kspace))
    assert scan.axes == ("slice", "coil", "ky", "kx")
    assert "axes" in scan.meta


def test_entries_that_are_no_names(tmp_path):
    np.savez(tmp_path / "a.npz", kspace=SCANS["series"].kspace, axes=np.arange(4))
    refused(lambda: io.load(tmp_path / "a.npz"), ValueError, "axes has dtype int64: names such as")
    h5(tmp_path / "a.h5", kspace=SCANS["series"].kspace, axes=np.arange(4))
    refused(lambda: io.load(tmp_path / "a.h5"), ValueError, "axes must be names of axes, such as 'frame,coil,ky,kx'")


# --- masks

@pytest.mark.parametrize(("kind", "own"), [
    ("series", "frame,ky"), ("series", "ky,frame"), ("3-D", "kz,ky"), ("3-D series", "frame,kz,ky"),
    ("series of slices", "frame,ky"), ("series of slices", "slice,ky"), ("echoes of frames", "echo,kz"),
    ("slice", "ky,kx")])
def test_masks_with_fewer_axes(tmp_path, kind, own):
    axes, names = KINDS[kind], own.split(",")
    mask = RNG.random([SIZES[a] for a in names]) > 0.4
    mask[..., 0] = True
    grid = [a for a in axes if a != "coil"]
    whole = mask.transpose([names.index(a) for a in grid if a in names])
    whole = whole.reshape([SIZES[a] if a in names else 1 for a in grid])
    kspace = centred([SIZES[a] for a in axes])
    files = {"a.h5": h5(tmp_path / "a.h5", {"axes": list(axes), "mask_axes": own}, kspace=kspace, mask=mask),
             "a.npz": np.savez(tmp_path / "a.npz", kspace=kspace, mask=mask, axes=list(axes), mask_axes=own),
             "b.npz": np.savez(tmp_path / "b.npz", kspace=kspace, mask=mask, axes=list(axes)),
             "c.npz": np.savez(tmp_path / "c.npz", kspace=kspace, mask=mask)}
    for name in files:
        if own == "ky,frame" and name[0] != "a":
            continue  # in the order of k-space only
        scan = io.load(tmp_path / name, axes=axes if name == "c.npz" else None)
        assert (np.broadcast_to(scan.mask, [SIZES[a] for a in grid]) == whole).all()


def test_masks_that_may_be_more_than_one(tmp_path):
    kspace = centred((3, 2, 16, 16))
    np.savez(tmp_path / "a.npz", kspace=kspace, mask=np.ones((3, 16)), axes="frame,coil,ky,kx")
    refused(lambda: io.load(tmp_path / "a.npz"), ValueError, "mask has shape (3, 16), which may be (frame, ky) or "
            "(frame, kx): name its axes in an entry mask_axes of the file, such as 'frame,ky'")
    np.savez(tmp_path / "b.npz", kspace=kspace, mask=np.ones((3, 15)), axes="frame,coil,ky,kx")
    refused(lambda: io.load(tmp_path / "b.npz"), ValueError, "mask has shape (3, 15)")
    for own, message in (("frame,coil", "one of frame, ky, kx"), ("frame", "one of frame"), ("frame,kx", None)):
        np.savez(tmp_path / "c.npz", kspace=kspace, mask=np.eye(3, 16), axes="frame,coil,ky,kx",
                 mask_axes=own.split(","))
        if message is None:
            assert (io.load(tmp_path / "c.npz").mask == np.eye(3, 16)[:, None] * np.ones((16, 1))).all()
        else:
            refused(lambda: io.load(tmp_path / "c.npz"), ValueError, message)


# --- BART

@pytest.mark.parametrize(("dims", "axes"), [
    ("12 16 1 4 1 3", ("echo", "coil", "ky", "kx")), ("12 16 1 4 1 1 1 1 1 1 5", ("frame", "coil", "ky", "kx")),
    ("12 16 6 4", ("coil", "kz", "ky", "kx")), ("1 12 16 4", ("coil", "ky", "kx")), ("12 1 16 4", ("coil", "ky", "kx")),
    ("12 16 1 1 1 1 1 1 1 1 5 3 1 2 1 4", ("slice", "repetition", "frame2", "frame", "coil", "ky", "kx")),
    ("12 16 6 4 1 1 1 1 1 1 5", ("frame", "coil", "kz", "ky", "kx"))])
def test_barts_dimensions_are_names(tmp_path, dims, axes):
    n = [int(d) for d in dims.split()]
    array = centred(n[::-1])
    (tmp_path / "a.hdr").write_text(f"# Dimensions\n{dims}\n")
    array.tofile(tmp_path / "a.cfl")
    scan = io.load(tmp_path / "a.cfl")
    assert scan.axes == axes
    assert scan.kspace.size == array.size
    index = tuple(m - 1 for m in n)  # the last of each, and one before it along x
    assert scan.kspace[(-1,) * scan.kspace.ndim] == array.T[index]
    assert scan.kspace[(*(-1,) * (scan.kspace.ndim - 1), -2)] == array.T[tuple(
        m - (i == next(k for k, s in enumerate(n) if s > 1)) for i, m in enumerate(index))]


def test_bart_makes_a_series(tmp_path):
    """An inverse transform by BART of what we wrote, read back by name."""
    scan = SCANS["3-D series"]
    cfl.write(tmp_path / "k", scan.kspace, axes=scan.axes)
    bart(tmp_path, "fft", "-u", "-i", "7", "k", "img")
    bart(tmp_path, "rss", "8", "img", "rss")
    image = io.load_image(tmp_path / "rss.cfl")
    assert io.image_axes(tmp_path / "rss.cfl") == scan.image_axes
    assert np.allclose(image, scan.rss(), rtol=1e-4, atol=1e-5)


def test_maps_of_volumes_from_barts_files(tmp_path):
    scan = SCANS["3-D"]
    cfl.write(tmp_path / "k.cfl", scan.kspace, axes=scan.axes)
    one, two = centred(scan.kspace.shape), centred((2, *scan.kspace.shape))
    cfl.write(tmp_path / "one.cfl", one, axes=("coil", "z", "y", "x"))
    cfl.write(tmp_path / "two.cfl", two, axes=("maps", "coil", "z", "y", "x"))
    for name, mps, sets in (("one", one, 1), ("two", two, 2)):
        found = io.load(tmp_path / "k.cfl", mps=tmp_path / f"{name}.cfl")
        assert (found.mps == mps).all()
        assert found.sets == sets


# --- real files, and images of recipes

@pytest.mark.parametrize(("name", "axes", "own"), [
    ("hp_rat_pyruvate", ("frame", "coil", "kz", "ky", "kx"), ("frame",)),
    ("hp_rat_lactate", ("frame", "coil", "kz", "ky", "kx"), ("frame",)),
    ("hp_rat_urea_full", ("frame", "coil", "kz", "ky", "kx"), ()),
    ("gre_3echoes_unipolar", ("echo", "coil", "ky", "kx"), ()),
    ("gre_3echoes_bipolar", ("echo", "coil", "ky", "kx"), ()),
    ("brain_moco_7ch", ("slice", "coil", "ky", "kx"), ())])
def test_real_files(tmp_path, name, axes, own):
    path = data_path(f"kspace/{name}.h5")
    scan = io.load(path)
    assert scan.axes == axes
    assert scan.encoding.own == own
    assert scan.readout == "kx"
    with h5py.File(path) as file:
        assert (scan.kspace == file["kspace"][()]).all()
        if "mask" in file:
            mask = np.broadcast_to(scan.mask, scan.encoding.shape)
            assert (mask == file["mask"][()][..., None]).all()
        if "reconstruction_rss" in file:
            assert abs(scan.rss() - scan.reference).max() < 1e-5
    io.save_mrd(tmp_path / "a.mrd", scan)
    again = io.load(tmp_path / "a.mrd")
    assert again.axes == axes
    assert (again.kspace == scan.kspace).all()
    assert scan.mask is None or (np.broadcast_to(again.mask, again.encoding.shape)
                                 == np.broadcast_to(scan.mask, scan.encoding.shape)).all()


def test_a_reconstruction_is_saved_with_its_axes(tmp_path):
    scan = SCANS["series"]
    done = pi.recon(io.Scan(scan.kspace, scan.mask, np.ones((4, 16, 12)) / 2, axes=scan.axes,
                            meta={"voxel_mm": [4, 2, 2], "frame_s": 0.5}), 1e-3 * pi.Tikhonov(), max_iter=3)
    for suffix in (".h5", ".nii", ".cfl", ".npy"):
        done.save(tmp_path / f"a{suffix}")
        assert np.allclose(abs(io.load_image(tmp_path / f"a{suffix}")), abs(done.x))
        assert io.image_axes(tmp_path / f"a{suffix}") == (("slice" if suffix == ".npy" else "frame"), "y", "x")
    assert nibabel.load(tmp_path / "a.nii").header.get_zooms() == (2, 2, 4, 0.5)
    with h5py.File(tmp_path / "a.h5") as file:
        assert json.loads(file.attrs["recipe"])
        assert file.attrs["axes"] == "frame,y,x"
