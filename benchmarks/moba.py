"""T1 of a radial IR-FLASH straight from k-space: IRGNM of ours against BART's `moba -L`.

    OMP_NUM_THREADS=2 python benchmarks/moba.py [--small] [--repeats 1] [--only pisolve|BART]

maps/brain_properties.h5 (PISOLVE_DATA) on 96 x 96 pixels (--small 48 x 48), 8 coils, one recovery of 4 s read in 20
frames of 13 golden-angle spokes, T1* between 0.3 and 1.6 s (Look-Locker), noise for an SNR of 50 in white matter.
Ours: `signals.one_step(A, y, "molli", ...)` with the true coil maps and a joint wavelet prior; BART finds its coils
together with the maps (`moba -L -l1`), from the same data, so the problems are not the same: each is told with the
relative misfit ||F(x) - y|| / ||y|| that its maps leave, by our NUFFT and its own coils after the best factor, the
median error of T1 over tissue, and its seconds, files included. Writes benchmarks/results/moba.json.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import cine
import h5py
import numpy as np
from keep import bart, keep
from volumes import write

import pisolve as pi
from pisolve import backend
from pisolve.io import cfl

OUT = Path(__file__).parent / "results" / "moba.json"
FRAMES, SPOKES, COILS, SNR = 20, 13, 8, 50.0
TIMES = 0.02 + 0.2 * np.arange(FRAMES)  # s
TISSUE, WHITE = (23, 46, 70), 70  # labels
TI, COEFF = 5, 6  # of BART's dimensions


class Case:
    """The data, and what is true."""

    def __init__(self, n, folder):
        self.n, self.folder = n, folder
        with h5py.File(cine.DATA / "maps" / "brain_properties.h5") as file:
            pd, t1, label = (self._square(file[name][:], n) for name in ("pd", "t1", "label"))
        self.t1, self.tissue = t1, np.isin(label, TISSUE)
        y, x = np.mgrid[-1:1:n * 1j, -1:1:n * 1j]
        turn = 2 * np.pi * np.arange(COILS) / COILS
        mps = np.stack([np.exp(-((x - np.cos(t)) ** 2 + (y - np.sin(t)) ** 2) / 1.2 + 1j * (t + x * np.cos(t)))
                        for t in turn])
        self.mps = (mps / np.linalg.norm(mps, axis=0)).astype("c8")
        rate = 1 / np.where(t1 > 0, t1, 1) - np.log(np.cos(np.deg2rad(6))) / 4e-3  # T1* of FLASH at 6 degrees, TR 4 ms
        steady = 1 / (np.where(t1 > 0, t1, 1) * rate)
        a = pd / pd[label == WHITE].mean() * np.exp(1j * (0.6 * x + 0.4 * y**2))
        wave = np.exp(-TIMES[:, None, None] * rate)
        frames = a * (steady * (1 - wave) - wave)
        self.coord = np.stack([pi.trajectories.radial((n, n), SPOKES, first=SPOKES * f) for f in range(FRAMES)])
        self.A = pi.linops.sense(self.mps, coord=self.coord, shape=(FRAMES, COILS, *self.coord.shape[1:3]),
                                 axes=("echo", "coil", "shot", "sample"))
        y = self.A(frames.astype("c8"))
        rng = np.random.default_rng(0)
        noise = abs(frames[0][label == WHITE]).mean() / SNR
        drawn = rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape)
        self.y = (y + noise * drawn).astype("c8")

    @staticmethod
    def _square(image, n):
        """Every k-th pixel, in the middle of n x n."""
        step = -(-max(image.shape) // n)
        image = image[step // 2::step, step // 2::step]
        pads = [((n - m) // 2, n - m - (n - m) // 2) for m in image.shape]
        return np.pad(image, pads)

    def ours(self):
        prior = 3e-3 * pi.L21(axis=0) @ pi.linops.wavelet((3, self.n, self.n), axes=(-2, -1))
        self.maps = pi.signals.one_step(self.A, self.y, "molli", TIMES, prior, iterations=8, max_iter=20)

    def theirs(self):
        write(f"{self.folder}/y", self.y[..., None], (0, 1, 2, 3, TI))
        k = np.concatenate([self.coord[..., ::-1], np.zeros((*self.coord.shape[:-1], 1))], -1)
        write(f"{self.folder}/t", k, (0, 1, 2, TI))
        write(f"{self.folder}/ti", TIMES, (TI,))
        bart(self.folder, "moba", "-L", "-l1", "-i8", "-C100", "-j0.01", "-o1.25", "-R2", "-B0.3", "--img_dims",
             f"{self.n}:{self.n}:1", "-t", "t", "y", "ti", "x", "sens")

    def judged_ours(self):
        k = np.nan_to_num(self.maps["inversion"], nan=2.0)
        t1 = np.where(np.isfinite(self.maps["t1"]), self.maps["t1"], 1.0)
        frames = self.maps.amplitude * (1 - k * np.exp(-TIMES[:, None, None] * (k - 1) / t1))
        return self._judged(self.A(frames.astype("c8")), self.maps["t1"])

    def judged_theirs(self):
        found = cfl.read(f"{self.folder}/x")
        steady, start, rate = self._cut(found.reshape(3, *found.shape[-2:]))
        sens = self._cut(cfl.read(f"{self.folder}/sens").reshape(COILS, *found.shape[-2:]))
        frames = steady - (steady + start) * np.exp(-TIMES[:, None, None] * rate)
        A = pi.linops.sense(sens, coord=self.coord, shape=self.A.oshape, axes=self.A.oaxes)
        with np.errstate(divide="ignore", invalid="ignore"):
            t1 = abs(start / steady / rate)
        return self._judged(A(frames.astype("c8")), t1)

    def _cut(self, images):
        """The middle n x n."""
        a = (images.shape[-1] - self.n) // 2
        return images[..., a:a + self.n, a:a + self.n]

    def _judged(self, y, t1):
        scale = np.vdot(y, self.y) / np.vdot(y, y)
        off = abs(np.nan_to_num(t1) / np.where(self.tissue, self.t1, 1) - 1)[self.tissue]
        return {"misfit": round(float(np.linalg.norm(scale * y - self.y) / np.linalg.norm(self.y)), 4),
                "t1_error": round(float(np.median(off)), 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", choices=("pisolve", "BART"))
    parser.add_argument("--small", action="store_true", help="48 x 48, to try the script; writes nothing")
    args = parser.parse_args()
    report = {"command": "OMP_NUM_THREADS=2 python benchmarks/moba.py", "threads": backend.threads(),
              "frames": FRAMES, "spokes": SPOKES, "coils": COILS}
    if OUT.exists() and not args.small:
        report = json.loads(OUT.read_text()) | report
    with tempfile.TemporaryDirectory() as folder:
        case = Case(48 if args.small else 96, folder)
        ways = {"pisolve": (case.ours, case.judged_ours), "BART": (case.theirs, case.judged_theirs)}
        for name, (run, judged) in ways.items():
            if args.only not in (None, name) or (name == "BART" and not shutil.which("bart")):
                continue
            taken = []
            for _ in range(args.repeats):
                start = time.perf_counter()
                run()
                taken.append(time.perf_counter() - start)
            report[name] = {"seconds": round(float(np.median(taken)), 2), **judged()}
            print(name, json.dumps(report[name]), flush=True)
    if "pisolve" in report and "BART" in report:
        report["BART over pisolve"] = round(report["BART"]["seconds"] / report["pisolve"]["seconds"], 1)
    if not args.small:
        keep(OUT, report)


if __name__ == "__main__":
    main()
