"""AUTOMAP: k-space to image by dense layers, learned from nothing, for one size of image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from pisolve import _check, backend
from pisolve.nets._fastmri import check_complex, check_kspace
from pisolve.nets.blocks import to_planes


class AUTOMAP(nn.Module):
    """Two dense layers with tanh, two convolutions, one transposed: `net(kspace, mask)` -> magnitude (batch, y, x).

    With `maps` it is called `net(A, y)` and returns the complex image sum_c conj(S_c) x_c instead.

        h = tanh(W_1 [Re y, Im y]),   z = tanh(W_2 h),   Re x = deconv_7(relu(conv_5(relu(conv_5(z)))))

    Nothing of the Fourier transform is built in, so one network is for one size of image. For N = y x pixels W_1 has
    2 N^2 weights and W_2 N^2, at 128 x 128 536.9 and 268.5 million: the paper's network has 805,446,401 parameters in
    all (`AUTOMAP.count((128, 128))`; told as 806 M elsewhere), and training it takes 13 GB with Adam. `hidden` makes
    h smaller: 4096 gives 201.5 M. The paper trains one network for real parts and one for imaginary parts; here
    Im x is what the same network makes of -i y. Every coil is reconstructed by itself, in units of the zero-filled
    maximum of its slice, and the root of the sum of squares is returned. Trained on magnitudes, the phase of every
    pixel is the network's to choose, and neighbours that choose differently spoil each other's: with `maps` the loss
    sees the complex image, and the network learns faster. The paper's L1 penalty on the last features is left out.

    Args:
        size: (y, x), the only size of image that it takes.
        hidden: entries of h; None: y x.
        width: channels between the convolutions.
        maps: whether it is called with SENSE and returns a complex image; of one coil the map is 1.

    Raises:
        TypeError: k-space that is not complex, or of another precision than the weights; an operator without maps.
        ValueError: k-space of another size.

    Reference:
        Zhu et al., "Image reconstruction by domain-transform manifold learning", Nature 555 (2018) 487.

    Example:
        net = pi.nets.AUTOMAP((64, 64), hidden=1024)
    """

    size: Any
    config: Any
    dense: Any
    convolutions: Any

    needs_maps: bool = False

    def __init__(self, size: Sequence[int] = (64, 64), hidden: int | None = None, width: int = 64,
                 maps: bool = False):
        super().__init__()
        self.size: Any = _check.shape("size", tuple(size) if isinstance(size, list) else size)
        if len(self.size) != 2:
            raise ValueError(f"size must be (y, x), got {self.size}")
        pixels = self.size[0] * self.size[1]
        hidden = pixels if hidden is None else _check.integer("hidden", hidden, low=1)
        width = _check.integer("width", width, low=1)
        self.needs_maps = bool(maps)
        self.config: Any = {"size": list(self.size), "hidden": hidden, "width": width}
        self.config |= {"maps": True} if maps else {}  # older files say nothing of it
        self.dense: Any = nn.Sequential(nn.Linear(2 * pixels, hidden), nn.Tanh(), nn.Linear(hidden, pixels), nn.Tanh())
        self.convolutions: Any = nn.Sequential(nn.Conv2d(1, width, 5, padding=2), nn.ReLU(),
                                          nn.Conv2d(width, width, 5, padding=2), nn.ReLU(),
                                          nn.ConvTranspose2d(width, 1, 7, padding=3))

    @staticmethod
    def count(size: Sequence[int], hidden: int | None = None, width: int = 64) -> int:
        """The number of parameters by arithmetic, without making them."""
        pixels = size[0] * size[1]
        hidden = pixels if hidden is None else hidden
        dense = (2 * pixels + 1) * hidden + (hidden + 1) * pixels
        return dense + (25 + 1) * width + (25 * width + 1) * width + 49 * width + 1

    def forward(self, first: Any, second: torch.Tensor) -> torch.Tensor:
        """Reconstruct k-space (batch, coil, ky, kx), native complex, of which only what was sampled is looked at.

        Called (kspace, mask), or with `maps` (A, y), y of one slice or several.
        """
        if not self.needs_maps:
            parts, scale = self._parts(check_kspace(first, second, next(self.parameters()))[0])
            return torch.linalg.vector_norm(parts, dim=(0, 2)) * scale
        if not hasattr(first, "mps"):
            raise TypeError(f"A must be SENSE of a grid, whose maps combine the coils, got {type(first).__name__}")
        y = check_complex("y", second)
        everywhere = torch.ones(y.shape[-2:], dtype=torch.bool, device=y.device)
        kspace, _ = check_kspace(y.reshape(-1, *y.shape[-3:]), everywhere, next(self.parameters()))
        parts, scale = self._parts(kspace)
        coils = (torch.complex(*parts) * scale[:, None]).reshape(y.shape)
        return (backend.to_torch(first.mps).to(y.device, y.dtype).conj() * coils).sum(-3)

    def _parts(self, kspace):
        """Real and imaginary parts (2, batch, coil, y, x) of every coil's image, and their unit (batch, 1, 1)."""
        if tuple(kspace.shape[-2:]) != self.size:
            have, own = ("x".join(map(str, s)) for s in (kspace.shape[-2:], self.size))
            raise ValueError(f"kspace has {have} samples, this AUTOMAP is for {own} alone: its dense layers fit no "
                             f"other size; crop or pad k-space to {own}, or train one of this size")
        zero = torch.linalg.vector_norm(backend.fft(kspace, (-2, -1), inverse=True), dim=1)
        scale = zero.amax((-2, -1)).clamp_min(torch.finfo(zero.dtype).tiny)[:, None, None]
        coils = (kspace / scale[:, None]).flatten(0, 1)
        out = self.dense(torch.cat([to_planes(coils), to_planes(-1j * coils)]).flatten(1))
        return self.convolutions(out.reshape(-1, 1, *self.size)).reshape(2, *kspace.shape), scale
