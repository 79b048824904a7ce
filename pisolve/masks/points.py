"""Single points in two phase-encoding axes: Poisson disc, variable density and a regular grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve import _check
from pisolve.masks._arguments import centre_block, check_axis, check_shape, too_fast


class SeedError(ValueError):
    """A seed from which a Poisson disc does not grow: another one does."""


def poisson(shape: Sequence[int], accel: float = 4, calib: int | Sequence[int] = 24, *, seed: int = 0) -> np.ndarray:
    """Variable-density Poisson disc in two phase-encoding axes: neighbours at least ~ 1 + s |r| apart, full centre.

    The slope s is bisected until the acceleration is within 0.1 of `accel` (the corners of k-space are cut off and
    count as not sampled). The points are SigPy's, and the pattern is that of `sigpy.mri.poisson` wherever its search
    ends: it runs on for ever where the grid cannot meet `accel` that closely. Here the search is bounded, and the
    nearest pattern is taken if its acceleration is within 5 %.

    Args:
        shape: image or k-space shape; its last two entries (ky, kx) are used.
        accel: acceleration > 1.
        calib: size of the fully sampled centre, an int or (ky, kx); smaller than the grid.
        seed: an integer.

    Returns:
        bool array (ky, kx).

    Raises:
        ValueError: no pattern within 5 % of `accel` (with the corners cut it must be above about 1.6), the centre
            alone is larger than size/accel, a grid of one line, or a seed whose first point lies in the full centre
            (or a cut corner) of a small grid, from where the disc does not grow.

    Reference:
        Bridson, Fast Poisson Disk Sampling in Arbitrary Dimensions, SIGGRAPH sketches 2007.
    """
    from pisolve.backend._sigpy import part

    _poisson = part("mri.samp")._poisson  # the public function cannot be bounded

    ny, nx = shape = check_shape(shape)
    accel = _check.number("accel", accel, low=1, strict=True)
    seed = _check.integer("seed", seed, low=0, high=2**32 - 1)
    if min(shape) < 2:
        raise ValueError(f"shape {shape} has one line: a Poisson disc needs two phase-encoding axes; use "
                         "variable_density with axis=-2 or -1")
    calib, full = centre_block(shape, calib)
    if calib[0] >= ny or calib[1] >= nx:
        raise ValueError(f"calib must be smaller than the grid {shape}, got {calib}")
    if accel > full.size:
        raise ValueError(f"accel {accel:g} leaves no point of {full.size}: lower accel")
    if full.sum() * accel > full.size:
        raise too_fast(accel, full.size, int(full.sum()), "points", "calib")
    dy, dx = (np.maximum(abs(np.arange(n) - n / 2) - c / 2, 0) for n, c in zip(shape, calib))
    r = np.hypot((dy / dy.max())[:, None], (dx / dx.max())[None, :])
    least = full.size / max(int(((r < 1) | full).sum()), 1)
    if accel < least:
        raise ValueError(f"accel {accel:g} is too low: with the corners cut a Poisson disc on {shape} starts at "
                         f"{least:.3g}; use variable_density")
    low, high, best, grown = 0.0, float(max(shape)), None, False
    for _ in range(24):
        slope = (low + high) / 2
        radius_x, radius_y = (np.maximum((1 + r * slope) * n / max(shape), 1) for n in (nx, ny))
        mask = (_poisson(nx, ny, 30, radius_x, radius_y, calib, seed) * (r < 1) != 0) | full
        grown = grown or bool((mask != full).any())
        actual = mask.size / mask.sum() if mask.any() else np.inf  # with calib=0 the cut may leave no point
        if best is None or abs(actual - accel) < abs(best[0] - accel):
            best = actual, mask
        if abs(actual - accel) < 0.1:
            break
        low, high = (slope, high) if actual < accel else (low, slope)
    if abs(best[0] - accel) > max(0.1, 0.05 * accel):
        if not grown:
            raise SeedError(f"seed {seed} starts the Poisson disc on {shape}, calib {calib}, where it cannot grow, in "
                            "the full centre or a cut corner: take another seed")
        raise ValueError(f"accel {accel:g} cannot be met by a Poisson disc on {shape}, calib {calib}: the nearest is "
                         f"{best[0]:.2f}; change accel or calib, or use variable_density")
    return best[1]


def regular(shape: Sequence[int], accel: float | Sequence[float] = (2, 2), calib: int | Sequence[int] = 24, *,
            offset: tuple[int, int] | None = None, shift: int = 0, seed: int = 0) -> np.ndarray:
    """Every a-th row of every b-th column in two phase-encoding axes (2-D SENSE, CAIPI without its shear), full centre.

    The centre comes in addition, so the true acceleration is below a * b.

    Args:
        shape: image or k-space shape; its last two entries (ky, kx) are used.
        accel: whole numbers (a, b), one for each axis.
        calib: size of the fully sampled centre, an int or (ky, kx); cut to the grid.
        offset: the first row and the first column; None draws them from the seed.
        shift: number of the frame in a series: the first column moves by one a frame, and the first row by one
            whenever the columns have gone round, so that a * b frames together sample everything.
        seed: an integer.

    Returns:
        bool array (ky, kx).

    Raises:
        ValueError: accel that are no two whole numbers >= 1, an offset beyond them.

    Reference:
        Weiger, Pruessmann and Boesiger, 2D SENSE for faster 3D MRI, MAGMA 14 (2002) 10.
    """
    shape = check_shape(shape)
    steps = _pair("accel", accel)
    if any(a != int(a) for a in steps):
        raise ValueError(f"accel must be two whole numbers for a regular grid, got {accel}")
    steps = [_check.integer("accel", int(a), low=1) for a in steps]
    if offset is None:
        rng = np.random.default_rng(_check.integer("seed", seed, low=0))
        first = [int(rng.integers(a)) for a in steps]
    else:
        first = [_check.integer("offset", o, low=0, high=a - 1) for o, a in zip(_pair("offset", offset), steps)]
    shift = _check.integer("shift", shift, low=0)
    first = [(first[0] + shift // steps[1]) % steps[0], (first[1] + shift) % steps[1]]
    mask = centre_block(shape, calib)[1]
    mask[first[0] :: steps[0], first[1] :: steps[1]] = True
    return mask


def _pair(name, value):
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{name} must be two numbers such as (2, 2), got {_check.brief(value)}")
    return tuple(value)


def variable_density(shape: Sequence[int], accel: float = 4, calib: int | Sequence[int] = 24, *, power: float = 3.0,
                     sigma: float | None = None, axis: int | None = None, seed: int = 0) -> np.ndarray:
    """Random samples, denser towards the centre, exactly round(N/accel) of them: p ~ (1 - r)^power.

    r is the distance from the centre of k-space, 1 in the corners; drawn without replacement around a full centre.

    Args:
        shape: image or k-space shape; its last two entries (ky, kx) are used.
        accel: acceleration >= 1.
        calib: size of the fully sampled centre, an int or (ky, kx); cut to the grid. With `axis`, the number of lines.
        power: exponent of the polynomial density, 0 is uniform.
        sigma: Gaussian density p ~ exp(-r^2 / (2 sigma^2)) in place of the polynomial.
        axis: None draws single points (two phase-encoding axes); -2 or -1 draws whole lines along that one axis.
        seed: an integer.

    Returns:
        bool array (ky, kx).

    Raises:
        ValueError: accel < 1, or the centre alone is larger than N/accel.

    Reference:
        Lustig, Donoho, Pauly, Sparse MRI, Magn Reson Med 58:1182, 2007 (the polynomial density).
    """
    shape = check_shape(shape)
    accel = _check.number("accel", accel, low=1)
    power = _check.number("power", power, low=0)
    sigma = _check.number("sigma", sigma, low=0, strict=True, allow_none=True)
    seed = _check.integer("seed", seed, low=0)
    grid = shape
    if axis is not None:
        axis = check_axis(axis)
        calib = _check.integer("calib", calib, low=0)
        grid = (shape[0], 1) if axis == -2 else (1, shape[1])
    _, full = centre_block(grid, calib)
    wanted = round(full.size / accel)
    if wanted < full.sum() or wanted == 0:
        raise too_fast(accel, full.size, int(full.sum()), "points" if axis is None else "lines", "calib")
    offset = [(np.arange(n) - n // 2) / max(n // 2, 1) for n in grid]
    r = np.hypot(offset[0][:, None], offset[1][None, :])
    r /= max(r.max(), 1)
    if sigma is not None:
        weight = -(r**2) / (2 * sigma**2)
    else:
        with np.errstate(divide="ignore"):  # log 0 = -inf: the very corner is drawn last
            weight = power * np.log1p(-r) if power else np.zeros(grid)
    # the largest of log p + Gumbel noise are a draw without replacement with probabilities p
    key = np.where(full, np.inf, weight + np.random.default_rng(seed).gumbel(size=grid))
    mask = np.zeros(full.size, bool)
    mask[np.argsort(key, axis=None, kind="stable")[full.size - wanted :]] = True
    return np.broadcast_to(mask.reshape(grid), shape).copy()
