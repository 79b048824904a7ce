"""ESPIRiT of volumes: SigPy, the definition, BART, laws, memory."""

import sys
import tracemalloc

import numpy as np
import pytest
import sigpy as sp
import sigpy.mri as mr
from helpers import difference, ecalib, simulate, support

from pisolve.calib import _espirit_kernels, calibration_region, espirit
from pisolve.calib.region import region

SMALL = {"ndim": 3, "calib_width": 12, "kernel_width": 4}
SHAPE = (18, 28, 23)


@pytest.fixture(scope="module")
def kspace():
    return simulate(5, SHAPE)


@pytest.fixture(scope="module")
def mps(kspace):
    return espirit(kspace, **SMALL)


def test_equals_sigpy():
    kspace = simulate(4, (14, 16, 12))
    ours = espirit(kspace, crop=0.95, **SMALL)
    half, full = (mr.app.EspiritCalib(kspace, calib_width=12, kernel_width=4, crop=0.95, max_iter=n,
                                      show_pbar=False).run() for n in (50, 100))
    settled = np.linalg.norm(half - full, axis=0) < 1e-5
    assert settled.mean() > 0.9
    assert difference(ours, full, settled) < 1e-4
    assert ((support(ours) != support(full)) & settled).sum() <= 2


def test_equals_the_definition(kspace):
    """G(r) voxel by voxel from the SVD of the calibration matrix, in double precision."""
    c, *grid = kspace.shape
    A = sp.array_to_blocks(sp.resize(kspace.astype(complex), (c, 12, 12, 12)), [4] * 3, [1] * 3)
    A = A.reshape(c, -1, 64).transpose(1, 0, 2)
    _, s, VH = np.linalg.svd(A.reshape(len(A), -1), full_matrices=False)
    V = VH[s > 0.02 * s[0]].reshape(-1, c, 4, 4, 4)
    mps, lam = espirit(kspace.astype(complex), sets=2, eigenvalues=True, crop=0.5, **SMALL)
    assert mps.shape == (2, *kspace.shape)
    assert lam.shape == (2, *grid)
    tap = np.arange(4)
    for at in [(9, 14, 11), (0, 0, 0), (3, 20, 7), (17, 5, 22)]:
        waves = [np.exp(2j * np.pi * (r - n // 2) * tap / n) for r, n in zip(at, grid)]
        K = np.einsum("vczyx,z,y,x->cv", V, *waves) / 8
        values, v = np.linalg.eigh(K @ K.conj().T)
        np.testing.assert_allclose(lam[(slice(None), *at)], values[:-3:-1], atol=1e-9)
        for j in range(2):
            one = mps[(j, slice(None), *at)]
            expected = np.outer(v[:, -1 - j], v[:, -1 - j].conj()) * (values[-1 - j] > 0.5)
            np.testing.assert_allclose(np.outer(one, one.conj()), expected, atol=1e-8)


def test_near_bart(kspace, mps, tmp_path):
    theirs = ecalib(kspace, tmp_path, "-c0.8", kernel=4, width=12)
    assert (support(mps) & support(theirs)).sum() > 0.97 * support(theirs).sum()
    assert difference(mps, theirs) < 3e-2


def test_a_volume_that_repeats_is_its_slices():
    """An object that is constant along z has all its k-space in one plane; then 3-D gives what 2-D gives."""
    slice_ = sp.resize(simulate(4, (16, 28, 23), noise=0)[:, 8], (4, 28, 23))
    image = np.repeat(slice_[:, None], 16, 1)
    kspace = sp.fft(image, axes=(1,)).astype(np.complex64)
    flat = espirit(slice_, calib_width=12, kernel_width=4)
    deep = espirit(kspace, mask=np.ones((1, 1, 1)), **SMALL)
    for z in (0, 8, 15):
        assert difference(deep[:, z], flat) < 0.02


def test_kept_part_of_large_spectra_equals_all_of_it(kspace, mps, monkeypatch):
    """Slabs and the partial eigendecomposition against the whole calibration matrix and all its eigenvectors."""
    centre = sp.resize(kspace, (5, 12, 12, 12)).astype(complex)
    whole = _espirit_kernels.correlations(centre, 4, 0.02)
    monkeypatch.setattr(_espirit_kernels, "SLAB", 1000)
    monkeypatch.setattr(_espirit_kernels, "WHOLE", 10)
    parts = _espirit_kernels.correlations(centre, 4, 0.02)
    assert np.linalg.norm(parts - whole) < 1e-10 * np.linalg.norm(whole)
    np.testing.assert_allclose(espirit(kspace, **SMALL), mps, atol=1e-5)


def test_kinds_phases_and_planes(kspace, mps, monkeypatch):
    torch = pytest.importorskip("torch")
    assert mps.shape == kspace.shape
    assert mps.dtype == np.complex64
    assert (espirit(torch.from_numpy(kspace), **SMALL).numpy() == mps).all()
    np.testing.assert_allclose((abs(mps) ** 2).sum(0)[support(mps)], 1, rtol=1e-5)
    order = [3, 0, 4, 1, 2]
    turned = espirit(kspace[order], **SMALL)
    same = support(turned) & support(mps)
    assert (support(turned) != support(mps)).sum() <= 4
    np.testing.assert_allclose(turned[:, same], mps[order][:, same], atol=5e-4)
    monkeypatch.setattr(sys.modules["pisolve.calib.espirit"], "parallel",
                        lambda work, items: [work(i) for i in reversed(list(items))])
    assert (espirit(kspace, **SMALL) == mps).all()


def test_calibration_from_what_is_sampled(kspace, mps):
    mask = np.zeros(kspace.shape[1:], bool)
    mask[4:14, 6:22, :] = True
    with pytest.raises(ValueError, match="kspace needs at least 6 x 6 x 6"):
        espirit(kspace * (abs(np.arange(18) - 9) < 2)[:, None, None], ndim=3, kernel_width=6)
    assert (espirit(kspace, mask=mask, **SMALL) == espirit(kspace * mask, **SMALL)).all()
    assert difference(espirit(kspace, mask=mask, **SMALL), mps) < 0.1
    part = sp.resize(kspace, (5, 12, 12, 12))
    assert (espirit(kspace, calib=part, **SMALL) == mps).all()
    assert np.isfinite(espirit(kspace, ndim=3)).all()
    with pytest.raises(ValueError, match="holds NaN"):
        espirit(np.where(np.arange(23) == 4, np.nan, kspace), ndim=3)


@pytest.mark.parametrize("ndim", [2, 3])
def test_region_is_the_best_block(ndim, rng):
    """Against every block, one by one."""
    for _ in range(10):
        shape = tuple(rng.integers(7, 14, ndim))
        mask = rng.random(shape) > 0.003
        sides = np.stack(np.meshgrid(*[np.arange(3, min(9, n) + 1) for n in shape], indexing="ij"), -1)
        best = max((int(np.prod(np.array(s) - 2)) for s in sides.reshape(-1, ndim)
                    if sp.resize(mask.astype(int), s).all()), default=0)
        if best:
            assert np.prod(np.array(region("mask", mask, 9, (3,) * ndim)) - 2) == best
            if ndim == 2:
                assert np.prod(np.array(calibration_region(mask, calib_width=9, kernel_width=3)) - 2) == best


def test_memory():
    """Less than two further copies of the input, far below coils^2 images."""
    kspace = simulate(16, (32, 64, 48))
    tracemalloc.start()
    espirit(kspace, ndim=3, calib_width=8, kernel_width=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * kspace.nbytes
