"""Siemens' twix: files that `twixtools` wrote, as none of a scanner is at hand, against `twixtools` and `mapvbvd`."""

import contextlib
import io as streams

import numpy as np
import pytest
import twixtools
from test_io import centred
from test_mrd import close, damaged, oversampled

import pisolve as pi
from pisolve import cli, io
from pisolve.backend import fft

SLICES, COILS, KY, KX = 2, 3, 16, 12
TRUTH = centred((SLICES, COILS, KY, KX))
PROTOCOL = {"sKSpace.lBaseResolution": KX, "sKSpace.lPhaseEncodingLines": KY, "sKSpace.ucDimension": 2,
            "sKSpace.ucTrajectory": 1, "sSliceArray.asSlice[0].dReadoutFOV": 240.0, "sPat.lAccelFactPE": 2,
            "sSliceArray.asSlice[0].dPhaseFOV": 320.0, "sSliceArray.asSlice[0].dThickness": 5.0,
            "sRXSPEC.alDwellTime[0]": 6400, "sProtConsistencyInfo.flNominalB0": 2.89}


def protocol(changes=(), more=()):
    """A measurement's header: the parts that the reader uses, in Siemens' layout."""
    values = "".join(f"{k} = {v}\n" for k, v in {**PROTOCOL, **dict(changes)}.items() if v is not None)
    parts = {"Dicom": '<ParamDouble."flReadoutOSFactor"> { <Precision> 6 2.0 }\n'
                      '<ParamString."SoftwareVersions"> { "syngo MR E11" }\n',
             "MeasYaps": f"### ASCCONV BEGIN ###\n{values}\n### ASCCONV END ###"} | dict(more)
    body = b"".join(name.encode() + b"\0" + len(text).to_bytes(4, "little") + text.encode()
                    for name, text in parts.items())
    length = (8 + len(body) + 31) // 32 * 32
    raw = length.to_bytes(4, "little") + len(parts).to_bytes(4, "little") + body
    return np.frombuffer(raw.ljust(length, b"\0"), "S1")


def block(samples, *flags, line=0, centre=KY // 2, modern=True, mdh=None, **counters):
    made = twixtools.mdb.Mdb_local(np.ascontiguousarray(samples, np.complex64), modern)
    made.mdh.Counter.Lin, made.mdh.CenterLin, made.mdh.CenterCol = line, centre, samples.shape[1] // 2
    for name, value in counters.items():
        setattr(made.mdh.Counter, name, value)
    for name, value in (mdh or {}).items():
        setattr(made.mdh, name, value)
    for flag in flags:
        made.add_flag(flag)
    return made


def write(path, *measurements):
    """Measurements of (readouts, changes of the protocol, further parts of it) as a VD/VE file."""
    scans = [{"mdb": list(mdb), "hdr_str": protocol(*changes)} for mdb, *changes in measurements]
    with contextlib.redirect_stdout(streams.StringIO()):
        twixtools.write_twix(scans, str(path))
    return path


@pytest.fixture(scope="module")
def scanner(tmp_path_factory):
    """Noise, navigators, ACS lines, reversed lines, two averages, partial Fourier, two slices, twice the samples."""
    rng = np.random.default_rng(2)
    noise = (rng.standard_normal((COILS, 256)) + 1j * rng.standard_normal((COILS, 256))).astype(np.complex64)
    fine, change = (oversampled(a, 2 * KX) for a in (TRUTH, centred(TRUTH.shape)))
    made = [block(np.full((COILS, 2 * KX), 50), "PHASESTABSCAN")]
    for average, sign in enumerate((1, -1)):
        for s in range(SLICES):
            for y in range(5, KY):
                samples, turned = fine[s, :, y] + sign * change[s, :, y], y % 2
                made.append(block(samples[:, ::-1] if turned else samples, *["REFLECT"] * turned, line=y - 5,
                                  centre=3, Sli=s, Ave=average))
    made += [block(2 * fine[s, :, y], "PATREFSCAN", line=y - 5, centre=3, Sli=s) for s in (0, 1) for y in range(5, 11)]
    first = [block(noise, "NOISEADJSCAN"), block(TRUTH[0, :, 0], line=0)]
    return write(tmp_path_factory.mktemp("twix") / "meas.dat", (first, ()), (made, ())), noise


def test_a_scanners_file(scanner):
    path, noise = scanner
    with pytest.warns(UserWarning, match="the averages of 22 lines do not agree"):  # they are made so
        scan = io.load(path)
    assert close(scan.kspace, TRUTH * (np.arange(KY) >= 5)[:, None])
    assert (scan.mask.all(axis=1) == (np.arange(KY) >= 5)).all()
    assert close(scan.calib, 2 * TRUTH[:, :, 5:11])
    assert close(scan.noise, noise * np.sqrt(30 / 6.4 / 0.793 / 2))  # 76800 / 256 / 10 = 30 us
    meta = scan.meta
    assert meta["readouts"] == {"imaging": 44, "calibration": 12, "noise": 1, "skipped": 2}
    assert meta["skipped"] == {"phase stabilization": 1}
    assert (meta["averages"], meta["acceleration"], meta["field_strength_t"]) == ([2], 2, 2.89)
    assert meta["voxel_mm"] == [5.0, 20.0, 20.0]
    assert meta["oversampling_removed"] == [2 * KX, KX]
    assert meta["partial_fourier"] == {"ky": [5, KY]}


@pytest.mark.parametrize("library", ["twixtools", "mapvbvd"])
def test_the_packages_read_the_same(tmp_path, library):
    """Full lines without reversal: the images of both packages, cut to the middle half, are ours."""
    fine = oversampled(TRUTH, 2 * KX)
    made = [block(fine[s, :, y], line=y, Sli=s) for s in range(SLICES) for y in range(KY)]
    path = write(tmp_path / "meas.dat", (made, ()))
    ours = fft(io.load(path).kspace, (-1,), inverse=True)
    with contextlib.redirect_stdout(streams.StringIO()), contextlib.redirect_stderr(streams.StringIO()):
        if library == "twixtools":
            mdbs = twixtools.read_twix(str(path), parse_pmu=False, parse_geometry=False, verbose=False)[-1]["mdb"]
            theirs = np.array([m.data for m in mdbs]).reshape(SLICES, KY, COILS, 2 * KX).swapaxes(1, 2)
        else:
            import mapvbvd

            twix = mapvbvd.mapVBVD(str(path), quiet=True)
            twix.image.flagRemoveOS = False
            twix.image.squeeze = True
            theirs = twix.image[""].transpose(3, 1, 2, 0)  # (column, coil, line, slice) to (slice, coil, line, column)
    assert close(ours, fft(theirs, (-1,), inverse=True)[..., KX // 2 : KX // 2 + KX])


def test_spokes_at_given_coordinates(tmp_path, monkeypatch, capsys):
    """The format does not say where they lie."""
    monkeypatch.chdir(tmp_path)
    n, shots = 32, 21
    k = pi.trajectories.radial((n, n), shots, 2 * n)
    head = pi.phantom.brain((n, n), COILS)
    y = pi.linops.sense(head.mps.astype("c8"), coord=k)(head.image.astype("c8"))
    noise = np.ones((COILS, 256), np.complex64)
    radial = {"sKSpace.ucTrajectory": 2, "sKSpace.lBaseResolution": n, "sKSpace.lPhaseEncodingLines": shots}
    made = [block(y[:, s] * (1 + z), line=s, Sli=z) for z in range(2) for s in range(shots)]
    path = write(tmp_path / "meas.dat", ([block(noise, "NOISEADJSCAN"), *made], radial))
    with pytest.raises(ValueError, match=r"meas\.dat.*radial.*--coord"):
        io.load(path)
    scan = io.load(path, coord=k)
    assert scan.axes == ("slice", "coil", "shot", "sample")
    assert scan.size == (n, n)
    assert close(scan.kspace, np.stack([y, 2 * y]))
    assert scan.noise.shape == (COILS, 256)
    assert scan.meta["trajectory"] == "radial"
    np.save("k.npy", k)
    assert cli.main(["info", "meas.dat", "--coord", "k.npy"]) in (0, None)
    assert "21 shots of 64 samples" in capsys.readouterr().out
    line = ["recon", "meas.dat", "--coord", "k.npy", "--size", "32,32", "--prior", "tv", "--max-iter", "25"]
    assert cli.main([*line, "-o", "x.npy"]) == 0
    truth = head.image * np.linalg.norm(head.mps, axis=0)
    assert pi.metrics.psnr(abs(truth), abs(np.load("x.npy")[0])) > 22
    with pytest.raises(ValueError, match=r"meas\.dat.*coord has shape"):
        io.load(path, coord=k[:-1])
    stack = [block(y[:, s] * (1 + z), line=s, Par=z, mdh={"CenterPar": 2}) for z in range(4) for s in range(shots)]
    path = write(tmp_path / "stack.dat", (stack, radial | {"sKSpace.ucDimension": 4, "sKSpace.lPartitions": 4}))
    scan = io.load(path, coord=k)
    assert scan.axes == ("coil", "kz", "shot", "sample")
    assert scan.size == (4, n, n)
    assert close(scan.kspace[:, 3], 4 * y)


FLAGS = {"RTFEEDBACK": "skipped", "HPFEEDBACK": "skipped", "REFPHASESTABSCAN": "skipped", "PHASESTABSCAN": "skipped",
         "PHASCOR": "skipped", "SLICE_ACCEL_REFSCAN": "skipped", "SLICE_ACCEL_PHASCOR": "skipped",
         "RETRO_DUMMYSCAN": "skipped", "B1_CONTROLLOOP": "skipped", "MDH_VOP": "skipped", "noname60": "skipped",
         "NOISEADJSCAN": "noise", "PATREFSCAN": "calibration", "PATREFANDIMASCAN": "imaging and calibration",
         "REFLECT": "imaging", "SYNCDATA": None}


@pytest.mark.parametrize("flag", twixtools.mdh_def.mask_id)
@pytest.mark.filterwarnings("ignore:calibration readouts", "ignore:this is EPI", "ignore:1 lines were measured up to 2")
def test_every_flag(tmp_path, flag):
    """One more readout on line 3, ten times too loud, with each flag that the package knows."""
    if flag == "ACQEND":
        return  # the end of every file here
    fine = oversampled(TRUTH[:1], 2 * KX)
    loud = 10 * fine[0, :, 3]
    extra = block(loud, flag, line=3)
    if flag == "SYNCDATA":
        extra._set_data(bytes(160))
        twixtools.mdh_def.set_dma_len(extra.mdh, 192 + 160)
        extra = _Sync(extra)
    made = [block(fine[0, :, y], line=y) for y in range(KY)]
    scan = io.load(write(tmp_path / "a.dat", ([*made, extra], ())))
    role, expected = FLAGS.get(flag, "imaging"), fine.copy()
    if role is not None:
        assert scan.meta["readouts"][role] == (1 if role != "imaging" else KY + 1)
    if role in ("imaging", "imaging and calibration"):
        expected[0, :, 3] = (expected[0, :, 3] + (loud[:, ::-1] if flag == "REFLECT" else loud)) / 2
    image = fft(expected, (-1,), inverse=True)[..., KX // 2 : KX // 2 + KX]
    assert close(scan.kspace, fft(image, (-1,)))


class _Sync:
    """A block of other data, as `write_twix` wants it: an object with `tobytes`."""

    def __init__(self, block):
        self.mdh, self.channel_hdr, self.is_flag_set = block.mdh, [], block.is_flag_set
        self.data = np.zeros(160, np.uint8)


def test_three_dimensions_and_cut_off_samples(tmp_path):
    volume = centred((1, COILS, 8, KY, KX))[0]
    fine = np.pad(oversampled(volume, 2 * KX), ((0, 0), (0, 0), (0, 0), (2, 1)), constant_values=99)
    cut = twixtools.mdh_def.CutOff(Pre=2, Post=1)
    made = [block(fine[:, z, y], line=y, Par=z, mdh={"CenterPar": 4, "CutOff": cut, "CenterCol": KX + 2})
            for z in range(8) for y in range(KY)]
    changes = {"sKSpace.ucDimension": 4, "sKSpace.lPartitions": 8}
    scan = io.load(write(tmp_path / "a.dat", (made, changes)))
    assert scan.axes == ("coil", "kz", "ky", "kx")
    assert close(scan.kspace, volume)
    assert scan.mask.all()


def test_echoes_and_phases_are_axes(tmp_path):
    fine = oversampled(TRUTH, 2 * KX)
    made = [block((1 + t + 10 * e) * fine[s, :, y], line=y, Sli=s, Eco=e, Phs=t)
            for s in range(SLICES) for t in range(3) for e in range(2) for y in range(KY) if y % 3 == t or s]
    path = write(tmp_path / "a.dat", (made, {}))
    scan = io.load(path)
    assert scan.axes == ("slice", "frame", "echo", "coil", "ky", "kx")
    expected = TRUTH[:, None, None] * (1 + np.arange(3)[:, None] + 10 * np.arange(2))[..., None, None, None]
    own = np.arange(KY) % 3 == np.arange(3)[:, None]
    own = np.stack([own, np.ones_like(own)])[:, :, None, :, None]
    assert close(scan.kspace, (expected * own[:, :, :, None]).astype(np.complex64))
    assert (scan.mask == own).all()
    assert close(io.load(path, part={"phase": 1, "contrast": 1}).kspace, (12 * TRUTH * own[:, 1]).astype(np.complex64))


def test_an_older_file(tmp_path):
    """VB: one header a channel, no list of measurements; made by hand, since `twixtools` does not write it."""
    fine = oversampled(TRUTH[:1], 2 * KX)
    raw = protocol().tobytes()
    for y in range(KY + 1):
        made = block(fine[0, :, y % KY], *["ACQEND"] * (y == KY), line=y % KY, modern=False)
        made.mdh.UsedChannels, made.mdh.SamplesInScan = COILS, 2 * KX
        raw += b"".join(bytes(made.mdh) + fine[0, c, y % KY].tobytes() for c in range(COILS))
    (tmp_path / "a.dat").write_bytes(raw)
    # a header below 10000 bytes looks like a list of measurements where its second number is at most 64
    long = int.from_bytes(raw[:4], "little")
    grown = (20000).to_bytes(4, "little") + raw[4:long] + bytes(20000 - long) + raw[long:]
    (tmp_path / "a.dat").write_bytes(grown)
    scan = io.load(tmp_path / "a.dat")
    assert scan.meta["format"] == "twix VB"
    assert close(scan.kspace, TRUTH[:1])


def full(**options):
    return [block(oversampled(TRUTH[:1], 2 * KX)[0, :, y], line=y, **options) for y in range(KY)]


@pytest.mark.parametrize(("made", "changes", "message"), [
    ([block(TRUTH[0, :, 0], "NOISEADJSCAN")], {}, "no readout is for imaging"),
    (full(), {"sKSpace.ucTrajectory": 2}, "the trajectory is radial"),
    (full(), {"sKSpace.lBaseResolution": 8}, "24 samples of which 24 to 24 are left, the encoding 16"),
    (full(centre=2), {}, "kspace_encoding_step_1 10, outside"),
    (full(), {"sKSpace.lPhaseEncodingLines": 70000}, "matrix of"),
])
def test_malformed_scans(tmp_path, made, changes, message):
    with pytest.raises(ValueError, match=message):
        io.load(write(tmp_path / "a.dat", (made, changes)))


@pytest.mark.parametrize(("shape", "named", "step"), [
    ((32, 64), False, 1), ((256, 128), True, 1), ((64, 64), True, 1), ((48, 128), False, 2), ((64, 128), True, 1),
    ((64, 96), False, 1)])
def test_pulseq(tmp_path, shape, named, step):
    """The protocol is the interpreter's own, 64 x 64, and CenterLin 0 throughout.

    Before, 32 lines lay at ky 32..63 of 64, with exit code 0; 256 were outside the limits.
    """
    kspace = centred((1, COILS, *shape))[0]
    made = [block(kspace[:, y], line=y, centre=0) for y in range(0, shape[0], step)]
    changes = {"sKSpace.lBaseResolution": 64, "sKSpace.lPhaseEncodingLines": 64}
    changes |= {"tSequenceFileName": '"%CustomerSeq%\\pulseq"'} if named else {}
    path = write(tmp_path / "a.dat", (made, changes))
    told = f"as with Pulseq: the counters give {shape[0]} lines, the readouts {shape[1]} samples"
    with pytest.warns(UserWarning, match=told):
        scan = io.load(path)
    own = np.arange(shape[0]) % step == 0
    assert close(scan.kspace[0], kspace * own[:, None])
    assert (scan.mask[:, 0] == own).all()
    assert not {"voxel_mm", "affine", "oversampling_removed"} & set(scan.meta)


def test_pulseq_in_three_dimensions(tmp_path):
    volume = centred((1, COILS, 8, 20, 32))[0]
    made = [block(volume[:, z, y], line=y, centre=0, Par=z) for z in range(8) for y in range(20)]
    with pytest.warns(UserWarning, match="20 lines and 8 partitions, the readouts 32 samples"):
        scan = io.load(write(tmp_path / "a.dat", (made, {"tSequenceFileName": "%CustomerSeq%/pulseq"})))
    assert close(scan.kspace, volume)
    assert scan.axes == ("coil", "kz", "ky", "kx")


def test_a_centre_that_nobody_filled_in(tmp_path):
    """Of a protocol that fits, n // 2; before, k-space was refused or lay half a matrix off."""
    scan = io.load(write(tmp_path / "a.dat", (full(centre=0), ())))
    assert close(scan.kspace, TRUTH[:1])
    assert scan.meta["voxel_mm"] == [5.0, 20.0, 20.0]


def test_channels_measurements_repeats_and_noise(tmp_path):
    """As of ISMRMRD, see test_raw_odd.py."""
    body = [block(np.ones((2, 2 * KX)), line=y) for y in range(KY)]
    path = write(tmp_path / "a.dat", ([*full(), *body], ()))
    with pytest.warns(UserWarning, match="of 3 channels only, and not 16 of 2 channels"):
        assert close(io.load(path).kspace, TRUTH[:1])
    assert io.load(path, part={"channels": 2}).coils == 2
    noise = np.ones((COILS, 256), np.complex64) * (1 + np.arange(256) % 3)
    first = write(tmp_path / "b.dat", (full(), ()), ([block(noise, "NOISEADJSCAN")], ()))
    assert close(io.load(first).kspace, TRUTH[:1])  # before: no readout is for imaging
    assert close(io.load(path, part={"channels": 3}, noise=first).noise, noise * np.sqrt(30 / 6.4 / 0.793))
    plain = write(tmp_path / "n.dat", ([block(noise, line=3)], {"sRXSPEC.alDwellTime[0]": 3200}))  # not flagged
    assert close(io.load(path, part={"channels": 3}, noise=plain).noise, noise * np.sqrt(3.2 / 6.4 / 0.793))
    both = write(tmp_path / "c.dat", (full(), ()), ([*full(Eco=1), *full(Eco=0)], ()))
    assert io.load(both).axes == ("slice", "echo", "coil", "ky", "kx")
    assert io.load(both, part={"measurement": 0}).axes == ("slice", "coil", "ky", "kx")
    twice = write(tmp_path / "d.dat", ([*full(), *full()], ()))
    with pytest.warns(UserWarning, match="up to 2 times with all counters the same"):
        io.load(twice)
    assert close(io.load(twice, average="keep").kspace, np.stack([TRUTH[:1]] * 2, 1))


@pytest.mark.parametrize(("mode", "used"), [(2, True), (4, False), (None, False)])
def test_calibration_lines_in_the_image(tmp_path, mode, used):
    fine = oversampled(TRUTH[:1], 2 * KX)
    made = [block(fine[0, :, y], *["PATREFSCAN"] * (y % 2), line=y) for y in range(KY) if y % 2 == 0 or 4 <= y < 12]
    scan = io.load(write(tmp_path / "a.dat", (made, {"sPat.ucRefScanMode": mode})))
    own = (np.arange(KY) % 2 == 0) | (used & (abs(np.arange(KY) - 7.5) < 4))
    assert (scan.mask[:, 0] == own).all()
    assert close(scan.kspace, TRUTH[:1] * own[:, None])


def test_odd_files(tmp_path):
    path = write(tmp_path / "a.dat", (full(), {"sKSpace.lBaseResolution": None, "sKSpace.lPhaseEncodingLines": None}))
    with pytest.warns(UserWarning, match="no base resolution"):
        assert io.load(path).kspace.shape == (1, COILS, KY, 2 * KX)
    other = [block(np.ones((2, 64)), "NOISEADJSCAN"), *full()]
    with pytest.warns(UserWarning, match="1 noise readouts of other coils"):
        assert io.load(write(tmp_path / "b.dat", (other, ()))).noise is None
    with pytest.warns(UserWarning, match="this is EPI"):
        io.load(write(tmp_path / "c.dat", ([*full(), block(TRUTH[0, :, 0], "PHASCOR")], ())))
    (tmp_path / "t.dat").write_text("hello there, this is a text of some length")
    for name, message in (("t", "twix"), ("short", "cut off")):
        (tmp_path / "short.dat").write_bytes(b"123")
        with pytest.raises(ValueError, match=message):
            io.load(tmp_path / f"{name}.dat")
    content = path.read_bytes()
    (tmp_path / "cut.dat").write_bytes(content[:-2000])
    with pytest.raises(ValueError, match="cut off or damaged: measurement 1 lies at"):
        io.load(tmp_path / "cut.dat")
    with pytest.raises(ValueError, match="max_bytes"), pytest.warns(UserWarning, match="base resolution"):
        io.load(path, max_bytes=9000)
    with pytest.raises(ValueError, match="no image"):
        io.load_image(path)


def test_damaged_files_end_in_an_error_or_a_scan(scanner, tmp_path):
    assert damaged(scanner[0], tmp_path)["error"] > 30
