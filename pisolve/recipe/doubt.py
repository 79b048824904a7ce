"""Does a network know what it shows? Its image predicts samples that it was not given; and what stands in for it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from pisolve.backend import dot, real
from pisolve.problem import Problem
from pisolve.recipe.automatic import noise_of
from pisolve.tuning.data import Data

SHARE, SEED = 0.1, 0  # of the lines, points or shots outside the full centre that are withheld
MOST = 0.5  # of the withheld signal that a network may miss before its fallback is asked


class Trial:
    """A tenth of a part's samples outside the full centre held back: how well does an image of the rest predict them?

        missed^2 = max(||z - B x||^2 - 2 m sigma^2, 0) / max(||z||^2 - 2 m sigma^2, 0)

    over the m samples z = B x* + n that were held back: the share of their signal, beyond the noise, that x lacks.

    Attributes:
        model: the part without them.
    """

    def __init__(self, model, scale: float, sigma: float):
        y = model.y * model.y.real.dtype.type(scale)
        data = Data(Problem(model.A, y))
        held = data.split(folds=1, share=SHARE, seed=SEED)[0]
        self._B, self._z = data.restricted(held)
        A, rest = data.restricted(data.sampled & ~held)
        self.model = replace(model, A=A, y=rest / rest.real.dtype.type(scale))
        self._noise = 2 * sigma**2 * int(np.count_nonzero(np.broadcast_to(data.on_data(held), y.shape) & data.inside))

    def missed(self, x) -> float:
        """The share of the withheld signal that an image lacks; inf of one that is not finite."""
        r = self._z - self._B(x)
        left = max(real(dot(r, r)) - self._noise, 0.0)
        return float(np.sqrt(left / self._signal)) if np.isfinite(left) else np.inf

    @cached_property
    def _signal(self):
        energy = real(dot(self._z, self._z))
        return max(energy - self._noise, 1e-6 * energy, 1e-30)


def judged(recipe, model, scale: float, result):
    """The result of a recipe's network on a part with a doubt about it, or its fallback's where that is better.

    The network runs once more without a tenth of the samples. Where its image misses more than half of their signal
    the fallback runs without them, too. Where that misses less the network's image is doubtful, and the fallback's of
    all samples takes its place. The half alone says nothing: images that networks know well may miss as much.

    Args:
        recipe: with a network and a fallback.
        model, scale: the part, as in `Recipe.solve_model`.
        result: of the network.
    """
    sigma = getattr(recipe.network, "noise", None)
    sigma = noise_of(recipe, model, scale) if sigma is None else sigma
    try:
        trial = Trial(model, scale, sigma)
    except ValueError:  # nothing outside of the centre
        return result
    alone, other = recipe.replace(fallback=None), instead(recipe)
    missed = trial.missed(alone.solve_model(trial.model, scale).x) if result.ok else np.inf
    result = replace(result, missed=missed)
    if missed <= MOST:
        return result
    again = other.solve_model(trial.model, scale)
    if not again.ok or trial.missed(again.x) >= missed:
        return result
    taken = other.solve_model(model, scale)
    if not taken.ok:
        return result
    return replace(result, x=taken.x, status="done", doubtful=True, fallback=repr(recipe.fallback),
                   seconds=result.seconds, data_residual=float(np.sqrt(
                       real(dot(r := model.y * model.y.real.dtype.type(scale) - model.A(taken.x), r)))
                       / np.sqrt(real(dot(model.y, model.y))) / scale))


def instead(recipe):
    """The recipe with its fallback in the network's place."""
    return recipe.replace(network=None, consistency=False, fallback=None, prior=recipe.fallback)
