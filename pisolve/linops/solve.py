"""Conjugate gradients for H x = b with a Hermitian H given as a function: the inner solver of priors and solvers."""

from __future__ import annotations

from pisolve import backend
from pisolve._check import is_torch

_TINY = 1e-37


def cg_step(H, x, r, p, rr):
    """One step of conjugate gradients for H x = b with r = b - H x: returns (x, r, p, ||r||^2, the step's length)."""
    Hp = H(p)
    alpha = rr / (backend.dot(p, Hp) + _TINY)
    x, r = x + alpha * p, r + -alpha * Hp  # numpy adds in place of the product
    del Hp  # an image less at the peak
    new = backend.dot(r, r)
    return x, r, r + (new / (rr + _TINY)) * p, new, alpha


def drawn_to_data(A, AHy, x, eps: float, *, iterations: int, tol: float):
    """argmin_u 1/2 ||A u - y||^2 + eps/2 ||u - x||^2 by conjugate gradients from x: data brought into an image."""
    eps = backend.number(eps, x)
    return cg_solve(lambda p: A.N(p) + eps * p, AHy + eps * x, x, iterations=iterations, tol=tol)


def cg_solve(H, b, x, *, iterations: int, tol: float):
    """H x = b from the start x: at most `iterations` steps, until ||r|| <= tol * ||r at the start||.

    b and x stay as they are; numpy and cupy arrays that are made here are updated in place.
    """
    r = b - H(x)
    p, rr = r, backend.dot(r, r)
    target = tol**2 * backend.real(rr)
    if is_torch(b):
        for _ in range(iterations):
            if backend.real(rr) <= target:  # not for NaN, which must come out
                break
            x, r, p, rr, _ = cg_step(H, x, r, p, rr)
        return x
    x, p = backend.copy(x), backend.copy(r)
    for _ in range(iterations):
        if backend.real(rr) <= target:  # not for NaN, which must come out
            break
        Hp = H(p)
        alpha = rr / (backend.dot(p, Hp) + _TINY)
        x += alpha * p
        Hp *= alpha
        r -= Hp
        new = backend.dot(r, r)
        p *= new / (rr + _TINY)
        p += r
        rr = new
    return x
