"""The word `networks`: all networks there are, with paper, parameters, what they need and what ships."""

from pisolve.cli.parser import add_word
from pisolve.cli.say import show


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "list all networks: paper, parameters, what they need, what ships", _options)


def _options(new) -> None:
    from pisolve._words import NETWORKS

    new.add_argument("--kind", choices=NETWORKS, help="only those of this kind; default: all")


def run(a) -> None:
    """Print the list."""
    from pisolve.nets.catalogue import listed

    show(listed(a.kind))
