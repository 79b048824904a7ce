"""PDHG: the accelerated form against its paper, its speed, and where it stays plain."""

from itertools import pairwise

import numpy as np
import pytest
from cases import quadratic_denoiser, toy

import pisolve as pi
from pisolve import linops, testing
from pisolve.testing import distance

A, Y = toy()
TV = 0.02 * pi.TV()


def states(solver, problem, n):
    found = pi.iterate(solver, problem)
    return [next(found) for _ in range(n + 1)]


def test_it_is_the_papers_algorithm():
    """Chen, Lan and Ouyang (2014), algorithm 2: (2.6) to (2.11), with beta_t = (t + 1)/2 and theta_t = (t - 1)/t."""
    problem = pi.Problem(A, Y, TV)
    ours = states(pi.PDHG(restart=False), problem, 25)
    G, L, r = linops.gradient((16, 16)), problem.lipschitz, ours[0].aux["r"]
    x = ag = bar = problem.start()
    p, norm = 0 * G(x), 8**0.5
    for t, state in enumerate(ours[1:], 1):
        beta, eta, tau = (t + 1) / 2, t / (2 * L + t * norm * r), r / norm
        md = (1 - 1 / beta) * ag + x / beta
        q = p + tau * G(bar)
        p = q / np.maximum(1, np.sqrt((abs(q) ** 2).sum(0)) / 0.02)  # the ball of TV's dual
        new = x - eta * (A.N(md) - A.H(Y) + G.H(p))
        ag = (1 - 1 / beta) * ag + new / beta
        bar, x = t / (t + 1) * (new - x) + new, new
        assert distance(state.x, ag) < 1e-10


def test_the_norm_of_the_split_is_computed_once(monkeypatch):
    """TGV's and a sum's have none in closed form: thirty steps of Lanczos are the price of many of PDHG's."""
    asked, real = [], pi.linops.opnorm
    monkeypatch.setattr("pisolve.problem.opnorm", lambda A, **k: asked.append(A) or real(A, **k))
    for prior in (0.02 * pi.TGV(), TV + 0.01 * pi.Wavelet("haar")):
        problem = pi.Problem(A, Y, prior)
        states(pi.PDHG(), problem, 6)
        assert sum(G is problem.splitting.linop for G in asked) == 1


@pytest.fixture(scope="module")
def brain():
    shape = (64, 64)
    scene, mask = pi.phantom.brain(shape, 6, noise=0.02), pi.masks.random(shape, accel=3, seed=1)
    return linops.sense(scene.mps / np.sqrt((abs(scene.mps) ** 2).sum(0)), mask), scene.kspace * mask


def steps(solver, problem, exact, goal, most=700):
    for state in pi.iterate(solver, problem):
        if distance(state.x, exact) <= goal or state.k >= most:
            return state.k


@pytest.mark.parametrize("prior", [0.01 * pi.TV(), 1e-3 * pi.Wavelet(), 5e-4 * pi.TV() + 1e-3 * pi.Wavelet()], ids=repr)
def test_it_takes_less_than_half_of_the_plain_forms_iterations(prior, brain):
    problem = pi.Problem(*brain, prior)
    exact = pi.solve(*brain, prior, pi.ADMM(inner=20), max_iter=300, tol=0).x
    quick, plain = (steps(s, problem, exact, 1e-2) for s in (pi.PDHG(), pi.PDHG(accelerate=False)))
    assert quick < 0.5 * plain


def test_the_restart_pays_in_the_end(brain):
    problem = pi.Problem(*brain, 0.01 * pi.Wavelet())
    exact = pi.solve(*brain, problem.prior, max_iter=1500, tol=0).x
    assert steps(pi.PDHG(), problem, exact, 1e-4) < 0.8 * steps(pi.PDHG(restart=False), problem, exact, 1e-4)


def test_the_balance_does_not_depend_on_units():
    one = states(pi.PDHG(), pi.Problem(A, Y, TV), 30)[-1]
    other = states(pi.PDHG(), pi.Problem(A, 1000 * Y, 1000 * TV), 30)[-1]
    assert distance(other.x / 1000, one.x) < 1e-8


def test_denoisers_given_steps_and_spinning_stay_plain():
    pnp, spinning = pi.PnP(quadratic_denoiser, sigma=0.1), 0.02 * pi.Wavelet("db2", shifts=4)
    for solver, prior in ((pi.PDHG(), pnp), (pi.PDHG(), spinning), (pi.PDHG(), 0.02 * pi.L1MinusL2()),
                          (pi.PDHG(sigma=0.1), TV), (pi.PDHG(tau=0.1), TV), (pi.PDHG(accelerate=False), TV)):
        assert set(solver.init(pi.Problem(A, Y, prior)).aux) == {"x", "p", "tau", "sigma"}
    for solver, prior in ((pi.PDHG(accelerate=True), pnp), (pi.PDHG(sigma=0.1, accelerate=True), TV)):
        with pytest.raises(ValueError, match=r"accelerate=True chooses sigma and tau.*leave it out"):
            pi.solve(A, Y, prior, solver)


def test_single_precision_is_kept_and_a_run_resumes_over_a_restart():
    A32, y32 = linops.sense(A.mps.astype("complex64"), np.asarray(A.weight) > 0), Y.astype("complex64")
    problem = pi.Problem(A32, y32, TV)
    found = states(pi.PDHG(), problem, 80)
    assert any(b.aux["t"] < a.aux["t"] for a, b in pairwise(found))
    for state in found[1:]:
        assert {v.dtype for v in state.aux.values() if isinstance(v, np.ndarray)} == {np.dtype("complex64")}
    testing.check_resume(pi.PDHG(), problem, steps=80)
