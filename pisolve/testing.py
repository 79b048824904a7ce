"""The laws as public checks, without pytest: try your own operator, prior or solver with them.

Each check returns nothing and raises an AssertionError that says which law failed and by how much.

    from pisolve.testing import check_linop, check_prior
    check_linop(my_linop)
    check_prior(my_prior, (32, 32))
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from pisolve import backend, linops
from pisolve._check import dtype_name
from pisolve._types import Array, ArrayLike, Numbers, Seed
from pisolve.priors import Prior
from pisolve.priors._dual import squared_norm
from pisolve.problem import Problem
from pisolve.solvers import iterate, solve
from pisolve.solvers.base import Solver

_TOL = {"complex64": 1e-5, "complex128": 1e-12}


def random(shape: Sequence[int], rng: Any, dtype: Any = "complex64", like: Any = None) -> Array:
    """Standard complex normal numbers as an array of the kind of `like` (numpy by default)."""
    x = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return x if like is None else backend.like(x, like)


def distance(a: Any, b: Any) -> float:
    """||a - b|| / ||b|| as a float (||a|| where b = 0)."""
    a, b = backend.to_numpy(a), backend.to_numpy(b)
    return float(np.linalg.norm((a - b).ravel()) / (np.linalg.norm(b.ravel()) or 1))


def _close(law: str, a, b, tol: float):
    error = distance(a, b)
    assert error <= tol, f"{law}: relative error {error:.2e} > {tol:.0e}"


def check_linop(A: Any, *, dtype: Any = "complex64", tol: float | None = None, seed: Seed = 0, dense: Any = True,
                like: Any = None) -> None:
    """Shapes, linearity, dot test, normal operator, dense adjoint, no mutation, no aliasing, dtype, pickle.

    Args:
        A: any linop.
        dtype: "complex64" or "complex128".
        tol: relative tolerance; None: 1e-5 or 1e-12.
        dense: compare with the dense matrix where A has at most 4096 inputs and outputs.
        like: an array of the kind to test on.

    Returns:
        None: an operator that keeps all laws passes in silence.

    Raises:
        AssertionError: the first law that is broken, with the error that was measured.
    """
    tol = tol or _TOL[dtype]
    rng = np.random.default_rng(seed)
    x, u = (random(A.ishape, rng, dtype, like) for _ in range(2))
    y = random(A.oshape, rng, dtype, like)
    kept = backend.copy(x), backend.copy(y)
    Ax, AHy = A(x), A.H(y)
    assert tuple(Ax.shape) == tuple(A.oshape), f"output shape {Ax.shape}, oshape {A.oshape}"
    assert tuple(AHy.shape) == tuple(A.ishape), f"adjoint's output shape {AHy.shape}, ishape {A.ishape}"
    assert dtype_name(Ax) == dtype_name(AHy) == dtype, f"dtypes {Ax.dtype}, {AHy.dtype} from {dtype}"
    _close("linearity", A(2 * x + 1j * u), 2 * Ax + 1j * A(u), tol)
    scale = float(backend.norm(Ax)) * float(backend.norm(y)) + 1e-30
    gap = abs(complex(backend.vdot(y, Ax)) - complex(backend.vdot(AHy, x))) / scale
    assert gap <= tol, f"dot test: <y, A x> and <A^H y, x> differ by {gap:.2e} > {tol:.0e} of ||A x|| ||y||"
    _close("normal operator A.N = A^H A", A.N(x), A.H(Ax), 10 * tol)
    _close("A.H.H = A", A.H.H(x), Ax, tol)
    assert np.array_equal(backend.to_numpy(x), backend.to_numpy(kept[0])), "A changed its input"
    assert np.array_equal(backend.to_numpy(y), backend.to_numpy(kept[1])), "A.H changed its input"
    for B, v in ((A, x), (A.H, y), (A.N, x)):
        out = B(v)
        assert not np.shares_memory(backend.to_numpy(out), backend.to_numpy(v)), f"{B} returns its input's memory"
    if like is None:
        _close("pickle", pickle.loads(pickle.dumps(A))(x), Ax, 0)
        if dense and max(np.prod(A.ishape), np.prod(A.oshape)) <= 4096:
            M = linops.dense(A, dtype)
            _close("dense matrix", M @ x.ravel(), Ax.ravel(), 10 * tol)
            _close("dense adjoint", linops.dense(A.H, dtype), M.conj().T, 10 * tol)


def check_signal(model: Any, times: Numbers, *, tol: float = 1e-4, seed: int = 0) -> None:
    """The derivatives of a `signals.Model` against differences, finite signals and one for each time.

    Args:
        model: with `value`, `both` and `parameters`.
        times: s.
        tol: of a derivative, relative to its largest value.
        seed: of the places in the parameters' ranges.
    """
    rng, times = np.random.default_rng(seed), np.asarray(times, float)
    p = np.stack([rng.choice(q.values(), 16) * rng.uniform(0.9, 1.1, 16) for q in model.parameters])
    s, slopes = model.both(times, p)
    assert s.shape == (len(times), 16), f"the signal has shape {s.shape} for {len(times)} times and 16 pixels"
    assert np.isfinite(s).all(), "the signal is not finite inside the range of its parameters"
    _close("value and derivative have one signal", model.value(times, p), s, 1e-12)
    for q, at, slope in zip(model.parameters, range(len(p)), slopes):
        size = np.where(p[at] != 0, abs(p[at]), 1) if q.logarithmic else np.full(16, q.size)
        up, down = p.copy(), p.copy()
        up[at] += 1e-5 * size
        down[at] -= 1e-5 * size
        numeric = (model.value(times, up) - model.value(times, down)) / (2e-5 * size)
        _close(f"derivative for {q.name}", slope * size, numeric * size, tol)


def check_opnorm(A: Any, *, seed: Seed = 0) -> None:
    """`opnorm(A)` is an upper bound of the largest singular value, and the same one twice."""
    exact = np.linalg.norm(linops.dense(A), 2)
    bound = linops.opnorm(A, seed=seed)
    assert exact <= bound * (1 + 1e-6), f"opnorm {bound} is below the norm {exact}"
    assert linops.opnorm(A, seed=seed) == bound, "opnorm differs between two calls"


def check_torch(A: Any, *, seed: Seed = 0, numpys: Any = None) -> None:
    """as_torch: same values as numpy, and derivatives by the operator itself.

    Args:
        A: any linop.
        seed: of the arrays.
        numpys: the same operator of numpy arrays, where A is made of tensors; None: A itself.

    In every entry: the gradient of Re <g, A x> is A^H g, that of ||A x||^2 is 2 A^H A x, whose derivative along v is
    2 A^H A v. Then `gradcheck` and `gradgradcheck` along random directions, which tell by differences of A alone.
    """
    import torch

    rng = np.random.default_rng(seed)
    x, v, g = (random(shape, rng, "complex128") for shape in (A.ishape, A.ishape, A.oshape))
    B, A = linops.as_torch(A), A if numpys is None else numpys
    t = torch.from_numpy(x).requires_grad_()
    _close("torch = numpy", B(t).detach().numpy(), A(x), 1e-12)
    _close("torch adjoint", B.H(B(t)).detach().numpy(), A.H(A(x)), 1e-12)
    _close("gradient", torch.autograd.grad(B(t), t, torch.from_numpy(g))[0].numpy(), A.H(g), 1e-12)
    slope, = torch.autograd.grad(B(t).abs().square().sum(), t, create_graph=True)
    _close("gradient of a square", slope.detach().numpy(), 2 * A.H(A(x)), 1e-11)
    second, = torch.autograd.grad(slope, t, torch.from_numpy(v))
    _close("second derivative", second.numpy(), 2 * A.H(A(v)), 1e-11)
    assert torch.autograd.gradcheck(B, (t,), fast_mode=True), "gradcheck failed"
    assert torch.autograd.gradgradcheck(lambda u: B(u).abs() ** 2, (t,), fast_mode=True), "gradgradcheck failed"


def check_prior(prior: Prior, shape: Sequence[int], *, draws: Any = 20, seed: Seed = 0, tol: float = 1e-6,
                scale: float = 1.0) -> None:
    """The laws of an explicit prior: prox inequality, scaling, firm non-expansiveness, gradient, split.

    Prox inequality: for p = prox(v, step), 1/2||p - v||^2 + step g(p) <= 1/2||u - v||^2 + step g(u) for competitors u
    near p, near v and far away; for convex g the difference is at least 1/2 ||u - p||^2.
    """
    rng = np.random.default_rng(seed)
    for draw in range(draws):
        step = float(10 ** rng.uniform(-3, 1))
        v = scale * float(10 ** rng.uniform(-1, 1)) * random(shape, rng, "complex128")
        if prior.has_prox or prior.slow_prox:
            kept = v.copy()
            p = prior.prox(v, step)
            assert p.shape == v.shape, f"prox: shape {p.shape} from {v.shape}"
            assert p.dtype == v.dtype, f"prox: dtype {p.dtype} from {v.dtype}"
            assert np.array_equal(v, kept), "prox changed its input"
            cost = lambda u: 0.5 * squared_norm(u - v) + step * prior.value(u)  # noqa: B023, E731
            best, size = cost(p), float(np.linalg.norm(v))
            noise = random(shape, rng, "complex128")
            for u in (v, 0 * v, p + 1e-3 * size * noise / np.linalg.norm(noise), p + 0.3 * (v - p), 1.01 * p, 0.99 * p,
                      p + 0.1 * size * noise / np.linalg.norm(noise)):
                bonus = 0.5 * squared_norm(u - p) if prior.convex else 0.0
                assert best + bonus <= cost(u) + tol * (1 + abs(best)), \
                    f"prox inequality: {best + bonus:.12g} > {cost(u):.12g} at step {step:.3g}, draw {draw}"
            _close("scaling law prox of 2 g", (2 * prior).prox(v, step), prior.prox(v, 2 * step), 1e-12)
            if prior.convex:
                w = v + random(shape, rng, "complex128")
                q = prior.prox(w, step)
                left, right = squared_norm(p - q), float(np.vdot(p - q, v - w).real)
                assert left <= right + tol * (1 + abs(right)), f"not firmly non-expansive: {left:.9g} > {right:.9g}"
        if prior.has_grad:
            check_gradient(prior, v, rng)
        f, G = prior.split(tuple(shape))
        further = G.domain.shapes[1:] if isinstance(G, linops.Blocks) else []
        w = G.domain.join([v, *(random(s, rng, v.dtype) for s in further)]) if further else v
        value, own = f.value(w if G is None else G(w)), prior.value(v)
        if further:  # g minimises over the further variables
            assert own <= value * (1 + 1e-9), f"split: g(x) = {own:.9g} is above f(G [x, v]) = {value:.9g} for some v"
        else:
            assert value == own or abs(value - own) <= 1e-9 * (1 + abs(value)), "split: f(G x) differs from g(x)"


def check_gradient(prior: Prior, x: ArrayLike, rng: Any, *, h: Any = 1e-6) -> None:
    """`grad` against central differences of `value`, and `lipschitz` against one pair of points."""
    d = random(x.shape, rng, "complex128")
    h = h * max(1.0, float(abs(x).max()))
    numeric = (prior.value(x + h * d) - prior.value(x - h * d)) / (2 * h)
    exact = float(np.vdot(prior.grad(x), d).real)
    assert abs(numeric - exact) <= 1e-5 * (1 + abs(exact)), f"gradient: {exact:.9g}, differences say {numeric:.9g}"
    slope = np.linalg.norm(prior.grad(x + d) - prior.grad(x)) / np.linalg.norm(d)
    assert slope <= prior.lipschitz * (1 + 1e-9), f"lipschitz {prior.lipschitz} is below a measured slope {slope}"


def denoiser_report(denoiser: Any, images: ArrayLike, sigma: Any, *, seed: Seed = 0, step: Any = 1e-2) -> dict[str,
                    Any]:
    """How a denoiser behaves, as a record and not as pass or fail.

    Args:
        denoiser: D(x, sigma).
        images: complex images (..., y, x) in the units that sigma is in.
        sigma: noise level.

    Returns:
        `gain_D`, `gain_residual`: the largest ||D(a) - D(b)|| / ||a - b|| and the same of I - D over random pairs near
        the noisy images; `phase`: relative change of D under a global phase of the image, 0 if equivariant.
    """
    rng = np.random.default_rng(seed)
    gains, residuals, phases = [], [], []
    for image in images:
        a = image + sigma * random(image.shape, rng, image.dtype)
        b = a + (step * np.linalg.norm(a) / np.sqrt(2 * a.size) * random(a.shape, rng, image.dtype)).astype(a.dtype)
        Da, Db = denoiser(a, sigma), denoiser(b, sigma)
        gains.append(np.linalg.norm(Da - Db) / np.linalg.norm(a - b))
        residuals.append(np.linalg.norm((a - Da) - (b - Db)) / np.linalg.norm(a - b))
        turn = np.asarray(np.exp(0.7j), dtype=a.dtype)
        phases.append(distance(denoiser(turn * a, sigma) / turn, Da))
    return {"gain_D": float(max(gains)), "gain_residual": float(max(residuals)), "phase": float(max(phases))}


def check_solver(solver: Solver, A: Any, y: ArrayLike, prior: Prior, reference: ArrayLike, *, tol: float = 1e-4,
                 max_iter: int = 2000, stop: Any = 1e-7) -> None:
    """A solver reaches the reference minimiser, stays there, changes none of its inputs and resumes bit for bit."""
    kept = y.copy()
    result = solve(A, y, prior, solver, max_iter=max_iter, tol=stop)
    assert result.ok, f"status {result.status}"
    assert np.array_equal(y, kept), "the solver changed y"
    _close(f"{solver} for {prior!r}", result.x, reference, tol)
    problem = Problem(A, y, prior)
    x0 = result.x.copy()
    value, again = problem.value(result.x), solve(A, y, prior, solver, x0=x0, max_iter=max_iter, tol=stop)
    assert np.array_equal(x0, result.x), "the solver changed x0"
    assert problem.value(again.x) <= value + 1e-4 * abs(value), "a warm start at the minimum ends higher"
    check_resume(solver, problem)


def check_resume(solver: Solver, problem: Problem, *, steps: Any = 6) -> None:
    """Stopping after half of the steps and going on gives the same bits as not stopping."""
    def run(state, n):
        states = iterate(solver, problem, state=state)
        for _ in range(n):
            next(states)
        return next(states)

    whole, half = run(None, steps), run(None, steps // 2)
    rest = run(half, steps - steps // 2)
    assert np.array_equal(whole.x, rest.x), "a resumed run differs from an uninterrupted one"
    assert whole.k == rest.k == steps
