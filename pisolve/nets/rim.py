"""Recurrent inference machines: a small network with a memory, which looks at image and gradient again and again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pisolve import _check
from pisolve.nets.blocks import to_complex, to_planes
from pisolve.nets.consistency import SliceProblem


class GRU(nn.Module):
    """h <- (1 - z) n + z h, with convolutions 1x1 in the gates: a gated recurrent unit for each pixel."""

    def __init__(self, width: int):
        super().__init__()
        self.given, self.kept = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, 3 * width, 1, bias=False)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """Features (B, width, y, x) and the state, of the same shape -> the next state."""
        (r, z, n), (s, t, m) = self.given(x).chunk(3, 1), self.kept(h).chunk(3, 1)
        z = (z + t).sigmoid()
        return (1 - z) * (n + (r + s).sigmoid() * m).tanh() + z * h


class IndRNN(nn.Module):
    """h <- relu(W x + u h), u one number a channel: an independently recurrent unit, a seventh of a `GRU`."""

    def __init__(self, width: int):
        super().__init__()
        self.given = nn.Conv2d(width, width, 1)
        self.kept = nn.Parameter(torch.randn(1, width, 1, 1) / width)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """Features (B, width, y, x) and the state, of the same shape -> the next state."""
        return torch.relu(self.given(x) + self.kept * h)


CELLS = {"gru": GRU, "indrnn": IndRNN}


class _Machine(nn.Module):
    """[x, gradient] and two states -> the change of x and the next states."""

    def __init__(self, width: int, cell: str):
        super().__init__()
        self.first = nn.Conv2d(4, width, 5, padding=2, padding_mode="replicate")
        self.second = nn.Conv2d(width, width, 3, padding=2, dilation=2, padding_mode="replicate")
        self.last = nn.Conv2d(width, 2, 3, padding=1, padding_mode="replicate", bias=False)
        self.cells = nn.ModuleList([CELLS[cell](width) for _ in range(2)])
        self.width = width

    def forward(self, planes, states):
        states = states or [planes.new_zeros(len(planes), self.width, *planes.shape[-2:])] * 2
        first = self.cells[0](torch.relu(self.first(planes)), states[0])
        second = self.cells[1](torch.relu(self.second(first)), states[1])
        return self.last(second), [first, second]


class RIM(nn.Module):
    """x <- x + h(x, A^H (A x - y), s), with states s: `net(A, y, x0=None)` -> complex image.

    One small network h, the same in every step, remembers in its states s what it did before. `cascades` > 1 is CIRIM:
    several machines one after another, each with weights of its own and states that begin at 0. CIRIM of the paper,
    `RIM(cascades=5, cell="indrnn")`, has 264,960 parameters, `RIM()` 94,080.

    Args:
        steps: times that each machine looks.
        width: features and states of a pixel.
        cascades: number of machines.
        cell: "gru", or "indrnn", which is smaller and faster.

    Raises:
        TypeError, ValueError: data that do not fit A, no torch tensors.

    Reference:
        Lonning et al., "Recurrent inference machines for reconstructing heterogeneous MRI data", Med Image Anal 53
        (2019) 64; Karkalousos et al., Phys Med Biol 67 (2022) 124001 (CIRIM).

    Example:
        net = pi.nets.RIM(steps=6, width=32)
    """

    steps: int | None
    config: Any
    machines: Any

    needs_maps = True

    def __init__(self, steps: int = 8, width: int = 64, cascades: int = 1, cell: str = "gru"):
        super().__init__()
        self.steps, width = _check.integer("steps", steps, low=1), _check.integer("width", width, low=1)
        cascades = _check.integer("cascades", cascades, low=1)
        _check.choice("cell", cell, CELLS)
        self.config: Any = {"steps": self.steps, "width": width, "cascades": cascades, "cell": cell}
        self.machines: Any = nn.ModuleList([_Machine(width, cell) for _ in range(cascades)])

    def forward(self, A: Any, y: torch.Tensor, x0: torch.Tensor | None = None) -> torch.Tensor:
        """The image: A a linop image -> data, y native complex of its output shape, x0 in the place of A^H y / c."""
        problem = SliceProblem(A, y)
        x, kind = problem.start(x0), next(self.parameters()).dtype
        for machine in self.machines:
            states = None
            for _ in range(self.steps):
                gradient = problem.data_grad(x)
                seen = [to_planes(part.reshape(-1, *x.shape[-2:])) for part in (x, gradient)]
                change, states = machine(torch.cat(seen, 1).to(kind), states)
                x = x + to_complex(change, x.shape).to(x.dtype)
        return x
