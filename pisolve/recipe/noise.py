"""`scan_noise`: how much noise a scan holds."""

from __future__ import annotations

from typing import Any

from pisolve.prepare import as_scan, models_of
from pisolve.recipe.automatic import ScanNoise, measured
from pisolve.recipe.recipe import Recipe


def scan_noise(scan: Any, recipe: Recipe | None = None) -> ScanNoise:
    """Standard deviation of the noise of a scan, as a recipe takes it for `PnP(D)` without a level.

        sigma = sqrt(mean |n|^2 / 2)                                of the scan's noise samples, where it has some
        sigma = min(median |R y| / median |R b|, outer k-space)     else

    with R y = y - A (A^H A + mu)^-1 A^H y what no image explains, and b noise of standard deviation 1 (see
    `tuning.residual_noise`); outer k-space is the median of |y| / 1.1774 over the outermost tenth of what was sampled.

    Args:
        scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).
        recipe: which scales, whitens, undersamples and makes maps; None: `Recipe()`.

    Returns:
        `ScanNoise`: sigma in k-space's units, after whitening and compression, `scaled`, in the recipe's, and `by`.

    Raises:
        TypeError, ValueError: a scan that cannot be prepared, see `Recipe.prepare`.

    Example:
        sigma = pi.scan_noise(scan).scaled
    """
    recipe = Recipe() if recipe is None else recipe
    one = recipe.prepare(as_scan(scan))
    parts = one.parts(recipe.each)
    models, scale = models_of(one, recipe.method, parts=parts)
    return measured(one, recipe.method, models, parts, scale)
