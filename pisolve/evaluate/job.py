"""The jobs of a plan, and the files in which what they found is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pisolve import io
from pisolve.evaluate.folder import read_json
from pisolve.evaluate.notes import predicts
from pisolve.evaluate.plan import Plan
from pisolve.prepare import EACH
from pisolve.recipe import Recipe
from pisolve.tuning.choose import FOLDS
from pisolve.tuning.strength import family


def about(path) -> dict:
    """What is noted in a file beside its arrays."""
    with np.load(path) as file:
        return json.loads(str(file["about"]))


def prepared(folder: Path, index: int) -> io.Scan:
    """The scan that all methods get on a setting."""
    with np.load(folder / f"{index:03d}" / "prepared.npz") as file:
        parts = {n: file[n] for n in file.files}
    axes = json.loads(str(parts.pop("axes"))) if "axes" in parts else None  # as it was before there were axes
    if "size" in parts:
        parts["size"] = tuple(parts["size"].tolist())
    return io.Scan(parts.pop("kspace"), meta=json.loads(str(parts.pop("meta"))), axes=axes, **parts)


@dataclass(frozen=True)
class Job:
    """One method on one setting: picklable, for other processes.

    Attributes:
        folder: where everything is kept.
        setting: index of the setting.
        method: index of the method.
        recipe: what to do, None for the zero-filled image.
        tune, trials, folds: how its strength is chosen; tune None: as it is.
    """

    folder: Path
    setting: int
    method: int
    recipe: Recipe | None
    tune: str | None
    trials: int
    folds: int = FOLDS

    def file(self, what: str) -> Path:
        """Where something of this job is kept."""
        return self.folder / f"{self.setting:03d}" / f"{self.method:02d}-{what}"

    @property
    def each(self) -> tuple[str, ...]:
        """The axes along which the scan is taken apart."""
        return EACH if self.recipe is None else self.recipe.each

    def count(self, scan: io.Scan) -> int:
        """How many parts there are; 1 where the scan cannot be taken apart so, which the job then says."""
        try:
            return len(scan.labels(self.each))
        except ValueError:
            return 1

    def missing(self, count: int) -> list[int]:
        """The slices (parts) that are still to be done."""
        return [z for z in range(count) if not self.slice_file(z).exists()]

    def unfinished(self, count: int) -> bool:
        """Whether anything is left to do; what failed is tried again."""
        if self.missing(count) or self.file("failed.json").exists():
            return True
        return predicts(self.recipe) and not self.file("holdout.json").exists() and not self.truth()

    def truth(self) -> bool:
        """Whether the setting has a reference."""
        with np.load(self.folder / f"{self.setting:03d}" / "setting.npz") as file:
            return "reference" in file

    def noise(self) -> float | None:
        """The noise level of the setting, None where its noise samples say it."""
        found = about(self.folder / f"{self.setting:03d}" / "setting.npz")
        return None if found["samples"] else found["noise"]

    def slice_file(self, z: int) -> Path:
        """Where the result of one slice (part) is."""
        return self.file(f"{z:03d}.npz")


def jobs_of(plan: Plan, folder: Path) -> list[Job]:
    """Every method on every setting."""
    return [Job(folder, k, m, recipe, plan.tune if plan.tuned(name) else None, plan.trials, plan.folds)
            for k in range(len(plan.settings())) for m, (name, recipe) in enumerate(plan.methods.items())]


def chosen(job: Job) -> Recipe:
    """The recipe at the strength that was chosen for it."""
    if job.tune is None:
        return job.recipe
    found = read_json(job.file("tuning.json"))
    return replace(job.recipe, prior=family(job.recipe.prior).make(found["strength"]))
