"""Scores of strengths that workers compute ahead of the search: it finds them where `Score.once` keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pisolve.tuning.data import Data
from pisolve.tuning.scores import Score, key_of, score_of
from pisolve.workers.spread import opened, pieces


@contextmanager
def ahead(client, score: Score, problem, make: Callable, run, criterion: str, options: dict) -> Iterator[Callable]:
    """A function of strengths that has all that `score` will ask of them computed, each fold apart; the same bits.

    Args:
        client: as for `recon_many`; None: nothing is done ahead.
        score: whose `memo` is filled.
        problem, make: the problem, and strength -> prior.
        run, criterion, options: as `score_of` takes them, but for the data.
    """
    if client is None:
        yield lambda strengths: None
        return
    parts = list(range(options["folds"])) if criterion == "holdout" else [None]
    with opened(client, None, len(parts)) as pool:
        def compute(strengths) -> None:
            items = [(problem, make(s), s, part, parts, run, criterion, options) for s in strengths for part in parts]
            for _, found in pieces(_work, items, pool):
                score.memo.update(found)

        yield compute


def _work(item) -> dict:
    """What `Score.once` keeps of one strength, or of one of its folds, in another process."""
    problem, prior, strength, part, parts, run, criterion, options = item
    score = score_of(criterion, (Data(problem), *run), **options)
    others = {key_of(strength, k): 0.0 for k in parts if k != part}  # which are not computed then
    score.memo = dict(others)
    score.at(strength, prior)
    return {key: value for key, value in score.memo.items() if key not in others}
