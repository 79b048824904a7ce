"""The folder of a comparison: of one plan, held by one run, and each file in it sealed."""

from __future__ import annotations

import contextlib
import json
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pisolve import _check, io
from pisolve.io import seal
from pisolve.io.failure import telling
from pisolve.io.held import held

STAMP = "plan.sha256"


@contextlib.contextmanager
def parts_of(folder, plan) -> Iterator[Path]:
    """The folder for the parts of a plan, held by this run; a temporary one where none is asked for.

    Raises:
        BlockingIOError: another run works there; it names the process.
        ValueError: it is of another plan.

    Warns:
        UserWarning: a file there is damaged; it is removed, so that it is made again.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="pisolve-") as name:
            yield Path(name)
        return
    work = Path(folder) / "parts"
    work.mkdir(parents=True, exist_ok=True)
    with held(folder):
        stamp, now = work / STAMP, plan.fingerprint
        if stamp.exists() and stamp.read_text(errors="replace") != now:
            raise ValueError(f"{folder} holds another comparison, of other scans, methods or settings: give a new "
                             "folder")
        with io.atomic(stamp) as temporary:
            temporary.write_text(now)
        for path in sorted(work.glob("*/*.*")):
            try:
                _check_one(path)
            except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
                warnings.warn(f"{error if str(path) in str(error) else f'{path} is damaged'}; it is made again",
                              stacklevel=_check.outside())
                path.unlink()
        yield work


def _check_one(path: Path) -> None:
    """Raise where a file is damaged, or of something else."""
    if path.suffix == ".json":
        seal.read_json(path, _of(path))
    elif path.suffix == ".npz" and not seal.check(path, _of(path)):  # of an older version
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise seal.Broken(f"{path} is damaged")


def write_npz(path: Path, **arrays) -> None:
    """Keep arrays, sealed."""
    with io.atomic(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
        seal.seal(temporary, _of(path))


def write_json(path: Path, values: dict) -> None:
    """Keep plain values, sealed."""
    seal.write_json(path, values, _of(path))


def read_json(path: Path) -> dict:
    """What `write_json` kept."""
    return seal.read_json(path, _of(path))


class Memo(dict):
    """Numbers by name that outlive the process: every new one is appended to a file at once, with its seal."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.exists() else []
        whole = [(line, found) for line in lines  # a kill may have cut the last one off
                 if line.endswith("\n") and (found := seal.read_line(line, 2)) and isinstance(found[0], str)]
        for _, found in whole:
            super().__setitem__(*found)
        if len(whole) < len(lines):
            with io.atomic(path) as temporary:
                temporary.write_text("".join(line for line, _ in whole), encoding="utf-8")

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        with telling(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(seal.line([key, value]))


def _of(path: Path) -> str:
    """What a file belongs to: the plan of its folder, and its place there."""
    stamp = path.parent.parent / STAMP
    plan = stamp.read_text(errors="replace") if stamp.exists() else ""
    return json.dumps([plan, path.parent.name, path.name])
