"""The command line: `pisolve recon`, `compare`, `calib`, ... and the words of trust; parse, call, nothing else."""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from pisolve import io, masks
from pisolve._check import choice, extra
from pisolve.cli.compare import compare
from pisolve.cli.parser import parser
from pisolve.cli.recipe import DENOISER, check_maps, default_run, make_maps, make_prior, make_recipe, nets_room
from pisolve.cli.report import (
    attribute_rows,
    failure,
    image_info,
    maps_of,
    measured,
    metrics_table,
    sampled,
    say,
    shape_of,
    table,
    what_ran,
)
from pisolve.cli.train import train
from pisolve.cli.trust import WORDS
from pisolve.io import cfl
from pisolve.prepare import fully_sampled, like_rss, zero_filled
from pisolve.recipe import Recipe

IMAGES, MAP_FILES = (".h5", ".hdf5", ".npy", ".cfl", ".nii", ".nii.gz"), (".h5", ".hdf5", ".npy", ".npz", ".cfl")


def main(argv: list[str] | None = None) -> int:
    """Run a command line (None: that of the process) and return its exit code, see `pisolve --help`."""
    argv = sys.argv[1:] if argv is None else list(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say("warning", message)
        try:
            arguments = parser(recon, compare, calib, info, demo, train, WORDS).parse_args(argv)
            return arguments.run(arguments)
        except KeyboardInterrupt:
            say("interrupted", "nothing more is written")
            return 130
        except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
            if "--traceback" in argv:
                raise
            say("error", error or type(error).__name__)
            return 2


def recon(a) -> int:
    """Reconstruct a scan."""
    _output(a.output, IMAGES, a.scan)
    if a.png:
        from pisolve.evaluate.figure import SUFFIXES, figure

        extra("matplotlib", "plot")
        _output(a.png, SUFFIXES, a.scan)
    recipe = make_recipe(a)
    check_maps(a, recipe)
    if a.output.endswith((".h5", ".hdf5")):
        recipe.to_dict()  # a recipe that cannot be kept is refused before the work
    scan = _load(a)
    check_maps(a, recipe, scan)
    full = recipe.sampling is not None and fully_sampled(scan)
    if recipe.tune == "reference" and not full:
        raise ValueError("--tune reference needs the truth: a fully sampled scan and --accel")
    if recipe.sampling is not None and not full:
        say("warning", "no metrics: this scan is not fully sampled, so there is nothing to compare with")
    done = recipe(scan, progress=a.progress, checkpoint=a.checkpoint)
    if done.status == "stopped":
        say("stopped", "what follows is the best image so far")
    if not done.ok:
        say("failed", f"{failure(done)}; {a.output} is not written")
        return 1
    done.save(a.output)
    table([("scan", f"{a.scan}, {shape_of(scan.kspace)}"), ("sampling", sampled(done.scan.mask)),
           *what_ran(done),
           ("seconds", ", ".join(f"{stage} {t:.2f}" for stage, t in done.seconds.items())),
           ("scale", f"{done.scale:.5g} (k-space times this was solved)")])
    images = {name: done.scan.crop(like_rss(done.scan, image)) for name, image in
              (("zero-filled", zero_filled(done.scan)), ("reconstruction", done.x))}
    if full:
        metrics_table(done.scan.reference, images)
    if a.png:
        title = what_ran(done)[0][1] if full else ""
        figure(images, done.scan.reference if full else None, path=a.png, title=title)
    table([("written", ", ".join(filter(None, (a.output, a.png))))])
    return 0


def calib(a) -> int:
    """Estimate coil maps."""
    _output(a.output, MAP_FILES, a.scan)
    maps = make_maps(a)
    scan = _load(a)
    start = time.perf_counter()
    mps = maps(scan.kspace, scan.mask, scan.calib)
    seconds = time.perf_counter() - start
    _save_maps(a.output, mps, sets=mps.ndim > scan.kspace.ndim)
    covered = (mps != 0).any(axis=-3).mean()
    table([("scan", f"{a.scan}, {shape_of(scan.kspace)}"),
           ("maps", f"{mps.shape}, not zero in {covered:.0%} of pixels"),
           ("seconds", f"{seconds:.2f}"), ("written", a.output)])
    return 0


def info(a) -> int:
    """Say what is in a file."""
    try:
        scan = io.load(a.scan, part=a.part)
    except (ValueError, TypeError) as error:
        if a.part or Path(a.scan).suffix == ".npz" or not Path(a.scan).is_file():
            raise
        try:
            image_info(a.scan)
        except (ValueError, TypeError):
            raise error from None  # neither: why it is no scan says more
        return 0
    rss = scan.rss()
    pattern = masks.estimate(scan.kspace) if scan.mask is None else scan.mask
    guess = " (no mask in the file: where k-space is not zero)" if scan.mask is None else ""
    table([("file", a.scan), ("k-space", f"{shape_of(scan.kspace)}, {scan.kspace.dtype}"),
           ("sampling", sampled(pattern) + guess), ("maps", maps_of(scan)),
           ("reference", "none" if scan.reference is None else str(scan.reference.shape)), *measured(scan),
           ("scale", f"k-space peaks at {abs(scan.kspace).max():.4g}; the root sum of squares has a maximum of "
            f"{rss.max():.4g}, a 99th percentile of {np.percentile(rss, 99):.4g}")]
          + attribute_rows(scan.meta) + [("warning", w) for w in scan.warnings() or ["none"]])
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
    print("written      ", ", ".join(str(Path(a.output) / name) for name in ("demo.png", "demo.json", "report.html")))
    return 0


def _load(a):
    """The scan with its maps and slices; what is odd about it goes to stderr."""
    scan = io.load(a.scan, mps=getattr(a, "mps", None), part=a.part)
    scan = scan if a.slices is None else scan.select(a.slices)
    for text in scan.warnings():
        say("warning", text)
    return scan


def _output(path, suffixes, source) -> None:
    """Refuse a file that could not be written, before the work is done."""
    suffix = ".nii.gz" if path.endswith(".nii.gz") else Path(path).suffix
    choice("the suffix of the output", suffix, suffixes)
    if not Path(path).resolve().parent.is_dir():
        raise FileNotFoundError(f"the folder of {path} does not exist: make it first")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if os.path.realpath(path) == os.path.realpath(source):
        raise ValueError(f"{path} is the scan itself: give the output another name")


def _save_maps(path, mps, *, sets: bool) -> None:
    """Write coil maps, several `sets` of them or one, so that `io.load(scan, mps=path)` reads them."""
    if path.endswith(".cfl"):
        cfl.write(path, mps, coils=True, sets=sets)
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

