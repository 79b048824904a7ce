"""Strengths as arrays: of pixels, coefficients and bands, and a denoiser's level of each pixel; all kinds of arrays."""

import json

import cases
import numpy as np
import pytest
import sigpy
import torch
from torch import nn

import pisolve as pi
from pisolve import linops
from pisolve.testing import distance

SHAPE = (16, 16)
W = np.linspace(0, 2, 256).reshape(SHAPE)


def image(shape=SHAPE, dtype=complex, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


def soft(x, t):
    return x * np.maximum(1 - t / np.maximum(abs(x), 1e-300), 0)


@pytest.mark.parametrize("prior", [pi.L1(), pi.L1(delta=0.2), pi.TV(), pi.TV(isotropic=False), pi.Wavelet("haar"),
                                   pi.DCT(), pi.L21(-1), pi.TemporalFFT(-1), pi.L1() @ linops.wavelet(SHAPE, "db2")])
def test_an_array_of_equal_numbers_is_that_number(prior):
    x = image()
    one, all_ = 0.3 * prior, np.full((16, 1), 0.3) * prior
    assert all_.value(x) == pytest.approx(one.value(x))
    np.testing.assert_allclose(all_.prox(x, 0.7), one.prox(x, 0.7), atol=1e-6)
    if prior.homogeneous and prior.has_prox:
        assert all_.dual_norm(x) == pytest.approx(one.dual_norm(x))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("size", [16, 160])  # the larger one is compiled
def test_weighted_soft_thresholding_by_hand(dtype, size):
    x, w = image((size, size), dtype), np.linspace(0, 2, size**2).reshape(size, size)
    got = (w * pi.L1()).prox(x, 0.7)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, soft(x, 0.7 * w), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(got[0, 0], x[0, 0])  # what has no weight stays
    T = linops.dct((size, size))
    np.testing.assert_allclose((w * pi.DCT()).prox(x, 0.7), T.H(soft(T(x), 0.7 * w)), atol=1e-5)
    assert (w * pi.L1()).value(x) == pytest.approx((w * abs(x)).sum(), rel=1e-5)


def test_bands_are_those_of_the_transform():
    T = linops.wavelet((15, 16), "haar", 2)
    bands = T.bands()
    assert set(bands.ravel()) == {0, 1, 2}
    assert (bands[:4, :4] == 0).all()
    flat = np.ones((15, 16), complex)
    assert abs(T(flat)[bands == 2]).max() < 1e-12  # a constant has no detail
    x = image((15, 16))
    got = pi.Wavelet("haar", 2, weights=(0, 1, 0.5)).prox(x, 0.7)
    np.testing.assert_allclose(got, T.H(soft(T(x), 0.7 * np.array([0, 1, 0.5])[bands])), atol=1e-12)
    both = W[:15] * pi.Wavelet("haar", 2, weights=(0, 1, 0.5))
    np.testing.assert_allclose(both.prox(x, 0.7), T.H(soft(T(x), 0.7 * W[:15] * np.array([0, 1, 0.5])[bands])),
                               atol=1e-12)
    whole = linops.wavelet((3, 9, 8), "haar", 1, axes=(0, 1, 2)).bands()
    assert (whole == 0).sum() == 2 * 5 * 4


def test_weights_multiply_and_stay_what_they_are():
    x, given = image(), W.copy()
    prior = given * (given * pi.TV())
    given[:] = 7  # the user's array is not ours
    np.testing.assert_allclose(prior.value(x), (W**2 * pi.TV()).value(x))
    assert (0.1 * (W * pi.L1())).lam == 0.1
    assert repr(0.1 * (W * pi.L1())) == "0.1 * L1(weights=array of shape (16, 16))"
    assert "weights" not in repr(pi.TV())


@pytest.mark.parametrize("solver", [pi.ADMM(), pi.PDHG()], ids=lambda s: type(s).__name__)
def test_spatially_varying_total_variation_smooths_where_it_is_told(solver):
    A, y = linops.identity(SHAPE), image()
    w = np.zeros(SHAPE)
    w[:, 8:] = 5
    x = pi.solve(A, y, w * pi.TV(boundary="neumann"), solver, max_iter=2000, tol=1e-8).x
    assert distance(x[:, :7], y[:, :7]) < 1e-2  # not regularised
    assert abs(x[:, 9:] - x[:, 9:].mean()).max() < 1e-2  # flat


def test_the_gap_knows_the_weights():
    A, y = cases.toy()
    w = np.linspace(0.5, 2, 256).reshape(SHAPE)
    done = pi.solve(A, y, 0.02 * (w * pi.Wavelet("db2")), pi.FISTA(), max_iter=3000, tol=1e-10)
    assert 0 <= done.report()["gap"] < 1e-4


@pytest.mark.parametrize("kind", ["numpy", "torch", "torch weights"])
def test_weights_go_with_any_kind_of_array(kind):
    x = image(dtype="complex64")
    w = torch.from_numpy(W) if kind == "torch weights" else W
    given = torch.from_numpy(x) if kind == "torch" else x
    for prior in (pi.L1(), pi.TV(), pi.Wavelet("haar"), pi.L1(delta=0.1)):
        got = (w * prior).prox(given, 0.5)
        assert type(got) is type(given)
        np.testing.assert_allclose(np.asarray(got), (W * prior).prox(x, 0.5), atol=1e-5)
        np.testing.assert_allclose(np.asarray((prior * w).prox(given, 0.5)), (W * prior).prox(x, 0.5), atol=1e-5)


def test_weights_can_be_learned():
    w = torch.from_numpy(W + 0.1).requires_grad_()
    x = torch.from_numpy(image())
    assert torch.autograd.gradcheck(lambda v: (v * pi.L1()).prox(x, 0.3), w)
    x = torch.from_numpy(image()).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: (W * pi.DCT()).prox(v, 0.3), x)


@pytest.mark.parametrize(("make", "error", "word"), [
    (lambda: W * pi.Nuclear(), TypeError, r"Nuclear\(\) takes one number .*L1, L21, TV"),
    (lambda: W * (pi.TV() + pi.LLR(block=4)), TypeError, "LLR"), (lambda: W * pi.TGV(), TypeError, "TGV"),
    (lambda: W * pi.Tikhonov(), TypeError, r"for squares take Quadratic\(sigpy"),
    (lambda: -W * pi.L1(), ValueError, "weights holds values down to -2: all must be >= 0"),
    (lambda: W * 1j * pi.L1(), TypeError, "weights has dtype complex128"),
    (lambda: W * np.nan * pi.L1(), ValueError, "weights holds NaN"),
    (lambda: pi.TV(weights=2.0), TypeError, r"weights must be an array, got 2.0: one strength for all is lam"),
    (lambda: (W * pi.L1()).prox(image((4, 4)), 1), ValueError, r"shape \(16, 16\), which does not broadcast"),
    (lambda: pi.L21(weights=W).prox(image(), 1), ValueError, r"does not broadcast to \(1, 16\)"),
    (lambda: W * pi.Wavelet(shifts=4), ValueError, "shifts=0, or a number for each level"),
    (lambda: pi.Wavelet(weights=W, shifts=4), ValueError, "shifts=0, or a number for each level"),
    (lambda: pi.Wavelet(weights=(1, 2)).prox(image((64, 64)), 1), ValueError, r"2 numbers, a wavelet of 4 levels .* 5"),
    (lambda: pi.Wavelet(weights=(1, -2)), ValueError, "weights must be >= 0"),
    (lambda: W * pi.PnP(lambda x, s: x, sigma=0.1), ValueError, "lam has no effect"),
    (lambda: pi.solve(linops.identity((4, 4)), image((4, 4)), W * pi.TV()), ValueError, "does not broadcast"),
    (lambda: pi.solve(linops.identity((4, 4)), image((4, 4)), W * pi.DCT()), ValueError, "does not broadcast")])
def test_bad_weights(make, error, word):
    with pytest.raises(error, match=word):
        make()


def test_the_hint_for_squares_leads_there():
    A, y = linops.identity(SHAPE), image()
    prior = pi.Quadratic(sigpy.linop.Multiply(SHAPE, W**0.5))
    x = pi.solve(A, y, prior, tol=1e-10).x
    np.testing.assert_allclose(x, y / (1 + W), atol=1e-6)


@pytest.mark.parametrize("solver", [pi.FISTA(), pi.ADMM()], ids=lambda s: type(s).__name__)
def test_tuning_chooses_the_scale_of_weights(solver):
    A, y = cases.toy()
    w = np.linspace(0.5, 2, 256).reshape(SHAPE)
    prior = w * pi.Wavelet("haar")
    found = pi.tune(pi.Problem(A, y, pi.Zero()), prior, solver=solver, max_iter=20, criterion="discrepancy", noise=0.02)
    assert repr(found.prior) == f"{found.strength:g} * Wavelet('haar', weights=array of shape (16, 16))"
    again = pi.tune(pi.Problem(A, y, pi.Zero()), 0.7 * prior, solver=solver, max_iter=20, criterion="discrepancy",
                    noise=0.02)
    assert again.strength == found.strength


# --- a denoiser's level of each pixel


class Map(nn.Module):
    """Shrinks towards 0 by the map in its last channel."""

    def __init__(self):
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return x[:, :2] / (1 + x[:, 2:])


LEVELS = np.linspace(0.1, 0.5, 256).reshape(SHAPE)


@pytest.mark.parametrize("prior", [lambda **k: pi.PnP(Map(), **k), lambda **k: pi.RED(Map(), **k)])
def test_a_denoiser_with_a_level_for_each_pixel(prior):
    x = image()
    p = prior(sigma=LEVELS)
    assert p.sigma == pytest.approx((LEVELS**2).mean() ** 0.5)
    by_weights = prior(sigma=0.2, weights=LEVELS / 0.2)
    expected = x / (1 + LEVELS)
    for one in (p, by_weights):
        got = one.prox(x, 1.0) if isinstance(one, pi.PnP) else x - one.grad(x)
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        assert "weights=array of shape (16, 16)" in repr(one)


def test_the_level_of_each_pixel_follows_the_step_and_the_planes():
    x, p = image(), pi.PnP(Map(), lam=0.04, weights=LEVELS)
    np.testing.assert_allclose(p.prox(x, 0.25), x / (1 + 0.1 * LEVELS), rtol=1e-5)
    np.testing.assert_allclose((4 * p).prox(x, 0.25), x / (1 + 0.2 * LEVELS), rtol=1e-5)
    np.testing.assert_allclose(pi.PnP(Map(), sigma=0.2, weights=LEVELS).coupled(4.0).prox(x, 1.0),
                               x / (1 + 0.1 * LEVELS), rtol=1e-5)
    levels = np.linspace(0.1, 1, 4 * 5 * 6).reshape(4, 5, 6)
    volume = pi.PnP(Map(), sigma=levels).bind(("z", "y", "x"))
    v = image((4, 5, 6))
    for k in range(3):
        np.testing.assert_allclose(volume.at(k).prox(v, 1.0), v / (1 + levels), rtol=1e-5)


def test_a_run_and_tuning_with_levels_of_each_pixel():
    y = image()
    done = pi.solve(linops.identity(SHAPE), y, pi.PnP(Map(), sigma=LEVELS), pi.FISTA(), max_iter=30)
    assert done.ok
    np.testing.assert_allclose(done.x, y / (1 + LEVELS), rtol=1e-5)
    A, y = cases.toy()
    found = pi.tune(pi.Problem(A, y, pi.Zero()), pi.PnP(Map(), sigma=LEVELS), solver=pi.FISTA(), max_iter=5,
                    criterion="discrepancy", noise=0.02)
    assert found.kind == "sigma"
    np.testing.assert_allclose(found.prior.weights.array, LEVELS / (LEVELS**2).mean() ** 0.5)
    assert done.report()["denoiser"]["sigma"] == pytest.approx((LEVELS**2).mean() ** 0.5)


@pytest.mark.parametrize(("make", "error", "word"), [
    (lambda: pi.PnP(lambda x, s: x, sigma=LEVELS), ValueError, "one number for an image"),
    (lambda: pi.PnP(nn.Conv2d(2, 2, 1), sigma=LEVELS), ValueError, "told no noise level"),
    (lambda: pi.PnP(Map(), sigma=0 * LEVELS), ValueError, "sigma holds values down to 0: all must be > 0"),
    (lambda: pi.PnP(Map(), sigma=LEVELS, weights=LEVELS), ValueError, "weights are given, too"),
    (lambda: pi.RED(Map(), sigma=0.1, weights=-LEVELS), ValueError, "weights holds values down to -0.5"),
    (lambda: pi.solve(linops.identity((4, 4)), image((4, 4)), pi.PnP(Map(), sigma=LEVELS)), ValueError, "broadcast")])
def test_bad_levels(make, error, word):
    with pytest.raises(error, match=word):
        make()


def test_recipes_hold_bands_and_refuse_arrays():
    recipe = pi.Recipe(2e-3 * pi.Wavelet("haar", 2, shifts=4, weights=(0, 1, 0.5)))
    again = pi.Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert repr(again.prior) == repr(recipe.prior)
    assert "weights" not in json.dumps(pi.Recipe(1e-3 * pi.TV()).to_dict())  # files are as they were
    for prior in (W * pi.TV(), pi.Wavelet(weights=W), pi.PnP(pi.nets.load("denoiser-fast"), sigma=LEVELS)):
        with pytest.raises(ValueError, match=r"weights, an array of shape|sigma, an array of shape"):
            pi.Recipe(prior).to_dict()


def test_a_recipe_runs_with_weights_of_the_image():
    scan = cases.SCANS["slice"]
    w = np.linspace(0, 2, cases.SIDE**2).reshape(cases.SIDE, cases.SIDE)
    done = pi.recon(scan, 2e-3 * (w * pi.TV()), max_iter=5)
    assert done.x.shape[-2:] == w.shape
    assert np.isfinite(done.x).all()
