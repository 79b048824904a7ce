"""Draws from the posterior: for a Gaussian prior mean and covariance are those of the closed form."""

import numpy as np
import pytest
import sigpy
import torch
from cases import quadratic_denoiser

import pisolve as pi
from pisolve.solvers import draws

SIZE, NOISE = 12, 0.3


def covariance_of_prior():
    """Of a part of the numbers: neighbours are alike."""
    k = np.arange(SIZE)
    return 0.3 * np.eye(SIZE) + 0.7 * np.exp(-abs(k[:, None] - k) / 2)


def wiener(x, sigma):
    """The denoiser of this prior, E[image | image + noise], of images in columns."""
    C = covariance_of_prior()
    return C @ np.linalg.solve(C + sigma**2 * np.eye(SIZE), x)


def gaussian(n=1):
    """(n times the same problem, of fewer data than unknowns; mean and covariance of its posterior)."""
    rng = np.random.default_rng(0)
    draw = rng.standard_normal((2, 8, SIZE)) / SIZE**0.5
    matrix, y = draw[0] + 1j * draw[1], rng.standard_normal(8) + 1j * rng.standard_normal(8)
    covariance = np.linalg.inv(matrix.conj().T @ matrix / NOISE**2 + np.linalg.inv(covariance_of_prior()))
    mean = covariance @ matrix.conj().T @ y / NOISE**2
    A = sigpy.linop.MatMul((SIZE, n), matrix)
    return pi.Problem(A, np.repeat(y[:, None], n, axis=1)), mean, covariance


@pytest.mark.parametrize("sampler", [
    pi.SplitGibbs(levels=120, first=2.0, last=0.03, steps=6, spread=1.0, inner=30),
    pi.Langevin(levels=100, first=2.0, last=0.05, steps=20, step=0.2)], ids=["gibbs", "langevin"])
def test_a_gaussian_prior_has_its_closed_form(sampler):
    n = 600
    problem, mean, covariance = gaussian(n)
    found = draws(problem, pi.Score(wiener), sampler, noise=NOISE, n=1)[0]
    spread = np.sqrt(2 * covariance.diagonal().real)  # of both parts
    assert (abs(found.mean(1) - mean) < 0.1 * spread).all()  # three times the Monte Carlo error
    centred = (found - found.mean(1, keepdims=True)) / np.sqrt(2)
    sample = centred @ centred.conj().T / n
    total = np.trace(covariance).real
    assert np.linalg.norm(sample - covariance) < 1.5 * total / np.sqrt(n)  # Monte Carlo: total / sqrt(n)
    assert np.trace(sample).real == pytest.approx(total, rel=0.08)
    prior = np.linalg.norm(covariance_of_prior() - covariance)
    assert prior > 0.5 * np.linalg.norm(covariance)  # what was measured matters


def scan_of(seed=0):
    brain = pi.phantom.brain((32, 28), 4, noise=0.02)
    return pi.io.Scan(brain.kspace).undersample(pi.masks.random((32, 28), 2, seed=1))


def test_the_same_bits_and_each_sample_for_itself():
    scan, score, sampler = scan_of(), pi.Score(quadratic_denoiser), pi.SplitGibbs(levels=4)
    a, b = (pi.sample(scan, score, sampler, n=n, seed=3) for n in (3, 2))
    again = pi.sample(scan, score, sampler, n=3, seed=3)
    assert np.array_equal(a.samples, again.samples)
    assert np.array_equal(a.samples[:2], b.samples)
    assert not np.array_equal(a.samples[0], a.samples[1])
    assert not np.array_equal(a.samples[0], pi.sample(scan, score, sampler, n=1, seed=4).samples[0])
    assert np.array_equal(a.mean, a.samples.mean(0))
    assert np.allclose(a.std, a.samples.std(axis=0, ddof=1), rtol=1e-4)


def test_units_and_slices():
    scan, score, sampler = scan_of(), pi.Score(quadratic_denoiser), pi.SplitGibbs(levels=4)
    one = pi.sample(scan, score, sampler, n=2)
    ten = pi.sample(pi.io.Scan(10 * scan.kspace, mask=scan.mask), score, sampler, n=2)
    assert np.allclose(ten.mean, 10 * one.mean, rtol=1e-2, atol=1e-2 * abs(ten.mean).max())
    two = pi.sample(pi.io.Scan(np.stack([scan.kspace] * 2), mask=scan.mask), score, sampler, n=2)
    assert two.samples.shape == (2, 2, 32, 28)
    assert two.axes == ("slice", "y", "x")
    assert not np.array_equal(two.samples[:, 0], two.samples[:, 1])  # each slice has noise of its own


@pytest.mark.parametrize("sampler", [pi.SplitGibbs(levels=3), pi.Langevin(levels=3)])
def test_torch_gives_what_numpy_gives(sampler):
    mps = pi.phantom.brain((12, 8), 2).mps.astype(complex)
    A = pi.linops.sense(mps, np.arange(8) % 2 == np.ones((12, 1)))
    y, shrink = A(np.ones((12, 8), complex)), pi.Score(lambda x, sigma: x / (1 + sigma**2))
    here = draws(pi.Problem(A, y), shrink, sampler, noise=NOISE, n=1)[0]
    there = draws(pi.Problem(A, torch.from_numpy(y)), shrink, sampler, noise=NOISE, n=1)[0]
    assert torch.is_tensor(there)
    assert np.allclose(there.numpy(), here, atol=1e-6)


def test_a_score_is_tweedie_s():
    x = np.random.default_rng(0).standard_normal((SIZE, 1)) + 0j
    expected = -np.linalg.inv(covariance_of_prior() + 0.09 * np.eye(SIZE)) @ x
    assert np.allclose(pi.Score(wiener)(x, 0.3), expected)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: pi.Score(pi.Denoiser(lambda x, s: x, level=0.1)), ValueError, "one noise level only"),
    (lambda: pi.sample(scan_of(), quadratic_denoiser), TypeError, "score must be"),
    (lambda: pi.sample(scan_of(), pi.Score(quadratic_denoiser), pi.ADMM()), TypeError, "sampler must be"),
    (lambda: pi.sample(scan_of(), pi.Score(quadratic_denoiser), n=0), ValueError, "n must be"),
    (lambda: pi.sample(scan_of(), pi.Score(quadratic_denoiser), recipe=pi.Recipe(method=pi.Grappa())), ValueError,
     "sample is for"),
    (lambda: pi.SplitGibbs(first=0.1, last=0.2), ValueError, "first must be"),
    (lambda: pi.Langevin(levels=1), ValueError, "levels must be")])
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
