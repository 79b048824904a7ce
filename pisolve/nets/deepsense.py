"""DeepSENSE: coil maps of a few calibration lines, refined by a network; and the task that trains such networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check, backend
from pisolve.nets._fastmri import centre
from pisolve.nets.reconstruction import ReconstructionTask
from pisolve.nets.slices import Slices
from pisolve.nets.unet import UNet


class DeepSENSE(nn.Module):
    """S = (L + U(L, m)) / rss: low-resolution maps L, refined coil by coil; `net(kspace, mask)` -> maps, sum |S|^2 = 1.

        x_c = F^-1 h M_c y_c,   L_c = x_c conj(v) / m,   m = sqrt(sum_c |x_c|^2),   U a `UNet` that begins at 0

    M_c is the fully sampled centre, h the middle of a Hann window, without which the images ring, v the phase of the
    dominant combination of the coils. So the network begins as the maps that SENSE took before there was anything
    better, and learns what a few lines leave out. Maps are smooth: it works on a grid `shrink` times as coarse, and the
    result is interpolated (bicubic). It sees one coil at a time beside the common m; the paper's network sees all coils
    as channels, whose number is fixed then.

    Args:
        widths, blocks: as for `UNet`.
        shrink: pixels of the image along each side of a pixel that the network sees.

    Raises:
        ValueError: a mask without a fully sampled centre.

    Reference:
        Peng et al., "DeepSENSE: learning coil sensitivity functions for SENSE reconstruction using deep learning",
        Magn Reson Med 87 (2022) 1894.

    Example:
        maps = pi.nets.LearnedMaps(pi.nets.DeepSENSE(widths=(8, 16), blocks=(1, 1)))
    """

    makes_maps = True

    network: UNet
    shrink: int
    config: dict[str, Any]

    def __init__(self, widths: Sequence[int] = (32, 64, 96), blocks: Sequence[int] = (1, 1, 1), shrink: int = 4):
        super().__init__()
        self.network = UNet(2, widths, blocks)
        self.shrink = _check.integer("shrink", shrink, low=1, high=64)
        nn.init.zeros_(self.network.tail.weight)
        self.config = {"widths": self.network.config["widths"], "blocks": self.network.config["blocks"],
                       "shrink": self.shrink}

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor, num_low_frequencies: Any = None) -> torch.Tensor:
        """Checked k-space (batch, coil, ky, kx) and mask (batch or 1, 1, ky, kx) -> maps of k-space's shape."""
        low, size = low_resolution(kspace, mask, num_low_frequencies, shrink=self.shrink)
        level = size / size.amax((-2, -1), keepdim=True).clamp_min(torch.finfo(size.dtype).tiny)
        planes = torch.stack([low.real, low.imag, level.expand_as(low.real)], 2).flatten(0, 1)
        maps = self.network(planes).unflatten(0, low.shape[:2])
        return interpolated(torch.complex(*maps.unbind(2)), kspace.shape[-2:])


def low_resolution(kspace, mask, num_low_frequencies=None, *, shrink: int = 1):
    """(L, m) of the class on its grid: maps (batch, coil, y, x), and the root sum of squares (batch, 1, y, x)."""
    inside = centre(mask, len(kspace), num_low_frequencies)
    window = torch.ones_like(kspace.real[:, :1])
    for axis in (-2, -1):
        window = window * _hann(inside.any(-3 - axis, keepdim=True), axis, window.dtype)  # over the other axis
    k = kspace * (inside * window)
    for axis in (-2, -1):
        n = k.shape[axis]
        m = -(-n // shrink)
        k = k.narrow(axis, n // 2 - m // 2, m)
    images = backend.fft(k, (-2, -1), inverse=True)
    values = images.flatten(2)
    dominant = torch.linalg.eigh(values @ values.mH)[1][..., -1]
    largest = dominant.gather(1, dominant.abs().argmax(1, keepdim=True))  # whose phase is that of the combination
    phase = ((dominant.conj() * largest)[:, :, None, None] * images).sum(1, keepdim=True)
    maps, size = _normalised(images)
    return maps * backend.unit(phase).conj(), size


def interpolated(maps: torch.Tensor, size) -> torch.Tensor:
    """Maps (batch, coil, y, x) of a coarse grid of the same field of view at `size`, normalised to sum |S|^2 = 1."""
    if tuple(maps.shape[-2:]) != tuple(size):
        y, x = ((torch.arange(n, device=maps.device, dtype=maps.real.dtype) - n // 2) * m / n + m // 2
                for n, m in zip(size, maps.shape[-2:]))
        y, x = (2 * p / max(m - 1, 1) - 1 for p, m in zip((y, x), maps.shape[-2:]))
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)
        planes = torch.view_as_real(maps).movedim(-1, 1).flatten(1, 2)
        planes = F.grid_sample(planes, grid.expand(len(planes), -1, -1, -1), mode="bicubic", padding_mode="border",
                               align_corners=True)
        maps = torch.complex(*planes.unflatten(1, (2, -1)).unbind(1))
    return _normalised(maps)[0]


def _hann(inside, axis, dtype):
    """The middle half of a Hann window for the n lines of a band, (batch, 1, ky, 1) or (batch, 1, 1, kx).

    cos^2(pi k / (2 n + 2)) falls to 1/2 at the outer lines: a whole window takes away what is to be refined, and left
    1.4 times as much of the coils' images unexplained; none rings. 1 where the band holds all of the axis.
    """
    size = inside.shape[axis]
    n = inside.sum(axis, keepdim=True)
    shape = [1] * inside.ndim
    shape[axis] = size
    place = torch.arange(size, device=inside.device, dtype=dtype).reshape(shape) - size // 2
    return torch.where(n == size, torch.ones_like(place), (math.pi * place / (2 * n + 2).to(dtype)).cos().square())


def _normalised(maps):
    size = torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    return maps / size.clamp_min(torch.finfo(size.dtype).tiny), size


@dataclass(frozen=True)
class MapsTask(ReconstructionTask):
    """Train coil maps: minimise the share of the coils' images that no image behind the maps could explain.

        loss = mean over slices of ||c - S S^H c|| / ||c||,   c = S_true x the coils' images without noise

    It is ESPIRiT's own criterion on the truth, so the phase that maps leave to the image, and what they are where there
    is no signal, do not count. The examples need maps="true"; a network that is told none is compared as it is.

    Args:
        examples, validation, batch_size, seed: as in `ReconstructionTask`; `loss_function` is not asked.
    """

    def loss(self, network: Any, batch: Slices) -> torch.Tensor:
        """The loss of a batch: a scalar."""
        return unexplained(maps_of(network)(batch.kspace, batch.mask), batch).mean()

    def validate(self, network: Any) -> dict[str, float]:
        """The mean loss of the validation slices, "unexplained"."""
        return {"unexplained": self._mean(maps_of(network))} if len(self.validation) else {}

    def picture(self, network: Any) -> np.ndarray:
        """Magnitudes of the first coil's map: of low resolution, the network's, the true one."""
        if not len(self.validation):
            return np.zeros((1, 1))
        one = self.validation[0]
        with torch.no_grad():
            own = maps_of(network)(one.kspace, one.mask)
        shown = [low_resolution(one.kspace, one.mask)[0], own, one.mps]
        return np.clip(np.hstack([abs(s[0, 0].numpy()) for s in shown]), 0, 1)

    def figures(self, network: Any) -> list[dict[str, Any]]:
        """Rows of the card: low-resolution maps and the network's, the mean loss of the validation slices."""
        if not len(self.validation):
            return []
        ways = {"low resolution": lambda *given: low_resolution(*given)[0], "network": maps_of(network)}
        return [{"maps": name, "unexplained": f"{self._mean(way):.4f}"} for name, way in ways.items()]

    def card(self) -> dict[str, Any]:
        """What a model card says of this task."""
        return super().card() | {"caption": "Share of the coils' images that no image behind the maps explains, mean "
                                            "over slices held out of the training."}

    def _mean(self, way):
        found = []
        with torch.no_grad():
            for number in range(len(self.validation)):
                one = self.validation[number]
                found.append(float(unexplained(way(one.kspace, one.mask), one)))
        return float(np.mean(found))


def unexplained(maps: torch.Tensor, slices: Slices) -> torch.Tensor:
    """||c - S S^H c|| / ||c|| of each slice, (slice,), for maps with sum |S|^2 = 1.

    Raises:
        ValueError: slices without true maps or without a truth.
    """
    if slices.mps is None or slices.target is None:
        raise ValueError("maps are trained on examples with a truth and its maps: give maps='true'")
    coils = slices.mps * slices.target[:, None]
    rest = coils - maps * (maps.conj() * coils).sum(1, keepdim=True)
    return torch.linalg.vector_norm(rest.flatten(1), dim=1) / torch.linalg.vector_norm(coils.flatten(1), dim=1)


def maps_of(network):
    """The network that makes maps: itself, or the `sens_net` of an end-to-end one.

    Raises:
        TypeError: it makes none.
    """
    found = getattr(network, "sens_net", network)
    if not getattr(found, "makes_maps", False):
        raise TypeError(f"{type(network).__name__} makes no coil maps: take DeepSENSE or SensitivityModel")
    return found
