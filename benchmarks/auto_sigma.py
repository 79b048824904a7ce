"""Plug-and-play by the scan's own noise against sigma and rho by an oracle's grid, on the tuning scans.

    python benchmarks/auto_sigma.py                  writes results/auto_sigma.json; 8 minutes of one core
    python benchmarks/auto_sigma.py --only own       the rows without a number alone, the grid as it was

The two tuning scans of `heldout.py`, one at 4x random, one at 8x, with noise of 0, 1, 2 and 4 % of the image's
maximum on every coil (standard deviation of the real and of the imaginary part). `grid` is `PnP(D, sigma)` by a level
that falls from 0.25 in 60 steps, at the best sigma and rho by the very image; `named` the setting of docs/networks.md,
sigma 0.01 and rho 0.2; `own` is `PnP(D)`. `lost` is in dB of PSNR over the body. The rule of `PnP(D)` was chosen on
these scans, with runs of 20 steps.
"""

import json
import time
import warnings
from pathlib import Path

import heldout
import numpy as np
from keep import asked, keep

import pisolve as pi

OUT = Path(__file__).parent / "results" / "auto_sigma.json"
SHARES, ACCEL = (0.0, 0.01, 0.02, 0.04), (4, 8)
SIGMAS, RHOS, STEPS, FIRST = (0.003, 0.006, 0.014, 0.03), (0.05, 0.2), 60, 0.25
NAMED = (0.01, 0.2)


def scans():
    """(label, noise in units of k-space, prepared scan)."""
    for n, (accel, (name, volume, index, coils, _)) in enumerate(zip(ACCEL, heldout.TUNING)):
        top = float(heldout.picture(volume, index).max())
        for share in SHARES:
            full = heldout.simulate(volume, index, coils, share * top, seed=100 + n)
            mask = pi.masks.random(full.kspace.shape[-2:], accel, seed=7)
            scan = pi.Recipe().prepare(full.undersample(mask))
            yield f"{name.split(',')[0]}, {accel}x, {share:.0%}", share * top, scan


def psnr(scan, image):
    """Over the body, one scale for all, in dB."""
    region, image = pi.metrics.body(scan.reference), abs(image)
    image *= (image * scan.reference)[region].sum() / (image**2)[region].sum()
    return float(pi.metrics.psnr(scan.reference, image, region=region))


def falling(scan, D, sigma, rho):
    """PSNR of the documented schedule."""
    solver = pi.HQS(rho=rho, ratio=(FIRST / sigma) ** 2, iterations=STEPS, coupling=0)
    return round(psnr(scan, pi.recon(scan, pi.PnP(D, sigma), solver, max_iter=STEPS).x), 2)


def own(scan, noise, D):
    """What `PnP(D)` does."""
    found, start = pi.scan_noise(scan), time.process_time()
    done = pi.recon(scan, pi.PnP(D))
    return {"own": round(psnr(scan, done.x), 2), "sigma": round(done.recipe.prior.sigma, 5),
            "rho": round(done.recipe.solver.rho, 4), "noise": noise, "estimated": round(found.sigma, 6), "by": found.by,
            "scaled": round(found.scaled, 5), "seconds": round(time.process_time() - start, 1)}


def main():
    args = asked(__doc__, only="own: not the grid")
    warnings.simplefilter("ignore", UserWarning)
    D = pi.nets.load("denoiser-fast")
    old = json.loads(OUT.read_text())["rows"] if args.only else []
    rows = []
    for n, (label, noise, scan) in enumerate(scans()):
        if args.only:
            row = old[n]
        else:
            curves = {f"rho {rho}": [falling(scan, D, s, rho) for s in SIGMAS] for rho in RHOS}
            row = {"scan": label, "named": falling(scan, D, *NAMED), **curves}
        row |= own(scan, noise, D)
        row["grid"] = max(row["named"], *(max(row[f"rho {rho}"]) for rho in RHOS))
        row["lost"] = round(row["grid"] - row["own"], 2)
        print(row, flush=True)
        rows.append(row)
        lost = [r["lost"] for r in rows]
        keep(OUT, {"command": "python benchmarks/auto_sigma.py", "sigmas": SIGMAS, "most_lost": max(lost),
                   "mean_lost": round(float(np.mean(lost)), 2), "rows": rows})


if __name__ == "__main__":
    main()
