"""Paired comparisons: bootstrap intervals and win counts."""

from __future__ import annotations

import math

import numpy as np

from pisolve import _check

DRAWS = 10000
LEAST = 5  # independent groups, below which no interval is given: of two its ends are just these two


def bootstrap(values, groups=None, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap's interval of a mean: ends between which `level` of the resampled means lie.

    Values of one group, such as the slices of one scan, are no independent witnesses: whole groups are drawn with
    replacement where there are two or more, and the mean is that of all values drawn. With one group, or one value a
    group, values are drawn by themselves.

    Args:
        values: numbers, for paired comparisons the differences.
        groups: a label for each, or None.
        level: between 0 and 1.
        draws: resampled means.
        seed: the same call gives the same ends.

    Returns:
        (low, high); NaN for fewer than two values, about which nothing can be said.

    Raises:
        ValueError: values that are not finite or not as many as groups.

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 8.3.
    """
    values = np.asarray(values, float)
    _check.number("level", level, low=0, high=1, strict=True)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"values must be a list of finite numbers, got {_check.brief(values)}")
    labels = np.arange(len(values)) if groups is None else np.asarray(groups)
    if labels.shape != values.shape:
        raise ValueError(f"groups has {len(labels)} labels for {len(values)} values")
    if len(values) < 2:
        return float("nan"), float("nan")
    _, member = np.unique(labels, return_inverse=True)
    if member.max() == 0:
        member = np.arange(len(values))
    sums, counts = np.bincount(member, values), np.bincount(member)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(_check.integer("draws", draws, low=100), len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired(scans, slices, gaps, *, level: float = 0.95) -> dict:
    """The mean of paired differences, its interval, and how many witnesses it rests on.

    Slices of one scan are no independent witnesses, nor is one slice under several samplings: scans are drawn whole;
    where there is only one scan its slices are, as if they were independent, which makes the interval too narrow.

    Args:
        scans, slices: of each difference, where it is from.
        gaps: the differences, finite numbers.
        level: of the interval.

    Returns:
        A dict: difference, low, high (NaN below `LEAST` scans, of one scan below `LEAST` slices), pairs, scans and
        slices (how many different ones).

    Raises:
        ValueError: a level outside of 0..1.
    """
    places = list(zip(scans, slices))
    groups = scans if len(set(scans)) > 1 else slices
    _, member = np.unique(np.asarray(groups, str), return_inverse=True)
    low, high = bootstrap(gaps, member, level=level)
    if len(set(groups)) < LEAST:
        low = high = math.nan
    return {"difference": float(np.mean(gaps)) if gaps else math.nan, "low": low, "high": high, "pairs": len(gaps),
            "scans": len(set(scans)), "slices": len(set(places))}
