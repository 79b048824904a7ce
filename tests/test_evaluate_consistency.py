"""`evaluate.consistency`, `visibility`, `seen`, `holdout_error`: against noise theory, dense matrices, lesions."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import data_path
from helpers import Own, refused

import pisolve as pi
from pisolve import calib, linops
from pisolve.evaluate.consistency.consistency import consistency
from pisolve.evaluate.consistency.forward import noise_of
from pisolve.evaluate.consistency.holdout import holdout_error
from pisolve.evaluate.consistency.visibility import Sight, gaussian, seen, visibility

SIZE, COILS, SIGMA = 64, 6, 0.02
P = pi.phantom.brain((SIZE, SIZE), COILS, noise=SIGMA, seed=3)
RSS = np.linalg.norm(P.mps, axis=0)
MPS = (P.mps / RSS).astype(np.complex64)
TRUTH = (P.image * RSS).astype(np.complex64)
MASK = pi.masks.random((SIZE, SIZE), 4, center_fraction=0.12, seed=2)
FULL = pi.io.Scan(P.kspace, np.ones((SIZE, SIZE), bool), MPS)
SCAN = pi.io.Scan(P.kspace * MASK, MASK, MPS)
SINGLE = pi.phantom.brain((SIZE, SIZE), 1, noise=SIGMA, seed=3)
ONE = pi.io.Scan(SINGLE.kspace * MASK, MASK, np.ones((1, SIZE, SIZE), np.complex64))
LEAST = pi.Recipe(pi.Zero(), pi.CG(), max_iter=80, tol=1e-7)
WAVELET = pi.Recipe(3e-3 * pi.Wavelet(shifts=4), max_iter=60)
DISC = (np.hypot(*(np.mgrid[:SIZE, :SIZE] - np.array([34, 28])[:, None, None])) < 3).astype(np.float32)
LESION = (0.2 * DISC * np.exp(1j * np.angle(TRUTH))).astype(np.complex64)  # ten times the noise


def noisy(scan, seed):
    """The scan's noiseless truth with other noise."""
    rng = np.random.default_rng(seed)
    clean = linops.sense(scan.mps)(TRUTH)
    white = rng.standard_normal((*clean.shape, 2)).view(complex)[..., 0]
    return (clean + SIGMA * white).astype(np.complex64)


# how large is the residual


@pytest.mark.parametrize("mask", [FULL.mask, MASK], ids=["full", "4x"])
def test_the_truth_leaves_the_noise(mask):
    scan = pi.io.Scan(noisy(FULL, 1) * mask, mask, MPS)
    c = consistency(TRUTH, scan, noise=SIGMA)
    samples = COILS * mask.sum()
    assert c.samples == samples
    assert abs(c.chi**2 - 1) < 4 / np.sqrt(samples)  # chi^2 is a mean of `samples` exponential variables
    assert abs(c.beyond - np.exp(-8)) < 5 * np.sqrt(np.exp(-8) / samples)
    assert c.peak < c.limit
    assert abs(np.mean(c.image[RSS > 0] ** 2) / 2 - 1) < 0.25  # two components of variance 1; blobs overlap
    assert c.verdict.startswith("The image explains the data to the noise")
    np.testing.assert_allclose(consistency(TRUTH, scan, noise=2 * SIGMA).chi, c.chi / 2, rtol=1e-5)


def test_rings_lines_and_the_picture_add_up_to_chi():
    c = consistency(TRUTH, SCAN, noise=SIGMA)
    weighted = sum(r["chi"] ** 2 * r["samples"] for r in c.rings)
    assert sum(r["samples"] for r in c.rings) == c.samples
    np.testing.assert_allclose(weighted / c.samples, c.chi**2, rtol=1e-5)
    lines = [v for v in c.lines if v is not None]
    assert [v is not None for v in c.lines] == list(MASK[:, 0])
    np.testing.assert_allclose(np.mean(np.square(lines)), c.chi**2, rtol=1e-5)
    np.testing.assert_allclose((c.kspace[MASK] ** 2).mean(), c.chi**2, rtol=1e-5)
    assert not c.kspace[~MASK].any()


def test_coloured_noise_is_whitened():
    """The residual of the truth is 1 in units of a covariance that is far from white."""
    rng = np.random.default_rng(0)
    root = SIGMA * (np.diag([1, 1, 4, 1, 1, 1]) + 0.7 * rng.standard_normal((COILS, COILS)))
    draw = lambda *shape: rng.standard_normal((*shape, 2)).view(complex)[..., 0]  # noqa: E731
    kspace = linops.sense(MPS)(TRUTH) + calib.mix(root, draw(COILS, SIZE, SIZE))
    scan = pi.io.Scan((kspace * MASK).astype(np.complex64), MASK, MPS, noise=root @ draw(COILS, 20000))
    c = consistency(TRUTH, scan)
    assert abs(c.chi - 1) < 0.02
    assert "noise samples" in c.noise
    assert not c.notes
    np.testing.assert_allclose(c.sigma, np.sqrt((abs(root) ** 2).sum() / COILS), rtol=0.02)
    n = noise_of(scan)
    drawn = n.draw(np.random.default_rng(1), np.zeros((COILS, 100, 100), complex)).reshape(COILS, -1)
    np.testing.assert_allclose(drawn @ drawn.conj().T / 1e4, 2 * root @ root.T, atol=0.1 * (root @ root.T).max())
    done = replace(WAVELET, whiten=True)(scan)
    assert 0.7 < consistency(done).chi < 1


@pytest.mark.parametrize(("lam", "coils"), [(0.0, COILS), (0.3, COILS), (1.0, 1)])
def test_noise_alone_leaves_what_the_recipe_does_not_take_in(lam, coils):
    """Fully sampled, S^H S = 1: I - H has eigenvalues 1 (outside of the range of S) and lam / (1 + lam) (inside)."""
    recipe = replace(LEAST, prior=lam * pi.Tikhonov() if lam else pi.Zero())
    scan = replace(FULL, kspace=noisy(FULL, 3)) if coils > 1 else replace(ONE, kspace=SINGLE.kspace, mask=FULL.mask)
    c = consistency(recipe(scan), noise=SIGMA, probe=True, seed=1)
    expected = np.sqrt((coils - 1 + (lam / (1 + lam)) ** 2) / coils)
    np.testing.assert_allclose(c.expected, expected, rtol=0.01)
    if lam == 0:  # least squares is judged by it: no bias
        np.testing.assert_allclose(c.chi, expected, rtol=0.02)
        assert c.verdict.startswith("The image explains the data to the noise")
    else:
        assert c.chi > 1.5 * c.expected
        assert "does not explain the data" in c.verdict


def test_an_estimated_noise_level_says_so():
    c = consistency(TRUTH, SCAN)
    assert 0.9 < c.sigma / SIGMA < 1.2
    assert "estimated" in c.noise
    assert len(c.notes) == 1


# hallucinations


def hidden(structure, mps):
    """What of a structure lies in the null space of A: x - A^+ A x, by the dense pseudo-inverse along the lines."""
    out = np.empty_like(structure)
    F = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(np.eye(SIZE)), axis=0, norm="ortho"), axes=0)[MASK[:, 0]]
    for column in range(SIZE):  # the readout is full: every column is a problem of its own
        E = np.concatenate([F * s[:, column] for s in mps])
        _, d, v = np.linalg.svd(E, full_matrices=False)
        v = v[d > 0.03 * d[0]]
        out[:, column] = structure[:, column] - v.conj().T @ (v @ structure[:, column])
    return out


@pytest.mark.parametrize("scan", [SCAN, ONE], ids=["6 coils", "1 coil"])
def test_a_planted_lesion_is_exposed_and_a_hidden_one_is_not(scan):
    """A network that adds a lesion to a good image; then the same of that part of it which no sample sees."""
    clean = WAVELET(scan)
    before = consistency(clean, noise=SIGMA)
    assert before.peak < before.limit
    F = hidden(LESION, scan.mps)
    F *= abs(LESION).max() / abs(F).max()
    for added, found in ((LESION, True), (F.astype(np.complex64), False)):
        network = Own(lambda A, y, a=added: torch.from_numpy((clean.x + a) * np.float32(clean.scale)))
        done = pi.recon(scan, network=network)
        c = consistency(done, noise=SIGMA, structures={"lesion": added})
        row, text = c.structures[0], str(c.section())
        assert "null space of A" in text
        if found:
            assert c.peak > 3 * c.limit
            assert np.hypot(c.place[0] - 34, c.place[1] - 28) < 3
            assert row["excess"] > 10
            assert abs(row["unsupported"] - 1) < 0.2
            assert row["verdict"] == "contradicts the data"
            assert "invented or lost" in c.verdict
        else:
            assert c.peak < c.limit
            np.testing.assert_allclose(c.chi, before.chi, atol=0.02)
            assert row["seen"] < 0.05
            assert row["determined"] < 0.1
            assert row["unsupported"] is None
            assert row["verdict"] == "cannot be judged: too little of it reaches the samples"
            assert row["verdict"] in text


def test_a_lesion_that_is_there_does_not_contradict_the_data():
    c = consistency(TRUTH, SCAN, noise=SIGMA, structures={"phase of the image": abs(LESION), "itself": LESION})
    for row in c.structures:
        assert row["reach"] > 10
        assert abs(row["excess"]) < 4
        assert row["verdict"].startswith("the data do not contradict it")
    np.testing.assert_allclose(c.structures[0]["excess"], c.structures[1]["excess"], rtol=1e-3)
    lost = consistency(TRUTH - LESION, SCAN, noise=SIGMA, structures={"lost": LESION}).structures[0]
    assert lost["excess"] < -10


# every kind of reconstruction


@pytest.mark.filterwarnings("ignore:.*of the missing samples have no measured one")
@pytest.mark.parametrize(("name", "recipe", "scan"), [
    ("grappa", pi.Recipe(method=pi.Grappa(), max_iter=20), None), ("spirit", pi.Recipe(method=pi.Spirit()), None),
    ("soft", pi.Recipe(1e-3 * pi.Wavelet(shifts=4), maps=pi.Espirit(sets=2, calib_width=12)), None),
    ("compressed", replace(WAVELET, compress=pi.Compress(4)), None), ("whole maps", WAVELET, P.mps),
    ("own", replace(WAVELET, prior=2e-3 * pi.TV()), MPS)], ids=lambda v: v if isinstance(v, str) else "")
def test_any_recipe(name, recipe, scan):
    even = np.zeros((SIZE, SIZE), bool)
    even[::2] = even[24:40] = True
    recipe = recipe if name == "soft" else replace(recipe, maps=pi.Espirit(calib_width=16))
    done = recipe(pi.io.Scan(P.kspace * even, even, scan))
    c = consistency(done, noise=SIGMA, probe=True)
    assert 0.3 < c.chi < 1.3
    assert c.chi / c.expected < 1.5
    assert c.image.shape == c.kspace.shape == (SIZE, SIZE)
    json.dumps(c.to_dict())
    if name in ("whole maps", "own"):  # the picture alone says the same
        np.testing.assert_allclose(consistency(done.x, done.scan, noise=SIGMA).chi, c.chi, rtol=1e-4)
    h = holdout_error(recipe, done.scan, noise=SIGMA)
    assert h.floor < h.error < (1.3 if name == "grappa" else 1)
    assert bool(h.notes) == (name == "grappa")
    assert (h.image_error is None) == (name in ("spirit", "soft"))
    json.dumps(h.to_dict())


def test_a_volume_is_its_slices():
    volume = pi.io.Scan(np.stack([SCAN.kspace, 2 * SCAN.kspace]), MASK, MPS)
    lesion = np.stack([LESION, 0 * LESION])
    both = consistency(np.stack([TRUTH, 2.2 * TRUTH]), volume, noise=SIGMA, structures={"all": lesion})
    assert both.image.shape == (2, SIZE, SIZE)
    first = consistency(TRUTH, SCAN, noise=SIGMA, structures={"all": LESION})
    second = consistency(2.2 * TRUTH, pi.io.Scan(2 * SCAN.kspace, MASK, MPS), noise=SIGMA)
    np.testing.assert_allclose(both.slices, [first.chi, second.chi], rtol=1e-5)
    np.testing.assert_allclose(both.chi**2, (first.chi**2 + second.chi**2) / 2, rtol=1e-5)
    for key in ("seen", "determined", "reach", "excess"):
        np.testing.assert_allclose(both.structures[0][key], first.structures[0][key], rtol=1e-3)
    assert both.place[0] == 1
    assert "of slice 1" in both.verdict
    np.testing.assert_allclose(holdout_error(LEAST, volume, noise=SIGMA).slices[0],
                               holdout_error(LEAST, SCAN, noise=SIGMA).error, rtol=1e-3)


def test_a_magnitude_is_judged_with_a_fitted_phase_or_not_at_all():
    rss = lambda k, mask: torch.linalg.vector_norm(torch.fft.ifftn(k, dim=(-2, -1), norm="ortho"), dim=1)  # noqa: E731
    several = consistency(pi.recon(pi.io.Scan(SCAN.kspace, MASK), network=Own(rss, False)))
    assert several.chi is None
    assert "cannot be said" in several.verdict
    assert "magnitude of several coils" in str(several.section())
    json.dumps(several.to_dict())
    for magnitude, scan in ((abs(TRUTH), SCAN), (abs(SINGLE.image), ONE)):
        right = consistency(magnitude, scan, noise=SIGMA)
        wrong = consistency(magnitude + abs(LESION), scan, noise=SIGMA)
        assert right.chi < 1.05
        assert "phase was fitted" in right.notes[0]
        assert wrong.chi > right.chi * 1.01
        assert wrong.peak > wrong.limit
    network = Own(lambda k, mask: torch.from_numpy(abs(SINGLE.image)[None].astype("f4") * scale), False)
    scale = np.float32(pi.recon(ONE).scale)
    alone = consistency(pi.recon(pi.io.Scan(ONE.kspace, MASK), network=network), noise=SIGMA, probe=True)
    np.testing.assert_allclose(alone.chi, right.chi, rtol=0.02)
    assert alone.expected is None


def test_same_bits_and_nothing_changed():
    kspace, image = SCAN.kspace.copy(), TRUTH.copy()
    done = WAVELET(SCAN)
    a, b = (consistency(done, noise=SIGMA, probe=True, seed=4) for _ in range(2))
    assert a.to_dict() == b.to_dict()
    np.testing.assert_array_equal(a.image, b.image)
    assert a.expected != consistency(done, noise=SIGMA, probe=True, seed=5).expected
    consistency(image, SCAN, structures={"d": LESION})
    holdout_error(WAVELET, SCAN)
    np.testing.assert_array_equal(SCAN.kspace, kspace)
    np.testing.assert_array_equal(image, TRUTH)


# where could a structure hide


def dense(scan):
    """A of a tiny scan as a matrix, and that of full sampling."""
    A, full = linops.sense(scan.mps, scan.mask), linops.sense(scan.mps)
    pixels = np.eye(scan.mask.size, dtype=complex).reshape(-1, *scan.mask.shape)
    return (np.stack([B(p).ravel() for p in pixels], 1) for B in (A, full))


def tiny(noise=None):
    p = pi.phantom.brain((16, 16), 2, noise=0.05, seed=1)
    mask = pi.masks.random((16, 16), 2, center_fraction=0.2, seed=3)
    return pi.io.Scan(p.kspace.astype(complex) * mask, mask, p.mps / np.linalg.norm(p.mps, axis=0), noise=noise)


def test_what_is_determined_is_the_dense_filter():
    rng = np.random.default_rng(2)
    root = np.array([[1, 0], [0.5, 2]]) * 0.1
    scan = tiny(root @ rng.standard_normal((2, 50000, 2)).view(complex)[..., 0])
    A, full = dense(scan)
    d = gaussian((16, 16), (7, 9), 2.0)
    sight = Sight(scan.mps.astype(complex), scan.mask, noise_of(scan))
    inverse = np.linalg.inv(A.conj().T @ A + sight.beta * np.eye(256))
    share = (d.ravel() @ inverse @ A.conj().T @ A @ d.ravel()).real / (d**2).sum()
    k = (A @ inverse @ d.ravel()).reshape(2, -1)
    spread = np.linalg.norm(root.conj().T @ k) / (share * (d**2).sum())
    np.testing.assert_allclose(sight.measured(d), [share, spread], rtol=0.01)
    found = seen(d, scan)
    sizes = [np.linalg.norm(B @ d.ravel()) for B in (A, full)]
    np.testing.assert_allclose(found["seen"], sizes[0] / sizes[1], rtol=1e-5)
    np.testing.assert_allclose(found["determined"], share, rtol=0.01)
    reach = np.linalg.norm(np.linalg.solve(root, (A @ d.ravel()).reshape(2, -1)))
    np.testing.assert_allclose(found["sigmas"], reach, rtol=0.02)
    v = visibility(scan, width=2.0, grid=16)  # a place at every pixel
    np.testing.assert_allclose(v.determined[7, 9], share, rtol=0.01)
    np.testing.assert_allclose(v.contrast[7, 9], 5 * spread, rtol=0.02)


def test_visibility_falls_with_acceleration_and_rises_with_coils():
    lowest = {}
    for accel in (1, 2, 6):
        mask = pi.masks.random((SIZE, SIZE), accel, center_fraction=0.1, seed=1) if accel > 1 else FULL.mask
        for name, mps in (("6", MPS), ("1", ONE.mps)):
            v = visibility(pi.io.Scan(P.kspace[: len(mps)] * mask, mask, mps), noise=SIGMA, grid=5)
            lowest[name, accel] = np.median(v.determined[v.inside])
            json.dumps(v.to_dict())
    assert lowest["6", 1] > 0.99
    assert lowest["1", 1] > 0.99
    assert lowest["6", 1] > lowest["6", 2] > lowest["6", 6] > lowest["1", 6]
    assert lowest["1", 6] < 0.5
    section = v.section()
    assert "a lesion could hide there" in section.text
    assert section.warnings
    assert v.hidden > 0.5


# withheld samples


def test_holdout_is_the_error_over_withheld_samples():
    """One fold by hand: least squares on what is left, compared at the lines that were taken."""
    from pisolve.evaluate.consistency.holdout import split

    h = holdout_error(LEAST, SCAN, folds=1, seed=7, noise=SIGMA)
    out = split(SCAN, folds=1, share=0.25, seed=7)[0]
    assert out.any()
    assert not (out & ~MASK).any()
    x = pi.solve(linops.sense(MPS, MASK & ~out), SCAN.kspace * ~out, pi.Zero(), pi.CG(), max_iter=80, tol=1e-7).x
    e = (linops.sense(MPS)(x) - SCAN.kspace) * out
    size = np.linalg.norm(SCAN.kspace * out)
    np.testing.assert_allclose(h.error, np.linalg.norm(e) / size, rtol=1e-3)
    np.testing.assert_allclose(h.floor, SIGMA * np.sqrt(2 * COILS * out.sum()) / size, rtol=1e-5)
    assert h.samples == COILS * out.sum()


def test_the_truth_reaches_the_floor_and_better_images_predict_better():
    scale = np.float32(WAVELET(SCAN).scale)
    truth = pi.Recipe(network=Own(lambda A, y: torch.from_numpy(TRUTH * scale)))
    h = holdout_error(truth, pi.io.Scan(noisy(FULL, 2) * MASK, MASK, MPS), noise=SIGMA)
    np.testing.assert_allclose(h.error, h.floor, rtol=0.03)
    errors, nmse = [], []
    for lam in (1e-5, 3e-3, 0.3):
        recipe = replace(WAVELET, prior=lam * pi.Wavelet(shifts=4))
        errors.append(holdout_error(recipe, SCAN, noise=SIGMA))
        nmse.append(pi.metrics.nmse(TRUTH, recipe(SCAN).x))
    assert np.argmin(nmse) == np.argmin([e.error for e in errors]) == np.argmin([e.image_error for e in errors]) == 1
    assert min(e.error for e in errors) > h.error
    assert holdout_error(WAVELET, SCAN) == holdout_error(WAVELET, SCAN)
    assert holdout_error(WAVELET, SCAN) != holdout_error(WAVELET, SCAN, seed=2)
    assert "withheld" in str(h.section())


@pytest.mark.filterwarnings("ignore::pisolve.masks.PoorMaskWarning")  # points, as in 3-D
def test_a_prospective_scan():
    scan = pi.io.load(data_path("kspace/brain_sigpytut_8ch_undersampled.h5"))
    recipe = pi.Recipe(2e-3 * pi.TV(), max_iter=20)
    done = recipe(scan)
    h, c = holdout_error(recipe, done.scan, folds=1), consistency(done)
    assert 0.6 < c.chi < 1.5
    assert h.floor < h.error < 0.5
    assert h.notes


# at the door


@pytest.mark.parametrize(("call", "kind", "message"), [
    (lambda: consistency(TRUTH), ValueError, "scan is needed"),
    (lambda: consistency(WAVELET(SCAN), SCAN), ValueError, "scan is for images"),
    (lambda: consistency(TRUTH, SCAN, probe=True), ValueError, "probe needs a Reconstruction"),
    (lambda: consistency(TRUTH, SCAN, probe=1), ValueError, "probe must be one of"),
    (lambda: consistency(TRUTH[1:], SCAN), ValueError, "done has shape (63, 64)"),
    (lambda: consistency("image", SCAN), TypeError, "done must be"),
    (lambda: consistency(TRUTH * np.nan, SCAN), ValueError, "done holds NaN"),
    (lambda: consistency(TRUTH, SCAN, noise=0), ValueError, "noise must be > 0"),
    (lambda: consistency(TRUTH, SCAN, seed=-1), ValueError, "seed"),
    (lambda: consistency(TRUTH, SCAN, structures=LESION), TypeError, "structures must be a dict"),
    (lambda: consistency(TRUTH, SCAN, structures={"d": LESION[1:]}), ValueError, "structures['d'] has shape"),
    (lambda: consistency(TRUTH, replace(SCAN, mps=np.stack([MPS, MPS[::-1]]))), ValueError, "scan has 2 sets"),
    (lambda: visibility(SCAN, width=0), ValueError, "width must be > 0"),
    (lambda: visibility(SCAN, grid=1), ValueError, "grid must be in 2"),
    (lambda: visibility(SCAN, slice=1), ValueError, "slice must be in 0..0"),
    (lambda: visibility(replace(SCAN, mps=np.stack([MPS, MPS[::-1]]))), ValueError, "scan has 2 sets"),
    (lambda: seen(LESION[1:], SCAN), ValueError, "structure has shape"),
    (lambda: seen(0 * LESION, SCAN), ValueError, "structure is zero everywhere"),
    (lambda: holdout_error(pi.CG(), SCAN), TypeError, "recipe must be a pi.Recipe"),
    (lambda: holdout_error(pi.Recipe(tune="sure"), SCAN), ValueError, "recipe tunes its strength"),
    (lambda: holdout_error(pi.Recipe(network=Own(abs, False)), SCAN), ValueError, "predicts no k-space"),
    (lambda: holdout_error(WAVELET, SCAN, share=1), ValueError, "share must be < 1"),
    (lambda: holdout_error(WAVELET, SCAN, share=0), ValueError, "share must be > 0"),
    (lambda: holdout_error(WAVELET, SCAN, folds=0), ValueError, "folds must be in 1"),
])
@pytest.mark.filterwarnings("ignore:mps is taken as")
def test_bad_input(call, kind, message):
    refused(call, kind, message)
