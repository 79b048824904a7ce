"""Maps of any model straight from k-space: real laws, dense Gauss-Newton, exact data, error bars against replicas."""

from dataclasses import replace

import numpy as np
import pytest
from cases import coord, frames, maps, points, quadratic_denoiser

import pisolve as pi
from pisolve import linops, signals
from pisolve.priors import Tikhonov
from pisolve.signals._linearised import Linearised, Pixelwise
from pisolve.signals.gauss_newton import GaussNewton
from pisolve.signals.model import decay_model
from pisolve.testing import distance, random

ECHOES = 0.02 * np.arange(1, 7)
LATE = np.array([0.003, 0.0046, 0.0075, 0.011, 0.016, 0.022])
INVERSIONS = np.array([0.1, 0.3, 0.6, 1.0, 1.7, 3.0])
TIMES = {"t2": ECHOES, "t2star": LATE, "b0": LATE, "water_fat": LATE, "t1_ir": INVERSIONS, "molli": INVERSIONS}


def coils(side, count=4):
    y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    mps = np.stack([np.exp(-((x - p) ** 2 + (y - q) ** 2)) * np.exp(1j * (p * x + q * y))
                    for p, q in [(-1, -1), (1, -1), (-1, 1), (1, 1)][:count]])
    return mps / np.linalg.norm(mps, axis=0)


def truth(name, side=8):
    """(amplitude, {name of a map: map}) of a small object."""
    y, x = np.mgrid[-1:1:side * 1j, -1:1:side * 1j]
    a, spot = (1 + 0.3 * x) * np.exp(0.5j * y), x**2 + y**2 < 0.5
    found = {"t2": 0.06 + 0.05 * spot, "t2star": 0.02 + 0.015 * spot, "frequency": 20 * x + 10 * y,
             "fat_fraction": 0.1 + 0.5 * spot, "t1": 0.8 + 0.5 * spot, "inversion": 1.9 + 0.1 * x}
    signal = signals.named(name, field_strength=1.5)
    return a, {p.name: found[p.name] for p in signal.model(TIMES[name]).parameters}


def measured(name, mask=None, side=8, noise=0.0, seed=0, seen=1):
    a, values = truth(name, side)
    a = a * seen
    model = signals.named(name, field_strength=1.5).model(TIMES[name])
    s = model.value(TIMES[name], np.stack([v.ravel() for v in values.values()]).astype(float))
    A = frames(coils(side), mask, len(TIMES[name]))
    y = A(a * s.reshape(-1, side, side))
    return A, y + noise * random(y.shape, np.random.default_rng(seed), "complex128") * (y != 0)


def test_the_linearised_encoding_obeys_the_laws_of_real_maps():
    A = frames(maps(2, 4, 5), points(6, 4, 5), 6)
    model = signals.named("t1_ir").model(INVERSIONS)
    chart = Pixelwise(model, INVERSIONS, np.zeros((6, 4, 5), complex), [0.9, 1.9])
    rng = np.random.default_rng(0)
    p = np.stack([0.5 + rng.random((4, 5)), 1.8 + 0.1 * rng.random((4, 5))])
    x = chart.start(random((4, 5), rng, "complex128"), p, np.zeros(1, complex))
    B = Linearised(A, chart.slopes(x), 1)
    assert B.iaxes == ("parameter", "y", "x")
    d, y = random((3, 4, 5), rng, "complex128"), random(A.oshape, rng, "complex128")
    d[1:] = d[1:].real
    assert abs(np.vdot(B(d), y).real - np.vdot(d, B.H(y)).real) < 1e-12 * np.linalg.norm(y) * np.linalg.norm(d)
    assert distance(B.N(d), B.H(B(d))) < 1e-13
    assert not B.H(y)[1:].imag.any()
    numeric = (A(chart.value(x + 1e-6 * d)) - A(chart.value(x - 1e-6 * d))) / 2e-6
    assert distance(B(d), numeric) < 1e-7


def test_it_is_dense_gauss_newton():
    """Every iterate is that of the normal equations of real and imaginary parts, as matrices, on 8 x 8."""
    A, y = measured("t1_ir", points(6, 8, 8), noise=0.01)
    model = signals.named("t1_ir").model(INVERSIONS)
    chart = Pixelwise(model, INVERSIONS, np.zeros(A.ishape, complex), [0.9, 1.9])
    prior = 1e-2 * pi.Quadratic(linops.gradient((3, 8, 8)))
    run = GaussNewton(A, y, chart, prior, 0.1, 2000, pi.CG())
    a, values = truth("t1_ir")
    first = x = chart.start(0.8 * a, np.stack([1.2 * values["t1"], values["inversion"]]), y)
    M = linops.dense(A, "complex128")

    def real(v):
        return np.concatenate([v[0].real.ravel(), v[0].imag.ravel(), v[1].real.ravel(), v[2].real.ravel()])

    for n in range(3):
        s = chart.slopes(x).reshape(3, 6, 64)
        J = np.concatenate([np.concatenate([np.diag(part[e]) for e in range(6)]) for part in
                            (s[0], 1j * s[0], s[1], s[2])], axis=1)
        B, delta = M @ J, 0.1 / 3**n
        left = y.ravel() - M @ chart.value(x).ravel() + B @ real(x)
        H = (B.conj().T @ B).real + 1e-2 * penalty() + delta * np.eye(256)
        dense = np.linalg.solve(H, (B.conj().T @ left).real + delta * real(first))
        new = run.step(x, delta * Tikhonov(first))
        assert distance(real(new), dense) < 1e-5, n
        x = new


def penalty():
    """G^H G of the real and imaginary part of the amplitude and of two real maps of 8 x 8."""
    one = linops.dense(linops.gradient((8, 8)).N, "complex128").real
    return np.kron(np.eye(4), one)


@pytest.mark.parametrize("name", signals.NAMES)
def test_exact_data_give_exact_maps(name):
    A, y = measured(name)
    found = signals.one_step(A, y, name, TIMES[name], iterations=12, max_iter=150, noise=1e-3, field_strength=1.5)
    _, values = truth(name)
    for word, unit in found.units.items():
        tolerance = {"": 0.01, "s": 2e-3 * np.median(values[word]), "Hz": 0.1}[unit]
        assert found.mask[word].all(), word
        assert np.allclose(found[word], values[word], atol=tolerance), word
    assert found.axes == ("y", "x")
    assert ("t2star" in found.values) == (name in ("t2star", "water_fat"))


def test_undersampled_echoes_without_a_full_centre():
    """Every echo has a quarter of the lines; the subspace of all decays finds the start."""
    side = 32
    mask = np.random.default_rng(3).random((6, side, 1)) < 0.3
    A, y = measured("t2", mask, side, noise=0.003)
    _, values = truth("t2", side)
    found = signals.one_step(A, y, "t2", ECHOES, 1e-3 * pi.Quadratic(linops.gradient((2, side, side), axes=(-2, -1))))
    assert np.nanmedian(abs(found["t2"] / values["t2"] - 1)) < 0.04
    assert found.mask["t2"].mean() > 0.95


def test_error_bars_are_those_of_replicas():
    """Of the whole nonlinear problem, with noise of another seed, undersampled: within a tenth."""
    mask = np.random.default_rng(1).random((6, 8, 1)) < 0.7
    prior = 3e-3 * pi.Quadratic(linops.gradient((2, 8, 8), axes=(-2, -1)))
    how = {"iterations": 4, "max_iter": 40, "noise": 0.01}
    A, y = measured("t2", mask, noise=0.01)
    start = signals.one_step(A, y, "t2", ECHOES, prior, **how)
    found = signals.one_step(A, y, "t2", ECHOES, prior, start=start, replicas=24, **how)
    again = [signals.one_step(A, measured("t2", mask, noise=0.01, seed=10 + k)[1], "t2", ECHOES, prior, start=start,
                              **how)["t2"] for k in range(24)]
    assert np.median(found.std["t2"] / np.std(again, axis=0, ddof=1)) == pytest.approx(1, abs=0.1)


def test_the_background_is_masked_though_a_prior_fills_it():
    seen = np.hypot(*np.mgrid[-1:1:16j, -1:1:16j]) < 0.7
    A, y = measured("t2", None, 16, noise=0.01, seen=seen)
    prior = 1e-2 * pi.Quadratic(linops.gradient((2, 16, 16), axes=(-2, -1)))
    found = signals.one_step(A, y, "t2", ECHOES, prior, replicas=4)
    assert found.mask["t2"][seen].all()
    assert found.mask["t2"][~seen].mean() < 0.1
    assert np.isnan(found["t2"][~found.mask["t2"]]).all()


def test_the_noise_is_what_the_maps_leave():
    A, y = measured("t2", None, 16, noise=0.02)
    assert signals.one_step(A, y, "t2", ECHOES, iterations=6).noise == pytest.approx(0.02, rel=0.05)


def test_other_priors_single_precision_and_points_fit():
    side = 16
    where = coord(6, 20, 16, size=(side, side))
    A = linops.sense(coils(side).astype("complex64"), coord=where, shape=(6, 4, 20, 16), eps=1e-5,
                     axes=("echo", "coil", "shot", "sample"))
    a, values = truth("t2", side)
    y = A((a * decay_model("t2", 1e-3, 5).value(ECHOES, values["t2"].reshape(1, -1)).reshape(6, side, side)).astype(
        "complex64"))
    y = y / np.float32(np.linalg.norm(A.H(y)) / np.linalg.norm(a))
    for prior in (1e-3 * pi.Wavelet("haar", axes=("y", "x")), 1e-3 * pi.TV(axes=("y", "x"))):
        found = signals.one_step(A, y, "t2", ECHOES, prior, iterations=3, max_iter=25)
        assert found["t2"].shape == (side, side)
        assert found.amplitude.dtype == np.complex64
        assert np.nanmedian(abs(found["t2"] / values["t2"] - 1)) < 0.05


def test_a_denoiser_is_a_prior_of_maps_too():
    A, y = measured("t2", None, 16, noise=0.05)
    truth_ = truth("t2", 16)[1]["t2"]
    found = [signals.one_step(A, y, "t2", ECHOES, prior, iterations=4, solver=solver)["t2"]
             for prior, solver in ((None, None), (pi.PnP(quadratic_denoiser, sigma=0.6), pi.ADMM(rho=0.1)))]
    error = [np.median(abs(t2 / truth_ - 1)) for t2 in found]
    assert error[1] < 0.8 * error[0]


def test_tensors_give_the_maps_of_arrays():
    import torch

    A, y = measured("t2", None, 8, noise=0.01)
    found = [signals.one_step(A, k, "t2", ECHOES, iterations=3)["t2"] for k in (y, torch.from_numpy(y))]
    assert np.array_equal(*found)


def test_a_model_of_ones_own():
    import torch

    model = signals.Model(lambda t, rate: torch.exp(-t * rate), [signals.Parameter("rate", "1/s", 1.0, 200.0)])
    A, y = measured("t2")
    found = signals.one_step(A, y, model, ECHOES, iterations=8)
    assert np.allclose(found["rate"], 1 / truth("t2")[1]["t2"], rtol=1e-2)
    assert found.units == {"rate": "1/s"}


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"times": 1e3 * ECHOES}, ValueError, "looks like milliseconds"),
    ({"times": ECHOES[::-1]}, ValueError, "must increase"),
    ({"times": ECHOES[:2]}, ValueError, "has 2 entries"), ({"replicas": 1}, ValueError, "replicas is 1"),
    ({"signal": "t4"}, ValueError, "signal"), ({"noise": -1}, ValueError, "noise must be"),
    ({"start": signals.t2(np.ones((6, 3, 3)) * ECHOES[::-1, None, None], ECHOES)}, ValueError, "start has no map 't2'"),
])
def test_what_does_not_fit_is_named(change, error, message):
    A, y = measured("t2")
    arguments = {"signal": "t2", "times": ECHOES} | change
    with pytest.raises(error, match=message):
        signals.one_step(A, y, **arguments)


def test_the_inversion_takes_little_from_t1():
    """It varies little over space; on the scale of T1 it would take up what noise and sampling leave."""
    side, times = 32, np.array([0.05, 0.2, 0.5, 1.0, 1.8, 3.0])
    head = pi.phantom.brain((side, side), 4)
    t1 = np.where(np.arange(side)[:, None] < side // 2, 0.7, 1.2) + np.zeros((side, side))
    images = head.image * np.moveaxis(signals.inversion_recovery(t1, times), -1, 0)
    rng = np.random.default_rng(0)
    mask = rng.random((6, side, 1)) < 0.25
    mask[:, 14:18] = True
    A = pi.linops.sense(head.mps / np.linalg.norm(head.mps, axis=0), mask, shape=(6, 4, side, side),
                        axes=("echo", "coil", "ky", "kx"))
    y = A(images + 0j)
    y = y + 0.02 * (y != 0) * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    prior = 3e-3 * pi.L21(axis=(0, 1)) @ pi.linops.gradient((3, side, side), axes=(-2, -1), boundary="neumann")
    model = signals.named("t1_ir").model(times)
    free = replace(model, parameters=(model.parameters[0], replace(model.parameters[1], scale=1.0)))
    seen, errors = abs(head.image) > 0.2, []
    for one in (model, free):
        found = signals.one_step(A, y, one, times, prior, iterations=6, max_iter=12)
        errors.append(np.median(abs(found["t1"] / t1 - 1)[seen]))
    assert errors[0] < 0.85 * errors[1]  # 0.029 and 0.037 measured
    assert errors[0] < 0.033
