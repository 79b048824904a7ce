"""XPDNet: the primal-dual network with several images in its memory, and its multi-level wavelet CNN."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from pisolve import _check
from pisolve.nets.blocks import to_complex, to_planes
from pisolve.nets.consistency import SliceProblem
from pisolve.priors._module import pad_to_multiple


def haar(x: torch.Tensor) -> torch.Tensor:
    """(B, c, 2 h, 2 w) -> (B, 4 c, h, w): one level of the orthonormal Haar wavelet, its four bands as channels."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return torch.cat([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], 1) / 2


def haar_inverse(x: torch.Tensor) -> torch.Tensor:
    """The inverse of `haar`: (B, 4 c, h, w) -> (B, c, 2 h, 2 w)."""
    s, h, v, d = x.chunk(4, 1)
    rows = [torch.stack(pair, -1).flatten(-2) / 2 for pair in ((s + h + v + d, s - h + v - d),
                                                               (s + h - v - d, s - h - v + d))]
    return torch.stack(rows, -2).flatten(-3, -2)


class MWCNN(nn.Module):
    """A U-Net whose poolings are Haar wavelets, which lose nothing: (B, given, y, x) -> (B, made, y, x), any size.

    Args:
        given, made: channels of the input and of the output.
        widths: channels of each scale, finest first.
        convs: convolutions of each scale on the way down, and again on the way up.

    Reference:
        Liu et al., "Multi-level wavelet-CNN for image restoration", CVPRW 2018.
    """

    first: Any
    last: Any

    def __init__(self, given: int = 2, made: int = 2, widths: Sequence[int] = (16, 32, 64), convs: int = 2):
        super().__init__()
        given, made = _check.integer("given", given, low=1), _check.integer("made", made, low=1)
        widths = [_check.integer("widths", w, low=1) for w in widths]
        convs = _check.integer("convs", convs, low=1, high=64)
        if not widths:
            raise ValueError("widths is empty: at least one scale is needed, such as widths=(16, 32)")
        self.config: Any = {"given": given, "made": made, "widths": widths, "convs": convs}
        self.multiple: Any = 2 ** (len(widths) - 1)
        self.first, self.last = nn.Conv2d(given, widths[0], 3, padding=1), nn.Conv2d(widths[0], made, 3, padding=1)
        finer = [widths[0], *(4 * w for w in widths[:-1])]
        self.down: Any = nn.ModuleList([_chain(a, w, convs) for a, w in zip(finer, widths)])
        self.up: Any = nn.ModuleList([_chain(w, a, convs)[:-1] for a, w in zip(finer, widths)])  # wavelets have signs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, given, y, x) float -> (B, made, y, x)."""
        height, width = x.shape[-2:]
        x, skips = self.first(pad_to_multiple(x, self.multiple)), []
        for number, down in enumerate(self.down):
            x = down(haar(x) if number else x)
            skips.append(x)
        for number in reversed(range(len(self.up))):
            x = self.up[number](x)
            if number:
                skips.pop()
                x = haar_inverse(x) + skips[-1]
        return self.last(x)[..., :height, :width]


def _chain(given: int, made: int, convs: int) -> nn.Sequential:
    """`convs` convolutions with ReLUs; the last one changes the channels on the way up, the first on the way down."""
    middle = min(given, made)
    widths = [given, *[middle] * (convs - 1), made]
    return nn.Sequential(*[layer for a, b in pairwise(widths) for layer in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())])


class XPDNet(nn.Module):
    """X <- X + CNN_t([X, A^H (A x_1 - y)]) with a memory X = (x_1, ..., x_p): `net(A, y, x0=None)` -> x_1.

    The primal-dual network in which only the image has a memory: all p images go into the CNN of each iteration, the
    data see the first one. The CNN is a multi-level wavelet CNN, `MWCNN`. The paper's is larger, and its parameters
    (the leaderboard's 155 million) are not ours; its refinement of the maps is `LearnedMaps` here.

    Args:
        iterations: number of steps, 25 in the paper.
        primal: p, images in the memory.
        widths, convs: as for `MWCNN`.

    Raises:
        TypeError, ValueError: data that do not fit A, no torch tensors.

    Reference:
        Ramzi, Ciuciu and Starck, "XPDNet for MRI reconstruction", arXiv:2010.07290; Adler and Oktem, IEEE Trans Med
        Imaging 37 (2018) 1322.

    Example:
        net = pi.nets.XPDNet(iterations=5, primal=2, widths=(8, 16))
    """

    needs_maps = True

    def __init__(self, iterations: int = 10, primal: int = 5, widths: Sequence[int] = (16, 32, 64), convs: int = 2):
        super().__init__()
        iterations = _check.integer("iterations", iterations, low=1)
        self.primal: int | None = _check.integer("primal", primal, low=1)
        self.parts: Any = nn.ModuleList([MWCNN(2 * primal + 2, 2 * primal, widths, convs) for _ in range(iterations)])
        for weight in (w for part in self.parts for w in part.last.parameters()):
            nn.init.zeros_(weight)  # begins where it starts: otherwise it first learns to undo its own weights
        inner = self.parts[0].config
        self.config: Any = {"iterations": iterations, "primal": primal, "widths": inner["widths"],
                            "convs": inner["convs"]}

    def forward(self, A: Any, y: torch.Tensor, x0: torch.Tensor | None = None) -> torch.Tensor:
        """The image: A a linop image -> data, y native complex of its output shape, x0 in the place of A^H y / c."""
        problem = SliceProblem(A, y)
        x, kind = problem.start(x0), next(self.parameters()).dtype
        flat = x.reshape(-1, 1, *x.shape[-2:])
        memory = flat.expand(-1, self.primal, -1, -1)
        for part in self.parts:
            gradient = problem.data_grad(memory[:, 0].reshape(x.shape))
            seen = torch.cat([to_planes(memory), to_planes(gradient.reshape(flat.shape))], 1)
            memory = memory + to_complex(part(seen.to(kind)), memory.shape).to(x.dtype)
        return memory[:, 0].reshape(x.shape)
