"""Zero-shot self-supervision: an unrolled network trained on the samples of the one scan that it reconstructs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pisolve import _check, backend
from pisolve._types import Seed
from pisolve.backend import adam
from pisolve.linops import as_torch
from pisolve.nets import store
from pisolve.nets.reconstruction import held_out_samples, normalised
from pisolve.nets.unrolled import Unrolled
from pisolve.priors import PnP
from pisolve.problem import Problem
from pisolve.scan_specific.fit import Fitted, Task
from pisolve.solvers import State

# eight steps of accelerated fixed-point RED, from a level that removes aliasing to one of noise; see docs/networks.md
_UNROLLED = {"solver": {"name": "DataProx", "rho": 0.2, "momentum": True, "restart": False, "inner": 6},
             "iterations": 8, "sigma": [0.3, 0.01]}
DEFAULT = {"architecture": "Unrolled", "config": {**_UNROLLED, "denoiser": {"weights": "denoiser-fast"}}}


class ZeroShot(Fitted):
    """ZS-SSL, x = f_theta(A, y): an unrolled network trained on parts of the scan's own samples Omega.

        Omega = Gamma + Theta_k + Lambda_k, disjoint, k = 1 ... splits
        loss_k = ||u - v||_2 / ||u||_2 + ||u - v||_1 / ||u||_1,    u = y on Lambda_k,  v = A_Lambda f(A_Theta, y_Theta)

    Gamma is the same for all k; how well f(A_Theta+Lambda, y) predicts it says when to stop. The image is f(A, y) of
    all samples. One iteration of `Fit` goes once through the splits.

    It starts from the weights of the network: a shipped or trained one is adapted to the scan in a few iterations
    (transfer), fresh ones take many more. Maps are best calibrated on the full readout, before anything is cropped.

    Use:
        for a scan unlike the training data, or where there are none. `ZeroShot(pi.PnP(D, sigma))` adapts a plugged-in
        denoiser: `adapted(result.state)` gives the network with the fitted weights.

    Args:
        network: an unrolled network, `nets.Unrolled`, or any module called net(A, y) -> complex image; the name or path
            of one for `nets.load`; a description {"architecture": ..., "config": ...}, as `nets.build` takes it (fresh
            weights from `seed`); or `PnP(D, sigma)` with a torch module in D, which is unrolled. None: eight steps
            with `denoiser-fast`.
        splits: number of pairs (Theta_k, Lambda_k).
        rho: |Lambda_k| / |Omega without Gamma|.
        validation: |Gamma| / |Omega|.
        seed: of the splits, and of fresh weights.

    Raises:
        TypeError: a network that cannot be called net(A, y), or without weights to fit.
        ValueError: too few samples for the splits.

    Reference:
        Yaman, Hosseini and Akcakaya, "Zero-shot self-supervised learning for MRI reconstruction", ICLR 2022.

    Example:
        done = pi.recon(scan, pi.ZeroShot("modl-brain"), max_iter=20)
    """

    seed: int | None
    network: Any
    splits: int | None
    rho: float | None
    validation: float | None

    def __init__(self, network: Any = None, *, splits: int = 25, rho: float = 0.4, validation: float = 0.2,
                 seed: int = 0):
        self.seed: int | None = _check.integer("seed", seed, low=0)
        self.network: Any = DEFAULT if network is None else network
        module = self.fresh()
        if not getattr(module, "needs_maps", False) or next(module.parameters(), None) is None:
            raise TypeError("network must be called net(A, y) and have weights, such as pi.nets.Unrolled(...), got "
                            f"{_check.brief(module)}")
        self.splits: int | None = _check.integer("splits", splits, low=1)
        self.rho: float | None = _check.number("rho", rho, low=0, high=0.9, strict=True)
        self.validation: float | None = _check.number("validation", validation, low=0, high=0.9, strict=True)

    def fresh(self) -> torch.nn.Module:
        """The network before the first step, its weights to be fitted."""
        given = self.network
        if isinstance(given, str):
            module = store.load(given)
        elif isinstance(given, dict):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                module = store.build(**given)
        elif isinstance(given, PnP):
            module = _unrolled(given)
        elif isinstance(given, torch.nn.Module):
            module = copy.deepcopy(given)
        else:
            raise TypeError(f"network must be an unrolled network, its name, or a PnP prior, got {_check.brief(given)}")
        return module.requires_grad_(True)

    def rehearsal(self, shape: Sequence[int]) -> Any:
        module = self.fresh()
        one = torch.zeros(shape, dtype=torch.complex64)
        return module, one, lambda x: module.regularise(x, 0), getattr(module, "iterations", 0)

    def adapted(self, state: State) -> torch.nn.Module:
        """The network with the weights whose image a fit ended with, for other slices of the scan, say.

        Args:
            state: of a result of `Fit` with this prior.
        """
        module = self.fresh()
        adam.put(module, backend.to_numpy(state.aux["chosen"])[0])
        return module.eval().requires_grad_(False)

    def task(self, problem: Problem) -> Any:
        return _Training(self, problem)

    def __repr__(self) -> str:
        given = self.network
        name = given["architecture"] if isinstance(given, dict) else repr(given) if isinstance(
            given, str | PnP) else type(given).__name__
        return f"ZeroShot({name}, splits={self.splits})"


def _unrolled(prior: PnP) -> Unrolled:
    """Plug-and-play with a denoiser as a network of few steps whose level falls to the prior's."""
    D = prior.denoiser
    if not isinstance(D.network, torch.nn.Module):
        raise TypeError(f"{prior!r} holds no torch module, whose weights could be fitted")
    if prior.weights is not None:
        raise ValueError(f"{prior!r} has a level for each pixel, an unrolled network one for each step: leave weights "
                         "out")
    first, last = _UNROLLED["sigma"]
    last = prior.fixed_level or last  # it learns its levels
    return Unrolled(_UNROLLED["solver"], copy.deepcopy(D.network), _UNROLLED["iterations"],
                    sigma=(max(first, last), last), channels=D.channels, noise_input=D.noise_input)


def three_way(mask: np.ndarray, *, splits: int, rho: float, validation: float, seed: Seed = 0) -> tuple[np.ndarray,
              list[tuple[np.ndarray, np.ndarray]]]:
    """(Gamma, [(Theta_1, Lambda_1), ...]) of a sampling mask (ky, kx): disjoint, each triple covering the mask.

    Gamma and Lambda_k are drawn evenly, without the 4 x 4 samples about the centre.

    Raises:
        ValueError: too few samples outside of the centre.
    """
    gamma = held_out_samples(mask, validation, np.random.default_rng([seed, 0]), selection="uniform")
    rest = mask & ~gamma
    pairs = []
    for k in range(splits):
        held = held_out_samples(rest, rho, np.random.default_rng([seed, 1, k]), selection="uniform")
        pairs.append((rest & ~held, held))
    return gamma, pairs


class _Training(Task):
    """The training of one network on one problem's samples."""

    lr, keep, clip, patience = 2e-4, 0.9, 1.0, 8

    def __init__(self, prior: ZeroShot, problem):
        data = prior.data(problem)
        gamma, pairs = three_way(data.sampled, splits=prior.splits, rho=prior.rho, validation=prior.validation,
                                 seed=prior.seed)
        self.device = backend.to_torch(data.y).device
        self.network = prior.fresh().to(self.device).eval()
        self.steps, self.seed = prior.splits, prior.seed
        self.whole, self.seen = self._part(data, data.sampled), self._part(data, data.sampled & ~gamma)
        self.back = self._part(data, gamma)
        self.data, self.pairs = data, pairs  # as masks: operators and data of all of them would be 50 times k-space

    @staticmethod
    def _part(data, keep):
        A, y = data.restricted(keep)
        return A, backend.to_torch(y)

    def module(self, run):
        return self.network

    def loss(self, run, t):
        epoch, k = divmod(t, len(self.pairs))
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(len(self.pairs))
        (A, y), (other, target) = (self._part(self.data, part) for part in self.pairs[order[k]])
        there = as_torch(other)(self.network(A, y))
        return normalised(there[None], target[None])

    def score(self, run):
        x = self.network(*self.seen)
        A, y = self.back
        return float(torch.linalg.vector_norm(as_torch(A)(x) - y) / torch.linalg.vector_norm(y))

    def image(self, run):
        return backend.from_torch(self.network(*self.whole), self.data.y)
