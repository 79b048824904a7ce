"""Metrics: hand values, scikit-image, fastMRI's own volume loop, and bad input."""

import sys
import types

import numpy as np
import pytest
import torch
from conftest import data_path
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from pisolve import io, metrics, phantom


def volume(rng, shape=(3, 40, 33), dtype=np.float64):
    reference = np.cumsum(rng.standard_normal(shape), axis=-1)
    reference = abs(reference) * np.arange(1, 1 + shape[0])[:, None, None] if len(shape) == 3 else abs(reference)
    return reference.astype(dtype), (reference + 0.3 * rng.standard_normal(shape)).astype(dtype)


def fastmri(reference, image):
    """evaluate.py's definitions, re-derived: skimage slice by slice with the volume's maximum."""
    peak = reference.max()
    return {"nmse": np.linalg.norm(reference - image) ** 2 / np.linalg.norm(reference) ** 2,
            "psnr": peak_signal_noise_ratio(reference, image, data_range=peak),
            "ssim": np.mean([structural_similarity(a, b, data_range=peak) for a, b in zip(reference, image)])}


@pytest.mark.parametrize("shape", [(3, 40, 33), (1, 7, 7), (2, 64, 8)])
@pytest.mark.parametrize("scale", [1, 1e-6, 1e5])
def test_all_are_fastmris(rng, shape, scale):
    reference, image = (scale * v for v in volume(rng, shape))
    expected = fastmri(reference, image)
    found = metrics.all(reference, image)
    assert found == {n: pytest.approx(v, rel=1e-6, abs=1e-6 if n == "ssim" else 0) for n, v in expected.items()}
    assert all(type(v) is float for v in found.values())


def test_single_precision_and_single_slices(rng):
    reference, image = volume(rng, dtype=np.float32)
    expected = fastmri(reference[:1].astype(float), image[:1].astype(float))
    assert metrics.all(reference[0], image[0]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("exponent", [-1060, -665, -100, 100, 664, 1015])
def test_a_common_scale_changes_no_bit(rng, exponent):
    """2^-1060 to 2^1015, about 1e-319 (with few digits left) to 1e305, where squares under- and overflow."""
    reference, image = (np.round(64 * abs(v) / v.max()) for v in volume(rng))
    region = metrics.body(reference)
    big = [np.ldexp(v, exponent) for v in (reference, image)]
    assert metrics.all(*big) == metrics.all(reference, image)
    assert metrics.all(*big, region=region) == metrics.all(reference, image, region=region)
    found = metrics.ssim(1j * big[0], big[1], data_range=float(np.ldexp(32.0, exponent)))
    assert found == metrics.ssim(reference, image, data_range=32)
    assert (metrics.body(big[0]) == region).all()


def test_single_precision_does_not_overflow():
    image = np.full((8, 8), 3e38 + 3e38j, np.complex64)
    assert metrics.nmse(image, image / 2) == pytest.approx(0.25, rel=1e-6)


def test_hand_values():
    reference, image = np.zeros((2, 8, 8)), np.zeros((2, 8, 8))
    reference[0], reference[1], image[0], image[1] = 2, 4, 2, 3
    assert metrics.nmse(reference, image) == 64 / (64 * 4 + 64 * 16)
    assert metrics.psnr(reference, image) == pytest.approx(10 * np.log10(16 / 0.5))
    assert metrics.psnr(reference, image, data_range=1) == pytest.approx(10 * np.log10(1 / 0.5))
    c1 = (0.01 * 4) ** 2
    assert metrics.ssim(reference, image) == pytest.approx((1 + (24 + c1) / (25 + c1)) / 2)
    # over the volume, not a mean over slices: there the first slice would be infinite
    assert metrics.psnr(reference[0], image[0]) == np.inf
    assert metrics.all(reference, reference) == {"nmse": 0, "psnr": np.inf, "ssim": pytest.approx(1)}


def test_data_range_is_the_volumes(rng):
    reference, image = volume(rng)
    assert metrics.ssim(reference[0], image[0], data_range=reference.max()) != metrics.ssim(reference[0], image[0])
    per_slice = [metrics.ssim(a, b, data_range=reference.max()) for a, b in zip(reference, image)]
    assert metrics.ssim(reference, image) == pytest.approx(np.mean(per_slice))


@pytest.mark.parametrize("convert", [
    torch.from_numpy, lambda x: torch.from_numpy(x).requires_grad_(), lambda x: x[:, ::-1].copy()[:, ::-1],
    lambda x: x.astype(">f8"), lambda x: x * np.exp(1j * np.linspace(0, 6, x.size)).reshape(x.shape)])
def test_kinds_of_arrays_agree(rng, convert):
    reference, image = (abs(v) for v in volume(rng))
    before = reference.copy()
    assert metrics.all(convert(reference), convert(image)) == pytest.approx(metrics.all(reference, image), rel=1e-9)
    assert (reference == before).all()


def test_region(rng):
    reference, image = volume(rng)
    region = np.zeros(reference.shape, bool)
    region[:, 5:20, 4:30] = True
    cut = (slice(None), slice(5, 20), slice(4, 30))
    assert metrics.nmse(reference, image, region=region) == pytest.approx(metrics.nmse(reference[cut], image[cut]))
    expected = metrics.psnr(reference[cut], image[cut], data_range=reference.max())
    assert metrics.psnr(reference, image, region=region[0]) == pytest.approx(expected)
    assert metrics.all(reference, image, region=torch.from_numpy(region))["psnr"] == pytest.approx(expected)


def test_body_of_a_ring(rng):
    y, x = np.mgrid[-32:32, -40:40]
    r = np.hypot(y, x)
    image = ((r > 15) & (r < 25)) + 0.02 * abs(rng.standard_normal(r.shape))
    image[2:4, 2:4] = 1  # a bright spot apart from the object
    found = metrics.body(np.stack([image, 1e-9 * image])[:, :, ::-1])
    assert found.shape == (2, 64, 80)
    assert (found[0][r < 23]).all()  # the hole is filled
    assert not found[0][r > 28].any()  # the rest, the spot included, is air
    assert not found[1].any()
    assert (metrics.body(image[:, ::-1] * 1j) == found[0]).all()


@pytest.mark.parametrize(("size", "coils", "noise"), [(96, 6, 0.03), (128, 8, 0.03), (64, 4, 0.06), (96, 1, 0.06)])
def test_body_above_the_noise_floor_of_a_root_sum_of_squares(size, coils, noise):
    """The floor of many coils is above 10 % of the image: the air was body, all of it."""
    truth = metrics.body(phantom.brain((size, size), coils, noise=0).image)
    noisy = io.Scan(phantom.brain((size, size), coils, noise=noise).kspace).rss()
    for image in (noisy, np.stack([0 * noisy, noisy])):  # an empty slice hides no floor
        found = metrics.body(image).reshape(-1, size, size)[-1]
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.97
        assert abs(found.mean() - truth.mean()) < 0.03


@pytest.mark.parametrize("picture", [
    lambda y, x: np.ones_like(x), lambda y, x: 0.1 + 0.9 * x, lambda y, x: 0.3 + 0.7 * x * y,
    lambda y, x: np.exp(-3 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)), lambda y, x: np.where(x > 0.5, 1, 0.45)])
def test_body_of_what_fills_the_image(picture):
    """Dark parts of an object are no noise floor."""
    y, x = np.mgrid[:96, :96] / 96
    assert metrics.body(picture(y, x)).all()


def test_body_of_a_real_head():
    reference = io.load(data_path("kspace/invivo_brain_cimax_16ch.h5")).reference
    found = metrics.body(reference)
    assert 0.3 < found.mean() < 0.7
    assert (reference[found] ** 2).sum() > 0.98 * (reference**2).sum()
    assert np.percentile(reference[~found], 99) < 0.1 * np.percentile(reference, 99)


good = np.ones((8, 8))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: metrics.nmse(good, np.ones((8, 9))), ValueError, r"image has shape \(8, 9\), reference \(8, 8\)"),
    (lambda: metrics.psnr(np.zeros((8, 8)), good), ValueError, "reference is zero everywhere"),
    (lambda: metrics.ssim(good, np.full((8, 8), np.nan)), ValueError, "image holds NaN"),
    (lambda: metrics.ssim(np.ones((6, 9)), np.ones((6, 9))), ValueError, "7x7"),
    (lambda: metrics.ssim(good, good, data_range=0), ValueError, "data_range must be > 0"),
    (lambda: metrics.psnr(-good, good), ValueError, "no positive value"),
    (lambda: metrics.nmse(np.ones(8), np.ones(8)), ValueError, "1 dimensions"),
    (lambda: metrics.nmse([[1.0]], [[1.0]]), TypeError, "reference must be a numpy"),
    (lambda: metrics.nmse(good, good, region=good), TypeError, "boolean"),
    (lambda: metrics.nmse(good, good, region=good[:4] > 0), ValueError, "region has shape"),
    (lambda: metrics.nmse(good, good, region=good > 1), ValueError, "False everywhere"),
    (lambda: metrics.nmse(np.eye(8), good, region=np.eye(8) == 0), ValueError, "inside region"),
    (lambda: metrics.body(np.zeros((8, 8))), ValueError, "zero everywhere"),
    (lambda: metrics.nmse(good, 1e200 * good), ValueError, "image and reference are more than .* one scale"),
    (lambda: metrics.nmse(1e-200 * good, 1e200 * good), ValueError, "image and reference are"),
    (lambda: metrics.psnr(good, good, data_range=1e-200), ValueError, "data_range and reference are"),
    (lambda: metrics.ssim(1e-200 * good, good * 0, data_range=1), ValueError, "data_range and reference are"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_fastmris_own_code_agrees(rng, monkeypatch):
    """evaluate.py of the package fastmri; its running statistics, which its definitions do not use, are left out."""
    monkeypatch.setitem(sys.modules, "runstats", types.SimpleNamespace(Statistics=None))
    evaluate = pytest.importorskip("fastmri.evaluate", reason="needs fastmri (--no-deps), pandas, PyYAML and requests")
    reference, image = volume(rng)
    found = metrics.all(reference, image)
    assert found == {n: pytest.approx(np.ravel(getattr(evaluate, n)(reference, image))[0], rel=1e-6) for n in found}
