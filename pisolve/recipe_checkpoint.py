"""The slices of a reconstruction in a folder: what was interrupted goes on, what was finished is not done again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import io
from pisolve._check import brief
from pisolve.solvers import Result, load_state, save_state

SECONDS = 30.0  # between two states of a slice that is being solved


def check_folder(checkpoint) -> None:
    """Refuse what can be no folder of checkpoints, before the work.

    Raises:
        TypeError: no path.
        ValueError: empty, or the path of a file, or of something inside a file.
    """
    if checkpoint is None:
        return
    if not isinstance(checkpoint, str | os.PathLike) or isinstance(os.fspath(checkpoint), bytes):
        raise TypeError(f"checkpoint must be the path of a folder, or None, got {brief(checkpoint)}")
    path = Path(checkpoint)
    if not os.fspath(checkpoint).strip() or "\0" in str(path):
        raise ValueError(f"checkpoint={brief(checkpoint)} is no path: give the name of a folder, which is made")
    file = next((p for p in (path, *path.parents) if p.exists() and not p.is_dir()), None)
    if file is not None:
        raise ValueError(f"checkpoint={str(path)!r} is {'' if file == path else 'in '}a file: give the name of a "
                         "folder, which is made where it does not exist")


class Checkpoints:
    """States of the slices of one recipe on one scan.

    Args:
        folder: of `check_folder`; made where it does not exist.
        about: the recipe as plain values.
        scan: after preparation; the folder belongs to it, to the bit.

    Raises:
        ValueError: the folder is of another recipe or scan.
    """

    def __init__(self, folder, about: dict, scan: io.Scan):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        path, mine = self.folder / "checkpoint.json", {"recipe": about, "data": _digest(scan)}
        if not path.exists():
            with io.atomic(path) as temporary:
                temporary.write_text(json.dumps(mine))
            return
        found = _read(path)
        for name in mine:
            if _given(found.get(name)) != _given(mine[name]):
                raise ValueError(f"checkpoint={str(folder)!r} is of another {'scan' if name == 'data' else name}: give "
                                 "an empty folder, or what it was begun with")

    def release(self) -> None:
        """Give the folder back to whatever comes next, if nothing was kept in it yet."""
        if [path.name for path in self.folder.iterdir()] == ["checkpoint.json"]:
            (self.folder / "checkpoint.json").unlink()

    def run(self, z: int, solve: Callable, callbacks, like) -> Result:
        """solve(callbacks=, state=, max_iter=) of slice z, from where it was left; a finished one is read.

        The history is that of all calls together, as far as they ended by themselves or by Ctrl-C.

        Args:
            z: number of the slice.
            solve: as above.
            callbacks: for `solve`.
            like: an array of the kind, and on the device, that the state's are to have.

        Raises:
            ValueError: files that this library did not write.
        """
        path, about = self.folder / f"slice_{z}.h5", self.folder / f"slice_{z}.json"
        state, found = load_state(path, like) if path.exists() else None, _read(about) if about.exists() else {}
        before = [h for h in found.get("history", []) if state is not None and h["k"] <= state.k]
        if state is not None and found.get("status", "stopped") != "stopped":
            return replace(solve(state=state, max_iter=state.k), status=found["status"], history=before)
        saved = time.monotonic()

        def keep(problem, state):
            nonlocal saved
            if time.monotonic() - saved > SECONDS:
                save_state(path, state)
                saved = time.monotonic()

        result = solve(callbacks=(*callbacks, keep), state=state)
        spent = before[-1]["seconds"] if before else 0.0
        result = replace(result, history=before + [h | {"seconds": spent + h["seconds"]} for h in result.history])
        if result.ok:
            save_state(path, result.state)
            with io.atomic(about) as temporary:
                temporary.write_text(json.dumps({"status": result.status, "history": _plain(result.history)}))
        return result


def _plain(history) -> list[dict]:
    """The numbers and strings of a history to go on with; what else a callback returned, such as arrays, stays out."""
    plain = bool | int | float | str | None
    history = [{n: v.item() if isinstance(v, np.generic) else v for n, v in h.items()} for h in history]
    return [{n: v for n, v in h.items() if n != "interrupted" and isinstance(v, plain)} for h in history]


def _read(path) -> dict:
    """The values of a .json of the folder."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"checkpoint: {path} was not written by pisolve, or is damaged: give an empty folder")
    return found


def _given(value):
    """A description without what is None: an argument that a folder's version did not have yet is as good as None."""
    if isinstance(value, dict):
        return {n: _given(v) for n, v in value.items() if v is not None}
    return [_given(v) for v in value] if isinstance(value, list) else value


def _digest(scan) -> str:
    """The bits of a scan's arrays."""
    sha = hashlib.sha256()
    for array in (scan.kspace, scan.mask, scan.mps, scan.calib):
        sha.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
