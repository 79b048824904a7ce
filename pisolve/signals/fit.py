"""The fit of a signal model to each pixel of a series of images: all pixels side by side."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np

from pisolve import _check, backend
from pisolve._types import ArrayLike, Numbers
from pisolve.signals._times import checked_times, in_front
from pisolve.signals.maps import Maps
from pisolve.signals.model import SHARE as _SHARE
from pisolve.signals.model import Model

_PIECE = 4096  # pixels of a task
_STEPS, _GAIN, _EXACT = 40, 1e-6, 1e-20  # iterations; the share of the misfit, and of the signal, that is no gain
_EDGE = 1e-6  # how near the end of its range a parameter is not determined
_SNR = 50.0  # of the best image, at which times must tell every parameter
_TELLS = 0.5  # relative standard deviation of the first, from which they do not


class TimesWarning(UserWarning):
    """The times of a series do not tell a parameter of the model."""


class _Pixels:
    """Pixels y (time, pixel) under a model: the misfit with the best amplitude, and its steps (variable projection)."""

    def __init__(self, model, times, y):
        self.model, self.times, self.y = model, times, y
        self.log = np.array([p.logarithmic for p in model.parameters])[:, None]
        low, high = (np.array([[getattr(p, end)] for p in model.parameters]) for end in ("low", "high"))
        self.low, self.high = self.inner(low), self.inner(high)

    def inner(self, p):
        """p as the fit sees it."""
        return np.where(self.log, np.log(np.where(self.log, p, 1)), p)

    def outer(self, u):
        """The parameters themselves."""
        return np.where(self.log, np.exp(np.where(self.log, u, 0)), u)

    def amplitude(self, s, y):
        return (s.conj() * y).sum(0) / np.maximum((abs(s) ** 2).sum(0), 1e-300)

    def misfit(self, u, of):
        s, y = self.model.value(self.times, self.outer(u)), self.y[:, of]
        return (abs(y - self.amplitude(s, y) * s) ** 2).sum(0)

    def steps(self, u, of):
        """(Hessian (pixel, p, p), gradient (pixel, p)) of half the misfit by Gauss-Newton, without the amplitude."""
        p, y = self.outer(u), self.y[:, of]
        s, d = self.model.both(self.times, p)
        d = d * np.where(self.log, p, 1)[:, None]
        a = self.amplitude(s, y)
        d = a * (d - s * ((s.conj() * d).sum(1) / np.maximum((abs(s) ** 2).sum(0), 1e-300))[:, None])
        r = y - a * s
        hessian = np.einsum("atn,btn->nab", d.conj(), d).real
        return hessian, (d.conj() * r).sum(1).real.T

    def start(self):
        """The best of the model's starting values for each pixel."""
        grid = starts(self.model)
        s = self.model.value(self.times, grid)
        s = s / np.maximum(np.sqrt((abs(s) ** 2).sum(0)), 1e-300)
        return self.inner(grid[:, abs(s.conj().T @ self.y).argmax(0)])

    def solve(self):
        """(u, misfit): Levenberg's and Marquardt's steps, of the pixels that still gain."""
        u = self.start()
        of = np.arange(self.y.shape[1])
        cost, damping = self.misfit(u, of), np.full(len(of), 1e-3)
        energy = (abs(self.y) ** 2).sum(0)
        for _ in range(_STEPS):
            hessian, gradient = self.steps(u[:, of], of)
            step, gain = damped(hessian, gradient, damping[of])
            new = np.clip(u[:, of] + step, self.low, self.high)
            value = self.misfit(new, of)
            better = value <= cost[of]
            at = of[better]
            u[:, at], cost[at] = new[:, better], value[better]
            damping[of] = np.where(better, damping[of] / 10, damping[of] * 10)
            of = of[(gain > _GAIN * cost[of] + _EXACT * energy[of]) & (damping[of] < 1e8)]
            if not len(of):
                break
        return u, cost


def starts(model) -> np.ndarray:
    """(parameter, value) of all combinations of the values from which a fit may start."""
    return np.array(list(product(*(p.values() for p in model.parameters)))).T


def damped(hessian, gradient, damping):
    """The step (p, pixel) of (H + damping diag H) step = gradient, and what it promises."""
    k = hessian.shape[-1]
    diagonal = np.einsum("naa->na", hessian)
    floor = 1e-14 * np.maximum(diagonal.max(1, keepdims=True), 1e-290)
    H = hessian + np.eye(k) * (damping[:, None] * diagonal + floor)[:, None]
    step = gradient / H[:, 0] if k == 1 else np.linalg.solve(H, gradient[..., None])[..., 0]
    return step.T, (gradient * step).sum(1)


def covariance(hessian, free=None):
    """Diagonal of the inverse, (p, pixel), infinite where there is none.

    A parameter that is not `free` (p, pixel) lies at the end of its range and stays there: it takes nothing from what
    is known of the others, and its own variance is infinite.
    """
    if free is not None and not free.all():
        free = free.T
        diagonal = np.eye(hessian.shape[-1])
        hessian = np.where(free[:, :, None] & free[:, None], hessian, diagonal)
        return np.where(free.T, covariance(hessian), np.inf)
    scale = np.sqrt(np.einsum("naa->na", hessian))
    safe = np.where(scale > 0, scale, 1)
    unit = hessian / safe[:, :, None] / safe[:, None]
    good = (scale > 0).all(1) & (np.linalg.eigvalsh(unit)[:, 0] > 1e-12)
    unit[~good] = np.eye(hessian.shape[-1])
    inverse = np.einsum("naa->na", np.linalg.inv(unit)) / safe**2
    return np.where(good[:, None], inverse, np.inf).T


def fit(model: Model, images: ArrayLike, times: Numbers, *, axis: int = 0, noise: float | None = None,
        name: str = "times") -> Maps:
    """Maps of a signal model from a series of images, pixel by pixel.

        minimise over a, p    sum_t |x_t - a signal(t, p)|^2

    The amplitude a has a closed form for each p (variable projection), and p follows by damped Gauss-Newton from the
    best of several starts. All pixels run side by side. The covariance of p is noise^2 times the inverse of the
    Hessian, in which the amplitude is an unknown, too. A parameter at the end of its range, such as the T2* of echoes
    that do not decay, is not determined there; the others keep their values, with the error bars they have beside it.

    Args:
        model: `signals.Model`.
        images: (time, ...), complex, or real: then the amplitude is real. Numpy, cupy or torch; maps are numpy's.
        times: s of each image, increasing.
        axis: which axis of the images the times are on.
        noise: standard deviation of the images' noise, of real and imaginary part each; None: from what the fit leaves,
            by the median over pixels.
        name: what `times` are called in messages.

    Returns:
        `Maps`.

    Raises:
        TypeError, ValueError: images that are not finite or zero everywhere; times that are too few for the model, do
            not increase, or look like milliseconds.

    Warns:
        TimesWarning: at an SNR of 50 these times tell a parameter nowhere in its range; it says which.

    Reference:
        Golub and Pereyra, SIAM J Numer Anal 10 (1973) 413 (variable projection).
    """
    images = backend.to_numpy(_check.array("images", images, complex_=False, nonzero=True))
    y = in_front(images, axis)
    times = checked_times(name, times, count=len(y), least=model.least, longest=model.longest)
    noise = _check.number("noise", noise, low=0, allow_none=True)
    tell_apart(model, times, name)
    shape, complex_ = y.shape[1:], y.dtype.kind == "c"
    y = y.reshape(len(y), -1).astype("complex128" if complex_ else "float64")
    size = np.sqrt((abs(y) ** 2).sum(0).max())  # so that no square leaves the range
    filled = np.flatnonzero((y != 0).any(0))
    pieces = [filled[k:k + _PIECE] for k in range(0, len(filled), _PIECE)]
    done = backend.parallel(lambda of: _of_pixels(_Pixels(model, times, y[:, of] / size)), pieces)
    p, slope, variance, amplitude, cost, inside = (np.concatenate(part, -1) for part in zip(*done))
    data, unknown = (1 + complex_) * len(times), 1 + complex_ + len(model.parameters)
    free = data - unknown
    if noise is None and free > 0:
        middle = free * (1 - 2 / (9 * free)) ** 3  # the median of chi^2 (Wilson and Hilferty)
        noise = float(np.sqrt(np.median(cost) / middle) * size)
    std = np.full(p.shape, np.nan) if noise is None else slope * np.sqrt(variance) * (noise / size)
    limit = np.stack([q.limit(v) for q, v in zip(model.parameters, p)])
    known = inside & ~(std > limit) & np.isfinite(variance)

    def spread(v, fill, dtype="float32"):
        out = np.full(int(np.prod(shape)), fill, dtype)
        out[filled] = v
        return out.reshape(shape)

    names = [q.name for q in model.parameters]
    return Maps({n: spread(np.where(k, v, np.nan), np.nan) for n, v, k in zip(names, p, known)},
                {n: spread(np.where(k, v, np.nan), np.nan) for n, v, k in zip(names, std, known)},
                {q.name: q.unit for q in model.parameters},
                {n: spread(k, False, bool) for n, k in zip(names, known)},
                spread(amplitude * size, 0, "complex64" if complex_ else "float32"), noise,
                spread(cost * size**2, 0))


def _of_pixels(pixels):
    """(p, dp/du, variance at noise 1, amplitude, misfit, whether inside the range) of each pixel."""
    u, cost = pixels.solve()
    of = np.arange(u.shape[1])
    p = pixels.outer(u)
    slope = np.where(pixels.log, p, 1)
    amplitude = pixels.amplitude(pixels.model.value(pixels.times, p), pixels.y)
    inside = ((u > pixels.low + _EDGE) & (u < pixels.high - _EDGE))
    return p, slope, covariance(pixels.steps(u, of)[0], inside), amplitude, cost, inside


def tell_apart(model, times, name: str, shown=None) -> None:
    """Warn of each parameter (of those `shown`; None: of all) that these times tell for none of its values."""
    grid = starts(model)
    y = model.value(times, grid)
    size = abs(y).max(0)
    pixels = _Pixels(model, times, y / np.where(size > 0, size, 1))
    u = pixels.inner(grid)
    hessian = pixels.steps(u, np.arange(u.shape[1]))[0]
    std = np.sqrt(covariance(hessian)) * np.where(pixels.log, grid, 1) / _SNR
    told, first = [], model.parameters[0]
    for p, v, s in zip(model.parameters, grid, std):
        limit = _TELLS * abs(v) if p is first else _TELLS / _SHARE * p.limit(v)
        best = float(np.min(s / np.maximum(limit, 1e-300)))
        if best > 1 and (shown is None or p.name in shown):
            told.append((p.name, _TELLS * best if p is first else _SHARE * best))
    if told:
        which = " and ".join(n for n, _ in told)
        warnings.warn(f"{name} {times.tolist()} do not tell {which}: at an SNR of {_SNR:g} its standard "
                      f"deviation is {', '.join(f'{100 * b:.0f} %' for _, b in told)} or more of its value or range, "
                      f"anywhere in it (condition number {_condition(hessian):.1e}); spread the times over the range "
                      "of the parameter, or take a model with fewer", TimesWarning, stacklevel=_check.outside())


def _condition(hessian) -> float:
    """The smallest condition number of these Hessians, of parameters on one scale."""
    scale = np.sqrt(np.einsum("naa->na", hessian))
    safe = np.where(scale > 0, scale, 1)
    values = np.linalg.eigvalsh(hessian / safe[:, :, None] / safe[:, None])
    return float(np.min(np.maximum(values[:, -1], 1e-300) / np.maximum(values[:, 0], 1e-300)))
