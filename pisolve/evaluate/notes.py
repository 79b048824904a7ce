"""Which methods of a comparison are judged in what, and what is to be said where one is not."""

from __future__ import annotations

from pisolve.recipe import Recipe
from pisolve.tuning.strength import family


def predicts(recipe: Recipe | None) -> bool:
    """Whether a method can predict withheld samples: A^H y and magnitudes cannot, nor RAKI, whose lattice they are."""
    return recipe is not None and recipe.method.predicts


def unjudged(plan, scan) -> list[str]:
    """Which methods are not tuned though their prior has a strength, and which predict no withheld samples."""
    notes = []
    for name, recipe in plan.methods.items():
        if plan.tune is not None and not plan.tuned(name) and _has_strength(recipe):
            notes.append(f"the prior of {name} keeps the strength it was given: tune is for SENSE with one set of maps")
        lattice = recipe is not None and recipe.method.fills and not recipe.method.predicts
        if scan.reference is None and lattice:
            notes.append(f"{name} has no hold-out error: withheld samples would break the lattice that RAKI needs")
    return notes


def _has_strength(recipe) -> bool:
    try:
        return recipe is not None and recipe.prior is not None and bool(family(recipe.prior))
    except ValueError:
        return False
