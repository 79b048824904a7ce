"""The word `crimes`: what makes a scan or its reference flatter methods."""

from pisolve.cli.options import add_part
from pisolve.cli.parser import add_word
from pisolve.cli.say import show


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "look for data crimes: what makes a scan or its reference flatter methods", _options)


def _options(new) -> None:
    new.add_argument("scan", help="as for recon")
    new.add_argument("--phase-axes", type=int, default=1, choices=(1, 2), help="2 for a slice of a 3-D scan, "
                     "whose masks may be points; default: 1")
    add_part(new)


def run(a) -> int:
    """Look for data crimes; 1 where there are any."""
    from pisolve import io
    from pisolve.evaluate import crimes

    found = crimes(io.load(a.scan, part=a.part, average=a.average, epi=a.epi), phase_axes=a.phase_axes)
    show(found.section())
    return 1 if found else 0
