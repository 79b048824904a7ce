"""What the words that ask for trust share: their recipe, its strength, the scan, and how a section is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pisolve import io
from pisolve._check import extra
from pisolve.cli.options import given
from pisolve.cli.recipe import check_no_sampling, make_sampling, recipe_in
from pisolve.cli.say import say, show, table, warn
from pisolve.cli.scans import check_folder, read, selected
from pisolve.evaluate.plan import has_strength
from pisolve.figure import SUFFIXES
from pisolve.io.atomic import place
from pisolve.priors import Zero
from pisolve.recipe import Recipe
from pisolve.recipe.named import DEFAULTS, ZERO_FILLED, named
from pisolve.scan.size import pixel_of


def check_picture(a) -> None:
    """Refuse a picture that could not be written, before the work is done."""
    if a.png is not None:
        if Path(a.png).suffix not in SUFFIXES:
            raise ValueError(f"--png must end in {', '.join(SUFFIXES)}, got {a.png!r}")
        check_folder(a.png)
        place(a.png)
        extra("matplotlib", "plot")


def scan_of(a) -> io.Scan:
    """The slices that are asked for; what is odd about the whole scan goes to stderr."""
    scan = read(a)
    warn(scan.warnings())
    return selected(a, scan)


def recipe_of(a, *, seeded: bool = True) -> Recipe:
    """The recipe that the words name, with their sampling; `seeded`: --seed is of more than the pattern."""
    drawn = a.accel is not None or a.spokes is not None
    if a.seed is not None and not seeded and not drawn:
        more = " or --probe" if hasattr(a, "probe") else ""
        raise ValueError(f"--seed has no effect without --accel{more}: leave it out")
    if a.recipe:
        wanted = ("prior", "method", "accel", "mask", "vary", "spokes", "tune")
        return recipe_in(a, given(a, (*wanted, "seed") if drawn else wanted))  # else of something else
    check_no_sampling(a, given(a, ("accel", "mask", "vary", "spokes")))
    recipe = _asked(getattr(a, "prior", None), getattr(a, "method", None))
    if not drawn:  # --seed is of more than the pattern
        make_sampling(given(a, ("mask", "vary")))
        return recipe
    return replace(recipe, sampling=make_sampling(given(a, ("accel", "mask", "vary", "spokes", "seed"))))


def _asked(prior: str | None, method: str | None) -> Recipe:
    """The recipe of --prior or --method, whose names --prior took, too."""
    if method is not None:
        return named_recipe("method", method)
    if prior == "zero":
        return Recipe(Zero(), name=prior)
    recipe = named_recipe("prior", prior or "wavelet")
    if prior is not None and prior not in DEFAULTS:
        say("note", f"--prior {prior} is called --method {prior} now")
    return recipe


def named_recipe(option: str, word: str) -> Recipe:
    """The recipe of a method's name, given by this option."""
    if word == ZERO_FILLED:
        raise ValueError(f"--{option} {word} is no recipe: compare shows it, trust words need a reconstruction")
    return named(word)


def ready(a, *, seeded: bool = True) -> tuple[Recipe, io.Scan]:
    """The recipe, its strength chosen where --tune or the recipe itself asks for it, and the scan."""
    recipe = recipe_of(a, seeded=seeded)
    if a.tune is not None:
        check_tunable(recipe)
    scan, tune = scan_of(a), a.tune or recipe.tune
    return (recipe if tune is None else tuned(recipe, scan, tune)), scan


def check_tunable(*recipes: Recipe) -> None:
    """Refuse --tune where none of the recipes has a strength."""
    if not any(map(has_strength, recipes)):
        raise ValueError(f"--tune has no effect on {', '.join(r.name for r in recipes)}: no strength to choose")


def tuned(recipe: Recipe, scan, tune: str) -> Recipe:
    """The recipe at the strength that `tune` chooses on the scan."""
    return replace(recipe, prior=replace(recipe, tune=tune)(scan).recipe.prior, tune=None, minutes=None)


def tell(a, section, scan=None) -> None:
    """Print a section, and draw its pictures where that is asked for, in the proportion of the scan's pixels."""
    show(section)
    draw(a, section, scan)


def draw(a, section, scan=None) -> None:
    """Draw a section's pictures where that is asked for."""
    if a.png:
        section = section if scan is None else section.on(pixel_of(scan.meta))
        from pisolve.evaluate.draw import draw as draw_section

        draw_section(section, a.png)
        table([("written", a.png)])
