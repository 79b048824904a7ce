"""Images of a scan that others are compared with: what the truth is, and what was there before any prior."""

from __future__ import annotations

import numpy as np

from pisolve import io, linops, scan
from pisolve._types import ArrayLike
from pisolve.linops._maps import spread


def on_a_grid(one: io.Scan, what: str) -> None:
    """Refuse a scan of samples anywhere for work that looks at a grid.

    Raises:
        ValueError: with what does take it.
    """
    if one.coord is not None:
        raise ValueError(f"{what} looks at k-space on a grid, and this scan has samples anywhere (coord). What the "
                         "image leaves of the data is done.agreement; noise_map, uncertainty and compare take it")


def fully_sampled(one: io.Scan) -> bool:
    """Whether the scan is its own truth; zero-padded lines of a file that brings its reference count as sampled."""
    if one.coord is not None:
        return one.reference is not None or one.encoding.acceleration < 1.05
    if one.mask is not None:
        return bool(one.mask.all())
    return one.reference is not None or float(scan.estimate(one.kspace, one.axes).mean()) > 0.99


def spread_maps(one: io.Scan) -> np.ndarray:
    """The scan's one set of maps with the axes of its k-space; frames share theirs, without a copy."""
    inner = len(one.encoding.encoded)
    shape = one.kspace.shape if one.coord is None else (*one.kspace.shape[:-inner], *one.size)
    return spread(one.mps, shape, inner)


def like_rss(one: io.Scan, image: ArrayLike) -> np.ndarray:
    """The image as the root of the sum of squares of the coils' images sees it: times the maps' own, where it is not 1.

    ESPIRiT's maps have a root sum of squares of 1; those of others need not. SPIRiT's image and that of several sets of
    maps are roots of sums of squares already.
    """
    if one.sets != 1:
        return image
    inner = len(one.encoding.encoded)
    size = np.linalg.norm(one.mps, axis=-1 - inner)
    if abs(size[size > 0] - 1).max(initial=0) < 1e-3:
        return image
    if size.ndim > inner:  # of slices, before frames and the like
        size = size.reshape(len(size), *(1,) * (image.ndim - size.ndim), *size.shape[1:])
    return image * size


def zero_filled(one: io.Scan) -> np.ndarray:
    """A^H y / sum |S|^2: combined with the maps of the reconstruction, so that both have the same background.

    The root sum of squares of the coils where there are no maps, or several sets.
    """
    if one.sets != 1:
        return one.rss()
    if one.coord is not None:
        images, inner = one.encoding.gridded(one.kspace), len(one.size)
        mps = spread_maps(one)
        energy = (abs(mps) ** 2).sum(-1 - inner)
        return (mps.conj() * images).sum(-1 - inner) / np.where(energy > 0, energy, 1)
    A = linops.sense(one.mps, one.mask, axes=one.axes, shape=one.kspace.shape)
    energy = (abs(A.mps) ** 2).sum(-1 - A.ndim)
    return A.H(one.kspace) / np.where(energy > 0, energy, 1)
