"""One task: a file in, its image and a record out. Plain values travel, so that nothing of a file is unpickled."""

from __future__ import annotations

import json
import time
import warnings
from functools import lru_cache

import numpy as np

from pisolve import io, metrics
from pisolve.io.sliced import slices
from pisolve.io.words import printable
from pisolve.many import record
from pisolve.recipe import Recipe
from pisolve.recipe.sliced import one_by_one
from pisolve.recipe.sliced import reconstruct as sliced
from pisolve.workers.run import words

METRICS = ("nmse", "psnr", "ssim")


def reconstruct(task: dict) -> dict:
    """Do a task of `files.tasks_of`; its row, whatever happens to the file.

    The image is written under a temporary name and renamed, then the record; both hold the same bits whoever writes
    them, and however often.
    """
    start = time.perf_counter()
    record.forget(task)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            row = _row(task)
        except Exception as error:  # one bad file is a row and not the end
            row = {"status": "error", "error": words(error)}
    texts = [*row.pop("warnings", ()), *(str(w.message) for w in told if issubclass(w.category, UserWarning))]
    texts = [" ".join(printable(t).split()) for t in dict.fromkeys(texts)]
    row = {"file": task["file"], **row, "seconds": round(time.perf_counter() - start, 3), "warnings": "; ".join(texts)}
    if "output" in row:
        record.keep(task, row)
    return row


def _row(task) -> dict:
    done, told = _done(task, _recipe(json.dumps(task["recipe"])))
    bad, row = done.failed, {"ended": done.status, "warnings": told}
    if bad:
        row["error"] = "; ".join(f"{part} {status}" for part, status in bad.items())
    if bad and len(bad) == sum(r.status != "empty" for r in done.results):
        return {"status": "failed", **row}
    done.save(task["target"], crop=task["crop"], component=task["component"])
    told += [f"{part}: its SENSE image stands there" for part in bad]
    return {"status": "partly" if bad else "done", **row, **_metrics(done, told), "output": task["output"]}


def lean(task: dict, recipe: Recipe) -> bool:
    """Whether files need not be read whole by a task, or what is common to all, where they have slices."""
    return not task["select"] and set(task["load"]) <= {"max_bytes"} and one_by_one(recipe)


def _done(task, recipe):
    """(the reconstruction, what is odd about the data)."""
    source = slices(task["path"], **task["load"]) if lean(task, recipe) else None
    if source is not None:
        done = sliced(recipe, source)
        return done, list(done.told)
    scan = io.load(task["path"], **task["load"])
    scan = scan.select(**task["select"]) if task["select"] else scan
    return recipe(scan), list(scan.warnings())


@lru_cache(1)
def _recipe(text: str) -> Recipe:
    """The recipe of all tasks, made once a process: its networks are read once."""
    return Recipe.from_dict(json.loads(text))


def _metrics(done, told: list) -> dict:
    """fastMRI's metrics against the scan's reference, where it has one."""
    if done.scan.reference is None:
        return {}
    try:
        found = metrics.all(done.scan.reference, done.scan.crop(done.like_reference))
    except (ValueError, TypeError) as error:  # the image stands
        told.append(f"no metrics: {error}")
        return {}
    return {name: float(found[name]) for name in METRICS if np.isfinite(found[name])}
