"""The word `compare`: methods on the same scans, on equal terms."""

from pisolve.cli.options import accelerations, add_each, add_methods, add_progress, add_select, add_vary, given, names
from pisolve.cli.parser import add_word
from pisolve.cli.say import say, show, table, warn

REPORT = "report.html"


def add(words) -> None:
    """The word, for the parser's list."""
    add_word(words, run, "compare methods on the same scans, on equal terms; write a report", _options)


def _options(new) -> None:
    from pisolve.prepare import SAMPLINGS
    from pisolve.recipe.named import ANALYSES
    from pisolve.tuning import CRITERIA, TRIALS

    add = new.add_argument
    add("scans", nargs="*", metavar="scan", help="as for recon; several are compared together")
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
    compare = _asked(a)
    folder.mkdir(parents=True, exist_ok=True)
    done = compare(folder=folder, report=folder / REPORT, analyses=a.analyses, lpips=a.lpips, workers=a.workers,
                   client=a.cluster, progress=a.progress)
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
