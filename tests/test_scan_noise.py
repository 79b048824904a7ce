"""The noise of a scan, and plug-and-play that takes its level from it."""

import dataclasses
import itertools

import numpy as np
import pytest
from cases import quadratic_denoiser

import pisolve as pi
from pisolve.cli.main import main
from pisolve.cli.recipe import make_prior
from pisolve.prepare import models_of
from pisolve.recipe import automatic


def scan_of(noise, coils=4, seed=0, size=(64, 56)):
    brain = pi.phantom.brain(size, coils)
    clean = pi.backend.fft(brain.mps * brain.image, (-2, -1))  # of these pixels and maps
    white = np.random.default_rng(seed).standard_normal((2, *clean.shape))
    full = pi.io.Scan((clean + noise * (white[0] + 1j * white[1])).astype(np.complex64))
    return full.undersample(pi.masks.random(size, 2, seed=1))


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_the_noise_is_that_which_was_added(noise):
    scan = scan_of(noise, size=(128, 120))
    found = pi.scan_noise(scan)
    assert found.by == "residual"
    assert found.sigma == pytest.approx(noise, rel=0.05)
    again = pi.scan_noise(dataclasses.replace(scan, kspace=7 * scan.kspace))
    assert again.sigma == pytest.approx(7 * found.sigma, rel=1e-3)
    assert again.scaled == pytest.approx(found.scaled, rel=1e-3)


def test_noise_samples_say_it_where_there_are_some():
    rng = np.random.default_rng(3)
    samples = 0.05 * rng.standard_normal((4, 4000, 2)).view(complex)[..., 0]
    found = pi.scan_noise(dataclasses.replace(scan_of(0.02), noise=samples.astype(np.complex64)))
    assert found.by == "noise samples"
    assert found.sigma == pytest.approx(0.05, rel=0.02)


def test_one_coil_is_judged_by_outer_k_space():
    found = pi.scan_noise(scan_of(0.03, coils=1))
    assert found.by == "outer k-space"
    assert found.sigma * 1.05 > 0.03


def test_the_level_rises_with_the_noise():
    chosen = [automatic.level(s) for s in (0, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)]
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(chosen))
    assert chosen[0][0] > 0
    assert chosen[-1][0] > 3 * chosen[0][0]


def test_a_recipe_measures_and_then_holds_the_number(tmp_path):
    scan = scan_of(0.02)
    recipe = pi.Recipe(pi.PnP(quadratic_denoiser), max_iter=6)
    done = pi.recon(scan, pi.PnP(quadratic_denoiser), max_iter=6)
    sigma, rho = automatic.level(pi.scan_noise(scan).scaled)
    assert done.recipe.prior.sigma == pytest.approx(sigma)
    assert done.recipe.solver.rho == pytest.approx(rho)
    assert done.recipe.max_iter == done.recipe.solver.iterations == 6
    assert done.recipe.solver.ratio == pytest.approx((0.25 / sigma) ** 2)
    assert np.array_equal(done.recipe(scan).x, done.x)
    assert np.array_equal(recipe(scan).x, done.x)
    noisier = pi.recon(scan_of(0.1), pi.PnP(quadratic_denoiser), max_iter=2)
    assert noisier.recipe.prior.sigma > done.recipe.prior.sigma


def test_a_solver_of_ones_own_keeps_its_settings_and_sums_are_reached():
    solver = pi.ADMM(rho=0.3)
    done = pi.recon(scan_of(0.05), pi.PnP(quadratic_denoiser, "auto") + 1e-3 * pi.TV(), solver, max_iter=2)
    assert done.recipe.solver == solver
    assert done.recipe.max_iter == 2
    first = done.recipe.prior.priors[0]
    assert first.sigma == pytest.approx(automatic.level(pi.scan_noise(scan_of(0.05)).scaled)[0])


def test_slices_share_one_level_which_a_part_alone_finds_too():
    scan = pi.Recipe().prepare(scan_of(0.03))
    two = pi.io.Scan(np.stack([scan.kspace] * 2), mask=scan.mask, mps=np.stack([scan.mps] * 2))
    done = pi.recon(two, pi.PnP(quadratic_denoiser), max_iter=3)
    assert len(done.results) == 2
    assert np.array_equal(done.x[0], done.x[1])
    models, scale = models_of(scan, each=("slice",))
    alone = pi.Recipe(pi.PnP(quadratic_denoiser), max_iter=3).solve(models[0], scale)  # without the scan around it
    assert alone.problem.prior.sigma == pytest.approx(done.recipe.prior.sigma, rel=1e-3)


def test_a_recipe_without_a_level_is_written_and_read(tmp_path):
    recipe = pi.Recipe(pi.PnP(pi.nets.load("denoiser-fast")))
    recipe.save(tmp_path / "r.json")
    again = pi.Recipe.load(tmp_path / "r.json")
    assert again.prior.auto
    assert again.prior.sigma == "auto"
    assert again.to_dict() == recipe.to_dict()


def test_what_cannot_be_chosen_says_so():
    A = pi.linops.identity((8, 8))
    y = np.ones((8, 8), complex)
    for solver in (None, pi.FISTA(), pi.ADMM(), pi.HQS()):
        with pytest.raises(ValueError, match="sigma is needed: solve does not know"):
            pi.solve(A, y, pi.PnP(quadratic_denoiser), solver)
    with pytest.raises(ValueError, match="sigma is needed"):
        pi.RED(quadratic_denoiser)
    with pytest.raises(TypeError, match="sigma must be"):
        pi.PnP(quadratic_denoiser, "automatic")
    with pytest.raises(ValueError, match="knows the level"):
        pi.PnP(pi.Denoiser(lambda x, sigma: x, level=0.1), "auto")
    assert pi.PnP(pi.Denoiser(lambda x, sigma: x, level=0.1)).sigma == 0.1


def test_the_command_line_knows_the_word(tmp_path):
    scan = scan_of(0.03)
    pi.io.save(tmp_path / "scan.npy", scan.kspace)
    words = [str(tmp_path / "scan.npy"), "-o", str(tmp_path / "x.h5"), "--max-iter", "2"]
    assert main(["recon", *words, "--prior", "pnp", "--sigma", "noise"]) == 0
    recipe = pi.Recipe.load(tmp_path / "x.h5")
    assert recipe.max_iter == recipe.solver.iterations == 2
    assert recipe.prior.sigma == pytest.approx(automatic.level(pi.scan_noise(scan).scaled)[0], rel=1e-3)
    with pytest.raises(ValueError, match="--sigma noise is for pnp"):
        make_prior("red", sigma="noise")
