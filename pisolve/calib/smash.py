"""SMASH: missing lines of k-space from measured ones, by coil combinations that make spatial harmonics."""

from __future__ import annotations

import numpy as np

from pisolve import _check, backend, masks
from pisolve._types import Array, ArrayLike
from pisolve.calib._lattice import as_lattice


def smash(kspace: ArrayLike, mps: ArrayLike, mask: ArrayLike | None = None, *, lam: float = 1e-3) -> Array:
    """Filled k-space of one composite coil from every R-th line: what parallel imaging began with.

        sum_c n_c^(m) S_c(y) = e^(2 pi i m y / N)  in least squares,   k(ky - m) = sum_c n_c^(m) k_c(ky)

    Modulating the image by a harmonic moves its k-space by m lines, so R harmonics, m = -(R - 1) // 2 .. R // 2, fill
    R lines from a measured one. The weights are fitted at each x by itself. It is as good as the harmonics are: coils
    in a row along the lines make them, a ring around a head only roughly, and noise and error come out together. It is
    here to be looked at; `unfold` and `linops.sense` use the same maps without that assumption.

    Args:
        kspace: (coil, ky, kx) complex; numpy, cupy or torch (computed on the CPU).
        mps: coil maps (coil, ky, kx). The composite coil is 1 where they are not 0.
        mask: every R-th line along ky, bool or 0/1; None: where `kspace` is not 0. Other samples are not used.
        lam: ridge of the fit, in units of the coils' mean square.

    Returns:
        k-space (ky, kx) of the image, of the kind and precision of `kspace`.

    Raises:
        ValueError: a mask that is no regular lattice of lines along ky, shapes that do not fit, NaN or Inf.

    Reference:
        Sodickson and Manning, "Simultaneous acquisition of spatial harmonics (SMASH)", Magn Reson Med 38 (1997) 591.

    Example:
        image = pi.backend.fft(pi.calib.smash(y, mps), (-2, -1), inverse=True)
    """
    kspace = _check.array("kspace", kspace, ndim=3, nonzero=True)
    mps = _check.array("mps", mps, ndim=3, nonzero=True, shape=tuple(kspace.shape))
    _check.same_kind("mps", mps, "kspace", kspace)
    lam = _check.number("lam", lam, low=0)
    mask = masks.estimate(kspace) if mask is None else mask
    lattice = as_lattice("mask", mask, kspace.shape[-2:])
    if lattice.rx > 1:
        raise ValueError("mask leaves out samples along kx: SMASH is for every R-th line along ky; take unfold")
    k, S = backend.to_numpy(kspace), backend.to_numpy(mps).astype(complex)
    rows, place = np.flatnonzero(lattice.mask(k.shape[-2:]).any(1)), np.arange(k.shape[-2]) - k.shape[-2] // 2
    inside = S.any(0)
    lines = backend.fft(k[:, rows], (-1,), inverse=True)  # (coil, line, x)
    gram = np.einsum("cyx,dyx->xcd", S.conj(), S)
    ridge = max(lam * float(np.trace(gram, axis1=1, axis2=2).real.mean()) / len(S), np.finfo(float).tiny)
    gram = gram + ridge * np.eye(len(S))
    out = np.zeros(k.shape[-2:], complex)
    for m in range(-((lattice.ry - 1) // 2), lattice.ry // 2 + 1):
        harmonic = np.exp(2j * np.pi * m * place / len(place))[:, None] * inside
        weights = np.linalg.solve(gram, np.einsum("cyx,yx->xc", S.conj(), harmonic)[..., None])[..., 0]
        out[(rows - m) % len(place)] = np.einsum("xc,cnx->nx", weights, lines)
    return backend.like(backend.fft(out, (-1,)).astype(k.dtype), kspace)
