"""Image quality at 4x: pisolve's priors, SigPy and BART on the same k-space, mask and maps, each at its best lambda.

    python benchmarks/quality.py [--seeds 3] [--quick]

For every scan and mask all methods get one log grid of 9 strengths (PnP and RED: of sigma) and the best value by PSNR
is reported, which is an oracle's choice and the same advantage for all. PSNR is of magnitudes over the body against
the RSS of the full data. Writes benchmarks/results/quality.json and a picture of the first scan beside it.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import sigpy.mri
from keep import keep

import pisolve as pi
from pisolve import phantom
from pisolve.io import cfl

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "benchmarks" / "results"
LAMS = np.geomspace(1e-4, 3e-2, 9)
SIGMAS = np.geomspace(1e-2, 1.6e-1, 9)
CENTRE = 0.125  # 16 of 128 lines


def scans(quick):
    if quick:
        yield "analytic phantom 8 x 128 x 128", pi.io.Scan(phantom.brain((128, 128), noise=0.02, seed=3).kspace)
        return
    for name, file in (("in-vivo brain 16 x 128 x 128", "invivo_brain_cimax_16ch.h5"),
                       ("bottle phantom 16 x 128 x 128", "phantom_cimax_16ch.h5")):
        if (DATA / "kspace" / file).exists():
            yield name, pi.io.load(DATA / "kspace" / file).select(0)
    yield "analytic phantom 8 x 192 x 192", pi.io.Scan(phantom.brain((192, 192), noise=0.02, seed=3).kspace)


def ours(scan, make, solver=None, max_iter=100):
    """strength -> image of a prior that `make` makes of it."""
    return lambda s: pi.recon(scan, make(s), solver, max_iter=max_iter).x


def classical(scan, folder, lams=LAMS):
    """name -> (grid of strengths, function of strength giving an image of any scale): ours, and BART where it is."""
    out = {
        "zero-filled": ([0], lambda s: pi.linops.sense(scan.mps[0], scan.mask).H(scan.kspace[0])[None]),
        "SENSE": ([0], ours(scan, lambda s: pi.Zero(), max_iter=12)),
        "wavelet": (lams, ours(scan, lambda s: s * pi.Wavelet())),
        "wavelet, shifts": (lams, ours(scan, lambda s: s * pi.Wavelet(shifts=16))),
        "tv": (lams, ours(scan, lambda s: s * pi.TV())),
    }
    if shutil.which("bart"):
        cfl.write(folder / "k", scaled(scan), coils=True)
        cfl.write(folder / "s", scan.mps[0], coils=True)

        def bart(*options):
            subprocess.run(["bart", "pics", "-S", *options, "k", "s", "x"], cwd=folder, check=True,
                           stdout=subprocess.DEVNULL)
            return cfl.read_image(folder / "x")[None]

        out["BART wavelet"] = (lams, lambda s: bart(f"-RW:3:0:{s}", "-i100"))
        out["BART TV"] = (lams, lambda s: bart(f"-RT:3:0:{s}", "-i100", "-u0.1"))
        out["BART l2"] = (lams, lambda s: bart("-l2", f"-r{s}", "-i30"))
    return out


def scaled(scan):
    """K-space (coil, ky, kx) of the first slice in a recipe's units."""
    A = pi.linops.sense(scan.mps[0], scan.mask)
    return (scan.kspace[0] / np.percentile(abs(A.H(scan.kspace[0])), 99)).astype(np.complex64)


def methods(scan, folder):
    """`classical`, and more with the same form."""
    D = pi.nets.load("denoiser-brain")
    out = classical(scan, folder) | {
        "tikhonov": (LAMS, ours(scan, lambda s: s * pi.Tikhonov())),
        "pnp": (SIGMAS, ours(scan, lambda s: pi.PnP(D, sigma=s), max_iter=30)),
        "pnp, hqs": (SIGMAS, ours(scan, lambda s: pi.PnP(D, sigma=s), pi.HQS(), 12)),
        "pnp, fista": (SIGMAS, ours(scan, lambda s: pi.PnP(D, sigma=s), pi.FISTA(), 40)),
        "red 0.05": (SIGMAS, ours(scan, lambda s: 0.05 * pi.RED(D, sigma=s), max_iter=60)),
    }
    weights = DATA / "weights" / "dncnn_gray_25.pth"
    if weights.exists():
        grey = [pi.nets.load(weights, scale=c, offset=o) for c, o in ((1, 0), (0.5, 0.5))]
        out["pnp, public dncnn"] = (range(2), ours(scan, lambda s: pi.PnP(grey[s]), max_iter=20))  # at its own level
    data, weight = scaled(scan), scan.mask.astype(np.float32)
    out["SigPy wavelet"] = (LAMS, lambda s: sigpy.mri.app.L1WaveletRecon(
        data, scan.mps[0], s, weights=weight, max_iter=100, show_pbar=False).run()[None])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the analytic phantom only")
    parser.add_argument("--only", default="", help="methods whose name contains this")
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    table = []
    for seed in range(args.seeds):
        for name, full in scans(args.quick):
            table += compare(name, full, seed, args.only)
            if not args.only and not args.quick:  # what is done is kept
                OUT.mkdir(exist_ok=True)
                report = {"command": f"python benchmarks/quality.py --seeds {args.seeds}", "rows": table}
                keep(OUT / "quality.json", report)


def compare(name, full, seed, only):
    """All methods on one scan and mask: a list of rows."""
    scan = pi.Recipe(sampling=pi.Sampling("random", 4, CENTRE, seed)).prepare(
        full if full.kspace.ndim == 4 else pi.io.Scan(full.kspace[None]))
    with tempfile.TemporaryDirectory() as folder:
        chosen = {method: how for method, how in methods(scan, Path(folder)).items() if only in method}
        return [{"scan": name, "seed": seed, **row} for row in judged(f"{name:32s} seed {seed}", scan, chosen)]


def judged(label, scan, methods):
    """A row for each method: PSNR over the body, in dB, at the best strength of its grid, and the curve."""
    reference, region, rows = scan.reference, pi.metrics.body(scan.reference), []
    for method, (grid, run) in methods.items():
        tried = []
        for strength in grid:
            image = abs(run(strength))
            image *= (image * reference)[region].sum() / (image**2)[region].sum()  # one scale for all
            tried.append((pi.metrics.psnr(reference, image, region=region), float(strength), image))
        best = max(tried, key=lambda t: t[0])
        rows.append({"method": method, "psnr": round(best[0], 2), "strength": best[1],
                     "ssim": round(pi.metrics.ssim(reference, best[2]), 4), "curve": [round(t[0], 2) for t in tried]})
        print(f"{label}  {method:38s} {best[0]:6.2f} dB at {best[1]:.2g}", flush=True)
    return rows


if __name__ == "__main__":
    main()
