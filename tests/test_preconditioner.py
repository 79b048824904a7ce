"""Preconditioned CG: the same minimum in fewer iterations."""

import numpy as np
import pytest
import sigpy
import torch
from cases import toy

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
