"""A reconstruction network instead of prior and solver: one call a slice, in the recipe's scale."""

from __future__ import annotations

import contextlib
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve.linops.solve import drawn_to_data
from pisolve.prepare import CoilImages, Model
from pisolve.priors import Denoiser, Prior
from pisolve.priors._module import is_module, ready
from pisolve.solvers import State

_EPS = 1e-2  # how far the network is believed where the data say something


@dataclass(frozen=True)
class NetworkResult:
    """What a network made of one slice, as `Result` is what a solver did.

    Attributes:
        x: the image in scaled units; the zero-filled one where the network's was not finite.
        status: "done" or "nonfinite".
        network: its name.
        seconds: wall time.
        data_residual: ||A x - y|| / ||y||, None for a network that returns a magnitude.
        state: the image as a `State` of one step; its residual is data_residual, or inf.
        solver: None.
        interrupted: False, as Ctrl-C in a network is passed on.
        warning: what its network says of all of its images, such as that an adversarial one may invent detail, or None.
        missed: with a fallback, the share of withheld samples' signal that the network's image lacks, see
            `doubt.Trial`; None where nothing was withheld.
        doubtful: whether that is over half, and more than its fallback's lacks.
        fallback: the prior whose image x is, where it took the network's place, in words; None: x is the network's.
    """

    interrupted = False

    x: object
    status: str
    network: str
    seconds: float
    data_residual: float | None
    history: list[Any] = field(default_factory=list)
    solver: None = None
    warning: str | None = None
    missed: float | None = None
    doubtful: bool = False
    fallback: str | None = None

    @property
    def ok(self) -> bool:
        """True where the image is the network's, or its fallback's."""
        return self.status == "done"

    @property
    def state(self) -> State:
        """The image as the state after one step."""
        return State(self.x, 1, float("inf") if self.data_residual is None else self.data_residual)

    def report(self, *, show: bool = True) -> dict[str, Any]:
        """The attributes as plain values; `show`: print them, too."""
        out = {n: getattr(self, n) for n in ("status", "ok", "network", "seconds", "data_residual")}
        out |= {} if self.warning is None else {"warning": self.warning}
        out |= {} if self.missed is None else {n: getattr(self, n) for n in ("missed", "doubtful", "fallback")}
        if show:
            print("\n".join(f"{name.replace('_', ' '):14}{value}" for name, value in out.items()))
        return out


def accept(recipe, defaults) -> None:
    """Refuse a network that does not go with the rest of its recipe; it gets coil images where it needs no maps."""
    check_network(recipe.network)
    refuse_beside(recipe, defaults)
    kind = bool(recipe.network.needs_maps)
    if not kind and getattr(recipe.method, "networks", None):
        object.__setattr__(recipe, "method", CoilImages())
    if getattr(recipe.method, "networks", None) is not kind or getattr(recipe.maps, "sets", 1) > 1:
        raise ValueError("network goes with Sense() and one set of maps: leave method out, and Espirit(sets=...)")


def refuse_beside(recipe, defaults) -> None:
    """Refuse what a recipe has beside its network and a network takes no notice of."""
    given = [n for n in ("prior", "solver", "tune") if getattr(recipe, n) is not None]
    given += [n for n in ("max_iter", "tol") if getattr(recipe, n) != getattr(defaults, n)]
    if given:
        raise ValueError(f"{given[0]} has no effect on a network, which needs no prior and no solver: leave it out")


def beside_network(recipe) -> None:
    """Refuse what is for a network alone, of a recipe without one, and what no network takes notice of."""
    if recipe.network is None:
        for name, why in (("consistency", "a prior's image has the data term"), ("fallback", "a prior is none's")):
            if getattr(recipe, name):
                raise ValueError(f"{name} is for a network: {why}")
        return
    for name in ("x0", "weights"):
        if getattr(recipe, name) is not None:
            raise ValueError(f"{name} has no effect on a network, which needs no solver: leave it out")
    if recipe.fallback is not None and not (isinstance(recipe.fallback, Prior) and recipe.network.needs_maps):
        raise TypeError("fallback must be a prior such as pi.PnP(D) or 1.5e-3 * pi.TV(), beside a network with maps, "
                        f"got {_check.brief(recipe.fallback)}")


def check_network(network) -> None:
    """Refuse what is no reconstruction network."""
    if getattr(network, "makes_maps", False):
        raise TypeError("network must be a reconstruction network, got one that makes coil maps: it goes in as "
                        "maps=pi.nets.LearnedMaps(network)")
    if isinstance(network, Denoiser) or (is_module(network) and not hasattr(network, "needs_maps")):
        raise TypeError("network must be a reconstruction network, got a denoiser: it goes in as the prior "
                        "pi.PnP(D, sigma); a network of your own says needs_maps = True or False")
    if not is_module(network):
        raise TypeError(f"network must be a torch module such as pi.nets.load(name), got {_check.brief(network)}")


def name_of(network) -> str:
    """What a network is called: the name or path it was loaded from, else its class."""
    return getattr(network, "source", {}).get("name_or_path", type(network).__name__)


def run(network, model: Model, scale: float, consistency: bool) -> NetworkResult:
    """The network on one slice's model, in eval mode and without gradients.

    Args:
        network: called net(A, y) -> complex image where it `needs_maps`, else net(kspace, mask) -> magnitude.
        model: of `prepare.models_of`.
        scale: what the data are multiplied by.
        consistency: bring the measured data back, see `Recipe`.

    Raises:
        TypeError, ValueError: an output of the wrong kind or shape; a network on a device where the data are not.

    Warns:
        UserWarning: what the network's `warning` says.
    """
    start, warning = time.perf_counter(), getattr(network, "warning", None)
    if warning is not None:
        warnings.warn(f"{name_of(network)}: {warning}", stacklevel=_check.outside())
    y = model.y * backend.number(scale, model.y)
    if consistency and not network.needs_maps and len(y) > 1:
        raise ValueError("consistency of a network without maps is for one coil: a magnitude of several coils has no "
                         "k-space to put data into")
    x, residual = None, None
    with contextlib.suppress(FloatingPointError), backend.joined(y):  # an unrolled network noticed NaN itself
        x = _call(network, model.A, y)
    status = "done" if x is not None and _check.all_finite(x) else "nonfinite"
    if status == "nonfinite":
        x = model.A.H(y)
    elif network.needs_maps:
        x = consistent(model.A, y, x) if consistency else x
        residual = float(_norm(model.A(x) - y) / _norm(y))
    elif consistency:
        x = consistent(model.A, y, x * backend.unit(model.A.H(y)))
    return NetworkResult(x, status, name_of(network), time.perf_counter() - start, residual, warning=warning)


def _call(network, A, y):
    """The network's image as a complex array of y's kind, of A's input shape, or (1, y, x) for a magnitude."""
    import torch

    weight = next(network.parameters(), torch.zeros(()))
    data = backend.to_torch(backend.copy(y))
    if network.needs_maps and weight.device != data.device:
        raise ValueError(f"the network is on {weight.device}, the scan's maps and data are not: "
                         f"network.to('{data.device}')")
    data = data.to(weight.device)
    with ready(network, False):
        if network.needs_maps:
            x, shape, kind = network(A, data), tuple(A.ishape), "complex"
        else:
            seen = np.ones(1) if A.sense.weight is None else backend.to_numpy(A.sense.weight)
            mask = torch.from_numpy(np.broadcast_to(seen > 0, (1, 1, *y.shape[-2:])).copy()).to(weight.device)
            x, shape, kind = network(data[None], mask), (1, *y.shape[-2:]), "real"
    name, got = type(network).__name__, x.dtype if torch.is_tensor(x) else type(x).__name__
    if not torch.is_tensor(x) or not (x.is_complex() if kind == "complex" else x.is_floating_point()):
        raise TypeError(f"{name} must return a {kind} tensor, got {got}")
    if tuple(x.shape) != shape:
        raise ValueError(f"{name} returned shape {tuple(x.shape)}, expected {shape}")
    return backend.cast(backend.from_torch(x, y), y)


def _norm(x):
    return np.linalg.norm(backend.to_numpy(x))


def consistent(A, y, x):
    """x with the measured data brought back.

    x + A^H (y - A x) where that meets the data exactly (one coil, map of 1: the measured samples replace the image's),
    else argmin_u 1/2 ||A u - y||^2 + eps/2 ||u - x||^2 by conjugate gradients, eps = 0.01 for ||A|| near 1.
    """
    r = y - A(x)
    back = A.H(r)
    if _norm(A(back) - r) <= 1e-4 * _norm(r):
        return x + back
    return drawn_to_data(A, A.H(y), x, _EPS, iterations=100, tol=1e-5)
