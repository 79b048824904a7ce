"""By how much more than undersampling itself explains the linear methods of a comparison amplify noise."""

from __future__ import annotations

import numpy as np

from pisolve import calib, metrics
from pisolve.evaluate.noise_map import covariance_of, noise_map
from pisolve.evaluate.planes import middle
from pisolve.evaluate.section import Picture, Section
from pisolve.prepare import SENSE, model_of

REPLICAS = 60  # leave an error of 6 % of the g-factor at each pixel


def linear(recipe) -> bool:
    """Whether an image is a linear function of the data: what a g-factor is defined for. SENSE and Tikhonov are."""
    return (recipe.network is None and recipe.method.needs_maps and recipe.prior.quadratic
            and recipe.prior.solver() is None)


def full_noise(one, psi) -> np.ndarray:
    """The standard deviation of the fully sampled image at each pixel, sqrt(s^H Psi s) / s^H s with coil maps s.

    Args:
        one: a part of a prepared scan, on a grid.
        psi: (coil, coil), E n n^H of a sample.
    """
    model = model_of(one, SENSE)
    s = np.asarray(model.A.mps)
    energy = (abs(s) ** 2).sum(0)
    variance = np.einsum("i...,ij,j...->...", s.conj(), psi, s).real
    return np.sqrt(np.maximum(variance, 0)) / np.where(energy > 0, energy, np.inf) / model.size


def gfactors(recipes: dict, one, where: str, progress: bool = False) -> list[Section]:
    """A section with the g-factor of each linear method; none where there is no such method.

        g = std / (std of the full scan sqrt(R)),  R = all samples of the grid over those that were measured

    std is by pseudo-replicas, see `noise_map`, that of the full scan analytic. Where the pattern is a regular lattice
    the analytic g-factor of SENSE stands beside it.

    Args:
        recipes: {name: recipe} at the strengths that were chosen.
        one: a part of a prepared scan.
        where: which, as a sentence.
        progress: show a bar.
    """
    chosen = {name: recipe for name, recipe in recipes.items() if linear(recipe)}
    if not chosen:
        return []
    if one.coord is not None or one.sets > 1:
        return [Section("g-factor", warnings=["the g-factor is for samples on a grid and one set of maps: see "
                                              "'uncertainty' for the noise of this image"])]
    psi, R = covariance_of(one), 1 / one.encoding.fraction
    below = full_noise(one, psi) * np.sqrt(R)
    rows, pictures = [], {}
    for name, recipe in chosen.items():
        found = noise_map(recipe, one, replicas=REPLICAS, covariance=psi, progress=progress)
        g = np.where(below > 0, found.std / np.where(below > 0, below, 1), 0.0)
        inside = metrics.body(abs(found.image)) & (g > 0)
        rows.append(_row(name, g[inside] if inside.any() else g.ravel(), "pseudo-replicas"))
        pictures[name] = middle(g)
    exact = _analytic(one)
    if exact is not None:
        rows.append(_row("SENSE, white noise", exact[np.isfinite(exact) & (exact > 0)], "analytic"))
        pictures["SENSE, analytic"] = np.minimum(exact, 1e3)
    top = max(2.0, *(float(np.percentile(g, 99.5)) for g in pictures.values()))
    text = (f"g = std / (std of the full scan x sqrt(R)), R = {R:.3g}: by how much more than the smaller number of "
            "samples explains the noise grows at a place, since the coils tell folded pixels apart badly there. 1 is "
            f"the best that SENSE can do; a prior that smooths goes below. {REPLICAS} pseudo-replicas for each method, "
            "so g is known to 6 % at a pixel. Methods that are not linear have no g-factor: their noise depends on the "
            f"image.{where}")
    shown = {name: Picture(g, 0.0, top, "g", "heat") for name, g in pictures.items()}
    return [Section("g-factor of the linear methods", text, rows, shown)]


def _row(name, g, by) -> dict:
    return {"method": name, "g, median": float(np.median(g)), "g, 95th percentile": float(np.percentile(g, 95)),
            "g, largest": float(g.max()), "by": by}


def _analytic(one) -> np.ndarray | None:
    """`calib.gfactor`, where the pattern is a regular lattice in two dimensions; else None."""
    if one.mps.ndim != 3 or one.mask is None or one.mask.ndim != 2:
        return None
    try:
        return np.asarray(calib.gfactor(one.mps, one.mask))
    except ValueError:
        return None
