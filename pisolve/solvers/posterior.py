"""Draws from the posterior p(x | y) of y = A x + n with a score instead of a prior."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pisolve import backend
from pisolve._check import dtype_name, integer, number
from pisolve._types import ArrayLike, Seed
from pisolve.linops.solve import cg_solve
from pisolve.problem import Problem


@dataclass(frozen=True)
class Sampler:
    """Base of the samplers: levels fall geometrically from `first` to `last`."""

    levels: int = 30
    first: float = 0.5
    last: float = 0.01

    def __post_init__(self) -> None:
        integer("levels", self.levels, low=2)
        number("last", self.last, low=0, strict=True)
        number("first", self.first, low=self.last, strict=True)

    def falling(self) -> list[float]:
        """The levels."""
        return [float(s) for s in np.geomspace(self.first, self.last, self.levels)]

    def draw(self, problem: Problem, score: Any, noise: float, rng: Any) -> Any:
        """One image drawn from the posterior.

        Args:
            problem: A and y; its prior has no effect.
            score: a `Score`.
            noise: standard deviation of the real and of the imaginary part of the noise in y.
            rng: a numpy generator, all that is random.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class ImplicitLangevin(Sampler):
    """Annealed Langevin dynamics whose steps are implicit in the data: one denoising and one solve by CG for a step.

        x <- argmin_u 1/(2 s^2) ||A u - y - s m_1||^2 + 1/(2 r^2) ||u - D(x, r) - r m_2||^2
        m = sqrt(T) (n + n_before) / sqrt(2),    n ~ N(0, I)

    with s the noise of y, r the level, which falls at each step, and n_before the n of the step before. This is a step
    x <- x + P grad log p_r(x | y) + noise, with P = (A^H A / s^2 + I / r^2)^-1: as long as it can be, since P takes all
    directions at once, those that were measured and those that were not. With fresh noise at each step the variance
    would be too small by up to a half where the data say little; with noise averaged over two steps (Leimkuhler and
    Matthews) it is that of p_r(x | y), exactly for a Gaussian prior, whatever the step.

    Use:
        where the image's uncertainty is asked for: what `sample` takes by itself. It costs `levels` + 1 calls of the
        denoiser for a draw.

    Args:
        levels, first, last: how many levels r, which is how many steps, from which to which, in the image's units.
            For a Gaussian prior std is 4 % too large with 60, 1.5 % with 120.
        heat: T, the variance of the noise in m: draws are from p(x | y)^(1 / T), whose covariance is T times as large.
            1 is the posterior by the score as it is. A network's score is a little too sure, and with 1.1 intervals
            held on the tuning scans.
        inner: most conjugate gradient steps of each.

    Reference:
        Jalal et al., NeurIPS 2021 (annealing); Leimkuhler and Matthews, Appl Math Res Express (2013) 34 (the averaged
        noise); Papandreou and Yuille, NeurIPS 2010 (Gaussian draws by CG); Song, Meng and Ermon, ICLR 2021 (few steps).

    Example:
        pi.sample(scan, pi.Score(D), pi.ImplicitLangevin(levels=50), n=2)
    """

    levels: int = 60
    last: float = 0.003
    heat: float = 1.1
    inner: int = 15

    def draw(self, problem: Problem, score: Any, noise: ArrayLike, rng: Any) -> Any:
        integer("inner", self.inner, low=1)
        number("heat", self.heat, low=0, strict=True)
        x = problem.AHy + self.first * normal(problem.AHy, rng)
        before = _white(problem, rng)
        for r in self.falling():
            now = _white(problem, rng)
            n_data, n_image = mixed(before, now, self.heat)
            x = _consistent(problem, score.mean(x, r) + r * n_image, n_data, noise, r, self.inner)
            before = now
        return score.mean(x, self.last)


@dataclass(frozen=True)
class SplitGibbs(Sampler):
    """Annealed split Gibbs sampling, exact data consistency by conjugate gradients and a few denoising steps in turns.

        x ~ p(x | y, z) = argmin_u 1/(2 s^2) ||A u - y - s n_1||^2 + 1/(2 r^2) ||u - z - r n_2||^2,    n_i ~ N(0, I)
        z ~ p(z | x):  from x at the level r by `steps` denoising steps to 0, from level a to b
                       z <- D(z, a) + q^2 (z - D(z, a)) + sqrt((a^2 - b^2) (q^2 + (1 - q^2) k)) n,    q = b / a

    with s the noise of y and r the level, which falls. The first is a draw from a Gaussian, as exact as CG. The second
    is DDIM's step with noise, for images that at the level a have room in a share k of all directions. As r falls and
    the steps become many, z is a draw from the posterior, whatever k; with few steps k says how wide the draws are.

    Use:
        as the reference for `ImplicitLangevin`, at `levels` times `steps` calls of the denoiser for a draw: right with
        many of both only.

    Args:
        levels, first, last: how many levels r, from which to which, in the image's units.
        steps: denoising steps at each.
        spread: k, from 0 (DDIM's own noise, for images that are known but for noise) to 1.
        inner: most conjugate gradient steps of a draw of x.

    Reference:
        Vono, Dobigeon and Chainais, IEEE Trans Signal Process 67 (2019) 1648 (split Gibbs); Wu et al., NeurIPS 2024
        (plug-and-play diffusion models); Song, Meng and Ermon, ICLR 2021 (DDIM); Papandreou and Yuille, NeurIPS 2010
        (exact Gaussian draws).

    Example:
        pi.sample(scan, pi.Score(D), pi.SplitGibbs(levels=20), n=2)
    """

    steps: int = 2
    spread: float = 0.0
    inner: int = 15

    def draw(self, problem: Problem, score: Any, noise: float, rng: Any) -> Any:
        integer("steps", self.steps, low=1)
        integer("inner", self.inner, low=1)
        number("spread", self.spread, low=0, high=1)
        z = problem.AHy
        for r in self.falling():
            n_data, n_image = _white(problem, rng)
            x = _consistent(problem, z + r * n_image, n_data, noise, r, self.inner)
            z = self._denoised(score, x, r, rng)
        return z

    def _denoised(self, score, z, r, rng):
        falling = [r * 0.2 ** (k / max(self.steps - 1, 1)) for k in range(self.steps)] + [0.0]
        for a, b in pairwise(falling):
            mean = score.mean(z, a)
            z = mean + (b / a) ** 2 * (z - mean)
            if b:
                q = (b / a) ** 2
                z = z + ((a * a - b * b) * (q + (1 - q) * self.spread)) ** 0.5 * normal(z, rng)
        return z


@dataclass(frozen=True)
class Langevin(Sampler):
    """Annealed Langevin dynamics by the schedule of Jalal and others.

        x <- x + e/2 [ (D(x, r) - x) / r^2 + A^H (y - A x) / max(s^2, step L r^2) ] + sqrt(e) n,    e = step r^2

    with s the noise of y, L >= ||A||^2, r the level, which falls, `steps` of these at each. The variance of the data is
    annealed with the level, as far as a step needs it to be stable. As r falls and the step becomes small, x is a draw
    from the posterior.

    Use:
        as the reference of the field: right, and many times slower than `ImplicitLangevin`.

    Args:
        levels, first, last: how many levels r, from which to which, in the image's units.
        steps: at each level.
        step: over r^2; the step of the gradient is half of it, and 2 is the end of stability.

    Reference:
        Jalal et al., NeurIPS 2021 (robust compressed sensing MRI with deep generative priors); Song and Ermon, NeurIPS
        2019.

    Example:
        pi.sample(scan, pi.Score(D), pi.Langevin(levels=20, steps=3), n=2)
    """

    levels: int = 100
    steps: int = 4
    step: float = 0.4

    def draw(self, problem: Problem, score: Any, noise: float, rng: Any) -> Any:
        integer("steps", self.steps, low=1)
        number("step", self.step, low=0, high=2, strict=True)
        x, L = problem.AHy + self.first * normal(problem.AHy, rng), problem.lipschitz
        for r in self.falling():
            e, variance = self.step * r * r, max(noise**2, self.step * L * r * r)
            for _ in range(self.steps):
                pull = (score.mean(x, r) - x) / r**2 + (problem.AHy - problem.normal(x)) / variance
                x = x + e / 2 * pull + e**0.5 * normal(x, rng)
        return score.mean(x, self.last)


def _consistent(problem, z, n_data, noise, r, inner):
    """argmin_u 1/(2 s^2) ||A u - y - s n||^2 + 1/(2 r^2) ||u - z||^2 by CG from z, for n_data = A^H n.

    The start is right where A sees nothing, so that CG is left with what was measured.
    """
    ratio = (noise / r) ** 2
    b = problem.AHy + noise * n_data + ratio * z
    return cg_solve(lambda u: problem.normal(u) + ratio * u, b, z, iterations=inner, tol=1e-3)


def mixed(before, now, heat):
    """The noise of two steps, averaged to the variance of one, times the heat."""
    return [(heat / 2) ** 0.5 * (a + b) for a, b in zip(before, now)]


def _white(problem, rng):
    """(A^H n_1, n_2) of new white noise of the data and of the image."""
    return problem.A.H(normal(problem.y, rng)), normal(problem.AHy, rng)


def normal(x: ArrayLike, rng: Any):
    """White noise of the shape, kind and precision of x, its real and imaginary part of standard deviation 1."""
    n = rng.standard_normal((2, *x.shape))
    return backend.like((n[0] + 1j * n[1]).astype(dtype_name(x)), x)


def draws(problem: Problem, score: Any, sampler: Sampler, *, noise: float, n: int, seed: Seed = 0) -> list[Any]:
    """n images drawn from the posterior; the k-th is the same whatever n.

    Args:
        problem, score, noise: as for `Sampler.draw`.
        sampler: `ImplicitLangevin()`, `SplitGibbs()`, `Langevin()` or `DPS()`.
        n: how many.
        seed: of what is random, an integer or several.
    """
    noise = number("noise", noise, low=0, strict=True)
    rngs = (np.random.default_rng([*np.atleast_1d(seed), k]) for k in range(integer("n", n, low=1)))
    return [sampler.draw(problem, score, noise, rng) for rng in rngs]
