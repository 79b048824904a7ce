"""Ways to reconstruct a cine, one table: Cartesian 6x and 12x, radial 13 and 21 spokes a frame.

    python benchmarks/dynamic.py [--only "radial 13"] [--method LLR] [--frames 30] [--every 2] [--quick]

The 30 frames, coils and noise of benchmarks/cine.py, with other lines, or other golden-angle spokes, in every frame;
true maps. Each method has its strength from a grid of factors around the command line's, chosen by PSNR on the sampling
and noise of seed 0, and is measured with those of seed 1: PSNR and SSIM of magnitudes over the series, and the seconds
of that run, its operator included. 40 iterations; plug-and-play 20 of HQS, each frame through the network by itself, or
planes (y, t) of all of them: a network of images in both, which has seen no time. Temporal TV on spokes is GRASP.
BART's `pics -R L:...` (locally low rank, by ADMM: its default diverges on spokes) and `-R T:...` over time run as
processes with their files, with a grid of strengths of their own, 100 iterations. --frames takes the first of them.
Writes benchmarks/results/dynamic.json; what is there is made again by --only, a row of it by --method.
"""

import argparse
import json
import shutil
import tempfile
import time

import cine
import numpy as np
import tables
from keep import bart, keep
from volumes import write

import pisolve as pi
from pisolve.io import cfl
from pisolve.recipe.named import named

OUT = cine.ROOT / "benchmarks" / "results" / "dynamic.json"
FACTORS = (0.125, 0.25, 0.5, 1, 2, 4, 8)
BART_LAMS = tuple(np.geomspace(1e-4, 0.1, 7))
AXES = ("frame", "coil", "ky", "kx")
METHODS = {  # row: (word for the prior, other arguments)
    "SENSE, frame by frame": ("zero", {"each": ("slice", "frame"), "max_iter": 12}),
    "wavelet, frame by frame": ("wavelet", {"each": ("slice", "frame")}),
    "temporal TV (on spokes: GRASP)": ("temporal-tv", {}),
    "temporal Fourier (k-t SPARSE-SENSE)": ("temporal-fft", {}),
    "L+S": ("l+s", {}), "LLR": ("llr", {})}
PNP, PNP_TIME = "PnP, frame by frame", "PnP, planes (y, t)"
PNP_LEVELS = (0.02, 0.05, 0.1, 0.2)


def scan_of(image, mps, sampling, seed):
    """A noisy scan of the series: ("cartesian", acceleration) or ("radial", spokes)."""
    kind, amount = sampling
    frames, n = len(image), image.shape[-1]
    rng = np.random.default_rng(seed)
    if kind == "cartesian":
        mask = cine.masks(frames, n, amount, seed)
        A = pi.linops.sense(mps, mask, axes=AXES, shape=(frames, *mps.shape))
        more = {"mask": np.broadcast_to(mask, (frames, n, n)), "axes": AXES}
    else:
        coord = np.stack([pi.trajectories.radial((n, n), amount, first=amount * (t + 1000 * seed)) for t in range(
            frames)])
        axes = ("frame", "coil", "shot", "sample")
        A = pi.linops.sense(mps, coord=coord, axes=axes, shape=(frames, len(mps), *coord.shape[1:3]))
        more = {"coord": coord, "size": (n, n), "axes": axes}
    y = A(image)
    noise = cine.NOISE * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    y = (y + (noise * (y != 0) if kind == "cartesian" else noise)).astype(np.complex64)
    return pi.io.Scan(y, mps=mps, **more)


def measured(image, x, seconds):
    return {"psnr": round(float(pi.metrics.psnr(image, x)), 2), "ssim": round(float(pi.metrics.ssim(image, x)), 4),
            "seconds": round(seconds, 2)}


def of_word(word, options):
    """(strengths, function of a scan and one of them -> image)."""
    def run(scan, factor):
        prior = pi.Zero() if word == "zero" else factor * named(word).prior
        return pi.recon(scan, prior, **{"max_iter": 40, **options}).x

    return (1,) if word == "zero" else FACTORS, run


def of_network(name, *, time=False):
    D, each = pi.nets.load(name), ("slice",) if time else ("slice", "frame")

    def along_time(x, sigma):  # (frame, y, x) -> (x, y, frame)
        return np.moveaxis(D(np.ascontiguousarray(np.moveaxis(x, (1, 0), (-2, -1))), sigma), (-2, -1), (1, 0))

    def run(scan, level):
        prior = pi.PnP(along_time if time else D, sigma=level)
        return pi.recon(scan, prior, pi.HQS(coupling=0), each=each, max_iter=20).x

    return PNP_LEVELS, run


def of_bart(folder, words):
    """The same by BART's `pics`, its files included."""
    def run(scan, lam):
        traj = []
        if scan.coord is None:
            cfl.write(f"{folder}/y", scan.kspace, axes=scan.axes)
        else:
            write(f"{folder}/y", scan.kspace[..., None], (0, 1, 2, 3, 10))
            k = np.concatenate([scan.coord[..., ::-1], np.zeros((*scan.coord.shape[:-1], 1))], -1)
            write(f"{folder}/t", k, (0, 1, 2, 10))
            traj = ["-t", "t"]
        cfl.write(f"{folder}/mps", scan.mps, coils=True)
        bart(folder, "pics", "-S", "-w1", *(w.format(lam) for w in words), "-i100", *traj, "y", "mps", "x")
        return cfl.read(f"{folder}/x").reshape(scan.image_shape)

    return BART_LAMS, run


def rows(image, mps, sampling, denoiser, folder, every, only=None):
    scans = {seed: scan_of(image, mps, sampling, seed) for seed in (0, 1)}
    ways = {name: of_word(*how) for name, how in METHODS.items()}
    if denoiser in pi.nets.available():
        ways |= {PNP: of_network(denoiser), PNP_TIME: of_network(denoiser, time=True)}
    if shutil.which("bart"):
        ways["BART, locally low rank"] = of_bart(folder, ["-m", "-RL:3:3:{:g}", "-b8"])
        ways["BART, temporal TV"] = of_bart(folder, ["-RT:1024:0:{:g}", "-u0.1"])
    for name, (strengths, run) in ways.items():
        if only not in (None, name):
            continue
        strengths = strengths[::every]
        tuning = [round(float(pi.metrics.psnr(image, run(scans[0], s))), 2) for s in strengths]  # it warms up, too
        best = strengths[int(np.argmax(tuning))]
        start = time.perf_counter()
        x = run(scans[1], best)
        row = {"sampling": " ".join(map(str, sampling)), "method": name, "frames": len(image),
               **measured(image, x, time.perf_counter() - start)}
        if len(strengths) > 1:
            row |= {"strength": float(best), "tuning_psnr": tuning,
                    "at_the_edge_of_the_grid": best in (strengths[0], strengths[-1])}
        print(json.dumps(row), flush=True)
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 small frames, fewer strengths; nothing is written")
    parser.add_argument("--only", help='one sampling, such as "radial 13"')
    parser.add_argument("--method", help='one row, such as "LLR"')
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--every", type=int, default=1, help="take every n-th strength of the grids")
    parser.add_argument("--denoiser", default="denoiser-fast")
    args = parser.parse_args()
    image, mps = cine.heart(args.quick)
    image = image[:args.frames]
    report = {"command": f"python benchmarks/dynamic.py --every {args.every}", "shape": list(image.shape),
              "coils": len(mps), "rows": []}
    if OUT.exists() and not args.quick:
        report = json.loads(OUT.read_text()) | {k: v for k, v in report.items() if k != "rows"}
    for sampling in (("cartesian", 6), ("cartesian", 12), ("radial", 13), ("radial", 21)):
        word = " ".join(map(str, sampling))
        done = any(r["sampling"] == word for r in report["rows"])
        if args.only not in (None, word) or (done and args.only is None and args.method is None):
            continue
        with tempfile.TemporaryDirectory() as folder:
            every = 3 if args.quick else args.every
            new = list(rows(image, mps, sampling, args.denoiser, folder, every, args.method))
        made = {r["method"] for r in new}
        report["rows"] = [r for r in report["rows"] if r["sampling"] != word or r["method"] not in made] + new
        if not args.quick:
            keep(OUT, report)
    print(tables.of_dynamic(report))


if __name__ == "__main__":
    main()
