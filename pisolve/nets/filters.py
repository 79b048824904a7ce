"""Learned sparsity: a bank of filters with a piecewise linear shrinkage, for unrolled ADMM and primal-dual methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check, backend


def _dct(size: int) -> np.ndarray:
    """The orthonormal 2-D cosine basis of size x size patches without its constant, (size^2 - 1, size, size)."""
    k, n = np.arange(size)[:, None], np.arange(size)
    basis = np.cos(np.pi * (n + 0.5) * k / size) * np.sqrt(np.where(k == 0, 1, 2) / size)
    return np.einsum("ai,bj->abij", basis, basis).reshape(-1, size, size)[1:]


def _differences(size: int) -> np.ndarray:
    """Forward differences along y and x, as `linops.gradient`, (2, size, size)."""
    out, c = np.zeros((2, size, size)), size // 2
    out[:, c, c], out[0, c + 1, c], out[1, c, c + 1] = -1, 1, 1
    return out


_INITIAL = {"dct": _dct, "differences": _differences}


class FilterBank(nn.Module):
    """G x = (g_l * x)_l with learned real filters g_l, and z -> h_l(|z_l|) z_l / |z_l| with learned h_l.

    h_l is piecewise linear on knots 0, spacing, 2 spacing, ... with h_l(0) = 0 and slope 1 beyond the last: at the
    start the soft threshold max(t - threshold, 0). Filtering is periodic; real and imaginary part are filtered alike
    and shrink together by their magnitude.

    Args:
        initial: filters at the start: "dct", the cosine basis of patches without its constant; "differences", those of
            total variation.
        size: odd side of the filters.
        knots: number of knots after 0.
        spacing: distance of the knots, in the units of the image (99th percentile of |x| about 1).
        threshold: at the start, a multiple of the spacing.

    Raises:
        TypeError, ValueError: an even size, a threshold that is no knot, numbers out of their range.

    Reference:
        Yang, Sun, Li and Xu, "ADMM-CSNet", IEEE TPAMI 42 (2020) 521, whose layers shrink real and imaginary parts.
    """

    config: Any
    filters: Any
    values: Any

    def __init__(self, initial: str = "dct", size: int = 3, knots: int = 50, spacing: float = 0.02,
                 threshold: float = 0.02):
        super().__init__()
        _check.choice("initial", initial, tuple(_INITIAL))
        size, knots = _check.integer("size", size, low=3), _check.integer("knots", knots, low=1)
        spacing = _check.number("spacing", spacing, low=0, strict=True)
        threshold = _check.number("threshold", threshold, low=0, high=knots * spacing)
        if size % 2 == 0:
            raise ValueError(f"size must be odd, so that a filter has a centre, got {size}")
        if abs(threshold / spacing - round(threshold / spacing)) > 1e-6:
            raise ValueError(f"threshold {threshold:g} must be a multiple of spacing {spacing:g}, where knots are")
        self.config: Any = {"initial": initial, "size": size, "knots": knots, "spacing": spacing,
                            "threshold": threshold}
        self.spacing = spacing
        filters = torch.as_tensor(_INITIAL[initial](size), dtype=torch.get_default_dtype())
        values = (spacing * torch.arange(1, knots + 1, dtype=filters.dtype) - threshold).clamp_min(0)
        self.filters: Any = nn.Parameter(filters[:, None].contiguous())
        self.values: Any = nn.Parameter(values.repeat(len(filters), 1))

    def norm2(self) -> float:
        """A bound of ||G||^2: the sum of the filters' squared sums of magnitudes."""
        return float(self.filters.detach().abs().sum((1, 2, 3)).square().sum())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """G x: complex (..., y, x) -> (..., filter, y, x)."""
        planes = torch.view_as_real(x.resolve_conj()).movedim(-1, -3).reshape(-1, 1, *x.shape[-2:])
        out = self._filter(planes, self.filters).reshape(*x.shape[:-2], 2, len(self.filters), *x.shape[-2:])
        return torch.complex(out[..., 0, :, :, :], out[..., 1, :, :, :]).to(x.dtype)

    def adjoint(self, z: torch.Tensor) -> torch.Tensor:
        """G^H z: complex (..., filter, y, x) -> (..., y, x)."""
        planes = torch.view_as_real(z.resolve_conj()).movedim(-1, -4).reshape(-1, *z.shape[-3:])
        out = self._filter(planes, self.filters.flip(-2, -1).movedim(0, 1)).reshape(*z.shape[:-3], 2, *z.shape[-2:])
        return torch.complex(out[..., 0, :, :], out[..., 1, :, :]).to(z.dtype)

    @staticmethod
    def _filter(planes, filters):
        h = filters.shape[-1] // 2
        return F.conv2d(F.pad(planes.to(filters.dtype), (h, h, h, h), mode="circular"), filters)

    def shrink(self, z: torch.Tensor) -> torch.Tensor:
        """h_l(|z_l|) z_l / |z_l|: complex (..., filter, y, x) -> the same shape."""
        t = backend.magnitude(z) / self.spacing
        values = F.pad(self.values, (1, 0))
        slopes = torch.cat([values.diff(dim=1), torch.full_like(values[:, :1], self.spacing)], 1)
        knot = t.detach().floor().clamp(max=values.shape[1] - 1).long()
        index = knot.movedim(-3, 0).flatten(1)
        at, slope = (v.gather(1, index).reshape(len(v), *knot.movedim(-3, 0).shape[1:]).movedim(0, -3)
                     for v in (values, slopes))
        near = knot == 0  # there h(t) / t is the first slope, and no 0/0
        factor = torch.where(near, slope, (at + (t - knot) * slope) / torch.where(near, 1, t)) / self.spacing
        return z * factor
