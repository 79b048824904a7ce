"""Priors that others wrote, and ours for others: SigPy's `Prox`, deepinv's `Prior`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pisolve import backend
from pisolve._check import brief, is_torch, number
from pisolve._check import shape as check_shape
from pisolve.priors.base import Prior
from pisolve.priors.quadratic import Tikhonov, Zero
from pisolve.priors.sparse import L1


class SigpyProx(Prior):
    """A `sigpy.prox.Prox` as a prior: its prox is known, its value is not."""

    implicit = True

    def __init__(self, sigpy):
        self.sigpy = sigpy

    def value(self, x):
        return None

    def prox(self, x, step):
        if is_torch(x):
            return backend.to_torch(self.prox(backend.from_torch(x.detach()), step)).to(x.device)
        out = self.sigpy(step, x)
        return backend.copy(out).astype(x.dtype, copy=False)  # NoOp gives its input back

    def split(self, shape):
        if tuple(self.sigpy.shape) != tuple(shape):
            raise ValueError(f"the prox {self.sigpy!r} takes shape {tuple(self.sigpy.shape)}, the image is "
                             f"{tuple(shape)}")
        return self, None

    def __repr__(self):
        return f"SigpyProx({' '.join(repr(self.sigpy).split())})"


def as_prior(prior: Prior) -> Prior:
    """A prior; of a `sigpy.prox.Prox` the prior that it is the prox of. Anything else comes back as it is.

    L1Reg, L2Reg and NoOp become `lamda * L1()`, `lamda * Tikhonov(y)` and `Zero()`, with value and gradient; of others
    only the prox is known, and the shape must be that of the unknown.
    """
    if isinstance(prior, Prior) or not (hasattr(prior, "_prox") and hasattr(prior, "shape") and callable(prior)):
        return prior
    make, lam = _KNOWN.get(type(prior).__name__), getattr(prior, "lamda", 1)
    plain = make is not None and type(prior).__module__.startswith("sigpy.") and np.ndim(lam) == 0
    made = make(prior) if plain else None
    return SigpyProx(prior) if made is None else number("lamda", lam, low=0) * made if lam != 1 else made


def _l2(prox):
    return None if prox.proxh is not None else Tikhonov() if prox.y is None else Tikhonov(np.asarray(prox.y))


_KNOWN = {"L1Reg": lambda prox: L1(), "L2Reg": _l2, "NoOp": lambda prox: Zero()}


def as_sigpy(prior: Prior, shape: Sequence[int]) -> Any:
    """A prior as a `sigpy.prox.Prox` for arrays of this shape, for SigPy's apps and algorithms.

    Raises:
        TypeError: no prior.
        ValueError: a prior without a prox, or one that does not fit the shape.
    """
    from pisolve.backend._sigpy import sigpy

    prior, shape = _with_prox(prior), check_shape("shape", shape)
    prior.split(shape)

    class Prox(sigpy.prox.Prox):
        """prox of alpha g."""

        def _prox(self, alpha, input):
            return prior.prox(input, alpha)

    return Prox(shape, repr_str=repr(prior))


def _with_prox(prior):
    if not isinstance(prior, Prior):
        raise TypeError(f"prior must be a pisolve prior, got {brief(prior)}")
    if not prior.has_prox and not prior.slow_prox:
        raise ValueError(f"{prior!r} has no prox of its own: solve with it by pi.ADMM() or pi.PDHG(), which split it")
    return prior


def as_deepinv(prior: Prior) -> Any:
    """A prior in deepinv's manner: `fn(x)`, `grad(x)`, `prox(x, gamma=)` on batches (B, C, y, x) of torch tensors.

    A real tensor of two channels is real and imaginary part, as deepinv's MRI physics has it, and so is what comes
    back; of other tensors each channel is an image, and real ones stay real. Further arguments, such as a denoiser's
    sigma, are taken and have no effect: the prior has its own.

    Raises:
        TypeError: no prior.
    """
    if not isinstance(prior, Prior):
        raise TypeError(f"prior must be a pisolve prior, got {brief(prior)}")
    return DeepinvPrior(prior)


class DeepinvPrior:
    """What `as_deepinv` returns; `explicit_prior` says whether there is a value."""

    def __init__(self, prior):
        self.prior, self.explicit_prior = prior, not prior.implicit

    def __call__(self, x, *args, **kwargs):
        return self.fn(x, *args, **kwargs)

    forward = __call__

    def fn(self, x, *args, **kwargs):
        """g of each image of the batch, (B,)."""
        values = [float(sum(self.prior.value(c) for c in images)) for images in _images(x)]
        return x.real.new_tensor(values)

    def grad(self, x, *args, **kwargs):
        """The gradient of g."""
        return _joined(x, [[self.prior.grad(c) for c in images] for images in _images(x)])

    def prox(self, x, *args, gamma=1.0, **kwargs):
        """argmin_u 1/2 ||u - x||^2 + gamma g(u)."""
        _with_prox(self.prior)
        return _joined(x, [[self.prior.prox(c, float(gamma)) for c in images] for images in _images(x)])

    def __repr__(self):
        return f"as_deepinv({self.prior!r})"


def _pairs(x) -> bool:
    return not x.is_complex() and x.ndim > 3 and x.shape[1] == 2


def _images(x):
    """For each of the batch its complex images."""
    import torch

    if _pairs(x):
        return [[torch.complex(one[0].contiguous(), one[1].contiguous())] for one in x]
    return [list(one if one.is_complex() else one.to(torch.complex128 if one.dtype == torch.float64 else
                                                     torch.complex64)) for one in x]


def _joined(x, images):
    import torch

    if _pairs(x):
        return torch.stack([torch.stack([one[0].real, one[0].imag]) for one in images])
    out = torch.stack([torch.stack(list(one)) for one in images])
    return out if x.is_complex() else out.real
