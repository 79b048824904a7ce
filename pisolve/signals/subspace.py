"""A linear subspace of signals: few coefficient images instead of many frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pisolve import _axes, _check, backend
from pisolve._types import Axes
from pisolve.linops import Linop, SelfAdjoint
from pisolve.linops.base import Adjoint
from pisolve.signals._subspace_normal import SubspaceNormal
from pisolve.signals._subspace_points import PointsNormal

COEFFICIENT = "coefficient"  # the name of the axis that stands where that of the frames did


class Subspace(Linop):
    """The class behind `subspace`.

    Attributes:
        vectors: phi, (frame, coefficient).
        at: where the axis of the frames, or of the coefficients, is, counted from the front.
    """

    host = False

    def __init__(self, vectors, shape, at, axes):
        self.vectors, self.at, self._constant = vectors, at, backend.Constant(vectors)
        ishape = (*shape[:at], vectors.shape[1], *shape[at + 1:])
        super().__init__(shape, ishape, repr_str=f"Subspace({vectors.shape[1]} of {vectors.shape[0]})")
        if axes is not None:
            self.oaxes = axes
            self.iaxes = (*axes[:at], COEFFICIENT, *axes[at + 1:])
        gram = vectors.conj().T @ vectors
        orthonormal = np.allclose(gram, np.eye(len(gram)), atol=1e-12)
        self.unitary = orthonormal and len(gram) == len(vectors)
        self._gram = backend.Constant(gram)
        self._bound = float(np.linalg.norm(vectors, 2)) * (1 + 1e-12)

    def norm_bound(self):
        return self._bound

    def _product(self, constant, x, adjoint=False):
        """The matrix times x along the axis of the frames."""
        xp = backend.namespace(x)
        name = _check.dtype_name(x)
        real = self.vectors.dtype.kind == "f"
        matrix = constant.like(x, _check.real_name(x) if real else name)
        matrix = matrix.conj().T if adjoint else matrix
        flat = x.reshape(int(np.prod(x.shape[:self.at])), x.shape[self.at], -1)
        product = xp.matmul(backend.cast(matrix, name), flat)
        return product.reshape(*x.shape[:self.at], len(matrix), *x.shape[self.at + 1:])

    def _apply(self, input):
        return self._product(self._constant, input)

    def _apply_adjoint(self, input):
        return self._product(self._constant, input, adjoint=True)

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, self._normal, "Subspace.N")

    def _normal(self, x):
        return self._product(self._gram, x)


def checked_basis(basis):
    """phi (frame, coefficient) of a basis or an array, float64 or complex128, checked."""
    vectors = getattr(basis, "vectors", basis)
    vectors = _check.array("basis", vectors, ndim=2, complex_=False, nonzero=True)
    vectors = backend.to_numpy(vectors)
    frames, count = vectors.shape
    if count > frames:
        raise ValueError(f"basis has shape {vectors.shape}: it is (frame, coefficient), with no more coefficients than "
                         "frames; transpose it: basis.T")
    return vectors.astype("complex128" if vectors.dtype.kind == "c" else "float64")


def subspace(basis: Any, shape: Sequence[int], *, axis: int | str = "echo", axes: Axes | None = None) -> Subspace:
    """Coefficient images to frames: x_t(r) = sum_k phi_tk a_k(r).

    Signals of all tissues that a scan may meet lie near a space of few dimensions. The unknown is then `coefficient`
    images instead of frames; priors act on these: `pi.LLR()` takes the coefficients as its rows.

    Args:
        basis: `signals.basis(...)`, or an array phi (frame, coefficient), real or complex.
        shape: of the frames, such as (echo, y, x).
        axis: which axis of `shape` the frames are on: its name among `axes`, or a number.
        axes: the names of the axes of `shape`, such as ("slice", "echo", "y", "x"). None: `axis`, and "y", "x" or "z",
            "y", "x" for the two or three others.

    Returns:
        A `sigpy.linop.Linop` from (coefficient, y, x) to `shape`. Its `iaxes` has "coefficient" instead of `axis`.

    Raises:
        TypeError, ValueError: a basis that is not finite, has more coefficients than frames, or does not fit `shape`.

    Reference:
        Tamir et al., Magn Reson Med 77 (2017) 180 (T2 shuffling).
    """
    vectors, shape = checked_basis(basis), _check.shape("shape", shape)
    if axes is None and isinstance(axis, str) and len(shape) in (3, 4):
        axes = (axis, *("z", "y", "x")[1 - len(shape):])
    names = (None,) * len(shape) if axes is None else _axes.words("axes", axes)
    if len(names) != len(shape):
        raise ValueError(f"axes names {len(names)} axes, {', '.join(names)}, and shape {shape} has {len(shape)}")
    at = _axes.place("axis", axis, names) + len(shape)
    if shape[at] != len(vectors):
        raise ValueError(f"basis has {len(vectors)} frames, shape {shape} has {shape[at]} on axis {axis!r}: one row of "
                         "the basis for each frame")
    return Subspace(vectors, shape, at, None if axes is None else names)


class Encoding(Linop):
    """The class behind `encoding`.

    Attributes:
        A: the encoding of the frames.
        subspace: the linop from coefficients to frames.
        mps, ndim, coord: those of `A`, None where it has none.
        fast: whether A^H A is made for coefficients, and not for frames.
    """

    def __init__(self, A, S):
        self.A, self.subspace = A, S
        self.coil_axis, self.oaxes, self.iaxes = A.coil_axis, A.oaxes, S.iaxes
        self.mps, self.ndim, self.coord = (getattr(A, n, None) for n in ("mps", "ndim", "coord"))
        self.row_energy, self.host = getattr(A, "row_energy", None), getattr(A, "host", True)
        super().__init__(A.oshape, S.ishape, repr_str=f"Encoding({S.repr_str})")
        self._kind = (SubspaceNormal if SubspaceNormal.fits(A, S.at) else
                      PointsNormal if PointsNormal.fits(A, S.at, S.vectors.shape[1]) else None)
        self.fast = self._kind is not None

    def norm_bound(self):
        bound = self.A.norm_bound()
        return None if bound is None else bound * self.subspace.norm_bound()

    def _apply(self, input):
        return self.A._apply(self.subspace._apply(input))

    def _apply_adjoint(self, input):
        return self.subspace._apply_adjoint(self.A._apply_adjoint(input))

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        if not self.fast:
            return self.subspace.H * self.A.N * self.subspace
        return SelfAdjoint(self.ishape, self._kind(self.A, self.subspace.vectors, self.subspace.at), "Encoding.N",
                           host=self.host)


def encoding(A: Any, basis: Any, *, axis: int | str = "echo") -> Encoding:
    """The encoding A of frames, as one of coefficients: y = A Phi a, with Phi inside the normal operator.

        A^H A a = sum_c conj(S_c) F^H M F (S_c a),    M_ab(k) = sum_t conj(phi_ta) m_t(k) phi_tb

    On a grid, with maps that all frames share, each sample of k-space has one K x K matrix M of the masks m_t of all
    frames, made once: an iteration takes as many FFTs as there are coefficients, however many frames there are. Points
    off the grid (`coord`) have K x K convolutions on twice the grid, where there are more frames than coefficients. A
    stack, maps of each frame and any other encoding take Phi^H A^H A Phi.

    Args:
        A: the encoding of the frames, with names: `linops.sense(mps, mask, shape=(echo, coil, ky, kx), axes=("echo",
            "coil", "ky", "kx"))`.
        basis: `signals.basis(...)`, or an array phi (frame, coefficient).
        axis: which axis of the frames it stands for.

    Returns:
        A `sigpy.linop.Linop` from (coefficient, y, x) to k-space, for `pi.solve`, every solver and every prior.

    Raises:
        TypeError, ValueError: no operator; an axis that A has not; a basis that does not fit.

    Reference:
        Tamir et al., Magn Reson Med 77 (2017) 180; Mani et al., Magn Reson Med 73 (2015) 1775 (the matrix of masks).
    """
    _check.linop("A", A)
    names = _axes.of_linop(A)
    if None in names:
        raise ValueError("A has no names of axes: make it with axes=..., such as linops.sense(mps, mask, shape=shape, "
                         f"axes=({axis!r}, 'coil', 'ky', 'kx'))")
    return Encoding(A, subspace(basis, A.ishape, axis=axis, axes=names))
