"""Images moved: translation and rotation of each shot or frame, by shifts of their Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve.linops.base import Adjoint, Linop, SelfAdjoint

_STEEPEST = 45.0  # degrees, up to which three shears turn an image


class Rigid(Linop):
    """The class behind `rigid`.

    Attributes:
        shifts: (state, 2), pixels along y and x.
        angles: (state,), degrees.
    """

    host = False

    shifts: Any
    angles: Any
    iaxes: Any
    oaxes: Any

    def __init__(self, shape: Sequence[int], shifts: Any, angles: Any, axis: Any):
        self.shifts, self.angles = shifts, angles
        self._passes = [(along, backend.Constant(ramp)) for along, ramp in _ramps(shape, shifts, angles)]
        super().__init__((len(shifts), *shape), shape, repr_str=f"Rigid({len(shifts)} states)")
        self.iaxes, self.oaxes = ("y", "x"), (axis, "y", "x")

    def norm_bound(self) -> float:
        return float(len(self.shifts)) ** 0.5 * (1 + 1e-6)

    def _pass(self, t, along, ramp, adjoint=False):
        ramp = ramp.like(t, _check.dtype_name(t))
        t = backend.fft(t, (along,), centred=False)
        return backend.fft((ramp.conj() if adjoint else ramp) * t, (along,), centred=False, inverse=True)

    def _apply(self, input):
        t = input[None] + backend.zeros(tuple(self.oshape), input)
        for along, ramp in self._passes:
            t = self._pass(t, along, ramp)
        return t

    def _apply_adjoint(self, input):
        for along, ramp in reversed(self._passes):
            input = self._pass(input, along, ramp, adjoint=True)
        return input.sum(0)

    def _adjoint_linop(self):
        return Adjoint(self)

    def _normal_linop(self):
        return SelfAdjoint(self.ishape, self._normal, "Rigid.N")

    def _normal(self, x):
        return len(self.shifts) * x


def _ramps(shape, shifts, angles):
    """[(axis, phases (state, y, x) of its transform)] of the shears along x, y and x, the shift in the last two."""
    ny, nx = shape
    y, x = np.arange(ny) - ny // 2, np.arange(nx) - nx // 2
    turn = np.deg2rad(angles)[:, None]
    first, second = -np.tan(turn / 2), np.sin(turn)
    fy, fx = np.fft.fftfreq(ny), np.fft.fftfreq(nx)
    dy, dx = shifts[:, :1], shifts[:, 1:]

    def ramp(f, moved, along):  # moved: (state, the other axis)
        return np.exp(-2j * np.pi * (f[None, :, None] * moved[:, None] if along == -2 else f * moved[:, :, None]))

    third = first * (y - dy) + dx
    return [(-1, ramp(fx, first * y, -1)), (-2, ramp(fy, second * x + dy, -2)), (-1, ramp(fx, third, -1))]


def rigid(shape: Sequence[int], shifts: Any, angles: Any = None, *, axis: str = "state") -> Rigid:
    """An image as it lay in each of several states: turned about its centre, then shifted.

        (T x)_s(r) = x(R_s^-1 (r - d_s))

    Three shears make a rotation, and each is a shift of lines by their Fourier transform: no interpolation, and T_s is
    unitary; what is turned over the edge comes in on the other side. In front of the encoding of shots,
    `linops.sense(...) * rigid(...)`, it is the forward model of a body that moved between them.

    Args:
        shape: (y, x) of the image.
        shifts: (state, 2), pixels along y and x.
        angles: (state,), degrees from x towards y, at most 45; None: no rotation.
        axis: the name of the axis of states.

    Returns:
        A `sigpy.linop.Linop` from (y, x) to (state, y, x); ||T||^2 is the number of states.

    Raises:
        TypeError, ValueError: numbers that are not finite or do not fit, more than 45 degrees.

    Reference:
        Larkin, Oldfield and Klemm, Opt Commun 139 (1997) 99 (rotation by Fourier shears).
    """
    shape = _check.shape("shape", shape)
    if len(shape) != 2:
        raise ValueError(f"shape is {shape}: (y, x) is needed")
    shifts = np.asarray(backend.to_numpy(_check.array("shifts", np.asarray(shifts, float), ndim=2, complex_=False)))
    if shifts.shape[1] != 2:
        raise ValueError(f"shifts has shape {shifts.shape}: (state, 2) is needed, pixels along y and x")
    angles = np.zeros(len(shifts)) if angles is None else np.asarray(angles, float)
    if angles.shape != (len(shifts),) or not np.isfinite(angles).all():
        raise ValueError(f"angles has shape {angles.shape}: finite degrees for each of {len(shifts)} states are needed")
    if abs(angles).max() > _STEEPEST:
        raise ValueError(f"angles reach {abs(angles).max():g} degrees, and at most {_STEEPEST:g} are possible: turn "
                         "the image by quarters first")
    return Rigid(shape, shifts, angles, axis)
