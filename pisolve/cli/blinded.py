"""The word `blinded`: images for readers who must not know which method made which."""

from pisolve.cli.parser import add_word
from pisolve.cli.say import table


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "export images for readers who must not know which method made which", _options)


def _options(new) -> None:
    add = new.add_argument
    add("images", nargs="+", metavar="image", help="as recon writes them, one a method, named by it")
    add("-o", "--output", required=True, metavar="FOLDER", help="for the readers; the key is written beside it")
    add("--reference", metavar="FILE", help="judged as one more method")
    add("--readers", type=int, default=1, help="default: 1")
    add("--seed", type=int, help="of the orders; default: 0")


def run(a) -> None:
    """Export images for readers who must not know which method made which."""
    from pathlib import Path

    from pisolve import io
    from pisolve.evaluate import blinded

    paths = {}
    for path in a.images:
        if (name := Path(path).stem) in paths:
            raise ValueError(f"{paths[name]} and {path} would both be the method {name!r}: rename one of the files")
        paths[name] = path
    images = {name: io.load_image(path) for name, path in paths.items()}
    reference = None if a.reference is None else io.load_image(a.reference)
    study = blinded(images, a.output, reference=reference, readers=a.readers, seed=a.seed or 0)
    table([("written", f"{a.output}, a folder for each reader"), ("key", f"{study.key}: keep it from the readers")])
