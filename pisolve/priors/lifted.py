"""Priors that minimise over further variables, g(x) = min_v f(K [x, v]): TGV, and low rank plus sparse.

ADMM, HQS and PDHG solve for x and v together; `value` and `prox` iterate for one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pisolve import backend
from pisolve._check import brief, choice, number
from pisolve._types import Axes
from pisolve.backend import real
from pisolve.linops import Blocks, apply, gradient, identity, symmetric_gradient
from pisolve.linops.solve import cg_solve
from pisolve.priors._names import ByName
from pisolve.priors.base import Prior, Separable, Sum, separated
from pisolve.priors.sparse import L21, axis_tuple

_FLOOR = 0.1, 0.01  # of the start of z: residuals, primal and dual, of what is smaller are told no better than that


class Lifted(Prior):
    """Base of the priors with further variables: `split` gives f and the `Blocks` K."""

    has_prox = False
    slow_prox = slow_value = True

    def value(self, x: Any) -> Any:
        f, K = self.split(x.shape)
        return f.value(apply(K, self._with_variables(f, K, x)))

    def prox(self, x: Any, step: Any) -> Any:
        if step == 0:
            return backend.copy(x)
        f, K = self.split(x.shape)
        start = K.domain.lift(x)
        image = backend.copy(start)
        image[:] = 0
        K.domain.parts(image)[0][...] = 1
        w = _minimise(f, K, start, 0, step, image.real)
        return backend.copy(K.domain.parts(w)[0])

    def variables(self, x: Any) -> list[Any]:
        """The further variables v at their minimum for the image x."""
        f, K = self.split(x.shape)
        return K.domain.parts(self._with_variables(f, K, x))[1:]

    @staticmethod
    def _with_variables(f, K, x):
        """[x, v] at the minimum over v."""
        others = Blocks([row[1:] for row in K.rows])
        zero = backend.zeros(others.domain.shape, x)
        v = _minimise(f, others, zero, apply(K, K.domain.lift(x)), 1.0, 0)
        return K.domain.join([x, *others.domain.parts(v)])


def _minimise(f: Prior, K, start, offset, step, weight, *, max_iter: int = 5000):
    """argmin_w 1/2 ||w - start||^2_weight + step f(K w + offset), from w = start.

    ADMM on z = K w + offset, over-relaxed, with conjugate gradients inside, until the primal and the dual residual are
    below what the precision can tell (Boyd et al., Found Trends Mach Learn 3 (2011) 1, section 3.3). Where large steps
    make z 0, ||z|| + ||u|| is no scale of them, since u shrinks as rho grows: then the start of z is.
    """
    tiny = 1e-9 if "128" in str(start.dtype) else 1e-6
    w, z = start, apply(K, start) + offset
    length, value = real(backend.norm(z)), f.value(z)
    energy = length**2
    rho, u = 10 * step * value / energy if value > 0 else 1.0, backend.zeros_like(z)
    for k in range(max_iter):
        rhs = weight * start + rho * apply(K.H, z - u - offset)
        w = cg_solve(lambda p: weight * p + rho * apply(K.N, p), rhs, w, iterations=20, tol=0.05)  # noqa: B023
        Kw = 1.7 * (apply(K, w) + offset) - 0.7 * z
        new = f.prox(Kw + u, step / rho)
        u = u + Kw - new
        primal, dual = real(backend.norm(Kw - new)), real(backend.norm(new - z))
        z, size = new, real(backend.norm(new)) + real(backend.norm(u))
        if primal <= tiny * max(size, _FLOOR[0] * length) and dual <= tiny * max(size, _FLOOR[1] * length):
            break
        factor = 2.0 if primal > 5 * dual else 0.5 if dual > 5 * primal else 1.0
        if factor != 1 and k % 10 == 9 and k < 1000:  # residual balancing, 3.4.1
            rho, u = rho * factor, u / factor
    return w


class TGV(ByName, Lifted):
    """Second-order total generalised variation, g(x) = min_v alpha1 ||grad x - v||_2,1 + alpha0 ||E v||_2,1.

    E is the symmetrised derivative. Flat regions cost nothing, as for TV, and neither do slopes of constant
    steepness, so that coil shading and smooth contrast do not come out in steps.

    Use:
        in place of TV where coil shading or smooth contrast comes out in steps; the same strengths suit it.

    Args:
        alpha1, alpha0: weights of the first and the second order; the ratio 2 is usual.
        axes: the axes of the derivatives, names or numbers; None: the spatial ones, two or three.
        boundary: "periodic" or "neumann".

    Raises:
        ValueError: weights that are not > 0, an unknown boundary.

    Reference:
        Bredies, Kunisch and Pock, SIAM J Imaging Sci 3 (2010) 492; Knoll et al., Magn Reson Med 65 (2011) 480.

    Example:
        pi.recon(scan, 1e-3 * pi.TGV(), max_iter=30)
    """

    alpha1: float | None
    alpha0: float | None
    axes: Any
    boundary: Any

    homogeneous = True

    def __init__(self, alpha1: float = 1.0, alpha0: float = 2.0, *, axes: Axes | None = None,
                 boundary: str = "periodic"):
        self.alpha1: float | None = number("alpha1", alpha1, low=0, strict=True)
        self.alpha0: float | None = number("alpha0", alpha0, low=0, strict=True)
        self.axes, self.boundary = axis_tuple("axes", axes), choice("boundary", boundary, ("periodic", "neumann"))

    def split(self, shape: Sequence[int]) -> tuple[Prior, Any]:
        K = _tgv(tuple(shape), self.places("axes", self.axes, len(shape)), self.boundary)
        return Separable([self.alpha1 * L21(), self.alpha0 * L21()], K.range), K

    def __repr__(self) -> str:
        return "TGV()" if (self.alpha1, self.alpha0) == (1, 2) else f"TGV({self.alpha1:g}, {self.alpha0:g})"


@lru_cache(32)
def _tgv(shape, axes, boundary):
    G = gradient(shape, axes, boundary=boundary)
    return Blocks([[G, -1 * identity(G.oshape)], [None, symmetric_gradient(shape, axes, boundary=boundary)]])


class InfimalConvolution(Lifted):
    """g(x) = min_s first(x - s) + second(s): x is the sum of two parts, each with its own prior.

    Low rank plus sparse of a series (frame, y, x): `0.05 * pi.Nuclear() + ...` takes one image to be both;
    `pi.InfimalConvolution(0.05 * pi.Nuclear(), 0.01 * pi.TemporalFFT())` takes it to be L + S with L of low rank and S
    sparse in time frequency. `variables(x)` gives [S].

    Use:
        for a series that moves over a background at rest (low rank plus sparse), and for images of two kinds of
        structure.

    Args:
        first, second: explicit priors; the weights belong to them.

    Raises:
        TypeError: no priors. ValueError: implicit ones, or ones that cannot be split.

    Reference:
        Otazo, Candes and Sodickson, Magn Reson Med 73 (2015) 1125.

    Example:
        pi.solve(A, y, pi.InfimalConvolution(0.05 * pi.Nuclear(), 0.01 * pi.TemporalFFT()), max_iter=30)
    """

    first: Any
    second: Any
    convex: bool
    homogeneous: bool

    def __init__(self, first: Prior, second: Prior):
        for name, prior in (("first", first), ("second", second)):
            if not isinstance(prior, Prior):
                raise TypeError(f"{name} must be a prior such as 0.05 * pi.Nuclear(), got {brief(prior)}")
            if prior.implicit or not (prior.has_prox or prior.slow_prox or isinstance(prior, Sum)):
                raise ValueError(f"{name} must be an explicit prior with a prox or a split, got {prior!r}")
        self.first, self.second = first, second
        self.convex: bool = first.convex and second.convex
        self.homogeneous: bool = first.homogeneous and second.homogeneous

    def split(self, shape: Sequence[int]) -> tuple[Prior, Any]:
        (first, f), (second, g) = (separated(p, shape) for p in (self.first, self.second))
        none = [None] * (len(first[0]) - 1), [None] * (len(second[0]) - 1)
        rows = [[row[0], -1 * row[0] if row[0] is not None else None, *row[1:], *none[1]] for row in first]
        rows += [[None, row[0], *none[0], *row[1:]] for row in second]
        K = Blocks(rows)
        return Separable([*f, *g], K.range), K

    def parts(self) -> tuple[Prior, ...]:
        return self.first, self.second

    def with_parts(self, parts: Any) -> Prior:
        return InfimalConvolution(*parts)

    def __repr__(self) -> str:
        return f"InfimalConvolution({self.first!r}, {self.second!r})"
