"""Signal models by name: what a word such as "t2" fits to images, and which model it puts behind an encoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._words import SIGNALS as NAMES
from pisolve.signals import dixon, relaxation
from pisolve.signals.fit import fit
from pisolve.signals.maps import Maps
from pisolve.signals.model import GRADIENT, Model, decay_model, inversion_model, look_locker_model, turning_model

_RANGES = relaxation.RANGES


@dataclass(frozen=True)
class Signal:
    """What a word, or a model of one's own, means.

    Attributes:
        name: the word, or "model".
        clock: what its times are called.
        least, longest: how many times it needs, and the longest in s.
        fit: (images, times, axis, noise) -> `Maps`.
        model: times -> `Model`, for one step from k-space.
        start: as `fit`, the maps that this step starts from; None: `fit`'s.
        shown: those of the model's parameters that are asked for; None: all.
    """

    name: str
    clock: str
    least: int
    longest: float
    fit: Callable[..., Any]
    model: Callable[..., Any]
    start: Callable[..., Any] | None = None
    shown: tuple[Any, ...] | None = None


def named(signal: Any, *, field_strength: float | None = None) -> Signal:
    """A word, a `Model` or a `Signal` as a `Signal`.

    Args:
        signal: one of `NAMES`, or `signals.Model(...)`.
        field_strength: T, for "water_fat".

    Raises:
        TypeError, ValueError: none of these; "water_fat" without a field strength.
    """
    if isinstance(signal, Signal):
        return signal
    if isinstance(signal, Model):
        return Signal("model", signal.clock, signal.least, signal.longest,
                      lambda x, t, axis, noise: fit(signal, x, t, axis=axis, noise=noise, name=signal.clock),
                      lambda t: signal)
    if not isinstance(signal, str):
        raise TypeError(f"signal must be one of {', '.join(NAMES)}, or a pi.signals.Model, got {_check.brief(signal)}")
    _check.choice("signal", signal, NAMES)
    if signal == "water_fat" and field_strength is None:
        raise ValueError("field_strength is needed for water_fat, the T at which fat turns against water: "
                         "field_strength=3.0")
    if signal in _PLAIN:
        function, model, needs = _PLAIN[signal]
        one = model((0.1, 0.2))
        return Signal(signal, one.clock, needs, one.longest,
                      lambda x, t, axis, noise: function(x, t, axis=axis, noise=noise), model,
                      _field_and_decay if signal == "t2star" else None)
    if signal == "b0":
        return Signal(signal, "echo_times", 2, GRADIENT,
                      lambda x, t, axis, noise: dixon.b0(x, t, axis=axis, noise=noise), _turning,
                      _field_and_decay, ("frequency",))
    return Signal(signal, "echo_times", 3, GRADIENT,
                  lambda x, t, axis, noise: dixon.water_fat(x, t, field_strength=field_strength, axis=axis,
                                                                noise=noise),
                  lambda t: dixon.water_fat_model(field_strength, float(t[-1] - t[0])))


def _turning(times) -> Model:
    span = float(times[-1] - times[0])
    return turning_model(*_RANGES["t2star"], np.array([-1, 0, 1]) * 0.1 / span, 0.05 / span)


def _field_and_decay(x, times, axis, noise) -> Maps:
    """A start for `_turning`, whose field is unwrapped over space."""
    decay = relaxation.t2star(x, times, axis=axis, noise=noise)
    field = dixon.b0(x, times, axis=axis, noise=noise, smooth=1.0)
    return replace(decay, values=decay.values | field.values)


_PLAIN = {  # function of images, model behind an encoding, times that are needed
    "t2": (relaxation.t2, lambda t: decay_model("t2", *_RANGES["t2"]), 2),
    "t2star": (relaxation.t2star, _turning, 2),
    "t1_ir": (relaxation.t1_ir, lambda t: inversion_model(*_RANGES["t1"]), 3),
    "molli": (relaxation.molli, lambda t: look_locker_model(*_RANGES["t1"]), 3),
}
