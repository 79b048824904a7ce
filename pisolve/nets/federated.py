"""Training over several sites whose scans stay where they are: federated averaging of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pisolve import _check
from pisolve._types import PathLike
from pisolve.nets import losses
from pisolve.nets.config_tasks import TASKS
from pisolve.nets.run import on_device

OPTIMISERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
LEAVES = ("update", "examples", "loss")  # all that a site ever sends


@dataclass(frozen=True)
class Site:
    """A place whose scans stay there: a folder, and what to train on in it.

    Args:
        folder: as the site itself sees it.
        data: the table [data] of a configuration but for its folder, such as {"kind": "fastmri", "accel": 4}.
        task: the table [task], such as {"kind": "reconstruction", "batch_size": 2}.
        loss: the table [loss], or None for the task's own.
        worker: address of the Dask worker at the site; None: any.
    """

    folder: PathLike
    data: Mapping[str, Any] = field(default_factory=lambda: {"kind": "fastmri"})
    task: Mapping[str, Any] = field(default_factory=lambda: {"kind": "reconstruction"})
    loss: Mapping[str, Any] | None = None
    worker: str | None = None

    def open(self, network: Any) -> Any:
        """The training task on the scans in the folder; called at the site.

        Raises:
            ValueError: an unknown kind or key, or a folder without scans.
        """
        values = dict(self.task)
        kind = _check.choice("task kind", values.pop("kind", None), TASKS)
        loss = None if self.loss is None else losses.from_config(self.loss)
        return TASKS[kind](values, {**self.data, "folder": str(self.folder)}, loss, network)


@dataclass(frozen=True)
class Federation:
    """Settings of federated averaging.

    Args:
        rounds: how often weights go out and updates come back.
        local_steps: steps of each site in a round, a batch each.
        lr: learning rate of these steps.
        optimiser: of these steps, "sgd" or "adam"; its memory begins anew in each round and stays at the site, so Adam
            wants many local steps (a fresh one moves every weight by lr, whatever its gradient is).
        clip: largest norm of a site's update, all weights together; None: as it is.
        noise: standard deviation of the noise that a site adds to each weight of its clipped update, in units of
            `clip`; 0: none.
        seed: of this noise, for experiments; None: of the operating system, as whoever knows a seed can take the noise
            away again.

    Raises:
        TypeError, ValueError: a value out of range, or noise without clip, whose size would mean nothing.
    """

    rounds: int = 20
    local_steps: int = 10
    lr: float = 1e-3
    optimiser: str = "sgd"
    clip: float | None = None
    noise: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("rounds", "local_steps"):
            _check.integer(name, getattr(self, name), low=1)
        _check.number("lr", self.lr, low=0, strict=True)
        _check.choice("optimiser", self.optimiser, OPTIMISERS)
        _check.number("clip", self.clip, low=0, strict=True, allow_none=True)
        _check.number("noise", self.noise, low=0)
        _check.integer("seed", self.seed, low=0, allow_none=True)
        if self.noise and self.clip is None:
            raise ValueError("noise is in units of clip: give clip, the largest norm of an update")


def federate(network: torch.nn.Module, sites: Mapping[str, Any], settings: Federation | None = None, *,
             client: Any = None, callback: Callable[[dict], None] | None = None) -> torch.nn.Module:
    """Train `network` in place over sites, by federated averaging (FedAvg), and return it, in eval mode.

        at site k, from w:   local_steps of SGD on its own batches -> w_k
                             u_k = (w_k - w) min(1, clip / ||w_k - w||) + noise clip e_k
        then                 w <- w + sum_k n_k / n u_k,   n_k the examples of site k

    With one local step and a batch of all examples it is gradient descent on all scans together. What leaves a site is
    u_k, n_k and the mean loss, nothing else: k-space, images and maps never do. An update still tells something of the
    scans it was made of; clip and noise bound how much (the Gaussian mechanism, at each site), and what that is worth
    for a number of rounds is for an accountant of your own.

    Args:
        network: what is trained. Its buffers must stay as they are: a site's running statistics would be lost.
        sites: name -> `Site`, the path of a folder in fastMRI's layout, or a task in memory, to try it out.
        settings: None: `Federation()`.
        client: None: one site after another, here; a `distributed.Client`, whose workers are the sites, or an executor
            of `concurrent.futures`.
        callback: called after each round with {"round", "loss", "losses"}: the weighted mean and that of each site.

    Raises:
        TypeError: no module, or no sites by name.
        ValueError: no site, a network without weights to train or with buffers that training changes, an update that is
            not finite (it names the site) or that does not fit the network.

    Reference:
        McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017;
        McMahan et al., "Learning differentially private recurrent language models", ICLR 2018 (clip and noise); Guo et
        al., "Multi-institutional collaborations for improving deep learning-based MR image reconstruction using
        federated learning", CVPR 2021.

    Example:
        pi.nets.federate(net, {"A": "hospital_a/", "B": "hospital_b/"}, pi.nets.Federation(rounds=5, optimiser="adam"))
    """
    settings = Federation() if settings is None else settings
    sites = _sites(sites)
    if not isinstance(network, torch.nn.Module):
        raise TypeError(f"network must be a torch module, got {type(network).__name__}")
    if not _trained(network):
        raise ValueError(f"{type(network).__name__} has no weights to train, all are frozen")
    for step in range(settings.rounds):
        sent = _answers(client, [(site, network, settings, step, k) for k, site in enumerate(sites.values())])
        answers = {name: _checked(name, answer, network) for name, answer in zip(sites, sent, strict=True)}
        total = sum(a["examples"] for a in answers.values())
        shares = {name: a["examples"] / total for name, a in answers.items()}
        with torch.no_grad():
            for name, weight in _trained(network).items():
                weight += sum(share * answers[k]["update"][name].to(weight.device) for k, share in shares.items())
        if callback is not None:
            callback({"round": step + 1, "loss": sum(share * answers[k]["loss"] for k, share in shares.items()),
                      "losses": {k: a["loss"] for k, a in answers.items()}})
    return network.eval()


def visit(site: Any, network: torch.nn.Module, settings: Federation, step: int, number: int) -> dict:
    """One round at one site, run where its scans are; what it returns, `LEAVES`, is all that leaves the site."""
    network = copy.deepcopy(network).train()
    task = site.open(network) if hasattr(site, "open") else site
    weights, device = _trained(network), next(network.parameters()).device
    before, fixed = ({k: v.detach().clone() for k, v in values.items()}
                     for values in (weights, dict(network.named_buffers())))
    optimiser, total = OPTIMISERS[settings.optimiser](weights.values(), lr=settings.lr), 0.0
    for k in range(settings.local_steps):
        place = step * settings.local_steps + k
        with torch.random.fork_rng(devices=[]):  # what dropout draws depends on the step only
            torch.manual_seed(place)
            value = task.loss(network, on_device(task.batch(place), device))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        total += float(value.detach())
    for name, buffer in network.named_buffers():
        if not torch.equal(buffer, fixed[name]):
            raise ValueError(f"training changes the buffer {name}, which is not averaged: take a network without "
                             "running statistics, such as one with instance or group normalisation")
    update = {name: weight.detach() - before[name] for name, weight in weights.items()}
    return {"update": _private(update, settings, step, number), "examples": len(task.examples),
            "loss": total / settings.local_steps}


def _private(update, settings, step, number) -> dict:
    """An update, its norm at most `clip`, with noise."""
    if settings.clip is None:
        return update
    size = math.sqrt(sum(float(torch.linalg.vector_norm(u)) ** 2 for u in update.values()))
    factor = min(1.0, settings.clip / max(size, 1e-30))
    rng = np.random.default_rng(None if settings.seed is None else [settings.seed, step, number])
    return {name: factor * u + settings.noise * settings.clip * _white(u, rng) for name, u in update.items()}


def _white(like, rng):
    """White noise of standard deviation 1, of each part, of a tensor's shape and kind."""
    shape = (*like.shape, 2) if like.is_complex() else tuple(like.shape)
    white = torch.from_numpy(rng.standard_normal(shape)).to(like.device, like.real.dtype)
    return torch.view_as_complex(white) if like.is_complex() else white


def _answers(client, visits) -> list[dict]:
    """What the sites send, in their order."""
    if client is None:
        return [visit(*one) for one in visits]
    dask = hasattr(client, "get_executor")
    where = [getattr(site, "worker", None) for site, *_ in visits]
    more = [({"pure": False} | ({} if w is None else {"workers": [w]})) if dask else {} for w in where]
    waiting = [client.submit(visit, *one, **words) for one, words in zip(visits, more)]
    return [one.result() for one in waiting]


def _checked(name, answer, network) -> dict:
    """What a site sent, which must be of `LEAVES` alone, an update of the network's weights and two numbers.

    Raises:
        ValueError: anything else, whose sender runs something else; or what is not finite.
    """
    weights = _trained(network)
    told = isinstance(answer, dict) and set(answer) == set(LEAVES) and isinstance(answer["update"], dict)
    if not told or {k: v.shape for k, v in answer["update"].items()} != {k: v.shape for k, v in weights.items()}:
        raise ValueError(f"site {name!r} sent something else than an update of the weights of "
                         f"{type(network).__name__}: do all sites run this version?")
    if not all(bool(torch.isfinite(u).all()) for u in answer["update"].values()):
        raise ValueError(f"the update of site {name!r} is not finite: take a smaller lr")
    _check.integer(f"examples of site {name!r}", answer["examples"], low=1)
    _check.number(f"loss of site {name!r}", answer["loss"])
    return answer


def _trained(network) -> dict:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def _sites(sites) -> dict:
    """name -> what can be opened, or a task."""
    if not isinstance(sites, Mapping) or not all(isinstance(name, str) for name in sites):
        raise TypeError(f"sites must be a dict, name -> Site, folder or task, got {_check.brief(sites)}")
    if not sites:
        raise ValueError("sites is empty: give at least one")
    out = {name: Site(site) if isinstance(site, str) or hasattr(site, "__fspath__") else site
           for name, site in sites.items()}
    for name, site in out.items():
        if not hasattr(site, "open") and not all(callable(getattr(site, n, None)) for n in ("batch", "loss")):
            raise TypeError(f"sites[{name!r}] must be a Site, a folder or a task, got {_check.brief(site)}")
    return out
