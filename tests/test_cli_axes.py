"""The command line on series, volumes and slices: axes, parts, sampling for each frame, and parts that fail."""

import csv
import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import pisolve as pi
from pisolve import cli, evaluate, io, nets
from pisolve._words import DEFAULTS, SERIES
from pisolve.prepare import zero_filled
from pisolve.recipe.named import named

N = (40, 36)
FRAMES = 6
CINE = ("--axes", "frame,coil,ky,kx")


def _maps(shape, coils=4):
    mps = pi.phantom.brain(shape, coils).mps
    return (mps / np.sqrt((abs(mps) ** 2).sum(0))).astype("c8")


def cine(frames=FRAMES, shape=N, noise=0.01):
    """K-space (frame, coil, ky, kx) of a head whose brightness beats."""
    head, mps = pi.phantom.brain(shape, 4), _maps(shape)
    beat = 1 + 0.3 * np.cos(2 * np.pi * np.arange(frames) / frames)
    rng = np.random.default_rng(0)
    y = pi.linops.sense(mps)(head.image)[None] * beat[:, None, None, None]
    return (y + noise * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))).astype("c8")


def volume(shape=(12, 16, 20), coils=3):
    """K-space (coil, kz, ky, kx) of a ball."""
    z, y, x = (np.linspace(-1, 1, n)[(slice(None),) + (None,) * (2 - i)] for i, n in enumerate(shape))
    ball = (1.0 * (z**2 + y**2 + x**2 < 0.6)).astype("c8")
    sense = [np.exp(-((z - a) ** 2 + (y - b) ** 2) / 2) for a, b in ((-1, 0), (1, 0), (0, 1))[:coils]]
    return pi.backend.fft((ball * np.stack([s + 0 * x for s in sense])).astype("c8"), (-3, -2, -1))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Scans by name: cine.npy, volume.npy, slices.npz."""
    folder = tmp_path_factory.mktemp("scans")
    np.save(folder / "cine.npy", cine())
    np.save(folder / "volume.npy", volume())
    slices = np.stack([pi.phantom.brain(N, 4, noise=0.01, anatomy=k, seed=k).kspace for k in range(4)])
    np.savez(folder / "slices.npz", kspace=slices)
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, files):
    """Run a command line in an empty folder: exit code, stdout, stderr; names of `files` stand for their paths."""
    monkeypatch.chdir(tmp_path)
    def call(*words):
        code = cli.main([str(files / w) if (files / str(w)).is_file() else str(w) for w in words])
        return (code, *capsys.readouterr())

    return call


# ---- priors that name an axis ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("word", SERIES)
def test_series_by_word(run, word):
    """One line is what the functions do, to the bit; the file has the recipe, which does it again."""
    words = (*CINE, "--accel", 3, "--vary", "frame", "--center-fraction", 0.2, "--max-iter", 4)
    code, out, err = run("recon", "cine.npy", "-o", "x.h5", "--prior", word, *words)
    assert (code, err) == (0, "")
    scan = io.Scan(cine(), axes=("frame", "coil", "ky", "kx"))
    sampling = pi.Sampling("random", 3, 0.2, vary="frame")
    expected = pi.recon(scan, named(word).prior, sampling=sampling, max_iter=4)
    np.testing.assert_array_equal(io.load_image("x.h5"), expected.x)
    assert "own lines in each frame" in out
    assert f"6 frames, 4 coils, {N[0]} x {N[1]}" in out
    assert re.search(r"^reconstruction +0\.", out, re.M)
    assert run("recon", "cine.npy", "-o", "y.h5", *CINE, "--recipe", "x.h5")[0] == 0
    np.testing.assert_array_equal(io.load_image("y.h5"), expected.x)
    with h5py.File("x.h5") as file:
        assert json.loads(file.attrs["recipe"])["sampling"]["vary"] == "frame"


@pytest.mark.parametrize("word", SERIES)
@pytest.mark.parametrize("scan", ["slices.npz", "slice"])
def test_without_a_series_they_are_refused(run, word, scan):
    words = ("--slices", 1) if scan == "slice" else ()
    code, out, err = run("recon", "slices.npz", "-o", "x.npy", "--prior", word, *words)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"pisolve: error: .*(axes y, x|no 'frame'|series).*\n", err)
    assert "axes=('frame', 'coil', 'ky', 'kx')" in err


def test_compare_takes_a_series_and_a_volume_from_files_without_names(run, files):
    words = ("--methods", "zero-filled,tikhonov", "--tune", "none", "--accel", "2", "--mask", "equispaced")
    code, _, err = run("compare", "cine.npy", "-o", "a", *CINE, "--select", "frame=1:4", "--vary", "frame", *words)
    assert code == 0, err
    about = json.loads(Path("a/comparison.json").read_text())["about"]["plan"]
    assert about["scans"]["cine"]["select"] == {"frame": {"from": [1, 4, None]}}
    assert about["samplings"][0]["vary"] == "frame"
    scan = io.load(files / "cine.npy", axes=CINE[1].split(",")).select(frame=slice(1, 4))
    found = evaluate.compare(scan, ["zero-filled", "tikhonov"], tune=None, accel=2, mask="equispaced", vary="frame")
    rows = list(csv.DictReader(Path("a/records.csv").read_text().splitlines()))
    for (_, name), outcome in found.outcomes.items():
        psnr, = (float(row["psnr"]) for row in rows if row["method"] == name)
        assert psnr == pytest.approx(outcome.values["psnr"], abs=1e-4)
    assert run("compare", "--recipe", "a/comparison.json", "-o", "again")[0] == 0
    code, _, err = run("compare", "volume.npy", "-o", "b", "--axes", "coil,kz,ky,kx", *words[:4], "--accel", "2,2x2",
                       "--mask", "equispaced", "--each", "slice,x")
    assert code == 0, err
    about = json.loads(Path("b/comparison.json").read_text())["about"]["plan"]
    assert len(about["samplings"]) == 2
    assert about["methods"]["tikhonov"]["each"] == ["slice", "x"]
    code, _, err = run("compare", "volume.npy", "-o", "d", "--axes", "coil,kz,ky,kx", *words, "--each", "slice,frame")
    assert code == 2
    assert "each='frame': the scan has the axes z, y, x" in err
    code, _, err = run("compare", "slices.npz", "-o", "c", "--slices", "1", "--select", "slice=1", *words)
    assert code == 2
    assert "give one of them" in err


@pytest.mark.parametrize("word", SERIES)
def test_compare_and_trust_refuse_them_as_well(run, word):
    for words in (("compare", "slices.npz", "-o", "r", "--methods", f"tv,{word}", "--accel", 2),
                  ("uncertainty", "slices.npz", "--prior", word, "--accel", 2, "--slices", 1)):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert "axes=('frame', 'coil', 'ky', 'kx')" in err
        assert len(err.splitlines()) == 1


def test_a_prior_behind_an_operator_is_left_alone():
    scan = io.Scan(pi.phantom.brain(N, 3).kspace)
    done = pi.recon(scan, 1e-3 * pi.L21() @ pi.linops.gradient(N) + 1e-3 * pi.Tikhonov(), max_iter=2)
    assert done.ok
    with pytest.raises(ValueError, match="no 'frame'"):
        pi.recon(scan, 1e-3 * pi.Tikhonov() + 1e-3 * pi.TV(axes=("frame",)), max_iter=2)


def test_strengths_of_series_are_those_of_the_table():
    for word in SERIES:
        recipe = named(word)
        assert recipe.prior.lam == DEFAULTS[word]["lam"]
        assert pi.Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))).to_dict() == recipe.to_dict()


def test_vista_is_for_frames(run):
    code, out, _ = run("recon", "cine.npy", "-o", "x.npy", *CINE, "--accel", 4, "--mask", "vista", "--max-iter", 2)
    assert code == 0
    assert f"4x along ky, 25.0% of k-space, own lines in each frame, all together sample the full centre {N[0]}" in out
    code, _, err = run("recon", "slices.npz", "-o", "x.npy", "--accel", 4, "--mask", "vista")
    assert code == 2
    assert "it can vary along slice" in err


# ---- parts -----------------------------------------------------------------------------------------------------------

def test_each_frame_alone(run):
    words = ("--prior", "tv", "--max-iter", 3, *CINE)
    code, out, _ = run("recon", "cine.npy", "-o", "x.npy", "--each", "slice,frame", *words)
    assert code == 0
    assert "most of 6 parts" in out
    scan = io.Scan(cine(), axes=("frame", "coil", "ky", "kx"))
    expected = pi.recon(scan, 1.5e-3 * pi.TV(), max_iter=3, each=("slice", "frame"))
    np.testing.assert_array_equal(np.load("x.npy"), expected.x)
    code, _, err = run("recon", "cine.npy", "-o", "x.npy", "--each", "echo", *words)
    assert code == 2
    assert "each='echo'" in err


@pytest.mark.parametrize(("words", "chosen"), [(("--select", "frame=1:4"), slice(1, 4)), (("--select", "frame=2"), [2]),
                                               (("--select", "frame=::2"), slice(None, None, 2))])
def test_select_frames(run, words, chosen):
    code, _, _ = run("recon", "cine.npy", "-o", "x.npy", *CINE, *words, "--prior", "zero", "--max-iter", 2)
    assert code == 0
    expected = io.Scan(cine()[chosen], axes=("frame", "coil", "ky", "kx"))
    np.testing.assert_array_equal(np.load("x.npy"), pi.recon(expected, pi.Zero(), max_iter=2).x)


def test_slices_by_either_word(run):
    outs = []
    for words in (("--slices", "1:3"), ("--select", "slice=1:3")):
        code, out, _ = run("recon", "slices.npz", "-o", "x.npy", *words, "--max-iter", 2)
        assert code == 0
        assert "2 slices, 4 coils" in out
        outs.append(np.load("x.npy"))
    np.testing.assert_array_equal(*outs)


# ---- volumes ---------------------------------------------------------------------------------------------------------

VOLUME = ("--axes", "coil,kz,ky,kx")


def test_a_volume(run):
    code, out, _ = run("recon", "volume.npy", "-o", "x.npy", *VOLUME, "--accel", "2x2", "--prior", "tv",
                         "--max-iter", 4)
    assert code == 0
    assert "3 coils, 12 x 16 x 20 (z x y x x)" in out
    assert "along kz and ky" in out
    assert "full centre 8 x 8 x 20 (kz, ky, kx)" in out
    scan = io.Scan(volume(), axes=("coil", "kz", "ky", "kx"))
    expected = pi.recon(scan, 1.5e-3 * pi.TV(), sampling=pi.Sampling("equispaced", (2, 2)), max_iter=4)
    np.testing.assert_array_equal(np.load("x.npy"), expected.x)


def test_planes_of_a_volume(run):
    words = (*VOLUME, "--accel", "2x2", "--prior", "tv", "--max-iter", 2)
    code, out, _ = run("recon", "volume.npy", "-o", "x.npy", "--each", "slice,x", *words)
    assert code == 0
    assert "most of 20 parts" in out
    code, _, err = run("recon", "volume.npy", "-o", "x.npy", "--each", "slice,z", *words)
    assert code == 2
    assert "kz was undersampled" in err


@pytest.mark.parametrize("file", ["m.npy", "m.cfl", "m.h5"])
@pytest.mark.parametrize(("name", "words", "shape"), [("cine.npy", CINE, (4, *N)),
                                                      ("volume.npy", VOLUME, (3, 12, 16, 20))])
def test_maps_of_series_and_volumes(run, name, words, shape, file):
    """Those of a series have no frames, those of a volume are 3-D; recon takes them, and gives what it makes itself."""
    assert run("calib", name, "-o", file, *words)[0] == 0
    common = (*words, "--prior", "tikhonov", "--max-iter", 3)
    for maps, out in (((), "x.npy"), (("--mps", file), "y.npy")):
        assert run("recon", name, "-o", out, *common, *maps)[0] == 0
    np.testing.assert_array_equal(np.load("x.npy"), np.load("y.npy"))
    assert np.load("x.npy").shape[-2:] == shape[-2:]
    if file == "m.npy":
        assert np.load(file).shape == shape


def test_a_series_of_slices(run):
    """A file that says its axes, in an order of its own; metrics and picture of all its planes."""
    kspace = np.stack([cine(3), 0.5 * cine(3)], axis=1)  # frame, slice, coil, ky, kx
    np.savez("s.npz", kspace=kspace, axes=["frame", "slice", "coil", "ky", "kx"])
    assert "2 slices, 3 frames, 4 coils" in run("info", "s.npz")[1]
    code, out, _ = run("recon", "s.npz", "-o", "x.h5", "--accel", 2, "--vary", "frame", "--prior", "llr",
                       "--max-iter", 3, "--png", "x.png")
    assert code == 0
    assert io.load_image("x.h5").shape == (2, 3, *N)
    assert "most of 2 slices" in out
    assert re.search(r"^reconstruction +0\.", out, re.M)
    code, out, _ = run("recon", "s.npz", "-o", "x.npy", "--select", "slice=1,frame=:2", "--prior", "zero")
    assert code == 0
    assert np.load("x.npy").shape == (1, 2, *N)


# ---- info ------------------------------------------------------------------------------------------------------------

def test_info_of_a_series(run):
    """Each frame's own acceleration, not that of what all frames sampled together."""
    scan = pi.Sampling("random", 4, 0.1, vary="frame")(io.Scan(cine(), axes=("frame", "coil", "ky", "kx")))
    for mask in ({"mask": scan.mask}, {}):
        np.savez("s.npz", kspace=scan.kspace, **mask)
        code, out, _ = run("info", "s.npz", *CINE)
        assert code == 0
        assert f"k-space         6 frames, 4 coils, {N[0]} x {N[1]}, complex64" in out
        rates = sorted(f"{1 / m.mean():.3g}x" for m in scan.mask)
        assert f"{rates[0]} to {rates[-1]} along ky, {scan.mask.mean():.1%} of k-space, own lines in each frame" in out
        assert ("no mask in the file" in out) == (not mask)


def test_info_of_a_volume_and_of_empty_parts(run):
    scan = pi.Sampling("variable_density", 3)(io.Scan(volume(), axes=("coil", "kz", "ky", "kx")))
    np.savez("s.npz", kspace=scan.kspace, mask=scan.mask)
    out = run("info", "s.npz", *VOLUME)[1]
    assert "3 coils, 12 x 16 x 20 (z x y x x)" in out
    assert "3x along kz and ky, 33.3% of k-space, full centre 8 x 8 x 20 (kz, ky, kx)" in out
    kspace = cine()
    kspace[2] = 0
    np.savez("s.npz", kspace=kspace)
    assert "1 of 6 without any sample" in run("info", "s.npz", *CINE)[1]


def test_info_says_lines_and_one_frame(run):
    np.savez("s.npz", kspace=cine(1))
    assert "1 frame, 4 coils" in run("info", "s.npz", *CINE)[1]
    np.savez("s.npz", kspace=cine(2))
    assert "2 echoes, 4 coils" in run("info", "s.npz", "--axes", "echo,coil,ky,kx")[1]


# ---- parts that fail -------------------------------------------------------------------------------------------------

def test_one_slice_that_fails(run, monkeypatch):
    """The others are written; the exit code and a line say which is not as it should be, by its number in the file."""
    slices = np.stack([pi.phantom.brain(N, 4, noise=0.01, anatomy=k, seed=k).kspace for k in range(4)])
    slices[3] *= 100  # so that the network knows it
    np.save("s.npy", slices)
    monkeypatch.setattr(nets, "load", lambda name: pi.Denoiser(lambda x, sigma: x * (np.nan if abs(x).max() > 0.2
                                                                                     else 1)))
    code, _, err = run("recon", "s.npy", "-o", "x.npy", "--prior", "pnp", "--max-iter", 3, "--slices", "1:4")
    assert code == 3
    assert re.search(r"^pisolve: failed: slice 3 (diverged|is not finite): its SENSE image stands there$", err, re.M)
    assert err.count("failed") == 1
    x = np.load("x.npy")
    assert x.shape == (3, *N)
    assert np.isfinite(x).all()
    sense = pi.recon(slices[3], pi.Zero(), pi.CG(), max_iter=10, tol=0).x
    assert np.linalg.norm(x[2] - sense) < 0.05 * np.linalg.norm(sense)


def test_all_parts_that_fail(run, monkeypatch):
    monkeypatch.setattr(nets, "load", lambda name: pi.Denoiser(lambda x, sigma: x * np.nan))
    code, _, err = run("recon", "slices.npz", "-o", "x.npy", "--prior", "pnp", "--max-iter", 3)
    assert code == 1
    assert "x.npy is not written" in err


def test_help_tells_the_exit_codes(run, capsys):
    with pytest.raises(SystemExit):
        run("--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "3 written, but some parts failed" in told


# ---- wrong words -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("words", "message"), [
    (("--select", "frame=9"), "frame"), (("--select", "frame"), "--select"), (("--select", "echo=1"), "no echo axis"),
    (("--slices", "1", "--select", "slice=1"), "--slices beside --select"), (("--slices", "1"), "no slice axis"),
    (("--vary", "frame"), "--vary needs --accel"), (("--accel", "2x2"), "two phase encodes"),
    (("--accel", "2x2", "--mask", "poisson"), "mask='equispaced'"), (("--accel", "2x2x2"), "a pair"),
    (("--accel", "ax2"), "--accel"), (("--accel", "3", "--vary", "echo"), "no 'echo'"),
    (("--each", "Frame"), "each holds 'Frame'")])
def test_wrong_words(run, words, message):
    code, out, err = run("recon", "cine.npy", "-o", "x.npy", *CINE, *words)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]


@pytest.mark.parametrize(("axes", "message"), [("frame,coil,ky", "names 3 axes"), ("time,coil,ky,kx", "write 'frame'")])
def test_wrong_axes(run, axes, message):
    code, _, err = run("info", "cine.npy", "--axes", axes)
    assert code == 2
    assert message in err


# ---- pictures of what was there before -------------------------------------------------------------------------------

def test_zero_filled_images_of_series_and_volumes():
    """A^H y / sum |S|^2, frame by frame and in 3-D as the operator has it."""
    mps = _maps(N) * 2
    scan = pi.Sampling("random", 3, 0.2, vary="frame")(io.Scan(cine(), mps=mps, axes=("frame", "coil", "ky", "kx")))
    frames = [zero_filled(io.Scan(k, mask=m, mps=mps)) for k, m in zip(scan.kspace, scan.mask)]
    np.testing.assert_allclose(zero_filled(scan), frames, rtol=1e-4, atol=1e-6)
