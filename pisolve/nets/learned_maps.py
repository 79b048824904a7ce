"""Coil maps by a network, in the place of ESPIRiT's in any recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pisolve import _check, backend
from pisolve._types import Array, ArrayLike
from pisolve.prepare import Maps
from pisolve.priors._module import ready


@dataclass(frozen=True)
class LearnedMaps(Maps):
    """Coil maps by a `DeepSENSE` or a `SensitivityModel`: `pi.recon(scan, prior, maps=LearnedMaps(net))`.

    The network sees the fully sampled centre of k-space, or lines that were measured apart; the maps have sum |S|^2 = 1
    everywhere, outside of the object, too. One coil gets a map of ones.

    Args:
        network: a `DeepSENSE`, a `SensitivityModel`, or a network that has one (`E2EVarNet`); from `nets.load` for a
            recipe that is to be saved.
        lines: of the fully sampled centre; None: found in the mask.

    Raises:
        TypeError: another network.
        ValueError: 3-D k-space, or no fully sampled centre.

    Reference:
        Sriram et al., "End-to-End Variational Networks for Accelerated MRI Reconstruction", MICCAI 2020, eq. 12; Peng
        et al., "DeepSENSE", Magn Reson Med 87 (2022) 1894.

    Example:
        maps = pi.nets.LearnedMaps(pi.nets.SensitivityModel(chans=4, pools=2))
    """

    network: object
    lines: int | None = None

    def __post_init__(self) -> None:
        if not getattr(self._model, "makes_maps", False):
            raise TypeError("network must be a DeepSENSE, a SensitivityModel or an E2EVarNet, got "
                            f"{_check.brief(self.network)}: another kind makes no coil maps")
        _check.integer("lines", self.lines, low=1, allow_none=True)

    @property
    def _model(self):
        return getattr(self.network, "sens_net", self.network)

    def __call__(self, kspace: ArrayLike, mask: Any = None, separate: Any = None, *, ndim: int = 2) -> Array:
        """Coil maps of (..., coil, ky, kx), numpy, of the precision of k-space; see `Maps`."""
        if kspace.shape[-1 - ndim] == 1:
            return np.ones_like(kspace)
        if ndim == 3:
            raise ValueError("LearnedMaps makes maps of 2-D k-space, and this is 3-D: take maps=pi.Espirit(), or give "
                             "mps")
        size, lines = kspace.shape[-2:], self.lines
        if separate is not None:
            kspace, mask, lines = _in_the_middle(separate, size), np.ones(size, bool), None
        elif mask is None:
            mask = (kspace != 0).any(tuple(range(kspace.ndim - 2)))
        weight = next(self._model.parameters())
        data = torch.from_numpy(np.array(kspace)).reshape(-1, *kspace.shape[-3:])
        data = data.to(weight.device, torch.complex128 if weight.dtype == torch.float64 else torch.complex64)
        seen = torch.from_numpy(np.broadcast_to(mask, size).copy())[None, None].to(weight.device)
        with ready(self._model, False):
            maps = self._model(torch.where(seen, data, 0), seen, lines)
        return backend.to_numpy(maps).astype(kspace.dtype).reshape(kspace.shape)


def _in_the_middle(block, size):
    """Calibration lines (..., coil, cy, cx) about the centre of k-space of a size."""
    out = np.zeros((*block.shape[:-2], *size), block.dtype)
    first = [n // 2 - m // 2 for n, m in zip(size, block.shape[-2:])]
    if min(first) < 0:
        raise ValueError(f"calibration lines of {block.shape[-2:]} are more than the image has, {tuple(size)}")
    out[(..., *(slice(a, a + m) for a, m in zip(first, block.shape[-2:])))] = block
    return out
