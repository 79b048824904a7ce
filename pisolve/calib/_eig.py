"""The largest eigenvalues and their eigenvectors of many small Hermitian matrices at once, with proven errors."""

from __future__ import annotations

import numpy as np

STEPS = 12  # power iterations between two tests: enough for an eigenvalue ratio of 0.35 in single precision
SUBSPACE_STEPS, SUBSPACE_ROUNDS = 4, 8  # of a subspace, between two tests and tests in all
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


def leading(G, k: int, *, floor: float = 0.0, tol: float = 1e-5):
    """The k largest eigenpairs of positive semi-definite matrices, the largest first.

    At most min(||G||_F^2 / floor^2, tr G / floor) eigenvalues exceed `floor`. Matrices with one go to `dominant`;
    of the others the subspace of those that may exceed is iterated, until it is proven good.

    Args:
        G: (n, c, c) complex as for `dominant`.
        k: number of eigenpairs, <= c.
        floor: eigenpairs that are at most this may be left out (lam = 0 and v = 0 there).
        tol: the bound on the sine of the angle to the true subspace, up to the rounding of G's own precision. Within
            it, vectors are as good as the distance of their eigenvalues lets them be.

    Returns:
        (lam, v): real (n, k) and complex (n, k, c); the phases of v are arbitrary.
    """
    n, c, _ = G.shape
    lam, v = np.zeros((n, k), G.real.dtype), np.zeros((n, k, c), G.dtype)
    several = np.full(n, k)
    if floor > 0:
        most = np.minimum(_frobenius(G) / floor, np.sqrt(np.maximum(np.einsum("ncc->n", G).real, 0) / floor)) ** 2
        several = np.minimum(k, most * (1 + 1e-4)).astype(int)
    for j in range(1, k + 1):
        which = np.flatnonzero(several == j)
        if not len(which):
            continue
        if j == 1:
            lam[which, 0], v[which, 0] = dominant(G[which], floor=floor, tol=tol)
        else:
            lam[which, :j], v[which, :j] = _subspace(G[which], j, tol)
    return lam, v


def _subspace(G, k, tol):
    """The k largest eigenpairs by subspace iteration: (n, k) and (n, k, c).

    With B scaled to ||B||_F = 1, Q an orthonormal basis, mu the eigenvalues of Q^H B Q and R = B Q - Q (Q^H B Q), every
    other eigenvalue is at most sqrt(1 - sum mu^2), so (Davis and Kahan) the sine of the largest angle is at most
    ||R||_F / (min mu - sqrt(1 - sum mu^2)).
    """
    n, c, _ = G.shape
    lam, v = np.zeros((n, k), G.real.dtype), np.zeros((n, k, c), G.dtype)
    size = _frobenius(G)
    left = np.flatnonzero(size > 0)
    B = G[left] / size[left, None, None]
    start = np.argsort(np.diagonal(B, axis1=1, axis2=2).real, axis=1)[:, :-k - 1:-1]
    X = np.take_along_axis(B, start[:, None, :], 2)
    for _ in range(SUBSPACE_ROUNDS):
        for _ in range(SUBSPACE_STEPS):
            X = B @ X
        X = np.linalg.qr(X)[0]
        Y = B @ X
        M = X.conj().swapaxes(1, 2) @ Y
        R = Y - X @ M
        mu, U = np.linalg.eigh(M)
        other = np.sqrt(np.maximum(1 - (mu * mu).sum(1), 0))
        good = _frobenius(R) <= tol * (mu[:, 0] - other)
        done = left[good]
        lam[done] = mu[good, ::-1] * size[done, None]
        v[done] = (X[good] @ U[good][:, :, ::-1]).swapaxes(1, 2)
        left, B, X = left[~good], B[~good], X[~good]
        if len(left) == 0:
            return lam, v
    values, vectors = np.linalg.eigh(G[left])
    lam[left], v[left] = values[:, :-k - 1:-1], vectors[:, :, :-k - 1:-1].swapaxes(1, 2)
    return lam, v


def _product(a, b):
    """Re a^H b of columns, (n, c, 1) each: (n, 1, 1)."""
    return np.matmul(a.conj().swapaxes(1, 2), b).real


def _frobenius(B):
    flat = B.reshape(len(B), -1).view(B.real.dtype)
    return np.sqrt(np.einsum("ni,ni->n", flat, flat))
