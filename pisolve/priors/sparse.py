"""Sparse priors. Complex convention, everywhere: the magnitude is sparse, real and imaginary part go together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pisolve import backend
from pisolve._check import choice, integer
from pisolve.linops import apply, gradient, wavelet
from pisolve.priors.base import Prior, dual_prox, real


class L1(Prior):
    """g(x) = sum |x|, with the complex modulus; prox: soft thresholding, x max(1 - step/|x|, 0)."""

    homogeneous = True

    def value(self, x):
        return real(abs(x).sum())

    def prox(self, x, step):
        return backend.shrink(x, step)


class L21(Prior):
    """g(x) = sum_r sqrt(sum_a |x_a(r)|^2), a the first axis: groups go to zero together (isotropic TV's own norm)."""

    homogeneous = True

    def value(self, x):
        return real(self._length(x).sum())

    def prox(self, x, step):
        return x * backend.shrink_factor(self._length(x), step)

    @staticmethod
    def _length(x):
        if not hasattr(x, "detach"):
            return backend.sqrt(sum(d.real**2 + d.imag**2 for d in x))
        square = (x.real**2 + x.imag**2).sum(0)  # torch: the square root's slope at 0 is cut off, not NaN
        safe = square.clamp_min(backend.namespace(x).finfo(square.dtype).tiny)
        return backend.sqrt(safe)


class Wavelet(Prior):
    """g(x) = ||W x||_1, W an orthonormal wavelet transform of the last two axes; exact prox W^H shrink(W x).

    Args:
        name: an orthogonal wavelet of PyWavelets.
        levels: number of levels, None for as many as make sense (at most 5).
        shifts: cycle spinning: iteration k of a solver takes W on an image shifted by the (k mod shifts)-th of this
            many seeded random offsets, which removes the blocks of a decimated transform. 0: none, the exact minimiser.
        seed: of the offsets.

    Raises:
        ValueError: unknown or biorthogonal wavelet.

    Reference:
        Lustig et al., Magn Reson Med 58 (2007) 1182; Coifman and Donoho (1995) for cycle spinning.
    """

    def __init__(self, name: str = "db4", levels: int | None = None, *, shifts: int = 0, seed: int = 0):
        self.name, self.levels = name, integer("levels", levels, low=0, allow_none=True)
        self.shifts, self.seed = integer("shifts", shifts, low=0), integer("seed", seed, low=0)
        wavelet((8, 8), name, 1)  # an unknown name is refused here, not in the middle of a run

    def W(self, shape):
        """The transform for an image of this shape."""
        return _wavelet(tuple(shape), self.name, self.levels)

    def value(self, x):
        return real(abs(apply(self.W(x.shape), x)).sum())

    def prox(self, x, step):
        W = self.W(x.shape)
        return apply(W.H, backend.shrink(apply(W, x), step))

    def at(self, k: int) -> Prior:
        """The prior as it acts in iteration k: with its own shift when cycle spinning is on."""
        if not self.shifts:
            return self
        offset = np.random.default_rng([self.seed, k % self.shifts]).integers(0, 1 << 12, 2)
        return _Shifted(self, tuple(int(n) for n in offset))

    def __repr__(self):
        return f"Wavelet({self.name!r}{f', shifts={self.shifts}' if self.shifts else ''})"


class _Shifted(Prior):
    """A prior of the image rolled by an offset of its last two axes."""

    homogeneous = True

    def __init__(self, prior, offset):
        self.prior, self.offset = prior, offset

    def _roll(self, x, sign):
        xp = backend.namespace(x)
        return xp.roll(x, tuple(sign * n % m for n, m in zip(self.offset, x.shape[-2:])), (-2, -1))

    def value(self, x):
        return self.prior.value(self._roll(x, 1))

    def prox(self, x, step):
        return self._roll(self.prior.prox(self._roll(x, 1), step), -1)


class TV(Prior):
    """Total variation: g(x) = sum_r sqrt(|d_y x|^2 + |d_x x|^2) (isotropic) or sum_r |d_y x| + |d_x x| (anisotropic).

    Forward differences of the last two axes, complex modulus. ADMM and PDHG split it into a norm of `linops.gradient`;
    `prox` iterates on the dual to the precision of the array.

    Args:
        isotropic: rotation-invariant (True) or per-axis (False; SigPy's TotalVariationRecon).
        boundary: "periodic" (as SigPy and BART) or "neumann".

    Reference:
        Rudin, Osher and Fatemi, Physica D 60 (1992) 259; Block, Uecker and Frahm, Magn Reson Med 57 (2007) 1086.
    """

    has_prox = False
    slow_prox = True
    homogeneous = True

    def __init__(self, isotropic: bool = True, *, boundary: str = "periodic"):
        self.boundary = choice("boundary", boundary, ("periodic", "neumann"))
        self.f = L21() if isotropic else L1()
        self.isotropic = bool(isotropic)

    def value(self, x):
        f, G = self.split(x.shape)
        return f.value(apply(G, x))

    def prox(self, x, step):
        return dual_prox(*self.split(x.shape), x, step)

    def split(self, shape):
        return self.f, _gradient(tuple(shape), self.boundary)

    def __repr__(self):
        return "TV()" if self.isotropic else "TV(isotropic=False)"


# Operators are made once for each shape.
_wavelet = lru_cache(32)(wavelet)


@lru_cache(32)
def _gradient(shape, boundary):
    return gradient(shape, boundary=boundary)
