"""SURE as a map: how large the error of an image is, place by place, without knowing the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pisolve import backend
from pisolve.problem import Problem
from pisolve.recipe import repeated
from pisolve.tuning.data import Data
from pisolve.tuning.scores import _EPS, Sure


class Risk(Sure):
    """The terms of `tuning`'s Sure before they are summed over the image, for any recipe on SENSE.

        risk = |B K x - B T y|^2 - sigma^2 |B T b|^2 + 2 sigma^2 Re(conj(B T b) B K J b)

    Its expectation is |B K (x - x_true)|^2 at every pixel: E (B K x) conj(B T n) is taken by Stein's lemma, and the
    second term takes away what T y = K x_true + T n has of noise.

    Args:
        recipe: with a fixed strength.
        model: of one slice (part).
        scale: what the data are multiplied by.
        noise: sigma in the units of `model.y`.
        seed: of the probe.
    """

    def __init__(self, recipe, model, scale: float, *, noise: float, seed):
        data = Data(Problem(model.A, model.y * model.y.real.dtype.type(scale)))
        self.recipe, self.model, self.scale = recipe, model, scale
        super().__init__(data, recipe.solver, recipe.max_iter, recipe.tol, noise=noise * scale, seed=seed)

    def run(self, A, y, prior=None, *, like=None):
        """The recipe on other data of this part; `like`: with as many steps as this result took."""
        recipe = self.recipe if like is None else repeated(self.recipe, like)
        return recipe.solve(replace(self.model, A=A, y=y), 1.0)

    def map(self, result) -> np.ndarray:
        """The risk of one component, in the units of the picture squared: noisy, and negative here and there.

        Raises:
            ValueError: the recipe diverges with a little more noise.
        """
        eps = self.data.y.real.dtype.type(_EPS * self.noise)
        moved = self.run(self.data.A, self.data.y + eps * self.b, like=result)
        if not moved.ok:
            raise ValueError("the recipe diverges with a little more noise: SURE needs its derivative")
        Kx, KJb = self.B(self.K(result.x)), self.B(self.K((moved.x - result.x) / eps))
        Tb, s2 = backend.to_numpy(self.Tb).astype(complex), self.noise**2
        risk = abs(Kx - self.Ty) ** 2 - s2 * abs(Tb) ** 2 + 2 * s2 * (Tb.conj() * KJb).real
        components = 1 if self.B.known else 2  # B keeps the part in phase with the object, where it knows the phase
        return risk / components / (self.scale * self.model.size) ** 2

    @property
    def region(self) -> np.ndarray:
        """Where the risk is known: the body, or everywhere."""
        return self.B.body.astype(bool) if self.B.known else np.ones(self.data.A.ishape, bool)


def smoothed(risk, region, window: int, ndim: int = 2) -> np.ndarray:
    """The mean of the risk under a Gaussian as wide as the window, of what lies inside the region; 0 outside.

    Over the last `ndim` axes: each frame by itself.
    """
    from scipy import ndimage

    width = (0.0,) * (risk.ndim - ndim) + (window / np.sqrt(12),) * ndim  # the standard deviation of a box
    total, count = (ndimage.gaussian_filter(a.astype(float), width, mode="constant") for a in (risk * region, region))
    return np.where(region, total / np.maximum(count, 1e-12), 0)
