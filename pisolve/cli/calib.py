"""The word `calib`: coil maps of a scan, for `recon --mps`."""

import time
from argparse import ArgumentTypeError

from pisolve.cli.options import add_scan, number_or
from pisolve.cli.parser import add_word
from pisolve.cli.say import table

FILES = (".h5", ".hdf5", ".npy", ".npz", ".cfl")
OPTIONS = (  # the fields of the classes of maps, with kind and meaning
    ("calib_width", {"type": int}, "samples of the centre to use"),
    ("kernel_width", {"type": int}, "samples of a kernel"),
    ("thresh", {"type": number_or("auto")}, "of singular values (or auto), else of the image's magnitude"),
    ("window", {"type": int}, "pixels that are averaged"),
    ("lam", {"type": float}, "strength of the penalties"),
    ("iterations", {"type": int}, "of the maps"),
    ("inner", {"type": int}, "steps of each image"),
    ("crop", {"type": float}, "maps are 0 where the eigenvalue is below"),
    ("sets", {"type": int}, "sets of maps"),
    ("soft_crop", {"action": "store_const", "const": True}, "fade the maps out instead"))


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "estimate coil maps", _options)


def _options(new) -> None:
    from pisolve.cli.maps import MAPS
    from pisolve.cli.options import Old, flag

    add_scan(new, "maps: .npy, .npz, .h5 or .cfl")
    new.add_argument("--maps", type=_kind, choices=MAPS, default="espirit", help="default: espirit")
    new.add_argument("--method", choices=MAPS, action=Old, const="--maps")
    for name, kind, what in OPTIONS:
        new.add_argument(flag(name), help=f"{what}; default: {_defaults(name, MAPS)}", **kind)


def _kind(text: str) -> str:
    """What kind of maps; --maps was the number of sets once."""
    if text.isdigit():
        raise ArgumentTypeError(f"the number of sets is --sets {text} now")
    return text


def _defaults(name: str, kinds: dict) -> str:
    """The default of an option, for each kind of maps that has it."""
    known = {word: getattr(maps(), name) for word, maps in kinds.items() if name in maps.__dataclass_fields__}
    return ", ".join(f"{word} {'what fits' if value is None else 'no' if value is False else f'{value:g}'}"
                     for word, value in known.items())


def run(a) -> None:
    """Estimate coil maps."""
    from pisolve.cli.maps import estimated, make_maps, save_maps
    from pisolve.cli.scans import check_output, load, shape_of

    check_output(a.output, FILES, a.scan)
    maps = make_maps(a)
    scan = load(a)
    start = time.perf_counter()
    mps = estimated(maps, scan)
    seconds = time.perf_counter() - start
    axes = scan._with(mps=mps).named()["mps"][1]
    save_maps(a.output, mps, axes)
    covered = (mps != 0).any(axis=axes.index("coil")).mean()
    table([("scan", f"{a.scan}, {shape_of(scan)}"),
           ("maps", f"{mps.shape}, not zero in {covered:.0%} of pixels"),
           ("seconds", f"{seconds:.2f}"), ("written", a.output)])
