"""The command line: `pisolve recon`, `calib`, `info` and `demo`; parse, call, nothing else."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from pisolve import io, masks
from pisolve._check import choice, extra
from pisolve._version import __version__
from pisolve.calib import espirit
from pisolve.cli_recipe import AUTO, DEFAULTS, DENOISER, SOLVERS, default_run, make_prior, make_recipe, nets_room
from pisolve.cli_report import (
    fully_sampled,
    image_info,
    like_rss,
    metrics_table,
    sampled,
    say,
    shape_of,
    table,
    tuned,
    zero_filled,
)
from pisolve.io import cfl
from pisolve.recipe import SAMPLINGS, Espirit, Recipe
from pisolve.tuning import METHODS

IMAGES, MAPS = (".h5", ".hdf5", ".npy", ".cfl"), (".h5", ".hdf5", ".npy", ".npz", ".cfl")
EXAMPLES = """examples:
  pisolve demo -o demo                                    reconstruct a simulated brain, show table and picture
  pisolve info scan.h5                                    what is in this file, and what is odd about it
  pisolve recon scan.h5 -o out.h5                         wavelets, the default
  pisolve recon scan.h5 -o out.h5 --prior tv --lam 2e-3 --png out.png
  pisolve recon scan.h5 -o out.h5 --accel 4 --seed 1      undersample a full scan, and print the metrics
  pisolve recon scan.h5 -o out.h5 --prior tv --lam auto   choose lam by withheld samples
  pisolve recon scan.h5 -o out.h5 --prior pnp --sigma 0.07
  pisolve recon scan.h5 -o out.h5 --prior pnp --denoiser dncnn_gray_25.pth --scale 0.5 --offset 0.5
  pisolve recon scan.h5 -o again.h5 --recipe out.h5       the same once more, to the same bits
  pisolve calib scan.h5 -o maps.npy                       coil maps, for: recon ... --mps maps.npy

exit codes: 0 done, 1 the run failed (diverged, not finite), 2 wrong input, 130 interrupted.
PISOLVE_THREADS sets the number of threads."""


class _Parser(argparse.ArgumentParser):
    """Argument errors are ValueErrors, so that every error of a user comes out on one line."""

    def error(self, message):
        raise ValueError(f"{message} (see {self.prog} --help)")


def main(argv: list[str] | None = None) -> int:
    """Run a command line (None: that of the process) and return its exit code, see `pisolve --help`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say("warning", message)
        try:
            arguments = parser().parse_args(argv)
            return arguments.run(arguments)
        except KeyboardInterrupt:
            say("interrupted", "nothing more is written")
            return 130
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            if "--traceback" in argv:
                raise
            say("error", error or type(error).__name__)
            return 2


def parser() -> argparse.ArgumentParser:
    """The parser of all the words."""
    top = _Parser("pisolve", description="MRI reconstruction: minimise over x  1/2 ||A x - y||^2 + g(x)",
                  epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"pisolve {__version__}")
    words = top.add_subparsers(dest="word", metavar="{recon,calib,info,demo}", required=True)

    def word(run, text):
        new = words.add_parser(run.__name__, help=text, description=text[0].upper() + text[1:] + ".",
                               allow_abbrev=False)
        new.set_defaults(run=run)
        new.add_argument("--traceback", action="store_true", help="show where an error came from")
        return new

    table = "; ".join(f"{p} {', '.join(f'{k} {v:g}' for k, v in d.items()) or '(SENSE)'}" for p, d in DEFAULTS.items())
    new = word(recon, "reconstruct a scan")
    _scan(new, "image: .h5 (with the recipe), .npy or .cfl")
    add = new.add_argument_group("prior", "units: the zero-filled image has a 99th percentile of 1").add_argument
    add("--prior", choices=DEFAULTS, help="default: wavelet")
    add("--lam", type=_strength, help=f"strength, or auto: chosen by --tune; defaults of lam and sigma: {table}")
    add("--sigma", type=_strength, help="noise level of a denoiser, or auto; one with a level of its own works at that")
    add("--tune", choices=METHODS, help="how auto chooses; default: holdout (reference: an oracle, with --accel)")
    add("--denoiser", metavar="NAME|FILE", help=f"for pnp and red: a shipped one or weights; default: {DENOISER}")
    add("--level", type=_level, help="sigma that the weights were trained for, or blind, where they do not say it")
    add("--scale", type=float, help="the network sees scale * image + offset; default: 1, 0.5 for a grey dncnn_*.pth")
    add("--offset", type=float, help="default: 0, 0.5 for a grey dncnn_*.pth")
    add("--rescale", action="store_const", const=True, help="reach another sigma by multiplying the image")
    add = new.add_argument_group("solver").add_argument
    add("--solver", choices=SOLVERS, help="default: one that fits the prior")
    add("--max-iter", type=int, metavar="N", help="most iterations; default: 100, 30 for pnp")
    add("--tol", type=float, help="relative residual to stop at; default: 1e-4")
    add("--recipe", metavar="FILE", help="do what this .json or this .h5 written by recon says (its --slices and --mps "
        "are given anew)")
    add("--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty(), help="bars, on a terminal")
    add = new.add_argument_group("scan").add_argument
    add("--mps", metavar="FILE", help="coil maps to use; default: those in the scan, else ESPIRiT")
    add("--crop", type=float, help=f"ESPIRiT's maps are 0 where its eigenvalue is below; default: {Espirit().crop:g}")
    add("--accel", type=float, help="undersample first, and compare with the full scan")
    add("--mask", choices=SAMPLINGS, help="pattern for --accel; default: random")
    add("--center-fraction", type=float, metavar="F", help="share of lines in its full centre; default: fastMRI's")
    add("--seed", type=int, help="of the pattern; default: 0")
    add("--png", metavar="FILE", help="draw the images to .png, .pdf or .svg")

    new = word(calib, "estimate coil maps by ESPIRiT")
    _scan(new, "maps: .npy, .npz, .h5 or .cfl")
    for name, kind in (("calib-width", int), ("kernel-width", int), ("thresh", float), ("crop", float)):
        default = getattr(Espirit(), name.replace("-", "_"))
        new.add_argument(f"--{name}", type=kind, default=default,
                         help=f"default: {'what fits' if default is None else default}")
    new.add_argument("--soft-crop", action="store_true", help="fade the maps out instead")

    new = word(info, "say what is in a file")
    new.add_argument("scan", help="scan or image: .h5, .npy, .npz, .cfl")

    new = word(demo, "reconstruct a simulated brain in several ways; write a table and a picture")
    new.add_argument("-o", "--output", default="demo", metavar="FOLDER", help="default: demo")
    new.add_argument("--denoiser", metavar="NAME|FILE", default=DENOISER, help=f"default: {DENOISER}")
    for name, kind, default in (("size", int, 256), ("coils", int, 8), ("accel", float, 4), ("seed", int, 1)):
        new.add_argument(f"--{name}", type=kind, default=default, help=f"default: {default}")
    return top


def recon(a) -> int:
    """Reconstruct a scan."""
    _output(a.output, IMAGES, a.scan)
    if a.png:
        from pisolve.figure import SUFFIXES, figure

        extra("matplotlib", "plot")
        _output(a.png, SUFFIXES, a.scan)
    recipe = make_recipe(a)
    if a.output.endswith((".h5", ".hdf5")):
        recipe.to_dict()  # a recipe that cannot be kept is refused before the work
    scan = _load(a)
    full = recipe.sampling is not None and fully_sampled(scan)
    if recipe.tune == "reference" and not full:
        raise ValueError("--tune reference needs the truth: a fully sampled scan and --accel")
    if recipe.sampling is not None and not full:
        say("warning", "no metrics: this scan is not fully sampled, so there is nothing to compare with")
    done = recipe(scan, progress=a.progress)
    steps, solver = max(r.state.k for r in done.results), done.results[0].solver
    if not done.ok:
        say("failed", f"{type(solver).__name__} ended {done.status} after {steps} iterations; {a.output} is not "
             "written: try a smaller --lam or --sigma, or another --solver")
        return 1
    done.save(a.output)
    of = f" (most of {len(done.results)} slices)" if len(done.results) > 1 else ""
    residual = max(float(r.state.residual) for r in done.results)
    table([("scan", f"{a.scan}, {shape_of(scan.kspace)}"), ("sampling", sampled(done.scan.mask)),
           ("prior", repr(done.recipe.prior)), *([("tuned", tuned(done.tuning))] if done.tuning else []),
           ("solver", repr(solver)),
           ("status", f"{done.status} after {steps} iterations{of}, residual {residual:.1e}"),
           ("seconds", ", ".join(f"{stage} {t:.2f}" for stage, t in done.seconds.items())),
           ("scale", f"{done.scale:.5g} (k-space times this was solved)")])
    images = {name: done.scan.crop(like_rss(done.scan, image)) for name, image in
              (("zero-filled", zero_filled(done.scan)), ("reconstruction", done.x))}
    if full:
        metrics_table(done.scan.reference, images)
    if a.png:
        title = f"{done.recipe.prior!r}" if full else ""
        figure(images, done.scan.reference if full else None, path=a.png, title=title)
    table([("written", ", ".join(filter(None, (a.output, a.png))))])
    return 0


def calib(a) -> int:
    """Estimate coil maps."""
    _output(a.output, MAPS, a.scan)
    scan = _load(a)
    start = time.perf_counter()
    mps = espirit(scan.kspace, mask=scan.mask, calib_width=a.calib_width, kernel_width=a.kernel_width,
                  thresh=a.thresh, crop=a.crop, soft_crop=a.soft_crop)
    seconds = time.perf_counter() - start
    _save_maps(a.output, mps)
    covered = (mps != 0).any(axis=-3).mean()
    table([("scan", f"{a.scan}, {shape_of(scan.kspace)}"),
           ("maps", f"{mps.shape}, not zero in {covered:.0%} of pixels"),
           ("seconds", f"{seconds:.2f}"), ("written", a.output)])
    return 0


def info(a) -> int:
    """Say what is in a file."""
    try:
        scan = io.load(a.scan)
    except (ValueError, TypeError):
        if Path(a.scan).suffix == ".npz" or not Path(a.scan).is_file():
            raise
        image_info(a.scan)
        return 0
    rss = scan.rss()
    pattern = masks.estimate(scan.kspace) if scan.mask is None else scan.mask
    guess = " (no mask in the file: where k-space is not zero)" if scan.mask is None else ""
    table([("file", a.scan), ("k-space", f"{shape_of(scan.kspace)}, {scan.kspace.dtype}"),
           ("sampling", sampled(pattern) + guess), ("maps", "none" if scan.mps is None else str(scan.mps.shape)),
           ("reference", "none" if scan.reference is None else str(scan.reference.shape)),
           ("scale", f"k-space peaks at {abs(scan.kspace).max():.4g}; the root sum of squares has a maximum of "
            f"{rss.max():.4g}, a 99th percentile of {np.percentile(rss, 99):.4g}")]
          + [("attribute", f"{k}: {v}") for k, v in scan.meta.items() if k != "assumed"]
          + [("warning", w) for w in scan.warnings() or ["none"]])
    return 0


def demo(a) -> int:
    """Reconstruct the phantom in several ways."""
    from pisolve.demo import demo as run

    methods = {"CG-SENSE": "tikhonov", "wavelet": "wavelet", "TV": "tv", "PnP": "pnp"}
    if a.denoiser == DENOISER and DENOISER not in nets_room().available():
        say("warning", f"{DENOISER} is not in this installation: the table is without it")
        del methods["PnP"]
    recipes = {name: Recipe(make_prior(word, denoiser=a.denoiser if word == "pnp" else None), name=word,
                            **default_run(word)) for name, word in methods.items()}
    rows = run(a.output, recipes, size=a.size, coils=a.coils, accel=a.accel, seed=a.seed, progress=sys.stderr.isatty())
    print(f"{'method':13}{'solver':9}{'status':12}{'iterations':>10}{'seconds':>9}{'NMSE':>9}{'PSNR':>8}{'SSIM':>8}")
    for r in rows:
        print(f"{r['method']:13}{r['solver']:9}{r['status']:12}{r['iterations']:10}{r['seconds']:9.2f}{r['nmse']:9.4f}"
              f"{r['psnr']:8.2f}{r['ssim']:8.4f}")
    print("written      ", ", ".join(str(Path(a.output) / f"demo.{kind}") for kind in ("png", "json")))
    return 0


def _scan(new, output):
    """The arguments of every word that makes something of a scan."""
    new.add_argument("scan", help="fastMRI's .h5, .npy or .npz with kspace, BART's .cfl")
    new.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    new.add_argument("--slices", type=_slices, metavar="A:B", help="only these: 3, or 0:5, from 0, without the last")


def _slices(text: str):
    parts = [int(p) if p else None for p in text.split(":")]
    if len(parts) > 3 or parts == [None]:
        raise ValueError
    return slice(*parts) if len(parts) > 1 else parts[0]


def _strength(text: str):
    return text if text == AUTO else float(text)


def _level(text: str):
    return text if text == "blind" else float(text)


def _load(a):
    """The scan with its maps and slices; what is odd about it goes to stderr."""
    scan = io.load(a.scan, mps=getattr(a, "mps", None))
    scan = scan if a.slices is None else scan.select(a.slices)
    for text in scan.warnings():
        say("warning", text)
    return scan


def _output(path, suffixes, source) -> None:
    """Refuse a file that could not be written, before the work is done."""
    choice("the suffix of the output", Path(path).suffix, suffixes)
    if not Path(path).resolve().parent.is_dir():
        raise FileNotFoundError(f"the folder of {path} does not exist: make it first")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if os.path.realpath(path) == os.path.realpath(source):
        raise ValueError(f"{path} is the scan itself: give the output another name")


def _save_maps(path, mps) -> None:
    """Write coil maps so that `io.load(scan, mps=path)` reads them."""
    if path.endswith(".cfl"):
        cfl.write(path, mps, coils=True)
        return
    with io.atomic(path) as temporary:
        if path.endswith(".npy"):
            np.save(temporary, mps)
        elif path.endswith(".npz"):
            np.savez(temporary, mps=mps)
        else:
            import h5py

            with h5py.File(temporary, "w") as file:
                file["mps"] = mps


if __name__ == "__main__":
    sys.exit(main())
