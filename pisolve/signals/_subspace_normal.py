"""A^H A of a subspace in Cartesian SENSE: a K x K matrix for each sample stands instead of all frames' masks."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np

from pisolve import _check, backend
from pisolve.linops._fft import BYTES, plan
from pisolve.linops._normal import takes

_PIXELS = 1 << 16  # of the coils that one task takes; fixed, so that results do not depend on the threads


class SubspaceNormal:
    """x -> sum_c conj(S_c) F^H M F (S_c x), with M_ab(k) = sum_t conj(phi_ta) w_t(k)^2 phi_tb.

    F goes over the axes that a weight varies along. `SubspaceNormal.fits` says whether A can be taken: maps must be
    the same in all frames.

    Args:
        A: `linops.sense` on a grid, of the frames.
        vectors: phi, (frame, coefficient).
        at: which of the axes before the coils is that of the frames.
    """

    def __init__(self, A, vectors, at: int):
        self.ndim, self.at, self.group = A.ndim, at, A.group
        self.lead = tuple(n for i, n in enumerate(A.lead) if i != at)  # the axes beside the frames'
        self.mps = A.mps[(slice(None),) * at + (0,)]
        on_cpu = isinstance(self.mps, np.ndarray)
        pairs = np.einsum("ta,tb->tab", vectors.conj(), vectors)
        inner = tuple(range(-A.ndim, 0))
        w2 = np.ones((1,) * A.ndim) if A.weight is None else backend.to_numpy(A.weight).astype("float64") ** 2
        self.axes = tuple(a for a in inner if w2.shape[a] > 1)
        w2 = np.fft.ifftshift(w2, axes=self.axes)
        if w2.ndim > A.ndim:
            matrix = np.tensordot(pairs, np.moveaxis(w2, at, 0), (0, 0))
            matrix = np.moveaxis(matrix, (0, 1), (-2 - A.ndim, -1 - A.ndim))
        else:
            matrix = pairs.sum(0).reshape(*pairs.shape[1:], *(1,) * A.ndim) * w2
        kind = _check.dtype_name(self.mps) if matrix.dtype.kind == "c" else _check.real_name(self.mps)
        self.matrix = backend.like(np.ascontiguousarray(matrix.astype(kind)), self.mps)  # (..., a, b, k)
        self.compiled = (on_cpu and A.ndim == 2 and self.axes == (-2,)
                         and takes(self.mps.size, self.mps.shape[-2:], self.mps.dtype, self.axes))
        if self.compiled:  # (..., k, a, b), in the order of the kernel's frequencies, with the scale of both transforms
            self.passes, self.roots, order = plan(self.mps.shape[-2], str(self.mps.dtype))
            matrix = np.moveaxis(self.matrix[..., order, 0], -1, -3) / self.matrix.dtype.type(len(order))
            self.ordered = np.ascontiguousarray(matrix)
            self.mps = np.require(self.mps, requirements=["C", "W"])

    @staticmethod
    def fits(A, at: int) -> bool:
        """True where A keeps a weight and maps that are the same in all frames."""
        if not hasattr(A, "weight") or at >= len(A.lead):
            return False
        mps = A.mps
        first = mps[(slice(None),) * at + (slice(1),)]
        steps = mps.stride() if _check.is_torch(mps) else mps.strides
        return steps[at] == 0 or bool((mps == first).all())

    def _of(self, i):
        return self.matrix[i] if self.matrix.ndim > self.ndim + 2 else self.matrix

    def __call__(self, x):
        """A^H A x for coefficients whose axis stands where that of the frames did."""
        xp = backend.namespace(x)
        x = xp.moveaxis(x, self.at, len(self.lead))
        if self.compiled and backend.together(x, self.mps) == _check.dtype_name(self.mps):
            return np.moveaxis(self._columns(x), len(self.lead), self.at).copy()
        work = self._cached if xp is np else self._batched
        coils, pixels = self.mps.shape[-1 - self.ndim], prod(self.mps.shape[-self.ndim:])
        step = max(1, _PIXELS // pixels) if xp is np else max(1, self.group // x.shape[len(self.lead)])
        tasks = [(i, slice(c, min(c + step, coils))) for i in np.ndindex(self.lead) for c in range(0, coils, step)]
        one = lambda task: work(self.mps[task[0]][task[1]], x[task[0]], self._of(task[0]))  # noqa: E731
        parts = backend.parallel(one, tasks) if xp is np else map(one, tasks)
        out = backend.zeros(x.shape, x, backend.together(x, self.mps))
        for (i, _), part in zip(tasks, parts):
            out[i] += part
        return backend.copy(xp.moveaxis(out, len(self.lead), self.at))

    def _columns(self, x):
        """By the compiled kernel; every column is summed in a fixed order, whatever the number of threads."""
        from pisolve.signals._subspace_kernels import columns

        x = np.require(x, self.mps.dtype, ["C", "W"])
        out = np.empty_like(x)
        coils, n, nx = self.mps.shape[-3:]
        slices = list(np.ndindex(self.lead))
        blocks = -(-nx // (BYTES // x.itemsize))
        parts = min(blocks, max(1, backend.threads() // len(slices)))
        cuts = [blocks * k // parts for k in range(parts + 1)]

        def one(task):
            i, ends = task
            matrix = self.ordered[i] if self.ordered.ndim > 3 else self.ordered
            columns(x[i].ravel(), self.mps[i].ravel(), matrix.ravel(), out[i].reshape(-1), x.shape[-3], coils, n, nx,
                    self.passes, self.roots, *ends)

        backend.parallel(one, [(i, ends) for i in slices for ends in pairwise(cuts)])
        return out

    def _cached(self, mps, x, matrix):
        """sum_c conj(S_c F conj(M F (S_c x))), conjugated once: a coil at a time, while it is in the cache."""
        import scipy.fft

        total, mixed, part = None, None, None
        for s in mps:
            t = s * x
            if self.axes:
                t = scipy.fft.fftn(t, axes=self.axes, norm="ortho", overwrite_x=True, workers=1)
            mixed = np.empty_like(t) if mixed is None else mixed
            part = np.empty_like(t[0]) if part is None else part
            for row, out in zip(matrix, mixed):
                np.multiply(row[0], t[0], out=out)
                for m, one in zip(row[1:], t[1:]):
                    out += np.multiply(m, one, out=part)
            u = np.conjugate(mixed, out=t)
            if self.axes:
                u = scipy.fft.fftn(u, axes=self.axes, norm="ortho", overwrite_x=True, workers=1)
            u *= s
            total = u if total is None else np.add(total, u, out=total)
        return np.conjugate(total, out=total)

    def _batched(self, mps, x, matrix):
        xp = backend.namespace(x)
        t = backend.fft(mps[:, None] * x, self.axes, centred=False)
        mixed = xp.stack([(row * t).sum(1) for row in matrix], 1)
        return (backend.fft(mixed, self.axes, centred=False, inverse=True) * mps[:, None].conj()).sum(0)
