"""SENSE in closed form for regular sampling: unfolding and the g-factor."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pisolve import _check, backend, masks
from pisolve._types import Array, ArrayLike
from pisolve.backend import to_numpy
from pisolve.calib._lattice import as_lattice
from pisolve.calib.noise import whitening_matrix

SETS = 2048  # of pixels solved at a time: fixed, and small enough for the cache
SINGULAR = 1e-10  # a pivot below this fraction of its diagonal: the coils do not tell the pixels apart


class FoldWarning(UserWarning):
    """Pixels fold onto each other that the coils cannot tell apart."""


class _Folding:
    """The sets of pixels that a lattice folds onto each other, and their whitened coil sensitivities, set by set."""

    def __init__(self, mps, lattice, covariance):
        self.mps, self.shape = mps, tuple(mps.shape[-2:])
        ny, nx = self.shape
        y, x = np.mgrid[:ny // lattice.ry, :nx // lattice.rx].reshape(2, -1)
        folds = lattice.folds(self.shape)
        self.pixels = (y + folds[:, :1]) % ny * nx + (x + folds[:, 1:]) % nx  # (R, sets)
        k0 = [o - n // 2 for o, n in zip(lattice.offset, self.shape)]
        self.phase = np.exp(2j * np.pi * (folds @ (np.array(k0) / self.shape)))  # an offset's, of each fold
        self.white = None
        if covariance is not None:
            white = to_numpy(whitening_matrix(covariance))
            if len(white) != len(mps):
                raise ValueError(f"covariance has {len(white)} coils, mps {len(mps)}: they must be the same coils")
            self.white = backend.like(white.astype("complex128"), mps)
        self.flat = mps.reshape(len(mps), -1)

    def each(self, work):
        """`work(pixels (R, n) of the kind of mps)` over groups of sets, in order, on the CPU in parallel."""
        count = self.pixels.shape[1]
        if isinstance(self.mps, np.ndarray):
            groups = [self.pixels[:, i:i + SETS] for i in range(0, count, SETS)]
            with backend.one_blas_thread():
                return backend.parallel(work, groups)
        step = max(SETS, (1 << 24) // len(self.mps))
        return [work(backend.like(self.pixels[:, i:i + step], self.mps)) for i in range(0, count, step)]

    def whitened(self, x):
        """L^-1 x in double precision, coils first."""
        x = wide(x)
        return x if self.white is None else (self.white @ x.reshape(len(x), -1)).reshape(x.shape)

    def gram(self, E):
        """E^H E as lower rows [i][j <= i] of arrays (n,)."""
        return [[(E[:, i].conj() * E[:, j]).sum(0) for j in range(i + 1)] for i in range(E.shape[1])]


def wide(x):
    """x in complex128."""
    return x.to(backend.namespace(x).complex128) if _check.is_torch(x) else x.astype("complex128")


def _factor(G, lam):
    """Cholesky factors of G + lam I of many small Hermitian matrices at once, entry by entry; and which are singular.

    G: lower rows of arrays (n,). Pixels outside the maps (G_ii = 0) are left out by a diagonal of 1.
    """
    xp, R = backend.namespace(G[0][0]), len(G)
    L, bad = [[None] * (i + 1) for i in range(R)], None
    for j in range(R):
        diagonal = G[j][j].real + lam
        pivot = diagonal - sum((abs(v) ** 2 for v in L[j][:j]), 0 * diagonal)
        singular = (pivot <= SINGULAR * diagonal) & (diagonal > 0)
        bad = singular if bad is None else bad | singular
        L[j][j] = xp.sqrt(xp.where(singular | (diagonal == 0), xp.ones_like(pivot), pivot))
        for i in range(j + 1, R):
            L[i][j] = (G[i][j] - sum((L[i][k] * L[j][k].conj() for k in range(j)), 0 * G[i][j])) / L[j][j]
    return L, bad


def _lower(L, b):
    """L^-1 b."""
    v = []
    for i, row in enumerate(L):
        v.append((b[i] - sum(row[k] * v[k] for k in range(i))) / row[i])
    return v


def _upper(L, b):
    """L^-H b."""
    v = [None] * len(L)
    for i in reversed(range(len(L))):
        v[i] = (b[i] - sum(L[k][i].conj() * v[k] for k in range(i + 1, len(L)))) / L[i][i]
    return v


def _pinv(G):
    """Pseudo-inverse (n, R, R) of lower rows: for the few sets that the coils do not tell apart."""
    full = np.array([[to_numpy(G[max(i, j)][min(i, j)]) for j in range(len(G))] for i in range(len(G))])
    full = full.transpose(2, 0, 1)
    upper = np.triu(np.ones((len(G), len(G)), bool), 1)
    full[:, upper] = full[:, upper].conj()
    return np.linalg.pinv(full, rcond=SINGULAR, hermitian=True)


def _arguments(mps, lam, scale):
    mps = _check.array("mps", mps, ndim=3, nonzero=True)
    _check.scale("mps", float(abs(mps).max()), _check.dtype_name(mps), scale)
    return mps, _check.number("lam", lam, low=0)


def _tell(lattice, coils, bad, pixels, consequence):
    if bad:
        R = lattice.ry * lattice.rx
        why = f"{R}-fold acceleration is more than {coils} coils resolve" if coils < R else \
            f"the coils do not tell {R} folded pixels apart"
        warnings.warn(f"{why} in {bad} of {pixels} sets of pixels: {consequence}; take a smaller R or lam > 0, for "
                      "example 1e-3", FoldWarning, stacklevel=3)


def unfold(kspace: ArrayLike, mps: ArrayLike, mask: ArrayLike | None = None, *, lam: float = 0.0,
           covariance: ArrayLike | None = None) -> Array:
    """The SENSE image of regularly sampled k-space in closed form: what conjugate gradients converge to.

        argmin_x  1/2 ||Psi^(-1/2) (M F S x - y)||^2 + lam/2 ||x||^2

    With every R-th line sampled only R pixels fold onto each other, so this is a system of R equations for each set of
    them: v = (S^H Psi^-1 S + R lam I)^-1 S^H Psi^-1 z with the folded coil pixels z. Any regular lattice will do:
    along ky, kx, both, CAIPI, with any offset. Use it for uniform undersampling without a prior.

    Args:
        kspace: (coil, ky, kx) complex; numpy, cupy or torch.
        mps: coil maps (coil, ky, kx).
        mask: the lattice, bool or 0/1, (ky, kx), (ky, 1), (1, kx); None: where `kspace` is not 0. Samples outside of
            it (calibration lines) are not used.
        lam: Tikhonov weight, as in `lam * pi.Tikhonov()`.
        covariance: noise covariance Psi (coil, coil), as `noise_covariance` gives; None: the same in all coils.

    Returns:
        image (ky, kx), of the kind and precision of `kspace`, 0 outside of the maps.

    Raises:
        ValueError: a mask that is no regular lattice whose R divides the matrix, shapes that do not fit, NaN or Inf.

    Warns:
        FoldWarning: pixels that the coils cannot tell apart; they are given the solution of minimum norm.

    Reference:
        Pruessmann et al., Magn Reson Med 42 (1999) 952.
    """
    kspace = _check.array("kspace", kspace, ndim=3, nonzero=True)
    mps, lam = _arguments(mps, lam, "divide them by their root sum of squares")
    if tuple(mps.shape) != tuple(kspace.shape):
        raise ValueError(f"mps has shape {tuple(mps.shape)}, expected {tuple(kspace.shape)}: a map for each coil")
    _check.same_kind("mps", mps, "kspace", kspace)
    mask = masks.estimate(kspace) if mask is None else mask
    lattice = as_lattice("mask", mask, kspace.shape[-2:])
    folding, R = _Folding(mps, lattice, covariance), lattice.ry * lattice.rx
    images = backend.fft(kspace * backend.like(lattice.mask(folding.shape), kspace), (-2, -1), inverse=True)
    images = images.reshape(len(images), -1)

    def work(pixels):
        E = folding.whitened(folding.flat[:, pixels])
        G = folding.gram(E)
        L, bad = _factor(G, R * lam)
        z = folding.whitened(images[:, pixels[0]])
        b = [(E[:, i].conj() * z).sum(0) for i in range(R)]
        v = _upper(L, _lower(L, b))
        if bool(bad.any()):
            few = [[g[bad] for g in row] for row in G]
            for row, i in zip(few, range(R)):
                row[i] = row[i] + R * lam
            best = np.einsum("nij,jn->in", _pinv(few), np.array([to_numpy(c[bad]) for c in b]))
            for i in range(R):
                v[i][bad] = backend.like(best[i], images)
        return v, int(bad.sum())

    results = folding.each(work)
    _tell(lattice, len(mps), sum(n for _, n in results), folding.pixels.shape[1], "they get the image of minimum norm")
    xp = backend.namespace(images)
    image = backend.zeros((folding.shape[0] * folding.shape[1],), images)
    for i in range(R):
        values = xp.concatenate([v[i] for v, _ in results]) * complex(R * folding.phase[i])
        image[backend.like(folding.pixels[i], images)] = values.to(images.dtype) if _check.is_torch(images) \
            else values.astype(images.dtype)
    return image.reshape(folding.shape)


def gfactor(mps: ArrayLike, mask_or_accel: Any, *, covariance: ArrayLike | None = None, lam: float = 0.0) -> Array:
    """The g-factor of SENSE with regular sampling: by how much more than sqrt(R) unfolding amplifies the noise.

        g_i = sqrt( [C^-1 B C^-1]_ii  B_ii ),    B = S^H Psi^-1 S over the R pixels that fold,  C = B + R lam I

    which for lam = 0 is sqrt([B^-1]_ii B_ii) >= 1; regularisation makes it smaller, at the price of folding that stays.

    Args:
        mps: coil maps (coil, ky, kx), complex; numpy, cupy or torch.
        mask_or_accel: a regular sampling mask as in `unfold`, an acceleration along ky, or a pair (Ry, Rx).
        covariance: noise covariance Psi (coil, coil); None: the same in all coils.
        lam: Tikhonov weight, as in `unfold`.

    Returns:
        g (ky, kx), real, of the kind and precision of `mps`; 0 outside of the maps' support, inf where the coils do not
        tell the folded pixels apart.

    Raises:
        ValueError: a mask that is no regular lattice, an R that does not divide the matrix, NaN or Inf.

    Warns:
        FoldWarning: pixels that the coils cannot tell apart.

    Reference:
        Pruessmann et al., Magn Reson Med 42 (1999) 952, eq. 23.
    """
    mps, lam = _arguments(mps, lam, "divide them by their root sum of squares")
    lattice = as_lattice("mask_or_accel", mask_or_accel, mps.shape[-2:])
    folding, R = _Folding(mps, lattice, covariance), lattice.ry * lattice.rx
    xp = backend.namespace(mps)

    def work(pixels):
        G = folding.gram(folding.whitened(folding.flat[:, pixels]))
        L, bad = _factor(G, R * lam)
        out = []
        one, none = xp.ones_like(G[0][0]), xp.zeros_like(G[0][0])
        for i in range(R):
            c = _lower(L, [one if k == i else none for k in range(R)])  # C^-1 = L^-H L^-1, column i
            variance = sum(abs(v) ** 2 for v in c)
            if lam > 0:  # C^-1 B C^-1 = C^-1 - R lam C^-2
                variance = variance - R * lam * sum(abs(v) ** 2 for v in _upper(L, c))
            g = xp.sqrt(xp.where(variance > 0, variance, 0 * variance) * G[i][i].real)
            out.append(xp.where(bad & (G[i][i].real > 0), xp.full_like(g, float("inf")), g))
        return out, int(bad.sum())

    results = folding.each(work)
    _tell(lattice, len(mps), sum(n for _, n in results), folding.pixels.shape[1], "g is infinite there")
    g = backend.zeros((folding.shape[0] * folding.shape[1],), abs(mps[:1, :1, :1]))
    for i in range(R):
        values = xp.concatenate([v[i] for v, _ in results])
        g[backend.like(folding.pixels[i], mps)] = values.to(g.dtype) if _check.is_torch(g) else values.astype(g.dtype)
    return g.reshape(folding.shape)
