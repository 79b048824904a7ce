"""A^H A of the Cartesian encoding, compiled: a block of columns stays in the cache through all its steps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pisolve import backend
from pisolve.backend import jit
from pisolve.linops._fft import LARGEST, again, forward, plan
from pisolve.linops._lanes import BYTES, get, load, put, store, swap, transpose, weigh


@jit
def _columns(x, mps, w, out, coils, n, nx, passes, roots, start, stop):
    """sum_c conj(S_c) F^H w F (S_c x) for blocks start..stop of columns, F along them.

    With z = F^H w F (S x) the backward FFT gives swap(z) = i conj(z), and S swap(z) = swap(conj(S) z): so the sum is
    swapped once, and the maps are not conjugated. The last block starts early enough to be whole.
    """
    size = BYTES // x.itemsize
    buffer, total, spare = np.empty(n * size, x.dtype), np.empty(n * size, x.dtype), np.empty(LARGEST * size, x.dtype)
    for block in range(start, stop):
        first = min(block * size, nx - size)
        total[:] = 0
        for c in range(coils):
            s = c * n * nx + first
            for i in range(n):
                put(buffer, i, load(mps, s + i * nx) * load(x, first + i * nx))
            forward(buffer, 0, n, passes, roots, spare)
            for i in range(n):
                put(buffer, i, w[i] * swap(get(buffer, i)))
            again(buffer, 0, n, passes, roots, spare)
            for i in range(n):
                put(total, i, get(total, i) + load(mps, s + i * nx) * get(buffer, i))
        for i in range(n):
            store(out, first + i * nx, swap(get(total, i)))


@jit
def _planes(x, mps, w, out, coils, n, nx, passes, roots, row_passes, row_roots):
    """The same with F along both axes (no `passes`: along rows only) and weights (block of rows, kx, row in block).

    After the FFT of its columns a block goes, transposed square by square, to a buffer in which neighbouring rows lie
    side by side; their FFT, weights and FFT back run there, and the squares return.
    """
    size = BYTES // x.itemsize
    tiles = -(-n // size)
    buffer, spare = np.zeros(tiles * size * size, x.dtype), np.empty(LARGEST * size, x.dtype)
    rows = np.empty(tiles * nx * size, x.dtype)
    blocks = -(-nx // size)
    total = np.zeros(blocks * n * size, x.dtype)
    for c in range(coils):
        for block in range(blocks):
            first = min(block * size, nx - size)
            for i in range(n):
                put(buffer, i, load(mps, (c * n + i) * nx + first) * load(x, first + i * nx))
            forward(buffer, 0, n, passes, roots, spare)
            for tile in range(tiles):
                transpose(buffer, tile * size, rows, tile * nx + first)
        for tile in range(tiles):
            start = tile * nx
            forward(rows, start, start + nx, row_passes, row_roots, spare)
            for k in range(start, start + nx):
                put(rows, k, weigh(w, k * size, swap(get(rows, k))))
            again(rows, start, start + nx, row_passes, row_roots, spare)
        for block in range(blocks):
            first = min(block * size, nx - size)
            for tile in range(tiles):
                transpose(rows, tile * nx + first, buffer, tile * size)
            again(buffer, 0, n, passes, roots, spare)
            for i in range(n):
                k = block * n + i
                put(total, k, get(total, k) + load(mps, (c * n + i) * nx + first) * get(buffer, i))
    for block in range(blocks):
        first = min(block * size, nx - size)
        for i in range(n):
            store(out, first + i * nx, swap(get(total, block * n + i)))


class Normal:
    """x -> A^H A x for maps (..., coil, ky, kx) and squared weights (slice?, ky or 1, kx or 1) with the origin first.

    `Normal.fits` says whether this size can be done. Every column (and with weights that vary along kx every pair of
    coils) is summed in a fixed order, so the result does not depend on the number of threads.
    """

    def __init__(self, mps, w2):
        self.lead = mps.shape[:-3]
        self.shared = bool(self.lead) and not any(mps.strides[:-3])  # one set of maps, broadcast to all frames
        mps = mps[(0,) * len(self.lead)] if self.shared else mps
        self.mps = np.require(mps, requirements=["C", "W"])  # a copy of read-only or strided maps only
        n, nx = mps.shape[-2:]
        self.along_rows = w2.shape[-1] > 1
        along_columns = w2.shape[-2] > 1
        size = BYTES // mps.itemsize
        kind, scale = str(mps.dtype), 1.0
        none = (np.zeros((0, 3), int), np.zeros(1, kind), np.arange(n))
        self.passes, self.roots, order = plan(n, kind) if along_columns else none
        w2 = np.broadcast_to(w2, (*w2.shape[:-2], n, w2.shape[-1]))[..., order, :]
        scale = n if along_columns else 1
        if self.along_rows:
            self.row_passes, self.row_roots, order = plan(nx, kind)
            scale *= nx
            padded = np.zeros((*w2.shape[:-2], -(-n // size) * size, nx), w2.dtype)
            padded[..., :n, :] = w2[..., order]
            w2 = padded.reshape(*w2.shape[:-2], -1, size, nx).swapaxes(-1, -2)
        self.w2 = np.ascontiguousarray(w2 / w2.dtype.type(scale))
        self.own = w2.ndim > (3 if self.along_rows else 2)  # each slice has weights of its own

    @staticmethod
    def fits(mps, axes) -> bool:
        """True where a compiled kernel can take this operator and its time is worth a compilation."""
        return takes(mps.size, mps.shape[-2:], mps.dtype, axes)

    def __call__(self, x):
        x = np.require(x, self.mps.dtype, ["C", "W"])
        out = np.empty_like(x)
        coils, n, nx = self.mps.shape[-3:]
        slices = list(np.ndindex(*self.lead))
        weights = lambda i: (self.w2[i] if self.own else self.w2).ravel()  # noqa: E731
        maps = lambda i: (self.mps if self.shared else self.mps[i]).ravel()  # noqa: E731
        flat = lambda i: (x[i].ravel(), maps(i), weights(i))  # noqa: E731
        if not self.along_rows:
            blocks = -(-nx // (BYTES // x.itemsize))
            parts = min(blocks, max(1, backend.threads() // len(slices)))  # the result is the same for any number
            cuts = [blocks * k // parts for k in range(parts + 1)]
            backend.parallel(lambda task: _columns(*flat(task[0]), out[task[0]].reshape(-1), coils, n, nx, self.passes,
                                                   self.roots, *task[1]),
                             [(i, ends) for i in slices for ends in pairwise(cuts)])
            return out

        def plane(task):
            i, c = task
            x, mps, w = flat(i)
            part = np.empty(n * nx, x.dtype)
            _planes(x, mps[c * n * nx:], w, part, min(2, coils - c), n, nx, self.passes, self.roots, self.row_passes,
                    self.row_roots)
            return part.reshape(n, nx)

        tasks = [(i, c) for i in slices for c in range(0, coils, 2)]
        for (i, c), part in zip(tasks, backend.parallel(plane, tasks)):
            out[i] = out[i] + part if c else part
        return out


def takes(entries: int, plane, dtype, axes) -> bool:
    """Whether a kernel takes maps of this many entries with planes of this shape, transformed along `axes` of them."""
    return (entries >= 1 << 15 and plane[-1] >= BYTES // dtype.itemsize
            and all(plan(plane[a], str(dtype)) is not None for a in axes))
