"""Maps of T2, T2*, T1 and B0 from series of images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._types import ArrayLike, Numbers
from pisolve.signals._times import checked_times
from pisolve.signals.fit import Maps, fit
from pisolve.signals.model import GRADIENT, decay_model, inversion_model, look_locker_model, turning_model

_TURNS, _FAVOUR = 1.5, 0.02  # frequencies that are tried, in turns between the nearest echoes; what each turn costs
_PIXELS = 1 << 14  # of a batch
RANGES = {"t2": (1e-3, 5.0), "t2star": (3e-4, 2.0), "t1": (1e-2, 10.0)}  # s


_LONGEST = 100.0  # s: no tissue has a longer time, and milliseconds are larger


def _range(name, given):
    pair = RANGES[name] if given is None else given
    if np.shape(pair) != (2,):
        raise TypeError(f"range must be (low, high) in s, such as {RANGES[name]}, got {_check.brief(given)}")
    low = _check.number("range", pair[0], low=0, strict=True)
    high = _check.number("range", pair[1], low=low, strict=True)
    if high > _LONGEST:
        raise ValueError(f"range reaches {high:g} s: this looks like milliseconds, multiply it by 1e-3")
    return low, high


def t2(images: ArrayLike, echo_times: Numbers, *, axis: int = 0, noise: float | None = None,
       range: tuple[Any, ...] | None = None) -> Maps:
    """T2 in s of spin echoes: x_e = a exp(-TE_e / T2).

    Args:
        images: (echo, ...), complex, or magnitudes. Noise lifts magnitudes where there is little signal, so complex
            images are better. Of a train with stimulated echoes take `signals.match` with `signals.fse`, or leave out
            the first echo.
        echo_times: TE in s, increasing, two or more.
        axis: which axis of the images the echoes are on.
        noise: standard deviation of the images' noise; None: from what the fit leaves.
        range: of T2 in s; None: 0.001 to 5.

    Returns:
        `Maps` with "t2".

    Raises:
        TypeError, ValueError: as `signals.fit`.

    Example:
        pi.signals.t2(images, [0.02, 0.04, 0.06, 0.08])["t2"]
    """
    return fit(decay_model("t2", *_range("t2", range)), images, echo_times, axis=axis, noise=noise, name="echo_times")


def t2star(images: ArrayLike, echo_times: Numbers, *, axis: int = 0, noise: float | None = None,
           range: tuple[Any, ...] | None = None) -> Maps:
    """T2* in s of gradient echoes, and of complex images the frequency: x_e = a exp((2 pi i f - 1 / T2*) TE_e).

    f is known up to whole turns from echo to echo where these are evenly spaced, else it is looked for within 1.5 turns
    between the two nearest; `calib.field_map` unwraps it over space. Echoes that were read backwards have a phase of
    their own: take their magnitudes here. Each map is masked by itself: where T2* is too long for the echoes f may be
    known.

    Args:
        images: (echo, ...), complex, or magnitudes: then there is no frequency.
        echo_times: TE in s, increasing, two or more.
        axis, noise: see `t2`.
        range: of T2* in s; None: 0.0003 to 2.

    Returns:
        `Maps` with "t2star", and "frequency" in Hz of complex images.

    Raises:
        TypeError, ValueError: as `signals.fit`.
    """
    low, high = _range("t2star", range)
    images = backend.to_numpy(_check.array("images", images, complex_=False, nonzero=True))
    if images.dtype.kind != "c":
        model = decay_model("t2star", low, high, GRADIENT)
        return fit(model, images, echo_times, axis=axis, noise=noise, name="echo_times")
    if not -images.ndim <= axis < images.ndim:
        raise ValueError(f"axis {axis} does not fit images of {images.ndim} axes")
    y = np.moveaxis(images, axis, 0)
    times = checked_times("echo_times", echo_times, count=len(y), least=2, longest=GRADIENT)
    rough = _loudest(y, times)
    still = y * np.exp(-2j * np.pi * rough * times.reshape(-1, *(1,) * rough.ndim))
    span = times[-1] - times[0]
    model = turning_model(low, high, np.array([-1, 0, 1]) * 0.1 / span, 0.05 / span)
    maps = fit(model, still, times, noise=noise, name="echo_times")
    return replace(maps, values=maps.values | {"frequency": (maps.values["frequency"] + rough).astype(np.float32)})


def _loudest(y, times):
    """The frequency in Hz at which the echoes of each pixel add up best."""
    steps = np.diff(times)
    turns = 0.5 if np.ptp(steps) < 0.01 * steps.min() else _TURNS
    grid = np.arange(-turns / steps.min(), turns / steps.min(), 0.2 / (times[-1] - times[0]))
    grid -= grid[abs(grid).argmin()]  # 0 is one of them
    waves = np.exp(-2j * np.pi * grid[:, None] * times)
    favour = 1 - _FAVOUR * abs(grid) * steps.min()
    flat = y.reshape(len(y), -1)
    best = [(abs(waves @ flat[:, k:k + _PIXELS]) * favour[:, None]).argmax(0) for k in range(0, flat.shape[1], _PIXELS)]
    return grid[np.concatenate(best)].reshape(y.shape[1:])


def t1_ir(images: ArrayLike, inversion_times: Numbers, *, axis: int = 0, noise: float | None = None,
          range: tuple[Any, ...] | None = None) -> Maps:
    """T1 in s after an inversion: x_i = a (1 - k exp(-TI_i / T1)).

    k is 2 for a perfect inversion of full magnetisation; that it is free takes up imperfect ones, and a short
    repetition time. Magnitudes have lost their sign: the series is negative up to its smallest image, with or without
    that one, whatever fits better.

    Args:
        images: (time, ...), complex, or real with signs, or magnitudes (real and nowhere negative).
        inversion_times: TI in s, increasing, three or more.
        axis, noise: see `t2`.
        range: of T1 in s; None: 0.01 to 10.

    Returns:
        `Maps` with "t1" and "inversion" (k).

    Raises:
        TypeError, ValueError: as `signals.fit`.

    Reference:
        Barral et al., Magn Reson Med 64 (2010) 1057.
    """
    return _inverted(inversion_model(*_range("t1", range)), images, inversion_times, axis, noise)


def molli(images: ArrayLike, inversion_times: Numbers, *, axis: int = 0, noise: float | None = None,
          range: tuple[Any, ...] | None = None) -> Maps:
    """T1 in s of a recovery that is read while it goes on (Look-Locker, MOLLI, IR-FLASH), corrected for the reading.

        x_i = a (1 - k exp(-TI_i / T1*)),    T1 = T1* (k - 1)

    The readout pulses drive the magnetisation to less than its equilibrium, with T1* in the place of T1; k is what the
    inversion left over what they hold, 2 where they disturb nothing. Imperfect inversions make T1 too short by their
    share. Of MOLLI the times are those from the last inversion to each image, sorted, and the images with them.

    Args:
        images: as for `t1_ir`, magnitudes too.
        inversion_times: TI in s, increasing, three or more.
        axis, noise: see `t2`.
        range: of T1 in s; None: 0.01 to 10.

    Returns:
        `Maps` with "t1" and "inversion" (k).

    Raises:
        TypeError, ValueError: as `signals.fit`.

    Reference:
        Deichmann and Haase, J Magn Reson 96 (1992) 608; Messroghli et al., Magn Reson Med 52 (2004) 141.
    """
    return _inverted(look_locker_model(*_range("t1", range)), images, inversion_times, axis, noise)


def _inverted(model, images, inversion_times, axis, noise) -> Maps:
    """The fit of a recovery, of magnitudes with the signs that fit best."""
    images = backend.to_numpy(_check.array("images", images, complex_=False, nonzero=True))
    one = lambda x: fit(model, x, inversion_times, axis=axis, noise=noise, name="inversion_times")  # noqa: E731
    if images.dtype.kind == "c" or (images < 0).any():
        return one(images)
    where = np.moveaxis(images, axis, 0)
    place = np.arange(len(where)).reshape(-1, *(1,) * (where.ndim - 1))
    smallest = where.argmin(0)
    signed = [np.moveaxis(np.where(place < smallest + k, -where, where), 0, axis) for k in (0, 1)]
    misfits = [one(x).misfit for x in signed]
    return one(np.where(np.expand_dims(misfits[0] <= misfits[1], axis), *signed))
