"""Priors and operators that others wrote in ours, and ours in theirs: SigPy, SciPy, deepinv's manner, matrices."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg as sla
import sigpy as sp
import torch

import pisolve as pi
from pisolve.testing import check_linop

RNG = np.random.default_rng(3)
SHAPE = (12, 10)
M = RNG.standard_normal((150, 120)) + 1j * RNG.standard_normal((150, 120))
X = RNG.standard_normal(SHAPE) + 1j * RNG.standard_normal(SHAPE)
Y = M @ X.ravel()
P = pi.phantom.brain((32, 28), 4)
EXACT = {"max_iter": 3000, "tol": 1e-12}
FORMS = {
    "array": M, "matrix": np.asmatrix(M), "torch": torch.tensor(M), "sparse": scipy.sparse.csr_matrix(M),
    "sparse array": scipy.sparse.coo_array(M), "scipy": sla.aslinearoperator(M),
    "function": sla.LinearOperator(M.shape, M.dot, rmatvec=M.conj().T.dot, dtype=complex),
}


def close(x, y, tol=1e-6):
    assert np.linalg.norm(np.asarray(x) - y) <= tol * np.linalg.norm(y)


@pytest.mark.parametrize("form", FORMS)
def test_a_matrix_is_an_operator(form):
    A = pi.linops.from_matrix(FORMS[form], SHAPE, (15, 10))
    check_linop(A)
    close(A(X), Y.reshape(15, 10), 1e-12)
    expected = np.linalg.solve(M.conj().T @ M + 0.5 * np.eye(120), M.conj().T @ Y)
    close(pi.solve(FORMS[form], Y, 0.5 * pi.Tikhonov(), **EXACT).x, expected)
    close(pi.solve(A, Y.reshape(15, 10), 0.5 * pi.Tikhonov(), **EXACT).x, expected.reshape(SHAPE))
    assert pi.solve(FORMS[form], Y.reshape(15, 10), max_iter=3).x.shape == (120,)
    t = pi.linops.as_torch(A)(torch.tensor(X))
    close(t.numpy(), Y.reshape(15, 10), 1e-12)
    single = A(X.astype(np.complex64))
    assert single.dtype == np.complex64


@pytest.mark.parametrize(("M", "shapes", "error", "message"), [
    (3, {}, TypeError, "M must be a matrix"), (np.ones(3), {}, TypeError, "M must be a matrix of two axes"),
    (M, {"ishape": (5, 5)}, ValueError, r"ishape \(5, 5\) has 25 numbers, M of shape \(150, 120\) takes 120"),
    (M, {"oshape": (5,)}, ValueError, "takes 150"),
])
def test_what_is_no_matrix(M, shapes, error, message):
    with pytest.raises(error, match=message):
        pi.linops.from_matrix(M, **shapes)


def test_an_operator_without_an_adjoint_is_told():
    A = sla.LinearOperator(M.shape, lambda x: M @ x, dtype=complex)
    with pytest.raises(TypeError, match="A has no adjoint: give its rmatvec"):
        pi.solve(A, Y, max_iter=3)
    with pytest.raises(TypeError, match="A must be a linear operator"):
        pi.solve(lambda x: x, Y)


def test_priors_are_summed():
    priors = [1e-3 * pi.TV(), 2e-3 * pi.Wavelet(), 1e-2 * pi.Tikhonov()]
    assert repr(sum(priors)) == repr(priors[0] + priors[1] + priors[2])
    assert sum(priors[:1]) is priors[0]
    for wrong in (1, 0.0, "a"):
        with pytest.raises(TypeError):
            wrong + pi.TV()


@pytest.mark.parametrize(("prox", "prior"), [
    (sp.prox.L1Reg(SHAPE, 0.3), 0.3 * pi.L1()), (sp.prox.L2Reg(SHAPE, 0.3), 0.3 * pi.Tikhonov()),
    (sp.prox.L2Reg(SHAPE, 0.3, X), 0.3 * pi.Tikhonov(X)), (sp.prox.NoOp(SHAPE), pi.Zero()),
], ids=["l1", "l2", "l2 to an image", "none"])
def test_a_sigpy_prox_that_is_known_is_ours(prox, prior):
    made = pi.as_prior(prox)
    assert made.value(X) == pytest.approx(prior.value(X))
    close(made.prox(2 * X, 0.7), prox(0.7, 2 * X))
    A = pi.linops.from_matrix(M, SHAPE)
    np.testing.assert_array_equal(pi.solve(A, Y, prox).x, pi.solve(A, Y, prior).x)


def test_any_other_sigpy_prox_is_a_prior():
    """Projection onto a ball of the largest magnitude: the solvers agree, and the image is on it."""
    size = 0.5 * abs(X).max()
    prox, A = sp.prox.LInfProj(SHAPE, size), pi.linops.from_matrix(M, SHAPE)
    images = [pi.solve(A, Y, prox, solver, **EXACT).x for solver in (None, pi.FISTA(), pi.ADMM(rho=100.0))]
    assert abs(images[0]).max() == pytest.approx(size, rel=1e-6)
    close(images[1], images[0], 1e-4)
    close(images[2], images[0], 1e-4)
    weights = 0.1 + RNG.random(SHAPE)
    weighted = pi.as_prior(sp.prox.L1Reg(SHAPE, weights))
    close(weighted.prox(X, 0.5), X * np.maximum(1 - 0.5 * weights / abs(X), 0))
    assert (2 * weighted).value(X) is None
    close((2 * weighted).prox(torch.tensor(X), 0.5).numpy(), weighted.prox(X, 1.0))
    with pytest.raises(ValueError, match=r"takes shape \(12, 10\), the image is \(10, 12\)"):
        pi.solve(pi.linops.from_matrix(M, SHAPE[::-1]), Y, prox)
    with pytest.raises(TypeError, match="prior must be a pisolve prior"):
        pi.solve(A, Y, lambda x: x)


def test_recon_takes_a_sigpy_prox(tmp_path):
    prox = sp.prox.L1Reg((32, 28), 2e-3)
    done = pi.recon(P.kspace, prox, mps=P.mps, max_iter=5)
    np.testing.assert_array_equal(done.x, pi.recon(P.kspace, 2e-3 * pi.L1(), mps=P.mps, max_iter=5).x)
    done.save(tmp_path / "a.h5")
    ball = pi.recon(P.kspace, sp.prox.LInfProj((32, 28), 1.0), mps=P.mps, max_iter=5)
    assert ball.ok
    with pytest.raises(ValueError, match="a LInfProj cannot be written into a recipe"):
        ball.recipe.to_dict()


@pytest.mark.parametrize("prior", [0.3 * pi.L1(), 0.2 * pi.Wavelet("haar"), 0.1 * pi.TV(), 0.5 * pi.Tikhonov(),
                                   pi.Box(high=1.0)], ids=repr)
def test_a_prior_is_a_sigpy_prox(prior):
    prox = pi.as_sigpy(prior, SHAPE)
    assert isinstance(prox, sp.prox.Prox)
    close(prox(0.7, X), prior.prox(X, 0.7), 1e-12)
    close(sp.prox.Conj(prox)(0.7, X), X - 0.7 * prior.prox(X / 0.7, 1 / 0.7), 1e-6)


def test_sigpys_app_runs_with_our_prior_and_operator():
    A, prior = pi.linops.from_matrix(M, SHAPE), 5.0 * pi.Wavelet("haar")
    app = sp.app.LinearLeastSquares(A, Y, proxg=pi.as_sigpy(prior, SHAPE), max_iter=2000, tol=1e-12, show_pbar=False)
    close(app.run(), pi.solve(A, Y, prior, **EXACT).x)


def test_priors_without_a_prox_say_so():
    both = pi.TV() + pi.L1()
    for call in (lambda: pi.as_sigpy(both, SHAPE), lambda: pi.as_deepinv(both).prox(torch.tensor(X)[None, None])):
        with pytest.raises(ValueError, match="has no prox of its own"):
            call()
    for call in (pi.as_sigpy, lambda p, s: pi.as_deepinv(p)):
        with pytest.raises(TypeError, match="prior must be a pisolve prior"):
            call(3, SHAPE)


@pytest.mark.parametrize("kind", ["complex", "pairs", "real"])
def test_a_prior_in_deepinvs_manner(kind):
    prior = 0.3 * pi.L1(delta=0.1)
    x = np.stack([X, 2 * X])
    batch = {"complex": torch.tensor(x)[:, None], "pairs": torch.tensor(np.stack([x.real, x.imag], 1)),
             "real": torch.tensor(x.real)[:, None]}[kind]
    images = x.real + 0j if kind == "real" else x
    made = pi.as_deepinv(prior)

    def back(t):
        return (t[:, 0] + 1j * t[:, 1] if kind == "pairs" else t[:, 0]).numpy()

    assert made.explicit_prior
    np.testing.assert_allclose(made(batch, 0.1).numpy(), [prior.value(i) for i in images])
    close(back(made.prox(batch, 0.1, gamma=0.7)), [prior.prox(i, 0.7) for i in images])
    close(back(made.grad(batch, 0.1)), [prior.grad(i) for i in images])
    assert made.prox(batch).dtype == batch.dtype


def test_a_product_of_operators_knows_no_bound():
    """It is SigPy's own class, which a solver asks for a bound when a run ends above where it began."""
    A = pi.linops.sense(np.ones((1, 8, 8), complex)) * pi.linops.wavelet((8, 8), "haar").H
    problem = pi.Problem(A, np.ones((1, 8, 8), complex), pi.Zero())
    assert not problem.bounded
    assert pi.Problem(pi.linops.sense(np.ones((1, 8, 8), complex)), problem.y, pi.Zero()).bounded
