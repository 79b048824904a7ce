"""PILOT: shots that are learned for a reconstruction, within what a scanner can play."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.trajectories._playable import Playable
from pisolve.trajectories.limits import check, scanner, shots


@dataclass(frozen=True, eq=False)
class Learned:
    """What `learn` returns.

    Attributes:
        coord: the shots (shot, sample, axis), float64, within the limits.
        network: the reconstruction that was learned with them, or None.
        losses: of every step so far.
        check: what `check` says of the shots.
        state: where `learn(..., state=)` goes on: tensors and plain values, for `torch.save`.
    """

    coord: np.ndarray
    network: object
    losses: tuple[float, ...]
    check: dict[str, Any]
    state: dict[str, Any] = field(repr=False)


def learn(coord: ArrayLike, images: ArrayLike, fov: float | Sequence[float], dwell: float, *,
          network: Callable[..., Any] | None = None, mps: ArrayLike | None = None, gmax: float = 40e-3,
          smax: float = 180.0, noise: float = 0.0, knots: int | None = None, steps: int = 300, move: float = 0.3,
          lr: float = 1e-3, batch_size: int = 1, loss: Callable[..., Any] | None = None, seed: int = 0,
          state: dict[str, Any] | None = None, callback: Callable[..., Any] | None = None) -> Learned:
    """Shots, and a network if there is one, for which the images come out best: PILOT.

        minimise over k and theta   mean_x ||R_theta(A_k, A_k x + n) - x||^2 / ||x||^2
        with   |k'| <= gamma gmax,   |k''| <= gamma smax,   |k_a| <= N_a / 2

    Each shot is the start plus cubic B-splines. After each step of Adam it is projected onto the shots that keep the
    limits, a convex set; those that are returned keep them to rounding, by differences of the samples as `check` takes
    them. The gradient goes through the reconstruction and the transforms to the coordinates. The first
    and the last sample move like any other, and so does the time at which a shot passes the centre.

    Args:
        coord: the start (shot, sample, axis), in units of 1 / field of view, within the limits: `radial(...)`.
        images: (image, [z,] y, x), real or complex; each is divided by its 99th percentile. All of one size.
        fov, dwell, gmax, smax: as for `check`.
        network: network(A, y) -> images (image, y, x), such as `nets.Unrolled`; its parameters are learned too, those
            that require a gradient, in place. None: twelve steps of conjugate gradients.
        mps: coil maps (coil, y, x) or (image, coil, y, x); None: one coil that sees all alike.
        noise: standard deviation of the real and of the imaginary part of a sample each.
        knots: numbers that move a shot along each axis; a quarter of its samples by default.
        steps: in all, those of `state` too. The step lengths fall along a cosine.
        move: how far a step moves at most, in units of 1 / field of view; 0: the shots stay, the network learns alone.
        lr: learning rate of the network.
        batch_size: images a step, drawn from (seed, step).
        loss: of (output, target), complex (image, y, x); None: the one above.
        seed: of what is drawn.
        state: of a run with the same arguments, which goes on to the same bits.
        callback: callback(step, loss) after each step; a true value ends the run.

    Raises:
        TypeError, ValueError: arguments out of range or in other units, a start that passes the limits, a state of
            other arguments, images or maps that do not fit.
        FloatingPointError: a loss that is not finite.

    Reference:
        Weiss, Senouf, Vedula, Michailovich, Zibulevsky and Bronstein, PILOT, arXiv:1909.05773; Chauffert et al., IEEE
        Trans Med Imaging 35 (2016) 2026 (the projection); Wang, Luo, Nielsen, Noll and Fessler, BJORK, ibid. 41 (2022)
        2318 (splines).
    """
    from pisolve.backend import adam

    run = _Run(coord, images, fov, dwell, network, mps, gmax, smax, noise, knots, steps, move, lr, batch_size, loss,
               seed)
    losses, now = run.begin(state)
    while len(losses) < run.steps:
        t = len(losses)
        rate = run.lr * (0.5 + 0.5 * math.cos(math.pi * t / run.steps))
        now, value = adam.advance(run, run.loss, now, 1, rate)
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is not finite at step {t + 1}: take a smaller move or lr")
        now = run.projected(now)
        losses.append(value)
        if callback is not None and callback(t + 1, value):
            break
    return run.learned(losses, now)


class _Run:
    """What is learned, its loss, and what one step needs; `backend.adam` asks it for its parameters."""

    def __init__(self, coord, images, fov, dwell, network, mps, gmax, smax, noise, knots, steps, move, lr, batch_size,
                 loss, seed):
        import torch

        coord = shots(coord)
        if coord.ndim != 3:
            raise ValueError(f"coord has shape {coord.shape}: give (shot, sample, axis)")
        d, n = coord.shape[-1], coord.shape[1]
        self.scanner = scanner(fov, d, dwell, gmax, smax)
        told = self.check(coord)["told"]
        if told:
            raise ValueError(f"coord is no start: {told[0]}")
        self.images = _images(images, d)
        self.shape = tuple(self.images.shape[1:])
        if (abs(coord) > np.array(self.shape) / 2 * (1 + 1e-9)).any():
            raise ValueError(f"coord reaches {abs(coord).max():.4g}, for images of {self.shape} it must lie in "
                             "-N/2..N/2")
        self.mps = _maps(mps, self.images)
        self.noise = _check.number("noise", noise, low=0)
        knots = _check.integer("knots", min(max(6, n // 4), n) if knots is None else knots, low=4, high=n)
        self.steps = _check.integer("steps", steps, low=1)
        self.batch_size = _check.integer("batch_size", batch_size, low=1, high=len(self.images))
        self.seed = _check.integer("seed", seed, low=0)
        self.lr = _check.number("lr", lr, low=0, strict=True)
        self.unit = _check.number("move", move, low=0) / self.lr  # Adam's steps are lr, of the shots they are `move`
        if network is not None and not callable(network):
            raise TypeError(f"network must be a function of (A, y), got {type(network).__name__}")
        self.network, self.criterion = network, loss
        self.playable = Playable(coord, self.shape, self.scanner, knots)
        self.basis, self.start = torch.from_numpy(self.playable.basis), torch.from_numpy(coord)
        kinds = [w.dtype for w in getattr(network, "parameters", tuple)()]
        self.shift = torch.zeros((len(coord), knots, d), dtype=kinds[0] if kinds else None, requires_grad=self.unit > 0)
        if not any(w.requires_grad for w in self.parameters()):
            raise ValueError("move is 0 and network has no parameter to learn: nothing is left to do")
        settings = [noise, knots, steps, move, lr, batch_size, seed, fov, dwell, gmax, smax]
        self.about = json.dumps([repr(s) for s in settings] + [hashlib.sha256(a.tobytes()).hexdigest()[:16] for a in (
            coord, self.images, self.mps)])

    def check(self, coord):
        """What `check` says of shots."""
        s = self.scanner
        return check(coord, s.fov, s.dwell, gmax=s.gmax, smax=s.smax)

    def parameters(self):
        """What is learned; the shots come first."""
        yield self.shift
        for weight in getattr(self.network, "parameters", tuple)():
            if weight.requires_grad:
                yield weight

    def begin(self, state):
        """(losses, state of Adam) at the start, or where `state` ends.

        Raises:
            ValueError: a state of other arguments.
        """
        from pisolve.backend import adam

        if state is None:
            return [], adam.begin(self)
        if not isinstance(state, dict) or {"about", "losses", "adam"} - state.keys():
            raise TypeError(f"state must be the state of a Learned, got {_check.brief(state)}")
        if state["about"] != self.about:
            raise ValueError("state is of a run with other arguments, images or maps: give those it was begun with")
        return list(state["losses"]), state["adam"]

    def loss(self, t: int):
        """The mean loss of the images that step t draws."""
        import torch

        from pisolve import linops

        rng = np.random.default_rng([self.seed, t])
        pick = np.sort(rng.permutation(len(self.images))[:self.batch_size])
        coord = self.start + self.unit * (self.basis @ self.shift.double())
        x, mps = torch.from_numpy(self.images[pick]), self.mps[pick if len(self.mps) > 1 else [0] * len(pick)]
        A = linops.sense(mps, coord=coord)
        y = linops.as_torch(A)(x)
        if self.noise:
            white = rng.standard_normal((*y.shape, 2), np.float32).view(np.complex64)[..., 0]
            y = y + self.noise * torch.from_numpy(white)
        with torch.random.fork_rng([]):  # what dropout draws depends on the step only
            torch.manual_seed(self.seed * self.steps + t)
            out = (self.network or _conjugate_gradients)(A, y)
        if not torch.is_tensor(out) or out.shape != x.shape:
            got = tuple(out.shape) if torch.is_tensor(out) else type(out).__name__
            raise ValueError(f"network returned {got}, it must return images {tuple(x.shape)}")
        if self.criterion is not None:
            return self.criterion(out, x)
        error, size = ((torch.view_as_real(z.resolve_conj()) ** 2).flatten(1).sum(1) for z in (out - x, x))
        return (error / size).mean()

    def projected(self, now) -> dict:
        """The state with its shots projected onto those that a scanner can play."""
        if not self.unit:
            return now
        import torch

        theta = now["theta"].clone()
        part = theta[:self.shift.numel()]
        c = self.unit * part.double().numpy().reshape(self.shift.shape)
        part.copy_(torch.from_numpy(self.playable.project(c) / self.unit).reshape(-1))
        return now | {"theta": theta}

    def learned(self, losses, now) -> Learned:
        """The result, with the network's weights put into it."""
        from pisolve.backend import adam

        adam.put(self, now["theta"])
        coord = self.playable.shots(self.unit * self.shift.detach().double().numpy())
        return Learned(coord, self.network, tuple(losses), self.check(coord),
                       {"about": self.about, "losses": tuple(losses), "adam": now})


def _images(images, d: int) -> np.ndarray:
    """Checked images (image, ..., y, x), complex64, each with a 99th percentile of its magnitude of 1."""
    images = np.stack([np.asarray(x) for x in images]) if isinstance(images, list | tuple) else images
    images = np.asarray(_check.array("images", images, ndim=d + 1))
    level = np.percentile(abs(images).reshape(len(images), -1), 99, axis=1)
    if not (level > 0).all():
        raise ValueError(f"images: number {int(np.argmin(level))} is zero (nearly) everywhere: leave it out")
    return np.ascontiguousarray(images / level.reshape(-1, *[1] * d), np.complex64)


def _maps(mps, images) -> np.ndarray:
    """Checked maps (1 or image, coil, *shape), complex64."""
    shape = images.shape[1:]
    if mps is None:
        return np.ones((1, 1, *shape), np.complex64)
    mps = np.asarray(_check.array("mps", mps, ndim=(len(shape) + 1, len(shape) + 2)), np.complex64)
    mps = mps[None] if mps.ndim == len(shape) + 1 else mps
    if mps.shape[2:] != shape or len(mps) not in (1, len(images)):
        raise ValueError(f"mps has shape {mps.shape}, images {images.shape}: give (coil, *{shape}), or those of each "
                         "image")
    return np.ascontiguousarray(mps)


def _conjugate_gradients(A, y, lam: float = 1e-2, iterations: int = 12):
    """argmin 1/2 ||A x - y||^2 + lam/2 ||x||^2, nearly, by steps through which gradients flow."""
    import torch

    from pisolve.linops.autograd import as_torch
    from pisolve.linops.solve import cg_solve

    A = as_torch(A)
    b = A.H(y)
    return cg_solve(lambda p: A.N(p) + lam * p, b, torch.zeros_like(b), iterations=iterations, tol=0)
