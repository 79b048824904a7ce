"""How near `pi.tune` comes to the oracle: 4 scans at 4x random lines, 3 priors, every criterion.

    python benchmarks/tuning.py [--only brain] [--table]

The oracle is criterion "reference": the same grid and golden sections, but judged by the truth. For each criterion the
PSNR of the reconstruction at the strength that it chose is compared with the oracle's: magnitudes over the body after
one scale, as in benchmarks/quality.py. Truth: the RSS of the full data for measured scans, the RSS without noise for
simulated ones. Nothing about the criteria was chosen on these four scans. Writes benchmarks/results/tuning.json and
prints it as Markdown; --only runs the scans whose name contains this and replaces their rows; --table prints only.
"""

import argparse
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from keep import keep

import pisolve as pi
from pisolve.backend import fft

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data"))
FILE = ROOT / "benchmarks" / "results" / "tuning.json"
CENTRE, SEED = 0.125, 0
BLIND = ("holdout", "sure", "discrepancy")


def mni(noise=0.015, z=90, n=128):
    """A slice of the MNI152 head with a smooth phase behind 16 measured-like maps of RSS 1: (scan, truth)."""
    import h5py
    import nibabel

    with h5py.File(DATA / "maps" / "neonatal_32ch.h5") as file:
        mps = file["mps"][::2]
    mps = mps / np.sqrt((abs(mps) ** 2).sum(0) + 1e-12)
    slice_ = np.rot90(np.asarray(nibabel.load(DATA / "volumes" / "mni152_t1.nii.gz").dataobj, np.float32)[:, :, z])
    wide, (h, w) = np.zeros((2 * n, 2 * n), np.complex64), slice_.shape
    wide[n - h // 2 : n - h // 2 + h, n - w // 2 : n - w // 2 + w] = slice_
    low = fft(wide, (-2, -1))[n // 2 : n // 2 + n, n // 2 : n // 2 + n]
    image = abs(fft(low, (-2, -1), inverse=True))
    y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
    image = image / np.percentile(image, 99) * np.exp(1j * (0.6 * y - 0.4 * x + 0.9 * x * y - 0.5 * y**2))
    clean = fft((mps * image).astype(np.complex64), (-2, -1))
    rng = np.random.default_rng(SEED)
    noisy = clean + noise * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
    return pi.io.Scan(noisy.astype(np.complex64)), pi.io.Scan(clean).rss()


def analytic(n=192):
    """The analytic phantom: (scan, truth)."""
    noisy, clean = (pi.io.Scan(pi.phantom.brain((n, n), noise=s, seed=3).kspace) for s in (0.02, 0.0))
    return noisy, clean.rss()


def measured(name):
    """The first slice of a measured scan: (scan, None)."""
    scan = pi.io.load(DATA / "kspace" / name)
    return pi.io.Scan(scan.kspace[0]), None


SCANS = {
    "in-vivo brain 16 x 128 x 128": lambda: measured("invivo_brain_cimax_16ch.h5"),
    "MNI152, simulated 16 x 128 x 128": mni,
    "bottle phantom 16 x 128 x 128": lambda: measured("phantom_cimax_16ch.h5"),
    "analytic phantom 8 x 192 x 192": analytic,
}


def compare(name, priors):
    """One row for each prior and criterion."""
    full, truth = SCANS[name]()
    scan = pi.Recipe(sampling=pi.Sampling("random", 4, CENTRE, SEED)).prepare(full)
    scan = scan if truth is None else replace(scan, reference=truth)
    reference, region = scan.reference, pi.metrics.body(scan.reference)

    def psnr(prior, options):
        image = abs(pi.recon(scan, prior, **options).x)
        image *= (image * reference)[region].sum() / (image**2)[region].sum()
        return pi.metrics.psnr(reference, image, region=region)

    for word, (prior, options) in priors.items():
        found = {}
        for criterion in ("reference", *BLIND):
            tuning = pi.tune(scan, prior, criterion=criterion, refine=3, **options)
            found[criterion] = {"psnr": psnr(tuning.prior, options), **tuning.to_dict()}
        best = found["reference"]["psnr"]
        for criterion, row in found.items():
            row = {"scan": name, "prior_name": word, "loss_db": round(best - row["psnr"], 3), **row}
            print(f"{name:34s}{word:9s}{criterion:12s} {row['psnr']:6.2f} dB, {row['loss_db']:+.2f} at "
                  f"{row['strength']:.3g} {row['status']} {row['seconds']:.0f} s", flush=True)
            yield row


def table(rows):
    """The rows as Markdown: PSNR of the oracle, and how much each criterion loses."""
    print("\n| scan | prior | oracle | " + " | ".join(BLIND) + " |\n|---|---|---|" + "---|" * len(BLIND))
    for key in dict.fromkeys((r["scan"], r["prior_name"]) for r in rows):
        mine = {r["criterion"]: r for r in rows if (r["scan"], r["prior_name"]) == key}
        oracle = mine["reference"]
        cells = [f"{-mine[m]['loss_db']:+.2f} dB at {mine[m]['strength']:.2g}" for m in BLIND]
        print(f"| {key[0]} | {key[1]} | {oracle['psnr']:.2f} dB at {oracle['strength']:.2g} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="scans whose name contains this")
    parser.add_argument("--table", action="store_true", help="print the table of the results that are there")
    parser.add_argument("--out", type=Path, default=FILE, help="the .json")
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    rows = json.loads(args.out.read_text())["rows"] if args.out.exists() else []
    D = pi.nets.load("denoiser-brain")
    priors = {"wavelet": (pi.Wavelet(shifts=16), {"max_iter": 60}), "tv": (pi.TV(), {"max_iter": 60}),
              "pnp": (pi.PnP(D, sigma=0.1), {"max_iter": 30})}
    for name in [] if args.table else [n for n in SCANS if args.only in n]:
        rows = [r for r in rows if r["scan"] != name]
        for row in compare(name, priors):
            rows.append(row)
            keep(args.out, {"command": "python benchmarks/tuning.py", "rows": rows})
    table(rows)


if __name__ == "__main__":
    main()
