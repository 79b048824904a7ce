"""The word `train` of the command line."""

from __future__ import annotations

from pathlib import Path

from pisolve.cli.report import table


def train(a) -> int:
    """Train a network; one process of several under torchrun."""
    from pisolve.nets import config

    weights = config.run(a.config, out=a.out, resume=a.resume, progress=a.progress)
    if weights is not None:
        card, log = weights.with_suffix(".md").name, Path(weights.parent, "log.csv")
        table([("written", f"{weights}, {card}"), ("log", str(log))])
    return 0
