"""Krylov methods for general linear problems: LSQR and LSMR on the least squares itself, GMRES on square systems.

The recurrences are written out and not left to SciPy's functions: one step is one iteration whose state can be saved,
torch and cupy run them too, and SciPy's, which the tests compare every iterate with, stays an independent judge.
Sums are written a + (-b) * c: numpy then adds in place of the product, where a - b * c takes one more new array.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pisolve import backend
from pisolve._check import dtype_name, integer
from pisolve._types import ArrayLike
from pisolve.backend import real
from pisolve.linops import apply
from pisolve.priors import Tikhonov, Zero
from pisolve.priors.base import Composed, Scaled, Sum
from pisolve.problem import Problem
from pisolve.solvers.base import Solver, State, renewed
from pisolve.solvers.cg import CG

_TINY = 1e-37
_BREAKDOWN = {"complex64": 1e-6, "complex128": 1e-14}  # what is this much shorter than H v is rounding


class _Stacked:
    """The objective as 1/2 ||B x - b||^2, B = [A; sqrt(lam) G; ...], b = [y; sqrt(lam) reference; ...]."""

    def __init__(self, problem, name: str):
        if not problem.prior.quadratic:
            raise ValueError(f"{name} needs a quadratic prior, and {problem.prior!r} is not one: {problem.remedy}")
        self.A, self.y = problem.A, problem.y
        self.rows = list(_rows(problem.prior, problem.ishape, name))

    def residual(self, x):
        """b - B x, a list of one array for each row."""
        return [self.y - self.A(x), *(-root * f.grad(_times(G, x)) for root, f, G in self.rows)]

    def forward(self, x):
        return [self.A(x), *(root * _times(G, x) for root, _, G in self.rows)]

    def adjoint(self, u):
        total = self.A.H(u[0])
        for (root, _, G), part in zip(self.rows, u[1:]):
            total = total + root * _times(G and G.H, part)
        return total


def _times(G, x):
    return x if G is None else apply(G, x)


def _rows(prior, shape, name, lam=1.0, outer=None):
    """(sqrt(lam), f, G) of each part lam f(G x) of a quadratic prior of outer(x), f a Tikhonov."""
    if isinstance(prior, Zero):
        return
    if isinstance(prior, Scaled):
        yield from _rows(prior.prior, shape, name, lam * prior.lam, outer)
    elif isinstance(prior, Sum):
        for part in prior.priors:
            yield from _rows(part, shape, name, lam, outer)
    elif isinstance(prior, Composed):
        yield from _rows(prior.f, prior.G.oshape, name, lam, prior.G if outer is None else prior.G * outer)
    else:
        f, G = prior.split(shape)
        if type(f) is not Tikhonov:
            raise ValueError(f"{name} needs a sum of squares such as Tikhonov, and {prior!r} is not one: take CG()")
        yield lam**0.5, f, G if outer is None else outer if G is None else G * outer


def _norm(u):
    """The norm of a list of arrays."""
    return sum(backend.dot(part, part) for part in u) ** 0.5


def _scaled(u, size):
    factor = 1 / (size + _TINY)  # a product: complex quotients take several times as long
    return [factor * part for part in u]


def _bidiagonalisation(problem, x0, name):
    """Golub and Kahan's first vectors: beta u = b - B x, alpha v = B^H u. Returns (x, u, v, alpha, beta, ||B^H b||)."""
    B, x = _Stacked(problem, name), problem.start(x0, zero=True)
    u = B.residual(x)
    v = B.adjoint(u)
    size = backend.norm(v if x0 is None else B.adjoint(B.residual(backend.zeros_like(x))))
    beta = _norm(u)
    u, v = _scaled(u, beta), 1 / (beta + _TINY) * v
    alpha = backend.norm(v)
    return x, u, 1 / (alpha + _TINY) * v, alpha, beta, size


def _bidiagonal_step(problem, aux, name):
    """beta u <- B v - alpha u,  alpha v <- B^H u - beta v: returns (u, v, alpha, beta)."""
    B, v, alpha = _Stacked(problem, name), aux["v"], aux["alpha"]
    u = [part + -alpha * aux[f"u{i}"] for i, part in enumerate(B.forward(v))]
    beta = _norm(u)
    u = _scaled(u, beta)
    v = B.adjoint(u) + -beta * v
    alpha = backend.norm(v)
    return u, 1 / (alpha + _TINY) * v, alpha, beta


def _named(u):
    return {f"u{i}": part for i, part in enumerate(u)}


def _rotation(a, b):
    """(c, s, r) with c a + s b = r and c b - s a = 0, for real a, b."""
    r = (a * a + b * b) ** 0.5
    return a / (r + _TINY), b / (r + _TINY), r


@dataclass(frozen=True)
class LSQR(Solver):
    """Conjugate gradients on least squares by bidiagonalisation: min ||[A; sqrt(lam) G] x - [y; sqrt(lam) r]||.

    The iterates are CG's in exact arithmetic; A^H A is not formed, which keeps digits where A is badly conditioned (the
    last error grows with the condition number and not with its square), at the price of one A and one A^H a step, where
    `sense(...).N` is cheaper, and of keeping a vector of the size of the data. For sums of squares: Zero, Tikhonov,
    Quadratic, behind operators, scaled, summed. The residual is ||B^H (b - B x)|| / ||B^H b||, CG's. From zeros.

    Use:
        where A is badly conditioned and digits count; else CG, which is faster.

    Raises:
        ValueError: another prior.

    Reference:
        Paige and Saunders, ACM Trans Math Softw 8 (1982) 43.

    Example:
        pi.solve(A, y, 0.01 * pi.Tikhonov(), pi.LSQR(), max_iter=30)
    """

    averages = False

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        x, u, v, alpha, beta, size = _bidiagonalisation(problem, x0, "LSQR")
        return State(x, aux={**_named(u), "v": v, "w": v, "alpha": alpha, "phi": beta, "rho": alpha, "size": size})

    def step(self, problem: Problem, state: State) -> State:
        w, phi, rho, size = (state.aux[n] for n in ("w", "phi", "rho", "size"))
        u, v, alpha, beta = _bidiagonal_step(problem, state.aux, "LSQR")
        c, s, r = _rotation(rho, beta)
        x = state.x + c * phi / (r + _TINY) * w
        w = v + -s * alpha / (r + _TINY) * w
        rho, phi = -c * alpha, s * phi
        return state.next(x, abs(phi * rho) / (size + _TINY), **_named(u), v=v, w=w, alpha=alpha, phi=phi, rho=rho)

    def memory(self, k: int) -> int:
        return 20

    def renewed(self, problem: Problem, state: State) -> State | None:
        return renewed(self, problem, state, lambda aux: aux["alpha"] * aux["phi"] / (aux["size"] + _TINY))


@dataclass(frozen=True)
class LSMR(Solver):
    """As LSQR, but ||B^H (b - B x)||, which the stop looks at, falls in every step: MINRES on the normal equations.

    Same problems, cost and residual as LSQR; safer to stop early.

    Use:
        as LSQR, where the run is to stop early.

    Raises:
        ValueError: a prior that is no sum of squares.

    Reference:
        Fong and Saunders, SIAM J Sci Comput 33 (2011) 2950.

    Example:
        pi.solve(A, y, 0.01 * pi.Tikhonov(), pi.LSMR(), max_iter=30)
    """

    averages = False

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        x, u, v, alpha, beta, size = _bidiagonalisation(problem, x0, "LSMR")
        one = alpha * 0 + 1  # of the arrays' kind and precision
        return State(x, aux={**_named(u), "v": v, "h": v, "hbar": backend.zeros_like(v), "alpha": alpha, "size": size,
                             "alphabar": alpha, "zetabar": alpha * beta, "rho": one, "rhobar": one, "cbar": one,
                             "sbar": 0 * one})

    def step(self, problem: Problem, state: State) -> State:
        names = ("h", "hbar", "size", "alphabar", "zetabar", "rho", "rhobar", "cbar", "sbar")
        h, hbar, size, alphabar, zetabar, rho_old, rhobar_old, cbar, sbar = (state.aux[n] for n in names)
        u, v, alpha, beta = _bidiagonal_step(problem, state.aux, "LSMR")
        c, s, rho = _rotation(alphabar, beta)
        theta, thetabar, alphabar = s * alpha, sbar * rho, c * alpha
        cbar, sbar, rhobar = _rotation(cbar * rho, theta)
        hbar = h + -thetabar * rho / (rho_old * rhobar_old + _TINY) * hbar
        x = state.x + cbar * zetabar / (rho * rhobar + _TINY) * hbar
        h, zetabar = v + -theta / (rho + _TINY) * h, -sbar * zetabar
        return state.next(x, abs(zetabar) / (size + _TINY), **_named(u), v=v, h=h, hbar=hbar, alpha=alpha, rho=rho,
                          alphabar=alphabar, zetabar=zetabar, rhobar=rhobar, cbar=cbar, sbar=sbar)

    def memory(self, k: int) -> int:
        return 20

    def renewed(self, problem: Problem, state: State) -> State | None:
        return renewed(self, problem, state, lambda aux: aux["zetabar"] / (aux["size"] + _TINY))


@dataclass(frozen=True)
class GMRES(Solver):
    """Generalised minimal residuals, restarted; one step is one cycle of `restart` iterations.

    Where A is square (from images to images) and the prior Zero, it solves A x = y itself, which may be non-Hermitian
    (off-resonance, motion) but has to be invertible; else the normal equations, as CG does at a fraction of the memory.
    The residual is ||b - H x|| / ||b|| of the system that is solved. Starts from zeros.

    Use:
        for square operators that are not Hermitian; else CG.

    Args:
        restart: iterations of a cycle, each of which keeps one image.

    Raises:
        ValueError: a prior that is not quadratic.

    Reference:
        Saad and Schultz, SIAM J Sci Stat Comput 7 (1986) 856.

    Example:
        ghost = pi.linops.identity(shape) + 0.5 * sigpy.linop.Circshift(shape, (0, 1))
        pi.solve(ghost, ghost(brain.image), pi.Zero(), pi.GMRES(restart=5))
    """

    restart: int = 20

    def init(self, problem: Problem, x0: ArrayLike | None = None) -> State:
        integer("restart", self.restart, low=1)
        if not problem.prior.quadratic:
            raise ValueError(f"GMRES needs a quadratic prior, and {problem.prior!r} is not one: {problem.remedy}")
        return State(problem.start(x0, zero=True), aux={"scale": 0.0})

    def step(self, problem: Problem, state: State) -> State:
        H, b = self._system(problem)
        x, residual, scale = gmres_cycle(H, b, state.x, self.restart, state.aux["scale"])
        return state.next(x, residual / (backend.norm(b) + _TINY), scale=scale)

    def renewed(self, problem: Problem, state: State) -> State | None:
        H, b = self._system(problem)
        return replace(state, residual=backend.norm(b - H(state.x)) / (backend.norm(b) + _TINY))

    @staticmethod
    def _system(problem):
        """(H, b) of the H x = b that is solved."""
        if isinstance(problem.prior, Zero) and tuple(problem.linop.oshape) == problem.ishape:
            return problem.A, problem.y
        return (lambda v: CG._hessian(problem, v)), CG._rhs(problem)


def gmres_cycle(H, b, x, m: int, scale: float):
    """The x + z, z in the Krylov space of m dimensions, with the least ||b - H (x + z)||.

    `scale` is the largest ||H v|| / ||v|| seen so far: what is tiny against it is rounding. Returns (x + z, the norm of
    its residual, scale).
    """
    r = b - H(x)
    size = backend.norm(r)
    basis, columns, turns, g = [1 / (size + _TINY) * r], [], [], [size]
    for _ in range(m if real(size) > 0 else 0):
        w = H(basis[-1])
        scale, column = max(scale, real(backend.norm(w))), []
        for v in basis:
            column.append(backend.vdot(v, w))
            w = w + -column[-1] * v
        below = backend.norm(w)
        for i, (c, s) in enumerate(turns):  # Givens rotations make H's matrix triangular, one column at a time
            a, below_i = column[i:i + 2]
            column[i:i + 2] = [c.conj() * a + s * below_i, c * below_i - s * a]
        a, tiny = column[-1], _BREAKDOWN[dtype_name(x)] * scale
        rho = (abs(a) ** 2 + below**2) ** 0.5
        if not real(rho) > tiny:
            break  # H is singular on this space: no more to be gained
        c, s = a / rho, below / rho
        turns.append((c, s))
        columns.append([*column[:-1], rho])
        g[-1:] = [c.conj() * g[-1], -s * g[-1]]
        if not real(below) > tiny:
            break  # the space is complete
        basis.append(1 / below * w)
    y = []
    for j in reversed(range(len(columns))):  # back substitution
        known = sum(columns[k][j] * y[len(columns) - 1 - k] for k in range(j + 1, len(columns)))
        y.append((g[j] - known) / columns[j][j])
    for v, factor in zip(basis, reversed(y)):
        x = x + factor * v
    return x, abs(g[-1]), scale
