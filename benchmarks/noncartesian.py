"""The shared radial phantom and spirals: ours with and without corrections, SigPy's and BART's; and fewer spokes.

    OMP_NUM_THREADS=2 python benchmarks/noncartesian.py [--picture docs/noncartesian.png] [--only spokes]

Images: slice 1 of both. Phantom, 33 spokes of 17 coils, total variation of one strength: as measured, and with delays
and the factors of shots taken out; SigPy's (anisotropic) and BART's of the data as they were measured, with our maps;
and of the corrected data how far the images of least squares are apart, SigPy's with a wider kernel. Spirals, least
squares: off-resonance corrected or not, SigPy's and BART's, which do not correct it with the field map of this file;
NRMSE against the clean image, inside the object.

Spokes: 33, 21 and 13 of the corrected phantom's spokes, evenly spread, by the command line's wavelet, tv and pnp with
nothing tuned and the maps of all spokes: the PSNR against the mean of the three methods' images of all spokes, and the
error of the spokes that were withheld, ||A x - y|| / ||y||; means of slices 1 and 2.
"""

import argparse
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import sigpy.mri
from keep import bart, keep
from PIL import Image
from volumes import write

import pisolve as pi
from pisolve.figure import mosaic
from pisolve.io import cfl
from pisolve.recipe.named import named

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data")) / "noncartesian"
OUT = ROOT / "benchmarks" / "results" / "noncartesian.json"
LAM, SPOKES, METHODS = 3e-3, (33, 21, 13), ("wavelet", "tv", "pnp")


def barts(y, mps, coord, *words):
    """BART's image of samples (coil, shot, sample)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        places = np.zeros((*coord.shape[:-1], 3), "c8")
        places[..., :2] = coord[..., ::-1]
        write(folder / "t", places, (0, 1, 2))
        write(folder / "y", y[..., None], (0, 1, 2, 3))
        write(folder / "mps", mps, (0, 1, 3))
        bart(folder, "pics", *words, "-w1", "-t", "t", "y", "mps", "x")
        return np.squeeze(cfl.read(folder / "x"))


def scaled(done):
    """(the one part of what was solved, its samples in the recipe's units)."""
    one = done.scan.parts()[0]
    return one, (one.kspace * np.float32(done.scale)).astype("c8")


def phantom():
    """{title: image}, and what is left of the data: ours, SigPy's and BART's of the same samples."""
    scan = pi.io.load(DATA / "phantom_radial33_17ch.h5").select(1)
    raw = {"delays": None, "shot_factors": False}
    before, after = (pi.recon(scan, LAM * pi.TV(), max_iter=60, **how) for how in (raw, {}))
    images = {"gridding": scan.rss()[0], "as measured": abs(before.x[0]), "corrected": abs(after.x[0])}
    report = {"left of the data": {"as measured": before.agreement.residual, "corrected": after.agreement.residual},
              "corrections": after.corrections}
    one, y = scaled(before)
    images["SigPy, as measured"] = abs(sigpy.mri.app.TotalVariationRecon(
        y, one.mps, LAM, coord=one.coord.astype("f4"), max_iter=100, show_pbar=False).run())
    if shutil.which("bart"):
        images["BART, as measured"] = abs(barts(y, one.mps, one.coord, f"-RT:3:0:{LAM}", "-i100", "-u0.1"))
    one, y = scaled(after)
    ours = pi.solve(pi.linops.sense(one.mps, coord=one.coord), y, 0.1 * pi.Tikhonov(), max_iter=100, tol=1e-7).x
    A = sigpy.linop.NUFFT(one.mps.shape, one.coord, oversamp=2, width=8) * sigpy.linop.Multiply(ours.shape, one.mps)
    apart = {"SigPy": sigpy.app.LinearLeastSquares(A, y, lamda=0.1, max_iter=100, tol=0, show_pbar=False).run()}
    if shutil.which("bart"):
        apart["BART"] = barts(y, one.mps, one.coord, "-l2", "-r0.1", "-i100")
    report["distance to ours, least squares"] = {n: pi.testing.distance(x * np.vdot(x, ours) / np.vdot(x, x), ours)
                                                 for n, x in apart.items()}
    return {n: i / np.percentile(i, 99.5) for n, i in images.items()}, report


def spirals():
    """The same of the spirals."""
    import h5py

    scan = pi.io.load(DATA / "spiral_b0_sim.h5").select(1)
    with h5py.File(DATA / "spiral_b0_sim.h5") as file:
        truth, inside = file["image_clean"][1], file["mask"][1]
    prior = 1e-4 * pi.Tikhonov()
    off, on = (pi.recon(scan, prior, max_iter=20, off_resonance=o) for o in (False, True))
    part, y = scaled(off)
    images = {"not corrected": off.x[0] * off.scale, "field map": on.x[0] * on.scale, "SigPy": sigpy.mri.app.SenseRecon(
        y, part.mps, lamda=1e-4, coord=part.coord.astype("f4"), max_iter=20, show_pbar=False).run()}
    if shutil.which("bart"):
        images["BART"] = barts(y, part.mps, part.coord, "-l2", "-r1e-4", "-i20")
    report = {"distance to ours, not corrected": {n: pi.testing.distance(images[n], images["not corrected"])
                                                  for n in ("SigPy", "BART") if n in images}}
    images = {n: abs(x) for n, x in images.items()} | {"clean": truth}
    for name, x in images.items():
        images[name] = x * (x[inside] @ truth[inside]) / (x[inside] @ x[inside])
    report["NRMSE"] = {n: pi.testing.distance(x[inside], truth[inside]) for n, x in images.items() if n != "clean"}
    return images, report


def spread(angles, count):
    """Which spokes, evenly spread over half a turn."""
    order = np.argsort(angles % np.pi)
    kept = np.zeros(len(angles), bool)
    kept[order[np.round(np.arange(count) * len(angles) / count).astype(int)]] = True
    return kept


def spokes():
    """Rows of the table of fewer spokes."""
    whole = pi.io.load(DATA / "phantom_radial33_17ch.h5")
    whole = pi.recon(whole, 1e-3 * pi.Tikhonov(), max_iter=2).scan  # with maps, corrected
    ends = whole.coord[:, -1] - whole.coord[:, 0]
    kept = {n: spread(np.arctan2(*ends.T), n) for n in SPOKES}
    recipes = {name: replace(named(name), delays=None, shot_factors=False) for name in METHODS}
    found = {}
    for name, n, z in ((name, n, z) for name in METHODS for n in SPOKES for z in (1, 2)):
        one = whole.select(z)
        x = recipes[name](one if kept[n].all() else one.undersample(kept[n][:, None])).x[0]
        part, held = one.parts()[0], ~kept[n]
        there = pi.linops.sense(part.mps, coord=part.coord[held])(x.astype("c8")) if held.any() else None
        found[name, n, z] = abs(x), None if there is None else pi.testing.distance(there, part.kspace[:, held])
        print(name, n, z, found[name, n, z][1], flush=True)
    truth = {z: np.mean([found[m, SPOKES[0], z][0] for m in METHODS], axis=0) for z in (1, 2)}
    rows = []
    for name, n in ((name, n) for name in METHODS for n in SPOKES):
        psnr = np.mean([pi.metrics.psnr(truth[z], found[name, n, z][0]) for z in (1, 2)])
        held = [found[name, n, z][1] for z in (1, 2)]
        rows.append({"method": name, "spokes": n, "psnr": round(float(psnr), 2),
                     "withheld": None if None in held else round(float(np.mean(held)), 4)})
        print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", choices=("", "images", "spokes"))
    parser.add_argument("--picture", default="")
    a = parser.parse_args()
    report = json.loads(OUT.read_text()) if OUT.exists() else {}
    report["command"] = "OMP_NUM_THREADS=2 python benchmarks/noncartesian.py"
    if a.only != "spokes":
        (above, report["phantom"]), (below, report["spirals"]) = phantom(), spirals()
        print(json.dumps({n: report[n] for n in ("phantom", "spirals")}, indent=1), flush=True)
        if a.picture:
            nrmse = report["spirals"]["NRMSE"]
            below = {n + (f", NRMSE {nrmse[n]:.3f}" if n in nrmse else ""): x for n, x in below.items()}
            tiles = [(n, x, "phantom") for n, x in above.items()] + [(n, x, "spiral") for n, x in below.items()]
            note = "phantom: 33 spokes, total variation; spirals: least squares, NRMSE against the clean image"
            mosaic(tiles, path=a.picture, columns=-(-len(tiles) // 2), dpi=74, note=note)
            with Image.open(a.picture) as drawn:  # noise does not compress, and the eye does with few greys
                few = drawn.convert("L").point(lambda v: 4 * round(v / 4))
            few.save(a.picture, optimize=True)
    if a.only != "images":
        report["spokes"] = spokes()
    keep(OUT, report)


if __name__ == "__main__":
    main()
