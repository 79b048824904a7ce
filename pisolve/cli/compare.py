"""The word `compare` of the command line."""

from __future__ import annotations

from pathlib import Path

from pisolve._check import extra
from pisolve.cli.report import say, table

SUFFIX = "report.html"


def compare(a) -> int:
    """Compare methods on the same scans, on equal terms."""
    from pisolve.evaluate import compare as run
    from pisolve.evaluate import rerun
    from pisolve.evaluate.outcome import FAILED

    extra("jinja2", "report")  # before the work, not after it
    folder = Path(a.output)
    if folder.is_file():
        raise FileExistsError(f"{folder} is a file: give the name of a folder")
    options = {"folder": folder, "report": folder / SUFFIX, "analyses": a.analyses, "workers": a.workers,
               "progress": a.progress}
    if a.recipe:
        given = [n for n in ("priors", "accel", "mask", "seeds", "center_fraction", "tune", "trials", "slices")
                 if getattr(a, n) is not None]
        if a.scans or given:
            raise ValueError(f"{given[0] if given else 'scan'} beside --recipe: that file says it all")
        folder.mkdir(parents=True, exist_ok=True)
        done = rerun(a.recipe, **options)
    else:
        if not a.scans:
            raise ValueError("scan is needed: a file, or several of them")
        asked = {n: getattr(a, n) for n in ("accel", "mask", "seeds", "center_fraction", "trials", "slices")
                 if getattr(a, n) is not None}
        tune = "holdout" if a.tune is None else None if a.tune == "none" else a.tune
        if tune is None and a.trials is not None:
            raise ValueError("--trials has no effect with --tune none: leave one of them out")
        folder.mkdir(parents=True, exist_ok=True)
        done = run(a.scans, *([a.priors] if a.priors else []), tune=tune, **asked, **options)
    for text in dict.fromkeys([*done.warnings, *(f"{s.label}: {w}" for s in done.settings for w in s.warnings)]):
        say("warning", text)
    print(done.markdown())
    table([("written", ", ".join(str(folder / n) for n in (SUFFIX, "comparison.json", "summary.md", "records.csv",
                                                           "slices.csv")))])
    lost = [f"{name} on {done.settings[k].label} ({o.status})" for (k, name), o in done.outcomes.items()
            if o.status in FAILED]
    if lost:
        say("failed", "; ".join(lost))
    return 1 if lost else 0

