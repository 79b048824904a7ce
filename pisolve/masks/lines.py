"""Whole lines along one phase-encoding axis: fastMRI's random, equispaced and equispaced-fraction masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisolve import _check
from pisolve._types import Seed
from pisolve.masks._arguments import check_axis, check_shape, too_fast


def random(shape: Sequence[int], accel: float | Sequence[float] = 4, center_fraction: float | None = None, *,
           axis: int = -2, seed: Seed = 0) -> np.ndarray:
    """fastMRI's random lines: a full centre, and every other line with p = (N/accel - N_c) / (N - N_c).

    N lines along `axis`, N_c = round(N * center_fraction) of them in the centre: the *expected* number is N/accel.

    Args:
        shape: image or k-space shape; its last two entries (ky, kx) are used.
        accel: acceleration >= 1; or a sequence, one of whose entries is drawn (fastMRI's training masks).
        center_fraction: fraction of fully sampled centre lines; None takes fastMRI's pairing, .08 at 4x and .04 at 8x,
            and 0.32 / accel at all others. A sequence beside a sequence of accelerations, paired one to one.
        axis: the phase-encoding axis, -2 (ky) or -1 (kx; fastMRI's own files).
        seed: an integer, or a tuple of integers as fastMRI makes from a file's name.

    Returns:
        bool array (ky, kx).

    Raises:
        ValueError: accel < 1, or the centre alone holds more lines than N/accel.

    Reference:
        Zbontar et al., fastMRI: An Open Dataset and Benchmarks for Accelerated MRI, arXiv:1811.08839.
    """
    shape, axis, rng, accel, n, low = _lines(shape, accel, center_fraction, axis, seed)
    if n / accel < low:
        raise too_fast(accel, n, low)
    probability = (n / accel - low) / (n - low) if low < n else 1.0
    return _expand(rng.uniform(size=n) < probability, low, shape, axis)


def equispaced(shape: Sequence[int], accel: float | Sequence[float] = 4, center_fraction: float | None = None, *,
               axis: int = -2, offset: int | None = None, shift: int = 0, seed: Seed = 0) -> np.ndarray:
    """fastMRI's evenly spaced lines (GRAPPA): every `accel`-th line from `offset`, and a full centre on top.

    The centre comes in addition, so the true acceleration is below `accel`. `accel` must be whole. Other arguments and
    the return value as in `random`.

    Args:
        offset: the first line, 0..accel-1; None draws it from the seed.
        shift: lines that are added to the offset, modulo the spacing: the number of the frame in a series, so that its
            frames interleave.

    Reference:
        Zbontar et al., arXiv:1811.08839; EquiSpacedMaskFunc in its code.
    """
    shape, axis, rng, accel, n, low = _lines(shape, accel, center_fraction, axis, seed)
    if accel != int(accel):
        raise ValueError(f"accel must be a whole number for evenly spaced lines, got {accel}: equispaced_fraction "
                         "takes any")
    if offset is None:
        offset = rng.randint(0, high=round(accel))
    else:
        offset = _check.integer("offset", offset, low=0, high=int(accel) - 1)
    offset = (offset + _check.integer("shift", shift, low=0)) % int(accel)
    lines = np.zeros(n, bool)
    lines[offset :: int(accel)] = True
    return _expand(lines, low, shape, axis)


def equispaced_fraction(shape: Sequence[int], accel: float | Sequence[float] = 4, center_fraction: float | None = None,
                        *, axis: int = -2, offset: int | None = None, shift: int = 0, seed: Seed = 0) -> np.ndarray:
    """fastMRI's equispaced lines that reach `accel` with the centre counted: spacing a' = a (N_c - N) / (N_c a - N).

    Lines round(offset + i a') below N - 1 (so the last line may be missing even at accel = 1, as in fastMRI), and the
    full centre. The public multi-coil brain masks are of this kind. Arguments as in `equispaced`, any real `accel`.

    Reference:
        Zbontar et al., arXiv:1811.08839; EquispacedMaskFractionFunc in its code.
    """
    shape, axis, rng, accel, n, low = _lines(shape, accel, center_fraction, axis, seed)
    if low * accel >= n:
        raise too_fast(accel, n, low)
    spacing = accel * (low - n) / (low * accel - n)
    if offset is None:
        offset = rng.randint(0, high=round(spacing))
    else:
        offset = _check.integer("offset", offset, low=0, high=round(spacing) - 1)
    offset = (offset + _check.integer("shift", shift, low=0)) % max(round(spacing), 1)
    lines = np.zeros(n, bool)
    lines[np.around(np.arange(offset, n - 1, spacing)).astype(int)] = True
    return _expand(lines, low, shape, axis)


def _lines(shape, accel, center_fraction, axis, seed):
    """fastMRI's common ground: checked arguments, the seeded RandomState, and the drawn (accel, N, N_c)."""
    shape, axis = check_shape(shape), check_axis(axis)
    several = isinstance(accel, Sequence) and not isinstance(accel, str) and len(accel) > 0
    accels = [_check.number("accel", a, low=1) for a in (accel if several else [accel])]
    if center_fraction is None:
        fractions = [0.32 / a for a in accels]
    else:
        fractions = center_fraction if isinstance(center_fraction, Sequence) else [center_fraction]
        fractions = [_check.number("center_fraction", f, low=0, high=1) for f in fractions]
    if len(fractions) != len(accels):
        raise ValueError(f"center_fraction has {len(fractions)} entries for {len(accels)} of accel: they are pairs")
    seeds = seed if isinstance(seed, tuple) and seed else (seed,)
    seeds = [_check.integer("seed", s, low=0, high=2**32 - 1) for s in seeds]
    rng = np.random.RandomState(seeds if isinstance(seed, tuple) else seeds[0])  # fastMRI's stream
    draw = rng.randint(len(accels))
    n = shape[axis]
    return shape, axis, rng, accels[draw], n, round(n * fractions[draw])


def _expand(lines, low, shape, axis) -> np.ndarray:
    start = (len(lines) - low + 1) // 2
    lines[start : start + low] = True
    return np.broadcast_to(lines[:, None] if axis == -2 else lines[None, :], shape).copy()
