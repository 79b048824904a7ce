"""Coil compression: fewer virtual coils that hold nearly all of the signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pisolve import _check
from pisolve._types import Array, ArrayLike
from pisolve.backend import fft, like, namespace, one_blas_thread, parallel, to_numpy, unit
from pisolve.calib.noise import mix
from pisolve.calib.region import middle

_SHARE = 0.1  # the weight of each wider window beside the one before: it decides only what is noise in that
_CHUNK = 16  # positions of one task
_ROWS = 1 << 15  # complex samples of a block that one thread transforms and mixes


@dataclass(frozen=True, eq=False)
class Compression:
    """A coil compression that `compression` found, to be applied to anything the same coils measured.

    Attributes:
        matrix: numpy complex128, orthonormal rows, so white noise stays white: (virtual, coil) by "svd",
            (positions, virtual, coil) for "gcc", one for each pixel along the readout.
        energy: share of the calibration samples' energy that the virtual coils hold, 0..1.
        axis: the readout of "gcc", -2 or -1.
    """

    matrix: np.ndarray
    energy: float
    axis: int = -1

    def __call__(self, kspace: ArrayLike) -> Array:
        """K-space (..., coil, ky, kx) -> (..., virtual, ky, kx); numpy, cupy or torch, where it is computed.

        For "gcc" the readout must have the calibrated number of samples, all of them measured.
        """
        x = self._fits("kspace", kspace)
        if self.matrix.ndim == 2:
            return mix(self.matrix, x)
        # the centred transform is the plain one but for a phase along the readout, which all coils share and which
        # cancels on the way back: nothing is shifted but the matrices
        M = like(np.fft.ifftshift(self.matrix, axes=0).astype(_check.dtype_name(x)), x)
        if namespace(x) is not np:
            return _along(M, x, self.axis)
        lead, flat = x.shape[:-3], x.reshape(-1, *x.shape[-3:])
        across = -3 - self.axis
        out = np.empty((len(flat), M.shape[1], *x.shape[-2:]), x.dtype)
        step = max(1, _ROWS // (x.shape[-3] * x.shape[self.axis]))
        cuts = [(z, slice(r, r + step)) for z in range(len(flat)) for r in range(0, x.shape[across], step)]

        def block(cut):
            z, rows = cut
            part = (slice(None), rows) if across == -2 else (slice(None), slice(None), rows)
            out[z][part] = _along(M, flat[z][part], self.axis)

        parallel(block, cuts)
        return out.reshape(*lead, *out.shape[1:])

    def maps(self, mps: ArrayLike) -> Array:
        """Coil maps or coil images (..., coil, y, x) -> (..., virtual, y, x): each pixel's own matrix."""
        x = self._fits("mps", mps)
        if self.matrix.ndim == 2:
            return mix(self.matrix, x)
        return _mixed(like(self.matrix.astype(_check.dtype_name(x)), x), x, self.axis)

    def _fits(self, name, x):
        x = _check.array(name, x)
        if x.ndim < 3:
            raise ValueError(f"{name} has {x.ndim} dimensions, shape {tuple(x.shape)}: (..., coil, ky, kx) needed")
        if x.shape[-3] != self.matrix.shape[-1]:
            raise ValueError(f"{name} has {x.shape[-3]} coils, the compression is for {self.matrix.shape[-1]}")
        if self.matrix.ndim == 3 and x.shape[self.axis] != len(self.matrix):
            raise ValueError(f"{name} has {x.shape[self.axis]} samples along axis {self.axis}, the compression is for "
                             f"{len(self.matrix)} along this readout: by='svd' has one matrix for all sizes")
        return x


@_check.renamed(method="by")
def compression(kspace: ArrayLike, *, coils: int | None = None, energy: float | None = None, by: str = "svd",
                calib_width: int | None = 24, window: int = 5, mask: ArrayLike | None = None,
                calib: ArrayLike | None = None, axis: int = -1) -> Compression:
    """Find the virtual coils that hold most energy: the leading eigenvectors of the coils' Gram matrix.

        svd (PCA, "SCC"):  M = V^H,  sum over k of y(k) y(k)^H = V diag(s^2) V^H
        gcc:               M(x) = U(x) V(x)^H from the Gram matrix of the hybrid space (x, ky) in a window about x

    "gcc" transforms the fully sampled readout first, where fewer coils see each position, so that as many virtual coils
    hold more; the unitary U(x) aligns M(x) with its neighbour (orthogonal Procrustes, from the position with most
    energy outwards), so that virtual coils stay smooth and can be calibrated. A window's few samples determine the weak
    directions by their noise, and reconstructions from such coils are worse than from "svd". So, other than Zhang and
    BART, eigenvalues that noise can explain are set to 0 in the window and replaced by those of windows 3 and 9 times
    as wide and of the whole readout.

    Rows are orthonormal: white noise stays white, so whiten first (`prewhiten`). One compression holds for all slices
    or frames given. Energy is not accuracy: weak directions that hold 1 % of it unfold aliasing. With 32 coils made 8,
    CG-SENSE's error rose by 5 % ("svd") and 1 to 3 % ("gcc") at R = 2, by 17 % and 3 to 9 % at R = 3.

    Args:
        kspace: (coil, ky, kx) or (slice, coil, ky, kx) complex, zero where not sampled; any scale. Numpy, cupy, torch;
            the fit is done on the CPU.
        coils: number of virtual coils. None: 8, or as many as `energy` needs.
        energy: share of the energy to hold at the least, 0 < energy <= 1: the smallest number of coils is taken that
            does.
        by: "svd" or "gcc".
        calib_width: the samples used are the central ones, at most this many along ky and kx (for "gcc" across the
            readout only); None: all.
        window: number of readout positions whose Gram matrices are added, "gcc" only.
        mask: (ky, kx), not 0 where measured; only these samples are looked at. Default: all that is not 0.
        calib: calibration k-space (coil, cy, cx), or (slice, coil, cy, cx), used in place of `kspace`, all of it; for
            "gcc" of the same readout length.
        axis: the readout, -1 (kx) or -2 (ky), "gcc" only.

    Raises:
        ValueError: bad values, zero data, more virtual coils than coils, a readout that is not fully sampled.

    Reference:
        M. Buehrer et al., Array compression for MRI with large coil arrays, Magn. Reson. Med. 57:1131-1139 (2007);
        T. Zhang et al., Coil compression for accelerated imaging with Cartesian sampling, ibid. 69:571-582 (2013).
    """
    kspace = _check.array("kspace", kspace, ndim=(3, 4), nonzero=True)
    _check.choice("by", by, ("svd", "gcc"))
    _check.choice("axis", axis, (-2, -1))
    calib_width = _check.integer("calib_width", calib_width, low=1, allow_none=True)
    window = _check.integer("window", window, low=1)
    count = kspace.shape[-3]
    if coils is not None and energy is not None:
        raise ValueError(f"give coils or energy, not both: coils is {coils}, energy {energy}")
    energy = _check.number("energy", energy, low=0, high=1, allow_none=True)
    if energy == 0:
        raise ValueError("energy must be > 0: it is the share of the signal to keep, such as 0.99")
    coils = min(8, count) if coils is None else _check.integer("coils", coils, low=1)
    if coils > count:
        raise ValueError(f"coils is {coils}, but there are only {count} to compress: take at most that many")
    x = _samples(kspace, calib, mask, calib_width, by, axis)
    if by == "gcc":
        x = np.moveaxis(fft(x, (axis,), inverse=True), axis, 0)  # (position, slice, coil, line)
        x = x.transpose(0, 2, 1, 3).reshape(len(x), count, -1)
        gram = x @ x.conj().swapaxes(1, 2)
        with one_blas_thread():
            grams = _windowed(gram, (x != 0).any((0, 1)).sum(), window)
    else:
        x = x.transpose(1, 0, 2, 3).reshape(count, -1)
        gram = grams = (x @ x.conj().T)[None]
    total = np.trace(gram, axis1=1, axis2=2).real.sum()
    V = _eigh(grams)[1][:, :, ::-1]  # (position, coil, virtual), strongest first
    kept = np.cumsum(np.einsum("pcv,pcd,pdv->v", V.conj(), gram, V, optimize=True).real) / total
    if energy is not None:
        coils = int(min(np.searchsorted(kept, energy * (1 - 1e-12)) + 1, count))
    M = V[:, :, :coils].conj().swapaxes(1, 2)
    M = M * unit(np.take_along_axis(M, abs(M).argmax(2)[:, :, None], 2)).conj()  # eigenvectors have any phase
    if by == "svd":
        return Compression(np.ascontiguousarray(M[0]), min(float(kept[coils - 1]), 1.0), axis)
    return Compression(_aligned(M, int(np.trace(grams, axis1=1, axis2=2).real.argmax())),
                       min(float(kept[coils - 1]), 1.0), axis)


@_check.renamed(method="by")
def compress(kspace: ArrayLike, *, coils: int | None = None, energy: float | None = None, by: str = "svd",
             calib_width: int | None = 24, window: int = 5, mask: ArrayLike | None = None,
             calib: ArrayLike | None = None, axis: int = -1) -> Array:
    """K-space of fewer virtual coils: `compression(kspace, ...)(kspace)`, with the same arguments.

    Returns:
        (..., virtual, ky, kx), precision and kind of `kspace`. Samples that are zero in all coils stay zero.
    """
    return compression(kspace, coils=coils, energy=energy, by=by, calib_width=calib_width, window=window,
                       mask=mask, calib=calib, axis=axis)(kspace)


def _samples(kspace, calib, mask, calib_width, by, axis):
    """The samples (slice, coil, y, x) to look at, complex128 with a peak of 1; checked for "gcc"."""
    x, name = kspace, "kspace"
    if calib is not None:
        x, name = _check.array("calib", calib, ndim=(3, 4), nonzero=True), "calib"
        if x.shape[-3] != kspace.shape[-3]:
            raise ValueError(f"calib has {x.shape[-3]} coils, kspace {kspace.shape[-3]}: they must be the same coils")
        if by == "gcc" and x.shape[axis] != kspace.shape[axis]:
            raise ValueError(f"calib has {x.shape[axis]} samples along the readout, axis {axis}, kspace "
                             f"{kspace.shape[axis]}: with by='gcc' they must be equal")
        mask = calib_width = None
    mask = None if mask is None else _check.mask("mask", mask, x.shape)
    sizes = [n if calib_width is None else min(calib_width, n) for n in x.shape[-2:]]
    if by == "gcc":
        sizes[axis] = x.shape[axis]
    block = tuple(middle(n, size) for n, size in zip(x.shape[-2:], sizes))
    x = to_numpy(x)[(..., *block)]
    x = x.reshape(-1, *x.shape[-3:]).astype(np.complex128)
    if mask is not None:
        x *= mask[block]
    measured = (x != 0).any((0, 1)) if mask is None else mask[block]
    peak = abs(x).max()
    if peak == 0:
        raise ValueError(f"{name} is zero in its centre: nothing to calibrate the compression on; give calib_width="
                         "None for all samples, or calib=...")
    if by == "gcc":
        lines = measured.any(axis)
        if not (measured.sum(axis)[lines] == sizes[axis]).all():
            raise ValueError(f"{name} is not fully sampled along the readout, axis {axis}: by='gcc' needs it; take "
                             "by='svd', or the other axis if that is the readout")
    return x / peak


def _windowed(gram, samples, window):
    """What is signal in `window` positions about each (periodic), else in wider and wider windows, else in all.

    Args:
        gram: (position, coil, coil), each the sum of `samples` outer products.
    """
    n, c = gram.shape[:2]
    whole = gram.sum(0)
    noise = float(np.median(np.linalg.eigvalsh(whole)[: (c + 1) // 2])) / (n * samples)  # of one sample, 2 sigma^2
    total = _SHARE**3 * _signal(whole[None], n * samples, noise) / n
    padded = np.cumsum(np.concatenate([np.zeros_like(gram[:1]), gram, gram, gram]), 0)
    for level in range(3):
        width = min(window * 3**level, n)
        first = np.arange(n) + n - width // 2
        total = total + _SHARE**level / width * _signal(padded[first + width] - padded[first], width * samples, noise)
    return total if total.any() else gram


def _signal(gram, samples, noise):
    """Gram matrices of noisy samples without their noise: eigenvalues that noise alone reaches become 0.

    Those of white noise end at noise (sqrt(samples) + sqrt(coils))^2 (Marchenko and Pastur).
    """
    values, V = _eigh(gram)
    edge = noise * (samples**0.5 + gram.shape[-1] ** 0.5) ** 2
    return (V * np.where(values > edge, values - samples * noise, 0)[:, None]) @ V.conj().swapaxes(1, 2)


def _eigh(grams):
    """`numpy.linalg.eigh` of a stack, on the library's threads."""
    parts = parallel(np.linalg.eigh, [grams[i:i + _CHUNK] for i in range(0, len(grams), _CHUNK)])
    return tuple(np.concatenate(x) for x in zip(*parts))


def _aligned(M, start):
    """M(x) turned by unitary U(x) towards its neighbour, from position `start` outwards: min ||U M(x) - M(x')||."""
    M = M.copy()
    for positions in (range(start + 1, len(M)), range(start - 1, -1, -1)):
        step = positions.step
        for p in positions:
            U, _, Vh = np.linalg.svd(M[p - step] @ M[p].conj().T)
            M[p] = U @ Vh @ M[p]
    return M


def _along(M, x, axis):
    """Mix the coils of (..., coil, ky, kx) in hybrid space by plain-order matrices M (position, virtual, coil)."""
    return fft(_mixed(M, fft(x, (axis,), inverse=True, centred=False), axis), (axis,), centred=False)


def _mixed(M, x, axis):
    """(..., coil, y, x) -> (..., virtual, y, x) by a matrix for each position along `axis`."""
    xp = namespace(x)
    if axis == -1:
        return xp.moveaxis(xp.matmul(M, xp.moveaxis(x, -1, -3)), -3, -1)  # matrices (..., position, coil, y)
    return xp.swapaxes(xp.matmul(M, xp.swapaxes(x, -3, -2)), -3, -2)
