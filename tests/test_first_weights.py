"""The first image and the weights of the samples, in `recon`, in recipes and in files."""

import json

import numpy as np
import pytest
import sigpy.mri as mr

import pisolve as pi

RNG = np.random.default_rng(1)
P = pi.phantom.brain((40, 36), 4, noise=0.02)
MPS = P.mps.astype(complex) / np.linalg.norm(P.mps, axis=0)  # normalised: lam is in their units
SCAN = pi.io.Scan(P.kspace.astype(complex), mps=MPS).undersample(
    pi.masks.random((40, 36), 2, seed=0))
W = RNG.uniform(0.2, 3, (40, 36))
LAM = 1e-2 * pi.Tikhonov()
EXACT = {"max_iter": 500, "tol": 1e-12}


def sigpy_image(w, scan=SCAN):
    return mr.app.SenseRecon(scan.kspace.copy(), scan.mps, lamda=1e-2, weights=w * scan.mask, max_iter=500, tol=1e-14,
                             show_pbar=False).run()


def close(x, y, tol=1e-6):
    assert np.linalg.norm(x - y) <= tol * np.linalg.norm(y)


@pytest.mark.parametrize("w", [W, W.astype(complex), np.broadcast_to(W, (4, 40, 36)), W[:1], W[0], W[:, :1],
                               (W > 1).astype(int)], ids=str)
def test_weights_are_sigpys(w):
    full = np.real(np.broadcast_to(w, (40, 36)) if w.ndim < 3 else w[0])
    close(pi.recon(SCAN, LAM, weights=w, **EXACT).x, sigpy_image(full))
    close(pi.recon(pi.io.Scan(SCAN.kspace, SCAN.mask, SCAN.mps, weights=w), LAM, **EXACT).x, sigpy_image(full))


def test_equal_weights_have_no_effect_and_a_factor_is_one_over_lam():
    plain, ones = (pi.recon(SCAN, 2e-3 * pi.Wavelet(), weights=w) for w in (None, np.ones((40, 36))))
    assert (plain.scale, plain.agreement.chi) == (ones.scale, pytest.approx(ones.agreement.chi))
    np.testing.assert_array_equal(ones.x, plain.x)
    four = pi.recon(SCAN, 4 * LAM, weights=np.full((40, 36), 4), **EXACT)
    close(four.x, pi.recon(SCAN, LAM, **EXACT).x)
    assert (four.scale, four.agreement.chi) == (plain.scale, pytest.approx(
        pi.recon(SCAN, LAM, **EXACT).agreement.chi, rel=1e-3))


def test_bad_samples_are_weighed_down():
    bad = SCAN.kspace.copy()
    line = np.flatnonzero(SCAN.mask[:, 0])[3]
    bad[..., line, :] += 5
    w = np.where(np.arange(40) == line, 1e-6, 1)[:, None]
    spoilt = pi.io.Scan(bad, SCAN.mask, SCAN.mps)
    good, weighed, plain = (pi.recon(s, LAM, weights=v, **EXACT).x for s, v in ((SCAN, w), (spoilt, w), (spoilt, None)))
    assert np.linalg.norm(weighed - good) < 1e-3 * np.linalg.norm(good) < 0.01 * np.linalg.norm(plain - good)


def test_weights_of_maps_that_are_not_normalised_of_frames_and_slices():
    large = pi.io.Scan(SCAN.kspace, SCAN.mask, 7 * SCAN.mps, weights=W)
    close(7 * pi.recon(large, LAM, **EXACT).x, pi.recon(SCAN, LAM, weights=W, **EXACT).x)
    kspace = np.stack([SCAN.kspace, 2 * SCAN.kspace])
    for axis in ("slice", "frame"):
        both = pi.io.Scan(kspace, SCAN.mask, SCAN.mps if axis == "frame" else np.stack([SCAN.mps] * 2),
                          axes=(axis, "coil", "ky", "kx"), weights=np.stack([W, 2 * W]))
        done = pi.recon(both, LAM, **EXACT)
        close(done.x[0], sigpy_image(W))
        close(done.x[1], 2 * sigpy_image(2 * W))
    assert both.select(frame=[1]).weights.shape == (1, 40, 36)


def test_noise_maps_and_errors_know_of_weights():
    recipe = pi.Recipe(LAM, weights=W, max_iter=60, tol=1e-8)
    done = recipe(SCAN)
    np.testing.assert_array_equal(pi.noise_map(recipe, SCAN, replicas=2).image, done.x)
    close(pi.noise_map(done, replicas=2).image, done.x)
    x, eps = done.x, pi.evaluate.noise_map(recipe, SCAN, replicas=2, covariance=1e-6)
    assert abs(eps.bias).max() < 0.01 * abs(x).max()


@pytest.mark.parametrize(("w", "message"), [
    (-W, "weights must be finite and >= 0, the lowest is -"), (1j * W, "weights has dtype complex"),
    (W[:, :5], "weights has shape"),
    (np.stack([W, W, W, 2 * W]), "differ between coils"), (0 * W, "weights is zero everywhere"),
    (np.where(W > 1, np.nan, W), "weights holds NaN"),
])
def test_bad_weights(w, message):
    with pytest.raises((TypeError, ValueError), match=message):
        pi.recon(SCAN, LAM, weights=w)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"weights": 3.0}, TypeError, "weights must be an array"), ({"x0": "no.npy"}, FileNotFoundError, "no.npy"),
    ({"x0": [1, 2]}, TypeError, "x0 must be an array, a result or the path of one"),
    ({"x0": np.ones((3, 3))}, ValueError, r"x0 has shape \(3, 3\), the scan's images have \(40, 36\) \(y, x\)"),
    ({"weights": W, "tune": "holdout"}, ValueError, "weights and tune"),
    ({"weights": W, "method": pi.Spirit(), "prior": pi.Zero()}, ValueError, r"weights are for Sense\(\)"),
    ({"x0": P.image, "method": pi.Spirit(), "prior": pi.Zero()}, ValueError, "x0 is for one image"),
])
def test_what_goes_with_neither_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        pi.recon(SCAN, **{"prior": LAM, **options})


def test_the_first_image_is_in_the_units_of_the_result():
    done = pi.recon(SCAN, LAM, pi.GradientDescent(), **EXACT)
    for x0 in (done, done.x, done.x[None]):
        again = pi.recon(SCAN, LAM, pi.GradientDescent(), x0=x0, max_iter=0)
        close(again.x, done.x, 1e-12)
    minimum = pi.recon(SCAN, LAM, pi.CG(), **EXACT)
    cold, warm = (pi.recon(SCAN, LAM, pi.GradientDescent(), x0=x0, max_iter=500) for x0 in (None, minimum))
    assert warm.results[0].state.k <= 5 < 100 < cold.results[0].state.k  # a contraction is measured over some steps
    large = pi.io.Scan(SCAN.kspace, SCAN.mask, 7 * SCAN.mps)
    close(pi.recon(large, LAM, x0=done, max_iter=0).x, done.x, 1e-12)


def test_the_first_image_of_slices():
    two = pi.io.Scan(np.stack([SCAN.kspace, 2 * SCAN.kspace]), SCAN.mask, np.stack([SCAN.mps] * 2))
    x0 = RNG.standard_normal((2, 40, 36)) + 0j
    close(pi.recon(two, LAM, x0=x0, max_iter=0).x, x0, 1e-12)


def test_small_arrays_and_paths_are_saved_with_the_recipe(tmp_path):
    recipe = pi.Recipe(LAM, x0=P.image, weights=W[0].astype(np.float32), max_iter=5)
    again = pi.Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    np.testing.assert_array_equal(again(SCAN).x, recipe(SCAN).x)
    assert again.weights.dtype == np.float32
    assert {"x0", "weights"}.isdisjoint(pi.Recipe(LAM).to_dict())
    np.save(tmp_path / "w.npy", W)
    named = pi.Recipe(LAM, weights=tmp_path / "w.npy", max_iter=5)
    np.testing.assert_array_equal(named(SCAN).x, recipe.replace(x0=None, weights=W)(SCAN).x)
    assert pi.Recipe.from_dict(named.to_dict()).weights == str(tmp_path / "w.npy")
    with pytest.raises(ValueError, match=r"x0 of shape \(80, 80\) is too large .* numpy.save\('x0.npy', x0\)"):
        pi.Recipe(x0=np.ones((80, 80))).to_dict()
    with pytest.raises(ValueError, match="a recipe's x0 is no array"):
        pi.Recipe.from_dict({**recipe.to_dict(), "x0": {"dtype": "float32"}})


def test_sense_takes_complex_weights():
    mps = P.mps.astype(complex)
    A, B = (pi.linops.sense(mps, weights=w) for w in (W, W.astype(complex)))
    np.testing.assert_array_equal(A(P.image), B(P.image))
    with pytest.raises(TypeError, match="weights has dtype complex128"):
        pi.linops.sense(mps, weights=W + 1j)
