"""The training tasks of reconstruction networks: against a truth, or against held-out samples of k-space alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pisolve import _check, backend, linops, metrics
from pisolve.nets import losses
from pisolve.nets.parallel import share
from pisolve.nets.slices import Slices, collate


@dataclass(frozen=True)
class ReconstructionTask:
    """Reconstruct undersampled slices: minimise over the weights the mean loss against the truth.

    A network with maps (`needs_maps` True) is called `network(A, y)` with all slices of the batch at once and compared
    with the complex target; one without is called `network(kspace, mask)` and compared with the root sum of squares,
    its output cropped to it.

    Args:
        examples: a dataset of `Slices`: `Simulated` (whose `group` is a multiple of `batch_size`), `Scans`, `FastMRI`,
            or a list. Finite ones are gone through in a new order each time, drawn from (seed, round).
        validation: the slices for validation, a dataset or a list; all of them, one by one.
        batch_size: slices a step; they must have one shape.
        loss_function: of (output, target); None: `L1()` on complex images, `SSIM()` on magnitudes.
        seed: of the order.

    Raises:
        ValueError: no examples, or groups that do not fit the batches.
    """

    examples: Sequence[Slices] = field(repr=False)
    validation: Sequence[Slices] = field(default=(), repr=False)
    batch_size: int = 1
    loss_function: Callable[..., Any] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _check.integer("batch_size", self.batch_size, low=1, high=1 << 14)
        _check.integer("seed", self.seed, low=0)
        if not len(self.examples):
            raise ValueError("examples is empty: give at least one slice to train on")
        if getattr(self.examples, "group", self.batch_size) % self.batch_size:
            raise ValueError(f"examples has groups of {self.examples.group} slices of one shape, batch_size is "
                             f"{self.batch_size}: give group={self.batch_size}")

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that tell this task from another."""
        drawn = repr(getattr(self.examples, "settings", None)), getattr(self.examples, "seed", None)
        return {"kind": type(self).__name__, "batch_size": self.batch_size, "seed": self.seed, "examples": drawn,
                "number": len(self.examples), "loss": repr(self.loss_function)}

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Slices:
        """The slices of a step."""
        return collate([self._item(step * self.batch_size + place) for place in share(self.batch_size, rank, world)])

    def loss(self, network: Any, batch: Slices) -> torch.Tensor:
        """The loss of a batch: a scalar."""
        output, target = self.output(network, batch)
        given = losses.L1() if target.is_complex() else losses.SSIM(data_range="image")
        return (self.loss_function or given)(output, target)

    def output(self, network: Any, batch: Slices) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network makes of a batch, and what it should be."""
        maps = needs_maps(network)
        target = batch.target if maps else batch.rss
        if target is None:
            raise ValueError(f"the examples have no {'maps or no ' * maps}truth: give fully sampled scans and a pattern"
                             f"{', with maps=' + repr('espirit') if maps else ''}")
        x = called(network, batch)
        return _cropped(x, target.shape[-2:]), target

    def validate(self, network: Any) -> dict[str, float]:
        """Means over the validation slices: "nmse", "psnr", "ssim", each slice by itself, of magnitudes."""
        return _mean([metrics.all(target, output) for output, target in self._validated(network)])

    def picture(self, network: Any) -> np.ndarray:
        """Zero-filled, reconstructed and true magnitude of the first validation slice, side by side."""
        if not len(self.validation):
            return np.zeros((1, 1))
        output, target = next(self._validated(network))
        zero = _cropped(torch.from_numpy(self.validation[0].zero_filled()), target.shape[-2:])[0]
        return np.clip(np.hstack([zero, abs(output[0]), abs(target[0])]) / abs(target).max(), 0, 1)

    def card(self) -> dict[str, Any]:
        """What a model card says of this task."""
        settings = getattr(self.examples, "settings", None)
        noise = list(settings.noise) if settings is not None else [0.0, 0.0]
        return {"noise_range": noise, "intensity_range": "99th percentile of |A^H y| of 1",
                "training": f"{self.batch_size} slices each, loss {self.loss_function!r}, {settings or ''} ",
                "caption": "Means over slices held out of the training, magnitudes."}

    def figures(self, network: Any) -> list[dict[str, Any]]:
        """Rows of the card: zero-filled images and the network's, mean NMSE, PSNR in dB and SSIM."""
        if not len(self.validation):
            return []
        pairs = list(self._validated(network))
        zero = [metrics.all(t, _cropped(torch.from_numpy(s.zero_filled()), t.shape[-2:]).numpy())
                for s, (_, t) in zip(self.validation, pairs)]
        rows = {"zero-filled": _mean(zero), "network": _mean([metrics.all(t, x) for x, t in pairs])}
        return [{"images": name, "NMSE": f"{v['nmse']:.4f}", "PSNR": f"{v['psnr']:.2f}", "SSIM": f"{v['ssim']:.4f}"}
                for name, v in rows.items()]

    def _item(self, number: int) -> Slices:
        if hasattr(self.examples, "drawn"):
            return self.examples.drawn(number)
        count = len(self.examples)
        order = np.random.default_rng([self.seed, number // count]).permutation(count)
        return self.examples[int(order[number % count])]

    def _validated(self, network):
        device = next(network.parameters()).device
        network.eval()
        for number in range(len(self.validation)):
            with torch.no_grad():
                output, target = ReconstructionTask.output(self, network, self.validation[number].to(device))
            yield output.cpu().numpy(), target.cpu().numpy()


@dataclass(frozen=True)
class SSDU(ReconstructionTask):
    """Self-supervision by splitting k-space: what is measured, Omega, becomes Theta, which the network sees, and
    Lambda, which its output is compared on; no truth is needed.

        loss = ||u - v||_2 / ||u||_2 + ||u - v||_1 / ||u||_1,    u = y on Lambda,  v = A_Lambda f(A_Theta, y_Theta)

    Every step draws another split of each slice from (seed, number of the item). A loss on the samples that the network
    has seen teaches nothing that makes up for those that are missing. The network needs maps. Of samples anywhere whole
    shots are held out, whatever `selection` and `centre` say.

    Args:
        examples, validation, batch_size, loss_function, seed: as in `ReconstructionTask`; loss_function takes (v, u).
        rho: |Lambda| / |Omega|.
        selection: "gaussian" prefers samples near the centre, "uniform" takes all alike.
        centre: side of the square about the centre of k-space that stays in Theta.

    Reference:
        Yaman et al., "Self-supervised learning of physics-guided reconstruction neural networks without fully sampled
        reference data", Magn Reson Med 84 (2020) 3172.
    """

    rho: float = 0.4
    selection: str = "gaussian"
    centre: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < _check.number("rho", self.rho) < 1:
            raise ValueError(f"rho must be between 0 and 1, got {self.rho}")
        _check.choice("selection", self.selection, ("gaussian", "uniform"))
        _check.integer("centre", self.centre, low=0)

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that tell this task from another."""
        return super().config | {"rho": self.rho, "selection": self.selection, "centre": self.centre}

    def batch(self, step: int, rank: int = 0, world: int = 1) -> tuple[Slices, torch.Tensor]:
        """The slices of a step and their Lambda (slice, 1, ky, kx)."""
        slices = super().batch(step, rank, world)
        split = []
        for place, mask in zip(share(self.batch_size, rank, world), slices.mask.numpy()):
            rng = np.random.default_rng([self.seed, step * self.batch_size + place, 3])
            split.append(held_out_samples(mask[0], self.rho, rng, selection=self.selection, centre=self.centre)
                         if slices.coord is None else held_out_shots(mask[0], self.rho, rng))
        return slices, torch.from_numpy(np.stack(split)[:, None])

    def loss(self, network: Any, batch: Any) -> torch.Tensor:
        """The loss of a batch: a scalar."""
        return self.split(network, batch)[1]

    def split(self, network: Any, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """f(A_Theta, y_Theta), and the loss of it on Lambda."""
        slices, held = batch
        through_maps(self, network)
        seen = slices.sampled(~held)
        x = called(network, seen)
        there = linops.as_torch(slices.sampled(held).A)(x)
        return x, (self.loss_function or normalised)(there, slices.kspace * held)


def held_out_samples(mask: np.ndarray, rho: float = 0.4, rng=0, *, selection: str = "gaussian",
                     centre: int = 4) -> np.ndarray:
    """SSDU's Lambda: round(rho |Omega|) samples of a mask (ky, kx), drawn without replacement, bool (ky, kx).

    Args:
        mask: Omega, bool.
        rho: share of the samples.
        rng: a generator, or a seed.
        selection: "uniform", or "gaussian": with weights exp(-(dy / (ny/4))^2 / 2 - (dx / (nx/4))^2 / 2).
        centre: samples of this square about the centre are never taken.

    Raises:
        ValueError: too few samples are left outside of the centre.
    """
    rng, (ny, nx) = np.random.default_rng(rng), mask.shape
    y, x = np.arange(ny)[:, None] - ny // 2, np.arange(nx) - nx // 2
    free = mask & ~((-(centre // 2) <= y) & (y < centre - centre // 2) & (-(centre // 2) <= x)
                    & (x < centre - centre // 2))
    number = round(rho * int(mask.sum()))
    if not 0 < number <= int(free.sum()):
        raise ValueError(f"mask has {int(mask.sum())} samples, {int(free.sum())} of them outside of the centre: "
                         f"rho={rho:g} of them cannot be held out")
    places = np.flatnonzero(free)
    weight = np.exp(-8.0 * ((y / ny) ** 2 + (x / nx) ** 2)).ravel()[places] if selection == "gaussian" else None
    out = np.zeros(mask.size, bool)
    out[rng.choice(places, number, replace=False, p=None if weight is None else weight / weight.sum())] = True
    return out.reshape(mask.shape)


def held_out_shots(mask: np.ndarray, rho: float = 0.4, rng=0) -> np.ndarray:
    """SSDU's Lambda of samples anywhere: a share rho of the shots of a mask (shot, sample), bool (shot, sample).

    Raises:
        ValueError: too few shots to leave any, or to take any.
    """
    shots = np.flatnonzero(mask.any(1))
    number = round(rho * len(shots))
    if not 0 < number < len(shots):
        raise ValueError(f"mask has {len(shots)} shots: rho={rho:g} of them cannot be held out")
    out = np.zeros_like(mask)
    taken = np.random.default_rng(rng).choice(shots, number, replace=False)
    out[taken] = mask[taken]
    return out


def normalised(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """mean over slices of ||u - v||_2 / ||u||_2 + ||u - v||_1 / ||u||_1 of (slice, ...), u the target."""
    error, size = ((backend.magnitude(z) ** 2 + 1e-20).sqrt().flatten(1) for z in (target - output, target))
    return (error.norm(dim=1) / size.norm(dim=1) + error.sum(1) / size.sum(1)).mean()


def needs_maps(network) -> bool:
    """Whether a network is called with an operator, `network(A, y)`; False: `network(kspace, mask)`."""
    found = getattr(network, "needs_maps", None)
    if not isinstance(found, bool):
        raise TypeError(f"{type(network).__name__} is no reconstruction network: it has no needs_maps = True or False")
    return found


def called(network: Any, slices: Slices) -> torch.Tensor:
    """What a network makes of slices; it is told their noise where it wants to know it and they do."""
    if not needs_maps(network):
        return network(slices.kspace, slices.mask)
    told = getattr(network, "needs_noise", False) and slices.noise is not None
    return network(slices.A, slices.kspace, **({"noise": slices.noise} if told else {}))


def through_maps(task, network) -> None:
    """Refuse a network without maps for a task that compares k-space.

    Raises:
        ValueError: it returns a magnitude, of which no k-space can be made.
    """
    if not needs_maps(network):
        raise ValueError(f"{type(task).__name__} compares k-space through the coil maps: it needs a network with "
                         "needs_maps = True")


def _cropped(x, size):
    start = [(n - m) // 2 for n, m in zip(x.shape[-2:], size)]
    return x[..., start[0]: start[0] + size[0], start[1]: start[1] + size[1]]


def _mean(rows) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}
