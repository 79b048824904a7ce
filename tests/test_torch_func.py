"""`as_torch` under torch.func: grad, jvp, vjp, vmap, Jacobians and their nesting, against the dense matrix."""

import numpy as np
import pytest
import sigpy
import torch
from cases import LINOPS
from torch import func

import pisolve as pi
from pisolve import linops

NAMES = ["sense-points", "wavelet-haar", "gradient", "dct", "composed", "fft", "blocks"]


def made(name):
    A = LINOPS[name]("complex128")
    return linops.as_torch(A), torch.from_numpy(linops.dense(A, dtype="complex128"))


def numbers(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((*shape, 2)).view(complex)[..., 0])


def flat(M, x):
    return M @ x.reshape(-1)


@pytest.mark.parametrize("name", NAMES)
def test_grad_is_that_of_the_matrix(name):
    T, M = made(name)
    x = numbers(*T.ishape)
    got = func.grad(lambda v: T(v).abs().square().sum())(x)
    torch.testing.assert_close(got.reshape(-1), 2 * M.mH @ flat(M, x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("adjoint", [False, True])
def test_jvp_and_vjp_are_the_operator_and_its_adjoint(name, adjoint):
    T, M = made(name)
    T, M = (T.H, M.mH) if adjoint else (T, M)
    x, t, g = numbers(*T.ishape), numbers(*T.ishape, seed=1), numbers(*T.oshape, seed=2)
    value, slope = func.jvp(T, (x,), (t,))
    torch.testing.assert_close(value.reshape(-1), flat(M, x))
    torch.testing.assert_close(slope.reshape(-1), flat(M, t))
    back, pull = func.vjp(T, x)
    torch.testing.assert_close(back.reshape(-1), flat(M, x))
    torch.testing.assert_close(pull(g)[0].reshape(-1), flat(M.mH, g))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_vmap_is_one_after_another(name, axis):
    T, M = made(name)
    many = numbers(3, *T.ishape)
    got = func.vmap(T, in_dims=axis)(many.movedim(0, axis))
    assert got.shape == (3, *T.oshape)
    torch.testing.assert_close(got.reshape(3, -1), many.reshape(3, -1) @ M.T)
    nested = func.vmap(func.vmap(T))(many[None])
    torch.testing.assert_close(nested[0], got)


def test_derivatives_within_derivatives():
    T, M = made("sense-points")
    x = numbers(*T.ishape)

    def objective(v):
        return 0.5 * T(v).abs().square().sum()

    gradients = func.vmap(func.grad(objective))(torch.stack([x, 2 * x]))
    torch.testing.assert_close(gradients[1].reshape(-1), 2 * M.mH @ flat(M, x))
    t = numbers(*T.ishape, seed=1)
    _, hessian = func.jvp(func.grad(objective), (x,), (t,))  # forward over reverse
    torch.testing.assert_close(hessian.reshape(-1), M.mH @ flat(M, t))
    again = func.grad(lambda v: func.grad(objective)(v).real.sum())(x)  # reverse over reverse
    torch.testing.assert_close(again.reshape(-1), M.mH @ M @ torch.ones_like(x).reshape(-1))


def test_jacobians_of_a_real_image():
    A = linops.gradient((3, 4))
    T, M = linops.as_torch(A), torch.from_numpy(linops.dense(A, dtype="complex128")).real
    x = numbers(3, 4).real.contiguous()
    for jacobian in (func.jacrev, func.jacfwd):
        got = jacobian(lambda v: T(v.to(torch.complex128)).real)(x)
        torch.testing.assert_close(got.reshape(24, 12), M)


def test_forward_mode_and_gradcheck_of_it():
    T, _ = made("wavelet-haar")
    x = numbers(*T.ishape).requires_grad_()
    assert torch.autograd.gradcheck(T, (x,), check_forward_ad=True)
    S = linops.as_torch(sigpy.linop.Resize((5, 5), (4, 4)))
    assert torch.autograd.gradcheck(S, (numbers(4, 4).requires_grad_(),), check_forward_ad=True)


def test_vmap_of_a_denoised_image_and_of_priors():
    """What stands behind `as_torch` in a prior goes along."""
    prior, many = pi.Wavelet("haar"), 0.1 * numbers(3, 8, 8)
    got = func.vmap(lambda x: prior.prox(x, 0.05))(many)
    torch.testing.assert_close(got, torch.stack([prior.prox(x, 0.05) for x in many]))
    slope = func.vmap(func.grad(lambda x: prior.prox(x, 0.05).abs().square().sum()))(many)
    leaf = many.clone().requires_grad_()
    prior.prox(leaf[1], 0.05).abs().square().sum().backward()
    torch.testing.assert_close(slope[1], leaf.grad[1])
