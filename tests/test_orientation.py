"""Where images lie in the patient: phantoms with named places, per vendor and reader, in NIfTI and back in raw data."""

import re

import h5py
import nibabel
import numpy as np
import pytest
from test_mrd import header, readout, write
from test_twix import block
from test_twix import write as write_twix
from twixtools.geometry import quat_to_rotmat

from pisolve import io, linops
from pisolve.backend import fft
from pisolve.io.geometry import SIGNS, directions_of

N, MM = (8, 20, 16), np.array([5.0, 3.0, 4.0])  # slice or z, y, x
POSITION = np.array([7.0, -11.0, 23.0])  # mm to the left, back and head
PLACES = {"middle": (0, 0, 0), "left": (0, 0, 6), "back": (0, 5, 0), "head": (3, 0, 0), "corner": (-2, -4, 5)}
ANGLE = np.deg2rad(25)
TURN = np.array([[1, 0, 0], [0, np.cos(ANGLE), -np.sin(ANGLE)], [0, np.sin(ANGLE), np.cos(ANGLE)]])
# (slice, phase, read) directions, left, back, head: axial with reading to the left, and something oblique
DIRECTIONS = {"axial": np.eye(3)[[2, 1, 0]], "oblique": np.eye(3)[[0, 2, 1]] @ TURN}


def phantom(sign, volume):
    """({name: (index in the image, mm to the left, back, head along the axes)}, image) of single bright points.

    `sign` is how the axes of the inverse FFT run against the directions; slices are counted along theirs.
    """
    image, where = np.zeros(N, np.complex64), {}
    for k, (name, step) in enumerate(PLACES.items()):
        signs = np.array([sign if volume else 1, sign, sign])
        index = tuple(np.array(N) // 2 + signs * step)
        image[index], where[name] = k + 1, (index, np.array(step) * MM)
    return where, image


def vendor(xml, name):
    return xml if name is None else xml.replace("<relativeRec", f"<systemVendor>{name}</systemVendor><relativeRec", 1)


def mrd_file(path, image, directions, maker, volume):
    """An ISMRMRD file of one coil."""
    z, y, x = N
    fov = MM * (N if volume else (1, *N[1:]))
    one = header(x, y, z if volume else 1, limits=[(0, y - 1, y // 2), (0, z - 1, z // 2) if volume else (0, 0, 0)])
    size = "".join(f"<{a}>{n}</{a}>" for a, n in zip("zyx", fov))
    one = re.sub("<fieldOfView_mm>.*?</fieldOfView_mm>", f"<fieldOfView_mm>{size}</fieldOfView_mm>", one)
    kspace, head = fft(image, (-3, -2, -1) if volume else (-2, -1)), dict(
        zip(("slice_dir", "phase_dir", "read_dir"), map(tuple, directions)))
    made = []
    for s, line in np.ndindex(z, y):
        place = POSITION if volume else POSITION + (s - z // 2) * MM[0] * directions[0]
        made.append(readout(kspace[s, line][None], y=line, **({"z": s} if volume else {"slice": s}),
                            head=head | {"position": tuple(place)}))
    return write(path, vendor(one, maker), made)


def check(scan, where, directions, code):
    """That meta['affine'] says of each bright point where it is, and NIfTI with it."""
    image = abs(fft(scan.kspace, (-3, -2, -1) if "kz" in scan.axes else (-2, -1), inverse=True))
    image = image[0] if "kz" in scan.axes else image[:, 0]
    lps = np.diag([-1, -1, 1, 1]) @ np.array(scan.meta["affine"])
    for k, (name, (index, along)) in enumerate(where.items()):
        assert image[index] == pytest.approx(k + 1, abs=1e-3), name
        expected = POSITION + along @ directions
        assert np.allclose((lps @ [*index[::-1], 1])[:3], expected, atol=1e-3), name
    assert scan.meta.get("affine_code", 1) == code
    assert np.allclose(scan.meta["voxel_mm"], MM)


@pytest.mark.parametrize("plane", DIRECTIONS)
@pytest.mark.parametrize("volume", [True, False], ids=["3-D", "2-D"])
@pytest.mark.parametrize(("maker", "sign"), [("SIEMENS", -1), ("Siemens Healthineers", -1), ("pisolve", 1),
                                             ("GE", None), ("Philips", None), (None, None)])
def test_ismrmrd(tmp_path, maker, sign, volume, plane):
    """Before, all vendors had +1 and sform code 1: images of Siemens were turned by 180 degrees, volumes mirrored."""
    where, image = phantom(sign or 1, volume)
    directions = DIRECTIONS[plane]
    path = mrd_file(tmp_path / "a.h5", image, directions, maker, volume)
    scan, code = io.load(path), 0 if sign is None else 1
    check(scan, where, directions, code)
    io.save(tmp_path / "a.nii", image, meta=scan.meta, axes=("z", "y", "x") if volume else None)
    found = nibabel.load(tmp_path / "a.nii")
    assert (int(found.header["sform_code"]), int(found.header["qform_code"])) == (code, code)
    assert np.allclose(found.header.get_sform(), scan.meta["affine"], atol=1e-4)
    assert np.allclose(found.header.get_zooms(), MM[::-1])
    io.save_mrd(tmp_path / "b.h5", scan)  # what others find in it, too
    with h5py.File(tmp_path / "b.h5", "a") as file:
        del file["pisolve"]
    check(io.load(tmp_path / "b.h5"), where, directions, code)


def quaternion(directions):
    """Siemens' (w, x, y, z) whose columns are (phase, read, slice)."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(directions[[1, 2, 0]].T).as_quat()
    return w, x, y, z


@pytest.mark.parametrize("plane", DIRECTIONS)
def test_siemens_quaternion(plane):
    """Against twixtools, which negates phase and read as we do for the image."""
    directions = DIRECTIONS[plane] * np.linalg.det(DIRECTIONS[plane][[1, 2, 0]])
    found = directions_of(quaternion(directions))
    assert np.allclose(found, directions)
    theirs = quat_to_rotmat(*quaternion(directions))  # columns phase, read, slice
    assert np.allclose(found, theirs.T[[2, 0, 1]])
    assert (directions_of((0, 0, 0, 0)) == 0).all()
    assert SIGNS["siemens"] == -1


@pytest.mark.parametrize("volume", [True, False], ids=["3-D", "2-D"])
@pytest.mark.parametrize("plane", DIRECTIONS)
def test_twix(tmp_path, volume, plane):
    """Before, twix had no place at all."""
    where, image = phantom(-1, volume)
    directions = DIRECTIONS[plane] * np.linalg.det(DIRECTIONS[plane][[1, 2, 0]])  # a rotation
    z, y, x = N
    kspace, made = fft(image, (-3, -2, -1) if volume else (-2, -1)), []
    wide = np.zeros((*N[:2], 2 * x), np.complex64)
    wide[..., x // 2 : x // 2 + x] = fft(kspace, (-1,), inverse=True)
    for s, line in np.ndindex(z, y):
        one = block(fft(wide, (-1,))[s, line][None], line=line, centre=y // 2, **({"Par": s} if volume else {"Sli": s}),
                    mdh={"CenterPar": z // 2 if volume else 0})
        place = POSITION if volume else POSITION + (s - z // 2) * MM[0] * directions[0]
        one.mdh.SliceData.SlicePos.Sag, one.mdh.SliceData.SlicePos.Cor, one.mdh.SliceData.SlicePos.Tra = place
        one.mdh.SliceData.Quaternion[:] = quaternion(directions)
        made.append(one)
    fov = {"dReadoutFOV": MM[2] * x, "dPhaseFOV": MM[1] * y, "dThickness": MM[0] * (z if volume else 1)}
    changes = {f"sSliceArray.asSlice[0].{name}": value for name, value in fov.items()}
    changes |= {"sKSpace.lBaseResolution": x, "sKSpace.lPhaseEncodingLines": y, "sKSpace.lPartitions": z,
                "sKSpace.ucDimension": 4 if volume else 2}
    scan = io.load(write_twix(tmp_path / "a.dat", (made, changes)))
    assert scan.meta["vendor"] == "SIEMENS"
    check(scan, where, directions, 1)
    coord = np.stack(np.meshgrid(np.arange(y) - y // 2, (np.arange(2 * x) - x) / 2, indexing="ij"), -1)
    for size in (None, (z, y, x) if volume else (y, x)):  # the same lines as samples anywhere, of the same image
        found = io.load(tmp_path / "a.dat", coord=coord, size=size)
        np.testing.assert_allclose(found.meta["affine"], scan.meta["affine"], atol=1e-9)
        assert np.allclose(found.meta["voxel_mm"], MM)
        assert "affine_code" not in found.meta
    if not volume:
        one, theirs = found.kspace[z // 2], fft(scan.kspace[z // 2], (-2, -1), inverse=True)[0]
        ours = linops.sense(np.ones((1, y, x), np.complex64), coord=coord).H(one)
        assert abs(np.vdot(ours, theirs)) > 0.999 * np.linalg.norm(ours) * np.linalg.norm(theirs)


def slices(path, places, directions):
    """An ISMRMRD file of one line a slice, slice s with the value s + 1."""
    made = [readout(np.full((1, 12), s + 1), y=8, slice=s, head=dict(zip(
        ("position", "slice_dir", "phase_dir", "read_dir"), (tuple(place), *map(tuple, d)))))
        for s, (place, d) in enumerate(zip(places, directions))]
    return write(path, vendor(header(), "SIEMENS"), made)


def test_planes_that_no_matrix_places(tmp_path):
    """A three-plane localiser, tilted stacks, a gap between slices: before, one sheared matrix with sform code 1."""
    axial, sagittal, coronal = np.eye(3)[[2, 1, 0]], np.eye(3)[[0, 2, 1]], np.eye(3)[[1, 2, 0]]
    tilted = axial @ TURN
    for planes, places, message in (
            ((axial, sagittal, coronal), [(10 * s, 5 * s, -3 * s) for s in range(3)], "3 slices are not parallel"),
            ((axial, axial, tilted, tilted), [(0, 0, 5 * s) for s in range(4)], "4 slices are not parallel"),
            ((axial,) * 4, [(0, 0, z) for z in (0, 5, 30, 35)], "4 slices are not evenly spaced")):
        path = slices(tmp_path / "a.h5", places, planes)
        with pytest.warns(UserWarning, match=message):
            scan = io.load(path)
        assert "affine" not in scan.meta
        assert (abs(scan.kspace[:, 0, 8, 0]) == np.arange(len(planes)) + 1).all()
        one = io.load(path, part={"slice": 1})
        lps = np.diag([-1, -1, 1, 1]) @ np.array(one.meta["affine"]) @ [6, 8, 0, 1]
        assert np.allclose(lps[:3], places[1])


@pytest.mark.parametrize("told", [True, False], ids=["quaternion", "positions alone"])
@pytest.mark.parametrize("normal", [(1, -1, 0), (0.5, 0.5, -0.7071), (0.866, -0.5, 0), (0, 0, 1)])
def test_order_of_twix_slices(tmp_path, normal, told):
    """Stored 1, 3, 5, 0, 2, 4; before, those along (1, -1, 0) came as 5, 2, 0, 1, 4, 3."""
    normal, made = np.array(normal) / np.linalg.norm(normal), []
    other = np.cross(normal, (0.3, 0.2, 0.9))
    other /= np.linalg.norm(other)
    directions = np.array([normal, other, np.cross(normal, other)])
    directions[2] *= np.linalg.det(directions[[1, 2, 0]])
    for s, place in enumerate((1, 3, 5, 0, 2, 4)):
        one = block(np.full((1, 24), place + 1), line=8, Sli=s)
        at = 10.3 * normal * place + [3.1, -17.7, 8.9]
        one.mdh.SliceData.SlicePos.Sag, one.mdh.SliceData.SlicePos.Cor, one.mdh.SliceData.SlicePos.Tra = at
        if told:
            one.mdh.SliceData.Quaternion[:] = quaternion(directions)
        made.append(one)
    scan = io.load(write_twix(tmp_path / "a.dat", (made, ())))
    order = np.argsort(abs(scan.kspace[:, 0, 8]).max(axis=-1)).tolist()
    assert order in ([*range(6)], [*range(5, -1, -1)])
    assert not told or order == [*range(6)]
    assert ("affine" in scan.meta) == told


def test_a_slice_is_as_thick_as_the_image(tmp_path):
    """Before, 7.5 mm, which is what was encoded."""
    xml = header(fov=(24, 32, 7.5))
    scan = io.load(write(tmp_path / "a.h5", xml, [readout(np.ones((1, 12)), y=8)]))
    assert scan.meta["voxel_mm"] == [5.0, 2.0, 2.0]
