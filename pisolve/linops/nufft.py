"""The Fourier transform at any points of k-space as an operator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.backend.points import PointTransform, axes_of, checked_coord
from pisolve.linops._toeplitz import Toeplitz
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint


class NUFFT(Linop):
    """The class behind `nufft`.

    Attributes:
        coord: (..., axis), float64.
        eps: relative accuracy.
    """

    def __init__(self, shape, coord, eps: float = 1e-6):
        shape = _check.shape("shape", shape)
        self.eps = accuracy(eps)
        d = axes_of(coord, range(1, min(3, len(shape)) + 1), takes=f"an image of shape {shape} takes")
        self.tensor = wanted(coord)
        self.coord = checked_coord(coord, shape[-d:])
        self.points = PointTransform(self.coord.reshape(-1, d), shape[-d:], self.eps)
        self.lead = shape[:len(shape) - d]
        super().__init__((*self.lead, *self.coord.shape[:-1]), shape)

    row_energy = 1.0

    def _apply(self, input):
        out = np.empty((int(np.prod(self.lead)), len(self.points.coord)), input.dtype)
        self.points.forward(_on_cpu(input).reshape(-1, *self.points.shape), out)
        return out.reshape(self.oshape)

    def _apply_adjoint(self, input):
        out = np.empty((int(np.prod(self.lead)), *self.points.shape), input.dtype)
        self.points.backward(_on_cpu(input).reshape(len(out), -1), out)
        return out.reshape(self.ishape)

    def of_tensor(self, x, adjoint: bool = False):
        """A x or A^H x of a torch tensor where the coordinates want a gradient, too; None where they do not."""
        if self.tensor is None:
            return None
        from pisolve.linops._nufft_torch import transform

        return transform(x, self.tensor, self.points.shape, self.eps, adjoint)

    def _adjoint_linop(self):
        return Adjoint(self)

    def convolutions(self):
        """(P, maps (coil, *shape)): A^H A = sum_c conj(S_c) F^H W F S_c with the P of `PointTransform.kernel`."""
        yield self.points.kernel(), np.ones((1, *self.points.shape))

    def _normal_linop(self):
        return PointsNormal(self, Toeplitz(None, self.points.kernel()))

    def weighted_normal(self, weights):
        """x -> A^H w A x for real w that broadcast to the points; None where they change along other axes."""
        if weights.ndim >= self.coord.ndim:
            return None
        return Toeplitz(None, self.points.kernel(np.broadcast_to(weights, self.coord.shape[:-1]).reshape(-1)))


class PointsNormal(SelfAdjoint):
    """A^H A of points: Toeplitz, and A^H after A where coordinates are tensors that get a gradient."""

    def __init__(self, A, function):
        super().__init__(A.ishape, function, f"{type(A).__name__}.N", host=A.host)
        self.A = A

    def of_tensor(self, x, adjoint: bool = False):
        if self.A.tensor is None:
            return None
        import torch

        return self.A.of_tensor(self.A.of_tensor(x), adjoint=True) if torch.is_grad_enabled() else None


def wanted(coord):
    """Coordinates that are a torch tensor and require a gradient; else None."""
    return coord if _check.is_torch(coord) and coord.requires_grad else None


def accuracy(eps) -> float:
    """A checked accuracy of a transform."""
    return _check.number("eps", eps, low=1e-14, high=0.1)


def _on_cpu(x):
    if _check.is_cupy(x):
        raise TypeError("points anywhere in k-space are transformed on the CPU so far: give numpy arrays or torch "
                        "tensors on the CPU")
    return x


def nufft(shape: Sequence[int], coord: ArrayLike, *, eps: float = 1e-6) -> NUFFT:
    """F: y_j = prod(N)^(-1/2) sum_n x[n] exp(-2 pi i sum_a k_ja (n_a - N_a // 2) / N_a), an image at points of k-space.

    At the points of the grid it is `fft`; convention and scale are SigPy's. `A.N` is a convolution by FFTs on twice the
    grid (Toeplitz), exact to `eps`. The bits do not depend on the number of threads.

    Args:
        shape: of the image, (..., y, x) or (..., z, y, x); axes before those that are encoded are transformed alike.
        coord: (..., axis), in -N/2..N/2, in the order of the image's last axes: (y, x) or (z, y, x). A torch tensor
            that requires a gradient gets one, of any order, from `A(x)`, `A.H(y)` and `A.N(x)` of torch tensors; make
            A anew after its values have changed.
        eps: accuracy relative to the direct sum, down to 1e-14. complex64 is computed in double precision, unless eps
            is 1e-4 or more, since single precision's phases are 2e-5 off at 320 pixels.

    Returns:
        A `sigpy.linop.Linop`, `shape` -> (..., *coord.shape[:-1]).

    Raises:
        TypeError, ValueError: coordinates of another number of axes, not finite, outside the grid or in other units.

    Reference:
        Barnett, Magland, af Klinteberg, SIAM J Sci Comput 41 (2019) C479 (finufft); Fessler et al., IEEE Trans Signal
        Process 53 (2005) 3393 (Toeplitz).
    """
    return NUFFT(shape, coord, eps)
