"""Radial scans against SigPy and BART in one run, 2 threads: A^H A and conjugate gradients on 80 spokes of 640 samples.

    OMP_NUM_THREADS=2 python benchmarks/radial.py [--repeats 3]

12 coils x 320 x 320. A^H A: ours is Toeplitz, beside finufft's pair of transforms at the accuracies 1e-6 and 1e-4, the
pruned FFTs on the double grid by SciPy that are the floor, SigPy's, and mri-nufft's and torchkbnufft's where these are
installed, each with its distance to the exact one; a stack of stars, 8 coils x 32 x 192 x 192 with 34 spokes a
partition; and ours with off-resonance in 8 segments. CG: 20 iterations of each from the same data; BART is a process
with its files. The images are compared: ours and SigPy's at its best accuracy, and BART's.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import nufft_peers
import numpy as np
import sigpy.mri
from keep import bart, keep, timed
from volumes import write

import pisolve as pi
from pisolve import backend
from pisolve.backend.points import PointTransform
from pisolve.io import cfl
from pisolve.linops._toeplitz import Toeplitz

OUT = Path(__file__).parent / "results" / "radial.json"
N, COILS, SPOKES, SAMPLES, LAM = 320, 12, 80, 640, 1e-2


def distance(a, b):
    """Relative, after the best factor."""
    scale = np.vdot(b, a) / np.vdot(b, b)
    return float(f"{np.linalg.norm(a - scale * b) / np.linalg.norm(a):.2g}")


def ratios(times, ours="pisolve"):
    return {"seconds": {n: round(t, 4) for n, t in times.items()},
            "ratio": {n: round(t / times[ours], 1) for n, t in times.items() if n != ours}}


def stack(repeats, n=192, partitions=32, coils=8, spokes=34):
    """A^H A of partitions that are alike."""
    head = pi.phantom.brain((n, n), coils)
    z = np.linspace(-1, 1, partitions)[:, None, None]
    turn = np.exp(0.5j * np.arange(coils)[:, None, None, None] * z)
    mps = ((head.mps / np.linalg.norm(head.mps, axis=0))[:, None] * turn).astype("c8")
    x = (head.image * (1 - 0.3 * z)).astype("c8")
    coord = pi.trajectories.radial((n, n), spokes)
    A = pi.linops.sense(mps, coord=coord, axes=("coil", "kz", "shot", "sample"))
    programs = {"pisolve": lambda: A.N(x), "our pair": lambda: A.H(A(x))} | nufft_peers.stacks(mps, coord, x)
    row, ours = ratios(timed(programs, repeats)), A.N(x)
    return row | {"distance to ours": {n: distance(ours, run()) for n, run in programs.items() if n != "pisolve"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    head = pi.phantom.brain((N, N), COILS)
    mps = (head.mps / np.linalg.norm(head.mps, axis=0)).astype("c8")
    coord = pi.trajectories.radial((N, N), SPOKES, SAMPLES)
    A = pi.linops.sense(mps, coord=coord)
    rng = np.random.default_rng(0)
    y = A(head.image.astype("c8"))
    y = (y + 0.01 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))).astype("c8")
    x = A.H(y)
    report = {"command": "OMP_NUM_THREADS=2 python benchmarks/radial.py", "threads": backend.threads()}

    theirs = sigpy.mri.linop.Sense(mps, coord=coord.astype("f4"))
    images, data = np.empty_like(mps), np.empty((COILS, SPOKES * SAMPLES), "c8")
    programs = {"pisolve": lambda: A.N(x), "SigPy": lambda: theirs.N(x)}
    for eps in (1e-6, 1e-4):
        points = PointTransform(coord.reshape(-1, 2), (N, N), eps)

        def pair(points=points):
            points.forward(mps * x, data)
            points.backward(data, images)
            return (mps.conj() * images).sum(0)

        programs[f"finufft's pair, {eps:g}"] = pair
    plain = Toeplitz(mps, points.kernel())
    plain.compiled = None
    programs["SciPy, pruned FFTs"] = lambda: plain(x)
    programs |= nufft_peers.planes(mps, coord, x)
    exact = pi.linops.sense(mps.astype("c16"), coord=coord, eps=1e-12).N(x.astype("c16"))
    report["A^H A"] = ratios(timed(programs, repeats)) | {"distance": {n: distance(exact, run()) for n, run in
                                                                      programs.items()}}
    print(json.dumps(report["A^H A"]), flush=True)
    report["stack of stars, A^H A"] = stack(repeats)
    print(json.dumps(report["stack of stars, A^H A"]), flush=True)

    blurred = next(B for f in range(1, 200) if (B := pi.linops.off_resonance(  # a field that takes 8 segments
        A, f * np.linspace(-1, 1, N)[:, None] * np.linspace(0, 1, N), 5e-6 * np.arange(SAMPLES))).normal_segments == 8)
    report["off-resonance, 8 segments"] = ratios(timed({"plain": lambda: A.N(x), "off-resonance": lambda: blurred.N(x)},
                                                       repeats), ours="plain")
    print(json.dumps(report["off-resonance, 8 segments"]), flush=True)

    def ours():
        B = pi.linops.sense(mps, coord=coord)  # plans and kernel are made anew
        return pi.solve(B, y, LAM * pi.Tikhonov(), pi.CG(), max_iter=20, tol=0).x

    def sigpys(**options):
        return sigpy.mri.app.SenseRecon(y, mps, lamda=LAM, coord=coord.astype("f4"), tol=0, max_iter=20,
                                        show_pbar=False, **options).run()

    programs = {"pisolve": ours, "SigPy": sigpys}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        if shutil.which("bart"):
            folder = Path(folder)
            write(folder / "y", y[:, :, :, None], (0, 1, 2, 3))  # (coil, spoke, sample, 1): its dimensions 3 to 0
            write(folder / "mps", mps, (0, 1, 3))
            places = np.zeros((SPOKES, SAMPLES, 3), "c8")
            places[..., 0], places[..., 1] = coord[..., 1], coord[..., 0]
            write(folder / "t", places, (0, 1, 2))

            def barts():
                bart(folder, "pics", "-l2", f"-r{LAM}", "-i20", "-w1", "-t", "t", "y", "mps", "x")
                return np.squeeze(cfl.read(folder / "x"))

            programs["BART"] = barts
        report["CG, 20 iterations"] = ratios(timed(programs, repeats))
        found = {n: run() for n, run in programs.items()}
    report["distance to ours"] = {n: distance(found["pisolve"], x) for n, x in found.items() if n != "pisolve"}
    report["error against the object"] = {n: distance(head.image, x) for n, x in found.items()}
    print(json.dumps(report, indent=1))
    keep(OUT, report)


if __name__ == "__main__":
    main()
