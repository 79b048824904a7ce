"""What a trajectory asks of a scanner's gradients."""

from __future__ import annotations

import numpy as np

from pisolve._check import number

GAMMA = 42.577478518e6  # Hz / T, of protons


def check(coord, fov, dwell: float, *, gmax: float = 40e-3, smax: float = 180.0) -> dict:
    """The gradients and slew rates of a trajectory, and whether a scanner can play it.

        G = k' / gamma,    S = k'' / gamma,    by differences along the samples of each shot

    Args:
        coord: (..., sample, axis), in units of 1 / field of view.
        fov: the field of view in m, one number or one for each axis.
        dwell: the time between samples in s.
        gmax: the largest gradient in T/m, of its length over the axes.
        smax: the largest slew rate in T/m/s, likewise.

    Returns:
        {"gradient", "slew": the largest ones, in T/m and T/m/s; "playable": whether both are within the limits;
        "told": one sentence for each limit that is passed, by what and where}.

    Raises:
        TypeError, ValueError: numbers out of range, fewer than three samples.
    """
    coord = np.asarray(coord, np.float64)
    if coord.ndim < 2 or coord.shape[-2] < 3 or not np.isfinite(coord).all():
        raise ValueError(f"coord has shape {coord.shape}: give finite (..., sample, axis) with at least three samples")
    dwell, gmax, smax = (number(n, v, low=0, strict=True) for n, v in (("dwell", dwell), ("gmax", gmax),
                                                                       ("smax", smax)))
    k = coord / np.asarray(fov, np.float64)  # 1 / m
    gradient = np.linalg.norm(np.diff(k, axis=-2), axis=-1) / (GAMMA * dwell)
    slew = np.linalg.norm(np.diff(k, n=2, axis=-2), axis=-1) / (GAMMA * dwell**2)
    told = []
    for name, values, limit, unit in (("gradient", gradient, gmax, "T/m"), ("slew rate", slew, smax, "T/m/s")):
        if values.max() > limit * (1 + 1e-9):
            where = np.unravel_index(int(values.argmax()), values.shape)
            ratio = (values.max() / limit) ** (1 if name == "gradient" else 0.5)
            told.append(f"the {name} reaches {values.max():.4g} {unit} at sample {where[-1]} of shot "
                        f"{', '.join(map(str, where[:-1])) or 0}, and the limit is {limit:g}: "
                        f"a dwell time {ratio:.4g} times as long would do")
    return {"gradient": float(gradient.max()), "slew": float(slew.max()), "playable": not told, "told": told}
