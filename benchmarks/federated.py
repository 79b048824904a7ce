"""Federated averaging: each site alone, the sites together without sharing a scan, and all scans in one place.

    OMP_NUM_THREADS=1 python benchmarks/federated.py      writes results/federated.json, and goes on where it was

Three sites, folders of fastMRI's layout: slices of colin27, of MNI152 and frames of a heart, each behind coils and with
noise of its own, in unequal number. One small unrolled network, the same number of steps of one scan for all: alone at
one site; in rounds over the sites, their updates averaged; on all scans. Held-out scans of `small.py` and a frame of
the heart at 4x random lines, all of them the centre of 80 x 80: PSNR over the body after one scale, by kind of scan.
`python benchmarks/tables.py` puts it into docs/networks.md.
"""

import argparse
import json
import tempfile
import warnings
from pathlib import Path

import h5py
import networks
import numpy as np
import small
import torch
from keep import keep

import pisolve as pi
from pisolve import nets

OUT = Path(__file__).parent / "results" / "federated.json"
SITES = {  # volume, slices, coils, noise
    "colin27": ("colin27_t1.nii.gz", range(50, 90, 2), slice(16, 24), 0.010),
    "MNI152": ("mni152_t1.nii.gz", range(50, 82, 4), slice(24, 32), 0.020),
    "heart": ("cardiac_cine.npy", range(0, 18, 3), slice(16, 32, 2), 0.010),
}
DATA = {"kind": "fastmri", "accel": 4, "center_fraction": 0.1, "axis": -2}
SETTINGS = {"rounds": 4, "local_steps": 12, "lr": 5e-4, "optimiser": "adam"}
SIDE = 80  # samples of a side


def written(folder):
    """A folder of files for each site, and one of all: name -> (path, number of scans)."""
    found = {}
    for name, (volume, numbers, coils, noise) in SITES.items():
        for place in (folder / name, folder / "all"):
            place.mkdir(exist_ok=True)
            for n in numbers:
                with h5py.File(place / f"{name}_{n}.h5", "w") as file:
                    file["kspace"] = networks.cropped(small.small((volume, n, coils, noise), n), SIDE).kspace
        found[name] = folder / name, len(numbers)
    return found, (folder / "all", sum(number for _, number in found.values()))


def fresh():
    """The network that all begin with."""
    torch.manual_seed(0)
    return nets.Unrolled(pi.HQS(inner=4), nets.DnCNN(2, 4, 16), 3)


PLAIN = {"untrained": lambda s: pi.recon(s, network=fresh()).x, **networks.PLAIN}  # what needs no scans


def judged(run):
    """Mean PSNR of each kind of held-out scan."""
    found = {}
    heart, *settings = small.heldout.HELD_OUT[5]
    for name, full in [*small.held_out(), (heart, small.small(settings, 5))]:
        kind = "in vivo" if name == small.REAL else name.split()[0].rstrip(",")
        found.setdefault(kind, []).append(networks.judged(run, networks.cropped(full, SIDE))["psnr"])
    return {kind: round(float(np.mean(values)), 2) for kind, values in found.items()}


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    report = {"command": "OMP_NUM_THREADS=1 python benchmarks/federated.py", **SETTINGS,
              "steps": SETTINGS["rounds"] * SETTINGS["local_steps"] * len(SITES), "rows": []}
    if OUT.exists():
        before = json.loads(OUT.read_text())
        report["rows"] = before["rows"] if {k: before[k] for k in SETTINGS} == SETTINGS else []
    together = nets.Federation(**SETTINGS)
    alone = nets.Federation(**SETTINGS | {"local_steps": SETTINGS["local_steps"] * len(SITES)})
    with tempfile.TemporaryDirectory() as folder:
        places, everything = written(Path(folder))
        if not report["rows"]:
            report["rows"] = [{"training": name, "scans": 0, "psnr": judged(run)} for name, run in PLAIN.items()]
        runs = {f"{name} alone": ({name: place}, alone) for name, place in places.items()}
        runs |= {"federated": (places, together), "all in one place": ({"all": everything}, alone)}
        for name, (sites, settings) in runs.items():
            if name in [row["training"] for row in report["rows"]]:
                continue
            network = nets.federate(fresh(), {n: nets.Site(path, DATA) for n, (path, _) in sites.items()}, settings)
            row = {"training": name, "scans": sum(number for _, number in sites.values()), "psnr": judged(
                lambda s, net=network: pi.recon(s, network=net).x)}
            report["rows"].append(row)
            print(row, flush=True)
            keep(OUT, report)


if __name__ == "__main__":
    main()
