"""Networks, plug-and-play and TV over the noise: nothing to 4 % of the image's maximum on every coil.

    python benchmarks/noise.py                       writes results/noise.json; about 20 minutes of one core
    python benchmarks/noise.py --tune                the same on the tuning scans, for choosing settings; writes nothing
    python benchmarks/noise.py --only informed,modl  methods whose name contains one; the others stay as they were

The six simulated held-out scans of `heldout.py` at 144 x 120 (`small.py`), and three real ones, which hold their own
noise already; 4x random lines. Noise has the same standard deviation in the real and the imaginary part of every
sample of every coil. TV is at the best of 6 strengths by the very image; the others are not told anything by hand.
`PnP` is `PnP(D)` by its own schedule of 60 steps. PSNR in dB is of magnitudes over the body, seconds are of one core.
"""

import json
import time
import warnings
from pathlib import Path

import heldout
import numpy as np
import small
from keep import asked, keep

import pisolve as pi

OUT = Path(__file__).parent / "results" / "noise.json"
SHARES = (0.0, 0.01, 0.02, 0.04)
LAMS = np.geomspace(5e-4, 3e-2, 6)
REAL = (("head, sagittal, 1 coil, real", "head_sag_1ch.h5"), ("brain, 7 coils, real", "brain_moco_7ch.h5"),
        ("brain in vivo, 16 coils, real", "invivo_brain_cimax_16ch.h5"))


def scans(tune):
    """(label, share, fully sampled scan)."""
    for n, (name, volume, index, which, _) in enumerate(heldout.TUNING if tune else heldout.HELD_OUT):
        top = float(heldout.picture(volume, index).max())
        for share in SHARES:
            yield name, share, small.small((volume, index, which, share * top), n + 100 * tune)
    for name, file in () if tune else REAL:
        full = pi.io.load(heldout.DATA / "kspace" / file)
        full = full.select(0) if len(full.kspace) > 1 else full
        for share in SHARES:
            yield name, share, noisier(full, share)


def noisier(full, share):
    """A scan with more noise; the reference is that without."""
    reference = np.linalg.norm(pi.backend.fft(full.kspace, (-2, -1), inverse=True), axis=-3)
    white = np.random.default_rng(5).standard_normal((*full.kspace.shape, 2)).view(complex)[..., 0]
    return pi.io.Scan((full.kspace + share * reference.max() * white).astype(np.complex64), reference=reference)


def methods():
    """name -> (strengths, run)."""
    D = pi.nets.load("denoiser-brain")
    out = {"TV": (LAMS, lambda scan, s: pi.recon(scan, s * pi.TV())),
           "PnP": ([0], lambda scan, s: pi.recon(scan, pi.PnP(D)))}
    nets = {name: pi.nets.load(name) for name in pi.nets.available() if "denoiser" not in name}
    return out | {name: ([0], lambda scan, s, net=net: pi.recon(scan, network=net)) for name, net in nets.items()}


def judged(scan, strengths, run):
    """PSNR at the best strength, this strength, and seconds of a run."""
    region, tried, start = pi.metrics.body(scan.reference), [], time.process_time()
    for s in strengths:
        image = abs(run(scan, s).x).reshape(scan.reference.shape)
        image = image * (image * scan.reference)[region].sum() / (image**2)[region].sum()
        tried.append((float(pi.metrics.psnr(scan.reference, image, region=region)), float(s)))
    best = max(tried)
    return {"psnr": round(best[0], 2), "strength": best[1],
            "seconds": round((time.process_time() - start) / len(strengths), 2)}


def summary(rows):
    """method -> noise -> mean and least gain over TV in dB, and mean seconds."""
    tv = {(r["scan"], r["noise"]): r["psnr"] for r in rows if r["method"] == "TV"}
    out = {}
    for method in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == method and (r["scan"], r["noise"]) in tv]
        gains = {s: [r["psnr"] - tv[r["scan"], s] for r in mine if r["noise"] == s] for s in SHARES}
        out[method] = {f"{s:.0%}": {"mean": round(float(np.mean(g)), 2), "least": round(min(g), 2)}
                       for s, g in gains.items() if g}
        out[method]["seconds"] = round(float(np.mean([r["seconds"] for r in mine])), 2)
    return out


def main():
    args = asked(__doc__, only="parts of methods' names, with commas; the others stay as they were",
                 scans="part of the names of scans; the others stay as they were")
    warnings.simplefilter("ignore", UserWarning)
    rows = json.loads(OUT.read_text())["rows"] if (args.only or args.scans) and OUT.exists() and not args.tune else []
    for name, share, full in scans(args.tune):
        if args.scans not in name:
            continue
        scan = pi.Recipe().prepare(full.undersample(small.pattern(full.kspace.shape[-2:])))
        new = [{"scan": name, "noise": share, "method": m, **judged(scan, *how)} for m, how in methods().items()
               if any(part in m for part in args.only.split(","))]
        print(name, f"{share:.0%}", {r["method"]: (r["psnr"], r["seconds"]) for r in new}, flush=True)
        key = {(r["scan"], r["noise"], r["method"]): r for r in rows + new}
        rows = sorted(key.values(), key=lambda r: (r["scan"], r["noise"]))
        if not args.tune:
            keep(OUT, {"command": "python benchmarks/noise.py", "summary": summary(rows), "rows": rows})
    for method, values in summary(rows).items():
        print(f"{method:20s} {values}")


if __name__ == "__main__":
    main()
