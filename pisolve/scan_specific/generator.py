"""Images out of the range of a generative network: the latent vector is fitted to the data."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pisolve import _check, backend
from pisolve.linops import as_torch
from pisolve.problem import Problem
from pisolve.scan_specific.fit import Fitted, Task


class Generator(Fitted):
    """CSGM, x = c G(z): the image that a generative network makes of the z whose samples agree best with the data.

        minimise over z    ||c A G(z) - y||^2 / ||y||^2 + penalty ||z||^2 / dim z,    c = <A G(z), y> / ||A G(z)||^2

    by Adam from `restarts` draws of z from N(0, I), since the problem has local minima; the image is that of the least
    residual. G keeps its weights. The complex number c brings the generator's units and the scan's together, and their
    global phases.

    An image that G cannot make is not found: `state.aux["best"]` is each run's residual ||c A G(z) - y|| / ||y||, near
    the noise's share of y where G can make the image, and well above it where it cannot.

    Use:
        with a generator (of a GAN, a VAE, a flow) trained on images of the very kind of the scan. What it was not
        trained on, such as a lesion, cannot appear; `sample` with a denoiser is not bound to a range.

    Args:
        network: a torch module z (1, *latent) -> an image of the scan's size: (1, 2, y, x), real and imaginary part;
            (1, 1, y, x), real; or complex (1, y, x).
        latent: the shape of z without the first axis; a number is short for one axis.
        restarts: number of draws of z.
        penalty: of z, for noisy data: what keeps z where G was trained.
        seed: of the draws.

    Raises:
        TypeError: a network that is no module.
        ValueError: an image of another size than the scan's, data or images of a kind that cannot be fitted.

    Reference:
        Bora, Jalal, Price and Dimakis, ICML 2017 (CSGM); Narnhofer et al., SPIE 11138 (2019) (MRI).

    Example:
        done = pi.recon(scan, pi.Generator(G, latent=64, restarts=4))
    """

    network: torch.nn.Module
    latent: tuple[Any, ...]
    runs: int
    restarts: int
    penalty: float
    seed: int

    def __init__(self, network: torch.nn.Module, *, latent: int | Sequence[int], restarts: int = 4,
                 penalty: float = 0.0, seed: int = 0):
        if not isinstance(network, torch.nn.Module):
            raise TypeError(f"network must be a torch module z -> image, got {_check.brief(network)}")
        self.network = network
        sizes = latent if isinstance(latent, Sequence) else (latent,)
        self.latent = tuple(_check.integer("latent", n, low=1) for n in sizes)
        self.runs = self.restarts = _check.integer("restarts", restarts, low=1)
        self.penalty = _check.number("penalty", penalty, low=0)
        self.seed = _check.integer("seed", seed, low=0)

    def task(self, problem: Problem) -> Task:
        """The search of z for these data."""
        return _Search(self, problem)

    def rehearsal(self, shape: Sequence[int]) -> Any:
        """As `Fitted.rehearsal`: the generator on one z."""
        return self.network, torch.zeros(1, *self.latent), self.network, 1

    def __repr__(self) -> str:
        return f"Generator({type(self.network).__name__}, latent={self.latent}, restarts={self.runs})"


class _Latent(torch.nn.Module):
    """z, all that is fitted, in front of a network that is not."""

    def __init__(self, network, z):
        super().__init__()
        self.z = torch.nn.Parameter(z)
        self.make = [network]  # in a list: its weights are no parameters

    def forward(self):
        return self.make[0](self.z)


class _Search(Task):
    """The search of z for one problem."""

    steps, lr, keep, clip, patience, chooses = 25, 5e-2, 0.0, None, 20, True

    def __init__(self, prior: Generator, problem):
        data = prior.data(problem)
        self.A, self.shape, self.penalty = as_torch(data.A), problem.ishape, prior.penalty
        self.y = backend.to_torch(data.y)
        network = copy.deepcopy(prior.network).to(self.y.device).eval().requires_grad_(False)
        self.runs = prior.runs
        rngs = (np.random.default_rng([prior.seed, run]) for run in range(prior.runs))
        drawn = [torch.from_numpy(rng.standard_normal((1, *prior.latent)).astype(np.float32)) for rng in rngs]
        self.latents = [_Latent(network, z.to(self.y.device)) for z in drawn]

    def module(self, run):
        return self.latents[run]

    def _made(self, run):
        """(c G(z), c A G(z))."""
        image = _complex(self.latents[run](), self.shape).to(self.y.dtype)
        there = self.A(image)
        c = torch.vdot(there.flatten(), self.y.flatten()) / there.abs().square().sum().clamp_min(1e-30)
        return c * image, c * there

    def loss(self, run, t):
        return self._off(self._made(run)[1]) + self.penalty * self.latents[run].z.square().mean()

    def _off(self, there):
        return (there - self.y).abs().square().sum() / self.y.abs().square().sum()

    def score(self, run):
        return float(self._off(self._made(run)[1])) ** 0.5

    def image(self, run):
        return backend.from_torch(self._made(run)[0])


def _complex(made, shape) -> torch.Tensor:
    """What a generator made, as a complex image (y, x)."""
    if torch.is_tensor(made):
        if made.is_complex() and tuple(made.shape) == (1, *shape):
            return made[0]
        if made.is_floating_point() and tuple(made.shape) == (1, 1, *shape):
            return made[0, 0] + 0j
        if made.is_floating_point() and tuple(made.shape) == (1, 2, *shape):
            return torch.complex(made[0, 0], made[0, 1])
    raise ValueError(f"the network made {_check.brief(getattr(made, 'shape', made))} for an image of shape {shape}: it "
                     "must make (1, 2, y, x), (1, 1, y, x), or complex (1, y, x)")
