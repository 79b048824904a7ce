"""A preconditioner P as the metric in which solvers step: the direction P g, and norms as P sees them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._check import array
from pisolve.linops.autograd import apply
from pisolve.linops.util import top


class Metric:
    """P, Hermitian and positive definite, on images of one shape; the identity where it is None.

    A solver that steps by P g is the plain one for u = P^-1/2 x, so ||K||^2 becomes the largest eigenvalue of P K^H K.

    Args:
        P: an operator on images, a function of images, or a real array > 0 that broadcasts to them, P's diagonal.
        shape: the image's.

    Raises:
        TypeError, ValueError: no such P, one of another shape, a diagonal that is not positive.
    """

    plain: bool

    def __init__(self, P: Any, shape: Any) -> None:
        self.plain, self.diagonal = P is None, None
        self._P = P
        if P is None:
            return
        if _check.is_array(P):
            self.diagonal: Any = backend.Constant(_diagonal(P, shape))
        elif not callable(P):
            raise TypeError(f"preconditioner must be an operator, a function of images or an array, P's diagonal, got "
                            f"{type(P).__name__}")
        elif hasattr(P, "ishape") and (tuple(P.ishape) != shape or tuple(P.oshape) != shape):
            raise ValueError(f"preconditioner is an operator from {tuple(P.ishape)} to {tuple(P.oshape)}, it must keep "
                             f"the image's {shape}")

    def __call__(self, g: Any) -> Any:
        """P g."""
        if self.plain:
            return g
        if self.diagonal is not None:
            return self.steps(g) * g
        return apply(self._P, g) if hasattr(self._P, "ishape") else self._P(g)

    def takes(self, prior: Any) -> bool:
        """Whether the prox of a prior stays what it is in this metric: P is the identity, or both go pixel by pixel."""
        return self.plain or (self.diagonal is not None and prior.pointwise)

    def steps(self, x: Any) -> Any:
        """The diagonal as an array of x's kind and precision; 1 without P, None where P is not diagonal."""
        if self.plain:
            return 1
        return None if self.diagonal is None else self.diagonal.like(x, _check.real_name(x))

    def size(self, like: Any) -> float:
        """||P||; 1 without P."""
        if self.plain:
            return 1.0
        if self.diagonal is not None:
            return float(self.diagonal.array.max())
        return self.norm2(lambda x: x, like)

    def norm2(self, N: Any, like: Any, iterations: int = 30) -> float:
        """The largest eigenvalue of P N for N = K^H K, 1 % larger than Lanczos finds it in N's inner product."""
        rng = np.random.default_rng(0)
        v = rng.standard_normal(like.shape) + 1j * rng.standard_normal(like.shape)
        v = backend.like(v, like)
        size = float(backend.dot(v, N(v))) ** 0.5
        return 1.01 * top(self, v / size, iterations, N) if size > 0 else 0.0


def _diagonal(P, shape):
    array("preconditioner", P)  # numbers, finite
    if P.ndim > len(shape) or any(n not in (1, m) for n, m in zip(P.shape[::-1], shape[::-1])):
        raise ValueError(f"preconditioner has shape {tuple(P.shape)}, it must broadcast to the image's {shape}")
    if "complex" in _check.dtype_name(P) or not bool((P > 0).all()):
        raise ValueError("preconditioner is an array, P's diagonal: give real numbers above 0")
    return P
