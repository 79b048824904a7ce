"""A denoiser as the score of the images it knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pisolve import backend
from pisolve._check import is_torch
from pisolve._types import Array, ArrayLike
from pisolve.priors.adapter import as_denoiser


class Score:
    """grad log p_sigma(x) = (D(x, sigma) - x) / sigma^2, by Tweedie's formula.

    p_sigma is the density of images with Gaussian noise of standard deviation sigma in the real and in the imaginary
    part each; D is the mean of the image given the noisy one, which a denoiser trained by squared error estimates.

    Args:
        denoiser: as for `PnP`, for any sigma: a callable D(x, sigma), a module or a `Denoiser`.

    Raises:
        TypeError: as `Denoiser`.
        ValueError: a denoiser that knows one level only.

    Reference:
        Robbins, Proc 3rd Berkeley Symp (1956) 157; Efron, J Am Stat Assoc 106 (2011) 1602; Vincent, Neural Comput 23
        (2011) 1661.

    Example:
        pi.sample(scan, pi.Score(D), n=2)
    """

    denoiser: Any

    def __init__(self, denoiser: Any):
        self.denoiser: Any = as_denoiser(denoiser)
        if self.denoiser.level is not None and not self.denoiser.rescale:
            raise ValueError(f"{self.denoiser.name} knows one noise level only, and sampling goes through many: give a "
                             "denoiser for any, or load it with rescale=True")

    def mean(self, x: ArrayLike, sigma: float) -> Array:
        """E[image | x] = D(x, sigma)."""
        return self.denoiser(x, sigma)

    def __call__(self, x: ArrayLike, sigma: float) -> Array:
        return (self.denoiser(x, sigma) - x) / sigma**2

    def linear(self, x: ArrayLike, sigma: float) -> tuple[Array, Callable[..., Any]]:
        """(D(x, sigma), v -> J^H v) with J the derivative of D at x, over real and imaginary parts.

        Raises:
            TypeError: a denoiser that torch cannot differentiate.
        """
        import torch

        with torch.enable_grad(), backend.joined(x):
            there = backend.to_torch(x).detach().requires_grad_()
            try:
                mean = self.denoiser(there, sigma)
            except (RuntimeError, TypeError) as error:
                raise TypeError(self._underived()) from error
        if not mean.requires_grad:
            raise TypeError(self._underived())

        def pulled(v):
            with backend.joined(x):
                found, = torch.autograd.grad(mean, there, backend.to_torch(v), retain_graph=True)
            return found if is_torch(x) else backend.from_torch(found, x)

        return mean.detach() if is_torch(x) else backend.from_torch(mean, x), pulled

    def _underived(self):
        return (f"the derivative of {self.denoiser.name} is asked for, and torch cannot take it: give a torch module, "
                "or a sampler without it, pi.ImplicitLangevin()")

    def __repr__(self) -> str:
        return f"Score({self.denoiser.name})"
