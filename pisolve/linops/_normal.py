"""A^H A of the Cartesian encoding, compiled: a block of columns stays in the cache through all its steps."""

from __future__ import annotations

import numpy as np

from pisolve import backend
from pisolve.linops._fft import BYTES, plan


class Normal:
    """x -> A^H A x for maps (..., coil, ky, kx) and squared weights (slice?, ky or 1, kx or 1) with the origin first.

    Weights on a larger grid than the maps' are those of an image that is padded by zeros behind (`_toeplitz.py`).
    `Normal.fits` says whether this size can be done. Every column (and with weights that vary along kx every pair of
    coils) is summed in a fixed order, so the result does not depend on the number of threads.
    """

    def __init__(self, mps, w2):
        self.lead = mps.shape[:-3]
        self.shared = bool(self.lead) and not any(mps.strides[:-3])  # one set of maps, broadcast to all frames
        mps = mps[(0,) * len(self.lead)] if self.shared else mps
        self.mps = np.require(mps, requirements=["C", "W"])  # a copy of read-only or strided maps only
        n, nx = self.grid = [max(*sizes) for sizes in zip(mps.shape[-2:], w2.shape[-2:])]
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
    def fits(mps, axes, grid=None) -> bool:
        """True where a compiled kernel can take this operator and its time is worth a compilation."""
        return (takes(mps.size, mps.shape[-2:], mps.dtype, () if grid else axes)
                and (grid is None or takes(mps.size, grid, mps.dtype, axes)))

    def __call__(self, x, out=None):
        """A^H A x, into `out` where it is given."""
        from pisolve.linops._normal_kernels import columns, planes

        x = np.require(x, self.mps.dtype, ["C", "W"])
        out = np.empty_like(x) if out is None else out
        coils, n, nx = self.mps.shape[-3:]
        slices = list(np.ndindex(*self.lead))
        weights = lambda i: (self.w2[i] if self.own else self.w2).ravel()  # noqa: E731
        maps = lambda i: (self.mps if self.shared else self.mps[i]).ravel()  # noqa: E731
        flat = lambda i: (x[i].ravel(), maps(i), weights(i))  # noqa: E731
        if not self.along_rows:
            blocks = -(-nx // (BYTES // x.itemsize))
            parts = min(blocks, max(1, backend.threads() // len(slices)))  # the result is the same for any number
            backend.parallel(lambda task: columns(*flat(task[0]), out[task[0]].reshape(-1), coils, n, nx, self.passes,
                                                  self.roots, *task[1]),
                             [(i, ends) for i in slices for ends in backend.shares(blocks, parts)])
            return out

        def plane(task):
            i, c = task
            x, mps, w = flat(i)
            part = np.empty(n * nx, x.dtype)
            planes(x, mps[c * n * nx:], w, part, min(2, coils - c), n, nx, *self.grid, self.passes, self.roots,
                   self.row_passes, self.row_roots)
            return part.reshape(n, nx)

        if len(slices) >= backend.threads():  # a slice a task, whose parts are added as they are made

            def whole(i):
                for c in range(0, coils, 2):
                    part = plane((i, c))
                    out[i] = out[i] + part if c else part

            backend.parallel(whole, slices)
            return out
        tasks = [(i, c) for i in slices for c in range(0, coils, 2)]
        for (i, c), part in zip(tasks, backend.parallel(plane, tasks)):
            out[i] = out[i] + part if c else part
        return out


def takes(entries: int, plane, dtype, axes) -> bool:
    """Whether a kernel takes maps of this many entries with planes of this shape, transformed along `axes` of them."""
    return (entries >= 1 << 15 and plane[-1] >= BYTES // dtype.itemsize
            and all(plan(plane[a], str(dtype)) is not None for a in axes))
