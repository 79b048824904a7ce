"""Recipes: from k-space to image, named, saved and run again alike."""

from pisolve.recipe.automatic import ScanNoise
from pisolve.recipe.noise import scan_noise
from pisolve.recipe.order import check_fixed, in_order
from pisolve.recipe.quantify import Quantified, quantify
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
from pisolve.recipe.sample import Samples, sample

__all__ = ["SAMPLINGS", "WORST", "Espirit", "Quantified", "Recipe", "Reconstruction", "Samples", "Sampling",
           "ScanNoise", "as_scan", "check_fixed", "in_order", "quantify", "recon", "repeated", "sample", "scan_noise",
           "zero_filled_scale"]
