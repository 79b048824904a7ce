"""The word `uncertainty`: by how much the image could have come out otherwise."""

from pisolve.cli.options import add_method
from pisolve.cli.parser import add_word

KINDS = ("replicas", "sure", "masks", "dropout", "posterior")


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "estimate by how much the image could have come out otherwise", _options)


def _options(new) -> None:
    add_method(new, image=True, noise=True, seed="the pattern, noise, probes, masks and draws")
    new.add_argument("--by", choices=KINDS, default="replicas", help="default: replicas")
    new.add_argument("-n", type=int, help="images to make; default: 30 replicas, 4 probes, 8 masks, 8 draws")


def run(a) -> None:
    """Estimate by how much the image could have come out otherwise."""
    from pisolve.cli.trust import check_picture, ready, tell
    from pisolve.evaluate import uncertainty

    check_picture(a)
    recipe, scan = ready(a)
    found = uncertainty(recipe, scan, by=a.by, n=a.n, noise=a.noise, seed=a.seed or 0, progress=a.progress)
    tell(a, found.section(), scan)
