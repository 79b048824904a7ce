"""Recipes of other methods than SENSE with ESPIRiT's maps: what is composed is what the parts give by hand."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import pisolve as pi
from pisolve import calib, io, linops, masks, phantom, prepare
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
    "two sets": pi.Recipe(pi.Zero(), maps=pi.Espirit(sets=2)),
    "svd": pi.Recipe(pi.Zero(), compress=pi.Compress(5)),
    "gcc": pi.Recipe(pi.Zero(), compress=pi.Compress(5, by="gcc")),
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


OWN = calib.espirit(HALF.kspace, mask=MASK)
RAMP = np.linspace(0.5, 2, SIZE, dtype=np.float32)[:, None]
DENOISER = pi.PnP(lambda x, s: pi.L1().prox(x, 0.1 * s), sigma=0.1)


@pytest.mark.parametrize(("mps", "tol"), [(OWN, 0.03), (10 * OWN, 0.03), (1e-3 * RAMP * OWN, 0.03),
                                          (calib.espirit(HALF.kspace, mask=MASK, sets=2), 0.06)])
def test_whitening_gives_units_of_the_noise_with_any_maps(mps, tol):
    """Maps of the scan, of any size, give the image that calibration on white channels gives, and its scale."""
    scan = io.Scan(calib.mix(MIXED, HALF.kspace), MASK, calib.mix(MIXED, mps), noise=0.02 * MIXED @ SAMPLES)
    before = scan.mps.copy()
    for prior in (pi.Zero(), 1e-2 * pi.Tikhonov(), DENOISER):
        recipe = pi.Recipe(prior, whiten=True, max_iter=15, maps=pi.Espirit(sets=mps.shape[0] if mps.ndim == 4 else 1))
        own, made = recipe(scan), recipe(replace(scan, mps=None))
        size = np.linalg.norm(own.scan.mps, axis=-3)
        np.testing.assert_allclose(size[size > 0], 1, rtol=1e-5)
        assert nrmse(own.x, abs(made.x)) < tol
        assert own.scale == pytest.approx(made.scale, rel=0.02)
    again = recipe(own.scan)
    assert nrmse(again.x, abs(own.x)) < 1e-4
    np.testing.assert_array_equal(scan.mps, before)


@pytest.mark.parametrize("factor", [10, 1e-3])
@pytest.mark.parametrize("name", ["sense", "pnp", "tikhonov", "wavelet", "sets", "grappa"])
def test_the_size_of_the_maps_changes_the_image_and_nothing_else(name, factor):
    """factor * maps: the image / factor, and the same strength of the prior, status and number of steps."""
    mps = calib.espirit(HALF.kspace, mask=MASK, sets=2) if name == "sets" else OWN
    prior = {"sense": pi.Zero(), "pnp": DENOISER, "tikhonov": 1e-2 * pi.Tikhonov()}.get(name, 2e-3 * pi.Wavelet())
    recipe = pi.Recipe(prior, max_iter=15, method=pi.Grappa() if name == "grappa" else pi.Sense())
    plain, scaled = recipe(replace(HALF, mps=mps)), recipe(replace(HALF, mps=(factor * mps).astype("c8")))
    assert np.linalg.norm(scaled.x * factor - plain.x) < 1e-4 * np.linalg.norm(plain.x)
    assert scaled.scale == pytest.approx(plain.scale, rel=1e-4)
    assert scaled.status == plain.status
    assert scaled.results[0].state.k == plain.results[0].state.k


def test_maps_of_any_shape_give_an_image_near_1_in_scaled_units():
    """Strengths carry: sum |S|^2 varies 16-fold, as for maps of another reference, and the image solves A(x) = y."""
    scan = replace(FULL, mps=3 * RAMP * P.mps / np.linalg.norm(P.mps, axis=0))
    done = pi.Recipe(pi.Zero(), max_iter=30)(scan)
    (model,), scale = prepare.models_of(done.scan)
    assert 1.5 < model.size < 6
    assert np.percentile(abs(done.results[0].x), 99) == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(done.x * model.size * scale, done.results[0].x, rtol=1e-5, atol=1e-6)
    y = linops.sense(scan.mps)(done.x)
    assert np.linalg.norm(y - P.kspace) < 0.2 * np.linalg.norm(P.kspace)


def test_where_maps_are_next_to_nothing_the_scale_is_not_one_of_noise():
    """Half of the image is hardly seen by any coil: A^H y / sum |S|^2 has up to 100 times the noise there."""
    noise = 0.02 * np.random.default_rng(1).standard_normal((COILS, SIZE, SIZE, 2)).view(complex)[..., 0]
    near = np.arange(SIZE) > SIZE // 2
    unit = P.mps / np.linalg.norm(P.mps, axis=0)
    for far in (0, 0.01, 0.1):
        mps = unit * np.where(near, 2, far)
        (model,), scale = prepare.models_of(io.Scan(linops.sense(mps)(P.image.astype(complex)) + noise, mps=mps))
        assert model.size == pytest.approx(2, rel=0.05)
        truth = np.percentile(abs(P.image) * np.where(near, 1, 0), 99)
        assert 1 / (scale * model.size) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("options", [{}, {"soft_crop": True}, {"sets": 2}])
def test_normalised_maps_go_through_as_they_are(options):
    mps = calib.espirit(HALF.kspace, mask=MASK, **options)
    (model,), _ = prepare.models_of(replace(HALF, mps=mps))
    assert model.size == 1
    assert model.energy is None
    assert model.A.mps is mps


LATTICE = np.arange(SIZE)[:, None] % 2 == np.zeros(SIZE, int)
APART = io.Scan(FULL.kspace * LATTICE, LATTICE, calib=FULL.kspace[:, 20:44])


@pytest.mark.parametrize("slices", [None, 3])
@pytest.mark.parametrize("method", [pi.Sense(), pi.Grappa(), pi.Spirit()])
@pytest.mark.parametrize("maps", [pi.Espirit(), pi.Walsh(), pi.Espirit(sets=2)])
def test_separate_calibration_raises_no_alarm_and_may_hold_for_all_slices(slices, method, maps):
    scan = APART
    if slices:
        scan = replace(APART, kspace=np.stack([APART.kspace] * slices), axes=None)
        each = replace(scan, calib=np.stack([APART.calib] * slices))
    recipe = pi.Recipe(pi.Zero(), method=method, maps=maps, max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scan.warnings() == []
        done = recipe(scan)
    if slices:
        np.testing.assert_array_equal(done.x, recipe(each).x)
    if method.needs_maps:
        seen = calib.coverage(done.scan.mps, scan.kspace, LATTICE, scan.calib)
        assert seen == pytest.approx(calib.coverage(done.scan.mps, FULL.kspace if slices is None else
                                                    np.stack([FULL.kspace] * slices)), abs=0.02)


@pytest.mark.parametrize("make", [calib.espirit, calib.walsh, calib.inati, calib.jsense, calib.spirit_kernel,
                                  lambda k, **a: calib.espirit(k, eigenvalues=True, **a)[1]])
def test_one_calibration_for_all_slices(make):
    kspace, one = np.stack([APART.kspace] * 2), APART.calib
    found = make(kspace, calib=one)
    np.testing.assert_array_equal(found, make(kspace, calib=np.stack([one, one])))
    np.testing.assert_array_equal(found[1], make(kspace[1], calib=one))
    for bad in (one[:-1], np.stack([one] * 3)):
        with pytest.raises(ValueError, match="calib has"):
            make(kspace, calib=bad)


def test_coverage_says_nothing_where_too_little_is_known():
    """One line of a lattice is no centre; lines apart are, and show what is missing."""
    half = OWN * (np.arange(SIZE) < SIZE // 2)
    truth = calib.coverage(half, FULL.kspace)
    assert calib.coverage(half, APART.kspace, LATTICE) is None
    few = LATTICE.copy()
    few[SIZE // 2 - 2:SIZE // 2 + 3] = True  # 5 lines
    assert calib.coverage(half, FULL.kspace * few, few) is None
    few[SIZE // 2 - 4:SIZE // 2 + 5] = True  # 9
    assert calib.coverage(half, FULL.kspace * few, few) == pytest.approx(truth, abs=0.05)
    assert calib.coverage(half, APART.kspace, LATTICE, APART.calib) == pytest.approx(truth, abs=0.02)
    volume = np.stack([APART.kspace] * 2)
    assert calib.coverage(half, volume, LATTICE, APART.calib) == pytest.approx(truth, abs=0.02)
    for bad in (APART.calib[:2], np.repeat(APART.calib, 3, 1), np.stack([APART.calib] * 3)):
        with pytest.raises(ValueError, match="calib has"):
            calib.coverage(half, volume, LATTICE, bad)


def test_maps_of_slices_are_no_sets():
    """Maps (slice, coil, y, x) given to one slice are taken as sets, and that is said."""
    other = phantom.brain((SIZE, SIZE), COILS, noise=0.01, anatomy=1, seed=2).kspace[:, ::-1]
    volume = calib.espirit(np.stack([HALF.kspace, other, FULL.kspace]))
    with pytest.warns(UserWarning, match=r"3 sets of maps .* give those of this slice"):
        pi.recon(HALF, pi.Zero(), mps=volume, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for crop in (0.8, 0):  # with 0 both sets are everywhere, but orthogonal
            pi.recon(HALF, pi.Zero(), mps=calib.espirit(HALF.kspace, mask=MASK, sets=2, crop=crop), max_iter=3)
        pi.recon(HALF, pi.Zero(), mps=volume, method=pi.Spirit(), max_iter=3)


@pytest.mark.parametrize("compress", [pi.Compress(4), pi.Compress(4, by="gcc"), pi.Compress(None, 0.95)])
def test_compression_looks_at_what_the_mask_says_is_sampled(compress):
    """Samples outside the mask change nothing, in the centre either."""
    mask = masks.random((SIZE, SIZE), 3, 0.1, seed=1)
    recipe = pi.Recipe(pi.Zero(), compress=compress)
    clean, dirty = recipe(io.Scan(FULL.kspace * mask, mask)), recipe(io.Scan(FULL.kspace, mask))
    np.testing.assert_allclose(dirty.x, clean.x, rtol=1e-4, atol=1e-5)


def test_compression_keeps_the_units_and_given_maps():
    for by in ("svd", "gcc"):
        scan = replace(HALF, mps=P.mps)
        done = pi.Recipe(pi.Zero(), compress=pi.Compress(COILS - 1, by=by))(scan)
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
    (lambda: pi.Compress(8, by="best"), ValueError, "by must be"),
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
    assert ("2 sets (soft SENSE)" in capsys.readouterr().out) == ("--sets" in words)
    np.testing.assert_array_equal(io.load_image(out)[0] if io.load_image(out).ndim == 3 else io.load_image(out),
                                  np.load(tmp_path / "again.npy"))
