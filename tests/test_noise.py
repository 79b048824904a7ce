"""Noise covariance and whitening against the definition, a known covariance and BART."""

import numpy as np
import pytest
from helpers import bart

from pisolve import calib
from pisolve.backend import to_numpy
from pisolve.io import cfl

C = 8


def white(shape, seed=0):
    """Complex noise with E |n|^2 = 1."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


MIX = white((C, C), 5) * np.logspace(-2, 2, C)[:, None]  # gains over four decades
NOISE = (MIX @ white((C, 4000), 1)).astype(np.complex64)
KSPACE = (MIX @ white((C, 40 * 500), 2)).reshape(C, 40, 500).astype(np.complex64)


def test_covariance_is_the_mean_of_outer_products():
    expected = NOISE.astype(np.complex128)
    expected = expected @ expected.conj().T / 4000
    psi = calib.noise_covariance(NOISE)
    assert psi.dtype == np.complex128
    np.testing.assert_allclose(psi, expected, rtol=1e-10)
    assert (psi == psi.conj().T).all()
    np.testing.assert_array_equal(psi, calib.noise_covariance(NOISE.reshape(C, 40, 100)))
    offset = calib.noise_covariance(np.ones((2, 50), np.complex64) + white((2, 50)))
    assert offset[0, 1].real > 0.5, "a mean is not taken off"


def test_covariance_in_pieces_is_the_same(monkeypatch):
    import sys
    monkeypatch.setattr(sys.modules["pisolve.calib.noise"], "CHUNK", 300)
    whole = NOISE.astype(np.complex128)
    np.testing.assert_allclose(calib.noise_covariance(NOISE), whole @ whole.conj().T / 4000, rtol=1e-10)


def test_covariance_estimates_the_truth():
    psi, truth = calib.noise_covariance(NOISE), MIX @ MIX.conj().T
    level = np.sqrt(np.outer(truth.diagonal().real, truth.diagonal().real))
    assert abs((psi - truth) / level).max() < 0.07  # 1 / sqrt(4000) = 0.016, the largest of 64


@pytest.mark.parametrize("scale", [1, 1e-15, 1e15])
def test_whitened_noise_has_the_identity_as_covariance(scale):
    """Within 5 % from 4000 samples, on other noise; to rounding on the samples themselves."""
    noise, kspace = NOISE * np.float32(scale), KSPACE * np.float32(scale)
    again = calib.noise_covariance(calib.prewhiten(noise, noise))
    assert abs(again - np.eye(C)).max() < 1e-5
    other = calib.noise_covariance(calib.prewhiten(kspace, noise).reshape(C, -1))
    assert abs(other - np.eye(C)).max() < 0.05


def test_whitening_matrix_inverts_the_covariance():
    psi = calib.noise_covariance(NOISE)
    W = calib.whitening_matrix(psi)
    np.testing.assert_allclose(W @ psi @ W.conj().T, np.eye(C), atol=1e-10)
    np.testing.assert_allclose(W, np.linalg.inv(np.linalg.cholesky(psi)), rtol=1e-8, atol=1e-10 * abs(W).max())
    assert (np.triu(W, 1) == 0).all()


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_prewhitening_takes_any_leading_axes(lead, dtype):
    kspace = white((*lead, C, 6, 5), 3).astype(dtype)
    before = kspace.copy()
    W = calib.whitening_matrix(calib.noise_covariance(NOISE))
    out = calib.prewhiten(kspace, NOISE)
    expected = np.einsum("vc,...cyx->...vyx", W, kspace)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5 * abs(expected).max())
    np.testing.assert_array_equal(calib.prewhiten(kspace, calib.noise_covariance(NOISE)), out)
    np.testing.assert_array_equal(kspace, before)


def test_torch():
    torch = pytest.importorskip("torch")
    psi = calib.noise_covariance(torch.from_numpy(NOISE))
    out = calib.prewhiten(torch.from_numpy(KSPACE), psi)
    assert isinstance(out, torch.Tensor)
    np.testing.assert_allclose(to_numpy(out), calib.prewhiten(KSPACE, NOISE), rtol=1e-3, atol=1e-4)


def test_equals_bart(tmp_path):
    noise = (white((C, C), 4) + 2 * np.eye(C)) @ white((C, 4000), 6)  # BART computes in single precision
    bart(tmp_path, "whiten", "-n", "k", "n", "out", k=KSPACE[:, None], n=noise.reshape(C, 1, 40, 100))
    ours = calib.prewhiten(KSPACE, noise)
    theirs = cfl.read(tmp_path / "out").reshape(ours.shape)
    ratio = np.vdot(theirs, ours) / np.vdot(theirs, theirs)
    assert np.linalg.norm(ours - ratio * theirs) < 1e-3 * np.linalg.norm(ours)
    assert abs(abs(ratio) - 1) < 1e-3


def coils(psi, *which):
    out = psi.copy()
    for c in which:
        out[c] = out[:, c] = 0
    return out


PSI = calib.noise_covariance(NOISE)
TWIN = np.concatenate([NOISE, NOISE[2:3]])
NAN = NOISE.copy()
NAN[3, 7] = np.nan
BAD = {
    "dead coil": (lambda: calib.whitening_matrix(coils(PSI, 2, 5)), "coils 2, 5 have no noise .* dead"),
    "duplicate": (lambda: calib.whitening_matrix(calib.noise_covariance(TWIN)), "coils 2, 8 repeat"),
    "few samples": (lambda: calib.noise_covariance(NOISE[:, :5]), "5 samples of 8 coils"),
    "not square": (lambda: calib.whitening_matrix(PSI[:3]), "covariance has shape"),
    "not Hermitian": (lambda: calib.whitening_matrix(white((4, 4))), "not Hermitian"),
    "negative": (lambda: calib.whitening_matrix(-PSI), "negative variance"),
    "indefinite": (lambda: calib.whitening_matrix(np.array([[1, 2], [2, 1]], complex)), "negative eigenvalue"),
    "nan": (lambda: calib.noise_covariance(NAN), "NaN"),
    "zero": (lambda: calib.noise_covariance(0 * NOISE), "zero everywhere"),
    "one axis": (lambda: calib.noise_covariance(NOISE[0]), "dimensions"),
    "other coils": (lambda: calib.prewhiten(KSPACE[:3], NOISE), "noise has 8 coils, kspace 3"),
    "kspace of one axis": (lambda: calib.prewhiten(KSPACE[0, 0], NOISE), "kspace has 1 dimensions"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    run, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        run()
