"""An unrolled network that is told how noisy and how undersampled its scan is, and sets its steps by it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as recompute

from pisolve import _check
from pisolve.nets.blocks import as_network, denoised, describe
from pisolve.nets.consistency import SliceProblem
from pisolve.prepare.noise import noise_level
from pisolve.priors import Denoiser

_UNIT, _LEAST, _ACCEL = 0.01, 0.003, 4.0  # noise and acceleration that steps are given for; noise that counts as none
_GAIN = 30.0  # coefficients are stored as a part of this, so that one learning rate suits them and the denoiser


class Informed(nn.Module):
    """`iterations` steps of plug-and-play whose levels, penalties and momenta are functions of noise and acceleration.

        x_k = argmin_x 1/2 ||A x - y||^2 + rho_k/2 ||x - D(z_k, sigma_k)||^2,    z_{k+1} = x_k + beta_k (x_k - x_{k-1})

        log sigma_k, log rho_k and beta_k = linear in (1, t, t^2, r),
        t = log(sqrt(n^2 + 0.003^2) / 0.01),    r = log(R / 4)

    with n the noise of a sample (the standard deviation of its real and of its imaginary part) where the zero-filled
    image has a 99th percentile of 1, as a recipe makes it, and R the acceleration. The coefficients are learned, twelve
    numbers a step; they start at a level that falls geometrically, and Nesterov's momenta. The minimiser is found by
    `inner` conjugate gradient steps, or in closed form (`SliceProblem`).

    Args:
        denoiser: D, a module that takes a noise level (a map, or a second argument), or its description.
        iterations: number of steps, K.
        inner: conjugate gradient steps of the data consistency.
        sigma: level of the first step, and of the last one at n = 0.01.
        rho: penalty at n = 0.01.
        powers: the last level grows as n^powers[0], the penalty as n^powers[1], at the start.
        channels, noise_input: as for `pisolve.Denoiser`.
        checkpoint: keep one image a step and compute the step again for its derivative.

    Attributes:
        noise: the n that it goes by where `forward` is not told one; None: it is estimated from the outer samples of y.

    Raises:
        TypeError: no module, or y no torch tensor.
        ValueError: a denoiser that takes no noise level, data that do not fit A, noise that is negative.

    Reference:
        Zhang et al., IEEE TPAMI 44 (2022) 6360 (DPIR: the falling level); Aggarwal et al., IEEE Trans Med Imaging 38
        (2019) 394 (MoDL); Reehorst and Schniter, IEEE Trans Comput Imaging 5 (2019) 52 (the momentum).

    Example:
        net = pi.nets.Informed(pi.nets.UNet(), 6)
    """

    needs_maps = True
    needs_noise = True
    noise: float | None = None

    iterations: int
    inner: int
    denoiser: nn.Module
    channels: str
    noise_input: str
    checkpoint: bool
    level: nn.Parameter
    penalty: nn.Parameter
    momentum: nn.Parameter

    def __init__(self, denoiser: Any, iterations: int = 14, *, inner: int = 6, sigma: Sequence[float] = (0.2, 0.0075),
                 rho: float = 0.2, powers: Sequence[float] = (1.0, 0.0), channels: str = "auto",
                 noise_input: str = "auto", checkpoint: bool = False):
        super().__init__()
        self.iterations = _check.integer("iterations", iterations, low=1)
        self.inner = _check.integer("inner", inner, low=1)
        first, last = (_check.number("sigma", s, low=0, strict=True) for s in sigma)
        rho = _check.number("rho", rho, low=0, strict=True)
        powers = [_check.number("powers", p) for p in powers]
        self.denoiser = as_network("denoiser", denoiser)
        about = Denoiser(self.denoiser, channels=channels, noise_input=noise_input)
        self.channels, self.noise_input, self.checkpoint = about.channels, about.noise_input, bool(checkpoint)
        if self.noise_input not in ("map", "scalar") or self.channels not in ("complex", "parts") or about.ndim == 3:
            raise ValueError(f"{about.name} takes no noise level, or sees no complex images in the plane: an Informed "
                             "network needs D(x, sigma), such as nets.UNet()")
        self._options = {"iterations": self.iterations, "inner": self.inner, "sigma": [first, last], "rho": rho,
                         "powers": powers, "channels": self.channels, "noise_input": self.noise_input,
                         "checkpoint": self.checkpoint}
        level, penalty, momentum = (torch.zeros(self.iterations, 4) for _ in range(3))
        fall = torch.linspace(0, 1, self.iterations) if self.iterations > 1 else torch.ones(1)
        level[:, 0] = (1 - fall) * math.log(first) + fall * math.log(last)
        level[:, 1] = powers[0] * fall
        penalty[:, 0], penalty[:, 1] = math.log(rho), powers[1]
        t = 1.0
        for k in range(self.iterations):
            before, t = t, (1 + math.sqrt(1 + 4 * t * t)) / 2
            momentum[k, 0] = (before - 1) / t
        self.level, self.penalty, self.momentum = (nn.Parameter(p / _GAIN) for p in (level, penalty, momentum))

    @property
    def config(self) -> dict[str, Any]:
        """What rebuilds this network but for its weights, as plain values."""
        return {"denoiser": describe(self.denoiser), **self._options}

    def told(self, noise: float) -> Informed:
        """The same network, and the same weights, for scans of this noise, in a recipe's units."""
        new = copy.copy(self)
        new.noise = _check.number("noise", noise, low=0)
        if hasattr(self, "source"):
            new.source = {**self.source, "noise": new.noise}
        return new

    def steps(self, noise: torch.Tensor, accel: float) -> dict[str, torch.Tensor]:
        """Levels, penalties and momenta for noise (...,) and an acceleration, each (iterations, ...)."""
        t = torch.log((noise**2 + _LEAST**2).sqrt() / _UNIT)
        r = torch.full_like(t, math.log(accel / _ACCEL))
        given = torch.stack([torch.ones_like(t), t, t * t, r]).reshape(4, -1)
        level, penalty, momentum = ((_GAIN * p.to(t.dtype) @ given).reshape(-1, *t.shape)
                                    for p in (self.level, self.penalty, self.momentum))
        return {"level": level.exp(), "penalty": penalty.exp(), "momentum": momentum}

    def forward(self, A: Any, y: torch.Tensor, x0: torch.Tensor | None = None, *,
                noise: float | torch.Tensor | None = None) -> torch.Tensor:
        """The image: A a linop image -> data, y native complex of A's output shape, x0 the first image, else A^H y / c.

        noise: n, a number or one for each slice; None: `self.noise`, else estimated.
        """
        problem = SliceProblem(A, y)
        if self.level.device != y.device:
            raise ValueError(f"y is on {y.device}, the network on {self.level.device}: move one with .to(...)")
        noise = self._noise(problem, noise).to(self.level)
        x = z = problem.start(x0)
        shape = (*noise.shape, *(1,) * (x.ndim - noise.ndim)) if noise.ndim else ()
        values = self.steps(noise, acceleration(problem.linop, y)).values()
        for k in range(self.iterations):
            one = [v[k].reshape(shape) for v in values]
            if self.checkpoint and torch.is_grad_enabled():
                x, z = recompute(self._step, problem, k, x, z, *one, use_reentrant=False)
            else:
                x, z = self._step(problem, k, x, z, *one)
        if not bool(torch.isfinite(torch.view_as_real(x.detach().resolve_conj())).all()):
            raise FloatingPointError(f"{type(self).__name__} gave NaN or Inf: look at its weights, and the scale of y")
        return x

    def _step(self, problem, k, x, z, level, penalty, momentum):
        d = denoised(self.denoiser, z, level, channels=self.channels, noise_input=self.noise_input,
                     name=f"the denoiser of step {k + 1}")
        new = problem.data_prox(d, penalty.to(d.real.dtype), x, self.inner)
        return new, new + momentum.to(d.real.dtype) * (new - x)

    def _noise(self, problem, noise) -> torch.Tensor:
        """n as a tensor, (), or (slice,) where slices have their own."""
        noise = self.noise if noise is None else noise
        if noise is None:
            return _estimated(problem.linop, problem.y, problem.lead)
        noise = torch.as_tensor(noise, dtype=torch.float64)
        if not bool((noise >= 0).all()) or noise.shape not in ((), tuple(problem.ishape[:problem.lead])):
            raise ValueError(f"noise must be a number >= 0, or one for each slice, got {_check.brief(noise)}")
        return noise

    def extra_repr(self) -> str:
        """The number of steps, for `print`."""
        return f"iterations={self.iterations}, inner={self.inner}, noise={self.noise}"


def acceleration(A: Any, y: torch.Tensor) -> float:
    """R = pixels / cells of k-space that hold a sample; >= 1.

    On a grid the cells are the samples that are not zero in all coils, of samples anywhere those nearest to them.
    """
    coord = getattr(A, "coord", None)
    if coord is None:
        inner = len(A.ishape) - len(getattr(A, "lead", ()))
        there = (y.detach() != 0).any(dim=-1 - inner) if y.ndim > inner else y.detach() != 0
        return 1 / max(float(there.double().mean()), 1e-3)
    shape = tuple(A.ishape[-coord.shape[-1]:])
    cells = torch.as_tensor(coord).detach().cpu().round().long().reshape(-1, len(shape))
    seen = len(torch.unique(cells % torch.tensor(shape), dim=0))
    return max(math.prod(shape) / seen, 1.0)


def _estimated(A, y, lead: int) -> torch.Tensor:
    """The noise from the outer samples of y, for each entry of its first `lead` axes."""
    coord = getattr(A, "coord", None)
    inner = len(A.ishape) - lead if coord is None else coord.ndim - 1
    far = None if coord is None else (torch.as_tensor(coord).detach().cpu() ** 2).sum(-1).numpy()
    rows = y.detach().reshape(-1, *y.shape[lead:])
    if coord is not None and far.ndim > inner:
        far = far.reshape(-1, *far.shape[-inner:])[0]
    levels = [noise_level(row, ndim=inner, far=far) if bool((row != 0).any()) else 0.0 for row in rows]
    return torch.tensor(levels, dtype=torch.float64).reshape(tuple(A.ishape[:lead]))
