"""Proximal gradient and Krylov solvers against the papers' formulas, SigPy, SciPy and dense solutions."""

import math

import numpy as np
import pytest
import scipy.sparse.linalg as scipy_linalg
import sigpy
import torch
from cases import REFERENCE, maps, quadratic_denoiser, toy

import pisolve as pi
from pisolve import linops, testing
from pisolve.testing import distance

A, Y = toy()
M, G = linops.dense(A), linops.dense(linops.gradient((16, 16)))
NORMAL, RHS = M.conj().T @ M, M.conj().T @ Y.ravel()
WAVELET = 0.02 * pi.Wavelet("db2")


def images(solver, problem, n, x0=None):
    """The first n images after the start."""
    states = pi.iterate(solver, problem, x0)
    return [next(states).x for _ in range(n + 1)][1:]


class Matrix(linops.Linop):
    """A dense matrix between images of 8 x 8."""

    def __init__(self, matrix):
        self.matrix = matrix
        super().__init__((8, 8), (8, 8))

    def _apply(self, x):
        return (self.matrix.astype(x.dtype) @ x.reshape(-1)).reshape(8, 8)

    def _adjoint_linop(self):
        return Matrix(self.matrix.conj().T)


def matrix(kind, rng):
    """Square systems that are not Hermitian, those of the scanner among them."""
    noise = rng.standard_normal((64, 64)) + 1j * rng.standard_normal((64, 64))
    F = linops.dense(linops.fft((8, 8)))
    turn = np.diag(np.exp(1j * np.linspace(0, 3, 64)))
    return {"random": 3 * np.eye(64) + 0.3 * noise, "off-resonance": F.conj().T @ turn @ F @ turn,
            "motion": 0.7 * np.eye(64) + 0.3 * np.roll(np.eye(64), 3, 0),
            "shift": np.roll(np.eye(64), 1, 0)}[kind]


# ---- proximal gradient -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("momentum", [True, False])
def test_fista_is_sigpys_gradient_method(momentum):
    problem = pi.Problem(A, Y, WAVELET)
    x = problem.start()
    theirs = sigpy.alg.GradientMethod(lambda v: A.N(v) - A.H(Y), x, 1 / problem.lipschitz, accelerate=momentum,
                                      proxg=lambda step, v: WAVELET.prox(v, step), max_iter=12)
    while not theirs.done():
        theirs.update()
    assert distance(images(pi.FISTA(restart=False, momentum=momentum), problem, 12)[-1], theirs.x) < 1e-12


def test_pogm_without_a_prox_is_the_optimised_gradient_method():
    """Kim and Fessler, Math Program 159 (2016) 81, their algorithm OGM2 but for the last step."""
    problem = pi.Problem(A, Y)
    L, x = problem.lipschitz, problem.start()
    y, t = x, 1.0
    for ours in images(pi.POGM(restart=False), problem, 15):
        y_new, t_new = x - problem.data_grad(x) / L, (1 + math.sqrt(1 + 4 * t * t)) / 2
        x = y_new + (t - 1) / t_new * (y_new - y) + t / t_new * (y_new - x)
        y, t = y_new, t_new
        assert distance(ours, x) < 1e-12


def test_pogm_is_the_papers_recursion():
    """Taylor, Hendrickx and Glineur (2017), section 4.3, term by term as they write it."""
    problem, f = pi.Problem(A, Y, WAVELET), WAVELET
    L = problem.lipschitz
    x = w = z = problem.start()
    t, gamma = 1.0, 1 / L
    for ours in images(pi.POGM(restart=False), problem, 15):
        t_new = (1 + math.sqrt(4 * t**2 + 1)) / 2
        w_new = x - 1 / L * (NORMAL @ x.ravel() - RHS).reshape(16, 16)
        z = (w_new + (t - 1) / t_new * (w_new - w) + t / t_new * (w_new - x)
             + (t - 1) / (L * gamma * t_new) * (z - x))
        gamma = 1 / L * (2 * t + t_new - 1) / t_new
        x, w, t = f.prox(z, gamma), w_new, t_new
        assert distance(ours, x) < 1e-10


@pytest.fixture(scope="module")
def brain():
    """A problem large enough for rates to show: (problem, least value)."""
    scene = pi.phantom.brain((64, 64), 6, noise=0.02)
    mask = pi.masks.random((64, 64), accel=3, seed=1)
    mps = scene.mps / np.sqrt((abs(scene.mps) ** 2).sum(0))
    problem = pi.Problem(linops.sense(mps.astype("complex128"), mask), scene.kspace * mask, 0.01 * pi.Wavelet())
    return problem, problem.value(images(pi.FISTA(), problem, 1500)[-1])


def iterations(solver, brain, gap):
    """Steps until the objective is `gap` above its least value, relatively."""
    problem, least = brain
    for state in pi.iterate(solver, problem):
        if state.k > 500 or problem.value(state.x) <= (1 + gap) * least:
            return state.k


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_pogm_takes_about_root_half_of_fistas_iterations(brain, gap):
    """The bounds on the objective are L R^2 / k^2 against 2 L R^2 / k^2."""
    assert abs(iterations(pi.POGM(), brain, gap) - iterations(pi.FISTA(), brain, gap) / 2**0.5) <= 1.5


@pytest.mark.parametrize("gap", [1e-3, 1e-5])
def test_momentum_and_restart_pay(brain, gap):
    assert iterations(pi.FISTA(), brain, gap) < 0.5 * iterations(pi.FISTA(momentum=False), brain, gap)
    tikhonov = pi.Problem(brain[0].A, brain[0].y, 0.05 * pi.Tikhonov())
    strong = tikhonov, tikhonov.value(pi.solve(tikhonov.A, tikhonov.y, tikhonov.prior, pi.CG(), max_iter=300, tol=0).x)
    for solver in (pi.FISTA, pi.POGM):
        assert iterations(solver(), strong, gap**2) <= iterations(solver(restart=False), strong, gap**2)


# ---- line search -----------------------------------------------------------------------------------------------------

class Unknown(pi.TV):
    """Huber's total variation, its Lipschitz constant untold."""

    lipschitz = math.inf

    def __init__(self, isotropic=True):
        super().__init__(isotropic, delta=0.05)
        self.lipschitz = math.inf


def test_an_unknown_lipschitz_constant_needs_the_line_search():
    known = 0.05 * pi.TV(delta=0.05)
    for solver in (pi.FISTA(), pi.GradientDescent(), pi.POGM()):
        with pytest.raises(ValueError, match=r"no known Lipschitz constant: take FISTA\(backtracking=True\)"):
            pi.solve(A, Y, 0.05 * Unknown(), solver)
    exact = pi.solve(A, Y, known, pi.FISTA(), max_iter=5000, tol=1e-10).x
    found = pi.solve(A, Y, 0.05 * Unknown(), pi.FISTA(backtracking=True), max_iter=2000, tol=1e-10)
    assert found.status == "converged"
    assert distance(found.x, exact) < 1e-7


def test_the_line_search_beats_a_pessimistic_constant():
    """Huber's constant ||G||^2 / delta holds in flat regions only."""
    prior = 0.05 * pi.TV(delta=0.02)
    problem = pi.Problem(A, Y, prior)
    least = problem.value(pi.solve(A, Y, prior, pi.FISTA(), max_iter=8000, tol=1e-11).x)
    fixed, searched = (iterations(pi.FISTA(backtracking=b), (problem, least), 1e-4) for b in (False, True))
    assert searched < 0.8 * fixed


@pytest.mark.parametrize("prior", [WAVELET, 0.05 * pi.Tikhonov() @ linops.gradient((16, 16)) + WAVELET,
                                   0.05 * pi.TV(delta=0.05)])
@pytest.mark.parametrize("step_size", [None, 1e-3, 1e4])
def test_every_accepted_step_lies_below_its_model(prior, step_size):
    """F(x) <= F(z) + <grad F(z), x - z> + ||x - z||^2 / (2 step): Beck and Teboulle's (3.7), by values."""
    problem = pi.Problem(A, Y, prior)
    h, _ = problem.forms
    F = lambda v: problem.data_value(v) + h.value(v)  # noqa: E731
    states = pi.iterate(pi.FISTA(backtracking=True, step_size=step_size), problem)
    last, steps = next(states), []
    for _ in range(40):
        new = next(states)
        t, t_new = last.aux["t"], (1 + math.sqrt(1 + 4 * last.aux["step"] / new.aux["step"] * last.aux["t"] ** 2)) / 2
        z = last.x + (t - 1) / t_new * (last.x - last.aux["old"])
        d = new.x - z
        model = F(z) + np.vdot(problem.data_grad(z) + h.grad(z), d).real + np.vdot(d, d).real / (2 * new.aux["step"])
        assert F(new.x) <= model + 1e-12 * F(z)
        steps.append(new.aux["step"])
        last = new
    reached = 0.4 / (problem.lipschitz + h.lipschitz)
    assert min(steps[-10:]) > min(reached, (step_size or reached) * 1.09**30)  # or still on its way up


def test_the_line_search_costs_few_operators(monkeypatch):
    problem, calls = pi.Problem(A, Y, WAVELET), []
    plain = problem.normal
    monkeypatch.setattr(problem, "normal", lambda x: calls.append(1) or plain(x))
    images(pi.FISTA(backtracking=True), problem, 100)
    assert 100 < len(calls) <= 125


def test_the_line_search_lives_with_single_precision():
    """Where moves are rounding errors there is no curvature to measure, and the step stays."""
    A32, y32 = linops.sense(A.mps.astype("complex64"), np.asarray(A.weight) > 0), Y.astype("complex64")
    run = pi.solve(A32, y32, WAVELET, pi.FISTA(backtracking=True), max_iter=800, tol=0)
    assert run.x.dtype == np.complex64
    assert run.history[-1]["residual"] < 1e-5
    assert 0.4 < run.state.aux["step"] < 100
    assert distance(run.x, pi.solve(A, Y, WAVELET, pi.FISTA(), max_iter=2000, tol=1e-10).x) < 1e-4


# ---- the data term by its prox ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("solver", [
    pi.DataProx(), pi.DataProx(momentum=False), pi.DataProx(rho=0.3), pi.DataProx(rho=0.3, momentum=False),
    pi.DataProx(restart=False), pi.DataProx(inner=2), pi.FISTA(), pi.FISTA(backtracking=True), pi.POGM()], ids=str)
def test_red_with_a_symmetric_linear_denoiser_is_the_quadratic(solver):
    """grad g = lam (x - D x); rho = lam is RED's fixed-point iteration, x <- argmin 1/2|Ax-y|^2 + lam/2 |x - D z|^2."""
    lam, sigma = 0.3, 0.8
    D = linops.dense(linops.SelfAdjoint((16, 16), lambda v: quadratic_denoiser(v, sigma), "D"))
    exact = np.linalg.solve(NORMAL + lam * (np.eye(256) - D), RHS).reshape(16, 16)
    x = pi.solve(A, Y, lam * pi.RED(quadratic_denoiser, sigma=sigma), solver, max_iter=5000, tol=1e-11).x
    assert distance(x, exact) < 1e-6


def test_the_fixed_point_iteration_is_romanos():
    """Their equation (37): the data term's normal equations around the denoised image."""
    lam, sigma = 0.3, 0.8
    prior = lam * pi.RED(quadratic_denoiser, sigma=sigma)
    states = pi.iterate(pi.DataProx(rho=lam, momentum=False, inner=1), pi.Problem(A, Y, prior))
    x = next(states).x
    for _ in range(5):
        H, b = NORMAL + lam * np.eye(256), RHS + lam * quadratic_denoiser(x, sigma).ravel()
        r = b - H @ x.ravel()  # one step of conjugate gradients from the last image
        expected = x.ravel() + np.vdot(r, r) / np.vdot(r, H @ r) * r
        x = next(states).x
        assert distance(x.ravel(), expected) < 1e-12


def test_momentum_saves_evaluations_of_the_denoiser():
    counts = []
    for solver in (pi.DataProx(), pi.DataProx(momentum=False)):
        prior = 0.3 * pi.RED(quadratic_denoiser, sigma=0.8)
        counts.append(pi.solve(A, Y, prior, solver, max_iter=3000, tol=1e-6).state.k)
    assert counts[0] < 0.8 * counts[1]


# ---- Krylov ----------------------------------------------------------------------------------------------------------

REF = np.pad(REFERENCE, ((2, 2), (3, 3)))
GRADIENT = linops.gradient((16, 16))
# name: prior, the further rows of the matrix, and of the right-hand side
STACKS = {
    "zero": (None, np.zeros((0, 256)), np.zeros(0)),
    "tikhonov": (0.05 * pi.Tikhonov(), 0.05**0.5 * np.eye(256), np.zeros(256)),
    "reference": (0.2 * pi.Tikhonov(REF), 0.2**0.5 * np.eye(256), 0.2**0.5 * REF.ravel()),
    "operator": (0.05 * pi.Tikhonov() @ GRADIENT, 0.05**0.5 * G, np.zeros(512)),
    "quadratic": (0.3 * pi.Quadratic(GRADIENT, REF), 0.3**0.5 * G, 0.3**0.5 * G @ REF.ravel()),
    "sum": (2 * (0.1 * pi.Tikhonov(REF) + 0.05 * pi.Tikhonov() @ GRADIENT + pi.Zero()),
            np.vstack([0.2**0.5 * np.eye(256), 0.1**0.5 * G]), np.r_[0.2**0.5 * REF.ravel(), np.zeros(512)]),
}


@pytest.mark.parametrize("start", ["zeros", "x0"])
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(("solver", "scipys", "word"), [
    (pi.LSQR(), scipy_linalg.lsqr, "iter_lim"), (pi.LSMR(), scipy_linalg.lsmr, "maxiter")], ids=["lsqr", "lsmr"])
def test_every_iterate_is_scipys(solver, scipys, word, stack, start, rng):
    prior, rows, values = STACKS[stack]
    B, b = np.vstack([M, rows]), np.concatenate([Y.ravel(), values])
    x0 = testing.random((16, 16), rng, "complex128") if start == "x0" else None
    residuals = pi.solve(A, Y, prior, solver, x0=x0, max_iter=12, tol=0).history
    for k, x in enumerate(images(solver, pi.Problem(A, Y, prior), 12, x0), 1):
        theirs = scipys(B, b, atol=0, btol=0, conlim=0, x0=None if x0 is None else x0.ravel(), **{word: k})[0]
        assert distance(x.ravel(), theirs) < 1e-10
        exact = np.linalg.norm(B.conj().T @ (b - B @ theirs)) / np.linalg.norm(B.conj().T @ b)
        assert residuals[k - 1]["residual"] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("solver", [pi.LSQR(), pi.LSMR(), pi.GMRES(), pi.GMRES(restart=5)], ids=str)
@pytest.mark.parametrize("stack", STACKS)
def test_krylov_solvers_reach_the_dense_solution_and_stay(solver, stack):
    prior, rows, values = STACKS[stack]
    exact = np.linalg.lstsq(np.vstack([M, rows]), np.concatenate([Y.ravel(), values]), rcond=None)[0]
    for tol in (1e-10, 0):  # and long after
        x = pi.solve(A, Y, prior, solver, max_iter=30 if isinstance(solver, pi.GMRES) else 300, tol=tol).x
        assert distance(x.ravel(), exact) < 1e-6


@pytest.mark.parametrize("kind", ["random", "off-resonance", "motion", "shift"])
@pytest.mark.parametrize("restart", [7, 20, 64])
def test_gmres_on_a_square_system_is_scipys(kind, restart, rng):
    C, y = matrix(kind, rng), testing.random((8, 8), rng, "complex128")
    for cycles in (1, 3):
        ours = pi.solve(Matrix(C), y, None, pi.GMRES(restart=restart), max_iter=cycles, tol=0)
        theirs = scipy_linalg.gmres(C, y.ravel(), rtol=0, atol=0, restart=restart, maxiter=cycles)[0]
        assert np.linalg.norm(ours.x.ravel() - theirs) < 1e-10 * np.linalg.norm(y)
        left = np.linalg.norm(y.ravel() - C @ ours.x.ravel()) / np.linalg.norm(y)
        assert ours.history[-1]["residual"] == pytest.approx(left, rel=1e-6, abs=1e-12)


def test_gmres_on_the_normal_equations_is_scipys():
    H = NORMAL + 0.05 * np.eye(256)
    for cycles in (1, 2):
        x = pi.solve(A, Y, 0.05 * pi.Tikhonov(), pi.GMRES(restart=6), max_iter=cycles, tol=0).x
        theirs = scipy_linalg.gmres(H, RHS, rtol=0, atol=0, restart=6, maxiter=cycles)[0]
        assert distance(x.ravel(), theirs) < 1e-10


@pytest.mark.parametrize("rank", [0, 1, 40, 63])
def test_gmres_on_a_singular_system_stays_finite_and_says_so(rank, rng):
    U = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    C = U[:, :rank] @ np.diag(np.linspace(1, 2, rank)) @ U[:, :rank].T
    run = pi.solve(Matrix(C), testing.random((8, 8), rng, "complex128"), None, pi.GMRES(), max_iter=4, tol=1e-8)
    assert run.status == "max_iter"
    assert np.isfinite(run.x).all()
    assert 0 < run.history[-1]["residual"] <= 1


def test_lsqr_keeps_digits_that_the_normal_equations_lose(rng):
    """Singular values from 1 to 1e-2 in single precision: the error goes with their ratio, and with its square."""
    U, V = (np.linalg.qr(rng.standard_normal((64, 64)))[0] for _ in range(2))
    C, x = U @ np.diag(np.geomspace(1, 1e-2, 64)) @ V, testing.random((8, 8), rng, "complex128")
    y = (C @ x.ravel()).reshape(8, 8).astype("complex64")
    errors = {type(s): distance(pi.solve(Matrix(C), y, None, s, max_iter=600, tol=0).x, x)
              for s in (pi.LSQR(), pi.LSMR(), pi.CG())}
    assert max(errors[pi.LSQR], errors[pi.LSMR]) < 0.1 * errors[pi.CG]


# ---- what holds for all ----------------------------------------------------------------------------------------------

RED = 0.2 * pi.RED(quadratic_denoiser, sigma=0.5)
NEW = [(pi.POGM(), 0.05 * pi.Wavelet("haar", 1)), (pi.FISTA(backtracking=True), 0.05 * pi.Wavelet("haar", 1)),
       (pi.FISTA(backtracking=True), 0.1 * pi.TV(delta=0.1)), (pi.DataProx(inner=3), 0.1 * pi.Tikhonov()),
       (pi.LSQR(), 0.1 * pi.Tikhonov()), (pi.LSMR(), 0.1 * pi.Tikhonov()), (pi.GMRES(restart=3), 0.1 * pi.Tikhonov())]


@pytest.mark.parametrize(("solver", "prior"), NEW, ids=str)
def test_gradients_through_three_steps(solver, prior, rng):
    small = linops.sense(maps(2, 4, 4), np.array([1, 1, 0, 1])[:, None])
    y = torch.from_numpy(small(testing.random((4, 4), rng, "complex128"))).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: images(solver, pi.Problem(small, y, prior), 3)[-1], (y,), atol=1e-5)


@pytest.mark.parametrize(("solver", "prior"), NEW, ids=str)
def test_single_precision_and_resuming_of_each(solver, prior):
    A32, y32 = linops.sense(A.mps.astype("complex64"), np.asarray(A.weight) > 0), Y.astype("complex64")
    problem = pi.Problem(A32, y32, prior)
    testing.check_resume(solver, problem)
    state = next(iter(pi.iterate(solver, problem, state=pi.iterate(solver, problem).__next__())))
    for _ in range(3):
        state = solver.step(problem, state)
        arrays = [state.x, *(v for v in state.aux.values() if isinstance(v, np.ndarray))]
        assert {v.dtype for v in arrays} == {np.dtype("complex64")}
        assert all(isinstance(v, np.ndarray | np.generic | float) for v in state.aux.values())


PNP, COUPLED = pi.PnP(quadratic_denoiser, sigma=0.1), pi.PnP(quadratic_denoiser, lam=0.01)
REFUSED = {
    "pogm-pnp": (pi.POGM(), PNP, r"POGM varies its step.*take FISTA\(\) or ADMM\(\)"),
    "pogm-pnp-behind-unitary": (pi.POGM(), PNP @ linops.fft((16, 16)), "POGM varies its step"),
    "backtracking-pnp": (pi.FISTA(backtracking=True), PNP, "varies its step"),
    "pogm-step": (pi.POGM(step_size=1.5), WAVELET, "step_size 1.5 is above 1/L = 1"),
    "pogm-tv": (pi.POGM(), pi.TV() + pi.Wavelet(), r"take ADMM\(\) or PDHG\(\)"),
    "fista-step": (pi.FISTA(backtracking=True, step_size=-1), WAVELET, "step_size must be > 0"),
    "dataprox-l1": (pi.DataProx(), WAVELET, r"needs a prior with a gradient.*take FISTA\(\)"),
    "dataprox-zero": (pi.DataProx(), None, r"needs a prior with a gradient.*CG\(\)"),
    "dataprox-rho": (pi.DataProx(rho=0.04), 0.1 * pi.Tikhonov(), r"rho 0.04 is below Lip\(grad g\) / 2 = 0.05"),
    "dataprox-inner": (pi.DataProx(inner=0), pi.Tikhonov(), "inner must be in 1"),
    "lsqr-l1": (pi.LSQR(), WAVELET, "LSQR needs a quadratic prior"),
    "lsmr-l1": (pi.LSMR(), WAVELET, "LSMR needs a quadratic prior"),
    "gmres-l1": (pi.GMRES(), WAVELET, "GMRES needs a quadratic prior"),
    "gmres-restart": (pi.GMRES(restart=0), None, "restart must be in 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_name(case):
    solver, prior, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as error:
        pi.solve(A, Y, prior, solver)
    assert "\n" not in str(error.value)


def test_a_quadratic_prior_of_ones_own_is_for_cg():
    class Own(pi.Prior):
        has_grad = quadratic = True
        lipschitz = 1.0

        def grad(self, x):
            return 1 * x

    with pytest.raises(ValueError, match=r"LSQR needs a sum of squares such as Tikhonov.*take CG\(\)"):
        pi.solve(A, Y, Own(), pi.LSQR())


def test_pogm_takes_a_denoiser_whose_strength_follows_the_step():
    """The denoiser is a prox, of sigma^2/2 |grad x|^2: with the coupled form the minimum is the dense one."""
    exact = np.linalg.solve(NORMAL + 0.01 * G.T @ G, RHS).reshape(16, 16)
    for solver in (pi.POGM(), pi.FISTA(backtracking=True)):
        assert distance(pi.solve(A, Y, COUPLED, solver, max_iter=3000, tol=1e-10).x, exact) < 1e-6
