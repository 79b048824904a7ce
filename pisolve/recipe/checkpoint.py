"""The slices of a reconstruction in a folder: what was interrupted goes on, what was finished is not done again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import io
from pisolve._check import brief, outside
from pisolve.io.held import LOCK, refuse_busy
from pisolve.io.seal import read_json, write_json
from pisolve.recipe.format import spelled
from pisolve.solvers import Result, load_state, save_state
from pisolve.solvers.solve import STATUSES

SECONDS = 30.0  # between two states of a slice that is being solved


def check_folder(checkpoint) -> Path | None:
    """The folder of checkpoints, made where it does not exist; what can be none is refused before the work.

    Args:
        checkpoint: a path, in which "~" is the home folder, or None.

    Raises:
        TypeError: no path.
        ValueError: empty, the path of a file, or of something inside a file, or of what cannot be made or written.
        BlockingIOError: another run works there; it names the process.
    """
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, str | os.PathLike) or isinstance(os.fspath(checkpoint), bytes):
        raise TypeError(f"checkpoint must be the path of a folder, or None, got {brief(checkpoint)}")
    text = os.fspath(checkpoint)
    if not text.strip() or "\0" in text:
        raise ValueError(f"checkpoint={brief(checkpoint)} is no path: give the name of a folder, which is made")
    path = Path(os.path.expanduser(text))
    try:
        file = next((p for p in (path, *path.parents) if p.exists() and not p.is_dir()), None)
        if file is None:
            path.mkdir(parents=True, exist_ok=True)
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ValueError(f"checkpoint={brief(text)} can be no folder ({error.strerror}): give the name of one that can "
                         "be written, which is made where it does not exist") from error
    if file is None:
        refuse_busy(path)
    else:
        raise ValueError(f"checkpoint={str(path)!r} is {'' if file == path else 'in '}a file: give the name of a "
                         "folder, which is made where it does not exist")
    return path


class Checkpoints:
    """States of the slices of one recipe on one scan.

    Args:
        folder: of `check_folder`.
        about: the recipe as plain values.
        scan: after preparation; the folder belongs to it, to the bit.
        networks: the torch modules that the recipe runs, whose weights its plain values do not hold.

    Raises:
        ValueError: the folder is of another recipe or scan, or of networks with other weights.
    """

    def __init__(self, folder: Path, about: dict, scan: io.Scan, networks=()):
        self.folder = folder
        path = folder / "checkpoint.json"
        mine = {"recipe": about, "data": _digest(scan), "weights": weights_digest(networks)}
        if not path.exists():
            self.id = secrets.token_hex(16)
            with io.atomic(path) as temporary:
                temporary.write_text(json.dumps({**mine, "id": self.id}))
            return
        found = spelled({"weights": mine["weights"]} | _read(path))  # which a folder's version may not have written yet
        for name, what in (("recipe", "another recipe"), ("data", "another scan"), ("weights", "other weights")):
            if _given(found.get(name)) != _given(mine[name]):
                raise ValueError(f"checkpoint={str(folder)!r} is of {what}: give an empty folder, or what it was begun "
                                 "with")
        self.id = found.get("id")  # None: the folder is of a version whose states had no digests

    def release(self) -> None:
        """Give the folder back to whatever comes next, if nothing was kept in it yet."""
        if {path.name for path in self.folder.iterdir()} - {LOCK} == {"checkpoint.json"}:
            (self.folder / "checkpoint.json").unlink()

    def finished(self, z: int) -> bool:
        """Whether slice z is done, and only to be read."""
        try:
            status = self._about(z).get("status", "stopped")
        except ValueError:  # broken: `run` says so
            return False
        return status != "stopped" and (self.folder / f"slice_{z}.h5").exists()

    def run(self, z: int, solve: Callable, callbacks, like) -> Result:
        """solve(callbacks=, state=, max_iter=) of slice z, from where it was left; a finished one is read.

        The history is that of all calls together, as far as they ended by themselves or by Ctrl-C, one entry a step.

        Args:
            z: number of the slice.
            solve: as above.
            callbacks: for `solve`.
            like: an array of the kind, and on the device, that the state's are to have.

        Raises:
            KeyboardInterrupt: of a solver that is not interruptible, after its last state was written.
            ValueError: files that this library did not write.

        Warns:
            UserWarning: a state, or what is known of it, does not fit its digest: the slice is solved from its start.
        """
        path = self.folder / f"slice_{z}.h5"
        state, found = self._kept(z, path, like)
        begun = 0 if state is None else state.k
        before = [h for h in found.get("history", []) if h["k"] <= begun]
        if state is not None and found.get("status", "stopped") != "stopped":
            return replace(solve(state=state, max_iter=begun), status=found["status"], history=before)
        saved, last = time.monotonic(), []

        def keep(problem, state):
            nonlocal saved
            last[:] = [state]
            if time.monotonic() - saved > SECONDS and not self.finished(z):
                save_state(path, state, self._of(z))
                saved = time.monotonic()

        try:
            result = solve(callbacks=(*callbacks, keep), state=state)
        except KeyboardInterrupt as cut:
            if last:
                steps = _joined(before, getattr(cut, "history", []), begun)
                self._save(z, last[0], "stopped", [h for h in steps if h["k"] <= last[0].k])
            raise
        finally:
            last.clear()  # an error's traceback would keep it
        steps = _joined(before, result.history, begun)
        if result.ok:
            self._save(z, result.state, result.status, steps)
        if result.interrupted:  # before its first step, too
            steps = [*steps[:-1], (steps or result.history)[-1] | {"interrupted": True}]
        return replace(result, history=steps)

    def _of(self, z) -> str:
        """What the files of slice z are sealed with: this folder, which belongs to a recipe and a scan, and z."""
        return f"{self.id} {z}"

    def _kept(self, z, path, like):
        """(state, what is known of it) of a slice; (None, {}) where there is none, or where it is broken."""
        try:
            found = self._about(z)
            state = load_state(path, like, of=self.id and self._of(z), sealed=bool(self.id)) if path.exists() else None
        except ValueError as error:
            if self.id is None:
                raise
            warnings.warn(f"checkpoint: {error}; slice {z} is solved again from its start", stacklevel=outside())
            for broken in (path.with_suffix(".json"), path):
                broken.unlink(missing_ok=True)
            return None, {}
        if state is not None and found.get("of_step", state.k) != state.k:  # of another state than this one
            found = found | {"status": "stopped"}
        return state, found

    def _about(self, z) -> dict:
        """The status and history of a slice, as far as they were written."""
        path = self.folder / f"slice_{z}.json"
        if not path.exists():
            return {}
        found = _read(path) if self.id is None else read_json(path, self._of(z), needed=True)
        history = found.get("history", [])
        if found.get("status", "stopped") not in STATUSES or not isinstance(history, list) or not all(
                isinstance(h, dict) and type(h.get("k")) is int and isinstance(h.get("seconds"), int | float)
                for h in history):
            raise _damaged(path)
        return found

    def _save(self, z, state, status, history):
        save_state(self.folder / f"slice_{z}.h5", state, self._of(z))
        told = {"status": status, "history": _plain(history), "of_step": state.k}
        write_json(self.folder / f"slice_{z}.json", told, self._of(z))


def _joined(before, history, begun) -> list[dict]:
    """The history of earlier calls and of one that began with state k = begun, without what is no step of its own."""
    spent = before[-1]["seconds"] if before else 0.0
    return before + [h | {"seconds": spent + h["seconds"]} for h in history if h["k"] > begun]


def _plain(history) -> list[dict]:
    """The numbers and strings of a history to go on with; what else a callback returned, such as arrays, stays out."""
    plain = bool | int | float | str | None
    history = [{n: v.item() if isinstance(v, np.generic) else v for n, v in h.items()} for h in history]
    return [{n: v for n, v in h.items() if n != "interrupted" and isinstance(v, plain)} for h in history]


def _read(path) -> dict:
    """The values of a .json of the folder."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


def _damaged(path) -> ValueError:
    return ValueError(f"checkpoint: {path} was not written by pisolve, or is damaged: give an empty folder")


def _given(value):
    """A description without what is None: an argument that a folder's version did not have yet is as good as None."""
    if isinstance(value, dict):
        return {n: _given(v) for n, v in value.items() if v is not None}
    return [_given(v) for v in value] if isinstance(value, list) else value


def _digest(scan) -> str:
    """The bits of a scan's arrays."""
    sha = hashlib.sha256()
    further = [a for a in (scan.weights, scan.field_map, scan.times) if a is not None]
    for array in (scan.kspace, scan.mask, scan.mps, scan.calib, *further):
        sha.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def weights_digest(networks) -> str | None:
    """The bits of the weights of torch modules; None for no modules."""
    if not networks:
        return None
    import torch

    sha = hashlib.sha256()
    for network in networks:
        for name, value in network.state_dict().items():
            sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            sha.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
