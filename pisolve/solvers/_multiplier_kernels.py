"""The passes of `_multiplier`, compiled, over pieces of real numbers; imported where they are run."""

from __future__ import annotations

import numpy as np

from pisolve.backend import jit


@jit
def relaxed(u, Gx, z, out, a, b):
    """out = u + (a G x + b z)."""
    for i in range(u.size):
        out[i] = u[i] + (a * Gx[i] + b * z[i])


@jit
def updated(u, Gx, z, z_new):
    """u -= z_new; the squared lengths of G x - z_new, z_new - z, G x, u and z_new, in double precision."""
    sums = np.zeros(5)
    for start in range(0, u.size, 64):  # short sums in the arrays' precision, which the compiler makes vectors of
        primal = dual = image = multiplier = new = u.dtype.type(0)
        for i in range(start, min(start + 64, u.size)):
            n = z_new[i]
            u[i] -= n
            p, d = Gx[i] - n, n - z[i]
            primal += p * p
            dual += d * d
            image += Gx[i] * Gx[i]
            multiplier += u[i] * u[i]
            new += n * n
        sums += np.array([primal, dual, image, multiplier, new])
    return sums
