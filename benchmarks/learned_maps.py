"""Coil maps from 8 lines: DeepSENSE and the sensitivity model of E2E-VarNet against ESPIRiT of the same lines.

    OMP_NUM_THREADS=1 python benchmarks/learned_maps.py [--minutes 4]

Both are trained on the same simulated scans for the same CPU time (examples/configs/deepsense-small.toml), then make
the maps of CG-SENSE on held-out scans of `small.py` at 3x and 4x, equispaced lines and 8 calibration lines. NRMSE of
magnitudes inside the body against the noise-free ones, after one scale, each way at its own best of a grid of Tikhonov
strengths, which is an oracle's choice. The last column is ESPIRiT of 24 lines, whose samples are more. `python
benchmarks/tables.py` puts the means into docs/networks.md.
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
OUT = ROOT / "benchmarks" / "results" / "learned_maps.json"
CONFIG = ROOT / "examples" / "configs" / "deepsense-small.toml"
NETWORKS = {"DeepSENSE": None, "sensitivity model": {"architecture": "SensitivityModel", "chans": 8, "pools": 4}}
STRENGTHS, LINES = (1e-3, 1e-2, 1e-1), 8
MORE = "ESPIRiT, 24 lines"


def trained(name, minutes):
    """A network for maps after so many minutes, its steps and its parameters."""
    given = config.read(CONFIG)
    given["network"] = NETWORKS[name] or given["network"]
    few, many = (_run(given, steps)[1] for steps in (3, 13))
    network, seconds = _run(given, steps := max(20, int(60 * minutes * 10 / max(many - few, 1e-3))))
    return network, steps, seconds


def _run(given, steps):
    given["training"] |= {"steps": steps, "every": steps, "warmup": min(100, steps // 10)}
    network, task, settings = config.build(given)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        network = pi.nets.train(network, task, settings, folder=folder)
        return network.eval(), time.process_time() - start


def pattern(shape, accel, lines):
    """Every accel-th line along ky and so many in the centre."""
    mask = np.zeros(shape, bool)
    mask[shape[0] // 2 % accel::accel] = True
    mask[shape[0] // 2 - lines // 2:shape[0] // 2 + (lines + 1) // 2] = True
    return mask


def error(scan, maps, full):
    """The least NRMSE of CG-SENSE over the strengths."""
    reference, region = abs(full.reference), pi.metrics.body(full.reference)
    found = []
    for lam in STRENGTHS:
        x = abs(pi.recon(scan, lam * pi.Tikhonov(), maps=maps, max_iter=30).x).reshape(reference.shape)
        a, b = x[region], reference[region]
        found.append(float(np.linalg.norm(a * (a @ b) / (a @ a) - b) / np.linalg.norm(b)))
    return min(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--only", default="", help="networks, or plain, with commas; the others stay")
    parser.add_argument("--folder", help="where trained networks are kept; those that are there are not trained again")
    args = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    os.environ.setdefault("PISOLVE_DATA", str(small.heldout.DATA))
    torch.set_num_threads(pi.backend.threads())
    old = json.loads(OUT.read_text()) if args.only and OUT.exists() else {"rows": [], "networks": {}}
    rows, about = {(r["scan"], r["accel"]): r for r in old["rows"]}, old["networks"]
    chosen = [n for n in NETWORKS if not args.only or any(part in n for part in args.only.split(","))]
    made = {}
    for name in chosen:
        made[name], found = kept(name, args.minutes, args.folder)
        about[name] = found or about[name]
    if not args.only or "plain" in args.only:
        made |= {"low resolution": pi.nets.LearnedMaps(pi.nets.DeepSENSE().eval()), "ESPIRiT": pi.Espirit(),
                 MORE: pi.Espirit()}
    for label, full in small.held_out():
        for accel in (3, 4):
            row = rows.setdefault((label, accel), {"scan": label, "accel": accel, "nrmse": {}})
            for name, maps in made.items():
                if name not in row["nrmse"] or not args.only:
                    lines = 24 if name == MORE else LINES
                    scan = full.undersample(pattern(full.kspace.shape[-2:], accel, lines))
                    row["nrmse"][name] = round(error(scan, maps, full), 4)
            print(label, accel, row["nrmse"], flush=True)
            keep(OUT, {"command": "python benchmarks/learned_maps.py", "minutes": args.minutes, "lines": LINES,
                       "threads": pi.backend.threads(), "networks": about, "rows": list(rows.values())})


def kept(name, minutes, folder):
    """(maps, what is told of the training or None) of a network that was trained, or is in the folder."""
    path = Path(folder) / f"{name.replace(' ', '-')}.safetensors" if folder else None
    if path is not None and path.exists():
        return pi.nets.LearnedMaps(pi.nets.load(path)), None
    network, steps, seconds = trained(name, minutes)
    if path is not None:
        card = {"data": "simulated", "licence": "none", "noise_range": [0.003, 0.02], "intensity_range": "1", "seed": 0,
                "figures": []}
        pi.nets.save(network, path, card)
    return pi.nets.LearnedMaps(network), {"parameters": sum(p.numel() for p in network.parameters()), "steps": steps,
                                          "seconds": round(seconds)}


if __name__ == "__main__":
    main()
