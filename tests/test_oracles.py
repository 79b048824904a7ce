"""Reconstructions against independent programs: SigPy's apps and BART."""

import numpy as np
import pytest
from conftest import data_path
from helpers import bart

import pisolve as pi
from pisolve import linops, testing
from pisolve.io import cfl
from pisolve.testing import distance


def sigpy_problem(shape=(8, 64, 48), seed=0):
    import sigpy
    import sigpy.mri

    rng = np.random.default_rng(seed)
    mps = sigpy.mri.birdcage_maps(shape).astype("complex64")
    mps /= np.sqrt((abs(mps) ** 2).sum(0))
    image = sigpy.shepp_logan(shape[1:]).astype("complex64")
    mask = rng.random((shape[1], 1)) < 0.4
    mask[shape[1] // 2 - 8:shape[1] // 2 + 8] = True
    op = linops.sense(mps, mask)
    y = op(image) + (0.01 * testing.random(op.oshape, rng)) * mask
    return op, mps, np.broadcast_to(mask, shape[1:]), y.astype("complex64"), image


@pytest.mark.parametrize(("lam", "dtype", "tol"), [
    (0.0, "complex128", 1e-10), (0.01, "complex128", 1e-10), (0.01, "complex64", 1e-5), (0.1, "complex64", 1e-5)])
def test_cg_sense_equals_sigpys(lam, dtype, tol):
    """Without regularisation, 30 steps in single precision differ by 2e-5 by their own rounding: double there."""
    import sigpy.mri

    op, mps, mask, y, _ = sigpy_problem()
    y, op = y.astype(dtype), linops.sense(mps.astype(dtype), mask)
    theirs = sigpy.mri.app.SenseRecon(y, mps.astype(dtype), lamda=lam, weights=mask.astype("float64"), max_iter=30,
                                      tol=0, show_pbar=False).run()
    ours = pi.solve(op, y, lam * pi.Tikhonov(), pi.CG(), max_iter=30, tol=0).x
    assert distance(ours, theirs) < tol


@pytest.mark.parametrize("lam", [2e-3, 1e-2])
def test_tv_reaches_a_lower_objective_than_sigpys(lam):
    import sigpy.mri

    op, mps, mask, y, image = sigpy_problem()
    theirs = sigpy.mri.app.TotalVariationRecon(y, mps, lam, weights=mask.astype("float32"), max_iter=3000,
                                               show_pbar=False).run()
    prior = lam * pi.TV(isotropic=False)
    ours = pi.solve(op, y, prior, max_iter=500, tol=1e-6).x
    problem = pi.Problem(op, y, prior)
    assert problem.value(ours) <= problem.value(theirs) * (1 + 1e-4)
    nrmse = [distance(x, image) for x in (ours, theirs)]
    assert abs(nrmse[0] / nrmse[1] - 1) < 0.01


def bart_pics(folder, y, mps, *options):
    """`bart pics` on the same data and maps, without its own scaling."""
    bart(folder, "pics", "-S", "-w1", *options, "y", "s", "x", y=y[:, None], s=mps[:, None])
    return cfl.read_image(folder / "x")


@pytest.mark.parametrize("lam", [0.01, 0.1])
def test_cg_sense_equals_barts(lam, tmp_path):
    op, mps, _, y, _ = sigpy_problem()
    theirs = bart_pics(tmp_path, y, mps, "-l2", f"-r{lam}", "-i100")
    ours = pi.solve(op, y, lam * pi.Tikhonov(), max_iter=200, tol=1e-6).x
    assert distance(ours, theirs) < 1e-3


def test_cg_sense_equals_barts_in_vivo(tmp_path):
    scan = pi.Recipe(sampling=pi.Sampling("random", 4, 0.125, 1)).prepare(
        data_path("kspace/invivo_brain_cimax_16ch.h5"))
    op, y = linops.sense(scan.mps[0], scan.mask), scan.kspace[0]
    theirs = bart_pics(tmp_path, y, scan.mps[0], "-l2", "-r0.01", "-i100")
    assert distance(pi.solve(op, y, 0.01 * pi.Tikhonov(), max_iter=200, tol=1e-6).x, theirs) < 1e-3


@pytest.mark.parametrize("lam", [2e-3, 1e-2])
def test_tv_objective_is_at_most_barts(lam, tmp_path):
    op, mps, _, y, _ = sigpy_problem()
    prior = lam * pi.TV()
    problem = pi.Problem(op, y, prior)
    theirs = bart_pics(tmp_path, y, mps, f"-RT:3:0:{lam}", "-i300", "-u0.1")
    assert problem.value(pi.solve(op, y, prior, max_iter=400, tol=1e-6).x) <= problem.value(theirs) * (1 + 1e-5)
