"""Simultaneous slices: the encoding against its formula, SENSE-SMS with and without CAIPI, slice-GRAPPA."""

import warnings

import h5py
import numpy as np
import pytest
from cases import lines, maps, points
from conftest import data_path

import pisolve as pi
from pisolve import calib, linops
from pisolve.backend import fft, to_torch
from pisolve.testing import distance, random

AXES = (-2, -1)


def bands(count, shape=(64, 60), coils=8, noise=0.01):
    """Slices with coils of their own, as a ring above and below sees them: (mps, images, k-space, bodies)."""
    found = [pi.phantom.brain(shape, coils, noise=noise, anatomy=b, seed=b) for b in range(count)]
    turned = [p.mps * (0.6 + 0.4 * np.cos(2 * np.pi * (np.arange(coils) / coils - b / count)))[:, None, None]
              for b, p in enumerate(found)]
    mps = np.stack(turned).astype("complex64")
    images = np.stack([p.image for p in found])
    rng = np.random.default_rng(count)
    k = fft(mps * images[:, None], AXES) + noise * random(mps.shape, rng)
    return mps, images, k.astype("complex64"), np.stack([pi.metrics.body(x) for x in images])


@pytest.mark.parametrize("caipi", [0, 1 / 2, 1 / 3, 0.23, [0.5, 0.1, -0.4]])
@pytest.mark.parametrize("mask", [None, "ky", "points"])
@pytest.mark.parametrize("shape", [(6, 5), (9, 4)])
def test_it_is_its_formula(caipi, mask, shape, rng):
    mps, x = maps(3, 2, *shape), random((3, *shape), rng, "complex128")
    m = {None: np.ones(shape), "ky": lines(shape[0])[:, None], "points": points(*shape)}[mask]
    delta = caipi if isinstance(caipi, list) else [s * caipi for s in range(3)]
    ky = np.arange(shape[0])[:, None] - shape[0] // 2
    y = sum(m * np.exp(2j * np.pi * ky * d) * fft(s * v, AXES) for s, v, d in zip(mps, x, delta))
    A = linops.sms(mps, None if mask is None else m, caipi_shift=caipi)
    assert distance(A(x), y) < 1e-14
    assert distance(m * calib.sms_collapse(fft(mps * x[:, None], AXES), caipi), y) < 1e-14


def test_a_shift_by_half_the_field_of_view_moves_the_image():
    mps, x = np.ones((2, 1, 8, 4), complex), np.zeros((2, 8, 4), complex)
    x[1, 6, 2] = 1
    folded = fft(linops.sms(mps, caipi_shift=1 / 4)(x), AXES, inverse=True)
    assert np.argwhere(abs(folded[0]) > 0.5).tolist() == [[4, 2]]  # two pixels towards lower y


def test_one_band_is_sense(rng):
    mps, mask = maps(4, 10, 8), points(10, 8)
    A, B = linops.sms(mps[None], mask), linops.sense(mps, mask)
    x = random((1, 10, 8), rng, "complex128")
    assert distance(A(x), B(x[0])) < 1e-14
    assert distance(A.N(x)[0], B.N(x[0])) < 1e-14


def test_weights_and_torch_maps(rng):
    mps, w = maps(2, 3, 6, 5), rng.random((6, 5))
    A, x = linops.sms(mps, weights=w, caipi_shift=0.5), random((2, 6, 5), rng, "complex128")
    assert distance(A(x), np.sqrt(w) * linops.sms(mps, caipi_shift=0.5)(x)) < 1e-14
    assert distance(linops.sms(to_torch(mps), weights=to_torch(w), caipi_shift=0.5)(to_torch(x)), A(x)) < 1e-14


def test_threads_do_not_matter(monkeypatch, rng):

    A, x = linops.sms(maps(2, 7, 24, 20, dtype="complex64"), lines(24)[:, None], caipi_shift=0.5), \
        random((2, 24, 20), rng)
    k = random((2, 5, 40, 30), rng)
    separate = calib.slice_grappa(k, 0.5)
    many = A(x), A.N(x), separate(k[0])
    monkeypatch.setattr("pisolve.backend._threads._available", lambda: 1)
    for a, b in zip(many, (A(x), A.N(x), separate(k[0]))):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("count", [2, 3])
def test_caipi_shifts_lower_the_error(count):
    mps, images, k, body = bands(count, noise=0.05)
    error = {}
    for caipi in (0, 1 / count):
        x = pi.solve(linops.sms(mps, caipi_shift=caipi), calib.sms_collapse(k, caipi), 1e-3 * pi.Tikhonov(), pi.CG(),
                     max_iter=100).x
        error[caipi] = distance(x[body], images[body])
    assert error[1 / count] < error[0]


def two_real_slices():
    """K-space and maps of the brain and of the bottle in the same 16 coils of one scanner."""
    k = []
    for name in ("invivo_brain_cimax_16ch", "phantom_cimax_16ch"):
        with h5py.File(data_path(f"kspace/{name}.h5")) as file:
            k.append(file["kspace"][0])
    k = np.stack(k)
    return k, np.stack([calib.espirit(one) for one in k])


def test_two_real_slices():
    k, mps = two_real_slices()
    images = fft(k, AXES, inverse=True)
    truth = (mps.conj() * images).sum(1)
    support = (mps != 0).any(1)
    error = {}
    for caipi in (0, 1 / 2):
        y = calib.sms_collapse(k, caipi)
        x = pi.solve(linops.sms(mps, caipi_shift=caipi), y, 1e-4 * pi.Tikhonov(), pi.CG(), max_iter=100).x
        error[caipi] = distance(x[support], truth[support])
    assert error[1 / 2] < error[0]


@pytest.mark.parametrize("prior", [0.02 * pi.TV(), 0.02 * pi.Wavelet()])
def test_any_prior_takes_the_bands(prior):
    mps, images, k, body = bands(2, noise=0.2)
    A, y = linops.sms(mps, caipi_shift=1 / 2), calib.sms_collapse(k, 1 / 2)
    plain = pi.solve(A, y, 1e-3 * pi.Tikhonov(), pi.CG(), max_iter=60).x
    ours = pi.solve(A, y, prior, max_iter=60).x
    assert distance(ours[body], images[body]) < distance(plain[body], images[body])


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("kernel", [(5, 5), (3, 5)])
def test_slice_grappa_equals_pygrappa(split, kernel):
    pygrappa = pytest.importorskip("pygrappa")
    k = bands(2, (32, 30), coils=4)[2].astype("complex128")
    k = np.pad(k[:, :, 4:-4, 4:-4], ((0, 0), (0, 0), (4, 4), (4, 4)))  # their padding of it is then ours
    both = calib.sms_collapse(k, 0)
    theirs = pygrappa.slicegrappa(both.transpose(1, 2, 0)[..., None], k.transpose(2, 3, 1, 0), kernel_size=kernel,
                                  split=split)[..., 0, :].transpose(3, 2, 0, 1)
    assert distance(calib.slice_grappa(k, kernel=kernel, split=split)(both), theirs) < 1e-8


@pytest.mark.parametrize("count", [2, 3])
def test_slice_grappa_separates_and_split_leaks_less(count):
    _, _, k, _ = bands(count)
    centre = k[:, :, 16:48, 14:46]
    rest, leak = {}, {}
    for caipi in (0, 1 / count):
        for split in (False, True):
            found = calib.slice_grappa(centre, caipi, split=split)
            rest[caipi, split] = distance(found(calib.sms_collapse(k, caipi)), k)
            L, images = found.leakage(k)
            assert images.shape == (count, count, *k.shape[1:])
            leak[caipi, split] = (L - np.diag(L.diagonal())).sum(0)
            if caipi:
                assert (L.diagonal() > 0.8).all()
                total = sum(found(band) for band in calib.sms_shift(k, caipi))
                assert distance(total, found(calib.sms_collapse(k, caipi))) < 1e-4  # linear
    assert (leak[1 / count, True] < leak[1 / count, False]).all()
    assert (leak[0, True] < leak[0, False]).all()
    assert rest[1 / count, True] < rest[0, True]


def test_leakage_of_two_real_slices():
    k, _ = two_real_slices()
    centre = k[:, :, 48:80, 48:80]
    off = {}
    for split in (False, True):
        L, _ = calib.slice_grappa(centre, 1 / 2, split=split).leakage(k)
        off[split] = L[0, 1] + L[1, 0]
    assert off[True] < off[False]


def test_slice_grappa_takes_torch():
    _, _, k, _ = bands(2, (24, 24), coils=4)
    ours = calib.slice_grappa(k, 0.5)
    theirs = calib.slice_grappa(to_torch(k), 0.5)
    np.testing.assert_array_equal(ours.weights, theirs.weights)
    y = calib.sms_collapse(to_torch(k), 0.5)
    assert distance(theirs(y), ours(calib.sms_collapse(k, 0.5))) < 1e-5
    assert distance(theirs.leakage(to_torch(k))[1], ours.leakage(k)[1]) < 1e-5


def test_more_slices_than_coils_are_told(rng):
    k = random((3, 3, 16, 16), rng)
    with pytest.warns(UserWarning, match="3 slices are more than 2 independent coils"):
        calib.slice_grappa(k[:, :2])
    k[:, 2] = k[:, 0]  # the same coil again
    with pytest.warns(UserWarning, match="3 slices are more than 2 independent coils"):
        calib.slice_grappa(k)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calib.slice_grappa(k[:2])


K = random((2, 3, 8, 8), np.random.default_rng(0), "complex128")


@pytest.mark.parametrize(("call", "message"), [
    (lambda: linops.sms(K[0]), "mps"), (lambda: linops.sms(0 * K), "zero"),
    (lambda: linops.sms(K, caipi_shift=[0.5]), "caipi_shift has 1"),
    (lambda: linops.sms(K, caipi_shift=float("nan")), "caipi_shift must be finite"),
    (lambda: linops.sms(K, np.ones((3, 3))), "mask"), (lambda: calib.sms_collapse(K[0]), "kspace"),
    (lambda: calib.slice_grappa(K[0]), "calib"), (lambda: calib.slice_grappa(K, kernel=(4, 4)), "odd"),
    (lambda: calib.slice_grappa(K, kernel=(9, 3)), "fewer than the kernel"),
    (lambda: calib.slice_grappa(K * np.nan), "NaN"), (lambda: calib.slice_grappa(K, lam=-1), "lam"),
    (lambda: calib.slice_grappa(K)(K[0, :2]), "coils"), (lambda: calib.slice_grappa(K).leakage(K[:1]), "bands")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
