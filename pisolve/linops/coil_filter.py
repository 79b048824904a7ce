"""A short convolution in k-space that mixes the coils: a coil x coil matrix at every pixel of the coil images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint

_ROWS = 1 << 17  # entries of a group of rows and their shifted copies: what stays in a core's cache


class CoilFilter(Linop):
    """The class behind `coil_filter`.

    Along y the matrices are evaluated at every row once, `rows` (y, coil out, coil in * kx taps); along x the taps
    multiply the rows of the coil images, so that applying it is one matrix product a row and needs little memory.
    The matrices of every pixel, stored as the Hermitian half of A^H A, were applied 2 to 3 times faster by a compiled
    kernel, but take 4 coil^2 bytes a pixel (420 MB for 32 x 320 x 320) and as long to make as they save in 30 steps.
    """

    host = False

    domain: str
    kernel: Any

    def __init__(self, kernel: Any, shape: Sequence[int], domain: str = "image"):
        kernel = _check.array("kernel", kernel, ndim=4, nonzero=True)
        if _check.is_torch(kernel):
            kernel = backend.from_torch(kernel, kernel if backend.native(kernel) else None)
        shape = _check.shape("shape", shape)
        self.domain = _check.choice("domain", domain, ("image", "kspace"))
        coils, coils_in, *size = kernel.shape
        if coils != coils_in or not all(n % 2 for n in size):
            raise ValueError(f"kernel has shape {tuple(kernel.shape)}: (coil, coil, ky, kx) with odd sizes is needed")
        if len(shape) != 3 or shape[0] != coils:
            raise ValueError(f"shape must be (coil, y, x) of the kernel's {coils} coils, got {shape}")
        if any(n > m for n, m in zip(size, shape[1:])):
            raise ValueError(f"kernel of {size[0]} x {size[1]} samples is larger than k-space, {shape[1]} x {shape[2]}")
        _check.scale("kernel", float(abs(kernel).max()), _check.dtype_name(kernel), "fit it to data of a usual size")
        self.kernel = kernel
        super().__init__(shape, shape)

    @cached_property
    def rows(self) -> Any:
        """(y, coil, coil * kx): the matrices of each row, still to be summed over the taps along x."""
        c, n = self.kernel.shape[0], self.kernel.shape[-1]
        ey = factors(self.ishape[1], self.kernel.shape[2], _check.dtype_name(self.kernel)).like(self.kernel)
        flat = backend.namespace(self.kernel).moveaxis(self.kernel, 2, 0).reshape(self.kernel.shape[2], -1)
        return (ey @ flat).reshape(-1, c, c * n)

    @cached_property
    def columns(self) -> Any:
        """(kx, x): the factors of the taps along x."""
        return backend.copy(factors(self.ishape[2], self.kernel.shape[3], _check.dtype_name(self.kernel)).like(
            self.kernel).T)

    def matrices(self, y: Any, x: Any) -> Any:
        """The coil x coil matrices (y, x, coil, coil) at fractions y, x (arrays, 0 the centre) of the field of view."""
        kernel = backend.to_numpy(self.kernel).astype(complex)
        ey, ex = (np.exp(-2j * np.pi * np.outer(t, np.arange(n) - n // 2)) for t, n in zip((y, x), kernel.shape[2:]))
        return np.einsum("yi,cdij,xj->yxcd", ey, kernel, ex, optimize=True)

    def norm_bound(self) -> float | None:
        return self._bound

    @cached_property
    def _bound(self):
        """The largest norm of a pixel's matrix, guaranteed from a few of them.

        The matrix is a trigonometric polynomial of degree k // 2 along each axis. On a grid of M > 2 (k // 2) points it
        misses at most the factor 1 / cos(pi (k // 2) / M) an axis (Ehlich and Zeller, Math Z 86 (1964) 41).
        """
        grid, factor = [], 1.0
        for n, k in zip(self.ishape[1:], self.kernel.shape[2:]):
            fine = 16 * (k // 2)
            if n <= fine:
                grid.append((np.arange(n) - n // 2) / n)
            else:
                grid.append(np.arange(fine) / fine)
                factor /= np.cos(np.pi * (k // 2) / fine)
        with backend.one_blas_thread():
            tops = backend.parallel(
                lambda y: np.linalg.norm(self.matrices([y], grid[1]), 2, axis=(2, 3)).max(), grid[0])
        return float(factor * max(tops)) * (1 + 1e-5)  # the rounding of single precision

    def _apply(self, input):
        return self._in_domain(self._filter, input)

    def _apply_adjoint(self, input):
        return self._in_domain(lambda x: self._by_rows(self._backward, x), input)

    def _in_domain(self, work, x):
        if self.domain == "image":
            return work(x)
        return backend.fft(work(backend.fft(x, (-2, -1), inverse=True)), (-2, -1))

    def _filter(self, x):
        return self._by_rows(self._forward, x)

    def _by_rows(self, work, x):
        """work(rows, x (y, coil, x)) -> (y, coil, x) for groups of rows; the same for any number of threads."""
        out = backend.empty(self.oshape, x, backend.together(x, self.kernel))
        y = x.swapaxes(0, 1)
        if backend.namespace(x) is not np:
            out[:] = work(self.rows, y).swapaxes(0, 1)
            return out
        step = max(1, _ROWS // (self.rows.shape[2] * x.shape[2]))
        cuts = [*range(0, x.shape[1], step), x.shape[1]]

        def group(ends):
            part = slice(*ends)
            out[:, part] = work(self.rows[part], y[part]).swapaxes(0, 1)

        with backend.one_blas_thread() if len(cuts) > 2 else nullcontext():  # a limit costs more than a small product
            backend.parallel(group, pairwise(cuts))
        return out

    def _forward(self, rows, y):
        shifted = y[:, :, None] * self.columns
        return backend.cast(rows, shifted) @ shifted.reshape(len(y), -1, y.shape[-1])

    def _backward(self, rows, y):
        kind = backend.together(rows, y)  # torch multiplies no matrices of different kinds
        parts = backend.cast(rows.conj().swapaxes(-2, -1), kind) @ backend.cast(y, kind)
        parts = parts.reshape(len(y), self.kernel.shape[0], -1, y.shape[-1])
        return (parts * self.columns.conj()).sum(2)

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        if any(2 * k - 1 > n for n, k in zip(self.ishape[1:], self.kernel.shape[2:])):
            return self.H * self
        squared = CoilFilter(self._squared(), self.ishape, self.domain)  # one product where A^H after A takes two
        return SelfAdjoint(self.ishape, squared._apply, "CoilFilter.N")

    def _squared(self):
        """The kernel of the normal operator, 2k - 1 taps: h[l] = sum over d of g[d]^H g[d + l]."""
        g = backend.to_numpy(self.kernel).astype(complex)
        size = [2 * k - 1 for k in g.shape[2:]]
        whole = np.zeros((*g.shape[:2], *size), complex)
        for dy, dx in np.ndindex(g.shape[2:]):
            top, left = g.shape[2] - 1 - dy, g.shape[3] - 1 - dx
            whole[:, :, top:top + g.shape[2], left:left + g.shape[3]] += np.einsum(
                "ba,bcij->acij", g[:, :, dy, dx].conj(), g, optimize=True)
        return backend.like(whole.astype(_check.dtype_name(self.kernel)), self.kernel)


@lru_cache(32)
def factors(n, taps, dtype) -> backend.Constant:
    """(n, taps): exp(-2 pi i d (r - n//2) / n), by which a shift by d in k-space multiplies the image at r."""
    turns = np.exp(-2j * np.pi / n * np.outer(np.arange(n) - n // 2, np.arange(taps) - taps // 2))
    return backend.Constant(turns.astype(dtype))


def coil_filter(kernel: Sequence[int], shape: Sequence[int], domain: str = "image") -> CoilFilter:
    """What a convolution kernel over the coils' k-space does, on coil images or on k-space.

        (K k)_c(y, x) = sum over c', dy, dx of kernel[c, c', dy, dx] k_c'(y + dy - ky//2, x + dx - kx//2)

    with k-space periodic; on coil images it is a coil x coil matrix at every pixel. The two domains differ by the
    centred orthonormal FFT. SPIRiT's G and the projections of structured low-rank methods are such filters.

    Args:
        kernel: (coil, coil, ky, kx) complex, sizes odd and at most those of k-space; numpy, cupy or torch.
        shape: (coil, y, x) of the coil images or of k-space.
        domain: "image" or "kspace", what the operator takes and gives.

    Returns:
        A linop from `shape` to itself with a guaranteed `norm_bound` and a normal operator of its own.

    Raises:
        TypeError, ValueError: shapes that do not fit, an even kernel, NaN, an unknown domain.
    """
    return CoilFilter(kernel, shape, domain)
