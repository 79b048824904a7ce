"""SENSE unfolding against conjugate gradients, the g-factor against noise, pygrappa and dense inverses."""

import warnings

import numpy as np
import pytest
from helpers import refused

import pisolve as pi
from pisolve import calib, linops, phantom
from pisolve.backend import fft, to_torch
from pisolve.calib._lattice import Lattice, lattice
from pisolve.testing import distance

SHAPE = (48, 36)
LATTICES = {
    "full": Lattice(1, 1, 0, (0, 0)), "ky": Lattice(2, 1, 0, (0, 0)), "ky-offset": Lattice(3, 1, 0, (2, 0)),
    "kx": Lattice(1, 3, 0, (0, 1)), "both": Lattice(2, 2, 0, (1, 1)), "caipi": Lattice(2, 2, 1, (1, 0)),
    "caipi-ky": Lattice(1, 4, 1, (0, 3)), "caipi-3": Lattice(2, 3, 2, (0, 1)),
}
EACH = pytest.mark.parametrize("name", LATTICES)


def brain(coils=8, shape=SHAPE, noise=0.01):
    return pi.phantom.brain(shape, coils, noise=noise)


@EACH
def test_lattices_are_found(name):
    found = LATTICES[name]
    assert lattice(found.mask(SHAPE)) == found
    folds = found.folds(SHAPE)
    spread = np.fft.ifft2(found.mask(SHAPE))  # where the mask's point spread is not zero
    assert {tuple(f) for f in folds} == {tuple(p) for p in np.argwhere(abs(spread) > 1e-9)}
    assert tuple(folds[0]) == (0, 0)


def test_other_masks_are_no_lattices(rng):
    ky = np.arange(48)[:, None] + np.zeros(36)
    for mask in (rng.random(SHAPE) < 0.5, ky % 5 == 0, (ky % 2 == 0) | (abs(ky - 24) < 4), ky < 24, ky % 4 < 2, ky < 0):
        assert lattice(mask) is None
    with pytest.raises(ValueError, match="lattice alone"):
        calib.unfold(np.ones((4, *SHAPE), complex), np.ones((4, *SHAPE), complex), (ky % 2 == 0) | (abs(ky - 24) < 4))


@EACH
@pytest.mark.parametrize("lam", [0, 0.05])
def test_unfolding_is_the_limit_of_conjugate_gradients(name, lam):
    b = brain()
    mask = LATTICES[name].mask(SHAPE)
    mps, y = b.mps.astype("complex128"), (b.kspace * mask).astype("complex128")
    prior = lam * pi.Tikhonov() if lam else None
    cg = pi.solve(linops.sense(mps, mask), y, prior, pi.CG(), max_iter=3000, tol=1e-11).x
    ours = calib.unfold(y, mps, mask, lam=lam)
    assert distance(ours, cg) < 1e-4
    assert distance(calib.unfold(y, mps, lam=lam), ours) == 0  # the mask from the data
    assert distance(calib.unfold(to_torch(y), to_torch(mps), mask, lam=lam), ours) < 1e-12
    single = calib.unfold(y.astype("complex64"), b.mps, mask, lam=lam)
    assert single.dtype == np.complex64
    assert distance(single, ours) < 1e-4


def test_covariance_is_the_weighted_least_squares_solution(rng):
    b, mask = brain(5), LATTICES["ky"].mask(SHAPE)
    mix = np.eye(5) + 0.3 * (rng.standard_normal((5, 5)) + 1j * rng.standard_normal((5, 5)))
    psi = mix @ mix.conj().T
    W = np.linalg.inv(np.linalg.cholesky(psi))
    white = [np.tensordot(W, x.astype(complex), 1) for x in (b.kspace * mask, b.mps)]
    assert distance(calib.unfold((b.kspace * mask).astype(complex), b.mps.astype(complex), covariance=psi),
                    calib.unfold(*white)) < 1e-10
    assert distance(calib.gfactor(b.mps.astype(complex), 2, covariance=psi), calib.gfactor(white[1], 2)) < 1e-10


@EACH
def test_gfactor_equals_dense_inverses(name, rng):
    shape, found = (12, 12), LATTICES[name]
    mps = rng.standard_normal((7, *shape)) + 1j * rng.standard_normal((7, *shape))
    mask = found.mask(shape)
    R = mask.size / mask.sum()
    for lam in (0, 0.3):
        A = linops.dense(linops.sense(mps, mask))
        N = A.conj().T @ A
        inverse = np.linalg.inv(N + lam * np.eye(len(N)))
        noise = (inverse @ N @ inverse).diagonal().real
        g = np.sqrt(noise / R * (abs(mps) ** 2).sum(0).ravel()).reshape(shape)
        assert distance(calib.gfactor(mps, mask, lam=lam), g) < 1e-9


@pytest.mark.parametrize("name", ["ky-offset", "caipi"])
def test_gfactor_equals_monte_carlo(name, rng):
    b, found = brain(8), LATTICES[name]
    mask, body = found.mask(SHAPE), pi.metrics.body(brain(noise=0).image)
    images = []
    for _ in range(200):
        noise = rng.standard_normal((2, 8, *SHAPE)).astype("float32")
        images.append(calib.unfold((noise[0] + 1j * noise[1]) * mask, b.mps, mask))
    measured = np.sqrt((abs(np.stack(images)) ** 2).mean(0) / 2)
    full = 1 / np.sqrt((abs(b.mps) ** 2).sum(0))
    g = measured / full / np.sqrt(found.ry * found.rx)
    ours = calib.gfactor(b.mps, mask)
    assert ours.dtype == np.float32
    assert abs(g[body] / ours[body] - 1).mean() < 0.05  # 200 replicas scatter by 3.5 %
    assert abs((g[body] / ours[body]).mean() - 1) < 0.01
    assert ours[body].min() >= 1 - 1e-5


def test_gfactor_equals_pygrappa():
    pygrappa = pytest.importorskip("pygrappa")
    mps = brain(6).mps.astype(complex)
    theirs = pygrappa.gfactor(mps, 1, 2, coil_axis=0)  # its inverse takes the real part of S^H S first
    ours = calib.gfactor(mps, (2, 1))
    assert ours.shape == theirs.shape
    real = pygrappa.gfactor(abs(mps), 2, 1, coil_axis=0)
    assert distance(calib.gfactor(abs(mps) + 0j, 2), real) < 1e-6


def test_outside_of_the_maps_everything_is_zero():
    b, mask = brain(), LATTICES["both"].mask(SHAPE)
    inside = pi.metrics.body(brain(noise=0).image)
    mps = b.mps * inside
    g, x = calib.gfactor(mps, mask), calib.unfold(b.kspace * mask, mps, mask)
    assert not g[~inside].any()
    assert not x[~inside].any()
    assert np.isfinite(g).all()
    assert (g[inside] >= 1 - 1e-5).all()
    alone = calib.gfactor(b.mps, mask)
    assert (g[inside] <= alone[inside] * (1 + 1e-5)).all()  # fewer pixels fold


@pytest.mark.parametrize("coils", [1, 2])
def test_an_acceleration_that_the_coils_do_not_resolve_is_told(coils):
    b = brain(2)
    mps, mask = b.mps[:coils], LATTICES["both"].mask(SHAPE)
    y = b.kspace[:coils] * mask
    with pytest.warns(calib.FoldWarning, match="smaller R or lam"):
        x = calib.unfold(y, mps, mask)
    assert np.isfinite(x).all()
    assert distance(linops.sense(mps, mask)(x), y) < 1e-2  # of minimum norm, and it fits
    with pytest.warns(calib.FoldWarning, match="infinite"):
        assert np.isinf(calib.gfactor(mps, mask)).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(calib.gfactor(mps, mask, lam=1e-2)).all()
        assert np.isfinite(calib.unfold(y, mps, mask, lam=1e-2)).all()


def test_threads_and_inputs(monkeypatch):

    b, mask = brain(shape=(96, 120)), np.arange(96)[:, None] % 2 == 0
    y = b.kspace * mask
    kept = y.copy(), b.mps.copy()
    many = calib.unfold(y, b.mps, mask), calib.gfactor(b.mps, mask)
    monkeypatch.setattr("pisolve.backend._threads._available", lambda: 1)
    for a, c in zip(many, (calib.unfold(y, b.mps, mask), calib.gfactor(b.mps, mask))):
        np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(y, kept[0])
    np.testing.assert_array_equal(b.mps, kept[1])


K = np.ones((4, 8, 6), complex)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: calib.unfold(K, K[:2]), "mps"), (lambda: calib.unfold(0 * K, K), "zero"),
    (lambda: calib.unfold(K, K * np.nan), "NaN"), (lambda: calib.unfold(K, K, lam=-1), "lam"),
    (lambda: calib.unfold(K, K, covariance=np.eye(3)), "coils"), (lambda: calib.gfactor(K, 3), "divide"),
    (lambda: calib.gfactor(K, (2, 2, 2)), "pair"), (lambda: calib.gfactor(K, 0), "mask_or_accel"),
    (lambda: calib.gfactor(K, np.ones((3, 3), bool)), "mask_or_accel")])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_kind_of_array():
    with pytest.raises(TypeError, match="one kind"):
        calib.unfold(K, to_torch(K))


# --- SMASH, by spatial harmonics


def array_of_coils(coils=8, shape=(48, 20)):
    """Coils in a row along y: smooth bumps that together make the lowest harmonics, with a phase along x."""
    y, x = np.mgrid[:shape[0], :shape[1]]
    centre = (np.arange(coils) + 0.5) * shape[0] / coils
    away = (y[None] - centre[:, None, None] + shape[0] / 2) % shape[0] - shape[0] / 2
    return np.exp(-(away / (1.2 * shape[0] / coils)) ** 2) * np.exp(0.1j * x)


@pytest.mark.parametrize("accel", [2, 3, 4])
def test_smash_fills_lines_by_harmonics(accel):
    mps = array_of_coils()
    image = abs(phantom.brain((48, 20), 1).image) + 0j
    k = fft(mps * image, (-2, -1))
    mask = np.zeros((48, 20), bool)
    mask[24 % accel::accel] = True
    found = fft(calib.smash(k * mask, mps, mask, lam=1e-6), (-2, -1), inverse=True)
    assert np.linalg.norm(found - image) < 0.02 * np.linalg.norm(image)
    folded = fft((k * mask).sum(0), (-2, -1), inverse=True)
    assert np.linalg.norm(abs(folded) * accel / 1.6 - image) > 0.2 * np.linalg.norm(image)


def test_smash_says_what_it_cannot():
    mps = array_of_coils()
    k = fft(mps, (-2, -1))
    across = np.zeros((48, 20), bool)
    across[:, ::2] = True
    refused(lambda: calib.smash(k, mps, across), ValueError, "mask leaves out samples along kx")
    refused(lambda: calib.smash(k, mps[:3]), ValueError, "mps has shape (3, 48, 20)")
    refused(lambda: calib.smash(k, mps, np.eye(48, 20) > 0), ValueError, "mask is no regular lattice")
