"""Plug and play with ten denoisers, five of them expansive on purpose, in four solvers: finite, with a true status."""

import numpy as np
import pytest
from cases import quadratic_denoiser, toy

import pisolve as pi
from pisolve.solvers import Relaxed
from pisolve.testing import distance

A, Y = toy()
W = pi.linops.wavelet((16, 16), "haar", 2)


def sharpen(x, s):
    """Gain 3 in the highest frequencies."""
    return 3 * x - 2 * quadratic_denoiser(x, 2.0)


def swing(x, s):
    """Gain -1.3: a bare solver swings up."""
    return -1.3 * x


def grows_with_size(x, s):
    """Non-linear: harmless for small values, gain above 1 for large ones."""
    return x * (0.9 + 0.2 * abs(x))


def sharpen_later(x, s):
    """Denoises flat parts and doubles edges."""
    smooth = quadratic_denoiser(x, 1.0)
    return smooth + 2.5 * (x - smooth)


HEALTHY = {"identity": lambda x, s: x.copy(), "half": lambda x, s: 0.5 * x, "quadratic": quadratic_denoiser,
           "shrink": lambda x, s: W.H(pi.L1().prox(W(x), s)),
           "tv": lambda x, s: pi.TV().prox(x.astype("complex64"), s).astype(complex)}
EXPANSIVE = {"gain 1.5": lambda x, s: 1.5 * x, "sharpen": sharpen, "swing": swing, "edges": sharpen_later,
             "non-linear": grows_with_size}
SOLVERS = {"fista": pi.FISTA(), "admm": pi.ADMM(), "hqs": pi.HQS(), "pdhg": pi.PDHG()}
SIZE = float(np.linalg.norm(A.H(Y)))
RUNS = 80


def free_sizes(solver, prior):
    """The sizes of the images of the same run with nobody watching."""
    states = pi.iterate(solver, pi.Problem(A, Y, prior))
    with np.errstate(all="ignore"):
        return [float(np.linalg.norm(next(states).x)) for _ in range(RUNS + 1)]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("denoiser", {**HEALTHY, **EXPANSIVE})
def test_ends_finite_with_a_true_status(denoiser, solver):
    prior = pi.PnP({**HEALTHY, **EXPANSIVE}[denoiser], sigma=0.05)
    result = pi.solve(A, Y, prior, SOLVERS[solver], max_iter=RUNS, tol=1e-5)
    assert np.isfinite(result.x).all()
    assert np.linalg.norm(result.x) < 5 * SIZE
    sizes = free_sizes(SOLVERS[solver], prior)
    if denoiser in HEALTHY:
        assert result.status in ("converged", "max_iter")
        assert not isinstance(result.solver, Relaxed)
        assert max(sizes) < 5 * SIZE
    elif result.status == "diverged":  # a run that is given up must have been one that grows
        assert not sizes[-1] < 5 * SIZE
    elif isinstance(result.solver, Relaxed):  # one that was saved had to be saved, and says when
        assert not max(sizes) < 1.15 * sizes[0]
        assert any("relaxed" in entry for entry in result.history)
    if result.status == "converged":  # a fixed point of the solver's own step
        state = SOLVERS[solver].calm().step(result.problem, result.state)
        assert distance(state.x, result.x) < 1e-3


def test_a_swinging_denoiser_is_saved_by_averaged_steps():
    """D = -1.3 I in ADMM: the bare run grows without end, the relaxed one settles at the fixed point."""
    prior, solver = pi.PnP(swing, sigma=0.05), pi.FISTA(step_size=1.0)
    assert not free_sizes(solver, prior)[-1] < 100 * SIZE
    result = pi.solve(A, Y, prior, solver, max_iter=300, tol=1e-6)
    assert result.status == "converged"
    assert result.solver.weight < 1
    fixed = solver.calm().step(result.problem, result.state).x
    assert distance(fixed, result.x) < 1e-4
    again = pi.solve(A, Y, prior, result.solver, max_iter=300, tol=1e-6)
    assert distance(again.x, result.x) < 1e-4


@pytest.mark.parametrize("denoiser", ["nan", "nan later", "inf"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_denoiser_that_breaks_leaves_the_best_finite_image(denoiser, solver):
    calls = []

    def broken(x, s):
        calls.append(1)
        return x * (np.inf if denoiser == "inf" else np.nan) if denoiser != "nan later" or len(calls) > 5 else 0.9 * x

    result = pi.solve(A, Y, pi.PnP(broken, sigma=0.05), SOLVERS[solver], max_iter=20, tol=0)
    assert result.status == "nonfinite"
    assert np.isfinite(result.x).all()
    assert not result.ok


# ---- the report ------------------------------------------------------------------------------------------------------

def test_report_of_an_explicit_prior(capsys):
    import json

    result = pi.solve(A, Y, 0.02 * pi.Wavelet("db2"), pi.FISTA(), max_iter=2000, tol=1e-9)
    report = result.report(noise=0.02)
    assert "status" in capsys.readouterr().out
    assert json.loads(report.json())["status"] == "converged"
    assert report["objective"]["total"] == pytest.approx(result.problem.value(result.x))
    assert report["data_residual"] == pytest.approx(np.linalg.norm(A(result.x) - Y))
    assert 0.8 < report["data_to_noise"] < 1.2
    assert 0 <= report["gap"] < 1e-6
    assert report["fixed_point"] < 1e-6
    assert report["step"]["size"] <= report["step"]["limit"]
    assert report["provable"] is True
    assert report["denoiser"] is None


def test_the_gap_bounds_the_distance_to_the_minimum():
    prior = 0.02 * pi.Wavelet("db2")
    best = pi.solve(A, Y, prior, pi.FISTA(), max_iter=4000, tol=1e-11)
    least = best.problem.value(best.x)
    for k in (0, 3, 10, 30):
        x = pi.solve(A, Y, prior, pi.FISTA(), max_iter=k, tol=0).x
        above = best.problem.value(x) / least - 1
        assert above <= best.problem.gap(x) * best.problem.value(x) / least + 1e-9
    run = pi.solve(A, Y, prior, pi.FISTA(), max_iter=1000, gap=1e-3)
    assert run.status == "converged"
    assert best.problem.value(run.x) <= least * (1 + 1.01e-3)
    with pytest.raises(ValueError, match="gap needs a prior"):
        pi.solve(A, Y, 0.02 * pi.TV(), gap=1e-3)


@pytest.mark.parametrize(("name", "gain", "provable"), [("half", 0.5, None), ("gain 1.5", 1.5, False),
                                                        ("quadratic", 1.0, None), ("sharpen", 3.0, False)])
def test_report_measures_the_denoiser(name, gain, provable):
    prior = pi.PnP({**HEALTHY, **EXPANSIVE}[name], sigma=0.5)
    result = pi.solve(A, Y, prior, pi.ADMM(rho=1.0), max_iter=30, tol=0)
    report = result.report(show=False)
    assert report["objective"] is report["gap"] is None
    if result.ok:
        assert report["provable"] is provable
    assert 0.6 * gain <= report["denoiser"]["gain_D"] <= gain * (1 + 1e-3)
    assert str(report["why"])


def test_report_of_every_solver():
    for solver in (pi.CG(), pi.GradientDescent(), pi.FISTA(), pi.ADMM(), pi.PDHG(), pi.HQS()):
        report = pi.solve(A, Y, 0.05 * pi.Tikhonov(), solver, max_iter=5).report(show=False)
        assert report["iterations"] == 5 or report["status"] == "converged"
        assert report["objective"]["total"] > 0
        assert report["step"] is None or report["step"]["size"] <= report["step"]["limit"] * (1 + 1e-6)


# ---- what a review found ---------------------------------------------------------------------------------------------

G = pi.linops.gradient((16, 16))
NESTED = {
    "sum behind an operator": (0.02 * pi.TV() + 0.01 * pi.L1()) @ W + 0.01 * pi.TV(),
    "sum behind the identity": (0.02 * pi.TV() + 0.01 * pi.L1()) @ pi.linops.identity((16, 16)) + 0.01 * pi.L1(),
    "quadratic of a stack": 0.1 * pi.Quadratic(pi.linops.stack([G, W])) + 0.01 * pi.TV(),
    "l1 of a stack": 0.02 * pi.L1() @ pi.linops.stack([W, W]) + 0.01 * pi.TV(),
}


@pytest.mark.parametrize("name", NESTED)
def test_nested_sums_split_into_all_of_their_parts(name, rng):
    from pisolve.testing import random

    prior, x = NESTED[name], random((16, 16), rng, "complex128")
    f, K = prior.split((16, 16))
    assert f.value(K(x)) == pytest.approx(prior.value(x), rel=1e-12)
    problem = pi.Problem(A, Y, prior)
    runs = [pi.solve(A, Y, prior, s, max_iter=1500, tol=1e-7).x for s in (pi.ADMM(), pi.PDHG())]
    assert distance(*runs) < 1e-3
    assert problem.value(runs[0]) < problem.value(A.H(Y))


@pytest.mark.parametrize("solver", [pi.CG(), pi.LSQR(), pi.LSMR()])
def test_recurrences_are_not_averaged(solver):
    with pytest.raises(ValueError, match="build"):
        pi.solve(A, Y, 0.1 * pi.Tikhonov(), Relaxed(solver))


@pytest.mark.parametrize("k", range(3, 14))
def test_a_swinging_run_is_never_ok_in_the_middle_of_its_trouble(k):
    result = pi.solve(A, Y, pi.PnP(lambda x, s: -1.6 * x, sigma=0.1), pi.ADMM(), tol=0, max_iter=k)
    assert not result.ok or np.linalg.norm(result.x) < 1.2 * SIZE
    if any("relaxed" in h for h in result.history[-1:]):
        assert result.status == "diverged"


def test_factors_of_composed_priors(rng):
    from pisolve.testing import random

    x = random((16, 16), rng, "complex128")
    assert repr(1e-3 * pi.L1() @ G) == repr(1e-3 * (pi.L1() @ G))
    with pytest.raises(ValueError, match="sigma"):
        0.5 * (pi.PnP(HEALTHY["half"], sigma=0.1) @ W)
    np.testing.assert_array_equal((0 * pi.TGV()).prox(x, 1.0), x)
    np.testing.assert_array_equal((0 * pi.Box(high=0.1)).prox(x, 1.0), x)


def test_nan_in_a_low_rank_prox_is_a_status():
    series = pi.linops.sense(np.broadcast_to(A.mps, (3, *A.mps.shape)))
    y = series(np.ones((3, 16, 16), complex))
    for solver in (pi.ADMM(), pi.FISTA(), pi.PDHG()):
        calls = []

        class Broken(pi.Nuclear):
            def prox(self, x, step):
                calls.append(1)  # noqa: B023
                return super().prox(x * (np.nan if len(calls) > 3 else 1), step)  # noqa: B023

        result = pi.solve(series, y, Broken(), solver, max_iter=20, tol=0)
        assert result.status == "nonfinite"
        assert np.isfinite(result.x).all()


def test_callbacks_cannot_change_the_loops_own_entries():
    seen = []
    result = pi.solve(A, Y, 0.02 * pi.TV(), max_iter=5, tol=1e-9,
                      callbacks=[lambda p, s: seen.append(s.k) or {"residual": 0.0}])
    assert result.status == "max_iter"
    assert seen == [1, 2, 3, 4, 5]
    stopped = pi.solve(A, Y, 0.02 * pi.TV(), max_iter=5, callbacks=[lambda p, s: np.bool_(False)])
    assert stopped.status == "stopped"


@pytest.mark.parametrize(("solver", "prior", "provable"), [
    (pi.HQS(), 0.02 * pi.TV(), False), (pi.ADMM(), 0.02 * pi.TV(), True), (pi.FISTA(), 0.1 * pi.Tikhonov(), True),
    (pi.FISTA(), 0.02 * pi.Wavelet("db2", shifts=4), False), (pi.POGM(), 0.02 * pi.Wavelet("db2"), True),
    (pi.FISTA(backtracking=True), 0.02 * pi.Wavelet("db2"), True), (pi.GradientDescent(), pi.L1(delta=0.1), True),
    (pi.FISTA(step_size=1.9), 0.02 * pi.Wavelet("db2"), False),
    (pi.FISTA(step_size=1.9, momentum=False), 0.02 * pi.Wavelet("db2"), True)])
def test_provable_is_what_theory_says(solver, prior, provable):
    assert pi.solve(A, Y, prior, solver, max_iter=5).report(show=False)["provable"] is provable
