"""Images of a scan that others are compared with: what the truth is, and what was there before any prior."""

from __future__ import annotations

import numpy as np

from pisolve import io, linops, masks


def fully_sampled(scan: io.Scan) -> bool:
    """Whether the scan is its own truth; zero-padded lines of a file that brings its reference count as sampled."""
    if scan.mask is not None:
        return bool(scan.mask.all())
    return scan.reference is not None or float(masks.estimate(scan.kspace).mean()) > 0.99


def like_rss(scan: io.Scan, image) -> np.ndarray:
    """The image as the root of the sum of squares of the coils' images sees it: times the maps' own, where it is not 1.

    ESPIRiT's maps have a root sum of squares of 1; those of others need not. SPIRiT's image and that of several sets of
    maps are roots of sums of squares already.
    """
    if scan.mps is None or scan.mps.ndim > scan.kspace.ndim:
        return image
    size = np.linalg.norm(scan.mps, axis=-3)
    return image if abs(size[size > 0] - 1).max() < 1e-3 else image * size


def zero_filled(scan: io.Scan) -> np.ndarray:
    """A^H y / sum |S|^2: combined with the maps of the reconstruction, so that both have the same background.

    The root sum of squares of the coils where there are no maps, or several sets.
    """
    if scan.mps is None or scan.mps.ndim > scan.kspace.ndim:
        return scan.rss()
    mps = np.broadcast_to(scan.mps, scan.kspace.shape)
    energy = (abs(mps) ** 2).sum(-3)
    return linops.sense(mps, scan.mask).H(scan.kspace) / np.where(energy > 0, energy, 1)
