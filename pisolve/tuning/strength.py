"""What strength means for a prior, and where to look for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pisolve._check import brief, number
from pisolve.backend import to_numpy
from pisolve.priors import PnP, Prior, Zero
from pisolve.priors.base import Scaled, Sum

LAMS, SIGMAS, COUNT = (1e-4, 1e-1), (1e-2, 3e-1), 9  # for images with a 99th percentile of 1
_COARSE = 4  # strengths of the coarsest grid, a decade apart
_LEAST = 3  # strengths that make a curve


@dataclass(frozen=True)
class Family:
    """One prior at every strength.

    Attributes:
        make: strength -> prior.
        kind: what a strength is: "lam", "sigma", or "strength" of a function of the user's.
        low, high: default range for images with a 99th percentile of 1.
        power: of the image's level by which the range carries to other scales (2 - power is that of ||A||^2).
    """

    make: Callable[[float], Prior]
    kind: str
    low: float
    high: float
    power: int

    def grid(self, problem, trials: int | None = None) -> list:
        """The default strengths, ascending, in the units of a problem: its level is that of |A^H y| / L.

        Args:
            problem: `Problem`.
            trials: how many strengths are tried in all; of fewer than 9 all but two lie on the grid, at least 4.
        """
        count = COUNT if trials is None or trials >= COUNT else max(_COARSE, trials - 2)
        L = problem.lipschitz
        level = float(np.percentile(abs(to_numpy(problem.AHy)), 99)) or float(abs(to_numpy(problem.AHy)).max())
        if not level > 0:
            raise ValueError("A^H y is zero everywhere: there is nothing to choose a strength by")
        factor = {"sigma": level / L}.get(self.kind, level if self.power == 1 else L)
        return [float(s) for s in np.geomspace(self.low, self.high, count) * factor]


def family(prior) -> Family:
    """What the strengths of a prior, or of a function strength -> prior, are.

    A factor that the prior has already does not count: 2e-3 * TV() is TV(), but weights of single places stay. In a sum
    the largest factor becomes the strength and the others keep their ratio to it. PnP(D, sigma) has its sigma,
    PnP(D, lam=...) its lam.
    """
    if isinstance(prior, PnP):
        D = prior.denoiser
        if prior.level is not None and not D.rescale:
            raise ValueError(f"{D.name} knows one noise level only, so there is no strength to choose: load it with "
                             "rescale=True, or give a function strength -> prior")
        if prior.lam is None:
            return Family(lambda s: PnP(D, sigma=s, weights=prior.weights), "sigma", *SIGMAS, 1)
        return Family(lambda s: PnP(D, lam=s, weights=prior.weights), "lam", *(s**2 for s in SIGMAS), 0)
    if not isinstance(prior, Prior):
        if not callable(prior):
            raise TypeError(f"prior must be a prior such as pi.TV(), or a function strength -> prior, got "
                            f"{brief(prior)}")
        return Family(prior, "strength", *LAMS, 1)
    if isinstance(prior, Zero) or prior.solver() is not None:
        raise ValueError(f"{prior!r} has no strength to choose")
    if isinstance(prior, Sum):
        unit = max((p.lam for p in prior.priors if isinstance(p, Scaled)), default=1.0)
        unit = max(unit, 1.0 if not all(isinstance(p, Scaled) for p in prior.priors) else 0.0)
    else:
        unit = prior.lam if isinstance(prior, Scaled) else 1.0
    if not unit > 0:
        raise ValueError(f"{prior!r} is zero at every strength: give it without its factor")
    base = prior.prior if isinstance(prior, Scaled) else prior if unit == 1 else (1 / unit) * prior
    return Family(lambda s: s * base, "lam", *LAMS, 0 if base.quadratic or base.implicit else 1)


def checked(strengths) -> list:
    """The user's own strengths, ascending and distinct."""
    if not isinstance(strengths, list | tuple | range | np.ndarray):
        raise TypeError(f"strengths must be a list of numbers > 0, got {brief(strengths)}")
    found = sorted({number("strengths", s, low=0, strict=True) for s in strengths})
    if len(found) < _LEAST:
        raise ValueError(f"strengths has {len(found)} different values: {_LEAST} at least make a curve")
    return found
