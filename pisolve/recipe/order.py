"""Recipe and scan, in whichever order they come: `recon` takes the scan first, what judges a recipe the recipe."""

from __future__ import annotations

from typing import Any

from pisolve._check import brief
from pisolve.prepare import as_scan
from pisolve.priors import Prior
from pisolve.recipe.recipe import Recipe
from pisolve.recipe.reconstruction import Reconstruction
from pisolve.scan import Scan


def check_fixed(recipe: Any) -> Recipe:
    """Refuse what is no recipe, or one whose strength is still to be chosen, where it is run on more than one scan."""
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a pi.Recipe, got {brief(recipe)}")
    if recipe.tune is not None:
        raise ValueError("recipe tunes its strength: run it once and give the reconstruction's recipe, whose is fixed")
    return recipe


def in_order(call: str, recipe: Any, scan: Any = None) -> tuple[Recipe, Scan]:
    """(recipe, scan) of (recipe, scan), (scan, recipe) or (result,), where a prior or a result stands for a recipe.

    A result alone gives its own recipe and the scan as it was solved, after whitening, undersampling and compression,
    which the recipe then leaves out. A result beside a recipe or a prior gives its scan.

    Args:
        call: the function's name, for messages.
        recipe, scan: as they were given.

    Raises:
        TypeError, ValueError: no recipe, one that tunes, no scan.
    """
    recipe, scan = ordered(recipe, scan)
    if scan is None:
        if not isinstance(recipe, Reconstruction):
            lacks = "a scan" if is_method(recipe) else "a recipe"
            raise TypeError(f"{call} needs {lacks}, too: {call}(recipe, scan), or {call}(result)")
        return check_fixed(own(recipe)), recipe.scan
    return check_fixed(as_recipe(recipe)), as_scan(scan)


def ordered(recipe, scan) -> tuple:
    """(recipe, scan), changed for each other where the second is the one that says a recipe."""
    result = isinstance(scan, Reconstruction) and not isinstance(recipe, Reconstruction)
    says = is_method(scan) or (result and not is_method(recipe))
    return (scan, recipe) if says else (recipe, scan)


def own(result: Reconstruction) -> Recipe:
    """The recipe of a result for its own scan, which is corrected, white, undersampled and compressed already."""
    return result.recipe.replace(sampling=None, whiten=False, compress=None, delays=None, shot_factors=False)


def is_method(x) -> bool:
    """Whether x is a recipe, or a prior, which says one."""
    return isinstance(x, Recipe | Prior)


def as_recipe(x):
    """The recipe that a prior or a result stands for; anything else as it is."""
    if isinstance(x, Reconstruction):
        return x.recipe
    return Recipe(x) if isinstance(x, Prior) else x
