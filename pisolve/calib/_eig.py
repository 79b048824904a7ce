"""The largest eigenvalues and their eigenvectors of many small Hermitian matrices at once, with proven errors."""

from __future__ import annotations

import numpy as np

STEPS, REST = 7, 0.4  # Chebyshev's degree, and the eigenvalues that it keeps small, relative to |B|_F: 3e-6 to 1
SUBSPACE_STEPS, SUBSPACE_ROUNDS = 4, 8  # of a subspace, between two tests and tests in all
ROUNDS = 5  # the last round iterates with G^256, which settles a ratio of 0.99
ROUNDING = 1e-5  # of a bound of eigenvalues, relative


def dominant(G, *, floor: float = 0.0, tol: float = 1e-5):
    """Dominant eigenpairs  G v = lam v,  |v| = 1,  of positive semi-definite matrices.

    Iteration in rounds. With B scaled to ||B||_F = 1, x goes to T_7(2 B / 0.4 - 1) x, Chebyshev's polynomial, which
    parts eigenvalues up to 0.4 from one near 1 as well as 12 steps with B alone. A matrix leaves when its vector is
    proven good: with mu = v^H B v and r = |B v - mu v|, every other eigenvalue is at most sqrt(1 - mu^2), so (Davis
    and Kahan)

        sin angle(v, v_1)  <=  r / (mu - sqrt(1 - mu^2)).

    The others go on with B^4, which parts their eigenvalues further, and whose norm bounds lam closer: those that turn
    out to be below `floor` leave, too. The few that resist are given to LAPACK.

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
    B, bound = G[left], size[left]
    start = np.diagonal(B, axis1=1, axis2=2).real.argmax(1)  # B e_c for the largest B_cc > 0: never the zero vector
    x = np.take_along_axis(B, start[:, None, None], 2)
    x /= np.sqrt(_product(x, x))
    norm, step, across = bound, 4 / REST, np.arange(c)
    piece = max(1, (1 << 16) // c**2)
    cuts = range(piece, c, piece)  # larger products make OpenBLAS start threads inside the caller's threads
    for level in range(ROUNDS):
        B *= (step / norm)[:, None, None]
        B[:, across, across] -= 2
        x, mu, error = _chebyshev(B, x)
        mu, error = (mu + 2) / step, error / step  # of B / |B|
        good = error <= tol * (mu - np.sqrt(np.maximum(1 - mu * mu, 0)))
        done, x_done = left[good], x[good]
        v[done] = x_done[:, :, 0]
        lam[done] = mu[good] * size[done] if level == 0 else _product(x_done, G[done] @ x_done)[:, 0, 0]
        left, B, x, bound = left[~good], B[~good], x[~good], bound[~good]
        if len(left) and level + 1 < ROUNDS:
            B[:, across, across] += 2
            B /= step
            for _ in range(2):
                B = B @ B if piece >= c else np.concatenate([B @ p for p in np.split(B, cuts, axis=2)], axis=2)
            norm = _frobenius(B)
            bound *= norm ** 0.25 ** (level + 1)  # |G^(4^k)|_F^(1 / 4^k)
            large = bound * (1 + ROUNDING) > floor
            left, B, x, bound, norm = left[large], B[large], x[large], bound[large], norm[large]
        if len(left) == 0:
            return lam, v
    values, vectors = np.linalg.eigh(G[left])
    lam[left], v[left] = values[:, -1], vectors[:, :, -1]
    return lam, v


def _chebyshev(M, x):
    """(v, v^H M v, |M v - (v^H M v) v|) for the unit vectors v along T(M / 2) x, T of degree STEPS.

    T_k+1(M / 2) = M T_k - T_k-1 keeps what belongs to eigenvalues of M from -2 to 2 small.
    """
    before, x = x, 0.5 * (M @ x)
    for _ in range(STEPS - 1):
        y = M @ x
        y -= before
        before, x = x, y
    x /= np.sqrt(_product(x, x))
    y = M @ x
    mu = _product(x, y)
    y -= mu * x
    return x, mu[:, 0, 0], np.sqrt(_product(y, y))[:, 0, 0]


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
