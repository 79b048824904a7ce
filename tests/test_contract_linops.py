"""Every linop of the table obeys the laws, in both precisions, on numpy and torch."""

import numpy as np
import pytest
import pywt
import scipy.fft
import sigpy.mri
import torch
from cases import LINOPS, maps

import pisolve as pi
from pisolve import linops, testing
from pisolve.linops.wavelet import _off_orthonormal

ALL = pytest.mark.parametrize("name", LINOPS)


@ALL
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_laws(name, dtype):
    testing.check_linop(LINOPS[name](dtype), dtype=dtype)


@ALL
def test_norm_is_bounded(name):
    testing.check_opnorm(LINOPS[name]("complex128"))


@ALL
def test_torch_gradients(name):
    testing.check_torch(LINOPS[name]("complex128"))


@ALL
def test_wrong_shapes_are_refused(name):
    A = LINOPS[name]("complex128")
    if not isinstance(A, linops.Linop):
        pytest.skip("a composition made by SigPy, whose own checks apply")
    for shape in ((*A.ishape, 1), A.ishape[:-1] or (1, 1), [n + 1 for n in A.ishape]):
        with pytest.raises(ValueError, match="takes shape"):
            A(np.ones(shape, complex))


@ALL
def test_strides_and_read_only_input(name, rng):
    A = LINOPS[name]("complex128")
    x = testing.random(A.ishape, rng, "complex128")
    flipped = x[::-1].copy()[::-1]
    flipped.setflags(write=False)
    np.testing.assert_array_equal(A(flipped), A(x))


def test_a_planted_wrong_adjoint_is_caught():
    class Wrong(linops.Linop):
        def _apply(self, x):
            return np.roll(x, 1)

        def _adjoint_linop(self):
            return self

    with pytest.raises(AssertionError, match="dot test"):
        testing.check_linop(Wrong((8,), (8,)), dtype="complex128")


@pytest.mark.parametrize(("fault", "law"), [
    (lambda x: x, "memory"), (lambda x: x.__iadd__(1), "linearity|changed"), (lambda x: 2 * x.real + 0j, "linearity"),
    (lambda x: x.astype("complex64"), "dtypes"), (lambda x: x[:-1], "shape")])
def test_faulty_operators_are_caught(fault, law):
    class Faulty(linops.Linop):
        def _apply(self, x):
            return fault(x)

        def _adjoint_linop(self):
            return self

    with pytest.raises(AssertionError, match=law):
        testing.check_linop(Faulty((6,), (6,)), dtype="complex128", dense=False)


@pytest.mark.parametrize("mask", [None, "ky", "kx", "points"])
@pytest.mark.parametrize("shape", [(4, 16, 12), (9, 15, 10), (1, 7, 7)])
def test_sense_equals_sigpy(shape, mask, rng):
    mps = maps(*shape, dtype="complex64")
    m = {None: None, "ky": rng.random((shape[1], 1)) < 0.5, "kx": rng.random((1, shape[2])) < 0.5,
         "points": rng.random(shape[1:]) < 0.5}[mask]
    A = linops.sense(mps, m)
    B = sigpy.mri.linop.Sense(mps, weights=None if m is None else np.broadcast_to(m, shape[1:]).astype("float32"))
    x = testing.random(A.ishape, rng)
    y = testing.random(A.oshape, rng)
    for ours, theirs in ((A(x), B(x)), (A.H(y), B.H(y)), (A.N(x), B.N(x))):
        assert testing.distance(ours, theirs) < 1e-6


@pytest.mark.parametrize(("mask", "axes"), [
    (np.ones((6, 8), bool), ()), (np.eye(6, 8)[:, :1] + np.zeros((6, 8)) > 0, (-2,)),
    (np.arange(8)[None, :] % 2 == 0, (-1,)), (np.eye(6, 8) > 0, (-2, -1))])
def test_sense_transforms_only_the_axes_that_the_mask_needs(mask, axes, monkeypatch):
    A = linops.sense(maps(2, 6, 8), mask)
    assert A.varying_axes == axes
    used = []
    real = scipy.fft.fftn
    monkeypatch.setattr(scipy.fft, "fftn", lambda x, axes, **k: used.append(axes) or real(x, axes=axes, **k))
    A.N(np.ones((6, 8), complex))
    assert set(used) == ({axes} if axes else set())


def test_sense_does_not_depend_on_the_number_of_threads(monkeypatch, rng):

    A = linops.sense(maps(13, 24, 20, dtype="complex64"), rng.random((24, 1)) < 0.4)
    x = testing.random(A.ishape, rng)
    many = A.N(x)
    monkeypatch.setattr("pisolve.backend._threads._available", lambda: 1)
    np.testing.assert_array_equal(A.N(x), many)


@pytest.mark.parametrize("name", ["haar", "db2", "db4", "sym4", "coif1"])
@pytest.mark.parametrize("n", [8, 15, 20, 31, 64])
def test_wavelet_is_orthonormal_at_every_size(name, n, rng):
    W = linops.wavelet((n, n + 3), name)
    x = testing.random(W.ishape, rng, "complex128")
    tol = 1e-11 if name == "sym4" else 1e-14  # PyWavelets' table of sym4 holds 12 digits
    assert testing.distance(W.H(W(x)), x) < tol
    assert testing.distance(W(W.H(x)), x) < tol


FAMILIES = [name for name in pywt.wavelist(kind="discrete") if pywt.Wavelet(name).orthogonal]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_wavelet_that_is_taken_is_orthonormal(name, rng):
    """PyWavelets calls dmey orthogonal, whose filters are so to 2e-3 only."""
    if name == "dmey":
        with pytest.raises(ValueError, match=r"'dmey' is orthogonal in name only.* 2\.2e-03: take for example 'sym8'"):
            linops.wavelet((16, 12), name)
        with pytest.raises(ValueError, match="in name only"):
            pi.Wavelet(name)
        return
    W = linops.wavelet((16, 11), name)
    assert testing.distance(W.H(W(np.eye(16, 11) + 0j)), np.eye(16, 11)) < 1e-10
    M = linops.dense(W)
    assert abs(M.conj().T @ M - np.eye(len(M))).max() < 1e-10
    x = torch.from_numpy(testing.random(W.ishape, rng, "complex128"))
    assert testing.distance(linops.as_torch(W)(x).numpy(), W(x.numpy())) < 1e-12
    u, kept = pi.L1() @ W, x.numpy()  # the optimality of its prox, by its dense matrix
    r = M @ (kept - u.prox(kept, 0.5)).ravel()
    z = M @ u.prox(kept, 0.5).ravel()
    moved = abs(z) > 1e-8
    assert abs(r).max() < 0.5 + 1e-8
    assert abs(r[moved] - 0.5 * z[moved] / abs(z[moved])).max() < 1e-8


@pytest.mark.parametrize("name", ["sym8", "coif5"])
def test_the_wavelets_that_a_message_proposes_are_taken(name):
    assert linops.wavelet((64, 64), name).unitary


def test_filters_of_ones_own_are_asked_themselves():
    low = np.array([0.5, 0.5]) * 1.4
    bank = pywt.Wavelet("mine", [low, low * [1, -1], low[::-1], (low * [1, -1])[::-1]])
    bank.orthogonal = True
    assert _off_orthonormal(bank) == pytest.approx(0.02)
    assert _off_orthonormal(pywt.Wavelet("haar")) < 1e-15


def test_wavelet_equals_pywavelets_where_sizes_divide(rng):
    x = testing.random((32, 48), rng, "complex128")
    theirs, _ = pywt.coeffs_to_array(pywt.wavedecn(x, "db4", mode="periodization", level=3))
    assert testing.distance(linops.wavelet((32, 48), "db4", 3)(x), theirs) < 1e-14


def test_gradient_equals_sigpy(rng):
    x = testing.random((9, 8), rng, "complex128")
    theirs = sigpy.linop.FiniteDifference((9, 8))(x)  # circular, backward: x[i] - x[i - 1]
    ours = linops.gradient((9, 8))(x)
    np.testing.assert_allclose(abs(ours).sum(), abs(theirs).sum(), rtol=1e-12)
    np.testing.assert_allclose(ours[0], np.roll(theirs[0], -1, 0), atol=1e-12)


def test_fft_equals_sigpy(rng):
    for shape in ((8, 8), (7, 9), (3, 6, 5)):
        x = testing.random(shape, rng, "complex128")
        assert testing.distance(linops.fft(shape)(x), sigpy.fft(x, axes=(-2, -1))) < 1e-14


def test_opnorm_of_an_unknown_operator(rng):
    M = rng.standard_normal((30, 30)) + 1j * rng.standard_normal((30, 30))
    A = sigpy.linop.MatMul((30, 1), M)
    exact = np.linalg.norm(M, 2)
    assert exact <= pi.linops.opnorm(A) <= 1.02 * exact


class Counted(linops.Linop):
    """A diagonal operator, whose singular values are known; counts its calls, and may round to another precision."""

    def __init__(self, values, through=None):
        self.values, self.through, self.calls = np.asarray(values), through, 0
        super().__init__(self.values.shape, self.values.shape)

    def _apply(self, x):
        self.calls += 1
        y = self.values.astype(x.real.dtype) * x
        return y if self.through is None else y.astype(self.through).astype(x.dtype)

    def _adjoint_linop(self):
        return self


@ALL
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_opnorm_is_1_percent_above_the_norm(name, dtype, monkeypatch):
    A = LINOPS[name](dtype)
    exact = np.linalg.norm(linops.dense(A), 2)
    assert linops.opnorm(A) >= exact * (1 - 1e-6)  # a bound in closed form, where there is one
    monkeypatch.setattr(type(A), "norm_bound", lambda self: None, raising=False)
    for start in ("complex64", "complex128"):
        assert exact <= linops.opnorm(A, like=np.zeros(1, start)) <= 1.011 * exact


SPECTRA = {"one outlier": np.r_[np.ones(9999), 1.05], "half zero": np.r_[np.zeros(5000), np.ones(5000)],
           "rank 1": np.r_[np.zeros(9999), 1], "uniform": np.linspace(0, 1, 10000), "few": np.arange(10000) % 7,
           "decaying": np.geomspace(1e-6, 1, 1000), "crowded at the top": np.cos(np.linspace(0, 1.5, 10000)),
           "thin at the top": 1 - np.linspace(0, 1, 10000) ** 0.5, "large": np.linspace(0, 1e6, 100),
           "small": np.linspace(0, 1e-6, 100)}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("like", [np.zeros(1, "complex64"), np.zeros(1, complex),
                                  torch.zeros(1, dtype=torch.complex64)])
@pytest.mark.parametrize("through", [None, "complex64"])
def test_opnorm_of_known_spectra(spectrum, like, through, one_thread):
    values = SPECTRA[spectrum]
    for seed in range(2):
        assert 1 <= linops.opnorm(Counted(values, through), seed=seed, like=like) / values.max() <= 1.011


def test_opnorm_stops_where_it_knows():
    for values, steps in ((np.full(50, 3.0), 1), (np.arange(1000) % 4, 4), (np.arange(5), 5), (np.zeros(9), 1)):
        A = Counted(values)
        linops.opnorm(A)
        assert A.calls <= 2 * steps  # A and A^H
    assert linops.opnorm(Counted(np.zeros(9))) == 0


def test_sigpy_operators_go_through_as_torch(rng):
    testing.check_torch(sigpy.linop.Resize((5, 5), (4, 4)))
