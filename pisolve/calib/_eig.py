"""The largest eigenvalue and its eigenvector of many small Hermitian matrices at once, each with a proven error."""

from __future__ import annotations

import numpy as np

STEPS = 12  # power iterations between two tests: enough for an eigenvalue ratio of 0.35 in single precision
ROUNDS = 5  # the last round iterates with G^256, which settles a ratio of 0.99


def dominant(G, *, floor: float = 0.0, tol: float = 1e-5):
    """Dominant eigenpairs  G v = lam v,  |v| = 1,  of positive semi-definite matrices.

    Power iteration in rounds. A matrix leaves when its vector is proven good: with B scaled to ||B||_F = 1,
    mu = v^H B v and r = |B v - mu v|, every other eigenvalue is at most sqrt(1 - mu^2), so (Davis and Kahan)

        sin angle(v, v_1)  <=  r / (mu - sqrt(1 - mu^2)).

    The others go on with B^4, which parts their eigenvalues further; the few that resist are given to LAPACK.

    Args:
        G: (n, c, c) complex, C-contiguous, Hermitian, positive semi-definite; not changed.
        floor: matrices whose eigenvalues are all at most this may be left out (lam = 0 and v = 0 there); it must not
            be negative.
        tol: the bound on sin angle(v, v_1), up to the rounding of G's own precision.

    Returns:
        (lam, v): real (n,) and complex (n, c); the phase of v is arbitrary.

    Reference:
        C. Davis, W. M. Kahan, The rotation of eigenvectors by a perturbation III, SIAM J. Numer. Anal. 7 (1970).
    """
    n, c, _ = G.shape
    lam, v = np.zeros(n, G.real.dtype), np.zeros((n, c), G.dtype)
    size = _frobenius(G)  # an upper bound of lam
    left = np.flatnonzero(size > floor)
    B = G[left]
    B /= size[left, None, None]
    start = np.diagonal(B, axis1=1, axis2=2).real.argmax(1)  # B e_c for the largest B_cc > 0: never the zero vector
    x = np.take_along_axis(B, start[:, None, None], 2)
    piece = max(1, (1 << 16) // c**2)
    cuts = range(piece, c, piece)  # larger products make OpenBLAS start threads inside the caller's threads
    for level in range(ROUNDS):
        for _ in range(STEPS):
            x = B @ x
        x /= np.sqrt(_product(x, x))
        y = B @ x
        mu = _product(x, y)
        r = y - mu * x
        good = (np.sqrt(_product(r, r)) <= tol * (mu - np.sqrt(np.maximum(1 - mu * mu, 0))))[:, 0, 0]
        done, x_done = left[good], x[good]
        v[done] = x_done[:, :, 0]
        lam[done] = mu[good, 0, 0] * size[done] if level == 0 else _product(x_done, G[done] @ x_done)[:, 0, 0]
        left, B, x = left[~good], B[~good], x[~good]
        if len(left) == 0:
            return lam, v
        if level + 1 < ROUNDS:
            for _ in range(2):
                B = B @ B if piece >= c else np.concatenate([B @ p for p in np.split(B, cuts, axis=2)], axis=2)
                B /= _frobenius(B)[:, None, None]
    values, vectors = np.linalg.eigh(G[left])
    lam[left], v[left] = values[:, -1], vectors[:, :, -1]
    return lam, v


def _product(a, b):
    """Re a^H b of columns, (n, c, 1) each: (n, 1, 1)."""
    return np.matmul(a.conj().swapaxes(1, 2), b).real


def _frobenius(B):
    flat = B.reshape(len(B), -1).view(B.real.dtype)
    return np.sqrt(np.einsum("ni,ni->n", flat, flat))
