"""The Fourier transform between an image and points anywhere in k-space, by finufft, and its Toeplitz kernel."""

from __future__ import annotations

from itertools import product

import numpy as np

from pisolve import _check, backend

SINGLE = 1e-4  # accuracy from which single precision does: the phases of points lose 1e-5 there
NARROW = 1e-9  # accuracy down to which volumes are gridded 1.25 times finer, not twice: less memory, as fast
_EXTENT = 1.05  # points may be this far out, in units of N / 2: delays move them


class PointTransform:
    """k-space at points: y_j = prod(N)^(-1/2) sum_n x[n] exp(-2 pi i sum_a k_ja (n_a - N_a // 2) / N_a).

    One coil image is one task of one thread, with a plan of its own: the bits do not depend on the number of threads.

    Args:
        coord: (point, axis), in -N/2..N/2, real numpy.
        shape: of the image, an axis for each of the coordinates.
        eps: relative accuracy.
        finer: how much finer than the image finufft's grid is, 1.25 or 2; None: by the number of axes and `eps`. 1.25
            is 4 times as fast for few points on a large image, whose FFT is the work.
    """

    def __init__(self, coord, shape, eps: float, finer: float | None = None):
        self.coord, self.shape, self.eps = np.asarray(coord, np.float64), tuple(shape), eps
        self.finer = finer or (1.25 if len(self.shape) == 3 and eps >= NARROW else 2.0)
        self._plans, self._radians = {}, {}

    def __getstate__(self):
        return self.__dict__ | {"_plans": {}, "_radians": {}}

    def forward(self, images, out):
        """out[c] <- F images[c], for images (coil, *shape), or what makes them one by one, and data (coil, point)."""
        self._each(2, images, out)

    def backward(self, data, out):
        """out[c] <- F^H data[c]."""
        self._each(1, data, out)

    def _each(self, kind, given, out):
        dtype = "complex64" if out.dtype.char == "F" and self.eps >= SINGLE else "complex128"

        def one(c):
            np.multiply(self._transformed(kind, dtype, given[c]), np.prod(self.shape) ** -0.5, out=out[c],
                        casting="same_kind")

        side = self._side_by_side(out)
        for c in range(0, len(out), side):
            backend.parallel(one, range(c, min(c + side, len(out))))

    def _transformed(self, kind, dtype, values):
        """finufft's sum of one image or of the samples of one coil."""
        # in a volume a plan is as large as the images, and soon made anew: it is not kept
        kept = self._plans.setdefault((kind, dtype), []) if len(self.shape) < 3 else []
        with backend.borrowed(kept, lambda: self._plan(kind, dtype)) as plan:
            return plan.execute(np.ascontiguousarray(values, dtype))

    def _side_by_side(self, images) -> int:
        """How many transforms run at a time: all, but in volumes as many as hold no more than `images`, or one."""
        if len(self.shape) < 3:
            return max(1, len(images))  # the library's threads take them in turns
        each = 16 * (1.25**3 + 1) * np.prod(self.shape) + 24 * len(self.coord)  # grid, image, points in double
        return max(1, int(len(images) * images.itemsize * np.prod(self.shape) // each))

    def _plan(self, kind, dtype):
        from finufft import Plan

        plan = Plan(kind, self.shape, 1, self.eps, -1 if kind == 2 else 1, dtype=dtype, nthreads=1,
                    upsampfac=self.finer)
        plan.setpts(*self._places("float32" if dtype == "complex64" else "float64"))
        return plan

    def _places(self, real):
        """The coordinates in radians, one array for each axis, which all plans share."""
        if real not in self._radians:
            self._radians[real] = [np.ascontiguousarray(2 * np.pi / n * k, real)
                                   for k, n in zip(self.coord.T, self.shape)]
        return self._radians[real]

    def kernel(self, weights=None, dtype=np.complex128):
        """The P of F^H W F = crop F_M^H P F_M pad on a grid M >= 2 N - 1, as real numbers, the origin first.

        P is the transform of the point spread function p[n] = prod(N)^-1 sum_j w_j exp(2 pi i k_j n / N), |n| < N.
        p[-n] = conj(p[n]): lags >= 0 along the last axis do, and come in blocks of the size of the image, by F^H of
        weights that are shifted by a phase.
        """
        import scipy.fft

        grid = tuple(_fast_size(2 * n - 1) for n in self.shape)
        p = np.zeros((*grid[:-1], grid[-1] // 2 + 1), dtype)
        weights = np.ones(1) if weights is None else weights

        def block(signs):  # lags of 0 to N - 1, or of -N to -1
            start = np.array([n // 2 if s > 0 else n // 2 - n for s, n in zip(signs, self.shape)])
            phase = np.exp(1j * (self.coord @ (2 * np.pi / np.array(self.shape) * start)))
            phase *= weights
            lags = (slice(n) if s > 0 else slice(m - n, m) for s, n, m in zip(signs, self.shape, grid))
            p[tuple(lags)] = self._transformed(1, "complex128", phase)

        blocks = list(product(*[(1, -1) if n > 1 else (1,) for n in self.shape[:-1]], (1,)))
        for k in range(0, len(blocks), 2):  # two at a time: more would hold more than P
            backend.parallel(block, blocks[k:k + 2])
        for axis, n in enumerate(self.shape[:-1]):
            if n > 1:
                p[(slice(None),) * axis + (-n,)] = 0
        P = scipy.fft.hfftn(p, grid, overwrite_x=True)
        P /= P.dtype.type(np.prod(self.shape))
        return P


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
