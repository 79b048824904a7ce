"""Diffusion posterior sampling: denoising steps that a gradient of the data's likelihood guides."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pisolve import backend
from pisolve._check import integer, number
from pisolve._types import ArrayLike
from pisolve.linops.solve import cg_solve
from pisolve.problem import Problem
from pisolve.solvers.posterior import Sampler, normal


@dataclass(frozen=True)
class DPS(Sampler):
    """Diffusion posterior sampling, from pure noise by denoising steps that the data guide.

        m = D(x, a) + a^2 g,    x <- m + q^2 (x - m) + q sqrt(a^2 - b^2) n,    q = b / a, from level a to b
        g = J^H A^H (s^2 I + a^2 A J A^H)^-1 (y - A D(x, a)),    J the derivative of D at x

    g is the gradient of log p(y | x) where the image given x is Gaussian with mean D and covariance a^2 J, Tweedie's
    second formula: with many levels exact for a Gaussian prior. With `zeta` it is what was first published instead, a
    gradient of the residual's norm with a step of its own, which draws from no known distribution:

        x <- D + q^2 (x - D) + q sqrt(a^2 - b^2) n + zeta J^H A^H (y - A D) / ||y - A D||,    D = D(x, a)

    Use:
        as the method of the papers. It needs derivatives of the denoiser, `inner` + 1 for a step, and many steps:
        `ImplicitLangevin` draws from the same posterior in a fraction of the time.

    Args:
        levels, first, last: how many levels, from which to which, in the image's units; 0 comes after the last.
        inner: conjugate gradient steps of the inverse, each of which is a derivative and an A A^H.
        zeta: the published step. None: by the covariance.

    Raises:
        TypeError: a denoiser that torch cannot differentiate.

    Reference:
        Chung et al., ICLR 2023 (DPS, `zeta`); Boys et al., Trans Mach Learn Res (2024) (the covariance); Song et al.,
        ICLR 2023 (a multiple of I for it).

    Example:
        pi.sample(scan, pi.Score(D), pi.DPS(levels=20), n=2)
    """

    levels: int = 100
    inner: int = 5
    zeta: float | None = None

    def draw(self, problem: Problem, score: Any, noise: ArrayLike, rng: Any) -> Any:
        integer("inner", self.inner, low=1)
        number("zeta", self.zeta, low=0, strict=True, allow_none=True)
        A, x = problem.A, self.first * normal(problem.AHy, rng)
        for a, b in pairwise([*self.falling(), 0.0]):
            mean, pulled = score.linear(x, a)
            left, push = problem.y - A(mean), 0
            if self.zeta is None:
                v = cg_solve(lambda u, p=pulled, a=a: noise**2 * u + a * a * A(p(A.H(u))), left, 0 * left,
                             iterations=self.inner, tol=1e-4)
                mean = mean + a * a * pulled(A.H(v))
            else:
                push = pulled(A.H(left)) * (self.zeta / max(backend.real(backend.norm(left)), 1e-30))
            x = mean + (b / a) ** 2 * (x - mean) + push
            if b:
                x = x + b / a * (a * a - b * b) ** 0.5 * normal(x, rng)
        return x
