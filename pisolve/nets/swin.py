"""SwinMR: window attention in shifted windows on the zero-filled image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check
from pisolve.nets.attention import Attention, Layer, begin, check_heads
from pisolve.nets.rollout import folded, looked
from pisolve.priors._module import pad_to_multiple


class WindowAttention(Attention):
    """Attention among the n = window^2 pixels of a window, with a learned bias for each displacement of two pixels."""

    def __init__(self, width: int, heads: int, window: int):
        super().__init__(width, heads)
        self.table = nn.Parameter(0.02 * torch.randn((2 * window - 1) ** 2, heads))
        place = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        apart = place[:, None] - place[None] + window - 1
        self.register_buffer("index", apart[..., 0] * (2 * window - 1) + apart[..., 1], persistent=False)

    def forward(self, x: torch.Tensor, apart: torch.Tensor | None = None) -> torch.Tensor:
        """Windows (B, windows, n, width) -> the same shape; `apart` (windows, n, n): pixels not to be seen."""
        return super().forward(x, self._bias(x, apart))

    def weights(self, x: torch.Tensor, apart: torch.Tensor | None = None) -> torch.Tensor:
        """As `Attention.weights`, of each window."""
        return super().weights(x, self._bias(x, apart))

    def _bias(self, x, apart):
        bias = self.table[self.index].permute(2, 0, 1)
        if apart is not None:
            bias = bias.masked_fill(apart[:, None], -torch.inf)
        return bias.to(x.dtype)


def to_windows(x: torch.Tensor, window: int) -> torch.Tensor:
    """(B, H, W, C) -> (B, windows, window^2, C), H and W multiples of the window."""
    x = x.unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)


def from_windows(x: torch.Tensor, window: int, size: tuple[int, int]) -> torch.Tensor:
    """The inverse of `to_windows` for an image of this size."""
    rows, columns = (n // window for n in size)
    x = x.unflatten(2, (window, window)).unflatten(1, (rows, columns)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)


def wrapped(size: tuple[int, int], window: int, shift: int, device=None) -> torch.Tensor:
    """Pixels (windows, n, n) of a cyclically shifted image that share a window without being neighbours."""
    parts = [(torch.arange(n, device=device) >= n - window).int() + (torch.arange(n, device=device) >= n - shift).int()
             for n in size]
    label = to_windows((3 * parts[0][:, None] + parts[1])[None, ..., None], window)[0, ..., 0]
    return label[:, :, None] != label[:, None, :]


def in_windows(layer, x: torch.Tensor, window: int, apart: torch.Tensor | None = None) -> torch.Tensor:
    """What a layer makes of the windows of an image (B, H, W, C); with `apart` of those that are shifted by half."""
    if apart is None:
        return from_windows(layer(to_windows(x, window)), window, x.shape[1:3])
    shift = window // 2
    y = layer(to_windows(x.roll((-shift, -shift), (1, 2)), window), apart)
    return from_windows(y, window, x.shape[1:3]).roll((shift, shift), (1, 2))


class SwinBlock(nn.Module):
    """x + conv(layers(x)): a residual Swin transformer block, whose odd layers look through shifted windows."""

    def __init__(self, width: int, depth: int, heads: int, window: int, ratio: float):
        super().__init__()
        self.window = window
        self.layers = nn.ModuleList([Layer(width, WindowAttention(width, heads, window), ratio) for _ in range(depth)])
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor, apart: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) -> the same shape; `apart` is `wrapped` of this size."""
        y = x
        for number, layer in enumerate(self.layers):
            y = in_windows(layer, y, self.window, apart if number % 2 else None)
        return x + self.conv(y.movedim(-1, 1)).movedim(1, -1)


class SwinMR(nn.Module):
    """x + OM(FEM(IM(x))): a convolution, residual Swin transformer blocks, a convolution; (B, channels, y, x) -> same.

    Sizes that are no multiple of the window are padded at their ends by reflection and cropped again: on a padded
    image the network does exactly the same. With `channels=1` and the defaults it has SwinMR's 11,497,681 parameters;
    the paper's stochastic depth is left out. It goes into a `Postprocessor`, or into a recipe's prior as a denoiser.
    The paper's multi-channel loss compares the coils' images S_c x: of squares it is that of x where sum |S_c|^2 = 1.

    Args:
        channels: of the image; 2: real and imaginary part.
        width: features of a pixel.
        depths: layers of each block.
        heads: heads of each attention.
        window: side of a window in pixels.
        ratio: hidden features of the mlp, in units of `width`.

    Raises:
        ValueError: a width that is no multiple of the heads, or no blocks.

    Reference:
        Huang et al., "Swin transformer for fast MRI", Neurocomputing 493 (2022) 281; Liang et al., "SwinIR", ICCV
        Workshops 2021.

    Example:
        net = pi.nets.Postprocessor(pi.nets.SwinMR(width=24, depths=(2, 2), heads=2))
    """

    window: int | None
    config: Any
    first: Any
    norm1: Any
    blocks: Any
    norm2: Any
    conv: Any
    last: Any

    def __init__(self, channels: int = 2, width: int = 180, depths: Sequence[int] = (6, 6, 6, 6, 6, 6), heads: int = 6,
                 window: int = 8, ratio: float = 2.0):
        super().__init__()
        channels = _check.integer("channels", channels, low=1)
        width, heads = check_heads(width, heads)
        depths = [_check.integer("depths", d, low=1) for d in depths]
        self.window: int | None = _check.integer("window", window, low=2, high=32)
        if not depths:
            raise ValueError("depths is empty: at least one block is needed, such as depths=(2, 2)")
        self.config: Any = {"channels": channels, "width": width, "depths": depths, "heads": heads,
                            "window": self.window, "ratio": float(ratio)}
        self.first, self.norm1 = nn.Conv2d(channels, width, 3, padding=1), nn.LayerNorm(width)
        self.blocks: Any = nn.ModuleList([SwinBlock(width, d, heads, self.window, ratio) for d in depths])
        self.norm2, self.conv = nn.LayerNorm(width), nn.Conv2d(width, width, 3, padding=1)
        self.last: Any = nn.Conv2d(width, channels, 3, padding=1)
        begin(self, self.last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, y, x) float, any size -> the same shape."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.window)
        apart = wrapped(x.shape[-2:], self.window, self.window // 2, x.device)
        shallow = self.first(x)
        deep = self.norm1(shallow.movedim(1, -1))
        for block in self.blocks:
            deep = block(deep, apart)
        deep = shallow + self.conv(self.norm2(deep).movedim(-1, 1))
        return (x + self.last(deep))[..., :height, :width]

    def attended(self, weights: list[torch.Tensor], region: torch.Tensor) -> torch.Tensor:
        """Where a region (B, y, x) looks, by the attention of all layers, for `rollout`; convolutions are left out."""
        height, width = region.shape[-2:]
        seen = F.pad(region, (0, -width % self.window, 0, -height % self.window))[..., None]
        layers = [n for block in self.blocks for n in range(len(block.layers))]
        shifted = wrapped(seen.shape[1:3], self.window, self.window // 2, seen.device)
        for number, part in zip(reversed(layers), reversed(weights)):
            seen = in_windows(lambda v, *_, part=part: looked(v, part), seen, self.window,
                              shifted if number % 2 else None)
        return folded(seen[..., 0], height, width)
