"""From a scan as it was delivered to one that can be solved."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from pisolve import calib, io, masks
from pisolve.prepare.channels import Channels, Compress
from pisolve.prepare.maps import Maps
from pisolve.prepare.methods import SENSE, Method, Model
from pisolve.prepare.sampling import Sampling


def prepare(scan, maps: Maps, sampling: Sampling | None = None, *, whiten: bool = False,
            compress: Compress | None = None, method: Method = SENSE, stacklevel: int = 2) -> io.Scan:
    """The scan after whitening, undersampling and coil compression, with a mask and maps: all that solving needs.

    A scan that went through this stays as it is the second time.

    Args:
        scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).
        maps: how maps are made where the scan has none.
        sampling: retrospective undersampling, or None.
        whiten: make the noise white by the scan's noise samples.
        compress: coil compression, or None.
        method: what is to be solved; SPIRiT needs no maps.
        stacklevel: of the warning about maps, 2 being the caller's line.
    """
    scan = as_scan(scan)
    if whiten:
        scan = Channels(scan, whiten=True).whitened(scan)
    if sampling is not None:
        scan = sampling(scan)
    if scan.mask is None:
        scan = replace(scan, mask=masks.estimate(scan.kspace))
    masks.check(scan.mask, scan.kspace.shape)
    if compress is not None:
        scan = Channels(scan, compress=compress).compressed(scan)
    if scan.mps is None and method.needs_maps:
        scan = replace(scan, mps=maps(scan.kspace, scan.mask, scan.calib))
        seen = calib.coverage(scan.mps, scan.kspace, scan.mask)
        if seen is not None and seen < 0.97:  # good maps lose 2 % at most
            warnings.warn(f"the coil maps are zero where {1 - seen:.0%} of the object's energy is, and so will be "
                          "the image: lower crop (--crop), or give mps (--mps)", stacklevel=stacklevel)
    return scan


def models_of(scan: io.Scan, method: Method = SENSE) -> tuple[list[Model], float]:
    """(one `Model` a slice, scale) of a prepared scan: scale * model.y is solved."""
    slices = scan.kspace if scan.kspace.ndim == 4 else scan.kspace[None]
    models = [method(y, scan.mask, _slice(scan.mps, z, scan), _slice(scan.calib, z, scan))
              for z, y in enumerate(slices)]
    return models, zero_filled_scale(models)


def _slice(x, z, scan):
    """Slice z of maps or calibration lines; those without an axis of slices are the same for all."""
    return x if x is None or scan.kspace.ndim == 3 or x.ndim == 3 else x[z]


def as_scan(scan) -> io.Scan:
    """A `Scan` from a scan, a path or a k-space array."""
    if isinstance(scan, io.Scan):
        return scan
    return io.load(scan) if isinstance(scan, str) or hasattr(scan, "__fspath__") else io.Scan(scan)


def zero_filled_scale(models) -> float:
    """What the data have to be multiplied by for the zero-filled image of the whole scan, |A^H y|, to have a 99th
    percentile of 1.

    A first scaling to a peak of 1 keeps 1e-20 and 1e20 from under- and overflowing.
    """
    with np.errstate(over="ignore"):
        peak, info = max(float(abs(m.y).max()) for m in models), np.finfo(models[0].y.dtype)
    if not 1e8 * float(info.tiny) <= peak <= 1e-8 * float(info.max):
        raise ValueError(f"kspace peaks at {peak:.3g}, where {models[0].y.dtype} loses digits: multiply it to a peak "
                         "near 1 before it is stored in this precision")
    zero_filled = [abs(m.image(m.A.H((m.y / peak).astype(m.y.dtype)))) for m in models]
    level = float(np.percentile(zero_filled, 99)) or float(np.max(zero_filled))
    if not level > 0:
        raise ValueError("kspace and mps do not overlap: the zero-filled image is zero everywhere")
    return 1 / (level * peak)
