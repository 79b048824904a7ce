"""Operators between several variables: a matrix whose entries are operators."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from pisolve import backend
from pisolve._check import dtype_name, linop
from pisolve.linops.autograd import apply
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint


class Pack:
    """Several arrays as one: itself where there is one, else all of them flattened into one vector."""

    def __init__(self, shapes: Any) -> None:
        self.shapes: Any = [tuple(s) for s in shapes]
        ends = np.cumsum([0, *map(prod, self.shapes)]).tolist()
        self.slices: Any = [slice(a, b) for a, b in pairwise(ends)]
        self.shape: Any = self.shapes[0] if len(self.shapes) == 1 else (ends[-1],)

    def parts(self, x: Any) -> list[Any]:
        """The arrays (views of x)."""
        return [x] if len(self.shapes) == 1 else [x[s].reshape(n) for s, n in zip(self.slices, self.shapes)]

    def join(self, parts: Any) -> Any:
        """The arrays as one."""
        return parts[0] if len(parts) == 1 else backend.namespace(parts[0]).concatenate([p.reshape(-1) for p in parts])


    def lift(self, x: Any) -> Any:
        """The first array and zeros for the others, as one."""
        return self.join([x, *(backend.zeros(s, x) for s in self.shapes[1:])])


class Blocks(Linop):
    """[x_1, x_2, ...] -> [sum_j B_1j x_j, sum_j B_2j x_j, ...]: several variables in, several results out.

    `domain` and `range` are the `Pack`s that take the vectors apart and put them together.

    Args:
        rows: a list of rows, each a list of linops, None where the entry is zero; every row and every column has at
            least one operator.

    Raises:
        ValueError: rows of different lengths, an empty row or column, entries whose shapes do not fit.
    """

    host = False
    rows: Any
    range: Any
    domain: Any

    def __init__(self, rows: Any):
        self.rows: Any = [[None if B is None else linop("rows", B) for B in row] for row in rows]
        if not self.rows or len({len(row) for row in self.rows}) != 1:
            raise ValueError("rows must be at least one list of operators, all of one length")
        columns = list(zip(*self.rows))
        self.range: Any = Pack([self._one("row", i, [B.oshape for B in row if B is not None])
                           for i, row in enumerate(self.rows)])
        self.domain: Any = Pack([self._one("column", j, [B.ishape for B in column if B is not None])
                            for j, column in enumerate(columns)])
        super().__init__(self.range.shape, self.domain.shape)

    @staticmethod
    def _one(kind, index, shapes):
        found = {tuple(s) for s in shapes}
        if len(found) != 1:
            raise ValueError(f"{kind} {index} must hold at least one operator, all of one shape, got {sorted(found)}")
        return found.pop()

    def norm_bound(self) -> float | None:
        """The norm of the matrix of the entries' bounds."""
        bounds = [[0.0 if B is None else B.norm_bound() if isinstance(B, Linop) else None for B in row]
                  for row in self.rows]
        return None if any(None in row for row in bounds) else float(np.linalg.norm(np.array(bounds), 2))

    def _apply(self, input):
        return self._fresh(self.range, self._product(self.rows, self.domain.parts(input)), input)

    def _apply_adjoint(self, input):
        columns = [[None if B is None else B.H for B in column] for column in zip(*self.rows)]
        return self._fresh(self.domain, self._product(columns, self.range.parts(input)), input)

    @staticmethod
    def _product(rows, parts):
        return [_add([apply(B, p) for B, p in zip(row, parts) if B is not None]) for row in rows]

    @staticmethod
    def _fresh(pack, parts, input):
        if "complex" in dtype_name(input):
            parts = [backend.cast(p, input) for p in parts]
        out = pack.join(parts)
        return backend.copy(out) if out is input else out  # a plain SigPy identity returns its input

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        if len(self.domain.shapes) > 1:
            return self.H * self
        return SelfAdjoint(self.ishape, self._sum_of_normals, "Blocks.N")

    def _sum_of_normals(self, x):
        return _add([apply(row[0].N, x) for row in self.rows])


def _add(terms):
    """Their sum; nothing is added in place, since a plain SigPy operator may return its input."""
    return sum(terms[1:], terms[0])


def stack(linops: Any) -> Blocks:
    """Several operators with one input, x -> [A_1 x, A_2 x, ...]; A^H A is the sum of their own normal operators."""
    return Blocks([[A] for A in linops])
