"""What an error tells to type works: every hint of every solver that refuses a prior is followed."""

import re

import numpy as np
import pytest
from cases import OBJECTIVES, quadratic_denoiser, toy

import pisolve as pi
from pisolve.testing import distance

A, Y = toy()


class Unknown(pi.TV):
    """A gradient whose Lipschitz constant is not known."""

    lipschitz = np.inf

    def __init__(self):
        super().__init__(delta=0.05)


GRADIENT = pi.RED(pi.nets.load("denoiser-gradient"), sigma=0.1)
PRIORS = OBJECTIVES | {
    "pnp": pi.PnP(quadratic_denoiser, sigma=0.1), "red": 0.2 * pi.RED(quadratic_denoiser, sigma=0.5),
    "tv+pnp": 0.01 * pi.TV() + pi.PnP(quadratic_denoiser, sigma=0.1),
    "tv+red": 0.01 * pi.TV() + 0.2 * pi.RED(quadratic_denoiser, sigma=0.5),
    "wavelet+tv+red": 0.01 * pi.TV() + 0.01 * pi.Wavelet("db2") + 0.2 * pi.RED(quadratic_denoiser, sigma=0.5),
    "gradient red": 0.2 * GRADIENT, "tv+gradient red": 0.01 * pi.TV() + 0.2 * GRADIENT,
    "unknown": 0.01 * Unknown(), "unknown+wavelet": 0.01 * Unknown() + 0.01 * pi.Wavelet("db2"),
    "own quadratic": type("Own", (pi.Prior,), {"has_grad": True, "quadratic": True, "lipschitz": 1.0,
                                               "grad": lambda s, x: 1 * x, "prox": lambda s, x, t: x / (1 + t)})(),
}
SOLVERS = [pi.CG(), pi.LSQR(), pi.LSMR(), pi.GMRES(5), pi.GradientDescent(), pi.FISTA(), pi.FISTA(backtracking=True),
           pi.POGM(), pi.DataProx(), pi.ADMM(), pi.HQS(), pi.PDHG(), pi.Relaxed(pi.CG())]


def refused(prior, solver) -> str:
    """What a solver says to a prior that it does not take; "" where it does."""
    try:
        pi.solve(A, Y, prior, solver, max_iter=1)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", PRIORS)
def test_every_hint_leads_to_something_that_works(name):
    followed = 0
    for solver in SOLVERS:
        said = refused(PRIORS[name], solver)
        taken = re.findall(r"(?:pi\.)?([A-Z]\w+\([^()]*\))", said.partition("take ")[2])
        assert taken or not said, f"{solver}: {said}"
        for text in taken:
            assert pi.solve(A, Y, PRIORS[name], eval(f"pi.{text}"), max_iter=2).ok, f"{solver}: {said}"
            followed += 1
    assert followed or name in ("tikhonov", "tikhonov-gradient")


def test_two_priors_without_a_prox_are_refused_without_a_false_hint():
    prior = 0.01 * pi.TV() + 0.01 * pi.Wavelet("db2") + 0.2 * GRADIENT
    for solver in (*SOLVERS[:-1], None):
        with pytest.raises(ValueError, match="no solver takes it"):
            pi.solve(A, Y, prior, solver)


def test_a_sum_with_red_goes_by_its_gradient():
    """ADMM's prox of RED takes up to 20 denoisings a step; POGM takes one, to the same image."""
    prior = 0.02 * pi.TV() + 0.3 * pi.RED(quadratic_denoiser, sigma=0.5)
    run = pi.solve(A, Y, prior, max_iter=400, tol=1e-8)
    assert isinstance(run.solver, pi.POGM)
    assert distance(pi.solve(A, Y, prior, pi.ADMM(), max_iter=400, tol=1e-8).x, run.x) < 2e-3
    spinning = 0.02 * pi.Wavelet("db2", shifts=4) + 0.3 * pi.RED(quadratic_denoiser, sigma=0.5)
    assert isinstance(pi.solvers.choose(pi.Problem(A, Y, spinning)), pi.FISTA)
    pnp = 0.02 * pi.TV() + pi.PnP(quadratic_denoiser, sigma=0.1)
    assert isinstance(pi.solvers.choose(pi.Problem(A, Y, pnp)), pi.ADMM)
