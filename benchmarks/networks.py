"""Every kind of network, trained for the same time on the same data and seed, on scans that none was trained on.

    python benchmarks/networks.py                      10 minutes each; writes results/networks.json
    python benchmarks/networks.py --minutes 2 --only swinmr,kiki       those; the others stay as they were

The networks and losses are those of examples/configs/*.toml; [data] and the seed are the same for all, the number of
steps is what fits into the time, measured on the first ones. Three held-out scans of `small.py`, 144 x 120 and one real
(AUTOMAP: their centre of 64 x 64, its only size), 4x random lines: PSNR and SSIM of magnitudes, after one scale, over
the body, HFEN, seconds an image, parameters; beside them what the paper reports, which is of other data.
`python benchmarks/tables.py` puts the table, sorted by PSNR, into docs/networks.md.
"""

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import small
import torch
from keep import keep

import pisolve as pi
from pisolve.nets import config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "examples" / "configs"
OUT = ROOT / "benchmarks" / "results" / "networks.json"
DATA = {"natural": 0.05, "size": 96, "coils": [4, 12], "masks": ["random", "equispaced_fraction"], "accel": [4, 5],
        "noise": [0.003, 0.02], "center_fraction": 0.1, "validation": 2}
NETWORKS = {  # configuration: what the paper reports, of its own data
    "modl-small": "brain 4x: SSIM .870, 31.4 dB (atommic's small one)",
    "kiki-small": "brain 4x: SSIM .856, 31.0 dB (atommic)",
    "hyun-small": "29 % of k-space, no multi-coil number",
    "grappanet-small": "",
    "residual-kspace": "",
    "swinmr-small": "",
    "vit-small": "",
    "automap-64": "28.2 dB against TV's 25.9 (single coil, 128 x 128)",
    "dagan-small": "",
    "refinegan-small": "4 dB over wavelets (a variant, Mardani)",
    "rim-small": "",
    "xpdnet-small": "",
    "e2e-varnet-small": "knee 4x: SSIM .923; brain test .959, 41 dB",
}
SCANS = ("colin27 z=100", "MNI152 z=94", small.REAL)


def scans():
    """Three held-out scans, fully sampled."""
    return [(name, full) for name, full in small.held_out() if name.startswith(SCANS)]


def cropped(full, side):
    """The centre of k-space of a scan, of so many samples a side."""
    cut = tuple(slice(n // 2 - side // 2, n // 2 - side // 2 + side) for n in full.kspace.shape[-2:])
    kspace = full.kspace[(..., *cut)]
    return pi.io.Scan(kspace, axes=full.axes, reference=np.linalg.norm(
        pi.backend.fft(kspace, (-2, -1), inverse=True), axis=-3))


def trained(name, minutes):
    """A configuration's network after so many minutes, its steps and the seconds they took."""
    given = config.read(CONFIGS / f"{name}.toml")
    maps = {"maps": "espirit"} if "maps" in given["data"] else {}
    own = {key: given["data"][key] for key in ("size", "coils") if name.startswith("automap")}
    given["data"] = DATA | maps | own
    given["training"] = {"lr": given["training"]["lr"], "seed": 0, "ema": 0.99}
    few, more = _run(given, 3)[1], _run(given, 11)[1]  # their difference has no warm-up and no validation
    steps = max(8, int(60 * minutes * 8 / max(more - few, 1e-3)))
    network, seconds = _run(given, steps)
    return network, steps, seconds


def _run(given, steps):
    """The network of a configuration after so many steps, and seconds."""
    given["training"] |= {"steps": steps, "every": steps, "warmup": min(100, steps // 10)}
    network, task, settings = config.build(given)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        pi.nets.train(network, task, settings, folder=folder)
        return network, time.perf_counter() - start


def judged(run, full):
    """What a method makes of a scan at 4x: metrics and seconds."""
    scan = full.undersample(small.pattern(full.kspace.shape[-2:]))
    start = time.perf_counter()
    image = abs(run(scan))
    seconds = time.perf_counter() - start
    reference, region = abs(full.reference), pi.metrics.body(full.reference)
    image = image.reshape(reference.shape)
    image = image * ((image * reference)[region].sum() / (image**2)[region].sum())
    return {"psnr": round(pi.metrics.psnr(reference, image, region=region), 2),
            "ssim": round(pi.metrics.ssim(reference, image), 4),
            "hfen": round(float(pi.metrics.hfen(reference, image, region=region)), 4), "seconds": round(seconds, 3)}


def rows_of(name, run, more, side=None):
    """A row for each scan."""
    rows = []
    for label, full in scans():
        row = judged(run, full if side is None else cropped(full, side))
        rows.append({"network": name, "scan": label, **row, **more})
        print(f"{name:20s} {label:36s} {row['psnr']:6.2f} dB, SSIM {row['ssim']:.3f}", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", default="", help="names, with commas; the others stay as they were")
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    os.environ.setdefault("PISOLVE_DATA", str(small.heldout.DATA))
    torch.set_num_threads(pi.backend.threads())
    chosen = [n for n in NETWORKS if not args.only or any(part in n for part in args.only.split(","))]
    rows = json.loads(OUT.read_text())["rows"] if args.only and OUT.exists() else []
    plain = {"zero-filled": lambda s: s.rss(), "tv": lambda s: pi.recon(s, 1.5e-3 * pi.TV()).x}
    done = {} if args.only else {name: rows_of(name, run, {}) for name, run in plain.items()}
    for name in chosen:
        network, steps, seconds = trained(name, args.minutes)
        more = {"parameters": sum(p.numel() for p in network.parameters()), "steps": steps, "trained": round(seconds),
                "paper": NETWORKS[name]}
        side = network.size[0] if name.startswith("automap") else None
        done[name] = rows_of(name, lambda s, net=network: pi.recon(s, network=net).x, more, side)
        kept = [r for r in rows if r["network"] not in done] + [r for found in done.values() for r in found]
        keep(OUT, {"command": "python benchmarks/networks.py", "minutes": args.minutes, "threads": pi.backend.threads(),
                   "rows": kept})


if __name__ == "__main__":
    main()
