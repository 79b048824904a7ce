"""Fitting a network to the scan itself: Adam on some of the samples, the others say when to stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pisolve import _check, backend
from pisolve._types import ArrayLike
from pisolve.backend import adam
from pisolve.priors import Prior
from pisolve.problem import Problem
from pisolve.solvers import Solver, State
from pisolve.tuning.data import Data

_GROWN = 10.0  # times the first loss: a fit that is there has diverged
_FLAT = ("theta", "average", "m", "v")
_COUNTS = ("t", "since", "best", "first", "loss", "score", "seed")
_WARM = 200  # steps towards a first image


class Task:
    """What `Fit` fits: networks of one or more runs, their loss on samples to fit, their score on samples held back.

    Attributes:
        runs: number of independent fits.
        steps, lr, keep, clip, patience, slack: what `Fit` takes where it is given None.
        chooses: whether the image is that of the run with the least score; else it is the mean of all runs.
    """

    runs: int
    chooses: bool
    steps: int
    lr: float
    keep: float
    clip: float | None
    patience: int
    slack: float

    runs, chooses = 1, False
    steps, lr, keep, clip, patience, slack = 25, 1e-3, 0.9, 1.0, 20, 0.0

    def module(self, run: int) -> torch.nn.Module:
        """The module whose parameters are fitted, with the weights that the run starts from."""
        raise NotImplementedError

    def loss(self, run: int, t: int) -> torch.Tensor:
        """The loss of the module as it is at step t: a scalar; what it draws at random depends on (run, t) only."""
        raise NotImplementedError

    def score(self, run: int) -> float:
        """How badly the module as it is predicts the samples held back, relative: ||A x - y|| / ||y|| over them."""
        raise NotImplementedError

    def image(self, run: int) -> Any:
        """The image of the module as it is, consistent with all data, of the kind of the problem's."""
        raise NotImplementedError

    def first(self) -> Any:
        """The image that a fit without x0 begins with, made of the samples to fit only; None: the weights as they are.

        Only the first step asks for it, so that resuming does not make it again, and Ctrl-C may cut it short.
        """

    def towards(self, run: int, x0: Any) -> torch.Tensor:
        """How far the module's image is from x0, a scalar: what a fit with a first image begins with."""
        raise ValueError("x0 has no effect on this fit, whose network makes its own first image: leave it out")


class Fitted(Prior):
    """A prior that is a network with weights fitted to the problem's own data: `Fit` is its solver."""

    has_prox: bool
    convex: bool
    implicit: bool
    seed: int
    runs: int

    has_prox, convex, implicit = False, False, True
    seed, runs = 0, 1

    def value(self, x: ArrayLike) -> None:
        """None: there is no g to evaluate."""

    def solver(self) -> Any:
        """`Fit()`."""
        return Fit()

    def task(self, problem: Problem) -> Task:
        """What is to be fitted for these data."""
        raise NotImplementedError

    def rehearsal(self, shape: Sequence[int]) -> Any:
        """What `device.plan` counts memory by, for an image (y, x); None: not known.

        (module, its input, a call of one pass, how many passes a gradient goes back through)
        """

    def data(self, problem: Problem) -> Data:
        """The problem's data, of which parts are held back."""
        if problem.y.ndim < 2 or len(problem.ishape) != 2:
            raise ValueError(f"{self!r} is for images (y, x) and data of two axes or more, this operator maps "
                             f"{problem.ishape} to {tuple(problem.y.shape)}: one slice, Sense() with one set of maps")
        return Data(problem)

    def _alone(self, *_):
        raise TypeError(f"{self!r} stands alone: it has no strength, and there is no sum of a fitted network and "
                        "another prior")

    __mul__: Any = _alone
    __rmul__: Any = _alone
    __add__: Any = _alone
    __matmul__: Any = _alone


@dataclass(frozen=True, repr=False)
class Fit(Solver):
    """Fit a network to the data: x = f_theta, theta by Adam on a loss over some of the samples, stopped by the others.

        theta <- Adam step on loss_Theta(f_theta),    x = f_theta at the least error on the held-back samples Gamma

    One iteration is `steps` steps of Adam, then a look at the held-back samples with the running average of the
    weights. The image is always the best so far, which is the last one whose error was at most 1 + `slack` times the
    least: a run may be ended at any time, by a callback or Ctrl-C. It ends by itself ("converged") after `patience`
    iterations without such a look; `residual` is the share of the patience that is left. A loss that grows to 10 times
    its first value, or becomes NaN, is "diverged".

    Use:
        for `Untrained` and `ZeroShot` priors, whose automatic solver it is. Several runs average to `x`; their
        standard deviation is `state.aux["std"]`. A saved state goes on to the same bits.

    Args:
        steps: of Adam in an iteration.
        lr: learning rate.
        keep: weight of the past in the running average of the weights.
        patience: iterations.
        slack: how much worse than the least error counts as equal to it: 0.01 for decoders, whose error has a flat
            minimum and whose images still get sharper on it; 0 for unrolled networks, which fit noise from there on.
        clip: largest norm of the gradient.
        precision: "float32", or "bfloat16" for the network's convolutions while it is fitted: twice as fast on CPUs and
            GPUs made for it, slower on others. The held-back samples and the image are always looked at in float32.

    None is what the prior proposes.

    Reference:
        Yaman et al., "Zero-shot self-supervised learning for MRI reconstruction", ICLR 2022; Kingma and Ba, "Adam",
        ICLR 2015.

    Example:
        pi.recon(scan, pi.Untrained(pi.nets.ConvDecoder()), pi.Fit(lr=5e-3), max_iter=80)
    """

    steps: int | None = None
    lr: float | None = None
    keep: float | None = None
    patience: int | None = None
    clip: float | None = None
    slack: float | None = None
    precision: str = "float32"

    averages = False
    interruptible = True

    def __post_init__(self) -> None:
        for name in ("steps", "patience"):
            if getattr(self, name) is not None:
                _check.integer(name, getattr(self, name), low=1)
        for name in ("lr", "clip"):
            _check.number(name, getattr(self, name), low=0, strict=True, allow_none=True)
        _check.choice("precision", self.precision, ("float32", "bfloat16"))
        _check.number("slack", self.slack, low=0, allow_none=True)
        _check.number("keep", self.keep, low=0, high=1, allow_none=True)

    def __repr__(self) -> str:
        return _check.called(self)

    def init(self, problem: Problem, x0: Any = None) -> State:
        prior = problem.prior
        if not isinstance(prior, Fitted):
            raise ValueError(f"Fit is for priors that are fitted to the data, such as pi.Untrained(...), {prior!r} is "
                             "none: leave solver out")
        x = zero_filled(problem.A, problem.AHy) if x0 is None else problem.start(x0)
        if not bool((problem.y != 0).any()):  # no data: the image is zero, and there is nothing to fit
            return State(backend.zeros_like(x))
        task = self._task(problem)
        parts = [adam.begin(task.module(run)) for run in range(task.runs)]
        if x0 is not None:
            parts = [self._towards(task, run, x, part) for run, part in enumerate(parts)]
        aux = {n: torch.stack([p[n] for p in parts]) for n in _FLAT}
        aux["chosen"] = aux["theta"].clone()
        nothing = {"since": 0, "best": math.inf, "first": math.nan, "loss": math.nan, "score": math.inf}
        aux |= {n: np.full(task.runs, value) for n, value in nothing.items()}
        aux |= {"seed": np.array(prior.seed), "t": np.array([p["t"] for p in parts]), "std": abs(x) * 0,
                "images": backend.namespace(x).stack([x] * task.runs)}
        return State(x, aux=aux)

    def step(self, problem: Problem, state: State) -> State:
        if not state.aux:
            return state.next(state.x, 0.0)
        if int(state.aux["seed"]) != problem.prior.seed:
            raise ValueError(f"state is of a fit with seed={int(state.aux['seed'])}, the prior has "
                             f"{problem.prior.seed}: its splits and noise are others")
        task, aux = self._task(problem), {n: backend.copy(v) for n, v in state.aux.items()}
        aux |= {n: np.array(backend.to_numpy(aux[n])) for n in _COUNTS}
        aux |= {n: backend.to_torch(aux[n]) for n in (*_FLAT, "chosen")}
        patience = self._given(task, "patience")
        first = None if aux["t"].any() else task.first()
        for run in range(task.runs):
            if first is not None:
                _put(aux, run, self._towards(task, run, first, _part(aux, run)))
            if aux["since"][run] < patience:
                self._advance(task, run, aux)
        images, xp = aux["images"], backend.namespace(aux["images"])
        x = mean = images[0] if task.runs == 1 else images.mean(0)
        if task.chooses:
            x = images[int(aux["best"].argmin())]
        if task.runs > 1:
            spread = abs(images - mean) ** 2
            aux["std"] = xp.sqrt(spread.sum(0) / (task.runs - 1))
        left = 1 - aux["since"] / patience
        return state.next(x, float(left.max()) if np.isfinite(aux["loss"]).all() else math.inf, **aux)

    def _towards(self, task, run, x, part) -> dict[str, Any]:
        """The state of Adam after the steps towards a first image."""
        module = task.module(run)
        loss = self._low(module, lambda t: task.towards(run, x))
        return adam.advance(module, loss, part, _WARM, self._given(task, "lr"))[0]

    def _low(self, module, loss):
        """A loss in the precision of the fit."""
        def call(t):
            with torch.autocast(next(module.parameters()).device.type, torch.bfloat16, enabled=low):
                return loss(t)

        low = self.precision == "bfloat16"
        return call

    def _advance(self, task, run, aux):
        """One run's steps; its entries in `aux` are replaced."""
        module = task.module(run)
        loss = self._low(module, lambda t: task.loss(run, t))
        part, loss = adam.advance(module, loss, _part(aux, run), self._given(task, "steps"),
                                  self._given(task, "lr"), clip=self._given(task, "clip"),
                                  keep=self._given(task, "keep"))
        _put(aux, run, part)
        aux["loss"][run] = loss
        aux["first"][run] = loss if math.isnan(aux["first"][run]) else aux["first"][run]
        adam.put(module, part["average"])
        with torch.no_grad():
            aux["score"][run] = score = task.score(run)
            if math.isfinite(score) and score <= (1 + self._given(task, "slack")) * aux["best"][run]:
                image = task.image(run)
                if bool(backend.namespace(image).isfinite(image).all()):
                    aux["best"][run], aux["since"][run] = min(score, aux["best"][run]), 0
                    aux["images"][run], aux["chosen"][run] = backend.like(image, aux["images"]), part["average"]
                    return
        aux["since"][run] += 1

    def failure(self, state: State) -> Any:
        if not state.aux:
            return None
        loss, first, score = (backend.to_numpy(state.aux[n]) for n in ("loss", "first", "score"))
        if not np.isfinite(loss).all() or (loss > _GROWN * first).any():
            return "diverged"
        return "nonfinite" if np.isnan(score).any() else None

    def tells(self, state: State) -> Any:
        """The loss over the samples that are fitted, the error on those held back, its best so far."""
        names = (("loss", "loss"), ("heldback", "score"), ("best", "best"))
        return {n: float(backend.to_numpy(state.aux[k]).mean()) for n, k in names if k in state.aux}

    def finish(self, problem: Problem) -> Any:
        """The task holds the data several times: a result need not keep it."""
        vars(problem).pop("_fitted", None)

    def _given(self, task, name):
        own = getattr(self, name)
        return getattr(task, name) if own is None else own

    def _task(self, problem) -> Task:
        """The prior's task for these data, made once."""
        made = getattr(problem, "_fitted", None)
        if made is None:
            problem._fitted = made = problem.prior.task(problem)
        return made


def zero_filled(A: Any, AHy: Any):
    """s A^H y with the real s at which it agrees best with y, whatever the size of the maps."""
    size = backend.real(backend.norm(A(AHy)))
    return AHy * (backend.real(backend.norm(AHy)) / size) ** 2 if size > 0 else AHy


def _part(aux, run) -> dict:
    """The state of Adam of one run."""
    return {n: aux[n][run] for n in (*_FLAT, "t")}


def _put(aux, run, part) -> None:
    """Put a state of Adam instead of a run's."""
    for name in (*_FLAT, "t"):
        aux[name][run] = part[name]
