"""The compiled kernels against plain formulas: sizes, precisions, masks, strides, threads, no mutation."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pisolve import backend, linops, testing
from pisolve.linops._fft import LARGEST, plan
from pisolve.linops._normal import Normal
from pisolve.solvers import _multiplier

DTYPES = pytest.mark.parametrize(("dtype", "tol"), [("complex64", 1e-6), ("complex128", 1e-13)])


@pytest.fixture
def always(monkeypatch):
    """Small arrays go through the kernels, too."""
    for where in ("pisolve.backend", "pisolve.backend._magnitude"):
        monkeypatch.setattr(f"{where}.compiles", lambda x: isinstance(x, np.ndarray) and x.dtype.char in "FD")


def masks(kind, shape, rng):
    ny, nx = shape[-2:]
    sizes = {"ky": (ny, 1), "kx": (1, nx), "points": (ny, nx), "own ky": (*shape[:-3], ny, 1),
             "own points": (*shape[:-3], ny, nx)}
    return rng.random(sizes[kind]) + 0.1


def normal_by_formula(mps, weights, x):
    """sum_c conj(S_c) F^H w F S_c x by NumPy's centred FFT in double precision."""
    axes = (-2, -1)
    ft = lambda f, z: np.fft.fftshift(f(np.fft.ifftshift(z, axes), axes=axes, norm="ortho"), axes)  # noqa: E731
    w = weights if weights.ndim == 2 else weights[:, None]
    mps, x = mps.astype(complex), x.astype(complex)
    return (mps.conj() * ft(np.fft.ifft2, w * ft(np.fft.fft2, mps * x[..., None, :, :]))).sum(-3)


def compiled(mps, weights):
    A = linops.sense(mps, weights=weights)
    return A, Normal(A.mps, np.fft.ifftshift(A.weight**2, axes=A.varying_axes))


@DTYPES
@pytest.mark.parametrize("kind", ["ky", "kx", "points"])
@pytest.mark.parametrize("shape", [(1, 1, 16), (2, 16, 16), (3, 15, 17), (2, 64, 31), (1, 7, 61), (3, 40, 48),
                                   (2, 49, 66), (2, 61, 20), (2, 2, 33), (1, 36, 90)])
def test_normal_equals_the_formula_at_every_size(shape, kind, dtype, tol, rng):
    mps, weights = testing.random(shape, rng, dtype), masks(kind, shape, rng)
    A, N = compiled(mps, weights)
    x = testing.random(shape[1:], rng, dtype)
    kept = x.copy(), mps.copy()
    out = N(x)
    assert out.dtype == dtype
    assert testing.distance(out, normal_by_formula(mps, weights, x)) < tol
    assert np.array_equal(x, kept[0])
    assert np.array_equal(mps, kept[1])
    assert testing.distance(A.N(x), out) < tol


@DTYPES
@pytest.mark.parametrize("kind", ["ky", "points", "own ky", "own points"])
def test_normal_of_slices(kind, dtype, tol, rng):
    shape = (2, 3, 20, 18)
    mps, weights = testing.random(shape, rng, dtype), masks(kind, shape, rng)
    x = testing.random((2, 20, 18), rng, dtype)
    assert testing.distance(compiled(mps, weights)[1](x), normal_by_formula(mps, weights, x)) < tol


def test_normal_takes_strided_and_read_only_arrays(rng):
    mps, weights = testing.random((2, 3, 16, 32), rng)[0].swapaxes(-1, -2)[..., ::-1], masks("ky", (32, 16), rng)
    mps.setflags(write=False)
    x = testing.random((16, 32), rng).T
    x.setflags(write=False)
    assert testing.distance(compiled(mps, weights)[1](x), normal_by_formula(mps, weights, x)) < 1e-6


@pytest.mark.parametrize(("shape", "weights", "fits"), [
    ((4, 96, 96), (96, 1), True), ((4, 96, 97), (96, 1), True), ((4, 97, 96), (97, 1), False),
    ((4, 96, 97), (96, 97), False), ((2, 8, 8), (8, 1), False), ((400, 96, 3), (96, 1), False)])
def test_which_operators_are_compiled_and_that_all_are_right(shape, weights, fits, rng):
    A = linops.sense(testing.random(shape, rng), weights=rng.random(weights))
    assert Normal.fits(A.mps, A.varying_axes) is fits
    x = testing.random(A.ishape, rng)
    assert testing.distance(A.N(x), A.H(A(x))) < 1e-6
    wide = A.N(x.astype("complex128"))
    assert wide.dtype == "complex128"
    assert testing.distance(wide, A.N(x)) < 1e-6


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 8, 30, 49, 61, 122, 320, 368, 640])
def test_plan_orders_every_frequency_once(n):
    passes, _, order = plan(n, "complex64")
    assert sorted(order) == list(range(n))
    assert np.prod(passes[:, 0]) == n


def test_plan_refuses_large_primes():
    assert LARGEST == 61
    assert plan(67, "complex64") is None
    assert plan(2 * 127, "complex64") is None


@DTYPES
@pytest.mark.parametrize("name", ["haar", "db4", "db20", "coif3"])
@pytest.mark.parametrize("shape", [(16, 16), (15, 200), (33, 47), (5, 9), (64, 31), (2, 17, 40), (1, 8), (7, 3),
                                   (2, 2)])
def test_wavelet_equals_pywavelets_at_every_size(shape, name, dtype, tol, rng, monkeypatch):
    W = linops.wavelet(shape, name)
    x = testing.random(shape, rng, dtype)
    theirs = W(x), W.H(x)
    monkeypatch.setattr(backend, "compiles", lambda x: True)
    kept = x.copy()
    for ours, reference in zip((W(x), W.H(x), W.H(W(x))), (*theirs, x)):
        assert ours.dtype == dtype
        assert testing.distance(ours, reference) < tol
    assert np.array_equal(x, kept)


@DTYPES
@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 1), (2, 2), (3, 2), (9, 14), (2, 5, 3), (1, 4, 3),
                                   (2, 17, 5, 4)])
@pytest.mark.parametrize("axes", [(-2, -1), (-3, -2, -1)])
def test_gradient_equals_its_plain_form(axes, shape, boundary, dtype, tol, rng, monkeypatch):
    shape = (2,) * (3 - len(shape)) + shape if len(axes) == 3 else shape
    G = linops.gradient(shape, axes, boundary=boundary)
    x, d = testing.random(shape, rng, dtype), testing.random(G.oshape, rng, dtype)
    plain = G(x), G.H(d), G.N(x)
    monkeypatch.setattr(backend, "compiles", lambda x: True)
    for ours, reference in zip((G(x), G.H(d), G.N(x)), plain):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, reference, atol=10 * tol)
    np.testing.assert_array_equal(G(np.asfortranarray(x)), G(x))


@DTYPES
@pytest.mark.parametrize("axes", [(), (0,)])
@pytest.mark.parametrize("threshold", [0, 1e-30, 1e-9, 0.5, 2.0, 1e20])
def test_shrink_equals_its_formula(threshold, axes, dtype, tol, rng, always):
    x = testing.random((3, 700), rng, dtype)
    x[:, ::7] = 0
    size = np.sqrt((abs(x.astype(complex)) ** 2).sum(0, keepdims=True)) if axes else abs(x.astype(complex))
    factor = np.maximum(1 - threshold / np.maximum(size, 1e-200), 0)
    kept = x.copy()
    out = backend.shrink(x, threshold, axes=axes)
    assert out.dtype == dtype
    np.testing.assert_allclose(out, factor * x, atol=10 * tol)
    assert np.array_equal(x, kept)
    assert not np.shares_memory(out, x)


@DTYPES
@pytest.mark.parametrize("a", [1.0, 1.6])
def test_the_passes_of_admm_equal_their_formulas(a, dtype, tol, rng, monkeypatch):
    u, Gx, z, z_new = (testing.random((3, 40, 1700), rng, dtype) for _ in range(4))
    found = []
    for large in (True, False):
        monkeypatch.setattr(_multiplier, "_large", lambda *arrays, large=large: large)
        v = _multiplier.relaxed(u, Gx, z, a)
        np.testing.assert_allclose(v, u + a * Gx + (1 - a) * z, atol=10 * tol)
        new, primal, dual = _multiplier.updated(v.copy(), Gx, z, z_new)
        np.testing.assert_array_equal(new, v - z_new)
        norm = np.linalg.norm
        assert primal == pytest.approx(norm(Gx - z_new) / max(norm(Gx), norm(z_new)), rel=10 * tol)
        assert dual == pytest.approx(norm(z_new - z) / max(norm(new), norm(z_new)), rel=10 * tol)
        found.append(new)
    np.testing.assert_array_equal(*found)


@DTYPES
def test_shrink_keeps_what_is_not_finite_and_what_is_tiny_or_huge(dtype, tol, always):
    x = np.array([np.nan, 1e18, 1e-12, 0], dtype)
    out = backend.shrink(x, 1e-13)
    assert np.isnan(out[0])
    np.testing.assert_allclose(out[1:], [1e18, 9e-13, 0], rtol=1e-5)


def test_shrink_over_other_axes_and_of_real_arrays(rng):
    x = testing.random((4, 3, 5), rng, "complex128")
    size = np.sqrt((abs(x) ** 2).sum((0, 2), keepdims=True))
    np.testing.assert_allclose(backend.shrink(x, 0.5, axes=(0, -1)), x * np.maximum(1 - 0.5 / size, 0), atol=1e-14)
    np.testing.assert_allclose(backend.shrink(x.real, 0.5), np.sign(x.real) * np.maximum(abs(x.real) - 0.5, 0),
                               atol=1e-14)


PROGRAM = """
import hashlib, numpy as np
from pisolve import backend, linops, testing
from pisolve.solvers import _multiplier
_multiplier._large = lambda *arrays: True
rng = np.random.default_rng(0)
total = hashlib.sha256()
mps = testing.random((5, 84, 90), rng)
for shape in ((84, 1), (84, 90)):
    A = linops.sense(mps, weights=rng.random(shape))
    assert A.N.function.compiled
    total.update(A.N(testing.random((84, 90), rng)))
G = linops.gradient((33, 90, 84), (0, 1, 2))
d = backend.shrink(G(testing.random(G.ishape, rng)), 0.5, axes=(0,))
for array in (d, G.H(d), G.N(G.H(d)), *_multiplier.updated(d.copy(), d, 2 * d, 3 * d)):
    total.update(array)
P = linops.sense(testing.random((9, 16, 17, 18), rng), coord=16 * (rng.random((200, 3)) - 0.5))
assert P.N.function.parts[0].compiled
x = testing.random(P.ishape, rng)
total.update(P.N(x))
total.update(P.H(P(x)))
W = linops.wavelet((3, 90, 84))
total.update(W.H(W(testing.random((3, 90, 84), rng))))
print(total.hexdigest())
"""


def test_results_do_not_depend_on_the_number_of_threads():
    digests = {subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "PISOLVE_THREADS": n}, check=True,
                              capture_output=True, text=True).stdout for n in ("1", "2", "5")}
    assert len(digests) == 1


def test_kernels_are_compiled_in_memory_where_no_folder_can_be_written(monkeypatch):
    import numba

    real = numba.njit

    def refuse(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(function, **options)

    monkeypatch.setattr(numba, "njit", refuse)
    assert backend.jit(lambda n: n + 1)(1) == 2
