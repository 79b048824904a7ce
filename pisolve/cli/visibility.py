"""The word `visibility`: where the samples determine small structures."""

from pisolve.cli.options import add_method
from pisolve.cli.parser import add_word


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "map where the samples determine small structures, and where they could be invented or lost",
             _options)


def _options(new) -> None:
    add_method(new, image=False, noise=True, seed="the pattern")
    new.add_argument("--width", type=float, default=3.0, help="of the structure in pixels; default: 3")
    new.add_argument("--grid", type=int, default=16, help="places along the longer side; default: 16")


def run(a) -> None:
    """Map where the samples determine small structures."""
    from pisolve.cli.trust import check_picture, recipe_of, scan_of, tell
    from pisolve.evaluate import visibility

    check_picture(a)
    scan = recipe_of(a, seeded=False).prepare(scan_of(a))
    tell(a, visibility(scan, width=a.width, grid=a.grid, noise=a.noise).section(), scan)
