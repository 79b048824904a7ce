"""Draws docs/priors.png and docs/series.png, for docs/make.py --pictures.

priors.png: a scan in vivo (PISOLVE_DATA/kspace/invivo_brain_cimax_16ch.h5; without it the analytic phantom) at 4x
through the spatial priors, in rows. series.png: the drawn heart of examples/cine.py through priors of series.
noise.png: the same scan at 2x regularly and the noise in it, `pi.noise_map`.
"""

import contextlib
import io
import os
import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np

import pisolve as pi

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data"))
BRAIN = DATA / "kspace" / "invivo_brain_cimax_16ch.h5"


def draw(folder: Path):
    """Write the pictures."""
    stack(folder / "priors.png", *spatial())
    stack(folder / "series.png", *series())
    noise(folder / "noise.png")


def spatial(factors=(0.25, 0.5, 1, 2, 4)):
    """([{title: image}, ...] by row, reference): each prior at its best of five strengths by PSNR over the body."""
    full = pi.io.load(BRAIN) if BRAIN.exists() else pi.io.Scan(pi.phantom.brain((128, 128), noise=0.02, seed=3).kspace)
    scan = pi.Recipe(sampling=pi.Sampling("random", 4, 0.125, 0)).prepare(full)  # maps once for all
    shape, D = scan.kspace.shape[-2:], pi.nets.load("denoiser-brain")
    W, G = pi.linops.wavelet(shape), pi.linops.gradient(shape)
    rows = [  # title: (strength in the middle, prior of a strength)
        {"wavelet": (2e-3, lambda s: s * pi.Wavelet()),
         "wavelet, 16 shifts": (2e-3, lambda s: s * pi.Wavelet(shifts=16)),
         "L1MinusL2 @ W": (2e-3, lambda s: s * pi.L1MinusL2() @ W), "DCT": (2e-3, lambda s: s * pi.DCT())},
        {"TV": (1.5e-3, lambda s: s * pi.TV()), "TV, anisotropic": (1.5e-3, lambda s: s * pi.TV(isotropic=False)),
         "TV, delta 0.01": (1.5e-3, lambda s: s * pi.TV(delta=0.01)), "TGV": (1.5e-3, lambda s: s * pi.TGV())},
        {"Tikhonov": (1e-2, lambda s: s * pi.Tikhonov()), "Quadratic(grad)": (1e-2, lambda s: s * pi.Quadratic(G)),
         "PnP": (0.1, lambda s: pi.PnP(D, sigma=s)), "0.05 RED": (0.06, lambda s: 0.05 * pi.RED(D, sigma=s))},
    ]
    reference = np.reshape(scan.reference, scan.reference.shape[-2:])
    body = pi.metrics.body(reference)

    def best(middle, make):
        runs = [(s, image(make(s))) for s in middle * np.array(factors)]
        return max(runs, key=lambda run: pi.metrics.psnr(reference, run[1], region=body))

    def image(prior):
        x = abs(pi.recon(scan, prior, max_iter=30 if isinstance(prior, pi.PnP) else 100).x).reshape(reference.shape)
        return x * (x * reference)[body].sum() / (x**2)[body].sum()  # the maps' own scale is not an error

    found = [{title: best(*prior) for title, prior in row.items()} for row in rows]
    for row in found:
        print({title: (float(s), round(float(pi.metrics.psnr(reference, x, region=body)), 2))
               for title, (s, x) in row.items()}, flush=True)
    return [{f"{title}, {s:.2g}": x * body for title, (s, x) in row.items()} for row in found], reference * body


def series():
    """The same of a series, by PSNR."""
    with contextlib.redirect_stdout(io.StringIO()):
        names = no_arguments(lambda: runpy.run_path(str(ROOT / "examples" / "cine.py")))
    truth, scan = names["image"], pi.Recipe(sampling=names["sampling"]).prepare(names["scan"])
    priors = {"wavelet": pi.Wavelet(), "x-f": pi.TemporalFFT(), "nuclear": pi.Nuclear(), "LLR": pi.LLR(shifts=16),
              "TV in time": pi.TV(axes=("frame",))}

    def best(name, prior):
        each = ("slice", "frame") if name == "wavelet" else ()
        runs = [(lam, pi.recon(scan, lam * prior, max_iter=40, each=each).x) for lam in np.geomspace(1e-3, 3, 11)]
        return max(runs, key=lambda run: pi.metrics.psnr(truth, run[1]))

    found = {name: best(name, prior) for name, prior in priors.items()}
    return [{f"{name}, {lam:.2g}": x for name, (lam, x) in found.items()}], truth


def noise(path: Path, replicas: int = 40, sigma: float = 2e-3):
    """Image and noise map of four recipes, one below the other; the noise added is sigma of the largest RSS value."""
    from matplotlib.figure import Figure

    full = pi.io.load(BRAIN) if BRAIN.exists() else pi.io.Scan(pi.phantom.brain((128, 128), noise=0.02, seed=3).kspace)
    ny, nx = full.kspace.shape[-2:]
    mask = np.zeros((ny, nx), bool)
    mask[::2] = mask[ny // 2 - 12 : ny // 2 + 12] = True
    scan = full.undersample(mask)
    D = pi.nets.load("denoiser-brain")
    recipes = {"SENSE": pi.Recipe(pi.Zero()), "GRAPPA": pi.Recipe(method=pi.Grappa()),
               "wavelet": pi.Recipe(2e-3 * pi.Wavelet()), "PnP": pi.Recipe(pi.PnP(D, sigma=0.05), max_iter=20)}
    maps = {name: pi.noise_map(r, scan, replicas=replicas if name != "PnP" else replicas // 2,
                               covariance=2 * sigma**2) for name, r in recipes.items()}
    body = pi.metrics.body(np.reshape(scan.reference, (ny, nx)))
    drawing = Figure(figsize=(12, 6.4), layout="constrained")
    axes = drawing.subplots(2, 4)
    for column, (name, m) in zip(axes.T, maps.items()):
        image, std = (np.reshape(a, (ny, nx)) for a in (abs(m.image), m.std))
        column[0].imshow(image, cmap="gray", vmin=0, vmax=np.percentile(image[body], 99))
        column[0].set_title(name)
        shown = column[1].imshow(std / (sigma * 2**0.5) * body, cmap="magma", vmin=0, vmax=3)
        column[1].set_title(f"noise, mean {std[body].mean() / (sigma * 2**0.5):.2f}")
        print(name, float(std[body].mean() / (sigma * 2**0.5)), m.replicas, m.failed, flush=True)
    for a in axes.flat:
        a.axis("off")
    drawing.colorbar(shown, ax=axes[1], label="standard deviation / that of a k-space sample", shrink=0.8)
    with pi.io.atomic(path) as temporary:
        drawing.savefig(temporary, format="png", dpi=75)


def no_arguments(call):
    """The result of a script's call that may not read our own arguments."""
    given, sys.argv = sys.argv, sys.argv[:1]
    try:
        return call()
    finally:
        sys.argv = given


def stack(path: Path, rows, reference, dpi: int = 90):
    """One `pi.figure` for each row, one below the other, of one width."""
    from PIL import Image

    from pisolve.figure import figure

    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for k, images in enumerate(rows):
            part = Path(folder) / f"{k}.png"
            figure(images, reference, path=part, dpi=dpi)
            parts.append(Image.open(part).convert("RGB"))
    whole = Image.new("RGB", (max(p.width for p in parts), sum(p.height for p in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    with pi.io.atomic(path) as temporary:
        whole.save(temporary, "PNG", optimize=True)


if __name__ == "__main__":
    draw(ROOT / "docs")
