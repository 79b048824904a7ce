"""Recipes: from k-space to image, named, saved and run again alike."""

from pisolve.recipe.order import check_fixed, in_order
from pisolve.recipe.recipe import (
    SAMPLINGS,
    Espirit,
    Recipe,
    Reconstruction,
    Sampling,
    as_scan,
    zero_filled_scale,
)
from pisolve.recipe.recon import recon
from pisolve.recipe.reconstruction import WORST, repeated

__all__ = ["SAMPLINGS", "WORST", "Espirit", "Recipe", "Reconstruction", "Sampling", "as_scan", "check_fixed",
           "in_order", "recon", "repeated", "zero_filled_scale"]
