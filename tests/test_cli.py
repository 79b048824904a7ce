"""The command line: every word, the exit codes, one-line errors, what is written and what is not."""

import json
import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from conftest import data_path
from skimage.metrics import peak_signal_noise_ratio

import pisolve as pi
from pisolve import io, masks, nets, phantom
from pisolve.backend import fft
from pisolve.cli import recipe as cli_recipe
from pisolve.recipe import Recipe, Reconstruction
from pisolve.recipe.named import SERIES


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A noisy, fully sampled scan of two slices."""
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    slices = [phantom.brain((64, 64), 4, noise=0.01, anatomy=n, seed=n).kspace for n in range(2)]
    with h5py.File(path, "w") as file:
        file["kspace"] = np.stack(slices)
    return str(path)


@pytest.mark.parametrize("word", [w for w in cli_recipe.DEFAULTS if w not in ("pnp", "red", *SERIES)])
def test_recon_equals_python(run, scan, word):
    """The words do what the functions do, to the bit, and the file says how."""
    code, out, err = run("recon", scan, "-o", "x.h5", "--prior", word, "--max-iter", 6, "--slices", "1")
    assert (code, err) == (0, "")
    lam = cli_recipe.DEFAULTS[word].get("lam")
    prior = {"zero": pi.Zero(), "tikhonov": pi.Tikhonov(), "l1": pi.L1(), "tv": pi.TV(),
             "tgv": pi.TGV(), "wavelet": pi.Wavelet(shifts=16)}[word]
    expected = pi.recon(io.load(scan).select(1), prior if lam is None else lam * prior, max_iter=6)
    np.testing.assert_array_equal(io.load_image("x.h5"), expected.x.astype(np.complex64))
    assert re.search(r"status +(max_iter|converged) after \d iterations", out)
    with h5py.File("x.h5") as file:
        assert file.attrs["scale"] == expected.scale
        assert json.loads(file.attrs["recipe"])["max_iter"] == 6
    assert os.listdir() == ["x.h5"]


@pytest.mark.parametrize(("solver", "prior"), [("cg", "tikhonov"), ("gradientdescent", "tikhonov"), ("fista", "l1"),
                                               ("admm", "tv"), ("hqs", "wavelet"), ("pdhg", "tv")])
def test_solvers_by_name(run, scan, solver, prior):
    code, out, _ = run("recon", scan, "-o", "x.npy", "--solver", solver, "--prior", prior, "--max-iter", 2)
    assert code == 0
    assert re.search(rf"solver +{solver}\(", out, re.IGNORECASE)
    assert io.load_image("x.npy").shape == (2, 64, 64)


@pytest.mark.parametrize(("words", "method"), [
    (("--lam", "auto"), "holdout"), (("--lam", "auto", "--tune", "sure"), "sure"),
    (("--tune", "reference"), "reference")])
def test_a_strength_is_chosen_and_kept(run, scan, words, method):
    """auto equals pi.recon(tune=...), and the file written holds the strength that was chosen."""
    common = ("--slices", "1", "--accel", 2, "--center-fraction", 0.3, "--prior", "tv", "--max-iter", 5)
    code, out, err = run("recon", scan, "-o", "x.h5", *common, *words)
    assert (code, err) == (0, "")
    sampling = pi.Sampling("random", 2, 0.3)
    expected = pi.recon(io.load(scan).select(1), pi.TV(), sampling=sampling, max_iter=5, tune=method)
    np.testing.assert_array_equal(io.load_image("x.h5"), expected.x)
    assert re.search(rf"tuned +lam [\d.e-]+ by {method}, ok, \d+ strengths", out)
    assert ("the reference was seen" in out) == (method == "reference")
    with h5py.File("x.h5") as file:
        recipe = json.loads(file.attrs["recipe"])
    assert recipe["tune"] is None
    assert recipe["prior"]["lam"] == expected.tuning.strength
    assert run("recon", scan, "-o", "y.h5", "--slices", "1", "--recipe", "x.h5")[0] == 0
    np.testing.assert_array_equal(io.load_image("y.h5"), expected.x)


def test_metrics_of_an_undersampled_full_scan(run, scan):
    """The printed PSNR is scikit-image's over the volume; the picture is drawn."""
    code, out, _ = run("recon", scan, "-o", "x.npy", "--accel", 3, "--seed", 2, "--center-fraction", 0.15,
                       "--max-iter", 15, "--png", "x.png")
    assert code == 0
    full = io.load(scan)
    under = full.undersample(masks.random((64, 64), 3, 0.15, seed=2))
    mps = pi.calib.espirit(under.kspace, mask=under.mask)
    zero_filled = abs((mps.conj() * fft(under.kspace, (-2, -1), inverse=True)).sum(-3))  # the maps' own combination
    for name, image in (("zero-filled", zero_filled), ("reconstruction", abs(io.load_image("x.npy")))):
        nmse, psnr, _, inside = map(float, re.search(rf"^{name} +(.*)$", out, re.MULTILINE)[1].split())
        peak = full.rss().max()
        assert psnr == pytest.approx(peak_signal_noise_ratio(full.rss(), image, data_range=peak), abs=0.006)
        assert nmse == pytest.approx(np.sum((full.rss() - image) ** 2) / np.sum(full.rss() ** 2), abs=1e-5)
        assert inside < psnr
    with open("x.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_maps_that_are_not_normalised(run, scan):
    """With maps of any size the image is compared as the coils' root of the sum of squares sees it."""
    mps = pi.calib.espirit(io.load(scan).kspace)
    outs = []
    for factor in (1, 3):
        np.save("maps.npy", factor * mps)
        words = ("--mps", "maps.npy", "--accel", 2, "--prior", "zero", "--max-iter", 8)
        outs.append(run("recon", scan, "-o", "x.npy", *words)[1])
    rows = [re.search("^reconstruction (.*)$", out, re.MULTILINE)[1].split() for out in outs]
    np.testing.assert_allclose(*np.array(rows, float), atol=2e-2)


@pytest.mark.parametrize("source", ["x.h5", "recipe.json"])
def test_recipe_again(run, scan, source):
    """A saved recipe gives the same bits, undersampling and maps included."""
    words = ("recon", scan, "--prior", "tv", "--lam", 2e-3, "--accel", 3, "--mask", "equispaced", "--seed", 5,
             "--max-iter", 8, "-o", "x.h5")
    assert run(*words)[0] == 0
    if source.endswith(".json"):
        with h5py.File("x.h5") as file, open(source, "w") as text:
            text.write(file.attrs["recipe"])
    code, out, _ = run("recon", scan, "-o", "y.h5", "--recipe", source)
    assert code == 0
    assert "0.002 * TV()" in out
    np.testing.assert_array_equal(io.load_image("y.h5"), io.load_image("x.h5"))


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.h5", "m.cfl"])
def test_calib(run, scan, name):
    """Maps come out in every format and go in again; with them the image is that of automatic maps."""
    code, out, _ = run("calib", scan, "-o", name, "--calib-width", 20, "--crop", 0.8)
    assert code == 0
    assert "(2, 4, 64, 64)" in out
    mps = io.load(scan, mps=name).mps
    np.testing.assert_array_equal(mps, pi.calib.espirit(io.load(scan).kspace, calib_width=20, crop=0.8))
    assert run("recon", scan, "-o", "x.npy", "--mps", name, "--prior", "tikhonov")[0] == 0


def test_info(run, scan):
    code, out, err = run("info", scan)
    assert (code, err) == (0, "")
    assert "2 slices, 4 coils, 64 x 64, complex64" in out
    assert re.search("sampling +full", out)
    assert re.search("warning +none", out)
    assert run("recon", scan, "-o", "x.h5", "--max-iter", 1)[0] == 0
    assert "Wavelet" in run("info", "x.h5")[1]


def test_info_says_what_is_odd(run):
    mask = masks.random((64, 64), 4, seed=1)
    kspace = phantom.brain((64, 64), 3).kspace * mask
    kspace[1] = 0
    np.savez("s.npz", kspace=kspace, mask=mask)
    code, out, _ = run("info", "s.npz")
    found = masks.describe(mask)
    assert code == 0
    assert f"{found['acceleration']:.3g}x along ky" in out
    assert "full centre {} x {}".format(*found["centre"]) in out
    assert re.search("warning +coil 1 is dead", out)
    assert "coil 1 is dead" in run("recon", "s.npz", "-o", "x.npy", "--max-iter", 1)[2]


def test_no_metrics_without_truth(run):
    """Half a k-space is no truth, whatever reference its file brings."""
    kspace = phantom.brain((64, 64), 4).kspace * (np.arange(64) > 20)[:, None]
    np.savez("s.npz", kspace=kspace, reference=io.Scan(kspace).rss(), mask=kspace[0] != 0)
    code, out, err = run("recon", "s.npz", "-o", "x.npy", "--accel", 2, "--center-fraction", 0.3, "--max-iter", 2)
    assert code == 0
    assert "NMSE" not in out
    assert "no metrics" in err


def test_an_undersampled_scan_is_not_undersampled_again(run):
    """A recipe with a pattern, kept after a trial, on a scan that was measured undersampled: refused, and a way out."""
    full = phantom.brain((64, 64), 4, noise=0.01).kspace
    mask = masks.random((64, 64), 2, 0.3, seed=1)
    np.savez("full.npz", kspace=full)
    np.savez("under.npz", kspace=full * mask, mask=mask)
    words = ("--max-iter", 5, "--accel", 2, "--center-fraction", 0.3)
    assert run("recon", "full.npz", "-o", "trial.h5", *words)[0] == 0
    for again in (("--recipe", "trial.h5"), words, ("--recipe", "trial.h5", "--accel", 3)):
        code, _, err = run("recon", "under.npz", "-o", "x.h5", *again)
        assert code == 2
        assert "would undersample this scan again, which was measured 1.73x along ky" in err
        assert "--no-sampling" in err
    images = []
    for out in (("--no-sampling",), ("--accel", 1)):
        code, text, err = run("recon", "under.npz", "-o", "x.h5", "--recipe", "trial.h5", *out)
        assert code == 0, err
        assert "sampling        1.73x along ky" in text
        images.append(io.load_image("x.h5"))
    np.testing.assert_array_equal(*images)
    assert run("recon", "full.npz", "-o", "x.h5", "--recipe", "trial.h5", "--accel", 4, "--mask", "equispaced")[0] == 0
    assert run("consistency", "under.npz", "--recipe", "trial.h5")[0] == 2
    assert run("consistency", "under.npz", "--recipe", "trial.h5", "--no-sampling")[0] == 0
    assert "beside --no-sampling" in run("recon", "full.npz", "-o", "x.h5", "--no-sampling", "--accel", 4)[2]


def test_holes_in_the_maps_are_told(run, scan):
    code, _, err = run("recon", scan, "-o", "x.npy", "--map-crop", 0.9999, "--max-iter", 1)
    assert code == 0
    assert re.search("warning: the coil maps are zero where .*--map-crop", err)


SMOOTH = pi.Denoiser(lambda x, sigma: x / (1 + sigma))


@pytest.mark.parametrize("word", ["pnp", "red"])
def test_denoisers(run, scan, monkeypatch, word):
    """The network is loaded by name with its options, and used at the default or the given sigma."""
    asked = []
    monkeypatch.setattr(nets, "load", lambda name, **options: asked.append((name, options)) or SMOOTH)
    code, out, _ = run("recon", scan, "-o", "x.npy", "--prior", word, "--max-iter", 2)
    assert code == 0
    assert f"sigma={cli_recipe.DEFAULTS[word]['sigma']:g}" in out
    words = ("--sigma", 0.07, "--denoiser", "w.pth", "--scale", 0.5, "--offset", 0.5, "--level", 0.1, "--rescale")
    assert "sigma=0.07" in run("recon", scan, "-o", "x.npy", "--prior", word, "--max-iter", 2, *words)[1]
    assert asked == [(cli_recipe.DENOISER, {}),
                     ("w.pth", {"scale": 0.5, "offset": 0.5, "level": 0.1, "rescale": True})]


@pytest.mark.parametrize(("name", "channels", "words", "expected"), [
    ("dncnn_gray_50.pth", 1, (), (0.5, 0.5, 100 / 255)), ("dncnn_gray_blind.pth", 1, (), (0.5, 0.5, None)),
    ("dncnn_50.pth", 1, ("--offset", 0), (1, 0, 50 / 255)), ("dncnn_50.pth", 1, ("--level", 0.1), (1, 0, 0.1)),
    ("dncnn_50.pth", 2, (), (1, 0, 50 / 255)), ("mine.pth", 1, ("--level", 0.1), (1, 0, 0.1)),
    ("dncnn_50.pth", 1, ("--rescale", "--sigma", 0.2), (0.5, 0.5, 100 / 255))])
def test_a_public_grey_network_gets_its_range(run, scan, name, channels, words, expected):
    """Only one of one channel whose name tells its level, where nothing else is asked for; the recipe keeps it."""
    torch.save(nets.DnCNN(channels, 2, 4).state_dict(), name)
    code, _, err = run("recon", scan, "-o", "x.h5", "--prior", "pnp", "--denoiser", name, "--max-iter", 1, *words)
    assert code == 0
    assert ("pisolve: note: " in err) == (expected[0] == 0.5)
    D = cli_recipe.read_recipe("x.h5").prior.denoiser
    assert (D.scale, D.offset, D.level) == (*expected[:2], pytest.approx(expected[2]) if expected[2] else None)


def test_a_run_that_fails(run, scan, monkeypatch):
    """Divergence is exit code 1; what stood at the output stays."""
    monkeypatch.setattr(nets, "load", lambda name: pi.Denoiser(lambda x, sigma: 3 * x))
    with open("x.npy", "w") as file:
        file.write("old")
    code, _, err = run("recon", scan, "-o", "x.npy", "--prior", "pnp", "--solver", "fista", "--accel", 3, "--png",
                       "x.png")
    assert code == 1
    assert re.fullmatch(r"pisolve: failed: Relaxed ended (diverged|nonfinite) after .*\n", err)
    assert os.listdir() == ["x.npy"]
    with open("x.npy") as file:
        assert file.read() == "old"


BAD = [
    ((), "required"),
    (("reconstruct",), "invalid choice"),
    (("recon", "SCAN"), "-o"),
    (("recon", "missing.h5", "-o", "x.h5"), "missing.h5 does not exist"),
    (("recon", "SCAN", "-o", "x.jpg"), "suffix"),
    (("recon", "SCAN", "-o", "nowhere/x.h5"), "folder"),
    (("recon", "SCAN", "-o", "SCAN"), "scan itself"),
    (("recon", "SCAN", "-o", "x.h5", "--png", "x.bmp"), "suffix"),
    (("recon", "SCAN", "-o", "x.h5", "--lam", "much"), "--lam"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "zero", "--lam", "auto"), "no effect on zero"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "zero", "--tune", "sure"), "no effect on zero"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "tv", "--sigma", "auto"), "--lam auto"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "pnp", "--lam", "auto"), "--sigma auto"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "red", "--sigma", "auto"), "--lam auto"),
    (("recon", "SCAN", "-o", "x.h5", "--lam", "0.1", "--tune", "sure"), "leave --lam out"),
    (("recon", "SCAN", "-o", "x.h5", "--lam", "auto", "--tune", "gcv"), "invalid choice"),
    (("recon", "SCAN", "-o", "x.h5", "--tune", "reference"), "fully sampled scan and --accel"),
    (("recon", "SCAN", "-o", "x.h5", "--recipe", "bad.json", "--tune", "sure"), "beside --recipe"),
    (("recon", "SCAN", "-o", "x.h5", "--lam", "-1"), "lam must be >= 0"),
    (("recon", "SCAN", "-o", "x.h5", "--lam", "nan"), "lam must be finite"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "zero", "--lam", "1"), "no effect on zero"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "tv", "--sigma", "1"), "no effect on tv"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "tv", "--denoiser", "d"), "for pnp and red"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "tv", "--scale", "2"), "for pnp and red"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "pnp", "--denoiser", "none.pth"), "no network 'none.pth'"),
    (("recon", "SCAN", "-o", "x.h5", "--prior", "tv", "--solver", "cg"), "CG needs a quadratic prior"),
    (("recon", "SCAN", "-o", "x.h5", "--seed", "1"), "--seed needs --accel"),
    (("recon", "SCAN", "-o", "x.h5", "--center-fraction", ".1"), "--center-fraction needs --accel"),
    (("recon", "SCAN", "-o", "x.h5", "--accel", "0.5"), "accel must be >= 1"),
    (("recon", "SCAN", "-o", "x.h5", "--accel", "4", "--mask", "poisson", "--center-fraction", ".1"), "for lines"),
    (("recon", "SCAN", "-o", "x.h5", "--max-iter", "-1"), "max_iter"),
    (("recon", "SCAN", "-o", "x.h5", "--slices", "7"), "slices"),
    (("recon", "SCAN", "-o", "x.h5", "--slices", "a:b"), "--slices"),
    (("recon", "SCAN", "-o", "x.h5", "--mps", "SCAN"), "no dataset mps"),
    (("recon", "SCAN", "-o", "x.h5", "--mps", "m.npy", "--map-crop", "0.5"), "nothing to estimate"),
    (("recon", "SCAN", "-o", "x.h5", "--recipe", "none.json"), "does not exist"),
    (("recon", "SCAN", "-o", "x.h5", "--recipe", "SCAN"), "holds no recipe"),
    (("recon", "SCAN", "-o", "x.h5", "--recipe", "bad.json"), "holds no recipe"),
    (("recon", "SCAN", "-o", "x.h5", "--recipe", "bad.json", "--lam", "1"), "beside --recipe"),
    (("calib", "SCAN", "-o", "x.png"), "suffix"),
    (("calib", "SCAN", "-o", "x.npy", "--kernel-width", "0"), "kernel_width"),
    (("info", "bad.json"), "unknown suffix"),
    (("demo", "-o", "bad.json"), "bad.json"),
    (("demo", "--size", "8"), "size"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=lambda v: " ".join(v)[:60] if isinstance(v, tuple) else "")
def test_errors_are_one_line(run, scan, words, message):
    """A user's error: exit code 2, one line that says what, no file made."""
    with open("bad.json", "w") as file:
        file.write('{"type": "os.system", "command": "true"}')
    code, out, err = run(*(scan if w == "SCAN" else w for w in words))
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert lines[-1].startswith("pisolve: error: ")
    assert message in lines[-1]
    assert all(line.startswith("pisolve: warning: ") for line in lines[:-1])
    assert set(os.listdir()) <= {"bad.json", "demo"}


def test_traceback_on_request(run):
    with pytest.raises(FileNotFoundError):
        run("info", "missing.h5", "--traceback")


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError("disk full"), 2), (MemoryError(), 2)])
def test_interrupted(run, scan, monkeypatch, error, code):
    """Whatever ends a run, nothing is left behind."""
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(Recipe if code == 130 else Reconstruction, "__call__" if code == 130 else "save", fail)
    found, _, err = run("recon", scan, "-o", "x.h5", "--max-iter", 1)
    assert found == code
    assert len(err.splitlines()) == 1
    assert os.listdir() == []


def test_bugs_are_not_hidden(run, scan, monkeypatch):
    monkeypatch.setattr(Recipe, "__call__", lambda *_, **__: {}["bug"])
    with pytest.raises(KeyError):
        run("recon", scan, "-o", "x.h5")


@pytest.mark.parametrize("word", ["", "recon", "calib", "info", "demo"])
def test_help(run, word, capsys):
    with pytest.raises(SystemExit) as end:
        run(*word.split(), "--help")
    assert end.value.code == 0
    assert ("examples:" in capsys.readouterr().out) == (word == "")


def test_demo(run):
    """The table on screen, in JSON and the picture; every method beats the zero-filled image."""
    code, out, _ = run("demo", "-o", "d", "--size", 96, "--coils", 6, "--accel", 2)
    assert code == 0
    with open("d/demo.json") as file:
        rows = json.load(file)["rows"]
    assert [r["method"] for r in rows][:4] == ["zero-filled", "CG-SENSE", "wavelet", "TV"]
    assert len(rows) == 4 + (cli_recipe.DENOISER in nets.available())
    for row in rows:
        assert row["status"] in ("", "converged", "max_iter")
        assert re.search(rf"^{row['method']} .* {row['nmse']:.4f} +{row['psnr']:.2f} +{row['ssim']:.4f}$", out, re.M)
    assert min(r["psnr"] for r in rows[1:]) > rows[0]["psnr"] + 1
    assert sorted(os.listdir("d")) == ["demo.json", "demo.png", "report.html"]


def test_in_a_process_of_its_own():
    """The module runs as a program; an error is one line without a traceback."""
    done = subprocess.run([sys.executable, "-m", "pisolve", "info", "none.h5"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "pisolve: error: none.h5 does not exist\n"
    code = "import sys, pisolve.cli; print(sorted({'matplotlib', 'pisolve.nets', 'cupy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_real_scan(run):
    """A real brain, four times undersampled: with maps that cover the head, better than zero-filled."""
    path = data_path("kspace/invivo_brain_cimax_16ch.h5")
    code, out, _ = run("recon", path, "-o", "x.h5", "--accel", 4, "--seed", 1, "--map-crop", 0)
    values = [float(re.search(rf"^{n} +\S+ +(\S+)", out, re.M)[1]) for n in ("zero-filled", "reconstruction")]
    assert code == 0
    assert values[1] > values[0] + 5


@pytest.mark.skipif(cli_recipe.DENOISER not in nets.available(), reason="the shipped denoiser is not there")
def test_shipped_network_again(run, scan):
    """Plug-and-play with the shipped network, kept as a recipe and run again: the same bits."""
    words = ("--prior", "pnp", "--slices", 0, "--max-iter", 2, "--accel", 2)
    assert run("recon", scan, "-o", "x.h5", *words)[0] == 0
    assert run("recon", scan, "-o", "y.h5", "--slices", 0, "--recipe", "x.h5")[0] == 0
    np.testing.assert_array_equal(io.load_image("y.h5"), io.load_image("x.h5"))


def test_real_undersampled_scan(run):
    path = data_path("kspace/brain_sigpytut_8ch_undersampled.h5")
    code, out, _ = run("info", path)
    assert code == 0
    assert "8.04x along ky and kx" in out
    assert "full centre 24 x 24" in out


def test_real_network(run):
    """A public DnCNN works in its own range and at its own level, and refuses another unless told to rescale."""
    path, weights = data_path("kspace/invivo_brain_cimax_16ch.h5"), data_path("weights/dncnn_gray_25.pth")
    words = ("recon", path, "-o", "x.npy", "--prior", "pnp", "--denoiser", weights, "--max-iter", 1)
    code, out, err = run(*words)
    assert code == 0
    assert f"sigma={50 / 255:.6g}" in out
    assert "note: dncnn_gray_25.pth was trained on [0, 1]" in err
    found = io.load_image("x.npy")
    code, out, err = run(*words, "--scale", 0.5, "--offset", 0.5)
    assert code == 0
    assert "note:" not in err
    np.testing.assert_array_equal(io.load_image("x.npy"), found)
    code, out, err = run(*words, "--scale", 1)
    assert code == 0
    assert "note:" not in err
    assert f"sigma={25 / 255:.6g}" in out
    code, _, err = run(*words, "--sigma", 0.02)
    assert code == 2
    assert "rescale" in err
