"""Variational networks with U-Nets: the end-to-end one, fastMRI's to the letter, and its forerunners VNU and VNU-K."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import checkpoint as recompute

from pisolve import _check, backend, linops
from pisolve.nets._fastmri import (
    centre,
    check_complex,
    check_kspace,
    check_precision,
    load_strictly,
    plain_state,
    unet_sizes,
)
from pisolve.nets.blocks import to_complex, to_planes
from pisolve.nets.fastmri_unet import FastMRIUNet


class NormUnet(nn.Module):
    """A U-Net on complex images: real and imaginary part each brought to mean 0, deviation 1, padded, and back.

    Args:
        chans, pools: as for `FastMRIUNet`.
        images: images that are seen at once, as the coils of a slice are.
    """

    def __init__(self, chans: int, pools: int, images: int = 1):
        super().__init__()
        self.unet = FastMRIUNet(2 * images, 2 * images, chans, pools)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Complex images (B, y, x) or (B, images, y, x) -> the same shape.

        Each is normalised by itself and padded to multiples of 16.
        """
        height, width = x.shape[-2:]
        planes = to_planes(x)
        mean, std = planes.mean((-2, -1), keepdim=True), planes.std((-2, -1), keepdim=True)
        top, left = -height % 16 // 2, -width % 16 // 2
        planes = (planes - mean) / std.clamp_min(torch.finfo(std.dtype).tiny)  # an empty image stays zero
        planes = F.pad(planes, (left, -width % 16 - left, top, -height % 16 - top))
        out = self.unet(planes)[..., top : top + height, left : left + width]
        return to_complex(out.to(mean.dtype) * std + mean, x.shape)


class SensitivityModel(nn.Module):
    """S = U(F^-1 M_c y) / rss: coil maps, sum |S|^2 = 1, from the fully sampled centre M_c by one U-Net for all coils.

    `nets.LearnedMaps` makes the maps of any recipe by it.

    Args:
        chans, pools: as for `FastMRIUNet`.
        mask_center: take the centre only; False lets all of k-space in.

    Reference:
        Sriram et al., "End-to-End Variational Networks for Accelerated MRI Reconstruction", MICCAI 2020, eq. 12.
    """

    mask_center: bool
    config: Any
    norm_unet: Any

    makes_maps = True

    def __init__(self, chans: int = 8, pools: int = 4, mask_center: bool = True):
        super().__init__()
        self.mask_center: bool = bool(mask_center)
        self.config: Any = {"chans": chans, "pools": pools, "mask_center": self.mask_center}
        self.norm_unet: Any = NormUnet(chans, pools)

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor, num_low_frequencies: Any = None) -> torch.Tensor:
        """Checked k-space (batch, coil, ky, kx) and mask (batch or 1, 1, ky, kx) -> maps of k-space's shape."""
        if self.mask_center:
            kspace = torch.where(centre(mask, len(kspace), num_low_frequencies), kspace, 0)
        images = backend.fft(kspace, (-2, -1), inverse=True)
        maps = self.norm_unet(images.flatten(0, 1)).reshape(images.shape)
        size = torch.linalg.vector_norm(maps, dim=1, keepdim=True)
        return maps / size.clamp_min(torch.finfo(size.dtype).tiny)


class VarNetBlock(nn.Module):
    """One cascade: a step towards the data with the learned weight eta, and the refinement by a `NormUnet`."""

    def __init__(self, chans: int, pools: int):
        super().__init__()
        self.model = NormUnet(chans, pools)
        self.dc_weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor, gradient: Callable, reduce: Callable, expand: Callable) -> torch.Tensor:
        """x - eta gradient(x) - expand(CNN(reduce(x)))."""
        image = reduce(x)
        refined = self.model(image.reshape(-1, *image.shape[-2:])).reshape(image.shape)
        return x - gradient(x) * self.dc_weight - expand(refined)


class _Cascades(nn.Module):
    """The unrolled part that all of the family share: `run` on k-space or on images."""

    intermediates: Any
    checkpoint: bool
    cascades: Any
    config: Any

    def __init__(self, num_cascades: int, chans: int, pools: int, intermediates: str, checkpoint: bool):
        super().__init__()
        self.intermediates: Any = _check.choice("intermediates", intermediates, ("kspace", "image"))
        self.checkpoint: bool = bool(checkpoint)
        num_cascades = _check.integer("num_cascades", num_cascades, low=1)
        self.cascades: Any = nn.ModuleList([VarNetBlock(chans, pools) for _ in range(num_cascades)])
        self.config: Any = {"num_cascades": num_cascades, "chans": chans, "pools": pools,
                       "intermediates": self.intermediates, "checkpoint": self.checkpoint}

    def run(self, start: torch.Tensor, gradient: Callable, reduce: Callable, expand: Callable) -> torch.Tensor:
        """All cascades; `reduce` and `expand` lead from the intermediate to an image and back."""
        x = start
        for cascade in self.cascades:
            if self.checkpoint and torch.is_grad_enabled():
                x = recompute.checkpoint(cascade, x, gradient, reduce, expand, use_reentrant=False)
            else:
                x = cascade(x, gradient, reduce, expand)
        return x


class E2EVarNet(_Cascades):
    """E2E-VarNet: `net(kspace, mask, num_low_frequencies=None)` -> root-sum-of-squares magnitude (batch, y, x).

        S = SensitivityModel(y),   k <- k - eta_t M (k - y) - F E CNN_t(R F^-1 k)   (t = 1..T),   x = rss(F^-1 k)

    with E x = S x and R the sum over coils of conj(S) times the coil image. Layer for layer fastMRI's VarNet, whose
    weights `from_fastmri` reads; 29,936,966 parameters at the defaults, 484,898 of them the sensitivity model's. Two
    differences: the fully sampled centre is found along ky as well as kx, and as a square where sampling varies along
    both, where fastMRI takes the first row's; and a mask without a centre is an error, where it takes one line.

    Args:
        num_cascades, chans, pools: T, and the channels and poolings of the cascades' U-Nets.
        sens_chans, sens_pools: those of the sensitivity model.
        intermediates: "kspace"; or "image", x <- x - eta R F^-1 M (F E x - y) - CNN(x) and finally |x|, for ablations.
        mask_center: let the sensitivity model see the fully sampled centre only.
        checkpoint: keep only the cascades' inputs for the backward pass and compute the rest again: less memory,
            about a third more time, the same gradients.

    Reference:
        Sriram et al., "End-to-End Variational Networks for Accelerated MRI Reconstruction", MICCAI 2020.
    """

    sens_net: Any
    config: Any

    needs_maps = False

    def __init__(self, num_cascades: int = 12, chans: int = 18, pools: int = 4, sens_chans: int = 8,
                 sens_pools: int = 4, *, intermediates: str = "kspace", mask_center: bool = True,
                 checkpoint: bool = False):
        super().__init__(num_cascades, chans, pools, intermediates, checkpoint)
        self.sens_net: Any = SensitivityModel(sens_chans, sens_pools, mask_center)
        self.config |= {"sens_chans": sens_chans, "sens_pools": sens_pools, "mask_center": self.sens_net.mask_center}

    def forward(self, kspace: torch.Tensor, mask: torch.Tensor, num_low_frequencies: Any = None) -> torch.Tensor:
        """Reconstruct.

        Args:
            kspace: k-space (batch, coil, ky, kx), native complex, in the weights' precision; only what `mask` samples
                is looked at.
            mask: bool or 0/1, broadcastable to it and the same for all coils, such as (ky, kx) or (batch, 1, 1, kx).
            num_low_frequencies: lines of the fully sampled centre, a whole number or an integer tensor with one for
                each item of the batch; None or 0: found in the mask.

        Returns:
            magnitude images (batch, y, x), float.

        Raises:
            TypeError: k-space that is not complex, or of another precision than the weights.
            ValueError: shapes that do not fit, NaN or Inf, or no fully sampled centre.
        """
        kspace, mask = check_kspace(kspace, mask, self.cascades[0].dc_weight)
        maps = self.sens_net(kspace, mask, num_low_frequencies)

        def reduce(k):
            return (backend.fft(k, (-2, -1), inverse=True) * maps.conj()).sum(1)

        def expand(x):
            return backend.fft(x[:, None] * maps, (-2, -1))

        if self.intermediates == "image":
            x = self.run(reduce(kspace), lambda x: reduce(torch.where(mask, expand(x) - kspace, 0)), _same, _same)
            return backend.magnitude(x)
        k = self.run(kspace, lambda k: torch.where(mask, k - kspace, 0), reduce, expand)
        return torch.linalg.vector_norm(backend.fft(k, (-2, -1), inverse=True), dim=1)

    @classmethod
    def from_fastmri(cls, state_dict: Mapping[str, torch.Tensor], *, mask_center: bool = True,
                     checkpoint: bool = False) -> E2EVarNet:
        """The network of a state dict of `fastmri.models.VarNet`, in eval mode; sizes are read from the tensors.

        Args:
            state_dict: names and tensors, as `torch.load(..., weights_only=True)` gives; or the "state_dict" of a
                Lightning checkpoint, whose names begin with "varnet.".
            mask_center, checkpoint: as for the class.

        Raises:
            ValueError: names or shapes that are not such a network's, or NaN or Inf among the weights.
        """
        weights = plain_state("varnet.", state_dict)
        cascade = unet_sizes("cascades.0.model.unet.", weights)
        sens = unet_sizes("sens_net.norm_unet.unet.", weights)
        network = cls(sum(name.endswith(".dc_weight") for name in weights), cascade["chans"], cascade["pools"],
                      sens["chans"], sens["pools"], mask_center=mask_center, checkpoint=checkpoint)
        return load_strictly(network, weights)


class VNU(_Cascades):
    """The variational network with U-Nets and given maps: `net(A, y, x0=None)` -> complex image.

        "image" (VNU):     x <- x - eta_t A^H (A x - y) - CNN_t(x)
        "kspace" (VNU-K):  k <- k - eta_t M (k - y) - F E CNN_t(R F^-1 k),   x = R F^-1 k

    `E2EVarNet` without its sensitivity model, and the same code: the two steps from the variational network to it.

    Args:
        num_cascades, chans, pools, checkpoint: as for `E2EVarNet`.
        intermediates: "image" or "kspace".

    Reference:
        Sriram et al., MICCAI 2020, section 4 (ablation); Hammernik et al., Magn Reson Med 79 (2018) 3055.
    """

    needs_maps = True

    def __init__(self, num_cascades: int = 12, chans: int = 18, pools: int = 4, *, intermediates: str = "image",
                 checkpoint: bool = False):
        super().__init__(num_cascades, chans, pools, intermediates, checkpoint)

    def forward(self, A: Any, y: torch.Tensor, x0: torch.Tensor | None = None) -> torch.Tensor:
        """Reconstruct.

        Args:
            A: the operator, image (..., y, x) -> data; for "kspace" one of `linops.sense` without weights.
            y: data of A's output shape, native complex, in the weights' precision.
            x0: first image, complex, of A's input shape; None: A^H y. For "kspace" it fills what was not measured.

        Returns:
            complex image of A's input shape.

        Raises:
            TypeError: data that is not complex, or for "kspace" another operator.
            ValueError: shapes that do not fit, NaN or Inf.
        """
        _check.linop("A", A)
        check_complex("y", y)
        _check.array("y", y, shape=tuple(A.oshape), nonzero=True)
        check_precision("y", y, self.cascades[0].dc_weight)
        if x0 is not None:
            _check.array("x0", check_complex("x0", x0), shape=tuple(A.ishape))
        forward = linops.as_torch(A)
        if self.intermediates == "image":
            start = forward.H(y) if x0 is None else x0
            return self.run(start, lambda x: forward.H(forward(x) - y), _same, _same)
        mask = mask_of(A, "intermediates='kspace'", ": intermediates='image' takes any operator").to(y.device)
        full = linops.as_torch(linops.sense(A.mps))
        start = torch.where(mask, y, 0 if x0 is None else full(x0))
        k = self.run(start, lambda k: torch.where(mask, k - y, 0), full.H, full)
        return full.H(k)


def _same(x):
    return x


def mask_of(A: Any, user: str, instead: str = "") -> torch.Tensor:
    """The mask of a `linops.sense`, True where it samples, as a tensor that broadcasts to its data.

    Args:
        A: the operator.
        user, instead: what asks for it, and what to do otherwise, for the message.

    Raises:
        TypeError: another operator.
        ValueError: one with weights.
    """
    if not hasattr(A, "mps") or not hasattr(A, "weight"):
        raise TypeError(f"A must be made by linops.sense for {user}, got {type(A).__name__}{instead}")
    if A.weight is None:
        return torch.ones(1, 1, dtype=torch.bool)
    weight = torch.from_numpy(backend.to_numpy(A.weight))
    if bool(((weight != 0) & (weight != 1)).any()):
        raise ValueError(f"A has weights, which {user} does not know: leave them out{instead}")
    return weight.bool() if weight.ndim == 2 else weight.bool()[:, None]
