"""Priors without an edge: none at all, and the energy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pisolve import backend
from pisolve._check import array, dtype_name, linop
from pisolve._types import Array, ArrayLike
from pisolve.linops import apply, opnorm
from pisolve.linops.solve import cg_solve
from pisolve.priors._dual import squared_norm
from pisolve.priors.base import Prior


class Zero(Prior):
    """g(x) = 0: plain least squares, CG-SENSE without regularisation.

    Use:
        to see what a prior adds, or with many coils at low acceleration. Noise grows with the iterations of CG, so
        their number is the regularisation.

    Reference:
        Pruessmann et al., Magn Reson Med 46 (2001) 638.

    Example:
        pi.recon(scan, pi.Zero(), max_iter=10)
    """

    has_grad = quadratic = pointwise = True

    def value(self, x: ArrayLike) -> float | None:
        return 0.0

    def prox(self, x: ArrayLike, step: Any) -> Array:
        return backend.copy(x)

    def grad(self, x: ArrayLike) -> Array:
        return backend.zeros_like(x)


class Tikhonov(Prior):
    """g(x) = 1/2 ||x - reference||^2; prox(v) = (v + step * reference) / (1 + step).

    Use:
        for a fast and linear reconstruction, and towards a known image. It does not tell noise from detail.

    Args:
        reference: an image of x's shape that x is drawn to; None for 0.

    Raises:
        TypeError, ValueError: a reference that is no numeric array, not finite, or not of the image's shape.

    Reference:
        Tikhonov and Arsenin, Solutions of ill-posed problems (1977).

    Example:
        pi.recon(scan, 1e-2 * pi.Tikhonov())
    """

    lipschitz: float
    reference: Any

    has_grad = quadratic = pointwise = True
    lipschitz: float = 1.0

    def __init__(self, reference: ArrayLike | None = None):
        self.reference: Any = None if reference is None else array("reference", reference)
        self._constant = None if reference is None else backend.Constant(self.reference)

    def value(self, x: ArrayLike) -> float | None:
        return 0.5 * squared_norm(self.grad(x))

    def prox(self, x: ArrayLike, step: Any) -> Array:
        return (x if self.reference is None else x + step * self._reference(x)) / (1 + step)

    def grad(self, x: ArrayLike) -> Array:
        return backend.copy(x) if self.reference is None else x - self._reference(x)

    def split(self, shape: Sequence[int]) -> tuple[Prior, Any]:
        if self.reference is not None and tuple(self.reference.shape) != tuple(shape):
            raise ValueError(f"reference has shape {tuple(self.reference.shape)}, the image has {tuple(shape)}")
        return self, None

    def _reference(self, x):
        """The reference as an array of x's kind and precision."""
        return self._constant.like(x, dtype_name(x))


class Quadratic(Prior):
    """g(x) = 1/2 ||G (x - reference)||^2, Tikhonov's regularisation in its general form.

    Conjugate gradients solve the problem; ADMM and PDHG may split it into `Tikhonov(G reference)` behind G. The prox,
    reference + (I + step G^H G)^-1 (v - reference), is by conjugate gradients to the precision of the array.

    Use:
        for smoothness, or weights for a region, where the result has to be linear in the data. It smooths edges, too.

    Args:
        G: a linear operator on images: `linops.gradient(shape)` for smoothness, weights for a region, ...
        reference: an image of G's input shape that x is drawn to, in the units of x; None for 0.

    Raises:
        TypeError, ValueError: G is no operator; a reference that is no numeric array, not finite, or of another shape.

    Reference:
        Tikhonov and Arsenin, Solutions of ill-posed problems (1977); Ying, Xu and Liang, ISBI 2004, 1056, for SENSE.

    Example:
        pi.recon(scan, 1e-2 * pi.Quadratic(pi.linops.gradient(shape)))
    """

    G: Any
    reference: Any

    has_prox = False
    slow_prox = has_grad = quadratic = True

    def __init__(self, G: Any, reference: ArrayLike | None = None):
        self.G, self._energy = linop("G", G), Tikhonov(reference)
        self.reference: Any = self._energy.reference
        self._energy.split(G.ishape)

    @cached_property
    def lipschitz(self) -> float:
        """||G||^2."""
        return opnorm(self.G) ** 2

    def value(self, x: ArrayLike) -> float | None:
        return 0.5 * squared_norm(apply(self.G, self._energy.grad(x)))

    def grad(self, x: ArrayLike) -> Array:
        return apply(self.G.N, self._energy.grad(x))

    def prox(self, x: ArrayLike, step: Any) -> Array:
        r = self._energy.grad(x)
        tol = 1e-12 if dtype_name(x) == "complex128" else 1e-6
        d = cg_solve(lambda v: v + step * apply(self.G.N, v), r, backend.zeros_like(r), iterations=1000, tol=tol)
        return x - r + d

    def split(self, shape: Sequence[int]) -> tuple[Prior, Any]:
        if tuple(self.G.ishape) != tuple(shape):
            raise ValueError(f"the prior's operator takes shape {tuple(self.G.ishape)}, the image is {tuple(shape)}")
        return Tikhonov(None if self.reference is None else self.G(self.reference)), self.G

    def __repr__(self) -> str:
        return f"Quadratic({self.G.repr_str}{'' if self.reference is None else ', reference'})"
