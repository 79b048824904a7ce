"""Untrained networks as priors: the architecture alone is what is believed about images."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pisolve import _check, backend
from pisolve.linops import as_torch
from pisolve.linops.solve import drawn_to_data
from pisolve.nets.blocks import as_network, describe
from pisolve.nets.decoders import ConvDecoder
from pisolve.nets.reconstruction import held_out_samples, normalised
from pisolve.nets.store import ARCHITECTURES
from pisolve.priors import Prior
from pisolve.problem import Problem
from pisolve.scan_specific.fit import Fitted, Task, zero_filled
from pisolve.solvers import solve

_PENALTIES = (1.0, 0.1, 0.01)  # how far the network is believed where the data say something, see `_Fitting.image`


class Untrained(Fitted):
    """x = G_theta(z): an image that a network makes of fixed noise z, with weights fitted to this scan's k-space.

        minimise over theta    ||r||_2 / ||y_Theta||_2 + ||r||_1 / ||y_Theta||_1,    r = A_Theta G_theta(z) - y_Theta

    (Squares alone, as in the papers, leave the weak samples far from the centre to the end: after 1000 steps on a
    tuning scan they were 2.7 dB behind.)

    A share of the measured samples, Gamma, is held back to say when to stop, since a network that is fitted for
    long enough fits noise, too. At the end all data are brought in, argmin 1/2 ||A x - y||^2 + eps/2 ||x - G||^2,
    with eps out of 1, 0.1, 0.01, or not at all: what predicts the held-back samples best when it sees the others
    only.

    Any operator on images (y, x). It takes minutes, no training data, and has no strength to tune.

    Use:
        for one scan unlike anything that networks were trained on. `runs` averages several fits from other noise, and
        their standard deviation, `result.state.aux["std"]`, is a measure of what the data leave open.

    Args:
        network: `nets.ConvDecoder`, `nets.DeepDecoder`, `nets.DIP`, or a module with latent(shape, rng) and
            forward(z, shape) -> (1, 2, y, x). Those of `nets` start from fresh weights drawn from `seed`, others from
            the weights that they have. None: `ConvDecoder()`.
        holdback: share of the measured samples in Gamma, drawn evenly outside of the centre.
        runs: number of fits.
        seed: of Gamma, the weights and the noise.
        start: the image that the network is first fitted to, by 200 steps of Adam before the first iteration. None: the
            weights as drawn. "zero-filled": s A_Theta^H y_Theta with the real s at which it agrees best with y_Theta,
            whatever the size of the maps. A prior g: argmin 1/2 ||A_Theta x - y_Theta||^2 + g(x). Neither sees Gamma,
            which else could not say when to stop. `solve(..., x0=image)` overrules it.

    Raises:
        TypeError: a network without latent and forward(z, shape); a start of another kind.
        ValueError: an image that is not (y, x); too few samples to hold any back; another word, or a fit, as start.

    Reference:
        Darestani and Heckel, IEEE Trans Comput Imaging 7 (2021) 724 (ConvDecoder); Ulyanov et al., CVPR 2018 (DIP).

    Example:
        done = pi.recon(scan, pi.Untrained(pi.nets.ConvDecoder(), runs=3))
        done = pi.recon(scan, pi.Untrained(start=1e-3 * pi.TV()))
    """

    network: Any
    holdback: float | None
    runs: int | None
    seed: int | None

    def __init__(self, network: Any = None, *, holdback: float = 0.05, runs: int = 3, seed: int = 0,
                 start: Prior | str | None = None):
        with torch.random.fork_rng(devices=[]):  # weights made here are not used, and cost the caller no random number
            network = ConvDecoder() if network is None else network
            ours = ARCHITECTURES.get(type(network).__name__) is type(network)
            self.network: Any = describe(network) if ours else network
            if isinstance(network, dict):
                network = as_network("network", network)
        if not isinstance(network, torch.nn.Module) or not callable(getattr(network, "latent", None)):
            raise TypeError("network must be a pi.nets.ConvDecoder(), or a torch module with latent(shape, rng) and "
                            f"forward(z, shape), got {_check.brief(network)}")
        self.holdback: float | None = _check.number("holdback", holdback, low=0, high=0.5, strict=True)
        self.runs, self.seed = _check.integer("runs", runs, low=1), _check.integer("seed", seed, low=0)
        self.start = _start(start)

    def task(self, problem: Problem) -> Any:
        return _Fitting(self, problem)

    def rehearsal(self, shape: Sequence[int]) -> Any:
        module = self.fresh(0)
        return module, module.latent(shape, np.random.default_rng(0)), lambda z: module(z, shape), 1

    def fresh(self, run: int) -> torch.nn.Module:
        """The network of a run, before the first step."""
        if not isinstance(self.network, dict):
            return copy.deepcopy(self.network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + run)
            return as_network("network", self.network)

    def __repr__(self) -> str:
        name = self.network["architecture"] if isinstance(self.network, dict) else type(self.network).__name__
        start = "" if self.start is None else f", start={self.start!r}"
        return f"Untrained({name}, runs={self.runs}{start})"


def _start(start):
    """The argument `start`, checked."""
    if start is not None and not isinstance(start, Prior | str):
        hint = ": an image goes in as solve(..., x0=image)" if _check.is_array(start) else ""
        raise TypeError("start must be None, 'zero-filled' or a prior such as 1e-3 * pi.TV(), got "
                        f"{_check.brief(start)}{hint}")
    if isinstance(start, str) and start != "zero-filled":
        raise ValueError(f"start must be 'zero-filled' or a prior such as 1e-3 * pi.TV(), got {_check.brief(start)}")
    if isinstance(start, Fitted):
        raise ValueError(f"start={start!r} is a fit to the scan itself: run that first, and give its image as x0")
    return start


class _Fitting(Task):
    """The fit of an untrained network to one problem."""

    steps, lr, keep, clip, patience, slack = 25, 1e-2, 0.98, None, 20, 0.01

    def __init__(self, prior: Untrained, problem):
        self.data = data = prior.data(problem)
        self.runs, self.shape, self.start = prior.runs, problem.ishape, prior.start
        try:
            held = held_out_samples(data.sampled, prior.holdback, np.random.default_rng([prior.seed, 1]),
                                    selection="uniform", centre=8)
        except ValueError as error:
            raise ValueError(f"holdback={prior.holdback:g}: {error}") from error
        self.A, self.y = data.restricted(data.sampled & ~held)
        self.back, self.held = data.restricted(held)
        self.target, self.AHy = backend.to_torch(self.y), self.A.H(self.y)
        self.networks = [prior.fresh(run).to(self.target.device).train() for run in range(prior.runs)]
        rngs = [np.random.default_rng([prior.seed, 2, run]) for run in range(prior.runs)]
        self.latents = [net.latent(self.shape, rng).to(self.target.device) for net, rng in zip(self.networks, rngs)]

    def module(self, run):
        return self.networks[run]

    def _made(self, run) -> torch.Tensor:
        """G(z), complex (y, x)."""
        planes = self.networks[run](self.latents[run], self.shape)
        if not torch.is_tensor(planes) or tuple(planes.shape) != (1, 2, *self.shape):
            raise ValueError(f"the network made {_check.brief(getattr(planes, 'shape', planes))} for an image of shape "
                             f"{self.shape}: forward(z, shape) must return (1, 2, y, x)")
        real = self.target.real.dtype
        return torch.view_as_complex(planes[0].movedim(0, -1).to(real).contiguous())

    def loss(self, run, t):
        return normalised(as_torch(self.A)(self._made(run))[None], self.target[None])

    def first(self):
        if self.start is None:
            return None
        if self.start == "zero-filled":
            return zero_filled(self.A, self.AHy)
        result = solve(self.A, self.y, self.start)
        if not result.ok:
            warnings.warn(f"start={self.start!r}: its run is {result.status}, the fit begins at its best image",
                          stacklevel=_check.outside())
        return result.x

    def towards(self, run, x0):
        return normalised(self._made(run)[None], backend.to_torch(x0)[None])

    def score(self, run):
        return self._error(self._image(run))

    def _image(self, run):
        return backend.from_torch(self._made(run), self.AHy)

    def _error(self, x) -> float:
        return float(backend.norm(self.back(x) - self.held) / backend.norm(self.held))

    def image(self, run):
        x = self._image(run)
        tried = {eps: self._error(_drawn(self.A, self.AHy, x, eps)) for eps in _PENALTIES}
        eps = min(tried, key=tried.get)
        if tried[eps] >= self._error(x):
            return x
        return _drawn(self.data.A, self.data.A.H(self.data.y), x, eps)


def _drawn(A, AHy, x, eps):
    return drawn_to_data(A, AHy, x, eps, iterations=30, tol=1e-3)
