"""A few dot products with operators that are not ours, before their adjoint and normal operator are believed."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve import backend
from pisolve._check import brief, dtype_name, outside
from pisolve.backend import real
from pisolve.linops import apply
from pisolve.solvers.base import walk

_MOST = 1e-3, 1e-2  # of the adjoint, and of a normal operator, which may be an honest approximation (Toeplitz)


def probe(problem, prior=None) -> None:
    """Warn of each foreign operator in A and the prior whose `.H` is no adjoint, or whose `.N` is not A^H A.

    Costs two applications of A, two of A^H and one of A.N, of foreign operators only. `prior`: to look into instead of
    the problem's own.
    """
    for name, A in [("A", problem.linop), *(("G", G) for G in behind(problem.prior if prior is None else prior))]:
        if foreign(A):
            for text in faults(name, A, problem.AHy):
                where = "" if name == "A" else ", in the prior,"
                warnings.warn(f"the operator {name} = {brief(A)}{where} has {text}. The image may be wrong; "
                              "check=False leaves this test out", stacklevel=outside())


def behind(prior) -> list:
    """The operators in a prior."""
    return [p.G for p in walk(prior) if getattr(p, "G", None) is not None]


def foreign(A) -> bool:
    """Whether an operator, or a part of it, was made elsewhere; a plain product or sum of ours is ours."""
    parts = [B for row in getattr(A, "rows", ()) for B in row if B is not None]
    parts += [*getattr(A, "linops", ()), *filter(None, [getattr(A, "parent", None)])]
    if parts and type(A).__module__.partition(".")[0] in ("pisolve", "sigpy"):
        return any(map(foreign, parts))
    return type(A).__module__.partition(".")[0] != "pisolve"


def faults(name: str, A, like, *, seed: int = 0) -> list[str]:
    """What is wrong with an operator, each with the measured error.

    Re <A x, u> = Re <x, A^H u> for a random x and u = A x, and for a random u, relative to what these products are by
    size; ||A.N x - A^H A x|| / ||A^H A x||.
    """
    rng = np.random.default_rng(seed)

    def some(shape):
        v = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        return backend.like(v.astype(dtype_name(like)), like)

    x = some(tuple(A.ishape))
    Ax, u = apply(A, x), some(tuple(A.oshape))
    back, own = apply(A.H, u), apply(A.H, Ax)
    size = real(backend.norm(Ax))
    if not size > 0:
        return []
    typical = size * real(backend.norm(u)) / float(np.prod(A.oshape)) ** 0.5
    wrong = max(abs(real(backend.dot(Ax, u)) - real(backend.dot(x, back))) / typical,
                abs(size**2 - real(backend.dot(x, own))) / size**2)
    found = []
    if not wrong <= _MOST[0]:
        found.append(f"a wrong adjoint {name}.H: <{name} x, u> and <x, {name}.H u> differ by "
                     f"{100 * wrong:.3g} %: correct it")
    off = real(backend.norm(apply(A.N, x) - own)) / (real(backend.norm(own)) + 1e-30)
    if not off <= _MOST[1]:
        found.append(f"an `N` that is not {name}.H after {name}: it is off by {100 * off:.3g} %: take "
                     f"pi.linops.identity({name}.oshape) * {name} instead, which multiplies them")
    return found
