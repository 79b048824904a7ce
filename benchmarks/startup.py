"""What a command costs before it works: whole processes on the wall clock, beside Python with numpy and h5py, and BART.

    OMP_NUM_THREADS=2 python benchmarks/startup.py            writes results/startup.json

Rows: `python -c "import numpy, h5py"`; `pisolve --help`, `pisolve info` and `pisolve recon --prior tikhonov` (maps by
ESPIRiT, 4x undersampled along ky, from .npz to .npy) of one slice of 8 coils, 256 x 256; BART's `ecalib -m1` and
`pics -l2` on the same k-space, on all threads and on one (its threads wait for each other by spinning, which on a busy
machine takes longer than one thread). Medians of turns after a warm-up, which also fills numba's cache and the file
cache. `ratios`: help and info to Python, recon to the sum of BART's two, each at its faster number of threads.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from keep import keep, timed

import pisolve as pi
from pisolve.io import cfl

OUT = Path(__file__).parent / "results" / "startup.json"
COILS, SIZE, LAM, REPEATS = 8, 256, 1e-2, 7


def python(folder, *words):
    """What runs this Python in a folder."""
    return run(folder, sys.executable, *words, PYTHONPATH=str(Path(pi.__file__).parents[1]))


def run(folder, *words, **environment):
    """What runs a program in a folder."""
    return lambda: subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env={**os.environ, **environment})


def main():
    with tempfile.TemporaryDirectory() as folder:
        kspace = pi.phantom.brain((SIZE, SIZE), COILS, noise=0.02).kspace
        kspace = kspace * pi.masks.random(kspace.shape, 4, seed=1)
        np.savez(Path(folder, "scan.npz"), kspace=kspace)
        cfl.write(Path(folder, "y"), kspace, coils=True)
        words = ("recon", "scan.npz", "-o", "out.npy", "--prior", "tikhonov", "--lam", f"{LAM:g}")
        programs = {"python": python(folder, "-c", "import numpy, h5py"),
                    "help": python(folder, "-m", "pisolve", "--help"),
                    "info": python(folder, "-m", "pisolve", "info", "scan.npz"),
                    "recon": python(folder, "-m", "pisolve", *words)}
        if shutil.which("bart"):
            for n in sorted({1, pi.backend.threads()}):
                threads = {"OMP_NUM_THREADS": str(n)}
                programs[f"ecalib {n}"] = run(folder, "bart", "ecalib", "-m1", "y", "maps", **threads)
                programs[f"pics {n}"] = run(folder, "bart", "pics", "-l2", f"-r{LAM:g}", "-i30", "y", "maps", "x",
                                            **threads)
        seconds = timed(programs, REPEATS)
    ratios = {word: seconds[word] / seconds["python"] for word in ("help", "info")}
    if "pics 1" in seconds:
        ratios["recon"] = seconds["recon"] / sum(min(s for name, s in seconds.items() if name.startswith(word))
                                                 for word in ("ecalib", "pics"))
    report = {"threads": pi.backend.threads(), "coils": COILS, "size": SIZE, "lam": LAM, "repeats": REPEATS,
              "seconds": {name: round(s, 3) for name, s in seconds.items()},
              "ratios": {name: round(r, 2) for name, r in ratios.items()}}
    for name, value in (*report["seconds"].items(), *((f"{n}, ratio", r) for n, r in report["ratios"].items())):
        print(f"{name:14}{value:8.3f}")
    keep(OUT, report)


if __name__ == "__main__":
    main()
