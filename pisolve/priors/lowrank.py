"""Low rank of a series of images, as a whole or block by block; rows are the frames."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from pisolve import _axes, backend
from pisolve._check import all_finite, dtype_name, integer, is_torch
from pisolve._types import Array, ArrayLike
from pisolve.backend import real
from pisolve.priors._names import ByName
from pisolve.priors.base import Prior
from pisolve.priors.sparse import as_call, one_axis
from pisolve.priors.transforms import Spinning

_SMALL = 1 << 12  # entries for which BLAS starts no threads by itself, and ours would cost more than the work
_TASK = 1 << 15  # entries of the blocks in one task of a thread: in the cache, and enough to outweigh the call


class Series(ByName, Prior):
    """Base of the priors of a series: the rows of their matrices are the frames.

    Attributes:
        axis: the axis of the rows, a name or a number; None: all axes of the unknown that are not spatial (frames and
            echoes together), the first where they have no names.
    """

    homogeneous = True
    __repr__ = as_call

    def _rows(self, ndim) -> tuple[int, ...]:
        """Where the axes of the rows are."""
        if self.axis is not None:
            return self.places("axis", self.axis, ndim)
        names = self.named(ndim)
        found = _axes.series(names)
        if not found:
            told = f"axes {', '.join(names)}" if None not in names else f"{ndim} axes"
            raise ValueError(f"{self!r} is for a series of images, and the unknown has the {told}: name the axis, "
                             "axis=..., or give a scan with axes=('frame', 'coil', 'ky', 'kx')")
        return found

    def split(self, shape: Any) -> Any:
        self._rows(len(shape))  # refused here, not in the middle of a run
        return self, None


class Nuclear(Series):
    """g(x) = ||C||_*, the sum of singular values of the Casorati matrix C (frames x everything else).

    prox: singular value thresholding, U max(S - step, 0) V^H.

    Use:
        for series with few time courses in the whole image: perfusion, relaxometry, without motion.

    Args:
        axis: the axis of the frames, a name or a number; None: all axes that are not spatial, the first where the
            unknown's axes have no names.

    Raises:
        TypeError, ValueError: no axis, or one that the unknown has not.

    Reference:
        Cai, Candes and Shen, SIAM J Optim 20 (2010) 1956; Liang, ISBI 2007, 988, for series of images.

    Example:
        pi.solve(A, y, 0.05 * pi.Nuclear(), max_iter=30)
    """

    axis: str | int | None

    def __init__(self, *, axis: str | int | None = None):
        self.axis: str | int | None = None if axis is None else one_axis("axis", axis)

    def _moved(self, x, back=False):
        """The frames first, or `back`."""
        rows = self._rows(x.ndim)
        front = tuple(range(len(rows)))
        return backend.namespace(x).moveaxis(x, *((front, rows) if back else (rows, front)))

    def value(self, x: ArrayLike) -> float | None:
        return _singular_values(self._matrix(x), "sum")

    def prox(self, x: ArrayLike, step: Any) -> Array:
        return self._moved(_threshold(self._matrix(x), step).reshape(self._moved(x).shape), back=True)

    def dual_norm(self, x: ArrayLike) -> float | None:
        return _singular_values(self._matrix(x), "max")

    def _matrix(self, x):
        """(1, frames, everything else)."""
        first = self._moved(x)
        return first.reshape(1, math.prod(first.shape[:len(self._rows(x.ndim))]), -1)


class LLR(Series, Spinning):
    """Locally low rank: g(x) = sum_b ||C_b||_*, C_b the (frames x pixels) matrix of block b of the spatial axes.

    The blocks partition the image, in 3-D the volume, those at the far edges being smaller where `block` does not
    divide the size, so the prox is exact at every size: singular value thresholding of each block. Axes that are
    neither rows nor spatial (slices) have blocks of their own.

    Use:
        for series whose time courses are alike within small regions only, such as a beating heart. `shifts=16` leaves
        no edges between blocks.

    Args:
        block: edge length of the blocks in pixels.
        axis: of the frames, as in `Nuclear`.
        shifts: as in `Wavelet`: iteration k takes blocks shifted by the (k mod shifts)-th of this many seeded random
            offsets (periodic), which leaves no edges between blocks. 0: none, the exact minimiser.
        seed: of the offsets.

    Raises:
        TypeError, ValueError: a block, shifts or seed that is no whole number, or too small; an unknown without such an
            axis.

    Reference:
        Trzasko and Manduca, Asilomar 2011, 1311; Zhang, Pauly and Levesque, Magn Reson Med 73 (2015) 655.

    Example:
        pi.solve(A, y, 0.03 * pi.LLR(shifts=16), max_iter=30)
    """

    block: int | None
    axis: str | int | None
    shifts: int | None
    seed: int | None

    def __init__(self, *, block: int = 8, axis: str | int | None = None, shifts: int = 0, seed: int = 0):
        self.block: int | None = integer("block", block, low=1)
        self.axis: str | int | None = None if axis is None else one_axis("axis", axis)
        self.shifts, self.seed = integer("shifts", shifts, low=0), integer("seed", seed, low=0)

    def value(self, x: ArrayLike) -> float | None:
        x = self._arranged(x)
        return sum(_singular_values(self._blocks(x[region]), "sum") for region in self._regions(x.shape))

    def prox(self, x: ArrayLike, step: Any) -> Array:
        series = self._arranged(x)
        out = backend.zeros_like(series)
        for region in self._regions(series.shape):
            part = series[region]
            out[region] = self._image(_threshold(self._blocks(part), step), part.shape)
        order = self._order(x.ndim)
        return _axes_moved(out.reshape([x.shape[a] for a in order]), np.argsort(order).tolist())

    def dual_norm(self, x: ArrayLike) -> float | None:
        x = self._arranged(x)
        return max(_singular_values(self._blocks(x[region]), "max") for region in self._regions(x.shape))

    def _order(self, ndim):
        """The axes of the unknown: rows, those with blocks of their own, spatial ones."""
        rows = [a % ndim for a in self._rows(ndim)]
        space = [a % ndim for a in self.places("axes", None, ndim) if a % ndim not in rows]
        return [*rows, *(a for a in range(ndim) if a not in (*rows, *space)), *space]

    def _arranged(self, x):
        """(frames, others, spatial...)."""
        order, rows = self._order(x.ndim), len(self._rows(x.ndim))
        space = len(self.places("axes", None, x.ndim))
        moved = _axes_moved(x, order)
        frames, others = math.prod(moved.shape[:rows]), math.prod(moved.shape[rows:x.ndim - space])
        return moved.reshape(frames, others, *moved.shape[x.ndim - space:])

    def _regions(self, shape):
        """The parts of a series (frames, others, spatial...), by edge, each of whole blocks of one size."""
        spans = []
        for n in shape[2:]:
            inner = n // self.block * self.block
            spans.append([s for s in (slice(0, inner), slice(inner, n)) if s.start < s.stop])
        for spaces in product(*spans):
            yield (..., *spaces)

    def _grid(self, shape):
        """(frames, others, then for each spatial axis the number of blocks and the pixels in one) of a region."""
        sides = [(n // min(self.block, n), min(self.block, n)) for n in shape[2:]]
        return (*shape[:2], *(m for side in sides for m in side))

    def _blocks(self, region):
        """(block, frames, pixels) of a region."""
        grid = self._grid(region.shape)
        order = _axes_moved(region.reshape(grid), _block_order(len(grid)))
        return order.reshape(-1, grid[0], math.prod(grid[3::2]))

    def _image(self, blocks, shape):
        """The region that `_blocks` took apart."""
        grid = self._grid(shape)
        order = _block_order(len(grid))
        return _axes_moved(blocks.reshape([grid[a] for a in order]), np.argsort(order).tolist()).reshape(shape)


def _block_order(ndim):
    """Of (frames, others, blocks, pixels, blocks, pixels, ...): others, all blocks, frames, all pixels."""
    return [1, *range(2, ndim, 2), 0, *range(3, ndim, 2)]


def _axes_moved(x, order):
    return x.permute(order) if is_torch(x) else x.transpose(order)


def _threshold(C, step):
    """Singular value thresholding of matrices (batch, n, m), in their own precision.

    Single precision: by the eigenvalues S^2 of the small Gram matrix in double, whose error, 1e-16 max(S)^2, is far
    below the rounding of C. Double: by the singular value decomposition; the Gram matrix would lose half of the digits.
    """
    if not all_finite(C):  # LAPACK would raise; a run says so in its status
        return C * math.nan
    if C.shape[-2] > C.shape[-1]:  # the smaller side first
        return _threshold(C.swapaxes(-2, -1), step).swapaxes(-2, -1)

    def work(C):
        xp = backend.namespace(C)
        if is_torch(C) and C.requires_grad:
            return _differentiable().apply(C, step)
        if dtype_name(C) == "complex128":
            U, S, V = xp.linalg.svd(C, full_matrices=False)
            return (U * backend.shrink(S, step)[..., None, :]) @ V
        S, U = xp.linalg.eigh(_gram(C))
        factor = backend.shrink_factor(xp.sqrt(S.clip(min=0)), step)
        return backend.cast((U * factor[..., None, :]) @ U.swapaxes(-2, -1).conj(), C) @ C

    return _batched(work, C, lambda parts: np.concatenate(parts))


@cache
def _differentiable():
    """`_threshold` with a derivative that is finite for equal and for zero singular values, where the svd's is not.

    With f(s) = max(s - step, 0), W = U^H g V and its Hermitian and skew parts H and K, the derivative along g is
    U (a * H + b * K) V^H + U f(S)/S U^H g (I - V V^H), a = (f_i - f_j) / (s_i - s_j), b = (f_i + f_j) / (s_i + s_j).
    It equals its adjoint, as that of any prox does (Candes, Sing-Long and Trzasko, IEEE Trans Signal Process 61, 4643).
    """
    import torch

    class Threshold(torch.autograd.Function):
        @staticmethod
        def forward(ctx, C, step):
            U, S, Vh = torch.linalg.svd(C, full_matrices=False)
            ctx.save_for_backward(U, S, Vh)
            ctx.step = step
            return (U * (S - step).clip(min=0)[..., None, :].to(U.dtype)) @ Vh

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            U, S, Vh = ctx.saved_tensors
            f, kept = (S - ctx.step).clip(min=0), S.gt(ctx.step).to(S.dtype)
            across = lambda op, v: op(v[..., :, None], v[..., None, :])  # noqa: E731
            sums, gaps = across(torch.add, S), across(torch.sub, S)
            close = gaps.abs() <= 1e-6 * sums
            b = across(torch.add, f) / torch.where(sums > 0, sums, 1)
            a = torch.where(close, across(torch.add, kept) / 2, across(torch.sub, f) / torch.where(close, 1, gaps))
            W = U.mH @ g @ Vh.mH
            inside = a * (W + W.mH) / 2 + b * (W - W.mH) / 2
            beyond = backend.shrink_factor(S, ctx.step)[..., None].to(U.dtype) * (U.mH @ g - W @ Vh)
            return U @ (inside @ Vh + beyond), None

    return Threshold


def _singular_values(C, what) -> float:
    """The sum or the largest of all singular values of matrices (batch, n, m)."""
    if not all_finite(C):
        return math.nan
    if C.shape[-2] > C.shape[-1]:
        return _singular_values(C.swapaxes(-2, -1), what)

    def work(C):
        xp = backend.namespace(C)
        if dtype_name(C) == "complex128":
            S = xp.linalg.svdvals(C) if is_torch(C) else xp.linalg.svd(C, compute_uv=False)
        else:
            S = xp.sqrt(xp.linalg.eigvalsh(_gram(C)).clip(min=0))
        return real(getattr(S, what)())

    return _batched(work, C, sum if what == "sum" else max)


def _gram(C):
    """C C^H in double precision."""
    C = backend.cast(C, "complex128")
    return C @ C.swapaxes(-2, -1).conj()


def _batched(work, C, gather):
    """gather([work(part), ...]) over parts of the batch on our threads; work(C) in one call where it is not numpy's."""
    if backend.namespace(C) is not np:
        return work(C)
    if C.size <= _SMALL:
        return gather([work(C)])
    size = max(1, _TASK // (C.shape[1] * C.shape[2]))
    parts = [C[i:i + size] for i in range(0, len(C), size)]
    with backend.one_blas_thread():
        return gather(backend.parallel(work, parts))
