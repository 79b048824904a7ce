"""Is a claimed standard deviation the error that is there? Coverage, rank correlation and sparsification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import ArrayLike
from pisolve.backend import to_numpy

LEVELS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
_FRACTIONS = np.linspace(0, 0.95, 20)


@dataclass(frozen=True)
class Calibration:
    """What `calibration` returns.

    Attributes:
        coverage: one dict a level: k, "expected" = erf(k / sqrt 2), "found" = share of the pixels with |error| < k std.
        ratio: root mean square of the error over that of the claimed std: 1 is right, 3 says that errors are three
            times as large as claimed.
        correlation: Spearman's between |error| and std: 1 where larger std means larger error throughout, 0 by chance.
            Of a right Gaussian std it is far below 1, since a small error is likely everywhere.
        ause: area between the two curves of `sparsification`: 0 is the perfect order.
        ause_random: the same area of an order by chance, beside which `ause` counts.
        sparsification: fractions of pixels taken away, and the root mean square error of those that stay over that of
            all: "claimed" takes those of the largest std first, "oracle" those of the largest error.
        pixels: how many.
    """

    coverage: tuple[Any, ...]
    ratio: float
    correlation: float
    ause: float
    ause_random: float
    sparsification: dict[str, Any] = field(repr=False)
    pixels: int

    def __str__(self) -> str:
        """What the numbers say, in a line."""
        found = {c["k"]: c["found"] for c in self.coverage}
        return (f"the error is {self.ratio:.2f} times as large as claimed; |error| < std at {found[1.0]:.1%} of "
                f"{self.pixels} pixels (68.3% of a right Gaussian std); rank correlation {self.correlation:.2f}, AUSE "
                f"{self.ause:.3f} (by chance {self.ause_random:.3f})")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`."""
        return {**self.__dict__, "coverage": list(self.coverage)}


def calibration(error: ArrayLike, std: ArrayLike, *, region: ArrayLike | None = None) -> Calibration:
    """How well a standard deviation at every pixel foretells the error there.

    For Gaussian errors of that standard deviation |error| < k std at a share erf(k / sqrt 2) of the pixels: 0.383,
    0.683, 0.866, 0.954, 0.988, 0.997 for k = 0.5, 1, ... 3. Less found: the std is too small (overconfident), or the
    errors have a bias that no std contains.

    Args:
        error: real array, such as |image| - reference.
        std: of the same shape, >= 0.
        region: bool array of that shape: which pixels count.

    Raises:
        TypeError, ValueError: other shapes, NaN, complex errors, a negative std, a region without pixels, no error at
            all.

    Reference:
        Ilg et al., ECCV 2018 (sparsification, AUSE); Edupuganti et al., IEEE Trans Med Imaging 40 (2021) 239.
    """
    from scipy import special, stats

    error, std = (to_numpy(_check.array(n, x, complex_=False)) for n, x in (("error", error), ("std", std)))
    if error.dtype.kind == "c" or std.dtype.kind == "c":
        raise TypeError("error and std must be real: take the part in phase with the object, or of magnitudes")
    if error.shape != std.shape:
        raise ValueError(f"error has shape {error.shape}, std {std.shape}: they belong to the same pixels")
    if (std < 0).any():
        raise ValueError("std has negative values: it is no standard deviation")
    if region is not None:
        region = _check.array("region", region, shape=error.shape, complex_=False)
        if region.dtype != bool or not region.any():
            raise ValueError("region must be a boolean array that is True somewhere")
        error, std = error[region], std[region]
    size, std = abs(error.ravel()).astype(float), std.ravel().astype(float)
    total = np.sqrt(np.mean(size**2))
    if total == 0:
        raise ValueError("error is zero everywhere: there is nothing to foretell")
    coverage = tuple({"k": k, "expected": float(special.erf(k / np.sqrt(2))), "found": float((size < k * std).mean())}
                     for k in LEVELS)
    varied = np.ptp(size) > 0 and np.ptp(std) > 0
    rank = float(stats.spearmanr(size, std).statistic) if varied else 0.0
    claimed, oracle = (_remaining(size, by) / total for by in (std, size))
    flat = np.trapezoid(1 - oracle, _FRACTIONS)
    claim = np.sqrt(np.mean(std**2))
    lines = {"fraction": _FRACTIONS.tolist(), "claimed": claimed.tolist(), "oracle": oracle.tolist()}
    return Calibration(coverage, float(total / claim) if claim > 0 else float("inf"), rank,
                       float(np.trapezoid(claimed - oracle, _FRACTIONS)), float(flat), lines, len(size))


def _remaining(size, by):
    """Root mean square of what stays after the fractions of largest `by` were taken away."""
    order = np.argsort(-by, kind="stable")
    energy = np.cumsum((size[order] ** 2)[::-1])[::-1]  # from each place to the end
    start = np.minimum((_FRACTIONS * len(size)).astype(int), len(size) - 1)
    return np.sqrt(energy[start] / (len(size) - start))
