"""The contract tables on cupy arrays, where a GPU is there."""

import pytest
from cases import LINOPS, PRIORS, prior_shape, toy

import pisolve as pi
from pisolve import linops, testing

cupy = pytest.importorskip("cupy", reason="cupy is not installed: pip install 'pisolve[gpu]' on a machine with a GPU")
if not cupy.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)

MADE_OF_ARRAYS = [name for name in LINOPS if name.startswith("sense") or name == "composed"]


@pytest.mark.parametrize("name", [name for name in LINOPS if name not in MADE_OF_ARRAYS])
def test_linops_on_the_gpu(name):
    testing.check_linop(LINOPS[name]("complex64"), like=cupy.zeros(1))


@pytest.mark.parametrize("name", MADE_OF_ARRAYS[:-1])
def test_sense_on_the_gpu(name):
    A = LINOPS[name]("complex64")
    B = linops.sense(cupy.asarray(A.mps), None if A.weight is None else cupy.asarray(A.weight > 0))
    testing.check_linop(B, like=cupy.zeros(1))


@pytest.mark.parametrize("name", PRIORS)
def test_priors_give_numpys_values(name, rng):
    x = testing.random(prior_shape(name), rng, "complex128")
    prior = PRIORS[name]
    if prior.has_prox or prior.slow_prox:
        assert testing.distance(prior.prox(cupy.asarray(x), 0.3), prior.prox(x, 0.3)) < 1e-10


@pytest.mark.parametrize("solver", [pi.CG(), pi.FISTA(), pi.ADMM(), pi.PDHG(), pi.HQS(), pi.GradientDescent()])
def test_solvers_give_numpys_image(solver):
    A, y = toy()
    B = linops.sense(cupy.asarray(A.mps), cupy.asarray(A.weight > 0))
    ours = pi.solve(B, cupy.asarray(y), 0.05 * pi.Tikhonov(), solver, max_iter=6, tol=0).x
    assert testing.distance(ours, pi.solve(A, y, 0.05 * pi.Tikhonov(), solver, max_iter=6, tol=0).x) < 1e-8
