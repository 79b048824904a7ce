"""Training on undersampled scans alone, beside `SSDU`: equivariant imaging, Noise2Recon, and a dual-domain cycle."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pisolve import _check, linops
from pisolve.nets import losses
from pisolve.nets.blocks import to_complex, to_planes
from pisolve.nets.parallel import share
from pisolve.nets.reconstruction import SSDU, ReconstructionTask, called, normalised, through_maps
from pisolve.nets.slices import Slices

GROUPS = ("rotations", "turns")


@dataclass(frozen=True)
class EquivariantImaging(ReconstructionTask):
    """Equivariant imaging: a turned image is an image, too, so the network must be able to reconstruct it.

        x1 = f(A, y),   x2 = T_g x1,   x3 = f(A, A x2 + e)
        loss = mean |A x1 - y|^2 where measured  +  weight mean |x3 - x2|^2

    The first term alone teaches nothing about what A does not see; T_g turns what A sees into what it does not. x2 is
    cut off where no coil sees anything. Gradients flow through x2 as well, as in the paper. g is drawn anew in each
    step, one for the batch.

    Args:
        examples, validation, batch_size, loss_function, seed: as in `ReconstructionTask`; no truth is looked at but for
            validation; loss_function takes (x3, x2), None: `L2()`.
        weight: of the second term, the paper's alpha.
        group: "rotations" by any angle, interpolated, or "turns", quarter turns and flips, exact, of square images.
        noise: standard deviation of the real and of the imaginary part of e, in units of the scaled image (robust EI).

    Raises:
        ValueError: a network without maps, "turns" of images that are not square.

    Reference:
        Chen, Tachella and Davies, "Equivariant imaging: learning beyond the range space", ICCV 2021; "Robust
        equivariant imaging", CVPR 2022 (e).
    """

    weight: float = 1.0
    group: str = "rotations"
    noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.number("weight", self.weight, low=0)
        _check.choice("group", self.group, GROUPS)
        _check.number("noise", self.noise, low=0)

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that tell this task from another."""
        return super().config | {"weight": self.weight, "group": self.group, "noise": self.noise}

    def loss(self, network: Any, batch: Slices) -> torch.Tensor:
        """The loss of a batch: a scalar."""
        through_maps(self, network)
        A, y = linops.as_torch(batch.A), batch.kspace
        x1 = called(network, batch)
        measured = (batch.mask.sum() * y.shape[1]).clamp_min(1)
        seen = (batch.mps.abs().square().sum(1) > 0).to(x1.real.dtype)
        x2 = moved(x1, self.group) * seen
        x3 = called(network, again(batch, with_noise(A(x2), batch.mask, self.noise), self.noise))
        error = torch.view_as_real(A(x1) - y).square().sum() / measured
        return error + self.weight * (self.loss_function or losses.L2())(x3, x2)


@dataclass(frozen=True)
class Noise2Recon(SSDU):
    """Noise2Recon without any truth: the image must not change when noise is added to the data.

        loss = SSDU  +  weight mean |f(A, y + s e) - f(A, y)|

    e is white noise on the measured samples, s drawn evenly in its logarithm for each step. f(A, y) counts as a
    constant, so the noisy branch learns from the other one and not the other way round. The paper's supervised term
    stands for scans that have a truth; here its self-supervised variant, SSDU, stands for all of them.

    Args:
        examples, validation, batch_size, loss_function, seed, rho, selection, centre: as in `SSDU`.
        weight: of the consistency.
        levels: smallest and largest s, the standard deviation of the real and of the imaginary part, in units of the
            scaled image.

    Raises:
        ValueError: a network without maps, levels that are not 0 < smallest <= largest.

    Reference:
        Desai et al., "Noise2Recon: enabling SNR-robust MRI reconstruction with semi-supervised and self-supervised
        learning", Magn Reson Med 90 (2023) 2052.
    """

    weight: float = 0.1
    levels: tuple[float, float] = (0.01, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.number("weight", self.weight, low=0)
        low, high = (_check.number("levels", v, low=0, strict=True) for v in self.levels)
        if low > high:
            raise ValueError(f"levels must be (smallest, largest), got {self.levels}")

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that tell this task from another."""
        return super().config | {"weight": self.weight, "levels": list(self.levels)}

    def loss(self, network: Any, batch: Any) -> torch.Tensor:
        """The loss of a batch: a scalar."""
        (slices, _), (low, high) = batch, map(math.log, self.levels)
        value = self.split(network, batch)[1]
        with torch.no_grad():
            wanted = called(network, slices)
        level = math.exp(low + (high - low) * float(torch.rand(())))
        noisy = called(network, noisier(slices, level))
        return value + self.weight * losses.L1()(noisy, wanted)


@dataclass(frozen=True)
class DualDomainCycle(SSDU):
    """A cycle through both domains: the image is measured again at other samples, reconstructed, and must come back.

        x = f(A_Theta, y_Theta),   x' = f(A', A' x),   A' the same scan with another pattern of the same kind
        loss = SSDU  +  kspace d(A x', y)  +  image mean |x' - x|

    d is SSDU's normalised distance, at all measured samples: the network must be able to get from the samples that it
    made up back to those that were measured. x in the last term counts as a constant. The other pattern keeps the full
    centre; lines are moved around among the others, single points are mirrored, k -> -k.

    Args:
        examples, validation, batch_size, loss_function, seed, rho, selection, centre: as in `SSDU`.
        kspace, image: weights of the two ends of the cycle.

    Raises:
        ValueError: a network without maps, or samples that are not of a grid.

    Reference:
        Zhang, Demirel and Akcakaya, "Cycle-consistent self-supervised learning for improved highly-accelerated MRI
        reconstruction", ISBI 2024 (k-space); Zhou et al., "Dual-domain self-supervised learning for accelerated
        non-Cartesian MRI reconstruction", Med Image Anal 81 (2022) 102538 (both domains).
    """

    kspace: float = 1.0
    image: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kspace", "image"):
            _check.number(name, getattr(self, name), low=0)

    @property
    def config(self) -> dict[str, Any]:
        """Plain values that tell this task from another."""
        return super().config | {"kspace": self.kspace, "image": self.image}

    def batch(self, step: int, rank: int = 0, world: int = 1) -> tuple[Slices, torch.Tensor, torch.Tensor]:
        """The slices of a step, their Lambda and the other pattern, each (slice, 1, ky, kx)."""
        slices, held = super().batch(step, rank, world)
        if slices.coord is not None:
            raise ValueError("DualDomainCycle takes samples of a grid, got samples anywhere: SSDU or "
                             "EquivariantImaging take those")
        places = share(self.batch_size, rank, world)
        other = [other_pattern(mask[0], np.random.default_rng([self.seed, step * self.batch_size + place, 4]))
                 for place, mask in zip(places, slices.mask.numpy())]
        return slices, held, torch.from_numpy(np.stack(other)[:, None])

    def loss(self, network: Any, batch: Any) -> torch.Tensor:
        """The loss of a batch: a scalar."""
        slices, held, pattern = batch
        x, value = self.split(network, (slices, held))
        there = dataclasses.replace(slices, mask=pattern)
        back = called(network, again(there, linops.as_torch(there.A)(x), 0.0))
        value = value + self.kspace * normalised(linops.as_torch(slices.A)(back), slices.kspace)
        return value + self.image * losses.L1()(back, x.detach())


def again(slices: Slices, kspace: torch.Tensor, noise: float) -> Slices:
    """The slices with k-space made from an image, whose noise is what was added to it, and not theirs."""
    told = None if slices.noise is None else torch.full_like(slices.noise, noise)
    return dataclasses.replace(slices, kspace=kspace, noise=told)


def noisier(slices: Slices, level: float) -> Slices:
    """The slices with white noise added to their samples; what is told of their noise grows with it."""
    told = None if slices.noise is None else (slices.noise**2 + level**2).sqrt()
    return dataclasses.replace(slices, kspace=with_noise(slices.kspace, slices.mask, level), noise=told)


def with_noise(kspace: torch.Tensor, mask: torch.Tensor, level: float) -> torch.Tensor:
    """k-space (slice, coil, ...) plus white noise of a standard deviation of each part, where `mask` samples."""
    if not level:
        return kspace
    noise = torch.complex(torch.randn_like(kspace.real), torch.randn_like(kspace.real))
    return kspace + level * noise * mask


def moved(x: torch.Tensor, group: str = "rotations") -> torch.Tensor:
    """Images (slice, y, x) turned about their middle by a random element of a group, see `EquivariantImaging`.

    Raises:
        ValueError: quarter turns of images that are not square.
    """
    if group == "rotations":
        return rotated(x, 2 * math.pi * float(torch.rand(())))
    if x.shape[-1] != x.shape[-2]:
        raise ValueError(f"turns are of square images, got {x.shape[-2]}x{x.shape[-1]}: take group='rotations'")
    element = int(torch.randint(1, 8, ()))  # all but the identity, which teaches nothing
    x = torch.rot90(x, element % 4, (-2, -1))
    return x.flip(-1) if element >= 4 else x


def rotated(x: torch.Tensor, angle: float) -> torch.Tensor:
    """Complex images (slice, y, x) turned about their middle by an angle in radians, by cubic interpolation."""
    ny, nx = x.shape[-2:]
    y, x_ = (torch.arange(n, device=x.device, dtype=x.real.dtype) - (n - 1) / 2 for n in (ny, nx))
    c, s = math.cos(angle), math.sin(angle)
    rows, columns = c * y[:, None] + s * x_, c * x_ - s * y[:, None]
    grid = torch.stack([2 * columns / nx, 2 * rows / ny], -1).expand(len(x), -1, -1, -1)
    planes = F.grid_sample(to_planes(x), grid, mode="bicubic", align_corners=False)
    return to_complex(planes, x.shape)


def other_pattern(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another pattern (ky, kx) with as many samples as `mask` and of its kind, which keeps the full centre.

    Lines that are not of the centre are moved along by a random number of places, around the end; single points are
    mirrored, which keeps every density that is the same on both sides.
    """
    for axis in (0, 1):
        lines = mask.any(1 - axis)
        if (mask == np.expand_dims(lines, 1 - axis)).all() and not lines.all():
            return np.broadcast_to(np.expand_dims(_moved_lines(lines, rng), 1 - axis), mask.shape).copy()
    return np.roll(mask[::-1, ::-1], [1 - n % 2 for n in mask.shape], (0, 1)).copy()


def _moved_lines(lines, rng):
    """Lines (n,) with those outside of the full run about the middle moved along."""
    middle, n = len(lines) // 2, len(lines)
    gaps = np.flatnonzero(~lines)
    low = gaps[gaps < middle].max(initial=-1) + 1
    high = gaps[gaps >= middle].min(initial=n)
    outside = np.r_[:low, max(low, high):n]
    out = lines.copy()
    out[outside] = np.roll(lines[outside], int(rng.integers(1, max(len(outside), 2))))
    return out
