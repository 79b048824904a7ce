"""Priors without an edge: none at all, and the energy."""

from __future__ import annotations

from pisolve import backend
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
        reference: an image that x is drawn to, (..., y, x); None for 0.
    """

    has_grad = quadratic = True
    lipschitz = 1.0

    def __init__(self, reference=None):
        self.reference = reference

    def value(self, x):
        return 0.5 * squared_norm(self.grad(x))

    def prox(self, x, step):
        return (x if self.reference is None else x + step * self.reference) / (1 + step)

    def grad(self, x):
        return backend.copy(x) if self.reference is None else x - self.reference
