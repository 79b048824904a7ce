"""The word `stability`: what small changes of the data do to the image."""

from pisolve.cli.options import add_method, names, numbers
from pisolve.cli.parser import add_word
from pisolve.cli.say import show


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "perturb the data, insert small structures, change the number of samples", _options)


def _options(new) -> None:
    from pisolve.recipe.named import TESTS

    add_method(new, image=True, noise=False, seed="the pattern, noise and places")
    add = new.add_argument
    add("--sizes", type=numbers, default=[0.5, 1.0, 2.0, 5.0], metavar="P,...", help="percent; default: 0.5,1,2,5")
    add("--tests", type=names, default=list(TESTS), metavar="NAME,...", help=f"default: {','.join(TESTS)}")
    add("--steps", type=int, default=5, help="of the search; default: 5")
    add("--cluster", metavar="ADDRESS", help="a Dask cluster that makes the tests, as for recon")


def run(a) -> None:
    """Perturb the data, insert small structures, change the number of samples."""
    from pisolve.cli.trust import check_picture, draw, ready
    from pisolve.evaluate import stability

    check_picture(a)
    sizes = [s / 100 for s in a.sizes]
    recipe, scan = ready(a)
    found = stability(recipe, scan, sizes=sizes, tests=a.tests, steps=a.steps, seed=a.seed or 0,
                      client=a.cluster, progress=a.progress)
    for section in found.sections():
        show(f"{section}\n")
    draw(a, found.section(), scan)
