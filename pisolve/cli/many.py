"""`recon` of a folder, or of several scans: what of its options goes there, and what it says."""

from __future__ import annotations

import os

from pisolve.cli.options import given
from pisolve.cli.say import say, table, warn

OPTIONS = ("suffix", "workers", "cluster", "retries")  # for many alone, beside --resume
ONE = {"mps": "--mps", "checkpoint": "--checkpoint", "png": "--png", "field_map": "--field-map",
       "phase_axis": "--phase-axis", "signal": "--signal"}  # for one scan alone


def add_many(new) -> None:
    """The options of many scans at once."""
    from pisolve.io.saving import IMAGES

    new.add_argument("more", nargs="*", metavar="scan", help="further scans or folders: then all of them are done")
    add = new.add_argument_group("many scans", "where scan is a folder, or there are several; -o is a folder then, "
                                 "with images, records of them and summary.csv").add_argument
    add("--suffix", choices=IMAGES, help="of the images; default: .h5")
    add("--workers", type=int, metavar="N", help="processes beside each other, which share the cores; default: one a "
        "core")
    add("--cluster", metavar="ADDRESS", help="a Dask cluster instead: tcp://host:8786, tls://..., "
        "local:4, or slurm:cluster.toml")
    add("--resume", action="store_true", help="go on in a folder that an earlier run began; what is finished stays")
    add("--retries", type=int, metavar="N", help="how often a scan whose worker was killed is begun again; default: 2")


def asked(a) -> bool:
    """Whether a command is about many scans.

    Raises:
        ValueError: about one, with an option for many, or the other way round.
    """
    from pisolve.io.files import is_scan_folder

    many = bool(a.more) or (os.path.isdir(a.scan) and not is_scan_folder(a.scan))
    if many:
        for name, word in ONE.items():
            if getattr(a, name, None) is not None:
                raise ValueError(f"{word} is for one scan, and this is a folder, or several: leave it out")
    elif options := [f"--{n}" for n in given(a, OPTIONS)] + ["--resume"] * a.resume:
        raise ValueError(f"{options[0]} is for a folder or several scans, and {a.scan} is one: leave it out")
    return many


def run(a, recipe) -> int:
    """Reconstruct all of them by the recipe; 3 where some failed, 1 where all did, 2 where none could be read."""
    from pisolve.many import recon_many
    from pisolve.many.recon import SUMMARY
    from pisolve.many.task import METRICS

    load = given(a, ("part", "axes", "average", "epi")) | ({} if a.noise_file is None else {"noise": a.noise_file})
    select = dict(a.select or {}) | ({} if a.slices is None else {"slice": a.slices})
    done = recon_many([a.scan, *a.more], recipe, out=a.output, client=a.cluster, resume=a.resume, load=load,
                      select=select, component=a.component, crop=a.crop or "recon", progress=a.progress,
                      **given(a, ("workers", "retries", "suffix")))
    for row in done.rows:
        if row.get("warnings"):
            warn([f"{row['file']}: {row['warnings']}"])
    for file, why in done.failed.items():
        say("failed", f"{file}: {why}")
    kinds = [row["status"] for row in done.rows]
    before = f", {done.done_before} of them by an earlier run" if done.done_before else ""
    good = [row for row in done.rows if not set(METRICS) - set(row)]
    mean = [("metrics", ", ".join(f"{n.upper()} {sum(r[n] for r in good) / len(good):.4g}" for n in METRICS)
             + f" (mean of {len(good)} scans with a reference)")] if good else []
    table([("scans", f"{kinds.count('done')} of {len(kinds)} done{before}"), *mean,
           ("seconds", f"{done.seconds:.2f}"), ("written", f"{done.out}, {done.out / SUMMARY}")])
    return _code(kinds)


def _code(kinds: list[str]) -> int:
    if set(kinds) == {"done"}:
        return 0
    if {"done", "partly"} & set(kinds):
        return 3
    return 2 if set(kinds) == {"error"} else 1
