"""fastMRI's U-Net, the network that reconstructs with it, and the re-insertion of measured samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check, backend
from pisolve.nets._fastmri import check_complex, check_kspace, check_mask, load_strictly, plain_state, unet_sizes


class ConvBlock(nn.Module):
    """Twice: convolution 3x3 without bias, instance norm, leaky ReLU (0.2), dropout of channels."""

    def __init__(self, in_chans: int, out_chans: int, drop_prob: float = 0.0):
        super().__init__()
        layers: list[nn.Module] = []
        for chans in (in_chans, out_chans):
            layers += [nn.Conv2d(chans, out_chans, 3, padding=1, bias=False), nn.InstanceNorm2d(out_chans),
                       nn.LeakyReLU(0.2, inplace=True), nn.Dropout2d(drop_prob)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_chans, H, W) -> (B, out_chans, H, W)."""
        return self.layers(x)


class TransposeConvBlock(nn.Module):
    """Transposed convolution 2x2 of stride 2 without bias, instance norm, leaky ReLU (0.2)."""

    def __init__(self, in_chans: int, out_chans: int):
        super().__init__()
        self.layers = nn.Sequential(nn.ConvTranspose2d(in_chans, out_chans, 2, stride=2, bias=False),
                                    nn.InstanceNorm2d(out_chans), nn.LeakyReLU(0.2, inplace=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_chans, H, W) -> (B, out_chans, 2 H, 2 W)."""
        return self.layers(x)


class FastMRIUNet(nn.Module):
    """fastMRI's U-Net: `pools` times conv block and average pooling, and back up over concatenated skips.

    Layer for layer, and name for name, `fastmri.models.Unet`: its state dicts load strictly. 7,756,097 parameters at
    the defaults. It maps channels to channels, such as a zero-filled magnitude image to a better one; fastMRI gives it
    images of mean 0 and standard deviation 1, which `ZeroFilledUNet` does.

    Args:
        in_chans, out_chans: channels of the input and of the output.
        chans: channels of the finest level; each level below has twice as many.
        pools: number of poolings, each halving the image.
        drop_prob: probability that a channel is dropped in training.

    Reference:
        Ronneberger et al., MICCAI 2015; Zbontar et al., arXiv:1811.08839 (chans = 256 in its leaderboard's).
    """

    in_chans: int | None
    pools: int | None
    config: Any
    down_sample_layers: Any
    conv: Any
    up_transpose_conv: Any
    up_conv: Any

    def __init__(self, in_chans: int = 1, out_chans: int = 1, chans: int = 32, pools: int = 4, drop_prob: float = 0.0):
        super().__init__()
        self.in_chans: int | None = _check.integer("in_chans", in_chans, low=1)
        out_chans = _check.integer("out_chans", out_chans, low=1)
        chans = _check.integer("chans", chans, low=1)
        self.pools: int | None = _check.integer("pools", pools, low=1)
        drop_prob = _check.number("drop_prob", drop_prob, low=0, high=1)
        self.config: Any = {"in_chans": self.in_chans, "out_chans": out_chans, "chans": chans, "pools": self.pools,
                       "drop_prob": drop_prob}
        widths = [chans * 2**level for level in range(pools + 1)]
        self.down_sample_layers: Any = nn.ModuleList(
            [ConvBlock(a, b, drop_prob) for a, b in zip([in_chans, *widths], widths[:-1])])
        self.conv: Any = ConvBlock(widths[-2], widths[-1], drop_prob)
        upwards = widths[-2::-1]
        self.up_transpose_conv: Any = nn.ModuleList([TransposeConvBlock(2 * width, width) for width in upwards])
        up: list[nn.Module] = [ConvBlock(2 * width, width, drop_prob) for width in upwards]
        up[-1] = nn.Sequential(up[-1], nn.Conv2d(chans, out_chans, 1))
        self.up_conv: Any = nn.ModuleList(up)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_chans, H, W) float -> (B, out_chans, H, W); any H and W >= 2^pools, but not both below twice that."""
        if not torch.is_tensor(x) or not x.is_floating_point():
            raise TypeError(f"x must be a float tensor, got {_check.brief(getattr(x, 'dtype', x))}: real and imaginary "
                            "part are two channels, or take abs()")
        if x.ndim != 4 or x.shape[1] != self.in_chans:
            raise ValueError(f"x has shape {tuple(x.shape)}, expected (batch, {self.in_chans}, y, x)")
        sides = [n >> self.pools for n in x.shape[-2:]]
        if min(sides) < 1 or max(sides) < 2:
            raise ValueError(f"x has {x.shape[-2]}x{x.shape[-1]} pixels, too few for {self.pools} poolings: fewer "
                             f"pools, or at least {2**self.pools}x{2 ** (self.pools + 1)} pixels")
        skips = []
        for layer in self.down_sample_layers:
            skips.append(layer(x))
            x = F.avg_pool2d(skips[-1], 2)
        x = self.conv(x)
        for grow, layer in zip(self.up_transpose_conv, self.up_conv):
            x, skip = grow(x), skips.pop()
            odd = [a - b for a, b in zip(skip.shape[-2:], x.shape[-2:])]
            if any(odd):  # the pooling dropped a last row or column
                x = F.pad(x, (0, odd[1], 0, odd[0]), "reflect")
            x = layer(torch.cat([x, skip], 1))
        return x

    @classmethod
    def from_fastmri(cls, state_dict: Mapping[str, torch.Tensor]) -> FastMRIUNet:
        """The network of a state dict of `fastmri.models.Unet`, in eval mode; sizes are read from the tensors.

        Args:
            state_dict: names and tensors, as `torch.load(..., weights_only=True)` gives; or the "state_dict" of a
                Lightning checkpoint, whose names begin with "unet.".

        Raises:
            ValueError: names or shapes that are not such a network's, or NaN or Inf among the weights.
        """
        weights = plain_state("unet.", state_dict)
        return load_strictly(cls(**unet_sizes("", weights)), weights)


class ZeroFilledUNet(nn.Module):
    """|x| = U(rss(F^-1 y)), the learned post-processing baseline: `net(kspace, mask)` -> magnitude (batch, y, x).

    The zero-filled root-sum-of-squares image of each slice is brought to mean 0 and standard deviation 1 (and, as in
    fastMRI, clipped to [-6, 6] where it is not residual), goes through a `FastMRIUNet` and back.

    Args:
        chans, pools, drop_prob: as for `FastMRIUNet`.
        residual: learn the difference from the zero-filled image, x = x_0 + U(x_0), rather than x = U(x_0).
        correction: put the measured samples back afterwards: the zero-filled coil images, scaled to the network's
            magnitude, get their measured k-space again (`kspace_correction`) and are combined anew.

    Reference:
        Zbontar et al., arXiv:1811.08839 (the baseline); Jin et al., IEEE TIP 26 (2017) 4509 (residual); Hyun et al.,
        "Deep learning for undersampled MRI reconstruction", Phys Med Biol 63 (2018) 135007 (correction).
    """

    unet: Any
    residual: bool
    correction: bool
    config: Any

    needs_maps = False

    def __init__(self, chans: int = 32, pools: int = 4, drop_prob: float = 0.0, *, residual: bool = False,
                 correction: bool = False):
        super().__init__()
        self.unet: Any = FastMRIUNet(1, 1, chans, pools, drop_prob)
        self.residual, self.correction = bool(residual), bool(correction)
        self.config: Any = {"chans": chans, "pools": pools, "drop_prob": drop_prob, "residual": self.residual,
                       "correction": self.correction}

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Reconstruct.

        Args:
            kspace: k-space (batch, coil, ky, kx), native complex; only what `mask` samples is looked at.
            mask: bool or 0/1, broadcastable to it and the same for all coils, such as (ky, kx) or (batch, 1, 1, kx).

        Returns:
            images (batch, y, x); without `correction` U's own output, which may dip below 0.

        Raises:
            TypeError: k-space that is not complex, or of another precision than the weights.
            ValueError: shapes that do not fit, NaN or Inf.
        """
        kspace, mask = check_kspace(kspace, mask, next(self.parameters()))
        coils = backend.fft(kspace, (-2, -1), inverse=True)
        start = torch.linalg.vector_norm(coils, dim=1, keepdim=True)
        mean, std = start.mean((-2, -1), keepdim=True), start.std((-2, -1), keepdim=True)
        given = (start - mean) / std.clamp_min(torch.finfo(std.dtype).tiny)  # an empty slice stays zero
        image = residual(self.unet, given) if self.residual else self.unet(given.clamp(-6, 6))
        image = image.to(start.dtype) * std + mean
        if self.correction:
            shown = start > 0
            ratio = torch.where(shown, image / torch.where(shown, start, 1), 0)
            image = torch.linalg.vector_norm(kspace_correction(coils * ratio, kspace, mask), dim=1, keepdim=True)
        return image[:, 0]


def residual(network, x: torch.Tensor) -> torch.Tensor:
    """x + N(x), the residual form of a network: it learns what undersampling added rather than the image."""
    return x + network(x)


def kspace_correction(image: torch.Tensor, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """F^-1 (M y + (1 - M) F x): the image with its measured samples put back.

    A projection onto the images that fit the data: for noise-free data y = M F x* it brings no x farther from x*.

    Args:
        image: complex or real images (..., y, x), coil images where k-space has coils.
        kspace: complex k-space of the same shape.
        mask: bool or 0/1, broadcastable to it: True where `kspace` was measured.

    Returns:
        complex images (..., y, x).

    Raises:
        TypeError: k-space that is not complex.
        ValueError: shapes that differ, NaN or Inf.

    Reference:
        Hyun et al., Phys Med Biol 63 (2018) 135007.
    """
    if not torch.is_tensor(image):
        raise TypeError(f"image must be a tensor, got {type(image).__name__}")
    mask = check_mask(mask, check_complex("kspace", kspace))
    _check.array("image", image, shape=tuple(kspace.shape), complex_=False)
    return backend.fft(torch.where(mask, kspace, backend.fft(image.to(kspace.dtype), (-2, -1))), (-2, -1), inverse=True)
