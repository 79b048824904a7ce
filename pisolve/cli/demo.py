"""The word `demo`: a simulated brain, reconstructed in several ways."""

import sys

from pisolve.cli.parser import add_word
from pisolve.cli.say import warn

METHODS = {"CG-SENSE": "tikhonov", "wavelet": "wavelet", "TV": "tv", "PnP": "pnp"}


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "reconstruct a simulated brain in several ways; write a table and a picture", _options)


def _options(new) -> None:
    from pisolve.recipe.named import DENOISER

    new.add_argument("-o", "--output", default="demo", metavar="FOLDER", help="default: demo")
    new.add_argument("--denoiser", metavar="NAME|FILE", default=DENOISER, help=f"default: {DENOISER}")
    for name, kind, default in (("size", int, 256), ("coils", int, 8), ("accel", float, 4), ("seed", int, 1)):
        new.add_argument(f"--{name}", type=kind, default=default, help=f"default: {default}")


def run(a) -> None:
    """Reconstruct the phantom in several ways."""
    from pathlib import Path

    from pisolve.demo import demo

    rows = demo(a.output, _recipes(a.denoiser), size=a.size, coils=a.coils, accel=a.accel, seed=a.seed,
                progress=sys.stderr.isatty())
    print(f"{'method':13}{'solver':9}{'status':12}{'iterations':>10}{'seconds':>9}{'NMSE':>9}{'PSNR':>8}{'SSIM':>8}")
    for r in rows:
        print(f"{r['method']:13}{r['solver']:9}{r['status']:12}{r['iterations']:10}{r['seconds']:9.2f}{r['nmse']:9.4f}"
              f"{r['psnr']:8.2f}{r['ssim']:8.4f}")
    print("written      ", ", ".join(str(Path(a.output) / name) for name in ("demo.png", "demo.json", "report.html")))


def _recipes(denoiser: str) -> dict:
    """The methods' recipes; without plug-and-play where its network is not there."""
    from pisolve.cli.recipe import default_run, make_prior, nets_room
    from pisolve.recipe import Recipe
    from pisolve.recipe.named import DENOISER

    methods = dict(METHODS)
    if denoiser == DENOISER and DENOISER not in nets_room().available():
        warn([f"{DENOISER} is not in this installation: the table is without it"])
        del methods["PnP"]
    return {name: Recipe(make_prior(word, denoiser=denoiser if word == "pnp" else None), name=word,
                         **default_run(word)) for name, word in methods.items()}
