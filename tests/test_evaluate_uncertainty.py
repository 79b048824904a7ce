"""`evaluate.uncertainty` and `calibration`: against Gaussian theory, true errors, and what is left out of each kind."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import quadratic_denoiser
from conftest import data_path
from helpers import refused
from scipy import special
from torch import nn

import pisolve as pi
from pisolve import linops
from pisolve.evaluate.uncertainty.calibration import LEVELS, calibration
from pisolve.evaluate.uncertainty.uncertainty import uncertainty

SIZE, COILS, SIGMA = 64, 4, 0.05
MASK = pi.masks.random((SIZE, SIZE), 3, center_fraction=0.15, seed=2)
LEAST = pi.Recipe(pi.Zero(), pi.CG(), max_iter=40, tol=1e-7)
WAVELET = pi.Recipe(0.03 * pi.Wavelet(), max_iter=40)


def simulated(size=SIZE, coils=COILS, seed=0, mask=None):
    """(scan with normalised maps, its complex truth); the truth obeys the operator exactly."""
    p = pi.phantom.brain((size, size), coils, seed=1)
    rss = np.linalg.norm(p.mps, axis=0)
    mps, truth = (p.mps / rss).astype(np.complex64), (p.image * rss).astype(np.complex64)
    noise = np.random.default_rng(seed).standard_normal((coils, size, size, 2)).view(complex)[..., 0]
    kspace = (linops.sense(mps)(truth) + SIGMA * noise).astype(np.complex64)
    mask = np.ones((size, size), bool) if mask is None else mask
    return pi.io.Scan(kspace * mask, mask, mps), truth


SCAN, TRUTH = simulated()
FOURTH, _ = simulated(mask=MASK)


class Network(nn.Module):
    def __init__(self, call, *parts):
        super().__init__()
        self.call, self.needs_maps, self.parts = call, True, nn.ModuleList(parts)

    def forward(self, A, y):
        return self.call(linops.as_torch(A).H(y), *self.parts)


def body(truth=TRUTH):
    return pi.metrics.body(truth)


# is the claimed std the error


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_coverage_of_a_gaussian_toy_is_the_theory(lam):
    """x = w (x_true + n), w = 1 / (1 + lam), |x_true| = m: std is w sigma, the error is N((1 - w) m, w sigma):

    |error| < k std at a share Phi(k - b) - Phi(-k - b), b = (1 - w) m / (w sigma).
    """
    rng = np.random.default_rng(5)
    size, m = 128, 4 * SIGMA
    truth = (m * np.exp(2j * np.pi * rng.random((size, size)))).astype(np.complex64)
    kspace = linops.fft((size, size))(truth) + SIGMA * rng.standard_normal((size, size, 2)).view(complex)[..., 0]
    ones = np.ones((1, size, size))
    scan = pi.io.Scan(kspace[None].astype(np.complex64), ones[0] > 0, ones.astype(np.complex64))
    recipe = LEAST if lam == 0 else replace(LEAST, prior=lam * pi.Tikhonov())
    w = 1 / (1 + lam)
    found = uncertainty(recipe, scan, noise=SIGMA, n=200, reference=truth)
    np.testing.assert_allclose(np.sqrt(np.mean(found.std**2)), w * SIGMA, rtol=0.01)
    c, b = found.calibration, (1 - w) * m / (w * SIGMA)
    np.testing.assert_allclose(c.ratio, np.hypot(1, b), rtol=0.02)
    for row in c.coverage:
        expected = special.ndtr(row["k"] - b) - special.ndtr(-row["k"] - b)
        assert row["expected"] == special.erf(row["k"] / np.sqrt(2))
        assert abs(row["found"] - expected) < 4 * np.sqrt(expected * (1 - expected) / c.pixels) + 0.003  # 200 replicas
    assert abs(c.correlation) < 0.05  # std is the same everywhere
    assert "kind that it does not contain" not in str(found.section())


def test_calibration_of_known_errors():
    rng = np.random.default_rng(0)
    std = rng.uniform(0.2, 2, 40000)
    error = std * rng.standard_normal(40000)
    right = calibration(error, std)
    assert [c["k"] for c in right.coverage] == list(LEVELS)
    for c in right.coverage:
        assert abs(c["found"] - c["expected"]) < 0.01
    assert abs(right.ratio - 1) < 0.02
    half = calibration(error, std / 2)
    np.testing.assert_allclose(half.ratio, 2 * right.ratio, rtol=1e-6)
    assert half.coverage[3]["found"] == right.coverage[1]["found"]
    np.testing.assert_allclose((half.ause, half.correlation), (right.ause, right.correlation), rtol=1e-6)
    perfect, chance = calibration(error, abs(error)), calibration(error, rng.uniform(0.2, 2, 40000))
    assert (perfect.ause, perfect.correlation) == (0, 1)
    assert abs(chance.ause - chance.ause_random) < 0.02 * chance.ause_random
    assert 0 < right.ause < 0.8 * chance.ause
    inside = std > 1
    part = calibration(error, std, region=inside)
    np.testing.assert_allclose(part.ratio, calibration(error[inside], std[inside]).ratio)
    json.dumps(right.to_dict())


# noise


def test_replicas_have_the_analytic_std_of_a_part():
    found = uncertainty(LEAST, SCAN, noise=SIGMA, n=60)
    inside = body()
    np.testing.assert_allclose(found.std[inside].mean(), SIGMA, rtol=0.02)
    assert found.calibration is None
    assert "no truth" in found.section().text
    again = uncertainty(LEAST, SCAN, noise=SIGMA, n=60)
    np.testing.assert_array_equal(found.std, again.std)
    twice = uncertainty(LEAST, SCAN, noise=2 * SIGMA, n=60)
    np.testing.assert_allclose(twice.std[inside], 2 * found.std[inside], rtol=1e-3)
    spirit = pi.Recipe(method=pi.Spirit(), max_iter=5)  # a root of a sum of squares: one component
    one = uncertainty(spirit, replace(SCAN, mps=None), noise=SIGMA, n=20)
    assert 0.3 < one.std[inside].mean() / SIGMA < 1.3


def test_a_picture_that_is_always_the_same_has_no_std_but_a_risk():
    """It is off by half the truth: replicas, masks and seeds do not see it and say so; SURE does."""
    network = Network(lambda x: torch.from_numpy(0.5 * TRUTH * np.float32(pi.recon(SCAN, pi.Zero()).scale)))
    recipe = pi.Recipe(network=network)
    for by, options in (("replicas", {"n": 3}), ("masks", {"n": 3})):
        found = uncertainty(recipe, SCAN, by=by, reference=TRUTH, **options)
        assert found.std.max() < 1e-6
        text = found.section()
        assert "A prior that" in text.text
        assert "kind that it does not contain" in str(text)
    found = uncertainty(recipe, SCAN, by="sure", noise=SIGMA, reference=TRUTH)
    error = (0.5 * abs(TRUTH[found.region])) ** 2
    np.testing.assert_allclose(found.mse, error.mean(), rtol=0.03)
    assert 0.9 < found.calibration.ratio < 1.1


# SURE


@pytest.mark.parametrize(("name", "coils"), [("soft threshold", 1), ("soft threshold", 4), ("wavelet", 1), ("CNN", 1),
                                             ("CNN", 4)])
def test_sure_is_the_true_error_within_5_percent(name, coils, one_thread):
    """METHODS: the mean over two noises of 128 x 128 images, in phase with the object, inside the body."""
    D = pi.nets.load("denoiser-fast")
    recipe = {"soft threshold": pi.Recipe(0.08 * pi.L1(), max_iter=40, tol=1e-6),
              "wavelet": pi.Recipe(0.05 * pi.Wavelet(), max_iter=40),
              "CNN": pi.Recipe(network=Network(lambda x: D(x, SIGMA)))}[name]
    pairs = []
    for seed in (1, 2):
        scan, truth = simulated(128, coils, seed)
        found = uncertainty(recipe, scan, by="sure", noise=SIGMA, n=2, seed=seed)
        error = ((found.image - truth) * np.exp(-1j * np.angle(truth))).real[found.region]
        pairs.append((found.mse, np.mean(error**2)))
        assert found.mean is None
    estimated, true = np.mean(pairs, 0)
    assert abs(estimated / true - 1) < 0.05, pairs
    assert true < 0.98 * SIGMA**2 or name == "soft threshold"  # a denoiser gains, soft thresholding of pixels loses


def test_the_risk_is_where_the_error_is():
    """A network that blanks the left half."""
    left = torch.zeros(SIZE, SIZE)
    left[:, SIZE // 2:] = 1
    recipe = pi.Recipe(network=Network(lambda x: x * left))
    found = uncertainty(recipe, SCAN, by="sure", noise=SIGMA, reference=TRUTH)
    columns = np.arange(SIZE)[None]
    right = found.std[found.region & (columns > SIZE // 2 + 12)]
    wrong = found.std[found.region & (columns < SIZE // 2 - 12)]
    np.testing.assert_allclose(np.sqrt(np.mean(right**2)), SIGMA, rtol=0.1)
    assert wrong.mean() > 5 * right.mean()
    assert found.calibration.correlation > 0.5
    assert found.calibration.ause < 0.4 * found.calibration.ause_random
    assert not found.std[~found.region].any()
    again = uncertainty(recipe, SCAN, by="sure", noise=SIGMA)
    np.testing.assert_array_equal(again.std, found.std)


def test_sure_where_samples_are_missing_is_of_what_is_determined():
    """4 coils at 3x: the estimate is that of K (x - x_true), by its own filter on the true error."""
    from pisolve.evaluate.uncertainty.risk import Risk
    from pisolve.prepare import models_of

    pairs = []
    for seed in range(2):
        scan, truth = simulated(seed=seed, mask=MASK)
        found = uncertainty(WAVELET, scan, by="sure", noise=SIGMA, n=2)
        (model,), scale = models_of(scan)
        judge = Risk(WAVELET, model, scale, noise=SIGMA, seed=0)
        seen = judge.B(judge.K((found.image - truth).astype(np.complex64)))[judge.region]
        pairs.append((found.mse, np.mean(seen**2)))
    estimated, true = np.mean(pairs, 0)
    assert abs(estimated / true - 1) < 0.1, pairs


# ensembles


def test_masks_are_subsets_or_new_patterns():
    found = uncertainty(WAVELET, FOURTH, by="masks", n=6, keep=True, reference=TRUTH)
    assert found.samples.shape == (6, SIZE, SIZE)
    assert len({x.tobytes() for x in found.samples}) == 6
    np.testing.assert_allclose(found.mean, found.samples.mean(0), rtol=1e-6)
    turned = (found.samples * np.exp(-1j * np.angle(found.mean))).real
    np.testing.assert_allclose(found.std, turned.std(0, ddof=1), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.image, WAVELET(FOURTH).x, rtol=1e-5, atol=1e-5)
    assert "no standard error" in found.section().text
    same = uncertainty(WAVELET, FOURTH, by="masks", n=6)
    np.testing.assert_array_equal(same.std, found.std)
    assert same.samples is None
    more = uncertainty(WAVELET, FOURTH, by="masks", n=6, share=0.6)
    assert more.std[body()].mean() > found.std[body()].mean()
    full = replace(WAVELET, sampling=pi.Sampling("random", 3), maps=pi.Espirit(calib_width=12))
    drawn = uncertainty(full, replace(SCAN, mask=None), by="masks", n=3, keep=True)
    assert len({x.tobytes() for x in drawn.samples}) == 3
    assert drawn.calibration.pixels == body(SCAN.rss()).sum()
    assert "other random patterns" in drawn.section().text
    np.testing.assert_array_equal(
        drawn.samples[0], replace(full, sampling=replace(full.sampling, seed=1))(replace(SCAN, mask=None)).x)


def test_seeds_are_the_recipes():
    recipes = [WAVELET, replace(WAVELET, prior=0.02 * pi.TV()), LEAST]
    found = uncertainty(recipes, FOURTH, by="seeds", keep=True)
    for x, recipe in zip(found.samples, recipes):
        np.testing.assert_array_equal(x, recipe(FOURTH).x)
    assert found.n == 3
    np.testing.assert_array_equal(found.image, found.samples[0])
    assert "agree may be wrong together" in found.section().text
    assert uncertainty([WAVELET, WAVELET], FOURTH, by="seeds").std.max() < 1e-6


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d, nn.AlphaDropout])
def test_dropout_layers_stay_active(kind):
    """Dropout of rate p on the image multiplies its pixels by 0 or 1 / (1 - p): std = |x| sqrt(p / (1 - p))."""
    p = 0.3

    def call(x, layer):
        return torch.complex(*layer(torch.view_as_real(x).movedim(-1, 0)[:, None] if kind is nn.Dropout2d else
                                    torch.view_as_real(x).movedim(-1, 0)).reshape(2, SIZE, SIZE))

    network = Network(call, kind(p))
    state = torch.get_rng_state()
    found = uncertainty(pi.Recipe(network=network), SCAN, by="dropout", n=30, keep=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.parts[0].training  # as it was
    assert not network.parts[0]._forward_hooks
    again = uncertainty(pi.Recipe(network=network.eval()), SCAN, by="dropout", n=30)
    np.testing.assert_array_equal(again.std, found.std)
    other = uncertainty(pi.Recipe(network=network), SCAN, by="dropout", n=30, seed=1)
    assert not np.array_equal(other.std, found.std)
    assert not network.parts[0].training
    np.testing.assert_allclose(found.image, linops.sense(SCAN.mps).H(SCAN.kspace), rtol=1e-3, atol=1e-4)
    if kind is nn.Dropout:
        inside = body()
        spread = np.sqrt(((abs(found.samples - found.samples.mean(0)) ** 2).sum(0) / 29)[inside].mean())
        expected = np.sqrt((abs(found.image[inside]) ** 2).mean() * p / (1 - p))
        np.testing.assert_allclose(spread, expected, rtol=0.03)


def test_draws_from_the_posterior_by_the_denoiser_of_a_recipe_or_a_score():
    recipe = pi.Recipe(pi.PnP(quadratic_denoiser, 0.1), max_iter=5)
    found = uncertainty(recipe, FOURTH, by="posterior", n=3)
    assert found.samples.shape == (3, *found.image.shape)
    drawn = pi.sample(FOURTH, pi.Score(quadratic_denoiser), n=3, recipe=recipe)
    np.testing.assert_array_equal(found.samples, drawn.samples)
    np.testing.assert_allclose(found.mean, drawn.mean, rtol=1e-5, atol=1e-7)
    given = uncertainty(WAVELET, FOURTH, by="posterior", n=3, score=pi.Score(quadratic_denoiser))
    np.testing.assert_array_equal(given.samples, found.samples)
    section = found.section()
    assert list(section.pictures) == ["image", "std", "mean", "sample 1", "sample 2", "sample 3"]
    assert "drawn from the posterior" in section.text
    assert "unlike its training" in section.text


def test_a_unet_with_dropout(one_thread):
    torch.manual_seed(0)
    unet = pi.nets.ZeroFilledUNet(chans=4, pools=1, drop_prob=0.2)
    found = uncertainty(pi.Recipe(network=unet), replace(SCAN, mps=None), by="dropout", n=4)
    assert found.std.max() > 0
    assert not found.image.imag.any()


def test_a_volume():
    volume = pi.io.Scan(np.stack([FOURTH.kspace, 2 * FOURTH.kspace]), MASK, FOURTH.mps)
    for by, n in (("replicas", 3), ("sure", 1), ("masks", 2)):
        found = uncertainty(WAVELET, volume, by=by, n=n, reference=np.stack([TRUTH, 2 * TRUTH]))
        assert found.std.shape == found.image.shape == found.region.shape == (2, SIZE, SIZE)
        assert found.calibration.ratio > 0
        json.dumps(found.to_dict())
        assert found.section().pictures["std"].image.shape == (SIZE, SIZE)


@pytest.mark.filterwarnings("ignore::pisolve.masks.PoorMaskWarning")  # points, as in 3-D
def test_the_zero_filled_image_of_a_prospective_scan_is_no_truth():
    scan = pi.io.load(data_path("kspace/brain_sigpytut_8ch_undersampled.h5"))
    assert scan.reference is not None
    found = uncertainty(pi.Recipe(2e-3 * pi.TV(), max_iter=10), scan, by="masks", n=2)
    assert found.calibration is None
    assert found.std[found.region].mean() > 0


def test_failed_images_are_left_out():
    calls = []

    def call(x):
        calls.append(0)
        return x * (float("nan") if len(calls) == 2 else 1)

    found = uncertainty(pi.Recipe(network=Network(call)), FOURTH, by="masks", n=4)
    assert (found.n, found.failed) == (3, 1)
    assert "left out" in found.section().warnings[0]


@pytest.mark.parametrize(("recipe", "options", "kind", "message"), [
    (pi.CG(), {}, TypeError, "recipe must be a pi.Recipe"),
    (pi.Recipe(tune="sure"), {}, ValueError, "recipe tunes its strength"),
    (WAVELET, {"by": "bootstrap"}, ValueError, "by must be one of"),
    (WAVELET, {"n": 1}, ValueError, "n must be in 2"),
    (WAVELET, {"noise": -1}, ValueError, "noise must be > 0"),
    (WAVELET, {"share": 0.2}, ValueError, "share has no effect on by='replicas'"),
    (WAVELET, {"keep": True}, ValueError, "keep has no effect"),
    (WAVELET, {"by": "masks", "noise": 0.1}, ValueError, "noise has no effect"),
    (WAVELET, {"by": "masks", "window": 3}, ValueError, "window has no effect"),
    (WAVELET, {"by": "masks", "share": 1}, ValueError, "share must be < 1"),
    (replace(WAVELET, sampling=pi.Sampling(accel=1)), {"by": "masks", "share": 0.2}, ValueError, "share has no effect"),
    (WAVELET, {"by": "seeds"}, TypeError, "takes a list of recipes"),
    ([WAVELET], {"by": "seeds"}, ValueError, "an ensemble has two"),
    ([WAVELET, 3], {"by": "seeds"}, TypeError, "recipe must be a pi.Recipe"),
    ([WAVELET, WAVELET], {"by": "seeds", "n": 2}, ValueError, "n has no effect"),
    (WAVELET, {"by": "dropout"}, ValueError, "needs a recipe with a reconstruction network"),
    (pi.Recipe(network=Network(lambda x: x)), {"by": "dropout"}, ValueError, "no dropout layer with p > 0"),
    (pi.Recipe(network=Network(abs, nn.Dropout(0.0))), {"by": "dropout"}, ValueError, "no dropout layer with"),
    (pi.Recipe(method=pi.Spirit()), {"by": "sure"}, ValueError, "by='sure' needs SENSE"),
    (pi.Recipe(method=pi.Grappa()), {"by": "sure"}, ValueError, "by='sure' needs SENSE"),
    (WAVELET, {"by": "masks", "n": 2, "reference": TRUTH[1:]}, ValueError, "reference has shape"),
    (WAVELET, {"by": "posterior"}, ValueError, "needs a denoiser for any level: score=pi.Score"),
    (WAVELET, {"by": "posterior", "score": quadratic_denoiser}, TypeError, "score must be"),
    (WAVELET, {"score": pi.Score(quadratic_denoiser)}, ValueError, "score has no effect on by='replicas'"),
    (WAVELET, {"seed": 1.5}, TypeError, "seed must be"),
])
def test_bad_input(recipe, options, kind, message):
    refused(lambda: uncertainty(recipe, FOURTH, **options), kind, message)


@pytest.mark.parametrize(("error", "std", "options", "kind", "message"), [
    ([1.0], np.ones(1), {}, TypeError, "error must be"), (np.ones(3), np.ones(2), {}, ValueError, "error has shape"),
    (np.ones(3), -np.ones(3), {}, ValueError, "std has negative"),
    (np.zeros(3), np.ones(3), {}, ValueError, "error is zero"),
    (np.ones(3) * 1j, np.ones(3), {}, TypeError, "must be real"),
    (np.ones(3), np.ones(3), {"region": np.zeros(3, bool)}, ValueError, "region must be"),
    (np.ones(3), np.ones(3), {"region": np.ones(2, bool)}, ValueError, "region has shape"),
])
def test_calibration_refuses(error, std, options, kind, message):
    refused(lambda: calibration(error, std, **options), kind, message)
