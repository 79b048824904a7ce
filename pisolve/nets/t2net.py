"""T2Net: reconstruction and super-resolution at once, the one task looking at the other by attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pisolve import _check, backend
from pisolve.nets.attention import CrossAttention, begin, check_heads
from pisolve.nets.blocks import ResBlock, to_complex, to_planes
from pisolve.priors._module import pad_to_multiple


class TaskTransformer(nn.Module):
    """f + U(attention(P f, P g)): features f of one task take from the features g of another what fits them.

    P makes a token of each patch, U brings tokens back and begins at 0.
    """

    def __init__(self, width: int, heads: int, patch: int):
        super().__init__()
        self.own, self.other = (nn.Conv2d(width, width, patch, patch) for _ in range(2))
        self.attention = CrossAttention(width, heads)
        self.back = nn.ConvTranspose2d(width, width, patch, patch)
        begin(self, self.back)

    def forward(self, f: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) twice -> the same shape, sides multiples of the patch."""
        own = self.own(f)
        tokens = self.attention(*(t.flatten(2).transpose(1, 2) for t in (own, self.other(g))))
        return f + self.back(tokens.transpose(1, 2).reshape(own.shape))


class T2Net(nn.Module):
    """(B, 2, y, x) -> the same shape, of the centre of its k-space alone: low resolution, reconstructed and refined.

        l = centre of the k-space of x, 1 / scale a side;   r = l + R(l);   out = r at full size + S(l, R's features)

    Two branches of residual blocks run side by side on l, one for reconstruction and one for super-resolution; behind
    each stage the second looks at the first (`TaskTransformer`). `both` returns r, too, for a loss on either. What was
    sampled outside of the centre is not looked at: `Postprocessor(..., consistency=True)` brings it back. Sizes that
    are no multiple of scale and patch are padded by reflection and cropped again. The paper takes the best match of
    each patch besides the softmax; here it is the softmax alone, on larger patches.

    Args:
        scale: of the super-resolution, along either side.
        width: features of a pixel, a multiple of `heads`.
        stages: pairs of stages of both branches.
        blocks: residual blocks of a stage.
        heads, patch: of the attention between the branches.

    Raises:
        ValueError: a width that is no multiple of the heads.

    Reference:
        Feng, Yan, Fu, Chen and Xu, "Task transformer network for joint MRI reconstruction and super-resolution",
        MICCAI 2021, 307.

    Example:
        net = pi.nets.Postprocessor(pi.nets.T2Net(width=16, stages=2, heads=2), consistency=True)
    """

    config: dict[str, Any]
    scale: int
    multiple: int
    head: nn.ModuleDict
    low: nn.ModuleList
    high: nn.ModuleList
    across: nn.ModuleList
    tail: nn.Conv2d
    grow: nn.Sequential
    last: nn.Conv2d

    def __init__(self, scale: int = 2, width: int = 64, stages: int = 4, blocks: int = 2, heads: int = 4,
                 patch: int = 4):
        super().__init__()
        scale, patch = _check.integer("scale", scale, low=2, high=8), _check.integer("patch", patch, low=1)
        width, heads = check_heads(width, heads)
        stages, blocks = _check.integer("stages", stages, low=1), _check.integer("blocks", blocks, low=1)
        self.config = {"scale": scale, "width": width, "stages": stages, "blocks": blocks, "heads": heads,
                       "patch": patch}
        self.scale, self.multiple = scale, scale * patch

        def branch():
            return nn.ModuleList([nn.Sequential(*[ResBlock(width) for _ in range(blocks)]) for _ in range(stages)])

        self.head = nn.ModuleDict({n: nn.Conv2d(2, width, 3, padding=1) for n in ("low", "high")})
        self.low, self.high = branch(), branch()
        self.across = nn.ModuleList([TaskTransformer(width, heads, patch) for _ in range(stages)])
        self.tail = nn.Conv2d(width, 2, 3, padding=1)
        self.grow = nn.Sequential(nn.Conv2d(width, width * scale**2, 3, padding=1), nn.PixelShuffle(scale), nn.ReLU())
        self.last = nn.Conv2d(width, 2, 3, padding=1)
        for weight in (*self.tail.parameters(), *self.last.parameters()):
            nn.init.zeros_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 2, y, x) float, any size -> the same shape."""
        return self.both(x)[0]

    def both(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The refined image (B, 2, y, x), and the reconstruction at low resolution of the padded size."""
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.multiple)
        low = resized(x, tuple(n // self.scale for n in x.shape[-2:]))
        f, g = self.head["low"](low), self.head["high"](low)
        for own, other, across in zip(self.low, self.high, self.across):
            f, g = own(f), other(g)
            g = across(g, f)
        low = low + self.tail(f)
        return (resized(low, x.shape[-2:]) + self.last(self.grow(g)))[..., :height, :width], low


def resized(planes: torch.Tensor, size) -> torch.Tensor:
    """Planes (B, 2, y, x) of complex images at another size: the centre of their k-space cut out, or zeros around it.

    Intensities stay: a constant remains that constant.
    """
    shape, size = planes.shape[-2:], tuple(size)
    k = backend.fft(to_complex(planes, (len(planes), *shape)), (-2, -1))
    for axis, (n, m) in zip((-2, -1), zip(shape, size)):
        first = abs(n // 2 - m // 2)
        if m < n:
            k = k.narrow(axis, first, m)
        elif m > n:
            more = [first, m - n - first]
            k = nn.functional.pad(k, more if axis == -1 else [0, 0, *more])
    x = backend.fft(k, (-2, -1), inverse=True)
    return to_planes(x) * (size[0] * size[1] / (shape[0] * shape[1])) ** 0.5
