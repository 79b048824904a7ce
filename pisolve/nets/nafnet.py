"""NAFNet: a U-Net without nonlinear activations, whose channels gate each other: a strong present-day denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pisolve import _check
from pisolve.nets.unet import in_units_of_noise
from pisolve.priors._module import pad_to_multiple


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(var + 1e-6) over the channels of each pixel, with learned scales and shifts."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width, 1, 1)), nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) -> the same shape."""
        x = x - x.mean(1, keepdim=True)
        return x * (x.square().mean(1, keepdim=True) + 1e-6).rsqrt() * self.weight + self.bias


class NAFBlock(nn.Module):
    """x + b * P(a(gate(D(E(norm x))))), then x + g * Q(gate(F(norm x))): gate(u, v) = u v, a(u) = u * W mean(u).

    E, F and P, Q are 1x1 convolutions to twice the channels and back, D a 3x3 convolution of each channel; b and g are
    learned numbers of each channel that begin at 0, so that a fresh block changes nothing.
    """

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.attention = nn.Conv2d(width, width, 1)
        self.project = nn.Conv2d(width, width, 1)
        self.inner, self.outer = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(1, width, 1, 1)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) -> the same shape."""
        y = _gate(self.depthwise(self.expand(self.norm1(x))))
        y = y * self.attention(y.mean((-2, -1), keepdim=True))
        x = x + self.beta * self.project(y)
        return x + self.gamma * self.outer(_gate(self.inner(self.norm2(x))))


def _gate(x):
    a, b = x.chunk(2, 1)
    return a * b


class NAFNet(nn.Module):
    """D(x, sigma) = x + sigma U(x / sigma, 1): a U-Net of `NAFBlock`s with additive skips, told the noise level.

    As a denoiser it works in units of the noise, so that it depends on the ratio of image and noise alone, although
    its norms are not homogeneous. With `level=False` it is the paper's, x + U(x), blind: `NAFNet(3, 32, (2, 2, 4, 8),
    12, (2, 2, 2, 2), level=False)` has the 29.2 million parameters of its SIDD model of width 32. Channels double
    where the sides are halved; sizes are padded by reflection and cropped again.

    Args:
        channels: image channels (2: real and imaginary part).
        width: channels at full resolution.
        down: blocks of each scale on the way down, finest first.
        middle: blocks of the coarsest one.
        up: blocks on the way up, coarsest first.
        level: whether one more channel is read, the noise-level map.

    Raises:
        ValueError: lists of different lengths.

    Reference:
        Chen, Chu, Zhang and Sun, "Simple baselines for image restoration", ECCV 2022.

    Example:
        net = pi.nets.NAFNet(width=16, down=(1, 1), middle=2, up=(1, 1))
    """

    config: dict[str, Any]
    channels: int
    level: bool
    multiple: int
    head: nn.Conv2d
    down: nn.ModuleList
    shrink: nn.ModuleList
    middle: nn.Sequential
    grow: nn.ModuleList
    up: nn.ModuleList
    tail: nn.Conv2d

    def __init__(self, channels: int = 2, width: int = 32, down: Sequence[int] = (1, 1, 1), middle: int = 2,
                 up: Sequence[int] = (1, 1, 1), level: bool = True):
        super().__init__()
        channels, width = _check.integer("channels", channels, low=1), _check.integer("width", width, low=1)
        down, up = ([_check.integer(n, v, low=0) for v in given] for n, given in (("down", down), ("up", up)))
        middle = _check.integer("middle", middle, low=0)
        if len(down) != len(up):
            raise ValueError(f"down and up must name the same scales, got {down} and {up}")
        self.config = {"channels": channels, "width": width, "down": down, "middle": middle, "up": up,
                       "level": bool(level)}
        self.channels, self.level, self.multiple = channels, bool(level), 2 ** len(down)
        widths = [width * 2**n for n in range(len(down) + 1)]
        self.head = nn.Conv2d(channels + self.level, width, 3, padding=1)
        self.down = nn.ModuleList([_blocks(w, n) for w, n in zip(widths, down)])
        self.shrink = nn.ModuleList([nn.Conv2d(w, 2 * w, 2, 2) for w in widths[:-1]])
        self.middle = _blocks(widths[-1], middle)
        self.grow = nn.ModuleList([nn.Sequential(nn.Conv2d(w, 2 * w, 1, bias=False), nn.PixelShuffle(2))
                                   for w in reversed(widths[1:])])
        self.up = nn.ModuleList([_blocks(w, n) for w, n in zip(reversed(widths[:-1]), up)])
        self.tail = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels [+ 1 that holds sigma], H, W) float -> (B, channels, H, W)."""
        return in_units_of_noise(self._change, x, self.channels) if self.level else x + self._change(x)

    def _change(self, x):
        height, width = x.shape[-2:]
        y, skips = self.head(pad_to_multiple(x, self.multiple)), []
        for down, shrink in zip(self.down, self.shrink):
            skips.append(down(y))
            y = shrink(skips[-1])
        y = self.middle(y)
        for grow, up in zip(self.grow, self.up):
            y = up(grow(y) + skips.pop())
        return self.tail(y)[..., :height, :width]


def _blocks(width, number):
    return nn.Sequential(*[NAFBlock(width) for _ in range(number)])
