"""Low rank of a series of images, as a whole or block by block; rows are the frames (the first axis or `axis`)."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from pisolve import _check, backend
from pisolve._check import all_finite, dtype_name, integer, is_torch
from pisolve.priors.base import Prior, real
from pisolve.priors.sparse import as_call
from pisolve.priors.transforms import Spinning

_SMALL = 1 << 12  # entries for which BLAS starts no threads by itself, and ours would cost more than the work
_TASK = 1 << 15  # entries of the blocks in one task of a thread: in the cache, and enough to outweigh the call


class Nuclear(Prior):
    """g(x) = ||C||_*, the sum of singular values of the Casorati matrix C (frames x everything else).

    prox: singular value thresholding, U max(S - step, 0) V^H.

    Use:
        for series with few time courses in the whole image: perfusion, relaxometry, without motion.

    Args:
        axis: the axis of the frames.

    Raises:
        TypeError, ValueError: an axis that is no whole number or, with an image, outside its dimensions.

    Reference:
        Cai, Candes and Shen, SIAM J Optim 20 (2010) 1956; Liang, ISBI 2007, 988, for series of images.

    Example:
        pi.solve(A, y, 0.05 * pi.Nuclear(), max_iter=30)
    """

    homogeneous = True
    __repr__ = as_call

    def __init__(self, *, axis: int = 0):
        self.axis = integer("axis", axis)

    def _frames_first(self, x):
        (axis,) = _check.axes("axis", (self.axis,), x.ndim)
        return backend.namespace(x).moveaxis(x, axis, 0)

    def value(self, x):
        return _singular_values(self._matrix(x), "sum")

    def prox(self, x, step):
        first = self._frames_first(x)
        out = _threshold(self._matrix(x), step).reshape(first.shape)
        return backend.namespace(x).moveaxis(out, 0, self.axis)

    def dual_norm(self, x):
        return _singular_values(self._matrix(x), "max")

    def split(self, shape):
        _check.axes("axis", (self.axis,), len(shape))  # refused here, not in the middle of a run
        return self, None

    def _matrix(self, x):
        """(1, frames, everything else)."""
        first = self._frames_first(x)
        return first.reshape(1, first.shape[0], -1)


class LLR(Spinning):
    """Locally low rank: g(x) = sum_b ||C_b||_*, C_b the (frames x pixels) matrix of block b of the last two axes.

    The blocks partition the image, those at the far edges being smaller where `block` does not divide the size, so the
    prox is exact at every size: singular value thresholding of each block. Axes between the first and the last two
    (slices) have blocks of their own.

    Use:
        for series whose time courses are alike within small regions only, such as a beating heart. `shifts=16` leaves
        no edges between blocks.

    Args:
        block: edge length of the blocks in pixels.
        shifts: as in `Wavelet`: iteration k takes blocks shifted by the (k mod shifts)-th of this many seeded random
            offsets (periodic), which leaves no edges between blocks. 0: none, the exact minimiser.
        seed: of the offsets.

    Raises:
        TypeError, ValueError: a block, shifts or seed that is no whole number, or too small; an image of fewer than
            three dimensions.

    Reference:
        Trzasko and Manduca, Asilomar 2011, 1311; Zhang, Pauly and Levesque, Magn Reson Med 73 (2015) 655.

    Example:
        pi.solve(A, y, 0.03 * pi.LLR(shifts=16), max_iter=30)
    """

    homogeneous = True
    __repr__ = as_call

    def __init__(self, *, block: int = 8, shifts: int = 0, seed: int = 0):
        self.block = integer("block", block, low=1)
        self.shifts, self.seed = integer("shifts", shifts, low=0), integer("seed", seed, low=0)

    def value(self, x):
        return sum(_singular_values(self._blocks(x[region]), "sum") for region in self._regions(x.shape))

    def prox(self, x, step):
        out = backend.zeros_like(x)
        for region in self._regions(x.shape):
            part = x[region]
            out[region] = self._image(_threshold(self._blocks(part), step), part.shape)
        return out

    def dual_norm(self, x):
        return max(_singular_values(self._blocks(x[region]), "max") for region in self._regions(x.shape))

    def split(self, shape):
        list(self._regions(shape))
        return self, None

    def _regions(self, shape):
        """The up to four parts of the image, by edge, each of whole blocks of one size."""
        if len(shape) < 3:
            raise ValueError(f"LLR is for a series (frame, ..., y, x), the image has shape {tuple(shape)}")
        spans = []
        for n in shape[-2:]:
            inner = n // self.block * self.block
            spans.append([s for s in (slice(0, inner), slice(inner, n)) if s.start < s.stop])
        for ys in spans[0]:
            for xs in spans[1]:
                yield (..., ys, xs)

    def _grid(self, shape):
        """(frames, slices, rows of blocks, y in block, columns of blocks, x in block) of a region."""
        (ny, nx), by, bx = shape[-2:], min(self.block, shape[-2]), min(self.block, shape[-1])
        return shape[0], -1, ny // by, by, nx // bx, bx

    def _blocks(self, region):
        """(block, frames, pixels) of a region."""
        frames, _, _, by, _, bx = grid = self._grid(region.shape)
        order = _axes_moved(region.reshape(grid), (1, 2, 4, 0, 3, 5))
        return order.reshape(-1, frames, by * bx)

    def _image(self, blocks, shape):
        """The region that `_blocks` took apart."""
        frames, _, rows, by, columns, bx = self._grid(shape)
        return _axes_moved(blocks.reshape(-1, rows, columns, frames, by, bx), (3, 0, 1, 4, 2, 5)).reshape(shape)


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
        return _cast((U * factor[..., None, :]) @ U.swapaxes(-2, -1).conj(), C) @ C

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
    C = _cast(C, "complex128")
    return C @ C.swapaxes(-2, -1).conj()


def _cast(x, like):
    """x in another precision, of an array `like` or by name."""
    dtype = like if isinstance(like, str) else dtype_name(like)
    return x.to(getattr(backend.namespace(x), dtype)) if is_torch(x) else x.astype(dtype, copy=False)


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
