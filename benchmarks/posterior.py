"""Draws from the posterior on a tuning scan: time, PSNR of the mean beside plug-and-play, how often intervals hold.

    python benchmarks/posterior.py                   writes results/posterior.json and docs/posterior.png

The first tuning scan of `heldout.py` at 4x random, 8 draws with `denoiser-fast`, at two settings of `spread`. `inside`
is the share of pixels over the body whose truth lies within mean +- 2 std of the magnitude: 95 % where std is right and
the error Gaussian. `rank` is the median over the body of |truth - mean| / std, 0.67 then.
"""

import time
import warnings
from pathlib import Path

import heldout
import numpy as np
from auto_sigma import psnr
from keep import keep

import pisolve as pi

OUT = Path(__file__).parent / "results" / "posterior.json"


def main():
    import matplotlib.pyplot as plt

    warnings.simplefilter("ignore", UserWarning)
    name, full = next(heldout.tuning())
    scan = pi.Recipe().prepare(full.undersample(pi.masks.random(full.kspace.shape[-2:], 4, seed=7)))
    D, truth, region = pi.nets.load("denoiser-fast"), scan.reference[0], pi.metrics.body(scan.reference)[0]
    start = time.perf_counter()
    pnp = pi.recon(scan, pi.PnP(D))
    rows = [{"method": "PnP(D)", "psnr": round(psnr(scan, pnp.x), 2), "seconds": round(time.perf_counter() - start, 1)}]
    drawn = {}
    for label, sampler in (("spread 0", pi.SplitGibbs()), ("spread 0.5", pi.SplitGibbs(spread=0.5))):
        found = drawn[label] = pi.sample(scan, pi.Score(D), sampler, n=8)
        size = abs(found.samples[:, 0])
        mean, std = size.mean(0), size.std(0, ddof=1)
        gain = (mean * truth)[region].sum() / (mean**2)[region].sum()
        far = abs(truth - gain * mean)[region] / (gain * std)[region]
        rows.append({"method": f"SplitGibbs, {label}", "psnr": round(psnr(scan, found.mean), 2),
                     "psnr of one": round(float(np.mean([psnr(scan, s) for s in found.samples])), 2),
                     "seconds": round(found.seconds, 1), "inside": round(float((far < 2).mean()), 3),
                     "rank": round(float(np.median(far)), 2)})
        print(rows[-1], flush=True)
        keep(OUT, {"command": "python benchmarks/posterior.py", "scan": name, "size": list(truth.shape), "rows": rows})
    found = drawn["spread 0"]
    figure, axes = plt.subplots(1, 5, figsize=(14, 3.6), layout="constrained")
    pictures = {"reference": truth, "mean of 8": abs(found.mean[0]), "a sample": abs(found.samples[0, 0]),
                "std, 10 times": 10 * found.std[0],
                "|reference - mean|, 10 times": 10 * abs(truth - abs(found.mean[0]))}
    for axis, (title, image) in zip(axes, pictures.items()):
        axis.imshow(image, cmap="gray", vmin=0, vmax=np.percentile(truth, 99.5))
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.savefig(Path(__file__).parents[1] / "docs" / "posterior.png", dpi=65)


if __name__ == "__main__":
    main()
