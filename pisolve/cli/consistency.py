"""The word `consistency`: whether the image explains the data."""

from pisolve.cli.options import add_method
from pisolve.cli.parser import add_word


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "ask whether the image explains the data, in units of the noise", _options)


def _options(new) -> None:
    add_method(new, image=True, noise=True, seed="the pattern and the noise of --probe")
    new.add_argument("--probe", action="store_true", help="measure what noise alone would leave")


def run(a) -> None:
    """Ask whether the image explains the data."""
    from pisolve.cli.trust import check_picture, ready, tell
    from pisolve.evaluate import consistency

    check_picture(a)
    recipe, scan = ready(a, seeded=a.probe)
    tell(a, consistency(recipe(scan), noise=a.noise, probe=a.probe, seed=a.seed or 0).section(), scan)
