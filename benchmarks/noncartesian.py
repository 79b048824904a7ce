"""The shared radial phantom and spirals: ours with and without corrections, SigPy's and BART's; and fewer spokes.

    OMP_NUM_THREADS=2 python benchmarks/noncartesian.py [--picture docs/noncartesian.png] [--only spokes]

Images: slice 1 of both. Phantom, 33 spokes of 17 coils, total variation of one strength: as measured, and with delays
and the factors of shots taken out; SigPy's and BART's of the data as they were measured and of the corrected ones, with
our maps. Spirals, least squares: off-resonance corrected or not, SigPy's and BART's, which do not correct it with the
field map of this file; NRMSE against the clean image, inside the object.

Spokes: 33, 21 and 13 of the corrected phantom's spokes, evenly spread. Strengths are the best of four on slice 0, by
the spokes that were withheld, and slices 1 and 2 are judged: the error of the withheld spokes, ||A x - y|| / ||y||, and
the PSNR against the mean of the three methods' images of all spokes. Maps are those of all spokes.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import sigpy.mri
from keep import bart, keep
from volumes import write

import pisolve as pi
from pisolve.figure import mosaic
from pisolve.io import cfl

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data")) / "noncartesian"
OUT = ROOT / "benchmarks" / "results" / "noncartesian.json"
LAM, SPOKES = 3e-3, (33, 21, 13)
STRENGTHS = {"wavelet, shifts": (2e-3, 5e-3, 1e-2, 2e-2), "TV": (1e-3, 3e-3, 1e-2, 3e-2),
             "PnP": (0.02, 0.04, 0.07, 0.12)}


def prior(name, strength):
    if name == "PnP":
        return pi.PnP(pi.nets.load("denoiser-brain"), sigma=strength)
    return strength * (pi.TV() if name == "TV" else pi.Wavelet(shifts=16))


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


def phantom():
    """{title: image}, and what is left of the data: ours, SigPy's and BART's of the same samples."""
    scan = pi.io.load(DATA / "phantom_radial33_17ch.h5").select(1)
    raw = {"delays": None, "shot_factors": False}
    before, after = (pi.recon(scan, LAM * pi.TV(), max_iter=60, **how) for how in (raw, {}))
    images = {"gridding": scan.rss()[0] * before.scale, "as measured": abs(before.x[0]) * before.scale,
              "corrected": abs(after.x[0]) * after.scale}
    report = {"left of the data": {"as measured": before.agreement.residual, "corrected": after.agreement.residual},
              "corrections": after.corrections}
    for name, done in (("as measured", before), ("corrected", after)):
        one = done.scan.parts()[0]
        y = (one.kspace * np.float32(done.scale)).astype("c8")
        x = sigpy.mri.app.TotalVariationRecon(y, one.mps, LAM, coord=one.coord.astype("f4"), max_iter=200,
                                              show_pbar=False).run()
        images[f"SigPy, {name}"] = abs(x)
        if shutil.which("bart"):
            images[f"BART, {name}"] = abs(barts(y, one.mps, one.coord, f"-RT:3:0:{LAM}", "-i100", "-u0.1"))
    report["distance to ours"] = {n: pi.testing.distance(images[n], images[n.partition(", ")[2]])
                                  for n in images if ", " in n}
    return {n: i / np.percentile(i, 99.5) for n, i in images.items()}, report


def spirals():
    """The same of the spirals."""
    import h5py

    scan = pi.io.load(DATA / "spiral_b0_sim.h5").select(1)
    with h5py.File(DATA / "spiral_b0_sim.h5") as file:
        truth, inside = file["image_clean"][1], file["mask"][1]
    prior = 1e-4 * pi.Tikhonov()
    off, on = (pi.recon(scan, prior, max_iter=20, off_resonance=o) for o in (False, True))
    part = off.scan.parts()[0]
    y = (part.kspace * np.float32(off.scale)).astype("c8")
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
    still = {"delays": None, "shot_factors": False, "max_iter": 60}
    ends = whole.coord[:, -1] - whole.coord[:, 0]
    kept = {n: spread(np.arctan2(*ends.T), n) for n in SPOKES}

    def error(x, part, held):
        """Of the spokes that were withheld."""
        if not held.any():
            return float("nan")
        y = part.kspace[:, held]
        return pi.testing.distance(pi.linops.sense(part.mps, coord=part.coord[held])(x), y)

    def run(name, strength, count, z):
        one = whole.select(z)
        less = one if count == len(kept[count]) else one.undersample(kept[count][:, None])
        x = pi.recon(less, prior(name, strength), **still).x[0]
        return x, error(x.astype("c8"), one.parts()[0], ~kept[count])

    chosen = {}
    for name, strengths in STRENGTHS.items():
        tried = [np.mean([run(name, s, n, 0)[1] for n in SPOKES[1:]]) for s in strengths]
        chosen[name] = strengths[int(np.argmin(tried))]
        print(name, dict(zip(strengths, np.round(tried, 4))), flush=True)
    found = {(name, n, z): run(name, s, n, z) for name, s in chosen.items() for n in SPOKES for z in (1, 2)}
    rows = []
    for name in chosen:
        for n in SPOKES:
            psnr, held = [], []
            for z in (1, 2):
                truth = np.mean([abs(found[m, SPOKES[0], z][0]) for m in chosen], axis=0)
                psnr.append(float(pi.metrics.psnr(truth, abs(found[name, n, z][0]))))
                held.append(found[name, n, z][1])
            rows.append({"method": name, "strength": chosen[name], "spokes": n, "psnr": round(np.mean(psnr), 2),
                         "withheld": None if np.isnan(held).any() else round(float(np.mean(held)), 4)})
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
            mosaic(tiles, path=a.picture, columns=-(-len(tiles) // 2), dpi=90, note=note)
    if a.only != "images":
        report["spokes"] = spokes()
    keep(OUT, report)


if __name__ == "__main__":
    main()
