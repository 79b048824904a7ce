"""What tissue with known relaxation times gives: echo trains, inversion recovery, decays."""

from __future__ import annotations

import numpy as np

from pisolve import _check, backend
from pisolve._types import Numbers
from pisolve.signals._times import checked_times


def _positive(name, x):
    """Relaxation times, or another quantity that must be over zero, as float64."""
    x = np.asarray(backend.to_numpy(x) if _check.is_array(x) else x, float)
    if x.size == 0 or not (x > 0).all():
        raise ValueError(f"{name} must be > 0 everywhere, got {_check.brief(x)}")
    return x


def fse(t2: Numbers, t1: Numbers, *, spacing: float, echoes: int, angles: Numbers = 180.0,
        b1: Numbers = 1.0) -> np.ndarray:
    """The echoes of a fast spin echo train (CPMG), by extended phase graphs.

    A 90 degrees pulse is followed, every `spacing`, by a refocusing pulse about the axis of the magnetisation. Between
    two pulses the states of order n, F_n, F_-n and Z_n, relax by E2, E2 and E1, and F goes two orders up; a pulse of
    angle a mixes them. With Z turned by a quarter all numbers are real:

        F_n  <-  cos^2(a/2) F_n + sin^2(a/2) F_-n + sin(a) Z_n
        F_-n <-  sin^2(a/2) F_n + cos^2(a/2) F_-n - sin(a) Z_n
        Z_n  <-  -1/2 sin(a) F_n + 1/2 sin(a) F_-n + cos(a) Z_n

    Echoes are F_0, halfway between two pulses. Only odd orders get there, so magnetisation that regrew adds nothing.

    Args:
        t2, t1: s, over 0; numbers or arrays that broadcast.
        spacing: s, of the echoes.
        echoes: how many.
        angles: degrees of the refocusing pulses: a number, or one for each.
        b1: what all pulses are multiplied by, 1 where the transmitter is right; broadcasts with `t2`.

    Returns:
        float64 (..., echo), 1 for full magnetisation.

    Raises:
        TypeError, ValueError: times that are not over 0, other than `echoes` angles.

    Reference:
        Hennig, J Magn Reson 78 (1988) 397; Weigel, J Magn Reson Imaging 41 (2015) 266.
    """
    t2, t1, b1 = np.broadcast_arrays(_positive("t2", t2), _positive("t1", t1), _positive("b1", b1))
    spacing = _check.number("spacing", spacing, low=0, high=1, strict=True)
    echoes = _check.integer("echoes", echoes, low=1)
    angles = np.atleast_1d(np.asarray(angles, float))
    if angles.ndim != 1 or angles.size not in (1, echoes) or not np.isfinite(angles).all():
        raise ValueError(f"angles has shape {angles.shape}: give one in degrees, or one for each of {echoes} echoes")
    half, e2, e1 = (np.exp(-spacing / t) for t in (2 * t2, t2, t1))
    up, down, z = (np.zeros((echoes + 1, *t2.shape)) for _ in range(3))  # of orders 1, 3, 5, ... at the pulses
    up[0] = np.sin(np.pi / 2 * b1) * half
    out = np.empty((*t2.shape, echoes))
    for k, angle in enumerate(np.broadcast_to(np.deg2rad(angles), echoes)):
        sin, cos = np.sin(angle * b1), np.cos(angle * b1)
        plus, minus = (1 + cos) / 2, (1 - cos) / 2
        up, down, z = (plus * up + minus * down + sin * z, minus * up + plus * down - sin * z,
                       cos * z + sin / 2 * (down - up))
        out[..., k] = down[0] * half
        first, up[1:] = down[0] * e2, up[:-1] * e2
        up[0], down[:-1], down[-1] = first, down[1:] * e2, 0
        z = z * e1
    return out


def inversion_recovery(t1: Numbers, times: Numbers, *, angle: float = 180.0,
                       repetition: float | None = None) -> np.ndarray:
    """Magnetisation at inversion times: m(TI) = 1 - (1 - m_0 cos(angle)) exp(-TI / T1).

    m_0 is what is there before the inversion: 1, or with a repetition time 1 - exp(-(TR - TI) / T1), since the readout
    at TI uses all of it. For 180 degrees that is 1 - 2 exp(-TI / T1) + exp(-TR / T1).

    Args:
        t1: s, a number or an array.
        times: TI in s, increasing.
        angle: degrees of the inversion.
        repetition: TR in s, longer than all times; None: long.

    Returns:
        float64 (..., time).

    Raises:
        TypeError, ValueError: times that are not over 0, not in s, or longer than `repetition`.
    """
    t1, times = _positive("t1", t1)[..., None], checked_times("times", times, longest=30.0)
    repetition = _check.number("repetition", repetition, low=float(times[-1]), strict=True, allow_none=True)
    before = 1.0 if repetition is None else 1 - np.exp(-(repetition - times) / t1)
    return 1 - (1 - before * np.cos(np.deg2rad(_check.number("angle", angle)))) * np.exp(-times / t1)


def decay(t2: Numbers, times: Numbers, *, frequency: Numbers | None = None) -> np.ndarray:
    """Decay from an excitation on: s(TE) = exp(-TE / T2), with a frequency times exp(2 pi i f TE).

    Args:
        t2: T2, or T2* of gradient echoes, in s; a number or an array.
        times: TE in s, increasing.
        frequency: f in Hz, broadcasting with `t2`; None: none, and the signal is real.

    Returns:
        float64, or complex128 with a frequency, (..., time).

    Raises:
        TypeError, ValueError: times that are not over 0, or not in s.
    """
    t2, times = _positive("t2", t2)[..., None], checked_times("times", times)
    signal = np.exp(-times / t2)
    if frequency is None:
        return signal
    return signal * np.exp(2j * np.pi * np.asarray(frequency, float)[..., None] * times)
