"""Echo and inversion times, checked."""

from __future__ import annotations

import numpy as np

from pisolve import _check, backend


def checked_times(name: str, times, *, count: int | None = None, least: int = 1, longest: float = 2.0) -> np.ndarray:
    """Times in s as float64: finite, not negative, increasing, no longer than a time in s is.

    Args:
        name: the argument's.
        times: a sequence of numbers.
        count: how many there must be; None: any number.
        least: how many the model needs.
        longest: s; longer ones are taken for milliseconds.
    """
    if times is None:
        raise ValueError(f"{name} are needed: the seconds of each, such as {name}=[0.01, 0.02, 0.04]")
    try:
        times = np.asarray(backend.to_numpy(times) if _check.is_array(times) else times, float).ravel()
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, seconds, got {_check.brief(times)}") from None
    if count is not None and len(times) != count:
        raise ValueError(f"{name} has {len(times)} entries, and the images have {count}: one for each")
    if len(times) < least:
        raise ValueError(f"{name} has {len(times)} entries: this model needs at least {least}")
    if not np.isfinite(times).all() or (times < 0).any():
        raise ValueError(f"{name} {times.tolist()} must be finite and not negative")
    if (np.diff(times) <= 0).any():
        raise ValueError(f"{name} {times.tolist()} must increase: sort them, and the images with them")
    if times[-1] > longest:
        raise ValueError(f"{name} reach {times[-1]:g} s: this looks like milliseconds, multiply them by 1e-3")
    return times
