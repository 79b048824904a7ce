"""Maps of T2* straight from k-space: the signal model is one more factor of the encoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import _axes, _check, backend
from pisolve._types import ArrayLike, Numbers
from pisolve.calib import field_map
from pisolve.linops import gradient, opnorm
from pisolve.priors import Quadratic
from pisolve.priors.base import Prior
from pisolve.signals._times import checked_times
from pisolve.signals.gauss_newton import GaussNewton
from pisolve.signals.maps import Maps
from pisolve.signals.model import GRADIENT
from pisolve.solvers import CG, solve
from pisolve.solvers.base import Solver

_PLAIN, _FLAT, _SMOOTH = 50, 0.3, 3.0  # of the smooth images of the start: iterations, prior; pixels of the field
_STEEPEST = 4.0  # of the start's decay over the span, in which energy falls by e^-8
_RANGE = (3e-4, 2.0)  # s, of T2* that counts as determined


class Turning:
    """x = (a, w) to frames a exp(w t / span): w = span (2 pi i f - 1 / T2*) is a number without a unit, complex.

    It is holomorphic, so its derivative is a linear operator on complex maps.
    """

    def __init__(self, times, like):
        self.span = float(times[-1] - times[0])
        t = (times / self.span).reshape(-1, *(1,) * (like.ndim - 1))
        self.times = backend.like(t.astype(_check.real_name(like)), like)

    def value(self, x):
        """The frames."""
        return x[0] * self._wave(x)

    def _wave(self, x):
        xp = backend.namespace(x)
        with np.errstate(over="ignore", invalid="ignore"):  # of a step that is too long: it is not taken
            return xp.exp(self.times * x[1])

    def slopes(self, x):
        """(d / d a, d / d w), each (echo, ...)."""
        wave = self._wave(x)
        return backend.namespace(x).stack([wave, x[0] * self.times * wave])

    def maps(self, x) -> Maps:
        """T2* and the frequency."""
        a, w = (backend.to_numpy(v) for v in x)
        rate = -w.real / self.span
        known = (rate > 1 / _RANGE[1]) & (rate < 1 / _RANGE[0]) & (a != 0)
        found = {"t2star": np.where(known, 1 / np.where(known, rate, 1), np.nan),
                 "frequency": w.imag / (2 * np.pi * self.span)}
        nothing = np.full(a.shape, np.nan, np.float32)
        return Maps({n: v.astype(np.float32) for n, v in found.items()}, dict.fromkeys(found, nothing),
                    {"t2star": "s", "frequency": "Hz"}, {"t2star": known, "frequency": a != 0}, a.astype(np.complex64),
                    None, nothing)


def t2star_kspace(A: Any, y: ArrayLike, echo_times: Numbers, prior: Prior | None = None, *, start: Any = None,
                  iterations: int = 10, damping: float = 0.1, max_iter: int = 50, solver: Solver | None = None) -> Maps:
    """T2* and the frequency from the k-space of all echoes at once (IRGNM).

        minimise over x = (a, w)    1/2 ||A F(x) - y||^2 + g(x),    F_e(x) = a exp(w TE_e / span)

    w = span (2 pi i f - 1 / T2*), span the time from the first to the last echo. Iteration n linearises F at x_n,

        x_(n+1) = argmin_x  1/2 ||A F'(x_n) (x - x_n) + A F(x_n) - y||^2 + g(x) + damping / 3^n / 2 ||x - x_0||^2,

    by our solvers, and halves a step that does not go down. Undersampled echoes help each other, as they do not where
    images are made one by one.

    Args:
        A: the encoding of the echoes, (echo, y, x) -> k-space: `linops.sense(mps, mask, axes=("echo", "coil", "ky",
            "kx"), shape=...)`. The noise and the maps' scale are as for `pi.solve`: best is an image of about 1.
        y: k-space.
        echo_times: TE in s, increasing, two or more.
        prior: g of x (parameter, y, x), quadratic such as `pi.Quadratic(linops.gradient((2, y, x), axes=(-2, -1)))`
            or any other. None: none.
        start: x_0, complex (2, y, x). None: `calib.field_map` of smooth images made echo by echo, one T2* for all
            pixels from their energies, and the a that fits them best. It needs a full centre in every echo: a field
            that is off by a turn stays so.
        iterations: how often F is linearised.
        damping: of the first iteration, beside A^H A; it decreases by 3 each time.
        max_iter: iterations of the solver of each linear problem.
        solver: of these; None: `pi.choose`'s.

    Returns:
        `Maps` with "t2star" and "frequency"; `std`, `noise` and `misfit` are not known here.

    Raises:
        TypeError, ValueError: data that do not fit A; times as for `t2star`; a start of another shape.

    Reference:
        Bauer and Kannengiesser, Math Methods Appl Sci 30 (2007) 437; Tan et al., Magn Reson Med 91 (2024) 2278.
    """
    return IRGNM(A, y, echo_times, prior, damping, max_iter, solver).run(start, iterations)


class IRGNM(GaussNewton):
    """The problem of `t2star_kspace` and its iteration."""

    def __init__(self, A, y, echo_times, prior, damping, max_iter, solver):
        _check.linop("A", A)
        y = _check.array("y", y, shape=tuple(A.oshape), nonzero=True)
        y = backend.from_torch(y) if _check.is_torch(y) else y
        if len(A.ishape) < 3:
            raise ValueError(f"A takes images of shape {tuple(A.ishape)}: (echo, y, x) is needed")
        self.times = checked_times("echo_times", echo_times, count=A.ishape[0], least=2, longest=GRADIENT)
        super().__init__(A, y, Turning(self.times, backend.zeros(A.ishape, y)), prior, damping, max_iter, solver)

    def run(self, start, iterations) -> Maps:
        """All iterations, and the maps."""
        iterations = _check.integer("iterations", iterations, low=1)
        shape = (2, *self.A.ishape[1:])
        first = self.start() if start is None else _check.array("start", start, shape=shape)
        first = backend.like(backend.to_numpy(first).astype(_check.dtype_name(self.y)), self.y)
        return self.model.maps(self.iterate(first, iterations))

    def start(self):
        """x_0 of images made echo by echo."""
        inside = tuple(range(1 - len(self.A.ishape), 0))
        smooth = _FLAT * opnorm(self.A) ** 2 * Quadratic(gradient(self.A.ishape, axes=inside))
        images = solve(self.A, self.y, smooth, CG(), max_iter=_PLAIN).x
        names = _axes.of_linop(self.A)
        axes = ("echo", *(names[1:] if None not in names else ("z", "y", "x")[1 - images.ndim:]))
        f = field_map(images, self.times, axes=axes, smooth=_SMOOTH)
        decay = np.log(float(backend.norm(images[-1])) / max(float(backend.norm(images[0])), 1e-30))
        decay = min(max(decay, -_STEEPEST), -1 / _STEEPEST)
        w = backend.like((2j * np.pi * f * self.model.span + decay).astype(_check.dtype_name(images)), images)
        xp = backend.namespace(images)
        wave = xp.exp(self.model.times * w)
        a = (wave.conj() * images).sum(0) / (abs(wave) ** 2).sum(0)
        return xp.stack([a, w])
