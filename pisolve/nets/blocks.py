"""The plain pieces of image-to-image networks: complex images as planes, activations, residual blocks, the DnCNN."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pisolve import _check

# all of slope at most 1 but silu (1.1); relu alone is homogeneous, the others have continuous first derivatives
ACTIVATIONS = {"relu": torch.relu, "elu": F.elu, "softplus": F.softplus, "silu": F.silu}


def describe(module: nn.Module) -> dict[str, Any]:
    """A network as plain values, for the `config` of a network that contains it; `as_network` makes it again."""
    if not hasattr(module, "config"):
        raise TypeError(f"{type(module).__name__} has no config that would rebuild it: take a network of pisolve.nets")
    return {"architecture": type(module).__name__, "config": module.config}


BUILDERS = []  # `store.build`, which knows all architectures and lies above them, puts itself here


def as_network(name: str, value) -> nn.Module:
    """The network given as argument `name`: a module as it is, or made of what `describe` said."""
    if isinstance(value, nn.Module):
        return value
    if isinstance(value, dict) and set(value) == {"architecture", "config"}:
        return BUILDERS[0](**value)
    raise TypeError(f"{name} must be a torch module, got {_check.brief(value)}")


def to_planes(x: torch.Tensor) -> torch.Tensor:
    """Complex images (B, c, y, x), or (y, x) and (B, y, x) of c = 1, as planes (B, 2 c, y, x), real parts first."""
    x = x[None] if x.ndim == 2 else x
    x = x[:, None] if x.ndim == 3 else x.flatten(0, -4)
    return torch.cat([x.real, x.imag], 1)


def to_complex(planes: torch.Tensor, shape) -> torch.Tensor:
    """What `to_planes` made, as complex images of `shape`."""
    real, imag = planes.chunk(2, 1)
    return torch.complex(real, imag).reshape(shape)


def frames_axis(A) -> int | None:
    """Which axis of A's image holds the frames of a series, by its name; None: there is none."""
    names = getattr(A, "iaxes", None) or ()
    return names.index("frame") if "frame" in names else None


def to_series(x: torch.Tensor, frames: int | None) -> torch.Tensor:
    """Complex images (..., y, x) as planes (B, 2, frame, y, x); `frames` is the axis of the frames, None: one each."""
    x = x.reshape(-1, 1, *x.shape[-2:]) if frames is None else x.movedim(frames, -3)
    x = x.reshape(-1, *x.shape[-3:])
    return torch.stack([x.real, x.imag], 1)


def from_series(planes: torch.Tensor, shape, frames: int | None) -> torch.Tensor:
    """What `to_series` made, as complex images of `shape`."""
    x = torch.complex(*planes.unbind(1))
    if frames is None:
        return x.reshape(shape)
    moved = [*shape[:frames], *shape[frames + 1:-2], shape[frames], *shape[-2:]]
    return x.reshape(moved).movedim(-3, frames)


def kept_shape(name: str, out, planes: torch.Tensor) -> torch.Tensor:
    """What a network made of `planes`, checked to be of their shape.

    Raises:
        ValueError: it is not.
    """
    if not torch.is_tensor(out) or out.shape != planes.shape:
        got = tuple(out.shape) if torch.is_tensor(out) else type(out).__name__
        raise ValueError(f"{name} returned {got} for {tuple(planes.shape)}: it must keep the shape")
    return out


def denoised(part: nn.Module, x: torch.Tensor, level: torch.Tensor | None, *, channels: str, noise_input: str | None,
             name: str = "the network") -> torch.Tensor:
    """D(x, sigma) of a module on planes for complex images (..., y, x), of the same shape.

    Args:
        part: (B, 2 [+ 1 noise map], y, x) -> (B, 2, y, x), or on one channel that sees both parts as two images.
        x: complex images.
        level: sigma, a scalar or one for each image, in the order of x; None where `noise_input` is.
        channels: "complex" or "parts".
        noise_input: None, "map" or "scalar".
        name: of the module, for messages.

    Raises:
        ValueError: the module does not keep the shape.
    """
    weight = next(part.parameters(), x.real)
    planes = torch.view_as_real(x.resolve_conj().reshape(-1, *x.shape[-2:])).movedim(-1, 1).to(weight.dtype)
    planes = planes.reshape(-1, 1, *x.shape[-2:]) if channels == "parts" else planes
    if noise_input:
        level = level.to(weight.dtype).reshape(-1, 1, 1, 1)
        level = level.expand(len(planes), 1, 1, 1) if len(level) == 1 else level.repeat_interleave(
            len(planes) // len(level), 0)
    if noise_input == "map":
        out = part(torch.cat([planes, level.expand(-1, 1, *x.shape[-2:])], 1))
    else:  # a copy: a network may change its input
        out = part(planes.clone(), level) if noise_input else part(planes.clone())
    out = kept_shape(name, out, planes).reshape(-1, 2, *x.shape[-2:]).movedim(1, -1).to(x.real.dtype)
    return torch.view_as_complex(out.contiguous()).reshape(x.shape)


class ResBlock(nn.Module):
    """x + conv(act(conv(x))), 3x3 without biases: with relu positively homogeneous, it scales with its input.

    Args:
        width: channels.
        activation: "relu", "elu", "softplus" or "silu"; the smooth ones are not homogeneous, see `UNet`.
    """

    activation: Any
    first: Any
    second: Any

    def __init__(self, width: int, activation: str = "relu"):
        super().__init__()
        self.activation: Any = ACTIVATIONS[_check.choice("activation", activation, tuple(ACTIVATIONS))]
        self.first: Any = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second: Any = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.second(self.activation(self.first(x)))


class DnCNN(nn.Module):
    """x - R(x) with R a plain chain of 3x3 convolutions and ReLUs that predicts the noise (batch norm folded away).

    The state-dict keys are those of the KAIR model zoo (`model.0.weight`, `model.2.weight`, ...), so its public
    DnCNN files load strictly. `forward` returns the denoised image, not the noise, as KAIR's does. Depth 5 and width
    64 on two channels is the regulariser of MoDL.

    Args:
        channels: channels of the image (1: grey, 2: real and imaginary part).
        depth: number of convolutions, 17 or 20 in the public files.
        width: channels between them.
        bias: convolutions with biases; without them the network is positively homogeneous.
        ndim: 2; or 3 for volumes and series (B, channels, z or frame, y, x).

    Reference:
        Zhang et al., "Beyond a Gaussian denoiser", IEEE Trans. Image Process. 26 (2017).
    """

    config: Any
    model: Any

    def __init__(self, channels: int = 1, depth: int = 17, width: int = 64, bias: bool = True, ndim: int = 2):
        super().__init__()
        channels = _check.integer("channels", channels, low=1)
        depth = _check.integer("depth", depth, low=2)
        width = _check.integer("width", width, low=1)
        self.config = {"channels": channels, "depth": depth, "width": width, "bias": bool(bias)}
        self.config |= {} if _check.choice("ndim", ndim, (2, 3)) == 2 else {"ndim": 3}  # older files say nothing of it
        convolution = nn.Conv2d if ndim == 2 else nn.Conv3d
        sizes = [channels] + [width] * (depth - 1) + [channels]
        layers: list[nn.Module] = []
        for first, second in pairwise(sizes):
            layers += [convolution(first, second, 3, padding=1, bias=bool(bias)), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, [frame,] y, x) float -> the denoised image, the same shape."""
        return x - self.model(x)
