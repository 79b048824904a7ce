"""Which wavelet is the default? Every wavelet at its best strength, on the scans that settings are chosen on.

    python benchmarks/wavelets.py

Scans and masks are those of `heldout.tuning`: 4x, random and equispaced lines, maps by ESPIRiT. For each wavelet, with
and without cycle spinning, one grid of strengths; the best by PSNR of each scan counts (an oracle, the same for all).
The wavelet of the highest mean is the default. Then the held-out scans once, at the strength that is best on the tuning
scans in the mean. Writes benchmarks/results/wavelets.json.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from heldout import held_out, tuning
from keep import keep

import pisolve as pi

OUT = Path(__file__).parent / "results" / "wavelets.json"
NAMES = ("haar", "db2", "db3", "db4", "sym4", "coif1")
SHIFTS = (0, 16)
STRENGTHS = tuple(float(f"{s:.3g}") for s in np.geomspace(5e-4, 1.6e-2, 6))
MASKS = ("random", "equispaced")


def psnr(truth, x):
    inside = truth > 0.05 * truth.max()
    return float(20 * np.log10(truth.max() / np.sqrt(np.mean((abs(x) - truth)[inside] ** 2))))


def cases(scans):
    """(name, undersampled scan with its maps, reference) of each scan and mask."""
    for name, full in scans:
        for kind in MASKS:
            scan = pi.Sampling(kind, 4)(full)
            yield f"{name}, {kind}", replace(scan, mps=pi.Espirit()(scan.kspace[0])[None]), np.squeeze(scan.reference)


def gain(scan, truth, name, shifts, strength):
    prior = strength * pi.Wavelet(name, shifts=shifts)
    return psnr(truth, np.squeeze(pi.recon(scan, prior, max_iter=60).x))


def main():
    report = {"command": "python benchmarks/wavelets.py", "strengths": STRENGTHS, "tuning": {}, "held out": {}}
    known = list(cases(tuning()))
    for shifts in SHIFTS:
        for name in NAMES:
            table = [[gain(scan, truth, name, shifts, s) for s in STRENGTHS] for _, scan, truth in known]
            mean = np.mean(table, 0)
            row = {"best": round(float(np.mean(np.max(table, 1))), 2), "strength": STRENGTHS[int(mean.argmax())],
                   "one strength": round(float(mean.max()), 2)}
            report["tuning"][f"{name}, shifts={shifts}"] = row
            print(name, shifts, row, flush=True)
            keep(OUT, report)
    for label, scan, truth in cases(held_out()):
        report["held out"][label] = {n: round(gain(scan, truth, n.split(",")[0], int(n.split("=")[1]),
                                                   report["tuning"][n]["strength"]), 2) for n in report["tuning"]}
        print(label, json.dumps(report["held out"][label]), flush=True)
    report["held out, mean"] = {n: round(float(np.mean([r[n] for r in report["held out"].values()])), 2)
                                for n in report["tuning"]}
    print(json.dumps(report["held out, mean"]))
    keep(OUT, report)


if __name__ == "__main__":
    main()
