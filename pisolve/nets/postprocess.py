"""A network on the zero-filled image, with or without the data brought back: what came before unrolled networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pisolve.nets.blocks import (
    as_network,
    describe,
    frames_axis,
    from_series,
    kept_shape,
    to_complex,
    to_planes,
    to_series,
)
from pisolve.nets.consistency import DataConsistency, SliceProblem


class Postprocessor(nn.Module):
    """x = N(x_0), x_0 = A^H y / c the zero-filled image: `net(A, y, x0=None)` -> complex image.

    c is the curvature of the data term, 1 for full data. Images should have a 99th percentile of |x| of 1, as a
    recipe makes them.

    Args:
        network: N, (B, 2, y, x) -> (B, 2, y, x) on real and imaginary part, or its description: `SwinMR`, `ViT`,
            `DnCNN`, `InDomain` ... One with an attribute `series` that is True sees (B, 2, frame, y, x), all frames of
            an operator with an axis "frame" at once.
        consistency: then bring the data back, x = argmin ||x - N(x_0)|| with A^H A x = A^H y, see `DataConsistency`.
        inner: conjugate gradient steps of that with several coils.

    Raises:
        ValueError: a network that changes the shape; data that do not fit A.

    Reference:
        Wang et al., ISBI 2016, 514; Jin et al., IEEE Trans Image Process 26 (2017) 4509.

    Example:
        net = pi.nets.Postprocessor(pi.nets.SwinMR(width=24, depths=(2, 2), heads=2))
    """

    network: Any
    consistency: bool
    data: Any

    needs_maps = True

    def __init__(self, network: Any, consistency: bool = False, inner: int = 10):
        super().__init__()
        self.network: Any = as_network("network", network)
        self.consistency: bool = bool(consistency)
        self.data: Any = DataConsistency(inner=inner)

    @property
    def config(self) -> dict[str, Any]:
        """What rebuilds this network, as plain values."""
        return {"network": describe(self.network), "consistency": self.consistency, "inner": self.data.inner}

    def forward(self, A: Any, y: torch.Tensor, x0: torch.Tensor | None = None) -> torch.Tensor:
        """The image: A a linop image -> data, y native complex of A's output shape, x0 in the place of A^H y / c."""
        x = SliceProblem(A, y).start(x0)
        series, frames = getattr(self.network, "series", False), frames_axis(A)
        planes = to_series(x, frames) if series else to_planes(x.reshape(-1, *x.shape[-2:]))
        planes = planes.to(next(self.parameters(), planes).dtype)
        out = kept_shape(type(self.network).__name__, self.network(planes), planes)
        out = (from_series(out, x.shape, frames) if series else to_complex(out, x.shape)).to(x.dtype)
        return self.data(A, y, out) if self.consistency else out
