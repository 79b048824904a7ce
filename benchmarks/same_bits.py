"""Does this version give the same bits as an older one? Over forty recipes on 2-D scans, run side by side from git.

    python benchmarks/same_bits.py REVISION [--seconds 600]

The older version is unpacked from git into a temporary folder; both run the same recipes on the same simulated scans,
and the bytes of the images are compared. Needs nothing but the repository; prints a line a recipe and exits with 1
where two images differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DENOISER = "pi.Denoiser(lambda x, sigma: x / (1 + sigma))"
RECIPES = {  # name: (scan, arguments of pi.recon)
    "defaults": ("slice", ""),
    "zero": ("slice", "pi.Zero(), max_iter=10"),
    "tikhonov": ("slice", "1e-2 * pi.Tikhonov()"),
    "quadratic": ("slice", "1e-2 * pi.Quadratic(pi.linops.gradient((64, 60)))"),
    "l1": ("slice", "2e-3 * pi.L1()"),
    "l1 haar": ("slice", "2e-3 * pi.L1() @ pi.linops.wavelet((64, 60), 'haar')"),
    "l21 gradient": ("slice", "1e-3 * pi.L21() @ pi.linops.gradient((64, 60))"),
    "l1 - l2": ("slice", "2e-3 * pi.L1MinusL2() @ pi.linops.wavelet((64, 60))"),
    "wavelet": ("slice", "2e-3 * pi.Wavelet()"),
    "wavelet, shifts": ("slice", "2e-3 * pi.Wavelet('db4', shifts=16)"),
    "dct": ("slice", "2e-3 * pi.DCT()"),
    "tv": ("slice", "1e-3 * pi.TV()"),
    "tv, anisotropic": ("slice", "1e-3 * pi.TV(isotropic=False, boundary='neumann')"),
    "tv, huber": ("slice", "1e-3 * pi.TV(delta=0.05)"),
    "tgv": ("slice", "1e-3 * pi.TGV(), max_iter=30"),
    "box": ("slice", "pi.Box(high=1.1)"),
    "tv + wavelet": ("slice", "1e-3 * pi.TV() + 1e-3 * pi.Wavelet()"),
    "infimal convolution": ("slice", "pi.InfimalConvolution(1e-3 * pi.TV(), 1e-3 * pi.Wavelet()), max_iter=30"),
    "pnp": ("slice", f"pi.PnP({DENOISER}, sigma=0.1), max_iter=20"),
    "pnp, hqs": ("slice", f"pi.PnP({DENOISER}, sigma=0.1), pi.HQS(), max_iter=15"),
    "red": ("slice", f"0.05 * pi.RED({DENOISER}, sigma=0.06), max_iter=20"),
    "fista": ("slice", "2e-3 * pi.Wavelet(), pi.FISTA()"),
    "pogm": ("slice", "2e-3 * pi.Wavelet(), pi.POGM()"),
    "pdhg": ("slice", "1e-3 * pi.TV(), pi.PDHG()"),
    "admm": ("slice", "1e-3 * pi.TV(), pi.ADMM(rho=0.05)"),
    "lsqr": ("slice", "1e-2 * pi.Tikhonov(), pi.LSQR()"),
    "gmres": ("slice", "1e-2 * pi.Tikhonov(), pi.GMRES()"),
    "gradient descent": ("slice", "1e-2 * pi.Tikhonov(), pi.GradientDescent()"),
    "data prox": ("slice", "1e-3 * pi.TV(delta=0.05), pi.DataProx(), max_iter=20"),
    "grappa": ("regular", "method=pi.Grappa()"),
    "grappa, tv": ("regular", "1e-3 * pi.TV(), method=pi.Grappa()"),
    "spirit": ("slice", "pi.Zero(), method=pi.Spirit(), max_iter=20"),
    "l1-spirit": ("slice", "2e-3 * pi.Wavelet(), method=pi.Spirit(), max_iter=20"),
    "raki": ("regular", "method=pi.Raki(iterations=20)"),
    "two sets of maps": ("slice", "1e-2 * pi.Tikhonov(), maps=pi.Espirit(24, None, 0.02, 0.8, False, 2)"),
    "walsh": ("slice", "1e-3 * pi.TV(), maps=pi.Walsh()"),
    "jsense": ("slice", "1e-3 * pi.TV(), maps=pi.JSense(iterations=5)"),
    "compressed": ("slice", "1e-3 * pi.TV(), compress=pi.Compress(4)"),
    "compressed, gcc": ("slice", "1e-3 * pi.TV(), compress=pi.Compress(4, None, 'gcc')"),
    "sampling": ("full", "1e-3 * pi.TV(), sampling=pi.Sampling('random', 4, seed=3)"),
    "sampling, points": ("full", "2e-3 * pi.Wavelet(), sampling=pi.Sampling('poisson', 4, seed=3)"),
    "sampling along kx": ("full", "2e-3 * pi.Wavelet(), sampling=pi.Sampling('equispaced', 3), solver=pi.FISTA()"),
    "tuned": ("slice", "pi.TV(), tune='holdout', max_iter=20"),
    "tuned by sure": ("slice", "pi.Wavelet(), tune='sure', max_iter=20"),
    "slices": ("slices", "1e-3 * pi.TV()"),
    "slices, wavelet": ("slices", "2e-3 * pi.Wavelet(shifts=4), max_iter=20"),
    "one coil": ("one coil", "1e-3 * pi.TV()"),
    "network": ("slice", "network=pi.nets.load('modl-brain')"),
    "network, gradient steps": ("slice", "network=pi.nets.load('varnet-brain')"),
    "shipped denoiser": ("slice", "pi.PnP(pi.nets.load('denoiser-fast'), sigma=0.1), max_iter=5"),
    "untrained": ("slice", "pi.Untrained(runs=1), max_iter=2"),
    "zero-shot": ("slice", "pi.ZeroShot(pi.nets.modl(iterations=2, inner=3)), max_iter=2"),
    "noise map": ("slice", None),
}
RUN = r"""
import hashlib, json, sys, warnings
import numpy as np
import pisolve as pi
warnings.simplefilter("ignore")
full = pi.phantom.brain((64, 60), 8, noise=0.02).kspace
random, regular = pi.masks.random(full.shape, 4, seed=1), pi.masks.equispaced(full.shape, 2, 0.3, seed=1)
scans = {"full": pi.io.Scan(full), "slice": pi.io.Scan(full * random, random),
         "regular": pi.io.Scan(full * regular, regular), "one coil": pi.io.Scan(full[:1] * random, random),
         "slices": pi.io.Scan(np.stack([full, full[:, ::-1], full * 0.5]) * random, random)}
for name, (scan, arguments) in json.loads(sys.argv[1]).items():
    try:
        if "nets" in (arguments or ""):
            import torch
            torch.manual_seed(0)  # networks with fresh weights
        if arguments is None:
            x = pi.noise_map(pi.Recipe(1e-2 * pi.Tikhonov()), scans[scan], replicas=3).std
        else:
            x = eval(f"pi.recon(scan, {arguments})", {"pi": pi, "scan": scans[scan]}).x
        told = hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()[:16] + f" {x.shape} {x.dtype}"
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    print(json.dumps([name, told]), flush=True)
"""


def run(folder: Path, recipes: dict, seconds: float) -> dict:
    """{recipe: digest of its image, or its error} by the version in a folder."""
    place = os.environ | {"PYTHONPATH": str(folder), "PISOLVE_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", RUN, json.dumps(recipes)], cwd=folder, env=place, timeout=seconds,
                          capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr)
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("revision", help="the older version, as git names it")
    words.add_argument("--only", help="recipes, joined by commas")
    words.add_argument("--seconds", type=float, default=1800, help="most time of each version")
    a = words.parse_args()
    recipes = {n: r for n, r in RECIPES.items() if a.only is None or n in a.only.split(",")}
    with tempfile.TemporaryDirectory() as temporary:
        old = Path(temporary)
        files = subprocess.run(["git", "archive", a.revision], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x"], input=files, cwd=old, check=True)
        before, after = run(old, recipes, a.seconds), run(ROOT, recipes, a.seconds)
    same = [n for n in recipes if before.get(n) == after.get(n) is not None and " (" in after[n]]
    for name in recipes:
        print(f"{'same' if name in same else 'OTHER':6}{name:28}{before.get(name)}"
              + ("" if name in same else f"   now {after.get(name)}"))
    print(f"{len(same)} of {len(recipes)} the same bits as {a.revision}; digest of all "
          + hashlib.sha256(json.dumps(after, sort_keys=True).encode()).hexdigest()[:12])
    return int(len(same) < len(recipes))


if __name__ == "__main__":
    sys.exit(main())
