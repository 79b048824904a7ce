"""T2* from k-space in one step: the laws of the linearised encoding, dense Gauss-Newton, noise and undersampling."""

import numpy as np
import pytest
from cases import frames, maps, points

import pisolve as pi
from pisolve import linops, signals
from pisolve.signals._linearised import Linearised
from pisolve.signals.turning import IRGNM, Turning
from pisolve.testing import check_linop, distance, random

TIMES = np.array([0.004, 0.009, 0.015, 0.024])


def scene(side=8):
    """(a, T2*, f) of a small object."""
    y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    return (1 + 0.3 * x) * np.exp(0.5j * y), 0.02 + 0.015 * (x**2 + y**2 < 0.5), 20 * x + 10 * y


def measured(mask, side=8, noise=0.0, coils=4):
    a, t2star, f = scene(side)
    images = a * np.moveaxis(signals.decay(t2star, TIMES, frequency=f), -1, 0)
    y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    mps = np.stack([np.exp(-((x - p) ** 2 + (y - q) ** 2)) * np.exp(1j * (p * x + q * y))
                    for p, q in [(-1, -1), (1, -1), (-1, 1), (1, 1)][:coils]])
    A = frames(mps / np.linalg.norm(mps, axis=0), mask, len(TIMES))
    y = A(images)
    return A, y + noise * random(y.shape, np.random.default_rng(0), "complex128") * (y != 0)


def test_the_linearised_encoding_obeys_the_laws():
    x = random((2, 4, 5), np.random.default_rng(0), "complex128")
    A = frames(maps(2, 4, 5), points(4, 4, 5), 4)
    model = Turning(TIMES, np.zeros((4, 4, 5), complex))
    B = Linearised(A, model.slopes(x))
    check_linop(B, dtype="complex128")
    assert B.iaxes == ("parameter", "y", "x")
    d = random((2, 4, 5), np.random.default_rng(1), "complex128")
    numeric = (A(model.value(x + 1e-6 * d)) - A(model.value(x - 1e-6 * d))) / 2e-6
    assert distance(B(d), numeric) < 1e-8


def test_it_is_dense_gauss_newton():
    """Every iterate is that of the normal equations, of matrices, on 8 x 8."""
    A, y = measured(points(4, 8, 8), noise=0.01)
    M = linops.dense(A, "complex128")
    G = linops.dense(linops.gradient((2, 8, 8)), "complex128")
    prior = 1e-2 * pi.Quadratic(linops.gradient((2, 8, 8)))
    run = IRGNM(A, y, TIMES, prior, 0.1, 600, pi.CG())
    first = x = run.start()
    span = TIMES[-1] - TIMES[0]
    t = TIMES[:, None, None] / span
    for n in range(5):
        wave = np.exp(t * x[1])
        J = np.concatenate([np.concatenate([np.diag(wave[e].ravel()), np.diag((x[0] * t[e] * wave[e]).ravel())], 1)
                            for e in range(4)])
        B, delta = M @ J, 0.1 / 3**n
        left = y.ravel() - M @ (x[0] * wave).ravel() + B @ x.ravel()
        H = B.conj().T @ B + 1e-2 * G.conj().T @ G + delta * np.eye(128)
        dense = np.linalg.solve(H, B.conj().T @ left + delta * first.ravel()).reshape(x.shape)
        new = run.step(x, delta * pi.Tikhonov(first))
        assert distance(new, dense) < 1e-5, n
        x = new


@pytest.mark.parametrize("mask", [None, points(4, 8, 8)])
def test_exact_data_give_exact_maps(mask):
    A, y = measured(mask)
    maps = signals.t2star_kspace(A, y, TIMES, iterations=25, max_iter=300)
    _, t2star, f = scene()
    assert np.allclose(maps["t2star"], t2star, rtol=1e-3)
    assert np.allclose(maps["frequency"], f, atol=0.1)
    assert maps.units == {"t2star": "s", "frequency": "Hz"}


def test_it_goes_down_to_a_stationary_point():
    """Of the whole nonlinear objective, from undersampled and noisy data."""
    mask = np.random.default_rng(3).random((4, 16, 1)) < 0.4
    mask[:, 6:10] = True
    A, y = measured(mask, 16, noise=0.02)
    prior = 3e-2 * pi.Quadratic(linops.gradient((2, 16, 16), axes=(-2, -1)))
    run = IRGNM(A, y, TIMES, prior, 0.0, 200, None)
    x, values = run.start(), []

    def slope(x):
        return Linearised(A, run.model.slopes(x)).H(A(run.model.value(x)) - y) + prior.grad(x)

    at_start = np.linalg.norm(slope(x))
    for _ in range(12):
        values.append(run.objective(x, prior))
        x = run.step(x, None)
    assert (np.diff(values) <= 0).all()
    assert np.linalg.norm(slope(x)) < 1e-3 * at_start


def test_undersampled_echoes_of_a_head_give_their_t2star():
    """Aliased images would start the field some turns off, where it stays."""
    head = pi.phantom.brain((48, 48), 4)
    mask = np.random.default_rng(0).random((4, 48, 1)) < 0.4
    mask[:, 20:28] = True
    A = frames(head.mps / np.linalg.norm(head.mps, axis=0), mask, 4)
    y = A((signals.decay(0.03, TIMES, frequency=12.0)[:, None, None] * head.image).astype(np.complex64))
    prior = 1e-3 * pi.Quadratic(linops.gradient((2, 48, 48), axes=(-2, -1)))
    maps = signals.t2star_kspace(A, y, TIMES, prior)
    seen = abs(head.image) > 0.1
    assert np.nanmedian(abs(maps["t2star"][seen] / 0.03 - 1)) < 0.02
    assert np.nanmedian(abs(maps["frequency"][seen] - 12)) < 0.2


def test_other_priors_and_single_precision_fit():
    A, y = measured(points(4, 16, 1), 16, noise=0.01)
    A = frames(A.mps[0].astype("complex64"), points(4, 16, 1), 4)
    maps = signals.t2star_kspace(A, y.astype("complex64"), TIMES, 1e-3 * pi.Wavelet("haar", axes=("y", "x")),
                                 iterations=3)
    assert maps["t2star"].shape == (16, 16)
    assert maps.amplitude.dtype == np.complex64
    assert np.isfinite(maps["frequency"]).all()


@pytest.mark.parametrize(("times", "message"), [
    (1e3 * TIMES, "looks like milliseconds"), (TIMES[::-1], "must increase"), (TIMES[:2], "has 2 entries")])
def test_bad_times_are_named(times, message):
    A, y = measured(None)
    with pytest.raises(ValueError, match=message):
        signals.t2star_kspace(A, y, times)
