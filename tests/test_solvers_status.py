"""A status means something: the distance to the solution, residuals that are recomputed, operators that lie."""

import warnings

import numpy as np
import pytest
import sigpy
import torch
from cases import toy

import pisolve as pi
from pisolve import linops
from pisolve.solvers import load_state, save_state
from pisolve.solvers.distance import FACTOR
from pisolve.testing import distance, random

TOL = 1e-4
SHAPE = (12, 10)


@pytest.fixture(scope="module")
def scene():
    """A badly conditioned scan, on which steps are small long before the solution."""
    shape = (32, 24)
    brain, mask = pi.phantom.brain(shape, 4, noise=0.02), pi.masks.random(shape, accel=2, seed=1)
    return linops.sense(brain.mps.astype(complex), mask), (brain.kspace * mask).astype(complex)


PRIORS = {"zero": pi.Zero(), "weak tikhonov": 1e-3 * pi.Tikhonov(), "tikhonov": 0.05 * pi.Tikhonov(),
          "weak wavelet": 5e-4 * pi.Wavelet(), "wavelet": 0.02 * pi.Wavelet(), "weak tv": 5e-4 * pi.TV(),
          "tv": 0.02 * pi.TV()}
SOLVERS = [pi.CG(), pi.LSQR(), pi.LSMR(), pi.GMRES(), pi.GradientDescent(), pi.FISTA(), pi.FISTA(momentum=False),
           pi.POGM(), pi.DataProx(), pi.ADMM(), pi.PDHG()]


@pytest.fixture(scope="module")
def solutions(scene):
    """Of the weak ones and plain least squares by a direct solution or a long run."""
    exact = {}
    for name, prior in PRIORS.items():
        solver = pi.CG() if prior.quadratic else pi.POGM() if name.endswith("wavelet") else pi.ADMM()
        exact[name] = pi.solve(*scene, prior, solver, max_iter=2000, tol=1e-8).x
    return exact


@pytest.mark.parametrize("name", PRIORS)
def test_converged_is_near_the_solution(name, scene, solutions):
    """Once 20 % away: ADMM with Zero, gradient descent, PDHG with weak Tikhonov."""
    claimed = 0
    for solver in SOLVERS:
        try:
            run = pi.solve(*scene, PRIORS[name], solver, max_iter=1000, tol=TOL)
        except ValueError:
            continue
        if run.status == "converged":
            claimed += 1
            assert distance(run.x, solutions[name]) < 2 * FACTOR * TOL, solver
            assert run.history[-1]["distance"] <= FACTOR * TOL
    assert claimed >= 3


def test_a_slow_method_goes_on_and_says_how_far_it_is(scene, solutions):
    run = pi.solve(*scene, pi.Zero(), pi.ADMM(), max_iter=1000, tol=TOL)
    assert run.status == "max_iter"
    assert run.history[-1]["residual"] <= TOL
    assert "no faster than 1/k" in run.report(show=False)["distance"]["how"]
    run = pi.solve(*scene, PRIORS["weak tikhonov"], pi.GradientDescent(), max_iter=4000, tol=TOL)
    assert run.status == "max_iter"
    true = distance(run.x, solutions["weak tikhonov"])
    told = run.report(show=False)["distance"]
    assert 0.5 * true < told["image"] < 3 * true
    assert "steps shrink by 0.99" in told["how"]


def test_the_report_says_what_it_does_not_know(scene):
    told = pi.solve(*scene, pi.Zero(), pi.ADMM(), max_iter=5, tol=0).report(show=False)["distance"]
    assert told["image"] is None
    assert "too few" in told["how"]
    told = pi.solve(*scene, None, x0=0 * pi.Problem(*scene).AHy, max_iter=3, tol=1e-4).report(show=False)["distance"]
    assert told["image"] is None or told["image"] > 1e-3


@pytest.mark.parametrize("solver", [pi.CG(), pi.LSMR(), pi.POGM(), pi.ADMM()], ids=lambda s: type(s).__name__)
def test_a_resumed_run_ends_where_a_whole_one_does(solver, tmp_path):
    A, y = toy()
    prior = 0.02 * pi.Tikhonov()
    whole = pi.solve(A, y, prior, solver, max_iter=500)
    assert whole.status == "converged"
    for cut in (1, whole.state.k // 2, whole.state.k - 1):
        half = pi.solve(A, y, prior, solver, max_iter=cut)
        save_state(tmp_path / "state.h5", half.state)
        rest = pi.solve(A, y, prior, solver, state=load_state(tmp_path / "state.h5"), max_iter=500)
        assert (rest.status, rest.state.k) == (whole.status, whole.state.k)
        np.testing.assert_array_equal(rest.x, whole.x)


def test_a_run_of_a_fixed_length_has_the_same_bits_whatever_tol_is_watched():
    A, y = toy()
    for solver in (pi.CG(), pi.FISTA(), pi.ADMM()):
        watched = pi.solve(A, y, 0.02 * pi.Tikhonov(), solver, max_iter=12, tol=1e-12).x
        np.testing.assert_array_equal(watched, pi.solve(A, y, 0.02 * pi.Tikhonov(), solver, max_iter=12, tol=0).x)


@pytest.mark.parametrize("solver", [pi.CG(), pi.LSQR(), pi.LSMR(), pi.GMRES()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("tol", [1e-5, 1e-6, 1e-8])
def test_the_residual_of_single_precision_is_the_true_one(solver, tol, scene):
    """The recurrence goes on falling where the image does not: at 1e-8 it was 1e-6."""
    A, y = scene
    A32, y32 = linops.sense(A.mps.astype("complex64"), np.asarray(A.weight) > 0), y.astype("complex64")
    run = pi.solve(A32, y32, 1e-2 * pi.Tikhonov(), solver, max_iter=400, tol=tol)
    x, b = run.x.astype(complex), A.H(y32.astype(complex))
    true = np.linalg.norm(b - A.N(x) - 1e-2 * x) / np.linalg.norm(b)
    if run.status == "converged":
        assert true <= 1.5 * tol
    if float(run.state.residual) <= tol:
        assert true < 3e-7 + 1.5 * tol
    if tol == 1e-5:
        assert run.status == "converged"


# ---- operators that are not ours -------------------------------------------------------------------------------------

class Wrong(sigpy.linop.Linop):
    """A diagonal whose adjoint forgets to conjugate."""

    def __init__(self, shape, rng):
        self.a = random(shape, rng, "complex128")
        super().__init__(shape, shape)

    def _apply(self, x):
        return self.a * x

    def _adjoint_linop(self):
        return sigpy.linop.Multiply(self.ishape, self.a)


@pytest.mark.parametrize("solver", [pi.CG(), pi.LSQR(), pi.GradientDescent(), pi.FISTA(), pi.POGM(), pi.ADMM(),
                                    pi.PDHG(), pi.HQS()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("most", [5, 20, 60])
def test_a_wrong_adjoint_is_told_and_never_ends_well(solver, most):
    rng = np.random.default_rng(0)
    A = Wrong(SHAPE, rng)
    y = A(random(SHAPE, rng, "complex128"))
    with pytest.warns(UserWarning, match=r"A.H.*differ by \d+.*check=False"):
        run = pi.solve(A, y, 0.01 * pi.Tikhonov(), solver, max_iter=most)
    assert run.status in ("diverged", "nonfinite")
    assert not run.ok


def test_a_large_but_right_image_is_not_called_diverged():
    """Hot spots make the image far larger than A^H y / L."""
    a = np.full(SHAPE, 0.01)
    a[0, 0] = 10
    A = sigpy.linop.Multiply(SHAPE, a)
    for solver in (pi.CG(), pi.LSQR(), pi.LSMR(), pi.GMRES()):
        run = pi.solve(A, A(np.ones(SHAPE, complex)), None, solver, x0=100 * np.ones(SHAPE, complex), max_iter=3)
        assert run.ok, solver


def test_a_wrong_normal_operator_is_told_with_what_works(rng):
    blocks = sigpy.linop.ArrayToBlocks(SHAPE, (4, 4), (2, 2))
    assert distance(blocks.N(np.ones(SHAPE, complex)), blocks.H(blocks(np.ones(SHAPE, complex)))) > 0.1  # SigPy's fault
    x = random(SHAPE, rng, "complex128")
    for prior, A in ((None, blocks), (0.1 * pi.Quadratic(blocks), linops.identity(SHAPE))):
        name = "A" if prior is None else "G"
        with pytest.warns(UserWarning, match=rf"operator {name} = .*`N` that is not.*off by \d+") as told:
            pi.solve(A, A(x), prior, max_iter=20)
        assert f"pi.linops.identity({name}.oshape) * {name}" in str(told[0].message)
    mended = linops.identity(blocks.oshape) * blocks
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert distance(pi.solve(mended, mended(x), None, max_iter=50, tol=1e-10).x, x) < 1e-8
        dense = np.linalg.solve(np.eye(120) + 0.1 * linops.dense(blocks).conj().T @ linops.dense(blocks), x.ravel())
        found = pi.solve(linops.identity(SHAPE), x, 0.1 * pi.Quadratic(mended), max_iter=50, tol=1e-10).x
        assert distance(found.ravel(), dense) < 1e-8
        pi.solve(blocks, blocks(x), None, max_iter=2, check=False)


def test_recipes_and_tuning_tell_it_once_and_take_check(tmp_path):
    """Of slices solved side by side, too; the hint of the message leads to silence."""
    from pisolve.testing import random as some

    shape = (32, 28)
    blocks = sigpy.linop.ArrayToBlocks(shape, (4, 4), (2, 2))
    brain, mask = pi.phantom.brain(shape, 4), pi.masks.random(shape, 2, seed=1)
    scan = pi.io.Scan(np.stack([brain.kspace * mask] * 3), mask, np.stack([brain.mps] * 3))
    prior = 0.1 * pi.Quadratic(blocks)
    tuned = {"strengths": (1e-3, 1e-2, 1e-1), "refine": 0, "max_iter": 3}
    for run in (lambda **k: pi.recon(scan, prior, max_iter=3, **k), lambda **k: pi.tune(scan, prior, **tuned, **k),
                lambda **k: pi.recon(scan, prior, tune="sure", max_iter=2, **k),
                lambda **k: pi.tune(pi.Problem(blocks, blocks(some(shape, np.random.default_rng(0), "complex64"))),
                                    pi.L1(), **tuned, **k)):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            run()
        (found,) = [w for w in told if "check=False" in str(w.message)]
        assert found.filename == __file__
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            run(check=False)
        assert not [w for w in told if "check=False" in str(w.message)]
    with pytest.raises(TypeError, match="check must be True or False"):
        pi.Recipe(check="no")
    assert "check" not in pi.Recipe().to_dict()
    pi.Recipe(check=False).save(tmp_path / "r.json")
    assert pi.Recipe.load(tmp_path / "r.json").check is False


@pytest.mark.parametrize("kind", ["numpy", "single", "torch"])
def test_right_operators_from_elsewhere_pass(kind, rng):
    coord = rng.uniform(-6, 6, (60, 2))
    right = [sigpy.linop.FFT(SHAPE), sigpy.linop.Resize((16, 8), SHAPE), sigpy.linop.Wavelet(SHAPE),
             sigpy.linop.NUFFT(SHAPE, coord), sigpy.linop.NUFFT(SHAPE, coord, toeplitz=True),
             linops.fft(SHAPE) * sigpy.linop.Circshift(SHAPE, (1, 0)), 3 * linops.gradient(SHAPE)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for A in right:
            y = A(random(SHAPE, rng, "complex128")).astype("complex64" if kind == "single" else "complex128")
            pi.solve(A, torch.from_numpy(y) if kind == "torch" else y, 0.1 * pi.Tikhonov(), max_iter=2)


def test_our_own_operators_are_not_probed(rng):
    from pisolve.solvers.probe import foreign

    ours = [linops.fft(SHAPE), linops.fft(SHAPE).H, linops.stack([linops.gradient(SHAPE), linops.wavelet(SHAPE)]),
            linops.fft(SHAPE) * linops.wavelet(SHAPE, "haar").H, toy()[0]]
    assert not any(map(foreign, ours))
    assert foreign(linops.stack([linops.gradient(SHAPE), sigpy.linop.FFT(SHAPE)]))
    assert foreign(Wrong(SHAPE, rng).H)
