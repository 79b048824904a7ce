"""The plain pieces of image-to-image networks: bias-free residual blocks and the DnCNN."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from pisolve import _check


class ResBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3 without biases: positively homogeneous, so scaling the input scales the output."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.second(torch.relu(self.first(x)))


class DnCNN(nn.Module):
    """x - R(x) with R a plain chain of 3x3 convolutions and ReLUs that predicts the noise (batch norm folded away).

    The state-dict keys are those of the KAIR model zoo (`model.0.weight`, `model.2.weight`, ...), so its public
    DnCNN files load strictly. `forward` returns the denoised image, not the noise, as KAIR's does. Depth 5 and width
    64 on two channels is the regulariser of MoDL.

    Args:
        channels: channels of the image (1: grey, 2: real and imaginary part).
        depth: number of convolutions, 17 or 20 in the public files.
        width: channels between them.
        bias: convolutions with biases; without them the network is positively homogeneous.

    Reference:
        Zhang et al., "Beyond a Gaussian denoiser", IEEE Trans. Image Process. 26 (2017).
    """

    def __init__(self, channels: int = 1, depth: int = 17, width: int = 64, bias: bool = True):
        super().__init__()
        channels = _check.integer("channels", channels, low=1)
        depth = _check.integer("depth", depth, low=2)
        width = _check.integer("width", width, low=1)
        self.config = {"channels": channels, "depth": depth, "width": width, "bias": bool(bias)}
        sizes = [channels] + [width] * (depth - 1) + [channels]
        layers: list[nn.Module] = []
        for first, second in pairwise(sizes):
            layers += [nn.Conv2d(first, second, 3, padding=1, bias=bool(bias)), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) float -> the denoised image, the same shape."""
        return x - self.model(x)
