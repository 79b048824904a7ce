"""Simulated signals against closed forms and rotating spins; bases and matching."""

import sys

import numpy as np
import pytest

from pisolve import signals


def bloch(t2, t1, spacing, angles, b1=1.0, spins=401):
    """The same train by rotations of many spins that turn by different amounts, evenly spread over full turns."""
    def about_x(m, a):
        x, y, z = m
        return np.array([x, np.cos(a) * y - np.sin(a) * z, np.sin(a) * y + np.cos(a) * z])

    turn = 2 * np.pi * np.arange(spins) / spins

    def half(m):
        e2, e1 = np.exp(-spacing / 2 / t2), np.exp(-spacing / 2 / t1)
        x, y, z = m
        return np.array([e2 * (np.cos(turn) * x - np.sin(turn) * y), e2 * (np.sin(turn) * x + np.cos(turn) * y),
                         1 + e1 * (z - 1)])

    start = np.pi / 2 * b1
    m = np.array([np.full(spins, np.sin(start)), np.zeros(spins), np.full(spins, np.cos(start))])
    out = []
    for a in np.deg2rad(angles) * b1:
        m = half(about_x(half(m), a))
        out.append((m[0] + 1j * m[1]).mean())
    return np.array(out)


def test_ideal_refocusing_is_an_exponential():
    t2 = np.array([[0.03], [0.08]])
    train = signals.fse(t2, [0.5, 1.0, 3.0], spacing=0.01, echoes=12)
    assert train.shape == (2, 3, 12)
    assert np.allclose(train, np.exp(-0.01 * np.arange(1, 13) / t2[..., None]) + 0 * train, atol=1e-14)


@pytest.mark.parametrize(("angles", "b1"), [(np.full(14, 120.0), 1.0), (np.full(14, 180.0), 0.8),
                                            (np.linspace(160, 30, 14), 1.1), (90 + 60 * np.cos(np.arange(14)), 0.9)])
def test_stimulated_echoes_are_those_of_turning_spins(angles, b1):
    train = signals.fse(0.06, 0.7, spacing=0.012, echoes=14, angles=angles, b1=b1)
    assert np.allclose(train, bloch(0.06, 0.7, 0.012, angles, b1), atol=1e-12)


def test_recovery_and_decay_are_their_formulas():
    t1, times = np.array([0.4, 1.2]), np.array([0.05, 0.5, 2.0])
    e = np.exp(-times / t1[:, None])
    assert np.allclose(signals.inversion_recovery(t1, times), 1 - 2 * e)
    with_tr = signals.inversion_recovery(t1, times, repetition=3.0)
    assert np.allclose(with_tr, 1 - 2 * e + np.exp(-3.0 / t1[:, None]))
    assert np.allclose(signals.inversion_recovery(t1, times, angle=90), 1 - e)
    turned = signals.decay(0.04, [0.01, 0.02], frequency=[0.0, 25.0])
    assert np.allclose(turned, np.exp([-0.25, -0.5]) * [[1, 1], [1j, -1]])


def trains(count=60):
    return signals.dictionary(lambda t2, t1: signals.fse(t2, t1, spacing=0.01, echoes=16, angles=150),
                              t2=np.geomspace(0.02, 1, count), t1=[0.8, 1.5])


def test_the_basis_says_what_it_loses():
    d = trains()
    unit = d.atoms / np.linalg.norm(d.atoms, axis=1, keepdims=True)
    for k in (1, 3, 16):
        b = signals.basis(d, k)
        rest = unit - unit @ b.vectors @ b.vectors.T
        assert np.allclose(b.vectors.T @ b.vectors, np.eye(k), atol=1e-12)
        assert b.lost == pytest.approx((rest**2).sum() / (unit**2).sum(), abs=1e-12)
        assert b.worst == pytest.approx((rest**2).sum(1).max(), abs=1e-12)
    assert signals.basis(d, 4).worst < 1e-3 < signals.basis(d, 1).worst


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_matching_finds_the_signal_and_its_factor(kind):
    d = trains()
    pick = np.array([[3, 50], [77, 119]])
    factor = np.array([[1 + 1j, -2], [0.5j, 0]])
    images = np.moveaxis(d.atoms[pick] * factor[..., None], -1, 1)
    if kind == "torch":
        import torch

        images = torch.from_numpy(images)
    found = signals.match(d, images, axis=1)
    assert type(found.index) is type(images)
    assert np.asarray(found.index).tolist() == [[3, 50], [77, -1]]
    assert np.allclose(np.asarray(found.amplitude), factor)
    assert np.allclose(np.asarray(found.correlation), [[1, 1], [1, 0]])
    t2 = np.asarray(found.values["t2"])
    assert np.allclose(t2[0], d.values["t2"][pick[0]])
    assert np.isnan(t2[1, 1])


def test_matching_coefficients_is_matching_frames(monkeypatch):
    d = trains()
    b = signals.basis(d, 5)
    rng = np.random.default_rng(0)
    images = d.atoms[rng.integers(0, len(d.atoms), 300)].T * np.exp(2j * np.pi * rng.random(300))
    few = np.tensordot(b.vectors.T, images, 1)
    whole = signals.match(d, images).values["t2"]
    monkeypatch.setattr(sys.modules["pisolve.signals.dictionary"], "_ENTRIES", 7 * len(d.atoms))  # in batches
    assert np.mean(signals.match(d.compress(b), few).values["t2"] == whole) == 1


@pytest.mark.parametrize(("call", "message"), [
    (lambda: signals.fse(0.05, 1.0, spacing=10.0, echoes=8), "spacing must be < 1"),
    (lambda: signals.fse(-0.05, 1.0, spacing=0.01, echoes=8), "t2 must be > 0"),
    (lambda: signals.fse(0.05, 1.0, spacing=0.01, echoes=8, angles=[180, 120]), "one for each of 8 echoes"),
    (lambda: signals.decay(0.05, [10, 20]), "looks like milliseconds"),
    (lambda: signals.decay(0.05, [0.02, 0.01]), "must increase"),
    (lambda: signals.inversion_recovery(1.0, [0.1, 2.0], repetition=1.0), "repetition must be > 2"),
    (lambda: signals.basis(trains(), 17), "k must be in 1..16"),
    (lambda: signals.match(trains(), np.ones((15, 2))), "images have 15 frames on axis 0, the dictionary 16"),
    (lambda: signals.match(trains(), np.full((16, 2), np.nan)), "images holds NaN"),
    (lambda: signals.dictionary(lambda: None), "needs the values"),
])
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
