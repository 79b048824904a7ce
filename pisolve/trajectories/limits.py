"""What a trajectory asks of a scanner's gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._check import number
from pisolve._types import ArrayLike

GAMMA = 42.577478518e6  # Hz / T, of protons


@dataclass(frozen=True)
class Scanner:
    """Checked limits, in SI units.

    Attributes:
        fov: the field of view along each axis in m.
        dwell: the time between samples in s.
        gmax, smax: the largest gradient in T/m and slew rate in T/m/s, of their length over the axes.
    """

    fov: np.ndarray
    dwell: float
    gmax: float
    smax: float

    @property
    def first(self) -> float:
        """The longest step of k from sample to sample, gamma gmax dwell, in 1/m."""
        return GAMMA * self.gmax * self.dwell

    @property
    def second(self) -> float:
        """The longest second difference of k, gamma smax dwell^2, in 1/m."""
        return GAMMA * self.smax * self.dwell**2


def scanner(fov, axes: int, dwell, gmax, smax) -> Scanner:
    """`Scanner` of checked arguments; what is in other units is refused with the units that are meant.

    Raises:
        TypeError, ValueError: as said.
    """
    dwell, gmax, smax = (number(n, v, low=0, strict=True) for n, v in (("dwell", dwell), ("gmax", gmax),
                                                                       ("smax", smax)))
    found = np.array(fov, np.float64)
    if found.shape not in ((), (1,), (axes,)) or not np.isfinite(found).all() or not (found > 0).all():
        raise ValueError(f"fov must be positive, in m, one number or one for each of {axes} axes, got "
                         f"{_check.brief(fov)}")
    found = np.broadcast_to(found, (axes,)).copy()
    for name, value, most, unit, such in (("fov", float(found.max()), 3, "m", "0.25"),
                                          ("dwell", dwell, 0.01, "s", "10e-6"), ("gmax", gmax, 1, "T/m", "40e-3")):
        if value > most:
            raise ValueError(f"{name} is {value:g}, which no scanner has in {unit}: give {unit}, such as {name}={such}")
    return Scanner(found, dwell, gmax, smax)


def shots(coord) -> np.ndarray:
    """Checked coordinates (..., sample, axis) of at least three samples, float64.

    Raises:
        ValueError: they are not.
    """
    coord = np.asarray(coord, np.float64)
    if coord.ndim < 2 or coord.shape[-2] < 3 or coord.shape[-1] not in (1, 2, 3) or not np.isfinite(coord).all():
        raise ValueError(f"coord has shape {coord.shape}: give finite (..., sample, axis) with at least three samples")
    return coord


def check(coord: ArrayLike, fov: float | Sequence[float], dwell: float, *, gmax: float = 40e-3,
          smax: float = 180.0) -> dict[str, Any]:
    """The gradients and slew rates of a trajectory, and whether a scanner can play it.

        G = k' / gamma,    S = k'' / gamma,    by differences along the samples of each shot

    Args:
        coord: (..., sample, axis), in units of 1 / field of view.
        fov: the field of view in m, one number or one for each axis.
        dwell: the time between samples in s.
        gmax: the largest gradient in T/m, of its length over the axes.
        smax: the largest slew rate in T/m/s, likewise.

    Returns:
        {"gradient", "slew": the largest ones, in T/m and T/m/s; "duration": of a shot in s; "playable": whether both
        are within the limits; "told": one sentence for each limit that is passed: by what, where, how many samples
        pass it, and the dwell time that would do}.

    Raises:
        TypeError, ValueError: numbers out of range or in other units, fewer than three samples.
    """
    coord = shots(coord)
    limits = scanner(fov, coord.shape[-1], dwell, gmax, smax)
    k = coord / limits.fov  # 1 / m
    gradient = np.linalg.norm(np.diff(k, axis=-2), axis=-1) / (GAMMA * limits.dwell)
    slew = np.linalg.norm(np.diff(k, n=2, axis=-2), axis=-1) / (GAMMA * limits.dwell**2)
    told = []
    for name, values, limit, unit in (("gradient", gradient, limits.gmax, "T/m"),
                                      ("slew rate", slew, limits.smax, "T/m/s")):
        if values.max() > limit * (1 + 1e-9):
            where = np.unravel_index(int(values.argmax()), values.shape)
            ratio = (values.max() / limit) ** (1 if name == "gradient" else 0.5)
            told.append(f"the {name} reaches {values.max():.4g} {unit} at sample {where[-1]} of shot "
                        f"{', '.join(map(str, where[:-1])) or 0}, and the limit is {limit:g}, which "
                        f"{np.mean(values > limit):.2g} of the samples pass: a dwell time {ratio:.4g} times as long "
                        "would do")
    return {"gradient": float(gradient.max()), "slew": float(slew.max()),
            "duration": (coord.shape[-2] - 1) * limits.dwell, "playable": not told, "told": told}
