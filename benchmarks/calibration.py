"""Calibration and parallel imaging against SigPy, BART and pygrappa: seconds, medians of turns, in one run.

    OMP_NUM_THREADS=2 python benchmarks/calibration.py            writes results/calibration.json
    python benchmarks/calibration.py --only grappa --shape 12x320x320

Rows: espirit (one set of maps, 24 x 24, kernel 6), walsh, jsense, compress (to 6, SVD and GCC), whiten, grappa (fit and
fill at R = 2, 3, 4 and 2 x 2, 5 x 5 samples, 24 calibration lines, pygrappa's fit), spirit (30 iterations), homodyne.
BART's seconds hold its start and its files, as a user of its commands has them. `difference` is the relative distance
of what the programs make, where both make the same thing.
"""

import argparse
import json
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import sigpy
import sigpy.mri
from keep import bart, keep, timed

import pisolve as pi
from pisolve import backend, phantom
from pisolve.io import cfl

OUT = Path(__file__).parent / "results" / "calibration.json"
SHAPES = [(12, 320, 320), (15, 640, 368)]
SAMPLES = 20000


class Case:
    """One simulated scan, and its files for BART."""

    def __init__(self, coils, ny, nx, folder):
        self.full = phantom.brain((ny, nx), coils, noise=0.01, seed=0).kspace
        rng = np.random.default_rng(0)
        mix = np.eye(coils) + 0.2 * rng.standard_normal((coils, coils))
        self.noise = (mix @ rng.standard_normal((coils, SAMPLES, 2)).view(complex)[..., 0]).astype(np.complex64)
        self.folder = Path(folder)
        self.bart = shutil.which("bart") is not None
        if self.bart:
            cfl.write(self.folder / "full", self.full, coils=True)
            cfl.write(self.folder / "noise", self.noise[:, None, :], coils=True)

    def tool(self, *words):
        return {"bart": lambda: bart(self.folder, *words)} if self.bart else {}

    def regular(self, ry, rx):
        """(mask, undersampled k-space, calibration block) with 24 lines, or 24 x 24 points, in the centre."""
        ny, nx = self.full.shape[1:]
        mask = np.zeros((ny, nx), bool)
        mask[::ry, ::rx] = True
        rows = slice(ny // 2 - 12, ny // 2 + 12)
        columns = slice(nx // 2 - 12, nx // 2 + 12) if rx > 1 else slice(None)
        mask[rows, columns] = True
        return mask, self.full * mask, np.ascontiguousarray(self.full[:, rows, columns])


def espirit(case):
    yield "espirit", {"pisolve": lambda: pi.calib.espirit(case.full),
                      "sigpy": lambda: sigpy.mri.app.EspiritCalib(case.full, show_pbar=False).run(),
                      **case.tool("ecalib", "-m1", "-k6", "-r24", "full", "maps")}


def walsh(case):
    yield "walsh", {"pisolve": lambda: pi.calib.walsh(case.full), **case.tool("walsh", "-r24", "full", "maps")}


def jsense(case):
    yield "jsense", {"pisolve": lambda: pi.calib.jsense(case.full),
                     "sigpy": lambda: sigpy.mri.app.JsenseRecon(case.full, show_pbar=False).run()}


def compress(case):
    for by, option in (("svd", "-S"), ("gcc", "-G")):
        yield f"compress {by}", {
            "pisolve": lambda by=by: pi.calib.compress(case.full, coils=6, by=by),
            **case.tool("cc", "-p6", option, "-r24", "full", "out")}


def whiten(case):
    yield "whiten", {"pisolve": lambda: pi.calib.prewhiten(case.full, case.noise),
                     **case.tool("whiten", "full", "noise", "white")}


def grappa(case):
    from pygrappa import mdgrappa

    for ry, rx in ((2, 1), (3, 1), (4, 1), (2, 2)):
        mask, y, calib = case.regular(ry, rx)
        yield f"grappa {ry}x{rx}", {
            "pisolve": lambda m=mask, y=y, c=calib: pi.calib.grappa(y, m, c, padded=True)(y),
            "pygrappa": lambda y=y, c=calib: mdgrappa(y, c, coil_axis=0, kernel_size=(5, 5), lamda=0.01)}


def spirit(case):
    mask, y, calib = case.regular(2, 1)

    def ours():
        G = pi.calib.spirit_kernel(y, mask, calib=calib, kernel=(5, 5), lam=0.01)
        A = pi.linops.spirit_missing(G, mask, y.shape)
        return A.images(y, pi.solve(A, A.data(y), max_iter=30, tol=0).x)

    yield "spirit", {"pisolve": ours}  # none of the others has it


def homodyne(case):
    ny = case.full.shape[1]
    mask = np.zeros(case.full.shape[1:], bool)
    mask[: ny * 6 // 8] = True
    y = case.full * mask
    if case.bart:
        cfl.write(case.folder / "partial", y, coils=True)
    yield "homodyne", {"pisolve": lambda: pi.calib.homodyne(y, mask),
                       **case.tool("homodyne", "1", "0.75", "partial", "out")}


ROWS = (espirit, walsh, jsense, compress, whiten, grappa, spirit, homodyne)
SAME = {"grappa"}  # rows whose programs make the same array


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name begins so; the others stay as they were")
    parser.add_argument("--shape", default="", help="one shape only, such as 12x320x320")
    parser.add_argument("--small", action="store_true", help="8 x 96 x 96 only, to try the script; writes nothing")
    args = parser.parse_args()
    report = {"command": __doc__.split("    ")[1], "threads": backend.threads(), "cases": {}}
    if (args.only or args.shape) and OUT.exists():
        report = json.loads(OUT.read_text())
    warnings.simplefilter("ignore")
    for shape in [(8, 96, 96)] if args.small else SHAPES:
        name = "x".join(map(str, shape))
        if args.shape and args.shape != name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            case = Case(*shape, folder)
            rows = report["cases"].setdefault(name, {})
            for make in ROWS:
                if not make.__name__.startswith(args.only):
                    continue
                for task, programs in make(case):
                    row = {k: round(v, 5) for k, v in timed(programs, args.repeats).items()}
                    row["ratios"] = {k: round(v / row["pisolve"], 1) for k, v in row.items() if k != "pisolve"}
                    if make.__name__ in SAME:
                        a, b = (run() for run in programs.values())
                        row["difference"] = float(f"{np.linalg.norm(a - b) / np.linalg.norm(b):.2g}")
                    rows[task] = row
                    print(name, task, json.dumps(row), flush=True)
        if not args.small:
            keep(OUT, report)


if __name__ == "__main__":
    main()
