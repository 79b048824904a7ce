"""The priors of the literature against formulas and other people's programs; the laws are in test_contract_priors."""

import json
import math

import numpy as np
import pytest
import scipy.fft
import scipy.optimize
import scipy.special
import torch
from cases import PRIORS, REFERENCE, SHAPE, prior_shape
from helpers import bart

import pisolve as pi
from pisolve import linops, testing
from pisolve.recipe import format as recipe_format
from pisolve.testing import distance

STEPS = (0.05, 0.6, 4.0)


def series(rng, *shape, dtype="complex128"):
    return testing.random(shape or (4, 9, 7), rng, dtype)


# ---- magnitudes ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("delta", [0.0, 0.05, 0.7])
@pytest.mark.parametrize("step", STEPS)
def test_l1_is_the_scalar_minimisation_with_the_phase_kept(delta, step, rng):
    prior, v = pi.L1(delta=delta), testing.random((40,), rng, "complex128")
    p = prior.prox(v, step)
    h = (lambda t: t) if delta == 0 else (lambda t: scipy.special.huber(delta, t) / delta)
    assert prior.value(v) == pytest.approx(sum(map(h, abs(v))), rel=1e-12)
    for a, b in zip(v, p):
        best = scipy.optimize.minimize_scalar(lambda t: 0.5 * (t - abs(a)) ** 2 + step * h(t),  # noqa: B023
                                              bounds=(0, abs(a)), method="bounded", options={"xatol": 1e-10}).x
        assert abs(b) == pytest.approx(best, abs=2e-5)
        assert abs(b * abs(a) - a * abs(b)) < 1e-12


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2), (-2, -1), [0, 1, 2]])
@pytest.mark.parametrize("delta", [0.0, 0.8])
def test_l21_is_l1_of_the_lengths_along_any_axes(axis, delta, rng):
    x, prior = series(rng), pi.L21(axis, delta=delta)
    axes = axis if isinstance(axis, int) else tuple(axis)
    length = np.sqrt((abs(x) ** 2).sum(axes, keepdims=True))
    assert prior.value(x) == pytest.approx(pi.L1(delta=delta).value(length), rel=1e-12)
    direction = x / length
    for step in STEPS:
        assert distance(prior.prox(x, step), direction * pi.L1(delta=delta).prox(length, step)) < 1e-12
    if delta:
        assert distance(prior.grad(x), direction * pi.L1(delta=delta).grad(length)) < 1e-12


def test_a_small_delta_is_no_delta(rng):
    x = series(rng)
    for make in (pi.L1, pi.L21):
        assert distance(make(delta=1e-9).prox(x, 0.3), make().prox(x, 0.3)) < 1e-8
    assert pi.TV(delta=1e-9).value(x) == pytest.approx(pi.TV().value(x), rel=1e-6)


@pytest.mark.parametrize(("flags", "axis"), [(1024, 0), (2, 1), (1, 2), (1025, (0, 2))])
def test_joint_thresholding_is_barts(flags, axis, tmp_path, rng):
    x = series(rng, 5, 16, 12, dtype="complex64")
    x.tofile(tmp_path / "x.cfl")  # x runs fastest; BART's dimension 10 is time
    (tmp_path / "x.hdr").write_text("# Dimensions\n12 16 1 1 1 1 1 1 1 1 5\n")
    bart(tmp_path, "threshold", "-j", str(flags), "0.8", "x", "o")
    theirs = np.fromfile(tmp_path / "o.cfl", "complex64").reshape(x.shape)
    assert distance(pi.L21(axis).prox(x, 0.8), theirs) < 1e-6


def test_joint_sparsity_keeps_or_drops_a_coefficient_in_all_frames(rng):
    x = series(rng, 4, 16, 16)
    W = linops.wavelet(x.shape, "haar")
    kept = abs(W((pi.L21() @ W).prox(x, 2.5))) > 1e-12
    assert (kept == kept[0]).all()
    assert 0.1 < kept.mean() < 0.9


# ---- L1 minus L2 -----------------------------------------------------------------------------------------------------

def l1_minus_l2(v, step, alpha):
    """Lemma 1 of Lou and Yan (2018), case by case, for one vector."""
    top = abs(v).max()
    if top > step:
        z = v * np.maximum(1 - step / abs(v), 0)
        return z * (np.linalg.norm(z) + alpha * step) / np.linalg.norm(z)
    x = np.zeros_like(v)
    if top > (1 - alpha) * step:
        i = abs(v).argmax()
        x[i] = v[i] / top * (top + (alpha - 1) * step)
    return x


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("ratio", [0.3, 0.7, 1.0, 1.2, 5.0])
def test_l1_minus_l2_in_every_case_of_the_lemma(alpha, ratio, rng):
    prior, v = pi.L1MinusL2(alpha=alpha), testing.random((4,), rng, "complex128")
    step = abs(v).max() / ratio
    p = prior.prox(v, step)
    assert distance(p, l1_minus_l2(v, step, alpha)) < 1e-12
    cost = lambda u: 0.5 * np.linalg.norm(u - v) ** 2 + step * prior.value(u)  # noqa: E731
    for start in (v, *testing.random((5, 4), rng, "complex128")):  # a search from any start finds no less
        found = scipy.optimize.minimize(lambda w: cost(w[:4] + 1j * w[4:]), np.r_[start.real, start.imag])
        assert cost(p) <= found.fun + 1e-9


def test_l1_minus_l2_at_the_corners(rng):
    v = testing.random((9,), rng, "complex128")
    assert not pi.L1MinusL2().prox(0 * v, 0.3).any()
    assert distance(pi.L1MinusL2(alpha=0).prox(v, 0.5), pi.L1().prox(v, 0.5)) < 1e-14
    assert pi.L1MinusL2().value(np.eye(1, 9, dtype=complex)) == 0  # one entry costs nothing
    both = pi.L1MinusL2().prox(np.array([0.5, 0.5], complex), 1.0)  # two of the largest magnitude: one is kept
    np.testing.assert_allclose(np.sort(abs(both)), [0, 0.5])


# ---- total variation and transforms ----------------------------------------------------------------------------------

@pytest.mark.parametrize("axes", [(-2, -1), (0,), (0, -2, -1), (2,)])
@pytest.mark.parametrize("isotropic", [True, False])
def test_tv_along_any_axes_is_the_formula(axes, isotropic, rng):
    x = series(rng)
    d = abs(np.stack([np.roll(x, -1, a) - x for a in axes]))
    exact = np.sqrt((d**2).sum(0)).sum() if isotropic else d.sum()
    assert pi.TV(isotropic, axes=axes).value(x) == pytest.approx(exact, rel=1e-12)


def test_temporal_tv_prox_equals_scikit_image_pixel_by_pixel(rng):
    skimage = pytest.importorskip("skimage.restoration")
    x = rng.standard_normal((12, 2, 3))
    ours = pi.TV(axes=(0,), boundary="neumann").prox(x.astype(complex), 0.4)
    for r in np.ndindex(2, 3):
        theirs = skimage.denoise_tv_chambolle(x[:, *r], weight=0.4, eps=1e-14, max_num_iter=50000)
        np.testing.assert_allclose(ours[:, *r].real, theirs, atol=2e-3)


@pytest.mark.parametrize("axes", [(-2, -1), (0,), (0, 2)])
def test_dct_is_scipys_and_the_formula(axes, rng):
    x = series(rng)
    C = linops.dct(x.shape, axes)
    exact = x
    for a in axes:
        n = x.shape[a]
        k, i = np.mgrid[:n, :n]
        matrix = np.sqrt(np.where(k == 0, 1, 2) / n) * np.cos(np.pi * k * (2 * i + 1) / (2 * n))
        exact = np.moveaxis(np.tensordot(matrix, exact, (1, a)), 0, a)
    assert distance(C(x), exact) < 1e-13
    assert distance(C(x), scipy.fft.dctn(x, axes=axes, norm="ortho")) < 1e-14
    assert pi.DCT(axes=axes).value(x) == pytest.approx(abs(exact).sum(), rel=1e-12)


@pytest.mark.parametrize("axis", [0, -1])
def test_temporal_fft_counts_temporal_frequencies(axis, rng):
    x = series(rng)
    spectrum = np.fft.fft(x, axis=axis, norm="ortho")
    prior = pi.TemporalFFT(axis)
    assert prior.value(x) == pytest.approx(abs(spectrum).sum(), rel=1e-12)
    shrunk = np.fft.ifft(spectrum * np.maximum(1 - 0.7 / abs(spectrum), 0), axis=axis, norm="ortho")
    assert distance(prior.prox(x, 0.7), shrunk) < 1e-12


# ---- low rank --------------------------------------------------------------------------------------------------------

def svt(C, step):
    U, S, V = np.linalg.svd(C, full_matrices=False)
    return U @ np.diag(np.maximum(S - step, 0)) @ V


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("shape", [(4, 9, 7), (12, 2, 3), (30, 4, 4), (1, 5, 5), (5, 16, 16)])
def test_nuclear_is_the_plain_svd(shape, dtype, rng):
    x, tol = series(rng, *shape, dtype=dtype), 1e-12 if dtype == "complex128" else 3e-6
    C = x.reshape(shape[0], -1).astype("complex128")
    S = np.linalg.svd(C, compute_uv=False)
    for prior, y in ((pi.Nuclear(axis=0), x), (pi.Nuclear(axis=1), x.swapaxes(0, 1)), (pi.Nuclear(axis=-1), x.T)):
        if prior.axis != -1:  # the transpose swaps y and x, which permutes the matrix's columns only
            assert distance(prior.prox(y, 1.5), np.moveaxis(svt(C, 1.5).reshape(shape), 0, prior.axis)) < tol
        assert prior.value(y) == pytest.approx(S.sum(), rel=tol)
        assert prior.dual_norm(y) == pytest.approx(S[0], rel=tol)
    assert pi.Nuclear().prox(x, 1.5).dtype == dtype


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize(("shape", "block"), [
    ((4, 9, 7), 4), ((4, 8, 8), 4), ((3, 5, 6), 8), ((20, 5, 7), 2), ((4, 2, 9, 7), 3), ((6, 40, 41), 8)])
def test_llr_is_the_svd_of_every_block(shape, block, dtype, rng):
    x, tol = series(rng, *shape, dtype=dtype), 1e-12 if dtype == "complex128" else 3e-6
    exact, value, top = np.zeros(shape, "complex128"), 0, 0
    lead = x.reshape(shape[0], -1, *shape[-2:])
    for s in range(lead.shape[1]):
        for i in range(0, shape[-2], block):
            for j in range(0, shape[-1], block):
                part = lead[:, s, i:i + block, j:j + block]
                C = part.reshape(shape[0], -1).astype("complex128")
                S = np.linalg.svd(C, compute_uv=False)
                value, top = value + S.sum(), max(top, S[0])
                exact.reshape(lead.shape)[:, s, i:i + block, j:j + block] = svt(C, 1.2).reshape(part.shape)
    prior = pi.LLR(block=block)
    assert distance(prior.prox(x, 1.2), exact) < tol
    assert prior.value(x) == pytest.approx(value, rel=tol)
    assert prior.dual_norm(x) == pytest.approx(top, rel=tol)


def test_llr_between_its_extremes(rng):
    x = series(rng)
    for prior, same in ((pi.LLR(block=1), pi.L21(0)), (pi.LLR(block=9), pi.Nuclear())):
        assert distance(prior.prox(x, 0.9), same.prox(x, 0.9)) < 1e-12
        assert prior.value(x) == pytest.approx(same.value(x), rel=1e-12)


def test_thresholds_far_below_the_largest_singular_value_keep_their_digits(rng):
    """In single precision by the Gram matrix: as near as single precision can be."""
    x = 100 * np.ones((6, 1, 1)) * testing.random((1, 16, 16), rng, "complex128") + 1e-2 * series(rng, 6, 16, 16)
    exact = pi.Nuclear().prox(x, 0.05)
    assert distance(pi.Nuclear().prox(x.astype("complex64"), 0.05), exact) < 1e-6
    assert abs(exact - x).max() > 1e-4 * abs(x).max() / 100


def test_random_blocks_follow_the_iteration_and_the_seed(rng):
    x, a, b = series(rng, 3, 12, 12), pi.LLR(block=8, shifts=5, seed=1), pi.LLR(block=8, shifts=5, seed=2)
    assert (a.at(2).prox(x, 1.0) == a.at(7).prox(x, 1.0)).all()
    assert distance(a.at(2).prox(x, 1.0), a.at(3).prox(x, 1.0)) > 1e-3
    assert distance(a.at(2).prox(x, 1.0), b.at(2).prox(x, 1.0)) > 1e-3
    assert a.at(2).value(x) != a.value(x)
    assert pi.LLR(block=8).at(2).value(x) == a.value(x)


@pytest.mark.parametrize("prior", [pi.Nuclear(), pi.LLR()])
def test_a_rank_one_series_at_4x_is_recovered_exactly(prior):
    """Noise-free, other random lines in every frame, falling strengths (one coil, larger: benchmarks/cine.py)."""
    n, frames, coils = 24, 24, 4
    brain = pi.phantom.brain((n, n), coils)
    t = 2 * np.pi * np.arange(frames) / frames
    image = (1 + 0.5 * np.cos(t) * np.exp(0.8j * np.sin(t)))[:, None, None] * brain.image
    mask = np.stack([pi.masks.random((n, n), 4, seed=k)[:, :1] for k in range(frames)])
    mps = np.broadcast_to(brain.mps / np.sqrt((abs(brain.mps) ** 2).sum(0)), (frames, coils, n, n))
    A, unit = linops.sense(mps, mask), prior.dual_norm(image)
    x, y = None, A(image)
    assert distance(A.H(y), image) > 0.25
    for lam in np.geomspace(1e-1, 1e-5, 9):
        x = pi.solve(A, y, lam * unit * prior, pi.FISTA(), x0=x, max_iter=40, tol=1e-5).x
    assert distance(x, image) < 5e-4


# ---- constraints -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("prior", "inside"), [
    (pi.Box(high=0.4), lambda x: abs(x).max() <= 0.4 + 1e-6),
    (3 * pi.Box(high=2), lambda x: abs(x).max() <= 2 + 1e-5),
    (pi.RealNonNegative(), lambda x: abs(x.imag).max() == 0 and x.real.min() >= 0)])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_constraints_project(prior, inside, dtype, rng):
    x = testing.random((30, 30), rng, dtype)
    p = prior.prox(x, 0.1)
    assert (p == prior.prox(x, 50.0)).all()
    assert inside(p)
    assert p.dtype == x.dtype
    assert prior.value(p) == 0
    assert prior.value(x) == (0 if inside(x) else math.inf)
    assert prior.value(p + 0.01j * abs(p).max() + 0.01 * p) == math.inf
    assert distance(prior.prox(p, 1.0), p) < 1e-6
    problem = pi.Problem(linops.identity((30, 30)), x, prior)
    assert problem.value(p) == pytest.approx(0.5 * np.linalg.norm(p - x) ** 2)
    assert problem.value(x + 10) == math.inf


def test_a_real_image_needs_half_of_the_data(rng):
    """Hermitian symmetry: the lower half of k-space has it all; without the constraint the image is far."""
    image = np.abs(testing.random((16, 15), rng, "complex128")).real.astype("complex128")
    mask = (np.arange(16) >= 8)[:, None] | (np.arange(16) == 0)[:, None]
    A = linops.sense(np.ones((1, 16, 15), complex), mask)
    y = A(image)
    free = pi.solve(A, y, pi.Zero(), max_iter=500, tol=1e-9).x
    held = pi.solve(A, y, pi.RealNonNegative(), max_iter=2000, tol=1e-12).x
    assert distance(free, image) > 0.2
    assert distance(held, image) < 1e-6


# ---- general Tikhonov ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("reference", [None, REFERENCE])
def test_quadratic_is_the_dense_solution(reference, rng):
    G, v = linops.gradient(SHAPE), testing.random(SHAPE, rng, "complex128")
    N, r = linops.dense(G.N), np.zeros(120) if reference is None else reference.ravel()
    exact = np.linalg.solve(np.eye(120) + 0.7 * N, v.ravel() + 0.7 * N @ r).reshape(SHAPE)
    prior = 0.7 * pi.Quadratic(G, reference)
    assert distance(prior.prox(v, 1.0), exact) < 1e-10
    for solver in (None, pi.ADMM(inner=60), pi.GradientDescent(), pi.FISTA()):
        result = pi.solve(linops.identity(SHAPE), v, prior, solver, max_iter=4000, tol=1e-12)
        assert distance(result.x, exact) < 1e-7
    assert prior.value(v) == pytest.approx(0.35 * np.linalg.norm(G(v if reference is None else v - reference)) ** 2)


# ---- flags, dual norms, recipes, words -------------------------------------------------------------------------------

FLAGS = ("has_prox", "slow_prox", "has_grad", "quadratic", "convex", "homogeneous")
EXPECTED = {
    pi.L1(): "has_prox convex homogeneous", pi.L1(delta=0.1): "has_prox has_grad convex",
    pi.L21(1): "has_prox convex homogeneous", pi.L21(delta=0.1): "has_prox has_grad convex",
    pi.TV(): "slow_prox convex homogeneous", pi.TV(delta=0.1): "has_grad convex",
    0.5 * pi.TV(axes=(0,)): "slow_prox convex homogeneous",
    pi.Wavelet(): "has_prox convex homogeneous", pi.Wavelet(shifts=2).at(1): "has_prox convex homogeneous",
    pi.DCT(): "has_prox convex homogeneous", pi.TemporalFFT(): "has_prox convex homogeneous",
    pi.Nuclear(): "has_prox convex homogeneous", pi.LLR(): "has_prox convex homogeneous",
    pi.LLR(shifts=2).at(1): "has_prox convex homogeneous",
    pi.L1MinusL2(): "has_prox", pi.Box(): "has_prox convex", pi.RealNonNegative(): "has_prox convex",
    pi.Quadratic(linops.identity((4, 4))): "slow_prox has_grad quadratic convex",
    pi.L1(delta=0.1) @ linops.gradient((4, 4)): "has_grad convex",
    pi.L1MinusL2() @ linops.wavelet((4, 4), "haar"): "has_prox", pi.L1MinusL2() @ linops.gradient((4, 4)): "",
}


@pytest.mark.parametrize("prior", EXPECTED, ids=repr)
def test_flags(prior):
    assert [name for name in FLAGS if getattr(prior, name)] == EXPECTED[prior].split()


@pytest.mark.parametrize(("prior", "norm2"), [
    (pi.L1(delta=0.2), 1), (pi.L21(delta=0.2), 1), (pi.TV(delta=0.2), 8), (pi.TV(delta=0.2, axes=(0,)), 4),
    (pi.L21(delta=0.2) @ linops.gradient((8, 8)), 8)])
def test_lipschitz_constants(prior, norm2):
    assert (3 * prior).lipschitz == pytest.approx(3 * norm2 / 0.2)


@pytest.mark.parametrize("name", [n for n, p in PRIORS.items() if p.homogeneous and p.has_prox])
def test_dual_norm_is_where_the_prox_becomes_zero(name, rng):
    """prox(x, t) = 0 if and only if Re <u, x> <= t g(u) for all u."""
    prior, x = PRIORS[name], testing.random(prior_shape(name), rng, "complex128")
    t = prior.dual_norm(x)
    if t == np.inf:  # a place without a weight: nothing takes it to zero
        assert np.linalg.norm(prior.prox(x, 1e9)) > 1e-6
        return
    assert np.linalg.norm(prior.prox(x, 1.0001 * t)) < 1e-10
    assert np.linalg.norm(prior.prox(x, 0.999 * t)) > 1e-6
    for u in testing.random((20, *x.shape), rng, "complex128"):
        assert np.vdot(u, x).real <= t * prior.value(u)


@pytest.mark.parametrize("prior", [pi.L1(delta=0.1), pi.L21(delta=0.1), pi.TV(), pi.Box(), pi.L1MinusL2()])
def test_no_dual_norm_where_there_is_none(prior):
    with pytest.raises(NotImplementedError):
        prior.dual_norm(np.ones((4, 4), complex))


WORDS = {
    "L1()": pi.L1(), "L1(delta=0.1)": pi.L1(delta=0.1), "L21()": pi.L21(), "L21(axis=(0, 1), delta=0.1)":
    pi.L21((0, 1), delta=0.1), "TV()": pi.TV(), "TV(isotropic=False)": pi.TV(isotropic=False),
    "TV(axes=(0,), delta=0.1, boundary='neumann')": pi.TV(axes=(0,), delta=0.1, boundary="neumann"),
    "L1MinusL2()": pi.L1MinusL2(), "L1MinusL2(alpha=0.5)": pi.L1MinusL2(alpha=0.5), "DCT()": pi.DCT(),
    "DCT(axes=(0, -1))": pi.DCT((0, -1)), "TemporalFFT()": pi.TemporalFFT(), "TemporalFFT(axis=1)": pi.TemporalFFT(1),
    "Nuclear()": pi.Nuclear(), "Nuclear(axis=1)": pi.Nuclear(axis=1), "LLR()": pi.LLR(), "RealNonNegative()":
    pi.RealNonNegative(), "LLR(block=4, shifts=3, seed=2)": pi.LLR(block=4, shifts=3, seed=2), "Box()": pi.Box(),
    "Box(high=2.0)": pi.Box(high=2), "0.5 * LLR(block=4)": 0.5 * pi.LLR(block=4),
}


@pytest.mark.parametrize("words", WORDS)
def test_repr_and_recipe_give_the_prior_again(words, rng):
    prior, x = WORDS[words], series(rng, 3, 8, 8)
    assert repr(prior) == words
    again = recipe_format.decode(json.loads(json.dumps(recipe_format.encode(prior))))
    assert repr(again) == words
    assert again.value(x) == prior.value(x)
    if prior.has_prox:
        assert (again.at(1).prox(x, 0.2) == prior.at(1).prox(x, 0.2)).all()


def test_what_holds_an_operator_cannot_be_written_into_a_recipe():
    with pytest.raises(ValueError, match="cannot be written"):
        recipe_format.encode(pi.Quadratic(linops.gradient((4, 4))))


BAD = {
    "delta must": [lambda: pi.L1(delta=-1), lambda: pi.L21(delta=math.nan), lambda: pi.TV(delta="a")],
    "axis": [lambda: pi.L21("X"), lambda: pi.L21((0, 0)), lambda: pi.L21(1.5), lambda: pi.TemporalFFT((0,)),
             lambda: pi.Nuclear(axis=1.5), lambda: pi.Nuclear(axis=3).value(np.ones((2, 2), complex)),
             lambda: pi.L21(3).prox(np.ones((2, 2), complex), 1.0)],
    "axes": [lambda: pi.TV(axes=0), lambda: pi.DCT(()), lambda: pi.DCT((0, 0)), lambda: pi.TV(axes=(0.5,)),
             lambda: pi.TV(axes=(3,)).value(np.ones((2, 2), complex)), lambda: linops.dct((4, 4), (2,))],
    "alpha must": [lambda: pi.L1MinusL2(alpha=1.5), lambda: pi.L1MinusL2(alpha=-0.1), lambda: pi.L1MinusL2(alpha=None)],
    "block must": [lambda: pi.LLR(block=0), lambda: pi.LLR(block=2.5)],
    "shifts must": [lambda: pi.LLR(shifts=-1)],
    "frame": [lambda: pi.LLR().value(np.ones((4, 4), complex)), lambda: problem(pi.LLR())],
    "high must": [lambda: pi.Box(high=0), lambda: pi.Box(high=math.inf), lambda: pi.Box(high=1j)],
    "G must": [lambda: pi.Quadratic(None), lambda: pi.Quadratic(np.eye(3))],
    "reference": [lambda: pi.Quadratic(linops.identity((4, 4)), np.ones((4, 5))),
                  lambda: pi.Quadratic(linops.identity((4, 4)), np.full((4, 4), np.nan))],
    "dimensions": [lambda: problem(pi.Nuclear(axis=2)), lambda: problem(pi.L21((0, 2))), lambda: problem(pi.DCT((3,))),
                   lambda: problem(pi.TV(axes=(-3,))), lambda: problem(pi.TemporalFFT(5))],
    "shape": [lambda: problem(pi.Quadratic(linops.identity((4, 4))))],
}


def problem(prior):
    return pi.Problem(linops.identity((6, 6)), np.ones((6, 6), complex), prior)


@pytest.mark.parametrize(("word", "call"), [(w, c) for w, calls in BAD.items() for c in calls])
def test_bad_input_is_named(word, call):
    with pytest.raises((ValueError, TypeError), match=word) as caught:
        call()
    assert "\n" not in str(caught.value)


# ---- torch -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("prior", [
    pi.L1(delta=0.3), pi.L21(axis=(0, 2)), pi.L21(delta=0.3), pi.L1MinusL2(alpha=0.7), pi.DCT(), pi.TemporalFFT(),
    pi.Nuclear(), pi.LLR(block=2), pi.LLR(block=2, shifts=3).at(1), pi.Box(high=0.8), pi.RealNonNegative(),
    pi.Quadratic(linops.gradient((3, 4, 4)))], ids=repr)
@pytest.mark.parametrize("step", [0.2, 1.0])
def test_the_prox_is_differentiable_on_torch(prior, step, rng):
    import torch

    x = torch.from_numpy(series(rng, 3, 4, 4)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: prior.prox(v, step), (x,), atol=1e-5)


@pytest.mark.parametrize("name", ["nuclear", "series-llr"])
def test_low_rank_in_single_precision_on_torch(name, rng):
    import torch

    x = testing.random(prior_shape(name), rng, "complex64")
    ours = PRIORS[name].prox(x, 1.0)
    theirs = PRIORS[name].prox(torch.from_numpy(x.copy()), 1.0)
    assert theirs.dtype == torch.complex64
    assert distance(theirs, ours) < 1e-5


@pytest.mark.parametrize("prior", [pi.Nuclear(), pi.LLR(block=2)])
@pytest.mark.parametrize("rank", [0, 1, "equal"])
def test_low_rank_has_a_derivative_where_the_svd_has_none(prior, rank, rng):
    """A series of zeros, of rank one, and of equal singular values."""
    import torch

    x = np.zeros((3, 4, 4), complex)
    if rank == 1:
        x = np.array([1, 2, 3j])[:, None, None] * testing.random((4, 4), rng, "complex128")
    elif rank == "equal":
        x[range(3), range(3), range(3)] = 2
    t = torch.from_numpy(x).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: prior.prox(v, 0.7), (t,), atol=1e-5)


def test_a_sum_with_one_denoiser_has_no_value():
    """One part without a g to evaluate is enough; a sum of two with one has both values."""
    x = np.array([[3.0, -4.0]]) + 0j
    both = pi.L1() + pi.Tikhonov()
    assert not both.implicit
    assert both.value(x) == 7 + 12.5
    mixed = pi.L1() + 0.5 * pi.RED(lambda x, sigma: 0.5 * x, sigma=0.1)
    assert mixed.implicit
    assert mixed.value(x) is None


@pytest.mark.parametrize("axis", [0, (0, 2)])
def test_lengths_of_tensors_are_those_of_arrays(axis, rng):
    """(3, 4) has the length 5, and so for tensors, which go another way."""
    x = series(rng)
    assert float(pi.L21(axis).value(torch.from_numpy(x))) == pytest.approx(pi.L21(axis).value(x), rel=1e-12)
    two = torch.tensor([[[3.0, 0.0]], [[4.0, 0.0]]], dtype=torch.complex128)  # with a place that is 0
    assert float(pi.L21(0).value(two)) == pytest.approx(5, rel=1e-12)
    np.testing.assert_allclose(pi.L21(0).prox(two, 1.0)[:, 0, 0].real, [2.4, 3.2])
