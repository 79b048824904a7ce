"""Partial Fourier against BART, closed forms and real scans; virtual conjugate coils against SENSE."""

import h5py
import numpy as np
import pytest
from conftest import data_path
from helpers import bart

import pisolve as pi
from pisolve import calib, linops
from pisolve.backend import fft, to_torch
from pisolve.linops.conjugate import reflect
from pisolve.testing import distance

AXES = (-2, -1)


def to_k(x):
    return fft(x, AXES)


def to_image(k):
    return fft(k, AXES, inverse=True)


def cut(shape, fraction, axis=-2, side=0):
    """A mask that samples a fraction of one axis from one side."""
    n = shape[axis]
    line = np.arange(n) < round(n * fraction)
    line = line[::-1] if side else line
    return np.broadcast_to(line[:, None] if axis == -2 else line[None], shape[-2:]).copy()


def real_object(shape=(64, 60)):
    image = np.zeros(shape)
    image[10:50, 12:48] = np.random.default_rng(0).random((40, 36))
    return image


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("shape", [(64, 60), (33, 35)])
@pytest.mark.parametrize("phase", [0, 0.7])
def test_a_real_object_is_recovered(shape, axis, side, phase):
    k = to_k(np.pad(real_object((50, 48))[:shape[0] - 9, :shape[1] - 9], ((4, 5), (5, 4))) * np.exp(1j * phase))
    mask = cut(k.shape, 5 / 8, axis, side)
    for filter in ("ramp", "step"):
        assert distance(calib.homodyne(k * mask, mask, filter=filter), k) < 1e-12
    assert distance(calib.pocs(k * mask, mask, iterations=20), k) < 1e-4
    assert distance(calib.pocs(k * mask, iterations=20), k) < 1e-4  # the mask from the data


def test_a_known_phase_is_used():
    y, x = np.mgrid[-1:1:64j, -1:1:60j]
    turn = np.exp(6j * np.sin(5 * x * y))  # finer than the centre shows
    k = to_k(real_object() * turn)
    mask = cut(k.shape, 5 / 8)
    error = [distance(calib.pocs(k * mask, mask, iterations=n, phase=turn), k) for n in (1, 10, 40, 160, 640)]
    assert (np.diff(error) < 0).all()  # towards the truth, which is a fixed point
    assert distance(calib.pocs(k * (mask | True), np.ones_like(mask), phase=turn), k) == 0
    assert error[2] < 0.5 * distance(calib.pocs(k * mask, mask, iterations=40), k)


def test_homodyne_equals_bart(tmp_path):
    k = pi.phantom.brain((64, 64), 1, phase=True).kspace.astype("complex64")
    mask = cut(k.shape, 5 / 8, -1)
    own = to_k(to_image(k))  # the phase reference
    reference = to_image(own * (abs(np.arange(64) - 32) <= 7)[None, None, :])
    # BART's ramp falls from 2 at N (1 - f) to 0 at N f, so with -C its run of samples is the second half's mirror
    bart(tmp_path, "homodyne", "-C", "-P", "p", "0", str(5 / 8), "k", "x", k=k * mask, p=reference / abs(reference))
    theirs = pi.io.cfl.read(tmp_path / "x").reshape(64, 64)
    ours = to_image(calib.homodyne(k * mask, mask, phase=reference))[0] * (reference / abs(reference))[0].conj()
    edge = 2 / 64  # BART's ramp is centred between samples, ours on the centre
    assert distance(ours.real, theirs.real) < edge


@pytest.mark.parametrize("fraction", [6 / 8, 5 / 8])
def test_pocs_beats_zero_filling_for_a_smooth_phase(fraction):
    k = pi.phantom.brain((128, 128), 1, phase=True).kspace
    mask = cut(k.shape, fraction)
    truth, zero = abs(to_image(k)), abs(to_image(k * mask))
    gain = {name: pi.metrics.psnr(truth, abs(to_image(f(k * mask, mask)))) - pi.metrics.psnr(truth, zero)
            for name, f in (("pocs", calib.pocs), ("homodyne", calib.homodyne))}
    assert min(gain.values()) > 1


def gains(name, fraction, **options):
    """dB over zero-filling inside the body, root sum of squares of the coils: both axes, both sides."""
    with h5py.File(data_path(f"kspace/{name}.h5")) as file:
        k = file["kspace"][0]
    truth, out = np.linalg.norm(to_image(k), axis=0), []
    body = pi.metrics.body(truth)
    for axis in AXES:
        for side in (0, 1):
            mask = cut(k.shape, fraction, axis, side)
            level = [pi.metrics.psnr(truth, np.linalg.norm(to_image(x), axis=0), region=body)
                     for x in (calib.pocs(k * mask, mask, **options), k * mask)]
            out.append(level[0] - level[1])
    return np.array(out)


@pytest.mark.parametrize("fraction", [6 / 8, 5 / 8])
def test_pocs_beats_zero_filling_on_the_scan_it_was_made_on(fraction):
    found = gains("phantom_cimax_16ch", fraction)
    assert found.mean() > 1
    assert found.min() > 0
    assert found.mean() > gains("phantom_cimax_16ch", fraction, trust=1).mean() + 0.5


@pytest.mark.parametrize(("name", "fraction", "gain", "least"), [
    ("phantom_gre_prisma_1ch", 5 / 8, 1.0, 0.0), ("phantom_gre_prisma_1ch", 6 / 8, 0.0, -0.5),
    ("invivo_brain_cimax_16ch", 5 / 8, 0.0, -0.1), ("invivo_brain_cimax_16ch", 6 / 8, 0.0, 0.0),
    ("head_sag_1ch", 5 / 8, -0.1, -0.5), ("head_sag_1ch", 6 / 8, -0.1, -0.5)])
def test_pocs_does_not_lose_on_other_real_scans(name, fraction, gain, least):
    """1 dB is reached on one of three: the others' k-space is not conjugate symmetric where the data end (see docs)."""
    found = gains(name, fraction)
    assert found.mean() > gain
    assert found.min() > least


def test_trust_of_one_is_haackes_algorithm_and_of_zero_is_zero_filling():
    brain = pi.phantom.brain((48, 40), 2, phase=True, noise=0.1)
    k, mask = brain.kspace.astype(complex), cut((48, 40), 6 / 8)
    phase = np.exp(1j * np.angle((brain.mps * brain.image).astype(complex)))

    def rounds(known, trust):
        x = k * known
        for _ in range(7):
            estimate = to_k(phase * abs(to_image(x)))
            x = np.where(known, k, trust * estimate)
        return x, estimate

    def ours(trust):
        return calib.pocs(k * mask, mask, iterations=7, phase=phase, trust=trust)

    assert distance(ours(1), rounds(mask, 1)[0]) < 1e-12
    assert distance(ours(0), k * mask) < 1e-15
    ring = slice(30, 36)  # 11 lines on the shorter side: 5 fill in 6
    near = rounds((np.arange(48) < 30)[:, None], 1)[1][:, ring]
    trust = np.vdot(near, k[:, ring]).real / np.linalg.norm(near) ** 2
    assert 0.3 < trust < 0.95
    assert distance(ours(None), rounds(mask, trust)[0]) < 1e-12


def test_trust_falls_with_the_noise_and_is_measured_per_slice():
    energy = []
    for noise in (0, 0.05, 0.2, 1):
        k = pi.phantom.brain((64, 64), 4, phase=True, noise=noise).kspace
        mask = cut(k.shape, 6 / 8)
        filled, all_of_it = (calib.pocs(k * mask, mask, trust=t)[:, 48:] for t in (None, 1))
        energy.append(np.linalg.norm(filled) / np.linalg.norm(all_of_it))
    assert energy[0] > 0.99
    assert (np.diff(energy) < 0).all()
    assert energy[-1] < 0.2


def test_torch_and_slices_and_precision():
    k = to_k(real_object() + 0j).astype("complex64")
    k = np.stack([k, 2j * k])[:, None]
    mask = cut(k.shape, 6 / 8)
    for f in (calib.pocs, calib.homodyne):
        ours = f(k * mask, mask)
        assert ours.dtype == np.complex64
        double = k.astype("complex128") * mask  # single precision leaves the phase of empty pixels to rounding
        assert distance(f(to_torch(double), to_torch(mask)), f(double, mask)) < 1e-10
        np.testing.assert_array_equal(f(k[1] * mask, mask), ours[1])
    full = calib.pocs(k)
    np.testing.assert_array_equal(full, k)
    assert not np.shares_memory(full, k)


@pytest.mark.parametrize(("mask", "message"), [
    (np.arange(64)[:, None] % 2 == 0, "holes"), (np.arange(64)[:, None] < 33, "at least 2"),
    (np.arange(64)[:, None] < 20, "at least 2"), (np.outer(np.arange(64) < 40, np.arange(60) < 40), "both axes")])
@pytest.mark.parametrize("method", [calib.pocs, calib.homodyne])
def test_other_masks_are_refused(method, mask, message):
    k = to_k(real_object() + 0j)
    with pytest.raises(ValueError, match=message):
        method(k * mask, np.broadcast_to(mask, k.shape))


@pytest.mark.parametrize("options", [{"iterations": 0}, {"transition": -1}, {"trust": -0.1}, {"trust": 1.1},
                                     {"phase": np.ones((3, 3))}, {"mask": np.ones((3, 3), bool)}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        calib.pocs(to_k(real_object() + 0j) * cut((64, 60), 5 / 8), **options)


@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (8, 5)])
def test_virtual_coils_measure_the_conjugate_maps(shape, rng):
    mps = rng.standard_normal((3, *shape)) + 1j * rng.standard_normal((3, *shape))
    r = rng.standard_normal(shape)
    both = calib.virtual_coils(to_k(mps * r))
    assert both.shape == (6, *shape)
    assert distance(both[3:], to_k(mps.conj() * r)) < 1e-14
    assert distance(calib.virtual_coils(to_torch(to_k(mps * r))), both) < 1e-14
    turn = np.exp(1j * rng.standard_normal(shape))
    A = linops.virtual_coils(mps, turn, rng.random(shape) < 0.6)
    y = linops.sense(mps, A.real.weight)(r * turn)
    assert distance(calib.virtual_coils(y), A(r + 0j)) < 1e-14


def regular(k, accel, calibration=24):
    """Every R-th line through the centre, and what GRAPPA makes of it without and with virtual coils."""
    n, coils = k.shape[-2], len(k)
    mask = pi.masks.equispaced(k.shape, accel, calibration / n, offset=n // 2 % accel)
    both, shared = calib.virtual_coils(k * mask, mask)
    assert (both[coils:] == reflect(both[:coils]).conj()).all()
    assert (shared == (mask & reflect(mask))).all()
    assert not both[:, ~shared].any()
    assert (both[:coils, shared] == k[:, shared]).all()
    return calib.grappa(k * mask, mask)(k * mask), calib.grappa(both, shared)(both)[:coils]


def test_grappa_gains_by_virtual_coils_in_simulation():
    brain = [pi.phantom.brain((96, 96), 4, phase=True, noise=noise) for noise in (0, 0.02)]
    truth = np.linalg.norm(to_image(brain[0].kspace), axis=0)
    plain, virtual = (pi.metrics.psnr(truth, np.linalg.norm(to_image(x), axis=0), region=pi.metrics.body(truth))
                      for x in regular(brain[1].kspace, 3))
    assert virtual > plain + 1


@pytest.mark.parametrize("accel", [2, 3, 4])
def test_grappa_by_virtual_coils_is_as_good_on_a_bottle(accel):
    """No gain in a scan that noise does not limit: the docstring says so."""
    with h5py.File(data_path("kspace/phantom_cimax_16ch.h5")) as file:
        k = file["kspace"][0]
    truth = np.linalg.norm(to_image(k), axis=0)
    plain, virtual = (pi.metrics.psnr(truth, np.linalg.norm(to_image(x), axis=0), region=pi.metrics.body(truth))
                      for x in regular(k, accel))
    assert plain - 0.1 < virtual < plain + 0.5


@pytest.mark.parametrize("fit", [calib.grappa, calib.spirit_kernel])
def test_virtual_coils_that_were_sampled_elsewhere_are_refused(fit):
    k = pi.phantom.brain((48, 40), 4).kspace
    mask = pi.masks.equispaced(k.shape, 3, 16 / 48, offset=1)
    assert (mask != reflect(mask)).any()
    with pytest.raises(ValueError, match=r"mask shares .* N // 2"):
        calib.virtual_coils(k * mask, mask)
    both, union = calib.virtual_coils(k * mask), mask | reflect(mask)
    for made in (both, to_torch(both)):
        for known in (None, mask, union):
            with pytest.raises(ValueError, match="virtual conjugates"):
                fit(made, known)
    with pytest.raises(ValueError, match="virtual conjugates"):
        fit(both, mask, k[:, 16:32].repeat(2, 0))
    mirrored = calib.virtual_coils(k)
    fit(mirrored, mask & reflect(mask))
    fit(k * mask, mask)
    with pytest.raises(ValueError, match="virtual conjugates"):
        fit(mirrored, mask)


@pytest.mark.parametrize("f", [calib.homodyne, calib.pocs, lambda k, mask, phase: calib.centre_phase(k, phase, mask)])
@pytest.mark.parametrize("kind", [np.asarray, to_torch])
def test_a_phase_of_other_precision_or_kind(f, kind):
    k = to_k(real_object() + 0j)[None].astype("complex64")
    mask = cut(k.shape, 6 / 8)
    phase = np.exp(1j * np.add.outer(np.arange(64), np.arange(60)) / 50)[None]
    out = f(kind(k * mask), mask, phase=kind(phase))
    same = f(kind(k * mask), mask, phase=kind(phase.astype("complex64")))
    assert out.dtype == same.dtype == kind(k).dtype
    assert distance(out, same) < 1e-6
    assert f(kind(k.astype(complex) * mask), mask, phase=kind(phase.astype("complex64"))).dtype == kind(phase).dtype
    other = to_torch if kind is np.asarray else np.asarray
    with pytest.raises(TypeError, match="give both of one kind"):
        f(kind(k * mask), mask, phase=other(phase))


def partial_and_two(k):
    """Every second line of the first 5/8, with 16 lines in the centre."""
    n = k.shape[-2]
    line = (np.arange(n) % 2 == 0) & (np.arange(n) < 5 * n // 8)
    line[n // 2 - 8:n // 2 + 8] = True
    return np.broadcast_to(line[:, None], k.shape[-2:])


def test_virtual_coils_beat_sense_with_partial_fourier():
    brain = pi.phantom.brain((96, 96), 8, noise=0.02)
    mask = partial_and_two(brain.kspace)
    y, body = brain.kspace * mask, pi.metrics.body(brain.image)
    phase = calib.centre_phase(y, brain.mps, mask)
    plain = pi.solve(linops.sense(brain.mps, mask), y, 1e-3 * pi.Tikhonov(), pi.CG(), max_iter=60).x
    A = linops.virtual_coils(brain.mps, phase, mask)
    r = pi.solve(A, calib.virtual_coils(y), 1e-3 * pi.Tikhonov(), pi.CG(), max_iter=60).x
    assert np.linalg.norm(r.imag) < 1e-3 * np.linalg.norm(r.real)  # though nothing forces it
    error = {name: distance(x[body], brain.image[body]) for name, x in (("plain", plain), ("virtual", r * phase))}
    assert error["virtual"] < 0.9 * error["plain"]


def test_virtual_coils_amplify_less_noise(rng):
    brain = pi.phantom.brain((48, 48), 4)
    mask, body = np.broadcast_to((np.arange(48) % 3 == 0)[:, None], (48, 48)), pi.metrics.body(brain.image)
    phase = brain.image / abs(brain.image)
    A, B = linops.sense(brain.mps, mask), linops.virtual_coils(brain.mps, phase, mask)
    plain, virtual = [], []
    for _ in range(12):
        noise = mask * (rng.standard_normal(A.oshape) + 1j * rng.standard_normal(A.oshape))
        plain.append(calib.unfold(noise.astype("complex64"), brain.mps, mask) / phase)
        virtual.append(pi.solve(B, calib.virtual_coils(noise), None, pi.CG(), max_iter=80).x)
    spread = [np.std(np.real(x), 0)[body].mean() for x in (plain, virtual)]
    assert spread[1] < spread[0]


@pytest.mark.parametrize(("make", "message"), [
    (lambda k, s: calib.centre_phase(k, s[:1]), "mps"), (lambda k, s: calib.centre_phase(0 * k, s), "zero"),
    (lambda k, s: calib.centre_phase(k, s, np.arange(8)[:, None] < 3), "centre"),
    (lambda k, s: calib.virtual_coils(k[0]), "dimensions"), (lambda k, s: linops.virtual_coils(s, s), "phase"),
    (lambda k, s: linops.virtual_coils(s[0], s[0]), "mps"),
    (lambda k, s: linops.virtual_coils(s, np.full((8, 8), np.nan)), "NaN")])
def test_bad_input_of_virtual_coils(make, message):
    k = np.ones((2, 8, 8), complex)
    with pytest.raises(ValueError, match=message):
        make(k, k)
