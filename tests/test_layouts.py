"""Public data sets' layouts, in files that the tests write as their documentation says: the right image comes out."""

import h5py
import ismrmrd
import numpy as np
import pytest
import scipy.io

import pisolve as pi
from pisolve import cli, io
from pisolve.backend import fft
from pisolve.io import cfl
from pisolve.scan.size import wanted

NY, NX, COILS = 24, 20, 3
RNG = np.random.default_rng(0)


def smooth(*shape):
    """Complex images (..., y, x) without symmetry: no axis, direction or order can be mistaken."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[-2]), np.linspace(-1, 1, shape[-1]), indexing="ij")
    blob = np.exp(-8 * ((y + 0.3) ** 2 + 2 * (x - 0.2) ** 2)) + 0.5 * np.exp(-20 * ((y - 0.5) ** 2 + (x + 0.4) ** 2))
    weights = RNG.uniform(0.5, 1.5, shape[:-2]) * np.exp(2j * np.pi * RNG.random(shape[:-2]))
    return (weights[..., None, None] * blob).astype(np.complex64)


def h5(path, attrs=None, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.attrs.update(attrs or {})
    return path


def rss(images, axis):
    return np.linalg.norm(images, axis=axis)


def same(a, b):
    np.testing.assert_allclose(abs(np.asarray(a)), abs(np.asarray(b)), rtol=2e-4, atol=2e-4 * abs(np.asarray(b)).max())


HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<sequenceParameters><TR>3000</TR><TE>101</TE><flipAngle_deg>120</flipAngle_deg></sequenceParameters>
<acquisitionSystemInformation><systemFieldStrength_T>3</systemFieldStrength_T></acquisitionSystemInformation>
<encoding><trajectory>cartesian</trajectory>
<encodedSpace><matrixSize><x>{ex}</x><y>{ey}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{fx}</x><y>{fy}</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{rx}</x><y>{ry}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{gx}</x><y>{gy}</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits></encoding></ismrmrdHeader>"""


@pytest.mark.parametrize("corner", [False, True], ids=["middle", "corner"])
@pytest.mark.parametrize("suffix", [".h5", ".npy"])
@pytest.mark.parametrize("size", [(NY, NX), (23, 19)], ids=["even", "odd"])
def test_calgary_campinas(tmp_path, corner, suffix, size):
    """(x, ky, kz, real and imaginary parts): the published programs show |numpy.fft.ifft2(k)|, as it is."""
    images = np.moveaxis(smooth(5, COILS, *size), 1, -1)
    kspace = np.fft.fft2(images, axes=(1, 2))  # its origin in the corner
    kspace = kspace if corner else np.fft.fftshift(kspace, axes=(1, 2))
    stored = np.stack([kspace.real, kspace.imag], -1).reshape(5, *size, 2 * COILS).astype(np.float32)
    path = tmp_path / f"scan{suffix}"
    h5(path, kspace=stored) if suffix == ".h5" else np.save(path, stored)
    scan = io.load(path)
    assert scan.axes == ("slice", "coil", "ky", "kx")
    assert scan.kspace.dtype == np.complex64
    same(scan.rss(), rss(np.fft.ifft2(kspace, axes=(1, 2)), -1) * np.sqrt(np.prod(size)))
    told = scan.warnings()[0] if suffix == ".npy" else scan.meta["layout"]
    assert "Calgary-Campinas" in told


def test_a_stack_of_magnitudes_is_no_calgary_campinas(tmp_path):
    np.save(tmp_path / "a.npy", abs(smooth(5, 4, NY, NX)).transpose(0, 2, 3, 1))
    with pytest.raises(TypeError, match="complex is needed"):
        io.load(tmp_path / "a.npy")


def test_skm_tea(tmp_path):
    """(x, ky, kz, echo, coil), maps (x, ky, kz, coil, set), the image (x, y, z, echo, set)."""
    mps = smooth(1, COILS, NY, NX)
    mps = np.broadcast_to(mps / rss(mps, 1)[:, None], (4, COILS, NY, NX))
    image = smooth(4, 2, NY, NX)
    kspace = fft(image[:, :, None] * mps[:, None], (-2, -1))
    path = h5(tmp_path / "MTR_005.h5", kspace=kspace.transpose(0, 3, 4, 1, 2),
              maps=mps.transpose(0, 2, 3, 1)[..., None], target=image.transpose(0, 2, 3, 1)[..., None])
    scan = io.load(path)
    assert scan.axes == ("slice", "echo", "coil", "ky", "kx")
    assert "SKM-TEA" in scan.meta["layout"]
    same(scan.kspace, kspace)
    same(scan.mps, mps)
    same(scan.reference, image)
    same(pi.recon(scan, pi.Zero(), max_iter=5).x, image)
    named = io.load(path, axes=("slice", "ky", "kx", "echo", "coil"))
    same(named.kspace, kspace)


def test_fastmri_prostate(tmp_path):
    """(average, slice, coil, readout, phase), odd lines twice, even ones once; images have their rows turned."""
    rows, columns, wide = 32, 22, 32
    full = fft(smooth(2, COILS, rows, wide), (-2, -1))
    left = wide // 2 - 10  # the header's centre
    lines = full[..., left : left + columns]
    full = np.zeros_like(full)
    full[..., left : left + columns] = lines
    kspace = np.zeros((3, *lines.shape), np.complex64)
    kspace[0, ..., 1::2], kspace[1, ..., ::2], kspace[2, ..., 1::2] = lines[..., 1::2] * 1.5, lines[..., ::2], lines[
        ..., 1::2] * 0.5
    target = rss(fft(full, (-2, -1), inverse=True), 1)[:, ::-1][:, 8:24, 8:24]
    xml = HEADER.format(ex=rows, ey=rows, fx=300, fy=300, rx=16, ry=16, gx=150, gy=150, last=columns - 1, centre=10)
    path = h5(tmp_path / "file_prostate_AXT2_001.h5", kspace=kspace, calibration_data=lines[..., 4:18],
              reconstruction_rss=target.astype(np.float32), ismrmrd_header=xml,
              attrs={"max": 1.0, "norm": 1.0, "patient_id": "0", "acquisition": "AXT2"})
    scan = io.load(path)
    assert scan.axes == ("slice", "coil", "ky", "kx")
    assert scan.meta["averages"] == 3
    assert scan.phase_axis == -1
    same(scan.kspace, full)
    assert pi.metrics.nmse(scan.reference, scan.crop(scan.rss())) < 1e-6
    assert scan.calib.shape == (2, COILS, rows, 14)
    kept = io.load(path, axes=("average", "slice", "coil", "ky", "kx"))
    assert kept.axes == ("slice", "average", "coil", "ky", "kx")
    same(kept.kspace[:, 0, ..., ::2], 0)


def test_fastmri_prostate_diffusion_says_what_is_not_done(tmp_path):
    kspace = fft(smooth(4, 2, COILS, NY, NX), (-2, -1))
    path = h5(tmp_path / "dwi.h5", kspace=kspace, calibration_data=kspace[0], coil_sens_maps=kspace[0])
    scan = io.load(path)
    assert scan.axes == ("slice", "repetition", "coil", "ky", "kx")
    assert "regridded" in scan.warnings()[0]


@pytest.mark.parametrize("reversed_", [False, True])
def test_fastmri_breast(tmp_path, reversed_):
    """(2, spoke, sample, coil, partition): a stack of golden-angle stars, its partitions around the third."""
    spokes, samples, parts, centre = 80, 32, 6, 2
    volume = np.multiply.outer((0.3, 1, 0.6, 0.2, 0, 0.1, 0.4, 0.7), smooth(1, 16, 16)[0])  # z, y, x
    tau = (1 + 5**0.5) / 2
    angle, radius = np.arange(spokes)[:, None] * np.pi / tau, (np.arange(samples) - samples // 2) / 2
    coord = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], -1)
    along = fft(volume, (0,), inverse=True)[4 - centre : 4 - centre + parts]  # kz: the data set's own sign
    nufft = pi.linops.nufft((16, 16), coord)
    lines = np.stack([nufft(k.astype(np.complex64)) for k in along])  # partition, spoke, sample
    data = np.stack([lines, 0.5j * lines], 1)  # partition, coil, spoke, sample
    stored = np.stack([data.real, data.imag]).transpose(0, 3, 4, 2, 1).astype(np.float32)
    stored = stored.T if reversed_ else stored
    scan = io.load(h5(tmp_path / "fastMRI_breast_003_2.h5", kspace=stored))
    assert scan.axes == ("slice", "coil", "shot", "sample")
    assert scan.size == (16, 16)
    assert scan.kspace.shape[0] == 2 * max(centre, parts - centre)
    image = pi.recon(scan, pi.Zero(), mps=np.stack([np.full((16, 16), v) for v in (1, 0.5j)]), max_iter=30).x
    want = fft(np.pad(along, ((4 - centre - 0, 0), (0, 0), (0, 0)))[:8], (0,))
    assert np.linalg.norm(abs(image) - abs(want)) < 0.1 * np.linalg.norm(want)


def test_m4raw(tmp_path):
    """fastMRI's layout with four coils: rows are the readout, 195 of 256 columns measured."""
    kspace = fft(smooth(2, 4, 32, 32), (-2, -1))
    kspace[..., :4] = kspace[..., 28:] = 0
    xml = HEADER.format(ex=32, ey=32, fx=240, fy=240, rx=32, ry=32, gx=240, gy=240, last=23, centre=12)
    path = h5(tmp_path / "2022061003_T101.h5", kspace=kspace, reconstruction_rss=rss(fft(
        kspace, (-2, -1), inverse=True), 1).astype(np.float32), ismrmrd_header=xml, attrs={"acquisition": "T1"})
    scan = io.load(path)
    assert scan.axes == ("slice", "coil", "ky", "kx")
    same(scan.rss(), scan.reference)
    assert scan.meta["padding"] == [4, 28]
    assert (scan.meta["te_ms"], scan.meta["tr_ms"], scan.meta["flip_deg"]) == (101, 3000, 120)


def test_ocmr(tmp_path):
    """ISMRMRD: frames as phases with lines of their own, readouts twice oversampled, two averages."""
    images = smooth(3, COILS, NY, NX)
    kspace = fft(np.pad(images, ((0, 0), (0, 0), (0, 0), (NX // 2, NX // 2))), (-2, -1))  # oversampled
    xml = HEADER.format(ex=2 * NX, ey=NY, fx=400, fy=240, rx=NX, ry=18, gx=200, gy=180, last=NY - 1, centre=NY // 2)
    xml = xml.replace("<encoding>", "<experimentalConditions><H1resonanceFrequency_Hz>1</H1resonanceFrequency_Hz>"
                      "</experimentalConditions><encoding>")
    with ismrmrd.Dataset(str(tmp_path / "fs_0001_1_5T.h5")) as file:
        file.write_xml_header(xml.encode())
        for average in range(2):
            for frame in range(3):
                for line in range(frame % 2, NY, 2):
                    one = ismrmrd.Acquisition.from_array(np.ascontiguousarray(kspace[frame, :, line] * (0.5 + average)))
                    one.center_sample = NX
                    one.idx.kspace_encode_step_1, one.idx.phase, one.idx.average = line, frame, average
                    file.append_acquisition(one)
    scan = io.load(tmp_path / "fs_0001_1_5T.h5").select(0)
    assert scan.axes == ("slice", "frame", "coil", "ky", "kx")
    assert wanted(scan, "recon") == (18, NX)  # phase oversampling goes where an image is written
    expected = fft(images, (-2, -1))
    for frame in range(3):
        same(scan.kspace[0, frame][:, frame % 2 :: 2], expected[frame][:, frame % 2 :: 2])
        assert not scan.kspace[0, frame][:, 1 - frame % 2 :: 2].any()


def mat73(path, compound=True, **arrays):
    """A .mat of version 7.3: HDF5 behind 512 bytes, axes reversed, complex numbers as real and imag."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            array = np.ascontiguousarray(array.T)
            if array.dtype.kind == "c":
                array = array.view([("real", array.real.dtype), ("imag", array.real.dtype)])
            file[name] = array
            file[name].attrs["MATLAB_class"] = np.bytes_("single")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\0\2IM")


def mat5(path, **arrays):
    scipy.io.savemat(path, arrays, do_compression=True)


@pytest.mark.parametrize("write", [mat5, mat73])
def test_cmrxrecon(tmp_path, write):
    """kspace_full (kx, ky, coil, slice, frame) and masks (kx, ky) or (kx, ky, frame), in MATLAB's order."""
    kspace = fft(smooth(4, 2, COILS, NY, NX), (-2, -1))  # frame, slice, coil, ky, kx
    stored = kspace.transpose(4, 3, 2, 1, 0)
    for name in ("kspace_full", "kus", "kspace_sub04"):
        write(tmp_path / "cine_sax.mat", **{name: stored})
        scan = io.load(tmp_path / "cine_sax.mat")
        assert scan.axes == ("slice", "frame", "coil", "ky", "kx")
        assert scan.kspace.dtype == np.complex64
        same(scan.kspace, kspace.swapaxes(0, 1))
    write(tmp_path / "blackblood.mat", kspace_full=stored[..., 0])
    assert io.load(tmp_path / "blackblood.mat").axes == ("slice", "coil", "ky", "kx")
    mask = np.zeros((NX, NY, 4), np.uint8)
    for frame in range(4):
        mask[:, frame::2, frame] = 1
    write(tmp_path / "masked.mat", kus=stored * mask[:, :, None, None], mask=mask)
    scan = io.load(tmp_path / "masked.mat")
    assert scan.mask.shape[-2:] in ((NY, 1), (NY, NX))
    assert (scan.inside == (scan.kspace != 0).any(axis=2, keepdims=True)).all()
    write(tmp_path / "single.mat", kspace_single_full=stored[:, :, 0])
    single = io.load(tmp_path / "single.mat")
    assert single.axes == ("slice", "frame", "coil", "ky", "kx")
    assert single.coils == 1
    write(tmp_path / "flow.mat", kdata_full=stored.transpose(0, 1, 3, 2, 4)[..., None] * np.ones(2, np.complex64))
    assert io.load(tmp_path / "flow.mat").axes == ("set", "frame", "coil", "kz", "ky", "kx")


@pytest.mark.parametrize("write", [mat5, mat73])
def test_other_mat_files(tmp_path, write):
    kspace = fft(smooth(COILS, NY, NX), (-2, -1))
    path = tmp_path / "a.mat"
    write(path, k=kspace.transpose(1, 2, 0), te=np.ones((1, 3)))  # the only complex one: (ky, kx, coil)
    scan = io.load(path)
    same(scan.kspace, kspace)
    assert scan.axes == ("coil", "ky", "kx")
    write(path, kspace=np.stack([kspace.transpose(1, 2, 0)] * 2, -1))
    with pytest.raises(ValueError, match="name them, such as axes="):
        io.load(path)
    scan = io.load(path, axes=("ky", "kx", "coil", "slice"))
    same(scan.kspace, np.stack([kspace] * 2))
    write(path, a=kspace, b=kspace)
    with pytest.raises(ValueError, match=r"a.mat has no variable with k-space.*it holds: a \(3, 24, 20\), b"):
        io.load(path)
    write(path, kspace=kspace)
    with pytest.raises(ValueError, match="max_bytes"):
        io.load(path, max_bytes=100)


def test_damaged_mat_files(tmp_path):
    path = tmp_path / "a.mat"
    mat5(path, kspace=fft(smooth(COILS, NY, NX), (-2, -1)).transpose(1, 2, 0))
    whole = path.read_bytes()
    for data in (whole[:200], whole[:-30], b"hello" * 100, whole[:128] + b"\x0f\0\0\0\xff\xff\xff\x7f" + whole[136:],
                 whole[:300] + bytes(40) + whole[340:]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.mat"):
            io.load(path)


@pytest.mark.parametrize(("dim", "name"), [(2, "kz"), (4, "set"), (5, "echo"), (6, "coeff"), (7, "coeff2"), (8, "iter"),
                                           (9, "cshift"), (10, "frame"), (11, "time2"), (12, "level"), (13, "slice"),
                                           (14, "average"), (15, "batch")])
def test_any_dimension_of_bart(tmp_path, dim, name):
    kspace = fft(smooth(2, COILS, NY, NX), (-2, -1))
    dims = [NX, NY, 1, COILS, *[1] * 12]
    dims[dim] = 2
    order = kspace if dim > 3 else kspace.swapaxes(0, 1)
    order.astype("<c8").tofile(tmp_path / "k.cfl")
    (tmp_path / "k.hdr").write_text("# Dimensions\n" + " ".join(map(str, dims)) + "\n")
    axes = ("coil", "kz", "ky", "kx") if dim == 2 else (name, "coil", "ky", "kx")
    scan = io.load(tmp_path / "k.cfl", axes=axes)
    assert scan.axes == axes
    same(scan.kspace, order)


def test_images_of_two_sets_from_bart(tmp_path):
    image = smooth(2, NY, NX)
    cfl.write(tmp_path / "i.cfl", image, axes=("maps", "y", "x"))
    assert io.image_axes(tmp_path / "i.cfl") == ("maps", "y", "x")
    same(io.load_image(tmp_path / "i.cfl"), image)


@pytest.mark.parametrize(("name", "program"), [
    ("P12345.7", "ge_to_ismrmrd"), ("ScanArchive_123_20240101.h5", "ge_to_ismrmrd"), ("r.lab", "philips_to_ismrmrd"),
    ("raw_001.raw", "philips_to_ismrmrd"), ("raw_001.list", "philips_to_ismrmrd"), ("fid", "bruker_to_ismrmrd"),
    ("rawdata.job0", "bruker_to_ismrmrd")])
def test_raw_data_of_other_vendors(tmp_path, name, program, capsys):
    (tmp_path / name).write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match=f"{program}.*makes ISMRMRD of it"):
        io.load(tmp_path / name)
    assert cli.main(["info", str(tmp_path / name)]) == 2
    assert program in capsys.readouterr().err
