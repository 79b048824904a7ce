"""ISMRMRD as people write it: odd counters, headers, channels, noise, groups; each with the value that is right."""

import warnings

import ismrmrd
import numpy as np
import pytest
from test_io import centred, h5
from test_mrd import COILS, KX, KY, TRUTH, close, header, lines, oversampled, readout, write
from test_orientation import vendor

import pisolve as pi
import pisolve.cli
from pisolve import io
from pisolve.backend import fft

CALIB, BOTH, NOISE = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,
                      ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
RNG = np.random.default_rng(11)


def white(coils=COILS, n=400):
    return (RNG.standard_normal((coils, n)) + 1j * RNG.standard_normal((coils, n))).astype(np.complex64)


def silently(path, **options):
    """A scan, of which nothing is to be said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return io.load(path, **options)


# --- repeated lines

ECHOES = (1, np.exp(2j), 0.6 * np.exp(4j))


def test_echoes_without_a_label(tmp_path, capsys):
    """Before, their mean, 0.84 off the first echo, with no word."""
    made = [readout(TRUTH[0, :, y] * e, y=y) for y in range(KY) for e in ECHOES]
    path = write(tmp_path / "a.h5", header(), made)
    with pytest.warns(UserWarning, match=r"16 lines were measured up to 3 times with all counters the same.* has 3%"):
        assert close(io.load(path).kspace, TRUTH[:1] * np.mean(ECHOES))
    scan = silently(path, average="keep")
    assert scan.axes == ("slice", "average", "coil", "ky", "kx")
    assert close(scan.kspace, TRUTH[:1, None] * np.array(ECHOES)[:, None, None, None])
    assert scan.mask.all()
    assert "averages" not in scan.meta
    assert pisolve.cli.main(["info", str(path), "--average", "keep"]) == 0
    assert "1 slice, 3 averages, 3 coils" in capsys.readouterr().out
    io.save_mrd(tmp_path / "b.h5", scan)  # the axis has a counter
    again = io.load(tmp_path / "b.h5")
    assert again.axes == scan.axes
    assert close(again.kspace, scan.kspace)
    assert close(io.load(tmp_path / "b.h5", part={"average": 2}).kspace, TRUTH[:1] * ECHOES[2])


@pytest.mark.parametrize(("phases", "said"), [((1, -0.9), True), ((1, 1j), True), ((1, np.exp(0.5j)), False)])
def test_averages_that_cancel(tmp_path, phases, said):
    """Before, averages of opposite phase gave no image and no word."""
    made = [readout(TRUTH[0, :, y] * p, y=y, average=k) for y in range(KY) for k, p in enumerate(phases)]
    path = write(tmp_path / "a.h5", header(), made)
    if not said:
        assert close(silently(path).kspace, TRUTH[:1] * np.mean(phases))
        return
    with pytest.warns(UserWarning, match="the averages of 16 lines do not agree"):
        io.load(path)
    kept = silently(path, average="keep")
    assert close(kept.kspace, TRUTH[:1, None] * np.array(phases)[:, None, None, None])
    for k, p in enumerate(phases):
        assert close(silently(path, part={"average": k}).kspace, TRUTH[:1] * p)
    with pytest.raises(ValueError, match="average must be one of"):
        io.load(path, average="sum")
    with pytest.raises(ValueError, match="average is for raw data"):
        io.load(h5(tmp_path / "k.h5", kspace=TRUTH), average="keep")


def test_averages_of_some_lines_are_kept(tmp_path):
    more = [readout(2 * TRUTH[0, :, y], y=y, average=1) for y in (7, 8)]
    scan = silently(write(tmp_path / "a.h5", header(), lines(TRUTH[:1]) + more), average="keep")
    own = np.array([np.ones(KY), np.isin(np.arange(KY), (7, 8))], bool)
    assert (scan.mask == own[..., None]).all()
    assert close(scan.kspace, TRUTH[:1, None] * (own * np.array([[1], [2]]))[:, None, :, None])


# --- several measurements

def add(path, group, xml, made):
    with ismrmrd.Dataset(str(path), group) as file:
        file.write_xml_header(xml.encode())
        for one in made:
            file.append_acquisition(one)


def test_measurements_of_one_file(tmp_path):
    """Before, the first group, which is the noise adjustment's: no readout is for imaging."""
    path, noise = tmp_path / "a.h5", white()
    add(path, "dataset_1", header(), [readout(noise, NOISE, head={"sample_time_us": 10.0})])
    add(path, "dataset_2", header(), lines(3 * TRUTH))
    add(path, "dataset_10", header(), lines())
    scan = silently(path)
    assert close(scan.kspace, TRUTH)
    assert close(scan.noise, noise * np.sqrt(10 / 5 / 0.8))
    assert scan.meta["measurement"] == "dataset_10 of dataset_1, dataset_2, dataset_10"
    assert close(silently(path, part={"measurement": 1}).kspace, 3 * TRUTH)
    with pytest.raises(ValueError, match=r"measurement'\] is 3: the file has 3, from 0: dataset_1, dataset_2"):
        io.load(path, part={"measurement": 3})
    with pytest.raises(ValueError, match="no readout is for imaging"):
        io.load(path, part={"measurement": 0})
    add(path, "dataset_11", header(), [readout(TRUTH[0, :, 0], CALIB)])  # an adjustment behind it
    assert close(silently(path).kspace, TRUTH)


# --- sizes and centres in the header

def test_two_partitions_that_are_none(tmp_path):
    """Before, a 3-D scan of which half was missing."""
    for centre, last in ((0, 0), (1, 1)):
        xml = header(z=2, limits=[(0, KY - 1, KY // 2), (0, last, centre)])
        scan = silently(write(tmp_path / "a.h5", xml, lines()))
        assert scan.axes == ("slice", "coil", "ky", "kx")
        assert (scan.kspace == TRUTH).all()
        assert scan.mask.all()
        assert scan.meta["voxel_mm"] == [5.0, 2.0, 2.0]
    xml = header(limits=[(0, KY - 1, KY // 2), (0, 7, 4)])  # a centre of nothing
    assert (silently(write(tmp_path / "c.h5", xml, lines())).kspace == TRUTH).all()
    with pytest.warns(UserWarning, match="encodes 8 partitions, and all lines are of partition 4"):
        scan = io.load(write(tmp_path / "b.h5", header(z=8), lines(z=4)))
    assert (scan.kspace == TRUTH).all()


@pytest.mark.parametrize("empty", ["<z></z>", "", "<z>wide</z>"])
def test_an_encoding_that_is_not_the_images(tmp_path, empty):
    """EPI whose FLASH reference has no z. Before, the file was refused, though the image does not use it."""
    one = header(encodings=2, limits=[(0, KY - 1, KY // 2), (0, 0, 0)])
    begin = one.rindex("<encoding>")
    xml = one[:begin] + one[begin:].replace("<z>1</z>", empty).replace("<z>5</z>", empty)
    reference = [readout(TRUTH[0, :, y], CALIB, y=y, head={"encoding_space_ref": 1}) for y in range(4, 12)]
    assert (io.load(write(tmp_path / "a.h5", xml, lines(TRUTH[:1]))).kspace == TRUTH[:1]).all()
    path = write(tmp_path / "b.h5", xml, lines(TRUTH[:1]) + reference)
    if empty == "<z>wide</z>":
        with pytest.warns(UserWarning, match="whose size is not known"):
            assert io.load(path).calib is None
    else:
        assert (silently(path).calib == TRUTH[0, :, 4:12]).all()
    with pytest.raises(ValueError, match="but the header has 2"):
        io.load(write(tmp_path / "c.h5", xml, lines(TRUTH[:1], head={"encoding_space_ref": 2})))


def test_more_lines_than_the_matrix_has(tmp_path):
    """Limits 0 to 19 of 16, as shots of whole length have them. Before: outside the limits."""
    wide = centred((1, COILS, 20, KX))
    xml = header(limits=[(0, 19, 10), (0, 0, 0)])
    with pytest.warns(UserWarning, match="4 of 20 readouts lie outside the matrix of 12 x 16 x 1"):
        scan = io.load(write(tmp_path / "a.h5", xml, lines(wide)))
    assert (scan.kspace == wide[:, :, 2:18]).all()


@pytest.mark.parametrize("header_says", [8, 3])
def test_the_centre_that_the_readouts_give(tmp_path, header_says):
    """Siemens' 3-D partial Fourier: 5 lines and 2 partitions are left out. Before, N / 2 of the header was believed."""
    volume = centred((1, COILS, 8, KY, KX))[0]
    xml = vendor(header(z=8, limits=[(0, 10, header_says), (0, 5, 4)]), "SIEMENS")

    def made(line, partition):
        user = (0, 0, 0, 0, 0, line, partition, 0)
        found = [readout(volume[:, z, y], y=y - 5, z=z - 2) for z in range(2, 8) for y in range(5, KY)]
        for one in found:
            one.idx.user[:] = user
        return found

    path = write(tmp_path / "a.h5", xml, made(3, 2))
    with pytest.warns(UserWarning, match="kspace_encoding_step_2 at 4, the readouts .* at 2: the lines are") as told:
        scan = io.load(path)
    assert len(told) == 1 + (header_says != 3)
    expected = volume * (np.arange(KY) >= 5)[:, None] * (np.arange(8) >= 2)[:, None, None]
    assert close(scan.kspace, expected)
    right = vendor(header(z=8, limits=[(0, 10, 3), (0, 5, 2)]), "SIEMENS")
    for xml, told in ((right, (3, 2)), (right, (0, 0)), (right, (14, 7)), (right.replace("SIEMENS", "GE"), (8, 4))):
        assert close(silently(write(tmp_path / "b.h5", xml, made(*told))).kspace, expected)


def test_a_centre_that_no_line_is_near(tmp_path):
    """Pulseq's 8 lines in the header of another protocol, of 16 around 8 + 4. Before, half of k-space was empty."""
    few = TRUTH[:1, :, 4:12]
    path = write(tmp_path / "a.h5", header(limits=[(0, 15, 12), (0, 0, 0)]), lines(few))
    with pytest.warns(UserWarning, match="at 12, no line is near, they are 0 to 7: it is their middle"):
        scan = io.load(path)
    own = abs(np.arange(KY) - 7.5) < 4
    assert close(scan.kspace, TRUTH[:1] * own[:, None])


def test_an_origin_elsewhere_is_told_of_the_right_axes():
    """Of a 3-D scan and of its planes (kz, ky)."""
    z, y, x = np.ogrid[-12:12, -10:10, -6:6]
    coils = np.array([1, 1j, 2])[:, None, None, None]
    volume = np.exp(-((z - 7) ** 2 + y**2 + x**2) / 20) * np.exp(0.3j * (y + x)) * coils
    scan = io.Scan(volume.astype(np.complex64), axes=("coil", "kz", "ky", "kx"))
    for one in (scan, scan.parts(("x",))[6]):
        told = [w for w in one.warnings() if "off the centre" in w]
        assert len(told) == 1
        assert "+7 samples off the centre along kz" in told[0]


# --- channels

def test_noise_of_other_channels(tmp_path):
    """Before: noise was measured with 2 channels, the image with 3."""
    noise = white()
    path = write(tmp_path / "a.h5", header(), [readout(white(2), NOISE), *lines()])
    with pytest.warns(UserWarning, match="1 noise readouts of other coils are left out: 2 channels, the image has 3"):
        assert io.load(path).noise is None
    path = write(tmp_path / "b.h5", header(), [readout(white(2), NOISE), readout(noise, NOISE), *lines()])
    with pytest.warns(UserWarning, match="1 noise readouts of other coils"):
        assert close(io.load(path).noise, noise / np.sqrt(0.8))


@pytest.mark.parametrize("more", [{}, {"set": 1}])
def test_the_body_coil_beside_the_array(tmp_path, more):
    """Before: the number of channels changes."""
    body = centred((1, 2, KY, KX))
    path = write(tmp_path / "a.h5", header(), lines() + lines(body, **more))
    with pytest.warns(UserWarning, match=r"of 3 channels only, and not 16 of 2 channels.*--part channels=2"):
        scan = io.load(path)
    assert scan.axes == ("slice", "coil", "ky", "kx")
    assert (scan.kspace == TRUTH).all()
    assert (silently(path, part={"channels": 2}).kspace == body).all()
    with pytest.raises(ValueError, match=r"channels'\] is 4: the file has \[2, 3\]"):
        io.load(path, part={"channels": 4})


@pytest.mark.parametrize("left_out", [("active_channels", "number_of_samples"), ("active_channels",),
                                      ("number_of_samples",)])
def test_zeros_in_the_heads_of_old_files(tmp_path, left_out):
    """Before: the number of channels changes between readouts: [0]."""
    import h5py

    xml = header().replace("</acq", f"<receiverChannels>{COILS}</receiverChannels></acq", 1)
    path = write(tmp_path / "a.h5", xml, lines())
    with h5py.File(path, "a") as file:
        rows = file["dataset/data"][:]
        for name in left_out:
            rows["head"][name] = 0
        file["dataset/data"][:] = rows
    assert (silently(path).kspace == TRUTH).all()
    if "active_channels" in left_out:
        with h5py.File(path, "a") as file:
            del file["dataset/xml"]
            file.create_dataset("dataset/xml", (1,), h5py.special_dtype(vlen=bytes))[0] = header().encode()
        if "number_of_samples" in left_out:  # nothing says it
            with pytest.raises(ValueError, match="have no channels"):
                io.load(path)
        else:
            assert (silently(path).kspace == TRUTH).all()


# --- noise of its own

@pytest.mark.parametrize("flags", [(NOISE,), ()], ids=["flagged", "not flagged"])
def test_noise_of_another_file(tmp_path, flags, capsys):
    """A noise scan at half the bandwidth, as a file of its own. Before, there was no way to give it."""
    noise, old = white(), white()
    path = write(tmp_path / "noise.h5", header(), [readout(noise, *flags, y=3, head={"sample_time_us": 10.0})])
    scan_path = write(tmp_path / "a.h5", header(), [readout(old, NOISE), *lines(), *lines(average=1)])
    scan = silently(scan_path, noise=path)
    assert close(scan.noise, noise * np.sqrt(10 / 5 / 0.8 / 2))  # in place of the scan's own
    assert close(silently(scan_path).noise, old * np.sqrt(1 / 0.8 / 2))
    for name, write_it in (("n.npy", np.save), ("n.npz", lambda p, a: np.savez(p, noise=a))):
        write_it(tmp_path / name, noise)
        assert (silently(scan_path, noise=tmp_path / name).noise == noise).all()
    assert (silently(scan_path, noise=noise).noise == noise).all()
    np.savez(tmp_path / "k.npz", kspace=TRUTH)
    with pytest.warns(UserWarning, match="does not say how fast"):
        assert close(io.load(tmp_path / "k.npz", noise=path).noise, noise)
    np.savez(tmp_path / "none.npz", kspace=TRUTH)
    other = write(tmp_path / "other.h5", header(), [readout(white(2), NOISE)])
    for wrong, message in ((tmp_path / "none.npz", "none.npz: it holds no noise"), (tmp_path / "n.nii", "n.nii"),
                           (white(2), "2")):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            io.load(scan_path, noise=wrong)
    with pytest.raises(ValueError, match="none of 3 channels"), pytest.warns(UserWarning, match="other coils"):
        io.load(scan_path, noise=other)
    arguments = [str(scan_path), "--max-iter", "2", "--prewhiten", "--prior", "zero"]
    done = pisolve.cli.main(["recon", *arguments, "-o", str(tmp_path / "x.npy"), "--noise", str(path)])
    assert done == 0, capsys.readouterr().err
    assert pisolve.cli.main(["recon", *arguments, "-o", str(tmp_path / "noise.h5"), "--noise", str(path)]) == 2
    assert "noise.h5 is the file of --noise itself" in capsys.readouterr().err


# --- calibration lines in the image

def embedded(kspace, width, accel, *, marked=True, loud=1, **head):
    """Readouts of an undersampled slice whose centre is filled by calibration lines."""
    n, made = kspace.shape[1], []
    for y in range(n):
        inside, regular = abs(y - n // 2 + 0.5) < width / 2, y % accel == 0
        flags = [BOTH if regular and marked else CALIB] if inside and not (regular and not marked) else []
        if inside or regular:
            only = inside and not regular
            made.append(readout(kspace[:, y] * (loud if only else 1), *flags, y=y, head=head if only else {}))
    return made


def mode(word):
    return (f"<parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>"
            f"<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
            f"<calibrationMode>{word}</calibrationMode></parallelImaging>")


@pytest.mark.parametrize(("extra", "marked", "used"), [("", True, True), (mode("embedded"), False, True),
                                                       ("", False, False), (mode("separate"), True, False)])
def test_calibration_lines_are_in_the_image(tmp_path, extra, marked, used):
    """Before, never."""
    path = write(tmp_path / "a.h5", header(extra=extra), embedded(TRUTH[0], 8, 2, marked=marked))
    if marked or used:
        scan = silently(path)
    else:
        with pytest.warns(UserWarning, match="calibration readouts were measured with holes at the centre"):
            scan = io.load(path)
    own = np.arange(KY) % 2 == 0
    own |= used & (abs(np.arange(KY) - 7.5) < 4)
    assert (scan.mask[:, 0] == own).all()
    assert close(scan.kspace, TRUTH[:1] * own[:, None])
    assert ("used in it" in scan.meta["calibration_lines"]) == used
    assert scan.calib is None or close(scan.calib, TRUTH[:1, :, 4:12])


@pytest.mark.parametrize(("options", "message"), [
    ({"loud": 4}, "with another contrast, 1[0-9] times the energy"), ({"sample_time_us": 9.0}, "another dwell time"),
    ({"encoding_space_ref": 1}, "with other counters")])
def test_calibration_lines_of_another_contrast_are_not(tmp_path, options, message):
    made = embedded(TRUTH[0], 8, 2, **options)
    with pytest.warns(UserWarning, match=f"{message}.*: they are not used in the image"):
        scan = io.load(write(tmp_path / "a.h5", header(encodings=2), made))
    assert (scan.mask[:, 0] == (np.arange(KY) % 2 == 0)).all()


def test_all_lines_make_a_better_image(tmp_path):
    """SENSE at R = 2 with 24 lines of calibration: before, an error of 0.0029, here, as with all lines, 0.0017."""
    mps, (y, x), rng = pi.phantom.brain((64, 64), 6).mps, np.mgrid[-32:32, -32:32], np.random.default_rng(1)
    image = sum(w * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s)) for w, a, b, s in (
        (1, -3, 3, 8), (0.8, 11, -10, 4.5), (-0.5, -10, 13, 3.2), (0.9, 3, 13, 2.6)))
    kspace = fft(mps * image, (-2, -1))
    noise = rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape)
    kspace = (kspace + 2e-5 * abs(kspace).max() * noise).astype(np.complex64)
    scan = io.load(write(tmp_path / "a.h5", header(64, 64), embedded(kspace, 24, 2)))
    every, truth = np.repeat(np.arange(64)[:, None] % 2 == 0, 64, 1), np.sqrt((abs(mps * image) ** 2).sum(0))
    less, body, error = io.Scan(scan.kspace * every, every, calib=scan.calib), truth > 0.1 * truth.max(), []
    for one in (scan, less):
        found = abs(pi.recon(one, pi.Zero()).x[0])
        error.append(np.linalg.norm((found - truth)[body]) / np.linalg.norm(truth[body]))
    assert error[0] < 0.75 * error[1], error


# --- a coil axis that is not where it is expected

@pytest.mark.parametrize(("order", "named"), [((1, 2, 0), "ky,kx,coil"), ((1, 0, 2), "ky,coil,kx")])
@pytest.mark.parametrize("slices", [0, 2])
def test_the_coil_axis_elsewhere(tmp_path, order, named, slices, capsys):
    """(48, 40, 4) is read as 48 coils of 40 x 4. Before: the axes of a 3-D scan were proposed, and 48 coils blamed."""
    kspace = pi.phantom.brain((48, 40), 4, noise=0.01).kspace.transpose(order)
    names = f"slice,{named}" if slices else named
    kspace = np.stack([kspace] * slices) if slices else kspace
    np.save(tmp_path / "k.npy", kspace)
    scan = io.load(tmp_path / "k.npy")
    told = [w for w in scan.warnings() if "look permuted" in w]
    assert told, scan.warnings()
    assert f"--axes {names}" in told[0], told
    assert not [w for w in scan.warnings() if "coil 2" in w]
    right = io.load(tmp_path / "k.npy", axes=tuple(names.split(",")))
    assert right.kspace.shape[-3:] == (4, 48, 40)
    assert not [w for w in right.warnings() if "permuted" in w]
    assert pisolve.cli.main(["info", str(tmp_path / "k.npy")]) == 0
    assert "the axes look permuted" in capsys.readouterr().out


# --- a folder

def test_info_of_a_folder(tmp_path, capsys):
    folder = tmp_path / "all"
    (folder / "inner").mkdir(parents=True)
    write(folder / "a.h5", header(), lines())
    io.save(folder / "inner" / "x.nii.gz", abs(TRUTH[:, 0]))
    np.save(folder / "k.npy", TRUTH[0].transpose(1, 2, 0))
    (folder / "notes.txt").write_text("hello")
    (folder / ".hidden").write_text("no")
    io.save(folder / "b.cfl", TRUTH[0, 0])
    assert pisolve.cli.main(["info", str(folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["a.h5", "b.cfl", "inner/x.nii.gz", "k.npy", "notes.txt"]
    assert "ISMRMRD: 2 slices, 3 coils, 16 x 12, full" in out[0]
    assert "image 2 x 16 x 12" in out[2]
    assert "not looked at: .txt" in out[4]
    (folder / "bad.h5").write_text("<html>404</html>")
    (folder / "esc\x1b[2J.npy").write_bytes(b"x")
    assert pisolve.cli.main(["info", str(folder)]) == 3
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 7
    assert "bad.h5" in out
    assert "\x1b" not in out
    assert "error: cannot be read as HDF5" in out
    for path in folder.rglob("*.*"):
        if path.name not in ("bad.h5",) and path.is_file():
            path.unlink()
    assert pisolve.cli.main(["info", str(folder)]) == 2
    (folder / "bad.h5").unlink()
    assert pisolve.cli.main(["info", str(folder)]) == 2
    assert "holds no files" in capsys.readouterr().err
    assert pisolve.cli.main(["info", str(folder), "--part", "set=1"]) == 2


def test_oversampled_file_of_oddities_together(tmp_path):
    """Noise of a body coil, two partitions of one, calibration between the lines, all at once."""
    fine = oversampled(TRUTH[:1], 2 * KX)
    made = [readout(white(2), NOISE), *embedded(fine[0], 8, 2)]
    xml = header(2 * KX, out=KX, z=2, limits=[(0, KY - 1, KY // 2), (0, 1, 0)])
    with pytest.warns(UserWarning, match="1 noise readouts of other coils"):
        scan = io.load(write(tmp_path / "a.h5", xml, made))
    own = (np.arange(KY) % 2 == 0) | (abs(np.arange(KY) - 7.5) < 4)
    assert close(scan.kspace, TRUTH[:1] * own[:, None])
