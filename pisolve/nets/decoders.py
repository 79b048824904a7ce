"""Networks that are fitted to one scan without any training: the deep image prior and its lighter successors.

They make an image out of a fixed random input, network(z, shape) -> (1, 2, y, x) with z = network.latent(shape, rng):
the architecture alone is the prior (`pisolve.scan_specific.Untrained`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check
from pisolve.nets.fastmri_unet import FastMRIUNet

_COARSE = 8  # pixels of the shorter side that a decoder starts from


class _Decoder(nn.Module):
    """Layers on grids that grow geometrically from about 8 pixels to the image, then one convolution to two channels.

    Norms are taken over the one image: they have no memory, so evaluation and training are alike.
    """

    kernel: int
    upsampling: str
    channels: int | None
    layers: int | None
    config: Any
    convs: Any
    norms: Any
    last: Any

    kernel, upsampling = 3, "nearest"

    def __init__(self, channels: int, layers: int):
        super().__init__()
        self.channels: int | None = _check.integer("channels", channels, low=1)
        self.layers: int | None = _check.integer("layers", layers, low=2)
        self.config: Any = {"channels": self.channels, "layers": self.layers}
        k = self.kernel
        self.convs: Any = nn.ModuleList([nn.Conv2d(channels, channels, k, padding=k // 2, bias=False)
                                    for _ in range(layers)])
        self.norms: Any = nn.ModuleList([nn.InstanceNorm2d(channels, affine=True) for _ in range(layers)])
        self.last: Any = nn.Conv2d(channels, 2, 1)

    def latent(self, shape: Any, rng: np.random.Generator) -> torch.Tensor:
        """The fixed random input (1, channels, y', x') for an image of `shape` (y, x), standard normal."""
        size = self.sizes(shape)[0]
        return torch.from_numpy(rng.standard_normal((1, self.channels, *size), np.float32))

    def sizes(self, shape: Any) -> list[tuple[int, int]]:
        """The grids from the input's to the image's, one a layer; the last two layers are on the image's own."""
        low = min(_COARSE / min(shape), 1)
        share = np.geomspace(low, 1, self.layers - 1)
        return [tuple(max(1, round(n * float(s))) for n in shape) for s in (*share, 1.0)]


class ConvDecoder(_Decoder):
    """layers x [nearest-neighbour upsampling, 3 x 3 convolution, ReLU, norm], then 1 x 1 to real and imaginary part.

    The paper's demonstration has 256 channels and 7 layers on knees of 640 x 368; 64 channels are for a CPU.

    Args:
        channels: of every layer.
        layers: number of them; the input has about 8 pixels on its shorter side.

    Reference:
        Darestani and Heckel, "Accelerated MRI with un-trained neural networks", IEEE Trans Comput Imaging 7 (2021) 724.

    Example:
        pi.recon(scan, pi.Untrained(pi.nets.ConvDecoder(channels=64)))
    """

    def __init__(self, channels: int = 64, layers: int = 7):
        super().__init__(channels, layers)

    def forward(self, z: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """The image (1, 2, y, x)."""
        for size, conv, norm in zip(self.sizes(shape), self.convs, self.norms):
            z = z if z.shape[-2:] == size else F.interpolate(z, size, mode="nearest")
            z = norm(torch.relu(conv(z)))
        return self.last(z)


class DeepDecoder(_Decoder):
    """layers x [1 x 1 convolution, bilinear upsampling, ReLU, norm], then 1 x 1: pixels meet by upsampling only.

    Args:
        channels: of every layer.
        layers: number of them.

    Reference:
        Heckel and Hand, "Deep Decoder: concise image representations from untrained non-convolutional networks",
        ICLR 2019.
    """

    kernel = 1

    def __init__(self, channels: int = 128, layers: int = 7):
        super().__init__(channels, layers)

    def forward(self, z: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """The image (1, 2, y, x)."""
        for size, conv, norm in zip(self.sizes(shape), self.convs, self.norms):
            z = conv(z)
            z = z if z.shape[-2:] == size else F.interpolate(z, size, mode="bilinear", align_corners=False)
            z = norm(torch.relu(z))
        return self.last(z)


class DIP(nn.Module):
    """The deep image prior: a U-Net from a fixed uniform noise image to the image.

    The network is `FastMRIUNet` (the paper's has other widths and strided convolutions instead of pooling).

    Args:
        inputs: channels of the noise image.
        chans, pools: as for `FastMRIUNet`.

    Reference:
        Ulyanov, Vedaldi and Lempitsky, "Deep image prior", CVPR 2018.
    """

    inputs: int | None
    unet: Any
    config: Any
    multiple: Any

    def __init__(self, inputs: int = 32, chans: int = 32, pools: int = 4):
        super().__init__()
        self.inputs: int | None = _check.integer("inputs", inputs, low=1)
        self.unet: Any = FastMRIUNet(self.inputs, 2, chans=chans, pools=pools)
        self.config: Any = {"inputs": self.inputs, "chans": chans, "pools": pools}
        self.multiple: Any = 2**pools

    def latent(self, shape: Sequence[int], rng: np.random.Generator) -> torch.Tensor:
        """The fixed random input (1, inputs, y, x), uniform in 0 to 0.1."""
        return torch.from_numpy(rng.uniform(0, 0.1, (1, self.inputs, *self._padded(shape))).astype(np.float32))

    def forward(self, z: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """The image (1, 2, y, x)."""
        return self.unet(z)[..., : shape[0], : shape[1]]

    def _padded(self, shape):
        return [-(-n // self.multiple) * self.multiple for n in shape]
