"""Draws from the posterior: for a Gaussian prior mean and covariance are those of the closed form."""

from dataclasses import replace

import numpy as np
import pytest
import sigpy
import torch
from cases import SAMPLERS, quadratic_denoiser

import pisolve as pi
from pisolve.solvers import draws, posterior

SIZE, NOISE = 12, 0.3
EXACT = SAMPLERS["implicit-langevin"]


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


class Wiener(torch.nn.Module):
    """`wiener` for torch, which differentiates it."""

    def forward(self, x, sigma):
        C = torch.from_numpy(covariance_of_prior())
        return torch.matmul(C @ torch.linalg.inv(C + float(sigma) ** 2 * torch.eye(SIZE)), x)


def moments(sampler, score=None, n=600):
    """(mean and covariance of n draws, those of the closed form) of the Gaussian problem."""
    problem, mean, covariance = gaussian(n)
    found = draws(problem, score or pi.Score(wiener), sampler, noise=NOISE, n=1)[0]
    centred = (found - found.mean(1, keepdims=True)) / np.sqrt(2)  # of each part
    return found.mean(1), centred @ centred.conj().T / n, mean, covariance


def derived():
    """The same denoiser with a derivative."""
    return pi.Score(pi.Denoiser(Wiener(), channels="parts", noise_input="float"))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_gaussian_prior_has_its_closed_form(name):
    n = 600
    found, sample, mean, covariance = moments(SAMPLERS[name], derived() if name == "dps" else None, n)
    spread = np.sqrt(2 * covariance.diagonal().real)  # of both parts
    assert (abs(found - mean) < 0.1 * spread).all()  # three times the Monte Carlo error
    total = np.trace(covariance).real
    assert np.linalg.norm(sample - covariance) < 1.5 * total / np.sqrt(n)  # Monte Carlo: total / sqrt(n)
    assert np.trace(sample).real == pytest.approx(total, rel=0.08)
    prior = np.linalg.norm(covariance_of_prior() - covariance)
    assert prior > 0.5 * np.linalg.norm(covariance)  # what was measured matters


def test_noise_averaged_over_two_steps_is_what_makes_the_variance_right(monkeypatch):
    monkeypatch.setattr(posterior, "mixed", lambda before, now, heat: now)
    fresh, covariance = (np.trace(m).real for m in moments(EXACT)[1::2])
    assert fresh < 0.8 * covariance


def test_heat_multiplies_the_covariance():
    found, sample, mean, covariance = moments(replace(EXACT, heat=2.0))
    assert np.trace(sample).real == pytest.approx(2 * np.trace(covariance).real, rel=0.08)
    assert (abs(found - mean) < 0.15 * np.sqrt(2 * covariance.diagonal().real)).all()


def test_the_published_step_of_dps_draws_from_no_posterior():
    found, _, mean, covariance = moments(pi.DPS(levels=150, first=4.0, last=0.03, zeta=1.0), derived())
    assert (abs(found - mean) / np.sqrt(2 * covariance.diagonal().real)).max() > 0.3  # ten times the Monte Carlo error


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


def test_nothing_is_drawn_where_no_coil_sees():
    brain = pi.phantom.brain((32, 28), 4, noise=0.02)
    mps = brain.mps.copy()
    mps[:, :5] = 0
    found = pi.sample(pi.io.Scan(brain.kspace, mps=mps), pi.Score(quadratic_denoiser), pi.SplitGibbs(levels=4), n=2)
    assert not found.samples[:, ..., :5, :].any()
    assert found.samples[..., 5:, :].all()


@pytest.mark.parametrize("sampler", [*SAMPLERS.values(), pi.DPS(zeta=0.5)], ids=[*SAMPLERS, "dps-published"])
def test_torch_gives_what_numpy_gives(sampler):
    mps = pi.phantom.brain((12, 8), 2).mps.astype(complex)
    A = pi.linops.sense(mps, np.arange(8) % 2 == np.ones((12, 1)))
    y, shrink = A(np.ones((12, 8), complex)), pi.Score(lambda x, sigma: x / (1 + sigma**2))
    sampler = replace(sampler, levels=3)
    here = draws(pi.Problem(A, y), shrink, sampler, noise=NOISE, n=1)[0]
    there = draws(pi.Problem(A, torch.from_numpy(y)), shrink, sampler, noise=NOISE, n=1)[0]
    assert torch.is_tensor(there)
    assert np.allclose(there.numpy(), here, atol=1e-6)


def test_the_derivative_of_a_score_is_the_network_s():
    x, v = (np.random.default_rng(k).standard_normal((2, SIZE, 1)).view() for k in (0, 1))
    x, v = x[0] + 1j * x[1], v[0] + 1j * v[1]
    mean, pulled = derived().linear(x, 0.3)
    assert np.allclose(mean, wiener(x, 0.3))
    assert np.allclose(pulled(v), wiener(v, 0.3))  # symmetric
    assert np.allclose(pulled(1j * v), 1j * wiener(v, 0.3))  # and once more
    with pytest.raises(TypeError, match="derivative of quadratic_denoiser"):
        pi.Score(quadratic_denoiser).linear(x, 0.3)


def test_intervals_hold_for_what_is_drawn_alike():
    rng = np.random.default_rng(0)
    images = 5 + rng.standard_normal((9, 50, 60)).astype(complex)
    found = pi.Samples(images[:8], None, None, None, None, None, 0, 0.0)
    for share in (0.5, 0.9):
        low, high = found.interval(share)
        held = ((low < images[8].real) & (images[8].real < high)).mean()
        assert held == pytest.approx(share, abs=0.02)  # 3 times 0.5 / sqrt(3000) is 0.027
    with pytest.raises(ValueError, match="share must be"):
        found.interval(1.0)


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
    (lambda: pi.sample(scan_of(), pi.Score(quadratic_denoiser), pi.DPS(levels=3), n=1), TypeError, "ImplicitLangevin"),
    (lambda: pi.SplitGibbs(first=0.1, last=0.2), ValueError, "first must be"),
    (lambda: pi.Langevin(levels=1), ValueError, "levels must be")])
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
