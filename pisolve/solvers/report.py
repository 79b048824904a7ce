"""What a run did, and how far its result can be trusted."""

from __future__ import annotations

import json
import math

import numpy as np

from pisolve import backend
from pisolve._check import is_torch, number
from pisolve.backend import real
from pisolve.priors.base import Composed, Prior, Scaled, Sum
from pisolve.solvers.base import spins
from pisolve.solvers.distance import distance
from pisolve.solvers.relaxed import Relaxed


class Report(dict):
    """A report: a dict of plain values that prints as a table; `json()` is its text for a file."""

    def json(self) -> str:
        """The report as JSON."""
        return json.dumps(_finite(self), indent=1, allow_nan=False)

    def __str__(self):
        return "\n".join(f"{name.replace('_', ' '):14}{_words(value)}" for name, value in self.items())

    __repr__ = __str__


def report(result, *, noise: float | None = None, show: bool = True) -> Report:
    """A run's status, objective, data residual, distance to the minimum, step certificate and denoiser, in one dict.

    What is not known is None. Costs about three applications of A, one prox, and some 12 of a denoiser.

    Args:
        result: of `solve`.
        noise: standard deviation of the real and of the imaginary part of a sample of y; with it `data_to_noise` is
            ||A x - y|| over what noise alone would leave, sigma sqrt(2 m) for m samples: near 1 where the strength of
            the prior fits the noise, clearly below 1 where noise was fitted.
        show: print it, too.

    Returns:
        `Report` with: status, ok, iterations, seconds, solver, relaxed (the weight of averaged steps), prior, residual
        (the solver's own), objective {data, prior, total}, data_residual, data_to_noise, gap (relative duality gap: a
        bound of the objective's distance to its minimum), fixed_point (||x - prox(x - grad/L)|| / ||x||), step
        {what, size, limit}, distance {image, how: the estimated ||x - solution|| / ||x||, and what tells it, see
        `solvers.distance`}, denoiser {sigma, gain_D, gain_residual: largest found of D and I - D near x, lower bounds
        of their Lipschitz constants; ratio: the largest of the last ten steps}, provable (True, False, or None where it
        rests on the measured gains), why.
    """
    noise = number("noise", noise, low=0, strict=True, allow_none=True)
    problem, x, prior = result.problem, result.x, result.problem.prior
    with np.errstate(over="ignore", invalid="ignore"):
        size = math.sqrt(2 * problem.data_value(x))
        samples = int((problem.y != 0).sum())
        g = prior.value(x)
        steps, denoiser = result.solver.certificate(problem, result.state), _denoiser(prior)
        out = Report(
            status=result.status, ok=result.ok, iterations=result.state.k,
            seconds=result.history[-1]["seconds"] if result.history else 0.0, solver=repr(result.solver),
            relaxed=result.solver.weight if isinstance(result.solver, Relaxed) else None, prior=repr(prior),
            residual=real(result.state.residual),
            objective=None if g is None else {"data": size**2 / 2, "prior": g, "total": size**2 / 2 + g},
            data_residual=size,
            data_to_noise=size / (noise * math.sqrt(2 * samples)) if noise and samples else None,
            gap=None if g is None or not math.isfinite(g) else problem.gap(x), fixed_point=_fixed_point(problem, x),
            step=steps, distance=_distance(result),
            denoiser=None if denoiser is None else _measured(*denoiser, x, result.history))
    out["provable"], out["why"] = _regime(result, prior, out)
    if show:
        print(out)
    return out


def _finite(value):
    """Plain values with null instead of Inf and NaN, which JSON has not."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _words(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


def _distance(result) -> dict:
    """{"image", "how"}: the distance to the solution as far as the run can tell."""
    found, size = distance(result.state), len(result.state.aux.get("moves", ()))
    if found is None:
        return {"image": None, "how": "not known: too few steps were watched (with tol=0 none may be)"}
    if not math.isfinite(found[0]):
        return {"image": None, "how": f"not known: over the last {size} iterations the steps shrank no faster than 1/k"}
    if found[1] == 0:
        return {"image": 0.0, "how": "the last step changed nothing"}
    return {"image": found[0], "how": f"steps shrink by {found[1]:.4g} each, over the last {size} iterations"}


def _fixed_point(problem, x) -> float | None:
    """||x - prox_{g/L}(x - grad F(x)/L)|| / ||x||, 0 at the minimum, for priors with a prox in closed form."""
    try:
        smooth, f = problem.forms
    except ValueError:
        return None
    if f.slow_prox or not f.has_prox or problem.prior.implicit:
        return None
    step = 1 / (problem.lipschitz + smooth.lipschitz)
    if step == 0:  # a Lipschitz constant that is not known
        return None
    v = x - step * (problem.data_grad(x) + smooth.grad(x))
    size = real(backend.norm(x))
    return real(backend.norm(f.prox(v, step) - x)) / size if size > 0 else 0.0


def _denoiser(prior: Prior):
    """(D, sigma) of the denoiser in a prior, or None."""
    if isinstance(prior, Sum):
        return next(filter(None, map(_denoiser, prior.priors)), None)
    if isinstance(prior, Scaled | Composed):
        return _denoiser(prior.prior if isinstance(prior, Scaled) else prior.f)
    if not hasattr(prior, "denoiser"):
        return None
    return prior.denoiser, getattr(prior, "sigma", None)


def _measured(D, sigma, x, history, *, steps: int = 5) -> dict:
    """The largest gains of D and I - D found near x: differences along directions that each map itself amplifies."""
    if sigma is None:  # the coupled form has no level of its own
        return {"sigma": None, "gain_D": None, "gain_residual": None, **_ratio(history)}
    x = backend.from_torch(x) if is_torch(x) else x
    rng, xp = np.random.default_rng(0), backend.namespace(x)
    start = xp.asarray(rng.standard_normal(x.shape) + 1j * rng.standard_normal(x.shape), dtype=x.dtype)
    Dx, length, gains = D(x, sigma), 1e-2 * real(backend.norm(x)) or 1.0, []
    for residual in (False, True):
        e, largest = start * (length / real(backend.norm(start))), 0.0
        for _ in range(steps):
            moved = D(x + e, sigma) - Dx
            moved = e - moved if residual else moved
            gain = real(backend.norm(moved)) / length
            largest = max(largest, gain) if math.isfinite(gain) else math.inf
            if not 0 < gain < math.inf:
                break
            e = moved * (1 / gain)
        gains.append(largest)
    return {"sigma": float(sigma), "gain_D": gains[0], "gain_residual": gains[1], **_ratio(history)}


def _ratio(history) -> dict:
    """The largest ratio of successive steps among the last ten: below 1 where the iteration contracts."""
    return {"ratio": max((h["ratio"] for h in history[-10:] if "ratio" in h), default=None)}


def _regime(result, prior, out) -> tuple[bool | None, str]:
    """(provable, why): whether theory promises what the run did."""
    if not result.ok:
        return False, f"the run ended {result.status}: the image is the best finite iterate"
    if prior.implicit:
        gains = out["denoiser"] or {}
        gain = gains.get("gain_D")
        if gain is None:
            return False, "an implicit prior whose gain was not measured"
        if gain > 1:
            return False, f"the denoiser expands near the result (gain {gain:.3g}): no proof of convergence covers it"
        return None, (f"the denoiser does not expand near the result (gain {gain:.3g} along the directions tried); a "
                      "proof needs it everywhere")
    if result.solver.penalised:
        return False, "the solver minimises a penalised problem, near the minimum as far as rho is large"
    if spins(prior):
        return False, "the prior changes with the iteration: the run settles near a minimum"
    if not prior.convex:
        return False, "the prior is not convex: a stationary point at best"
    if out["step"] is not None and out["step"]["size"] > out["step"]["limit"] * (1 + 1e-6):
        return False, "the step is above the largest that is proven"
    return True, "convex prior and certified step: the iterates converge to the minimum"
