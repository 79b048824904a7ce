"""Sparse priors. Complex convention, everywhere: the magnitude is sparse, real and imaginary part go together."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from typing import Any

from pisolve import _axes, _check, backend
from pisolve._check import choice, integer, is_torch, number
from pisolve._types import Array, ArrayLike, Axes
from pisolve.backend import real
from pisolve.linops import apply, gradient
from pisolve.priors._dual import dual_prox
from pisolve.priors._names import ByName
from pisolve.priors._weights import Weights
from pisolve.priors.base import Prior


def as_call(prior) -> str:
    """The call that makes a prior, with the arguments that differ from their defaults: a `__repr__`."""
    arguments = [(p.name, getattr(prior, p.name, p.default), p.default)
                 for p in inspect.signature(type(prior)).parameters.values()]
    return f"{type(prior).__name__}({', '.join(f'{n}={v!r}' for n, v, default in arguments if v != default)})"


def axis_tuple(name, axes) -> tuple | None:
    """Checked axes as they were given, for an unknown to come: names, numbers, or None for its spatial axes."""
    if axes is None:
        return None
    axes = (axes,) if isinstance(axes, str) else axes
    if not isinstance(axes, tuple | list) or not axes:
        raise TypeError(f"{name} must be a tuple of axes such as ('y', 'x') or (-2, -1), got {_check.brief(axes)}")
    numbers = [a for a in axes if not isinstance(a, str)]
    if numbers:
        _check.axes(name, numbers, 64)
    if any(isinstance(a, str) for a in axes):
        _axes.words(name, [a for a in axes if isinstance(a, str)])
    return tuple(a if isinstance(a, str) else int(a) for a in axes)


def one_axis(name, axis):
    """A checked axis as it was given: a name or a number."""
    return _axes.words(name, (axis,))[0] if isinstance(axis, str) else integer(name, axis)


class _Magnitudes(Prior):
    """sum h(t) over magnitudes t = `_length(x)`: h(t) = t, or Huber's function of it where delta > 0."""

    delta: float | None
    weights: Any
    has_grad: Any
    homogeneous: bool
    lipschitz: float

    __repr__ = as_call

    def __init__(self, delta: Any, weights: Any = None) -> None:
        self.delta, self.weights = number("delta", delta, low=0), Weights.of(weights)
        self.has_grad, self.homogeneous = self.delta > 0, self.delta == 0
        self.lipschitz: Any = (1 if self.weights is None else self.weights.largest) / self.delta if self.delta else 0.0

    def _axes(self, ndim):
        return ()

    def _length(self, x):
        return backend.magnitude(x)

    def weighted(self, weights: Any) -> Any:
        other, own = copy(self), self.weights
        _Magnitudes.__init__(other, self.delta, weights if own is None else own.array * Weights.of(weights).array)
        return other

    def _weighted(self, x, value):
        """value times the weights of the magnitudes of x, where there are any."""
        if self.weights is None:
            return value
        own = self._axes(x.ndim)
        return self.weights.like(x, [1 if a - x.ndim in own or a in own else n for a, n in enumerate(x.shape)]) * value

    def value(self, x: Any) -> Any:
        t = self._length(x)
        if self.delta:
            near = t.clip(max=self.delta)
            t = near**2 / (2 * self.delta) + (t - near)
        return real(self._weighted(x, t).sum())

    def prox(self, x: Any, step: Any) -> Any:
        step = self._weighted(x, step)
        if not self.delta:
            return backend.shrink(x, step, axes=self._axes(x.ndim))
        return x * (1 - step / self._length(x).clip(min=self.delta + step))

    def grad(self, x: Any) -> Any:
        return self._weighted(x, x / self._length(x).clip(min=self.delta)) if self.delta else super().grad(x)

    def dual_norm(self, x: Any) -> Any:
        if self.delta or self.weights is None:
            return super().dual_norm(x) if self.delta else real(self._length(x).max())
        t, w, xp = self._length(x), self._weighted(x, 1.0), backend.namespace(x)
        free = w == 0  # where nothing is penalised the ball is a point
        return math.inf if bool(((t > 0) & free).any()) else real((t / xp.where(free, xp.ones_like(w), w)).max())


class L1(_Magnitudes):
    """g(x) = sum |x|, with the complex modulus; prox: soft thresholding, x max(1 - step/|x|, 0).

    Use:
        for images that are sparse themselves, such as angiograms, and behind an operator that makes them so: the prox
        stays in closed form behind a unitary one (`wavelet`, `fft`).

    Args:
        delta: in the units of x; > 0 makes it Huber's function of the magnitudes, |x|^2 / (2 delta) up to delta and
            |x| - delta/2 beyond: gradient x / max(|x|, delta), prox x (1 - step / max(|x|, delta + step)).
        weights: w >= 0, an array that broadcasts to x, for g(x) = sum w |x|: what `w * L1()` makes.

    Raises:
        TypeError: weights that are no real array.
        ValueError: a negative delta or weight; with an image, weights that do not broadcast to it.

    Reference:
        Donoho, IEEE Trans Inf Theory 41 (1995) 613; Huber, Ann Math Stat 35 (1964) 73.

    Example:
        pi.recon(scan, 2e-3 * pi.L1() @ pi.linops.wavelet(shape, "haar"))
    """

    pointwise = True

    def __init__(self, *, delta: float = 0.0, weights: ArrayLike | None = None):
        super().__init__(delta, weights)


class L21(ByName, _Magnitudes):
    """g(x) = sum_r sqrt(sum_a |x_a(r)|^2), a along `axis`: groups go to zero together (isotropic TV's own norm).

    `L21() @ linops.wavelet(shape)` is joint sparsity: frames, echoes or coils share where their coefficients are.

    Use:
        for frames, echoes or contrasts that share their edges. Behind `linops.gradient` it is isotropic total
        variation.

    Args:
        axis: the joint axis, a name or a number, or a tuple of them.
        delta: as in `L1`, Huber's function of the lengths of the groups.
        weights: w >= 0 of the groups, an array that broadcasts to x with `axis` of size 1.

    Raises:
        TypeError, ValueError: axes that are no whole numbers, or one twice; a negative delta; weights as in `L1`.

    Reference:
        Yuan and Lin, J R Stat Soc B 68 (2006) 49; Majumdar and Ward, Magn Reson Imaging 29 (2011) 408.

    Example:
        pi.recon(scan, 1e-3 * pi.L21() @ pi.linops.gradient(shape, boundary="neumann"))
    """

    axis: Any

    def __init__(self, axis: str | int | tuple[Any, ...] = 0, *, delta: float = 0.0, weights: ArrayLike | None = None):
        super().__init__(delta, weights)
        self.axis: Any = axis_tuple("axis", axis) if isinstance(axis, tuple | list) else one_axis("axis", axis)

    def _axes(self, ndim):
        return self.places("axis", self.axis, ndim)

    def split(self, shape: Sequence[int]) -> tuple[Prior, Any]:
        self._axes(len(shape))  # refused here, not in the middle of a run
        return self, None

    def _length(self, x):
        axes, xp = self._axes(x.ndim), backend.namespace(x)
        if is_torch(x):
            square = (x.real**2 + x.imag**2).sum(axes, keepdim=True)
            safe = square.clamp_min(xp.finfo(square.dtype).tiny)  # the square root's slope at 0 is cut off, not NaN
            return backend.sqrt(safe)
        if len(axes) > 1:
            return xp.sqrt((x.real**2 + x.imag**2).sum(axes, keepdims=True))
        square = sum(d.real**2 + d.imag**2 for d in xp.moveaxis(x, axes[0], 0))  # no temporary of x's size
        return xp.expand_dims(xp.sqrt(square), axes[0])


class L1MinusL2(Prior):
    """g(x) = ||x||_1 - alpha ||x||_2, over the whole array: sparser than L1, and no bias for a single large entry.

    Not convex: solvers find a stationary point that depends on the start. With t = step and z = soft(x, t), the prox is
    z (1 + alpha t / ||z||_2) where z is not 0; else all but one entry of largest magnitude m is 0, and that one keeps
    max(m - (1 - alpha) t, 0).

    Use:
        where few coefficients carry the image and L1 would shrink them. The second term is one norm of all
        coefficients: with many of them it hardly counts, and the image is L1's.

    Args:
        alpha: 0 (L1) to 1.

    Raises:
        ValueError: alpha outside 0..1.

    Reference:
        Lou and Yan, J Sci Comput 74 (2018) 767, Lemma 1; Yin et al., SIAM J Sci Comput 37 (2015) A536.

    Example:
        pi.recon(scan, 2e-3 * pi.L1MinusL2() @ pi.linops.wavelet(shape))
    """

    alpha: float | None

    convex = False
    __repr__ = as_call

    def __init__(self, *, alpha: float = 1.0):
        self.alpha: float | None = number("alpha", alpha, low=0, high=1)

    def value(self, x: ArrayLike) -> float | None:
        return real(abs(x).sum()) - self.alpha * real(backend.norm(x))

    def prox(self, x: ArrayLike, step: Any) -> Array:
        z = backend.shrink(x, step)
        length = backend.norm(z)
        if real(length) > 0:
            return z * (1 + self.alpha * step / length)
        top, one = int(abs(x).reshape(-1).argmax()), backend.zeros_like(x).reshape(-1)
        one[top:top + 1] = backend.shrink(x.reshape(-1)[top:top + 1], (1 - self.alpha) * step)
        return one.reshape(x.shape)


class TV(ByName, Prior):
    """Total variation: g(x) = sum_r sqrt(|d_y x|^2 + |d_x x|^2) (isotropic) or sum_r |d_y x| + |d_x x| (anisotropic).

    Forward differences along `axes`, complex modulus. ADMM and PDHG split it into a norm of `linops.gradient`;
    `prox` iterates on the dual to the precision of the array. With delta > 0 there is a gradient in place of the prox.

    Use:
        for images of flat regions with sharp edges, and in time for series in which little changes at once. Fine
        texture and slopes come out in patches.

    Args:
        isotropic: rotation-invariant (True) or per-axis (False; SigPy's TotalVariationRecon).
        axes: where to differ: names, ("frame",) in time, ("frame", "y", "x") in both, or numbers; None: along the
            spatial axes, two or three.
        delta: > 0 rounds the norm off below delta, as in `L1`; `lipschitz` is then ||G||^2 / delta.
        boundary: "periodic" (as SigPy and BART) or "neumann" (for time: the last frame has no successor).
        weights: w >= 0, an array that broadcasts to x, for sum_r w(r) ...: less where there is detail, more where there
            is none. It is what `w * TV()` makes.

    Raises:
        TypeError, ValueError: axes that are no tuple of distinct whole numbers, a negative delta, unknown boundary;
            weights as in `L1`.

    Reference:
        Rudin, Osher and Fatemi, Physica D 60 (1992) 259; Block, Uecker and Frahm, Magn Reson Med 57 (2007) 1086.

    Example:
        pi.recon(scan, 1e-3 * pi.TV())
    """

    isotropic: Any
    axes: Any
    boundary: Any
    f: Any
    weights: Any
    delta: float | None
    has_grad: Any
    homogeneous: bool
    slow_prox: bool

    has_prox = False
    __repr__ = as_call

    def __init__(self, isotropic: bool = True, *, axes: Axes | None = None, delta: float = 0.0,
                 boundary: str = "periodic", weights: ArrayLike | None = None):
        self.isotropic, self.axes = choice("isotropic", isotropic, (True, False)), axis_tuple("axes", axes)
        self.boundary: Any = choice("boundary", boundary, ("periodic", "neumann"))
        self.f: Any = (L21 if isotropic else L1)(delta=delta, weights=weights)
        self.weights: Any = self.f.weights
        self.delta, self.has_grad, self.homogeneous = self.f.delta, self.f.has_grad, self.f.homogeneous
        self.slow_prox: bool = self.homogeneous

    @property
    def lipschitz(self) -> float:
        """4 for each axis, the bound of the differences' squared norm, times Huber's."""
        count = len(self.axes or _axes.spatial(self.names or (None, None)))
        return 4 * count * self.f.lipschitz

    def weighted(self, weights: ArrayLike) -> Any:
        other = copy(self)
        other.f = self.f.weighted(weights)
        other.weights = other.f.weights
        return other

    def value(self, x: ArrayLike) -> float | None:
        f, G = self.split(x.shape)
        return f.value(apply(G, x))

    def prox(self, x: ArrayLike, step: Any) -> Array:
        return dual_prox(*self.split(x.shape), x, step) if self.slow_prox else super().prox(x, step)

    def grad(self, x: ArrayLike) -> Array:
        f, G = self.split(x.shape)
        return apply(G.H, f.grad(apply(G, x)))

    def split(self, shape: Sequence[int]) -> tuple[Prior, Any]:
        if self.weights is not None:
            _check.levels("weights", self.weights.array, shape, zero=True)
        return self.f, _gradient(tuple(shape), self.places("axes", self.axes, len(shape)), self.boundary)


@lru_cache(32)
def _gradient(shape, axes, boundary):
    """Made once for each shape."""
    return gradient(shape, axes, boundary=boundary)
