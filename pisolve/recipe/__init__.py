"""Recipes: from k-space to image, named, saved and run again alike."""

from pisolve.recipe.recipe import (
    SAMPLINGS,
    Espirit,
    Recipe,
    Reconstruction,
    Sampling,
    as_scan,
    check_fixed,
    recon,
    zero_filled_scale,
)
from pisolve.recipe.reconstruction import WORST, repeated

__all__ = ["SAMPLINGS", "WORST", "Espirit", "Recipe", "Reconstruction", "Sampling", "as_scan", "check_fixed", "recon",
           "repeated", "zero_filled_scale"]
