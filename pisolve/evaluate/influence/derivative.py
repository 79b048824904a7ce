"""The derivative of Re <w, x(y)> in the samples y of a recipe that is run again."""

from __future__ import annotations

import numpy as np

from pisolve import _check
from pisolve.linops.solve import cg_solve

_ITERATIONS, _TOL = 500, {"float32": 1e-6, "float64": 1e-12}


def is_linear(replay) -> bool:
    """Whether the image is the minimum of a quadratic problem, A^H A + lam R of full rank: affine in the data."""
    recipe = replay.recipe
    if recipe.network is not None or recipe.consistency or not recipe.method.tunable or replay.scan.weights is not None:
        return False
    prior = recipe.prior
    return bool(prior.quadratic and getattr(prior, "lipschitz", 0) > 0)


def analytic(replay, weights) -> np.ndarray:
    """B^H w of x = B y + c, B = (A^H A + lam R)^-1 A^H / size.

    Raises:
        NotImplementedError: the image is not linear in the data.
    """
    if not is_linear(replay):
        raise NotImplementedError("the image is no minimum of a quadratic problem with Sense() and a quadratic prior "
                                  "of some strength, so not linear in the data; take 'gradient'")
    A, prior = replay.model.A, replay.recipe.prior
    still = prior.grad(np.zeros(A.ishape, replay.kspace.dtype))
    w = (weights / replay.model.size).astype(replay.kspace.dtype).reshape(A.ishape)
    u = cg_solve(lambda p: A.N(p) + prior.grad(p) - still, w, np.zeros_like(w), iterations=_ITERATIONS,
                 tol=_TOL[_check.real_name(w)])
    return A(u) * replay.mask


def gradient(replay, weights, kspace, image=None) -> np.ndarray:
    """The derivative at some k-space through the whole run, on torch tensors.

    Args:
        replay, weights: as for `analytic`.
        kspace: (..., coil, ky, kx), where it is taken.
        image: `replay.tensor_map()`, for more than one call.

    Raises:
        NotImplementedError: this recipe has no derivative, and why.
    """
    import torch

    image = replay.tensor_map() if image is None else image
    w = torch.from_numpy(np.ascontiguousarray(weights))
    y = torch.from_numpy(np.array(kspace)).requires_grad_()
    with torch.enable_grad():
        x = image(y)
        signal = (w.to(y.device, y.dtype).conj() * x).real.sum()
        g, = torch.autograd.grad(signal, y)
    g = g.resolve_conj().cpu().numpy() * replay.mask
    if not np.isfinite(g).all():
        raise NotImplementedError("its derivative is not finite")
    return g


def path(replay, weights, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(mean of `gradient` over t y for t in 0..1, by Gauss and Legendre's rule of `steps` points; image of no data)."""
    import torch

    image = replay.tensor_map()
    at, share = np.polynomial.legendre.leggauss(steps)
    total = 0
    for t, part in zip((at + 1) / 2, share / 2):
        total = total + part * gradient(replay, weights, (t * replay.kspace).astype(replay.kspace.dtype), image)
    with torch.no_grad():
        still = image(torch.from_numpy(np.zeros_like(replay.kspace)))
    return total.astype(replay.kspace.dtype), still.resolve_conj().cpu().numpy()
