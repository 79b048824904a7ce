"""With what others wrote: SigPy's laws and apps with our operators, PyLops' and SciPy's dot tests, deepinv and mrpro.

`pytest -m peers` runs these alone. What is not installed, or does not import here, is skipped with the reason.
"""

import importlib
import pickle

import cases
import numpy as np
import pytest
import scipy.sparse.linalg as sla
import sigpy as sp
import sigpy.mri as mr
import torch

import pisolve as pi

pytestmark = pytest.mark.peers
RNG = np.random.default_rng(0)
LINOPS = [name for name in cases.LINOPS if not name.startswith("nufft")]
P = pi.phantom.brain((24, 20), 4, noise=0.01)
MPS, MASK = P.mps.astype(complex), (np.arange(24) % 2 == 0)[:, None]
MPS = MPS / np.linalg.norm(MPS, axis=0)
OURS = pi.linops.sense(MPS, MASK)
Y = P.kspace.astype(complex) * MASK


def peer(name):
    """A package, or a skip that says why it is not here."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # half-installed ones raise anything when they are imported
        pytest.skip(f"{name} does not import here: {type(error).__name__}: {str(error).splitlines()[0]}")


def noise(shape):
    return RNG.standard_normal(tuple(shape)) + 1j * RNG.standard_normal(tuple(shape))


def close(x, y, tol=1e-6):
    assert np.linalg.norm(np.asarray(x) - y) <= tol * np.linalg.norm(y)


def as_scipy(A):
    n, m = int(np.prod(A.ishape)), int(np.prod(A.oshape))
    return sla.LinearOperator((m, n), lambda x: A(x.reshape(A.ishape)).ravel(),
                              rmatvec=lambda y: A.H(y.reshape(A.oshape)).ravel(), dtype=complex)


@pytest.mark.parametrize("name", LINOPS)
def test_sigpys_laws_of_a_linop(name):
    """SigPy's tests of its own operators: linear, adjoint, normal, unitary where it says so, and pickled."""
    A = cases.LINOPS[name](np.complex128)
    assert isinstance(A, sp.linop.Linop)
    x, z, y, a = noise(A.ishape), noise(A.ishape), noise(A.oshape), noise(())
    np.testing.assert_allclose(A(a * x + z), a * A(x) + A(z), atol=1e-9 * max(np.linalg.norm(A(x)), 1))
    assert np.vdot(A(x), y) == pytest.approx(np.vdot(x, A.H(y)), rel=1e-8, abs=1e-9)
    close(A.H(A(x)), A.N(x), 1e-8)
    assert np.allclose(A.H.H(x), A(x))
    if getattr(A, "unitary", False):
        close(A.H(A(x)), x, 1e-9)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(A))(x), A(x))


@pytest.mark.parametrize("name", LINOPS)
def test_sigpys_algebra_of_linops(name):
    A = cases.LINOPS[name](np.complex128)
    x = noise(A.ishape)
    D, S = sp.linop.Multiply(A.oshape, 2j), sp.linop.Identity(A.ishape)
    close((D * A * S)(x), 2j * A(x), 1e-12)
    close((A + A)(x), 2 * A(x), 1e-12)
    close((3 * A - A)(x), 2 * A(x), 1e-12)
    close(sp.linop.Vstack([A, A], axis=None)(x), np.tile(A(x).ravel(), 2), 1e-12)
    assert (A.H * A)(x).shape == tuple(A.ishape)


@pytest.mark.parametrize("name", LINOPS)
def test_scipys_operators_and_back(name):
    A = cases.LINOPS[name](np.complex128)
    B = as_scipy(A)
    x, y = noise(B.shape[1:]), noise(B.shape[:1])
    assert np.vdot(B.matvec(x), y) == pytest.approx(np.vdot(x, B.rmatvec(y)), rel=1e-8, abs=1e-9)
    back = pi.linops.from_matrix(B, tuple(A.ishape), tuple(A.oshape))
    close(back(x.reshape(A.ishape)), A(x.reshape(A.ishape)), 1e-12)
    if min(B.shape) > 4:
        top = sla.svds(B, 1, return_singular_vectors=False, random_state=0)[0]
        assert top <= pi.linops.opnorm(A) * (1 + 1e-6)


@pytest.mark.parametrize("app", ["sense", "l1", "tv"])
def test_sigpys_apps_come_to_the_same_image(app):
    """SENSE, L1-wavelet and TV reconstructions of `sigpy.mri.app`, beside ours of the same equation."""
    A = sp.linop.Multiply((4, 24, 20), np.broadcast_to(MASK, (24, 20)) + 0j) * mr.linop.Sense(MPS)
    close(OURS(P.image.astype(complex)), A(P.image.astype(complex)), 1e-9)
    run = {"show_pbar": False, "tol": 1e-13}
    if app == "sense":
        theirs = sp.app.LinearLeastSquares(OURS, Y, lamda=0.01, max_iter=500, **run).run()
        ours = pi.solve(A, Y, 0.01 * pi.Tikhonov(), max_iter=500, tol=1e-12).x
    elif app == "l1":
        W = pi.linops.wavelet((24, 20), "haar")
        theirs = sp.app.LinearLeastSquares(OURS, Y, proxg=sp.prox.UnitaryTransform(sp.prox.L1Reg(W.oshape, 0.02), W),
                                           max_iter=3000, **run).run()
        ours = pi.solve(A, Y, 0.02 * pi.Wavelet("haar"), max_iter=3000, tol=1e-12).x
    else:
        G = sp.linop.FiniteDifference((24, 20))
        theirs = sp.app.LinearLeastSquares(OURS, Y, proxg=sp.prox.L1Reg(G.oshape, 0.02), G=G, max_iter=20000,
                                           **run).run()
        ours = pi.solve(A, Y, 0.02 * pi.TV(isotropic=False), pi.ADMM(), max_iter=5000, tol=1e-12).x
    close(theirs, ours, {"sense": 1e-6, "l1": 1e-5, "tv": 1e-3}[app])


@pytest.mark.parametrize("name", LINOPS)
def test_pylops_dot_test(name):
    pylops = peer("pylops")
    A = cases.LINOPS[name](np.complex128)
    B = pylops.LinearOperator(as_scipy(A), dims=tuple(A.ishape), dimsd=tuple(A.oshape))
    assert pylops.utils.dottest(B, *B.shape, complexflag=3, rtol=1e-7)


def test_pylops_operators_are_operators():
    pylops = peer("pylops")
    G = pylops.Gradient((24, 20), edge=True, kind="forward", dtype=complex)
    A = pi.linops.from_matrix(G)
    assert (tuple(A.ishape), tuple(A.oshape)) == ((24, 20), (2, 24, 20))
    pi.testing.check_linop(A)
    x = noise((24, 20))
    close(A(x), (G @ x.ravel()).reshape(2, 24, 20), 1e-12)
    close(pi.solve(OURS, Y, 0.02 * pi.L1() @ A, max_iter=50).x, pi.solve(
        OURS, Y, 0.02 * pi.L1() @ pi.linops.from_matrix(as_scipy(A), (24, 20), (2, 24, 20)), max_iter=50).x, 1e-9)
    F = pylops.FirstDerivative((24, 20), axis=0, dtype=complex)
    y = (F @ x.ravel()).reshape(24, 20)
    done = pi.solve(F, y, 1e-3 * pi.Tikhonov(), max_iter=300, tol=1e-10)
    assert done.x.shape == (24, 20)
    dense = F.todense()
    close(done.x.ravel(), np.linalg.solve(dense.conj().T @ dense + 1e-3 * np.eye(480), dense.conj().T @ y.ravel()),
          1e-6)


def test_deepinvs_denoisers_and_physics():
    deepinv = peer("deepinv")
    image = torch.tensor(np.stack([P.image.real, P.image.imag])[None], dtype=torch.float32)
    physics = deepinv.physics.MRI(mask=torch.tensor(np.broadcast_to(MASK, (24, 20)).copy())[None, None].float(),
                                  img_size=(24, 20))
    x = P.image.astype(np.complex64)
    flat = pi.linops.sense(np.ones((1, 24, 20), np.complex64), np.broadcast_to(MASK, (24, 20)))
    theirs = physics.A(image)[0].numpy()
    close(theirs[0] + 1j * theirs[1], flat(x)[0], 1e-4)
    D = deepinv.models.MedianFilter() if hasattr(deepinv.models, "MedianFilter") else deepinv.models.TVDenoiser()
    assert pi.solve(OURS, Y, pi.PnP(D, sigma=0.02), max_iter=3).ok
    prior = pi.as_deepinv(0.1 * pi.Tikhonov())
    close(prior.prox(image, gamma=2.0).numpy(), image.numpy() / 1.2, 1e-5)


def test_mrpros_operators():
    mrpro = peer("mrpro")
    F = mrpro.operators.FastFourierOp(dim=(-2, -1))
    x = torch.tensor(noise((24, 20)))
    (theirs,) = F(x)
    close(theirs.numpy(), pi.linops.fft((24, 20))(x.numpy()), 1e-9)
