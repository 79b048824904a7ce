"""A denoiser that is a gradient step on a potential, so that regularisation by denoising has an objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.nets.blocks import as_network, describe
from pisolve.priors._module import pad_to_multiple


class GradientStep(nn.Module):
    """D(x) = x - grad g(x),  g(x) = 1/2 ||x - N(x)||^2 with any network N: a denoiser with a potential.

    grad g = (I - J^T)(x - N(x)), J the Jacobian of N, by autograd, differentiable again for training; it works for
    callers without gradients, too. `lam * pi.RED(D, sigma)` then minimises 1/2 ||A x - y||^2 + lam g(x) and reports its
    objective. `DataProx(momentum=False)` is the paper's plug-and-play. g is not convex: a stationary point is found,
    and a step is safe as far as `RED(lipschitz=...)` bounds the curvature of g, which `curvature` measures.

    N needs a continuous first derivative, `UNet(activation="elu")`, for grad g to be continuous: with ReLU it jumps.
    One D costs two to three N.

    Args:
        network: (B, channels [+ 1 noise map], H, W) -> (B, channels, H, W), or its description by `blocks.describe`.
        channels: image channels; None: those of the network's `config`.
        multiple: of what sizes N has to be; x is padded inside of g, whose gradient stays exact.

    Reference:
        Hurault, Leclaire and Papadakis, "Gradient step denoiser for convergent plug-and-play", ICLR 2022; Cohen et al.,
        "It has potential", NeurIPS 2021.

    Example:
        D = pi.nets.GradientStep(pi.nets.UNet(activation="elu"))
    """

    network: Any
    channels: int | None
    multiple: int | None

    def __init__(self, network: Any, channels: int | None = None, multiple: int = 1):
        super().__init__()
        self.network: Any = as_network("network", network)
        if channels is None:
            channels = getattr(self.network, "config", {}).get("channels")
            if channels is None:
                raise ValueError(f"channels is needed: {type(self.network).__name__} has no config that tells them")
        self.channels: int | None = _check.integer("channels", channels, low=1)
        self.multiple: int | None = _check.integer("multiple", multiple, low=1)

    @property
    def config(self) -> dict[str, Any]:
        """What rebuilds this network, as plain values."""
        return {"network": describe(self.network), "channels": self.channels, "multiple": self.multiple}

    def potential(self, x: torch.Tensor) -> torch.Tensor:
        """g of each image: (B, channels [+ 1 noise map], H, W) -> (B,)."""
        height, width = x.shape[-2:]
        out = self.network(pad_to_multiple(x, self.multiple))[..., :height, :width]
        image = x[:, : self.channels]
        if out.shape != image.shape:
            raise ValueError(f"{type(self.network).__name__} returned shape {tuple(out.shape)} for images "
                             f"{tuple(image.shape)}: set channels, or multiple to what sizes it takes")
        return 0.5 * (image - out).square().sum((1, 2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels [+ 1 noise map], H, W) -> the denoised images (B, channels, H, W)."""
        outer = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in self.parameters()))
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone() if x.is_inference() else x
            image, level = x[:, : self.channels], x[:, self.channels:]
            if not (outer and image.requires_grad):
                image = image.detach().requires_grad_()
            g = self.potential(torch.cat([image, level], 1)).sum()
            (slope,) = torch.autograd.grad(g, image, create_graph=outer)
            out = image - slope
        return out if outer else out.detach()


def curvature(D: Any, image: ArrayLike, sigma: float | None = None, *, steps: int = 20, seed: int = 0) -> float:
    """||grad^2 g|| at an image, the largest |eigenvalue|, by power iteration on differences of x - D(x, sigma).

    What `RED(D, sigma, lipschitz=...)` has to be at least near this image; elsewhere it may be larger. The differences
    are of 1e-3 of the image's size, the power iteration comes from below: leave a margin.

    Args:
        D: a `Denoiser` of a `GradientStep` (of another denoiser: a growth of x - D along one direction, no bound).
        image: complex numpy array (..., y, x).
        sigma: noise level.
        steps: evaluations of D.
        seed: of the start.
    """
    image = _check.array("image", image, nonzero=True)
    rng, length = np.random.default_rng(seed), 1e-3 * float(np.linalg.norm(image))
    e = (rng.standard_normal(image.shape) + 1j * rng.standard_normal(image.shape)).astype(image.dtype)
    base = image - D(image, sigma)
    for _ in range(_check.integer("steps", steps, low=1)):
        e = e * image.real.dtype.type(length / np.linalg.norm(e))
        e = (image + e) - D(image + e, sigma) - base
        size = float(np.linalg.norm(e)) / length
        if not 0 < size < np.inf:
            break
    return size
