"""Recipe and scan in whichever order they come, and results in the place of both: the same bits, or the right call."""

import numpy as np
import pytest

import pisolve as pi
from pisolve import evaluate

P = pi.phantom.brain((40, 36), 4, noise=0.01)
FULL = pi.io.Scan(P.kspace, mps=P.mps)
PRIOR = 1e-2 * pi.Tikhonov()
RECIPE = pi.Recipe(PRIOR, sampling=pi.Sampling("random", 2), max_iter=8)
OWN = RECIPE.replace(sampling=None)
DONE = RECIPE(FULL)

CALLS = {  # what takes (recipe, scan): the array that is compared
    "noise_map": lambda *a: evaluate.noise_map(*a, replicas=3).std,
    "uncertainty": lambda *a: evaluate.uncertainty(*a, n=3).std,
    "holdout_error": lambda *a: np.array(evaluate.holdout_error(*a, folds=1).error),
    "stability": lambda *a: np.array([r["gain"] for r in evaluate.stability(
        *a, sizes=(0.01,), steps=1, by="search", tests=("perturbation",)).perturbation.rows]),
    "consistency": lambda *a: evaluate.consistency(*a).image,
    "recon": lambda *a: (pi.recon(*a) if isinstance(a[0], pi.Recipe) else pi.recon(*a[::-1])).x,
}


@pytest.mark.parametrize("call", CALLS)
def test_recipe_and_scan_in_any_order(call):
    run = CALLS[call]
    expected = run(OWN, DONE.scan)
    assert np.linalg.norm(expected) > 0
    for given in ((DONE.scan, OWN), (DONE, DONE.scan), (DONE.scan, DONE), (OWN, DONE), (DONE, OWN)):
        if call == "consistency" and DONE in given and OWN not in given:
            continue  # a result is judged as it is, see below
        recipe, scan = given
        if any(g is DONE for g in given) and OWN not in given:  # with its solver fixed, and its own sampling
            recipe, scan = ((DONE.recipe.replace(sampling=None), scan) if recipe is DONE else
                            (recipe, DONE.recipe.replace(sampling=None)))
        np.testing.assert_array_equal(run(recipe, scan), expected)


@pytest.mark.parametrize("call", [c for c in CALLS if c != "recon"])
def test_a_result_alone_gives_its_recipe_and_its_scan(call):
    np.testing.assert_array_equal(CALLS[call](DONE), CALLS[call](OWN, DONE.scan))


@pytest.mark.parametrize("call", CALLS)
def test_a_prior_says_a_recipe(call):
    run = CALLS[call]
    prior = pi.Recipe(PRIOR)
    expected = run(prior, DONE.scan)
    np.testing.assert_array_equal(run(DONE.scan, PRIOR), expected)
    if call != "recon":
        np.testing.assert_array_equal(run(PRIOR, DONE.scan), expected)


@pytest.mark.parametrize("call", ["noise_map", "uncertainty", "holdout_error", "stability"])
def test_one_alone_is_told_the_right_call(call):
    with pytest.raises(TypeError, match=rf"^{call} needs a scan, too: {call}\(recipe, scan\), or {call}\(result\)$"):
        getattr(evaluate, call)(OWN)
    with pytest.raises(TypeError, match=rf"^{call} needs a recipe, too: {call}\(recipe, scan\)"):
        getattr(evaluate, call)(FULL)


def test_a_result_of_white_compressed_coils_is_not_made_so_again():
    noise = 0.01 * np.random.default_rng(0).standard_normal((4, 200, 2)).view(complex)[..., 0]
    scan = pi.io.Scan(P.kspace, noise=noise)
    done = RECIPE.replace(whiten=True, compress=pi.Compress(3, by="gcc"))(scan)  # its noise samples are gone
    again = pi.recon(done, max_iter=done.recipe.max_iter)
    with pytest.raises(ValueError, match="whiten needs noise samples"):
        evaluate.noise_map(done.recipe, done.scan, replicas=3)
    assert evaluate.noise_map(done, replicas=3).std.shape == done.x.shape
    np.testing.assert_array_equal(again.x, done.x)


def test_recon_takes_a_recipe_and_results():
    np.testing.assert_array_equal(pi.recon(FULL, RECIPE).x, DONE.x)
    np.testing.assert_array_equal(pi.recon(RECIPE, FULL).x, DONE.x)
    np.testing.assert_array_equal(pi.recon(FULL, DONE).x, DONE.x)
    np.testing.assert_array_equal(pi.recon(PRIOR, DONE.scan, max_iter=8).x, DONE.x)
    changed = pi.recon(FULL, RECIPE, pi.FISTA(), max_iter=3, sampling=None)
    assert (changed.recipe.solver, changed.recipe.max_iter, changed.recipe.sampling) == (pi.FISTA(), 3, None)
    np.testing.assert_array_equal(pi.recon(DONE, 2e-2 * pi.Tikhonov()).x, pi.recon(DONE.scan, 2e-2 * pi.Tikhonov()).x)
    with pytest.raises(TypeError, match=r"^recon needs a scan: recon\(scan, prior\)$"):
        pi.recon(PRIOR)


def test_other_calls_take_results_and_either_order():
    assert [c.name for c in evaluate.crimes(DONE)] == [c.name for c in evaluate.crimes(DONE.scan)]
    np.testing.assert_array_equal(evaluate.visibility(DONE, grid=8).determined,
                                  evaluate.visibility(DONE.scan, grid=8).determined)
    assert evaluate.seen(DONE.x, DONE) == evaluate.seen(DONE.x, DONE.scan)
    expected = evaluate.consistency(DONE.x, DONE.scan).chi
    assert evaluate.consistency(DONE.scan, DONE.x).chi == expected == pytest.approx(evaluate.consistency(DONE).chi)
    one, other = evaluate.shift({"a": OWN}, {"full": FULL}), evaluate.shift({"full": FULL}, {"a": DONE})
    assert one.rows == other.rows
    assert evaluate.shift(PRIOR, FULL).recipes == evaluate.shift(FULL, pi.Recipe(PRIOR)).recipes
    assert pi.tune(DONE, PRIOR, max_iter=5).curve == pi.tune(PRIOR, DONE.scan, max_iter=5).curve
    assert pi.tune(DONE, max_iter=5).curve == pi.tune(DONE.scan, PRIOR, max_iter=5).curve


def test_compare_in_either_order():
    from pisolve.evaluate.plan import make

    scans, methods = {"a": FULL}, {"t": PRIOR}
    assert make(methods, scans).fingerprint == make(scans, methods).fingerprint
    assert list(make(["tv", "sense"], FULL).methods) == ["tv", "sense"]


def test_seeds_in_either_order():
    pair = [OWN, OWN.replace(max_iter=3)]
    expected = evaluate.uncertainty(pair, DONE.scan, by="seeds").std
    np.testing.assert_array_equal(evaluate.uncertainty(DONE.scan, pair, by="seeds").std, expected)
    with pytest.raises(TypeError, match=r"uncertainty needs a scan, too: uncertainty\(recipes, scan, by='seeds'\)"):
        evaluate.uncertainty(pair, by="seeds")
