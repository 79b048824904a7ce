"""What is done to the receive channels before anything else: whitening and coil compression."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from pisolve import calib, io, masks
from pisolve._check import choice, integer, number, renamed
from pisolve._types import Array, ArrayLike


@renamed(method="by")
@dataclass(frozen=True)
class Compress:
    """Coil compression, the arguments of `calib.compression`: fewer virtual coils that hold nearly all of the signal.

    Args:
        coils: number of virtual coils; a scan with no more coils stays as it is. None: as many as `energy` wants.
        energy: share of the energy to keep, where `coils` is None.
        by: "svd" (one matrix) or "gcc" (one for each position along the fully sampled readout).
    """

    coils: int | None = 8
    energy: float | None = None
    by: str = "svd"

    def __post_init__(self) -> None:
        choice("by", self.by, ("svd", "gcc"))
        if (self.coils is None) == (self.energy is None):
            raise ValueError(f"give coils or energy: coils is {self.coils}, energy {self.energy}")
        integer("coils", self.coils, low=1, allow_none=True)
        if number("energy", self.energy, low=0, high=1, allow_none=True) == 0:
            raise ValueError("energy must be > 0: it is the share of the signal to keep, such as 0.99")


class Channels:
    """The linear map from a scan's coils to those that are reconstructed: whitening, then compression.

    Args:
        scan: what it is made for; its noise samples whiten, its centre of k-space decides the compression.
        whiten: whether coils are whitened.
        compress: a `Compress`, or None.

    Raises:
        ValueError: no noise samples to whiten with.
    """

    def __init__(self, scan: io.Scan, whiten: bool = False, compress: Compress | None = None):
        self.matrix = self.compression = None
        if whiten:
            if scan.noise is None:
                raise ValueError("whiten needs noise samples, and this scan has none: load raw data with its noise "
                                 "scan, load(path, noise=...) or --noise FILE, or attach Scan(noise=(coil, samples))")
            self.matrix = calib.whitening_matrix(calib.noise_covariance(scan.noise))
            scan = self.whitened(scan)
        if compress is not None and (compress.coils is None or compress.coils < scan.coils):
            self.compression = _compression(scan.time_average(), compress)

    def __call__(self, kspace: ArrayLike, ndim: int = 2) -> Array:
        """The channels of other data of the same coils, (..., coil, ky, kx), in 3-D (..., coil, kz, ky, kx)."""
        if self.matrix is not None:
            kspace = _planes(lambda x: calib.mix(self.matrix, x), kspace, ndim)
        return kspace if self.compression is None else _planes(self.compression, kspace, ndim)

    def whitened(self, scan: io.Scan) -> io.Scan:
        """The scan with white noise of variance 1 in every coil; a reference, which is in the old units, is dropped.

        Maps of the scan become W S, divided pixel by pixel by their root sum of squares, each set by its own. With
        maps of a root sum of squares of 1, which calibration makes, too, the image is in units of the noise: a pixel of
        a full scan is its signal-to-noise ratio. What else their size said (an intensity correction, a soft crop) is
        lost.
        """
        if self.matrix is None:
            return scan
        if scan.reference is not None:
            warnings.warn("the reference is in the units before whitening: it is left out", stacklevel=6)
        W = lambda x: calib.mix(self.matrix, x)  # noqa: E731
        white = _mixed(scan, W, lambda mps: _normalised(W(mps)))
        return replace(white, noise=self.matrix @ scan.noise, reference=None)

    def compressed(self, scan: io.Scan) -> io.Scan:
        """The scan of the virtual coils."""
        C = self.compression
        if C is None:
            return scan
        along_readout = C.matrix.ndim > 2  # a matrix for each position: no one matrix for samples of noise
        noise = None if scan.noise is None or along_readout else C.matrix @ scan.noise
        return replace(_mixed(replace(scan, noise=None), C, C.maps), noise=noise)


def _compression(still, compress):
    """The compression of a scan without further axes, by the centre of its k-space."""
    if still.coord is not None:
        if compress.by == "gcc":
            raise ValueError("compress by='gcc' needs a readout along an axis, and this scan has samples anywhere: "
                             "take by='svd'")
        return calib.compression(still.kspace, coils=compress.coils, energy=compress.energy, calib=still.kspace)
    kspace, separate, mask = still.kspace, still.calib, still.encoding.everywhere if still.mask is not None else None
    axis = -3 - still.phase_axis if len(still.encoding.encoded) == 2 else -1
    if mask is None:
        mask = masks.estimate(kspace) if kspace.ndim < 5 and len(still.encoding.encoded) == 2 else None
    if len(still.encoding.encoded) == 3:  # the positions across the readout are one axis
        if still.readout != "kx":
            raise ValueError(f"compress is for a readout along kx, and this 3-D scan was read along {still.readout}: "
                             "name its axes in another order")
        if separate is None:
            filled = still.mask if still.mask is not None else np.ones(kspace.shape[-3:], bool)
            size = [n - n % 2 for n in _centre(filled.all(axis=-1))]
            middle = [slice(n // 2 - m // 2, n // 2 + m // 2) for n, m in zip(filled.shape, size)]
            separate = kspace[(..., *middle, slice(None))]
        kspace, separate, mask = _flat(kspace), _flat(separate), None
    return calib.compression(kspace, coils=compress.coils, energy=compress.energy, by=compress.by,
                             calib=separate, mask=mask, axis=axis)


def _centre(filled):
    """The size of the largest full centre of (kz, ky)."""
    size = masks.centre(filled)
    if min(size) < 2:
        raise ValueError("compress needs a fully sampled centre of k-space: give the scan its calib")
    return size


def _flat(x):
    """(..., kz, ky, kx) as (..., kz * ky, kx)."""
    return x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1])


def _planes(mix, x, ndim):
    """mix(x) of arrays (..., coil, ky, kx), or of volumes."""
    if ndim == 2:
        return mix(x)
    out = mix(_flat(x))
    return out.reshape(*out.shape[:-2], *x.shape[-3:])


def _normalised(mps):
    """Maps with a root sum of squares of 1; 0 where it was next to nothing."""
    mps = mps / abs(mps).max()  # squares then neither over- nor underflow
    size = np.linalg.norm(mps, axis=-3, keepdims=True)
    return np.where(size > 1e-6, mps / np.maximum(size, 1e-6), 0).astype(mps.dtype)


def _mixed(scan, kspace, maps):
    """The scan with other channels, by functions of k-space and of maps."""
    ndim = len(scan.encoding.encoded)
    new = {n: a if a is None else _planes(mix, a, ndim)
           for n, a, mix in (("kspace", scan.kspace, kspace), ("calib", scan.calib, kspace), ("mps", scan.mps, maps))}
    return replace(scan, **new, noise=None)
