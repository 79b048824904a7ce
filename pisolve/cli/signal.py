"""`recon --signal`: from a series to maps of T1, T2, T2*, a field or fat."""

from __future__ import annotations

from pisolve.cli.options import given
from pisolve.cli.report import failure, failures, what_ran, what_was_done
from pisolve.cli.say import say, table

OPTIONS = ("times", "along", "one_step", "replicas", "field_strength")  # of --signal alone


def add_signal(group) -> None:
    """The options of maps, for `recon`."""
    add = group.add_argument
    add_times(group, "write maps of it, with units and standard deviations, in the place of an image: .h5 holds all, "
              ".nii(.gz) one each by BIDS' names")
    add("--one-step", action="store_const", const=True, help="maps straight from k-space, by Gauss-Newton; --prior is "
        "left out then, or acts on the maps")
    add("--replicas", type=int, metavar="N", help="reconstructions with further noise, for standard deviations that "
        "know the prior and the coils; default: those of the images' noise")


def add_times(group, text: str) -> None:
    """--signal, with this help, and what says its times."""
    from pisolve._words import SIGNALS
    from pisolve.cli.options import seconds

    add = group.add_argument
    add("--signal", choices=SIGNALS, help=text)
    add("--echo-times", "--inversion-times", "--times", dest="times", type=seconds, metavar="T,...", help="of the "
        "images: 0.01,0.02 in s, or 10,20ms; default: as the scan says")
    add("--along", metavar="AXIS", help="which axis they are along; default: echo, or the only one there is")
    add("--field-strength", type=float, metavar="T", help="for water_fat; default: as the scan says")


def check(a) -> None:
    """Refuse options that need --signal, and those that have no effect on it.

    Raises:
        ValueError: with the option.
    """
    if a.signal is None:
        without_signal(a)
        return
    if a.component:
        raise ValueError("--component is for images, and --signal writes maps: leave it out")
    if a.one_step and a.checkpoint:
        raise ValueError("--checkpoint is for images: leave it or --one-step out")


def without_signal(a) -> None:
    """Refuse what only --signal takes.

    Raises:
        ValueError: with the option.
    """
    if word := next(iter(given(a, OPTIONS)), None):
        flag = {"times": "--echo-times"}.get(word, f"--{word.replace('_', '-')}")
        raise ValueError(f"{flag} is for --signal: say which, such as --signal t2")


def check_output(a) -> None:
    """Refuse an output that could not be written, before the work is done."""
    from pisolve.cli.scans import check_folder
    from pisolve.figure import SUFFIXES
    from pisolve.io import quantity

    check_folder(a.output)
    if not a.output.endswith(SUFFIXES):
        quantity.check(a.output, ("t1", "t2", "t2star", "frequency", "fat_fraction", "inversion", "amplitude"))
    if a.png or a.output.endswith(SUFFIXES):
        from pisolve._check import choice, extra

        extra("matplotlib", "plot")
        if a.png:
            check_folder(a.png)
            choice("the suffix of --png", a.png[a.png.rfind("."):], SUFFIXES)


def run(a, recipe, scan) -> int:
    """Make and write the maps; 1 where the images failed, 3 where some of them did."""
    from pisolve.recipe import quantify

    options = {"times": a.times, "axis": a.along, "replicas": a.replicas or 0, "field_strength": a.field_strength}
    if a.one_step:
        prior = recipe.prior if a.prior else None
        kept = ("sampling", "maps", "whiten", "compress", "device", "each", "off_resonance", "delays", "shot_factors",
                "method", "solver")
        inner = {} if a.max_iter is None else {"max_iter": a.max_iter}
        done = quantify(scan, a.signal, prior, one_step=True, **options, **inner,
                        **{n: getattr(recipe, n) for n in kept})
    else:
        done = quantify(scan, a.signal, recipe, progress=a.progress, checkpoint=a.checkpoint, **options)
    lost = [] if done.reconstruction is None else failures(done.reconstruction, a.numbers)
    if lost and len(lost) == sum(r.status != "empty" for r in done.reconstruction.results):
        say("failed", f"{failure(done.reconstruction)}; {a.output} is not written")
        return 1
    written = done.save(a.output, crop=a.crop or "recon")
    if a.png:
        written += done.maps.save(a.png)
    _tell(a, done, written)
    for text in lost:
        say("failed", text)
    return 3 if lost else 0


def _tell(a, done, written) -> None:
    from pisolve.cli.scans import sampled, shape_of

    times = ", ".join(f"{1e3 * t:g}" for t in done.times)
    how = [("maps by", "one step from k-space")] if done.reconstruction is None else what_ran(done.reconstruction)
    table([("scan", f"{a.scan}, {shape_of(done.scan)}"), ("sampling", sampled(done.scan.encoding)),
           *what_was_done(done.scan), *how, ("signal", f"{done.signal}, {done.clock.replace('_', ' ')} {times} ms"),
           *done.maps.rows(), ("seconds", ", ".join(f"{stage} {t:.2f}" for stage, t in done.seconds.items())),
           ("written", ", ".join(map(str, written)))])
