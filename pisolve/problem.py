"""The one equation: minimise over x  1/2 ||A x - y||^2 + g(x)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _axes, _check, backend
from pisolve._check import array, dtype_name, is_torch
from pisolve._hints import instead
from pisolve._types import Array, ArrayLike
from pisolve.backend import real
from pisolve.linops import Blocks, Linop, apply, as_linop, as_torch, opnorm
from pisolve.linops.autograd import TorchLinop
from pisolve.linops.metric import Metric
from pisolve.linops.solve import cg_solve
from pisolve.priors import Prior, Zero, as_prior
from pisolve.priors._dual import squared_norm
from pisolve.priors.base import Sum


def _shared(x) -> bool:
    """Whether x is a tensor whose memory numpy's kernels work on: norms are found by these."""
    return is_torch(x) and not backend.native(x)


class Split:
    """g(x) = f(G x), or min_v f(G [x, v]): a splitting solver's iterate w is the image, or the image and v in one.

    Raises:
        ValueError: the prior has neither a prox nor a split.
    """

    f: Prior
    linop: Any

    def __init__(self, prior: Prior, shape: Sequence[int]):
        self.f, self.linop = prior.split(shape)
        if not self.f.has_prox and not self.f.slow_prox:
            raise ValueError(f"{prior!r} has no prox to split off")
        lifted = isinstance(self.linop, Blocks) and len(self.linop.domain.shapes) > 1
        self.domain: Any = self.linop.domain if lifted else None
        self._norm2 = {}

    def lift(self, x: ArrayLike) -> Array:
        """The w of an image with v = 0."""
        return x if self.domain is None else self.domain.lift(x)

    def image(self, w: ArrayLike) -> Array:
        """The image in w."""
        return w if self.domain is None else self.domain.parts(w)[0]

    def G(self, w: ArrayLike) -> Array:
        """G w."""
        return w if self.linop is None else apply(self.linop, w)

    def GH(self, z: ArrayLike) -> Array:
        """G^H z."""
        return z if self.linop is None else apply(self.linop.H, z)

    def GN(self, w: ArrayLike) -> Array:
        """G^H G w."""
        return w if self.linop is None else apply(self.linop.N, w)

    def norm2(self, w: ArrayLike, metric: Metric | None = None) -> float:
        """A bound of ||G||^2; with a preconditioner P the largest eigenvalue of P G^H G. Computed once."""
        plain = metric is None or metric.plain
        if plain not in self._norm2:
            self._norm2[plain] = self._bound(w) if plain else metric.norm2(self.GN, w)
        return self._norm2[plain]

    def _bound(self, w: ArrayLike) -> float:
        if self.linop is None:
            return 1.0
        return opnorm(self.linop, like=None if isinstance(self.linop, Linop) or _shared(w) else w) ** 2


class Problem:
    """minimise 1/2 ||A x - y||^2 + g(x), with what solvers ask of it, computed once.

    Args:
        A: a linop (`sigpy.linop.Linop` or pisolve's), image -> data; or what `linops.from_matrix` takes, a matrix or
            an operator of SciPy's or PyLops' kind.
        y: the data, of A's output shape; numpy, cupy, or torch (then A is applied differentiably). Never changed.
        prior: g, a prior or a `sigpy.prox.Prox`.
        preconditioner: P near (A^H A + H_g)^-1, Hermitian and positive definite: an operator on images, a function,
            or an array, P's diagonal. The minimum does not depend on it.

    Raises:
        TypeError: A is no operator, y no numeric array, prior no `Prior`.
        ValueError: y of another shape than A's output, empty, not finite, or too large or small for its precision.
    """

    y: Any
    A: Any
    linop: Any
    ishape: Any
    prior: Prior
    metric: Metric

    def __init__(self, A: Any, y: ArrayLike, prior: Prior | None = None, preconditioner: Any = None):
        A = A.A if isinstance(A, TorchLinop) else _check.linop("A", as_linop(A, y))
        self.y: Any = array("y", y)
        if tuple(self.y.shape) != tuple(A.oshape):
            raise ValueError(f"y has shape {tuple(self.y.shape)}, but A makes data of shape {tuple(A.oshape)}")
        size = real(backend.norm(self.y))
        if size > 0 or bool((self.y != 0).any()):
            _check.scale("y", size, dtype_name(self.y), "multiply y, or let pi.recon scale it")
        prior = Zero() if prior is None else as_prior(prior)
        if not isinstance(prior, Prior):
            told = instead("prior", prior) or ": a denoiser or network goes in as pi.PnP(D, sigma) or pi.RED(D, sigma)"
            raise TypeError(f"prior must be a pisolve prior, got {type(prior).__name__}{told}")
        self.A: Any = as_torch(A) if is_torch(self.y) else A
        self.linop: Any = A
        self.ishape: Any = tuple(A.ishape)
        self.prior: Prior = prior.bind(_axes.of_linop(A))
        self.metric, self._smoothness = Metric(preconditioner, self.ishape), None
        self.prior.split(self.ishape)  # an operator inside the prior, or an axis, that does not fit is refused here

    @cached_property
    def AHy(self) -> Array:
        """A^H y."""
        return self.A.H(self.y)

    @property
    def bounded(self) -> bool:
        """Whether A knows a bound of its norm in closed form."""
        bound = getattr(self.linop, "norm_bound", None)  # a product, or SigPy's own, has none
        return bound is not None and bound() is not None

    @cached_property
    def lipschitz(self) -> float:
        """L >= ||A||^2, the Lipschitz constant of the data term's gradient."""
        return max(opnorm(self.linop, like=None if _shared(self.y) else self.AHy) ** 2, 1e-30)

    @cached_property
    def step_lipschitz(self) -> float:
        """L as steps along P g see it, the largest eigenvalue of P A^H A; without a preconditioner `lipschitz`."""
        return self.smoothness(Zero())

    def smoothness(self, h: Prior) -> float:
        """The Lipschitz constant of grad(1/2 ||A x - y||^2 + h(x)), with a preconditioner in the metric of P.

        The last one is kept: with P it costs a Lanczos run.
        """
        if self.metric.plain:
            return self.lipschitz + h.lipschitz
        if self._smoothness is None or self._smoothness[0] is not h:
            self._smoothness = h, self._smoothness_along(h)
        return self._smoothness[1]

    def _smoothness_along(self, h: Prior) -> float:
        if not h.quadratic:
            return self.step_lipschitz + h.lipschitz * self.metric.size(self.AHy)
        offset = h.grad(backend.zeros_like(self.AHy))
        return max(self.metric.norm2(lambda x: self.normal(x) + h.grad(x) - offset, self.AHy), 1e-30)

    @cached_property
    def slope(self) -> Array | None:
        """grad g(0) of a prior with a gradient, None where it is zero."""
        slope = self.prior.grad(backend.zeros_like(self.AHy))
        return slope if bool((slope != 0).any()) else None

    @cached_property
    def at_zero(self) -> float | None:
        """The objective at x = 0, without an A; None where the prior has no value."""
        try:
            g = self.prior.value(backend.zeros_like(self.AHy))
        except NotImplementedError:
            return None
        return None if g is None else 0.5 * squared_norm(self.y) + g

    @cached_property
    def curvature(self) -> float:
        """||A b||^2 / ||b||^2 at b = A^H y: A^H A as the data sees it, near L unless A has a hot spot."""
        b = self.AHy
        energy = squared_norm(b)
        value = real(backend.dot(b, self.normal(b))) / energy if energy > 0 else 0.0
        return value if value > 0 else self.lipschitz  # below 0: A.H is no adjoint

    @cached_property
    def units(self) -> tuple[float, float]:
        """(c, the largest magnitude of the image): what noise of a share of the image is to the data term.

        c is the curvature, and max|A^H y| / c the magnitude. Where samples lie denser in one place than in another, as
        those of spokes do in their middle, both say more of that place than of the image: then A knows the energy of a
        sample's row, and eight steps of conjugate gradients find the image.
        """
        c = getattr(self.linop, "row_energy", None)
        if c is None:
            c = self.curvature
            return c, real(abs(self.AHy).max()) / c
        x = cg_solve(self.normal, self.AHy, backend.zeros_like(self.AHy), iterations=8, tol=1e-3)
        return c, real(abs(x).max())

    @cached_property
    def forms(self) -> tuple[Prior, Prior]:
        """(h, f) with g = h + f, h by its gradient and f by its prox: what proximal gradient methods see."""
        return self._told(self._forms)

    def _forms(self):
        if self.prior.has_prox and self.metric.takes(self.prior):
            return Zero(), self.prior
        parts = self.prior.priors if isinstance(self.prior, Sum) else [self.prior]
        smooth = [p for p in parts if p.has_grad]
        rest = [p for p in parts if not p.has_grad]
        lifted = rest and rest[0].slow_prox and Split(rest[0], self.ishape).domain is not None
        if len(rest) > 1 or lifted or not all(p.has_prox or p.slow_prox for p in rest):
            raise ValueError(f"{self.prior!r} has no prox of its own")
        if not all(map(self.metric.takes, rest)):
            raise ValueError(f"{rest[0]!r} has no prox in closed form in the metric of this preconditioner")
        return Sum(smooth) if smooth else Zero(), rest[0] if rest else Zero()

    @cached_property
    def splitting(self) -> Split:
        """g = f o G, as ADMM, HQS and PDHG see it."""
        return self._told(lambda: Split(self.prior, self.ishape))

    def _told(self, see):
        """What a way of seeing the problem gives; where it gives nothing, the error says what to take."""
        try:
            return see()
        except ValueError as error:
            raise ValueError(f"{error}: {self.remedy}") from None

    @cached_property
    def remedy(self) -> str:
        """What an error of a solver that does not fit tells to type: "take ..." with solvers that do."""
        found = ["CG()"] if self.prior.quadratic else []
        splitting = ("ADMM()", "PDHG()") if self.metric.plain else ("PDHG()",)
        for names, see in (("FISTA()",), self._forms), (splitting, lambda: Split(self.prior, self.ishape)):
            try:
                seen = see()
            except ValueError:
                continue
            unknown = names == ("FISTA()",) and not seen[0].lipschitz < float("inf")
            found += ["FISTA(backtracking=True)"] if unknown else names
        if not found:
            return ("no solver takes it: of several priors without a gradient in a sum, each needs a prox, and so does "
                    "every other part")
        return "take " + " or ".join(filter(None, [", ".join(found[:-1]), found[-1]]))

    def normal(self, x: ArrayLike) -> Array:
        """A^H A x."""
        return self.A.N(x)

    def data_grad(self, x: ArrayLike) -> Array:
        """The gradient of the data term, A^H (A x - y)."""
        return self.A.N(x) - self.AHy

    def data_prox(self, v: ArrayLike, rho: Any, x: ArrayLike, iterations: int) -> Array:
        """argmin_x 1/2 ||A x - y||^2 + rho/2 ||x - v||^2, by at most `iterations` steps of `inner` from x."""
        return self.inner(lambda p: self.normal(p) + rho * p, self.AHy + rho * v, x, iterations)

    def inner(self, H: Any, b: Any, x: ArrayLike, iterations: int) -> Array:
        """H x = b from x as far as a splitting needs it; unrolled networks go slice by slice (`nets.consistency`)."""
        return cg_solve(H, b, x, iterations=iterations, tol=0.1)

    def data_value(self, x: ArrayLike) -> float:
        """1/2 ||A x - y||^2."""
        return 0.5 * squared_norm(self.A(x) - self.y)

    def value(self, x: ArrayLike) -> float | None:
        """The objective at x; None where the prior is implicit."""
        g = self.prior.value(x)
        return None if g is None else self.data_value(x) + g

    def gap(self, x: ArrayLike) -> float | None:
        """(P(x) - D(p)) / P(x), a bound of how far the objective at x is above its minimum; None without a dual norm.

        The dual of min 1/2 ||A x - y||^2 + g(x) for a norm g is max Re<p, y> - 1/2 ||p||^2 over g_dual(A^H p) <= 1; the
        residual p = s (y - A x), with the best s that is feasible, gives the bound.
        """
        r = self.y - self.A(x)
        try:
            limit = self.prior.dual_norm(self.A.H(r))
        except NotImplementedError:
            return None
        rr, ry = squared_norm(r), real(backend.dot(r, self.y))
        s = ry / rr if rr > 0 else 0.0
        s = min(max(s, -1 / limit), 1 / limit) if limit > 0 else s
        value = 0.5 * rr + self.prior.value(x)
        return max(value - (s * ry - 0.5 * s * s * rr), 0.0) / value if value > 0 else 0.0

    def start(self, x0: ArrayLike | None = None, *, zero: bool = False) -> Array:
        """The first iterate: a checked x0, else P A^H y / L (or zeros)."""
        if x0 is None:
            return backend.zeros_like(self.AHy) if zero else self.metric(self.AHy) / self.step_lipschitz
        x0 = array("x0", x0, shape=self.ishape)
        _check.same_kind("x0", x0, "y", self.AHy)
        with np.errstate(over="ignore"):  # a copy, in the precision of the run
            x0 = x0.to(self.AHy.dtype, copy=True) if is_torch(x0) else x0.astype(self.AHy.dtype)
        return array("x0", x0)
