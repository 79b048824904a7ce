"""Maps straight from k-space, for any signal model: the model is one more factor of the encoding."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pisolve import _axes, _check, backend
from pisolve._types import ArrayLike, Numbers
from pisolve.linops import gradient, opnorm
from pisolve.priors import Prior, Quadratic, Tikhonov
from pisolve.signals._linearised import Linearised, Pixelwise
from pisolve.signals._named import named
from pisolve.signals._times import checked_times
from pisolve.signals.dictionary import basis
from pisolve.signals.fit import TimesWarning, covariance, starts, tell_apart
from pisolve.signals.maps import Maps
from pisolve.signals.model import Model
from pisolve.signals.subspace import encoding
from pisolve.solvers import CG, Solver, solve

_HALVINGS = 8  # of a step that does not go down
_PLAIN = 50  # iterations of the images of the start
_FLAT, _FLAT_SUBSPACE = 0.1, 0.03  # their prior: of frames one by one, and of coefficients that share all frames
_COEFFICIENTS, _LOST = 4, 1e-3  # a subspace, where so many explain the model's signals up to this share of one's energy
_HELPED = 3  # times the standard deviation that determines it may a pixel's own data leave, where a prior helps
_EDGE = 1e-6  # of u: how near the end of its range a parameter is not determined


class GaussNewton:
    """1/2 ||A F(x) - y||^2 + g(x) and its iteration, for a chart of F: `value`, `slopes`, `real` and `clipped`."""

    def __init__(self, A: Any, y: ArrayLike, chart: Any, prior: Prior, damping: Any, max_iter: Any, solver: Solver):
        self.A, self.y, self.model, self.prior, self.solver = A, y, chart, prior, solver
        self.damping = _check.number("damping", damping, low=0)
        self.max_iter = _check.integer("max_iter", max_iter, low=1)

    def iterate(self, first: Any, iterations: int):
        """The last of all iterates."""
        x = first
        for n in range(iterations):
            x = self.step(x, self.damping / 3**n * Tikhonov(first) if self.damping else None)
        return x

    def _with(self, pull):
        parts = [p for p in (self.prior, pull) if p is not None]
        return sum(parts[1:], parts[0]) if parts else None

    def linearised(self, x: ArrayLike):
        """(B, what is left of y for B x to explain)."""
        B = Linearised(self.A, self.model.slopes(x), getattr(self.model, "real", None))
        return B, self.y - self.A(self.model.value(x)) + B(x)

    def step(self, x: ArrayLike, pull: Any):
        """The next x, with the prior and what pulls towards the start."""
        g = self._with(pull)
        B, left = self.linearised(x)
        new = solve(B, left, g, self.solver, x0=x, max_iter=self.max_iter, tol=1e-9).x
        clipped = getattr(self.model, "clipped", None) or (lambda tried: tried)
        if g is not None and g.implicit:  # a denoiser has no value that could fall
            return clipped(new) if np.isfinite(self.objective(clipped(new), None)) else x
        before = self.objective(x, g)
        for k in range(_HALVINGS):
            tried = clipped(x + 0.5**k * (new - x))
            if self.objective(tried, g) <= before:
                return tried
        return x

    def objective(self, x: ArrayLike, g: Any) -> float:
        """1/2 ||A F(x) - y||^2 + g(x), infinite where it is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            frames = self.model.value(x)
            if not _check.all_finite(frames):
                return float("inf")
            value = 0.5 * float(backend.norm(self.A(frames) - self.y)) ** 2 + (0.0 if g is None else g.value(x))
        return value if np.isfinite(value) else float("inf")

    def spread(self, x: ArrayLike, noise: float, replicas: int, seed: int, pull: Any):
        """The standard deviation of x: linearised problems at x, solved with noise of their own in the data."""
        g, rng = self._with(pull), np.random.default_rng(seed)
        B, left = self.linearised(x)
        there = backend.to_numpy(self.y) != 0
        total = squares = None
        for _ in range(replicas):
            drawn = noise * (rng.standard_normal(there.shape) + 1j * rng.standard_normal(there.shape)) * there
            data = left + backend.like(drawn.astype(_check.dtype_name(self.y)), self.y)
            found = backend.to_numpy(solve(B, data, g, self.solver, x0=x, max_iter=self.max_iter, tol=1e-9).x)
            total = found if total is None else total + found
            squares = abs(found) ** 2 if squares is None else squares + abs(found) ** 2
        return np.sqrt(np.maximum(squares - abs(total) ** 2 / replicas, 0) / (replicas - 1))


def one_step(A: Any, y: ArrayLike, signal: Any, times: Numbers, prior: Prior | None = None, *,
             start: Maps | None = None, iterations: int = 10, damping: float = 0.1, max_iter: int = 20,
             solver: Solver | None = None, noise: float | None = None, replicas: int = 0, seed: int = 0,
             field_strength: float | None = None) -> Maps:
    """Maps of any signal model from the k-space of all frames at once (IRGNM).

        minimise over x = (a, u)    1/2 ||A F(x) - y||^2 + g(x),    F_t(x) = a signal(t, p(u))

    u stands for the parameters: log p - middle of one whose range is positive, (p - middle) / `Parameter.size` of
    another, with the middle at the start's median. Iteration n linearises F at x_n,

        x_(n+1) = argmin_x  1/2 ||A F'(x_n) (x - x_n) + A F(x_n) - y||^2 + g(x) + damping / 3^n / 2 ||x - x_0||^2,

    by our solvers; a step that does not go down is halved, but for a denoiser, whose g has no value. Parameters stay in
    their ranges. a is complex, the parameters are real.

    Args:
        A: the encoding of the frames, (time, ...) -> k-space: `linops.sense(mps, mask, shape=..., axes=("echo", "coil",
            "ky", "kx"))`, on a grid or with `coord`. Best is an image of about 1, as for `pi.solve`.
        y: k-space; numpy, cupy or torch. The signals themselves are computed on the CPU.
        signal: a word such as "t2" (`signals.NAMES`), or a `signals.Model`.
        times: s of each frame, increasing.
        prior: g of x (1 + parameter, ...), whose first axis is called "parameter": `1e-3 *
            pi.Wavelet(axes=("y", "x"))`, `pi.Quadratic(...)`, a joint `L21 @ ...`, or any other. None: none.
        start: `Maps`, such as those of `signals.fit`; None: a fit to images of a smooth prior, in the subspace of the
            model's signals where four coefficients span it (then frames need no full centre), else frame by frame.
        iterations, damping, solver: as for `t2star_kspace`.
        max_iter: iterations of the solver of each linear problem; more of them make error bars better than maps.
        noise: standard deviation of the samples, of real and imaginary part each; None: from what the maps leave.
        replicas: linearised problems with noise of their own, of which the standard deviation comes; its relative
            error is about 1 / sqrt(2 replicas) a pixel. Each costs one iteration. 0: none. What the data of a pixel
            alone, by its Hessian, leave far from determined is masked in either case: there the prior makes the map.
        seed: of these.
        field_strength: T, for "water_fat".

    Returns:
        `Maps`; `misfit` is not known here.

    Raises:
        TypeError, ValueError: data that do not fit A, times as for `signals.fit`, a start of another shape, one
            replica.

    Warns:
        TimesWarning: as `signals.fit`.

    Reference:
        Bauer and Kannengiesser, Math Methods Appl Sci 30 (2007) 437; Wang et al., Magn Reson Med 79 (2018) 730 (T1).

    Example:
        maps = pi.signals.one_step(A, y, "t2", echo_times, 1e-3 * pi.Wavelet(axes=("y", "x")), replicas=16)
    """
    _check.linop("A", A)
    y = _check.array("y", y, shape=tuple(A.oshape), nonzero=True)
    y = backend.from_torch(y) if _check.is_torch(y) else y
    signal = named(signal, field_strength=field_strength)
    if len(A.ishape) < 3:
        raise ValueError(f"A takes images of shape {tuple(A.ishape)}: (time, y, x) is needed")
    times = checked_times(signal.clock, times, count=A.ishape[0], least=signal.least, longest=signal.longest)
    iterations = _check.integer("iterations", iterations, low=1)
    noise = _check.number("noise", noise, low=0, allow_none=True)
    replicas = _check.integer("replicas", replicas, low=0)
    if replicas == 1:
        raise ValueError("replicas is 1: a standard deviation needs two, and 16 are of use; 0 makes none")
    model, zero = signal.model(times), backend.zeros(A.ishape, y)
    tell_apart(model, times, signal.clock, signal.shown)
    images, maps = first_maps(A, y, signal, model, times) if start is None else (None, start)
    amplitude, p = _start(maps, model, zero.shape[1:], images, times)
    chart = Pixelwise(model, times, zero, np.median(p.reshape(len(p), -1), axis=1))
    run = GaussNewton(A, y, chart, prior, damping, max_iter, solver)
    first = chart.start(amplitude, p, y)
    x = run.iterate(first, iterations)
    pull = run.damping / 3 ** (iterations - 1) * Tikhonov(first) if run.damping else None
    if noise is None:
        noise = _left(run, x)
    std = run.spread(x, noise, replicas, seed, pull)[1:] if replicas else None
    names = _axes.of_linop(A)
    return _maps(run, x, noise, std, signal.shown, None if None in names else names[1:])


def _left(run, x) -> float:
    """The noise of the samples by what x leaves, without the unknowns that took their part."""
    data = 2 * int((backend.to_numpy(run.y) != 0).sum())
    unknown = (1 + len(x)) * int(np.prod(x.shape[1:]))
    free = max(data - unknown, data // 2, 1)
    return float(backend.norm(run.A(run.model.value(x)) - run.y)) / free**0.5


def _start(maps, model, shape, images, times):
    """(amplitude, parameters (parameter, ...)) of maps, the median where they are not determined.

    There the amplitude is what fits the images best with these, or 0 without images.
    """
    p, all_known = [], np.ones(shape, bool)
    for q in model.parameters:
        if q.name not in maps.values or maps[q.name].shape != tuple(shape):
            raise ValueError(f"start has no map {q.name!r} of shape {tuple(shape)}: give the Maps of signals.fit on "
                             "such images")
        one = np.asarray(maps[q.name], float)
        known = np.isfinite(one)
        all_known &= known
        p.append(np.where(known, one, np.median(one[known]) if known.any() else np.median(q.values())))
    p, best = np.stack(p), 0
    if images is not None:
        s = model.value(times, p.reshape(len(p), -1)).reshape(images.shape)
        best = (s.conj() * images).sum(0) / np.maximum((abs(s) ** 2).sum(0), 1e-30)
    return np.where(all_known, maps.amplitude, best), p


def first_maps(A: Any, y: ArrayLike, signal: Any, model: Model, times: Numbers):
    """(images that a smooth prior makes of the data, maps fitted to them)."""
    names = _axes.of_linop(A)
    small = None if None in names else _subspace(model, times)
    inside = tuple(range(1 - len(A.ishape), 0))
    E = A if small is None else encoding(A, small, axis=names[0])
    weight = (_FLAT if small is None else _FLAT_SUBSPACE) * opnorm(E) ** 2
    smooth = weight * Quadratic(gradient(E.ishape, axes=inside, boundary="neumann"))
    images = solve(E, y, smooth, CG(), max_iter=_PLAIN).x
    images = backend.to_numpy(images if small is None else E.subspace(images))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TimesWarning)
        return images, (signal.start or signal.fit)(images, times, 0, None)


def _subspace(model, times):
    """A basis of the model's signals, None where few coefficients do not span them, or a field turns them."""
    if not np.isfinite([(q.low, q.high) for q in model.parameters]).all():
        return None
    s = np.asarray(model.value(times, starts(model))).T
    length = np.linalg.norm(s, axis=1, keepdims=True)
    found = basis(s / np.where(length > 0, length, 1), min(_COEFFICIENTS, *s.shape))
    return found if found.worst < _LOST else None


def _maps(run, x, noise, std, shown, axes) -> Maps:
    """The maps of x with error bars, masked."""
    chart = run.model
    p, shape = chart.parameters(x), chart.shape
    slope = chart.slope_of(p)
    u = backend.to_numpy(x[1:].real).reshape(p.shape)
    inside = (u > chart.low + _EDGE) & (u < chart.high - _EDGE)
    local = np.sqrt(_local(run, x, inside)) * noise * slope
    told = local if std is None else std.reshape(p.shape) * slope
    limit = np.stack([q.limit(v) for q, v in zip(chart.model.parameters, p)])
    alone = limit if run.prior is None else _HELPED * limit
    known = inside & (local < alone)
    known &= True if std is None else told < limit
    parameters = [(i, q) for i, q in enumerate(chart.model.parameters) if shown is None or q.name in shown]

    def one(array, i):
        return np.where(known[i], array[i], np.nan).reshape(shape).astype(np.float32)

    nothing = np.full(p.shape, np.nan)
    amplitude = backend.to_numpy(x[0])
    return Maps({q.name: one(p, i) for i, q in parameters},
                {q.name: one(nothing if std is None else told, i) for i, q in parameters},
                {q.name: q.unit for _, q in parameters}, {q.name: known[i].reshape(shape) for i, q in parameters},
                amplitude, noise, np.full(shape, np.nan, np.float32), axes)


def _local(run, x, inside):
    """Variance of each u at noise 1, as if A^H A were its mean diagonal: what a pixel alone knows."""
    slopes = backend.to_numpy(run.model.slopes(x))
    s, d = slopes[0].reshape(len(slopes[0]), -1), slopes[1:].reshape(len(slopes) - 1, len(slopes[0]), -1)
    b = run.A.H(run.y)
    curvature = float(backend.norm(run.A(b)) / max(float(backend.norm(b)), 1e-30)) ** 2
    d = d - s * ((s.conj() * d).sum(1) / np.maximum((abs(s) ** 2).sum(0), 1e-30))[:, None]
    hessian = np.einsum("atn,btn->nab", d.conj(), d).real * curvature
    return covariance(hessian.astype(np.float64), inside)
