"""Draws from the posterior as an uncertainty: by a denoiser that is given, or the one in the recipe's prior."""

from __future__ import annotations

from pisolve.priors import Score
from pisolve.recipe import sample
from pisolve.solvers.base import walk


def score_of(recipe) -> Score | None:
    """The score by the denoiser in a recipe's prior; None where there is none, or one that knows one level only."""
    for prior in walk(recipe.prior):
        denoiser = getattr(prior, "denoiser", None)
        if denoiser is not None and (denoiser.level is None or denoiser.rescale):
            return Score(denoiser)
    return None


def drawn(recipe, scan, score, *, n: int, seed: int) -> list:
    """n images from the posterior of the scan as the recipe prepares it.

    Raises:
        ValueError: no score, and none in the recipe.
    """
    score = score_of(recipe) if score is None else score
    if score is None:
        raise ValueError("by='posterior' needs a denoiser for any level: score=pi.Score(D), or a recipe with pi.PnP(D)")
    return list(sample(scan, score, n=n, seed=seed, recipe=recipe).samples)
