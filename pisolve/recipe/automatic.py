"""A denoiser's level by the scan's noise: how much there is, what plug-and-play makes of it, what networks are told."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pisolve import backend
from pisolve.prepare import holds
from pisolve.problem import Problem
from pisolve.scan.look import Look
from pisolve.solvers import HQS
from pisolve.solvers.base import walk
from pisolve.tuning import noise_level, residual_noise
from pisolve.tuning.data import Data

STEPS = 60  # of the schedule, unless max_iter says otherwise
_FIRST = 0.25  # the level it begins with
_USUAL = 100  # Recipe's own max_iter
_SHARE, _LEAST, _PENALTY, _RISE, _MOST = 0.75, 0.003, 0.05, 21.0, 0.2  # of `level`, see benchmarks/auto_sigma.py


@dataclass(frozen=True)
class ScanNoise:
    """The noise of a scan.

    Attributes:
        sigma: standard deviation of the real and of the imaginary part of the noise in a sample, in k-space's units.
        scaled: the same in a recipe's units, in which the zero-filled image has a 99th percentile of 1.
        by: what it is from: "noise samples", "residual" (what no image explains) or "outer k-space".
    """

    sigma: float
    scaled: float
    by: str


def measured(scan, method, models, parts, scale: float) -> ScanNoise:
    """The noise of a prepared scan, from its noise samples; else the smaller of two estimates.

    Outer k-space holds signal, too, and a residual what wrong maps leave: both make an estimate too large, never too
    small. The residual is that of the middle part.
    """
    if scan.noise is not None:
        sigma = float(np.sqrt((abs(backend.to_numpy(scan.noise)) ** 2).mean() / 2))
        return ScanNoise(sigma, sigma * scale, "noise samples")
    outer = Look(scan).noise
    filled = [z for z, part in enumerate(parts) if holds(part)]
    model = models[filled[len(filled) // 2]]
    left = _residual(model, scale) if method.tunable and scan.weights is None and scan.sets == 1 else None
    if left is not None and left < outer * scale:
        return ScanNoise(left / scale, left, "residual")
    return ScanNoise(outer, outer * scale, "outer k-space")


def _residual(model, scale):
    return residual_noise(Data(Problem(model.A, model.y * backend.number(scale, model.y))))


def settled(recipe, scan, models, parts, scale: float):
    """The recipe with levels instead of those that are open, `PnP(D)`, by the noise of a prepared scan."""
    if not is_open(recipe):
        return recipe
    return _chosen(recipe, measured(scan, recipe.method, models, parts, scale).scaled)


def of_model(recipe, model, scale: float):
    """The same by the data of one part alone."""
    if not is_open(recipe):
        return recipe
    return _chosen(recipe, noise_of(recipe, model, scale))


def noise_of(recipe, model, scale: float) -> float:
    """The noise in one part's data, in the recipe's units: the smaller of both estimates."""
    outer = noise_level(backend.to_numpy(model.y), ndim=getattr(model.A, "ndim", 2)) * scale
    left = _residual(model, scale) if recipe.method.tunable and model.bare is None else None
    return outer if left is None else min(left, outer)


def is_open(recipe) -> bool:
    """Whether a level is still to be chosen by the scan's noise, or a network to be told it."""
    if recipe.network is not None:
        return getattr(recipe.network, "needs_noise", False) and recipe.network.noise is None
    return any(getattr(p, "auto", False) for p in walk(recipe.prior))


def _at(prior, sigma: float):
    """A prior with `sigma` for every denoiser in it whose level is open."""
    if getattr(prior, "auto", False):
        return prior.at_level(sigma)
    return prior.with_parts([_at(p, sigma) for p in prior.parts()]) if prior.parts() else prior


def _chosen(recipe, noise: float):
    """Level and, where no solver is given, a schedule that falls to it, in steps of `max_iter`, 60 if it is 100.

    A network is told the noise itself.
    """
    if recipe.network is not None:
        return replace(recipe, network=recipe.network.told(noise))
    sigma, rho = level(noise)
    changes = {"prior": _at(recipe.prior, sigma)}
    if recipe.solver is None:
        steps = STEPS if recipe.max_iter == _USUAL else max(recipe.max_iter, 1)
        ratio = max((_FIRST / sigma) ** 2, 1.0)
        changes |= {"solver": HQS(rho=rho, ratio=ratio, iterations=steps, coupling=0), "max_iter": steps}
    return replace(recipe, **changes)


def level(noise: float) -> tuple[float, float]:
    """(sigma, rho) of plug-and-play by a falling level, for noise in a recipe's units.

        sigma = max(0.75 noise, 0.003),    rho = min(0.05 + 21 noise, 0.2)

    The noise is that of a sample, whatever the acceleration and the coils: how it is spread over the image is in A, and
    the data term knows it.
    """
    return max(_SHARE * noise, _LEAST), min(_PENALTY + _RISE * noise, _MOST)
