"""Dithering: its formula, its noise, its mark, and that metrics refuse what carries it."""

import pickle

import numpy as np
import pytest
import torch
from helpers import refused
from scipy import ndimage

from pisolve import metrics, phantom
from pisolve.nets import DisplayOnly, dither


def image(shape=(48, 40), seed=0):
    return abs(phantom.brain(shape, 1, anatomy=seed).image).astype(np.float64)


def plain(x):
    return np.asarray(x)


def test_the_formula():
    x = 7 * image()
    for sigma, window in ((0.02, 11), (0.03, 5), (1.0, 1)):
        scaled = x / x.max()
        noise = np.random.default_rng(4).standard_normal(x.shape)
        expected = scaled + sigma * np.sqrt(ndimage.median_filter(scaled, (window, window))) * noise
        np.testing.assert_allclose(plain(dither(x, sigma, window=window, seed=4)), expected, rtol=1e-12, atol=1e-15)


def test_the_noise_follows_the_local_median():
    x = np.repeat([0.0, 0.25, 1.0], 120)[:, None] * np.ones(300)  # three stripes; at their borders medians mix
    noise = plain(dither(x, 0.05, seed=1)) - x
    assert not noise[:110].any(), "noise where the local median is 0"
    assert noise[130:230].std() == pytest.approx(0.05 * 0.5, rel=0.02)
    assert noise[250:].std() == pytest.approx(0.05, rel=0.02)
    assert abs(noise[250:].mean()) < 4 * 0.05 / np.sqrt(noise[250:].size)


def test_seeds_units_slices_and_kinds_of_array():
    x = np.stack([image(), 0.5 * image(seed=1)])
    kept = x.copy()
    once = dither(x, seed=3)
    assert isinstance(once, DisplayOnly)
    assert np.array_equal(once, dither(x, seed=3))
    assert not np.array_equal(once, dither(x, seed=4))
    assert np.array_equal(x, kept)
    np.testing.assert_allclose(plain(dither(1e-9 * x, seed=3)), plain(once), rtol=1e-12)
    np.testing.assert_array_equal(plain(dither(torch.from_numpy(x), seed=3)), plain(once))
    np.testing.assert_array_equal(plain(dither(x, 0)), x / x.max())
    np.testing.assert_allclose(plain(dither(x, 0)).max((1, 2)), [1, (x[1] / x.max()).max()])  # one peak for the volume
    assert dither(x.astype(np.float32)).dtype == np.float32
    assert dither((100 * x).astype(np.int16)).dtype == np.float64
    single, double = dither(x[0], 0.5, window=3, seed=3), dither(x, 0.5, window=3, seed=3)[0]
    np.testing.assert_allclose(plain(single), plain(double), rtol=1e-12)  # the median stays within a slice


CALLS = {"nmse": metrics.nmse, "psnr": metrics.psnr, "ssim": metrics.ssim, "all": metrics.all,
         "body": lambda a, b: metrics.body(a)}
DERIVED = {
    "itself": lambda d: d, "view": lambda d: d[1:], "copy": lambda d: d.copy(), "scaled": lambda d: 3 * d,
    "sum": lambda d: d + np.ones(d.shape), "type": lambda d: d.astype(np.float32), "complex": lambda d: d * 1j,
    "clipped": lambda d: np.clip(d, 0, 1), "turned": np.rot90,
    "pickled": lambda d: pickle.loads(pickle.dumps(d)),
}


@pytest.mark.parametrize("derived", DERIVED)
@pytest.mark.parametrize("call", CALLS)
def test_metrics_refuse_it(call, derived):
    marked = DERIVED[derived](dither(image()))
    with pytest.raises(TypeError, match="is display only"):
        CALLS[call](marked, plain(marked))
    if call != "body":
        with pytest.raises(TypeError, match="image is display only"):
            CALLS[call](plain(marked), marked)
    CALLS[call](plain(marked), plain(marked))  # the mark is what they refuse


X = image()
BAD = {
    "list": (lambda: dither([[1.0]]), TypeError, "image must be a numpy"),
    "complex": (lambda: dither(X + 0j), TypeError, "give abs(image)"),
    "negative": (lambda: dither(X - X.max()), ValueError, "image has values down to -"),
    "NaN": (lambda: dither(X * np.nan), ValueError, "NaN or Inf"),
    "zero": (lambda: dither(0 * X), ValueError, "image is zero everywhere"),
    "row": (lambda: dither(X[0]), ValueError, "image has 1 dimensions"),
    "sigma": (lambda: dither(X, -0.1), ValueError, "sigma must be >= 0"),
    "even window": (lambda: dither(X, window=10), ValueError, "window must be odd"),
    "seed": (lambda: dither(X, seed=0.5), TypeError, "seed must be a whole number"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    refused(*BAD[name])
