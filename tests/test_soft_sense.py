"""Soft SENSE: its formula, its relation to SENSE, its bound, and what the second set is for."""

import numpy as np
import pytest
import sigpy as sp

from pisolve import backend, linops
from pisolve.testing import check_linop, distance, random

MASKS = {"none": None, "ky": np.arange(12)[:, None] % 3 == 0, "kx": np.arange(9)[None] % 2 == 0,
         "points": np.random.default_rng(1).random((12, 9)) < 0.4}


def by_formula(mps, mask, x):
    """M F sum_s S_s x_s with SigPy's FFT."""
    y = sp.fft((mps * x[:, None]).sum(0), axes=(-2, -1))
    return y if mask is None else y * mask


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("sets", [1, 2, 3])
def test_is_its_formula(sets, mask, rng):
    mps, x = random((sets, 4, 12, 9), rng, "complex128"), random((sets, 12, 9), rng, "complex128")
    A = linops.soft_sense(mps, MASKS[mask])
    y = by_formula(mps, MASKS[mask], x)
    assert distance(A(x), y) < 1e-13
    back = sp.ifft(y if MASKS[mask] is None else y * MASKS[mask], axes=(-2, -1))
    assert distance(A.H(y), (mps.conj() * back).sum(1)) < 1e-13
    assert distance(A.N(x), (mps.conj() * back).sum(1)) < 1e-12


@pytest.mark.parametrize("mask", MASKS)
def test_one_set_is_sense(mask, rng):
    mps, x = random((3, 12, 9), rng), random((12, 9), rng)
    soft, plain = linops.soft_sense(mps[None], MASKS[mask]), linops.sense(mps, MASKS[mask])
    assert distance(soft(x[None]), plain(x)) < 1e-6
    assert distance(soft.H(plain(x))[0], plain.H(plain(x))) < 1e-6
    assert distance(soft.N(x[None])[0], plain.N(x)) < 1e-6
    assert soft.norm_bound() == pytest.approx(plain.norm_bound(), rel=1e-5)


def test_slices_have_their_own_maps_masks_and_weights(rng):
    mps, x = random((2, 3, 4, 12, 9), rng), random((2, 3, 12, 9), rng)
    mask, weights = rng.random((2, 12, 9)) < 0.5, rng.random((2, 12, 9)) + 0.1
    whole = linops.soft_sense(mps, mask, weights)
    y = whole(x)
    for z in range(2):
        one = linops.soft_sense(mps[z], mask[z], weights[z])
        assert distance(y[z], one(x[z])) < 1e-6
        assert distance(whole.N(x)[z], one.N(x[z])) < 1e-6


@pytest.mark.parametrize("mask", [None, "points"])
def test_the_bound_holds_and_is_tight(mask, rng):
    mps = random((2, 5, 12, 9), rng, "complex128")
    bound = linops.soft_sense(mps, MASKS[mask or "none"]).norm_bound()
    exact = np.linalg.svd(np.moveaxis(mps, (0, 1), (-1, -2)), compute_uv=False).max()
    assert bound == pytest.approx(exact, rel=2e-6)
    assert np.linalg.norm(linops.dense(linops.soft_sense(mps, MASKS[mask or "none"])), 2) <= bound
    basis = np.linalg.qr(np.moveaxis(mps, (0, 1), (-1, -2)))[0]  # orthonormal at every pixel, as ESPIRiT's maps
    assert linops.soft_sense(np.moveaxis(basis, (-1, -2), (0, 1))).norm_bound() == pytest.approx(1, rel=2e-6)


@pytest.mark.parametrize("shape", [(2, 3, 12, 9), (2, 2, 3, 12, 9)])
def test_runs_on_torch_and_large_images(shape, rng):
    torch = pytest.importorskip("torch")
    mps = random(shape, rng)
    A = linops.soft_sense(torch.from_numpy(mps), MASKS["points"])
    check_linop(A, dtype="complex64")
    x = random(A.ishape, rng)
    assert distance(A(torch.from_numpy(x)), A(x)) == 0
    big = linops.soft_sense(random((2, 5, 150, 131), rng), MASKS["points"].repeat(20, 0).repeat(20, 1)[:150, :131])
    check_linop(big, dtype="complex64")


def test_a_first_set_of_zeros_is_no_error(rng):
    mps = random((2, 3, 12, 9), rng)
    mps[0] = 0
    x = random((2, 12, 9), rng)
    assert distance(linops.soft_sense(mps)(x), linops.sense(mps[1])(x[1])) < 1e-6


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_combine_sets(kind, rng):
    x = random((3, 2, 5, 4), rng)
    x[0, 0, 1, 2] = 0
    x[1, :, 1, 2] = 0
    if kind == "torch":
        x = pytest.importorskip("torch").from_numpy(x)
    image = linops.combine_sets(x)
    assert type(image) is type(x)
    image, x = backend.to_numpy(image), backend.to_numpy(x)
    assert image.dtype == x.dtype
    np.testing.assert_allclose(abs(image), np.linalg.norm(x, axis=-3), rtol=1e-6)
    set_ = x[:, 0] != 0
    np.testing.assert_allclose(np.angle(image[set_]), np.angle(x[:, 0][set_]), atol=1e-5)
    assert image[0, 1, 2] == abs(x[0, 1, 1, 2])
    assert image[1, 1, 2] == 0
    assert (linops.combine_sets(x[:, :1]) == linops.combine_sets(x[:, :1])).all()


M = random((2, 3, 6, 5), np.random.default_rng(0))
NAN = M.copy()
NAN[1, 2, 3, 4] = np.nan
BAD = {
    "three axes": (lambda: linops.soft_sense(M[0]), ValueError, "mps has 3 dimensions"),
    "nan": (lambda: linops.soft_sense(NAN), ValueError, "mps holds NaN"),
    "zero": (lambda: linops.soft_sense(0 * M), ValueError, "mps is zero"),
    "huge": (lambda: linops.soft_sense(M * np.float32(1e20)), ValueError, "mps has a size"),
    "list": (lambda: linops.soft_sense([1, 2]), TypeError, "mps must be"),
    "mask of other size": (lambda: linops.soft_sense(M, np.ones((5, 5))), ValueError, "mask has shape"),
    "mask of nothing": (lambda: linops.soft_sense(M, np.zeros((6, 5))), ValueError, "mask is zero"),
    "weights": (lambda: linops.soft_sense(M, None, -np.ones((6, 5))), ValueError, "weights must be finite and >= 0"),
    "image of one set": (lambda: linops.soft_sense(M)(M[0, 0]), ValueError, "takes shape"),
    "combine": (lambda: linops.combine_sets(M[0, 0]), ValueError, "x has shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()
