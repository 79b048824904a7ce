"""Images of a scan that others are compared with: what the truth is, and what was there before any prior."""

from __future__ import annotations

import numpy as np

from pisolve import _axes, io, linops, masks


def fully_sampled(scan: io.Scan) -> bool:
    """Whether the scan is its own truth; zero-padded lines of a file that brings its reference count as sampled."""
    if scan.mask is not None:
        return bool(scan.mask.all())
    return scan.reference is not None or float(masks.estimate(scan.kspace, scan.axes).mean()) > 0.99


def like_rss(scan: io.Scan, image) -> np.ndarray:
    """The image as the root of the sum of squares of the coils' images sees it: times the maps' own, where it is not 1.

    ESPIRiT's maps have a root sum of squares of 1; those of others need not. SPIRiT's image and that of several sets of
    maps are roots of sums of squares already.
    """
    if _no_single_set(scan):
        return image
    mps, axes = scan.named()["mps"]
    size = np.linalg.norm(mps, axis=axes.index(_axes.COIL))
    if abs(size[size > 0] - 1).max() < 1e-3:
        return image
    sizes = dict(zip(_axes.of_image(axes), size.shape))
    return image * size.reshape([sizes.get(a, 1) for a in scan.image_axes])


def zero_filled(scan: io.Scan) -> np.ndarray:
    """A^H y / sum |S|^2: combined with the maps of the reconstruction, so that both have the same background.

    The root sum of squares of the coils where there are no maps, or several sets.
    """
    if _no_single_set(scan):
        return scan.rss()
    if scan.further or len(scan.encoding.encoded) == 3:
        return scan.assemble([_combined(part) for part in scan.parts()])
    mps = np.broadcast_to(scan.mps, scan.kspace.shape)
    energy = (abs(mps) ** 2).sum(-3)
    return linops.sense(mps, scan.mask).H(scan.kspace) / np.where(energy > 0, energy, 1)


def _no_single_set(scan) -> bool:
    return scan.mps is None or _axes.MAPS in scan.named()["mps"][1]


def _combined(part):
    """The same of a series or a volume."""
    energy = (abs(part.mps) ** 2).sum(0)  # (coil, encoded)
    A = linops.sense(part.mps, part.mask, axes=part.axes, shape=part.kspace.shape)
    return A.H(part.kspace) / np.where(energy > 0, energy, 1)
