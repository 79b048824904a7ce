"""A small bias-free U-Net that denoises complex images at any noise level it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from pisolve import _check
from pisolve.nets.blocks import ResBlock
from pisolve.priors._module import pad_to_multiple

_LEAST = 1e-6  # of max|x|: the least noise level that an image is divided by


def in_units_of_noise(change, x: torch.Tensor, channels: int) -> torch.Tensor:
    """image + sigma change(x / sigma) of x (B, channels + 1, H, W), image and noise-level map, sigma the map's mean.

    Whatever `change` is, the result is homogeneous: what it makes of a x is a times what it makes of x.
    """
    image = x[:, :channels]
    least = (_LEAST * image.detach().abs().amax((1, 2, 3), keepdim=True)).clamp_min(torch.finfo(x.dtype).tiny)
    sigma = torch.maximum(x[:, channels:].mean((1, 2, 3), keepdim=True), least)
    return image + sigma * change(x / sigma)


class UNet(nn.Module):
    """D(x, sigma) = x + U([Re x, Im x, sigma]): residual blocks on three scales, additive skips, no bias, no norm.

    Convolutions without biases and ReLUs are positively homogeneous, D(a x, a sigma) = a D(x, sigma) for a > 0, so the
    network does not depend on the units of the image, only on the ratio of image and noise. Sizes that are no multiple
    of 2^(scales - 1) are padded by reflection inside and cropped again. The defaults have 0.42 million parameters.

    Args:
        channels: image channels (2: real and imaginary part); one more is read, the noise-level map.
        widths: feature channels of each scale, finest first.
        blocks: residual blocks of each scale (on the way down, and again on the way up).
        activation: "relu"; or "elu", "softplus", "silu", which are smooth, as `GradientStep` wants it: the network then
            works on x / sigma, D(x, sigma) = x + sigma U(x / sigma, 1), sigma the mean of the map, so that it stays
            homogeneous and its kinks are rounded on the scale of the noise.

    Reference:
        Zhang et al., "Plug-and-play image restoration with deep denoiser prior" (DRUNet), IEEE TPAMI 44 (2022);
        Mohan et al., "Robust and interpretable blind image denoising via bias-free CNNs", ICLR 2020.
    """

    channels: int
    smooth: bool

    def __init__(self, channels: int = 2, widths: Sequence[int] = (32, 64, 96), blocks: Sequence[int] = (1, 1, 1),
                 activation: str = "relu"):
        super().__init__()
        channels = _check.integer("channels", channels, low=1)
        widths = [_check.integer("widths", w, low=1) for w in widths]
        blocks = [_check.integer("blocks", b, low=0) for b in blocks]
        if not widths or len(widths) != len(blocks):
            raise ValueError(f"widths and blocks must name the same scales, got {widths} and {blocks}")
        self.config: Any = {"channels": channels, "widths": widths, "blocks": blocks}
        self.config |= {} if activation == "relu" else {"activation": activation}  # older files say nothing of it
        self.channels, self.smooth = channels, activation != "relu"
        self.multiple: Any = 2 ** (len(widths) - 1)
        steps = list(pairwise(widths))

        def stage(width, number):
            return nn.Sequential(*[ResBlock(width, activation) for _ in range(number)])

        self.head: Any = nn.Conv2d(channels + 1, widths[0], 3, padding=1, bias=False)
        self.down: Any = nn.ModuleList([stage(w, b) for w, b in zip(widths[:-1], blocks)])
        self.shrink: Any = nn.ModuleList([nn.Conv2d(a, b, 2, 2, bias=False) for a, b in steps])
        self.middle: Any = stage(widths[-1], blocks[-1])
        self.grow: Any = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, 2, bias=False) for a, b in steps])
        self.up: Any = nn.ModuleList([stage(w, b) for w, b in zip(widths[:-1], blocks)])
        self.tail: Any = nn.Conv2d(widths[0], channels, 3, padding=1, bias=False)
        self.to(memory_format=torch.channels_last)  # three times faster on a CPU

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels + 1, H, W) float, the last channel holding sigma -> (B, channels, H, W)."""
        if self.smooth:
            return in_units_of_noise(self._change, x, self.channels)
        return x[:, : self.channels] + self._change(x)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What the scales make of (B, channels + 1, H, W) on the way down, finest first: for perceptual losses."""
        y = self.head(pad_to_multiple(x, self.multiple).contiguous(memory_format=torch.channels_last))
        found = []
        for down, shrink in zip(self.down, self.shrink):
            found.append(down(y))
            y = shrink(found[-1])
        return [*found, self.middle(y)]

    def _change(self, x):
        height, width = x.shape[-2:]
        *skips, y = self.features(x)
        for up, grow in zip(reversed(self.up), reversed(self.grow)):
            y = up(grow(y) + skips.pop())
        return self.tail(y)[..., :height, :width]
