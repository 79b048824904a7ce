"""HUMUS-Net's hybrid denoiser: convolutions at full resolution around a U-Net of Swin transformers below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pisolve import _check
from pisolve.nets.attention import begin, check_heads
from pisolve.nets.swin import SwinBlock, wrapped
from pisolve.priors._module import pad_to_multiple


class HUMUSBlock(nn.Module):
    """x + C([H x, U(T(L H x))]): (B, channels, y, x) -> the same shape.

    H is a convolution at full resolution, L halves the sides, T is a U-Net whose stages are residual Swin transformer
    blocks with a skip at each scale, U brings it back to full size, and C puts fine and coarse features together. So
    attention, whose cost grows with pixels, works on a quarter of them and sees far. Sizes are padded by reflection to
    a multiple of 2^scales times the window, and cropped again. The paper's network sees neighbouring slices, too.

    Args:
        channels: of the image; 2: real and imaginary part.
        width: features of a pixel; they double where the sides are halved, below the first halving.
        depths: layers of each scale of T, finest first; the last is the bottom.
        heads: heads of each attention.
        window: side of a window in pixels.
        ratio: hidden features of the mlp, in units of the features.

    Raises:
        ValueError: a width that is no multiple of the heads, or no scales.

    Reference:
        Fabian, Tinaz and Soltanolkotabi, "HUMUS-Net: hybrid unrolled multi-scale network architecture for accelerated
        MRI reconstruction", NeurIPS 2022.

    Example:
        net = pi.nets.varnet(pi.nets.HUMUSBlock(width=12, depths=(2, 2), heads=2, window=4), 4)
    """

    config: dict[str, Any]
    window: int
    multiple: int
    first: nn.Conv2d
    lower: nn.Conv2d
    down: nn.ModuleList
    bottom: nn.ModuleList
    shrink: nn.ModuleList
    grow: nn.ModuleList
    fuse: nn.ModuleList
    up: nn.ModuleList
    higher: nn.ConvTranspose2d
    join: nn.Conv2d
    last: nn.Conv2d

    def __init__(self, channels: int = 2, width: int = 48, depths: Sequence[int] = (2, 2, 2), heads: int = 3,
                 window: int = 8, ratio: float = 2.0):
        super().__init__()
        channels = _check.integer("channels", channels, low=1)
        width, heads = check_heads(width, heads)
        depths = [_check.integer("depths", d, low=1) for d in depths]
        self.window = _check.integer("window", window, low=2, high=32)
        if not depths:
            raise ValueError("depths is empty: at least one scale is needed, such as depths=(2, 2)")
        self.config = {"channels": channels, "width": width, "depths": depths, "heads": heads, "window": self.window,
                       "ratio": float(ratio)}
        self.multiple = self.window * 2 ** len(depths)
        widths = [width * 2**n for n in range(len(depths))]

        def stages(scales):
            return nn.ModuleList([SwinBlock(w, d, heads, self.window, ratio) for w, d in scales])

        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.lower = nn.Conv2d(width, width, 2, 2)
        self.down, self.bottom = stages(zip(widths[:-1], depths)), stages([(widths[-1], depths[-1])])
        self.shrink = nn.ModuleList([nn.Conv2d(w, 2 * w, 2, 2) for w in widths[:-1]])
        self.grow = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[:-1]])
        self.fuse = nn.ModuleList([nn.Conv2d(2 * w, w, 1) for w in widths[:-1]])
        self.up = stages(zip(widths[:-1], depths))
        self.higher = nn.ConvTranspose2d(width, width, 2, 2)
        self.join = nn.Conv2d(2 * width, width, 3, padding=1)
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        begin(self, self.last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, y, x) float, any size -> the same shape."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.multiple)
        fine = self.first(x)
        y, skips = self.lower(fine), []
        for block, shrink in zip(self.down, self.shrink):
            skips.append(self._seen(block, y))
            y = shrink(skips[-1])
        y = self._seen(self.bottom[0], y)
        for block, grow, fuse, skip in zip(*(reversed(part) for part in (self.up, self.grow, self.fuse, skips))):
            y = self._seen(block, fuse(torch.cat([skip, grow(y)], 1)))
        y = torch.relu(self.join(torch.cat([fine, self.higher(y)], 1)))
        return (x + self.last(y))[..., :height, :width]

    def _seen(self, block, x):
        """A Swin transformer block on features (B, C, H, W)."""
        apart = wrapped(x.shape[-2:], self.window, self.window // 2, x.device)
        return block(x.movedim(1, -1), apart).movedim(-1, 1)
