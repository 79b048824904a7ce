"""Priors without an edge: none at all, and the energy."""

from __future__ import annotations

from pisolve import backend
from pisolve._check import array
from pisolve.priors.base import Prior, squared_norm


class Zero(Prior):
    """g(x) = 0: plain least squares, CG-SENSE without regularisation."""

    has_grad = quadratic = True

    def value(self, x):
        return 0.0

    def prox(self, x, step):
        return backend.copy(x)

    def grad(self, x):
        return backend.zeros_like(x)


class Tikhonov(Prior):
    """g(x) = 1/2 ||x - reference||^2; prox(v) = (v + step * reference) / (1 + step).

    Args:
        reference: an image of x's shape that x is drawn to; None for 0.

    Raises:
        TypeError, ValueError: a reference that is no numeric array, not finite, or not of the image's shape.
    """

    has_grad = quadratic = True
    lipschitz = 1.0

    def __init__(self, reference=None):
        self.reference = None if reference is None else array("reference", reference)

    def value(self, x):
        return 0.5 * squared_norm(self.grad(x))

    def prox(self, x, step):
        return (x if self.reference is None else x + step * self._reference(x)) / (1 + step)

    def grad(self, x):
        return backend.copy(x) if self.reference is None else x - self._reference(x)

    def split(self, shape):
        if self.reference is not None and tuple(self.reference.shape) != tuple(shape):
            raise ValueError(f"reference has shape {tuple(self.reference.shape)}, the image has {tuple(shape)}")
        return self, None

    def _reference(self, x):
        """The reference as an array of x's kind and precision."""
        return backend.namespace(x).asarray(self.reference, dtype=x.dtype)
