"""The word `shift`: methods away from the conditions that they were tuned for."""

from pisolve.cli.options import add_methods, add_png, add_progress, names, numbers
from pisolve.cli.parser import add_word


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "try methods under other anatomy, acceleration, masks and noise than their own", _options)


def _options(new) -> None:
    from pisolve.tuning import CRITERIA

    add = new.add_argument
    add("scans", nargs="+", metavar="scan", help="fully sampled; the first one is home")
    add_methods(new)
    add("--tune", choices=CRITERIA, help="choose strengths at home; default: as they are")
    add("--accels", type=numbers, default=[4.0], metavar="R,...", help="the first one is home; default: 4")
    add("--masks", type=names, default=["random"], metavar="KIND,...", help="default: random")
    add("--noises", type=numbers, default=[0.0], metavar="S,...", help="added, in units of the image's 99th "
        "percentile; default: 0")
    add("--grid", action="store_true", help="all combinations")
    add_png(new)
    add_progress(new)


def run(a) -> None:
    """Try methods under other conditions than their own."""
    from pisolve.cli.trust import check_picture, check_tunable, named_recipe, tell
    from pisolve.evaluate import shift
    from pisolve.evaluate.sources import scans_of

    check_picture(a)
    recipes = {word: named_recipe("methods", word) for word in a.methods}
    if a.tune is not None:
        check_tunable(*recipes.values())
    scans, _ = scans_of(a.scans)
    if a.tune is not None:
        home = next(iter(scans.values()))
        recipes = {word: _tuned(recipe, home, a) for word, recipe in recipes.items()}
    found = shift(recipes, scans, accels=a.accels, masks=a.masks, noises=a.noises, grid=a.grid, progress=a.progress)
    tell(a, found.section())


def _tuned(recipe, home, a):
    """The recipe at the strength that suits the scan at home."""
    from dataclasses import replace

    from pisolve.cli.trust import tuned
    from pisolve.evaluate.plan import has_strength
    from pisolve.recipe import Sampling

    if not has_strength(recipe):
        return recipe
    return replace(tuned(replace(recipe, sampling=Sampling(a.masks[0], a.accels[0])), home, a.tune), sampling=None)
