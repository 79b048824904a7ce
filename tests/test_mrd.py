"""ISMRMRD: files that its own library wrote are read back as the k-space they were made of, flag by flag."""

import ast
import json
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from conftest import data_path
from test_io import centred, h5

import pisolve.cli
from pisolve import io, masks
from pisolve.backend import fft
from pisolve.io import mrd
from pisolve.io.readouts import centred_window

SLICES, COILS, KY, KX = 2, 3, 16, 12
TRUTH = centred((SLICES, COILS, KY, KX))
RNG = np.random.default_rng(5)


def header(x=KX, y=KY, z=1, *, out=None, limits=None, extra="", trajectory="cartesian", bandwidth=0.8, fov=None,
           encodings=1):
    """An ISMRMRD header; `limits` are (minimum, maximum, centre) of the lines, then of the partitions."""
    steps = "".join(f"<kspace_encoding_step_{i}><minimum>{a}</minimum><maximum>{b}</maximum><center>{c}</center>"
                    f"</kspace_encoding_step_{i}>" for i, (a, b, c) in enumerate(limits or [], 1))

    def space(name, n):
        size = fov if fov and name == "encodedSpace" else (2 * n, 2 * y, 5 * z)
        return (f"<{name}><matrixSize><x>{n}</x><y>{y}</y><z>{z}</z></matrixSize><fieldOfView_mm><x>{size[0]}</x>"
                f"<y>{size[1]}</y><z>{size[2]}</z></fieldOfView_mm></{name}>")

    return ('<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><acquisitionSystemInformation>'
            f"<relativeReceiverNoiseBandwidth>{bandwidth}</relativeReceiverNoiseBandwidth>"
            "</acquisitionSystemInformation><experimentalConditions><H1resonanceFrequency_Hz>63500000"
            "</H1resonanceFrequency_Hz></experimentalConditions>"
            + f"<encoding>{space('encodedSpace', x)}{space('reconSpace', out or x)}<encodingLimits>{steps}"
              f"</encodingLimits><trajectory>{trajectory}</trajectory>{extra}</encoding>" * encodings
            + "</ismrmrdHeader>")


def readout(samples, *flags, y=0, z=0, head=None, **counters):
    """A readout of the library: (coil, samples) with flags and counters."""
    made = ismrmrd.Acquisition.from_array(np.ascontiguousarray(samples, np.complex64))
    made.center_sample, made.sample_time_us = samples.shape[1] // 2, 5.0
    made.idx.kspace_encode_step_1, made.idx.kspace_encode_step_2 = y, z
    for name, value in counters.items():
        setattr(made.idx, name, value)
    for name, value in (head or {}).items():
        setattr(made, name, value)
    for flag in flags:
        made.set_flag(flag)
    return made


def write(path, xml, readouts):
    path = Path(path)
    path.unlink(missing_ok=True)
    with ismrmrd.Dataset(str(path), "dataset") as file:
        file.write_xml_header(xml.encode())
        for r in readouts:
            file.append_acquisition(r)
    return path


def lines(kspace=TRUTH, **options):
    """One readout a line of (slice, coil, ky, kx)."""
    return [readout(kspace[s, :, y], y=y, slice=s, **options)
            for s in range(len(kspace)) for y in range(kspace.shape[2])]


def oversampled(kspace, n):
    """(..., kx) -> (..., n): the same image with a wider, empty field of view along x."""
    image, kx = fft(kspace, (-1,), inverse=True), kspace.shape[-1]
    wide = np.zeros((*kspace.shape[:-1], n), kspace.dtype)
    wide[..., n // 2 - kx // 2 : n // 2 - kx // 2 + kx] = image
    return fft(wide, (-1,))


def close(a, b, rtol=1e-6):
    return a.shape == b.shape and np.linalg.norm(a - b) <= rtol * np.linalg.norm(b)


@pytest.fixture(scope="module")
def scanner(tmp_path_factory):
    """What a scanner writes: noise, navigators, ACS lines, reversed lines, two averages, partial Fourier, 2x x."""
    noise = (RNG.standard_normal((COILS, 200)) + 1j * RNG.standard_normal((COILS, 200))).astype(np.complex64)
    fine, junk = oversampled(TRUTH, 2 * KX), 50 * np.ones((COILS, 2 * KX))
    made = [readout(noise, ismrmrd.ACQ_IS_NOISE_MEASUREMENT, head={"sample_time_us": 10.0})]
    change = 0.3 * oversampled(centred(TRUTH.shape), 2 * KX)
    for average in (0, 1):
        for s in (1, 0):
            for y in range(5, KY):  # 5/16 are left out: the counters begin at 0, and the centre is counter 3
                samples = fine[s, :, y] + (change[s, :, y] if average else -change[s, :, y])
                turned = y % 2
                made.append(readout(samples[:, ::-1] if turned else samples, *([ismrmrd.ACQ_IS_REVERSE] * turned),
                                    y=y - 5, slice=s, average=average))
                made.append(readout(junk, ismrmrd.ACQ_IS_NAVIGATION_DATA, y=y - 5, slice=s))
    made += [readout(2 * fine[s, :, y], ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, y=y - 5, slice=s)
             for s in range(SLICES) for y in range(5, 11)]
    extra = "<parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>" \
            "<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor></parallelImaging>"
    xml = header(2 * KX, out=KX, limits=[(0, KY - 6, 3), (0, 0, 0)], extra=extra)
    return write(tmp_path_factory.mktemp("mrd") / "scan.h5", xml, made), noise


def test_a_scanners_file(scanner):
    path, noise = scanner
    scan = io.load(path)
    expected = TRUTH * (np.arange(KY) >= 5)[:, None]
    assert close(scan.kspace, expected)
    assert (scan.mask == np.broadcast_to((np.arange(KY) >= 5)[:, None], (KY, KX))).all()
    assert (scan.kspace[:, :, :5] == 0).all()
    assert close(scan.calib, 2 * TRUTH[:, :, 5:11])  # index 3 of 6 is line 8, the centre
    # noise at half the bandwidth of the data, seen through a filter that lets 0.8 of it pass, in two averages
    assert close(scan.noise, noise * np.sqrt(10 / 5 / 0.8 / 2))
    meta = scan.meta
    assert meta["readouts"] == {"imaging": 44, "calibration": 12, "noise": 1, "skipped": 44}
    assert meta["skipped"] == {"navigation": 44}
    assert meta["oversampling_removed"] == [2 * KX, KX]
    assert meta["partial_fourier"] == {"ky": [5, KY]}
    assert (meta["averages"], meta["acceleration"], scan.phase_axis) == ([2], 2, -2)
    assert meta["voxel_mm"] == [5.0, 2.0, 2.0]


def test_whitened_noise_has_the_variance_of_the_datas(tmp_path):
    """The dwell-time rule by simulation: white noise of one density, read at two bandwidths, through a filter."""
    rng, n = np.random.default_rng(3), 64
    shape = (2, KY, 2 * n)
    white = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)  # variance 2 at a dwell time of 5 us
    slow = np.sqrt(5 / 20) * (rng.standard_normal((2, 40000)) + 1j * rng.standard_normal((2, 40000)))
    filtered = np.fft.fft(slow)
    filtered[:, abs(np.fft.fftfreq(40000)) > 0.4] = 0  # 0.8 of the band
    made = [readout(np.fft.ifft(filtered), 19, head={"sample_time_us": 20.0})]
    made += [readout(white[:, y], y=y) for y in range(KY)]
    scan = io.load(write(tmp_path / "n.h5", header(2 * n, out=n, bandwidth=0.8), made))
    assert scan.kspace.shape == (1, 2, KY, n)
    assert np.var(scan.noise) == pytest.approx(np.var(scan.kspace), rel=0.05)


def test_blocks_equal_the_librarys_reading(scanner, tmp_path):
    """The h5py blocks against `ismrmrd.Dataset`, readout by readout, and the head fields against its attributes."""
    path, _ = scanner
    with ismrmrd.Dataset(str(path), mode="r") as file, mrd.open_hdf5(path) as raw:
        data = raw["dataset/data"]
        r = mrd._readouts(data, data.fields("head")[:], mrd.Header(file.read_xml_header().decode()))
        for at, samples in r.blocks(np.arange(len(r.role))):
            for i, ours in zip(at, samples):
                theirs = file.read_acquisition(i)
                assert (ours == theirs.data).all()
                assert r.reverse[i] == theirs.is_flag_set(ismrmrd.ACQ_IS_REVERSE)
                assert r.counters["slice"][i] == theirs.idx.slice
    scan = io.load(write(tmp_path / "a.h5", header(), lines()))
    with ismrmrd.File(str(tmp_path / "a.h5"), "r") as file:  # the whole k-space by its other interface
        for acquisition in file["dataset"].acquisitions:
            assert (scan.kspace[acquisition.idx.slice, :, acquisition.idx.kspace_encode_step_1]
                    == acquisition.data).all()


NAMES = [n for n in vars(ismrmrd) if n.startswith("ACQ_")]
SKIP = {"ACQ_IS_NAVIGATION_DATA": "navigation", "ACQ_IS_PHASECORR_DATA": "phase correction",
        "ACQ_IS_HPFEEDBACK_DATA": "HP feedback", "ACQ_IS_DUMMYSCAN_DATA": "dummy",
        "ACQ_IS_RTFEEDBACK_DATA": "RT feedback", "ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA": "surface coil correction",
        "ACQ_IS_PHASE_STABILIZATION_REFERENCE": "phase stabilization reference",
        "ACQ_IS_PHASE_STABILIZATION": "phase stabilization"}
CHANGE = {"ACQ_IS_NOISE_MEASUREMENT": "noise", "ACQ_IS_PARALLEL_CALIBRATION": "calibration",
          "ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING": "imaging and calibration", "ACQ_IS_REVERSE": "imaging"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:calibration readouts", "ignore:this is EPI", "ignore:1 lines were measured up to 2")
def test_every_flag(tmp_path, name):
    """One more readout on line 3, ten times too loud, with each flag that the library knows."""
    number, loud = getattr(ismrmrd, name), 10 * TRUTH[0, :, 3]
    path = write(tmp_path / "a.h5", header(), [*lines(TRUTH[:1]), readout(loud, number, y=3)])
    if name.startswith("ACQ_COMPRESSION"):
        with pytest.raises(ValueError, match="compressed"):
            io.load(path)
        return
    scan, expected = io.load(path), TRUTH[:1].copy()
    if name in SKIP:
        assert scan.meta["skipped"] == {SKIP[name]: 1}
        assert scan.meta["readouts"] == {"imaging": KY, "skipped": 1}
    else:
        role = CHANGE.get(name, "imaging")
        assert scan.meta["readouts"][role] == (1 if role != "imaging" else KY + 1)
    if name == "ACQ_IS_NOISE_MEASUREMENT":
        assert close(scan.noise, loud / np.sqrt(0.8))
    elif name not in SKIP and name != "ACQ_IS_PARALLEL_CALIBRATION":
        turned = loud[:, ::-1] if name == "ACQ_IS_REVERSE" else loud
        expected[0, :, 3] = (expected[0, :, 3] + turned) / 2
        assert scan.meta["averages"] == [1, 2]
    assert close(scan.kspace, expected)
    assert (scan.noise is None) == (name != "ACQ_IS_NOISE_MEASUREMENT")


@pytest.mark.parametrize(("n", "centre", "reverse", "place"), [
    (12, 6, False, slice(0, 12)), (12, 0, False, slice(0, 12)), (12, 6, True, slice(0, 12)),
    (12, 5, True, slice(0, 12)), (9, 3, False, slice(3, 12)), (9, 5, True, slice(3, 12)), (8, 5, False, slice(1, 9)),
    (6, 0, False, slice(6, 12))])
@pytest.mark.parametrize("cut", [(0, 0), (2, 1)])
def test_where_samples_go(tmp_path, n, centre, reverse, place, cut):
    """Asymmetric echoes by center_sample, forward and backward, with samples to discard at both ends."""
    padded, (pre, post) = [], cut
    for y in range(KY):
        samples = TRUTH[0, :, y, place]
        samples = samples[:, ::-1] if reverse else samples
        padded.append(np.pad(samples, ((0, 0), cut), constant_values=99))
    head = {"center_sample": centre + pre if centre else 0, "discard_pre": pre, "discard_post": post}
    if not centre and pre and n < KX:
        head["center_sample"] = pre
    made = [readout(s, *([22] * reverse), y=y, head=head) for y, s in enumerate(padded)]
    scan = io.load(write(tmp_path / "a.h5", header(), made))
    inside = np.zeros(KX, bool)
    inside[place] = True
    assert (scan.kspace == TRUTH[:1] * inside).all()
    assert (scan.mask == inside).all()


def test_asymmetric_echo_with_oversampling(tmp_path):
    fine = oversampled(TRUTH[:1], 2 * KX)
    made = [readout(fine[0, :, y, 8:], y=y, head={"center_sample": 4}) for y in range(KY)]
    scan = io.load(write(tmp_path / "a.h5", header(2 * KX, out=KX), made))
    assert (scan.mask == (np.arange(KX) >= 4)).all()
    assert (scan.kspace[..., :4] == 0).all()
    cut = fft(np.where(np.arange(2 * KX) >= 8, fine, 0), (-1,), inverse=True)[..., KX // 2 : KX // 2 + KX]
    assert close(scan.kspace[..., 4:], fft(cut, (-1,))[..., 4:])


def test_averages_are_weighted_by_their_number(tmp_path):
    more = [readout(4 * TRUTH[0, :, y], y=y, average=1) for y in (7, 8)] + [readout(TRUTH[0, :, 8], y=8, average=2)]
    scan = io.load(write(tmp_path / "a.h5", header(), lines(TRUTH[:1]) + more))
    weight = np.ones(KY)
    weight[[7, 8]] = 2.5, 2
    assert close(scan.kspace, TRUTH[:1] * weight[:, None])
    assert scan.meta["averages"] == [1, 3]


@pytest.mark.parametrize("counter", ["contrast", "phase", "repetition", "set"])
def test_parts(tmp_path, counter):
    path = write(tmp_path / "a.h5", header(), lines() + lines(3 * TRUTH, **{counter: 2}))
    scan, axis = io.load(path), {"contrast": "echo", "phase": "frame"}.get(counter, counter)
    assert scan.axes == ("slice", axis, "coil", "ky", "kx")
    assert close(scan.kspace, np.stack([TRUTH, 3 * TRUTH], 1))
    assert scan.mask.shape == (KY, KX)
    assert scan.meta["counters"] == {axis: [0, 2]}
    for name in (counter, axis):
        assert close(io.load(path, part={name: 2}).kspace, 3 * TRUTH)
    assert (io.load(path, part={counter: 0, "slice": 1}).kspace == TRUTH[1:]).all()
    with pytest.raises(ValueError, match=r"is 1: the file has \[0, 2\]"):
        io.load(path, part={counter: 1})
    for part, error in (({"coil": 1}, ValueError), ([1], ValueError), ({"set": 1.5}, TypeError)):
        with pytest.raises(error, match="part"):
            io.load(path, part=part)
    with pytest.raises(ValueError, match="part chooses from raw data"):
        io.load(h5(tmp_path / "k.h5", kspace=TRUTH), part={"set": 0})


def test_slices_come_in_the_order_of_their_positions(tmp_path):
    kspace, places = centred((4, COILS, KY, KX)), (0.0, 20.0, 10.0, 30.0)  # interleaved
    made = [readout(kspace[s, :, y], y=y, slice=s, head={"position": (1.0, 2.0, places[s]), "read_dir": (1, 0, 0),
                                                         "phase_dir": (0, 1, 0), "slice_dir": (0, 0, 1)})
            for s in (2, 0, 3, 1) for y in range(KY)]
    scan = io.load(write(tmp_path / "a.h5", header(), made))
    assert (scan.kspace == kspace[[0, 2, 1, 3]]).all()
    assert scan.meta["slices"] == [0, 2, 1, 3]
    # voxel (x, y, slice) = (6, 8, 1), the centre of the second slice, lies at (1, 2, 10) to the left, back and head
    assert np.allclose(np.array(scan.meta["affine"]) @ [6, 8, 1, 1], [-1, -2, 10, 1])


def volume_readouts(over=1, **options):
    """(k-space (coil, kz, ky, kx), mask (kz, ky), readouts, header) of a 3-D encoding with calibration lines."""
    volume = centred((1, COILS, 8, KY, KX))[0] / np.float32(1 + (np.arange(8) - 4) ** 2)[:, None, None]
    mask = np.zeros((8, KY), bool)
    mask[1::2, ::2] = mask[2:7, 4:12] = True
    fine = oversampled(volume, over * KX)
    made = [readout(fine[:, z, y], y=y, z=z, **options) for z, y in np.argwhere(mask)]
    made += [readout(fine[:, z, y], 20, y=y, z=z, **options) for z in range(2, 7) for y in range(4, 12)]
    return volume, mask, made, header(over * KX, z=8, out=KX, limits=[(0, KY - 1, KY // 2), (0, 7, 4)])


@pytest.mark.parametrize("over", [1, 2])
def test_three_dimensions(tmp_path, over):
    volume, mask, made, xml = volume_readouts(over)
    scan = io.load(write(tmp_path / "a.h5", xml, made))
    assert scan.axes == ("coil", "kz", "ky", "kx")
    assert close(scan.kspace, volume * mask[..., None])
    assert (scan.mask == mask[..., None]).all()
    assert close(scan.calib, volume[:, 2:7, 4:12])
    assert scan.readout == "kx"
    assert scan.meta["voxel_mm"] == [5, 2, 2]
    assert [w for w in scan.warnings() if "no calibration" not in w] == []  # 5 of 8 partitions are in the centre
    planes = scan.parts(("x",))
    assert (len(planes), planes[0].kspace.shape) == (KX, (COILS, 8, KY))


def test_a_volumes_place(tmp_path):
    """Voxel (x, y, z) = (6, 8, 4), the centre, is where the slab is; partitions run along slice_dir."""
    head = {"position": (1.0, 2.0, 3.0), "read_dir": (0, 1, 0), "phase_dir": (0, 0, 1), "slice_dir": (1, 0, 0)}
    _, _, made, xml = volume_readouts(head=head)
    place = np.array(io.load(write(tmp_path / "a.h5", xml, made)).meta["affine"])
    assert np.allclose(place @ [KX // 2, KY // 2, 4, 1], [-1, -2, 3, 1])
    assert np.allclose(place[:3, :3].T, [[0, -2, 0], [0, 0, 2], [-5, 0, 0]])


def test_an_asymmetric_echo_in_three_dimensions(tmp_path):
    """Two echoes, the second read backwards: what was not read is not in the mask; calibration lines are as wide."""
    volume, mask, _, xml = volume_readouts()
    part, back = volume[..., 3:], ismrmrd.ACQ_IS_REVERSE
    made = [readout(part[:, z, y], *flag, y=y, z=z, head={"center_sample": 3}) for z, y in np.argwhere(mask)
            for flag in ((), (20,))]
    made += [readout(2 * part[:, z, y, ::-1], back, y=y, z=z, contrast=1, head={"center_sample": 5})
             for z, y in np.argwhere(mask)]
    scan = io.load(write(tmp_path / "a.h5", xml, made))
    assert scan.axes == ("echo", "coil", "kz", "ky", "kx")
    inside = mask[..., None] & (np.arange(KX) >= 3)
    assert close(scan.kspace[0], volume * inside)
    assert close(scan.kspace[1], 2 * volume * inside)
    assert (scan.mask == inside).all()
    assert scan.meta["partial_fourier"]["kx"] == [3, KX]
    assert scan.calib.shape == (COILS, 5, 8, 7)
    assert close(scan.calib, volume[:, 2:7, 4:12, 3:10])


def test_slabs_of_volumes_are_slices(tmp_path):
    volume, mask, one, xml = volume_readouts(head={"position": (0, 0, 90.0), "slice_dir": (0, 0, 1)})
    _, _, two, _ = volume_readouts(slice=1, head={"position": (0, 0, 10.0), "slice_dir": (0, 0, 1)})
    path = write(tmp_path / "a.h5", xml, one + two)
    scan = io.load(path)
    assert scan.axes == ("slice", "coil", "kz", "ky", "kx")
    assert close(scan.kspace[0], volume * mask[..., None])
    assert "affine" not in scan.meta
    assert close(io.load(path, part={"slice": 0}).kspace, volume * mask[..., None])


def test_lines_of_their_own(tmp_path):
    """Slices and phases that were sampled at other lines, one of them not at all in a phase."""
    made = [readout((1 + t) * TRUTH[s, :, y], y=y, slice=s, phase=t) for s in range(2) for t in range(3)
            for y in range(KY) if y % 3 == t and (s, t) != (1, 2)]
    scan = io.load(write(tmp_path / "a.h5", header(), made))
    own = (np.arange(KY) % 3 == np.arange(3)[:, None]) & ~(np.arange(2)[:, None] & (np.arange(3) == 2))[..., None]
    assert scan.axes == ("slice", "frame", "coil", "ky", "kx")
    assert (scan.mask == own[..., None]).all()
    assert close(scan.kspace, TRUTH[:, None] * ((1 + np.arange(3))[:, None] * own)[:, :, None, :, None])


def test_calibration_of_another_encoding_and_what_does_not_fit(tmp_path):
    flag = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    acs = [readout(TRUTH[s, :, y], flag, y=y, slice=s, head={"encoding_space_ref": 1}) for s in (0, 1)
           for y in range(4, 12)]
    scan = io.load(write(tmp_path / "a.h5", header(encodings=2), lines() + acs))
    assert (scan.calib == TRUTH[:, :, 4:12]).all()
    for made, message in (([readout(TRUTH[0, :2, y], flag, y=y) for y in range(KY)], "number of channels"),
                          ([readout(TRUTH[0, :, y], flag, y=y) for y in (5, 7)], "holes at the centre")):
        with pytest.warns(UserWarning, match=message):
            assert io.load(write(tmp_path / "b.h5", header(), lines() + made)).calib is None
    embedded = [readout(TRUTH[0, :, y], ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING, y=y) for y in range(0, KY, 2)]
    between = [readout(TRUTH[0, :, y], flag, y=y) for y in (5, 7, 9)]
    scan = io.load(write(tmp_path / "c.h5", header(), embedded + between))
    assert (scan.mask.any(1) == ((np.arange(KY) % 2 == 0) | np.isin(np.arange(KY), (5, 7, 9)))).all()
    assert (scan.calib == TRUTH[:1, :, 5:11]).all()  # both kinds together leave no hole


@pytest.mark.parametrize(("mask", "size"), [
    (np.ones((4, 5)), (4, 5)), (np.zeros((4, 4)), (0, 0)), (np.eye(5), (1, 1)),
    (np.pad(np.ones((6, 1)), ((5, 5), (0, 0))), (6, 1)), (np.pad(np.ones((5, 1)), ((7, 4), (0, 0))), (3, 1))])
def test_centred_window(mask, size):
    assert centred_window(mask > 0) == size


@pytest.mark.parametrize(("x", "out", "fov", "left"), [
    (24, 12, None, 12), (24, 24, None, 24), (24, 12, (24, 32, 5), 24), (24, 30, None, 24), (25, 12, None, 12)])
def test_oversampling_is_what_the_field_of_view_says(tmp_path, x, out, fov, left):
    """A smaller recon matrix with the same field of view is a coarser image, no oversampling."""
    made = [readout(centred((COILS, 1, x))[:, 0], y=y) for y in range(KY)]
    scan = io.load(write(tmp_path / "a.h5", header(x, out=out, fov=fov), made))
    assert scan.kspace.shape[-1] == left


# --- malformed files

def damaged(path, folder, seed=1) -> dict:
    """What became of 150 damaged copies of a file."""
    done = subprocess.run([sys.executable, Path(__file__).with_name("fuzz_files.py"), path, folder, str(seed)],
                          capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    return ast.literal_eval(done.stdout)


def edit(**head):
    made = lines(TRUTH[:1])
    for name, value in head.items():
        setattr(made[3], name, value)
    return made


def at(y, **options):
    return [*lines(TRUTH[:1]), readout(TRUTH[0, :, 3], y=y, **options)]


BAD = [
    ("text", "hello", lines(), "not well-formed XML"),
    ("entity", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', lines(), "document type"),
    ("nothing", "<a/>", lines(), "matrixSize of"), ("size", header().replace("<x>12</x>", "<x>wide</x>", 1), lines(),
                                                    "'wide', a number"),
    ("zero", header(0, out=1), lines(), "matrixSize of"), ("radial", header(trajectory="radial"), lines(), "is radial"),
    ("long", header(KX - 2), lines(), "12 samples of which 12 to 12 are left, the encoding 10"),
    ("short", header(20), lines(), None), ("off", header(20), edit(center_sample=1), "center_sample 1: it does not"),
    ("channels", header(), [*lines(), readout(TRUTH[0, :2, 0], y=0)], None),
    ("outside", header(limits=[(0, 9, 5), (0, 0, 0)]), lines(), "kspace_encoding_step_1 10, outside the limits 0..9"),
    ("beyond", header(), at(40), "kspace_encoding_step_1 40"),
    ("centre", header(limits=[(0, 15, 3), (0, 0, 0)]), lines(), "with the centre 3 of 16"),
    ("partition", header(), at(3, z=2), "kspace_encoding_step_2 2"),
    ("space", header(), edit(encoding_space_ref=4), None),
    ("noise", header(), [readout(TRUTH[0, :, 0], 19)], "no readout is for imaging, of 1 there are {'noise': 1}"),
    ("dummy", header(), [readout(TRUTH[0, :, 0], 27)], "{'skipped': 1}"),
    ("slices", header(), lines()[:-1], None),
    ("discard", header(), edit(discard_pre=12), "0 to 12 are left"),
    ("huge", header(60000, 60000, 60000), edit(), "more than max_bytes"),
    ("coils", header(), [*lines(), readout(TRUTH[0, :2, 0], 19)], None),
    ("parts", header(), [*at(3), readout(
        TRUTH[0, :, 3, 3:], y=3, head={"center_sample": 3})], "line 3 was read out over different parts of kx"),
]


@pytest.mark.parametrize(("name", "xml", "made", "message"), BAD, ids=[b[0] for b in BAD])
@pytest.mark.filterwarnings("ignore:read encoding", "ignore:read the readouts", "ignore:1 noise readouts of other")
def test_malformed_files(tmp_path, name, xml, made, message):
    path = write(tmp_path / f"{name}.h5", xml, made)
    if message is None:  # odd, but a scan
        assert io.load(path).kspace.ndim == 4
        return
    with pytest.raises(ValueError, match=message) as caught:
        io.load(path, max_bytes=1 << 24)
    assert str(path) in str(caught.value)


def test_malformed_datasets(tmp_path):
    def broken(change):
        path = write(tmp_path / "a.h5", header(), lines())
        with h5py.File(path, "a") as file:
            change(file)
        return path

    def lie(file):
        row = file["dataset/data"][3]
        row["head"]["number_of_samples"] = 11
        file["dataset/data"][3] = row

    def drop(name, **new):
        def change(file):
            del file[f"dataset/{name}"]
            for key, value in new.items():
                file[f"dataset/{key}"] = value
        return change

    for change, message in ((lie, "72 numbers, its head says 3 channels of 11"), (drop("xml"), "no header xml"),
                            (drop("data", data=np.ones(3)), "not a list of ISMRMRD's readouts"),
                            (drop("xml", xml=np.ones(3)), "xml is not a string"),
                            (drop("data"), "no dataset kspace; it holds: dataset")):
        with pytest.raises(ValueError, match=message):
            io.load(broken(change))
    with pytest.raises(ValueError, match="max_bytes"):
        io.load(broken(lambda file: None), max_bytes=1000)


def test_damaged_files_end_in_an_error_or_a_scan(scanner, tmp_path):
    """Cut off, or with wrong bytes: in a process of its own, since libhdf5 itself must not crash either."""
    assert damaged(scanner[0], tmp_path)["error"] > 30


# --- writing

MASK = masks.random((KY, KX), 2)
FRAMES = RNG.random((3, KY, 1)) > 0.4
VOLUME = centred((1, COILS, 8, KY, KX))[0]
POINTS = RNG.random((8, KY, 1)) > 0.5
COLUMNS = masks.random((KY, KX), 2, axis=-1)
PARTIAL = (np.arange(KY)[:, None] > 4) & (np.arange(KX) > 2)
AFFINE = [[0, -2.0, 0, 5], [-3.0, 0, 0, 1], [0, 0, 4.0, -2], [0, 0, 0, 1.0]]
SCANS = {
    "mask": io.Scan(TRUTH * MASK, MASK, noise=TRUTH[0].reshape(COILS, -1)[:, :70], calib=TRUTH[:, :, 4:12]),
    "full": io.Scan(TRUTH, np.ones((KY, KX)), TRUTH, abs(TRUTH[:, 0]), calib=TRUTH[0, :, 4:11, 3:10],
                    meta={"a": [1, {"b": "c"}], "voxel_mm": [4.0, 2.0, 3.0], "affine": AFFINE, "acceleration": 2}),
    "partial": io.Scan(TRUTH * PARTIAL, PARTIAL, calib=TRUTH[:, :, 5:11, 3:10]),
    "one": io.Scan(TRUTH[:1], np.ones((KY, KX)), noise=centred((COILS, 1, 70000))[:, 0]),
    "columns": io.Scan(TRUTH * COLUMNS, COLUMNS, TRUTH, abs(TRUTH[:, 0]), calib=TRUTH[:, :, 4:11, 3:10],
                       noise=TRUTH[0].reshape(COILS, -1)[:, :70], meta={"voxel_mm": [4.0, 2.0, 3.0], "affine": AFFINE}),
    "said": io.Scan(TRUTH, calib=TRUTH[0, :, :, 3:10], meta={"phase_axis": -1}),
    "partial columns": io.Scan(TRUTH * PARTIAL, PARTIAL, meta={"phase_axis": -1}),
    "slice": io.Scan(TRUTH[0] * MASK, MASK, calib=TRUTH[0, :, 4:12]),
    "series": io.Scan(TRUTH[0] * np.arange(1, 4)[:, None, None, None] * FRAMES[:, None], FRAMES, TRUTH[0],
                      axes=("frame", "coil", "ky", "kx"), meta={"voxel_mm": [4.0, 2.0, 3.0], "affine": AFFINE}),
    "series of slices": io.Scan(TRUTH[:, None] * np.arange(1, 4)[:, None, None, None] * FRAMES[:, None], FRAMES, TRUTH,
                                abs(TRUTH[:, None, 0]) * np.ones((3, 1, 1)), calib=TRUTH[:, :, 4:12],
                                axes=("slice", "frame", "coil", "ky", "kx"), meta={"affine": AFFINE}),
    "order": io.Scan(TRUTH[:, None] * np.arange(1, 4)[:, None, None, None], axes=("set", "echo", "coil", "ky", "kx")),
    "empty slice": io.Scan(TRUTH * MASK * np.array([1, 0])[:, None, None, None], np.stack([MASK, 0 * MASK]),
                           meta={"affine": AFFINE}),
    "one frame": io.Scan(TRUTH[:1], axes=("repetition", "coil", "ky", "kx")),
    "3-D": io.Scan(VOLUME * POINTS, POINTS, VOLUME, abs(VOLUME[0]), calib=VOLUME[:, 2:7, 4:12, 3:9],
                   axes=("coil", "kz", "ky", "kx"), meta={"voxel_mm": [4.0, 2.0, 3.0], "affine": AFFINE}),
    "3-D along ky": io.Scan(VOLUME * POINTS[:, :12].swapaxes(1, 2), POINTS[:, :12].swapaxes(1, 2), VOLUME,
                            calib=VOLUME[:, 2:6, 4:12, 3:9], axes=("coil", "kz", "ky", "kx"),
                            meta={"voxel_mm": [4.0, 2.0, 3.0], "affine": AFFINE}),
    "3-D along kz": io.Scan(VOLUME * (RNG.random((KY, KX)) > 0.5), RNG.random((1, KY, KX)) > -1, abs(VOLUME) + 0j,
                            axes=("coil", "kz", "ky", "kx")),
    "3-D series": io.Scan(VOLUME * (1 + np.arange(2))[:, None, None, None, None] * POINTS, POINTS, VOLUME,
                          axes=("echo", "coil", "kz", "ky", "kx")),
    "slabs": io.Scan(np.stack([VOLUME, 2 * VOLUME]) * POINTS, POINTS, calib=np.stack([VOLUME, VOLUME])[:, :, 2:6],
                     axes=("slice", "coil", "kz", "ky", "kx")),
}


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("suffix", [".mrd", ".h5"])
def test_round_trip(tmp_path, name, suffix):
    scan, path = SCANS[name], tmp_path / f"a{suffix}"
    io.save_mrd(path, scan)
    again = io.load(path)
    rtol = 0 if scan.kspace.dtype == np.complex64 else 1e-7
    assert again.axes == scan.axes
    assert close(again.kspace, scan.kspace, rtol)
    for field in ("mask", "mps", "reference", "noise"):
        one, two = getattr(scan, field), getattr(again, field)
        assert (one is None and (two is None or two.all())) or np.array_equal(one, two), field
    assert (scan.calib is None and again.calib is None) or close(again.calib, scan.calib, rtol)
    assert again.meta.items() >= scan.meta.items()
    turned = name in ("columns", "said", "partial columns", "3-D along ky")
    assert again.readout == ("ky" if turned else "kx")
    if name in ("partial", "partial columns"):
        assert again.meta["partial_fourier"] == {"ky": [5, KY], "kx": [3, KX]}
    assert ("voxel_mm" in again.meta) == ("voxel_mm" in scan.meta)  # not invented
    io.save_mrd(path, again)  # and once more
    assert close(io.load(path).kspace, scan.kspace, 2 * rtol)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with ismrmrd.Dataset(str(path), mode="r") as file:
        head = ismrmrd.xsd.CreateFromDocument(file.read_xml_header())  # the library's parser is strict
        assert head.encoding[0].encodedSpace.matrixSize.y == (KX if turned else KY)
        count = file.number_of_acquisitions()
        last = file.read_acquisition(count - 1)
        assert last.active_channels == COILS
        roles = [file.read_acquisition(i).is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT) for i in range(min(count, 3))]
        assert any(roles) == (scan.noise is not None)


def test_older_files_of_three_dimensions(tmp_path):
    """They hold maps and reference as slices (x, z, y) along the readout, and no sizes."""
    scan, path = SCANS["3-D"], tmp_path / "a.mrd"
    io.save_mrd(path, scan)
    affine = np.array(AFFINE)[:, [1, 2, 0, 3]].tolist()
    with h5py.File(path, "a") as file:
        del file["pisolve"]
        file["pisolve/mps"] = scan.mps.transpose(3, 0, 1, 2)
        file["pisolve/reference"] = scan.reference.transpose(2, 0, 1)
        file["pisolve/meta"] = json.dumps({"hybrid": "slices are positions", "voxel_mm": [3.0, 4.0, 2.0],
                                           "affine": affine})
    again = io.load(path)
    for name in ("kspace", "mps", "reference", "calib"):
        assert close(getattr(again, name), getattr(scan, name), 1e-7), name
    assert (again.mask == scan.mask).all()
    assert again.meta.items() >= scan.meta.items()
    assert "hybrid" not in again.meta


@pytest.mark.parametrize("name", ["series", "series of slices", "3-D series"])
def test_part_of_what_was_written(tmp_path, name):
    scan, path = SCANS[name], tmp_path / "a.mrd"
    io.save_mrd(path, scan)
    axis = "echo" if name == "3-D series" else "frame"
    again = io.load(path, part={axis: 1})
    assert again.axes == tuple(a for a in scan.axes if a != axis)
    assert close(again.kspace, np.take(scan.kspace, 1, axis=scan.axes.index(axis)), 1e-7)
    assert (again.mps == scan.mps).all()
    if scan.reference is not None:
        assert (again.reference == scan.reference[:, 1]).all()
        assert (io.load(path, part={"slice": 1, "frame": 2}).reference == scan.reference[1:, 2]).all()


@pytest.mark.parametrize("told", ["x", "[1]", '{"coil": 3}', '{"slice": 0}', '{"slice": 1}'])
def test_sizes_that_are_none(tmp_path, told):
    io.save_mrd(tmp_path / "a.mrd", SCANS["mask"])
    with h5py.File(tmp_path / "a.mrd", "a") as file:
        del file["pisolve/counts"]
        file["pisolve/counts"] = told
    with pytest.raises(ValueError, match=r"counts|there should be 1"):
        io.load(tmp_path / "a.mrd")


@pytest.mark.parametrize(("name", "axes"), [("full", [0, 1]), ("columns", [1, 0])])
def test_other_programs_find_kspace_and_positions(tmp_path, name, axes):
    """From ISMRMRD's own fields alone, where a readout along ky has become kx."""
    io.save_mrd(tmp_path / "a.h5", SCANS[name])
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["pisolve"]
    scan = io.load(tmp_path / "a.h5")
    assert (scan.kspace == SCANS[name].kspace.transpose(0, 1, 2 + axes[0], 2 + axes[1])).all()
    assert np.allclose(scan.meta["affine"], np.array(AFFINE)[:, [*axes, 2, 3]], atol=1e-5)
    assert scan.meta["voxel_mm"] == [4.0, *np.array([2.0, 3.0])[axes]]


def test_what_cannot_be_written(tmp_path):
    holes = io.Scan(TRUTH, MASK & COLUMNS)
    cycles = io.Scan(TRUTH, axes=("cycle", "coil", "ky", "kx"))
    for scan, message in ((holes, "mask has holes along kx and along ky"), (cycles, "'cycle' has no counter"),
                          (TRUTH, "must be a pisolve.io.Scan"),
                          (io.Scan(TRUTH, meta={"f": print}), "plain values"),
                          (io.Scan(TRUTH.astype(complex) * 1e60), "NaN or Inf")):
        with pytest.raises((ValueError, TypeError), match=message), np.errstate(over="ignore", invalid="ignore"):
            io.save_mrd(tmp_path / "a.h5", scan)
    with pytest.raises(ValueError, match="suffix"):
        io.save_mrd(tmp_path / "a.npz", SCANS["one"])
    assert list(tmp_path.iterdir()) == []


# --- the command line

def test_recon_and_info_need_no_options(scanner, tmp_path, capsys):
    path, _ = scanner
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pisolve.cli.main(["recon", str(path), "-o", str(tmp_path / "out.h5"), "--max-iter", "3"]) == 0
    assert io.load_image(tmp_path / "out.h5").shape == (SLICES, KY, KX)
    capsys.readouterr()
    assert pisolve.cli.main(["info", str(path)]) == 0
    out = capsys.readouterr().out
    for words in ("2 slices, 3 coils, 16 x 12", "ISMRMRD", "200 samples", "(2, 3, 6, 12)", "navigation 44", "noise 1",
                  "24 to 12", "ky 5 to 16", "2"):
        assert words in out, words


def test_info_says_why_it_is_no_scan(tmp_path, capsys):
    path = write(tmp_path / "a.h5", header(trajectory="spiral"), lines())
    assert pisolve.cli.main(["info", str(path)]) == 2
    assert "the trajectory is spiral, and its readouts have [0] coordinates" in capsys.readouterr().err


def test_a_real_scan_through_ismrmrd(tmp_path):
    scan = io.load(data_path("kspace/phantom_cimax_16ch.h5"))
    io.save_mrd(tmp_path / "a.mrd", scan)
    again = io.load(tmp_path / "a.mrd")
    assert (again.kspace == scan.kspace).all()
    assert (again.reference == scan.reference).all()
    assert again.meta["license"] == scan.meta["license"]


def test_reading_needs_no_ismrmrd(scanner):
    code = f"import sys; sys.modules['ismrmrd'] = None\nfrom pisolve import io; print(io.load({str(scanner[0])!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "noise (3, 200)" in done.stdout, done.stderr
