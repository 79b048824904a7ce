"""What all coil maps share: slices one by one, the calibration block, normalisation and phase, the support."""

from __future__ import annotations

from threading import Lock

import numpy as np

from pisolve import _check
from pisolve.backend import fft, like, one_blas_thread, side_by_side, to_numpy
from pisolve.calib.region import middle, region, sampled


def by_slice(kspace, mask, calib, fit, ndim: int = 2):
    """Maps (..., coil, ky, kx) in the precision and kind of `kspace`, slice by slice, by a function on the CPU.

    Args:
        kspace: (coil, ky, kx) or (slice, coil, ky, kx); with ndim = 3 (coil, kz, ky, kx).
        mask: None, or what is sampled, which broadcasts to (ky, kx).
        calib: None, or calibration k-space in place of `kspace`, where `mask` is then not looked at; without an axis of
            slices it holds for all of them, and is fitted once.
        fit: (name, samples (coil, h, w), measured (h, w) bool, shape (ky, kx), complex dtype) -> maps (coil, ky, kx),
            or any other array, or several; of several slices it is called side by side.
        ndim: of an image.
    """
    kspace = _check.array("kspace", kspace, ndim=(3, 4) if ndim == 2 else ndim + 1, nonzero=True)
    grid = tuple(kspace.shape[-ndim:])
    if calib is not None:
        calib = _check.array("calib", calib, ndim=tuple(sorted({ndim + 1, kspace.ndim})), nonzero=True)
        if tuple(calib.shape[:-ndim]) not in (tuple(kspace.shape[:-ndim]), tuple(kspace.shape[-ndim - 1:-ndim])):
            raise ValueError(f"calib has shape {tuple(calib.shape)}: its coils (and slices) must be those of kspace, "
                             f"shape {tuple(kspace.shape)}")
    samples = to_numpy(kspace if calib is None else calib)
    samples = samples.reshape(-1, *samples.shape[-1 - ndim:])
    known = None if mask is None or calib is not None else sampled(mask, grid)
    dtype = np.dtype(_check.dtype_name(kspace))

    def work(z):
        name = f"slice {z}" if len(samples) > 1 else "kspace" if calib is None else "calib"
        measured = (samples[z] != 0).any(0) if known is None else known
        return fit(name, samples[z], measured, grid, dtype)

    lock, found = Lock(), []

    def placed(z):
        """Put the parts of slice z, or of all slices, into arrays in C's order, whatever the parts have."""
        made = work(z)
        parts = made if isinstance(made, tuple) else (made,)
        with lock:
            if not found:
                found.extend(np.empty((len(kspace), *part.shape), part.dtype) for part in parts)
        for out, part in zip(found, parts):
            out[z if len(samples) > 1 else slice(None)] = part
        return isinstance(made, tuple)

    with one_blas_thread():
        if kspace.ndim == ndim + 1:
            made = work(0)
            return tuple(like(m, kspace) for m in made) if isinstance(made, tuple) else like(made, kspace)
        several = side_by_side(placed, range(len(samples))) if len(samples) > 1 else [placed(0)]
    return tuple(like(out, kspace) for out in found) if several[0] else like(found[0], kspace)


def centre(name, samples, sizes):
    """The central block of `samples` (coil, ky, kx) or (coil, kz, ky, kx), complex128 with a peak of 1."""
    block = samples[(slice(None), *map(middle, samples.shape[1:], sizes))].astype(np.complex128)
    peak = abs(block).max()
    if peak == 0:
        raise ValueError(f"{name} is zero in the whole calibration region: mask marks samples that are not there")
    return block / peak


def full_centre(name, samples, measured, calib_width):
    """The fully sampled central block, at most `calib_width` (None: no limit) both ways and at least 3."""
    smallest = min(3, calib_width or 3)
    return centre(name, samples, region(name, measured, calib_width, (smallest, smallest)))


def images(block, shape, dtype, taper=True):
    """Images (coil, y, x) of a central block of k-space, at most of `shape`; `taper`: by a Hann window, no ringing."""
    sizes = [min(n, m) for n, m in zip(block.shape[1:], shape)]
    block = block[:, middle(block.shape[1], sizes[0]), middle(block.shape[2], sizes[1])]
    if taper:  # a window over the full matrix is none
        for axis, (size, n) in enumerate(zip(sizes, shape)):
            if size < n:
                k = (np.arange(size) - size // 2) / (size + 1)
                block = block * (0.5 + 0.5 * np.cos(2 * np.pi * k)).reshape((-1, 1) if axis == 0 else (1, -1))
    full = np.zeros((len(block), *shape), dtype)
    full[:, middle(shape[0], sizes[0]), middle(shape[1], sizes[1])] = block
    return fft(full, (-2, -1), inverse=True)


def virtual(block):
    """The dominant virtual coil u of k-space samples (coil, ...): its largest entry is real and positive."""
    flat = block.reshape(len(block), -1)
    return leading_coil(flat @ flat.conj().T)


def leading_coil(gram):
    """The dominant eigenvector of a Hermitian matrix, its largest entry real and positive."""
    u = np.linalg.eigh(gram)[1][:, -1]
    peak = u[abs(u).argmax()]
    return u * (peak.conj() / abs(peak))


def fraction(name, value):
    """Check a number 0 <= value < 1."""
    value = _check.number(name, value, low=0)
    if value >= 1:
        raise ValueError(f"{name} is a fraction of the largest magnitude: it must be < 1, got {value}")
    return value


def support(magnitude, thresh: float):
    """Where a magnitude is above `thresh` times its 99th percentile, and not 0."""
    return magnitude > max(thresh * float(np.percentile(magnitude, 99)), 0)


def finish(mps, u, keep, alive):
    """Maps with sum_c |S_c|^2 = 1 and u^H S > 0 where `keep`, 0 elsewhere and for coils that are not `alive`."""
    mps = mps * alive[:, None, None]
    size = np.sqrt((mps.real**2 + mps.imag**2).sum(0))
    phase = np.einsum("c,cyx->yx", u.conj().astype(mps.dtype), mps)
    level = abs(phase)
    keep = keep & (size > 0)
    turn = np.where(level > 0, phase.conj(), 1) / np.where(level > 0, level, 1)
    return np.where(keep, mps * (turn / np.where(keep, size, 1)), 0)
