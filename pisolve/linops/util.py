"""The dense matrix and the norm of an operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve._check import integer, linop
from pisolve.linops.autograd import apply
from pisolve.linops.base import Linop

# Lanczos stops where the residual of its top pair is below SETTLED / sqrt(n) of its value. The value can then be 2 %
# below the largest eigenvalue only if the share of the random start's energy that lies there is below
# (50 SETTLED)^2 / n: so it is for 1 start in 10^4.
SETTLED = 2e-4


def dense(A: Any, dtype: Any = np.complex128) -> np.ndarray:
    """The matrix of A, one column for each input entry: for tests and tiny problems.

    Args:
        A: any linop on numpy arrays.
        dtype: dtype of the unit vectors.

    Raises:
        ValueError: the matrix would have over 2**26 entries.
    """
    linop("A", A)
    n, m = int(np.prod(A.ishape)), int(np.prod(A.oshape))
    if n * m > 1 << 26:
        raise ValueError(f"A is {m} x {n}: too large for a dense matrix, take a smaller shape")
    columns = np.empty((m, n), dtype)
    for j in range(n):
        unit = np.zeros(n, dtype)
        unit[j] = 1
        columns[:, j] = A(unit.reshape(A.ishape)).reshape(-1)
    return columns


def opnorm(A: Any, *, iterations: int = 30, seed: int = 0, like: Any = None) -> float:
    """The operator norm ||A||, as an upper bound.

    Operators that know a bound in closed form (`sense`, `gradient`, `wavelet`, `fft`) give that one, which is
    guaranteed. For others: Lanczos on A^H A from a seeded random vector with full reorthogonalisation, made 1 %
    larger. After 30 steps the estimate was within 0.4 % for spectra of many shapes with up to 10^6 numbers. For the
    probability of a larger error, whatever the spectrum, see Kuczynski and Wozniakowski, SIAM J Matrix Anal Appl 13
    (1992) 1094.

    Args:
        A: a linop.
        iterations: Lanczos steps at most; fewer where the estimate has settled, and never more than the input has
            numbers.
        seed: of the starting vector.
        like: an array whose kind (numpy, cupy) and dtype the starting vector takes; numpy complex128 by default.
    """
    bound = A.norm_bound() if isinstance(linop("A", A), Linop) else None
    if bound is not None:
        return bound
    from pisolve import backend

    iterations = integer("iterations", iterations, low=1)
    shape = tuple(A.ishape)
    rng = np.random.default_rng(integer("seed", seed, low=0))
    v = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    if like is not None:
        v = backend.cast(backend.like(v, like), like)
    return 1.01 * top(lambda b: apply(A.N, b), v / float(backend.norm(v)), iterations) ** 0.5


def top(P, v, iterations: int, N=None) -> float:
    """The largest eigenvalue of P = P^H as Lanczos sees it from the unit vector `v`: not above the true one.

    With N, of P N for N = K^H K: P N is Hermitian in the inner product <u, N v>, in which all is done.

    That holds while the basis is orthonormal. Hence each vector is orthogonalised twice: to the last two, which is
    Lanczos, then to all. In one pass the error grows by alpha / beta a step. After two, a vector of mere rounding,
    which no threshold can tell for sure, does no harm.
    """
    from pisolve import backend

    n = int(np.prod(v.shape))
    dual = (lambda b: b) if N is None else N
    basis, duals, alpha, beta = [v], [dual(v)], [], []
    for _ in range(min(iterations, n)):
        w = P(duals[-1])
        eps = float(backend.namespace(w).finfo(w.dtype).eps)  # of what P returns: it may be coarser than its input
        alpha.append(float(backend.dot(duals[-1], w)))
        w = w - alpha[-1] * basis[-1]  # a new array: P may return its input
        if beta:
            w -= beta[-1] * basis[-2]
        for b, d in zip(basis, duals):
            w -= backend.vdot(d, w) * b
        values, vectors = np.linalg.eigh(np.diag(alpha) + np.diag(beta, 1) + np.diag(beta, -1))
        largest, d = max(float(values[-1]), 0.0), dual(w)
        size = float(backend.norm(w)) if N is None else max(float(backend.dot(w, d)), 0.0) ** 0.5
        complete = size <= 10 * eps * largest
        if complete or size * abs(vectors[-1, -1]) <= SETTLED / n**0.5 * largest:
            break
        beta.append(size)
        basis.append(w / size)
        duals.append(d / size if N is not None else basis[-1])
    return largest
