"""The Fourier transform between an image and points anywhere in k-space, by finufft, and its Toeplitz kernel."""

from __future__ import annotations

from queue import Empty, SimpleQueue

import numpy as np

from pisolve import _check, backend

SINGLE = 1e-4  # accuracy from which single precision does: the phases of points lose 1e-5 there
_EXTENT = 1.05  # points may be this far out, in units of N / 2: delays move them


class PointTransform:
    """k-space at points: y_j = prod(N)^(-1/2) sum_n x[n] exp(-2 pi i sum_a k_ja (n_a - N_a // 2) / N_a).

    One coil image is one task of one thread, with a plan of its own: the bits do not depend on the number of threads.

    Args:
        coord: (point, axis), in -N/2..N/2, real numpy.
        shape: of the image, an axis for each of the coordinates.
        eps: relative accuracy.
    """

    def __init__(self, coord, shape, eps: float):
        self.coord, self.shape, self.eps = np.asarray(coord, np.float64), tuple(shape), eps
        self._plans = {}

    def __getstate__(self):
        return self.__dict__ | {"_plans": {}}

    def forward(self, images, out):
        """out[c] <- F images[c], for images (coil, *shape) and data (coil, point)."""
        self._each(2, images, out)

    def backward(self, data, out):
        """out[c] <- F^H data[c]."""
        self._each(1, data, out)

    def _each(self, kind, given, out):
        single = out.dtype.char == "F" and self.eps >= SINGLE
        dtype, scale = "complex64" if single else "complex128", np.prod(self.shape) ** -0.5
        spare = self._plans.setdefault((kind, dtype), SimpleQueue())

        def one(c):
            try:
                plan = spare.get_nowait()
            except Empty:
                plan = self._plan(kind, dtype)
            np.multiply(plan.execute(np.ascontiguousarray(given[c], dtype)), scale, out=out[c], casting="same_kind")
            spare.put(plan)

        backend.parallel(one, range(len(given)))

    def _plan(self, kind, dtype, shape=None):
        from finufft import Plan

        shape = shape or self.shape
        plan = Plan(kind, shape, 1, self.eps, -1 if kind == 2 else 1, dtype=dtype, nthreads=1, upsampfac=2.0)
        real = "float32" if dtype == "complex64" else "float64"
        plan.setpts(*(np.ascontiguousarray(2 * np.pi / n * k, real) for k, n in zip(self.coord.T, self.shape)))
        return plan

    def kernel(self, weights=None):
        """The P of F^H W F = crop F_M^H P F_M pad on a grid M >= 2 N - 1, as real numbers, the origin first.

        P is the transform of the point spread function p[n] = prod(N)^-1 sum_j w_j exp(2 pi i k_j n / N), |n| < N.
        """
        grid = tuple(_fast_size(2 * n - 1) for n in self.shape)
        ones = np.ones(len(self.coord)) if weights is None else np.broadcast_to(weights, len(self.coord))
        p = self._plan(1, "complex128", grid).execute(ones.astype(np.complex128))
        for axis, (m, n) in enumerate(zip(grid, self.shape)):
            lag = abs(np.arange(m) - m // 2)
            p[(slice(None),) * axis + (lag >= n,)] = 0
        p = np.fft.ifftshift(p)
        import scipy.fft

        return scipy.fft.fftn(p, overwrite_x=True).real / np.prod(self.shape)


def _fast_size(least: int) -> int:
    """The first size from `least` on that is a multiple of 16 and has the factors 2, 3 and 5 only."""
    size = -(-least // 16) * 16 if least > 16 else 1 << (least - 1).bit_length()
    while _rest(size) > 1:
        size += 16
    return size


def _rest(n: int) -> int:
    for p in (2, 3, 5):
        while n % p == 0:
            n //= p
    return n


def axes_of(coord, possible, name: str = "coord", takes: str = "give") -> int:
    """How many axes coordinates (..., axis) have, one of `possible`.

    Args:
        coord: any array.
        possible: numbers of axes.
        name: of the argument, for messages.
        takes: what takes coordinates so, for messages.

    Raises:
        TypeError, ValueError: no array, an empty one, or one whose last axis has another size.
    """
    if not _check.is_array(coord):
        raise TypeError(f"{name} must be an array of coordinates (..., axis), got {type(coord).__name__}")
    shape, possible = tuple(coord.shape), tuple(possible)
    if len(shape) > 1 and 0 not in shape and shape[-1] in possible:
        return shape[-1]
    hint = ""
    if len(shape) > 1 and shape[0] in possible:
        hint = f"; yours looks turned: {f'{name}.T' if len(shape) == 2 else f'numpy.moveaxis({name}, 0, -1)'}"
    forms = " or ".join(f"(..., {d})" for d in possible)
    raise ValueError(f"{name} has shape {shape}: {takes} {forms}, one coordinate for each axis last{hint}")


def checked_coord(coord, shape, name: str = "coord") -> np.ndarray:
    """Coordinates (..., axis) for an image whose encoded axes have this shape, as float64.

    Raises:
        TypeError, ValueError: no real numbers, of another number of axes, not finite, or in other units.
    """
    d = axes_of(coord, (len(shape),), name, f"an image of {'x'.join(map(str, shape))} takes")
    coord = backend.to_numpy(coord)
    if coord.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {coord.dtype}: give real coordinates in -N/2..N/2")
    coord = coord.astype(np.float64)
    if not np.isfinite(coord).all():
        raise ValueError(f"{name} holds NaN or infinite numbers: leave these samples out")
    reach = abs(coord).reshape(-1, d).max(0)
    _check_units(reach, shape, name)
    return coord


def _check_units(reach, shape, name):
    """Refuse coordinates that reach too far, or so little that they are in other units."""
    share = reach / (np.array(shape) / 2)
    far = int(np.argmax(share))
    if share[far] > _EXTENT:
        unit = f"1/m with a field of view of {1 / share[far]:.3g} m, or those of " if share[far] > 1.25 else ""
        raise ValueError(f"{name} reaches {reach[far]:.4g} along axis {far - len(shape)}, and N/2 is "
                         f"{shape[far] / 2:g}: coordinates are in -N/2..N/2, in units of 1 / field of view. If they "
                         f"are {unit}a matrix of {round(2 * reach[far])}, multiply them by {1 / share[far]:.4g}; else "
                         "leave out what lies outside")
    if min(shape) < 16:  # so few samples may lie anywhere
        return
    for unit, most, factor in (("cycles per pixel, -0.5..0.5", 0.5, "N"), ("radians, -pi..pi", np.pi, "N / (2 pi)")):
        if 0 < reach.max() <= most * 1.001 and share[far] < 0.25:
            raise ValueError(f"{name} reaches {reach.max():.4g} only, where N/2 is {max(shape) / 2:g}: this looks like "
                             f"{unit}. Multiply it by {factor}, N = {tuple(shape)}")
