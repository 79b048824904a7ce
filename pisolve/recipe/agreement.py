"""Do image and data agree? The residual over the measured samples, and what a run's numbers say of its likely cause."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pisolve import backend
from pisolve._check import outside, real_name
from pisolve.backend import real
from pisolve.prepare import agree
from pisolve.priors import Zero
from pisolve.scan import odd
from pisolve.scan.look import Look
from pisolve.solvers.base import walk

# Measured on the shared scans and on simulations, by TV and wavelets; what good ones reach stands behind.
_CHI, _FOREIGN = 1.2, 0.02  # times the noise (0.9), and of the data's energy beyond it (0): what no image explains
_TOO_LITTLE, _SHARE = 3.0, 0.003  # the same of what an image would explain, over its share of the noise (0.8, 0.002)
_NOTHING, _LITTLE = 1e-4, 0.2  # a prior's value (7e-4), and its pull, beside the data term
_SHORT = 1e-2  # relative step of a run that was cut off while it still moved


class Misfit(NamedTuple):
    """What is left of a part's data, in scaled units: r = y - A x over the measured samples.

    `residual` = ||r||^2, `energy` = ||y||^2, `noise` what of it noise alone would leave; `within` = ||A^H r||^2, and
    `prior` = g(x), where they are known.
    """

    residual: float
    energy: float
    noise: float
    within: float | None = None
    prior: float | None = None


@dataclass(frozen=True)
class Agreement:
    """How image and measured samples agree.

    Attributes:
        chi: ||A x - y|| over what noise alone would leave, sigma sqrt(2 m) for m samples; near 1 or a little below
            where image, maps and data agree. None: there is no image that predicts samples, or no noise.
        residual: ||A x - y|| / ||y||; None as chi.
        sigma: standard deviation of the real and of the imaginary part of a sample's noise, in the units of the k-space
            that was solved.
        measured: True where sigma is from the scan's noise samples, False where it is from outer k-space, which makes
            it too large and chi too small.
        doubts: what is odd about data, maps and image, one sentence each with its likely cause; those of `recon` are
            Python warnings, too. Empty where nothing is.
    """

    chi: float | None
    residual: float | None
    sigma: float
    measured: bool
    doubts: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.residual is None:
            return "not known: this image predicts no samples"
        told = "" if self.chi is None else f", {self.chi:.2f} times the noise"
        return f"{self.residual:.1%} of the measured samples{told if self.measured else f'{told} (estimated)'}"


class Watch:
    """The checks around a reconstruction: of the scan as it came, of maps against data, of the image against both.

    Args:
        scan: as it was given.
        recipe: that runs on it.
    """

    def __init__(self, scan, recipe):
        self.recipe, self.given, self.doubts = recipe, scan.mps is not None, []
        self.look = Look(scan)
        self._say(odd.faults(self.look, maps=recipe.method.needs_maps and not self.given))

    def prepared(self, scan) -> None:
        """Look at the scan that is solved, and its maps."""
        look, self.look = self.look, None  # as large as half of k-space: not kept while it is solved
        look = look if scan.kspace is look.scan.kspace else Look(scan)
        self.coils, self.measured = scan.coils, scan.noise is not None
        self.sigma = float(np.sqrt((abs(scan.noise) ** 2).mean() / 2)) if self.measured else look.noise
        if scan.coord is not None:
            self._say(_undetermined(scan, self.recipe))
        elif self.recipe.method.needs_maps:
            self._say(agree.maps_against_data(scan, look, self.given))

    def solved(self, misfits, results) -> Agreement:
        """Judge the image by what it leaves of the data; `misfits` has None for parts that were not looked at."""
        found = [(m, r) for m, r in zip(misfits, results) if m is not None]
        if found and not self.doubts:  # else the cause is known, and this its effect
            self._say(self._judged(found))
        self._say(_not_known(results))
        left, energy, noise = (sum(m[i] for m, _ in found) for i in range(3))
        return Agreement((left / noise) ** 0.5 if noise else None, (left / energy) ** 0.5 if energy else None,
                         self.sigma, self.measured, tuple(self.doubts))

    def _judged(self, found) -> list[str]:
        """A sentence on the part that agrees least, or one where the prior says nothing."""
        least, coils = 0.01 * np.mean([m.energy for m, _ in found]), self.coils
        rows = [(m, r) for m, r in found if m.within is not None and m.energy > least]
        for odd_one, words in ((lambda m: m.within * coils > _TOO_LITTLE * m.noise and m.within > _SHARE * m.energy,
                                _too_little),
                               (lambda m: m.residual - _CHI**2 * m.noise > _FOREIGN * m.energy, _foreign)):
            bad = [(m, r) for m, r in rows if odd_one(m)]
            if bad:
                m, result = max(bad, key=lambda one: one[0].residual / one[0].energy)
                chi = f", {(m.residual / m.noise) ** 0.5:.3g} times the noise" if m.noise else ""
                of = f", in {len(bad)} of {len(found)} parts" if len(found) > 1 else ""
                told = f"the image leaves {(m.residual / m.energy) ** 0.5:.0%} of the data{chi}{of}"
                return [words(told, result, self.recipe)]
        if any(m.prior is None or m.prior > _NOTHING * m.residual / 2 for m, _ in found):
            return []
        share = max(2 * m.prior / m.residual for m, _ in found)
        return [f"the image is all data: the prior is {share:.1g} of the data term, as good as none; its strength is "
                f"too small {_UNITS}: try tune='holdout' (--lam auto)"]

    def _say(self, sentences) -> None:
        self.doubts += sentences
        for text in sentences:
            warnings.warn(text, stacklevel=outside())


def _undetermined(scan, recipe) -> list[str]:
    """Fewer samples than pixels, and nothing that chooses among the images that explain them."""
    samples = scan.coils * int(np.broadcast_to(scan.mask, scan.encoding.shape).sum())
    pixels = int(np.prod(scan.image_shape))
    if recipe.network is not None or not isinstance(recipe.prior, Zero) or samples >= pixels:
        return []
    return [f"{samples:,} samples of {scan.coils} coil{'s' * (scan.coils > 1)} are fewer than the {pixels:,} pixels, "
            "and no prior chooses among the images that explain them: give one, such as pi.TV() (--prior tv)"]


def _not_known(results) -> list[str]:
    """Images of a network that did not predict what it was not given."""
    bad = [r for r in results if getattr(r, "doubtful", False)]
    if not bad:
        return []
    worst = max(bad, key=lambda r: r.missed)
    of = f", in {len(bad)} of {len(results)} parts" if len(results) > 1 else ""
    return [f"doubtful: the network's image misses {worst.missed:.0%} of samples that it was not given{of}; "
            f"{worst.fallback} misses less and stands in its place"]


_UNITS = "for data of a 99th percentile of 1 (--lam, --sigma)"


def _too_little(told, result, recipe) -> str:
    """Where an image would explain what is left: the prior outweighs the data, or the run was cut off."""
    if recipe.network is not None:
        return f"{told}: the network is not for such data, or consistency=True (--consistency) is missing"
    cut = result.status in ("max_iter", "stopped") and real(result.state.residual) > _SHORT
    before = f"the run ended on its way, at max_iter={result.state.k} (--max-iter), give more; or "
    return (f"{told}: {before if cut else ''}the image is more prior than data, whose strength is too large {_UNITS}: "
            "try a tenth, or tune='holdout' (--lam auto)")


def _foreign(told, result, recipe) -> str:
    """Where no image explains it."""
    return (f"{told}, and no image explains it with these coil maps: lines or frames that do not belong together "
            "(motion, a ghost, lines out of place), or maps that are wrong")


def misfit(model, result, part, recipe, scale: float, sigma: float) -> Misfit | None:
    """The `Misfit` of a part's result, on the device where it was solved; None of an image that predicts no samples."""
    if not result.ok or result.status == "empty" or (recipe.network is not None and not recipe.network.needs_maps):
        return None
    samples = part.kspace.size if part.mask is None else part.mask.sum() * (part.kspace.size // part.mask.size)
    weight = 1 if part.weights is None else float((part.weights * (1 if part.mask is None else part.mask)).mean()
                                                  / (1 if part.mask is None else part.mask.mean()))
    left = _normal if recipe.method.needs_maps and not recipe.method.fills else _plain
    residual, energy, pull, within = left(model, result, part, recipe, backend.number(scale, model.y))
    prior = _value(result) if recipe.prior is not None and pull < _LITTLE * residual / 2 else None
    within = None if part.weights is not None else within  # the weights say how much may be left where: not judged
    return Misfit(residual, energy, 2 * (sigma * scale) ** 2 * int(samples) * weight, within, prior)


def _value(result) -> float | None:
    """g(x); None of a prior without a value or a strength, and where it would be a minimisation of its own."""
    prior = result.problem.prior
    if any(p.implicit for p in walk(prior)):
        return None
    _, K = prior.split(result.problem.ishape)
    lifted = len(getattr(getattr(K, "domain", None), "shapes", ())) > 1
    return None if lifted else prior.value(result.x) or None


def _normal(model, result, part, recipe, scale):
    """(||r||^2, ||y||^2, Re<A x, r>, ||A^H r||^2) by A^H A, which is the fastest; y was measured as it is."""
    kept = 1e3 * float(np.finfo(real_name(model.y)).eps)  # of the digits, where large numbers cancel
    x, problem = result.x, getattr(result, "problem", None)
    N, b = model.A.N(x), model.A.H(model.y) * scale if problem is None else problem.AHy
    size, cross = real(backend.dot(x, N)), real(backend.dot(x, b))
    energy = real(backend.dot(model.y, model.y)) * float(scale) ** 2
    rest, residual = b - N, size - 2 * cross + energy
    if residual < kept * max(energy, real(backend.dot(x, x))):
        r = model.y * scale - model.A(x)
        rest, residual = model.A.H(r), real(backend.dot(r, r))
    return residual, energy, cross - size, real(backend.dot(rest, rest))


def _plain(model, result, part, recipe, scale):
    """The same but ||A^H r||^2, by the samples that were measured: k-space was filled, or coil images were solved."""
    y = backend.like(part.kspace, model.y) * scale
    r = model.A(result.x) if recipe.method.needs_maps else backend.fft(result.x, (-2, -1))
    if part.inside is not None:
        r = r * backend.like(part.inside, model.y)
    pull = real(backend.dot(r, y)) - real(backend.dot(r, r))
    r = y - r
    return real(backend.dot(r, r)), real(backend.dot(y, y)), pull, None
