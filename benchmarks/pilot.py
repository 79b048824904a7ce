"""PILOT: shots learned from slices of heads, against the spokes they started from, on slices that they never saw.

    python benchmarks/pilot.py [--steps 150] [--picture]

96 x 96 pixels, one coil, 12 shots of 192 samples in 1.9 ms, at 40 mT/m and 180 T/m/s. The shots start as spokes at
uniform angles and are learned with conjugate gradients, with total variation by ADMM, and together with a small MoDL.
Learned from 24 slices of two volumes; judged by NRMSE on the slices of `heldout.py`, of the same volumes and one heart:
conjugate gradients and total variation with the best of five strengths on slices that were learned from, for each
trajectory by itself, and the network beside one of the same kind that learned for spokes alone, as long. Writes
results/pilot.json; --picture draws docs/pilot.png.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from heldout import HELD_OUT, picture, smooth_phase
from keep import keep

import pisolve as pi

OUT = Path(__file__).parent / "results" / "pilot.json"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pilot.png"
N, SHOTS, SAMPLES, FOV, DWELL, NOISE = 96, 12, 192, 0.22, 10e-6, 0.01
LIMITS = {"gmax": 40e-3, "smax": 180.0}
LEARNED_FROM = [(f"{name}_t1.nii.gz", z) for name in ("colin27", "mni152") for z in range(40, 88, 4)]
STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def image(volume, index, seed):
    """A slice at N x N pixels, cut out of its k-space, with a smooth phase; its 99th percentile is 1."""
    x = picture(volume, index)
    side = max(x.shape)
    x = np.pad(x, [((side - n) // 2, side - n - (side - n) // 2) for n in x.shape])
    k = pi.backend.fft(x.astype(np.complex64), (-2, -1))
    low = slice(side // 2 - N // 2, side // 2 - N // 2 + N)
    x = abs(pi.backend.fft(k[low, low], (-2, -1), inverse=True))
    return (x / np.percentile(x, 99) * np.exp(1j * smooth_phase(x.shape, seed))).astype(np.complex64)


def measured(x, coord, seed):
    """(operator, noisy data) of an image."""
    A = pi.linops.sense(np.ones((1, N, N), np.complex64), coord=coord)
    white = np.random.default_rng(seed).standard_normal((*A.oshape, 2), np.float32).view(np.complex64)[..., 0]
    return A, A(x) + NOISE * white


def nrmse(x, truth):
    return float(np.linalg.norm(x - truth) / np.linalg.norm(truth))


def by_prior(make):
    def run(coord, x, seed, strength):
        return pi.solve(*measured(x, coord, seed), make(strength), max_iter=60).x

    return run


CLASSICAL = {"CG": by_prior(lambda s: s * pi.Tikhonov()), "TV": by_prior(lambda s: s * pi.TV())}


def by_network(coord, x, seed, network):
    A, y = measured(x, coord, seed)
    A = pi.linops.sense(np.ones((1, 1, N, N), np.complex64), coord=coord)
    with torch.no_grad():
        return network(A, torch.from_numpy(y)[None])[0].numpy()


def modl():
    torch.manual_seed(0)
    return pi.nets.modl(pi.nets.DnCNN(2, 4, 24), 5, inner=5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--picture", action="store_true", help=f"draw {PICTURE}")
    args = parser.parse_args()
    images = np.stack([image(v, z, 50 + n) for n, (v, z) in enumerate(LEARNED_FROM)])
    held = [(name, image(volume, z, n)) for n, (name, volume, z, *_) in enumerate(HELD_OUT)]
    start = pi.trajectories.radial((N, N), SHOTS, SAMPLES, angles="uniform")
    options = {"noise": NOISE, "steps": args.steps, **LIMITS}
    tv = pi.nets.Unrolled(pi.ADMM(rho=0.05, inner=4), 1e-2 * pi.TV(), 6, learn_steps=False)
    ways = {"spokes": {"network": modl(), "move": 0}, "learned with CG": {}, "learned with TV": {"network": tv},
            "learned with MoDL": {"network": modl()}}
    found, report = {}, {"command": "python benchmarks/pilot.py", "shots": SHOTS, "samples": SAMPLES, "pixels": N,
                         "steps": args.steps, "fov": FOV, "dwell": DWELL, "noise": NOISE, **LIMITS, "trajectories": {}}
    for name, way in ways.items():
        begun = time.perf_counter()
        found[name] = done = pi.trajectories.learn(start, images, FOV, DWELL, **options, **way)
        played = {n: done.check[n] for n in ("gradient", "slew", "playable")}
        rows = report["trajectories"][name] = {"seconds": round(time.perf_counter() - begun), **played, "strengths": {},
                                               "nrmse": {}}
        for method, run in CLASSICAL.items():
            tried = {s: np.mean([nrmse(run(done.coord, x, n, s), x) for n, x in enumerate(images[::6])])
                     for s in STRENGTHS}
            rows["strengths"][method] = best = min(tried, key=tried.get)
            rows["nrmse"][method] = {h: round(nrmse(run(done.coord, x, n, best), x), 4)
                                     for n, (h, x) in enumerate(held)}
        if "MoDL" in name or name == "spokes":
            rows["nrmse"]["MoDL"] = {h: round(nrmse(by_network(done.coord, x, n, done.network), x), 4)
                                     for n, (h, x) in enumerate(held)}
        rows["mean"] = {m: round(float(np.mean(list(r.values()))), 4) for m, r in rows["nrmse"].items()}
        print(name, json.dumps({k: rows[k] for k in ("seconds", "gradient", "slew", "mean")}), flush=True)
    keep(OUT, report)
    if args.picture:
        draw(found, report, held[0][1])


def draw(found, report, truth):
    """The shots and the image by TV of the first held-out slice."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = ["spokes", "learned with TV", "learned with MoDL"]
    fig, axes = plt.subplots(2, 4, figsize=(11, 5.6), facecolor="white")
    for a, name in zip(axes.T, names):
        coord = found[name].coord
        for shot in coord:
            a[0].plot(shot[:, 1], shot[:, 0], lw=0.6)
        a[0].set_title(name, fontsize=9)
        x = CLASSICAL["TV"](coord, truth, 0, report["trajectories"][name]["strengths"]["TV"])
        a[1].imshow(abs(x), cmap="gray", vmin=0, vmax=1.1)
        a[1].set_title(f"TV, NRMSE {nrmse(x, truth):.3f}", fontsize=9)
        a[0].set_aspect("equal")
    axes[1, 3].imshow(abs(truth), cmap="gray", vmin=0, vmax=1.1)
    axes[1, 3].set_title("truth", fontsize=9)
    shot = found["learned with TV"].coord[0]
    axes[0, 3].plot(shot[:, 1], shot[:, 0], ".-", ms=2, lw=0.6)
    axes[0, 3].set_title("one shot", fontsize=9)
    axes[0, 3].set_aspect("equal")
    for a in axes.ravel():
        a.set_xticks([])
        a.set_yticks([])
    fig.tight_layout()
    fig.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
