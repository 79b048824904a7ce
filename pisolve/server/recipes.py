"""The recipes that a server has, by name: read once at its start, so that nothing on the wire is ever a path."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pisolve import _check
from pisolve._axes import SLICE
from pisolve.io.grid import AXES
from pisolve.io.words import printable
from pisolve.recipe import Recipe
from pisolve.recipe.file import SUFFIXES
from pisolve.recipe.order import as_recipe

_NAMES = ("customconfig", "config")  # of the parameters that FIRE and OpenRecon send, the first that says something


class Recipes:
    """One recipe for whatever a client asks for, or a folder of them, of which it must name one.

    Args:
        given: a `Recipe`, a prior, the path of a recipe, or of a folder of them: recipes are called as their files
            without suffix.

    Raises:
        TypeError, ValueError, FileNotFoundError: none of these, a folder without recipes or with two of one name, or a
            recipe that undersamples: what a scanner measures is not thinned out.
    """

    def __init__(self, given):
        self.only, self._named = None, {}
        if isinstance(given, str | os.PathLike) and Path(given).is_dir():
            for path in sorted(p for p in Path(given).iterdir() if p.suffix in SUFFIXES and not p.name.startswith(".")):
                if path.stem in self._named:
                    raise ValueError(f"{given} has two recipes called {path.stem}: rename one")
                self._named[path.stem] = _checked(Recipe.load(path), path)
            if not self._named:
                raise ValueError(f"{given} holds no recipes: files with one of {', '.join(SUFFIXES)} are looked for")
            return
        recipe = Recipe.load(given) if isinstance(given, str | os.PathLike) else as_recipe(given)
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipe must be a Recipe, a prior, or the path of a recipe or of a folder of them, got "
                            f"{_check.brief(given)}")
        self.only = _checked(recipe, "the recipe")

    @property
    def names(self) -> list[str]:
        """What a client may ask for; [] where it has no choice."""
        return list(self._named)

    def named(self, text: str) -> str | None:
        """The name that a configuration asks for: the text itself, or what the JSON of FIRE and OpenRecon says.

        None where it is no name of ours: a text of many lines, or JSON of parameters alone.
        """
        text = text.strip()
        if text.startswith("{"):
            try:
                found = json.loads(text).get("parameters", {})
                text = next((found[n] for n in _NAMES if isinstance(found.get(n), str) and found[n]), "")
            except (ValueError, AttributeError, RecursionError):
                return None
        return text if text and "\n" not in text and len(text) < 256 else None

    def get(self, name: str | None) -> Recipe:
        """The recipe of a name.

        Raises:
            ValueError: there is none, with those there are.
        """
        if self.only is not None:
            return self.only
        found = None if name is None else self._named.get(name) or self._named.get(name.rpartition(".")[0])
        if found is None:
            asked = "no recipe is asked for" if name is None else f"there is no recipe {printable(name)}"
            raise ValueError(f"{asked}: one of {', '.join(self._named)} is needed as the config file")
        return found


def _checked(recipe: Recipe, where) -> Recipe:
    if recipe.sampling is not None:
        raise ValueError(f"{where} undersamples before it reconstructs, and a scanner's data are taken as they are: "
                         "save recipe.replace(sampling=None)")
    return recipe


def of_part(recipe: Recipe, scan) -> Recipe:
    """The recipe for a part that was measured alone: axes of which it has one value are no axes of its scan."""
    return recipe.replace(each=tuple(a for a in recipe.each if a not in AXES.values() or a in (SLICE, *scan.axes)))


def streams(recipe: Recipe) -> tuple[str, ...]:
    """The axes along which a recipe's problems can begin before all was measured; () where it needs all of it."""
    waits = recipe.tune is not None or recipe.x0 is not None or recipe.weights is not None
    return () if waits or "slice" not in recipe.each else recipe.each
