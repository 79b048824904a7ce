"""PDHG: the accelerated form and the line search against their papers, their speed, and where it stays plain."""

from itertools import pairwise

import numpy as np
import pytest
import sigpy
from cases import quadratic_denoiser, toy

import pisolve as pi
from pisolve import linops, testing
from pisolve.testing import distance

A, Y = toy()
TV = 0.02 * pi.TV()
SEARCH = pi.PDHG(backtracking=True)


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


def test_the_line_search_is_the_papers():
    """Malitsky and Pock (2018), section 4, for min_X max_Y <K X, Y> + f*(X) - h(Y): K = -G^H, X our p, Y our x."""
    problem = pi.Problem(A, Y, TV)
    ours = states(SEARCH, problem, 25)
    G, first = linops.gradient((16, 16)), ours[0].aux
    tau, beta, theta = first["sigma"], first["tau"] / first["sigma"], 1.0
    x = problem.start()
    p = 0 * G(x)
    tries = 0
    for state in ours[1:]:
        q = p + tau * G(x)
        p_new, last = q / np.maximum(1, np.sqrt((abs(q) ** 2).sum(0)) / 0.02), tau
        tau = last * min((1 + theta) ** 0.5, 1.1)
        while True:
            theta, tries = tau / last, tries + 1
            new = x - beta * tau * (G.H(p_new + theta * (p_new - p)) + A.N(x) - A.H(Y))
            d = new - x
            if tau**2 * beta * np.linalg.norm(G(d)) ** 2 + tau * beta * np.linalg.norm(A(d)) ** 2 <= (
                    0.99 * np.linalg.norm(d) ** 2):
                break
            tau *= 0.7
        x, p = new, p_new
        assert distance(state.x, x) < 1e-10
    assert tries > 25  # some trials were too long


def test_the_line_search_does_not_depend_on_units():
    one = states(SEARCH, pi.Problem(A, Y, TV), 30)[-1]
    other = states(SEARCH, pi.Problem(A, 1000 * Y, 1000 * TV), 30)[-1]
    assert distance(other.x / 1000, one.x) < 1e-8


def test_a_trial_is_all_that_the_line_search_costs():
    """One A^H A a trial, and no operator's norm is computed again."""
    problem, calls = pi.Problem(A, Y, TV), []
    normal = problem.normal
    problem.normal = lambda x: calls.append(1) or normal(x)
    found = states(SEARCH, problem, 60)
    thetas = [s.aux["theta"] for s in found[1:]]
    least = [min((1 + t) ** 0.5, 1.1) for t in (1.0, *thetas)]
    trials = [1 + round(np.log(now / first) / np.log(0.7)) for now, first in zip(thetas, least)]
    assert len(calls) == 1 + sum(trials)
    assert sum(trials) < 1.6 * 60


def test_the_norm_of_an_operator_is_found_once():
    """Of an operator made elsewhere it costs thirty applications, which the accelerated form took in every step."""
    calls = []

    class Counted(sigpy.linop.FFT):
        def _apply(self, x):
            calls.append(1)
            return super()._apply(x)

    problem = pi.Problem(A, Y, 0.02 * pi.L1() @ Counted((16, 16)))
    for solver in (pi.PDHG(), pi.PDHG(accelerate=False), SEARCH):
        states(solver, problem, 10)
    assert len(calls) < 31 + 3 * 2 * 11


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


def test_a_constraint_beside_it_leaves_admms_penalty_as_it_is(brain):
    """The first image violates the box, whose value is infinite: rho was L, and 400 iterations were not enough."""
    from pisolve.solvers.splitting import automatic_rho

    alone, both = (pi.Problem(*brain, prior) for prior in (1e-3 * pi.TV(), pi.Box(high=1.2) + 1e-3 * pi.TV()))
    x = alone.start()
    for high in (1.2, 0.01, 100.0):
        boxed = pi.Problem(*brain, pi.Box(high=high) + 1e-3 * pi.TV())
        assert automatic_rho(boxed, boxed.splitting.G(x)) == pytest.approx(
            automatic_rho(alone, alone.splitting.G(x)), rel=1e-4)
    exact = pi.solve(*brain, both.prior, pi.PDHG(), max_iter=1500, tol=0).x
    assert steps(pi.ADMM(), both, exact, 5e-3) < 60


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
    for word in ("accelerate", "backtracking"):
        for solver, prior in ((pi.PDHG(**{word: True}), pnp), (pi.PDHG(sigma=0.1, **{word: True}), TV),
                              (pi.PDHG(tau=0.1, **{word: True}), TV)):
            with pytest.raises(ValueError, match=f"{word}=True chooses sigma and tau.*leave it out"):
                pi.solve(A, Y, prior, solver)
    with pytest.raises(ValueError, match="accelerate and backtracking are two forms of PDHG"):
        pi.solve(A, Y, TV, pi.PDHG(accelerate=True, backtracking=True))


def test_single_precision_is_kept_and_a_run_resumes_over_a_restart():
    A32, y32 = linops.sense(A.mps.astype("complex64"), np.asarray(A.weight) > 0), Y.astype("complex64")
    problem = pi.Problem(A32, y32, TV)
    found = states(pi.PDHG(), problem, 80)
    assert any(b.aux["t"] < a.aux["t"] for a, b in pairwise(found))
    for state in found[1:]:
        assert {v.dtype for v in state.aux.values() if isinstance(v, np.ndarray)} == {np.dtype("complex64")}
    testing.check_resume(pi.PDHG(), problem, steps=80)


def test_the_line_search_stands_rounding():
    """In complex64 the moves end in rounding errors, which tell no curvature: steps neither vanish nor grow."""
    A32, y32 = linops.sense(A.mps.astype("complex64"), np.asarray(A.weight) > 0), Y.astype("complex64")
    problem = pi.Problem(A32, y32, TV)
    found = states(SEARCH, problem, 1500)
    taus = [s.aux["tau"] for s in found[500:]]
    assert min(taus) > 0.1 * found[0].aux["tau"]
    assert max(taus) < 100 * found[0].aux["tau"]
    assert {v.dtype for v in found[-1].aux.values() if isinstance(v, np.ndarray)} == {np.dtype("complex64")}
    assert distance(found[-1].x, pi.solve(A, Y, TV, pi.ADMM(inner=50), max_iter=1000, tol=1e-8).x) < 1e-4
    testing.check_resume(SEARCH, problem, steps=40)
