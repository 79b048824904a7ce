"""The word `unblind`: the readers' grades, by method."""

from pisolve.cli.parser import add_word
from pisolve.cli.say import show


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "put the readers' grades together by method", _options)


def _options(new) -> None:
    new.add_argument("folder", help="that blinded wrote")
    new.add_argument("sheets", nargs="*", help="filled; default: those in the folder")


def run(a) -> None:
    """Put the readers' grades together by method."""
    from pisolve.evaluate import unblind

    show(unblind(a.folder, a.sheets or None).section())
