"""The demonstration: a simulated brain, four times undersampled, reconstructed in several ways, and their report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pisolve import _check, io, phantom
from pisolve._version import __version__
from pisolve.evaluate.compare import execute
from pisolve.evaluate.plan import make
from pisolve.figure import figure
from pisolve.io import atomic
from pisolve.recipe import Recipe, Sampling

NOISE = 0.02  # standard deviation in the phantom's units, where white matter is 0.78
REFERENCE = "root sum of squares of the full k-space without noise"
_METRICS = ("nmse", "psnr", "ssim", "psnr_body")


def demo(folder, recipes: dict[str, Recipe], *, size: int = 256, coils: int = 8, accel: float = 4, seed: int = 1,
         progress: bool = False) -> list[dict]:
    """Compare recipes on the analytic multi-coil phantom; write demo.json, demo.png and report.html to a folder.

    K-space is computed in closed form, with noise, then undersampled by fastMRI's random lines with their full centre,
    from which ESPIRiT makes the maps. Compared is with the root sum of squares of the full k-space without noise, at
    the strengths that the recipes have. The phantom is made of flat ellipses, which flatters total variation.

    Args:
        folder: made where it does not exist.
        recipes: by the names that they have in the table; their `sampling` is not used.
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
        ImportError: matplotlib or jinja2 is not installed (the extras `plot` and `report`).
    """
    _check.extra("matplotlib", "plot")  # before the work, not after it
    _check.extra("jinja2", "report")
    shape = (_check.integer("size", size, low=64),) * 2
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    truth = io.Scan(phantom.brain(shape, coils).kspace).rss()
    noisy = io.Scan(phantom.brain(shape, coils, noise=NOISE, seed=seed).kspace, reference=truth)
    methods = {"zero-filled": None, **{n: replace(r, sampling=None) for n, r in recipes.items()}}
    plan = replace(make({"simulated brain": noisy}, methods, tune=None, accel=accel),
                   samplings=(Sampling("random", accel, seed=seed),))
    done = execute(plan, progress=progress)
    rows = [{"method": name, "solver": o.solver, "status": o.status if o.solver else "", "iterations": o.iterations[0],
             "seconds": round(o.seconds[0], 2), **{m: o.values[m] for m in _METRICS}}
            for (_, name), o in done.outcomes.items()]
    title = f"Simulated brain {size} x {size}, {coils} coils, random lines {accel:g}x, seed {seed}"
    about = {"pisolve": __version__, "size": size, "coils": coils, "accel": accel, "seed": seed, "noise": NOISE,
             "reference": REFERENCE}
    with atomic(folder / "demo.json") as temporary:
        temporary.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    zoom = tuple(round(size * part) for part in (0.18, 0.345, 0.31))  # the dots and lines that test resolution
    images = {name: o.images[0] for (_, name), o in done.outcomes.items()}
    figure(images, truth, path=folder / "demo.png", zoom=zoom, title=title)
    done.to_html(folder / "report.html", title=title)
    return rows
