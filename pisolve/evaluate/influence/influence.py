"""Which samples of k-space a region of the image came from: derivatives of its signal, and what each sample gave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve._types import ArrayLike
from pisolve.evaluate.consistency.forward import noise_of
from pisolve.evaluate.influence.derivative import analytic, gradient, is_linear, path
from pisolve.evaluate.planes import middle
from pisolve.evaluate.section import Picture, Section, Told
from pisolve.evaluate.stability.replay import Replay
from pisolve.recipe import in_order

KINDS = ("auto", "analytic", "gradient", "integrated")
_DONE = {"analytic": "in closed form, since the image is linear in the data",
         "gradient": "by the derivative of the whole reconstruction at these data",
         "integrated": "by the mean derivative on the straight path from no data to these"}


@dataclass(frozen=True, repr=False)
class Influence(Told):
    """What `influence` returns, for one slice; s is the region's signal, y its k-space.

    Attributes:
        map: g (..., coil, ky, kx), complex: ds = Re <g, dy> for a small change dy of the samples, 0 where none is; for
            "integrated" the mean of it on the path.
        given: Re(conj(g) y), real, of the same shape: what each sample gave to s.
        signal: s, the mean over the region of the image in phase with what it is there.
        base: s of no data, 0 for most methods.
        image: A^H g (..., y, x), complex: where in the zero-filled image the region's signal came from.
        region: the pixels, bool.
        by: "analytic", "gradient" or "integrated".
        noise: standard deviation of s by the noise of the samples, to first order, or None where that is not known.
    """

    map: np.ndarray
    given: np.ndarray
    signal: float
    base: float
    image: np.ndarray
    region: np.ndarray = field(repr=False)
    by: str
    noise: float | None = None

    @property
    def missing(self) -> float:
        """(s - s of no data - sum of `given`) / s: 0 where the samples' parts add up to the signal (completeness)."""
        return (self.signal - self.base - float(self.given.sum())) / self.signal

    @property
    def spread(self) -> float:
        """The least share of the samples that holds half of ||g||^2: small where few samples decide."""
        energy = np.sort((abs(self.map) ** 2).sum(-3)[self.map.any(-3)])[::-1]
        return float((np.cumsum(energy) < energy.sum() / 2).sum() + 1) / len(energy)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`, without the arrays."""
        return {"by": self.by, "pixels": int(self.region.sum()), "signal": self.signal, "base": self.base,
                "missing": self.missing, "spread": self.spread, "noise": self.noise}

    def section(self) -> Section:
        """For the report and the terminal."""
        text = (f"The mean signal of {int(self.region.sum())} pixels, in phase with the image there, as a function of "
                f"the samples: {_DONE[self.by]}. The first picture shows by how much a sample of each place in k-space "
                "moves it (root sum of squares over coils, decades below the largest), the second where in the "
                "zero-filled image the signal came from: the region itself, and what the method takes in from "
                "elsewhere. Half of all influence lies in the share of the samples that the table tells.")
        rows = [{"signal": self.signal, "its noise": self.noise, "half of the influence [samples]": self.spread,
                 "not accounted for": self.missing}]
        size, image = (np.linalg.norm(self.map, axis=-3), abs(self.image))
        size, image = middle(size), middle(image)
        shown = np.log10(np.maximum(size / size.max(), 1e-4))
        pictures = {"in k-space": Picture(shown, -4.0, 0.0, "log10", "heat"),
                    "in the zero-filled image": Picture(image, 0.0, float(image.max()), "of the largest", "heat")}
        rows = [{k: v for k, v in row.items() if v is not None} for row in rows]
        return Section("Where does the region come from?", text, rows, pictures)


def influence(recipe: Any, scan: Any = None, region: ArrayLike | None = None, *, by: str = "auto",
              steps: int = 16, slice: int | None = None, noise: float | None = None) -> Influence:
    """Which samples the signal of a region depends on, for any recipe whose image can be differentiated.

        s(y) = mean over the region of Re(conj(u) x(y)),   u the phase of the image there,   g = ds / dy

    "analytic": g = A (A^H A + lam R)^-1 w / size for the linear methods, quadratic priors with Sense(), by conjugate
    gradients, w being u over the number of pixels. "gradient": g through all iterations of a solver, or through a
    network. "integrated": integrated gradients, the mean of g over t y for t in 0..1, so that the parts Re(conj(g) y)
    add up to s(y) - s(0) for a network, too (`missing` tells how well). A derivative says what would change the signal,
    not what is true: a prior that always paints the same picture has none.

    Args:
        recipe: a `Recipe` with a fixed strength, a prior, or a result, whose recipe and scan are used.
        scan: a `Scan`, the path of one, or k-space. The two may be changed for each other.
        region: bool, of the shape of the image of a slice (y, x), of a series (frame, y, x) or (y, x).
        by: see above; "auto": "analytic" where that is right, else "gradient".
        steps: points of the path (Gauss and Legendre's).
        slice: of a volume; None: the middle one.
        noise: standard deviation of the real and of the imaginary part of a sample; None: from the scan's noise
            samples, else estimated.

    Raises:
        TypeError, ValueError: no recipe, one that tunes, a region of another shape or without pixels, a recipe that has
            no derivative of this kind (the message says why).

    Reference:
        Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017 (integrated gradients).

    Example:
        pi.evaluate.influence(0.01 * pi.Tikhonov(), scan, region).section()
    """
    recipe, scan = in_order("influence", recipe, scan)
    _check.choice("by", by, KINDS)
    _check.integer("steps", steps, low=1, high=1000)
    replay = Replay(recipe, scan, slice=slice)
    region = _region(region, replay.image.shape)
    weights = backend.unit(replay.image) * region / region.sum()
    signal = _part(weights, replay.image)
    if not signal > 0:
        raise ValueError("region has no signal: the image is 0 there")
    by = ("analytic" if is_linear(replay) else "gradient") if by == "auto" else by
    base = 0.0
    try:
        if by == "integrated":
            g, still = path(replay, weights, steps)
            base = _part(weights, still)
        else:
            g = analytic(replay, weights) if by == "analytic" else gradient(replay, weights, replay.kspace)
    except NotImplementedError as error:
        raise ValueError(f"by={by!r} cannot be: {error}") from None
    given = (g.conj() * replay.kspace).real
    return Influence(g, given, signal, base, replay.coils.H(g), region, by, _noise(replay, g, noise))


def _part(weights, image) -> float:
    """Re <w, x>."""
    return float((weights.conj() * image).real.sum())


def _region(region, shape):
    """The pixels as bool of the image's shape."""
    if region is None:
        raise ValueError(f"region is missing: give a bool array of the image's shape {shape}, True where the signal is "
                         "looked at")
    region = _check.booleans("region", region)
    if region.shape not in (shape, shape[-2:]):
        raise ValueError(f"region has shape {region.shape}, the image {shape}: they must agree")
    region = np.broadcast_to(region, shape)
    if not region.any():
        raise ValueError("region has no pixels: set True where the signal is looked at")
    return region


def _noise(replay, g, given):
    """Standard deviation of Re <g, n>, or None where the noise cannot be found."""
    try:
        return noise_of(replay.scan, given).spread(g)
    except ValueError:
        if given is not None:
            raise
        return None
