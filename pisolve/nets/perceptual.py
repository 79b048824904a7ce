"""The perceptual loss: images compared by what a network that was trained on images makes of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pisolve import _check
from pisolve.nets import losses, store
from pisolve.nets.blocks import to_planes


class Perceptual(losses.Loss):
    """mean over layers l of mean |f_l(output) - f_l(target)|^2, f_l the features of a network that stays as it is.

    The papers take VGG, which was trained on photographs and is not ours to ship. Here it is by default a shipped
    denoiser, whose features are those of MR images, real and imaginary part; of magnitudes the imaginary part is 0.

    Args:
        features: the name of a shipped denoiser whose network is a `UNet`; or a module of your own that takes real and
            imaginary part (B, 2, y, x) and returns a tensor or a list of them, such as a VGG behind what makes three
            grey channels of the magnitude.
        level: the noise level that the denoiser is told, in units of the image.

    Raises:
        TypeError, ValueError: no such denoiser, or one without features.

    Reference:
        Johnson, Alahi and Fei-Fei, ECCV 2016; Yang et al., "DAGAN", IEEE Trans Med Imaging 37 (2018) 1310.
    """

    level: float | None
    name: str

    def __init__(self, *, features: Any = "denoiser-fast", level: float = 0.05):
        super().__init__()
        self.level: float | None = _check.number("level", level, low=0, strict=True)
        self.name: str = features if isinstance(features, str) else type(features).__name__
        own = features if isinstance(features, nn.Module) else getattr(store.load(features), "network", None)
        if not isinstance(features, nn.Module) and not hasattr(own, "features"):
            raise ValueError(f"{features} has no features to compare by: take denoiser-fast, or a module of your own")
        self.own = own
        for weight in own.parameters():
            weight.requires_grad_(False)
        own.eval()

    def value(self, output: torch.Tensor, target: torch.Tensor, data_range: Any) -> torch.Tensor:
        seen, wanted = self.seen(output), self.seen(target)
        return sum((a - b).square().mean() for a, b in zip(seen, wanted)) / len(seen)

    def seen(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The features f_l (B, c_l, y_l, x_l) of images (..., y, x), complex or magnitudes."""
        x = x.reshape(-1, *x.shape[-2:])
        planes = to_planes(x if x.is_complex() else torch.complex(x, torch.zeros_like(x)))
        weight = next(self.own.parameters(), planes)
        if weight.device != planes.device:
            self.own.to(planes.device)
        planes = planes.to(weight.dtype)
        if hasattr(self.own, "features") and self.name in store.available():
            found = self.own.features(torch.cat([planes, torch.full_like(planes[:, :1], self.level)], 1))
        else:
            found = self.own(planes)
        return [found] if torch.is_tensor(found) else list(found)

    def __repr__(self) -> str:
        return f"Perceptual(features={self.name!r}, level={self.level:g})"


losses.LOSSES["Perceptual"] = Perceptual  # which lies above `losses`
