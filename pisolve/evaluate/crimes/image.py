"""Data crimes that show in the image: blocks of JPEG, few grey levels, combined coils, air without noise."""

from __future__ import annotations

import numpy as np

from pisolve.evaluate.crimes.view import Measured, View


def blocks(view: View) -> Measured | None:
    """Steps at every eighth pixel against steps beside them, in standard errors: the smaller of both directions."""
    if not view.full:
        return None
    found = []
    for axis in (-2, -1):
        step = np.moveaxis(abs(np.diff(view.rss, axis=axis)), axis, -1)
        beside = (step[..., 2:] + step[..., :-2]) / 2
        excess = (step[..., 1:-1] - beside) / (step[..., 1:-1] + beside + 1e-3 * view.rss.max())
        place = (np.arange(excess.shape[-1]) + 2) % 8  # the pixel after the step, as the grid of 8 counts
        groups = [excess[..., place == p] for p in range(8)]
        if min(g.size for g in groups) < 50:
            return None
        means = np.array([g.mean() for g in groups])
        error = np.mean([g.std() / np.sqrt(g.size) for g in groups])
        found.append(((means.max() - np.median(means)) / max(error, 1e-12), int(means.argmax())))
    z = float(min(found)[0])
    return Measured(z, f"the image has steps every 8 pixels in both directions (from row {found[0][1]} and column "
                       f"{found[1][1]}; {z:.1f} standard errors above the steps beside them)")


def levels(view: View) -> Measured | None:
    """How far the magnitudes are from a grid of at most 256 levels: 0 on the grid, 1 anywhere."""
    if not view.full:
        return None
    found = []
    for image in view.rss:
        size = image[image > 0.02 * image.max()] / image.max()
        size = size[:: max(1, len(size) // 4000)]
        if len(np.unique(np.round(size * 255))) < 20:
            continue  # an object of a few flat parts has few levels by nature
        count = np.arange(63, 256)
        grid = size[:, None] * count
        off = 4 * np.mean(abs(grid - np.round(grid)), axis=0)
        found.append((float(off.min()), int(count[off.argmin()])))
    if not found:
        return None
    value, count = sorted(found)[len(found) // 2]
    return Measured(value, f"the image's magnitudes lie on {count + 1} equal levels to {value:.1e} of half a step: "
                           "it went through a format of 8 bits")


def empty(view: View) -> Measured | None:
    """The share of pixels below 1e-5 of the image's peak."""
    if not view.full:
        return None
    value = float(np.mean(view.rss < 1e-5 * view.rss.max()))
    return Measured(value, f"{value:.0%} of the image is zero to rounding: the air of a scan holds noise")


def combined(view: View) -> Measured | None:
    """Mean over standard deviation of the air's magnitude: 1.91 (Rayleigh) for one coil, about sqrt(4 n - 1) for n."""
    if view.kspace.shape[1] > 1 or "magnitude image" not in view.fired or not view.enough_air:
        return None
    if "empty background" in view.fired:
        return None
    ratio = float(np.mean([i[a].mean() / max(i[a].std(), 1e-12) for i, a in zip(view.rss, view.air) if a.any()]))
    count = (ratio**2 + 1) / 4
    return Measured(ratio, f"the air's magnitude has a mean of {ratio:.2f} standard deviations, one coil's has 1.91: "
                           f"as the root of a sum of squares of about {count:.0f} coils")
