"""Draws from the posterior on held-out scans: how often intervals hold, ranks, the mean's PSNR, a planted lesion.

    python benchmarks/posterior.py                   writes results/posterior.json and docs/posterior.png
    python benchmarks/posterior.py --tune            the tuning scans alone, which settings are chosen on
    python benchmarks/posterior.py --only lesion     the lesion and the picture alone

The scans of `heldout.py` at 4x random, 8 draws each with `denoiser-fast`, beside plug-and-play with the same denoiser.
Over the body, of magnitudes, after one gain that fits all: `held` is the share of pixels whose truth lies in the 50 and
90 % intervals of `Samples.interval`; `ranks` how many of the 8 draws are below the truth, the share of pixels for each
of 0 to 8, 1/9 where draws and truth are alike; `ratio` the rms error of the mean over the rms standard deviation that
is claimed for it. The lesion, a disc of 3 pixels' radius, is added to a held-out slice before it is sampled: `shown` is
its contrast with the ring around it over the true one, in each draw.
"""

import json
import time
import warnings
from pathlib import Path

import heldout
import numpy as np
from auto_sigma import psnr
from keep import asked, keep

import pisolve as pi

OUT = Path(__file__).parent / "results" / "posterior.json"
PICTURE = Path(__file__).parents[1] / "docs" / "posterior.png"
DRAWS, SHARES = 8, (0.5, 0.9)
LESION, RADIUS, CONTRAST = (120, 60), 3.0, 0.25  # centre (y, x) in the first held-out slice


def thinned(full):
    """A prepared scan at 4x."""
    return pi.Recipe().prepare(full.undersample(pi.masks.random(full.kspace.shape[-2:], 4, seed=7)))


def judged(found, scan) -> dict:
    """How the draws' magnitudes stand to the truth, over the body."""
    region, truth, size = pi.metrics.body(scan.reference), scan.reference, abs(found.samples)
    mean = size.mean(0)
    gain = (mean * truth)[region].sum() / (mean**2)[region].sum()
    rank = (gain * size < truth).sum(0)[region]
    claimed = gain * size.std(0, ddof=1)[region] * (1 + 1 / len(size)) ** 0.5
    row = {"psnr": round(psnr(scan, found.mean), 2),
           "psnr of one": round(float(np.mean([psnr(scan, s) for s in found.samples])), 2),
           "seconds": round(found.seconds, 1),
           "ratio": round(float(np.sqrt(((truth - gain * mean)[region] ** 2).mean() / (claimed**2).mean())), 3),
           "ranks": [round(float((rank == k).mean()), 3) for k in range(len(size) + 1)]}
    for share in SHARES:
        low, high = (gain * end for end in found.interval(share))
        row[f"held {share:.0%}"] = round(float(((low < truth) & (truth < high))[region].mean()), 3)
    return row


def rows_of(scans, D, sampler):
    """One row a scan."""
    for name, full in scans:
        scan, start = thinned(full), time.perf_counter()
        pnp = pi.recon(scan, pi.PnP(D))
        took = time.perf_counter() - start
        start = time.process_time()
        found = pi.sample(scan, pi.Score(D), sampler, n=DRAWS)
        row = {"scan": name, "size": list(scan.reference.shape[1:]), "noise": round(found.noise.scaled, 4),
               "PnP": round(psnr(scan, pnp.x), 2), "PnP seconds": round(took, 1),
               "cpu seconds": round(time.process_time() - start, 1)}  # `seconds` are those of the clock
        yield row | judged(found, scan)


def disc(shape):
    """The lesion and the ring around it, bool (y, x)."""
    y, x = np.indices(shape)
    r = np.hypot(y - LESION[0], x - LESION[1])
    return r <= RADIUS, (r > RADIUS + 2) & (r <= RADIUS + 5)


def lesion(D, sampler):
    """(What the draws show of a planted lesion, the draws, the scan)."""
    name, volume, index, *rest = heldout.HELD_OUT[0]
    inside, ring = disc(heldout.picture(volume, index).shape)
    scan = thinned(heldout.simulate(volume, index, *rest, seed=0, added=CONTRAST * inside))
    found = pi.sample(scan, pi.Score(D), sampler, n=DRAWS)

    def contrast(image):
        return float(image[inside].mean() - image[ring].mean())

    true = contrast(scan.reference[0])
    shown = [round(contrast(abs(s[0])) / true, 3) for s in found.samples]
    return {"scan": name, "centre": list(LESION), "radius": RADIUS, "contrast": CONTRAST, "shown": shown}, found, scan


def draw(found, scan):
    """The page: reference, mean, deviation, error, three draws."""
    import matplotlib.pyplot as plt

    truth = scan.reference[0]
    pictures = {"reference, with a lesion": truth, "mean of 8": abs(found.mean[0]),
                "std, 10 times": 10 * abs(found.samples[:, 0]).std(0, ddof=1),
                "|reference - mean|, 10 times": 10 * abs(truth - abs(found.mean[0]))}
    pictures |= {f"draw {k + 1}": abs(found.samples[k, 0]) for k in range(4)}
    figure, axes = plt.subplots(2, 4, figsize=(12, 7), layout="constrained")
    for axis, (title, image) in zip(axes.flat, pictures.items()):
        axis.imshow(image, cmap="gray", vmin=0, vmax=np.percentile(truth, 99.5))
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.savefig(PICTURE, dpi=65)


def main():
    args = asked(__doc__, only="lesion: no other scan")
    warnings.simplefilter("ignore", UserWarning)
    D, sampler = pi.nets.load("denoiser-fast"), pi.solvers.ImplicitLangevin()
    key, scans = ("tuning", heldout.tuning()) if args.tune else ("held out", heldout.held_out())
    report = json.loads(OUT.read_text()) if OUT.exists() else {}
    report |= {"command": "python benchmarks/posterior.py", "threads": pi.backend.threads(), "sampler": repr(sampler)}
    if not args.only:
        report[key] = []
        for row in rows_of(scans, D, sampler):
            print(row, flush=True)
            report[key].append(row)
            keep(OUT, report)
    if not args.tune:
        report["lesion"], found, scan = lesion(D, sampler)
        draw(found, scan)
        keep(OUT, report)


if __name__ == "__main__":
    main()
