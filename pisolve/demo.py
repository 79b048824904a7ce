"""The demonstration: a simulated brain, four times undersampled, reconstructed in several ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pisolve import _check, io, metrics, phantom
from pisolve._version import __version__
from pisolve.figure import figure
from pisolve.io import atomic
from pisolve.recipe import Recipe, Sampling

NOISE = 0.02  # standard deviation in the phantom's units, where white matter is 0.78


def demo(folder, recipes: dict[str, Recipe], *, size: int = 256, coils: int = 8, accel: float = 4, seed: int = 1,
         progress: bool = False) -> list[dict]:
    """Reconstruct the analytic multi-coil phantom with every recipe; write demo.json and demo.png to a folder.

    K-space is computed in closed form, with noise, then undersampled by fastMRI's random lines with their full centre,
    from which ESPIRiT makes the maps. Compared is with the root sum of squares of the full k-space without noise. The
    phantom is made of flat ellipses, which flatters total variation.

    Args:
        folder: made where it does not exist.
        recipes: by the names that they have in the table; their `sampling` and `maps` are not used.
        size: of the phantom's matrix along ky and kx.
        coils: of the phantom.
        accel: acceleration.
        seed: of the noise and of the sampling.
        progress: show progress bars.

    Returns:
        One dict a method: method, solver, status, iterations, seconds, nmse, psnr, ssim, psnr_body. The zero-filled
        image comes first.

    Raises:
        FileExistsError: `folder` is a file.
        ImportError: matplotlib is not installed (the extra `plot`).
    """
    _check.extra("matplotlib", "plot")  # before the work, not after it
    shape = (_check.integer("size", size, low=64),) * 2
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    truth = io.Scan(phantom.brain(shape, coils).kspace).rss()
    noisy = io.Scan(phantom.brain(shape, coils, noise=NOISE, seed=seed).kspace)
    scan = Recipe(sampling=Sampling("random", accel, seed=seed)).prepare(noisy)
    images = {"zero-filled": scan.rss()}
    rows = [{"method": "zero-filled", "solver": "", "status": "", "iterations": 0, "seconds": 0.0}]
    for name, recipe in recipes.items():
        result = replace(recipe, sampling=None)(scan, progress=progress)
        run = result.results[0]
        images[name] = result.x
        rows.append({"method": name, "solver": type(run.solver).__name__, "status": result.status,
                     "iterations": run.state.k, "seconds": round(result.seconds["solve"], 2)})
    body = metrics.body(truth)
    for row, image in zip(rows, images.values()):
        row |= metrics.all(truth, image)
        row["psnr_body"] = metrics.psnr(truth, image, region=body)
    title = f"Simulated brain {size} x {size}, {coils} coils, random lines {accel:g}x, seed {seed}"
    about = {"pisolve": __version__, "size": size, "coils": coils, "accel": accel, "seed": seed,
             "noise": NOISE, "reference": "root sum of squares of the full k-space without noise"}
    with atomic(folder / "demo.json") as temporary:
        temporary.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    zoom = tuple(round(size * part) for part in (0.18, 0.345, 0.31))  # the dots and lines that test resolution
    figure(images, truth, path=folder / "demo.png", zoom=zoom, title=title)
    return rows
