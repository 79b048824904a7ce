"""Choosing a strength: every score against its formula, the search, the noise level, units, recipes, bad input."""

import json
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

import pisolve as pi
from pisolve import io, linops, metrics, tuning
from pisolve.prepare import Espirit, models_of, prepare
from pisolve.testing import distance
from pisolve.tuning import scores
from pisolve.tuning.data import Data
from pisolve.tuning.search import minimise, root
from pisolve.tuning.strength import family

SHAPE, COILS, SIGMA = (48, 40), 6, 0.03
E = Espirit(calib_width=14, kernel_width=4)
PHANTOM = pi.phantom.brain(SHAPE, COILS, noise=SIGMA)
SCAN = prepare(io.Scan(PHANTOM.kspace), E, pi.Sampling("random", 2.5, 0.25, seed=1))
(MODEL,), SCALE = models_of(SCAN)
A, RAW = MODEL.A, MODEL.y
Y = RAW * np.float32(SCALE)
DATA = Data(pi.Problem(A, Y))
FEW = {"strengths": [1e-3, 3e-3, 1e-2, 3e-2], "refine": 1, "max_iter": 12}
RUN = (None, 12, 1e-4)


def shrink(x, s):
    """A denoiser that any level suits."""
    return pi.L1().prox(x, s)


@pytest.mark.parametrize("criterion", ["holdout", "sure", "reference", "discrepancy"])
def test_over_workers_it_has_the_same_bits(criterion):
    """In any order of completion; what is sent can be sent to another process."""
    scan = replace(SCAN, reference=PHANTOM.image) if criterion == "reference" else SCAN
    here = pi.tune(scan, pi.TV(), criterion=criterion, **FEW)
    with Sending(3) as mine:
        there = pi.tune(scan, pi.TV(), criterion=criterion, client=mine, **FEW)
    assert there.curve == here.curve
    assert (there.strength, there.status, there.noise) == (here.strength, here.status, here.noise)
    assert mine.sent >= len(here.curve) * (3 if criterion == "holdout" else 1)


class Sending(ThreadPoolExecutor):
    """Threads that get what another process would get."""

    sent = 0

    def submit(self, work, task):
        self.sent += 1
        return super().submit(*pickle.loads(pickle.dumps((work, task))))


# ---- noise level -----------------------------------------------------------------------------------------------------

def noise(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


@pytest.mark.parametrize(("shape", "dtype"), [((64, 64), "c16"), ((8, 128, 96), "c8"), ((2, 4, 63, 50), "c8")])
@pytest.mark.parametrize("sigma", [1e-6, 0.3, 1e5])
def test_noise_level_of_noise(shape, dtype, sigma):
    y = (sigma * noise(*shape)).astype(dtype)
    assert tuning.noise_level(y) == pytest.approx(sigma, rel=0.06)
    padded = np.zeros((*shape[:-2], shape[-2] + 20, shape[-1] + 10), dtype)
    padded[..., 10:-10, 5:-5] = y
    assert tuning.noise_level(padded) == pytest.approx(sigma, rel=0.08)  # the zeros of a border are no noise
    mask = pi.masks.random(shape[-2:], 3, seed=2)
    assert tuning.noise_level(y, mask) == pytest.approx(sigma, rel=0.1)
    assert tuning.noise_level(torch.from_numpy(y)) == tuning.noise_level(y)


def test_noise_level_sees_each_coil_and_not_single_bright_samples():
    levels = np.array([0.5, 1.0, 2.0])
    y = levels[:, None, None] * noise(3, 128, 128)
    assert tuning.noise_level(y) == pytest.approx(np.sqrt((levels**2).mean()), rel=0.03)
    y[:, ::9, ::9] += 1000
    assert tuning.noise_level(y) == pytest.approx(np.sqrt((levels**2).mean()), rel=0.05)


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("mask", ["random", "poisson"])
def test_the_residual_knows_the_noise_where_outer_kspace_holds_signal(sigma, mask):
    scan = prepare(io.Scan(pi.phantom.brain((96, 96), 8, noise=sigma).kspace), Espirit(), pi.Sampling(mask, 3, seed=6))
    (model,), _ = models_of(scan)
    B, y = model.A, model.y
    plain, better = tuning.noise_level(y, scan.mask), tuning.residual_noise(Data(pi.Problem(B, y)))
    assert min(plain, better) == pytest.approx(sigma, rel=0.12)  # what `tune` takes
    if sigma == 0.01:
        assert abs(better - sigma) < 0.5 * abs(plain - sigma)


def test_one_coil_leaves_nothing_to_measure_noise_by():
    one = linops.sense(np.ones((1, *SHAPE), "c8"), SCAN.mask)
    assert tuning.residual_noise(Data(pi.Problem(one, Y[:1]))) is None
    found = pi.tune(pi.Problem(one, Y[:1]), pi.L1(), criterion="sure", **FEW)
    assert found.noise == tuning.noise_level(Y[:1], SCAN.mask)


@pytest.mark.parametrize(("y", "mask", "message"), [
    (np.zeros((8, 8)), None, "zero everywhere"), (np.ones(8), None, "1 dimensions"), ([[1.0]], None, "array"),
    (np.full((8, 8), np.nan), None, "NaN"), (np.eye(8), 1 - np.eye(8), "other data"),
])
def test_noise_level_refuses(y, mask, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tuning.noise_level(y, mask)


# ---- the search ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("goal", [2e-3, 1.1e-2, 4e-2])
@pytest.mark.parametrize("refine", [0, 4, 10])
def test_golden_sections_close_in(goal, refine):
    grid = [float(s) for s in np.geomspace(1e-3, 1e-1, 9)]
    curve, status = minimise(lambda s: math.log(s / goal) ** 2, grid, refine=refine, extend=True)
    best = min(curve, key=curve.get)
    assert status == "ok"
    assert len(curve) == 9 + refine
    step = math.log(grid[1] / grid[0])
    assert abs(math.log(best / goal)) <= step * (0.5 if refine < 4 else 0.3 if refine < 10 else 0.02)


@pytest.mark.parametrize(("goal", "extend", "status"), [
    (1e-4, True, "ok"), (1e-4, False, "edge"), (1.0, True, "ok"), (1e-9, True, "edge"), (1e9, False, "edge")])
def test_the_grid_grows_at_its_ends(goal, extend, status):
    grid = [float(s) for s in np.geomspace(1e-3, 1e-1, 5)]
    curve, found = minimise(lambda s: math.log(s / goal) ** 2, grid, refine=3, extend=extend)
    assert found == status
    assert len(curve) <= 5 + 4 + 3
    if status == "ok":
        assert abs(math.log(min(curve, key=curve.get) / goal)) < 0.7


def test_runs_that_fail_are_passed_over():
    grid = [float(s) for s in np.geomspace(1e-3, 1e-1, 9)]
    curve, status = minimise(lambda s: math.inf if s > 0.02 else -s, grid, refine=2, extend=True)
    assert (status, math.isfinite(curve[min(curve, key=curve.get)])) == ("ok", True)
    assert minimise(lambda s: math.inf, grid, refine=2, extend=True)[1] == "failed"
    assert root(lambda s: math.inf, grid, refine=2)[1] == "failed"


def test_bisection_finds_the_crossing():
    grid = [float(s) for s in np.geomspace(1e-3, 1e-1, 9)]
    for goal in (2e-3, 3e-2):
        curve, status = root(lambda s, goal=goal: s / goal, grid, refine=6)
        assert status == "ok"
        assert min(curve, key=lambda s: abs(math.log(curve[s]))) == pytest.approx(goal, rel=0.02)
        assert len(curve) <= 2 + 4 + 6
    assert root(lambda s: 2 + s, grid, refine=6)[1] == "unreachable"
    assert root(lambda s: s, grid, refine=6)[1] == "edge"


# ---- the scores ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("seen", [True, False])
def test_sure_is_its_formula(seen, monkeypatch):
    """Tikhonov on a tiny problem, where everything is a matrix: T, K, J and the real-linear B."""
    shape, lam, sigma = (12, 10), 0.2, 0.1
    mps = noise(3, *shape, seed=1)
    mps /= np.sqrt((abs(mps) ** 2).sum(0))
    mask = np.zeros(shape, bool)
    mask[[0, 2, 4, 5, 6, 7, 9]] = True
    B = linops.sense(mps, mask)
    y = B(noise(*shape, seed=2)) + sigma * noise(3, *shape, seed=3) * mask
    data = Data(pi.Problem(B, y))
    if not seen:
        monkeypatch.setattr(Data, "low_resolution", lambda self: None)
    score = scores.Sure(data, pi.CG(), 300, 1e-13, noise=sigma, seed=4)
    value = score(lam * pi.Tikhonov()) * score.energy
    M, I = linops.dense(B), np.eye(120)
    H, b = M.conj().T @ M, data.noise(4).reshape(-1)
    T = np.linalg.solve(H + scores.BETA * data.lipschitz * I, M.conj().T)
    x, J = (np.linalg.solve(H + lam * I, M.conj().T @ v) for v in (y.reshape(-1), b))

    def part(v):
        low = data.low_resolution()
        if low is None:
            return v
        low = low.reshape(-1)
        return (v * low.conj() / abs(low)).real * metrics.body(abs(low).reshape(shape)).reshape(-1)

    Kx, Ty, Tb, KJ = part(T @ M @ x), part(T @ y.reshape(-1)), part(T @ b), part(T @ M @ J)
    expected = np.vdot(Kx, Kx).real - 2 * np.vdot(Kx, Ty).real + 2 * sigma**2 * np.vdot(Tb, KJ).real
    assert value == pytest.approx(expected, rel=1e-3)  # beta's own inner solves stop at 1e-4


def risks(B, truth, sigma, prior, run, seeds):
    """Sums over seeds of noise and probe: (estimate, risk), without the noise that is the same at all strengths."""
    estimate = risk = 0.0
    for seed in seeds:
        n = (sigma * noise(*B.oshape, seed=100 + seed)).astype("c8")
        y = B(truth) + n
        score = scores.Sure(Data(pi.Problem(B, y)), *run, noise=sigma, seed=seed)
        known, Tn = score.B(score.K(truth)), score.B(score._solve(B.H(n)))
        constant = np.vdot(known, known).real + 2 * np.vdot(known, Tn).real
        x = pi.solve(B, y, prior, run[0], max_iter=run[1], tol=run[2]).x
        estimate += score(prior) * score.energy + constant
        risk += np.linalg.norm(score.B(score.K(x - truth))) ** 2
    return estimate, risk


def brain(shape):
    """A complex image with a 99th percentile of 1."""
    image = pi.phantom.brain(shape, 1).image
    return (image / np.percentile(abs(image), 99)).astype("c8")


def network():
    """A small convolutional denoiser with fixed random weights: smooth, and nothing that has a formula."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 8, 3, padding=1), torch.nn.Softplus(),
                              torch.nn.Conv2d(8, 2, 3, padding=1)).eval()
    return pi.Denoiser(lambda x, s: x - np.float32(s) * pi.Denoiser(net, level=1.0)(x, 1.0))


@pytest.mark.parametrize("strength", [0.02, 0.06, 0.2])
@pytest.mark.parametrize("prior", [pi.L1(), pi.Wavelet(), pi.PnP(network(), 0.1)], ids=["l1", "wavelet", "cnn"])
def test_sure_estimates_the_risk_of_denoising(prior, strength):
    """One step of a proximal gradient on full single-coil data is the denoiser itself: within 5 %."""
    B, made = linops.sense(np.ones((1, 128, 128), "c8")), family(prior).make(strength)
    estimate, risk = risks(B, brain((128, 128)), 0.05, made, (pi.FISTA(), 1, 0), range(6))
    assert estimate == pytest.approx(risk, rel=0.05)


@pytest.mark.parametrize("prior", [0.02 * pi.Wavelet(), 0.02 * pi.TV(), pi.PnP(shrink, 0.1)], ids=["wav", "tv", "pnp"])
def test_sure_estimates_the_risk_of_undersampled_data(prior, monkeypatch):
    """Through coils, mask and iterations; with a larger beta, for which few seeds are enough."""
    monkeypatch.setattr(scores, "BETA", 0.1)
    estimate, risk = risks(A, brain(SHAPE), 0.03, prior, (None, 15, 1e-4), range(8))
    assert estimate == pytest.approx(risk, rel=0.1)


def test_holdout_withholds_lines_outside_the_centre():
    sets = DATA.split(folds=3, share=0.25, seed=5)
    again = DATA.split(folds=3, share=0.25, seed=5)
    other = DATA.split(folds=3, share=0.25, seed=6)
    centre = pi.masks.centre(SCAN.mask)[0]
    lines = int(SCAN.mask[:, 0].sum()) - centre
    assert all((a == b).all() for a, b in zip(sets, again))
    assert not all((a == b).all() for a, b in zip(sets, other))
    assert not sum(s.astype(int) for s in sets).max() > 1
    for s in sets:
        assert (s == s[:, :1]).all()
        assert not (s & ~SCAN.mask).any()
        assert int(s[:, 0].sum()) == max(1, round(0.25 * lines))
        assert pi.masks.centre(SCAN.mask & ~s)[0] == centre


@pytest.mark.parametrize("mask", [np.ones(SHAPE, bool), pi.masks.poisson((48, 40), 3, calib=(12, 12)),
                                  pi.masks.random((48, 40), 2, 0.3, axis=-1)], ids=["full", "points", "along-kx"])
def test_holdout_follows_the_pattern(mask):
    B = linops.sense(A.mps, mask)
    for s in Data(pi.Problem(B, PHANTOM.kspace)).split(folds=3, share=0.25, seed=0):
        assert s.any()
        assert not (s & ~mask).any()
        if not mask.all() and (mask == mask[:1]).all():
            assert (s == s[:1]).all()
        assert (mask & ~s)[22:26, 18:22].all()


def test_holdout_is_its_formula():
    score, prior = scores.Holdout(DATA, *RUN, folds=2, share=0.25, seed=3), 5e-3 * pi.TV()
    low = DATA.low_resolution()
    turn, body = np.exp(-1j * np.angle(low)), metrics.body(abs(low))
    error = energy = 0
    for out in DATA.split(folds=2, share=0.25, seed=3):
        keep = linops.sense(A.mps, SCAN.mask & ~out)
        x = pi.solve(keep, Y * (SCAN.mask & ~out), prior, max_iter=12).x
        error += (((A.H((A(x) - Y) * out) * turn).real * body) ** 2).sum()
        energy += (((A.H(Y * out) * turn).real * body) ** 2).sum()
    assert score(prior) == pytest.approx(error / energy, rel=1e-4)


def test_other_operators_are_tuned_by_their_samples():
    B = linops.fft(SHAPE)
    y = PHANTOM.kspace[0] * np.float32(SCALE)
    plain = np.where(np.arange(48)[:, None] % 7 == 3, 0, y)  # a pattern that only the zeros of the data show
    data = Data(pi.Problem(B, plain))
    assert (data.sampled == (plain != 0)).all()
    score = scores.Holdout(data, *RUN, folds=2, share=0.2, seed=3)
    assert not score.seen.known
    assert 0 < score(1e-2 * pi.L1()) < 2
    for criterion in ("holdout", "sure"):
        assert pi.tune(pi.Problem(B, y), pi.L1(), criterion=criterion, noise=SIGMA * SCALE, **FEW).strength > 0


def test_the_discrepancy_is_met():
    found = pi.tune(SCAN, pi.TV(), criterion="discrepancy", noise=SIGMA, max_iter=40, refine=7)
    x = pi.solve(A, Y, found.prior, max_iter=40).x
    count = COILS * SCAN.mask.sum()
    assert found.ok
    assert found.noise == pytest.approx(SIGMA * SCALE)
    assert np.linalg.norm(A(x) - Y) ** 2 == pytest.approx(2 * (SIGMA * SCALE) ** 2 * count, rel=0.01)
    with pytest.warns(UserWarning, match="even at lam"):
        assert pi.tune(SCAN, pi.TV(), criterion="discrepancy", noise=SIGMA / 10, max_iter=12).status == "unreachable"
    with pytest.warns(UserWarning, match="widen"):
        assert pi.tune(SCAN, pi.TV(), criterion="discrepancy", noise=1.0, **FEW).status == "edge"


def test_reference_is_the_best_of_a_brute_force_search():
    truth = io.Scan(pi.phantom.brain(SHAPE, COILS).kspace).rss()
    found = pi.tune(SCAN, pi.TV(), criterion="reference", reference=truth, **FEW)
    body = metrics.body(truth)
    errors = {}
    for s, value in found.curve:
        image = abs(pi.solve(A, Y, s * pi.TV(), max_iter=12).x)
        image *= (image * truth)[body].sum() / (image[body] ** 2).sum()
        errors[s] = metrics.nmse(truth, image, region=body)
        assert value == pytest.approx(errors[s], rel=1e-4)
    assert found.strength == min(errors, key=errors.get)
    assert "oracle" in found.label
    own = pi.tune(SCAN, pi.TV(), criterion="reference", **FEW)  # the scan's own: the RSS of the full, noisy data
    assert own.curve != found.curve


@pytest.mark.parametrize("criterion", ["holdout", "sure"])
@pytest.mark.parametrize("prior", [pi.Wavelet(shifts=16), pi.TV()], ids=["wavelet", "tv"])
def test_near_the_oracle(criterion, prior):
    """What it is for, in small: under 0.5 dB from the best strength, with the truth unseen."""
    truth = io.Scan(pi.phantom.brain(SHAPE, COILS).kspace).rss()
    body = metrics.body(truth)

    def psnr(p):
        image = abs(pi.solve(A, Y, p, max_iter=25).x)
        return metrics.psnr(truth, image * (image * truth)[body].sum() / (image[body] ** 2).sum(), region=body)

    found = pi.tune(replace(SCAN, reference=None), prior, criterion=criterion, max_iter=25, refine=1)
    best = max(psnr(s * prior) for s in np.geomspace(1e-3, 3e-2, 7))
    assert psnr(found.prior) > best - 0.5


# ---- priors and units ------------------------------------------------------------------------------------------------

def test_what_a_strength_is():
    D = pi.Denoiser(shrink)
    for prior in (pi.TV(), 2e-3 * pi.TV()):
        assert repr(family(prior).make(0.5)) == "0.5 * TV()"
    both = family(2e-3 * pi.TV() + 1e-3 * pi.Wavelet()).make(0.4)
    assert [p.lam for p in both.priors] == pytest.approx([0.4, 0.2])
    assert family(pi.PnP(D, sigma=0.3)).make(0.05).sigma == 0.05
    assert family(pi.PnP(D, lam=0.3)).make(0.05).lam == 0.05
    red = family(0.1 * pi.RED(D, 0.07)).make(0.2)
    assert (red.lam, red.prior.sigma) == (0.2, 0.07)
    assert family(lambda s: s * pi.TV(isotropic=False)).make(0.1).prior.isotropic is False
    kinds = [family(p).kind for p in (pi.TV(), pi.PnP(D, sigma=0.1), pi.PnP(D, lam=0.1), pi.RED(D, 0.1), lambda s: s)]
    assert kinds == ["lam", "sigma", "lam", "lam", "strength"]


@pytest.mark.parametrize(("prior", "power", "normal"), [
    (pi.TV(), 1, 0), (pi.Tikhonov(), 0, 2), (pi.PnP(shrink, 0.1), 1, -1), (0.1 * pi.RED(shrink, 0.1), 0, 2)])
def test_a_problems_own_scale_moves_the_grid(prior, power, normal):
    """Data times c: strengths times c^power; and A times a (with y as it was) by what the equation says."""
    grid = family(prior).grid
    plain = np.array(grid(pi.Problem(A, Y)))
    assert plain == pytest.approx(np.array(grid(pi.Problem(A, 8 * Y))) / 8.0**power, rel=1e-4)
    twice = linops.sense(2 * A.mps, SCAN.mask)
    expected = {2: 4, -1: 0.5, 0: 2}[normal]  # A^H A; 1/A; A^H y
    assert np.array(grid(pi.Problem(twice, Y))) == pytest.approx(expected * plain, rel=1e-3)


def test_a_scan_is_tuned_in_the_recipes_units():
    found = pi.tune(SCAN, pi.TV(), **FEW)
    direct = pi.tune(pi.Problem(A, Y, pi.TV()), **FEW)
    assert direct.strength == found.strength
    np.testing.assert_allclose(direct.curve, found.curve, rtol=1e-5)
    louder = pi.tune(replace(SCAN, kspace=SCAN.kspace * np.float32(1e4)), pi.TV(), **FEW)
    np.testing.assert_allclose(louder.curve, found.curve, rtol=1e-4)
    tensor = pi.tune(pi.Problem(A, torch.from_numpy(Y)), pi.TV(), **FEW)
    np.testing.assert_allclose(tensor.curve, direct.curve, rtol=1e-6)


@pytest.mark.parametrize("criterion", tuning.CRITERIA)
def test_twice_the_same_and_nothing_changed(criterion):
    kept = SCAN.kspace.copy()
    first, second = (pi.tune(SCAN, pi.PnP(shrink, 0.1), criterion=criterion, **FEW) for _ in range(2))
    assert first.curve == second.curve
    assert first.prior.sigma == first.strength
    np.testing.assert_array_equal(SCAN.kspace, kept)
    assert first.to_dict() | {"seconds": 0} == second.to_dict() | {"seconds": 0}
    assert json.loads(json.dumps(first.to_dict(), allow_nan=False))["criterion"] == criterion
    assert criterion in repr(first)


def test_the_middle_slice_of_a_volume():
    slices = np.stack([SCAN.kspace, SCAN.kspace * np.float32(0.5), SCAN.kspace * np.float32(2)])
    volume = io.Scan(slices, mask=SCAN.mask, mps=SCAN.mps)
    middle, last = pi.tune(volume, pi.TV(), **FEW), pi.tune(volume, pi.TV(), slice=2, **FEW)
    assert middle.curve == pi.tune(volume, pi.TV(), slice=1, **FEW).curve
    assert middle.curve != last.curve


def test_runs_that_diverge_are_told():
    def bad(x, s):
        return np.float32(3) * x if s > 0.02 else shrink(x, s)

    with pytest.warns(UserWarning, match="of 4 runs diverged|of 5 runs diverged"):
        found = pi.tune(SCAN, pi.PnP(bad, 0.01), solver=pi.ADMM(rho=1.0), **(FEW | {"max_iter": 40}))
    assert found.strength < 0.02
    assert None in [v for _, v in found.to_dict()["curve"]]


# ---- recipes and pictures --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("criterion", ["holdout", "sure"])
def test_a_recipe_tunes_and_keeps_what_it_chose(criterion):
    recipe = pi.Recipe(2e-3 * pi.TV(), tune=criterion, max_iter=10)
    assert pi.Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))).tune == criterion
    done = recipe(SCAN)
    found = pi.tune(SCAN, pi.TV(), criterion=criterion, max_iter=10)
    assert done.tuning.curve == found.curve
    assert done.recipe.tune is None
    assert done.recipe.prior.lam == found.strength
    again = pi.Recipe.from_dict(json.loads(json.dumps(done.recipe.to_dict())))
    np.testing.assert_array_equal(again(SCAN).x, done.x)
    assert again(SCAN).tuning is None
    assert set(done.seconds) == {"maps", "tune", "solve"}
    if criterion == "holdout":
        np.testing.assert_array_equal(pi.recon(SCAN, pi.TV(), tune=criterion, max_iter=10).x, done.x)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    found = tuning.Tuning(pi.TV(), 0.1, ((0.01, 2.0), (0.1, 1.0), (1.0, math.inf)), "sure", "risk", "lam")
    found.plot(tmp_path / f"curve.{suffix}")
    assert (tmp_path / f"curve.{suffix}").stat().st_size > 2000
    with pytest.raises(ValueError, match="suffix"):
        found.plot(tmp_path / "curve.jpg")


# ---- bad input -------------------------------------------------------------------------------------------------------

P, ONE = pi.Problem(A, Y), pi.Denoiser(shrink, level=0.1)


@pytest.mark.parametrize(("data", "prior", "options", "message"), [
    (SCAN, None, {}, "prior is needed"), (SCAN, pi.Zero(), {}, "no strength"), (P, None, {}, "no strength"),
    (SCAN, "TV", {}, "prior must be"), (SCAN, 0 * pi.TV(), {}, "without its factor"), ("none.h5", pi.TV(), {}, "exist"),
    (SCAN, pi.PnP(ONE), {}, "one noise level only"), (SCAN, pi.TV(), {"criterion": "gcv"}, "criterion must be one of"),
    (SCAN, pi.TV(), {"strengths": [1, 2]}, "3 at least"),
    (SCAN, pi.TV(), {"strengths": [0, 1, 2]}, "strengths must be"),
    (SCAN, pi.TV(), {"strengths": 0.1}, "list of numbers"), (SCAN, pi.TV(), {"noise": 0}, "noise must be > 0"),
    (SCAN, pi.TV(), {"solver": "FISTA"}, "solver must be"), (SCAN, pi.TV(), {"max_iter": 0}, "max_iter"),
    (SCAN, pi.TV(), {"tol": -1}, "tol"), (SCAN, pi.TV(), {"seed": 0.5}, "seed"), (SCAN, pi.TV(), {"slice": 1}, "slice"),
    (SCAN, pi.TV(), {"refine": -1}, "refine"), (P, pi.TV(), {"slice": 0}, "are for scans"),
    (P, pi.TV(), {"criterion": "reference"}, "needs the truth"),
    (SCAN, lambda s: s, FEW, "prior must be a pisolve prior"),
    (P, pi.TV(), {"criterion": "reference", "reference": np.ones((3, 3))}, "reference has shape"),
    (SCAN, pi.TV(), {"criterion": "reference", "reference": np.ones((3, 3, 3))}, "reference has"),
    (pi.Problem(A, 0 * Y), pi.TV(), {}, "zero everywhere"),
])
def test_bad_input_is_refused(data, prior, options, message):
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=message):
        pi.tune(data, prior, **options)


def test_nothing_outside_the_centre_to_withhold():
    mask = np.zeros((48, 1), bool)
    mask[16:32] = True
    with pytest.raises(ValueError, match="take criterion='sure'"):
        pi.tune(pi.Problem(linops.sense(A.mps, mask), PHANTOM.kspace), pi.TV())


def test_a_recipe_refuses_an_unknown_method():
    with pytest.raises(ValueError, match="tune must be one of"):
        pi.Recipe(tune="gcv")
    assert distance(pi.Recipe(tune=None, max_iter=3)(SCAN).x, pi.Recipe(max_iter=3)(SCAN).x) == 0
