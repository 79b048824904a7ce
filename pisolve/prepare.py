"""From what a scanner delivered to what solving needs: undersampling, mask, coil maps, scale."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from pisolve import calib, io, linops, masks
from pisolve._check import choice

SAMPLINGS = ("random", "equispaced", "equispaced_fraction", "poisson", "variable_density")


@dataclass(frozen=True)
class Sampling:
    """A retrospective undersampling, one of `pisolve.masks`' patterns, applied to the scan before anything else.

    Args:
        mask: "random", "equispaced", "equispaced_fraction" (lines), "poisson" or "variable_density" (points).
        accel: acceleration.
        center_fraction: share of lines in the full centre, for the patterns of lines; None: fastMRI's.
        seed: of the pattern.
    """

    mask: str = "random"
    accel: float = 4
    center_fraction: float | None = None
    seed: int = 0

    def __post_init__(self):
        choice("mask", self.mask, SAMPLINGS)
        if self.center_fraction is not None and self.mask in ("poisson", "variable_density"):
            raise ValueError(f"center_fraction is for patterns of lines, {self.mask!r} has its own centre of 24 x 24")

    def __call__(self, scan: io.Scan) -> io.Scan:
        """The undersampled scan, with the full data's RSS as reference."""
        make, shape = getattr(masks, self.mask), scan.kspace.shape
        if self.mask in ("poisson", "variable_density"):
            pattern = make(shape, self.accel, seed=self.seed)
        else:
            pattern = make(shape, self.accel, self.center_fraction, axis=scan.phase_axis, seed=self.seed)
        return scan.undersample(pattern)


@dataclass(frozen=True)
class Espirit:
    """How the coil maps are made where the scan brings none: the arguments of `calib.espirit`."""

    calib_width: int = 24
    kernel_width: int | None = None
    thresh: float = 0.02
    crop: float = 0.8
    soft_crop: bool = False

    def __call__(self, kspace, mask):
        """Coil maps of (..., coil, ky, kx); one coil gets a map of ones."""
        if kspace.shape[-3] == 1:
            return np.ones_like(kspace)
        return calib.espirit(kspace, mask=mask, calib_width=self.calib_width, kernel_width=self.kernel_width,
                             thresh=self.thresh, crop=self.crop, soft_crop=self.soft_crop)


def prepare(scan, espirit: Espirit, sampling: Sampling | None = None, *, stacklevel: int = 2) -> io.Scan:
    """The scan after undersampling, with a mask and maps: all that solving needs.

    Args:
        scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).
        espirit: how maps are made where the scan has none.
        sampling: retrospective undersampling to begin with, or None.
        stacklevel: of the warning about maps, 2 being the caller's line.
    """
    scan = as_scan(scan)
    if sampling is not None:
        scan = sampling(scan)
    if scan.mask is None:
        scan = replace(scan, mask=masks.estimate(scan.kspace))
    masks.check(scan.mask, scan.kspace.shape)
    if scan.mps is None:
        scan = replace(scan, mps=espirit(scan.kspace, scan.mask))
        seen = calib.coverage(scan.mps, scan.kspace, scan.mask)
        if seen is not None and seen < 0.97:  # good maps lose 2 % at most
            warnings.warn(f"the coil maps are zero where {1 - seen:.0%} of the object's energy is, and so will be "
                          "the image: lower crop (--crop), or give mps (--mps)", stacklevel=stacklevel)
    return scan


def slices_of(scan: io.Scan) -> tuple[list, np.ndarray, float]:
    """(one operator a slice, k-space (slice, coil, ky, kx), scale) of a prepared scan: scale * k-space is solved."""
    slices = scan.kspace if scan.kspace.ndim == 4 else scan.kspace[None]
    mps = np.broadcast_to(scan.mps, slices.shape)
    operators = [linops.sense(m, scan.mask) for m in mps]
    return operators, slices, zero_filled_scale(operators, slices)


def as_scan(scan) -> io.Scan:
    """A `Scan` from a scan, a path or a k-space array."""
    if isinstance(scan, io.Scan):
        return scan
    return io.load(scan) if isinstance(scan, str) or hasattr(scan, "__fspath__") else io.Scan(scan)


def zero_filled_scale(operators, kspace) -> float:
    """What k-space has to be multiplied by for |A^H y| of the whole scan to have a 99th percentile of 1.

    A first scaling to a peak of 1 keeps 1e-20 and 1e20 from under- and overflowing.
    """
    with np.errstate(over="ignore"):
        peak, info = float(abs(kspace).max()), np.finfo(kspace.dtype)
    if not 1e8 * float(info.tiny) <= peak <= 1e-8 * float(info.max):
        raise ValueError(f"kspace peaks at {peak:.3g}, where {kspace.dtype} loses digits: multiply it to a peak near 1 "
                         "before it is stored in this precision")
    zero_filled = [abs(A.H((y / peak).astype(y.dtype))) for A, y in zip(operators, kspace)]
    level = float(np.percentile(zero_filled, 99)) or float(np.max(zero_filled))
    if not level > 0:
        raise ValueError("kspace and mps do not overlap: the zero-filled image is zero everywhere")
    return 1 / (level * peak)
