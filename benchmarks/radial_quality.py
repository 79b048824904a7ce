"""Radial scans of the held-out slices: gridding, conjugate gradients, classical priors, plug-and-play and a network.

    OMP_NUM_THREADS=2 python benchmarks/radial_quality.py [--only bart]

34 spokes of golden angles, readout oversampled twice, on the slices and behind the coils of `heldout.py`, simulated
with the noise that these have on a grid; maps by ESPIRiT of the gridded centre, which is what a user has. Every
strength is the best of four on the two tuning scans, by the mean PSNR, and then the same on all held-out scans. PSNR
is against the noise-free root sum of squares, inside its object. BART's wavelets and total variation get the same
scaled samples, coordinates and maps, and are tuned alike.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from heldout import HELD_OUT, TUNING, coils, picture, smooth_phase
from keep import keep
from noncartesian import barts

import pisolve as pi

OUT = Path(__file__).parent / "results" / "radial_quality.json"
SPOKES = 34
STRENGTHS = {"wavelet": (2e-3, 5e-3, 1e-2, 2e-2), "tv": (1e-3, 2e-3, 5e-3, 1e-2), "tgv": (5e-4, 1e-3, 2e-3, 5e-3),
             "pnp": (0.03, 0.05, 0.08, 0.12)}
BART = {"bart wavelet": (1e-3, 2e-3, 5e-3, 1e-2), "bart tv": (1e-3, 2e-3, 5e-3, 1e-2)}
CLASSICAL = ("wavelet", "tv", "tgv", *BART)


def scan(volume, index, which, noise, seed):
    """(radial `Scan`, noise-free root sum of squares)."""
    image = picture(volume, index)
    mps, rng = coils(which, image.shape), np.random.default_rng([seed, index])
    k = pi.trajectories.radial(image.shape, SPOKES)
    x = (image * np.exp(1j * smooth_phase(image.shape, seed))).astype(np.complex64)
    y = pi.linops.sense(mps, coord=k)(x)
    y = y + noise * rng.standard_normal((*y.shape, 2)).view(complex)[..., 0]
    return (pi.io.Scan(y.astype(np.complex64), coord=k, size=image.shape, axes=("coil", "shot", "sample")),
            np.linalg.norm(mps * x, axis=0))


def prior(name, strength):
    makers = {"wavelet": lambda s: s * pi.Wavelet(shifts=16), "tv": lambda s: s * pi.TV(),
              "tgv": lambda s: s * pi.TGV(), "pnp": lambda s: pi.PnP(pi.nets.load("denoiser-brain"), sigma=s)}
    return makers[name](strength)


def psnr(truth, x):
    inside = truth > 0.05 * truth.max()
    return float(20 * np.log10(truth.max() / np.sqrt(np.mean((abs(x) - truth)[inside] ** 2))))


def bart(one, name, strength):
    """BART's image: wavelets by FISTA with random shifts, total variation by ADMM."""
    done = pi.recon(one, 1e-3 * pi.Tikhonov(), max_iter=1)  # for its maps and scale
    part = done.scan.parts()[0]
    words = [f"-RW:3:0:{strength}", "-e"] if name == "bart wavelet" else [f"-RT:3:0:{strength}", "-u0.1"]
    y = (part.kspace * np.float32(done.scale)).astype(np.complex64)
    return barts(y, part.mps, part.coord, "-i60", *words) / done.scale


def run(one, truth, name, strength=None):
    if name in BART:
        return psnr(truth, bart(one, name, strength))
    if name == "gridding":
        return psnr(truth, one.rss())
    if name == "CG":
        return psnr(truth, pi.recon(one, pi.Zero(), max_iter=15).x)
    if name == "modl":
        return psnr(truth, pi.recon(one, network=pi.nets.load("modl-brain")).x)
    return psnr(truth, pi.recon(one, prior(name, strength), max_iter=30 if name == "pnp" else 60).x)


def main():
    """All methods, or with `--only bart` those beside what was kept."""
    only = "bart" in sys.argv
    names = {} if only else dict(STRENGTHS)
    names |= BART if shutil.which("bart") else {}
    tuning = [scan(*settings, seed=100 + n) for n, (_, *settings) in enumerate(TUNING)]
    tried = {name: {s: float(np.mean([run(*t, name, s) for t in tuning])) for s in values}
             for name, values in names.items()}
    best = {name: max(found, key=found.get) for name, found in tried.items()}
    report = json.loads(OUT.read_text()) if only else {"spokes": SPOKES, "strengths": {}, "on the tuning scans": {}}
    report["command"] = "OMP_NUM_THREADS=2 python benchmarks/radial_quality.py"
    report["strengths"] |= best
    report["on the tuning scans"] |= {n: {str(s): round(v, 2) for s, v in f.items()} for n, f in tried.items()}
    report.setdefault("psnr", {})
    print(json.dumps(report), flush=True)
    for n, (name, *settings) in enumerate(HELD_OUT):
        one, truth = scan(*settings, seed=n)
        wanted = [*(() if only else ("gridding", "CG", "wavelet", "tv", "tgv", "pnp", "modl")), *(BART.keys() & names)]
        row = report["psnr"].setdefault(name, {})
        row |= {m: round(run(one, truth, m, best.get(m)), 2) for m in wanted}
        print(name, report["psnr"][name], flush=True)
    rows = list(report["psnr"].values())
    report["mean"] = {m: round(float(np.mean([r[m] for r in rows])), 2) for m in rows[0]}
    ahead = [r["pnp"] - max(r[m] for m in CLASSICAL if m in r) for r in rows]
    report["pnp over the best classical"] = {"mean": round(float(np.mean(ahead)), 2), "least": round(min(ahead), 2)}
    print(report["mean"], report["pnp over the best classical"])
    keep(OUT, report)


if __name__ == "__main__":
    main()
