"""`sample`: images drawn from the posterior of a scan."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisolve import backend
from pisolve._check import brief, integer, number
from pisolve.prepare import as_scan, models_of, spread_maps
from pisolve.priors.score import Score
from pisolve.problem import Problem
from pisolve.recipe.automatic import ScanNoise, measured
from pisolve.recipe.recipe import Recipe
from pisolve.scan import Scan
from pisolve.solvers.posterior import ImplicitLangevin, Sampler, draws

LEAST = 0.0015  # of the noise, in a recipe's units: below it the data term is too stiff for float32


@dataclass(frozen=True)
class Samples:
    """What `sample` returns.

    Attributes:
        samples: complex, (n, ...) with the axes `axes` behind, in the scan's own units.
        mean: their mean, complex.
        std: sqrt(sum |x - mean|^2 / (n - 1)), real; 0 for a single sample.
        noise: of the scan, which the data are weighed by.
        sampler: what drew them.
        scan: after undersampling, with the mask and the maps that were used.
        seed: of the draws.
        seconds: wall time.
    """

    samples: np.ndarray = field(repr=False)
    mean: np.ndarray = field(repr=False)
    std: np.ndarray = field(repr=False)
    noise: ScanNoise
    sampler: Sampler
    scan: Scan = field(repr=False)
    seed: int
    seconds: float

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of an image."""
        return self.scan.image_axes

    def interval(self, share: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of the magnitude at each pixel: where the truth lies with a probability of `share`.

            mean -+ t std sqrt(1 + 1 / n)

        with mean and std of the magnitudes |x_k| and Student's t of n - 1 degrees of freedom, since std of a few
        samples is uncertain itself. It is right where the draws and the truth are alike and nearly Gaussian, and as far
        as the score is: `benchmarks/posterior.py` has how often it held.

        Raises:
            ValueError: a share that is not between 0 and 1, fewer than two samples.
        """
        from scipy.stats import t

        number("share", share, low=0, high=1, strict=True)
        n = integer("n", len(self.samples), low=2)
        size = abs(self.samples)
        half = size.std(axis=0, ddof=1) * np.float32(t.ppf((1 + share) / 2, n - 1) * (1 + 1 / n) ** 0.5)
        return np.maximum(size.mean(axis=0) - half, 0), size.mean(axis=0) + half


def sample(scan: Any, score: Score, sampler: Sampler | None = None, *, n: int = 8, seed: int = 0,
           recipe: Recipe | None = None) -> Samples:
    """Images drawn from p(x | y), y = A x + n, by a denoiser as the score: how sure an image is, where the score is.

    The k-th sample is the same whatever n, and the same call gives the same bits. What the samples say rests on the
    score: an image unlike those that the denoiser was trained on may be missed by all of them.

    Args:
        scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).
        score: `Score(D)`.
        sampler: None: `ImplicitLangevin()`; or `SplitGibbs()`, `Langevin()`, `DPS()`. Levels are in a recipe's units.
        n: how many images.
        seed: of what is random.
        recipe: which makes maps, undersamples, whitens and scales; its prior and solver have no effect. Sense() with
            one set of maps. None: `Recipe()`.

    Returns:
        `Samples`: samples, mean, std, in the scan's units; 0 where no coil sees anything.

    Raises:
        TypeError: a score that is none, a sampler that is none.
        ValueError: n < 1, a scan that cannot be prepared, a recipe whose method has no posterior of the image.

    Reference:
        Jalal et al., NeurIPS 2021; Wu et al., NeurIPS 2024; see `ImplicitLangevin`.

    Example:
        found = pi.sample(scan, pi.Score(D), n=8)
    """
    start, sampler, recipe = time.perf_counter(), sampler or ImplicitLangevin(), recipe or Recipe()
    if not isinstance(score, Score):
        raise TypeError(f"score must be pi.Score(D), got {brief(score)}")
    if not isinstance(sampler, Sampler):
        raise TypeError("sampler must be a pi.ImplicitLangevin(), pi.SplitGibbs(), pi.Langevin() or pi.DPS(), got "
                        f"{brief(sampler)}")
    n, seed = integer("n", n, low=1), integer("seed", seed, low=0)
    one = recipe.prepare(as_scan(scan))
    if not recipe.method.tunable or one.sets > 1 or one.weights is not None:
        raise ValueError("sample is for Sense() with one set of maps and samples of one weight: leave method, sets and "
                         "weights out")
    parts = one.parts(recipe.each)
    models, scale = models_of(one, recipe.method, parts=parts)
    noise = measured(one, recipe.method, models, parts, scale)
    drawn = [_of_part(m, p, z, scale, score, sampler, max(noise.scaled, LEAST), n, seed)
             for z, (m, p) in enumerate(zip(models, parts))]
    samples = np.stack([one.assemble([part[k] for part in drawn], recipe.each) / np.float32(scale) for k in range(n)])
    samples = samples * (spread_maps(one) != 0).any(one.axes.index("coil"))  # else the prior alone is drawn there
    mean = samples.mean(axis=0)
    std = np.sqrt((abs(samples - mean) ** 2).sum(axis=0) / max(n - 1, 1))
    return Samples(samples, mean, std, noise, sampler, one, seed, time.perf_counter() - start)


def _of_part(model, part, z, scale, score, sampler, noise, n, seed):
    """n pictures of a part, in scaled units."""
    if model is None:
        return [np.zeros(part.image_shape, part.kspace.dtype)] * n
    problem = Problem(model.A, model.y * backend.number(scale, model.y))
    found = draws(problem, score, sampler, noise=noise, n=n, seed=(seed, z))
    return [backend.to_numpy(model.image(x)) for x in found]
