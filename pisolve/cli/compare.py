"""The word `compare`: methods on the same scans, on equal terms."""

from pisolve.cli.options import (
    accelerations,
    add_each,
    add_methods,
    add_progress,
    add_select,
    add_vary,
    flag,
    given,
    names,
)
from pisolve.cli.parser import add_word
from pisolve.cli.say import say, show, table, warn

REPORT = "report.html"


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "compare methods on the same scans, on equal terms; write a report", _options)


def _options(new) -> None:
    from pisolve.cli.signal import add_times
    from pisolve.prepare import SAMPLINGS
    from pisolve.recipe.named import ANALYSES
    from pisolve.tuning import CRITERIA, TRIALS

    add = new.add_argument
    add("scans", nargs="*", metavar="scan", help="as for recon; several are compared together; or .h5 of maps, as "
        "recon --signal writes them: then these are compared")
    add("-o", "--output", required=True, metavar="FOLDER", help="for report.html, tables and what is done "
        "so far: a comparison that was stopped goes on there")
    add_methods(new, "zero-filled,sense,wavelet,tv,pnp")
    add("--accel", type=accelerations, metavar="R,...", help="undersample first, in 3-D also 2x2; default: as "
        "measured, without a reference")
    add("--mask", type=names, metavar="KIND,...", help=f"patterns for --accel: {', '.join(SAMPLINGS)}; default: "
        "random, with --spokes radial")
    add("--spokes", type=int, metavar="N", help="of a simulated trajectory, or its interleaves, instead of "
        "--accel")
    add_vary(new)
    add("--seeds", type=int, metavar="N", help="patterns of each kind and acceleration; default: 1")
    add("--center-fraction", type=float, metavar="F", help="share of lines in the full centre; default: fastMRI's")
    add("--tune", choices=(*CRITERIA, "none"), help="how strengths are chosen, with as many trials for each prior; "
        "default: holdout (reference: an oracle)")
    add("--trials", type=int, metavar="N", help=f"strengths that are tried for each prior; default: {TRIALS}")
    add("--minutes", type=float, metavar="N", help="the time it may take, instead of --trials: it decides trials and "
        "folds, the same for all, down to 5 and 1")
    add_select(new)
    add_each(new)
    add("--analyses", type=names, metavar="NAME,...", default=[], help=f"further sections of the report: "
        f"{', '.join(ANALYSES)}")
    add("--lpips", type=names, metavar="ALEXNET,WEIGHTS", help="LPIPS beside the other metrics, by files of yours: "
        "torchvision's AlexNet and LPIPS's alex.pth")
    maps = new.add_argument_group("maps of quantities")
    add_times(maps, "compare maps of it as well, made of the images of each method, by bias and precision")
    maps.add_argument("--regions", metavar="FILE", help="an image of labels, 0 for what belongs to no region: bias and "
                      "precision in each; default: everywhere")
    maps.add_argument("--true-maps", metavar="FILE", help="an .h5 of maps that are right; default: those of the "
                      "reference images, of files of maps none")
    add("--workers", type=int, default=1, metavar="N", help="processes beside each other; default: 1")
    add("--cluster", metavar="ADDRESS", help="a Dask cluster instead, as for recon, which "
        "sees FOLDER under the same path")
    add("--recipe", metavar="FILE", help="do again what this comparison.json says")
    add_progress(new, "bars, on a terminal")


def run(a) -> int:
    """Compare methods on the same scans, on equal terms; 1 where one of them failed."""
    from pathlib import Path

    from pisolve._check import extra
    from pisolve.evaluate.outcome import FAILED

    extra("jinja2", "report")  # before the work, not after it
    folder = Path(a.output)
    if folder.is_file():
        raise FileExistsError(f"{folder} is a file: give the name of a folder")
    if _maps_alone(a):
        return _compare_maps(a, folder)
    compare = _asked(a)
    folder.mkdir(parents=True, exist_ok=True)
    done = compare(folder=folder, report=folder / REPORT, analyses=a.analyses, lpips=a.lpips, signal=_signal(a),
                   workers=a.workers, client=a.cluster, progress=a.progress)
    warn(dict.fromkeys([*done.warnings, *(f"{s.label}: {w}" for s in done.settings for w in s.warnings)]))
    show(done.markdown())
    files = (REPORT, "comparison.json", "summary.md", "records.csv", "slices.csv")
    table([("written", ", ".join(str(folder / name) for name in files))])
    lost = [f"{name} on {done.settings[k].label} ({o.status})" for (k, name), o in done.outcomes.items()
            if o.status in FAILED]
    if lost:
        say("failed", "; ".join(lost))
    return 1 if lost else 0


def _asked(a):
    """The comparison that the arguments describe, to be called: one of --recipe again, or a new one."""
    from functools import partial

    from pisolve.evaluate import compare, rerun

    asked = given(a, ("methods", "accel", "mask", "vary", "spokes", "seeds", "center_fraction", "tune", "trials",
                      "minutes", "slices", "select", "axes", "each"))
    if a.recipe:
        if a.scans or asked:
            raise ValueError(f"{next(iter(asked), 'scan')} beside --recipe: that file says it all")
        return partial(rerun, a.recipe)
    if not a.scans:
        raise ValueError("scan is needed: a file, or several of them")
    if a.tune == "none":
        for word in {"trials", "minutes"} & asked.keys():
            raise ValueError(f"--{word} has no effect with --tune none: leave one of them out")
        asked["tune"] = None
    methods = [asked.pop("methods")] if "methods" in asked else []
    return partial(compare, a.scans, *methods, **asked)


def _signal(a):
    """What --signal and its options say, None without it."""
    from pisolve.cli.signal import without_signal
    from pisolve.evaluate import MapsOf

    if a.signal is None:
        without_signal(a)
        if word := next(iter(given(a, ("regions", "true_maps"))), None):
            raise ValueError(f"--{word.replace('_', '-')} is for maps: give --signal, or files of maps")
        return None
    return MapsOf(a.signal, a.times, a.along, regions=a.regions, truth=a.true_maps, field_strength=a.field_strength)


def _maps_alone(a) -> bool:
    """Whether all files hold maps; some of them beside scans are refused."""
    from pisolve.io.quantity import holds_maps

    kinds = [holds_maps(path) for path in a.scans]
    if any(kinds) and not all(kinds):
        raise ValueError(f"{a.scans[kinds.index(True)]} holds maps, and {a.scans[kinds.index(False)]} does not: "
                         "compare scans, or files of maps")
    return bool(kinds) and all(kinds)


def _compare_maps(a, folder) -> int:
    """Compare files of maps with each other, or with those that are right."""
    from pisolve.evaluate import compare_maps

    taken = ("methods", "accel", "mask", "vary", "spokes", "seeds", "center_fraction", "tune", "trials", "slices",
             "select", "axes", "each", "cluster", "recipe", "signal", "times", "along", "field_strength")
    if word := next(iter(given(a, taken)), "analyses" if a.analyses else None):
        raise ValueError(f"{flag(word)} is for scans, and these are files of maps: leave it out")
    done = compare_maps(a.scans, a.true_maps, regions=a.regions)
    written = done.save(folder)
    warn(done.warnings)
    show(done)
    table([("written", ", ".join(map(str, written)))])
    return 0
