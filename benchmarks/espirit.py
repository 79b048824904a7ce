"""ESPIRiT: pisolve against SigPy and BART, time and maps, in one run with interleaved repeats.

    python benchmarks/espirit.py [--repeats 5]

Times are the best of the repeats; BART's is its whole process, files included. Pisolve's maps are cropped at SigPy's
default, 0.95, BART's at its own in the timed runs. Maps are compared over the common support after the phases of each
pixel are aligned; SigPy also only where its power iteration has settled (its default 100 iterations against 50), BART
also with its threshold -t, which is on squared singular values, matched.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import sigpy as sp
import sigpy.mri as mr

from pisolve.backend import fft, threads
from pisolve.calib import espirit

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data"))


def simulated(coils=12, n=320, noise=1e-3):
    rng = np.random.default_rng(0)
    image = sp.shepp_logan((n, n)) * np.exp(1j * np.linspace(0, 2, n))[:, None]
    gain = rng.uniform(0.8, 1.2, coils) * np.exp(2j * np.pi * rng.random(coils))
    kspace = sp.fft(mr.birdcage_maps((coils, n, n)) * gain[:, None, None] * image, axes=(-2, -1))
    kspace += noise * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))
    return kspace.astype(np.complex64)


def scans():
    yield "simulated 12 x 320 x 320", simulated()
    path = DATA / "kspace" / "invivo_brain_cimax_16ch.h5"
    if path.exists():
        with h5py.File(path) as file:
            yield "in vivo 16 x 128 x 128", file["kspace"][0]


CROP = 0.95  # SigPy's default


def sigpy(kspace, max_iter=100):
    return mr.app.EspiritCalib(kspace, max_iter=max_iter, show_pbar=False).run()


class Bart:
    def __init__(self, kspace, folder):
        self.shape, self.folder = kspace.shape, Path(folder)
        sizes = (*kspace.shape[:0:-1], 1, len(kspace))
        (self.folder / "k.hdr").write_text("# Dimensions\n" + " ".join(map(str, sizes)) + "\n")
        np.ascontiguousarray(kspace).tofile(self.folder / "k.cfl")

    def __call__(self, *options):
        subprocess.run(["bart", "ecalib", "-m1", "-k6", "-r24", *options, "k", "s"], cwd=self.folder, check=True,
                       capture_output=True)

    def maps(self):
        return np.fromfile(self.folder / "s.cfl", np.complex64).reshape(self.shape)


def difference(a, b, where=True):
    common = (a != 0).any(0) & (b != 0).any(0) & where
    a, b = a[:, common], b[:, common]
    inner = (a.conj() * b).sum(0)
    return float(np.linalg.norm(a * (inner / abs(inner)) - b) / np.linalg.norm(b))


def residual(kspace, mps):
    """|images - mps mps^H images| / |images| inside the maps' own support."""
    inside = (mps != 0).any(0)
    images = fft(kspace, (-2, -1), inverse=True)[:, inside]
    mps = mps[:, inside]
    return float(np.linalg.norm(images - mps * (mps.conj() * images).sum(0)) / np.linalg.norm(images))


def measure(kspace, repeats):
    with tempfile.TemporaryDirectory() as folder:
        runs = {"pisolve": lambda: espirit(kspace, crop=CROP), "sigpy": lambda: sigpy(kspace)}
        bart = Bart(kspace, folder) if shutil.which("bart") else None
        if bart:
            runs["bart"] = bart
        seconds = {name: [] for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
        mps, theirs = espirit(kspace, crop=CROP), sigpy(kspace)
        settled = np.linalg.norm(theirs - sigpy(kspace, 50), axis=0) < 1e-5
        out = {"seconds": {name: [round(t, 4) for t in ts] for name, ts in seconds.items()},
               "best": {name: min(ts) for name, ts in seconds.items()},
               "difference_sigpy": difference(mps, theirs),
               "difference_sigpy_settled": difference(mps, theirs, settled),
               "fraction_settled": float(settled.mean()),
               "support_pixels_unlike_sigpy": int(((mps != 0).any(0) != (theirs != 0).any(0)).sum()),
               "residual": {"pisolve": residual(kspace, mps), "sigpy": residual(kspace, theirs)}}
        if bart:
            out["residual"]["bart"] = residual(kspace, bart.maps())
            bart("-c0.8", f"-t{0.02**2}")
            out["difference_bart"] = difference(espirit(kspace, crop=0.8), bart.maps())
            bart("-c0.95", f"-t{0.02**2}")
            out["difference_bart_settled"] = difference(mps, bart.maps(), settled)
    out["faster_than"] = {name: out["best"][name] / out["best"]["pisolve"] for name in runs if name != "pisolve"}
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "espirit.json")
    args = parser.parse_args()
    results = {"threads": threads(), "load_at_start": os.getloadavg()[0], "scans": {}}
    for name, kspace in scans():
        r = results["scans"][name] = measure(kspace, args.repeats)
        print(name)
        print("  best of", args.repeats, " ".join(f"{key} {t:.3f} s" for key, t in r["best"].items()))
        print("  times faster than", " ".join(f"{key} {x:.1f}" for key, x in r["faster_than"].items()))
        print("  map difference", " ".join(f"{key[11:]} {r[key]:.2g}" for key in r if key.startswith("difference_")))
        print("  residual", " ".join(f"{key} {x:.4f}" for key, x in r["residual"].items()))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.output.with_suffix(".json.part")
    temporary.write_text(json.dumps(results, indent=1) + "\n")
    os.replace(temporary, args.output)


if __name__ == "__main__":
    main()
