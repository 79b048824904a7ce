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
        raise TypeError(f"{name} must be numbers in s, such as {name}=[0.01, 0.02, 0.04], got {_check.brief(times)}"
                        ) from None
    if count is not None and len(times) != count:
        raise ValueError(f"{name} has {len(times)} entries, and the images have {count}: one for each")
    if len(times) < least:
        raise ValueError(f"{name} has {len(times)} entries: this model needs at least {least}")
    if not np.isfinite(times).all() or (times < 0).any():
        raise ValueError(f"{name} {times.tolist()} must be finite and not negative")
    if len(np.unique(times)) < len(times):
        raise ValueError(f"{name} {times.tolist()} must increase, and has a time twice: average the images of equal "
                         "times first")
    if (np.diff(times) <= 0).any():
        raise ValueError(f"{name} {times.tolist()} must increase: sort them, and the images with them")
    if times[-1] > longest:
        raise ValueError(f"{name} reach {times[-1]:g} s: this looks like milliseconds, multiply them by 1e-3")
    return times


def in_front(images, axis):
    """The images with their axis of times in front.

    Raises:
        TypeError, ValueError: no number of one of their axes.
    """
    if isinstance(axis, str):
        raise TypeError(f"axis must be a number, got {axis!r}: these images have shape {images.shape} and no names of "
                        "axes, take axis=0 where the times are along the first")
    axis = _check.integer("axis", axis)
    if not -images.ndim <= axis < images.ndim:
        raise ValueError(f"axis {axis} does not fit images of {images.ndim} axes: take {-images.ndim} to "
                         f"{images.ndim - 1}")
    return np.moveaxis(images, axis, 0)
