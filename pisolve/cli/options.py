"""Options that several words take, the kinds of their arguments, and the names of those that were given."""

import argparse
import sys

from pisolve.cli.say import say


def given(a, names) -> dict:
    """Those of the arguments `names` that the command line has, by name."""
    return {name: value for name in names if (value := getattr(a, name, None)) is not None}


def flag(name: str) -> str:
    """An argument as it is typed: "max_iter" is --max-iter."""
    return f"--{name.replace('_', '-')}"


def counters(text: str) -> dict:
    """NAME=N,... as a dict."""
    return {name: int(value) for name, value in (one.split("=") for one in text.split(","))}


def slices(text: str):
    """An index, or A:B as a `slice`."""
    parts = [int(p) if p else None for p in text.split(":")]
    if len(parts) > 3 or parts == [None]:
        raise ValueError
    return slice(*parts) if len(parts) > 1 else parts[0]


def selection(text: str) -> dict:
    """NAME=A:B,... as a dict from names of axes to an index or a `slice`."""
    return {name.strip(): slices(value) for name, value in (one.split("=") for one in text.split(","))}


def acceleration(text: str):
    """A number, or AxB as a pair."""
    return tuple(float(n) for n in text.split("x")) if "x" in text else float(text)


def accelerations(text: str) -> list:
    """Accelerations between commas."""
    return [acceleration(one) for one in text.split(",")]


def crop(text: str):
    """Of --crop: "recon" or "none", a size of the image N or NxM; a number up to 1 is of coil maps, as it once was."""
    if text in ("recon", "none"):
        return text
    if "x" in text:
        return tuple(int(n) for n in text.split("x"))
    return int(text) if text.isdigit() and int(text) > 1 else float(text)


class Crop(argparse.Action):
    """--crop, which once was what is --map-crop now."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Take it for what it is."""
        if isinstance(values, float):
            say("note", f"--crop {values:g} of coil maps is called --map-crop now, and --crop is the size of the image")
            namespace.map_crop = values
        else:
            namespace.crop = values


def names(text: str) -> list[str]:
    """Words between commas."""
    return [word.strip() for word in text.split(",")]


def sizes(text: str) -> tuple:
    """Whole numbers between commas, or x."""
    return tuple(int(n) for n in text.replace("x", ",").split(","))


def numbers(text: str) -> list[float]:
    """Numbers between commas."""
    return [float(number) for number in text.split(",")]


def seconds(text: str) -> list[float]:
    """Times between commas, in s; with ms behind one it is in milliseconds, behind the last one alone all of them."""
    parts = [part.strip() for part in text.split(",")]
    milli = [part.endswith("ms") for part in parts]
    milli = [True] * len(parts) if milli[-1] and not any(milli[:-1]) else milli
    return [float(p.removesuffix("ms").removesuffix("s")) * (1e-3 if m else 1) for p, m in zip(parts, milli)]


def delays(text: str):
    """auto, none, or numbers between commas."""
    return text if text in ("auto", "none") else tuple(numbers(text))


def number_or(*words: str):
    """The kind of an argument that is a number or one of these words."""
    def number(text: str):
        if text not in words and "," in text:
            several = "auto chooses among many" if "auto" in words else "run the command once for each"
            raise argparse.ArgumentTypeError(f"{text} are several numbers, and one is needed: {several}")
        return text if text in words else float(text)

    return number


class Old(argparse.Action):
    """An option that is called otherwise now, in `const`: it is read, and said to be old."""

    def __init__(self, option_strings, dest, const, **more):
        super().__init__(option_strings, const.removeprefix("--"), const=const, default=argparse.SUPPRESS,
                         help=argparse.SUPPRESS, **more)

    def __call__(self, parser, namespace, values, option_string=None):
        """Take it, and say so."""
        say("note", f"{option_string} is called {self.const} now")
        setattr(namespace, self.dest, values)


def add_methods(new, default: str = "") -> None:
    """Which methods, by their names; without a `default` some are needed."""
    from pisolve.recipe.named import WORDS

    group = new.add_mutually_exclusive_group(required=not default)
    words = WORDS if default else WORDS[1:]
    group.add_argument("--methods", type=names, metavar="NAME,...", help=f"{', '.join(words)} and shipped networks"
                       + (f"; default: {default}" if default else ""))
    group.add_argument("--priors", type=names, action=Old, const="--methods")


def add_part(new) -> None:
    """Which part of raw data, and what is done to its lines."""
    from pisolve._words import EPI, PARTS

    new.add_argument("--part", type=counters, metavar="NAME=N,...", help="which of raw data, such as repetition=2: "
                     f"{', '.join(PARTS)}; default: all of each, the first encoding, the last measurement")
    new.add_argument("--average", choices=("mean", "keep"), default="mean", help="what becomes of lines that raw data "
                     "has several times; keep: an axis \"average\"; default: mean")
    new.add_argument("--epi", choices=EPI, default=EPI[0], help="of an EPI scan's lines: how the N/2 ghost is found; "
                     "none: it is left; default: by navigators where there are any, else by entropy")


def add_slices(new) -> None:
    """Which slices."""
    new.add_argument("--slices", type=slices, metavar="A:B", help="only these: 3, or 0:5, from 0, without the last")


def add_axes(new) -> None:
    """What the axes of k-space are."""
    new.add_argument("--axes", type=names, metavar="NAME,...", help="of k-space as it stands in the file, such as "
                     "frame,coil,ky,kx or coil,kz,ky,kx; default: as the file says, else (slice,) coil,ky,kx")


def add_each(new) -> None:
    """What is a problem of its own."""
    new.add_argument("--each", type=names, metavar="AXIS,...", help="what is solved by itself: slice,frame every frame "
                     "alone, slice,x a 3-D scan plane by plane; default: slice")


def add_coord(new) -> None:
    """Where the samples lie and which there are, in files of their own."""
    new.add_argument("--coord", metavar="FILE", help="where the samples of an array file, or of raw data "
                     "without trajectories such as Siemens', lie: coord in a .npy, .npz, .h5 or .mat, or BART's "
                     "trajectory, a .cfl beside a .cfl of k-space")
    new.add_argument("--size", type=sizes, metavar="Y,X", help="of the image beside --coord; default: as far as the "
                     "coordinates reach")
    new.add_argument("--mask-file", metavar="FILE", help="which samples of an array file were measured, where another "
                     "file says it: a mask in a .npy, .npz, .h5 or .mat, or BART's pattern")


def add_phase_axis(new) -> None:
    """Which axis the phase encodes are along."""
    new.add_argument("--phase-axis", choices=("ky", "kx"), help="of a 2-D scan the axis of its lines, the other one is "
                     "the readout; default: as the file or the mask says, else ky")


def add_select(new) -> None:
    """Which slices, frames, ... and what the axes are."""
    add_slices(new)
    new.add_argument("--select", type=selection, metavar="NAME=A:B,...", help="the same for any axis that is no coils' "
                     "and not encoded: slice=3:5,frame=0:8")
    add_axes(new)


def add_scan(new, output: str) -> None:
    """Which scan, and what is made of it: the `output`."""
    new.add_argument("scan", help="fastMRI's or ISMRMRD's .h5, .mrd, Siemens' .dat, .npy, .npz or .zarr with kspace, "
                     ".cfl, .mat")
    new.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    add_select(new)
    add_coord(new)
    add_phase_axis(new)
    add_part(new)


def add_mask(new) -> None:
    """Which pattern undersamples."""
    from pisolve.prepare import SAMPLINGS

    new.add_argument("--mask", choices=SAMPLINGS, help="pattern for --accel; default: random, with --spokes radial")
    new.add_argument("--spokes", type=int, metavar="N", help="of a simulated trajectory, or its interleaves, in the "
                     "place of --accel")
    add_vary(new)


def add_vary(new) -> None:
    """What has a pattern of its own."""
    new.add_argument("--vary", type=names, metavar="AXIS,...", help="a pattern of its own for each of these, such as "
                     "frame; default: one for all, vista: frame")


def add_no_sampling(add) -> None:
    """Whether the recipe's own pattern counts, by an `add_argument`."""
    add("--no-sampling", action="store_const", const=True, help="of --recipe all but its undersampling, for a scan "
        "that was measured undersampled; --accel 1 is the same")


def add_png(new, what: str = "the pictures") -> None:
    """Where to draw."""
    new.add_argument("--png", metavar="FILE", help=f"draw {what} to .png, .pdf or .svg")


def add_progress(new, what: str = "a bar") -> None:
    """Whether to show how far it is."""
    new.add_argument("--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty(), help=what)


def add_method(new, *, image: bool, noise: bool, seed: str) -> None:
    """Which scan, by which recipe where an `image` is made; `seed` says what of, besides the pattern."""
    from pisolve.recipe.named import DEFAULTS, WORDS
    from pisolve.tuning import CRITERIA

    new.add_argument("scan", help="as for recon")
    add = new.add_argument
    if image:
        which = new.add_mutually_exclusive_group()
        which.add_argument("--prior", metavar="NAME", help=f"as for recon: {', '.join(DEFAULTS)}; default: wavelet")
        others = (w for w in WORDS[1:] if w not in DEFAULTS)
        which.add_argument("--method", metavar="NAME", help=f"by its name in compare: {', '.join(others)} or a shipped "
                           "network")
        add("--tune", choices=CRITERIA, help="choose its strength first; default: as the recipe says, else as it is")
    add("--recipe", metavar="FILE", help="do what this .json or this .h5 written by recon says")
    add("--accel", type=acceleration, metavar="R", help="undersample first; 2x2: along kz and ky, equispaced")
    add_mask(new)
    add_no_sampling(add)
    add("--seed", type=int, help=f"of {seed}; default: 0")
    add_select(new)
    add_coord(new)
    add_phase_axis(new)
    if noise:
        add("--noise", type=float, help="standard deviation of each part of a k-space sample; default: measured or "
            "estimated")
    add_png(new)
    add_progress(new)
    add_part(new)
