"""The slices of a reconstruction in a folder: what was interrupted goes on, what was finished is not done again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import io
from pisolve.solvers import Result, load_state, save_state

SECONDS = 30.0  # between two states of a slice that is being solved


class Checkpoints:
    """States of the slices of one recipe on one scan.

    Args:
        folder: made where it does not exist.
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
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = {}
        for name in mine:
            if found.get(name) != mine[name]:
                raise ValueError(f"checkpoint={str(folder)!r} is of another {'scan' if name == 'data' else name}: give "
                                 "an empty folder, or what it was begun with")

    def run(self, z: int, solve: Callable, callbacks, like) -> Result:
        """solve(callbacks=, state=, max_iter=) of slice z, from where it was left; a finished one is read.

        `like` is an array of the kind, and on the device, that the state's are to have.
        """
        path, done = self.folder / f"slice_{z}.h5", self.folder / f"slice_{z}.json"
        state = load_state(path, like) if path.exists() else None
        if done.exists():
            status = json.loads(done.read_text(encoding="utf-8"))["status"]
            return replace(solve(state=state, max_iter=state.k), status=status)
        saved = time.monotonic()

        def keep(problem, state):
            nonlocal saved
            if time.monotonic() - saved > SECONDS:
                save_state(path, state)
                saved = time.monotonic()

        result = solve(callbacks=(*callbacks, keep), state=state)
        if result.ok:
            save_state(path, result.state)
            if result.status != "stopped":
                with io.atomic(done) as temporary:
                    temporary.write_text(json.dumps({"status": result.status}))
        return result


def _digest(scan) -> str:
    """The bits of a scan's arrays."""
    sha = hashlib.sha256()
    for array in (scan.kspace, scan.mask, scan.mps, scan.calib):
        sha.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
