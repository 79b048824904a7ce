"""How many steps of a training fit into some minutes: a few are timed, and the number is kept for a later resume."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

from pisolve import _check
from pisolve.io import atomic
from pisolve.io.door import json_of
from pisolve.nets import parallel
from pisolve.nets.run import Run, Training

_WARM, _TIMED, _FEWEST = 2, 4, 10  # steps before the clock, on it, and of a training at least
_LOOKS = 4  # validations of it


def settled(network: Any, task: Any, settings: Training, minutes: float | None, folder: Path, *,
            resume: bool) -> Training:
    """The settings with as many steps as fit into `minutes`, of which a few are timed on a copy of the network.

    The learning rate falls over these steps, and four of them are followed by a validation. The number is written to
    `minutes.json` in the folder; a training that is resumed there takes it, so that it ends with the same weights.

    Args:
        network, task, settings: as in `train`.
        minutes: of the steps and their validations, > 0; None: the settings as they are, or those of the file.
        folder: of the training.
        resume: whether it goes on there.

    Raises:
        ValueError: minutes not > 0, several processes, or a file that `settled` did not write.
    """
    minutes = _check.number("minutes", minutes, low=0, strict=True, allow_none=True)
    kept = folder / "minutes.json"
    if resume and kept.exists():
        return _with(settings, _check.integer(f"steps of {kept}", dict(json_of(kept)).get("steps"), low=1))
    if minutes is None or (folder / "checkpoint.pt").exists():  # which is refused without resume
        return settings
    group = parallel.Group()
    if group.world > 1:
        raise ValueError("minutes is for one process: give [training] steps to several")
    start = time.perf_counter()
    step, look = _timed(copy.deepcopy(network), task, settings, folder, group)
    left = 60 * minutes - (time.perf_counter() - start) - _LOOKS * look
    steps = max(_FEWEST, int(left / step))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(kept) as part:
        part.write_text(json.dumps({"minutes": minutes, "steps": steps}) + "\n", encoding="utf-8")
    return _with(settings, steps)


def _with(settings, steps):
    return dataclasses.replace(settings, steps=steps, every=math.ceil(steps / _LOOKS),
                               warmup=min(settings.warmup, steps // 10))


def _timed(network, task, settings, folder, group) -> tuple[float, float]:
    """Seconds of a step and of a validation."""
    run = Run(network, task, settings, folder, group)
    for k in range(_WARM + _TIMED):
        if k == _WARM:
            start = time.perf_counter()
        run.advance(task.batch(k), False)
    step = (time.perf_counter() - start) / _TIMED
    start = time.perf_counter()
    task.validate(network)
    return step, time.perf_counter() - start
