"""Retrospective undersampling."""

from __future__ import annotations

from dataclasses import dataclass

from pisolve import io, masks
from pisolve._check import choice
from pisolve._words import SAMPLINGS


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
