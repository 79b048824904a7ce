"""Every signal model: derivatives, exact signals, error bars; water and fat, the field, a model of one's own."""

import numpy as np
import pytest

import pisolve as pi
from pisolve import signals
from pisolve.signals import dixon
from pisolve.signals.model import look_locker_model
from pisolve.testing import check_signal

ECHOES = 1e-3 * np.array([1.3, 2.9, 4.4, 6.1, 7.6, 9.2])
INVERSIONS = np.array([0.1, 0.25, 0.5, 0.9, 1.4, 2.2, 3.5])
FIELD = 3.0


def noise(shape, size, seed=1):
    return size * np.random.default_rng(seed).standard_normal((*shape, 2)).view(complex)[..., 0]


@pytest.mark.parametrize("name", signals.NAMES)
def test_derivatives_are_those_of_the_signal(name):
    signal = signals.named(name, field_strength=FIELD)
    times = INVERSIONS if signal.clock == "inversion_times" else ECHOES
    check_signal(signal.model(times), times)


def test_a_wrong_derivative_is_found():
    wrong = signals.Model(lambda t, t2: np.exp(-t / t2), [signals.Parameter("t2", "s", 0.01, 0.3)],
                          lambda t, t2: (1.01 * t / t2**2 * np.exp(-t / t2),))
    with pytest.raises(AssertionError, match="derivative for t2"):
        check_signal(wrong, ECHOES)


@pytest.mark.parametrize("seen", ["complex", "magnitude"])
def test_look_locker_gives_t1_and_not_its_own_recovery(seen):
    t1, k = np.geomspace(0.4, 2.0, 12).reshape(3, 4), 2.4
    images = np.moveaxis(1 - k * np.exp(-INVERSIONS * (k - 1) / t1[..., None]), -1, 0)
    images = 0.7 * (images * np.exp(0.8j) if seen == "complex" else abs(images))
    maps = signals.molli(images, INVERSIONS)
    assert np.allclose(maps["t1"], t1, rtol=1e-3)
    assert np.allclose(maps["inversion"], k, rtol=1e-3)
    assert maps.units == {"t1": "s", "inversion": ""}
    assert np.allclose(signals.t1_ir(images, INVERSIONS)["t1"], t1 / (k - 1), rtol=1e-3)


def test_a_look_locker_train_of_spins_gives_its_t1():
    """Small pulses every 5 ms, simulated pulse by pulse, no formula of the model in it."""
    t1, step, angle = 1.2, 0.005, np.deg2rad(7)
    m, seen, times = -1.0, [], []
    for n in range(800):
        m = 1 + (m - 1) * np.exp(-step / t1)
        seen.append(np.sin(angle) * m)
        times.append((n + 1) * step)
        m *= np.cos(angle)
    pick = slice(10, None, 60)
    maps = signals.molli(np.array(seen)[pick][:, None] + 0j, np.array(times)[pick])
    assert maps["t1"][0] == pytest.approx(t1, rel=0.02)


def scene(side=40, turns=120.0):
    """(fat fraction, T2*, field) of a disc with a bottom of fat, in a field of +- `turns` Hz."""
    y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    q = np.where(y > 0.3, 0.9, np.where(x > 0.2, 0.25, 0.03))
    return q, 0.03 - 0.012 * (q > 0.5), turns * (x + 0.6 * y), (x**2 + y**2 < 0.9)


@pytest.mark.parametrize("turns", [40.0, 250.0])
def test_water_and_fat_are_not_swapped(turns):
    """The field reaches over the distance of water and fat; a pixel alone cannot tell."""
    q, t2, f, inside = scene(turns=turns)
    model = dixon.water_fat_model(FIELD, ECHOES[-1] - ECHOES[0])
    p = np.stack([q, t2, f]).reshape(3, -1)
    images = (inside * np.exp(0.4j)) * model.value(ECHOES, p).reshape(6, *q.shape) + noise((6, *q.shape), 0.01)
    maps = signals.water_fat(images, ECHOES, field_strength=FIELD)
    known = inside & maps.mask["fat_fraction"]
    assert known.sum() > 0.97 * inside.sum()
    assert np.mean(abs(maps["fat_fraction"] - q)[known] > 0.1) < 0.005
    assert np.median(abs(maps["frequency"] - f)[known]) < 1
    assert np.median(abs(maps["t2star"] / t2 - 1)[known]) < 0.06
    assert not maps.mask["fat_fraction"][~inside].any()


def test_error_bars_of_water_and_fat_are_those_of_replicas():
    n = 40
    model = dixon.water_fat_model(FIELD, ECHOES[-1] - ECHOES[0])
    one = model.value(ECHOES, np.array([[0.3], [0.03], [12.0]]))
    images = one[:, :, None] * np.ones((1, n, n)) + noise((6, n, n), 0.02)
    maps = signals.water_fat(images, ECHOES, field_strength=FIELD)
    assert maps.noise == pytest.approx(0.02, rel=0.05)
    for name, values in maps.values.items():
        assert np.nanmedian(maps.std[name]) == pytest.approx(np.nanstd(values), rel=0.1), name


def test_the_fat_fraction_is_known_where_nothing_decays():
    """T2* lies at the end of its range: it is masked, and takes nothing from the error bars of the others."""
    times, q, f, sigma = 2.3e-3 * np.arange(1, 4), 0.6, 20.0, 0.05

    def signal(a, b, q, f, t2=np.inf):
        return (a + 1j * b) * ((1 - q) + q * dixon.fat(times, 1.5)) * np.exp((2j * np.pi * f - 1 / t2) * times)

    images = signal(1, 0, q, f)[:, None, None] * np.ones((1, 4, 4))
    maps = signals.water_fat(images, times, field_strength=1.5, noise=sigma, smooth=False)
    assert not maps.mask["t2star"].any()
    assert np.isnan(maps["t2star"]).all()
    assert maps.mask["fat_fraction"].all()
    np.testing.assert_allclose(maps["fat_fraction"], q, atol=0.01)
    at, h = np.array([1, 0, q, f]), 1e-5
    J = np.stack([(signal(*(at + h * e), t2=0.5) - signal(*(at - h * e), t2=0.5)) / (2 * h) for e in np.eye(4)], 1)
    wanted = sigma * np.sqrt(np.diag(np.linalg.inv((J.conj().T @ J).real)))
    np.testing.assert_allclose(maps.std["fat_fraction"], wanted[2], rtol=0.05)


def test_the_field_alone_has_error_bars():
    side = 48
    y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    f = 200 * x + 90 * y
    times = np.array([0.003, 0.0046, 0.0062])
    images = np.moveaxis(signals.decay(0.03, times)[None] * np.exp(2j * np.pi * f[..., None] * times), -1, 0)
    maps = signals.b0(images + noise(images.shape, 0.02), times)
    assert maps.mask["frequency"].all()
    error = maps["frequency"] - f
    assert error.std() == pytest.approx(np.median(maps.std["frequency"]), rel=0.06)
    assert abs(np.median(error)) < 0.5
    assert maps.units == {"frequency": "Hz"}
    assert signals.b0(images[:2], times[:2]).noise is None


def test_a_model_of_ones_own_in_six_lines():
    import torch

    model = signals.Model(lambda t, t2, share: (1 - share) * torch.exp(-t / t2) + share * torch.exp(-t / 2.0),
                          [signals.Parameter("t2", "s", 0.01, 0.3), signals.Parameter("share", "", -0.5, 1.5)])
    times = np.array([0.01, 0.03, 0.07, 0.15, 0.3, 0.6])
    check_signal(model, times)
    maps = signals.fit(model, model.value(times, np.array([[0.05, 0.1], [0.2, 0.4]])) + 0j, times)
    assert np.allclose(maps["t2"], [0.05, 0.1], rtol=1e-4)
    assert np.allclose(maps["share"], [0.2, 0.4], atol=1e-4)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda x: signals.water_fat(x, ECHOES, field_strength=0), ValueError, "field_strength must be > 0"),
    (lambda x: signals.water_fat(abs(x), ECHOES, field_strength=3.0), TypeError, "images are real"),
    (lambda x: signals.water_fat(x[:2], ECHOES[:2], field_strength=3.0), ValueError, "needs at least 3"),
    (lambda x: signals.water_fat(x, 1e3 * ECHOES, field_strength=3.0), ValueError, "looks like milliseconds"),
    (lambda x: signals.water_fat(x, ECHOES, field_strength=3.0, peaks=([1], [1, 2])), ValueError, "peaks has 1"),
    (lambda x: signals.b0(x, ECHOES, axis=5), ValueError, "axis 5 does not fit"),
    (lambda x: signals.b0(abs(x), ECHOES), TypeError, "images are real"),
    (lambda x: signals.molli(x, ECHOES, range=(-1, 2)), ValueError, "range must be > 0"),
    (lambda x: signals.named("t3"), ValueError, "signal"),
    (lambda x: signals.named(3), TypeError, "signal must be one of t2"),
    (lambda x: signals.named("water_fat"), ValueError, "field_strength is needed"),
    (lambda x: signals.Parameter("my rate", "", 0, 1), ValueError, "one word is needed"),
])
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((6, 4, 5), complex))


def test_echoes_that_do_not_tell_are_said():
    """At 3 T fat and water point the same way every 2.3 ms."""
    alike = 2.3e-3 * np.arange(1, 5)
    peaks = ((-1 / (2.3e-3 * dixon.GAMMA * 3),), (1.0,))
    with pytest.warns(signals.TimesWarning, match="do not tell fat_fraction"):
        signals.water_fat(np.ones((4, 6, 6), complex) + noise((4, 6, 6), 0.01), alike, field_strength=3.0, peaks=peaks)
    with pytest.warns(signals.TimesWarning, match="do not tell t1 and inversion"):
        signals.fit(look_locker_model(0.1, 5), np.ones((4, 5)) * [[-1.0], [0], [1], [2]], [1e-4, 2e-4, 3e-4, 4e-4])
    assert pi.signals is signals
