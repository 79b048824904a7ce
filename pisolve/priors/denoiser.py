"""Denoisers as priors: plug-and-play and regularisation by denoising."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

from pisolve import _axes, backend
from pisolve._check import integer, is_array, levels, number
from pisolve._types import Array, ArrayLike
from pisolve.backend import real
from pisolve.priors._names import ByName
from pisolve.priors._weights import Weights
from pisolve.priors.adapter import as_denoiser
from pisolve.priors.base import Prior

AUTO = "auto"  # a level that a recipe chooses by the scan's noise


class PnP(ByName, Prior):
    """Plug-and-play: the prox is a denoiser, prox(v) = D(v, sigma); there is no g to evaluate.

    With `sigma` the denoiser's level is fixed whatever the solver's step: FISTA with step 1/rho and ADMM with rho then
    share their fixed points. With `lam` it follows the step as a prox does, sigma = sqrt(lam * step), since a Gaussian
    denoiser is the prox of sigma^2 g; HQS makes use of that to let sigma fall.

    With neither, `PnP(D)`, a recipe measures the scan's noise and takes a level by it, and, where no solver is given, a
    level that falls to it: see `pi.scan_noise`. `solve` alone cannot tell, and asks for a number.

    A denoiser of 2-D images sees every plane (y, x) of a series; of a volume those of the three orientations in turns.

    Use:
        where a denoiser suits the anatomy: then usually the best images. sigma is left to the scan's noise, or tuned on
        equal terms with the other priors' lam. Convergence depends on the denoiser; a run that diverges says so.

    Args:
        denoiser: a callable D(x, sigma) on complex images (..., y, x), a `torch.nn.Module`, or a `Denoiser`, which says
            how a network takes complex images.
        sigma: noise level, the standard deviation of the real and of the imaginary part, in the image's units. None:
            the level that the network was trained for, if it has only one, else "auto", which a recipe replaces by a
            number. An array s, a level for each pixel, is short for its root mean square and weights = s / sigma.
        lam: strength of the coupled form, instead of `sigma`.
        weights: > 0, an array that broadcasts to x, by which the level is multiplied pixel by pixel, for denoisers that
            take a map of levels, see `Denoiser`. `tune` chooses sigma or lam and leaves them.

    Raises:
        TypeError: a sigma that is neither a number nor a real array nor "auto".
        ValueError: both sigma and lam; either of them not > 0; "auto" for a denoiser that knows one level only, or in
            `solve`; weights for a denoiser that takes one level for an image.

    Reference:
        Venkatakrishnan et al., GlobalSIP 2013; Zhang et al., IEEE TPAMI 44 (2022) 6360 (DPIR, the coupled form).

    Example:
        pi.recon(scan, pi.PnP(D, sigma=0.1), max_iter=30)
    """

    planes: Any
    denoiser: Any
    level: float | None
    auto: bool
    weights: Any
    sigma: float | int | str | None
    lam: float | None

    convex = False
    implicit = True
    planes: Any = (-2, -1)  # of the unknown that the denoiser sees

    def __init__(self, denoiser: Any, sigma: float | str | None = None, *, lam: float | None = None,
                 weights: ArrayLike | None = None):
        self.denoiser: Any = as_denoiser(denoiser)
        self.level: float | None = self.denoiser.level
        if sigma is not None and lam is not None:
            raise ValueError("sigma and lam are two forms of one strength: give one of them")
        if sigma is None and lam is None:
            sigma = AUTO if self.level is None else self.level
        self.auto: bool = isinstance(sigma, str) and sigma == AUTO
        if is_array(sigma) and sigma.ndim:
            if weights is not None:
                raise ValueError("sigma is an array, and weights are given, too: give one number, or no weights")
            sigma, weights = _taken_apart(sigma)
        self.weights: Any = Weights.of(weights)
        if self.weights is not None:
            self.denoiser.check_map(levels("weights", self.weights.array))
        self.sigma: Any = sigma if self.auto else number("sigma", sigma, low=0, strict=True, allow_none=True)
        self.lam: float | None = number("lam", lam, low=0, strict=True, allow_none=True)
        one_level = self.level is not None and not self.denoiser.rescale
        if one_level and (self.auto or (self.sigma is not None and abs(self.sigma - self.level) > 1e-3 * self.level)):
            raise ValueError(f"sigma is {self.sigma}, but {self.denoiser.name} knows the level {self.level:g} only: "
                             "leave sigma out, or load it with rescale=True")

    @property
    def fixed_level(self) -> float | None:
        """sigma where it does not follow the step: solvers choose their penalty by it."""
        return None if self.auto else self.sigma

    def at_level(self, sigma: float) -> PnP:
        """The same with a number where the level is still open."""
        return PnP(self.denoiser, sigma, weights=self.weights) if self.auto else self

    def value(self, x: ArrayLike) -> float | None:
        return None

    def _decided(self):
        if self.auto:
            raise ValueError("sigma is needed: solve does not know the noise of y. Write pi.recon(scan, PnP(D)), which "
                             "measures it, or give a number, for example PnP(D, sigma=0.03)")

    def prox(self, x: ArrayLike, step: Any) -> Array:
        self._decided()
        sigma = self.sigma if self.lam is None else (self.lam * step) ** 0.5
        sigma = _level(x, sigma, self.weights)
        if self.planes == (-2, -1):
            return self.denoiser(x, sigma)
        xp = backend.namespace(x)
        if self.weights is not None:
            sigma = xp.moveaxis(xp.broadcast_to(sigma, x.shape), self.planes, (-2, -1))
        return xp.moveaxis(self.denoiser(xp.moveaxis(x, self.planes, (-2, -1)), sigma), (-2, -1), self.planes)

    def split(self, shape: Sequence[int]) -> tuple[Prior, Any]:
        if self.weights is not None:
            levels("weights", self.weights.array, shape)
        return self, None

    def at(self, k: int) -> Prior:
        """Of a volume the planes (y, x), (z, x) and (z, y) in turns, for a denoiser of planes."""
        if self.denoiser.ndim == 3 or self.names is None or len(_axes.spatial(self.names)) < 3:
            return self
        other = copy(self)
        other.planes = ((-2, -1), (-3, -1), (-3, -2))[k % 3]
        return other

    def coupled(self, step: Any) -> Prior:
        if self.lam is not None or (self.level is not None and not self.denoiser.rescale):
            return self  # a network that knows one level only keeps it
        self._decided()
        other = copy(self)  # not through the checks: a learned step is a tensor
        other.sigma, other.lam = None, self.sigma**2 / step
        return other

    def __mul__(self, lam: Any) -> Prior:
        if self.lam is None:
            raise ValueError("lam has no effect on PnP(D, sigma): its strength is sigma; or give PnP(D, lam=...)")
        return PnP(self.denoiser, lam=self.lam * number("lam", lam, low=0, strict=True), weights=self.weights)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        level = self.sigma if self.auto or self.sigma is None else f"{self.sigma:g}"
        strength = f"sigma={level}" if self.lam is None else f"lam={self.lam:g}"
        return f"PnP({strength}{'' if self.weights is None else f', weights={self.weights!r}'})"


def _taken_apart(sigma):
    """(root mean square, what remains of it) of an array of levels."""
    sigma = levels("sigma", sigma)
    size = real((sigma**2).mean() ** 0.5)
    return size, Weights(sigma / size, "sigma")


def _level(x, sigma, weights):
    """sigma at each pixel of x, or one number."""
    return sigma if weights is None else weights.like(x) * sigma


class RED(Prior):
    """Regularisation by denoising: grad g(x) = x - D(x, sigma), the strength is `lam * RED(D, sigma)`.

    With a symmetric Jacobian and local homogeneity g(x) = 1/2 x^H (x - D(x)); networks have neither, so no value is
    reported, and the prox solves u = (v + step D(u)) / (1 + step) by fixed-point iteration. A denoiser with a
    potential, `nets.GradientStep`, has a g: RED then is an explicit prior, not convex, with a value and without a prox.

    Use:
        as PnP, where a gradient is wanted: it adds up with any prior in FISTA.

    Args:
        denoiser, sigma, weights: as for `PnP`.
        inner: most iterations of the prox; it stops earlier at a relative change of 1e-4.
        lipschitz: of x - D(x), which bounds solvers' steps. 2 holds for a non-expansive denoiser; for a potential,
            whose descent rests on it, `nets.curvature` measures what it is near an image.

    Raises:
        ValueError: as for `PnP`; a lipschitz not > 0.

    Reference:
        Romano, Elad and Milanfar, SIAM J Imaging Sci 10 (2017) 1804; Reehorst and Schniter, IEEE TCI 5 (2019) 52.

    Example:
        pi.recon(scan, 0.2 * pi.RED(D, sigma=0.03), max_iter=30)
    """

    denoiser: Any
    sigma: float | int | str | None
    weights: Any
    inner: int | None
    lipschitz: float | None

    convex = False
    implicit: bool = True
    has_prox = False
    slow_prox: bool = True
    has_grad = True

    def __init__(self, denoiser: Any, sigma: float | None = None, *, inner: int = 20, lipschitz: float = 2.0,
                 weights: ArrayLike | None = None):
        pnp = PnP(denoiser, sigma, weights=weights)
        if pnp.auto:
            raise ValueError("sigma is needed: this denoiser takes any noise level, for example RED(D, sigma=0.03)")
        self.denoiser, self.sigma, self.weights = pnp.denoiser, pnp.sigma, pnp.weights
        self.inner: int | None = integer("inner", inner, low=1)
        self.lipschitz: float | None = number("lipschitz", lipschitz, low=0, strict=True)
        self.implicit: bool = not self.denoiser.has_potential
        # of the potential, which is not convex, the iteration finds no certain prox
        self.slow_prox: bool = self.implicit

    def value(self, x: ArrayLike) -> float | None:
        return None if self.implicit else self.denoiser.potential(x, _level(x, self.sigma, self.weights))

    def grad(self, x: ArrayLike) -> Array:
        return x - self.denoiser(x, _level(x, self.sigma, self.weights))

    split: Any = PnP.split

    def prox(self, x: ArrayLike, step: Any) -> Array:
        if not self.implicit:
            return super().prox(x, step)
        u, sigma = x, _level(x, self.sigma, self.weights)
        for _ in range(self.inner):
            new = (x + step * self.denoiser(u, sigma)) / (1 + step)
            change, size = real(backend.norm(new - u)), real(backend.norm(new))
            u = new
            if not change > 1e-4 * size:
                break
        return u

    def __repr__(self) -> str:
        return f"RED(sigma={self.sigma:g}{'' if self.weights is None else f', weights={self.weights!r}'})"
