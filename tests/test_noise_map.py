"""`pi.noise_map`: pseudo-replicas against the analytic noise of linear reconstructions, and what it is for others."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import pisolve as pi
from pisolve import calib, phantom

SIZE, COILS = 48, 6
P = phantom.brain((SIZE, SIZE), COILS, noise=0.01, seed=3)
FULL = pi.io.Scan(P.kspace, mps=P.mps)
LINES = np.zeros((SIZE, SIZE), bool)
LINES[::2] = True
HALF = pi.io.Scan(P.kspace * LINES, LINES, P.mps)
SENSE = pi.Recipe(pi.Zero(), pi.CG(), max_iter=60, tol=1e-7)
OBJECT = abs(P.image) > 0.1 * abs(P.image).max() if hasattr(P, "image") else FULL.rss() > 0.1 * FULL.rss().max()


class _Fails:
    """An executor of the user's own whose work raises."""

    _max_workers = 1

    def __init__(self, mine):
        self.mine = mine

    def submit(self, work, task):
        return self.mine.submit(lambda: 1 / 0)


def covariance(seed=0, coils=COILS):
    rng = np.random.default_rng(seed)
    R = rng.standard_normal((coils, coils)) + 1j * rng.standard_normal((coils, coils))
    return 1e-4 * (R @ R.conj().T / coils + np.eye(coils))


@pytest.fixture(scope="module")
def linear():
    return pi.noise_map(SENSE, HALF, replicas=200, covariance=1e-4)


def test_replicas_over_workers_have_the_same_bits():
    """In any order of completion, with maps that each worker makes itself."""
    recipe = pi.Recipe(1e-3 * pi.TV(), max_iter=3, whiten=False, compress=pi.Compress(4))
    raw = replace(FULL, mps=None)
    here = pi.noise_map(recipe, raw, replicas=5, covariance=covariance())
    with ThreadPoolExecutor(3) as mine:
        there = pi.noise_map(recipe, raw, replicas=5, covariance=covariance(), client=mine)
    for name in ("std", "image", "bias"):
        assert np.array_equal(getattr(here, name), getattr(there, name))


def test_what_a_worker_says_is_said():
    with ThreadPoolExecutor(1) as mine, pytest.raises(RuntimeError, match="error: "):
        pi.noise_map(SENSE, HALF, replicas=2, covariance=1e-4, client=_Fails(mine))


def test_sense_has_the_analytic_noise(linear):
    """std^2 = sigma^2 [(A^H A)^-1]_rr: 200 replicas within 5 % of the analytic g-factor in the object, on average."""
    full = pi.noise_map(SENSE, FULL, replicas=200, covariance=1e-4, seed=1)
    ratio = linear.gfactor(full, 2)[OBJECT] / calib.gfactor(P.mps, LINES)[OBJECT]
    assert abs(np.median(ratio) - 1) < 0.02
    assert np.sqrt(np.mean((ratio - 1) ** 2)) < np.sqrt(2 / (4 * 200)) * 1.5  # the uncertainty of both maps
    full_std = 1e-2 / np.linalg.norm(P.mps, axis=0)
    assert abs(full.std[OBJECT] / full_std[OBJECT] - 1).mean() < 0.05


def test_linear_recipes_have_no_bias_and_scale_with_the_noise(linear):
    assert abs(linear.bias)[OBJECT].mean() < 2 * linear.std[OBJECT].mean() / np.sqrt(200)
    twice = pi.noise_map(SENSE, HALF, replicas=200, covariance=4e-4)
    np.testing.assert_allclose(twice.std[OBJECT], 2 * linear.std[OBJECT], rtol=1e-3)


def test_correlated_noise_and_whitening():
    """The noise that whitening sees is white: its map is the analytic one of whitened maps."""
    psi = covariance()
    rng = np.random.default_rng(5)
    white = rng.standard_normal((COILS, 20000)) + 1j * rng.standard_normal((COILS, 20000))
    scan = replace(HALF, noise=np.linalg.cholesky(psi) @ white * np.sqrt(0.5))
    found = pi.noise_map(replace(SENSE, whiten=True), scan, replicas=150)
    np.testing.assert_allclose(found.covariance, psi, atol=0.05 * abs(psi).max())
    L = np.linalg.inv(np.linalg.cholesky(psi))
    S = np.einsum("cd,dyx->cyx", L, P.mps)
    S /= np.linalg.norm(S, axis=0)  # whitened maps are normalised: the image is in units of the noise
    folds = np.stack([S, np.roll(S, SIZE // 2, axis=1)], -1).transpose(1, 2, 0, 3)  # the two pixels that fold
    gram = folds.conj().swapaxes(-1, -2) @ folds
    std = np.sqrt(2 * np.linalg.inv(gram)[..., 0, 0].real)  # y holds half of the samples: F^H M F = 1/2 (...)
    ratio = found.std[OBJECT] / std[OBJECT]
    assert abs(np.median(ratio) - 1) < 0.03


@pytest.mark.parametrize("recipe", [
    replace(SENSE, method=pi.Grappa()), replace(SENSE, method=pi.Spirit(), max_iter=15),
    replace(SENSE, compress=pi.Compress(4)), replace(SENSE, compress=pi.Compress(4, by="gcc")),
    pi.Recipe(5e-3 * pi.Wavelet(), max_iter=20), pi.Recipe(5e-3 * pi.TV(), max_iter=20),
    pi.Recipe(pi.PnP(lambda x, sigma: 0.9 * x, sigma=0.1), max_iter=10),
], ids=["grappa", "spirit", "svd", "gcc", "wavelet", "tv", "pnp"])
def test_any_recipe(recipe):
    lines = LINES.copy()
    lines[18:30] = True
    scan = pi.io.Scan(P.kspace * lines, lines)
    recipe = replace(recipe, maps=pi.Espirit(calib_width=12, kernel_width=4))
    once, again = (pi.noise_map(recipe, scan, replicas=4, covariance=1e-4, seed=2) for _ in range(2))
    np.testing.assert_array_equal(once.std, again.std)
    assert np.isfinite(once.std).all()
    assert once.std[OBJECT].mean() > 0
    assert once.std.shape == once.image.shape == (SIZE, SIZE)
    np.testing.assert_allclose(once.image, recipe(scan).x, rtol=1e-4, atol=1e-5 * abs(once.image).max())


def test_a_prior_lowers_the_noise(linear):
    strong = pi.noise_map(pi.Recipe(0.05 * pi.TV(), max_iter=40), HALF, replicas=20, covariance=1e-4)
    assert strong.std[OBJECT].mean() < 0.7 * linear.std[OBJECT].mean()


def test_a_volume_and_an_estimate():
    volume = pi.io.Scan(np.stack([HALF.kspace, 2 * HALF.kspace]), LINES, P.mps)
    found = pi.noise_map(SENSE, volume, replicas=3)
    assert found.std.shape == (2, SIZE, SIZE)
    assert 1e-4 < found.covariance[0, 0].real < 1e-2


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"replicas": 1}, ValueError, "replicas"), ({"covariance": np.eye(3)}, ValueError, "covariance"),
    ({"covariance": -1.0}, ValueError, "covariance"),
    ({"covariance": np.zeros((COILS, COILS))}, ValueError, "covariance is zero everywhere"),
    ({"covariance": np.int64(0)}, ValueError, "covariance must be > 0"),
    ({"covariance": True}, TypeError, "covariance must be"),
    ({"covariance": 1j * np.eye(COILS)}, ValueError, "Hermitian"),
    ({"recipe": pi.CG()}, TypeError, "recipe must be"), ({"recipe": pi.Recipe(tune="sure")}, ValueError, "tunes"),
])
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        pi.noise_map(**{"recipe": SENSE, "scan": HALF, **options})


def test_a_variance_may_be_any_whole_number():
    found = [pi.noise_map(SENSE, HALF, replicas=2, covariance=one) for one in (1.0, 1, np.int64(1), np.float32(1))]
    for one in found[1:]:
        np.testing.assert_array_equal(one.std, found[0].std)


@pytest.mark.parametrize(("full", "accel", "error", "message"), [
    (None, -1, ValueError, "accel must be >= 1"), (None, np.nan, ValueError, "accel must be finite"),
    (None, "2", TypeError, "accel must be"), (P.kspace, 2, TypeError, "full must be a NoiseMap"),
    ("smaller", 2, ValueError, "full has shape")])
def test_gfactor_refuses(linear, full, accel, error, message):
    full = linear if full is None else replace(linear, std=linear.std[1:]) if isinstance(full, str) else full
    with pytest.raises(error, match=message):
        linear.gfactor(full, accel)
