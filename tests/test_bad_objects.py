"""Bad objects: constructors refuse them at once, and denoisers that misbehave end with an error or a true status."""

import re

import numpy as np
import pytest
import torch
from test_bad_input import (
    DEAD,
    FINITE,
    LOUD,
    ROWS,
    A,
    F,
    K,
    M,
    N,
    V,
    Y,
    check_error,
    check_result,
    inf,
    nan,
    run,
    same_bits,
    smooth,
)

import pisolve as pi
from pisolve import linops, masks, metrics

ONE, X32, TWO = np.ones((8, 8)), np.ones(N, "c8"), [linops.identity((2,)), linops.identity((3,))]


# the call, the error, what its message names
REFUSED = [
    *[(lambda lam=lam, p=p: lam * p, e, "lam must be|takes one number as its strength|real numbers are needed")
      for p in (pi.TV(), pi.RED(smooth, 0.1), pi.PnP(smooth, lam=0.1))
      for lam, e in ((-1, V), (nan, V), (inf, V), (None, F), ("1", F), (1j, F), (X32, F), (True, F))],
    (lambda: 2 * pi.PnP(smooth, 0.1), V, "lam has no effect on PnP"),
    (lambda: pi.Wavelet("foo"), V, "name .*unknown wavelet 'foo'"), (lambda: pi.Wavelet(None), V, "unknown wavelet"),
    (lambda: pi.Wavelet("bior2.2"), V, "no orthogonal wavelet: take"),
    (lambda: pi.Wavelet(shifts=-1), V, "shifts must be"), (lambda: pi.Wavelet(shifts=nan), F, "shifts must be"),
    (lambda: pi.TV(boundary="x"), V, "boundary must be one of"),
    (lambda: pi.PnP(None, 0.1), F, "denoiser must be a torch module"),
    (lambda: pi.PnP("denoiser-brain", 0.1), F, "denoiser must be"),
    (lambda: pi.PnP(torch.nn.ReLU, 0.1), F, "denoiser must be"), (lambda: pi.PnP(smooth, 0.1) * 2, V, "lam has no"),
    (lambda: pi.PnP(smooth, 0), V, "sigma must be > 0"), (lambda: pi.PnP(smooth, -1), V, "sigma must be"),
    (lambda: pi.PnP(smooth, nan), V, "sigma must be finite"), (lambda: pi.PnP(smooth, "a"), F, "sigma must be"),
    (lambda: pi.PnP(smooth, 0.1, lam=1), V, "sigma and lam are two forms"),
    (lambda: pi.PnP(smooth, lam=-1), V, "lam must be > 0"), (lambda: pi.RED(smooth), V, "sigma is needed"),
    (lambda: pi.RED(smooth, nan), V, "sigma must be"), (lambda: pi.RED(smooth, 0.1, inner=0), V, "inner must be"),
    (lambda: pi.L1() @ X32, F, "needs a linear operator"),
    (lambda: pi.PnP(smooth, 1) @ linops.gradient(N), V, "unitary operator"),
    (lambda: pi.PnP(torch.nn.Conv2d(3, 3, 3), 0.1), V, "give channels="),
    (lambda: pi.Problem(A, Y, "tv"), F, "prior must be"), (lambda: pi.Problem(A, Y[:2]), V, "y has shape"),
    (lambda: pi.Problem(Y, A), F, "A must be a linear operator"),
    (lambda: pi.Recipe("tv"), F, "prior must be a prior such as"), (lambda: pi.Recipe(0), F, "prior must be"),
    (lambda: pi.Recipe(solver=pi.FISTA), F, "solver must be"), (lambda: pi.Recipe(name=3), F, "name must be a string"),
    (lambda: pi.Recipe(max_iter=1.5), F, "max_iter must be"), (lambda: pi.Recipe(tol=-1), V, "tol must be"),
    (lambda: pi.Sampling("foo"), V, "mask must be one of random"),
    (lambda: pi.recon(K, sampling=pi.Sampling(accel="4")), F, "accel must"),
    *[(lambda f=f, s=s: f(s), e, "shape must be")
      for f in (linops.fft, linops.wavelet, linops.gradient, linops.identity)
      for s, e in ((8, F), ((0, 8), V), ((-4, 8), V), ((8.0, 8), F), (None, F), (X32, F), ("ab", F))],
    *[(lambda f=f, a=a: f((8, 8), axes=a), e, "axes") for f in (linops.fft, linops.wavelet, linops.gradient)
      for a, e in (((0, 5), V), ((0, -2), V), ((), F), ((0.5,), F), (1, F))],
    (lambda: linops.wavelet((8, 8), "foo"), V, "unknown wavelet"),
    (lambda: linops.wavelet((8, 8), levels=9), V, "levels must be in 0..3"),
    (lambda: linops.gradient((8, 8), boundary="x"), V, "boundary must be one of periodic, neumann"),
    (lambda: linops.as_torch(3), F, "A must be"), (lambda: linops.stack([]), V, "rows must be at least one"),
    (lambda: linops.stack(TWO), V, "column 0 must hold"), (lambda: linops.opnorm(3), F, "A must be"),
    (lambda: linops.dense(linops.identity((9999,))), V, "too large for a dense"),
    (lambda: metrics.nmse(ONE, ONE[:3]), V, "image has shape .*crop"),
    (lambda: metrics.nmse(ONE, ONE * nan), V, f"image {FINITE}"),
    (lambda: metrics.nmse(0 * ONE, ONE), V, "reference is zero"),
    (lambda: metrics.nmse(ONE[0], ONE[0]), V, "reference has 1 dim"),
    (lambda: metrics.nmse(ONE[None], ONE), V, "image has shape"),
    (lambda: metrics.ssim(ONE[:6], ONE[:6]), V, "7x7 pixels"),
    (lambda: metrics.psnr(ONE, ONE, data_range=0), V, "data_range must be > 0"),
    (lambda: metrics.psnr(-ONE, ONE), V, "give data_range"),
    (lambda: metrics.nmse(ONE, ONE, region=ONE), F, "region must be a boolean"),
    (lambda: metrics.body(0 * ONE), V, "reference is zero"),
    (lambda: metrics.nmse(ONE, ONE, region=ONE < 0), V, "region is False everywhere"),
    (lambda: metrics.nmse([1], [1]), F, "reference must"),
    *[(lambda a=a: masks.random(N, a), e, "accel must be") for a, e in ((0, V), (nan, V), ("4", F), (None, F))],
    (lambda: masks.random(32), F, "shape must be a tuple"), (lambda: masks.random((0, 28)), V, "shape must be"),
     (lambda: masks.random(N, axis=0), V, "axis must be -2"),
    (lambda: masks.random(N, seed=None), F, "seed must be"),
    (lambda: masks.random(N, 4, 1.5), V, "center_fraction must be"),
    (lambda: masks.equispaced(N, 2.5), V, "accel must be a whole number"),
    (lambda: masks.equispaced(N, 4, offset=7), V, "offset must be"),
    (lambda: masks.poisson(N, 1), V, "accel must be > 1"),
    (lambda: masks.variable_density(N, 100), V, "accel 100 leaves .*lower accel"),
    (lambda: masks.estimate(0 * K), V, "kspace is zero"),
    (lambda: pi.Compress("8"), F, "coils must be a whole"), (lambda: pi.Compress(0), V, "coils must be in 1"),
    (lambda: pi.Compress(None, 2), V, "energy must be <= 1"), (lambda: pi.Compress(None, 0), V, "energy must be > 0"),
    *[(lambda k=k: pi.Grappa(kernel=k), V, "kernel must be two sizes") for k in ((1, 1), (5,), (99, 5))],
    *[(lambda k=k: pi.Spirit(kernel=k), V, "kernel must be two odd") for k in ((4, 4), (1, 1), (5, 5, 5))],
    (lambda: pi.Grappa(padded="no"), V, "padded must be one of"), (lambda: pi.Espirit(sets=0), V, "sets must be in 1"),
    (lambda: pi.Espirit(crop=2), V, "crop .*must be < 1"), (lambda: pi.Espirit(thresh="x"), V, "thresh must be one of"),
    (lambda: pi.Espirit(calib_width=None), F, "calib_width must be"), (lambda: pi.Walsh(window=0), V, "window must be"),
    (lambda: pi.Walsh(thresh=1), V, "thresh .*must be < 1"), (lambda: pi.Inati(iterations=0), V, "iterations must be"),
    (lambda: pi.JSense(calib_width=2), V, "calib_width must be in 3"), (lambda: pi.JSense(lam=-1), V, "lam must be"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call, error, message):
    check_error(run(call), error, message)


# ---- denoisers that misbehave ----------------------------------------------------------------------------------------

STEADY = [None, pi.ADMM(rho=1.0), pi.FISTA(), pi.FISTA(momentum=False), pi.PDHG(sigma=1.0)]
LEVEL = np.linalg.norm(A.H(Y))


def denoise(D, solver=None, red=0.0, max_iter=60):
    """A run with the denoiser as PnP, or as red * RED."""
    prior = red * pi.RED(D, sigma=0.05) if red else pi.PnP(D, sigma=0.05)
    return pi.solve(A, Y, prior, solver, max_iter=max_iter)


def in_place(x, s):
    x *= np.float32(0.9)
    return x


def raising(x, s):
    raise RuntimeError("the network's own error")


@pytest.mark.parametrize("solver", STEADY)
@pytest.mark.parametrize(("D", "error", "message"), [
    (lambda x, s: x[:-1], V, r"returned shape \(31, 28\) for \(32, 28\): a denoiser keeps shape"),
    (lambda x, s: x[None], V, "returned shape"), (lambda x, s: abs(x), F, "must return .* complex64, got .* float32"),
    (lambda x, s: None, F, "must return what it was given, .* got NoneType"), (lambda x, s: x.tolist(), F, "got list"),
    (lambda x, s: torch.from_numpy(x), F, "got Tensor"), (lambda x, s: x.astype(object), F, "got ndarray of object"),
    (lambda x: x, F, "takes one argument"), (raising, RuntimeError, "the network's own error"),
    (torch.nn.Conv2d(2, 2, 3), V, "Conv2d returned shape .*set channels, noise_input, ndim or multiple"),
])
def test_a_denoiser_of_the_wrong_kind_is_named(D, error, message, solver):
    check_error(run(denoise, {"D": D, "solver": solver}), error, message)


@pytest.mark.parametrize("solver", STEADY)
@pytest.mark.parametrize("red", [0.0, 0.5])
@pytest.mark.parametrize("D", [
    lambda x, s: x * nan, lambda x, s: np.where(np.arange(N[1]) == 3, nan, x).astype(x.dtype),
    lambda x, s: np.full_like(x, nan),
])
def test_nan_from_a_denoiser_ends_nonfinite_with_a_finite_image(D, red, solver):
    outcomes = run(denoise, {"D": D, "red": red, "solver": solver})
    check_result(outcomes, "nonfinite")
    assert not outcomes[0].ok
    assert 0 < np.linalg.norm(outcomes[0].x) < 2 * LEVEL


def late():
    """A denoiser that is healthy in its first four calls."""
    calls = iter(range(100))
    return lambda x, s: smooth(x, s) * np.float32(nan if next(calls) >= 4 else 1)


@pytest.mark.parametrize("solver", STEADY)
def test_nan_in_a_later_iteration_keeps_the_best_image_so_far(solver):
    outcomes = run(lambda: denoise(late(), solver))
    check_result(outcomes, "nonfinite")
    assert outcomes[0].state.k >= 5
    assert 0 < np.linalg.norm(outcomes[0].x) < 2 * LEVEL


@pytest.mark.parametrize(("gain", "red", "solver", "latest"), [
    *[(1.5, 0.0, s, 10) for s in STEADY], *[(1.15, 0.0, s, 30) for s in STEADY],
    *[(-2.0, 0.0, s, 10) for s in STEADY[2:]], (-1.0, 0.0, pi.FISTA(), 10),
    (1.5, 0.5, None, 10), (1.5, 0.5, pi.GradientDescent(), 20), (1.5, 0.5, pi.ADMM(), 20),
])
def test_an_expansive_denoiser_ends_diverged_with_a_finite_image(gain, red, solver, latest):
    """It is noticed early; averaged steps are tried, which cannot help against growth in one direction."""
    outcomes = run(denoise, {"D": lambda x, s: np.float32(gain) * x, "red": red, "solver": solver, "max_iter": 200})
    check_result(outcomes, "diverged" if gain > 0 else outcomes[0].status)
    assert min(h["k"] for h in outcomes[0].history if "relaxed" in h) <= latest
    assert isinstance(outcomes[0].solver, pi.Relaxed)
    assert np.linalg.norm(outcomes[0].x) < 2 * LEVEL


@pytest.mark.parametrize("solver", STEADY)
@pytest.mark.parametrize(("bad", "good"), [
    (in_place, lambda x, s: np.float32(0.9) * x), (lambda x, s: smooth(x, s).astype("c16"), smooth),
    (lambda x, s: x, lambda x, s: x.copy()), (lambda x, s: smooth(x, s)[::-1][::-1], smooth),
])
def test_a_careless_denoiser_changes_nothing_else(bad, good, solver):
    """Working in place, returning its input, a view or another precision: the same bits as done properly."""
    outcomes = run(denoise, {"D": bad, "solver": solver})
    assert outcomes[0].ok
    assert same_bits(outcomes[0].x, denoise(good, solver).x)


class Stateful(torch.nn.Module):
    """A network as training leaves it: batch statistics that every call moves, and dropout."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Sequential(torch.nn.Conv2d(2, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
                                        torch.nn.Dropout(0.5), torch.nn.Conv2d(8, 2, 3, padding=1))

    def forward(self, x):
        return 0.9 * x + 0.1 * self.body(x)


@pytest.mark.parametrize("solver", STEADY)
def test_a_network_in_train_mode_runs_in_eval_mode_and_comes_back_unchanged(solver):
    net = Stateful().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    outcomes = run(denoise, {"D": net, "solver": solver})
    check_result(outcomes, outcomes[0].status)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters())
    assert same_bits(outcomes[0].x, denoise(Stateful().eval(), solver).x)


@pytest.mark.parametrize("solver", STEADY)
def test_a_random_denoiser_never_seems_converged(solver):
    rng = np.random.default_rng(0)
    result = denoise(lambda x, s: smooth(x, s) + (0.05 * rng.standard_normal(N)).astype("f4"), solver)
    assert result.status == "max_iter"
    assert np.isfinite(result.x).all()


# ---- data that is odd but legal: the scan says so --------------------------------------------------------------------

@pytest.mark.parametrize(("kspace", "mask", "words"), [
    (np.fft.fftshift(K, (-2, -1)), None, "off the centre along ky: apply numpy.fft.fftshift"),
    (K * DEAD, None, "coil 2 is dead"), (K * LOUD, None, "coil 1 is .*e\\+05 times louder"),
    (K, M, "not zero at .* positions outside the mask"), (Y, M | True, "says sampled at .* where k-space is zero"),
    (Y, None, "zero in all coils and there is no mask"), (K * np.float32(1e-20), None, "peaks at .*single precision"),
    (K * np.float32(1e20), None, "peaks at"), (np.where(ROWS % 2, K, 0), ROWS % 2 > 0, "no calibration region"),
])
def test_odd_data_is_warned_of(kspace, mask, words):
    found = pi.io.Scan(kspace, mask=mask).warnings()
    assert any(re.search(words, text) for text in found), found


def test_good_data_is_not_warned_of():
    assert pi.io.Scan(Y, mask=M).warnings() == pi.io.Scan(K).warnings() == []


# ---- once reported, now mended ---------------------------------------------------------------------------------------

FISTA_STATE = pi.solve(A, Y, 1e-2 * pi.L1(), pi.FISTA(), max_iter=2).state
IMAGE = np.ones(N, "c8")


def buffered():
    """A denoiser that returns the same memory each time, as networks with static buffers do."""
    memory = np.empty(N, "c8")

    def D(x, s):
        np.copyto(memory, smooth(x, s))
        return memory
    return D


@pytest.mark.parametrize("solver", STEADY[:4])
def test_a_denoiser_that_reuses_its_memory_does_not_feign_convergence(solver):
    assert same_bits(denoise(buffered(), solver).x, denoise(smooth, solver).x)


@pytest.mark.parametrize("solver", [pi.FISTA(), pi.PDHG()])
def test_inf_from_a_denoiser_ends_nonfinite_without_a_warning(solver):
    check_result(run(denoise, {"D": lambda x, s: x + np.float32(inf), "solver": solver}), "nonfinite")


def test_masks_refuse_an_array_for_a_shape_in_one_line():
    check_error(run(lambda: masks.random(K)), F, "shape must be a tuple")


def test_maps_of_too_small_a_centre_are_refused_or_told():
    """4 x 4 samples give no map at all, an error; 3 lines give some, of which `coverage` tells what they miss."""
    check_error(run(lambda: pi.calib.espirit(K[:, :4, :4])), V, "lower crop or thresh, or give calib=")
    lines = np.where(abs(ROWS - 16) < 2, K, 0)
    assert 0 < pi.calib.coverage(pi.calib.espirit(lines), lines) < 0.5


@pytest.mark.parametrize("call", [
    lambda: metrics.psnr(ONE * 1e-200, 0 * ONE), lambda: metrics.nmse(ONE * 1e-200, ONE * 1e-200),
    lambda: metrics.nmse(ONE * 1e200, 0 * ONE), lambda: metrics.ssim(ONE * 1e200, ONE),
])
def test_metrics_of_extreme_scale_are_right_or_refused(call):
    """They do not depend on a common scale."""
    for outcome in run(call):
        assert type(outcome) is V or np.isfinite(outcome)
        assert "zero everywhere" not in str(outcome)


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"callbacks": print}, F, "callbacks must be"), ({"callbacks": [3]}, F, "callbacks must be"),
    ({"callbacks": None}, F, "callbacks must be"), ({"state": 3}, F, "state must be a State"),
    ({"state": FISTA_STATE, "solver": pi.ADMM()}, V, "state .*solver"),
    ({"state": pi.State(IMAGE * nan, 2, 0.1, FISTA_STATE.aux), "solver": pi.FISTA()}, V, "state.x .*NaN"),
    ({"solver": pi.HQS(inner=0)}, V, "inner must be"), ({"prior": pi.Tikhonov(IMAGE[0])}, V, "reference has shape"),
    ({"prior": pi.Tikhonov(IMAGE[:3])}, V, "reference has shape"),
])
def test_arguments_of_a_run(options, error, message):
    check_error(run(lambda: pi.solve(A, Y, options.get("prior", 1e-2 * pi.L1()), max_iter=4,
                                     **{k: v for k, v in options.items() if k != "prior"})), error, message)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: pi.Tikhonov(IMAGE * nan), "reference holds NaN"), (lambda: pi.Wavelet(shifts=2, seed=-1), "seed must be"),
    (lambda: pi.Wavelet(levels=-1), "levels must be"),
    (lambda: pi.Sampling("poisson", 4, center_fraction=0.1), "center_fraction is for"),
    (lambda: pi.PnP(pi.Denoiser(lambda x, s: x, level=0.1), sigma=0.2), "sigma is 0.2, but .* level 0.1"),
])
def test_arguments_of_objects(make, message):
    check_error(run(make), V, message)
