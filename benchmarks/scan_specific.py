"""Networks fitted to one scan beside total variation and wavelets: quality, early stopping, time, transfer.

    python benchmarks/scan_specific.py               writes results/scan_specific.json, what is there is not done again
    python benchmarks/scan_specific.py --only zs-ssl --scans 0,1
    python benchmarks/scan_specific.py --tune        the same on the tuning scans, for choosing settings; writes nothing
    python benchmarks/scan_specific.py --picture     writes docs/scan_specific.png

Six scans of at most 144 x 128 (`small.py`), random lines at 4x. TV and wavelets: their strength chosen by hold-out, and
at their best of 8 by the very image, an oracle's choice. Fits: one setting for all, chosen on the tuning scans. A fit
runs on beyond its early stop, so that the image at the stop can be compared with the best it ever had; `psnr` and
`seconds` are those of the stop. PSNR is of magnitudes over the body, NRMSE of complex images is not used: the truth of
the scans is a root of a sum of squares.
"""

import json
import time
import warnings
from pathlib import Path

import numpy as np
import small
import torch
from keep import asked, keep
from quality import judged, ours

import pisolve as pi

OUT = Path(__file__).parent / "results" / "scan_specific.json"
LAMS = np.geomspace(3e-4, 3e-2, 8)
HQS = pi.HQS(rho=0.2, ratio=625, iterations=60, coupling=0)


def fits():
    """name -> (prior, iterations): what is fitted."""
    shipped = pi.nets.load("denoiser-fast").network.config
    fresh = {"architecture": "Unrolled", "config": {**pi.scan_specific.zero_shot.DEFAULT["config"], "denoiser": {
        "architecture": "UNet", "config": shipped}}}
    return {
        "convdecoder": (pi.Untrained(), 75),
        "zs-ssl": (pi.ZeroShot(), 20),
        "zs-ssl of denoiser-brain": (pi.ZeroShot(pi.PnP(pi.nets.load("denoiser-brain"), sigma=0.01)), 12),
        "deep decoder": (pi.Untrained(pi.nets.DeepDecoder()), 75),
        "dip": (pi.Untrained(pi.nets.DIP()), 60),
        "zs-ssl from scratch": (pi.ZeroShot(fresh), 20),
    }


def classical(scan):
    """As `quality.classical`, without BART, and with strengths chosen by hold-out."""
    D = pi.nets.load("denoiser-brain")
    return {
        "zero-filled": ([0], lambda s: pi.linops.sense(scan.mps[0], scan.mask).H(scan.kspace[0])[None]),
        "SENSE": ([0], ours(scan, lambda s: pi.Zero(), max_iter=12)),
        "wavelet, oracle": (LAMS, ours(scan, lambda s: s * pi.Wavelet(shifts=16))),
        "tv, oracle": (LAMS, ours(scan, lambda s: s * pi.TV())),
        "wavelet, hold-out": ([0], lambda s: pi.recon(scan, pi.Wavelet(shifts=16), tune="holdout").x),
        "tv, hold-out": ([0], lambda s: pi.recon(scan, pi.TV(), tune="holdout").x),
        "PnP, denoiser-brain": ([0.01], ours(scan, lambda s: pi.PnP(D, sigma=s), HQS, HQS.iterations)),
        "start of zs-ssl": ([0], lambda s: pi.recon(scan, network=pi.ZeroShot().fresh()).x),
        "start, denoiser-brain": ([0], lambda s: pi.recon(scan, network=pi.ZeroShot(pi.PnP(D, sigma=0.01)).fresh()).x),
    }


def fitted(label, scan, name, prior, iterations):
    """A row for one fit: at its own stop, and at the best of all its iterations."""
    reference, region = scan.reference, pi.metrics.body(scan.reference)
    curve, spent, patience = [], [0.0], []

    def error(x):
        image = abs(x)
        image = image * ((image * reference)[region].sum() / (image**2)[region].sum())
        return pi.metrics.psnr(reference, image, region=region), pi.metrics.ssim(reference, image)

    def look(problem, state):  # the image of these very weights, whether they are the best so far or not
        start = time.perf_counter()
        task, told = problem._fitted, solver.tells(state)
        patience.append(task.patience)
        with torch.no_grad():
            now = np.mean([pi.backend.to_numpy(task.image(run)) for run in range(task.runs)], axis=0)
        curve.append((told["heldback"], *error(now[None]), told["loss"], start - began - spent[0],
                      *error(pi.backend.to_numpy(state.x)[None]), int(state.aux["since"].min())))
        spent[0] += time.perf_counter() - start

    solver = pi.Fit(precision="bfloat16", patience=10**6)
    began = time.perf_counter()
    pi.recon(scan, prior, solver, max_iter=iterations, callbacks=[look])
    row = {"method": name, "patience": patience[0],
           "curve": [[round(float(v), 4) for v in c] for c in curve]}
    row |= stopped(row["curve"], row["patience"])
    print(f"{label} {name:24s} {row['psnr']:6.2f} dB (oracle {row['oracle_psnr']:.2f}) {row['seconds']:.0f} s, "
          f"{row['iterations']} iterations", flush=True)
    return row


def stopped(curve, patience):
    """Where a fit stops by its own rule, and what it would have had at the best iteration of all."""
    stop = next((k for k, c in enumerate(curve) if c[7] >= patience), len(curve) - 1)
    oracle, held = int(np.argmax([c[1] for c in curve])), [c[0] for c in curve]
    at = curve[stop]
    return {"psnr": round(at[5], 2), "ssim": round(at[6], 4), "iterations": stop + 1, "seconds": round(at[4], 1),
            "oracle_psnr": round(curve[oracle][1], 2), "oracle_iteration": oracle + 1,
            "held": round(min(held[: stop + 1]), 4), "least_held": round(min(held), 4),
            "nmse_over_oracle": round(10 ** ((curve[oracle][1] - at[5]) / 10), 3)}


def summary(rows):
    """method -> mean PSNR, its difference from the better of tuned TV and wavelets, wins, early stopping, seconds."""
    cases = {}
    for row in rows:
        cases.setdefault(row["scan"], {})[row["method"]] = row
    out = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [c for c in cases.values() if method in c]
        entry = {"scans": len(mine), "psnr": round(float(np.mean([c[method]["psnr"] for c in mine])), 2)}
        for other in ("tv, hold-out", "tv, oracle", "wavelet, hold-out", "wavelet, oracle"):
            gains = [c[method]["psnr"] - c[other]["psnr"] for c in mine if other in c]
            if gains and other != method:
                wins = f"{sum(g > 0 for g in gains)} of {len(gains)}"
                entry[f"over {other}"] = [round(float(np.mean(gains)), 2), wins]
        if "oracle_psnr" in mine[0][method]:
            found = [c[method] for c in mine]
            entry["below oracle stop, worst dB"] = round(max(r["oracle_psnr"] - r["psnr"] for r in found), 2)
            entry["seconds, most"] = max(r["seconds"] for r in found)
        out[method] = entry
    a, b = (
        {s: c.get(n) for s, c in cases.items() if n in c} for n in ("zs-ssl", "zs-ssl from scratch"))
    for s in a.keys() & b.keys():  # iterations until the held-back error of the fresh one's best
        goal = min(c[0] for c in b[s]["curve"])
        first = {n: next(k + 1 for k, c in enumerate(r["curve"]) if c[0] <= goal) for n, r in (("t", a[s]), ("f", b[s]))
                 if min(c[0] for c in r["curve"]) <= goal}
        out.setdefault("transfer", {})[s] = {"fresh, iterations": first["f"], "transfer, iterations": first.get("t")}
    return out


def picture(path):
    """The reference, TV, and the fits of two scans with their errors times five."""
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(4, 4, figsize=(10, 11.5), layout="constrained")
    kept = json.loads(OUT.read_text())["rows"]
    for pair, (name, full) in zip((axes[:2], axes[2:]), [list(small.held_out())[n] for n in (2, 5)]):
        scan = pi.Recipe().prepare(full.undersample(small.pattern(full.kspace.shape[-2:])))
        ref, rows = scan.reference[0], {r["method"]: r for r in kept if r["scan"] == name}
        fast = {"precision": "bfloat16"}
        shown = {"tv, hold-out": pi.recon(scan, pi.TV(), tune="holdout").x}
        shown |= {n: pi.recon(scan, p, pi.Fit(**fast), max_iter=rows[n]["iterations"]).x
                  for n, (p, _) in fits().items() if n in ("convdecoder", "zs-ssl")}
        top = np.percentile(ref, 99.5)
        for k, (title, image) in enumerate({name.split(",")[0]: ref, **shown}.items()):
            image = abs(np.squeeze(image))
            image = image * ((image * ref).sum() / (image**2).sum())
            found = rows.get(title)
            pair[0, k].imshow(image, cmap="gray", vmin=0, vmax=top)
            pair[0, k].set_title(title if found is None else f"{title}, {found['psnr']:.1f} dB", fontsize=9)
            pair[1, k].imshow(abs(image - ref) * 5, cmap="gray", vmin=0, vmax=top)
        for axis in pair.ravel():
            axis.axis("off")
    drawn.savefig(path, dpi=65)


def main():
    args = asked(__doc__, only="names of fits, with commas between; default: all",
                 scans="numbers of scans, with commas between")
    warnings.simplefilter("ignore", UserWarning)
    if args.picture:
        return picture(Path(__file__).parents[1] / "docs" / "scan_specific.png")
    rows = json.loads(OUT.read_text())["rows"] if OUT.exists() and not args.tune else []
    which = [int(n) for n in args.scans.split(",") if n]
    for number, (name, full) in enumerate(small.tuning() if args.tune else small.held_out()):
        if which and number not in which:
            continue
        scan = pi.Recipe().prepare(full.undersample(small.pattern(full.kspace.shape[-2:])))
        there = {r["method"] for r in rows if r["scan"] == name}
        new = judged(name, scan, {k: v for k, v in classical(scan).items() if k not in there})
        rows += [{"scan": name, **r} for r in new]
        for fit, how in fits().items():
            if fit not in there and (not args.only or fit in args.only.split(",")):
                rows.append({"scan": name, **fitted(name, scan, fit, *how)})
                if not args.tune:
                    keep(OUT, {"command": "python benchmarks/scan_specific.py", "threads": torch.get_num_threads(),
                               "summary": summary(rows), "rows": rows})
    for method, values in summary(rows).items():
        print(f"{method:24s} {values}")


if __name__ == "__main__":
    main()
