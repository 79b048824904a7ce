"""Echo-planar imaging: lines to and fro, with a blip of the other gradient between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve._check import integer, number
from pisolve.trajectories._shape import sizes
from pisolve.trajectories.limits import GAMMA


def epi(shape: Sequence[int], fov: float | Sequence[float], dwell: float, *, gmax: float = 40e-3, smax: float = 180.0,
        shots: int = 1, accel: int = 1, partial: float = 1.0, down: bool = False,
        start: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Blipped EPI with samples on the gradient's ramps: where they lie, (line, sample, 2) for (y, x), and when.

    Each line is a trapezoid of the readout gradient, as short as the limits let it be, with the least of gmax and
    1 / (gamma fov dwell), where samples are one cell apart. Samples are `dwell` apart, symmetric about its middle, all
    of it but the blips' times: half a blip ends a line, half a blip begins the next one. Each gradient slews by smax /
    sqrt 2, so that both together keep to smax in any orientation. Gradients may change at any time here, scanners have
    a raster.

    As points the lines are "shots": `Scan(kspace, coord=coord, size=shape)`. Or `calib.epi(kspace, coord[..., 1],
    coord[:, 0, 0], shape)` brings them onto a grid.

    Args:
        shape: of the image, (y, x).
        fov: the field of view in m, one number or (y, x).
        dwell: the time between samples in s.
        gmax, smax: the largest gradient in T/m and slew rate in T/m/s.
        shots: interleaved trains of lines, one after the other.
        accel: every how many-th line is measured; the centre is.
        partial: the share of k-space along ky that is measured, above 0.5; what comes first is left out.
        down: from positive to negative ky, which turns distortions round.
        start: s, the time at which each train begins, after its excitation.

    Returns:
        (coord in -N/2..N/2, time in s (line, sample)), the lines in the order in which they are measured.

    Raises:
        TypeError, ValueError: an image that is not 2-D, numbers out of range.

    Reference:
        Mansfield, J Phys C 10 (1977) L55; Bruder et al., Magn Reson Med 23 (1992) 311 (ramps).
    """
    ny, nx = sizes(shape, 2)
    fy, fx = _fields(fov)
    dwell, gmax, smax = (number(n, v, low=0, strict=True) for n, v in (("dwell", dwell), ("gmax", gmax),
                                                                       ("smax", smax)))
    shots, accel = integer("shots", shots, low=1), integer("accel", accel, low=1)
    first = ny - round(number("partial", partial, low=0.5, high=1, strict=False) * ny)
    rows = np.arange(ny // 2 % accel, ny, accel)
    rows = rows[rows >= min(first, ny // 2)]
    rows = rows[::-1] if down else rows
    slew = smax / 2**0.5
    blip = _blip(shots * accel / (GAMMA * fy), slew, gmax / 2**0.5)
    g, ramp, flat = _lobe(nx / (GAMMA * fx), blip / 2, slew, gmax, 1 / (GAMMA * fx * dwell))
    length = flat + 2 * ramp
    m = int((length - blip) / dwell + 1e-9)
    t = length / 2 + (np.arange(m) - (m - 1) / 2) * dwell
    k = GAMMA * fx * (_area(t, g, ramp, flat) - g * (flat + ramp) / 2)
    trains = [rows[s::shots] for s in range(shots)]
    ky = np.concatenate(trains) - ny // 2
    place = np.concatenate([np.arange(len(train)) for train in trains])
    kx = np.where(place[:, None] % 2, -k, k)
    time = number("start", start) + place[:, None] * length + t
    return np.stack([np.broadcast_to(ky[:, None], kx.shape).astype(float), kx], -1), time


def _fields(fov):
    """(y, x) of a field of view."""
    pair = tuple(fov) if isinstance(fov, tuple | list | np.ndarray) else (fov, fov)
    if len(pair) != 2:
        raise ValueError(f"fov must be one number or (y, x) in m, got {fov}")
    return tuple(number("fov", f, low=0, strict=True) for f in pair)


def _blip(area, slew, most):
    """How long a gradient of this area in T s / m takes: a triangle, cut off at `most`."""
    peak = min((area * slew) ** 0.5, most)
    return area / peak + peak / slew


def _lobe(inside, ends, slew, most, nyquist):
    """(amplitude, time of a ramp, time of the flat top) of a lobe whose area between its `ends` s is `inside`."""
    g = min(most, nyquist)
    if g / slew < ends:  # the blips reach over the ramps into the flat top
        g = min(g, most / 2**0.5)
        return g, g / slew, inside / g + 2 * (ends - g / slew)
    area = inside + slew * ends**2
    if area < g**2 / slew:  # no flat top
        g = (area * slew) ** 0.5
    return g, g / slew, max(area / g - g / slew, 0.0)


def _area(t, g, ramp, flat):
    """The area under a trapezoid up to the times t."""
    up, down = np.clip(t, 0, ramp), np.clip(t - ramp - flat, 0, ramp)
    return g * (up**2 / (2 * ramp) + np.clip(t - ramp, 0, flat) + down - down**2 / (2 * ramp))
