"""`recon_many`: a folder of scans by one recipe."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pisolve import _check, backend
from pisolve.io import zarr
from pisolve.io.atomic import atomic, sweep
from pisolve.io.component import PARTS
from pisolve.io.held import held
from pisolve.io.saving import IMAGES
from pisolve.io.words import csv_text
from pisolve.many import files, record
from pisolve.many.task import lean, reconstruct
from pisolve.recipe import Recipe
from pisolve.recipe.checkpoint import weights_digest
from pisolve.recipe.device import networks
from pisolve.recipe.order import as_recipe
from pisolve.workers.pools import share
from pisolve.workers.run import run
from pisolve.workers.spread import opened

SUMMARY = "summary.csv"
COLUMNS = ("file", "status", "ended", "seconds", "nmse", "psnr", "ssim", "output", "error", "warnings")
_EVERY = 10.0  # seconds between two versions of the table while a run lasts
_LOAD = ("part", "axes", "max_bytes", "noise", "average", "epi")  # arguments of io.load for all files


@dataclass(frozen=True)
class Many:
    """What `recon_many` returns.

    Attributes:
        rows: a dict for each file, in the order given: file, status ("done"; "partly", where some slices failed and
            show their SENSE image; "failed", diverged or not finite, and "error", both with nothing written; "lost",
            where its worker was killed again and again; "not begun"), ended (the recipe's status), seconds, nmse, psnr
            and ssim where the scan has a reference, output, error, warnings.
        out: the folder of the images and of summary.csv.
        seconds: wall time of this run.
        done_before: how many files an earlier run had finished.
    """

    rows: list[Any]
    out: Path
    seconds: float
    done_before: int = 0

    @property
    def ok(self) -> bool:
        """True where every file is done, with all its parts."""
        return not self.failed

    @property
    def failed(self) -> dict[str, str]:
        """{file: status and why} of those that are not done."""
        return {r["file"]: ": ".join(filter(None, (r["status"], r.get("error")))) for r in self.rows
                if r["status"] != "done"}

    def __repr__(self) -> str:
        return f"Many({len(self.rows) - len(self.failed)} of {len(self.rows)} done, {str(self.out)!r})"


def recon_many(paths: Any, recipe: Any = None, *, out: Any, client: Any = None, workers: int | None = None,
               resume: bool = False, retries: int = 2, suffix: str = ".h5", crop: Any = "recon",
               component: str | None = None, load: dict[str, Any] | None = None, select: dict[str, Any] | None = None,
               progress: bool = False) -> Many:
    """Reconstruct many files by one recipe, each by itself, on all cores of this machine or on a cluster.

    An image has the bits that `pi.recon` of its file alone gives, on however many workers, in whatever order they end.
    Each is written under a temporary name and renamed, with a sealed record of it in `records`; `resume` goes on and
    does nothing twice: a file is finished where its image stands as it was written, and its size and time are those of
    then. A file that cannot be reconstructed is a row of the table, `summary.csv`, and not the end. See docs/scale.md.

    Args:
        paths: a folder (all scans in it and below it), a file, or a list of them.
        recipe: a `Recipe`, a prior, a result, or the path of a recipe; None: wavelets. It travels as plain values.
        out: the folder for images, records and summary.csv, which is made; one run at a time holds it.
        client: None: processes of this machine. A `distributed.Client`, "tcp://host:8786" of a Dask scheduler,
            "local:4" for a Dask cluster of 4 processes here, "slurm:cluster.toml" for workers that SLURM starts (pbs,
            sge, lsf, ..., too), or an executor of `concurrent.futures`.
        workers: how many processes; each has an equal share of the cores as its threads. None: one a core.
        resume: go on in a folder that an earlier run began, with the same recipe and options.
        retries: how often a file whose worker was lost (killed, out of memory) is begun again.
        suffix: of the images: ".h5" (with the recipe), ".npy", ".cfl", ".mat", ".nii", ".nii.gz", ".dcm", ".mrd",
            ".zarr.zip".
        crop, component: as for `Reconstruction.save`.
        load: arguments of `io.load` for all files: part, axes, max_bytes, noise, average, epi.
        select: which slices, frames, ... of each, as for `Scan.select`: {"slice": slice(0, 5)}.
        progress: a bar over all files, with the time left.

    Returns:
        `Many`: rows and what failed.

    Raises:
        TypeError, ValueError: arguments that are none; a folder that an earlier run began, without `resume`, or with
            another recipe; a recipe that cannot be written down, see `Recipe.to_dict`.
        BlockingIOError: another run works in `out`; it names the process.
        ImportError: a cluster is asked for, and `distributed` is missing (the extra `cluster`), for a
            queue `dask_jobqueue` (the extra `queue`).
        KeyboardInterrupt: Ctrl-C or SIGTERM; workers of this run end at once, what is finished stays.

    Example:
        done = pi.recon_many("scans", 2e-3 * pi.TV(), out="images", resume=True)
        print(done.failed)
    """
    start = time.perf_counter()
    retries = _check.integer("retries", retries, low=0)
    _check.choice("suffix", suffix, tuple(s for s in IMAGES if s != zarr.FOLDER))  # a record is of files
    if component is not None:
        _check.choice("component", component, tuple(PARTS))
    recipe, out = _recipe(recipe), _folder(out)
    common = {"recipe": recipe.to_dict(), "load": _loading(load), "select": dict(select or {}), "crop": crop,
              "component": component}
    plain = {k: v for k, v in common["recipe"].items() if k not in ("pisolve", "device")}
    common["digest"] = record.digest_of(
        {**common, "recipe": plain, "weights": weights_digest(networks(recipe)), "suffix": suffix})
    found = files.found(paths, out)
    threads = share(workers, len(found)) if client is None else backend.threads()
    tasks = files.tasks_of(found, out, suffix, common, threads if lean(common, recipe) else None)
    out.mkdir(parents=True, exist_ok=True)
    with held(out):
        if (out / record.FOLDER / record.STAMP).exists() and not resume:
            raise ValueError(f"{out} holds what an earlier run began: go on with resume (--resume), or give a new "
                             "folder")
        record.stamp(out, common["digest"], common["recipe"])
        for task in tasks:
            for path in (task["target"], task["record"]):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
        rows = {t["file"]: row for t in tasks if resume and (row := record.finished(t)) is not None}
        before, left = len(rows), [t for t in tasks if t["file"] not in rows]
        with _summary(out, tasks, rows) as told, opened(client, workers, len(left)) as pool:
            _all(left, pool, retries, progress, told)
    return Many(_ordered(tasks, rows), out, time.perf_counter() - start, before)


def _all(left, pool, retries, progress, told) -> None:
    """Run what is left, with a bar whose time left goes by the sizes of files."""
    from tqdm import tqdm

    total = sum(t["bytes"] for t in left)
    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    with tqdm(total=total, desc=f"recon 0/{len(left)}", bar_format=form, disable=not progress) as bar:
        for count, (task, row) in enumerate(run(left, pool, retries, reconstruct), 1):
            told(task, row)
            bar.set_description_str(f"recon {count}/{len(left)}", refresh=False)
            bar.update(task["bytes"])


@contextmanager
def _summary(out: Path, tasks, rows: dict) -> Iterator:
    """`told(task, row)` keeps a row; the table is written now and then, and at the end however that comes."""
    last = time.monotonic()

    def told(task, row):
        nonlocal last
        rows[task["file"]] = row
        if time.monotonic() - last > _EVERY:
            _write(out, tasks, rows)
            last = time.monotonic()

    try:
        yield told
    finally:
        for folder in {Path(t["target"]).parent for t in tasks} | {out / record.FOLDER}:
            sweep(folder)  # what killed workers left
        _write(out, tasks, rows)


def _write(out: Path, tasks, rows: dict) -> None:
    with atomic(out / SUMMARY) as temporary:
        temporary.write_text(csv_text([{c: row.get(c, "") for c in COLUMNS} for row in _ordered(tasks, rows)]),
                             encoding="utf-8", errors="backslashreplace")


def _ordered(tasks, rows: dict) -> list[dict]:
    return [rows.get(t["file"], {"file": t["file"], "status": "not begun"}) for t in tasks]


def _recipe(recipe) -> Recipe:
    if isinstance(recipe, str | os.PathLike):
        return Recipe.load(recipe)
    recipe = Recipe() if recipe is None else as_recipe(recipe)
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe, a prior, a result or a path, got {_check.brief(recipe)}")
    return recipe


def _loading(load) -> dict:
    load = dict(load or {})
    for name in load:
        _check.choice("load", name, _LOAD)
    noise = load.get("noise")
    return load | ({"noise": os.path.abspath(noise)} if isinstance(noise, str | os.PathLike) else {})


def _folder(out) -> Path:
    if not isinstance(out, str | os.PathLike):
        raise TypeError(f"out must be the path of a folder, got {_check.brief(out)}")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: give the name of a folder")
    return out
