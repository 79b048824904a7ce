"""The analytic phantom against its own rasterisation, its formulas and the plain facts of a scan."""

import numpy as np
import pytest

from pisolve import backend, phantom


def image_of(kspace):
    return backend.fft(kspace, (-2, -1), inverse=True)


def raster(shape, fine):
    """The object on a grid `fine` times finer than the pixels and the grid's axes; independent of the transform."""
    pixel = max(1 / shape[0], 0.8 / shape[1])
    axes = [(np.arange(n * fine) - n // 2 * fine - (fine - 1) / 2) / fine * pixel for n in shape]
    total = np.zeros([len(a) for a in axes])
    for amplitude, cy, cx, ay, ax, angle in phantom.ellipses():
        u, v = axes[0][:, None] - cy, axes[1] - cx
        along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
        total += amplitude * ((along / ay) ** 2 + (across / ax) ** 2 <= 1)
    return total, axes


def transform(image, axes, shape, fine):
    """The k-space of a fine image by sums, orthonormal for the coarse matrix."""
    waves = [np.exp(-2j * np.pi * np.outer(np.arange(n) - n // 2, a) / (a[fine] - a[0]) / n)
             for n, a in zip(shape, axes)]
    return waves[0] @ image @ waves[1].T / (fine**2 * np.sqrt(np.prod(shape)))


def means(fine_image, shape, fine):
    return fine_image.reshape(shape[0], fine, shape[1], fine).mean((1, 3))


@pytest.mark.parametrize("shape", [(96, 96), (97, 81), (80, 101)])
def test_image_is_the_rasterised_object(shape):
    fine, axes = raster(shape, 12)
    scan = phantom.brain(shape, 1, phase=False)
    np.testing.assert_allclose(image_of(scan.kspace)[0], scan.image, atol=2e-5)
    assert fine.min() > -1e-9
    assert 0.9 < fine.max() < 1.1
    error = np.abs(transform(fine, axes, shape, 12) - scan.kspace[0])
    top = np.abs(scan.kspace).max()
    assert error[shape[0] // 2, shape[1] // 2] < 1e-3 * top
    assert error.max() < 2e-3 * top
    assert np.linalg.norm(error) < 0.01 * np.linalg.norm(scan.kspace)  # what 12 samples a pixel leave of the edges
    # Parseval: the samples hold all of the object's energy but the detail finer than a pixel
    kept = np.linalg.norm(scan.kspace) ** 2 / (np.sum(fine**2) / 12**2)
    assert 0.94 < kept < 1.002


def test_agrees_with_the_raster_away_from_edges():
    shape = (256, 256)
    mean = means(raster(shape, 4)[0], shape, 4)
    scan = phantom.brain(shape, 1, phase=False)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(mean, 4, mode="edge"), (9, 9))
    flat = np.ptp(windows.reshape(*shape, -1), axis=-1) < 1e-6
    inside = flat & (mean > 0.1)
    assert inside.sum() > 1000
    assert np.sqrt(np.mean(np.abs(scan.image - mean)[inside] ** 2)) < 0.02  # Gibbs ringing is all that is left


def test_one_ellipse_against_quadrature():
    part = np.array([[0.7, 0.03, -0.05, 0.2, 0.11, 0.4]])
    ky, kx = np.arange(-6, 7) / 2, np.arange(-4, 5) / 2
    radius, weight = np.polynomial.legendre.leggauss(60)
    radius, weight = (radius + 1) / 2, weight / 2
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    u, v = 0.2 * np.outer(radius, np.cos(angle)), 0.11 * np.outer(radius, np.sin(angle))
    y = 0.03 + u * np.cos(0.4) - v * np.sin(0.4)
    x = -0.05 + u * np.sin(0.4) + v * np.cos(0.4)
    area = 0.7 * 0.2 * 0.11 * np.outer(radius * weight, np.full(200, 2 * np.pi / 200))
    expected = np.einsum("ab,kab,lab->kl", area, np.exp(-2j * np.pi * ky[:, None, None] * y),
                         np.exp(-2j * np.pi * kx[:, None, None] * x))
    np.testing.assert_allclose(phantom._transform(part, ky, kx), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(128, 128), (131, 110)])
def test_coils_multiply_the_object(shape):
    scan = phantom.brain(shape, 6)
    assert scan.kspace.shape == scan.mps.shape == (6, *shape)
    assert {a.dtype for a in (scan.kspace, scan.mps, scan.image)} == {np.dtype(np.complex64)}
    coils = image_of(scan.kspace)
    # truncation and smooth maps commute up to a few per cent of ringing, and not to rounding: no inverse crime
    error = np.linalg.norm(coils - scan.mps * scan.image) / np.linalg.norm(coils)
    assert 1e-3 < error < 0.04
    # the exact statement: the transform of map * object, by a fine raster of the object and the polynomials
    fine, axes = raster(shape, 8)
    fov = tuple(n * (a[8] - a[0]) for n, a in zip(shape, axes))
    smooth = [phantom._polynomial(c, fov, *axes) for c in (phantom._profiles(6, fov)[2], phantom._phase(fov))]
    expected = transform(fine * smooth[0] * smooth[1], axes, shape, 8)
    scale = np.vdot(expected, scan.kspace[2]) / np.vdot(expected, expected)  # maps are scaled to a mean of 1
    assert abs(scale.imag) < 1e-3 * abs(scale)
    assert np.linalg.norm(scan.kspace[2] - scale * expected) < 0.01 * np.linalg.norm(scan.kspace[2])
    point = tuple(n // 3 for n in shape)
    value = phantom._polynomial(phantom._profiles(6, fov)[2], fov,
                                *[np.array([(p - n // 2) * f / n]) for p, n, f in zip(point, shape, fov)])
    assert scan.mps[(2, *point)] == pytest.approx(scale.real * value[0, 0], rel=1e-3)


def test_maps_and_phase_look_like_a_scan():
    scan = phantom.brain((96, 96), 8)
    head = np.abs(scan.image) > 0.15
    size = np.sqrt((np.abs(scan.mps) ** 2).sum(0))
    assert size[head].mean() == pytest.approx(1, abs=0.05)
    assert size[head].min() > 0.3
    phase = np.angle(scan.image)[head]
    assert np.ptp(phase) > 0.8
    assert np.linalg.svd(scan.mps.reshape(8, -1), compute_uv=False)[-1] > 1e-2  # eight different coils
    assert np.abs(np.angle(phantom.brain((96, 96), 1, phase=False).image)[head]).max() < 0.15


@pytest.mark.parametrize("sigma", [0.01, 0.2])
def test_noise_has_the_stated_size(sigma):
    clean, noisy = phantom.brain((64, 64), 4), phantom.brain((64, 64), 4, noise=sigma)
    difference = noisy.kspace - clean.kspace
    for part in (difference.real, difference.imag, image_of(difference).real):
        assert part.std() == pytest.approx(sigma, rel=0.03)
    np.testing.assert_array_equal(clean.image, noisy.image)
    assert abs(np.mean(difference.real * difference.imag)) < 0.05 * sigma**2


def test_seeds():
    first = phantom.brain((64, 64), 2, noise=0.1, seed=3)
    assert np.array_equal(first.kspace, phantom.brain((64, 64), 2, noise=0.1, seed=3).kspace)
    assert not np.array_equal(first.kspace, phantom.brain((64, 64), 2, noise=0.1, seed=4).kspace)
    other = phantom.brain((64, 64), 2, anatomy=1)
    assert np.abs(other.image - first.image).max() > 0.1
    np.testing.assert_array_equal(other.mps, first.mps)


@pytest.mark.parametrize(("arguments", "options", "error", "word"), [
    (((4, 64),), {}, ValueError, "shape"), ((64,), {}, ValueError, "shape"), (((64.0, 64),), {}, TypeError, "shape"),
    (((64, 64), 0), {}, ValueError, "coils"), (((64, 64), 2), {"noise": -1}, ValueError, "noise"),
    (((64, 64), 2), {"noise": np.nan}, ValueError, "noise"), (((64, 64), 2), {"seed": -1}, ValueError, "seed"),
    (((64, 64), 2), {"anatomy": "a"}, TypeError, "anatomy"),
])
def test_bad_arguments(arguments, options, error, word):
    with pytest.raises(error, match=word):
        phantom.brain(*arguments, **options)


def test_the_heart_beats_in_a_body_at_rest():
    heart = phantom.heart(8, 48)
    assert heart.shape == (8, 48, 48)
    np.testing.assert_allclose(heart[1], heart[-1], atol=1e-12)  # there and back
    at_rest = np.ptp(heart, 0) < 1e-3
    np.testing.assert_allclose(heart[0][at_rest], abs(phantom.brain((48, 48), 1).image)[at_rest], atol=0.01)
    assert 0.5 < at_rest.mean() < 1
