"""Series and volumes through `pi.recon`: what priors over time, and over three axes, gain over images one by one.

    python benchmarks/series.py [--part cine|volume] [--quick] [--picture]

cine: the 30 frames, coils, noise and random lines at 6x of benchmarks/cine.py, given as a `Scan` with named axes.
volume: MNI152's T1 volume (PISOLVE_DATA/volumes/mni152_t1.nii.gz) at 48 x 64 x 64 (z, y, x) with a smooth phase, eight
smooth coils around it and noise; a regular 2 x 2 grid, and Poisson discs at 4x, over the two phase encodes kz and ky.

Every method has two figures: at the strength that the command line gives it, and at its best of several around or
above it by PSNR, chosen with the sampling and noise of seed 0 (in 3-D on the regular grid alone) and measured with
those of seed 1 as everything else. 40 iterations at most. Maps are the true ones unless a row says otherwise. The data
are made by the operator that reconstructs them, which flatters all methods alike. PSNR is of magnitudes over the whole
series or volume. Writes benchmarks/results/series.json; --picture draws docs/volumes.png. The default strengths of the
priors of series were chosen on the drawn heart of examples/cine.py, not on these data.
"""

import argparse
import json
import time

import cine
import numpy as np
from keep import keep
from scipy import ndimage

import pisolve as pi
from pisolve.recipe.named import named

OUT = cine.ROOT / "benchmarks" / "results" / "series.json"
PICTURE = cine.ROOT / "docs" / "volumes.png"
FACTORS = {"cine": (0.25, 0.5, 1, 2, 4), "volume": (2, 4, 8, 16)}  # of the command line's strengths
NOISE = 0.02  # of the volume, whose 99th percentile is 1
FRAMES, PLANES = {"each": ("slice", "frame")}, {"each": ("slice", "x")}

CINE = {  # row: a word for the prior, and the recipe's other arguments
    "SENSE, frame by frame": ("zero", FRAMES), "wavelet, frame by frame": ("wavelet", FRAMES),
    "temporal TV": ("temporal-tv", {}), "temporal FFT": ("temporal-fft", {}),
    "nuclear": ("nuclear", {}), "L+S": ("l+s", {}), "LLR": ("llr", {})}
VOLUME = {
    "CG-SENSE, 12 iterations": ("zero", {"max_iter": 12}), "wavelet, plane by plane": ("wavelet", PLANES),
    "wavelet, 3-D": ("wavelet", {}), "TV, plane by plane": ("tv", PLANES), "TV, 3-D": ("tv", {})}


def heart(quick):
    """(image, {seed: scan}, scans of further rows)."""
    image, mps = cine.heart(quick)

    def scan(seed, maps=True):
        A, y = cine.measure(image, mps, seed)
        mask = np.broadcast_to(A.weight > 0, image.shape)
        return pi.io.Scan(y, mask=mask, mps=mps if maps else None, axes=("frame", "coil", "ky", "kx"))

    full = pi.linops.sense(mps, axes=("frame", "coil", "ky", "kx"), shape=(len(image), *mps.shape))
    lines = pi.io.Scan(noisy(full(image), cine.NOISE, 1), mps=mps, axes=("frame", "coil", "ky", "kx"))
    further = {"LLR, maps by ESPIRiT": ("llr", {}, scan(1, maps=False)),
               "LLR, lines by vista": ("llr", {}, pi.Sampling("vista", cine.ACCEL, seed=1)(lines))}
    return image, {seed: scan(seed) for seed in (0, 1)}, further


def noisy(y, noise, seed):
    rng = np.random.default_rng(seed)
    return y + noise * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape)).astype(np.complex64)


def head(quick):
    """(image (z, y, x), maps of eight coils), the 99th percentile of the image 1."""
    shape = (24, 32, 32) if quick else (48, 64, 64)
    image = pi.io.load_image(cine.DATA / "volumes" / "mni152_t1.nii.gz").astype(np.float64)
    steps = [m / n for m, n in zip(image.shape, shape)]
    image = ndimage.gaussian_filter(image, [0.4 * s for s in steps])
    image = ndimage.zoom(image, [1 / s for s in steps], order=1)[tuple(slice(n) for n in shape)]
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij", sparse=True)
    image = image / np.percentile(image, 99) * np.exp(1j * (0.8 * x + 0.6 * y * y - 0.5 * x * z))
    coils = []
    for k in range(8):  # two rings of four around the head
        turn, height = np.pi / 2 * (k % 4) + np.pi / 4 * (k // 4), 0.6 if k < 4 else -0.6
        away = (z - height) ** 2 + (y - 1.2 * np.sin(turn)) ** 2 + (x - 1.2 * np.cos(turn)) ** 2
        coils.append(np.exp(-away / 0.8 + 1j * (turn + 0.7 * (y * np.sin(turn) + x * np.cos(turn)))))
    mps = np.stack(coils)
    return image.astype(np.complex64), (mps / np.linalg.norm(mps, axis=0)).astype(np.complex64)


def volume(image, mps, sampling):
    """{seed: scan} and further rows of one kind of sampling."""
    A = pi.linops.sense(mps, axes=("coil", "kz", "ky", "kx"))

    def scan(seed):
        full = pi.io.Scan(noisy(A(image), NOISE, seed), mps=mps, axes=("coil", "kz", "ky", "kx"))
        return pi.Sampling(*sampling, seed=seed)(full)

    scans = {seed: scan(seed) for seed in (0, 1)}
    return scans, {"TV, 3-D, maps by ESPIRiT": ("tv", {}, scans[1]._with(mps=None))}


def rows(image, methods, scans, further, factors, chosen):
    """A row for each method, and {method: image}; `chosen` has the factors of strengths that were found before."""
    found, images = [], {}

    def psnr(x):
        return round(float(pi.metrics.psnr(image, x)), 2)

    def run(word, options, scan, factor=1.0):
        recipe = named(word) if word != "zero" else pi.Recipe(pi.Zero())
        prior = recipe.prior if factor == 1 else factor * recipe.prior
        return pi.recon(scan, prior, **{"max_iter": 40, **options})

    for name, (word, options) in methods.items():
        start = time.perf_counter()
        done = run(word, options, scans[1])
        seconds = time.perf_counter() - start
        images[name] = done.x
        row = {"method": name, "psnr": psnr(done.x), "seconds": round(seconds, 1), "failed": len(done.failed),
               "solver": type(done.recipe.solver).__name__}
        if word != "zero":
            lam = done.recipe.prior.lam
            if name not in chosen:
                row["tuning_psnr"] = [psnr(run(word, options, scans[0], f).x) for f in factors]
                chosen[name] = factors[int(np.argmax(row["tuning_psnr"]))]
            best = chosen[name]
            images[name] = run(word, options, scans[1], best).x if best != 1 else done.x
            row |= {"lam": lam, "best_lam": best * lam, "best_psnr": psnr(images[name]),
                    "at_the_edge_of_the_grid": best in (factors[0], factors[-1])}
        found.append(row)
        print(row, flush=True)
    for name, (word, options, scan) in further.items():
        done = run(word, options, scan)
        found.append({"method": name, "psnr": psnr(done.x), "lam": done.recipe.prior.lam})
        print(found[-1], flush=True)
    return found, images


def draw(panels, path):
    """For each problem a row of images and one of errors, five times brighter; the title has the PSNR."""
    from matplotlib.figure import Figure

    width = max(len(images) for _, images in panels) + 1
    drawing = Figure(figsize=(1.9 * width, 3.95 * len(panels)), layout="constrained")
    axes = drawing.subplots(2 * len(panels), width)
    for a in axes.flat:
        a.axis("off")
    for k, (truth, images) in enumerate(panels):
        view = (lambda x: abs(x)[12 % len(x)]) if k == 0 else (lambda x: abs(x)[::-1, ::-1, x.shape[-1] // 2])
        top = np.percentile(view(truth), 99.8)
        for column, (name, x) in enumerate({"truth": truth, **images}.items()):
            shown = view(x)
            title = name if x is truth else f"{name}\n{pi.metrics.psnr(truth, x):.2f} dB"
            axes[2 * k, column].imshow(shown, cmap="gray", vmin=0, vmax=top)
            axes[2 * k, column].set_title(title, fontsize=7)
            if x is not truth:
                axes[2 * k + 1, column].imshow(5 * abs(shown - view(truth)), cmap="gray", vmin=0, vmax=top)
    with pi.io.atomic(path) as temporary:
        drawing.savefig(temporary, format="png", dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("cine", "volume"), help="only this one; the other's results stay")
    parser.add_argument("--quick", action="store_true", help="small ones; nothing is written")
    parser.add_argument("--picture", action="store_true", help=f"draw {PICTURE}")
    args = parser.parse_args()
    report, panels = {"command": "python benchmarks/series.py", "factors": FACTORS}, []
    if args.part != "volume":
        image, scans, further = heart(args.quick)
        found, images = rows(image, CINE, scans, further, FACTORS["cine"], {})
        table = json.loads((cine.ROOT / "benchmarks" / "results" / "cine.json").read_text())["cine"]["rows"]
        report["cine"] = {"shape": list(image.shape), "coils": cine.COILS, "accel": cine.ACCEL, "noise": cine.NOISE,
                          "solve": {r["prior"]: r["psnr"] for r in table}, "rows": found}
        panels.append((image, images))
    if args.part != "cine":
        (image, mps), chosen = head(args.quick), {}
        for name, sampling in {"regular 2 x 2": ("equispaced", (2, 2)), "Poisson 4x": ("poisson", 4)}.items():
            scans, further = volume(image, mps, sampling)
            found, images = rows(image, VOLUME, scans, further, FACTORS["volume"], chosen)
            report[name] = {"shape": list(image.shape), "coils": len(mps), "noise": NOISE,
                            "acceleration": round(1 / scans[1].encoding.fraction, 2), "rows": found}
            panels.append((image, images))
    if args.picture:
        draw(panels, PICTURE)
    if not args.quick:
        keep(OUT, {**(json.loads(OUT.read_text()) if OUT.exists() else {}), **report})


if __name__ == "__main__":
    main()
