"""Signal models: what an image is in each frame, as a function of maps with names, units and ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike, Numbers

GRADIENT = 0.5  # s: no gradient echo is later; a later one is taken for milliseconds
SHARE = 0.3  # of a map's value: a larger standard deviation does not determine it
_EVEN = 0.1  # of log k: what counts as one of an inversion, which is the same in all tissues but for B1
_START = 24  # values from which a fit may start, where none are given


@dataclass(frozen=True)
class Parameter:
    """A map of a model.

    Args:
        name: such as "t2".
        unit: such as "s", "Hz" or "".
        low, high: the range in which it is looked for. A positive `low` makes the fit one of the logarithm.
        start: values that the fit may start from, the best for each pixel; None: 24 between low and high.
        tells: the standard deviation, in `unit`, up to which it counts as determined; None: 0.3 of its value where
            `low` is over 0, else a tenth of its range.
        scale: what counts as one where it is solved for from k-space, beside an image of about 1; None: of a positive
            `low` the logarithm's e, else half of its range, or 20 `tells` where that is open.
    """

    name: str
    unit: str
    low: float
    high: float
    start: tuple[Any, ...] | None = None
    tells: float | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"a parameter's name is {_check.brief(self.name)}: one word is needed, such as 't2'")
        numbers = [getattr(self, n) for n in ("low", "high", "tells", "scale")]
        if any(isinstance(v, bool | str | complex) or np.ndim(v) for v in numbers) or None in numbers[:2]:
            raise TypeError(f"{self.name}: low, high, tells and scale must be numbers, got "
                            f"{', '.join(map(_check.brief, numbers))}")
        if not self.low < self.high:
            raise ValueError(f"{self.name}: low={self.low} must be below high={self.high}")
        for n in ("tells", "scale"):
            if getattr(self, n) is not None:
                _check.number(f"{self.name}: {n}", getattr(self, n), low=0, strict=True)
        if (self.start is None or self.tells is None) and not np.isfinite([self.low, self.high]).all():
            raise ValueError(f"{self.name} has the range {self.low}..{self.high}: give start=(...) and tells=... where "
                             "it is open")
        start = [] if self.start is None else [_check.number(f"{self.name}: start", v) for v in np.ravel(self.start)]
        if self.start is not None and not all(self.low <= v <= self.high for v in start or [np.nan]):
            raise ValueError(f"{self.name}: start={self.start} must be values within {self.low}..{self.high}")

    @property
    def logarithmic(self) -> bool:
        """Whether the fit is one of the logarithm."""
        return self.low > 0

    @property
    def size(self) -> float:
        """What counts as one beside an image of about 1."""
        if self.scale is not None or self.logarithmic:
            return self.scale or 1.0
        span = (self.high - self.low) / 2
        return span if np.isfinite(span) else 20 * self.tells

    def limit(self, value: Any) -> float:
        """The standard deviation from which a value is not determined."""
        if self.tells is not None:
            return 0 * value + self.tells
        return SHARE * abs(value) if self.logarithmic else 0 * value + (self.high - self.low) / 10

    def values(self) -> np.ndarray:
        """Where the fit may start."""
        if self.start is not None:
            return np.asarray(self.start, float)
        inner = np.linspace(0, 1, _START + 2)[1:-1]
        return self.low * (self.high / self.low) ** inner if self.logarithmic else self.low + (
            self.high - self.low) * inner


@dataclass(frozen=True)
class Model:
    """A signal model: x_t(r) = a(r) signal(t, p(r), ...), with an amplitude a of each pixel and further maps p.

    Args:
        signal: function (t, p, ...) -> signal of amplitude 1; arrays broadcast: t is (time, 1), each p (pixel,).
        parameters: a `Parameter` for each p.
        derivative: function of the same arguments -> a sequence of d signal / d p; None: torch finds it, and `signal`
            has to be written with torch's functions.
        least: how many times it needs; None: one more than parameters.
        longest: of a time in s: a longer one is taken for milliseconds.
        clock: what its times are called: "echo_times", "inversion_times" or "times".

    Example:
        model = pi.signals.Model(lambda t, t2: torch.exp(-t / t2), [pi.signals.Parameter("t2", "s", 1e-3, 3.0)])
        maps = pi.signals.fit(model, images, times)
    """

    signal: Callable[..., Any]
    parameters: tuple[Any, ...]
    derivative: Callable[..., Any] | None = None
    least: int | None = None
    longest: float = 2.0
    clock: str = "times"

    def __post_init__(self) -> None:
        wrong = [p for p in self.parameters if not hasattr(p, "logarithmic")]
        if wrong or not self.parameters:
            raise TypeError(f"parameters must be of pi.signals.Parameter, got {_check.brief(self.parameters)}")
        names = [p.name for p in self.parameters]
        if len(set(names)) < len(names):
            raise ValueError(f"parameters are called {', '.join(names)}: each needs a name of its own")
        _check.integer("least", self.least, low=1, allow_none=True)
        _check.number("longest", self.longest, low=0, strict=True)
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "least", len(self.parameters) + 1 if self.least is None else self.least)

    def value(self, times: Numbers, p: ArrayLike) -> np.ndarray:
        """The signal (time, pixel) of parameters p (parameter, pixel)."""
        if self.derivative is not None:
            return self.signal(times[:, None], *p)
        import torch

        return self.signal(torch.from_numpy(times)[:, None], *torch.from_numpy(p)).numpy()

    def both(self, times: Numbers, p: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The signal (time, pixel) and its derivatives (parameter, time, pixel)."""
        if self.derivative is not None:
            s = self.signal(times[:, None], *p)
            return s, np.stack([np.broadcast_to(d, s.shape) for d in self.derivative(times[:, None], *p)])
        import torch

        t, p = torch.from_numpy(times)[:, None], torch.from_numpy(p)
        unit = torch.eye(len(p), dtype=p.dtype)[:, :, None].expand(-1, -1, p.shape[1])
        parts = [torch.func.jvp(lambda q: self.signal(t, *q), (p,), (e.contiguous(),)) for e in unit]
        return parts[0][0].numpy(), np.stack([d.numpy() for _, d in parts])


def _decay(t, t2):
    return np.exp(-t / t2)


def _decay_slope(t, t2):
    return (t / t2**2 * np.exp(-t / t2),)


def _turning(t, t2, f):
    return np.exp((2j * np.pi * f - 1 / t2) * t)


def _turning_slope(t, t2, f):
    s = _turning(t, t2, f)
    return t / t2**2 * s, 2j * np.pi * t * s


def _inverted(t, t1, k):
    return 1 - k * np.exp(-t / t1)


def _inverted_slope(t, t1, k):
    e = np.exp(-t / t1)
    return -k * t / t1**2 * e, -e


def _recovering(t, t1, k):
    return 1 - k * np.exp(-t * (k - 1) / t1)


def _recovering_slope(t, t1, k):
    e = np.exp(-t * (k - 1) / t1)
    return -k * (k - 1) * t / t1**2 * e, (k * t / t1 - 1) * e


def decay_model(name: str, low: float, high: float, longest: float = 2.0) -> Model:
    """a exp(-t / T)."""
    return Model(_decay, (Parameter(name, "s", low, high),), _decay_slope, longest=longest, clock="echo_times")


def turning_model(low: float, high: float, starts, tells: float) -> Model:
    """a exp(-t / T2* + 2 pi i f t); f starts from some values and is determined up to a standard deviation."""
    frequency = Parameter("frequency", "Hz", -np.inf, np.inf, tuple(starts), tells)
    return Model(_turning, (Parameter("t2star", "s", low, high), frequency), _turning_slope, least=2,
                 longest=GRADIENT, clock="echo_times")


def inversion_model(low: float, high: float) -> Model:
    """a (1 - k exp(-t / T1)), k about 2; it varies little over space, and what it takes is lost to T1."""
    inversion = Parameter("inversion", "", 0.5, 2.5, (1.5, 1.8, 2.0), scale=_EVEN)
    return Model(_inverted, (Parameter("t1", "s", low, high), inversion), _inverted_slope, longest=30.0,
                 clock="inversion_times")


def look_locker_model(low: float, high: float) -> Model:
    """a (1 - k exp(-t (k - 1) / T1)): what is read recovers with T1* = T1 / (k - 1)."""
    return Model(_recovering, (Parameter("t1", "s", low, high),
                               Parameter("inversion", "", 1.2, 12.0, (1.6, 1.9, 2.2, 3.0, 5.0, 8.0), 1.0)),
                 _recovering_slope, longest=30.0, clock="inversion_times")
