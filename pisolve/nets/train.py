"""The one training loop: Adam, warm-up and cosine, averaged weights, exact resume, one process or many."""

from __future__ import annotations

import contextlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from pisolve._types import PathLike
from pisolve.io.held import held
from pisolve.nets import parallel
from pisolve.nets.log import Log
from pisolve.nets.run import Run, Training


def train(network: torch.nn.Module, task: Any, settings: Training, *, folder: PathLike, resume: bool = False,
          progress: bool = False) -> torch.nn.Module:
    """Train `network` in place and return it, in eval mode, with the running average of its weights.

    `folder` receives `checkpoint.pt` (written whole or not at all), `log.csv` with the loss and the task's validation
    values, and, where matplotlib is installed and the task draws one, `validation.png`. A run that is interrupted
    (Ctrl-C, SIGTERM) writes a checkpoint and raises KeyboardInterrupt; one that is killed goes on from its last
    checkpoint. Either way `resume=True` ends with the weights of an uninterrupted run, bit for bit, on the same
    machine and number of threads. Under torchrun (or any initialised process group) every process takes its share of
    each batch, the gradients are averaged, and the first process alone writes.

    Args:
        network: what is trained; see the task for how it is called.
        task: `batch(step, rank, world)`, `loss(network, batch)` -> scalar tensor, `validate(network)` -> dict of
            floats; optionally `picture(network)` -> 2-D array in [0, 1]. Such as `Denoising` or `ReconstructionTask`.
        settings: the run's settings.
        folder: where the checkpoint and the log are written; made if it is not there.
        resume: go on from the checkpoint in `folder`, or start where there is none.
        progress: show a bar.

    Raises:
        TypeError: a network that is no module, a task without one of its methods, or a loss that is not one real number
            with a gradient.
        ValueError: a checkpoint of other settings, task or network; a network whose weights are all frozen; a loss,
            gradient or weight that is not finite. What is not finite is never written: the checkpoint in `folder` is
            the last one from before.
        BlockingIOError: another training runs in the folder; it names the process.
        FileExistsError: a checkpoint in `folder`, and no `resume`.
        KeyboardInterrupt: the run was interrupted, after its checkpoint was written.

    Warns:
        UserWarning: the checkpoint is damaged, its content not what was written; the training begins anew.
    """
    if not isinstance(settings, Training):
        raise TypeError(f"settings must be a Training, got {type(settings).__name__}")
    for part in ("batch", "loss", "validate"):
        if not callable(getattr(task, part, None)):
            raise TypeError(f"task must have {part}(...), {type(task).__name__} has none: such as nets.Denoising")
    if not isinstance(network, torch.nn.Module):
        raise TypeError(f"network must be a torch module, got {type(network).__name__}"
                        f"{': give its .network' if hasattr(network, 'network') else ''}")
    group = parallel.Group()
    run = Run(network, task, settings, Path(folder), group)
    if group.first:
        run.folder.mkdir(parents=True, exist_ok=True)
    with held(run.folder if group.first else None):
        return _train(run, resume, progress)


def _train(run, resume, progress) -> torch.nn.Module:
    """The training, in a folder that is held."""
    network, task, settings, folder, group = run.network, run.task, run.settings, run.folder, run.group
    if run.checkpoint.exists():
        if not resume:
            raise FileExistsError(f"{folder} holds a checkpoint: give resume=True, or another folder")
        run.restore()
    log = Log(run.folder, run.step, settings.tensorboard) if group.first else None
    group.same(network)
    with _Interrupt() as interrupt, _bar(progress and group.first, run.step, settings.steps) as bar, \
            _Ahead(task, settings, group) as ahead:
        saved = time.monotonic()
        while run.step < settings.steps:
            batch = ahead(run.step)
            stop = run.advance(batch, interrupt.asked)
            bar.update()
            due = run.step % settings.every == 0 or run.step == settings.steps
            if due:
                values = run.summary(bar, log)
            if due or stop or time.monotonic() - saved > settings.save_seconds:
                run.check()
                if group.first:
                    if due:
                        log.row(values)
                    run.save()
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt(f"stopped after step {run.step}: go on with resume")
    run.take_average()
    return network.eval()


class _Interrupt:
    """While open, SIGINT and SIGTERM only set `asked`, so that a step is never cut in two."""

    def __enter__(self):
        self.asked, self.before = False, {}
        for kind in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread: there nothing is caught
                self.before[kind] = signal.signal(kind, self._ask)
        return self

    def _ask(self, *_):
        self.asked = True

    def __exit__(self, *_):
        for kind, handler in self.before.items():
            signal.signal(kind, handler)


class _Ahead:
    """step -> batch; with `prefetch`, the batches to come are drawn in a thread meanwhile."""

    def __init__(self, task, settings, group):
        self.draw = lambda step: task.batch(step, group.rank, group.world)
        self.settings, self.waiting = settings, {}
        self.pool = ThreadPoolExecutor(1) if settings.prefetch else None

    def __enter__(self):
        return self

    def __call__(self, step):
        if self.pool is None:
            return self.draw(step)
        for later in range(step, min(step + self.settings.prefetch + 1, self.settings.steps)):
            if later not in self.waiting:
                self.waiting[later] = self.pool.submit(self.draw, later)
        return self.waiting.pop(step).result()

    def __exit__(self, *_):
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def _bar(progress, done, total):
    from tqdm import tqdm

    return tqdm(initial=done, total=total, desc="train", disable=not progress, leave=False)
