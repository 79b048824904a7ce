"""Every explicit prior of the table obeys the laws; denoisers are recorded."""

import numpy as np
import pytest
from cases import PRIORS, SHAPE, prior_shape, quadratic_denoiser

import pisolve as pi
from pisolve import linops, testing
from pisolve.solvers.base import walk
from pisolve.testing import distance

ALL = pytest.mark.parametrize("name", PRIORS)


@ALL
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_laws(name, scale):
    """200 draws over the three scales, fewer where the prox iterates."""
    prior = PRIORS[name]
    inside = {type(p) for p in walk(prior)}
    draws = 67 if prior.has_prox else 1 if pi.TGV in inside else 2 if pi.InfimalConvolution in inside else 8
    testing.check_prior(prior, prior_shape(name), scale=scale, tol=1e-6 if scale <= 1 else 1e-5, draws=draws)


@ALL
def test_torch_gives_numpys_values(name, rng):
    import torch

    prior = PRIORS[name]
    x = testing.random(prior_shape(name), rng, "complex128")
    t = torch.from_numpy(x.copy())
    if name == "tikhonov-reference":
        pytest.skip("its reference is a numpy array: it stays with numpy images")
    assert prior.value(t) == pytest.approx(prior.value(x), rel=1e-10, abs=1e-10)  # inf of a constraint equals inf
    if prior.has_prox or prior.slow_prox:
        assert distance(prior.prox(t, 0.3), prior.prox(x, 0.3)) < 1e-10
    if prior.has_grad:
        assert distance(prior.grad(t), prior.grad(x)) < 1e-10


@ALL
def test_complex64_stays_complex64(name, rng):
    prior, x = PRIORS[name], testing.random(prior_shape(name), rng)
    if name == "tikhonov-reference":
        pytest.skip("its reference is complex128")
    if prior.has_prox or prior.slow_prox:
        assert prior.prox(x, 0.3).dtype == x.dtype
    assert prior.value(x) >= 0


@pytest.mark.parametrize("name", ["l1", "wavelet", "tv", "tv-anisotropic", "tikhonov"])
def test_phase_equivariance(name, rng):
    prior, x, turn = PRIORS[name], testing.random(SHAPE, rng, "complex128"), np.exp(0.9j)
    assert distance(prior.prox(turn * x, 0.2), turn * prior.prox(x, 0.2)) < 1e-6
    np.testing.assert_allclose(prior.value(turn * x), prior.value(x), rtol=1e-12)


@pytest.mark.parametrize("prior", [pi.L1(), pi.L21(), pi.Wavelet("haar", 1), pi.TV()])
def test_moreau_decomposition(prior, rng):
    """For a norm, v - prox(v) is the projection onto the dual ball: projecting twice is projecting once."""
    v = testing.random((2, 6, 6) if isinstance(prior, pi.L21) else (8, 8), rng, "complex128")
    q = v - prior.prox(v, 0.4)
    assert distance(q - prior.prox(q, 0.4), q) < 1e-5


@pytest.mark.parametrize("scalar", [2, 0.5, np.float32(0.5), np.float64(3), np.int64(2)])
def test_algebra_with_any_scalar(scalar, rng):
    x = testing.random(SHAPE, rng, "complex128")
    assert (scalar * pi.L1()).value(x) == pytest.approx(float(scalar) * pi.L1().value(x))
    assert (pi.L1() * scalar).value(x) == pytest.approx((scalar * pi.L1()).value(x))
    assert (scalar * (pi.TV() + pi.L1())).value(x) == pytest.approx((scalar * pi.TV() + scalar * pi.L1()).value(x))


def test_a_factor_of_a_sum_goes_to_its_parts():
    """So that a scaled sum splits and solves as the sum of the scaled does, and a denoiser in it is not forgotten."""
    both = 0.5 * (2 * pi.TV() + 0.2 * pi.Tikhonov())
    assert repr(both) == repr(1 * pi.TV() + 0.1 * pi.Tikhonov())
    pi.FISTA().init(pi.Problem(linops.identity(SHAPE), np.ones(SHAPE, complex), both))
    with pytest.raises(ValueError, match="sigma"):
        2 * (pi.TV() + pi.PnP(quadratic_denoiser, sigma=0.1))


def test_repr_reads_like_the_formula():
    assert repr(1e-3 * pi.TV() + 0.002 * pi.Wavelet("db4")) == "0.001 * TV() + 0.002 * Wavelet('db4')"


def test_tv_prox_equals_scikit_image(rng):
    skimage = pytest.importorskip("skimage.restoration")
    x = rng.standard_normal((24, 20))
    theirs = skimage.denoise_tv_chambolle(x, weight=0.3, eps=1e-12, max_num_iter=20000)
    ours = pi.TV(boundary="neumann").prox(x.astype(complex), 0.3)
    assert distance(ours.real, theirs) < 1e-3
    assert abs(ours.imag).max() < 1e-12


def test_wavelet_prox_is_exact_where_sigpys_shortcut_is_not(rng):
    """The prox objective at ours is lower than at soft thresholding in SigPy's zero-padded frame, measured in our W."""
    import sigpy

    v, step, prior = testing.random((60, 60), rng, "complex128"), 0.7, pi.Wavelet(levels=2)
    W = sigpy.linop.Wavelet((60, 60), level=2)
    shortcut = W.H(sigpy.thresh.soft_thresh(step, W(v)))
    def cost(u):
        return 0.5 * np.linalg.norm(u - v) ** 2 + step * prior.value(u)

    assert cost(prior.prox(v, step)) < cost(shortcut)


@pytest.mark.parametrize("k", [0, 1, 5])
def test_cycle_spinning_is_seeded_and_follows_the_iteration(k, rng):
    x = testing.random((16, 16), rng, "complex128")
    a, b = pi.Wavelet(shifts=4, seed=1), pi.Wavelet(shifts=4, seed=1)
    np.testing.assert_array_equal(a.at(k).prox(x, 0.3), b.at(k).prox(x, 0.3))
    np.testing.assert_array_equal(a.at(k).prox(x, 0.3), a.at(k + 4).prox(x, 0.3))
    assert distance(a.at(k).prox(x, 0.3), a.at(k + 1).prox(x, 0.3)) > 1e-3
    assert distance((0.5 * a + pi.TV()).at(k).priors[0].prox(x, 0.6), a.at(k).prox(x, 0.3)) == 0


def test_pnp_strength_is_fixed_or_follows_the_step(rng):
    x = testing.random(SHAPE, rng, "complex128")
    fixed, coupled = pi.PnP(quadratic_denoiser, sigma=0.5), pi.PnP(quadratic_denoiser, lam=0.25)
    np.testing.assert_array_equal(fixed.prox(x, 1.0), fixed.prox(x, 9.0))
    np.testing.assert_allclose(coupled.prox(x, 4.0), quadratic_denoiser(x, 1.0))
    np.testing.assert_allclose(fixed.coupled(2.0).prox(x, 2.0), fixed.prox(x, 2.0))
    np.testing.assert_allclose((2 * coupled).prox(x, 2.0), quadratic_denoiser(x, 1.0))
    assert fixed.value(x) is None


def test_red_is_the_quadratic_that_its_denoiser_stands_for(rng):
    """With a symmetric linear D, x - D(x) is the gradient of 1/2 x^H (I - D) x, whose prox has a closed form."""
    x, sigma, lam, step = testing.random(SHAPE, rng, "complex128"), 0.8, 0.7, 0.5
    red = lam * pi.RED(quadratic_denoiser, sigma=sigma, inner=200)
    D = linops.dense(linops.SelfAdjoint(SHAPE, lambda v: quadratic_denoiser(v, sigma), "D"))
    exact = np.linalg.solve(np.eye(120) + lam * step * (np.eye(120) - D), x.ravel()).reshape(SHAPE)
    assert distance(red.prox(x, step), exact) < 1e-3
    np.testing.assert_allclose(red.grad(x), lam * (x - quadratic_denoiser(x, sigma)))


def test_denoiser_report_of_a_known_denoiser(rng):
    report = testing.denoiser_report(lambda x, s: 0.5 * x, [testing.random((16, 16), rng)], 0.1)
    assert report["gain_D"] == pytest.approx(0.5, rel=1e-3)
    assert report["gain_residual"] == pytest.approx(0.5, rel=1e-3)
    assert report["phase"] < 1e-6


@pytest.mark.parametrize("bad", [
    lambda x: pi.L1().prox(x, 0.1) * 1.5, lambda x: x, lambda x: 0 * x, lambda x: pi.L1().prox(x, 0.3).real + 0j])
def test_a_wrong_prox_is_caught(bad):
    class Wrong(pi.L1):
        def prox(self, x, step):
            return bad(x)

    with pytest.raises(AssertionError):
        testing.check_prior(Wrong(), (6, 6))


def test_a_new_prior_is_six_lines():
    class Box(pi.Prior):
        def value(self, x):
            return 0.0 if abs(x).max() <= 1 + 1e-9 else np.inf

        def prox(self, x, step):
            return x / np.maximum(abs(x), 1)

    A, y = linops.identity((8, 8)), 3 * np.ones((8, 8), "complex64")
    assert distance(pi.solve(A, y, Box()).x, np.ones((8, 8))) < 1e-5
