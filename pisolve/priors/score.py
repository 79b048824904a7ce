"""A denoiser as the score of the images it knows."""

from __future__ import annotations

from typing import Any

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

    def __repr__(self) -> str:
        return f"Score({self.denoiser.name})"
