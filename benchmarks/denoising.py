"""Denoising complex MR images that nothing was trained on: the shipped denoisers, a public DnCNN, BM3D, wavelets.

    python benchmarks/denoising.py          writes results/denoising.json; needs the extra bench; --only NAME: a part

Images: the in-vivo slice, its coils combined by ESPIRiT's maps, and the held-out slices of `heldout.py` with a smooth
phase. Noise of standard deviation sigma in the real and in the imaginary part each, as a fraction of max|x|. The public
grey DnCNN runs on both parts, brought to [0, 1] or left between -1 and 1: at its own sigma of 25/255 whatever the noise
is ("as it is"), and with the image scaled so that the noise has that level ("rescaled"). BM3D runs on both parts, told
sigma. PSNR in dB, peak max|x|, error mean |e|^2 over the whole image. GFLOP (two for a multiplication and addition) and
seconds are for 320 x 320 complex, on the threads that torch has.
"""

import argparse
import json
import time
from pathlib import Path

import heldout
import numpy as np
import torch
from keep import keep
from torch.utils.flop_counter import FlopCounterMode

import pisolve as pi

OUT = Path(__file__).parent / "results" / "denoising.json"
SIGMAS = (0.02, 0.05, 0.1)
GREY = 25 / 255


def images():
    """name -> complex64 image (y, x) with max|x| of 1."""
    scan = pi.io.load(heldout.DATA / "kspace" / "invivo_brain_cimax_16ch.h5")
    out = {"in vivo, 3T": pi.linops.sense(pi.calib.espirit(scan.kspace[0])).H(scan.kspace[0])}
    for n, (name, volume, index, *_) in enumerate(heldout.HELD_OUT):
        magnitude = heldout.picture(volume, index)
        out[name.split(",")[0]] = magnitude * np.exp(1j * heldout.smooth_phase(magnitude.shape, n))
    return {name: (x / abs(x).max()).astype(np.complex64) for name, x in out.items()}


def denoisers():
    """name -> function of (image, sigma); sigma is in the image's units."""
    out = {"noisy": lambda x, s: x, "BM3D": bm3d}
    weights = heldout.DATA / "weights" / "dncnn_gray_25.pth"
    for name, scale, offset in (("[0, 1]", 0.5, 0.5), ("[-1, 1]", 1.0, 0.0)):
        own, scaled = (pi.nets.load(weights, scale=scale, offset=offset, rescale=r) for r in (False, True))
        out[f"public DnCNN on {name}, as it is"] = lambda x, s, own=own: own(x)
        out[f"public DnCNN on {name}, rescaled"] = scaled
    return out | {name: pi.nets.load(name) for name in pi.nets.available() if "denoiser" in name}


def bm3d(x, sigma):
    from bm3d import bm3d as run

    return (run(x.real, sigma) + 1j * run(x.imag, sigma)).astype(np.complex64)


def cost(run):
    """(GFLOP or None, seconds) for 320 x 320."""
    x = pi.testing.random((320, 320), np.random.default_rng(0), "complex64") * np.float32(0.1)
    run(x, GREY)
    start = time.perf_counter()
    run(x, GREY)
    seconds = time.perf_counter() - start
    with FlopCounterMode(display=False) as counter:
        run(x, GREY)
    return round(counter.get_total_flops() / 1e9, 2) or None, round(seconds, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="methods whose name contains this; the others stay as they were")
    only = parser.parse_args().only
    there = json.loads(OUT.read_text()) if only else {"rows": [], "cost": {}}
    rows, pictures = [r for r in there["rows"] if only not in r["method"]], images()
    costs = {m: (c["gflop"], c["seconds"]) for m, c in there["cost"].items() if only not in m}
    for method, run in denoisers().items():
        if only not in method:
            continue
        costs[method] = cost(run)
        for sigma in SIGMAS:
            for n, (name, clean) in enumerate(pictures.items()):
                rng = np.random.default_rng([n, round(1000 * sigma)])
                noise = rng.standard_normal((*clean.shape, 2)).view(complex)[..., 0]
                out = run((clean + sigma * noise).astype(np.complex64), sigma)
                psnr = -10 * np.log10(np.mean(abs(out - clean) ** 2))
                rows.append({"method": method, "sigma": sigma, "image": name, "psnr": round(float(psnr), 2)})
            mean = np.mean([r["psnr"] for r in rows if (r["method"], r["sigma"]) == (method, sigma)])
            print(f"{method:36s} sigma {sigma}: {mean:.2f} dB", flush=True)
    keep(OUT, {"command": "python benchmarks/denoising.py", "threads": torch.get_num_threads(),
               "cost": {m: {"gflop": g, "seconds": s} for m, (g, s) in costs.items()}, "rows": rows})


if __name__ == "__main__":
    main()
