"""RAKI beside GRAPPA at 4x and 5x on noisy scans.

    OMP_NUM_THREADS=1 python benchmarks/raki.py [--table | --picture docs/raki.png]

Two real scans, a brain in vivo and a bottle, and three simulated ones behind measured coils with noise that GRAPPA
amplifies. 32 calibration lines. The networks' settings are the defaults and one alternative that was found on
`heldout.tuning()`, as GRAPPA's fixed ridge of 3 was; GRAPPA's best of a grid is an oracle's. Every image is combined by
the maps of the full scan (the true ones in simulation), and its magnitude compared with the full scan's (the noise-free
one in simulation): ||x - ref|| / ||ref||.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import heldout
import numpy as np
import tables
from scipy.ndimage import uniform_filter

import pisolve as pi
from pisolve.backend import fft

LINES, SEEDS, ACCEL = 32, (0, 1), (4, 5)
REAL = [("brain in vivo, 16 coils", "invivo_brain_cimax_16ch.h5"), ("bottle, 16 coils", "phantom_cimax_16ch.h5")]
SIMULATED = [("colin27 z=104, neonatal coils 8-15", "colin27_t1.nii.gz", 104, slice(8, 16), 0.03),
             ("heart, frame 25, neonatal coils 1-15", "cardiac_cine.npy", 25, slice(1, 16, 2), 0.03),
             ("MNI152 z=94, neonatal coils 0-15", "mni152_t1.nii.gz", 94, slice(0, 16, 2), 0.03)]
JOINT = {"per_coil": False, "channels": (128, 64), "iterations": 400}
METHODS = {
    "linear": {"variant": "linear"},
    "RAKI": {},
    "RAKI, joint": JOINT,
    "residual RAKI, joint": {"variant": "residual", **JOINT},
}
LAMS = (0.001, 0.01, 0.1, 1, 3, 10, 30)
OUT = Path(__file__).parent / "results" / "raki.json"


def scans():
    """(name, seed, full k-space, maps, reference); the real ones as they are, the simulated ones with new noise."""
    for name, file in REAL:
        kspace = pi.io.load(heldout.DATA / "kspace" / file).kspace[0]
        mps = pi.calib.espirit(kspace)
        yield name, SEEDS[0], kspace, mps, image(kspace, mps)
    for name, *settings in SIMULATED:
        for seed in SEEDS:
            scan = heldout.simulate(*settings, seed=seed)
            mps = heldout.coils(settings[2], scan.kspace.shape[-2:])
            yield name, seed, scan.kspace[0], mps / np.linalg.norm(mps, axis=0), scan.reference[0]


def image(kspace, mps):
    """The magnitude of the coils' images combined."""
    return abs((mps.conj() * fft(kspace, (-2, -1), inverse=True)).sum(0))


def pattern(shape, accel):
    """Every accel-th line through the centre, and the calibration lines."""
    mask = np.zeros(shape, bool)
    mask[shape[0] // 2 % accel::accel] = True
    mask[shape[0] // 2 - LINES // 2:shape[0] // 2 + LINES // 2] = True
    return mask


def nrmse(x, reference):
    return float(np.linalg.norm(x - reference) / np.linalg.norm(reference))


def grappas(y, mask, accel):
    """{(kernel, lam): filled k-space} of the grid."""
    return {(kernel, lam): pi.calib.grappa(y, mask, kernel=kernel, lam=lam)(y)
            for kernel in ((5, 5), (2 * accel - 1, 5)) for lam in LAMS}


def coherent(error):
    """The share of an error's energy that is left where it is averaged over 5 x 5 pixels: 0.04 for white noise."""
    return float((uniform_filter(error, 5) ** 2).sum() / (error**2).sum())


def picture(path, accel=5):
    """The first scan by GRAPPA (default and best of the grid), RAKI and residual RAKI, and five times the errors."""
    from matplotlib import pyplot as plt

    _, seed, kspace, mps, reference = next(scans())
    mask = pattern(kspace.shape[1:], accel)
    y = kspace * mask
    grid = {k: image(x, mps) for k, x in grappas(y, mask, accel).items()}
    best = min(grid, key=lambda k: nrmse(grid[k], reference))
    found = {"GRAPPA": grid[(5, 5), 0.01], f"GRAPPA, best of a grid: lam = {best[1]}": grid[best]}
    for method in ("RAKI", "residual RAKI, joint"):
        found[method] = image(pi.calib.raki(y, mask, seed=seed, **METHODS[method])(y), mps)
    top = np.percentile(reference, 99.5)
    figure, axes = plt.subplots(2, len(found) + 1, figsize=(3 * len(found) + 3, 6.4), layout="constrained")
    for column, (name, x) in zip(axes.T, [("full scan", reference), *found.items()]):
        column[0].imshow(x, cmap="gray", vmin=0, vmax=top)
        column[0].set_title(name, fontsize=10)
        column[1].imshow(5 * (x - reference), cmap="RdBu_r", vmin=-top, vmax=top)
        if x is not reference:
            numbers = f"NRMSE {nrmse(x, reference):.3f}, coherent {coherent(x - reference):.2f}"
            column[1].set_title(f"error x 5\n{numbers}", fontsize=10)
        for axis in column:
            axis.axis("off")
    axes[1, 0].set_visible(False)
    with pi.io.atomic(path) as temporary:
        figure.savefig(temporary, dpi=75)


def run():
    """Everything, written after every setting; what is there already is not done again."""
    rows = json.loads(OUT.read_text())["rows"] if OUT.exists() else []
    done = {(r["scan"], r["seed"], r["accel"]) for r in rows}
    for name, seed, kspace, mps, reference in scans():
        for accel in ACCEL:
            if (name, seed, accel) in done:
                continue
            mask = pattern(kspace.shape[1:], accel)
            y = kspace * mask
            grid = {k: image(x, mps) for k, x in grappas(y, mask, accel).items()}
            default = grid[(5, 5), 0.01]
            grid = {k: nrmse(x, reference) for k, x in grid.items()}
            best = min(grid, key=grid.get)
            row = {"scan": name, "seed": seed, "accel": accel, "shape": kspace.shape,
                   "nrmse": {"full scan": nrmse(image(kspace, mps), reference), "GRAPPA": grid[(5, 5), 0.01],
                             "GRAPPA, lam=3": grid[(5, 5), 3], "GRAPPA, best of the grid": grid[best]},
                   "best": best, "grid": [[*k, v] for k, v in grid.items()],
                   "coherent": {"GRAPPA": coherent(default - reference)}, "loss": {}, "seconds": {}}
            for method, options in METHODS.items():
                start = time.perf_counter()
                weights = pi.calib.raki(y, mask, seed=seed, **options)
                filled = weights(y)
                row["seconds"][method] = time.perf_counter() - start
                x = image(filled, mps)
                row["nrmse"][method], row["coherent"][method] = nrmse(x, reference), coherent(x - reference)
                row["loss"][method] = weights.history[-1:].tolist()
            rows.append(row)
            print(name, seed, accel, {k: round(v, 4) for k, v in row["nrmse"].items()}, best,
                  {k: round(v) for k, v in row["seconds"].items()}, flush=True)
            with pi.io.atomic(OUT) as temporary:
                temporary.write_text(json.dumps({"lines": LINES, "methods": METHODS, "rows": rows}, indent=1) + "\n")


def table(results):
    """The mean over the noise's seeds for every scan and acceleration."""
    rows, names = json.loads((results / OUT.name).read_text())["rows"], {}
    for r in rows:
        names.setdefault((r["scan"], r["accel"]), []).append(r)
    columns = ["GRAPPA", "GRAPPA, best of the grid", *METHODS]
    lines = []
    for (scan, accel), found in names.items():
        values = [float(np.mean([r["nrmse"][c] for r in found])) for c in columns]
        best = {c: " ({:g}, {:g})".format(found[0]["best"][0][0], found[0]["best"][1]) for c in columns[1:2]}
        lines.append([scan, f"{accel}x", len(found), *(f"{v:.3f}{best.get(c, '')}" for c, v in zip(columns, values))])
    return tables.rows_of(["scan", "R", "runs", *columns], lines) + (
        f"\n\nNRMSE of the combined magnitude, {LINES} calibration lines; runs are seeds of noise. Of GRAPPA's grid "
        "the best (lines of its window, lam) is an oracle's choice. Made by `benchmarks/raki.py`.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", metavar="FILE", help="draw the first scan at 5x instead")
    parser.add_argument("--table", action="store_true", help="write the table in docs/calibration.md instead")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message=".* stay 0")
    if arguments.table:
        tables.PAGES = {"docs/calibration.md": {"raki": table}}
        tables.write()
    elif arguments.picture:
        picture(arguments.picture)
    else:
        run()
