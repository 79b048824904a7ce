"""What a person sees: recipes as small files, results drawn, results printed as words instead of arrays."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

import pisolve as pi
from pisolve import evaluate
from pisolve.prepare import like_rss

P = pi.phantom.brain((40, 36), 4, noise=0.02)
SCAN = pi.io.Scan(P.kspace, mps=P.mps / np.linalg.norm(P.mps, axis=0))
RECIPE = pi.Recipe(2e-3 * pi.TV() + 1e-3 * pi.Wavelet("haar"), pi.ADMM(rho=0.5), max_iter=6, name="mine",
                   sampling=pi.Sampling("random", 2, seed=3), compress=pi.Compress(3))
DONE = RECIPE(SCAN)


@pytest.mark.parametrize("suffix", [".json", ".toml", ".h5"])
def test_a_recipe_is_a_file(tmp_path, suffix):
    path = tmp_path / f"recipe{suffix}"
    if suffix == ".h5":
        DONE.save(path)
    elif suffix == ".json":
        RECIPE.save(path)
        text = path.read_text()
        assert json.loads(text) == RECIPE.to_dict()
        assert text.count("\n") > 20
    else:  # what a person writes: the rest is at its default
        path.write_text('type = "Recipe"\nmax_iter = 6\nname = "mine"\n[prior]\ntype = "Sum"\n[[prior.priors]]\n'
                        'type = "Scaled"\nlam = 2e-3\nprior.type = "TV"\n[[prior.priors]]\ntype = "Scaled"\n'
                        'lam = 1e-3\n[prior.priors.prior]\ntype = "Wavelet"\nname = "haar"\n[solver]\ntype = "ADMM"\n'
                        'rho = 0.5\n[sampling]\ntype = "Sampling"\naccel = 2\nseed = 3\n[compress]\n'
                        'type = "Compress"\ncoils = 3\n')
    np.testing.assert_array_equal(pi.Recipe.load(path)(SCAN).x, DONE.x)


@pytest.mark.parametrize(("name", "text", "error", "message"), [
    ("no.json", None, FileNotFoundError, "no.json does not exist"),
    ("a.yaml", "", ValueError, "the suffix of a recipe"),
    ("a.json", "{", ValueError, r"a.json holds no recipe"), ("a.toml", "a =", ValueError, "a.toml holds no recipe"),
    ("a.json", '{"type": "TV"}', ValueError, "a.json holds no recipe: this describes a TV, not a recipe"),
    ("a.json", '{"type": "Recipe", "lam": 3}', ValueError, "a.json holds no recipe: .*'lam'"),
    ("a.h5", "x", ValueError, "a.h5"),
])
def test_files_that_hold_no_recipe(tmp_path, name, text, error, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=message):
        pi.Recipe.load(tmp_path / name)


def test_a_recipe_is_written_as_json_alone(tmp_path):
    with pytest.raises(ValueError, match=r"the suffix of path must be one of \.json"):
        RECIPE.save(tmp_path / "a.toml")


def test_a_result_is_drawn(tmp_path):
    import matplotlib
    from matplotlib import pyplot

    matplotlib.use("Agg")
    DONE.save(tmp_path / "a.png")
    drawn = DONE.plot(title="mine")
    assert len(pyplot.get_fignums()) == 1
    words = {t.get_text() for t in drawn.texts}
    assert {"zero-filled", "reconstruction", "reference", "mine"} <= words
    assert f"{pi.metrics.psnr(DONE.scan.reference, like_rss(DONE.scan, DONE.x)):.2f} dB" in " ".join(words)
    pyplot.close(drawn)
    assert imread(tmp_path / "a.png").std() > 0.1
    blind = pi.recon(SCAN, max_iter=2)
    assert blind.scan.reference is None
    blind.save(tmp_path / "b.pdf")
    pyplot.close(blind.plot())


def results():
    own = DONE.recipe.replace(sampling=None, compress=None)
    full = evaluate.uncertainty(own, DONE.scan, n=3)
    return {
        "noise_map": evaluate.noise_map(own, DONE.scan, replicas=3), "uncertainty": full,
        "calibration": full.calibration, "consistency": evaluate.consistency(DONE),
        "holdout": evaluate.holdout_error(DONE, folds=1), "visibility": evaluate.visibility(DONE, grid=8),
        "stability": evaluate.stability(DONE, sizes=(0.01,), steps=1, by="search", tests=("perturbation",)),
        "shift": evaluate.shift(own, SCAN), "crimes": evaluate.crimes(DONE), "result": DONE, "scan": DONE.scan,
        "solved": DONE.results[0], "agreement": DONE.agreement, "tuning": pi.tune(DONE, 1e-3 * pi.TV(), max_iter=3),
    }


def test_results_are_printed_as_words():
    for name, result in results().items():
        for text, most in ((str(result), 4000), (repr(result), 700)):
            assert 20 < len(text) < most, (name, len(text))
            assert "array(" not in text, name
            assert "[[" not in text, name
            assert " object at 0x" not in text, name


def test_the_printed_numbers_are_the_right_ones():
    noise, std = evaluate.noise_map(DONE, replicas=3), DONE
    level = np.percentile(abs(noise.image), 99)
    assert f"{100 * np.median(noise.std[noise.std > 0]) / level:.4g}" in str(noise)
    assert "std=float64 (40, 36)" in repr(noise)
    assert f"{100 * np.sqrt(np.trace(noise.covariance).real / 3) / 100:.4g}" in str(noise)
    found = evaluate.consistency(std)
    assert found.verdict in str(found)
    assert f"chi={found.chi:.4g}" in repr(found)
