"""What the networks of fastMRI's kind share: checks of k-space and masks, and the reading of fastMRI's state dicts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from pisolve import _check


def check_complex(name: str, x) -> torch.Tensor:
    """Check that `x` is a finite complex tensor; returns it."""
    if not torch.is_tensor(x) or x.dtype not in (torch.complex64, torch.complex128):
        got = f"a tensor of {x.dtype}" if torch.is_tensor(x) else type(x).__name__
        hint = ": make (..., 2) complex by torch.view_as_complex" if torch.is_tensor(x) and x.shape[-1:] == (2,) else ""
        raise TypeError(f"{name} must be a torch tensor, complex64 or complex128, got {got}{hint}")
    return _check.array(name, x)


def check_mask(mask, kspace: torch.Tensor) -> torch.Tensor:
    """Check a mask for `kspace`; returns it as a bool tensor that broadcasts to it."""
    if not torch.is_tensor(mask):
        raise TypeError(f"mask must be a torch tensor, got {type(mask).__name__}: convert it by torch.from_numpy")
    try:
        fits = torch.broadcast_shapes(mask.shape, kspace.shape) == kspace.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, which does not broadcast to k-space "
                         f"{tuple(kspace.shape)}: give (ky, kx), or (batch, 1, ky, kx)")
    if mask.is_complex() or (mask.dtype != torch.bool and bool(((mask != 0) & (mask != 1)).any())):
        raise ValueError("mask holds other values than 0 and 1: a boolean pattern is needed, True where sampled")
    return mask.bool()


def check_kspace(kspace, mask, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Check what a network without maps is called with; returns masked k-space and the mask, (batch or 1, 1, ky, kx).

    Args:
        kspace, mask: the arguments.
        weight: a parameter of the network, whose precision and device k-space must have.
    """
    check_complex("kspace", kspace)
    if kspace.ndim != 4:
        raise ValueError(f"kspace has {kspace.ndim} dimensions, shape {tuple(kspace.shape)}: (batch, coil, ky, kx) is "
                         f"needed{', kspace[None] for one slice' if kspace.ndim == 3 else ''}")
    check_precision("kspace", kspace, weight)
    mask = check_mask(mask, kspace)
    mask = mask.reshape(*[1] * (4 - mask.ndim), *mask.shape)
    if mask.shape[1] > 1:
        raise ValueError(f"mask of shape {tuple(mask.shape)} has an axis of coils: one pattern holds for all coils, "
                         "(batch, 1, ky, kx)")
    mask = mask.expand(-1, 1, *kspace.shape[-2:])
    return _check.array("kspace", torch.where(mask, kspace, 0), nonzero=True), mask


def check_precision(name: str, x: torch.Tensor, weight: torch.Tensor) -> None:
    """Check that complex `x` has the precision and the device of a network's weight."""
    if x.real.dtype != weight.dtype or x.device != weight.device:
        raise TypeError(f"{name} is {x.dtype} on {x.device}, the network {weight.dtype} on {weight.device}: bring both "
                        "to one precision and device by .to()")


def plain_state(prefix: str, state_dict) -> dict[str, torch.Tensor]:
    """The finite tensors of a state dict; of a Lightning module's those named `prefix`..., without the prefix."""
    if not isinstance(state_dict, Mapping) or not all(torch.is_tensor(v) for v in state_dict.values()):
        raise TypeError("state_dict must map names to tensors, as module.state_dict() does: of a checkpoint that holds "
                        "more, give checkpoint['state_dict']")
    inner = {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)} or dict(state_dict)
    for name, value in inner.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"state_dict holds NaN or Inf in {name}: the file is corrupt, or the training failed")
    return inner


def unet_sizes(prefix: str, weights: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """The arguments of the `FastMRIUNet` whose tensors' names begin with `prefix`."""
    levels = [k for k in weights if k.startswith(f"{prefix}down_sample_layers.") and k.endswith(".layers.0.weight")]
    first = weights.get(f"{prefix}down_sample_layers.0.layers.0.weight")
    last = weights.get(f"{prefix}up_conv.{len(levels) - 1}.1.weight")
    if first is None or last is None:
        raise ValueError(f"state_dict has no U-Net of fastMRI under {prefix or 'its own names'!r}: "
                         f"{prefix}down_sample_layers.0.layers.0.weight and so on are expected")
    return {"in_chans": first.shape[1], "out_chans": last.shape[0], "chans": first.shape[0], "pools": len(levels)}


def load_strictly(network: nn.Module, weights: Mapping[str, torch.Tensor]) -> nn.Module:
    """`network` with these weights, in eval mode; every name and shape must be its own."""
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(f"state_dict does not fit {type(network).__name__}: "
                         f"{str(error).splitlines()[-1].strip()}") from error
    return network.eval()


def centre(mask: torch.Tensor, batch: int, num_low_frequencies=None) -> torch.Tensor:
    """Where the fully sampled centre is: bool (batch, 1, ky, kx).

    Lines across the axis along which the mask varies, kx if along none; a square where it varies along both. As in
    fastMRI there are as many on both sides of the centre N // 2, and the band of n begins at (N - n + 1) // 2.

    Args:
        mask: bool (batch or 1, 1, ky, kx).
        batch: number of slices.
        num_low_frequencies: its lines, a whole number or a tensor (batch,); None or 0: found in the mask.

    Raises:
        ValueError: a mask whose centre is not fully sampled.
    """
    mask = mask[:, 0].expand(batch, *mask.shape[-2:])
    along_y = (mask != mask[:, :1]).flatten(1).any(1)[:, None, None]
    along_x = (mask != mask[:, :, :1]).flatten(1).any(1)[:, None, None] | ~along_y
    rows, columns = (torch.arange(n, device=mask.device) for n in mask.shape[-2:])
    rows, columns = rows[:, None], columns[None, :]
    height, width = mask.shape[-2:]
    low = _low_frequencies(num_low_frequencies, batch, mask.device)
    if low is None:
        # how many lines away a sample is on its own side of the centre: the nearest one missing bounds the centre
        y, x = (torch.where(i < n // 2, n // 2 - i, i - n // 2 + 1) for i, n in ((rows, height), (columns, width)))
        away = torch.maximum(torch.where(along_y, y, 0), torch.where(along_x, x, 0))
        away = torch.where(mask, height + width, away).flatten(1).amin(1)
        if bool((away == 1).any()):
            raise ValueError("mask has no fully sampled centre, from which the maps would come: give "
                             "num_low_frequencies, the number of lines to take for it")
        low = 2 * (away - 1)
    low = low[:, None, None]
    inside = torch.ones_like(mask)
    for i, n, varies in ((rows, height, along_y), (columns, width, along_x)):
        first = (n - low + 1) // 2
        inside &= ~varies | ((i >= first) & (i < first + low))
    return inside[:, None]


def _low_frequencies(given, batch: int, device) -> torch.Tensor:
    """The number of centre lines of every item of the batch; None where it is to be found in the mask."""
    if given is None or not torch.is_tensor(given):
        given = _check.integer("num_low_frequencies", given, low=0, allow_none=True)
        return torch.full((batch,), given, device=device) if given else None
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise TypeError(f"num_low_frequencies must be whole numbers, got {given.dtype}")
    if not given.any():
        return None
    if given.numel() not in (1, batch) or bool((given < 1).any()):
        raise ValueError(f"num_low_frequencies {_check.brief(given.tolist())} must be one number >= 1, or one for each "
                         f"of {batch} slices")
    return given.to(device).reshape(-1).expand(batch)
