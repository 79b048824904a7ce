"""The one equation: minimise over x  1/2 ||A x - y||^2 + g(x)."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pisolve import _check, backend
from pisolve._check import array, dtype_name, is_cupy, is_torch
from pisolve.linops import as_torch, opnorm
from pisolve.linops.autograd import TorchLinop
from pisolve.priors import Prior, Zero
from pisolve.priors.base import Sum, real, squared_norm


class Problem:
    """minimise 1/2 ||A x - y||^2 + g(x), with what solvers ask of it, computed once.

    Args:
        A: a linop (`sigpy.linop.Linop` or pisolve's), image -> data.
        y: the data, of A's output shape; numpy, cupy, or torch (then A is applied differentiably). Never changed.
        prior: g.

    Raises:
        TypeError: A is no operator, y no numeric array, prior no `Prior`.
        ValueError: y of another shape than A's output, empty, not finite, or too large or small for its precision.
    """

    def __init__(self, A, y, prior: Prior | None = None):
        A = A.A if isinstance(A, TorchLinop) else _check.linop("A", A)
        self.y = array("y", y)
        if tuple(self.y.shape) != tuple(A.oshape):
            raise ValueError(f"y has shape {tuple(self.y.shape)}, but A makes data of shape {tuple(A.oshape)}")
        size = real(backend.norm(self.y))
        if size > 0 or bool((self.y != 0).any()):
            _check.scale("y", size, dtype_name(self.y), "multiply y, or let pi.recon scale it")
        prior = Zero() if prior is None else prior
        if not isinstance(prior, Prior):
            raise TypeError(f"prior must be a pisolve prior, got {type(prior).__name__}: "
                            "a denoiser or network goes in as pi.PnP(D, sigma) or pi.RED(D, sigma)")
        self.A = as_torch(A) if is_torch(self.y) else A
        self.linop = A
        self.prior = prior
        self.ishape = tuple(A.ishape)
        prior.split(self.ishape)  # an operator inside the prior that does not fit is refused here

    @cached_property
    def AHy(self):
        """A^H y."""
        return self.A.H(self.y)

    @cached_property
    def lipschitz(self) -> float:
        """L >= ||A||^2, the Lipschitz constant of the data term's gradient."""
        return max(opnorm(self.linop, like=None if is_torch(self.y) else self.AHy) ** 2, 1e-30)

    @cached_property
    def curvature(self) -> float:
        """||A b||^2 / ||b||^2 at b = A^H y: A^H A as the data sees it, near L unless A has a hot spot."""
        b = self.AHy
        energy = squared_norm(b)
        return real(backend.dot(b, self.normal(b))) / energy or self.lipschitz if energy > 0 else self.lipschitz

    @cached_property
    def forms(self) -> tuple[Prior, Prior]:
        """(h, f) with g = h + f, h by its gradient and f by its prox: what proximal gradient methods see."""
        if self.prior.has_prox:
            return Zero(), self.prior
        parts = self.prior.priors if isinstance(self.prior, Sum) else [self.prior]
        smooth = [p for p in parts if p.has_grad]
        rest = [p for p in parts if not p.has_grad]
        if len(rest) > 1 or not all(p.has_prox or p.slow_prox for p in rest):
            raise ValueError(f"{self.prior!r} has no prox of its own: take ADMM() or PDHG(), which split it")
        return Sum(smooth) if smooth else Zero(), rest[0] if rest else Zero()

    def normal(self, x):
        """A^H A x."""
        return self.A.N(x)

    def data_grad(self, x):
        """The gradient of the data term, A^H (A x - y)."""
        return self.A.N(x) - self.AHy

    def data_value(self, x) -> float:
        """1/2 ||A x - y||^2."""
        return 0.5 * squared_norm(self.A(x) - self.y)

    def value(self, x) -> float | None:
        """The objective at x; None where the prior is implicit."""
        g = self.prior.value(x)
        return None if g is None else self.data_value(x) + g

    def start(self, x0=None, *, zero: bool = False):
        """The first iterate: a checked x0, else A^H y / L (or zeros)."""
        if x0 is None:
            return backend.zeros_like(self.AHy) if zero else self.AHy / self.lipschitz
        x0 = array("x0", x0, shape=self.ishape)
        if (is_torch(x0), is_cupy(x0)) != (is_torch(self.AHy), is_cupy(self.AHy)):
            raise TypeError(f"x0 is a {type(x0).__name__}, y a {type(self.y).__name__}: give both of one kind")
        with np.errstate(over="ignore"):  # a copy, in the precision of the run
            x0 = x0.to(self.AHy.dtype, copy=True) if is_torch(x0) else x0.astype(self.AHy.dtype)
        return array("x0", x0)
