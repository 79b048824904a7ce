"""Recipes: the scaling law, slices, saving and rerunning, undersampling, every kind of input, a prospective scan."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import data_path

import pisolve as pi
from pisolve import io, linops, masks, metrics
from pisolve._words import TRAJECTORIES
from pisolve.prepare import Model
from pisolve.recipe import SAMPLINGS, Espirit, zero_filled_scale
from pisolve.testing import distance

SHAPE = (48, 40)
PHANTOM = pi.phantom.brain(SHAPE, 6, noise=0.01)
K = PHANTOM.kspace
M = masks.random(SHAPE, 2, 0.3, seed=1)
Y = K * M
TWO = np.stack([Y, pi.phantom.brain(SHAPE, 6, noise=0.01, anatomy=1, seed=1).kspace * M])
E = Espirit(calib_width=14, kernel_width=4)
WAVELET, TV = 5e-3 * pi.Wavelet(shifts=4), 5e-3 * pi.TV()
PRIORS = {"zero": pi.Zero(), "tikhonov": 0.01 * pi.Tikhonov(), "wavelet": WAVELET, "tv": TV, "sum": WAVELET + TV,
          "pnp": pi.PnP(lambda x, s: pi.L1().prox(x, s), sigma=0.01)}


def make(prior=WAVELET, **options):
    return pi.Recipe(prior, **{"maps": E, "max_iter": 12, **options})


# ---- scale -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("factor", [1e3, 1e-6, 1e-20, 1e20])
def test_the_image_scales_with_kspace(name, factor):
    """One lam, and a denoiser's sigma, carry: the same image, times the factor."""
    recipe = make(PRIORS[name])
    plain, scaled = recipe(Y), recipe((Y.astype("c16") * factor).astype("c8"))
    assert distance(scaled.x.astype("c16") / factor, plain.x) < 1e-5
    assert scaled.scale * factor == pytest.approx(plain.scale, rel=1e-5)
    assert scaled.status == plain.status
    assert scaled.x.dtype == np.complex64


def test_without_scaling_lam_would_not_carry():
    """The law is the recipe's doing: `solve` itself gives another image."""
    A = linops.sense(make().prepare(Y).mps, M)
    assert distance(pi.solve(A, 1000 * Y, WAVELET, max_iter=12).x / 1000, pi.solve(A, Y, WAVELET, max_iter=12).x) > 0.01


def test_the_scale_is_what_it_says():
    result = make()(TWO)
    operators = [linops.sense(mps, M) for mps in result.scan.mps]
    images = [abs(A.H(y * np.float32(result.scale))) for A, y in zip(operators, TWO)]
    assert np.percentile(images, 99) == pytest.approx(1, rel=1e-5)
    assert zero_filled_scale([Model(A, y) for A, y in zip(operators, TWO)]) == result.scale


def test_the_equation_is_solve_s():
    """Given maps and no scaling left to do, a recipe is one call of `solve`."""
    prepared = make().prepare(Y)
    A = linops.sense(prepared.mps, prepared.mask)
    scale = np.float32(zero_filled_scale([Model(A, Y)]))
    direct = pi.solve(A, Y * scale, WAVELET, max_iter=12)
    np.testing.assert_array_equal(make()(prepared).x, direct.x / scale)


# ---- slices, coils, kinds of input -----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", PRIORS)
def test_slices_are_solved_alike_one_by_one_or_together(name):
    together = make(PRIORS[name])(TWO)
    assert together.x.shape == (2, *SHAPE)
    for k, y in enumerate(TWO):
        A = linops.sense(together.scan.mps[k], M)
        alone = pi.solve(A, y * np.float32(together.scale), PRIORS[name], together.recipe.solver, max_iter=12)
        np.testing.assert_array_equal(together.x[k], alone.x / np.float32(together.scale))
    one = make(PRIORS[name])(TWO[:1])
    np.testing.assert_array_equal(one.x[0], make(PRIORS[name])(TWO[0]).x)


def test_the_worst_slice_gives_the_status():
    def bad(x, s):
        return np.float32(1.5) * x if abs(x).sum() < limit else pi.L1().prox(x, s)

    limit = 0
    calm = make(pi.PnP(bad, 0.01), solver=pi.ADMM(rho=1.0), max_iter=100)(TWO)
    quiet = np.array([1, 0.01], "f4")[:, None, None, None]
    limit = 0.5 * np.prod(SHAPE) * 0.2
    mixed = make(pi.PnP(bad, 0.01), solver=pi.ADMM(rho=1.0), max_iter=100)(TWO * quiet)
    assert calm.ok
    assert not mixed.ok
    assert mixed.status == "diverged" == mixed.results[1].status
    assert mixed.results[0].ok
    assert np.isfinite(mixed.x).all()


def test_path_array_and_scan_give_the_same_bits(tmp_path):
    scan = io.Scan(Y[None], mask=M)
    np.save(tmp_path / "scan.npy", Y)
    expected = make()(Y).x
    for given in (tmp_path / "scan.npy", str(tmp_path / "scan.npy"), io.Scan(Y), io.Scan(Y, mask=M), scan):
        np.testing.assert_array_equal(make()(given).x.reshape(SHAPE), expected)
    np.testing.assert_array_equal(pi.recon(Y, WAVELET, maps=E, max_iter=12).x, expected)
    np.testing.assert_array_equal(make()(torch.from_numpy(Y)).x, expected)


def test_given_maps_are_used_and_kspace_stays_as_it_was():
    kept, mps = Y.copy(), PHANTOM.mps / np.sqrt((abs(PHANTOM.mps) ** 2).sum(0))
    result = pi.recon(Y, WAVELET, mps=mps, max_iter=12)
    np.testing.assert_array_equal(result.scan.mps, mps)
    np.testing.assert_array_equal(Y, kept)
    assert distance(result.x, make()(Y).x) > 1e-3
    np.testing.assert_array_equal(pi.recon(io.Scan(Y, mps=mps), WAVELET, max_iter=12).x, result.x)


def test_a_single_coil_needs_no_calibration():
    one = pi.phantom.brain(SHAPE, 1, noise=0.01)
    result = make(pi.Zero())(one.kspace)
    assert distance(result.x, one.image) < 0.2
    assert (result.scan.mps == 1).all()
    np.testing.assert_allclose(abs(result.x), io.Scan(one.kspace).rss(), rtol=1e-3, atol=1e-4)


def test_data_outside_the_mask_is_ignored():
    assert distance(make()(io.Scan(K, mask=M)).x, make()(io.Scan(Y, mask=M)).x) < 1e-5


def test_better_than_zero_filled():
    """What it is for: with noise and half of the lines every regularised image beats the zero-filled one."""
    truth = io.Scan(pi.phantom.brain(SHAPE, 6).kspace).rss()
    zero_filled = metrics.nmse(truth, io.Scan(Y).rss())
    for name in ("wavelet", "tv", "tikhonov"):
        result = make(PRIORS[name], max_iter=60)(Y)
        inside = abs(result.scan.mps).sum(0) > 0
        assert metrics.nmse(truth, abs(result.x), region=inside) < 0.5 * zero_filled


# ---- undersampling ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mask", [m for m in SAMPLINGS if m not in ("vista", *TRAJECTORIES)])  # they have their own
def test_sampling_patterns(mask):
    shape = (128, 96)
    kspace = pi.phantom.brain(shape, 4).kspace
    sampling = pi.Sampling(mask, 2, seed=3)
    scan = sampling(io.Scan(kspace))
    own = {"poisson": (2,), "variable_density": (2,)}.get(mask, (2, None))
    np.testing.assert_array_equal(scan.mask, getattr(masks, mask)(shape, *own, seed=3))
    assert (scan.kspace[:, ~scan.mask] == 0).all()
    np.testing.assert_array_equal(scan.kspace[:, scan.mask], kspace[:, scan.mask])
    np.testing.assert_array_equal(scan.reference, io.Scan(kspace).rss())
    assert 1.5 < scan.mask.size / scan.mask.sum() < 2.6


def test_sampling_is_part_of_the_recipe():
    sampling = pi.Sampling("equispaced", 2, 0.3, seed=2)
    inside, before = make(sampling=sampling)(K), make()(sampling(io.Scan(K)))
    np.testing.assert_array_equal(inside.x, before.x)
    assert inside.scan.reference is not None
    other = make(sampling=replace(sampling, seed=5, mask="random"))(K)
    assert distance(other.x, inside.x) > 1e-4


def test_lines_run_along_the_scans_own_phase_axis():
    scan = pi.Sampling("random", 2, 0.3)(io.Scan(K, meta={"phase_axis": -1}))
    assert (scan.mask == scan.mask[:1]).all()
    assert not scan.mask.all()


# ---- saved and rerun -------------------------------------------------------------------------------------------------

SAVED = [
    make(), make(TV, solver=pi.ADMM(rho=0.3, inner=5, relaxation=1.2)), make(TV + WAVELET, solver=pi.PDHG(sigma=0.2)),
    make(0.01 * pi.Tikhonov(), solver=pi.CG(), name="a name"), make(pi.Zero()), make(2e-3 * pi.L1(), tol=1e-3),
    make(1e-3 * pi.TV(isotropic=False, boundary="neumann"), solver=pi.HQS(iterations=5)),
    make(sampling=pi.Sampling("equispaced", 2, 0.3, seed=2)), make(np.float32(0.003) * pi.Wavelet("sym4", 2)),
    make(solver=pi.FISTA(step_size=np.float32(0.7), momentum=False)), make(max_iter=np.int64(3)),
]


@pytest.mark.parametrize("recipe", SAVED)
def test_a_recipe_comes_back_from_json_and_gives_the_same_bits(recipe):
    text = json.dumps(recipe.to_dict(), allow_nan=False)
    again = pi.Recipe.from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    first = recipe(K)
    np.testing.assert_array_equal(again(K).x, first.x)
    rerun = pi.Recipe.from_dict(json.loads(json.dumps(first.recipe.to_dict())))  # with the solver that was chosen
    assert rerun.solver == first.results[0].solver
    np.testing.assert_array_equal(rerun(K).x, first.x)


def test_a_saved_image_holds_the_recipe_that_made_it(tmp_path):
    import h5py

    result = make(TV)(Y)
    result.save(tmp_path / "image.h5")
    with h5py.File(tmp_path / "image.h5") as file:
        held = json.loads(file.attrs["recipe"])
        np.testing.assert_array_equal(file["reconstruction"][...].reshape(SHAPE), result.x)
    np.testing.assert_array_equal(pi.Recipe.from_dict(held)(Y).x, result.x)


class Own(pi.L1):
    """A prior that no file can describe."""


@pytest.mark.parametrize("prior", [
    pi.PnP(lambda x, s: x, 0.1), 0.5 * pi.RED(np.conj, 0.1), Own(), Own() + pi.TV(), pi.L1() @ linops.fft(SHAPE),
    pi.Tikhonov(PHANTOM.image), type("TV", (pi.TV,), {})(),
])
def test_what_cannot_be_written_is_refused_when_written(prior):
    with pytest.raises(ValueError, match="cannot be written into a recipe"):
        make(prior).to_dict()


GOOD = make(TV).to_dict()


def scaled(**arguments):
    return {**GOOD, "prior": {"type": "Scaled", **arguments}}


@pytest.mark.parametrize(("d", "message"), [
    ("TV", "not a recipe"), (None, "not a recipe"), ([1], "not a recipe"), ({}, "unknown type None"),
    ({"type": "os.system", "command": "true"}, "unknown type 'os.system'"), ({"type": ["TV"]}, "unknown type"),
    ({"type": "TV"}, "describes a TV, not a recipe"), ({"type": "eval", "source": "1"}, "unknown type 'eval'"),
    ({**GOOD, "prior": {"type": "__import__", "name": "os"}}, "unknown type"), ({**GOOD, "more": 1}, "does not fit"),
    ({**GOOD, "prior": {"type": "CG"}}, "prior must be a prior"), ({**GOOD, "prior": "TV"}, "prior must be a prior"),
    ({**GOOD, "prior": {"type": "Prior"}}, "unknown type 'Prior'"), ({**GOOD, "solver": {"type": "Solver"}}, "unknown"),
    ({**GOOD, "tol": float("nan")}, "tol must be finite"), ({**GOOD, "max_iter": "9"}, "max_iter must be a whole"),
    ({**GOOD, "solver": {"type": "TV"}}, "solver must be a solver"), ({**GOOD, "maps": {}}, "unknown type None"),
    (scaled(lam=-1, prior={"type": "TV"}), "lam must be >= 0"), (scaled(lam="x", prior={"type": "TV"}), "lam must be"),
    (scaled(lam=1, prior="TV"), "prior must be a prior"), (scaled(lam=1), "does not fit"),
    ({**GOOD, "prior": {"type": "Sum", "priors": []}}, "list of priors"), (scaled(lam=None, prior=None), "must be"),
    ({**GOOD, "prior": {"type": "PnP", "denoiser": "eval", "sigma": 1}}, "denoiser must be"),
    ({**GOOD, "prior": {"type": "TV", "boundary": "x"}}, "boundary must be one of"),
    ({**GOOD, "prior": {"type": "Wavelet", "name": "foo"}}, "unknown wavelet"),
])
def test_a_description_that_is_none_is_refused(d, message):
    with pytest.raises(ValueError, match=message):
        pi.Recipe.from_dict(d)


def test_a_recipe_is_never_changed():
    recipe = make(TV)
    before = json.dumps(recipe.to_dict())
    result = recipe(Y)
    assert json.dumps(recipe.to_dict()) == before
    assert recipe.solver is None
    assert isinstance(result.recipe.solver, pi.ADMM)
    with pytest.raises(AttributeError):
        recipe.tol = 1


# ---- real scans ------------------------------------------------------------------------------------------------------

def test_a_prospective_scan_reconstructs_with_no_option_given():
    """No fully sampled truth: the image must hold its energy in one head-sized piece, and explain the data."""
    result = pi.recon(data_path("kspace/brain_sigpytut_8ch_undersampled.h5"))
    x, scan = result.x[0], result.scan
    assert result.ok
    assert np.isfinite(x).all()
    assert x.shape == (230, 180)
    head = metrics.body(abs(x))
    assert 0.35 < head.mean() < 0.75
    border = np.ones_like(head)
    border[8:-8, 8:-8] = False
    energy = abs(x) ** 2
    assert energy[head].sum() > 0.99 * energy.sum()
    assert energy[border].mean() < 0.01 * energy[head].mean()
    A = linops.sense(scan.mps[0], scan.mask)
    y = scan.kspace[0] * scan.mask
    assert np.linalg.norm(A(x) - y) < 0.1 * np.linalg.norm(y)
    assert distance(x, A.H(y)) > 0.1  # something was reconstructed


def test_a_single_coil_scan_undersamples_and_reconstructs():
    path = data_path("kspace/head_sag_1ch.h5")
    result = pi.recon(path, sampling=pi.Sampling("random", 2, 0.16), max_iter=40)
    assert result.ok
    reference = result.scan.reference
    zero_filled = result.scan.rss()
    assert metrics.nmse(reference, abs(result.x)) < metrics.nmse(reference, zero_filled)
