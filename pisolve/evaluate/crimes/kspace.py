"""Data crimes that show in k-space: padding, filters, filled lines, masks, coils."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve import masks
from pisolve.backend import fft
from pisolve.evaluate.crimes.view import Measured, View, distance, periodic

AXES = ((-2, "ky"), (-1, "kx"))
EMPTY = 20  # dB: by so much less power than the lines beside them, lines hold neither signal nor noise


def zero_padded(view: View) -> Measured | None:
    """The power of the next four lines over that of the outer lines (two or more on both sides), in dB."""
    if not view.full:
        return None
    power = np.mean(abs(view.kspace.astype(np.complex128)) ** 2, axis=(0, 1))
    found = []
    for axis, name in AXES:
        lines = np.median(power, axis=-1 if axis == -2 else -2)
        half = len(lines) // 2
        if half < 8:
            continue
        ahead, behind = lines[: half - 1], lines[:half:-1][: half - 1]  # from both ends towards the centre
        outer = np.maximum.accumulate(np.maximum(ahead, behind))
        floor = max(outer[-1] * 1e-20, np.finfo(float).tiny)
        drops = [(10 * np.log10((np.maximum(ahead, behind)[j: j + 4].min() + floor) / (outer[j - 1] + floor)), j)
                 for j in range(2, len(outer) - 4)]
        drop, j = max(drops)
        found.append((drop, f"the outer {2 * j} of {len(lines)} lines along {name} hold no signal and no noise (their "
                            f"power is {drop:.0f} dB below that of the next lines)"))
    return Measured(max(found)[0], ", ".join(words for drop, words in found if drop > EMPTY)) if found else None


def filtered(view: View) -> Measured | None:
    """The noise's power at the edge of k-space (beyond 90 %) over that half way (40 to 70 %), from the air."""
    if not view.enough_air or {"zero-padded k-space", "empty background", "magnitude image"} & set(view.fired):
        return None
    power = np.mean(abs(fft(view.images * view.air[:, None], (-2, -1))) ** 2, axis=(0, 1))
    found = []
    for axis, name in AXES:
        lines, far = power.mean(-1 if axis == -2 else -2), distance(power.shape[axis])
        ratio = lines[far > 0.9].mean() / lines[(far > 0.4) & (far < 0.7)].mean()
        found.append((float(ratio), f"the noise (of the air) at the edges of {name} has {ratio:.2g} of the power that "
                                    "it has half way: a scanner's noise is white"))
    return Measured(*min(found))


def filled(view: View) -> Measured | None:
    """Whether the power of outer k-space lines repeats with 2, 3 or 4 lines, in standard errors."""
    if not view.full or "zero-padded k-space" in view.fired:
        return None
    found = [(0.0, "")]
    for axis, name in AXES:
        lines = np.moveaxis(view.kspace, axis, -2)
        far = distance(lines.shape[-1]) > 0.6
        if not far.any():
            continue
        z, contrast, period = periodic(np.mean(abs(lines[..., far]) ** 2, axis=(0, 1, 3)))
        found.append((z if contrast > 1.05 else 0.0,
                      f"every {_ORDER[period]} line along {name} differs by a factor of {contrast:.3g} in power from "
                      f"its neighbours where noise dominates ({z:.0f} standard errors)"))
    return Measured(*max(found))


_ORDER = {2: "second", 3: "third", 4: "fourth"}


def symmetric(view: View) -> Measured | None:
    """sum (|y(k)| - |y(-k)|)^2 / sum |y(k)|^2 + |y(-k)|^2 over outer k, the median of the coils."""
    size = abs(view.kspace)
    partner = np.roll(size[..., ::-1, ::-1], [1 - n % 2 for n in size.shape[-2:]], (-2, -1))
    both = (size != 0).any((0, 1)) & (partner != 0).any((0, 1)) & view.sampled
    reach = [np.max(distance(n)[both.any(a)], initial=0.1) for n, a in zip(size.shape[-2:], (1, 0))]
    y, x = (distance(n) / r for n, r in zip(size.shape[-2:], reach))
    both &= (np.maximum(y[:, None], x) > 0.5) & (y[:, None] < 0.95) & (x < 0.95)
    if both.sum() < 100:
        return None
    a, b = size[..., both].astype(np.float64), partner[..., both].astype(np.float64)
    power = np.sum(a**2 + b**2, axis=(0, 2))
    if not power.any():
        return None
    value = float(np.median(np.sum((a - b) ** 2, axis=(0, 2))[power > 0] / power[power > 0]))
    return Measured(value, f"|y(k)| and |y(-k)| differ by {value:.1e} of their power, independent noise alone by 0.21: "
                           "the images have no phase")


def points(view: View) -> Measured | None:
    """The share of the grid of used lines that is sampled: 1 for whole readouts."""
    if view.two_phases or view.full:
        return None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        mask = masks.check(view.sampled, view.sampled.shape)
    if not any(issubclass(w.category, masks.PoorMaskWarning) for w in said):
        return Measured(1.0, "")
    share = float(mask[np.ix_(mask.any(1), mask.any(0))].mean())
    if share > 0.6:
        return Measured(share, f"{1 - share:.0%} of the samples are missing inside of the readouts that were acquired")
    return Measured(share, f"single points are sampled, {share:.0%} of the lines they lie on: a 2-D scan acquires "
                           "whole readouts")


def coils_sampled(view: View) -> Measured | None:
    """The share of sampled positions at which some of the (living) coils are zero."""
    there = view.kspace != 0
    there = there[:, there.any((0, 2, 3))]
    if there.shape[1] < 2:
        return None
    anywhere = there.any(1)
    share = float((anywhere & ~there.all(1)).sum() / anywhere.sum())
    return Measured(share, f"at {share:.0%} of the sampled positions some coils are zero and others are not: all "
                           "coils of a scanner receive at the same time")


def duplicated(view: View) -> Measured | None:
    """The largest |<y_i, y_j>| / (||y_i|| ||y_j||) of two coils."""
    coils = np.moveaxis(view.kspace, 1, 0).reshape(view.kspace.shape[1], -1)
    size = np.linalg.norm(coils, axis=1)
    alive = np.flatnonzero(size)
    if len(alive) < 2:
        return None
    coils = coils[alive] / size[alive, None]
    likeness = np.triu(abs(coils @ coils.conj().T), 1)
    i, j = np.unravel_index(np.argmax(likeness), likeness.shape)
    return Measured(float(likeness[i, j]), f"coils {alive[i]} and {alive[j]} hold the same signal and the same noise "
                                           f"(correlation {likeness[i, j]:.5f})")
