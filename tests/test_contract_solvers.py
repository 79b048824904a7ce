"""Every solver reaches the same minimiser, resumes bit for bit, tells the truth in its status, and runs on torch."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from cases import OBJECTIVES, PENALISED, SOLVERS, maps, quadratic_denoiser, toy

import pisolve as pi
from pisolve import linops, testing
from pisolve.testing import distance

A, Y = toy()


def capable(solver, prior):
    """Whether the solver takes this prior: what it says itself."""
    try:
        solver.init(pi.Problem(A, Y, prior))
    except ValueError:
        return False
    return True


def slow(solver, prior):
    """Whether the solver would call an iterative prox: one of the proximal gradient methods is enough for those."""
    try:
        _, f = pi.Problem(A, Y, prior).forms
    except ValueError:
        return False
    return f.slow_prox and solver not in ("fista", "admm", "pdhg")


def spared(solver, name):
    """Whether a variant of PDHG or ADMM is left out here, whose solver takes the objective itself; or one of a kind."""
    if solver.startswith("admm-"):
        return name in ("tgv+wavelet", "infimal-convolution")  # seconds each; "tgv" is of their kind
    if solver == "pdhg":
        return name == "infimal-convolution"  # "tgv" and "tgv+wavelet" are not left out
    return solver.startswith("pdhg-") and name not in ("zero", "tikhonov", "l1", "wavelet", "tv", "tv-weights")


PAIRS = [(s, o) for s in SOLVERS for o in OBJECTIVES
         if s not in PENALISED and capable(SOLVERS[s], OBJECTIVES[o]) and not slow(s, OBJECTIVES[o])
         and not spared(s, o)]


class Minimisers(dict):
    """A long run of ADMM for each objective that is asked for."""

    def __missing__(self, name):
        self[name] = pi.solve(A, Y, OBJECTIVES[name], pi.ADMM(inner=50), max_iter=2000, tol=1e-7).x
        return self[name]


@pytest.fixture(scope="module")
def minimisers():
    """The minimisers, checked against the dense solution or the other solvers below."""
    return Minimisers()


def test_every_solver_takes_most_objectives():
    assert len(PAIRS) >= 60
    assert {s for s, _ in PAIRS} == set(SOLVERS) - PENALISED


@pytest.mark.parametrize(("solver", "objective"), PAIRS)
def test_reaches_the_minimiser(solver, objective, minimisers):
    most, stop = {"gradient-descent": (6000, 1e-6), "ista": (6000, 1e-6), "admm": (1000, 1e-7)}.get(
        solver, (3000, 1e-6) if "pdhg" in solver else (1500, 1e-7))
    testing.check_solver(SOLVERS[solver], A, Y, OBJECTIVES[objective], minimisers[objective], max_iter=most, stop=stop)


def test_quadratic_problems_equal_the_dense_solution(minimisers):
    M = linops.dense(A)
    G = linops.dense(linops.gradient((16, 16)))
    rhs = M.conj().T @ Y.ravel()
    eye = np.eye(256)
    for name, H in {"zero": 0 * eye, "tikhonov": 0.05 * eye, "tikhonov-gradient": 0.05 * G.T @ G}.items():
        exact = np.linalg.solve(M.conj().T @ M + H, rhs).reshape(16, 16)
        assert distance(pi.solve(A, Y, OBJECTIVES[name], pi.CG(), max_iter=500, tol=1e-12).x, exact) < 1e-6
        assert distance(minimisers[name], exact) < 1e-5


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_automatic_solver_fits_and_is_named(objective, minimisers):
    result = pi.solve(A, Y, OBJECTIVES[objective], max_iter=9000, tol=1e-5)
    assert result.status == "converged"
    assert type(result.solver).__name__ in repr(result)
    assert distance(result.x, minimisers[objective]) < 1e-3


@pytest.mark.parametrize("solver", SOLVERS)
def test_state_survives_a_file(solver, tmp_path):
    from pisolve.solvers import load_state, save_state

    prior = 0.05 * pi.Tikhonov()
    A32, y32 = linops.sense(A.mps.astype("complex64"), np.asarray(A.weight) > 0), Y.astype("complex64")
    whole = pi.solve(A32, y32, prior, SOLVERS[solver], max_iter=8, tol=0)
    half = pi.solve(A32, y32, prior, SOLVERS[solver], max_iter=3, tol=0)
    save_state(tmp_path / "state.h5", half.state)
    rest = pi.solve(A32, y32, prior, SOLVERS[solver], state=load_state(tmp_path / "state.h5"), max_iter=8, tol=0)
    np.testing.assert_array_equal(rest.x, whole.x)
    assert rest.x.dtype == np.complex64
    assert rest.state.k == 8
    assert len(rest.history) == 5


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_call_twice_gives_the_same_bits(solver):
    prior = 0.05 * pi.Tikhonov()
    runs = [pi.solve(A, Y, prior, SOLVERS[solver], max_iter=10, tol=0).x for _ in range(2)]
    np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("solver", SOLVERS)
def test_torch_gives_numpys_result(solver):
    prior = 0.05 * pi.Tikhonov()
    ours = pi.solve(A, Y, prior, SOLVERS[solver], max_iter=6, tol=0).x
    theirs = pi.solve(A, torch.from_numpy(Y.copy()), prior, SOLVERS[solver], max_iter=6, tol=0).x
    assert isinstance(theirs, torch.Tensor)
    assert distance(theirs, ours) < 1e-10


@pytest.mark.parametrize(("solver", "prior"), [
    (pi.ADMM(rho=0.5, inner=3), 0.05 * pi.TV()), (pi.ADMM(rho=0.5, inner=3), 0.05 * pi.Wavelet("haar", 1)),
    (pi.FISTA(restart=False), 0.05 * pi.Wavelet("haar", 1)), (pi.PDHG(sigma=0.5), 0.05 * pi.TV()),
    (pi.HQS(rho=0.5, inner=3), 0.1 * pi.Tikhonov()), (pi.GradientDescent(), 0.1 * pi.Tikhonov()),
    (pi.CG(), 0.1 * pi.Tikhonov())])
def test_gradients_through_three_steps(solver, prior):
    """MoDL-style: three iterations are a differentiable function of the data."""
    rng = np.random.default_rng(0)
    small = linops.sense(maps(2, 4, 4), np.array([1, 1, 0, 1])[:, None])
    y = torch.from_numpy(small(testing.random((4, 4), rng, "complex128"))).requires_grad_()

    def three(y):
        states = pi.iterate(solver, pi.Problem(small, y, prior))
        for _ in range(3):
            next(states)
        return next(states).x

    assert torch.autograd.gradcheck(three, (y,), atol=1e-5)


def test_gradients_reach_a_denoisers_weights():
    rng = np.random.default_rng(0)
    small = linops.sense(maps(2, 8, 8), np.array([1, 1, 0, 1, 1, 1, 0, 1])[:, None])
    y = torch.from_numpy(small(testing.random((8, 8), rng, "complex128")))
    gain = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    states = pi.iterate(pi.ADMM(rho=1.0, inner=3), pi.Problem(small, y, pi.PnP(lambda x, s: gain * x, sigma=0.1)))
    for _ in range(3):
        next(states)

    (next(states).x.abs() ** 2).sum().backward()
    assert torch.isfinite(gain.grad)
    assert abs(gain.grad) > 1e-3


# ---- plug and play ---------------------------------------------------------------------------------------------------

def test_fista_and_admm_share_the_fixed_point_of_a_denoiser():
    """At step = 1/rho, with one averaged denoiser."""
    prior = pi.PnP(quadratic_denoiser, sigma=0.4)
    fista = pi.solve(A, Y, prior, pi.FISTA(step_size=1.0), max_iter=3000, tol=1e-11).x
    admm = pi.solve(A, Y, prior, pi.ADMM(rho=1.0, inner=50), max_iter=3000, tol=1e-11).x
    ista = pi.solve(A, Y, prior, pi.FISTA(step_size=1.0, momentum=False), max_iter=3000, tol=1e-11).x
    pdhg = pi.solve(A, Y, prior, pi.PDHG(sigma=1.0), max_iter=6000, tol=1e-11).x
    assert distance(admm, fista) < 1e-6
    assert distance(ista, fista) < 1e-6
    assert distance(pdhg, fista) < 1e-6


def test_pnp_with_a_quadratic_denoiser_is_the_dense_solution():
    """D = (I + sigma^2 G^H G)^-1 is a prox: PnP at step 1 minimises 1/2 |A x - y|^2 + sigma^2/2 |G x|^2."""
    sigma = 0.4
    M, G = linops.dense(A), linops.dense(linops.gradient((16, 16)))
    exact = np.linalg.solve(M.conj().T @ M + sigma**2 * G.T @ G, M.conj().T @ Y.ravel()).reshape(16, 16)
    x = pi.solve(A, Y, pi.PnP(quadratic_denoiser, sigma=sigma), pi.ADMM(rho=1.0, inner=50), max_iter=2000, tol=1e-11).x
    assert distance(x, exact) < 1e-6


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in ("zero", "box+tv")])  # x leaves a box
def test_hqs_is_near_the_minimum_and_nearer_with_a_larger_rho(name, minimisers):
    problem = pi.Problem(A, Y, OBJECTIVES[name])
    best = problem.value(minimisers[name])
    runs = [pi.solve(A, Y, OBJECTIVES[name], pi.HQS(rho=rho, inner=50), max_iter=400, tol=1e-9) for rho in (0.3, 3.0)]
    gaps = [problem.value(run.x) / best - 1 for run in runs]
    assert -1e-9 <= gaps[1] < 0.02
    assert gaps[1] <= gaps[0]


def test_hqs_reaches_the_penalised_minimum():
    """With Tikhonov the Moreau envelope is lam / (1 + lam / rho) / 2 |x|^2, and z = x / (1 + lam / rho)."""
    lam, rho = 0.05, 0.2
    M = linops.dense(A)
    x = np.linalg.solve(M.conj().T @ M + lam / (1 + lam / rho) * np.eye(256), M.conj().T @ Y.ravel())
    z = pi.solve(A, Y, lam * pi.Tikhonov(), pi.HQS(rho=rho, inner=100), max_iter=2000, tol=1e-12).x
    assert distance(z.ravel(), x / (1 + lam / rho)) < 1e-6


@pytest.mark.parametrize("solver", [pi.GradientDescent(), pi.FISTA(), pi.ADMM(inner=30)])
def test_red_with_a_symmetric_denoiser_is_the_quadratic(solver):
    lam, sigma = 0.3, 0.8
    D = linops.dense(linops.SelfAdjoint((16, 16), lambda v: quadratic_denoiser(v, sigma), "D"))
    M = linops.dense(A)
    exact = np.linalg.solve(M.conj().T @ M + lam * (np.eye(256) - D), M.conj().T @ Y.ravel()).reshape(16, 16)
    prior = lam * pi.RED(quadratic_denoiser, sigma=sigma, inner=100)
    x = pi.solve(A, Y, prior, solver, max_iter=5000, tol=1e-10).x
    assert distance(x, exact) < (1e-3 if isinstance(solver, pi.ADMM) else 1e-6)


@pytest.mark.parametrize("coupling", [1.0, 0.5, 0.0])
def test_hqs_lets_the_level_fall_to_the_priors_own(coupling):
    seen = []
    prior = pi.PnP(lambda x, s: seen.append(s) or x, sigma=0.02)
    pi.solve(A, Y, prior, pi.HQS(ratio=100.0, iterations=5, coupling=coupling), max_iter=7, tol=0)
    np.testing.assert_allclose(seen, [*np.geomspace(0.2, 0.02, 5), 0.02, 0.02], rtol=1e-6)


@pytest.mark.parametrize("coupling", [1.0, 0.5, 0.0])
def test_hqs_couples_its_penalty_to_the_level(coupling):
    """With A = I and D(x) = 0 a step from z = 0 is x = y / (1 + rho_k)."""
    seen = []
    identity = pi.linops.identity((4, 4))
    prior = pi.PnP(lambda x, s: seen.append(complex(x[0, 0])) or 0 * x, sigma=0.1)
    pi.solve(identity, np.ones((4, 4), complex), prior, pi.HQS(rho=2.0, ratio=16.0, iterations=3, coupling=coupling),
             max_iter=4, tol=0)
    rho = np.array([2.0 / 16**coupling, 2.0 / 4**coupling, 2.0, 2.0])
    np.testing.assert_allclose(seen[1:], 1 / (1 + rho[1:]), rtol=1e-6)


@pytest.mark.parametrize("gain", [1.15, 1.5, -1.3, 2.0, 3.0])
@pytest.mark.parametrize("solver", [pi.FISTA(), pi.FISTA(momentum=False), pi.ADMM(), pi.HQS(), pi.PDHG()])
def test_an_expansive_denoiser_ends_bounded_with_a_true_status(gain, solver):
    """Where it grows without end that is noticed within 10 iterations of growing; bounded where the data hold it."""
    problem, free = pi.Problem(A, Y, pi.PnP(lambda x, s: gain * x, sigma=0.1)), []
    states = pi.iterate(solver, problem)
    for _ in range(60):  # the same run with nobody watching
        free.append(next(states).x)
    sizes = [np.linalg.norm(x) for x in free]
    moves = [np.linalg.norm(b - a) for a, b in pairwise(free)]
    result = pi.solve(A, Y, problem.prior, solver, max_iter=59, tol=0)
    assert np.isfinite(result.x).all()
    assert np.linalg.norm(result.x) < 5 * sizes[0]
    if sizes[-1] > 5 * sizes[0]:
        noticed = min([h["k"] for h in result.history if "relaxed" in h], default=result.state.k)
        last_fall = max(k for k, (a, b) in enumerate(pairwise([np.inf, *moves])) if b <= a)
        assert noticed <= last_fall + 10
        assert result.status == "diverged" or isinstance(result.solver, pi.Relaxed)
    else:
        assert result.status == "max_iter"


@pytest.mark.parametrize("solver", [pi.FISTA(), pi.FISTA(momentum=False), pi.ADMM(), pi.HQS(), pi.PDHG()])
@pytest.mark.parametrize("denoiser", [quadratic_denoiser, lambda x, s: x, lambda x, s: pi.Wavelet("haar").prox(x, s)])
def test_a_healthy_denoiser_is_never_called_diverging(denoiser, solver):
    assert pi.solve(A, Y, pi.PnP(denoiser, sigma=0.1), solver, max_iter=300, tol=0).status == "max_iter"


# ---- statuses --------------------------------------------------------------------------------------------------------

STATUS = {
    "converged": lambda: pi.solve(A, Y, pi.Tikhonov(), max_iter=100, tol=1e-3),
    "max_iter": lambda: pi.solve(A, Y, pi.TV(), max_iter=2, tol=1e-9),
    "diverged": lambda: pi.solve(A, Y, pi.PnP(lambda x, s: 2 * x, sigma=1), pi.FISTA(), max_iter=99),
    "nonfinite": lambda: pi.solve(A, Y, pi.PnP(lambda x, s: x * np.nan, sigma=1), pi.FISTA(), max_iter=99),
    "stopped": lambda: pi.solve(A, Y, pi.TV(), max_iter=9, callbacks=[lambda p, s: s.k < 4]),
}


@pytest.mark.parametrize("status", STATUS)
def test_every_status_is_reached(status):
    result = STATUS[status]()
    assert result.status == status
    assert np.isfinite(result.x).all()
    assert result.ok == (status not in ("diverged", "nonfinite"))
    assert [h["k"] for h in result.history] == list(range(1, len(result.history) + 1))


def test_callbacks_write_into_the_history_and_objectives_fall():
    prior = 0.02 * pi.Wavelet("db2")
    result = pi.solve(A, Y, prior, pi.FISTA(momentum=False), max_iter=30, tol=0,
                      callbacks=[lambda p, s: {"objective": p.value(s.x)}])
    values = [h["objective"] for h in result.history]
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(values))  # ISTA is monotone at step 1/L
    assert values[-1] < 0.9 * values[0]


def test_zero_data_gives_a_zero_image():
    for solver in SOLVERS.values():
        result = pi.solve(A, 0 * Y, 0.05 * pi.Tikhonov(), solver, max_iter=20)
        assert np.array_equal(result.x, np.zeros((16, 16)))
        assert result.status in ("converged", "max_iter")


def test_identity_leaves_the_users_data_alone():
    """SigPy's apps change y where A is the identity."""
    y = np.ones((8, 8), complex)
    for solver in SOLVERS.values():
        pi.solve(linops.identity((8, 8)), y, 0.5 * pi.Tikhonov(), solver, max_iter=5)
        np.testing.assert_array_equal(y, np.ones((8, 8)))
