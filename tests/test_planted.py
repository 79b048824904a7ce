"""Nothing wrong in silence: each planted mistake is refused or told with its likely cause, and good scans are not."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from helpers import Own, refused
from planted import GOOD, GOOD_REAL, PLANTED, PLANTED_REAL, SEEN, TV, UNSEEN, Simulation, recon

import pisolve as pi
from pisolve.recipe.recipe import Grappa, Spirit
from pisolve.scan.look import Look

BOTH = pytest.mark.parametrize("scan", [SEEN, UNSEEN], ids=["seen", "unseen"])


def told(call):
    """(what a call refuses or warns of, its result or None)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            done, error = call(), []
        except (ValueError, TypeError) as refusal:
            done, error = None, [str(refusal)]
    return [*error, *(str(w.message) for w in caught)], done


def check_told(call, words):
    found, done = told(call)
    assert any(re.search(w, text) for text in found for w in map(re.escape, words.split("|"))), found
    assert all("\n" not in text for text in found)
    if done is not None:  # what Python warns of is part of the result, once each
        assert list(done.agreement.doubts) == found


def check_silent(call):
    found, done = told(call)
    assert found == []
    assert done.agreement.doubts == ()
    return done


@BOTH
@pytest.mark.parametrize("name", PLANTED)
def test_planted(name, scan):
    call, words = PLANTED[name]
    check_told(lambda: call(scan), words)


@pytest.mark.parametrize("name", PLANTED_REAL)
def test_planted_in_real_scans(name):
    check_told(*PLANTED_REAL[name])


@BOTH
@pytest.mark.parametrize("name", GOOD)
def test_good(name, scan):
    check_silent(lambda: GOOD[name](scan))


@pytest.mark.parametrize("name", GOOD_REAL)
def test_good_real_scans(name):
    check_silent(GOOD_REAL[name])


def test_there_are_enough():
    assert len(PLANTED) >= 30
    assert len(GOOD) >= 20
    assert len(PLANTED_REAL) + len(GOOD_REAL) >= 25


def test_the_residual_is_that_of_the_image():
    """chi and the residual against A x - y by hand; chi of the noise's own samples, measured, not estimated."""
    s = Simulation((64, 60), 4, noise=0.05)
    rng = np.random.default_rng(1)
    noise = 0.05 * (rng.standard_normal((4, 5000)) + 1j * rng.standard_normal((4, 5000)))
    scan = replace(s.scan, noise=noise)
    done = pi.recon(scan, TV, max_iter=40)
    A = pi.linops.sense(s.maps, s.mask)
    r = A(done.x) - s.y
    found = done.agreement
    np.testing.assert_allclose(found.residual, np.linalg.norm(r) / np.linalg.norm(s.y), rtol=1e-3)
    np.testing.assert_allclose(found.chi, np.linalg.norm(r) / (0.05 * np.sqrt(2 * 4 * s.mask.sum())), rtol=0.02)
    assert found.measured
    np.testing.assert_allclose(found.sigma, 0.05, rtol=0.02)
    assert "times the noise" in str(found)
    guessed = pi.recon(s.scan, TV, max_iter=40).agreement
    assert not guessed.measured
    assert "(estimated)" in str(guessed)
    assert 0.9 < guessed.sigma / 0.05 < 1.6  # outer k-space holds signal, too


def test_the_residual_without_noise_keeps_its_digits():
    s = replace(SEEN, noise=0.0)
    done = pi.recon(s.scan, 1e-5 * pi.TV(), max_iter=100)
    r = pi.linops.sense(s.maps, s.mask)(done.x) - s.y
    np.testing.assert_allclose(done.agreement.residual, np.linalg.norm(r) / np.linalg.norm(s.y), rtol=0.02)


@pytest.mark.parametrize("method", [Grappa(), Spirit()], ids=lambda m: type(m).__name__)
def test_the_residual_of_other_methods_is_over_what_was_measured(method):
    mask = pi.masks.equispaced(SEEN.shape, 2, 0.2)
    done = pi.recon(SEEN.full.kspace * mask, method=method, max_iter=20)
    found, y = done.agreement, SEEN.full.kspace * mask
    assert 0.02 < found.residual < 0.2
    noise = 0.02 * np.sqrt(2 * SEEN.coils * mask.sum()) / np.linalg.norm(y)
    np.testing.assert_allclose(found.chi, found.residual / noise * 0.02 / found.sigma, rtol=1e-3)


def test_an_image_without_samples_says_so():
    """A network without maps gives a magnitude of several coils, which predicts no k-space."""
    network = Own(lambda kspace, mask: abs(kspace).sum(1), needs_maps=False)
    done = pi.recon(SEEN.y, network=network)
    assert done.agreement.chi is done.agreement.residual is None
    assert str(done.agreement) == "not known: this image predicts no samples"


def test_a_bad_slice_is_found_among_good_ones():
    """Lines that do not belong together in one slice of three: the others are fine."""
    s = SEEN
    turned = np.exp(1.2j * (np.arange(s.shape[0]) % 2))[:, None].astype("c8")
    y = np.stack([s.y, 0.3 * s.y * turned, s.y])
    found, _ = told(lambda: pi.recon(pi.io.Scan(y, s.mask, np.stack([s.maps] * 3)), TV, max_iter=30))
    (text,) = found
    assert "do not belong together" in text
    assert "in 1 of 3 parts" in text


def test_a_recipe_with_sampling_is_for_full_scans():
    recipe = pi.Recipe(TV, sampling=pi.Sampling(accel=3), max_iter=5)
    trial = recipe(SEEN.full.kspace)
    message = ("sampling=Sampling(mask='random', accel=3, center_fraction=None, seed=0) would undersample this scan "
               f"again, which was measured {1 / SEEN.mask.mean():.3g}x along ky: leave it out, by "
               "recipe.replace(sampling=None) or --no-sampling")
    refused(lambda: recipe(SEEN.scan), ValueError, message)
    refused(lambda: recipe(SEEN.y), ValueError, "would undersample this scan again")  # without a mask, too
    way_out = trial.recipe.replace(sampling=None)
    assert way_out(SEEN.scan).scan.mask.sum() == SEEN.mask.sum()
    again = trial.recipe(trial.scan)  # what this very pattern left stays as it is
    np.testing.assert_array_equal(again.scan.kspace, trial.scan.kspace)


def test_partial_fourier_and_ellipses_have_no_gaps():
    """Retrospective undersampling of what was sampled without gaps is no mistake."""
    shape = (64, 60)
    y, x = np.mgrid[-1:1:64j, -1:1:60j]
    for mask in (y > -0.3, y**2 + x**2 < 1, (abs(y) < 0.8) & (x > -0.5)):
        scan = pi.io.Scan(pi.phantom.brain(shape, 4).kspace * mask, mask)
        assert not scan.encoding.gaps
        pi.Sampling(accel=2).check(scan)
    for mask in (pi.masks.random(shape, 2), pi.masks.poisson(shape, 2), pi.masks.equispaced(shape, 2)):
        assert pi.io.Scan(pi.phantom.brain(shape, 4).kspace * mask, mask).encoding.gaps
    frames = np.stack([np.roll(pi.masks.equispaced(shape, 2, 0.0), k, 0) for k in range(2)])
    assert pi.io.Scan(np.ones((2, 4, *shape), "c8") * frames[:, None], frames,
                      axes=("frame", "coil", "ky", "kx")).encoding.gaps


def test_real_kspace_is_refused_however_it_comes(tmp_path):
    for bad, kind in ((abs(SEEN.y), "float32"), ((100 * SEEN.y.real).astype(np.int16), "int16"),
                      (SEEN.y.real.astype(np.float16), "float16"), (SEEN.mask[None], "bool")):
        message = f"has dtype {kind}, complex is needed: was the magnitude stored, or real and imaginary part"
        refused(lambda bad=bad: pi.recon(bad), TypeError, f"kspace {message}")
        refused(lambda bad=bad: pi.io.Scan(bad), TypeError, f"kspace {message}")
        np.save(tmp_path / "bad.npy", bad)
        refused(lambda: pi.recon(tmp_path / "bad.npy"), TypeError, message)


def test_torch_kspace_that_is_real_is_refused():
    torch = pytest.importorskip("torch")
    refused(lambda: pi.recon(torch.ones(4, 32, 32)), TypeError, "kspace has dtype float32, complex is needed")
    refused(lambda: pi.recon(torch.ones(4, 32, 32, dtype=torch.int16)), TypeError, "kspace has dtype int16")


@pytest.mark.parametrize("frames", [1, 3])
def test_the_small_images_are_those_of_the_full_grid(frames):
    """c(r) against the transform of the windowed centre, at the same pixels."""
    s = Simulation((70, 61), 3)
    kspace = np.stack([s.y] * frames) if frames > 1 else s.y
    axes = ("frame", "coil", "ky", "kx")[-kspace.ndim:]
    small = Look(pi.io.Scan(kspace, s.mask, axes=axes)).small
    windowed = s.y * 0
    at = tuple(slice(n // 2 - w // 2, n // 2 - w // 2 + w) for n, w in zip(s.shape, small.width))
    window = [np.cos(np.pi * (np.arange(w) - w // 2) / (w + 2)) ** 2 for w in small.width]
    windowed[(slice(None), *at)] = s.y[(slice(None), *at)] * window[0][:, None] * window[1]
    images = pi.backend.fft(windowed, (-2, -1), inverse=True) * np.sqrt(70 * 61) / small.peak
    np.testing.assert_allclose(small.images, small.of(images), atol=1e-4 * abs(images).max())
    assert s.mask[at].all()


def test_warnings_point_at_the_users_line():
    with pytest.warns(UserWarning, match="conjugated") as caught:
        recon(SEEN, mps=SEEN.maps.conj())
    assert all(w.filename.endswith("planted.py") for w in caught)
