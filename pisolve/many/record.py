"""What is finished: a sealed record beside the images, for each file."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from pisolve.io import cfl, seal
from pisolve.io.saving import sidecar

FOLDER = "records"
STAMP = "recipe.json"


def written(target) -> list[Path]:
    """The files of an image: a pair of BART's, the description beside a NIfTI, or it alone."""
    target = Path(target)
    if target.suffix == ".cfl":
        return [Path(p) for p in cfl.pair(target)]
    return [target, sidecar(target)] if target.name.endswith((".nii", ".nii.gz")) else [target]


def keep(task: dict, row: dict) -> None:
    """Record that a task is done, with the digests of what it has written and its file's size and time."""
    digests = {p.name: _digest(p) for p in written(task["target"])}
    seal.write_json(task["record"], {"row": row, "source": _source(task["path"]), "written": digests}, _of(task))


def finished(task: dict) -> dict | None:
    """The row of a task that is done: its image stands as it was written, of the same file by the same recipe."""
    found = _read(task)
    if found is None or found.get("source") != _source(task["path"]):
        return None
    files = written(task["target"])
    try:
        same = {p.name: _digest(p) for p in files} == found["written"]
    except OSError:
        return None
    return found["row"] if same else None


def forget(task: dict) -> None:
    """Remove what a task has written before of another state of its file, so that no old image stands for a new one."""
    if _read(task) is not None:
        for path in (*written(task["target"]), Path(task["record"])):
            with suppress(OSError):
                path.unlink()


def stamp(folder: Path, digest: str, recipe: dict) -> None:
    """Make a folder that of a recipe.

    Raises:
        ValueError: it is that of another one.
    """
    path = folder / FOLDER / STAMP
    if path.exists() and _stamped(path) != digest:
        raise ValueError(f"{folder} holds images by another recipe or with other options: give a new folder, or what "
                         "it was begun with")
    path.parent.mkdir(exist_ok=True)
    seal.write_json(path, {"digest": digest, "recipe": recipe})


def digest_of(values: dict) -> str:
    """The digest of what decides on images: recipe, networks' weights, options."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=repr).encode()).hexdigest()


def _stamped(path: Path) -> str | None:
    try:
        return seal.read_json(path).get("digest")
    except seal.Broken:
        return None


def _read(task) -> dict | None:
    try:
        return seal.read_json(task["record"], _of(task), needed=True)
    except (OSError, seal.Broken):
        return None


def _of(task) -> str:
    return f"{task['digest']} {task['output']}"


def _source(path) -> list:
    """A file's size and when it was written, which tell a changed one; of a folder the sum and the latest."""
    path = Path(path)
    try:
        found = [p.stat() for p in (path.rglob("*") if path.is_dir() else [path])]
    except OSError:
        return []
    return [sum(f.st_size for f in found), max((f.st_mtime_ns for f in found), default=0)]


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
