"""Operators that others wrote: SciPy's and PyLops' linear operators, dense and sparse matrices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from pisolve import backend
from pisolve._check import brief, dtype_name, is_array, is_torch
from pisolve._check import shape as check_shape
from pisolve._types import ArrayLike
from pisolve.linops.base import Adjoint, Linop


class Foreign(Linop):
    """x -> M x, reshaped: the class behind `from_matrix`."""

    M: Any
    host: bool

    def __init__(self, M: Any, ishape: Sequence[int], oshape: Sequence[int]):
        self.M, self.host = M, not is_array(M)
        self._matrix = None if self.host else backend.Constant(M)
        super().__init__(oshape, ishape, repr_str=f"from_matrix({type(M).__name__})")

    def _times(self, x, shape, adjoint):
        M = self.M
        if is_array(M):
            M, v = self._matrix.like(x), x.reshape(-1)
            if is_torch(x):  # which multiplies no matrix and vector of different kinds
                M, v = (backend.cast(a, backend.together(M, v)) for a in (M, v))
            out = (M.conj().T if adjoint else M) @ v
        elif hasattr(M, "matvec"):
            try:
                out = (M.rmatvec if adjoint else M.matvec)(x.reshape(-1))
            except NotImplementedError as error:
                raise TypeError(f"A has no {'adjoint: give its rmatvec' if adjoint else 'matvec'}, as "
                                "scipy.sparse.linalg.LinearOperator(shape, matvec=..., rmatvec=...)") from error
        else:
            out = (M.conj().T if adjoint else M) @ x.reshape(-1)
        out = out.reshape(tuple(shape))
        return backend.cast(out, x) if "complex" in dtype_name(x) else out

    def _apply(self, input):
        return self._times(input, self.oshape, False)

    def _apply_adjoint(self, input):
        return self._times(input, self.ishape, True)

    def _adjoint_linop(self):
        return Adjoint(self)


def from_matrix(M: ArrayLike, ishape: Sequence[int] | None = None, oshape: Sequence[int] | None = None) -> Foreign:
    """A matrix, or an operator of SciPy's or PyLops' kind, as a linop: A x = M vec(x), A^H y = M^H vec(y).

    Args:
        M: (m, n): a numpy or cupy array, a torch tensor (whose numbers are taken), a SciPy sparse matrix, a
            `scipy.sparse.linalg.LinearOperator` with `rmatvec`, or a PyLops operator, which says its own shapes.
        ishape: of x, n numbers; None: as PyLops' `dims`, else (n,).
        oshape: of A x, m numbers; None: as PyLops' `dimsd`, else (m,).

    Raises:
        TypeError: no matrix.
        ValueError: shapes of other sizes.

    Example:
        pi.solve(pi.linops.from_matrix(M, (64, 64)), y, 0.1 * pi.TV())
    """
    size = getattr(M, "shape", None)
    if isinstance(M, np.matrix):
        M = np.asarray(M)
    fit = is_array(M) or hasattr(M, "matvec") or hasattr(M, "tocsr")
    if not fit or size is None or len(size) != 2:
        raise TypeError(f"M must be a matrix of two axes, or an operator with matvec and rmatvec, got {brief(M)}")
    shapes = []
    for name, given, own, n in (("ishape", ishape, "dims", size[1]), ("oshape", oshape, "dimsd", size[0])):
        found = (n,) if given is None else check_shape(name, given)
        if given is None and prod(getattr(M, own, ())) == n and hasattr(M, own):
            found = tuple(int(k) for k in getattr(M, own))
        if prod(found) != n:
            raise ValueError(f"{name} {found} has {prod(found)} numbers, M of shape {tuple(size)} takes {n}")
        shapes.append(found)
    return Foreign(M.detach().cpu().numpy() if is_torch(M) else M, *shapes)


def as_linop(A: Any, y: ArrayLike | None = None) -> Any:
    """A linop, or what `from_matrix` makes one of; anything else as it is.

    Args:
        A: any operator.
        y: data, whose shape A's output takes where the numbers agree.
    """
    if hasattr(A, "ishape") or not ((is_array(A) and A.ndim == 2) or hasattr(A, "matvec") or hasattr(A, "tocsr")):
        return A
    made = from_matrix(A)
    shape = tuple(getattr(y, "shape", made.oshape))
    return made if prod(shape) != prod(made.oshape) or 0 in shape else Foreign(made.M, made.ishape, shape)
