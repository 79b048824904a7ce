"""Denoisers of the literature whose public weights `load` reads, with the names that their tensors have there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check
from pisolve.priors._module import pad_to_multiple

_DILATIONS = (1, 2, 3, 4, 3, 2, 1)


class IRCNN(nn.Module):
    """x - R(x), R seven 3x3 convolutions of dilation 1, 2, 3, 4, 3, 2, 1 with ReLUs between them.

    Its tensors are called and shaped as those of a `DnCNN` of depth 7; only the dilations differ.

    Args:
        channels: channels of the image.
        width: channels between the convolutions.

    Reference:
        Zhang, Zuo, Gu and Zhang, "Learning deep CNN denoiser prior for image restoration", CVPR 2017.
    """

    config: Any
    model: Any

    def __init__(self, channels: int = 1, width: int = 64):
        super().__init__()
        channels, width = _check.integer("channels", channels, low=1), _check.integer("width", width, low=1)
        self.config: Any = {"channels": channels, "width": width}
        layers: list[nn.Module] = []
        for k, d in enumerate(_DILATIONS):
            a, b = channels if k == 0 else width, channels if k == len(_DILATIONS) - 1 else width
            layers += [nn.Conv2d(a, b, 3, padding=d, dilation=d), nn.ReLU(inplace=True)]
        self.model: Any = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) float -> the denoised image, the same shape."""
        return x - self.model(x)


class FFDNet(nn.Module):
    """A plain chain of convolutions on the four half-size images of the pixels' parities, told the noise level.

    Args:
        channels: channels of the image.
        depth: number of convolutions.
        width: channels between them.

    Reference:
        Zhang, Zuo and Zhang, "FFDNet: toward a fast and flexible solution", IEEE Trans Image Process 27 (2018) 4608.
    """

    config: Any
    model: Any

    level_input = "field"  # so that it may be told a level for each pixel

    def __init__(self, channels: int = 1, depth: int = 15, width: int = 64):
        super().__init__()
        channels, width = _check.integer("channels", channels, low=1), _check.integer("width", width, low=1)
        depth = _check.integer("depth", depth, low=2)
        self.config: Any = {"channels": channels, "depth": depth, "width": width}
        sizes = [4 * channels + 1, *[width] * (depth - 1), 4 * channels]
        layers: list[nn.Module] = []
        for k in range(depth):
            layers += [nn.Conv2d(sizes[k], sizes[k + 1], 3, padding=1), nn.ReLU(inplace=True)]
        self.model: Any = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) float and levels (B, 1, 1, 1) or (B, 1, H, W) -> the denoised image."""
        height, width = x.shape[-2:]
        pad = (0, width % 2, 0, height % 2)
        x, sigma = (F.pad(v, pad, mode="replicate") for v in (x, sigma.expand(len(x), 1, height, width)))
        y = torch.cat([F.pixel_unshuffle(x, 2), F.avg_pool2d(sigma, 2)], 1)
        return F.pixel_shuffle(self.model(y), 2)[..., :height, :width]


class _Residual(nn.Module):
    """x + conv(relu(conv(x))), with or without biases, under DRUNet's names."""

    def __init__(self, width, bias):
        super().__init__()
        self.res = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=bias), nn.ReLU(inplace=True),
                                 nn.Conv2d(width, width, 3, padding=1, bias=bias))

    def forward(self, x):
        return x + self.res(x)


class DRUNet(nn.Module):
    """A U-Net of residual blocks on four scales with additive skips, told the noise level by a further channel.

    Sizes that are no multiple of 8 are padded by reflection inside and cropped again.

    Args:
        channels: channels of the image.
        widths: feature channels of the four scales, finest first.
        blocks: residual blocks of each scale, on the way down and again on the way up.
        bias: convolutions with biases; the public files have none.

    Reference:
        Zhang, Li, Zuo, Zhang, Van Gool and Timofte, "Plug-and-play image restoration with deep denoiser prior",
        IEEE TPAMI 44 (2022) 6360.
    """

    config: Any
    m_head: Any
    m_body: Any
    m_tail: Any

    def __init__(self, channels: int = 1, widths: Sequence[int] = (64, 128, 256, 512), blocks: int = 4,
                 bias: bool = False):
        super().__init__()
        channels, blocks = _check.integer("channels", channels, low=1), _check.integer("blocks", blocks, low=1)
        widths, bias = [_check.integer("widths", w, low=1) for w in widths], bool(bias)
        if len(widths) != 4:
            raise ValueError(f"widths must be those of four scales, got {widths}")
        self.config: Any = {"channels": channels, "widths": widths, "blocks": blocks, "bias": bias}

        def stage(width):
            return [_Residual(width, bias) for _ in range(blocks)]

        self.m_head: Any = nn.Conv2d(channels + 1, widths[0], 3, padding=1, bias=bias)
        for k, (fine, coarse) in enumerate(pairwise(widths), start=1):
            down = [*stage(fine), nn.Conv2d(fine, coarse, 2, 2, bias=bias)]
            up = [nn.ConvTranspose2d(coarse, fine, 2, 2, bias=bias), *stage(fine)]
            self.add_module(f"m_down{k}", nn.Sequential(*down))
            self.add_module(f"m_up{k}", nn.Sequential(*up))
        self.m_body: Any = nn.Sequential(*stage(widths[-1])) if blocks > 1 else stage(widths[-1])[0]
        self.m_tail: Any = nn.Conv2d(widths[0], channels, 3, padding=1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels + 1, H, W) float, the last channel holding sigma -> (B, channels, H, W)."""
        height, width = x.shape[-2:]
        skips = [self.m_head(pad_to_multiple(x, 8))]
        for down in (self.m_down1, self.m_down2, self.m_down3):
            skips.append(down(skips[-1]))
        y = self.m_body(skips[-1])
        for up in (self.m_up3, self.m_up2, self.m_up1):
            y = up(y + skips.pop())
        return self.m_tail(y + skips.pop())[..., :height, :width]
