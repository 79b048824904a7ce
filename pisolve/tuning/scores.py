"""What a strength is judged by: withheld samples, an estimate of the risk, the discrepancy, or a reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from pisolve import backend, metrics
from pisolve.linops.solve import cg_solve
from pisolve.priors._dual import squared_norm
from pisolve.solvers import solve
from pisolve.tuning.data import Data

BETA = 0.003  # of the risk's filter, in units of ||A||^2
_EPS = 0.1  # of the divergence's finite difference, in units of sigma


class Score:
    """A function of the prior whose minimum (or whose value 1) is looked for; inf where a run fails.

    Args:
        data: `Data`.
        solver, max_iter, tol: the runs to judge.
    """

    label = ""
    equation = False  # the strength is where the score is 1, not where it is least

    def __init__(self, data: Data, solver, max_iter, tol):
        self.data, self.solver, self.max_iter, self.tol = data, solver, max_iter, tol
        self.memo, self.strength = {}, None

    def at(self, strength: float, prior) -> float:
        """The score of a prior at this strength, with what `memo` knows of it already."""
        self.strength = strength
        try:
            return self(prior)
        finally:
            self.strength = None

    def once(self, part: int, compute) -> float:
        """One part of the current strength's score, computed where `memo` does not know it."""
        if self.strength is None:
            return float(compute())
        key = key_of(self.strength, part)
        if key not in self.memo:
            self.memo[key] = float(compute())
        return self.memo[key]

    def run(self, A, y, prior, **options):
        """`solve` as the user will run it: from the start, so that what is judged is what comes out later."""
        options = {"max_iter": self.max_iter, "tol": self.tol, "check": False} | options  # `tune` tested once
        return solve(A, y, prior, self.solver, **options)

    def __call__(self, prior) -> float:
        def judged():
            result = self.run(self.data.A, self.data.y, prior)
            return self.judge(result, prior) if result.ok else np.inf

        return self.once(0, judged)

    def judge(self, result, prior) -> float:
        """The score of one run on all data."""
        raise NotImplementedError


class _Seen:
    """What counts of an image of errors: the part in phase with the object, Re(exp(-i phase) .), inside the body.

    An error of magnitudes is made of this. Phase and outline are those of the full centre of k-space, so they do not
    depend on the strength; without such a centre (operators other than `sense`) everything counts.
    """

    def __init__(self, data: Data):
        low = data.low_resolution()
        self.known: bool = low is not None
        if self.known:
            size = abs(low)
            self.rotation: Any = low.conj() / backend.namespace(low).where(size > 0, size, 1)
            self.body: Any = data.like(metrics.body(backend.to_numpy(size)))

    def __call__(self, image: Any) -> Any:
        return (image * self.rotation).real * self.body if self.known else image


class Holdout(Score):
    """||B A^H P (A x_P - y)||^2 / ||B A^H P y||^2, summed over folds.

    P keeps the withheld samples, x_P is made without them; B is `_Seen`. For operators other than `sense` the errors
    of the samples themselves count, ||P (A x_P - y)||^2 / ||P y||^2.
    """

    label = "relative squared error over withheld samples"

    def __init__(self, *run, folds, share, seed):
        super().__init__(*run)
        data, self.seen, self.folds, self.energy = self.data, _Seen(self.data), [], 0.0
        for out in data.split(folds=folds, share=share, seed=seed):
            self.folds.append((*data.restricted(data.sampled & ~out), data.like(data.on_data(out))))
            self.energy += self._size(data.y * self.folds[-1][-1])

    def _size(self, samples):
        return squared_norm(self.seen(self.data.A.H(samples)) if self.seen.known else samples)

    def __call__(self, prior):
        def error(A, y, out):
            result = self.run(A, y, prior)
            return self._size((self.data.A(result.x) - self.data.y) * out) if result.ok else np.inf

        total = 0.0
        for k, fold in enumerate(self.folds):
            total += self.once(k, lambda fold=fold: error(*fold))
            if total == np.inf:
                break
        return total / self.energy


class Sure(Score):
    """An unbiased estimate of ||B K (x - x_true)||^2, but for a constant, divided by ||B T y||^2.

        ||B K x||^2 - 2 Re<B K x, B T y> + 2 sigma^2 Re<B T b, B K J b>
        T = (A^H A + beta)^-1 A^H,  K = T A,  J b = (x(y + e b) - x(y)) / e,  b ~ N(0, 1) in every real coordinate

    since T y = K x_true + T n and, by Stein's lemma, E Re<B K x, B T n> = sigma^2 tr((B T)^T B K J). K passes what the
    data determine and damps what they do not: beta -> inf is the predictive risk ||A (x - x_true)||^2, beta -> 0 the
    projected one (GSURE). J is of the iteration as it is run, with as many steps. B is `_Seen`.
    """

    label = "estimated risk over the energy, up to a constant"

    def __init__(self, *run, noise, seed):
        super().__init__(*run)
        data, self.noise, self.B = self.data, noise, _Seen(self.data)
        self.beta = BETA * data.lipschitz
        self.b = data.noise(seed)
        self.Ty, self.Tb = (self.B(self._solve(data.A.H(v))) for v in (data.y, self.b))
        self.energy = squared_norm(self.Ty)

    def _solve(self, v, start=None):
        start = backend.zeros_like(v) if start is None else start
        return cg_solve(lambda p: self.data.A.N(p) + self.beta * p, v, start, iterations=60, tol=1e-4)

    def K(self, x):
        """(A^H A + beta)^-1 A^H A x."""
        return x - self.beta * self._solve(x, x / (self.data.lipschitz + self.beta))

    def judge(self, result, prior):
        eps = _EPS * self.noise
        y = self.data.y + self.b * backend.number(eps, self.b)
        moved = self.run(self.data.A, y, prior, max_iter=result.state.k, tol=0)  # the same number of steps
        if not moved.ok:
            return np.inf
        Kx, KJb = self.B(self.K(result.x)), self.B(self.K((moved.x - result.x) / eps))
        cross, trace = float(backend.dot(Kx, self.Ty)), float(backend.dot(self.Tb, KJb))
        return (squared_norm(Kx) - 2 * cross + 2 * self.noise**2 * trace) / self.energy


class Discrepancy(Score):
    """||A x - y||^2 / (2 sigma^2 m), m complex samples: 1 where the residual is as large as the noise (Morozov)."""

    label = "squared residual over that of the noise"
    equation = True

    def __init__(self, *run, noise):
        super().__init__(*run)
        self.level = 2 * noise**2 * self.data.count

    def judge(self, result, prior):
        return squared_norm(self.data.A(result.x) - self.data.y) / self.level


class Reference(Score):
    """NMSE of magnitudes inside the body of the reference, after one scale for the image: an oracle's choice.

    Args:
        reference: real image.
        view: image -> what compares with it.
    """

    label = "NMSE against the reference (oracle)"

    def __init__(self, *run, reference, view):
        super().__init__(*run)
        self.reference, self.view, self.body = reference, view, metrics.body(reference)

    def judge(self, result, prior):
        image = abs(self.view(backend.to_numpy(result.x)))
        inside, truth = image[self.body].astype(float), self.reference[self.body].astype(float)
        scale = (inside @ truth) / max(inside @ inside, 1e-300)
        return ((scale * inside - truth) ** 2).sum() / (truth**2).sum()


def key_of(strength: float, part: int | None) -> str:
    """Where `Score.once` keeps one part of a strength's score."""
    return f"{strength!r} {part}"


def score_of(criterion: str, run, *, noise, reference, view, seed: int, folds: int, share: float) -> Score:
    """The score of a criterion; `run` is `Data`, the solver, its iterations and tolerance."""
    if criterion == "holdout":
        return Holdout(*run, folds=folds, share=share, seed=seed)
    if criterion == "sure":
        return Sure(*run, noise=noise, seed=seed)
    if criterion == "discrepancy":
        return Discrepancy(*run, noise=noise)
    if reference is None:
        raise ValueError("criterion='reference' needs the truth: give reference=..., or undersample a full scan")
    return Reference(*run, reference=abs(reference), view=view)
