"""DIMENSION: series of images by networks over space and time, in k-space first and then on the images."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pisolve import _check, backend
from pisolve.nets.blocks import DnCNN, frames_axis, from_series, to_series
from pisolve.nets.consistency import DataConsistency, SliceProblem


class DIMENSION(nn.Module):
    """Networks over (t, y, x), in k-space and then on images, data after each: `net(A, y, x0=None)` -> complex images.

        x <- data(F^-1 K_i(F x))  for i in kspace_blocks,   x <- data(I_i(x))  for i in image_blocks

    F transforms y and x, all K_i and I_i are chains of 3 x 3 x 3 convolutions, x + R(x). It is `kiki` for series, with
    its k-space networks first; an operator without an axis "frame" gives series of one image, whose convolutions see no
    neighbours in time. With several coils k-space is that of the image which the coils make together. The paper is
    about one coil. `stages` returns the images behind each network, for the paper's multi-supervised loss. Sizes of
    the networks are ours.

    Args:
        kspace_blocks, image_blocks: how many of either kind.
        depth, width: convolutions of each, and channels between them.
        inner: conjugate gradient steps of the data with several coils.

    Raises:
        ValueError: data that do not fit A.

    Reference:
        Wang et al., "DIMENSION: dynamic MR imaging with both k-space and spatial prior knowledge obtained via
        multi-supervised network training", NMR Biomed 35 (2022) e4131.

    Example:
        net = pi.nets.DIMENSION(1, 2, depth=3, width=8)
    """

    needs_maps = True

    kspace: nn.ModuleList
    images: nn.ModuleList
    data: DataConsistency
    config: dict[str, Any]

    def __init__(self, kspace_blocks: int = 1, image_blocks: int = 4, depth: int = 5, width: int = 32, *,
                 inner: int = 10):
        super().__init__()
        kspace_blocks, image_blocks = (_check.integer(n, v, low=0) for n, v in (
            ("kspace_blocks", kspace_blocks), ("image_blocks", image_blocks)))
        if not kspace_blocks + image_blocks:
            raise ValueError("kspace_blocks and image_blocks are both 0: at least one network is needed")
        self.kspace, self.images = (nn.ModuleList([DnCNN(2, depth, width, ndim=3) for _ in range(n)])
                                    for n in (kspace_blocks, image_blocks))
        self.data = DataConsistency(inner=inner)
        self.config = {"kspace_blocks": kspace_blocks, "image_blocks": image_blocks, "depth": depth, "width": width,
                       "inner": inner}

    def forward(self, A: Any, y: torch.Tensor, x0: torch.Tensor | None = None) -> torch.Tensor:
        """The images: A a linop image -> data, y native complex of A's output shape, x0 in the place of A^H y / c."""
        return self.stages(A, y, x0)[-1]

    def stages(self, A: Any, y: torch.Tensor, x0: torch.Tensor | None = None) -> list[torch.Tensor]:
        """The images behind each network, the last of which `forward` returns."""
        x, frames, found = SliceProblem(A, y).start(x0), frames_axis(A), []
        kind = next(self.parameters()).dtype
        for network in (*self.kspace, *self.images):
            inside = network in self.kspace
            given = backend.fft(x, (-2, -1)) if inside else x
            out = network(to_series(given, frames).to(kind))
            out = from_series(out, x.shape, frames).to(x.dtype)
            x = self.data(A, y, backend.fft(out, (-2, -1), inverse=True) if inside else out)
            found.append(x)
        return found
