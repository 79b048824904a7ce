"""Preconditioners: the same minimum in fewer iterations."""

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


@pytest.mark.parametrize("kind", ["sense", "weights", "nufft", "3d", "stack", "stack of alike"])
def test_circulant_is_the_nearest_one_to_the_dense_matrix(kind):
    shape = (3, 4, 5) if kind == "3d" or "stack" in kind else (5, 6)
    k, mps = coord(6, 40, size=shape), maps(2, *shape)
    weights = np.random.default_rng(0).random((6, 40)) if kind == "weights" else None
    names = {}
    if "stack" in kind:
        k = coord(*((3,) if kind == "stack" else ()), 6, 40, size=shape[1:])
        names = {"axes": ("coil", "kz", "shot", "sample")}
    B = linops.nufft(shape, k, eps=1e-12) if kind == "nufft" else linops.sense(mps, None, weights, coord=k, eps=1e-12,
                                                                               **names)
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


MILD = np.geomspace(1, 6, 16)[:, None] * np.ones(SHAPE)
DIAGONAL = 1 / (0.7 * MILD**2 + 1e-2)
SPOILT = A * sigpy.linop.Multiply(SHAPE, MILD)
BESIDE_CG = {  # (solver, operator, prior, P)
    "PDHG, TV, diagonal": (pi.PDHG(), SPOILT, 0.02 * pi.TV(), DIAGONAL),
    "PDHG, TV, operator": (pi.PDHG(), SPOILT, 0.02 * pi.TV(), sigpy.linop.Multiply(SHAPE, DIAGONAL)),
    "PDHG, TV, line search": (pi.PDHG(backtracking=True), SPOILT, 0.02 * pi.TV(), DIAGONAL),
    "PDHG, wavelet, function": (pi.PDHG(), SPOILT, 0.02 * pi.Wavelet("haar"), lambda g: DIAGONAL * g),
    "FISTA, L1, diagonal": (pi.FISTA(), SPOILT, 0.05 * pi.L1(), DIAGONAL),
    "FISTA, L1 with weights and Tikhonov": (pi.FISTA(), SPOILT, 0.05 * MILD * pi.L1() + 0.1 * pi.Tikhonov(), DIAGONAL),
    "FISTA, smooth, circulant": (pi.FISTA(), *(CASES["circulant"][n] for n in (0, 2, 3))),
    "GradientDescent, smooth": (pi.GradientDescent(), *(CASES["circulant"][n] for n in (0, 2, 3))),
}


@pytest.mark.parametrize("case", BESIDE_CG)
def test_other_solvers_reach_the_same_minimum_sooner(case):
    """Law: as for CG, with every prior; the minimum is that of ADMM or CG without P."""
    solver, op, prior, P = BESIDE_CG[case]
    exact = pi.solve(op, Y, prior, pi.CG() if prior.quadratic else pi.ADMM(inner=300), max_iter=6000, tol=1e-9).x
    plain, quick = (next(k for k, state in enumerate(pi.iterate(solver, pi.Problem(op, Y, prior, precond)))
                         if k > 5000 or distance(state.x, exact) < 1e-5) for precond in (None, P))
    assert quick < plain
    done = pi.solve(op, Y, prior, solver, preconditioner=P, max_iter=5000, tol=1e-7)
    assert done.status == "converged"
    assert distance(done.x, exact) < 1e-5
    if not callable(P) or hasattr(P, "ishape"):  # a function of numpy arrays is the user's
        theirs, ours = (pi.solve(op, y, prior, solver, preconditioner=P, max_iter=5, tol=0).x
                        for y in (torch.from_numpy(Y.copy()), Y))
        assert distance(theirs, ours) < 1e-9


def test_the_automatic_solver_takes_it():
    for prior, kind in ((0.05 * pi.L1(), pi.FISTA), (0.02 * pi.TV(), pi.PDHG), (0.1 * pi.Tikhonov(), pi.CG)):
        assert isinstance(pi.solve(SPOILT, Y, prior, preconditioner=DIAGONAL, max_iter=2).solver, kind)


def test_the_norm_in_the_metric_is_the_dense_one():
    """The largest eigenvalue of P A^H A, at most 2 % above."""
    M = linops.dense(SPOILT)
    for P in (DIAGONAL, np.geomspace(1, 1e3, 256).reshape(SHAPE)):
        root = P.ravel()[:, None] ** 0.5
        exact = np.linalg.norm(M @ np.diag(root[:, 0]), 2) ** 2
        found = pi.Problem(SPOILT, Y, None, P).step_lipschitz
        assert exact * 0.9999 <= found <= 1.02 * exact


def test_what_a_solver_knows_of_the_metric_it_finds_once():
    """The certificate of FISTA was a second Lanczos run, of thirty A^H A."""
    op, y, prior, P = CASES["circulant"]
    problem, calls = pi.Problem(op, y, prior, P), []
    normal = problem.normal
    problem.normal = lambda x: calls.append(1) or normal(x)
    for solver, share in ((pi.FISTA(), 1), (pi.GradientDescent(), 0.5)):
        state = solver.init(problem)
        before = len(calls)
        found = solver.certificate(problem, state)
        assert found["size"] == pytest.approx(share * found["limit"])
        assert len(calls) == before


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
    with pytest.raises(ValueError, match=r"ADMM takes no preconditioner.*take CG\(\), FISTA\(\) or PDHG\(\)"):
        pi.solve(A, Y, prior, pi.ADMM(), preconditioner=linops.identity(SHAPE))
    with pytest.raises(ValueError, match=r"in the metric of this preconditioner: take PDHG\(\)"):
        pi.solve(A, Y, pi.Wavelet("haar"), pi.FISTA(), preconditioner=np.ones(SHAPE))
    with pytest.raises(ValueError, match=r"in the metric of this preconditioner: take PDHG\(\)"):
        pi.solve(A, Y, pi.L1(), pi.FISTA(), preconditioner=linops.identity(SHAPE))
    with pytest.raises(ValueError, match="backtracking=True\\) takes no preconditioner"):
        pi.solve(A, Y, prior, pi.FISTA(backtracking=True), preconditioner=np.ones(SHAPE))
    with pytest.raises(ValueError, match="more than the image"):
        pi.solve(A, Y, pi.TGV(), pi.PDHG(), preconditioner=np.ones(SHAPE))
    for wrong in (np.zeros(SHAPE), 1j * np.ones(SHAPE), -np.ones((16, 1))):
        with pytest.raises(ValueError, match="real numbers above 0"):
            pi.solve(A, Y, prior, preconditioner=wrong)
    with pytest.raises(ValueError, match=r"must broadcast to the image's \(16, 16\)"):
        pi.solve(A, Y, prior, preconditioner=np.ones((3, 16)))
