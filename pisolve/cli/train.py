"""The word `train`: a network from the configuration in a file."""

from pisolve.cli.options import add_progress
from pisolve.cli.parser import add_word
from pisolve.cli.say import table


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "train a network", _options)


def _options(new) -> None:
    new.add_argument("config", help="what to train, on what and how (.toml), such as those in examples/configs; or a "
                     "folder of volumes, pictures or fully sampled scans: denoiser-fast is trained further on them")
    new.add_argument("--data", metavar="FOLDER", help="with the training data, any folder of such files; default: "
                     "[data] folder, or PISOLVE_DATA")
    new.add_argument("--minutes", type=float, help="that the training may take, in place of [training] steps; a folder "
                     "alone: 30")
    new.add_argument("--out", metavar="FOLDER", help="for checkpoint, log and weights; default: the name of config")
    new.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, to the same weights")
    add_progress(new)


def run(a) -> None:
    """Train a network; one process of several under torchrun."""
    from pisolve.nets import config

    weights = config.run(a.config, out=a.out, resume=a.resume, progress=a.progress, folder=a.data,
                         time_limit=a.minutes)
    if weights is not None:
        card, log = weights.with_suffix(".md").name, weights.with_name("log.csv")
        table([("written", f"{weights}, {card}"), ("log", str(log))])
