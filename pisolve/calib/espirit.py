"""Coil sensitivities from the fully sampled centre of k-space: ESPIRiT."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import scipy.linalg

from pisolve import _check
from pisolve.backend import namespace, one_blas_thread, parallel, to_numpy, to_torch
from pisolve.calib._eig import dominant
from pisolve.calib.region import middle, neighbourhoods, region, sampled

BLOCK = 1 << 17  # entries of G held by one thread at a time: 1 MB in single precision, what a core's cache takes
GEMM = 1 << 16  # largest m n k of a matrix product in a thread: above, OpenBLAS starts threads of its own


def espirit(kspace, *, calib_width: int = 24, kernel_width: int | None = None, thresh: float = 0.02, crop: float = 0.8,
            soft_crop: bool = False, maps: int = 1, mask=None, calib=None):
    """Coil sensitivity maps by ESPIRiT: the dominant eigenvector of G(r) at every pixel.

        G(r) = 1/k^2  S(r) P S(r)^H,      mps(r) = v_1(r) where lam_1(r) > crop, else 0,      sum_c |mps_c|^2 = 1

    P projects a k x k neighbourhood of all coils onto the row space of the calibration matrix (singular values above
    `thresh` times the largest), S(r) are the neighbourhood's Fourier factors, so 0 <= G <= 1. The entries of G have a
    k-space support of (2k - 1)^2, so G is summed from these few samples exactly, block by block, and never kept as a
    whole. Maps have the phase for which the dominant virtual coil u (first singular vector of the coils over the
    calibration samples, its largest entry real and positive) has a real and positive map, u^H mps > 0.

    With crop=0.95 the maps equal `sigpy.mri.app.EspiritCalib` up to that phase (SigPy makes coil 0 real, which fails
    where it is 0) and up to SigPy's 100 power iterations, which do not settle pixels with lam_2 close to lam_1.

    Args:
        kspace: (coil, ky, kx) or (slice, coil, ky, kx) complex; each slice is calibrated by itself. Any scale. Coils
            that measured nothing get a map of 0. Numpy, cupy or torch; the work is done on the CPU.
        calib_width: largest size of the calibration region in samples along ky and kx; fewer are used where fewer
            are sampled (see `calibration_region`).
        kernel_width: size k of the neighbourhood in samples. None: 6, as SigPy and BART, where the region is
            `calib_width` both ways. Where one way has only n fully sampled lines, k = (n + 2) // 3 between 3 and 6, and
            the region is up to twice as wide the other way: 11 lines of 16 coils otherwise give too few rows for the
            calibration matrix's columns, and useless maps.
        thresh: relative threshold of singular values, 0 <= thresh < 1.
        crop: maps are 0 where the eigenvalue is at most this, 0 <= crop < 1. 0.8 is BART's default; SigPy's 0.95
            cuts into the body on noisy scans and cost 0.5 to 1 dB on the real ones that we have.
        soft_crop: instead of the step at `crop`, multiply by w = s((sqrt(lam_1) - crop) / (1 - crop)) with
            s(t) = (1 + t)^2 / (2 + 2 t^2) clipped to 0 for t < -1 and 1 for t > 1, as BART's `ecalib -S` does. Then
            sum_c |mps_c|^2 = w^2.
        maps: number of sets of maps; only 1 for now.
        mask: sampling mask that broadcasts to (ky, kx), not 0 where measured; default: where `kspace` is not 0.
        calib: calibration k-space (coil, cy, cx), or (slice, coil, cy, cx), to use in place of the centre of `kspace`,
            for example of a separate scan at the same resolution in k-space samples; `mask` is then not looked at.

    Returns:
        mps: shape, precision and kind of `kspace`.

    Raises:
        ValueError: bad sizes or values, zero or non-finite data, a fully sampled centre smaller than the kernel, or
            maps that are zero everywhere.

    Reference:
        M. Uecker et al., ESPIRiT - an eigenvalue approach to autocalibrating parallel MRI: where SENSE meets GRAPPA,
        Magn. Reson. Med. 71:990-1001 (2014).
    """
    kspace = _check.array("kspace", kspace, ndim=(3, 4), nonzero=True)
    calib_width = _check.integer("calib_width", calib_width, low=1)
    kernel_width = _check.integer("kernel_width", kernel_width, low=1, allow_none=True)
    thresh = _check.number("thresh", thresh, low=0)
    crop = _check.number("crop", crop, low=0)
    for name, value in (("thresh", thresh), ("crop", crop)):
        if value >= 1:
            raise ValueError(f"{name} is a fraction of the largest possible value: it must be < 1, got {value}")
    if maps != 1:
        raise ValueError(f"maps must be 1, got {maps!r}: more than one set of maps is not available yet")
    if calib is not None:
        calib = _check.array("calib", calib, ndim=kspace.ndim, nonzero=True)
        if calib.shape[:-2] != kspace.shape[:-2]:
            raise ValueError(f"calib has shape {tuple(calib.shape)}: its coils (and slices) must be those of kspace, "
                             f"shape {tuple(kspace.shape)}")
    samples = to_numpy(kspace if calib is None else calib)
    samples = samples.reshape(-1, *samples.shape[-3:])
    if calib is None and mask is not None:
        measured = [sampled(mask, kspace.shape[-2:])] * len(samples)
    else:
        measured = [(one != 0).any(0) for one in samples]
    out = np.zeros((len(samples), *kspace.shape[-3:]), _check.dtype_name(kspace))
    for z, one in enumerate(samples):
        name = f"slice {z}" if len(samples) > 1 else "kspace" if calib is None else "calib"
        height, width, k = _sizes(name, measured[z], calib_width, kernel_width)
        centre = one[:, middle(one.shape[1], height), middle(one.shape[2], width)].astype("complex128")
        largest = abs(centre).max()
        if largest == 0:
            raise ValueError(f"{name} is zero in the whole calibration region: mask marks samples that are not there")
        with one_blas_thread():
            _field(centre / largest, k, thresh, crop, soft_crop, out[z])
        if not out[z].any():
            raise ValueError(f"{name} gives maps that are zero everywhere, no eigenvalue is above crop = {crop:g}: the "
                             f"calibration region ({height} x {width} samples, kernel {k}) is too small or holds "
                             "noise; lower crop or thresh, or give calib=... or mps from another scan")
    out = out.reshape(kspace.shape)
    if _check.is_torch(kspace):
        return to_torch(out).to(kspace.device)
    return namespace(kspace).asarray(out)


def _sizes(name, measured, calib_width, kernel_width):
    """Height and width of the calibration region and the kernel's size, automatic where `kernel_width` is None."""
    if kernel_width is not None:
        return *region(name, measured, calib_width, (kernel_width, kernel_width)), kernel_width
    smallest = min(3, calib_width)
    height, width = region(name, measured, calib_width, (smallest, smallest))
    lines = min(height, width)
    if lines < calib_width:
        height, width = region(name, measured, 2 * calib_width, (smallest, smallest))
        lines = min(height, width)
    return height, width, min(max((lines + 2) // 3, smallest), 6, calib_width)


def _lags(centre, k, thresh):
    """Samples (2k, 2k, c, c) of G's k-space, lag 0 first: sum over the kept kernels of their cross-correlations."""
    c = len(centre)
    A = neighbourhoods(centre, (k, k))
    wide = len(A) < A.shape[1]  # the smaller Gram has the same singular values; double precision, as they are squared
    s2, V = scipy.linalg.eigh(A @ A.conj().T if wide else A.conj().T @ A, overwrite_a=True, check_finite=False)
    keep = s2 > s2[-1] * max(thresh**2, len(s2) * np.finfo(float).eps)
    V = A.conj().T @ (V[:, keep] / np.sqrt(s2[keep])) if wide else V[:, keep]
    F = scipy.fft.fft2(V.conj().T.reshape(-1, c, k, k), s=(2 * k, 2 * k))  # 2k: no wrap-around of lags
    F = F.reshape(-1, c, 4 * k * k).transpose(2, 1, 0)
    return scipy.fft.ifft2((F @ F.conj().swapaxes(1, 2)).reshape(2 * k, 2 * k, c, c), axes=(0, 1)) / k**2


def _field(centre, k, thresh, crop, soft_crop, out):
    """Fill `out` (c, ny, nx) with the maps that the calibration samples `centre` (c, height, width) give."""
    c, ny, nx = out.shape
    virtual = np.linalg.eigh(np.einsum("cyx,dyx->cd", centre, centre.conj(), optimize=True))[1][:, -1]
    peak = virtual[abs(virtual).argmax()]
    conj_u = (virtual * (peak.conj() / abs(peak))).conj().astype(out.dtype)
    lag = np.r_[0:k, -k:0]
    ey, ex = (np.exp(2j * np.pi / n * np.outer(np.arange(n) - n // 2, lag)).astype(out.dtype) for n in (ny, nx))
    lags = _lags(centre, k, thresh).astype(out.dtype).transpose(1, 0, 2, 3).reshape(2 * k, 2 * k, c * c)  # (lx, ly)
    floor = max(2 * crop - 1, 0) ** 2 if soft_crop else crop
    tol = 1e-5 if out.dtype == np.complex64 else 1e-10
    pixels = max(1, BLOCK // c**2)
    width = max(1, min(GEMM // (2 * k * c * c), math.isqrt(pixels), max(ny, nx)))
    ex = np.concatenate([ex, np.zeros((-nx % width, 2 * k), out.dtype)]).reshape(-1, width, 2 * k)  # strips of columns
    strips = max(1, pixels // width**2)

    def block(corner):
        y, x = slice(corner[0], corner[0] + width), slice(corner[1], corner[1] + strips)
        G = ex[x] @ np.moveaxis(ey[y] @ lags, 0, 1)[:, None]  # (rows, strips, width, c * c)
        lam, v = dominant(G.reshape(-1, c, c), floor=floor, tol=tol)
        if soft_crop:
            t = np.clip((np.sqrt(lam) - crop) / (1 - crop), -1, 1)
            weight = (1 + t) ** 2 / (2 + 2 * t * t)
        else:
            weight = lam > crop
        phase = (v * conj_u).sum(1)
        size = abs(phase)
        v *= (np.where(size > 0, phase.conj() / np.where(size > 0, size, 1), 1) * weight)[:, None]
        v[weight == 0] = 0  # not -0
        target = out[:, y, x.start * width:x.stop * width]
        target[...] = np.moveaxis(v.reshape(len(G), -1, c), 2, 0)[:, :, :target.shape[2]]

    parallel(block, [(y, x) for y in range(0, ny, width) for x in range(0, len(ex), strips)])
