"""What a prior is, and its algebra: `lam * prior`, `prior @ linop`, `prior + prior`.

A new prior is a class with `value` and `prox` (about six lines); a smooth one has `grad` and `lipschitz` too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pisolve import backend
from pisolve._check import is_array, number
from pisolve._types import Array, ArrayLike
from pisolve.linops import Blocks, apply, identity, opnorm
from pisolve.priors._dual import dual_prox
from pisolve.priors._weights import Weighable


class Prior(Weighable):
    """g(x), what we believe about images, in minimise 1/2 ||A x - y||^2 + g(x).

    Attributes:
        has_prox: `prox` is exact and cheap (closed form, or a denoiser).
        slow_prox: `prox` iterates to a tolerance: right, but a solver that splits is faster.
        slow_value: `value` iterates, too.
        has_grad: `grad` exists; `lipschitz` bounds its Lipschitz constant.
        quadratic: `grad` is affine, so that the conjugate gradient method solves the problem.
        convex: g is convex: the minimum is unique in value, and solvers agree.
        implicit: there is no g to evaluate (PnP): `value` is None and solvers look for a fixed point.
    """

    has_prox = convex = True
    slow_prox = slow_value = has_grad = quadratic = False
    implicit = pointwise = False  # pointwise: the prox acts on each pixel by itself, with a step of its own for each
    homogeneous = False  # g(a x) = |a| g(x), a norm: its conjugate is the indicator of a ball
    lipschitz: float = 0.0
    names: tuple[Any, ...] | None = None  # of the unknown's axes, of a prior that acts along certain ones, see `ByName`
    __array_ufunc__ = None  # lets numpy scalars leave `lam * prior` to us

    def parts(self) -> tuple[Prior, ...]:
        """The priors that this one is made of."""
        return ()

    def with_parts(self, parts: Any) -> Prior:
        """The same prior made of others, in the order of `parts`."""
        return self

    def bind(self, names: Any) -> Prior:
        """The prior for an unknown whose axes have these names, None for each without one; `Problem` does so once."""
        return self.with_parts([p.bind(names) for p in self.parts()]) if self.parts() else self

    def value(self, x: ArrayLike) -> float | None:
        """g(x), a float; None for an implicit prior."""
        raise NotImplementedError(f"{type(self).__name__} has no value")

    def prox(self, x: ArrayLike, step: float) -> Array:
        """argmin_u 1/2 ||u - x||^2 + step g(u)."""
        raise NotImplementedError(f"{type(self).__name__} has no prox: a solver has to split it, as ADMM and PDHG do")

    def grad(self, x: ArrayLike) -> Array:
        """The gradient of g at x (for complex x: d/d Re + i d/d Im)."""
        raise NotImplementedError(f"{type(self).__name__} has no gradient")

    def split(self, shape: Sequence[int]) -> tuple[Prior, object]:
        """(f, G) with g = f o G and f's prox exact; G is None for the identity. `shape` is the image's.

        Where G is a `linops.Blocks` of several variables, the first is the image and g minimises over the others,
        g(x) = min_v f(G [x, v]), as TGV does.
        """
        return self, None

    def dual_norm(self, x: ArrayLike) -> float:
        """The dual of a norm g, the smallest t with Re <u, x> <= t g(u) for all u: what duality gaps need."""
        raise NotImplementedError(f"{type(self).__name__} has no dual norm in closed form")

    def coupled(self, step: float) -> Prior:
        """The same prior at this step, but with a strength that follows the step: what continuation needs.

        An explicit prior does so by itself, since its prox is of step * g.
        """
        return self

    def at(self, k: int) -> Prior:
        """The prior as it acts in iteration k: only cycle spinning and its like depend on it."""
        return self.with_parts([p.at(k) for p in self.parts()]) if self.parts() else self

    def solver(self) -> Any:
        """The one solver that is made for this prior; None where `solvers.choose` goes by what it offers."""
        return None

    def __mul__(self, lam: Any) -> Prior:
        return self.weighted(lam) if is_array(lam) and lam.ndim else Scaled(self, number("lam", lam, low=0))

    __rmul__ = __mul__

    def __matmul__(self, linop: Any) -> Prior:
        return Composed(self, linop)

    def __add__(self, other: Any) -> Prior:
        return Sum([self, other]) if isinstance(other, Prior) else NotImplemented

    def __radd__(self, other: Any) -> Any:  # `sum` begins with 0
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Scaled(Prior):
    """lam * g."""

    def __init__(self, prior: Prior, lam: float):
        prior, lam = (prior.prior, prior.lam * lam) if isinstance(prior, Scaled) else (prior, lam)
        self.prior, self.lam = prior, lam
        for n in ("has_prox", "slow_prox", "has_grad", "quadratic", "convex", "implicit", "pointwise", "homogeneous"):
            setattr(self, n, getattr(prior, n))

    @property
    def lipschitz(self):
        return self.lam * self.prior.lipschitz

    def value(self, x):
        value = self.prior.value(x)
        return None if value is None else self.lam * value if self.lam else 0.0  # not 0 * inf

    def prox(self, x, step):
        return self.prior.prox(x, step * self.lam) if self.lam else backend.copy(x)

    def grad(self, x):
        return self.lam * self.prior.grad(x)

    def __matmul__(self, linop: Any) -> Prior:
        return self.lam * (self.prior @ linop)

    def split(self, shape):
        f, G = self.prior.split(shape)
        return self.lam * f, G

    def dual_norm(self, x):
        return self.prior.dual_norm(x) / self.lam if self.lam else math.inf

    def coupled(self, step):
        return self.lam * self.prior.coupled(step * self.lam)

    def parts(self):
        return (self.prior,)

    def with_parts(self, parts):
        return self.lam * parts[0]

    def __repr__(self):
        return f"{self.lam:g} * {self.prior!r}"


class Composed(Prior):
    """f(G x): the prox is in closed form where G is unitary, else by iteration where f is a norm, else none."""

    def __init__(self, f: Prior, G):
        if not hasattr(G, "ishape") or not hasattr(G, "H"):
            raise TypeError(f"prior @ linop needs a linear operator with .H, got {type(G).__name__}")
        unitary = getattr(G, "unitary", False)
        if f.implicit and not unitary:
            raise ValueError(f"{f!r} is implicit: it can only stand behind a unitary operator, got {G!r}")
        self.f, self.G = f, G
        self.has_prox = f.has_prox and unitary
        self.slow_prox = f.has_prox and f.homogeneous and not unitary
        for name in ("has_grad", "quadratic", "convex", "implicit", "homogeneous"):
            setattr(self, name, getattr(f, name))

    @cached_property
    def lipschitz(self):
        return self.f.lipschitz * opnorm(self.G) ** 2

    def value(self, x):
        return self.f.value(apply(self.G, x))

    def __mul__(self, lam: Any) -> Prior:
        return Composed(lam * self.f, self.G) if self.implicit else super().__mul__(lam)

    __rmul__ = __mul__

    def prox(self, x, step):
        if self.slow_prox:
            return dual_prox(self.f, self.G, x, step)
        if not self.has_prox:
            return super().prox(x, step)
        return apply(self.G.H, self.f.prox(apply(self.G, x), step))

    def grad(self, x):
        return apply(self.G.H, self.f.grad(apply(self.G, x)))

    def split(self, shape):
        if tuple(self.G.ishape) != tuple(shape):
            raise ValueError(f"the prior's operator takes shape {tuple(self.G.ishape)}, the image is {tuple(shape)}")
        if self.has_prox:
            return self, None
        f, G = self.f.split(self.G.oshape)
        if isinstance(G, Blocks):
            return f, Blocks([[None if row[0] is None else row[0] * self.G, *row[1:]] for row in G.rows])
        return f, self.G if G is None else G * self.G

    def dual_norm(self, x):
        return self.f.dual_norm(apply(self.G, x)) if self.has_prox else super().dual_norm(x)

    def coupled(self, step):
        return Composed(self.f.coupled(step), self.G)

    def parts(self):
        return (self.f,)

    def with_parts(self, parts):
        return Composed(parts[0], self.G)

    def bind(self, names):
        return self  # f acts on what G makes of the unknown, whose axes have no names

    def __repr__(self):
        return f"({self.f!r} @ {self.G.repr_str})"


class Sum(Prior):
    """g_1 + g_2 + ...: split over a stack of their operators, each part keeping its own exact prox."""

    def __init__(self, priors):
        self.priors = [q for p in priors for q in (p.priors if isinstance(p, Sum) else [p])]
        if any(p.solver() is not None for p in self.priors):
            raise TypeError("a network fitted to the scan stands alone: there is no sum of it and another prior")
        self.has_grad = all(p.has_grad for p in self.priors)
        self.quadratic = all(p.quadratic for p in self.priors)
        self.convex = all(p.convex for p in self.priors)
        self.implicit = any(p.implicit for p in self.priors)
        self.has_prox = False

    def __mul__(self, lam: Any) -> Prior:
        return Sum([lam * p for p in self.priors])

    __rmul__ = __mul__

    @property
    def lipschitz(self):
        return sum(p.lipschitz for p in self.priors)

    def value(self, x):
        values = [p.value(x) for p in self.priors]
        return None if None in values else sum(values)

    def grad(self, x):
        return sum(p.grad(x) for p in self.priors)

    def split(self, shape):
        parts = [separated(p, shape) for p in self.priors]
        widths = [len(own[0]) - 1 for own, _ in parts]
        rows, fs = [], []
        for i, (own, f) in enumerate(parts):  # every part has its own further variables, if any
            before, after = [None] * sum(widths[:i]), [None] * sum(widths[i + 1:])
            rows += [[row[0], *before, *row[1:], *after] for row in own]
            fs += f
        blocks = Blocks(rows)
        return Separable(fs, blocks.range), blocks

    def coupled(self, step):
        return Sum([p.coupled(step) for p in self.priors])

    def parts(self):
        return tuple(self.priors)

    def with_parts(self, parts):
        return Sum(parts)

    def __repr__(self):
        return " + ".join(map(repr, self.priors))


def separated(prior: Prior, shape):
    """(rows of operators over the image and the further variables, one prior a row): a split, taken apart."""
    f, G = prior.split(shape)
    if isinstance(G, Blocks) and isinstance(f, Separable):
        return G.rows, f.priors
    if isinstance(G, Blocks) and len(G.domain.shapes) > 1:
        if len(G.rows) > 1:
            raise ValueError(f"{prior!r} couples the rows of its operator: it cannot be part of a sum")
        return G.rows, [f]
    return [[identity(shape) if G is None else G]], [f]


class Separable(Prior):
    """sum_i f_i(z_i) of a vector z that a `linops.blocks.Pack` takes apart, as `Sum.split` makes it."""

    def __init__(self, priors, pack):
        self.priors, self.pack = priors, pack
        self.convex = all(p.convex for p in priors)
        self.implicit = any(p.implicit for p in priors)
        self.has_prox = all(p.has_prox or p.slow_prox for p in priors)

    def value(self, x):
        values = [f.value(z) for f, z in zip(self.priors, self.pack.parts(x), strict=True)]
        return None if None in values else sum(values)

    def __mul__(self, lam: Any) -> Prior:
        return Separable([lam * p for p in self.priors], self.pack)

    __rmul__ = __mul__

    def prox(self, x, step):
        return self.pack.join([f.prox(z, step) for f, z in zip(self.priors, self.pack.parts(x), strict=True)])

    def coupled(self, step):
        return Separable([p.coupled(step) for p in self.priors], self.pack)

    def parts(self):
        return tuple(self.priors)

    def with_parts(self, parts):
        return Separable(list(parts), self.pack)

    def __repr__(self):
        return " + ".join(map(repr, self.priors))
