"""Several sets of ESPIRiT maps: LAPACK, BART, the definition, laws, and an object larger than its field of view."""

import h5py
import numpy as np
import pytest
import sigpy as sp
from conftest import data_path
from helpers import LAWS, ecalib, simulate, support

import pisolve as pi
from pisolve import linops, masks, phantom
from pisolve.backend import fft
from pisolve.calib import espirit
from pisolve.calib._eig import leading


def wrapped(kspace):
    """Every second line: the object is larger than the field of view, which is fully sampled."""
    return np.ascontiguousarray(kspace[:, ::2])


def projected(mps, images):
    """S S^H images for maps (set, coil, y, x)."""
    return (mps * (mps.conj() * images).sum(1)[:, None]).sum(0)


def projector(mps):
    """S S^H at every pixel, (y, x, coil, coil)."""
    return np.einsum("scyx,sdyx->yxcd", mps, mps.conj())


@pytest.fixture(scope="module")
def kspace():
    return wrapped(phantom.brain((96, 80), 8, noise=0.002, seed=1).kspace)


@pytest.fixture(scope="module")
def mps(kspace):
    return espirit(kspace, sets=2)


# ---- eigenpairs

@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize(("c", "k"), [(2, 2), (5, 2), (8, 3), (24, 2)])
def test_leading_is_lapack(c, k, dtype, rng):
    n = 120
    Q = np.linalg.qr(rng.standard_normal((n, c, c)) + 1j * rng.standard_normal((n, c, c)))[0]
    values = np.sort(rng.random((n, c)) * np.repeat([0.1, 0.5, 1], n // 3)[:, None], axis=1)
    values[::3, -k:] = 1 - 0.01 * rng.random((n // 3, k))  # close to each other, far from the rest
    values[::3] = np.sort(values[::3], axis=1)
    G = ((Q * values[:, None]) @ Q.conj().swapaxes(1, 2)).astype(dtype)
    G[0] = 0
    tol = 1e-5 if dtype == np.complex64 else 1e-10
    eps = np.finfo(dtype).eps
    before = G.copy()
    expected, vectors = np.linalg.eigh(G.astype(complex))
    expected, vectors = expected[:, ::-1], vectors[:, :, ::-1]
    for floor in (0.0, 0.4, 0.9):
        lam, v = leading(G, k, floor=floor, tol=tol)
        wanted = expected[:, :k] > floor
        np.testing.assert_allclose(lam[wanted], expected[:, :k][wanted], rtol=500 * eps)
        assert (lam[~wanted] <= floor + 1e-5).all()
        for i in range(1, n):
            m = wanted[i].sum()
            if not m:
                continue
            rest = v[i, :m] - (v[i, :m] @ vectors[i, :, :m].conj()) @ vectors[i, :, :m].T
            gap = expected[i, m - 1] - (expected[i, m] if m < c else 0)
            assert np.linalg.norm(rest, 2) < 2 * tol + 50 * eps / gap
            np.testing.assert_allclose(v[i, :m].conj() @ v[i, :m].T, np.eye(m), atol=50 * eps)
            np.testing.assert_allclose(G[i] @ v[i, :m].T, v[i, :m].T * lam[i, :m], atol=3 * tol)
    np.testing.assert_array_equal(G, before)


def test_equals_the_definition(kspace):
    """G(r) pixel by pixel from the SVD of the calibration matrix, in double precision."""
    kspace = kspace.astype(complex)
    c, ny, nx = kspace.shape
    A = sp.array_to_blocks(sp.resize(kspace, (c, 24, 24)), [6, 6], [1, 1]).reshape(c, -1, 36).transpose(1, 0, 2)
    _, s, VH = np.linalg.svd(A.reshape(len(A), -1), full_matrices=False)
    V = VH[s > 0.02 * s[0]].reshape(-1, c, 6, 6)
    tap = np.arange(6)
    mps, lam = espirit(kspace, sets=3, eigenvalues=True)
    assert mps.shape == (3, c, ny, nx)
    assert lam.shape == (3, ny, nx)
    assert lam.dtype == np.float64
    for y, x in [(ny // 2, nx // 2), (0, nx // 2), (4, 40), (44, 33), (0, 0), (20, 3)]:
        wave = np.exp(2j * np.pi * ((y - ny // 2) * tap[:, None] / ny + (x - nx // 2) * tap / nx))
        K = (V * wave).sum((2, 3)).T / 6
        values, v = np.linalg.eigh(K @ K.conj().T)
        np.testing.assert_allclose(lam[:, y, x], values[:-4:-1], atol=1e-9)
        for j in range(3):
            inside = values[-1 - j] > 0.8
            np.testing.assert_allclose(np.outer(mps[j, :, y, x], mps[j, :, y, x].conj()),
                                       np.outer(v[:, -1 - j], v[:, -1 - j].conj()) * inside, atol=1e-8)


# ---- laws

def test_shapes_and_the_first_set(kspace, mps):
    one, lam = espirit(kspace, eigenvalues=True)
    assert mps.shape == (2, *kspace.shape)
    assert mps.dtype == kspace.dtype
    assert lam.shape == kspace.shape[1:]
    assert (one == espirit(kspace)).all()
    both = espirit(kspace, sets=2, eigenvalues=True)[1]
    apart = both[0] - both[1] > 0.02  # the closer two eigenvalues, the less their vectors are determined
    assert apart.mean() > 0.5
    np.testing.assert_allclose(mps[0][:, apart], one[:, apart], atol=1e-3)
    volume = espirit(np.stack([kspace, 3 * kspace[::-1]]), sets=2)
    assert volume.shape == (2, 2, *kspace.shape)
    assert (volume[0] == mps).all()


def test_sets_are_orthonormal_and_cut_by_their_own_eigenvalue(kspace, mps):
    lam = espirit(kspace, sets=2, eigenvalues=True)[1]
    assert (lam[0] >= lam[1]).all()
    assert lam.min() > -1e-6
    assert lam.max() < 1 + 1e-5
    assert 0.05 < support(mps[1]).mean() < 0.9
    for s in range(2):
        assert (support(mps[s]) != (lam[s] > 0.8)).sum() <= 1
    gram = np.einsum("scyx,tcyx->yxst", mps.conj(), mps)
    np.testing.assert_allclose(gram, np.eye(2) * support(mps[1])[..., None, None] + (
        np.diag([1, 0]) * (support(mps[0]) & ~support(mps[1]))[..., None, None]), atol=1e-5)


def test_soft_crop_weights_each_set(kspace):
    mps, lam = espirit(kspace, sets=2, soft_crop=True, eigenvalues=True)
    t = np.clip((np.sqrt(np.maximum(lam, 0)) - 0.8) / 0.2, -1, 1)
    np.testing.assert_allclose(np.linalg.norm(mps, axis=1), (1 + t) ** 2 / (2 + 2 * t * t), atol=1e-4)


LAWS = LAWS | {"duplicate coil": (lambda k: np.concatenate([k, k[:1]]), lambda s: None)}


@pytest.mark.parametrize("law", LAWS)
def test_law(law, kspace, mps):
    change, expected = LAWS[law]
    ours, expected = espirit(change(kspace), sets=2), expected(mps)
    assert np.isfinite(ours).all()
    if law == "duplicate coil":
        np.testing.assert_allclose(ours[:, -1], ours[:, 0], atol=1e-5)
        return
    same = (support(ours[0]) == support(expected[0])) & (support(ours[1]) == support(expected[1]))
    assert (~same).sum() <= 2
    np.testing.assert_allclose(projector(ours)[same], projector(expected)[same], atol=2e-4)
    turned = (ours.conj() * expected).sum(1)[:, same & support(mps[1])]
    assert np.percentile(abs(turned - 1), 95) < 0.01


def test_torch_and_threads(kspace, mps, monkeypatch):
    torch = pytest.importorskip("torch")
    ours, lam = espirit(torch.from_numpy(kspace), sets=2, eigenvalues=True)
    assert isinstance(lam, torch.Tensor)
    np.testing.assert_allclose(projector(ours.numpy()), projector(mps), atol=1e-4)
    import sys
    monkeypatch.setattr(sys.modules["pisolve.calib.espirit"], "parallel",
                        lambda work, items: [work(i) for i in reversed(list(items))])
    assert (espirit(kspace, sets=2) == mps).all()


def test_no_second_set_where_there_is_none():
    mps = espirit(simulate(), sets=2)
    assert support(mps[1]).mean() < 0.05


def test_spans_are_barts(kspace, tmp_path):
    ours = espirit(kspace, sets=2)
    theirs = ecalib(kspace, tmp_path, "-c0.8", maps=2)
    same = (support(ours[0]) == support(theirs[0])) & (support(ours[1]) == support(theirs[1]))
    assert same.mean() > 0.97
    P, Q = projector(ours)[same], projector(theirs)[same]
    assert np.linalg.norm(P - Q) < 0.02 * np.linalg.norm(Q)


# ---- an object larger than its field of view

def residuals(kspace, sets):
    """Of the maps ||(1 - S S^H) images|| / ||images||, of CG-SENSE ||A x - y|| / ||y|| on all samples."""
    lines = masks.equispaced(kspace.shape, 2, 24 / kspace.shape[1], axis=-2)
    S = espirit(kspace * lines, sets=sets)
    S = S if sets > 1 else S[None]
    images = fft(kspace, (-2, -1), inverse=True)
    result = pi.solve(linops.soft_sense(S, lines), kspace * lines, 1e-6 * pi.Tikhonov(), max_iter=60, tol=1e-6)
    return (np.linalg.norm(images - projected(S, images)) / np.linalg.norm(images),
            np.linalg.norm(linops.soft_sense(S)(result.x) - kspace) / np.linalg.norm(kspace))


def test_second_set_takes_what_is_beyond_the_field_of_view():
    """Simulated, hardly any noise: both residuals fall to less than a third."""
    kspace = wrapped(phantom.brain((128, 128), 16, noise=1e-4, seed=1).kspace)
    one, two = residuals(kspace, 1), residuals(kspace, 2)
    assert two[0] < one[0] / 3
    assert two[1] < one[1] / 3


@pytest.mark.parametrize("name", ["phantom", "invivo_brain"])
def test_second_set_takes_what_is_beyond_the_field_of_view_in_real_scans(name):
    """Noise and what else no maps explain is in these scans at their full field of view, too (one set, all samples).
    Above this floor less than a third is left."""
    with h5py.File(data_path(f"kspace/{name}_cimax_16ch.h5")) as file:
        kspace = file["kspace"][0]
    images, S = fft(kspace, (-2, -1), inverse=True), espirit(kspace)[None]
    floor = np.linalg.norm(images - projected(S, images)) / np.linalg.norm(images)
    one, two = residuals(wrapped(kspace), 1), residuals(wrapped(kspace), 2)
    assert two[0] < one[0] / 1.5
    assert two[1] < one[1] / 1.5
    assert max(two[0] ** 2 - floor**2, 0) < (one[0] ** 2 - floor**2) / 9
