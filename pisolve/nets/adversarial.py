"""Adversarial networks: any reconstruction network as a generator, a critic beside it, and the game of the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check, backend, linops
from pisolve.nets import losses
from pisolve.nets.blocks import as_network, describe, to_planes
from pisolve.nets.e2e_varnet import VNU
from pisolve.nets.fastmri_unet import FastMRIUNet, ZeroFilledUNet
from pisolve.nets.reconstruction import ReconstructionTask, needs_maps
from pisolve.nets.slices import Slices
from pisolve.nets.unrolled import Unrolled
from pisolve.solvers import GradientDescent

INVENTS = ("this network was trained to look real, against a critic: it may invent detail that was not measured, and "
           "leave out what is there; compare it with a reconstruction that is bound to the data")
GAMES = ("nonsaturating", "wasserstein")


class Critic(nn.Module):
    """How real an image looks, patch by patch: convolutions of stride 2 without normalisation, the mean of the scores.

    Args:
        channels: planes of an image: 1 for magnitudes, 2 for real and imaginary part.
        width: channels of the first layer; each further one has twice as many.
        depth: number of layers; images need 2^depth pixels on each side.

    Reference:
        Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017.
    """

    config: Any
    layers: Any
    last: Any

    def __init__(self, channels: int = 2, width: int = 32, depth: int = 3):
        super().__init__()
        channels, width = _check.integer("channels", channels, low=1), _check.integer("width", width, low=1)
        depth = _check.integer("depth", depth, low=1, high=12)
        self.config: Any = {"channels": channels, "width": width, "depth": depth}
        sizes = [channels, *(width * 2**level for level in range(depth))]
        self.layers: Any = nn.ModuleList([nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(sizes)])
        self.last: Any = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Planes (B, channels, y, x) -> (score of each image (B,), features of each layer)."""
        least = 2 ** len(self.layers)
        if min(x.shape[-2:]) < least:
            raise ValueError(f"a critic of {len(self.layers)} layers needs images of {least} pixels on each side, got "
                             f"{x.shape[-2]}x{x.shape[-1]}: take Critic(depth=...) with fewer")
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.last(x).mean((1, 2, 3)), features


class Adversarial(nn.Module):
    """A generator, which reconstructs, and a critic, which is there for training: `AdversarialTask` trains both.

    Called as the generator is, and in a recipe in its place; every image comes with a warning that it may be invented.

    Args:
        generator: a reconstruction network, with or without maps, or its description.
        critic: a `Critic` or its description; None: one for the generator's images.

    Raises:
        TypeError: a generator that is no reconstruction network.
    """

    generator: Any
    needs_maps: bool
    critic: Any

    warning = INVENTS

    def __init__(self, generator: torch.nn.Module, critic: torch.nn.Module | None = None):
        super().__init__()
        self.generator: Any = as_network("generator", generator)
        self.needs_maps: bool = needs_maps(self.generator)
        self.critic: Any = Critic(2 if self.needs_maps else 1) if critic is None else as_network("critic", critic)

    @property
    def config(self) -> dict[str, Any]:
        """What rebuilds this network, as plain values."""
        return {"generator": describe(self.generator), "critic": describe(self.critic)}

    def forward(self, *arguments: Any) -> torch.Tensor:
        """The generator's image."""
        return self.generator(*arguments)

    def judged(self, image: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The critic's scores and features of images (B, y, x), complex or magnitudes."""
        planes = to_planes(image) if image.is_complex() else image[:, None]
        return self.critic(planes.to(self.critic.last.weight.dtype))


def adversarial(generator: torch.nn.Module, critic: torch.nn.Module | None = None) -> Adversarial:
    """Any reconstruction network to be trained against a critic, see `Adversarial` and `AdversarialTask`.

    Example:
        net = pi.nets.adversarial(pi.nets.modl(pi.nets.DnCNN(2, 3, 16), 3))
    """
    return Adversarial(generator, critic)


def dagan(chans: int = 32, pools: int = 4) -> Adversarial:
    """DAGAN: a U-Net that learns what to add to the zero-filled magnitude, against a critic.

    Its losses are `15 * L2() + 0.1 * Frequency(norm="l2") + 0.0025 * Perceptual()` and the adversarial one with weight
    1, of images in [-1, 1]; `examples/configs/dagan-small.toml` has them.

    Reference:
        Yang et al., "DAGAN: deep de-aliasing generative adversarial networks for fast compressed sensing MRI
        reconstruction", IEEE Trans Med Imaging 37 (2018) 1310.
    """
    return Adversarial(ZeroFilledUNet(chans, pools, residual=True))


def refine_gan(chans: int = 32, pools: int = 4) -> Adversarial:
    """RefineGAN: two U-Nets one after another, x <- x + U(x), against a critic, with the cyclic loss.

    The second one refines what the first one made; a step towards the data stands between them, where the paper has the
    cyclic loss alone, `AdversarialTask(cyclic=10, game="wasserstein")`.

    Reference:
        Quan, Nguyen-Duc and Jeong, "Compressed sensing MRI reconstruction using a generative adversarial network with a
        cyclic loss", IEEE Trans Med Imaging 37 (2018) 1488.
    """
    return Adversarial(VNU(2, chans, pools))


def pic_gan(chans: int = 32, pools: int = 4, iterations: int = 3) -> Adversarial:
    """PIC-GAN, GANCS: gradient steps on the data of all coils and a U-Net in turns, against a critic.

    Reference:
        Lv, Wang and Yang, "PIC-GAN", Diagnostics 11 (2021) 61; Mardani et al., IEEE Trans Med Imaging 38 (2019) 167.
    """
    return Adversarial(Unrolled(GradientDescent(step_size=1.0), FastMRIUNet(2, 2, chans, pools), iterations,
                                shared_weights=False))


@dataclass(frozen=True)
class AdversarialTask(ReconstructionTask):
    """Reconstruct so that a critic cannot tell: turns of the critic, then one of the generator, each a training step.

        critic      nonsaturating: softplus(-C(x*)) + softplus(C(x));  wasserstein: C(x) - C(x*) + penalty (|C'| - 1)^2
        generator   loss_function(x, x*) + weight softplus(-C(x))  or  - weight C(x)
                    + matching sum_l |f_l(x) - f_l(x*)| + cyclic (|A x - y| where measured + |A^H (A x - y)|)

    x is the generator's image, x* the truth, f_l the critic's features. Both turns have one learning rate and one Adam;
    what one turn does not train keeps its moments. The log's "loss" is the mean over all turns; "critic" and
    "generator" are both losses on the validation slices (the first example, where there are none).

    Args:
        examples, validation, batch_size, loss_function, seed: as in `ReconstructionTask`; loss_function holds what is
            not adversarial, such as 15 * L2() + 0.1 * Frequency(norm="l2") + 0.0025 * Perceptual().
        game: "nonsaturating" or "wasserstein" (with the gradient penalty).
        weight: of the adversarial term.
        matching: of the critic's features, 0: none.
        cyclic: of the data's agreement, for networks with maps, 0: none.
        penalty: of the gradient, for "wasserstein".
        critic_steps: turns of the critic before one of the generator.

    Raises:
        ValueError: a negative weight, an unknown game, a cyclic loss without maps.
        TypeError: a network without a critic.

    Reference:
        Goodfellow et al., NIPS 2014; Gulrajani et al., "Improved training of Wasserstein GANs", NIPS 2017; Salimans et
        al., "Improved techniques for training GANs", NIPS 2016 (feature matching); Quan et al. (cyclic).
    """

    game: str = "nonsaturating"
    weight: float = 0.01
    matching: float = 0.0
    cyclic: float = 0.0
    penalty: float = 10.0
    critic_steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.choice("game", self.game, GAMES)
        for name in ("weight", "matching", "cyclic", "penalty"):
            _check.number(name, getattr(self, name), low=0)
        _check.integer("critic_steps", self.critic_steps, low=1)

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that tell this task from another."""
        own = ("game", "weight", "matching", "cyclic", "penalty", "critic_steps")
        return super().config | {name: getattr(self, name) for name in own}

    def batch(self, step: int, rank: int = 0, world: int = 1) -> tuple[Slices, str]:
        """The slices of a step, and whose turn it is: "critic" or "generator"."""
        turn = "generator" if step % (self.critic_steps + 1) == self.critic_steps else "critic"
        return super().batch(step, rank, world), turn

    def loss(self, network: Any, batch: Any) -> torch.Tensor:
        """The loss of the one whose turn it is: a scalar that depends on its weights alone."""
        if not hasattr(network, "judged"):
            raise TypeError(f"{type(network).__name__} has no critic: nets.adversarial(network) gives it one")
        slices, turn = batch
        return (self.critic if turn == "critic" else self.generator)(network, slices)

    def critic(self, network: Any, slices: Slices) -> torch.Tensor:
        """The critic's loss."""
        with torch.no_grad():
            made, true = self.output(network, slices)
        (bad, _), (good, _) = network.judged(made), network.judged(true)
        if self.game == "nonsaturating":
            return (F.softplus(-good) + F.softplus(bad)).mean()
        return (bad - good).mean() + self.penalty * self._steepness(network, made, true)

    def _steepness(self, network, made, true):
        """(|grad C| - 1)^2 at random points between the two images of each pair."""
        share = torch.rand(len(made), 1, 1, device=made.device, dtype=true.real.dtype)
        between = (true + share * (made - true)).detach().requires_grad_()
        with torch.enable_grad():
            score, _ = network.judged(between)
            slope, = torch.autograd.grad(score.sum(), between, create_graph=True)
        return ((_norm(slope) - 1) ** 2).mean()

    def generator(self, network: Any, slices: Slices) -> torch.Tensor:
        """The generator's loss, all terms of it; the critic's weights count as constants."""
        made, true = self.output(network, slices)
        content = self.loss_function or (losses.L1() if true.is_complex() else losses.SSIM(data_range="image"))
        value = content(made, true)
        with _frozen(network.critic):
            score, seen = network.judged(made)
            value = value + self.weight * (F.softplus(-score) if self.game == "nonsaturating" else -score).mean()
            if self.matching:
                _, wanted = network.judged(true)
                value = value + self.matching * sum((a - b).abs().mean() for a, b in zip(seen, wanted))
        return value + self.cyclic * self._disagreement(network, slices, made) if self.cyclic else value

    def _disagreement(self, network, slices, made):
        """|A x - y| over the measured samples and |A^H (A x - y)|, means."""
        if not network.needs_maps:
            raise ValueError("the cyclic loss compares k-space, which a network that returns a magnitude has not: "
                             "cyclic=0, or a generator with maps")
        A = linops.as_torch(slices.A)
        error = A(made) - slices.kspace
        share = slices.mask.expand(len(error), -1, *error.shape[-2:]).to(error.real.dtype).mean().clamp_min(1e-6)
        return backend.magnitude(error).mean() / share + backend.magnitude(A.H(error)).mean()

    def validate(self, network: Any) -> dict[str, float]:
        """As `ReconstructionTask.validate`, with "critic" and "generator", the losses of both."""
        device, found = next(network.parameters()).device, {"critic": [], "generator": []}
        slices: Sequence[Slices] = self.validation if len(self.validation) else [self._item(0)]
        values = super().validate(network)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(self.seed)
            for number in range(len(slices)):
                one = slices[number].to(device)
                for name, rows in found.items():
                    rows.append(float(getattr(self, name)(network, one)))
        return values | {name: sum(rows) / len(rows) for name, rows in found.items()}

    def card(self) -> dict[str, Any]:
        """What a model card says of this task."""
        return {**super().card(), "limits": INVENTS}


class _frozen:
    """While open, the weights of a module are constants: what is computed has no gradient by them."""

    def __init__(self, module):
        self.weights = [p for p in module.parameters() if p.requires_grad]

    def __enter__(self):
        for weight in self.weights:
            weight.requires_grad_(False)

    def __exit__(self, *_):
        for weight in self.weights:
            weight.requires_grad_(True)


def _norm(x):
    """The norm of each image, with a gradient of 0 where it is 0."""
    x = torch.view_as_real(x) if x.is_complex() else x
    return torch.linalg.vector_norm(x.flatten(1), dim=1)
