"""Water, fat, the field and T2* from echoes (Dixon), and the field alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._types import ArrayLike, Numbers
from pisolve.calib import field_map
from pisolve.signals._times import checked_times, in_front
from pisolve.signals.fit import fit
from pisolve.signals.maps import Maps
from pisolve.signals.model import GRADIENT, Model, Parameter

GAMMA = 42.577478518  # MHz/T of protons
PEAKS = ((-3.80, -3.40, -2.60, -1.94, -0.39, 0.60), (0.087, 0.693, 0.128, 0.004, 0.039, 0.048))  # ppm, shares
_RATE = 40.0  # 1/s that is assumed while the field is looked for
_LEAST, _FINE = 96, 10  # frequencies that are tried: so many, or steps of a tenth of a turn over all echoes
_WIDTHS = (0.12, 0.06, 0.03, 0.015)  # of the windows, of the larger side, over which the field is looked for in turns
_NEAR = 0.35  # of the distance of water and fat: how far a finer window may go from the wider one
_HOME = 2e-3  # of the misfit: what a pixel's field costs at the end of the range, so that 0 Hz breaks ties
_TELLS = 0.05  # of the fat fraction


def fat(times: Numbers, field_strength: float, peaks: Any = PEAKS) -> np.ndarray:
    """The signal of fat, which turns against water: c(t) = sum_p share_p exp(2 pi i gamma B0 ppm_p t)."""
    ppm, share = (np.asarray(p, float).ravel() for p in peaks)
    if ppm.shape != share.shape or not np.isfinite([*ppm, *share]).all() or not share.sum() > 0:
        raise ValueError(f"peaks has {ppm.size} places in ppm and {share.size} shares: finite pairs are needed")
    turns = np.exp(2j * np.pi * GAMMA * field_strength * np.multiply.outer(np.asarray(times, float), ppm))
    return turns @ (share / share.sum())


class Fatty:
    """The signal ((1 - q) + q c(t)) exp(2 pi i f t - t / T2*) and its derivatives."""

    def __init__(self, field_strength: float, peaks: Any = PEAKS):
        self.field_strength, self.peaks = field_strength, peaks

    def __call__(self, t: Any, q: Any, t2: Any, f: Any):
        return (1 + q * (self._fat(t) - 1)) * np.exp((2j * np.pi * f - 1 / t2) * t)

    def slope(self, t: Any, q: Any, t2: Any, f: Any):
        """d / d q, d / d T2*, d / d f."""
        turn, c = np.exp((2j * np.pi * f - 1 / t2) * t), self._fat(t)
        s = (1 + q * (c - 1)) * turn
        return (c - 1) * turn, t / t2**2 * s, 2j * np.pi * t * s

    def _fat(self, t):
        return fat(t.ravel(), self.field_strength, self.peaks).reshape(t.shape)


def water_fat_model(field_strength: float, span: float, low: float = 2e-3, high: float = 0.5,
                    peaks: Any = PEAKS) -> Model:
    """a ((1 - q) + q c(t)) exp(2 pi i f t - t / T2*), c the signal of fat; f near 0."""
    signal = Fatty(field_strength, peaks)
    return Model(signal, (Parameter("fat_fraction", "", -0.2, 1.2, (0.02, 0.3, 0.6, 0.95), _TELLS),
                          Parameter("t2star", "s", low, high, (0.01, 0.03, 0.1)),
                          Parameter("frequency", "Hz", -np.inf, np.inf, (-0.05 / span, 0.0, 0.05 / span),
                                    0.05 / span)), signal.slope, least=3, longest=GRADIENT, clock="echo_times")


def water_fat(images: ArrayLike, echo_times: Numbers, *, field_strength: float, axis: int = 0,
              noise: float | None = None, peaks: Any = PEAKS, smooth: bool = True) -> Maps:
    """Fat fraction, T2* and the field from three gradient echoes or more.

        x_e = a ((1 - q) + q c(TE_e)) exp(2 pi i f TE_e - TE_e / T2*)
        c(t) = sum_p share_p exp(2 pi i gamma B0 ppm_p t)

    Water a (1 - q) and fat a q share the phase that they have at TE = 0. A pixel of water at f looks much like one of
    fat at f + 3.4 ppm: the field is first looked for over wide windows, whose pixels add up their misfits for water and
    fat of any share, then over smaller ones near what the wider one found, so that it is smooth.

    Args:
        images: (echo, ...), complex; its last two axes are y and x. Fat turns slower than water: its phase grows more
            slowly with TE. Conjugate images where it is the other way round.
        echo_times: TE in s, increasing, three or more; about 1.1 ms apart at 3 T, 2.2 ms at 1.5 T.
        field_strength: of B0 in T.
        axis, noise: see `t2`.
        peaks: ((ppm, ...), (share, ...)) of fat against water; None of these is water.
        smooth: False: each pixel for itself, and the field near 0 Hz.

    Returns:
        `Maps` with "fat_fraction" (0 to 1, of the signal at TE = 0), "t2star" in s and "frequency" in Hz. Where nothing
        decays T2* lies at the end of its range and is masked, NaN; fat fraction and field are told all the same.

    Raises:
        TypeError, ValueError: real images, fewer than three echoes, as `signals.fit`.

    Warns:
        TimesWarning: the echoes do not tell fat from water, such as those at which both point the same way.

    Reference:
        Yu et al., Magn Reson Med 60 (2008) 1122; Bydder et al., Magn Reson Imaging 29 (2011) 216 (one phase); Hamilton
        et al., NMR Biomed 24 (2011) 784 (peaks); Lu and Hargreaves, Magn Reson Med 60 (2008) 236 (coarse to fine).
    """
    field_strength = _check.number("field_strength", field_strength, low=0, high=30, strict=True)
    y, times = _complex_series(images, echo_times, axis, least=3)
    rough = _rough(y, times, fat(times, field_strength, peaks), GAMMA * field_strength * 3.4, smooth)
    still = y * np.exp(-2j * np.pi * rough * times.reshape(-1, *(1,) * rough.ndim))
    model = water_fat_model(field_strength, times[-1] - times[0], peaks=peaks)
    maps = fit(model, still, times, noise=noise, name="echo_times")
    return replace(maps, values=maps.values | {"frequency": (maps.values["frequency"] + rough).astype(np.float32)})


def b0(images: ArrayLike, echo_times: Numbers, *, axis: int = 0, noise: float | None = None,
       smooth: float = 0.0) -> Maps:
    """The field in Hz: how fast the phase turns from echo to echo, unwrapped over space; magnitudes are free.

    `calib.field_map` with error bars: the variance of f is noise^2 / (4 pi^2 sum_e |x_e|^2 (TE_e - mean)^2), the mean
    weighted by |x_e|^2.

    Args:
        images: (echo, ...), complex; the axes behind are (slice,) y and x.
        echo_times: TE in s, increasing, two or more.
        axis: see `t2`.
        noise: of the images; None: from what lines leave of the phases of three echoes or more, else not known, and the
            map is masked by its signal alone.
        smooth: pixels, see `calib.field_map`; error bars are those without.

    Returns:
        `Maps` with "frequency".

    Raises:
        TypeError, ValueError: real images, times that do not fit, as `calib.field_map`.
    """
    y, times = _complex_series(images, echo_times, axis, least=2)
    noise = _check.number("noise", noise, low=0, allow_none=True)
    if y.ndim not in (3, 4):
        raise ValueError(f"images have {y.ndim} axes: echoes, y and x, or echoes, slices, y and x are needed")
    names = ("echo", "slice", "y", "x") if y.ndim == 4 else ("echo", "y", "x")
    f = field_map(y, times, axes=names, smooth=smooth)
    power = abs(y) ** 2
    t = times.reshape(-1, *(1,) * f.ndim)
    total = power.sum(0)
    safe = np.where(total > 0, total, 1)
    spread = (power * (t - (power * t).sum(0) / safe) ** 2).sum(0)
    turned = y * np.exp(-2j * np.pi * f * t)
    middle = (turned * abs(turned)).sum(0)
    amplitude = middle / np.where(total > 0, np.sqrt(total), 1)
    left = (turned * np.conj(middle / np.where(middle != 0, abs(middle), 1))).imag
    misfit = (left**2).sum(0)
    seen = np.sqrt(total / len(times)) > 0.1 * np.percentile(np.sqrt(total / len(times)), 99)
    if noise is None and len(times) > 2 and seen.any():
        free = len(times) - 2
        noise = float(np.sqrt(np.median(misfit[seen]) / (free * (1 - 2 / (9 * free)) ** 3)))
    with np.errstate(divide="ignore"):
        unit = 1 / (2 * np.pi * np.sqrt(np.maximum(spread, 1e-300)))
    std = np.full(f.shape, np.nan) if noise is None else noise * unit
    known = seen if noise is None else (total > 0) & (std < _share(times))
    return Maps({"frequency": np.where(known, f, np.nan).astype(np.float32)},
                {"frequency": np.where(known, std, np.nan).astype(np.float32)}, {"frequency": "Hz"},
                {"frequency": known}, amplitude.astype(np.complex64), noise, misfit.astype(np.float32))


def _share(times) -> float:
    """Hz, the standard deviation up to which a field is determined: a twentieth of a turn over all echoes."""
    return 0.05 / float(times[-1] - times[0])


def _complex_series(images, echo_times, axis, least):
    """(images with the echoes in front, times), checked."""
    images = backend.to_numpy(_check.array("images", images, complex_=False, nonzero=True))
    if images.dtype.kind != "c":
        raise TypeError("images are real, and the field is in their phase: give complex images")
    y = in_front(images, axis)
    return y, checked_times("echo_times", echo_times, count=len(y), least=least, longest=GRADIENT)


def _rough(y, times, c, shift: float, smooth: bool):
    """The field near which water and fat explain the echoes best, in Hz, of the shape of an image."""
    if y.ndim > 3:  # planes one by one
        return np.stack([_rough(y[:, k], times, c, shift, smooth) for k in range(y.shape[1])])
    steps = np.diff(times)
    half = 0.5 / steps.min() if np.ptp(steps) < 0.01 * steps.min() else 0.75 / steps.min()
    grid = np.linspace(-half, half, int(max(_LEAST, 2 * half * _FINE * (times[-1] - times[0]))), endpoint=False)
    decay = np.exp(-_RATE * times)
    flat = (y / np.sqrt((abs(y) ** 2).sum(0).max())).reshape(len(y), -1)
    cost = np.empty((len(grid), flat.shape[1]), np.float32)
    energy = (abs(flat) ** 2).sum(0)
    for k, f in enumerate(grid):
        both = np.linalg.qr(np.stack([decay, decay * c], 1) * np.exp(2j * np.pi * f * times)[:, None])[0]
        cost[k] = energy - (abs(both.conj().T @ flat) ** 2).sum(0)
    cost = cost.reshape(len(grid), *y.shape[1:])
    mean = max(float(energy.mean()), 1e-30)
    cost += np.float32(_HOME * mean) * np.abs(grid / half).astype(np.float32).reshape(-1, *(1,) * (y.ndim - 1))
    if not smooth or y.ndim < 3:
        return grid[cost.argmin(0)]
    return _coarse_to_fine(cost, grid, 2 * half, _NEAR * shift)


def _coarse_to_fine(cost, grid, turn: float, near: float):
    """The frequency of least cost over smaller and smaller windows, each near that of the one before, modulo a turn."""
    from scipy.ndimage import gaussian_filter

    found, side = None, max(cost.shape[-2:])
    shape = (-1, *(1,) * (cost.ndim - 1))
    for width in _WIDTHS:
        size = (0,) * (cost.ndim - 2) + (width * side,) * 2
        local = gaussian_filter(cost, size, mode="nearest")
        if found is not None:
            away = (grid.reshape(shape) - found + turn / 2) % turn - turn / 2
            local = np.where(abs(away) < near, local, np.inf)
        best = local.argmin(0)
        found = grid[best] if found is None else found + np.take_along_axis(away, best[None], 0)[0]
    return found
