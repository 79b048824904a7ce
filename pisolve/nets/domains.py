"""A network in another domain than the image's: in k-space, on magnitude and phase, or on space and time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pisolve import _check, backend
from pisolve.nets.blocks import DnCNN, as_network, describe, kept_shape, to_complex, to_planes

DOMAINS = ("image", "magnitude-phase", "kspace", "xt")


def transform(x: torch.Tensor, domain: str) -> torch.Tensor:
    """Complex images (B, y, x) as the two planes (B, 2, y, x) of a domain; a series (frame, y, x) as (y, 2, frame, x).

    "image": real and imaginary part. "magnitude-phase": |x| and the angle in radians, 0 where x is 0. "kspace": real
    and imaginary part of the centred orthonormal FFT. "xt": real and imaginary part of the lines of a series of images,
    each line along time and x.
    """
    if domain == "xt":
        return to_planes(x.movedim(0, 1))
    if domain == "magnitude-phase":
        some = x != 0
        angle = torch.where(some, torch.where(some, x, 1).angle(), 0)  # a gradient of 0 where x is 0
        return torch.stack([backend.magnitude(x), angle], 1)
    return to_planes(backend.fft(x, (-2, -1)) if domain == "kspace" else x)


def inverse(planes: torch.Tensor, domain: str) -> torch.Tensor:
    """The complex images (B, y, x) of the two planes of a domain: inverse(transform(x)) = x."""
    if domain == "xt":
        return torch.complex(*planes.unbind(1)).movedim(0, 1)
    if domain == "magnitude-phase":
        size, angle = planes.unbind(1)
        return torch.complex(size * angle.cos(), size * angle.sin())
    x = to_complex(planes, (len(planes), *planes.shape[-2:]))
    return backend.fft(x, (-2, -1), inverse=True) if domain == "kspace" else x


class InDomain(nn.Module):
    """T^-1 N(T x): a network N on the planes of another domain T, in the place of one on real and imaginary part.

    Planes behind the first two, such as a map of the noise level, are handed on as they are, but not in "xt".

    Args:
        network: N, (B, 2 [+ more], y, x) -> (B, 2, y, x), or its description by `blocks.describe`.
        domain: "image", "magnitude-phase", "kspace" or "xt", see `transform`. In "xt" the network sees series, (B, 2,
            frame, y, x), and N every line y of them as an image along time and x: `Postprocessor` gives them, from an
            operator whose image has an axis "frame". An image without frames is a series of one.

    Raises:
        ValueError: another domain, a network that changes the shape, in "xt" images that are no series.

    Reference:
        Wang et al., ISBI 2016, 514 (image); Lee, Yoo, Tak and Ye, IEEE Trans Biomed Eng 65 (2018) 1985 (magnitude and
        phase); Han, Sunwoo and Ye, IEEE Trans Med Imaging 39 (2020) 377 (k-space); Kofler et al., ibid. 39 (2020) 703
        (x and t).

    Example:
        net = pi.nets.InDomain(pi.nets.DnCNN(2, 5, 32), "kspace")
    """

    network: Any
    domain: Any

    def __init__(self, network: Any, domain: str = "image"):
        super().__init__()
        self.network: Any = as_network("network", network)
        self.domain: Any = _check.choice("domain", domain, DOMAINS)

    @property
    def series(self) -> bool:
        """Whether it is given series (B, 2, frame, y, x)."""
        return self.domain == "xt"

    @property
    def config(self) -> dict[str, Any]:
        """What rebuilds this network, as plain values."""
        return {"network": describe(self.network), "domain": self.domain}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 2 [+ more], y, x), real and imaginary part first -> (B, 2, y, x); in "xt" (B, 2, frame, y, x)."""
        if self.series:
            return self._lines(x)
        if self.domain == "image":
            return self.network(x)
        given = transform(to_complex(x[:, :2], (len(x), *x.shape[-2:])), self.domain)
        out = self.network(torch.cat([given.to(x.dtype), x[:, 2:]], 1))
        return to_planes(inverse(kept_shape(type(self.network).__name__, out, given), self.domain))

    def _lines(self, x):
        """The network on all lines of all series at once."""
        if x.ndim != 5 or x.shape[1] != 2:
            raise ValueError(f"x has shape {tuple(x.shape)}: a network in domain 'xt' is for series (B, 2, frame, y, "
                             "x), as a Postprocessor gives them of a scan with frames")
        given = torch.cat([transform(torch.complex(*one), self.domain) for one in x])
        out = kept_shape(type(self.network).__name__, self.network(given), given)
        return torch.stack([torch.view_as_real(inverse(part, self.domain)).movedim(-1, 0)
                            for part in out.split(x.shape[-2])])


def residual_cnn(domain: str = "image", depth: int = 8, width: int = 48) -> InDomain:
    """x + R(x) in a domain, R a chain of convolutions: the early networks for MRI, one for all of their domains.

    Args:
        domain: see `InDomain`.
        depth, width: convolutions, and channels between them.
    """
    return InDomain(DnCNN(2, depth, width), domain)
