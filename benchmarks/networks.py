"""Every kind of network, trained for the same CPU time on the same data and seed, on scans that none was trained on.

    OMP_NUM_THREADS=1 python benchmarks/networks.py                 10 minutes each; writes results/networks.json
    OMP_NUM_THREADS=1 python benchmarks/networks.py --minutes 3 --only swinmr,kiki

The networks and losses are those of examples/configs/*.toml; [data] and the seed are the same for all. The budget
counts seconds of this process on one thread (`time.process_time`), whatever else the machine does: the number of steps
is what fits into it, measured on the first ones. A network that is in the results with this budget and configuration is
not trained again: what was stopped goes on where it was. Unsupervised ones (ssdu, ei, noise2recon, cycle) train the
network of modl-small on undersampled scans alone.

Three held-out scans of `small.py`, 144 x 120 and one real (AUTOMAP: their centre of 64 x 64, its only size, with
zero-filling and TV beside it), 4x random lines: PSNR and HFEN over the body and SSIM of magnitudes, after one scale;
how real it looks (`evaluate.realism`); seconds an image, parameters; beside them what the paper reports, of other data.
`python benchmarks/tables.py` puts the table, sorted by PSNR, into docs/networks.md.
"""

import argparse
import copy
import dataclasses
import hashlib
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
NETWORKS = {  # configuration: what the paper, or who ran it again, reports of data of its own
    "modl-small": "brain 4x: SSIM .870, 31.4 dB (atommic)",
    "unet-small": "brain 4x: SSIM .885, 33.1 dB (atommic)",
    "swinmr-small": "no number at hand",
    "kiki-small": "brain 4x: SSIM .856, 31.0 dB (atommic)",
    "automap-64": "28.2 dB against TV's 25.9 (one coil, 128 x 128)",
    "dagan-small": "no number at hand",
    "ssdu-small": "close to supervised (Yaman)",
    "ei-small": "no number at hand",
    "noise2recon-small": "no number at hand",
    "cycle-small": "no number at hand",
    "hyun-small": "29 % of k-space, no number of several coils",
    "vit-small": "no number at hand",
    "residual-kspace": "no number at hand",
    "grappanet-small": "no number at hand",
    "refinegan-small": "4 dB over wavelets (a variant, Mardani)",
    "rim-small": "no number at hand",
    "xpdnet-small": "no number at hand",
    "e2e-varnet-small": "knee 4x: SSIM .923, 40 dB; brain .959, 41 dB",
}
SCANS = ("colin27 z=100", "MNI152 z=94", small.REAL)
PLAIN = {"zero-filled": lambda s: s.rss(), "tv": lambda s: pi.recon(s, 1.5e-3 * pi.TV()).x}


def scans():
    """Three held-out scans, fully sampled."""
    return [(name, full) for name, full in small.held_out() if name.startswith(SCANS)]


def cropped(full, side):
    """The centre of k-space of a scan, of so many samples a side."""
    cut = tuple(slice(n // 2 - side // 2, n // 2 - side // 2 + side) for n in full.kspace.shape[-2:])
    kspace = full.kspace[(..., *cut)]
    return pi.io.Scan(kspace, axes=full.axes, reference=np.linalg.norm(
        pi.backend.fft(kspace, (-2, -1), inverse=True), axis=-3))


def given(name):
    """A configuration with the data and the training of this table."""
    found = config.read(CONFIGS / f"{name}.toml")
    maps = {"maps": "espirit"} if "maps" in found["data"] else {}
    own = {key: found["data"][key] for key in ("size", "coils") if name.startswith("automap")}
    return found | {"data": DATA | maps | own,
                    "training": {"lr": found["training"]["lr"], "seed": 0, "ema": 0.99}}


def trained(found, minutes):
    """A configuration's network after so many minutes of CPU time, its steps and the seconds they took."""
    network, task, settings = config.build(found)
    _, few, more = (_run(copy.deepcopy(network), task, settings, n) for n in (1, 2, 8))  # the first one warms up
    steps = max(8, int(60 * minutes * 6 / max(more - few, 1e-3)))
    seconds = _run(network, task, settings, steps)
    return network, steps, seconds


def _run(network, task, settings, steps):
    """Train a network for so many steps: the CPU seconds that it took."""
    settings = dataclasses.replace(settings, steps=steps, every=steps, warmup=min(100, steps // 10))
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        pi.nets.train(network, task, settings, folder=folder)
        return time.process_time() - start


def judged(run, full):
    """What a method makes of a scan at 4x: metrics and CPU seconds."""
    scan = full.undersample(small.pattern(full.kspace.shape[-2:]))
    start = time.process_time()
    image = abs(run(scan))
    seconds = time.process_time() - start
    reference, region = abs(full.reference), pi.metrics.body(full.reference)
    image = image.reshape(reference.shape)
    image = image * ((image * reference)[region].sum() / (image**2)[region].sum())
    error = np.linalg.norm((image - reference)[region]) / np.linalg.norm(reference[region])
    return {"psnr": round(pi.metrics.psnr(reference, image, region=region), 2), "nrmse": round(float(error), 4),
            "ssim": round(pi.metrics.ssim(reference, image), 4),
            "hfen": round(float(pi.metrics.hfen(reference, image, region=region)), 4),
            "frechet": round(pi.evaluate.realism(reference, image), 4), "seconds": round(seconds, 3)}


def rows_of(name, run, more, side=None):
    """A row for each scan."""
    rows = []
    for label, full in scans():
        row = judged(run, full if side is None else cropped(full, side))
        rows.append({"network": name, "scan": label, **row, **more})
        print(f"{name:20s} {label:36s} {row['psnr']:6.2f} dB, SSIM {row['ssim']:.3f}", flush=True)
    return rows


def learned(name, minutes):
    """The rows of one network."""
    found = given(name)
    network, steps, seconds = trained(found, minutes)
    more = {"minutes": minutes, "made_of": digest(found), "steps": steps, "trained": round(seconds),
            "parameters": sum(p.numel() for p in getattr(network, "generator", network).parameters()),
            "paper": NETWORKS[name]}
    side = network.size[0] if name.startswith("automap") else None
    return rows_of(name, lambda s: pi.recon(s, network=network).x, more, side)


def digest(found) -> str:
    """A word that tells one configuration from another."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]


def kept():
    """The rows that are there, by network."""
    rows = json.loads(OUT.read_text())["rows"] if OUT.exists() else []
    return {name: [r for r in rows if r["network"] == name] for name in dict.fromkeys(r["network"] for r in rows)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", default="", help="names, with commas; the others stay as they were")
    parser.add_argument("--again", action="store_true", help="also what is done")
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    os.environ.setdefault("PISOLVE_DATA", str(small.heldout.DATA))
    torch.set_num_threads(1)

    def write(name, rows):
        found = kept() | {name: rows}  # what another process has done meanwhile stays
        keep(OUT, {"command": "OMP_NUM_THREADS=1 python benchmarks/networks.py", "threads": 1,
                   "rows": [r for name in (*_plain(), *NETWORKS) for r in found.get(name, [])]})

    for name, (run, side) in _plain().items():
        if args.again or name not in kept():
            write(name, rows_of(name, run, {}, side))
    for name in NETWORKS:
        if args.only and not any(part in name for part in args.only.split(",")):
            continue
        done = kept().get(name, [{}])[0]
        if args.again or (done.get("minutes"), done.get("made_of")) != (args.minutes, digest(given(name))):
            write(name, learned(name, args.minutes))


def _plain():
    """Methods without a network: name -> (run, side of the centre or None)."""
    return {f"{name}{at}": (run, side) for at, side in (("", None), (", 64 x 64", 64)) for name, run in PLAIN.items()}


if __name__ == "__main__":
    main()
