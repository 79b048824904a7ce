"""More and fewer samples than a recipe was made for: more of them must not make the image worse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from pisolve import io, metrics
from pisolve.prepare import Channels, Sampling
from pisolve.recipe import Recipe

WORSE = 1.02  # a ratio of NMSE that counts as worse


def masks_of(scan: io.Scan, sampling: Sampling, accels) -> tuple[dict, dict]:
    """({acceleration: undersampled scan}, {acceleration: why there is none}); 1 is the full scan."""
    made, refused = {}, {}
    for accel in sorted(set(accels)):
        try:
            made[accel] = scan if accel == 1 else sampling.at(accel)(scan)
        except ValueError as error:
            refused[accel] = str(error)
    return made, refused


def run_samples(recipe: Recipe, scan: io.Scan, made: dict, *, home: float | None, tick: Callable) -> list[dict]:
    """The error of a recipe for several accelerations, against the full data's root sum of squares.

    Args:
        recipe: its own sampling is not used.
        scan: the full slice.
        made: acceleration -> undersampled scan, of `masks_of`.
        home: the acceleration that the recipe is for, or None.
        tick: called after every reconstruction.

    Returns:
        A dict for each acceleration, fewest samples last: "acceleration", "samples" as a share, "NMSE" and "PSNR" of
        magnitudes inside the body of the reference, "status", "home" and "worse": True where the NMSE is over 1.02
        times the next one's, which has fewer samples.
    """
    return rows_of(recipe, scan, made, (image_of(recipe, part) for part in made.values()), home=home, tick=tick)


def image_of(recipe: Recipe, part: io.Scan) -> tuple[np.ndarray, str]:
    """(the image of an undersampled scan, the status of its run)."""
    done = replace(recipe, sampling=None)(replace(part, reference=None))
    return done.x, done.status


def rows_of(recipe: Recipe, scan: io.Scan, made: dict, images: Iterable, *, home: float | None, tick: Callable
            ) -> list[dict]:
    """What `run_samples` says of the images, and the statuses, of the scans that were made."""
    scan = replace(scan, reference=None)
    reference = Channels(scan, recipe.whiten).whitened(scan).rss()  # in the units of the images
    body, rows = metrics.body(reference), []
    for (accel, part), (x, status) in zip(made.items(), images):
        tick()
        share = min(1.0, 1 / part.encoding.acceleration) if part.coord is not None else 1.0 if part.mask is None else (
            float(np.mean(part.mask)))
        rows.append({"acceleration": accel, "samples": share,
                     "NMSE": metrics.nmse(reference, x, region=body),
                     "PSNR": metrics.psnr(reference, x, region=body), "status": status,
                     "home": accel == home, "worse": False})
    rows.sort(key=lambda row: -row["samples"])
    for row, fewer in pairwise(rows):
        row["worse"] = row["NMSE"] > WORSE * fewer["NMSE"]
    return rows
