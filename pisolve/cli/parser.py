"""The words and options of the command line."""

from __future__ import annotations

import argparse
import sys

from pisolve._version import __version__
from pisolve.calib.raki import VARIANTS
from pisolve.cli.parts import add_trust, numbers, part, slices, words
from pisolve.cli.recipe import AUTO, MAPS, RECONSTRUCTIONS, SOLVERS
from pisolve.prepare import SAMPLINGS, Espirit
from pisolve.recipe.named import ANALYSES, DEFAULTS, DENOISER, FITTED, WORDS
from pisolve.tuning import METHODS, TRIALS

EXAMPLES = """examples:
  pisolve demo -o demo                                    reconstruct a simulated brain, show table and picture
  pisolve info scan.h5                                    what is in this file, and what is odd about it
  pisolve recon scan.h5 -o out.h5                         wavelets, the default
  pisolve recon scan.h5 -o out.h5 --prior tv --lam 2e-3 --png out.png
  pisolve recon scan.h5 -o out.h5 --accel 4 --seed 1      undersample a full scan, and print the metrics
  pisolve recon scan.h5 -o out.h5 --prior tv --lam auto   choose lam by withheld samples
  pisolve recon scan.h5 -o out.h5 --prior pnp --sigma 0.07
  pisolve recon scan.h5 -o out.h5 --prior pnp --denoiser dncnn_gray_25.pth --scale 0.5 --offset 0.5
  pisolve recon scan.h5 -o out.h5 --network net.safetensors --consistency
  pisolve recon scan.h5 -o again.h5 --recipe out.h5       the same once more, to the same bits
  pisolve recon scan.h5 -o out.h5 --method grappa --coils 8 --prewhiten
  pisolve recon scan.h5 -o out.h5 --method convdecoder    fit an untrained network to this scan: minutes a slice
  pisolve recon scan.h5 -o out.h5 --device auto           on a GPU, where there is one
  pisolve recon raw.mrd -o out.h5 --part repetition=2,set=1
  pisolve compare scan.h5 --accel 4,8 --priors sense,wavelet,tv,pnp -o report
  pisolve calib scan.h5 -o maps.npy                       coil maps, for: recon ... --mps maps.npy
  pisolve train examples/configs/denoiser-fast.toml --out run    train a network; goes on with --resume

exit codes: 0 done, 1 the run failed (diverged, not finite), 2 wrong input, 130 interrupted.
PISOLVE_THREADS sets the number of threads."""


def _threshold(text):
    """A number, or "auto"."""
    return text if text == "auto" else float(text)


MAP_OPTIONS = (  # of calib: the fields of the methods' classes, with kind and meaning
    ("calib-width", {"type": int}, "samples of the centre to use"),
    ("kernel-width", {"type": int}, "samples of a kernel"),
    ("thresh", {"type": _threshold}, "of singular values (or auto), else of the image's magnitude"),
    ("window", {"type": int}, "pixels that are averaged"),
    ("lam", {"type": float}, "strength of the penalties"),
    ("iterations", {"type": int}, "of the maps"),
    ("inner", {"type": int}, "steps of each image"),
    ("crop", {"type": float}, "maps are 0 where the eigenvalue is below"),
    ("maps", {"type": int}, "sets of maps"),
    ("soft-crop", {"action": "store_const", "const": True}, "fade the maps out instead"))


class _Parser(argparse.ArgumentParser):
    """Argument errors are ValueErrors, so that every error of a user comes out on one line."""

    def error(self, message):
        raise ValueError(f"{message} (see {self.prog} --help)")


def parser(recon, compare, calib, info, demo, train, trust) -> argparse.ArgumentParser:
    """The parser of all the words; `trust` are those of `cli_trust`."""
    top = _Parser("pisolve", description="MRI reconstruction: minimise over x  1/2 ||A x - y||^2 + g(x)",
                  epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"pisolve {__version__}")
    added = top.add_subparsers(dest="word", metavar="WORD", required=True)

    def word(run, text=""):
        text = text or run.__doc__[0].lower() + run.__doc__.splitlines()[0].rstrip(".")[1:]
        new = added.add_parser(run.__name__, help=text, description=text[0].upper() + text[1:] + ".",
                               allow_abbrev=False)
        new.set_defaults(run=run)
        new.add_argument("--traceback", action="store_true", help="show where an error came from")
        return new

    table = "; ".join(f"{p} {', '.join(f'{k} {v:g}' for k, v in d.items()) or '(SENSE)'}" for p, d in DEFAULTS.items())
    new = word(recon, "reconstruct a scan")
    _scan(new, "image: .h5 (with the recipe), .npy, .cfl, .nii or .nii.gz")
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
    add = new.add_argument_group("network", "in the place of prior and solver").add_argument
    add("--network", metavar="NAME|FILE", help="a reconstruction network: a shipped one or weights")
    add("--consistency", action="store_const", const=True, help="bring the measured data back into its image")
    add = new.add_argument_group("solver").add_argument
    add("--solver", choices=SOLVERS, help="default: one that fits the prior")
    add("--max-iter", type=int, metavar="N", help="most iterations; default: 100, 30 for pnp")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, or auto, a GPU where there is one; default: cpu")
    add("--tol", type=float, help="relative residual to stop at; default: 1e-4")
    add("--recipe", metavar="FILE", help="do what this .json or this .h5 written by recon says (its --slices and --mps "
        "are given anew)")
    add("--checkpoint", metavar="FOLDER", help="keep the states of the slices there: the same command goes on from "
        "them, to the same bits")
    add("--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty(), help="bars, on a terminal")
    add = new.add_argument_group("scan").add_argument
    add("--method", choices=(*RECONSTRUCTIONS, *FITTED), help="grappa and raki fill k-space, spirit solves for the "
        "coils' images, convdecoder and zs-ssl fit a network to the scan; default: sense, with coil maps")
    add("--variant", choices=VARIANTS, help="of raki; residual: GRAPPA and the network, linear: GRAPPA alone; default: "
        "raki")
    add("--mps", metavar="FILE", help="coil maps to use; default: those in the scan, else estimated")
    add("--maps", choices=MAPS, help="how they are estimated; default: espirit")
    add("--sets", type=int, metavar="N", help="ESPIRiT's sets of maps, 2 where the object is larger than the field of "
        "view; default: 1")
    add("--coils", type=int, metavar="N", help="compress to N virtual coils")
    add("--gcc", action="store_const", const=True, help="compress for every position along the readout by itself")
    add("--prewhiten", action="store_const", const=True, help="make the noise white by the scan's noise samples")
    add("--crop", type=float, help=f"ESPIRiT's maps are 0 where its eigenvalue is below; default: {Espirit().crop:g}")
    add("--accel", type=float, help="undersample first, and compare with the full scan")
    add("--mask", choices=SAMPLINGS, help="pattern for --accel; default: random")
    add("--center-fraction", type=float, metavar="F", help="share of lines in its full centre; default: fastMRI's")
    add("--seed", type=int, help="of the pattern; default: 0")
    add("--png", metavar="FILE", help="draw the images to .png, .pdf or .svg")

    new = word(compare, "compare methods on the same scans, on equal terms; write a report")
    new.add_argument("scans", nargs="*", metavar="scan", help="as for recon; several are compared together")
    new.add_argument("-o", "--output", required=True, metavar="FOLDER", help="for report.html, tables and what is done "
                     "so far: a comparison that was stopped goes on there")
    add = new.add_argument
    add("--priors", type=words, metavar="NAME,...", help=f"what to compare: {', '.join(WORDS)} and shipped networks; "
        "default: zero-filled,sense,wavelet,tv,pnp")
    add("--accel", type=numbers, metavar="R,...", help="undersample first; default: as measured, without a reference")
    add("--mask", type=words, metavar="KIND,...", help=f"patterns for --accel: {', '.join(SAMPLINGS)}; default: "
        "random")
    add("--seeds", type=int, metavar="N", help="patterns of each kind and acceleration; default: 1")
    add("--center-fraction", type=float, metavar="F", help="share of lines in the full centre; default: fastMRI's")
    add("--tune", choices=(*METHODS, "none"), help="how strengths are chosen, with as many trials for each prior; "
        "default: holdout (reference: an oracle)")
    add("--trials", type=int, metavar="N", help=f"strengths that are tried for each prior; default: {TRIALS}")
    add("--slices", type=slices, metavar="A:B", help="only these: 3, or 0:5, from 0, without the last")
    add("--analyses", type=words, metavar="NAME,...", default=[], help=f"further sections of the report: "
        f"{', '.join(ANALYSES)}")
    add("--workers", type=int, default=1, metavar="N", help="processes beside each other; default: 1")
    add("--recipe", metavar="FILE", help="do again what this comparison.json says")
    add("--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty(), help="bars, on a terminal")

    new = word(calib, "estimate coil maps")
    _scan(new, "maps: .npy, .npz, .h5 or .cfl")
    new.add_argument("--method", choices=MAPS, default="espirit", help="default: espirit")
    for name, kind, what in MAP_OPTIONS:
        new.add_argument(f"--{name}", help=_defaults(name, what), **kind)

    new = word(info, "say what is in a file")
    new.add_argument("scan", help="scan or image: .h5, .mrd, .dat, .npy, .npz, .cfl, .nii")
    part(new)

    new = word(demo, "reconstruct a simulated brain in several ways; write a table and a picture")
    new.add_argument("-o", "--output", default="demo", metavar="FOLDER", help="default: demo")
    new.add_argument("--denoiser", metavar="NAME|FILE", default=DENOISER, help=f"default: {DENOISER}")
    for name, kind, default in (("size", int, 256), ("coils", int, 8), ("accel", float, 4), ("seed", int, 1)):
        new.add_argument(f"--{name}", type=kind, default=default, help=f"default: {default}")

    new = word(train, "train a network")
    new.add_argument("config", help="what to train, on what and how (.toml), such as those in examples/configs")
    new.add_argument("--out", metavar="FOLDER", help="for checkpoint, log and weights; default: the name of config")
    new.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, to the same weights")
    new.add_argument("--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty(), help="a bar")
    add_trust({run.__name__: word(run) for run in trust})
    return top


def _scan(new, output):
    """The arguments of every word that makes something of a scan."""
    new.add_argument("scan", help="fastMRI's or ISMRMRD's .h5, .mrd, Siemens' .dat, .npy or .npz with kspace, .cfl")
    new.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    new.add_argument("--slices", type=slices, metavar="A:B", help="only these: 3, or 0:5, from 0, without the last")
    part(new)


def _defaults(name: str, what: str) -> str:
    """The help of an option of coil maps: what it is, and its default for each method that has it."""
    known = {word: getattr(maps(), name.replace("-", "_")) for word, maps in MAPS.items()
             if name.replace("-", "_") in maps.__dataclass_fields__}
    told = ", ".join(f"{word} {'what fits' if value is None else 'no' if value is False else f'{value:g}'}"
                     for word, value in known.items())
    return f"{what}; default: {told}"


def _strength(text: str):
    return text if text == AUTO else float(text)


def _level(text: str):
    return text if text == "blind" else float(text)
