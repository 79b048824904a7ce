"""What ADMM does to its arrays of the size of G x, in as few passes over memory as it takes."""

from __future__ import annotations

import numpy as np

from pisolve import backend


def relaxed(u, Gx, z, a: float):
    """u + a G x + (1 - a) z: what the prox is taken of."""
    if not _large(u, Gx, z):
        return u + (Gx if a == 1 else a * Gx + (1 - a) * z)
    from pisolve.solvers import _multiplier_kernels as kernels

    out = np.empty_like(u)
    flat = [_flat(v) for v in (u, Gx, z, out)]
    kind = flat[0].dtype.type
    backend.pieces(lambda *ends: kernels.relaxed(*(v[slice(*ends)] for v in flat), kind(a), kind(1 - a)), flat[0].size)
    return out


def updated(v, Gx, z, z_new):
    """(u, primal, dual): u = v - z_new for v of `relaxed`, whose memory it may take, and the relative residuals.

    primal = ||G x - z_new|| / max(||G x||, ||z_new||), dual = ||z_new - z|| / max(||u||, ||z_new||).
    """
    if not _large(v, Gx, z, z_new):
        u = v - z_new
        primal, dual = backend.norm(Gx - z_new), backend.norm(z_new - z)
        sizes = [backend.norm(part) for part in (Gx, u, z_new)]
    else:
        from pisolve.solvers import _multiplier_kernels as kernels

        u, flat = v, [_flat(w) for w in (v, Gx, z, z_new)]
        sums = backend.pieces(lambda *ends: kernels.updated(*(w[slice(*ends)] for w in flat)), flat[0].size)
        primal, dual, *sizes = np.sqrt(np.sum(sums, 0))
    return u, primal / (max(sizes[0], sizes[2]) + 1e-30), dual / (max(sizes[1], sizes[2]) + 1e-30)


def _large(*arrays) -> bool:
    """Whether a pass over memory costs more than loading a kernel: contiguous numpy arrays of a volume's size."""
    return all(backend.compiles(v) and v.size >= 1 << 20 and v.flags.c_contiguous for v in arrays)


def _flat(v):
    return v.view(v.real.dtype).reshape(-1)
