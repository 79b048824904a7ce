"""A real cine series at 6x: what priors over time gain over a wavelet for every frame alone.

    python benchmarks/cine.py [--part cine|rank_one] [--quick] [--picture cine.png]

30 frames of a heart, 144 x 144 (PISOLVE_DATA/volumes/cardiac_cine.npy; magnitudes of a scan, given a smooth phase),
seen by 8 of 32 coils of PISOLVE_DATA/maps/neonatal_32ch.h5, resampled and normalised, with noise; a random sixth of
the lines, another one in every frame. All priors get one log grid of 10 strengths and 40 iterations of FISTA (ADMM
where there is no prox). The strength is chosen by PSNR with the masks and noise of seed 0 and reported with those of
seed 1. PSNR and SSIM are of magnitudes. Writes benchmarks/results/cine.json.

Also: a rank-1 series (an image times a temporal profile), noise-free at 4x, which low rank should recover exactly; the
error of the complex series is given for falling strengths, each run starting from the last one's image.
"""

import argparse
import json
import os
from pathlib import Path

import h5py
import numpy as np
from keep import keep
from scipy.ndimage import zoom

import pisolve as pi
from pisolve.testing import distance

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "benchmarks" / "results" / "cine.json"
LAMS = np.geomspace(1e-3, 3, 10)
ACCEL, NOISE, COILS = 6, 0.02, 8

PRIORS = {
    "wavelet, frame by frame": pi.Wavelet(),
    "wavelet, frame by frame, shifts": pi.Wavelet(shifts=16),
    "joint wavelet": None,  # made for the shape
    "temporal fft": pi.TemporalFFT(),
    "temporal tv": pi.TV(axes=(0,)),
    "nuclear": pi.Nuclear(),
    "llr": pi.LLR(),
    "llr, shifts": pi.LLR(shifts=16),
}


def masks(frames, n, accel, seed):
    """A random mask for every frame, (frame, ky, 1)."""
    return np.stack([pi.masks.random((n, n), accel, seed=1000 * seed + k)[:, :1] for k in range(frames)])


def heart(quick):
    """(complex series, maps): 99th percentile 1."""
    image = np.load(DATA / "volumes" / "cardiac_cine.npy")
    if quick:
        image = image[:10, 24:104, 24:104]
    n = image.shape[-1]
    y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
    image = image / np.percentile(image, 99) * np.exp(1j * (0.8 * x + 0.6 * y * y - 0.5 * x * y))
    with h5py.File(DATA / "maps" / "neonatal_32ch.h5") as file:
        mps = file["mps"][:: 32 // COILS]
    mps = zoom(mps.real, (1, n / 128, n / 128), order=1) + 1j * zoom(mps.imag, (1, n / 128, n / 128), order=1)
    mps /= np.sqrt((abs(mps) ** 2).sum(0))
    return image.astype(np.complex64), mps.astype(np.complex64)


def measure(image, mps, seed):
    """A and noisy y, with the masks and noise of a seed."""
    frames = len(image)
    A = pi.linops.sense(np.broadcast_to(mps, (frames, *mps.shape)), masks(frames, image.shape[-1], ACCEL, seed))
    rng = np.random.default_rng(seed)
    noise = NOISE * (rng.standard_normal(A.oshape) + 1j * rng.standard_normal(A.oshape)).astype(np.complex64)
    return A, A(image) + noise * (A.weight > 0)[:, None]


def run(A, y, prior):
    return pi.solve(A, y, prior, max_iter=40, tol=1e-4)


def compare(quick):
    image, mps = heart(quick)
    (A, y), (B, z) = (measure(image, mps, seed) for seed in (0, 1))
    tables, pictures = [], {"truth": image, "zero-filled": B.H(z)}
    for name, prior in PRIORS.items():
        prior = prior or pi.L21() @ pi.linops.wavelet(image.shape)
        tuning = [pi.metrics.psnr(image, run(A, y, lam * prior).x) for lam in LAMS]
        lam = float(LAMS[int(np.argmax(tuning))])
        result = run(B, z, lam * prior)
        pictures[name] = result.x
        tables.append({
            "prior": name, "lam": lam, "psnr": round(pi.metrics.psnr(image, result.x), 2),
            "ssim": round(pi.metrics.ssim(image, result.x), 4), "at_the_edge_of_the_grid": lam in (LAMS[0], LAMS[-1]),
            "solver": type(result.solver).__name__, "iterations": result.state.k,
            "tuning_psnr": [round(p, 2) for p in tuning]})
        print(tables[-1], flush=True)
    return {"shape": list(image.shape), "coils": COILS, "accel": ACCEL, "noise": NOISE, "lams": LAMS.tolist(),
            "zero_filled_psnr": round(pi.metrics.psnr(image, pictures["zero-filled"]), 2), "rows": tables}, pictures


def rank_one(coils, n, frames=30):
    """The error of the complex series after each of falling strengths."""
    brain = pi.phantom.brain((n, n), coils)
    t = 2 * np.pi * np.arange(frames) / frames
    image = (1 + 0.5 * np.cos(t) * np.exp(0.8j * np.sin(t)))[:, None, None] * brain.image.astype(np.complex128)
    mps = brain.mps / np.sqrt((abs(brain.mps) ** 2).sum(0))
    A = pi.linops.sense(np.broadcast_to(mps, (frames, *mps.shape)), masks(frames, n, 4, 0))
    y, rows = A(image), []
    size = np.linalg.norm(image)  # the only singular value
    for prior, unit in ((pi.Nuclear(), size), (pi.LLR(), 8 * size / n)):
        x, errors = None, []
        for lam in np.geomspace(1e-1, 1e-5, 9):
            x = pi.solve(A, y, lam * unit * prior, pi.FISTA(), x0=x, max_iter=60, tol=1e-6).x
            errors.append(float(f"{distance(x, image):.2e}"))
        rows.append({"coils": coils, "shape": [frames, n, n], "prior": repr(prior), "errors": errors})
        print(rows[-1], flush=True)
    return rows


def draw(pictures, path):
    """Frame 12 of every reconstruction, its error five times brighter, and a line over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    truth = abs(pictures["truth"])
    k, column = min(12, len(truth) - 1), truth.shape[-1] * 2 // 5
    fig, axes = plt.subplots(3, len(pictures), figsize=(2.2 * len(pictures), 6.2), squeeze=False)
    for a, (name, x) in zip(axes.T, pictures.items()):
        a[0].set_title(name, fontsize=8)
        for ax, shown in zip(a, (abs(x[k]), 5 * abs(abs(x[k]) - truth[k]), abs(x[:, :, column]))):
            ax.imshow(shown, cmap="gray", vmin=0, vmax=1.1, aspect="auto")
            ax.axis("off")
    fig.tight_layout()
    fig.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 frames of 80 x 80; nothing is written")
    parser.add_argument("--part", choices=("cine", "rank_one"), help="only this one; the other's results stay")
    parser.add_argument("--picture", help="path of a picture of the series to draw")
    args = parser.parse_args()
    report = {"command": "python benchmarks/cine.py"}
    if args.part != "cine":
        report["rank_one"] = [row for coils in (1, 4) for row in rank_one(coils, 32 if args.quick else 64)]
    if args.part != "rank_one":
        report["cine"], pictures = compare(args.quick)
        if args.picture:
            draw(pictures, args.picture)
    if not args.quick:
        OUT.parent.mkdir(exist_ok=True)
        report = {**(json.loads(OUT.read_text()) if OUT.exists() else {}), **report}
        keep(OUT, report)


if __name__ == "__main__":
    main()
