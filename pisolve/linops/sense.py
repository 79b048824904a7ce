"""The multi-coil Cartesian encoding operator and its mask-aware normal operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _axes, _check, backend
from pisolve._types import ArrayLike, Axes
from pisolve.linops._encode import Encode, EncodeVolume
from pisolve.linops._maps import checked_maps, is_volume, kspace_weight, spread
from pisolve.linops._normal import Normal
from pisolve.linops._points import sense_points
from pisolve.linops._volume import NormalVolume
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint

# Coils of one task: two, or as many as have this many pixels; fixed, so that results do not depend on the threads. Of
# volumes half of all coils, since each task holds a sum of its own.
_COILS, _PIXELS = 2, 1 << 16


class Sense(Linop):
    """The class behind `sense`.

    Attributes:
        ndim: 2 or 3, the number of encoded axes.
        mps: the maps, (..., coil, [kz,] ky, kx).
        weight: what k-space without coils is multiplied by, of size 1 where it does not change; None for nothing.
        iaxes, oaxes: the names of the axes of x and of A x, None where they were not given.
    """

    host = False

    def __init__(self, mps: ArrayLike, mask: Any = None, weights: ArrayLike | None = None, *, ndim: int = 2):
        self.ndim, self.lead = ndim, tuple(mps.shape[:-1 - ndim])
        super().__init__(mps.shape, (*self.lead, *mps.shape[-ndim:]))
        self.mps = mps
        self.weight = kspace_weight(mps, mask, weights, ndim)

    @property
    def coil_axis(self) -> int:
        return -1 - self.ndim

    @property
    def spatial(self) -> tuple[int, ...]:
        """The axes of the Fourier transform."""
        return tuple(range(-self.ndim, 0))

    @property
    def varying_axes(self) -> tuple[int, ...]:
        """The axes along which the sampling varies: the only ones that A^H A has to transform."""
        if self.weight is None:
            return ()
        return tuple(a for a in self.spatial if self.weight.shape[a] > 1)

    def norm_bound(self) -> float:
        return self._bound

    @cached_property
    def _bound(self):
        """||A|| <= max over pixels of sqrt(sum |S|^2), times the largest root of a weight."""
        xp = backend.namespace(self.mps)
        bound = float(xp.sqrt(sum(abs(s) ** 2 for s in xp.moveaxis(self.mps, -1 - self.ndim, 0)).max()))
        return bound if self.weight is None else bound * float(self.weight.max())

    def _each(self, work):
        """Run `work(slice index, coil slice)` over slices and groups of coils, in order; () index without slices."""
        lead = np.ndindex(self.lead)
        coils, pixels = self.mps.shape[-1 - self.ndim], int(np.prod(self.mps.shape[-self.ndim:]))
        on_cpu = backend.namespace(self.mps) is np
        step = max(_COILS, _PIXELS // pixels, coils // 2 if self.ndim == 3 else 0) if on_cpu else self.group
        tasks = [(i, slice(c, min(c + step, coils))) for i in lead for c in range(0, coils, step)]
        return tasks, backend.parallel(lambda task: work(*task), tasks) if on_cpu else [work(*task) for task in tasks]

    @cached_property
    def group(self) -> int:
        """How many coil images are transformed at a time on a GPU: as many as its memory has room for, three times."""
        images = backend.workspace(self.mps) // (3 * self.mps.itemsize * int(np.prod(self.mps.shape[-self.ndim:])))
        return max(1, min(images, int(np.prod(self.mps.shape[:-self.ndim]))))

    def _blocks(self):
        """(slices, coils) of the maps (slice, coil, y, x) in groups of `group` coil images, whole slices if it can."""
        slices, coils = int(np.prod(self.lead)), self.mps.shape[-1 - self.ndim]
        for z in range(0, slices, step := max(1, self.group // coils)):
            for c in range(0, coils, self.group):
                yield slice(z, z + step), slice(c, c + self.group)

    def _layered(self, x):
        """The array with one axis instead of all those before the coils."""
        return x.reshape(int(np.prod(self.lead)), *x.shape[len(self.lead):])

    def _in_batches(self, x, out, work):
        """On a GPU: out[z] += the sum over coils of work(maps, x[z], z, c), for slices z and coils c of each block."""
        mps, x, total = (self._layered(a) for a in (self.mps, x, out))
        for z, c in self._blocks():
            part = work(mps[z, c], x[z], z, c)
            if part is not None:
                total[z] += part.sum(1)
        return out

    def _weight(self, i):
        return self.weight if self.weight is None or self.weight.ndim == self.ndim else self.weight[i]

    def _weighted(self, t, z):
        """Coil images (slice, coil, ky, kx) times the weight of these slices."""
        if self.weight is None:
            return t
        return t * (self.weight if self.weight.ndim == self.ndim else self._layered(self.weight)[z, None])

    @cached_property
    def _encode(self):
        """slice index -> `Encode`, on the CPU."""
        make, size = Encode if self.ndim == 2 else EncodeVolume, self.mps.shape[-self.ndim:]
        shared = make(self.weight, size) if self.weight is None or self.weight.ndim == self.ndim else None
        return {i: shared or make(self._weight(i), size) for i in np.ndindex(self.lead)}

    def _apply(self, input):
        out = backend.empty(self.oshape, input, backend.together(input, self.mps))
        if backend.namespace(input) is np:
            self._each(lambda i, c: self._encode[i].forward(self.mps[i][c], input[i], out[i][c]))
            return out
        data = self._layered(out)

        def work(s, x, z, c):
            data[z, c] = self._weighted(backend.fft(s * x[:, None], self.spatial), z)

        self._in_batches(input, input, work)
        return out

    def _apply_adjoint(self, input):
        if backend.namespace(input) is np:
            parts = self._each(lambda i, c: self._encode[i].backward(self.mps[i][c], input[i][c]))
            return gather(self.ishape, *parts)

        def work(s, y, z, c):
            return backend.fft(self._weighted(y[:, c], z), self.spatial, inverse=True) * s.conj()

        return self._in_batches(input, self._zeros(input), work)

    def _zeros(self, x):
        return backend.zeros(self.ishape, x, backend.together(x, self.mps))

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, _Normal(self), "Sense.N")

    def weighted_normal(self, weights: ArrayLike) -> Linop:
        """x -> A^H w A x for real w that broadcast to k-space without coils."""
        weights = backend.like(weights.astype(_check.real_name(self.mps)), self.mps)
        if self.weight is not None:
            weights = self.weight**2 * weights
        weights = weights.reshape(*(1,) * (self.ndim - weights.ndim), *weights.shape)
        if weights.ndim > self.ndim:
            xp = backend.namespace(self.mps)
            weights = xp.broadcast_to(weights, (*self.lead, *weights.shape[-self.ndim:]))
        return _Normal(self, weights)


def gather(shape: Sequence[int], tasks: Any, results: Any):
    """Add the coil groups of each slice into an image of `shape`, always in the same order."""
    out = backend.zeros(shape, results[0])
    for (i, _), part in zip(tasks, results):
        out[i] += part
    return out


class _Normal:
    """A^H A x = sum_c conj(S_c) F_m^H w^2 F_m (S_c x), F_m over the axes that the weights w^2 vary along only.

    Along the others F^H F = I cancels, and with w^2 shifted once no data is shifted; with no such axis it is diagonal.
    On the CPU compiled kernels (`_normal.py`) take large images whose sides have small prime factors; of the rest one
    coil image at a time goes through multiply, FFT, weight, FFT, multiply while it is in the cache.
    """

    def __init__(self, A: Sense, w2=None):
        w2 = A.weight**2 if w2 is None and A.weight is not None else w2
        self.A, self.compiled = A, None
        self.axes = () if w2 is None else tuple(a for a in A.spatial if w2.shape[a] > 1)
        xp = backend.namespace(A.mps)
        if not self.axes:
            energy = (A.mps.real**2 + A.mps.imag**2).sum(-1 - A.ndim)
            self.diagonal = energy if w2 is None else energy * w2
            return
        self.w2 = backend.shift(w2, self.axes, inverse=True)
        kernel = Normal if A.ndim == 2 else NormalVolume
        if xp is np and kernel.fits(A.mps, self.axes):
            self.compiled = kernel(A.mps, self.w2)
        elif xp is np:  # real and imaginary part: w^2 and -w^2, which is w^2 and the conjugate in one pass
            full = np.broadcast_to(self.w2, (*self.w2.shape[:-A.ndim], *A.ishape[-A.ndim:]))
            self.w2 = np.stack([full, -full], -1).reshape(*full.shape[:-1], -1)

    def __call__(self, x):
        if not self.axes:
            return x * self.diagonal
        if self.compiled and backend.together(x, self.A.mps) == _check.dtype_name(self.A.mps):
            return self.compiled(x)
        if backend.namespace(x) is not np:
            return self.A._in_batches(x, self.A._zeros(x), self._batched)
        work = self._planes if self.compiled else self._cached
        return gather(self.A.ishape, *self.A._each(lambda i, c: work(x, i, c)))

    def _w2(self, i):
        return self.w2 if self.w2.ndim == self.A.ndim else self.w2[i]

    def _cached(self, x, i, coils):
        """sum_c conj(S_c) F^H w^2 F (S_c x) as conj(sum_c S_c F conj(w^2 F (S_c x))): no second copy of the maps."""
        import scipy.fft

        x, w2, total, t = x[i], self._w2(i), None, None
        for c in range(coils.start, coils.stop):
            s = self.A.mps[(*i, c)]
            t = np.multiply(s, x, out=t)
            t = scipy.fft.fftn(t, axes=self.axes, norm="ortho", overwrite_x=True, workers=1)
            parts = t.view(t.real.dtype)
            parts *= w2
            t = scipy.fft.fftn(t, axes=self.axes, norm="ortho", overwrite_x=True, workers=1)
            t *= s
            if total is None:
                total, t = t, None
            else:
                total += t
        return np.conjugate(total, out=total)

    def _planes(self, x, i, coils):
        """Of another precision than the maps'."""
        s = self.A.mps[i][coils]
        return self._product(s, x[i], self._w2(i)).sum(0)

    def _batched(self, s, x, z, coils):
        w2 = self.w2 if self.w2.ndim == self.A.ndim else self.A._layered(self.w2)[z, None]
        return self._product(s, x[:, None], w2)

    def _product(self, s, x, w2):
        t = backend.fft(s * x, self.axes, centred=False) * w2
        return backend.fft(t, self.axes, centred=False, inverse=True) * s.conj()


def sense(mps: ArrayLike, mask: ArrayLike | None = None, weights: ArrayLike | None = None, *,
          coord: ArrayLike | None = None, axes: Axes | None = None, shape: Sequence[int] | None = None,
          eps: float = 1e-6) -> Linop:
    """SENSE encoding, A x = M W^(1/2) F S x: image -> k-space of every coil.

    S multiplies by the coil maps, F is the centred orthonormal FFT in two or three dimensions, M the sampling mask, W
    the weights; the adjoint is A^H y = sum_c conj(S_c) F^H M W^(1/2) y_c. `A.N` finds out along which axes the mask
    varies and transforms only those. With maps normalised to sum_c |S_c|^2 <= 1 and a boolean mask, ||A|| <= 1.

    Args:
        mps: coil maps (coil, ky, kx), or (slice, coil, ky, kx) for a volume of slices; complex. They are (coil, kz, ky,
            kx) where `axes` say so, or the mask fits (kz, ky, kx) and not (slice, ky, kx).
        mask: sampling, boolean or 0/1, (ky, kx), (ky, 1), (1, kx) or with a leading slice axis, (kz, ky, kx) in 3-D;
            None: all sampled.
        weights: real weights >= 0 of the squared residual, shaped as `mask`. As in SigPy A holds their square root,
            so y has to be multiplied by sqrt(weights) too.
        coord: points of k-space (..., 2) or (..., 3) in -N/2..N/2 in place of the grid and its mask, as for `nufft`:
            k-space is (coil, *coord.shape[:-1]) then, weights are one for each point, and `A.N` is Toeplitz. With
            `axes` such as ("frame", "coil", "spoke", "sample") coordinates may have the axes before the coils, too:
            then each frame has its own. With "kz" among the axes they are (..., 2), those of all partitions of a stack
            or (kz, ..., 2), and z is transformed by an FFT. A torch tensor that requires a gradient gets one, as for
            `nufft`.
        axes: the names of the axes of k-space, as for `Scan`: ("frame", "coil", "ky", "kx"). A then has the names
            `iaxes` and `oaxes`, and priors find theirs: `TemporalFFT(axis="frame")`.
        shape: the shape of k-space, where it has axes that the maps have not, such as frames seen by the same coils.
        eps: accuracy of F with `coord`, see `nufft`.

    Returns:
        A `sigpy.linop.Linop` from (..., ky, kx) to k-space.

    Raises:
        TypeError, ValueError: maps not numeric, not finite, all zero or of the wrong dimension; mask or weights that
            do not fit, differ between coils, are negative or zero everywhere; names that do not fit.

    Reference:
        Pruessmann et al., Magn Reson Med 42 (1999) 952; 46 (2001) 638.
    """
    if coord is not None:
        if mask is not None:
            raise ValueError("mask beside coord: leave out the coordinates of samples that were not measured")
        return sense_points(mps, coord, weights, axes=axes, shape=shape, eps=eps)
    mps = checked_maps(mps, None if axes or shape else (3, 4))
    ndim = len(_axes.encoded(_axes.words("axes", axes))) if axes else 3 if is_volume(mps, mask, weights) else 2
    if shape is not None:
        mps = spread(mps, _check.shape("shape", shape), ndim)
    A = Sense(mps, mask, weights, ndim=ndim)
    if axes is None:  # what stands before the coils is not known
        A.iaxes = A.oaxes = None
        if not A.lead:
            A.oaxes = (_axes.COIL, *tuple(_axes.GRID)[-ndim:])
    else:
        A.oaxes = _axes.checked(axes, mps.shape)
        if _axes.canonical(A.oaxes) != A.oaxes:
            raise ValueError(f"axes are {', '.join(A.oaxes)}: an operator takes them as {_axes.canonical(A.oaxes)}")
    A.iaxes = None if A.oaxes is None else _axes.of_image(A.oaxes)
    return A
