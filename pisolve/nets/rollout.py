"""Attention rollout: where in the image a region looks, by the attention of all layers of a transformer."""

from __future__ import annotations

from typing import Any

import torch

from pisolve import _check
from pisolve.nets.attention import Attention
from pisolve.nets.blocks import to_planes
from pisolve.priors._module import ready


def rollout(network: torch.nn.Module, x: torch.Tensor, region: Any) -> torch.Tensor:
    """The rows of a region of A_L ... A_2 A_1, A_l = (I + mean over heads of softmax(Q K^T / sqrt(d))) / 2.

    One half is the residual connection, which every token keeps. What a region sees adds up to 1. It is a picture of
    the attention alone: convolutions, mlps, and the image that is added at the end are left out, and what is looked at
    need not be used (`pi.evaluate.influence` differentiates instead).

    Args:
        network: a `ViT` or a `SwinMR`, or one with `attended`; of a `Postprocessor` its `network`.
        x: what the network sees: planes (B, channels, y, x) float, or complex images (y, x) or (B, y, x).
        region: bool (y, x): the pixels whose rows are averaged.

    Returns:
        (B, y, x) float: the share of each pixel, sum 1; what lies in padding is folded back into the image.

    Raises:
        TypeError: a network without `attended`.
        ValueError: a region of another shape, or without pixels.

    Reference:
        Abnar and Zuidema, "Quantifying attention flow in transformers", ACL 2020.

    Example:
        shares = pi.nets.rollout(pi.nets.ViT(patch=8), image, region)
    """
    if not hasattr(network, "attended"):
        raise TypeError(f"network must be a ViT or a SwinMR, got {_check.brief(network)}: no other says where its "
                        "attention lies")
    planes = to_planes(x) if x.is_complex() else x
    planes = planes.to(next(network.parameters()).dtype)
    region = _check.booleans("region", region)
    if region.shape != tuple(planes.shape[-2:]) or not region.any():
        raise ValueError(f"region must be bool of the image's shape {tuple(planes.shape[-2:])} with pixels in it, got "
                         f"shape {region.shape} with {int(region.sum())}")
    found = []
    parts = [m for m in network.modules() if isinstance(m, Attention)]
    hooks = [m.register_forward_pre_hook(lambda m, given: found.append(m.weights(*given))) for m in parts]
    try:
        with ready(network, False):
            network(planes)
            inside = torch.from_numpy(region).to(planes.device, planes.dtype)
            return network.attended(found, (inside / inside.sum()).expand(len(planes), -1, -1))
    finally:
        for hook in hooks:
            hook.remove()


def looked(seen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """One layer back: (seen + A^T seen) / 2 of shares (..., n, 1), A the attention (..., n, n)."""
    return (seen + weights.transpose(-2, -1) @ seen) / 2


def folded(seen: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Shares (B, H, W) of a padded image as those of the image (B, y, x), where the padding was reflected from."""
    for axis, size in ((-2, height), (-1, width)):
        inside, more = seen.split([size, seen.shape[axis] - size], axis)
        if more.shape[axis]:
            place = (size - 2 - torch.arange(more.shape[axis], device=seen.device)).clamp_min(0)
            inside = inside.index_add(axis, place, more)
        seen = inside
    return seen
