"""Scans of other trajectories, simulated from Cartesian ones."""

from __future__ import annotations

import math

import numpy as np

from pisolve import _axes, linops, trajectories
from pisolve.backend import fft
from pisolve.scan import Scan

SIMULATED = "simulated_sampling"  # of a scan's `meta`: what was done, in words
INTERLEAVES = 8  # of a spiral where nothing is said


def nyquist(mask: str, size) -> float:
    """How many spokes have ends a cell apart: pi N / 2, in three dimensions pi N^2 / 2."""
    d = 3 if mask == "radial" and len(size) == 3 else 2
    return np.pi / 2 * max(size[-d:]) ** (d - 1)


def shots_of(mask: str, size, accel, shots: int | None) -> int:
    """How many spokes, or interleaves, there are: as many as were asked for, or as the acceleration leaves.

    A spiral covers k-space with any number of interleaves, and is accelerated by taking some of a larger set.
    """
    if shots is not None or "spiral" in mask:
        return INTERLEAVES if shots is None else shots
    return max(1, math.ceil(nyquist(mask, size) / accel))


def trajectory(mask: str, size, accel, shots: int | None, first: int) -> np.ndarray:
    """Coordinates (shot, sample, axis) of one frame; in a stack those of every partition.

    Raises:
        ValueError: a trajectory for images of another number of axes.
    """
    stacked = mask.startswith("stack-of-")
    if (stacked and len(size) != 3) or (mask == "spiral" and len(size) != 2):
        other = f"stack-of-{'spirals' if 'spiral' in mask else 'stars'}" if not stacked else (
            "spiral" if "spiral" in mask else "radial")
        raise ValueError(f"mask={mask!r} is for {'3-D' if stacked else '2-D'} scans, and this one is {len(size)}-D: "
                         f"take mask={other!r}")
    count = shots_of(mask, size, accel, shots)
    if "spiral" in mask:
        whole = max(count, round(count * accel))
        arms = (first + np.arange(count) * whole // count) % whole
        samples = 8 * math.ceil(max(2 * max(size[-2:]), math.prod(size[-2:]) * np.pi / 2 / whole) / 8)
        return trajectories.spiral(size[-2:], whole, samples)[arms]
    make = trajectories.radial_3d if mask == "radial" and len(size) == 3 else trajectories.radial
    return make(size if make is trajectories.radial_3d else size[-2:], count, first=first * count)


def simulated(scan: Scan, coord, told: str) -> Scan:
    """What the scan would have measured at these coordinates: its images transformed to them, coil by coil.

    The noise of the scan is in them, interpolated: samples closer than a cell share theirs. The root sum of squares of
    a full scan becomes the reference.

    Args:
        scan: on a grid.
        coord: (shot, sample, axis), or with all the axes of k-space but those of coils in front; of a stack for (y, x).
        told: goes into `meta[SIMULATED]`.
    """
    d = coord.shape[-1]
    size = scan.kspace.shape[-len(scan.encoding.encoded):]
    y = samples_at(scan.kspace, coord, len(scan.axes) - len(size) - 1)
    full = scan.reference is None and (scan.mask is None or scan.mask.all())
    gone = ("phase_axis", "partial_fourier")
    meta = {k: v for k, v in scan.meta.items() if k not in gone} | {SIMULATED: told}
    axes = (*scan.axes[:-d], *tuple(_axes.POINTS)[-2:])
    return Scan(y, mps=scan.mps, reference=scan.rss() if full else scan.reference, meta=meta, noise=scan.noise,
                calib=scan.calib, axes=axes, coord=coord, size=size)


def samples_at(kspace, coord, lead: int) -> np.ndarray:
    """K-space on a grid, with `lead` axes before the coils, at the coordinates of `simulated`."""
    images = fft(kspace, tuple(range(-coord.shape[-1], 0)), inverse=True)
    if coord.ndim == 3:
        return linops.nufft(images.shape, coord)(images)
    own = {i: k[0] if k.ndim > 3 else k for i in np.ndindex(coord.shape[:lead]) for k in [coord[i]]}
    y = np.stack([linops.nufft(images[i].shape, k)(images[i]) for i, k in own.items()])
    return y.reshape(*coord.shape[:lead], *y.shape[1:])


def told(sampling, coord) -> str:
    """What was simulated, in words that begin with the sampling's own."""
    shot = "interleaves" if "spiral" in sampling.mask else "spokes"
    each = " in each frame" if coord.ndim > 3 else ""
    return (f"{sampling!r}: {coord.shape[-3]} {shot} of {coord.shape[-2]} samples{each}, by a NUFFT of the Cartesian "
            "scan with its noise; no scanner measured them")
