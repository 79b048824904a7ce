"""Denoisers with a guarantee: convolutions divided by their true spectral norm, and the averaged denoiser of them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check

_GRID = 32  # frequencies an axis


class LipschitzConv2d(nn.Conv2d):
    """A 3x3 convolution divided by max(1, bound of its spectral norm): ||conv(x) - conv(z)|| <= ||x - z||.

    The norm is that of the convolution as an operator on images, not of the reshaped kernel, which may be off either
    way. Zero padding cuts a piece out of the convolution on the plane, so max over w of ||K(w)||_2, K(w) the kernel's
    Fourier transform, (out, in) at each frequency, bounds it for every size. It is taken over a 32 x 32 grid of
    frequencies times 1 / cos(pi/32)^2 = 1.01, which it cannot exceed between them: a trigonometric polynomial of degree
    1 with its maximum M at w0 is at least M cos(w - w0) around it (M. Riesz).
    In training ||K(w)||_2 is followed by one power iteration a step at every frequency, differentiable; in eval mode it
    is exact, and kept until the weights change.

    Reference:
        Sedghi, Gupta and Long, ICLR 2019 (the spectrum of a convolution); Ryu et al., "Plug-and-play methods provably
        converge with properly trained denoisers", ICML 2019 (real spectral normalisation).
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3, padding=1)
        start = torch.randn(_GRID, _GRID // 2 + 1, inputs, 1, dtype=torch.complex64)
        self.register_buffer("probe", torch.view_as_real(start / start.norm(dim=-2, keepdim=True)))
        self.kept: tuple = ()

    def spectrum(self) -> torch.Tensor:
        """K(w) on the half of the grid that a real kernel needs, (32, 17, out, in)."""
        return torch.fft.rfft2(self.weight, s=(_GRID, _GRID)).permute(2, 3, 0, 1)

    def bound(self) -> torch.Tensor:
        """A bound of the convolution's spectral norm, a 0-d tensor (in training an estimate of it, from below)."""
        margin = 1 / math.cos(math.pi / _GRID) ** 2
        if not self.training:
            key = (self.weight._version, self.weight.data_ptr(), self.weight.dtype)
            if not self.kept or key != self.kept[0]:
                with torch.no_grad():
                    K = self.spectrum()
                    gram = K @ K.mH if K.shape[-2] <= K.shape[-1] else K.mH @ K
                    largest = torch.linalg.eigvalsh(gram.to(torch.complex128))[..., -1].max()
                    self.kept = (key, margin * largest.clamp_min(0).sqrt().to(self.weight.dtype))
            return self.kept[1]
        K, v = self.spectrum(), torch.view_as_complex(self.probe).to(self.weight.dtype.to_complex())
        with torch.no_grad():
            v = K.mH @ (K @ v)
            v = v / v.norm(dim=-2, keepdim=True).clamp_min(1e-20)
            self.probe.copy_(torch.view_as_real(v))
        return margin * (K @ v).norm(dim=-2).max()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        return F.conv2d(x, self.weight / self.bound().clamp_min(1.0), self.bias, padding=1)


class AveragedDnCNN(nn.Module):
    """D(x) = (x + T(x)) / 2 with T a chain of 1-Lipschitz convolutions and ReLUs: firmly non-expansive by construction.

    In eval mode ||D(x) - D(z)||^2 <= <D(x) - D(z), x - z> for all images of all sizes, up to rounding: D and I - D do
    not expand, and plug-and-play with it converges in FISTA without momentum at any step below 2/L, and in ADMM with
    any rho, to a fixed point where there is one. The price is quality: T cannot sharpen contrast anywhere.

    Args:
        channels: image channels (2: real and imaginary part).
        depth: number of convolutions.
        width: channels between them.

    Reference:
        Pesquet et al., "Learning maximally monotone operators for image recovery", SIAM J Imaging Sci 14 (2021); Ryu et
        al., ICML 2019.

    Example:
        D = pi.nets.AveragedDnCNN(channels=2, depth=5, width=32)
    """

    config: Any
    layers: Any

    def __init__(self, channels: int = 2, depth: int = 5, width: int = 32):
        super().__init__()
        channels = _check.integer("channels", channels, low=1)
        depth, width = _check.integer("depth", depth, low=2), _check.integer("width", width, low=1)
        self.config: Any = {"channels": channels, "depth": depth, "width": width}
        sizes = [channels] + [width] * (depth - 1) + [channels]
        self.layers: Any = nn.ModuleList([LipschitzConv2d(a, b) for a, b in pairwise(sizes)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> the denoised images, the same shape."""
        y = x
        for layer in self.layers[:-1]:
            y = torch.relu(layer(y))
        return 0.5 * (x + self.layers[-1](y))
