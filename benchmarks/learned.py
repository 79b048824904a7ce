"""Learned priors and networks against compressed sensing, on scans that nothing was trained or tuned on.

    python benchmarks/learned.py                     writes results/learned.json
    python benchmarks/learned.py --tune              the same on the tuning scans, for choosing settings; writes nothing
    python benchmarks/learned.py --picture           writes docs/learned.png: four of the cases, TV at its best strength

Every scan of `heldout.py` at 4x random, 4x equispaced with 24 lines and 8x random. Wavelets and TV, ours and BART's,
get the best of 8 strengths by PSNR on the very image, an oracle's choice; the learned methods run with one setting.
PSNR is of magnitudes over the body. `gain` is the paired difference, in dB, to the best of the classical ones on the
same scan and mask, with a 95 % bootstrap interval of its mean over scans and masks.
"""

import json
import tempfile
import warnings
from pathlib import Path

import heldout
import numpy as np
from keep import asked, keep
from quality import classical, judged, ours

import pisolve as pi

OUT = Path(__file__).parent / "results" / "learned.json"
LAMS = np.geomspace(3e-4, 3e-2, 8)
CLASSICAL = ("wavelet", "wavelet, shifts", "tv", "BART wavelet", "BART TV")


def patterns(shape):
    """name -> mask (ky, kx)."""
    return {"4x random": pi.masks.random(shape, 4, seed=7),
            "4x equispaced, 24 lines": pi.masks.equispaced(shape, 4, 24 / shape[0]),
            "8x random": pi.masks.random(shape, 8, seed=7)}


def learned(scan):
    """name -> ([0], run): one setting each, chosen on the tuning scans with denoiser-fast."""
    out = {}
    for name in pi.nets.available():
        net = pi.nets.load(name)
        if "denoiser" in name:
            out[f"PnP, {name}"] = ([0.01], ours(scan, lambda s, D=net: pi.PnP(D, sigma=s), HQS, HQS.iterations))
        else:
            out[f"network {name}"] = ([0], lambda s, net=net: pi.recon(scan, network=net).x)
    return out


HQS = pi.HQS(rho=0.2, ratio=625, iterations=60, coupling=0)


def bootstrap(gains, rng, draws=10000):
    """95 % interval of the mean."""
    means = rng.choice(gains, (draws, len(gains))).mean(1)
    return [round(float(v), 2) for v in np.percentile(means, [2.5, 97.5])]


def summary(rows):
    """method -> gain over the best classical method: mean, interval, least, and how often it wins."""
    cases = {}
    for row in rows:
        cases.setdefault((row["scan"], row["mask"]), {})[row["method"]] = row["psnr"]
    out, rng = {}, np.random.default_rng(0)
    for method in dict.fromkeys(row["method"] for row in rows):
        gains = [case[method] - max(case[c] for c in CLASSICAL if c in case) for case in cases.values()
                 if method in case and "tv" in case]
        if not gains:
            continue
        out[method] = {"gain": round(float(np.mean(gains)), 2), "interval": bootstrap(gains, rng),
                       "least": round(min(gains), 2), "wins": f"{sum(g > 0 for g in gains)} of {len(gains)}"}
    return out


def picture(path, rows):
    """Reference, zero-filled, TV, plug-and-play and MoDL of four cases, with PSNR."""
    import matplotlib.pyplot as plt

    scans, networks = list(heldout.held_out()), {"PnP": "PnP, denoiser-brain", "MoDL": "network modl-brain"}
    drawn, axes = plt.subplots(4, 5, figsize=(12.5, 11), layout="constrained")
    for line, (n, kind) in zip(axes, ((2, "4x random"), (4, "8x random"), (5, "4x random"), (6, "4x random"))):
        label, full = scans[n]
        scan = pi.Recipe().prepare(full.undersample(patterns(full.kspace.shape[-2:])[kind]))
        found = {r["method"]: r for r in rows if (r["scan"], r["mask"]) == (label, kind)}
        zero = pi.linops.sense(scan.mps[0], scan.mask).H(scan.kspace[0])
        tv = pi.recon(scan, found["tv"]["strength"] * pi.TV()).x[0]
        images = {f"{label.split(',')[0]}, {kind}": scan.reference[0],
                  f"zero-filled {found['zero-filled']['psnr']:.1f} dB": zero, f"TV {found['tv']['psnr']:.1f} dB": tv}
        runs = learned(scan)
        images |= {f"{title} {found[name]['psnr']:.1f} dB": runs[name][1](0.01)[0] for title, name in networks.items()}
        for axis, (title, image) in zip(line, images.items()):
            top = np.percentile(scan.reference, 99.5) * np.linalg.norm(image) / np.linalg.norm(scan.reference[0])
            axis.imshow(abs(image), cmap="gray", vmin=0, vmax=top)
            axis.set_title(title, fontsize=9)
            axis.axis("off")
    drawn.savefig(path, dpi=65)


def main():
    args = asked(__doc__, only="methods whose name contains this; the others stay as they were")
    warnings.simplefilter("ignore", UserWarning)
    if args.picture:
        return picture(Path(__file__).parents[1] / "docs" / "learned.png", json.loads(OUT.read_text())["rows"])
    rows = json.loads(OUT.read_text())["rows"] if args.only and OUT.exists() and not args.tune else []
    for name, full in heldout.tuning() if args.tune else heldout.held_out():
        for kind, mask in patterns(full.kspace.shape[-2:]).items():
            scan = pi.Recipe().prepare(full.undersample(mask))
            with tempfile.TemporaryDirectory() as folder:
                chosen = {k: v for k, v in (classical(scan, Path(folder), LAMS) | learned(scan)).items()
                          if args.only in k and k != "BART l2"}
                new = [{"scan": name, "mask": kind, **row} for row in judged(f"{name}, {kind}:", scan, chosen)]
            key = {(row["scan"], row["mask"], row["method"]): row for row in rows + new}
            rows = sorted(key.values(), key=lambda row: (row["scan"], row["mask"]))
            if not args.tune:
                keep(OUT, {"command": "python benchmarks/learned.py", "summary": summary(rows), "rows": rows})
    for method, values in summary(rows).items():
        print(f"{method:32s} {values}")


if __name__ == "__main__":
    main()
