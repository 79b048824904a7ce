"""A plain vision transformer on the zero-filled image, the baseline of attention without windows."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check
from pisolve.nets.attention import Attention, Layer, begin, check_heads
from pisolve.nets.rollout import folded, looked
from pisolve.priors._module import pad_to_multiple


class ViT(nn.Module):
    """x + U(layers(P x + e)): patches as tokens, all of which see each other; (B, channels, y, x) -> the same shape.

    P is a linear layer on each patch, e a fixed sine and cosine of its place, U the linear layer back, which begins at
    0. So any size goes: it is padded at its ends by reflection to a multiple of the patch, and cropped again. Memory
    and time grow with the square of the number of patches.

    Args:
        channels: of the image; 2: real and imaginary part.
        patch: side of a patch in pixels.
        width: features of a token, a multiple of 4.
        depth: number of layers.
        heads: heads of each attention.
        ratio: hidden features of the mlp, in units of `width`.

    Raises:
        ValueError: a width that is no multiple of 4 and of the heads.

    Reference:
        Dosovitskiy et al., "An image is worth 16 x 16 words", ICLR 2021; Lin and Heckel, "Vision transformers enable
        fast and robust accelerated MRI", MIDL 2022.

    Example:
        net = pi.nets.Postprocessor(pi.nets.ViT(patch=8, width=64, depth=4, heads=4))
    """

    patch: int | None

    def __init__(self, channels: int = 2, patch: int = 10, width: int = 256, depth: int = 8, heads: int = 8,
                 ratio: float = 4.0):
        super().__init__()
        channels = _check.integer("channels", channels, low=1)
        self.patch, depth = _check.integer("patch", patch, low=1), _check.integer("depth", depth, low=1)
        width, heads = check_heads(width, heads)
        if width % 4:
            raise ValueError(f"width must be a multiple of 4, of sines and cosines along two axes, got {width}")
        self.config: Any = {"channels": channels, "patch": self.patch, "width": width, "depth": depth, "heads": heads,
                       "ratio": float(ratio)}
        self.width = width
        self.first: Any = nn.Conv2d(channels, width, self.patch, self.patch)
        self.layers: Any = nn.ModuleList([Layer(width, Attention(width, heads), ratio) for _ in range(depth)])
        self.norm: Any = nn.LayerNorm(width)
        self.last: Any = nn.ConvTranspose2d(width, channels, self.patch, self.patch)
        begin(self, self.last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, y, x) float, any size -> the same shape."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.patch)
        tokens = self.first(x)
        rows, columns = tokens.shape[-2:]
        tokens = tokens.flatten(2).transpose(1, 2) + places(rows, columns, self.width, like=x)
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = self.norm(tokens).transpose(1, 2).unflatten(-1, (rows, columns))
        return (x + self.last(tokens))[..., :height, :width]

    def attended(self, weights: list[torch.Tensor], region: torch.Tensor) -> torch.Tensor:
        """Where a region (B, y, x) looks, by the attention of all layers, for `rollout`; patches are even."""
        height, width = region.shape[-2:]
        more = (0, -width % self.patch, 0, -height % self.patch)
        tokens = F.avg_pool2d(F.pad(region, more)[:, None], self.patch, divisor_override=1)
        seen = tokens.flatten(2).transpose(1, 2)
        for part in reversed(weights):
            seen = looked(seen, part)
        seen = seen.transpose(1, 2).reshape(tokens.shape).repeat_interleave(self.patch, -1)
        return folded(seen.repeat_interleave(self.patch, -2)[:, 0] / self.patch**2, height, width)


def places(rows: int, columns: int, width: int, *, like: torch.Tensor) -> torch.Tensor:
    """Sines and cosines (rows * columns, width) of the places of patches from the middle, of the dtype of `like`."""
    rates = torch.exp(torch.arange(width // 4, device=like.device, dtype=like.dtype) * (-math.log(1e4) / (width // 4)))
    y, x = ((torch.arange(n, device=like.device, dtype=like.dtype) - (n - 1) / 2)[:, None] * rates
            for n in (rows, columns))
    y, x = (torch.cat([a.sin(), a.cos()], 1) for a in (y, x))
    return torch.cat([y[:, None].expand(-1, columns, -1), x[None].expand(rows, -1, -1)], -1).flatten(0, 1)
