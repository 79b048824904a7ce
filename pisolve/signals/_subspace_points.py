"""A^H A of a subspace for points anywhere in k-space: K x K convolutions stand in the place of all frames'."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from pisolve import backend
from pisolve.linops._toeplitz import cropped, padded


class PointsNormal:
    """x -> sum_c conj(S_c) crop F^H M F pad (S_c x), with M_ab = sum_t conj(phi_ta) P_t phi_tb.

    P_t is the kernel of frame t on twice the grid, see `linops`' Toeplitz normal operator; M is made once, so that an
    iteration has as many FFTs as there are coefficients, however many frames there are.

    Args:
        A: `linops.sense` with `coord`, of the frames, whose maps they share.
        vectors: phi, (frame, coefficient).
        at: which of the axes before the coils is that of the frames.
    """

    def __init__(self, A, vectors, at: int):
        self.ndim, self.at = A.ndim, at
        self.lead = tuple(n for i, n in enumerate(A.lead) if i != at)
        self.mps = A.mps[(slice(None),) * at + (0,)]
        self.matrix = {}
        pairs = np.einsum("ta,tb->tab", vectors.conj(), vectors)
        made = {}
        for i, points, root in A._parts():
            own = i if A.own else ()
            if own not in made:
                made = {own: points.kernel(None if root is None else root**2)}  # the last one alone is kept
            rest = i[:at] + i[at + 1:]
            product = pairs[i[at]].reshape(*pairs.shape[1:], *(1,) * self.ndim) * made[own]
            self.matrix[rest] = product if rest not in self.matrix else self.matrix[rest] + product

    @staticmethod
    def fits(A, at: int, count: int) -> bool:
        """Whether A has points, on no stack, maps that all frames share, and more frames than coefficients."""
        if getattr(A, "stacked", True) or A.tensor is not None or at >= len(A.lead) or A.lead[at] <= count:
            return False
        mps = A.mps
        return mps.strides[at] == 0 or bool((mps == mps[(slice(None),) * at + (slice(1),)]).all())

    @cached_property
    def _single(self):
        return {i: m.astype("complex64" if m.dtype.kind == "c" else "float32") for i, m in self.matrix.items()}

    def __call__(self, x):
        """A^H A x for coefficients whose axis stands where that of the frames did."""
        x = np.moveaxis(x, self.at, len(self.lead))
        out = np.empty(x.shape, np.result_type(x.dtype, self.mps.dtype))
        matrices = self.matrix if out.dtype.char == "D" else self._single
        for i in np.ndindex(self.lead):
            matrix, part = matrices[i], np.ascontiguousarray(x[i])
            done = backend.parallel(lambda s, m=matrix, p=part: self._of_coil(s, m, p), self.mps[i])
            out[i] = sum(done[1:], done[0])
        return np.moveaxis(out, len(self.lead), self.at).copy()

    def _of_coil(self, s, matrix, x):
        t = padded(s * x, matrix.shape[2:])
        mixed, part = np.empty_like(t), np.empty_like(t[0])
        for row, out in zip(matrix, mixed):
            np.multiply(row[0], t[0], out=out)
            for m, one in zip(row[1:], t[1:]):
                out += np.multiply(m, one, out=part)
        return s.conj() * cropped(mixed, x.shape[1:])
