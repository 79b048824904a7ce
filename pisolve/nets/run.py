"""One run of a training: its settings, a step of the optimiser, and a checkpoint that holds all of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
import warnings

import torch

from pisolve import _check
from pisolve.io import atomic
from pisolve.io.seal import Broken, check, seal
from pisolve.io.tensors import read_plain

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclasses.dataclass(frozen=True)
class Training:
    """Settings of one training run; the same settings, task and network give the same weights.

    Args:
        steps: steps of the optimiser in all; 0: the network as it begins.
        lr: learning rate of Adam at its highest.
        warmup: steps over which it rises from 0; from the first step on it also falls along a cosine.
        final_lr: what the cosine falls to.
        clip: largest norm of the gradient.
        ema: weight of the past in the running average of the weights, which is what `train` returns.
        precision: "float32", "bfloat16" or "float16" (on a GPU, with loss scaling) for the forward pass.
        low_share: share of the steps, from the start, that run in that precision; the rest runs in float32.
        every: steps between validations.
        save_seconds: seconds between checkpoints; one is also written at each validation.
        seed: of what the network itself draws (dropout); the task has its own.
        device: "cpu", "cuda", or "auto": a GPU where there is one.
        prefetch: batches drawn ahead in a thread; the result does not depend on it.
        tensorboard: also write events for TensorBoard, the extra `pisolve[tensorboard]`.
    """

    steps: int = 4000
    lr: float = 1e-3
    warmup: int = 100
    final_lr: float = 1e-6
    clip: float = 1.0
    ema: float = 0.999
    precision: str = "float32"
    low_share: float = 0.9
    every: int = 250
    save_seconds: float = 120.0
    seed: int = 0
    device: str = "cpu"
    prefetch: int = 0
    tensorboard: bool = False

    def __post_init__(self) -> None:
        _check.integer("every", self.every, low=1)
        for name in ("steps", "warmup", "seed", "prefetch"):
            _check.integer(name, getattr(self, name), low=0)
        for name in ("lr", "clip", "save_seconds"):
            _check.number(name, getattr(self, name), low=0, strict=True)
        _check.number("final_lr", self.final_lr, low=0)
        for name in ("ema", "low_share"):
            _check.number(name, getattr(self, name), low=0, high=1)
        _check.choice("precision", self.precision, PRECISIONS)
        _check.choice("device", self.device, ("cpu", "cuda", "auto"))
        if self.precision == "float16" and self.resolved_device() == "cpu":
            raise ValueError("precision float16 needs a GPU: take bfloat16 on a CPU")

    def resolved_device(self) -> str:
        """"cpu" or "cuda"."""
        if self.device != "auto":
            return self.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.lr * warm * (0.5 + 0.5 * math.cos(math.pi * step / self.steps)) + self.final_lr


class Run:
    """What a training consists of between two steps; `save` and `restore` hold all of it.

    Args:
        network, task, settings: as in `train`.
        folder: where `checkpoint.pt` is.
        group: the processes of the training.
    """

    def __init__(self, network, task, settings, folder, group):
        self.network, self.task, self.settings, self.folder, self.group = network, task, settings, folder, group
        self.checkpoint = folder / "checkpoint.pt"
        self.device = torch.device(settings.resolved_device())
        network.to(self.device)
        if not any(p.requires_grad for p in network.parameters()):
            raise ValueError(f"{type(network).__name__} has no weights to train, all are frozen: set free what is to "
                             "be trained, for example by network.requires_grad_(True)")
        self.optimiser = torch.optim.Adam(network.parameters(), lr=settings.lr)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.precision == "float16")
        self.average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        self.infinite = {k for k, b in network.named_buffers() if not torch.isfinite(b).all()}  # of masks: inf - inf
        self.total = torch.zeros((), dtype=torch.float64, device=self.device)
        self.broken = torch.full((), settings.steps, device=self.device)  # first step whose gradient was not finite
        self.step = self.count = 0
        self.seconds, self.since = 0.0, time.perf_counter()
        self.about = {"settings": dataclasses.asdict(settings), "network": repr(getattr(network, "config", None)),
                      "task": repr(getattr(task, "config", None)), "world": group.world}

    def advance(self, batch, asked: bool) -> bool:
        """One step of the optimiser; True where any process was asked to stop."""
        s, kind = self.settings, PRECISIONS[self.settings.precision]
        self.network.train()
        for entry in self.optimiser.param_groups:
            entry["lr"] = s.rate(self.step)
        low = kind is not None and self.step < s.low_share * s.steps
        self.optimiser.zero_grad()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # what dropout draws depends on the step only
            torch.manual_seed((s.seed * s.steps + self.step) * self.group.world + self.group.rank)
            with torch.autocast(self.device.type, kind, enabled=low):
                value = _scalar(self.task.loss(self.network, on_device(batch, self.device)), self.task)
        self.scaler.scale(value).backward()
        stop = self.group.average_gradients(self.network, asked)
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), s.clip)
        if not self.scaler.is_enabled():  # which leaves out such steps, and lowers its factor
            fine = norm.isfinite() | ~value.detach().isfinite()  # no waiting for the device here
            self.broken = torch.where(fine, self.broken, self.broken.clamp(max=self.step))
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.total += value.detach()
        self.count += 1
        keep = min(s.ema, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, weight in self.network.state_dict().items():
                if name in self.infinite:
                    self.average[name].copy_(weight)
                elif weight.is_floating_point() or weight.is_complex():
                    self.average[name].lerp_(weight, 1 - keep)
                else:
                    self.average[name].copy_(weight)
        self.step += 1
        return stop

    def check(self) -> None:
        """Refuse to go on, or to write a checkpoint, where loss, gradient or weights are no longer numbers."""
        kept = f"the last checkpoint, {self.checkpoint}, is from before" if self.checkpoint.exists() else \
            "there is no checkpoint yet"
        if int(self.broken) < self.settings.steps:
            raise ValueError(f"the gradient is not finite at step {int(self.broken) + 1}, though the loss is: look for "
                             f"a square root or a division at 0 in the network or the loss; {kept}")
        if not math.isfinite(float(self.total)):
            raise ValueError(f"the loss is not finite at step {self.step}: take a smaller lr or clip, or another "
                             f"precision; {kept}")
        bad = [name for name, weight in self.network.named_parameters() if not torch.isfinite(weight).all()]
        if bad:
            raise ValueError(f"the weights {bad[0]} are not finite at step {self.step}: take a smaller lr or clip, or "
                             f"another precision; {kept}")

    def summary(self, bar, log) -> dict:
        """The row of the log: the mean loss since the last one, over all processes, and the validation of the average.

        Only the first process validates.
        """
        self.check()
        loss = self.group.mean(self.total / max(self.count, 1))
        self.total.zero_()
        self.count = 0
        if not self.group.first:
            return {}
        with self.averaged():
            values = {str(k): float(v) for k, v in self.task.validate(self.network).items()}
            if hasattr(self.task, "picture"):
                log.picture(self.task.picture(self.network))
        bar.set_postfix({"loss": f"{loss:.4g}"} | {k: f"{v:.4g}" for k, v in list(values.items())[:1]})
        return {"step": self.step, "seconds": round(self.elapsed(), 1), "loss": loss} | values

    def elapsed(self) -> float:
        """Seconds of training so far, over all resumed parts."""
        return self.seconds + time.perf_counter() - self.since

    @contextlib.contextmanager
    def averaged(self):
        """The network in eval mode with its averaged weights, for a while."""
        current = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.take_average()
        self.network.eval()
        try:
            yield
        finally:
            self.network.load_state_dict(current)

    def take_average(self) -> None:
        """Put the averaged weights into the network."""
        self.network.load_state_dict(self.average)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {"net": self.network.state_dict(), "average": self.average, "optimiser": self.optimiser.state_dict(),
                 "scaler": self.scaler.state_dict(), "step": self.step, "total": self.total, "count": self.count,
                 "seconds": self.elapsed(), "about": json.dumps(self.about, sort_keys=True)}
        with atomic(self.checkpoint) as part:
            torch.save(state, part)
            seal(part)

    def restore(self) -> bool:
        """Take everything from the checkpoint; False, with a warning, where it is damaged: then the run begins anew.

        Raises:
            ValueError: a checkpoint of other settings, task or network, or a file that `save` did not write.
        """
        try:
            check(self.checkpoint)
        except Broken as error:
            warnings.warn(f"{error}: the training begins anew", stacklevel=_check.outside())
            return False
        state = read_plain(self.checkpoint, self.device)
        try:
            was, now = json.loads(state["about"]), json.loads(json.dumps(self.about))
            for name in now:
                if was.get(name) != now[name]:
                    raise Other(f"the checkpoint in {self.folder} has another {name} ({_difference(was, now, name)}): "
                                "use another folder, or what it was begun with")
            self._take(state)
        except Other:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError, OverflowError) as error:
            raise ValueError(f"{self.checkpoint} holds no checkpoint of train ({type(error).__name__}): delete it, or "
                             "give another folder") from error
        return True

    def _take(self, state) -> None:
        """Put what `save` wrote in its place."""
        step, count, seconds = state["step"], state["count"], state["seconds"]
        _check.integer("step", step, low=0, high=self.settings.steps)
        _check.integer("count", count, low=0)
        _check.number("seconds", seconds, low=0)
        total = state["total"].to(self.device)
        if total.shape != () or total.dtype != torch.float64:
            raise ValueError("total is no number")
        if {k: v.shape for k, v in state["average"].items()} != {k: v.shape for k, v in self.average.items()}:
            raise ValueError("average has other weights")
        self.network.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.average, self.step, self.count = state["average"], step, count
        self.total, self.seconds = total, seconds


class Other(ValueError):
    """A checkpoint of something else."""


def _scalar(value, task):
    """What a task's `loss` returned, checked to be one real number that a gradient can be taken of."""
    name = f"{type(task).__name__}.loss"
    if not torch.is_tensor(value):
        raise TypeError(f"{name} must return a tensor of one number, got {type(value).__name__}: without float() or "
                        ".item()")
    if value.numel() != 1 or not value.is_floating_point():
        raise TypeError(f"{name} must return one real number, got shape {tuple(value.shape)} of {value.dtype}: take "
                        "its mean(), of complex numbers that of abs()")
    if not value.requires_grad:
        raise TypeError(f"{name} does not depend on any weight that is trained: no gradient can be taken of what went "
                        "through numpy, detach() or no_grad()")
    return value.reshape(())


def on_device(batch, device):
    """A batch, or the tensors in a tuple, on a device."""
    if hasattr(batch, "to"):
        return batch.to(device)
    return tuple(on_device(part, device) for part in batch) if isinstance(batch, tuple) else batch


def _difference(was, now, name) -> str:
    if not isinstance(now[name], dict) or not isinstance(was.get(name), dict):
        return f"{_check.brief(was.get(name))}, now {_check.brief(now[name])}"
    return ", ".join(f"{k} {was[name].get(k)!r}, now {v!r}" for k, v in now[name].items() if was[name].get(k) != v)
