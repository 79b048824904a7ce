"""Preconditioned CG: the same minimum in fewer iterations."""

import numpy as np
import pytest
import sigpy
import torch
from cases import coord, maps, toy

import pisolve as pi
from pisolve import linops, testing
from pisolve.testing import distance

A, Y = toy()
SHAPE = (16, 16)
WEIGHTS = np.geomspace(1, 30, 16)[:, None] * np.ones(SHAPE)  # a diagonal that spoils the condition
FOURIER = linops.fft(SHAPE)
RAMP = np.add.outer(np.fft.fftshift(np.fft.fftfreq(16)) ** 2, np.fft.fftshift(np.fft.fftfreq(16)) ** 2)
CASES = {  # (operator, data, prior, P): a diagonal and a circulant that are near the inverse
    "diagonal": (A * sigpy.linop.Multiply(SHAPE, WEIGHTS), Y, 1e-2 * pi.Tikhonov(),
                 sigpy.linop.Multiply(SHAPE, 1 / (0.7 * WEIGHTS**2 + 1e-2))),
    "circulant": (A, Y, 5 * pi.Quadratic(linops.gradient(SHAPE)),
                  FOURIER.H * sigpy.linop.Multiply(SHAPE, 1 / (0.7 + 5 * 40 * RAMP)) * FOURIER),
    "function": (A, Y, 0.05 * pi.Tikhonov(), lambda r: 3 * r),
}


@pytest.mark.parametrize("case", CASES)
def test_the_minimum_stays_and_comes_sooner(case):
    """Law: any Hermitian positive definite P gives the dense solution."""
    op, y, prior, P = CASES[case]
    exact = np.linalg.solve(linops.dense(op).conj().T @ linops.dense(op) + hessian(prior),
                            linops.dense(op).conj().T @ y.ravel()).reshape(SHAPE)
    plain = pi.solve(op, y, prior, max_iter=2000, tol=1e-10)
    quick = pi.solve(op, y, prior, preconditioner=P, max_iter=2000, tol=1e-10)
    assert isinstance(quick.solver, pi.CG)
    assert quick.status == "converged"
    assert distance(quick.x, exact) < 1e-7
    assert quick.state.k <= (plain.state.k if case == "function" else 0.6 * plain.state.k)


def circulant_mean(matrix, shape):
    """The circulant matrix whose diagonals are the means of the given one's, modulo the size."""
    n = int(np.prod(shape))
    places = np.stack(np.unravel_index(np.arange(n), shape), -1)
    lag = np.ravel_multi_index(tuple(np.moveaxis((places[:, None] - places) % shape, -1, 0)), shape)
    mean = np.bincount(lag.ravel(), matrix.real.ravel(), n) + 1j * np.bincount(lag.ravel(), matrix.imag.ravel(), n)
    return (mean / n)[lag]


@pytest.mark.parametrize("kind", ["sense", "weights", "nufft", "3d"])
def test_circulant_is_the_nearest_one_to_the_dense_matrix(kind):
    shape = (3, 4, 5) if kind == "3d" else (5, 6)
    k, mps = coord(6, 40, size=shape), maps(2, *shape)
    weights = np.random.default_rng(0).random((6, 40)) if kind == "weights" else None
    B = linops.nufft(shape, k, eps=1e-12) if kind == "nufft" else linops.sense(mps, None, weights, coord=k, eps=1e-12)
    matrix = linops.dense(B)
    near = circulant_mean(matrix.conj().T @ matrix, shape)
    assert np.linalg.eigvalsh(near).min() > 1e-3 * np.linalg.eigvalsh(near).max()  # no eigenvalue is raised
    np.testing.assert_allclose(linops.dense(linops.circulant(B, 0.1)), np.linalg.inv(near + 0.1 * np.eye(len(near))),
                               atol=1e-8)


def test_circulant_brings_spokes_sooner_to_the_same_minimum():
    n, lam = 48, 1e-1
    head = pi.phantom.brain((n, n), 4)
    mps = (head.mps / np.linalg.norm(head.mps, axis=0) * (abs(head.image) > 0)).astype(complex)  # 0 outside of the head
    k = pi.trajectories.radial((n, n), 40)
    B = linops.sense(mps, coord=k)
    y = B(head.image.astype(complex))
    plain = pi.solve(B, y, lam * pi.Tikhonov(), max_iter=400, tol=1e-7)
    quick = pi.solve(B, y, lam * pi.Tikhonov(), preconditioner=linops.circulant(B, lam), max_iter=400, tol=1e-7)
    assert quick.status == plain.status == "converged"
    assert distance(quick.x, plain.x) < 1e-5
    assert quick.state.k < 0.6 * plain.state.k
    assert not quick.x[abs(mps).sum(0) == 0].any()


def test_circulant_refuses_other_operators():
    with pytest.raises(TypeError, match="sense"):
        linops.circulant(A)
    with pytest.raises(ValueError, match="lam"):
        linops.circulant(linops.nufft((4, 4), coord(9, size=(4, 4))), -1.0)


def hessian(prior):
    return np.stack([prior.grad(e.reshape(SHAPE).astype(complex)).ravel() for e in np.eye(256)], 1)


@pytest.mark.parametrize("case", CASES)
def test_it_resumes_and_runs_on_torch(case):
    op, y, prior, P = CASES[case]
    testing.check_resume(pi.CG(), pi.Problem(op, y, prior, P))
    whole = pi.solve(op, y, prior, preconditioner=P, max_iter=8, tol=0)
    rest = pi.solve(op, y, prior, preconditioner=P, max_iter=8, tol=0,
                    state=pi.solve(op, y, prior, preconditioner=P, max_iter=3, tol=0).state)
    np.testing.assert_array_equal(rest.x, whole.x)
    theirs = pi.solve(op, torch.from_numpy(y.copy()), prior, preconditioner=P, max_iter=8, tol=0).x
    assert distance(theirs, whole.x) < 1e-9


def test_the_identity_gives_the_plain_iterates():
    prior = 0.05 * pi.Tikhonov()
    plain = pi.solve(A, Y, prior, max_iter=10, tol=0).x
    assert distance(pi.solve(A, Y, prior, preconditioner=linops.identity(SHAPE), max_iter=10, tol=0).x, plain) < 1e-12


def test_what_does_not_fit_is_refused():
    prior = 0.05 * pi.Tikhonov()
    with pytest.raises(TypeError, match="preconditioner must be an operator"):
        pi.solve(A, Y, prior, preconditioner=3)
    with pytest.raises(ValueError, match=r"must keep the image's \(16, 16\)"):
        pi.solve(A, Y, prior, preconditioner=linops.gradient(SHAPE))
    with pytest.raises(ValueError, match="not positive definite"):
        pi.solve(A, Y, prior, preconditioner=lambda r: -r)
    with pytest.raises(ValueError, match=r"FISTA takes no preconditioner.*take CG\(\)"):
        pi.solve(A, Y, prior, pi.FISTA(), preconditioner=linops.identity(SHAPE))
