"""The subspace of a series: dense matrices, names for priors, and what an iteration costs."""

import numpy as np
import pytest
from cases import coord, frames, maps, phi, points

import pisolve as pi
from pisolve import linops, signals
from pisolve.testing import distance, random


def test_dense_matrices_agree():
    mps, mask, basis = maps(2, 4, 5), points(3, 4, 5), phi(3, 2)
    A = frames(mps, mask, 3)
    E = signals.encoding(A, basis)
    M = np.kron(basis, np.eye(20))
    assert distance(linops.dense(E, "complex128"), linops.dense(A, "complex128") @ M) < 1e-13
    assert E.fast
    assert distance(linops.dense(E.N, "complex128"), M.conj().T @ linops.dense(A.N, "complex128") @ M) < 1e-13


@pytest.mark.parametrize("mask", [None, points(6, 1), points(5, 6, 1), points(5, 1, 7), points(5, 6, 7)])
def test_a_complete_basis_is_the_series_itself(mask):
    """With as many coefficients as frames the least squares solution is that of the frames."""
    A = frames(maps(4, 6, 7), mask, 5)
    Q = np.linalg.qr(phi(5, 5))[0]
    y = A(random(A.ishape, np.random.default_rng(0), "complex128"))
    E = signals.encoding(A, Q)
    prior = 0.1 * pi.Tikhonov()
    series, few = pi.solve(A, y, prior, tol=1e-11).x, pi.solve(E, y, prior, tol=1e-11).x
    assert distance(E.subspace(few), series) < 1e-7


def test_axes_are_named_for_priors():
    A = frames(maps(4, 16, 16), points(5, 16, 1), 5)
    E = signals.encoding(A, phi(5, 2))
    assert E.iaxes == ("coefficient", "y", "x")
    assert E.oaxes == ("echo", "coil", "ky", "kx")
    assert signals.subspace(phi(3, 2), (4, 3, 2, 2), axis=1, axes=("slice", "set", "y", "x")).iaxes == (
        "slice", "coefficient", "y", "x")
    y = E(random(E.ishape, np.random.default_rng(0), "complex128"))
    for prior in (pi.LLR(block=4), pi.Wavelet("haar", axes=("y", "x")), pi.L21(axis="coefficient"), pi.TV()):
        done = pi.solve(E, y, 1e-3 * prior, max_iter=3)
        assert done.x.shape == (2, 16, 16)
        assert np.isfinite(done.x).all()


def test_an_iteration_transforms_coefficients_not_frames(monkeypatch):
    import scipy.fft

    seen, plain = [], scipy.fft.fftn
    monkeypatch.setattr(scipy.fft, "fftn", lambda x, **how: seen.append(x.size) or plain(x, **how))
    for count in (4, 32):
        E = signals.encoding(frames(maps(3, 6, 5), points(count, 6, 5), count), phi(count, 2))
        N = E.N
        seen.clear()
        N(random(E.ishape, np.random.default_rng(0), "complex128"))
        assert sum(seen) == 2 * 3 * 2 * 30  # forth and back, coils, coefficients, pixels


@pytest.mark.parametrize("basis", [phi(6, 3), phi(6, 2).real])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_compiled_kernel_agrees(basis, dtype):
    A = linops.sense(maps(2, 5, 60, 70, dtype=dtype), points(2, 6, 60, 1), shape=(2, 6, 5, 60, 70),
                     axes=("slice", "echo", "coil", "ky", "kx"))
    E = signals.encoding(A, basis)
    assert E.N.function.compiled
    x = random(E.ishape, np.random.default_rng(0), dtype)
    assert distance(E.N(x), E.H(E(x))) < {"complex64": 2e-6, "complex128": 1e-14}[dtype]


def test_maps_of_each_frame_take_the_long_way():
    E = signals.encoding(linops.sense(maps(3, 2, 4, 5), points(3, 4, 5), axes=("echo", "coil", "ky", "kx")), phi(3, 2))
    assert not E.fast


def of_points(count, size=(9, 8), **more):
    where = coord(count, 3, 7, size=size)
    return linops.sense(maps(2, *size), coord=where, axes=("frame", "coil", "shot", "sample"), shape=(count, 2, 3, 7),
                        eps=1e-13, **more)


@pytest.mark.parametrize("weights", [None, 0.2 + np.arange(21.0).reshape(3, 7)])
def test_points_have_convolutions_of_the_coefficients(weights):
    A, basis = of_points(5, weights=weights), phi(5, 2)
    E = signals.encoding(A, basis, axis="frame")
    assert E.fast
    M = np.kron(basis, np.eye(72))
    assert distance(linops.dense(E.N, "complex128"), M.conj().T @ linops.dense(A.N, "complex128") @ M) < 1e-12


def test_an_iteration_of_points_transforms_coefficients_not_frames(monkeypatch):
    import scipy.fft

    seen, plain = [], scipy.fft.fft
    monkeypatch.setattr(scipy.fft, "fft", lambda x, *a, **how: seen.append(x.size) or plain(x, *a, **how))
    counts = []
    for count in (4, 16):
        N = signals.encoding(of_points(count), phi(count, 2), axis="frame").N
        x = random(N.ishape, np.random.default_rng(0), "complex128")
        seen.clear()
        N(x)
        counts.append(sum(seen))
    assert counts[0] == counts[1] > 0


def test_as_many_coefficients_as_frames_gain_nothing_at_points():
    assert not signals.encoding(of_points(2), phi(2, 2), axis="frame").fast


@pytest.mark.parametrize(("call", "message"), [
    (lambda: signals.subspace(phi(5, 2), (4, 3, 3)), "basis has 5 frames, shape .* has 4"),
    (lambda: signals.subspace(phi(5, 2).T, (5, 3, 3)), "transpose it"),
    (lambda: signals.subspace(phi(5, 2) * np.nan, (5, 3, 3)), "basis holds NaN"),
    (lambda: signals.subspace(phi(5, 2), (5, 3, 3), axis="frame", axes=("echo", "y", "x")), "no 'frame'"),
    (lambda: signals.subspace(phi(5, 2), (5, 3, 3), axes=("echo", "x")), "axes names 2 axes"),
    (lambda: signals.encoding(linops.sense(maps(3, 4, 5)), phi(5, 2)), "no 'echo'"),
    (lambda: signals.encoding(linops.fft((5, 4, 4)), phi(5, 2)), "A has no names"),
])
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
