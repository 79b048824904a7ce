"""Coil sensitivities from the fully sampled centre of k-space: ESPIRiT."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from pisolve import _check
from pisolve._types import Array, ArrayLike
from pisolve.backend import parallel
from pisolve.calib import _coils
from pisolve.calib._eig import dominant, leading
from pisolve.calib._espirit_kernels import correlations, sizes

BLOCK = 1 << 18  # entries of G held by one thread at a time, 2 MB in single precision; half of it in volumes
GEMM = 1 << 16  # largest m n k of a matrix product in a thread: above, OpenBLAS starts threads of its own


@_check.renamed(maps="sets")
def espirit(kspace: ArrayLike, *, calib_width: int = 24, kernel_width: int | None = None, thresh: float | str = 0.02,
            crop: float = 0.8, soft_crop: bool = False, sets: int = 1, ndim: int = 2, eigenvalues: bool = False,
            mask: ArrayLike | None = None, calib: ArrayLike | None = None) -> Array:  # two, with eigenvalues
    """Coil sensitivity maps by ESPIRiT: the dominant eigenvectors of G(r) at every pixel.

        G(r) = 1/k^2  S(r) P S(r)^H,      mps_s(r) = v_s(r) where lam_s(r) > crop, else 0,      sum_c |mps_sc|^2 = 1

    P projects a k x k neighbourhood of all coils onto the row space of the calibration matrix (singular values above
    `thresh` times the largest), S(r) are the neighbourhood's Fourier factors, so 0 <= G <= 1. The entries of G have a
    k-space support of (2k - 1)^2, so G is summed from these few samples exactly, block by block, and never kept as a
    whole. Maps have the phase for which the dominant virtual coil u (first singular vector of the coils over the
    calibration samples, its largest entry real and positive) has a real and positive map, u^H mps > 0. Further sets
    have a u of their own, the first singular vector of the set's maps themselves, which turn by other phases.

    With crop=0.95 the maps equal `sigpy.mri.app.EspiritCalib` up to that phase (SigPy makes coil 0 real, which fails
    where it is 0) and up to SigPy's 100 power iterations, which do not settle pixels with lam_2 close to lam_1.

    Args:
        kspace: (coil, ky, kx) or (slice, coil, ky, kx) complex; each slice is calibrated by itself. With ndim=3
            (coil, kz, ky, kx). Any scale. Coils that measured nothing get a map of 0. Numpy, cupy or torch; the work is
            done on the CPU.
        calib_width: largest size of the calibration region in samples along ky and kx; fewer are used where fewer
            are sampled (see `calibration_region`).
        kernel_width: size k of the neighbourhood in samples. None: 6, as SigPy and BART, where the region is
            `calib_width` both ways. Where one way has only n fully sampled lines, k = (n + 2) // 3 between 3 and 6, and
            the region is up to twice as wide the other way: 11 lines of 16 coils otherwise give too few rows for the
            calibration matrix's columns, and useless maps.
        thresh: relative threshold of singular values, 0 <= thresh < 1. 0.02 is SigPy's. "auto": the largest singular
            value of noise, read from the spectrum itself. On simulated scans its maps were 1.3 to 2.7 times nearer to
            the true ones where there was little or much noise, and the same (at worst 2 % farther) in between.
        crop: maps are 0 where the eigenvalue is at most this, 0 <= crop < 1. 0.8 is BART's default; SigPy's 0.95
            cuts into the body on noisy scans and cost 0.5 to 1 dB on the real ones that we have.
        soft_crop: instead of the step at `crop`, multiply by w = s((sqrt(lam_1) - crop) / (1 - crop)) with
            s(t) = (1 + t)^2 / (2 + 2 t^2) clipped to 0 for t < -1 and 1 for t > 1, as BART's `ecalib -S` does. Then
            sum_c |mps_c|^2 = w^2.
        sets: number of sets of maps, each cut where its own eigenvalue is at most `crop`. A second set is what
            `linops.soft_sense` needs where two things are seen at one pixel, as with an object larger than its field
            of view. Where two eigenvalues are close any rotation of the two vectors is as good, and maps may turn fast.
        ndim: 2, or 3 for a volume with k-space neighbourhoods of k x k x k. G(r) is then evaluated plane by plane along
            the last axis; k = 6 and 16 coils make a calibration matrix of 3456 columns.
        eigenvalues: also return lam, everywhere.
        mask: sampling mask, bool or 0/1, that broadcasts to (ky, kx), or (kz, ky, kx); default: where `kspace` is
            not 0.
        calib: calibration k-space (coil, cy, cx), or with the further axis of `kspace`, to use in place of the centre
            of `kspace`, for example of a separate scan at the same resolution in k-space samples; `mask` is then not
            looked at.

    Returns:
        mps: shape, precision and kind of `kspace`; with sets > 1 (set, coil, ky, kx), (slice, set, coil, ky, kx) or
        (set, coil, z, y, x). With `eigenvalues` the tuple (mps, lam), lam real, of the shape of mps without coils.

    Raises:
        ValueError: bad sizes or values, zero or non-finite data, a fully sampled centre smaller than the kernel, or
            maps that are zero everywhere.

    Reference:
        M. Uecker et al., ESPIRiT - an eigenvalue approach to autocalibrating parallel MRI: where SENSE meets GRAPPA,
        Magn. Reson. Med. 71:990-1001 (2014).
    """
    ndim = _check.choice("ndim", ndim, (2, 3))
    calib_width = _check.integer("calib_width", calib_width, low=1)
    kernel_width = _check.integer("kernel_width", kernel_width, low=1, allow_none=True)
    sets = _check.integer("sets", sets, low=1)
    check = partial(_check.choice, options=("auto",)) if isinstance(thresh, str) else _coils.fraction
    thresh = check("thresh", thresh)
    crop = _coils.fraction("crop", crop)
    def fit(name, samples, measured, grid, dtype):
        if sets > len(samples):
            raise ValueError(f"sets = {sets} sets of maps are more than the {len(samples)} coils of kspace: give fewer")
        block, k = sizes(name, measured, calib_width, kernel_width)
        centre = _coils.centre(name, samples, block)
        mps, lam = _field(centre, k, thresh, _Cut(crop, soft_crop, sets, eigenvalues), grid, dtype)
        if not mps.any():
            raise ValueError(f"{name} gives maps that are zero everywhere, no eigenvalue is above crop = {crop:g}: the "
                             f"calibration region ({' x '.join(map(str, block))} samples, kernel {k}) is too small or "
                             "holds noise; lower crop or thresh, or give calib=... or mps from another scan")
        mps[:, ~centre.any(tuple(range(1, ndim + 1)))] = 0  # a dead coil is 0, and not LAPACK's rounding
        return (mps, lam) if sets > 1 else (mps[0], lam[0])

    mps, lam = _coils.by_slice(kspace, mask, calib, fit, ndim)
    return (mps, lam) if eigenvalues else mps


@dataclass(frozen=True)
class _Cut:
    """What becomes of the eigenpairs of G: how many are wanted, and where they are cut."""

    crop: float
    soft: bool
    sets: int
    everywhere: bool  # eigenvalues are wanted below `crop`, too

    def __call__(self, G):
        """(lam, v, weight) of (n, c, c): (n, sets), (n, sets, c), (n, sets)."""
        floor = 0.0 if self.everywhere else max(2 * self.crop - 1, 0) ** 2 if self.soft else self.crop
        tol = 1e-5 if G.dtype == np.complex64 else 1e-10
        if self.sets > 1:
            lam, v = leading(G, self.sets, floor=floor, tol=tol)
        else:
            lam, v = (x[:, None] for x in dominant(G, floor=floor, tol=tol))
        if not self.soft:
            return lam, v, lam > self.crop
        t = np.clip((np.sqrt(np.maximum(lam, 0)) - self.crop) / (1 - self.crop), -1, 1)
        return lam, v, (1 + t) ** 2 / (2 + 2 * t * t)


def _field(centre, k, thresh, cut, grid, dtype):
    """The maps (set, c, *grid) that the calibration samples (c, *block) give, and their eigenvalues (set, *grid)."""
    c = len(centre)
    conj_u = _coils.virtual(centre).conj().astype(dtype)
    lag = np.r_[0:k, -k:0]
    waves = [np.exp(2j * np.pi / n * np.outer(np.arange(n) - n // 2, lag)).astype(dtype) for n in grid]
    lags = correlations(centre, k, thresh).astype(dtype)
    out = np.empty((cut.sets, c, *grid), dtype)
    values = np.empty((cut.sets, *grid), out.real.dtype)
    if len(grid) == 2:
        _plane(lags.reshape(2 * k, 2 * k, c * c).swapaxes(0, 1), waves, cut, conj_u, out, values, parallel, BLOCK)
    else:  # plane by plane along x
        lags = np.ascontiguousarray(np.moveaxis(lags, (2, 1, 0), (0, 1, 2))).reshape(2 * k, -1)  # lx, then ly, lz, c, c

        def plane(x):
            here = (waves[2][x] @ lags).reshape(2 * k, 2 * k, c * c)
            _plane(here, waves[:2], cut, conj_u, out[..., x], values[..., x], _serial, BLOCK // 2)

        parallel(plane, range(grid[2]))
    for s in range(1, cut.sets):
        _turn(out[s])
    return out, values


def _plane(lags, waves, cut, conj_u, out, values, run, entries):
    """Fill out (set, c, ny, nx) and values (set, ny, nx) from the lags (lx, ly, c * c) and the waves along y and x."""
    (ny, nx), c, k = values.shape[1:], len(conj_u), len(lags) // 2
    ey, ex = waves
    pixels = max(1, entries // c**2)
    width = max(1, min(GEMM // (2 * k * c * c), math.isqrt(pixels), max(ny, nx)))
    ex = np.concatenate([ex, np.zeros((-nx % width, 2 * k), ex.dtype)]).reshape(-1, width, 2 * k)  # strips of columns
    strips = max(1, pixels // width**2)

    def block(corner):
        y, x = slice(corner[0], corner[0] + width), slice(corner[1], corner[1] + strips)
        G = ex[x] @ np.moveaxis(ey[y] @ lags, 0, 1)[:, None]  # (rows, strips, width, c * c)
        lam, v, weight = cut(G.reshape(-1, c, c))
        phase = (v[:, 0] * conj_u).sum(1)
        size = abs(phase)
        v[:, 0] *= np.where(size > 0, phase.conj() / np.where(size > 0, size, 1), 1)[:, None]
        v *= weight[:, :, None]
        v[weight == 0] = 0  # not -0
        columns = slice(x.start * width, min(x.stop * width, nx))
        for s in range(cut.sets):
            target = out[s, :, y, columns]
            target[...] = np.moveaxis(v[:, s].reshape(len(G), -1, c), 2, 0)[:, :, :target.shape[2]]
            values[s, y, columns] = lam[:, s].reshape(len(G), -1)[:, :target.shape[2]]

    run(block, [(y, x) for y in range(0, ny, width) for x in range(0, len(ex), strips)])


def _serial(work, items):
    return [work(i) for i in items]


def _turn(mps):
    """Give a set of maps (c, ...) the phase for which its own dominant virtual coil u has real and positive maps."""
    gram = np.zeros((len(mps),) * 2, complex)
    for i in range(mps.shape[1]):
        row = mps[:, i].reshape(len(mps), -1)
        gram += row @ row.conj().T
    conj_u = _coils.leading_coil(gram).conj().astype(mps.dtype)
    for i in range(mps.shape[1]):
        phase = (conj_u @ mps[:, i].reshape(len(mps), -1)).reshape(mps.shape[2:])
        size = abs(phase)
        mps[:, i] *= np.where(size > 0, phase.conj() / np.where(size > 0, size, 1), 1)
