"""Recipes of other methods than SENSE with ESPIRiT's maps: what is composed is what the parts give by hand."""

from dataclasses import replace

import numpy as np
import pytest

import pisolve as pi
from pisolve import calib, io, linops, phantom
from pisolve.cli import main

SIZE, COILS = 64, 8
P = phantom.brain((SIZE, SIZE), COILS, noise=0.01, seed=1)
FULL = io.Scan(P.kspace)
MASK = np.zeros((SIZE, SIZE), bool)
MASK[::2] = MASK[22:42] = True
HALF = FULL.undersample(MASK)
SAMPLES = np.random.default_rng(0).standard_normal((COILS, 4000, 2)).view(complex)[..., 0]
MIXED = np.eye(COILS) + 0.4 * np.eye(COILS, k=1)
TRUTH = FULL.rss()


def nrmse(x, truth=TRUTH):
    return np.linalg.norm(abs(x) - truth) / np.linalg.norm(truth)


RECIPES = {
    "grappa": pi.Recipe(method=pi.Grappa()),
    "spirit": pi.Recipe(pi.Zero(), method=pi.Spirit(), max_iter=30),
    "l1-spirit": pi.Recipe(1e-3 * pi.Wavelet(), method=pi.Spirit(), max_iter=40),
    "walsh": pi.Recipe(pi.Zero(), maps=pi.Walsh()),
    "inati": pi.Recipe(pi.Zero(), maps=pi.Inati()),
    "jsense": pi.Recipe(pi.Zero(), maps=pi.JSense()),
    "two sets": pi.Recipe(pi.Zero(), maps=pi.Espirit(maps=2)),
    "svd": pi.Recipe(pi.Zero(), compress=pi.Compress(5)),
    "gcc": pi.Recipe(pi.Zero(), compress=pi.Compress(5, method="gcc")),
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_method_reconstructs(name):
    """Better than zero-filling by far, written down and run again to the same bits, slices as single scans."""
    recipe = RECIPES[name]
    done = recipe(HALF)
    assert done.ok
    assert done.x.shape == (SIZE, SIZE)
    zero_filled = replace(HALF, reference=None).rss()
    assert nrmse(done.x) < 0.5 * nrmse(zero_filled)
    again = pi.Recipe.from_dict(recipe.to_dict())
    assert again == recipe or again.to_dict() == recipe.to_dict()
    np.testing.assert_array_equal(again(HALF).x, done.x)
    volume = io.Scan(np.stack([HALF.kspace, HALF.kspace]), MASK)
    tol = 0.02 if name == "gcc" else 1e-4  # which of its directions are noise is decided by all slices
    assert np.linalg.norm(recipe(volume).x[1] - done.x) < tol * np.linalg.norm(done.x)


def test_grappa_is_filled_k_space_combined():
    done = RECIPES["grappa"](HALF)
    full = calib.grappa(HALF.kspace, MASK, kernel=(5, 5), lam=0.01)(HALF.kspace)
    np.testing.assert_allclose(done.x, linops.sense(done.scan.mps).H(full), rtol=1e-4, atol=1e-5)


def test_whitening_makes_the_channels_white():
    """Mixed channels come back to what independent ones give, and a prepared scan stays as it is."""
    mixed = io.Scan(calib.mix(MIXED, HALF.kspace), MASK, noise=MIXED @ SAMPLES)
    recipe = pi.Recipe(pi.Zero(), whiten=True)
    prepared = recipe.prepare(mixed)
    psi = calib.noise_covariance(prepared.noise)
    assert np.linalg.norm(psi - np.eye(COILS)) < 0.05
    x, y = recipe(prepared), recipe(mixed)
    np.testing.assert_allclose(x.x, y.x, rtol=1e-3, atol=1e-4 * abs(y.x).max())
    with pytest.raises(ValueError, match="noise samples"):
        recipe(HALF)


def test_compression_keeps_the_units_and_given_maps():
    for method in ("svd", "gcc"):
        scan = replace(HALF, mps=P.mps)
        done = pi.Recipe(pi.Zero(), compress=pi.Compress(COILS - 1, method=method))(scan)
        whole = pi.Recipe(pi.Zero())(scan)
        assert done.scan.kspace.shape[-3] == done.scan.mps.shape[-3] == COILS - 1
        assert np.linalg.norm(done.x - whole.x) < 0.05 * np.linalg.norm(whole.x)
    assert pi.Recipe(compress=pi.Compress(COILS)).prepare(HALF).kspace is HALF.kspace


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: pi.Recipe(method="grappa"), TypeError, "method must be"),
    (lambda: pi.Recipe(maps="walsh"), TypeError, "maps must be"),
    (lambda: pi.Recipe(compress=8), TypeError, "compress must be"),
    (lambda: pi.Recipe(tune="sure", method=pi.Spirit()), ValueError, "tune"),
    (lambda: pi.Compress(None), ValueError, "coils or energy"),
    (lambda: pi.Compress(8, method="best"), ValueError, "method"),
    (lambda: pi.Grappa(kernel=5), TypeError, "kernel"),
    (lambda: pi.Grappa(kernel=(5, 4, 3)), ValueError, "kernel"),
    (lambda: pi.Spirit(weight=-1), ValueError, "weight"),
])
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("words", [["--method", "grappa"], ["--method", "spirit", "--prior", "zero"],
                                   ["--coils", "6", "--gcc"], ["--maps", "walsh"], ["--sets", "2"]])
def test_the_command_line_knows_them(words, tmp_path, capsys):
    np.savez(tmp_path / "scan.npz", kspace=HALF.kspace, mask=MASK)
    out = str(tmp_path / "out.h5")
    assert main(["recon", str(tmp_path / "scan.npz"), "-o", out, *words]) == 0
    assert main(["recon", str(tmp_path / "scan.npz"), "-o", str(tmp_path / "again.npy"), "--recipe", out]) == 0
    np.testing.assert_array_equal(io.load_image(out)[0] if io.load_image(out).ndim == 3 else io.load_image(out),
                                  np.load(tmp_path / "again.npy"))
