"""From a scan to maps in one call and one command: the same numbers, files with units, and what is refused."""

import json

import numpy as np
import pytest

import pisolve as pi
from pisolve import io, signals
from pisolve.io.header import Header

TIMES = [0.02, 0.04, 0.07, 0.11]
SIDE, NOISE = 32, 0.004
HEAD = pi.phantom.brain((SIDE, SIDE), 6)
T2 = np.where(np.arange(SIDE)[:, None] < SIDE // 2, 0.05, 0.11) + np.zeros((SIDE, SIDE))
SEEN = abs(HEAD.image) > 0.2
AFFINE = np.diag([2.0, 2.0, 5.0, 1.0]).tolist()


def scan(slices=None, meta=None, **fields):
    """Echoes of a head whose T2 is longer below, with noise."""
    images = HEAD.image * np.moveaxis(signals.decay(T2, TIMES), -1, 0)
    mps = HEAD.mps / np.linalg.norm(HEAD.mps, axis=0)
    inner = (-2, -1)
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(mps * images[:, None], axes=inner), norm="ortho"), axes=inner)
    rng = np.random.default_rng(0)
    k = k + NOISE * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape))
    axes = ("echo", "coil", "ky", "kx")
    k = k if slices is None else np.stack([k] * slices)
    return io.Scan(k.astype(np.complex64), mps=mps.astype(np.complex64) if slices is None else None,
                   axes=axes if slices is None else ("slice", *axes), meta=meta or {}, **fields)


def right(maps, of=..., within=0.05):
    known = SEEN & maps.mask["t2"][of]
    assert known.sum() > 0.9 * SEEN.sum()
    assert np.median(abs(maps["t2"][of] / T2 - 1)[known]) < within


def test_one_call_is_images_and_a_fit():
    one = scan()
    done = pi.quantify(one, "t2", 1e-3 * pi.LLR(), times=TIMES, max_iter=5)
    images = pi.recon(one, 1e-3 * pi.LLR(), max_iter=5)
    assert np.array_equal(done["t2"], signals.t2(images.x, TIMES)["t2"], equal_nan=True)
    assert done.axes == ("y", "x")
    assert done.clock == "echo_times"
    right(done.maps)


@pytest.mark.parametrize("meta", [{"echo_times": TIMES}, {"echo_times": np.array(TIMES)},
                                  {"te_ms": [1e3 * t for t in TIMES]}])
def test_times_are_those_of_the_scan(meta):
    done = pi.quantify(scan(meta=meta), "t2", pi.Zero(), max_iter=3)
    assert np.allclose(done.times, TIMES)


def test_times_are_read_from_headers_and_files(tmp_path):
    xml = "<a><sequenceParameters><TE>5</TE><TI>100</TI><TI>400</TI></sequenceParameters></a>"
    assert Header(xml).describe() == {"te_ms": 5, "ti_ms": [100, 400]}
    one = scan()
    np.savez(tmp_path / "a.npz", kspace=one.kspace, axes="echo,coil,ky,kx", inversion_times=TIMES)
    assert io.load(tmp_path / "a.npz").meta["inversion_times"] == TIMES
    io.save_scan(tmp_path / "a.h5", io.load(tmp_path / "a.npz"))
    assert io.load(tmp_path / "a.h5").meta["inversion_times"] == TIMES


def test_slices_and_one_step():
    two = scan(slices=2)
    maps = [pi.quantify(two, "t2", times=TIMES, max_iter=10, **how).maps for how in ({}, {"one_step": True})]
    for m in maps:
        assert m["t2"].shape == (2, SIDE, SIDE)
        assert m.axes == ("slice", "y", "x")
        right(m, 1)
    middle = SEEN & maps[0].mask["t2"][0] & maps[1].mask["t2"][0]
    ratio = abs(maps[1].amplitude[0] / maps[0].amplitude[0])[middle]
    assert np.median(ratio) == pytest.approx(1, abs=0.05)  # in the scan's units, both


def test_water_and_fat_take_the_field_of_the_header():
    times = 1e-3 * np.array([1.4, 3.0, 4.5, 6.1])
    q = np.where(np.arange(SIDE) < SIDE // 2, 0.1, 0.7) + np.zeros((SIDE, SIDE))
    p = np.stack([q.ravel(), np.full(SIDE**2, 0.03), np.full(SIDE**2, 20.0)])
    model = signals.named("water_fat", field_strength=3.0).model(times)
    images = HEAD.image * model.value(times, p).reshape(4, SIDE, SIDE)
    A = pi.linops.sense(np.ones((1, SIDE, SIDE)), shape=(4, 1, SIDE, SIDE), axes=("echo", "coil", "ky", "kx"))
    one = io.Scan(A(images), mps=np.ones((1, SIDE, SIDE), complex), axes=A.oaxes, meta={
        "field_strength_t": 3.0, "echo_times": times.tolist()})
    done = pi.quantify(one, "water_fat", pi.Zero(), max_iter=3)
    known = SEEN & done.maps.mask["fat_fraction"]
    assert known.sum() > 0.9 * SEEN.sum()
    assert np.median(abs(done["fat_fraction"] - q)[known]) < 0.01
    with pytest.raises(ValueError, match="field_strength is needed"):
        pi.quantify(one._with(meta={}), "water_fat", pi.Zero(), times=times)


def test_replicas_say_what_the_images_do_to_noise():
    """At 2x without a prior the g-factor is in them, and less is in what one image says of its own noise."""
    sampling = pi.Sampling("equispaced", 2)
    done = pi.quantify(scan(), "t2", pi.Zero(), times=TIMES, sampling=sampling, max_iter=30, replicas=6)
    plain = pi.quantify(scan(), "t2", pi.Zero(), times=TIMES, sampling=sampling, max_iter=30)
    known = SEEN & done.maps.mask["t2"] & np.isfinite(done.maps.std["t2"])
    assert known.sum() > 0.5 * SEEN.sum()
    assert 0.6 < np.median((done.maps.std["t2"] / plain.maps.std["t2"])[known]) < 1.7


def test_maps_are_written_with_names_and_units(tmp_path):
    done = pi.quantify(scan(meta={"affine": AFFINE, "voxel_mm": [5.0, 2, 2], "te_ms": [1e3 * t for t in TIMES]}), "t2",
                       max_iter=5)
    done.save(tmp_path / "maps.h5")
    found = io.load_maps(tmp_path / "maps.h5")
    assert list(found) == ["t2"]
    assert found["t2"].unit == "s"
    np.testing.assert_array_equal(found["t2"].values[0], done["t2"])
    np.testing.assert_array_equal(found["t2"].std[0], done.maps.std["t2"])
    seen = done.maps.amplitude * done.maps.mask["t2"]
    np.testing.assert_array_equal(io.load_image(tmp_path / "maps.h5")[0], seen)
    assert pi.Recipe.load(tmp_path / "maps.h5").max_iter == 5
    pytest.importorskip("nibabel")
    files = done.save(tmp_path / "sub-01_T2map.nii.gz")
    names = ["sub-01_T2map.nii.gz", "sub-01_desc-std_T2map.nii.gz", "sub-01_S0map.nii.gz"]
    assert [f.name for f in files] == names
    import nibabel

    image = nibabel.load(tmp_path / names[0])
    assert np.allclose(image.affine, AFFINE)
    np.testing.assert_array_equal(np.asarray(image.dataobj)[..., 0].T, done["t2"])
    said = [json.loads((tmp_path / n.replace(".nii.gz", ".json")).read_text()) for n in names]
    assert [s["Units"] for s in said] == ["s", "s", "arbitrary"]
    assert np.allclose(said[0]["EchoTime"], TIMES)
    assert said[0]["SignalModel"] == "t2"
    assert said[0]["Status"] == done.status
    assert said[1]["Statistic"] == "standard deviation"


def test_the_picture_has_a_bar_with_the_unit(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    done = pi.quantify(scan(), "t2", max_iter=3, times=TIMES)
    drawn = done.plot()
    words = [t.get_text() for t in drawn.findobj() if hasattr(t, "get_text")]
    assert "t2" in words
    assert words.count("s") == 2  # the map's bar, and that of its standard deviation
    pyplot.close(drawn)
    done.save(tmp_path / "maps.png")
    assert (tmp_path / "maps.png").stat().st_size > 5000
    assert "t2" in done._repr_html_()


@pytest.fixture
def stored(tmp_path):
    one = scan()
    np.savez(tmp_path / "scan.npz", kspace=one.kspace, mps=one.mps, axes="echo,coil,ky,kx")
    np.savez(tmp_path / "timed.npz", kspace=one.kspace, mps=one.mps, axes="echo,coil,ky,kx", echo_times=TIMES)
    return tmp_path


@pytest.mark.parametrize("times", ["0.02,0.04,0.07,0.11", "20,40,70,110ms", "20ms,40ms,70ms,110ms"])
def test_the_command_does_the_same(stored, run, times):
    words = ("--signal", "t2", "--echo-times", times, "--prior", "llr", "--max-iter", 5)
    code, out, _ = run("recon", "scan.npz", "-o", "maps.h5", *words)
    assert code == 0
    assert "t2, echo times 20, 40, 70, 110 ms" in out
    assert "median" in out
    done = pi.quantify("scan.npz", "t2", 0.1 * pi.LLR(shifts=16), times=TIMES, max_iter=5)
    np.testing.assert_array_equal(io.load_maps("maps.h5")["t2"].values[0], done["t2"])


def test_the_command_writes_nifti_pictures_and_one_step(stored, run):
    pytest.importorskip("nibabel")
    pytest.importorskip("matplotlib")
    code, out, _ = run("recon", "timed.npz", "-o", "a.nii.gz", "--signal", "t2", "--one-step", "--max-iter", 10,
                       "--png", "a.png")
    assert code == 0
    assert "a_T2map.nii.gz, " in out
    assert (stored / "a.png").exists()
    assert "one step" in out


@pytest.mark.parametrize(("words", "message"), [
    (("--echo-times", "0.1,0.2"), "--echo-times is for --signal"),
    (("--signal", "t2"), "times are needed: the seconds of each of the 4 images along 'echo'"),
    (("--signal", "t2", "--echo-times", "20,40,70,110"), "looks like milliseconds"),
    (("--signal", "t2", "--echo-times", "0.1,0.02,0.03,0.04"), "must increase"),
    (("--signal", "t2", "--echo-times", "0.1,0.2"), "echo_times has 2 entries, and the images have 4"),
    (("--signal", "t2", "--echo-times", "0.1,0.2,nan,0.4"), "must be finite"),
    (("--signal", "water_fat", "--echo-times", "1,2,3,4ms"), "field_strength is needed"),
    (("--signal", "t2", "--echo-times", "20,40,70,110ms", "--along", "frame"), "axis must be"),
    (("--signal", "t2", "--component", "phase"), "--component is for images"),
    (("--signal", "t2", "--echo-times", "20,40,70,110ms", "--replicas", "1"), "replicas is 1"),
    (("--signal", "t2", "--echo-times", "20,40,70,110ms", "--one-step", "--prior", "llr", "--checkpoint", "c"),
     "--checkpoint is for images"),
])
def test_bad_words_are_named(stored, run, words, message):
    code, _, err = run("recon", "scan.npz", "-o", "maps.h5", *words)
    assert code == 2
    assert message in err
    assert not (stored / "maps.h5").exists()


def test_an_output_that_cannot_be_is_refused_before_the_work(stored, run):
    words = ("--signal", "t2", "--echo-times", "20,40,70,110ms")
    assert "suffix" in run("recon", "scan.npz", "-o", "maps.dcm", *words)[2]
    (stored / "a_T2map.json").write_text("{}")
    if "nibabel" in str(pytest.importorskip("nibabel")):
        assert "pisolve has not written it" in run("recon", "scan.npz", "-o", "a.nii.gz", *words)[2]
    (stored / "folder").mkdir()
    assert "--signal is for one scan" in run("recon", "folder", "-o", "out", *words)[2]


def test_a_series_of_echoes_needs_to_be_told_apart(tmp_path):
    k = scan().kspace[None]
    both = io.Scan(np.concatenate([k, k]), axes=("frame", "set", "coil", "ky", "kx"))
    with pytest.raises(ValueError, match="axis is needed: the times may be along frame or set"):
        pi.quantify(both, "t2", times=TIMES)
    with pytest.raises(ValueError, match="needs one of echoes"):
        pi.quantify(io.Scan(k[0, 0]), "t2", times=TIMES)
    with pytest.raises(ValueError, match="one_step takes no 'frame'"):
        pi.quantify(both, "t2", times=TIMES, axis="set", one_step=True)
    with pytest.raises(TypeError, match="one_step takes a prior of the maps"):
        pi.quantify(scan(), "t2", pi.Recipe(), times=TIMES, one_step=True)
    with pytest.raises(ValueError, match="holds no maps of quantities"):
        io.save(tmp_path / "plain.h5", HEAD.image)
        io.load_maps(tmp_path / "plain.h5")
