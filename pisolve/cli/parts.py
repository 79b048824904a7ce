"""What several words of the command line take: kinds of arguments, and the options of the words about trust."""

from __future__ import annotations

import argparse
import sys

from pisolve.io.grid import COUNTERS
from pisolve.prepare import SAMPLINGS
from pisolve.recipe.named import TESTS, WORDS
from pisolve.tuning import METHODS

KINDS = ("replicas", "sure", "masks", "dropout")


def part(new):
    """Which part of raw data."""
    new.add_argument("--part", type=counters, metavar="NAME=N,...", help="which of raw data, such as repetition=2: "
                     f"{', '.join(COUNTERS)}, slice; default: the first of each, all slices")


def counters(text: str) -> dict:
    """NAME=N,... as a dict."""
    return {name: int(value) for name, value in (one.split("=") for one in text.split(","))}


def slices(text: str):
    """An index, or A:B as a `slice`."""
    parts = [int(p) if p else None for p in text.split(":")]
    if len(parts) > 3 or parts == [None]:
        raise ValueError
    return slice(*parts) if len(parts) > 1 else parts[0]


def words(text: str) -> list[str]:
    """Words between commas."""
    return [word.strip() for word in text.split(",")]


def numbers(text: str) -> list[float]:
    """Numbers between commas."""
    return [float(number) for number in text.split(",")]


def _method(new, *, image: bool, noise: bool, seed: str) -> None:
    """Which scan, by which recipe where an `image` is made; `seed` says what of, besides the pattern."""
    new.add_argument("scan", help="as for recon")
    add = new.add_argument
    if image:
        add("--prior", metavar="NAME", help=f"the method: {', '.join(WORDS[1:])} or a shipped network; default: "
            "wavelet")
        add("--tune", choices=METHODS, help="choose its strength first; default: as the recipe says, else as it is")
    add("--recipe", metavar="FILE", help="do what this .json or this .h5 written by recon says")
    add("--accel", type=float, help="undersample first")
    add("--mask", choices=SAMPLINGS, help="pattern for --accel; default: random")
    add("--seed", type=int, help=f"of {seed}; default: 0")
    add("--slices", type=slices, metavar="A:B", help="only these: 3, or 0:5, from 0, without the last")
    if noise:
        add("--noise", type=float, help="standard deviation of each part of a k-space sample; default: measured or "
            "estimated")
    add("--png", metavar="FILE", help="draw the pictures to .png, .pdf or .svg")
    add("--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty(), help="a bar")
    part(new)


def add_trust(new: dict) -> None:
    """The options of the words of `cli_trust`, by name."""
    new["crimes"].add_argument("scan", help="as for recon")
    new["crimes"].add_argument("--phase-axes", type=int, default=1, choices=(1, 2), help="2 for a slice of a 3-D scan, "
                               "whose masks may be points; default: 1")
    part(new["crimes"])
    _method(new["consistency"], image=True, noise=True, seed="the pattern and the noise of --probe")
    _method(new["visibility"], image=False, noise=True, seed="the pattern")
    _method(new["uncertainty"], image=True, noise=True, seed="the pattern, noise, probes and masks")
    _method(new["stability"], image=True, noise=False, seed="the pattern, noise and places")
    new["consistency"].add_argument("--probe", action="store_true", help="measure what noise alone would leave")
    new["visibility"].add_argument("--width", type=float, default=3.0, help="of the structure in pixels; default: 3")
    new["visibility"].add_argument("--grid", type=int, default=16, help="places along the longer side; default: 16")
    new["uncertainty"].add_argument("--by", choices=KINDS, default="replicas", help="default: replicas")
    new["uncertainty"].add_argument("-n", type=int, help="images to make; default: 30 replicas, 4 probes, 8 masks")
    add = new["stability"].add_argument
    add("--sizes", type=numbers, default=[0.5, 1.0, 2.0, 5.0], metavar="P,...", help="percent; default: 0.5,1,2,5")
    add("--tests", type=words, default=list(TESTS), metavar="NAME,...", help=f"default: {','.join(TESTS)}")
    add("--steps", type=int, default=5, help="of the search; default: 5")
    add = new["shift"].add_argument
    add("scans", nargs="+", metavar="scan", help="fully sampled; the first one is home")
    add("--priors", type=words, required=True, metavar="NAME,...", help="methods, as for compare; zero-filled is none")
    add("--tune", choices=METHODS, help="choose strengths at home; default: as they are")
    add("--accels", type=numbers, default=[4.0], metavar="R,...", help="the first one is home; default: 4")
    add("--masks", type=words, default=["random"], metavar="KIND,...", help="default: random")
    add("--noises", type=numbers, default=[0.0], metavar="S,...", help="added, in units of the image's 99th "
        "percentile; default: 0")
    add("--grid", action="store_true", help="all combinations")
    add("--png", metavar="FILE", help="draw the pictures to .png, .pdf or .svg")
    add("--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty(), help="a bar")
    add = new["blinded"].add_argument
    add("images", nargs="+", metavar="image", help="as recon writes them, one a method, named by it")
    add("-o", "--output", required=True, metavar="FOLDER", help="for the readers; the key is written beside it")
    add("--reference", metavar="FILE", help="judged as one more method")
    add("--readers", type=int, default=1, help="default: 1")
    add("--seed", type=int, help="of the orders; default: 0")
    new["unblind"].add_argument("folder", help="that blinded wrote")
    new["unblind"].add_argument("sheets", nargs="*", help="filled; default: those in the folder")
