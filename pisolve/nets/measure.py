"""Figures of a denoiser for its model card."""

from __future__ import annotations

import cmath
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike


def equivariance(D: Any, images: ArrayLike, sigma: float | None = None, *, phases: int = 8, seed: int = 0) -> float:
    """max over phases t and images of ||D(e^it x) - e^it D(x)|| / ||D(x) - x||, 0 where D commutes with global phases.

    A scanner's global phase is arbitrary; this is how much of what D does depends on it. 1 means: as much as it does.

    Args:
        D: a denoiser D(x, sigma) on complex numpy images.
        images: clean complex images (y, x); noise of `sigma` is added.
        sigma: noise level, the standard deviation of the real and of the imaginary part; None: the denoiser's own.
        phases: multiples of 2 pi / phases are tried.
        seed: of the noise.
    """
    phases, rng, worst = _check.integer("phases", phases, low=2), np.random.default_rng(seed), 0.0
    level = _check.number("sigma", getattr(D, "level", None) if sigma is None else sigma, low=0, strict=True)
    for image in images:
        x = _check.array("images", image, nonzero=True)
        x = x + (level * (rng.standard_normal(x.shape) + 1j * rng.standard_normal(x.shape))).astype(x.dtype)
        plain = D(x, sigma)
        work = float(np.linalg.norm(plain - x))
        for k in range(1, phases):
            turn = cmath.exp(2j * cmath.pi * k / phases)
            error = float(np.linalg.norm(D(turn * x, sigma) - turn * plain))
            worst = max(worst, error / work if work > 0 else 0.0 if error == 0 else np.inf)
    return worst
