"""GrappaNet: networks before and after a fixed layer of weights from the scan's own centre: GRAPPA, linear, or RAKI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from pisolve import _check, backend, calib, linops
from pisolve.calib.region import calibration_data
from pisolve.nets._fastmri import check_kspace
from pisolve.nets.e2e_varnet import NormUnet

_REMEDY = "a GrappaNet fits its weights to a fully sampled centre: more lines there, or a smaller kernel"


class GrappaLayer(nn.Module):
    """G k: of k-space that is known on every `accel`-th line and at the measured ones, the lines between by GRAPPA.

    The weights are fitted to the fully sampled centre of the measured data, for this pattern; they are constants, the
    layer is linear in k, and gradients flow through it by its adjoint. One coil passes as it is.

    Args:
        accel: what is left for GRAPPA to fill, 2 in the paper.
        kernel: size (ky, kx) of the window, as for `calib.grappa`, whose first axis is along ky.
        lam: strength of the ridge.

    Reference:
        Griswold et al., Magn Reson Med 47 (2002) 1202; Sriram et al., CVPR 2020, 14315.
    """

    accel: int
    kernel: tuple[Any, ...]
    lam: float

    def __init__(self, accel: int = 2, kernel: Sequence[int] = (5, 5), lam: float = 0.01):
        super().__init__()
        self.accel = _check.integer("accel", accel, low=2)
        self.kernel, self.lam = _check.shape("kernel", tuple(kernel)), _check.number("lam", lam, low=0)

    def forward(self, k: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Filled k-space.

        Args:
            k: k-space (batch, coil, ky, kx) that is right where the result's lattice is.
            measured: the data, whose fully sampled centre the weights come from.
            mask: where they were measured, bool (batch or 1, 1, ky, kx), lines along one axis.

        Raises:
            ValueError: points in place of lines, or a centre smaller than the kernel.
        """
        if k.shape[1] == 1:
            return k
        masks = mask.expand(len(k), 1, *k.shape[-2:])[:, 0].cpu().numpy()
        return torch.stack([self.filled(*each) for each in zip(k, measured.detach(), masks)])

    def filled(self, k: torch.Tensor, measured: torch.Tensor, mask: Any) -> torch.Tensor:
        """One slice (coil, ky, kx), its mask (ky, kx) of numpy."""
        block = calibration_data(measured, mask, kernel=self.kernel, remedy=_REMEDY)
        weights = calib.grappa(measured, self.lattice(mask), block, self.kernel, self.lam)
        return linops.as_torch(linops.grappa(weights, tuple(k.shape)))(k)

    def lattice(self, mask: Any) -> Any:
        """The measured lines of a mask (ky, kx), and every `accel`-th one."""
        return mask | self.every(mask)

    def every(self, mask: Any) -> Any:
        """Every `accel`-th line of those that a mask (ky, kx) thins out, counted from the centre of k-space."""
        lines, axis = np.zeros_like(mask), _across(mask)
        first = mask.shape[axis] // 2 % self.accel
        lines[(slice(None),) * axis + (slice(first, None, self.accel),)] = True
        return lines


def _across(mask) -> int:
    """The axis along which a mask (ky, kx) of lines varies."""
    along_y, along_x = bool((mask != mask[:1]).any()), bool((mask != mask[:, :1]).any())
    if along_y and along_x:
        raise ValueError("mask varies along ky and kx: GRAPPA of a GrappaNet fills lines, so give a pattern of lines "
                         "such as masks.random, or take a network that needs maps")
    return 1 if along_x else 0


class RakiLayer(GrappaLayer):
    """R k: the lines between by RAKI, a small network that is fitted to the fully sampled centre of the measured data.

    As `GrappaLayer`, with a nonlinear function of the lattice's lines in the place of weights: the fit is done anew for
    each scan, its weights are constants, and gradients flow through what it makes of k. On its own it is `calib.raki`.
    A fit takes seconds, where GRAPPA's closed form takes milliseconds.

    Args:
        accel: what is left to fill.
        iterations: steps of the fit.
        channels: of its two hidden layers; one network for all coils. What it sees are `calib.raki`'s defaults.

    Reference:
        Akcakaya et al., Magn Reson Med 81 (2019) 439.
    """

    iterations: int
    channels: tuple[int, ...]

    def __init__(self, accel: int = 2, iterations: int = 400, channels: Sequence[int] = (128, 64)):
        super().__init__(accel, (2, 2))
        self.iterations, self.channels = _check.integer("iterations", iterations, low=1), tuple(channels)

    def filled(self, k: torch.Tensor, measured: torch.Tensor, mask: Any) -> torch.Tensor:
        """One slice (coil, ky, kx), its mask (ky, kx) of numpy."""
        block = calibration_data(measured, mask, kernel=self.kernel, remedy=_REMEDY)
        with torch.enable_grad():  # a fit, whatever is asked for outside
            weights = calib.raki(measured, self.every(mask), block, per_coil=False, channels=self.channels,
                                 iterations=self.iterations)
        return torch.where(torch.from_numpy(self.lattice(mask)).to(k.device), k, weights(k))


class CrossDomain(nn.Module):
    """k-space U-Net, data, image U-Net, data: one of GrappaNet's two halves, k-space to k-space."""

    def __init__(self, chans: int, pools: int, images: int):
        super().__init__()
        self.images = images
        self.kspace, self.image = NormUnet(chans, pools, images), NormUnet(chans, pools, images)

    def forward(self, k: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """k-space (batch, coil, ky, kx) -> the same shape, with the measured samples as they are."""
        k = torch.where(mask, measured, k + self._each(self.kspace, k))
        x = backend.fft(k, (-2, -1), inverse=True)
        return torch.where(mask, measured, backend.fft(x + self._each(self.image, x), (-2, -1)))

    def _each(self, network, x):
        """A network on all coils at once, or on one after another."""
        return network(x) if self.images > 1 else network(x.flatten(0, 1)).reshape(x.shape)


class GrappaNet(nn.Module):
    """|x| = rss(F^-1 f_2(G f_1(y))): `net(kspace, mask)` -> root-sum-of-squares magnitude (batch, y, x).

    f_1 fills k-space so far that every second line is known, G is GRAPPA from there on, a fixed linear layer with
    weights from the scan's own centre (`GrappaLayer`), f_2 refines the result. f_1 and f_2 are a U-Net in k-space and
    one on images, each followed by the measured samples (`CrossDomain`). All U-Nets add to their input here.

    Args:
        chans, pools: as for `FastMRIUNet`.
        coils: None: the U-Nets see one coil at a time, and any number of coils goes; a number: they see all coils as
            channels, as in the paper, whose scans were compressed to 15, and only that number goes.
        accel, kernel, lam: as for `GrappaLayer`.
        fill: "grappa"; or "raki", a `RakiLayer` in its place, which takes no kernel and no lam.
        iterations: of RAKI's fit.

    Raises:
        TypeError: k-space that is not complex, or of another precision than the weights.
        ValueError: another number of coils; points in place of lines; a centre smaller than the kernel.

    Reference:
        Sriram, Zbontar, Murrell, Zitnick, Defazio and Sodickson, "GrappaNet", CVPR 2020, 14315.

    Example:
        net = pi.nets.GrappaNet(chans=8, pools=3)
    """

    coils: int | None
    grappa: Any
    before: Any
    after: Any
    config: Any

    needs_maps = False

    def __init__(self, chans: int = 32, pools: int = 4, coils: int | None = None, *, accel: int = 2,
                 kernel: Sequence[int] = (5, 5), lam: float = 0.01, fill: str = "grappa", iterations: int = 400):
        super().__init__()
        self.coils: int | None = _check.integer("coils", coils, low=1, allow_none=True)
        plain = _check.choice("fill", fill, ("grappa", "raki")) == "grappa"
        self.grappa: Any = GrappaLayer(accel, kernel, lam) if plain else RakiLayer(accel, iterations=iterations)
        images = self.coils or 1
        self.before, self.after = CrossDomain(chans, pools, images), CrossDomain(chans, pools, images)
        self.config: Any = {"chans": chans, "pools": pools, "coils": self.coils, "accel": self.grappa.accel,
                            "kernel": list(kernel), "lam": lam}
        self.config |= {} if plain else {"fill": fill, "iterations": self.grappa.iterations}  # older files have none

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Reconstruct k-space (batch, coil, ky, kx), native complex, of which only what `mask` samples is looked at."""
        kspace, mask = check_kspace(kspace, mask, next(self.parameters()))
        if self.coils not in (None, kspace.shape[1]):
            raise ValueError(f"kspace has {kspace.shape[1]} coils, this GrappaNet is for {self.coils}, its channels: "
                             f"compress them, pi.Compress({self.coils}), or build it with coils=None")
        filled = self.grappa(self.before(kspace, kspace, mask), kspace, mask)
        k = self.after(torch.where(mask, kspace, filled), kspace, mask)
        return torch.linalg.vector_norm(backend.fft(k, (-2, -1), inverse=True), dim=1)
