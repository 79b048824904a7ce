"""How much a small change of the data can change the image at worst."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pisolve.evaluate.stability.replay import GOOD, Replay
from pisolve.linops.solve import cg_solve
from pisolve.solvers.base import spins

DAMPING = 1e-4  # of the search's inverse; with 1e-2 it found half of the gain of wavelets
GROWTH = 1.01  # two steps that gain less together are the last ones
KINDS = ("auto", "gradient", "search")


@dataclass(frozen=True)
class Perturbation:
    """The worst perturbations of the data that were found, f being the reconstruction of k-space y.

    Attributes:
        rows: a dict for each size: "size" ||e|| / ||y||; "gain" (||f(y + e) - f(y)|| / ||f(y)||) / size for the worst e
            that was found; "noise gain", the same for white noise of this size; "ratio" of these; "data gain"
            ||A (f(y + e) - f(y))|| / ||e|| for the worst e by this measure among those that were looked at, None for
            images without phase; "largest change" of the magnitude at one pixel, in units of the 99th percentile of
            |f(y)|; "status" of the run, "max_iter" or "done" where it did not fail.
        errors: the worst e, complex (size, coil, ky, kx), zero where nothing was sampled.
        images: f(y + e), complex (size, y, x), in the scan's units.
        noisy: f(y + noise) of the largest size, complex (y, x).
        image: f(y), complex (y, x).
        by: "gradient" or "search".
        reason: why not by the gradient; "" where it was.
        bound: of the data gain, 1 for the minimum of a convex problem; None where there is none.
        runs: number of reconstructions.
        gradients: number of derivatives, each of which costs several reconstructions.
    """

    rows: list[dict[str, Any]]
    errors: np.ndarray
    images: np.ndarray
    noisy: np.ndarray
    image: np.ndarray
    by: str
    reason: str
    bound: float | None
    runs: int
    gradients: int


def perturb(replay: Replay, sizes, *, steps: int, by: str, seed: int, tick: Callable) -> Perturbation:
    """Look for max ||f(y + e) - f(y)|| over ||e|| = size ||y||, e only where k-space was sampled.

    "gradient": e <- size ||y|| g / ||g|| with g the gradient of ||f(y + e) - f(y)||^2 through the whole run, the
    ascent on a ball that needs no step size (it cannot descend where the objective is convex, as for linear f).
    "search": the power iteration e <- J^H J e on the same ball with J e = f(y + e) - f(y) and
    J^H v = A J (A^H A + 1e-4)^-1 v, for which f has only to be called. This is exact for quadratic priors, since then
    J = H^-1 A^H with H = H^H, near it for what behaves so, and else no more than a guess. The first direction is white
    noise, then the worst of the size before; both stop where two steps gain less than 1 %. What is reported was
    evaluated with the recipe itself; it is a lower bound of the worst case.

    Args:
        replay: f, y and f(y).
        sizes: ||e|| / ||y||, ascending.
        steps: of the search for every size.
        by: "auto" takes the gradient where there is one.
        seed: of the noise.
        tick: called after every reconstruction (a step by the gradient counts as one).

    Reference:
        Antun et al., PNAS 117 (2020) 30088; Genzel, Macdonald and Maerz, IEEE TPAMI 45 (2023) 1119.
    """
    rng = np.random.default_rng(seed)
    y, before = replay.kspace, replay.runs
    length = float(np.linalg.norm(y))
    noise = _unit(rng.standard_normal((*y.shape, 2)).view(complex)[..., 0] * replay.mask)
    slope, reason = _choose(replay, by)
    rows, errors, images, worst, extra = [], [], [], noise, 0
    for size in sizes:
        f = _Seen(replay, size * length, tick)
        plain = f(noise)
        if slope is None or by == "auto":
            _search(f, worst, steps)
        else:
            f(worst)
        if slope is not None:
            try:
                extra += _ascend(f, slope, steps)
            except (RuntimeError, TypeError, ValueError, FloatingPointError) as error:
                if by == "gradient":
                    raise
                slope, reason = None, str(error).partition("\n")[0] or type(error).__name__
        worst = f.best["e"]
        rows.append(_row(replay, size, f, plain))
        errors.append((size * length * worst).astype(y.dtype))
        images.append(f.best["x"])
    used = "search" if slope is None else "gradient" if by == "gradient" else "search, then gradient"
    bound = 1.0 if _at_minimum(replay.recipe) else None
    return Perturbation(rows, np.stack(errors), np.stack(images), plain["x"], replay.image, used, reason, bound,
                        replay.runs - before, extra)


class _Seen:
    """e -> f(y + t e) for unit e of one size t, and the worst of them by the change of the image and of its data."""

    def __init__(self, replay, t, tick):
        self.replay, self.t, self.tick, self.best, self.data = replay, t, tick, None, 0.0

    def __call__(self, e):
        replay = self.replay
        x, status = replay(replay.kspace + self.t * e)
        self.tick()
        change = x - replay.image
        found = {"e": e, "x": x, "status": status, "change": float(np.linalg.norm(change)), "v": change / self.t}
        if not replay.magnitude:
            self.data = max(self.data, float(np.linalg.norm(replay.coils(change))) / self.t)
        rank = lambda found: (found["status"] not in GOOD, found["change"])  # noqa: E731, a run that fails is worst
        if self.best is None or rank(found) > rank(self.best):
            self.best = found
        return found


def _row(replay, size, f, plain):
    norm = float(np.linalg.norm(replay.image))
    gain, noise = (found["change"] / norm / size for found in (f.best, plain))
    level = float(np.percentile(abs(replay.image), 99)) or 1.0
    change = float(abs(abs(f.best["x"]) - abs(replay.image)).max()) / level
    return {"size": size, "gain": gain, "noise gain": noise, "ratio": gain / noise if noise > 0 else None,
            "data gain": None if replay.magnitude else f.data, "largest change": change, "status": f.best["status"]}


def _choose(replay, by):
    """(e -> value and gradient, or None; why not)."""
    if by == "search":
        return None, "only the search was asked for"
    try:
        return _gradient_of(replay), ""
    except (ImportError, NotImplementedError) as error:
        if by == "gradient":
            raise ValueError(f"by='gradient' cannot be: {error}; take 'search' or 'auto'") from None
        return None, str(error)


def _gradient_of(replay):
    import torch

    image = replay.tensor_map()
    start = torch.from_numpy(np.ascontiguousarray(replay.image))

    def slope(e):
        """The gradient of ||f(y + e) - f(y)||^2 in e."""
        y = torch.from_numpy((replay.kspace + e).astype(replay.kspace.dtype)).requires_grad_()
        with torch.enable_grad():
            x = image(y)
            change = x - (start if x.is_complex() else start.real)
            value = (change.abs() ** 2).sum()
            g, = torch.autograd.grad(value, y)
        g = g.resolve_conj().numpy() * replay.mask
        if not np.isfinite(g).all() or not g.any():
            raise FloatingPointError("its derivative is zero or not finite")
        return g

    return slope


def _ascend(f, slope, steps) -> int:
    """The ascent by gradients from the worst so far; returns how many were computed."""
    e, grown = f.best["e"], [f.best["change"]]
    for _ in range(steps):
        g = slope(f.t * e)
        f.tick()
        e = _unit(g)
        f(e)
        grown.append(f.best["change"])
        if _stalls(grown):
            break
    return len(grown) - 1


def _search(f, e, steps) -> None:
    """The power iteration by differences from e."""
    A, phase = f.replay.coils, f.replay.phase if f.replay.magnitude else 1
    grown = [f.best["change"]]
    for _ in range(steps):
        v = (f(e)["v"] * phase).astype(A.mps.dtype)
        if not v.any():
            return
        limit = v.real.dtype.type(DAMPING)
        inverse = cg_solve(lambda p, limit=limit: A.N(p) + limit * p, v, np.zeros_like(v), iterations=50, tol=1e-3)
        back = A(f(_unit(A(inverse)))["v"] * phase)
        if not back.any():
            return
        e = _unit(back)
        grown.append(f.best["change"])
        if _stalls(grown):
            break
    f(e)


def _stalls(grown) -> bool:
    """Whether the last two steps gained less than 1 % together: neither way is monotone."""
    return len(grown) > 2 and grown[-1] < GROWTH * grown[-3]


def _unit(e):
    return e / np.linalg.norm(e)


def _at_minimum(recipe) -> bool:
    """Whether the image is the minimum of a convex problem in y, as far as the iteration got."""
    prior = recipe.prior
    return bool(recipe.network is None and recipe.method.tunable and prior.convex and not prior.implicit
                and not spins(prior) and not recipe.solver.penalised)
