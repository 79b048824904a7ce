"""One word, one meaning: what has another name now says so, and files that have the old names are read as before."""

import json
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest

import pisolve as pi
from pisolve import _check
from pisolve.evaluate.plan import make
from pisolve.recipe.format import spelled

SCAN = pi.io.Scan(pi.phantom.brain((48, 40), 6, noise=0.03).kspace.astype(np.complex64))


@_check.renamed(method="by")
@dataclass(frozen=True)
class Part:
    """Something with an argument that was called `method`."""

    by: str = "svd"


@_check.renamed(method="criterion")
def told(data, *, criterion="holdout"):
    return data, criterion


def test_old_words_mean_the_new_ones_for_one_version():
    assert (told(3), told(3, criterion="sure")) == ((3, "holdout"), (3, "sure"))
    assert (told.former, told.__name__) == ({"method": "criterion"}, "told")
    assert (Part("gcc"), Part.former) == (Part(by="gcc"), {"method": "by"})
    with pytest.warns(FutureWarning, match=r"^method is called criterion now: criterion='sure'. The next") as w:
        assert told(3, method="sure") == (3, "sure")
    assert w[0].filename == __file__
    with pytest.warns(FutureWarning, match=r"^method is called by now: by='gcc'"):
        part = Part(method="gcc")
    assert part == Part(by="gcc")
    with pytest.warns(FutureWarning, match=r"^method is called by now\. The next version refuses method$"):
        assert part.method == "gcc"
    with pytest.raises(TypeError, match=r"^method is called by now: give by alone$"):
        Part(by="gcc", method="svd")
    with pytest.raises(AttributeError, match="'Part' object has no attribute 'other'"):
        assert Part().other
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        told(3, other=1)


@pytest.mark.parametrize(("version", "refused"), [("0.2.0", False), ("0.3.2", False), ("0.4.0", True), ("1.0.0", True)])
def test_old_words_are_refused_from_the_second_version_on(version, refused, monkeypatch):
    monkeypatch.setattr("pisolve._former.__version__", version)
    if not refused:
        with pytest.warns(FutureWarning, match="method is called criterion now"):
            assert told(3, method="sure") == (3, "sure")
        return
    with pytest.raises(TypeError, match=r"^method is called criterion now: criterion='sure'$"):
        told(3, method="sure")
    with pytest.raises(AttributeError, match=r"^method is called by now$"):
        assert Part().method


@pytest.mark.parametrize(("call", "message"), [
    (lambda: pi.tune(None, pi.TV(), method="holdout"), "method is called criterion now: criterion='holdout'"),
    (lambda: pi.evaluate.uncertainty(None, None, method="sure"), "method is called by now: by='sure'"),
    (lambda: pi.evaluate.stability(None, None, method="search"), "method is called by now: by='search'"),
    (lambda: pi.calib.compress(None, method="gcc"), "method is called by now: by='gcc'"),
    (lambda: pi.calib.compression(None, method="svd"), "method is called by now: by='svd'"),
    (lambda: pi.calib.espirit(None, maps=2), "maps is called sets now: sets=2"),
])
def test_public_arguments_of_old(call, message):
    """They are told before the call fails for its own reason, data that are none."""
    with pytest.warns(FutureWarning, match=message), pytest.raises((TypeError, ValueError, AttributeError)):
        call()


def test_parts_with_an_old_word_are_those_with_the_new_one():
    with pytest.warns(FutureWarning, match="maps is called sets now: sets=2"):
        assert pi.Espirit(maps=2) == pi.Espirit(sets=2)
    with pytest.warns(FutureWarning, match="method is called by now: by='gcc'"):
        assert pi.Compress(4, method="gcc") == pi.Compress(4, by="gcc")
    with pytest.warns(FutureWarning, match="espirit is called maps now"):
        assert pi.Recipe(espirit=pi.Espirit(8)).maps == pi.Espirit(8)
    with pytest.warns(FutureWarning, match="nets.Reconstruction is called ReconstructionTask now"):
        assert pi.nets.Reconstruction is pi.nets.ReconstructionTask
    kspace = SCAN.kspace
    with pytest.warns(FutureWarning, match="method is called by now"):
        old = pi.calib.compress(kspace, coils=3, method="gcc")
    np.testing.assert_array_equal(old, pi.calib.compress(kspace, coils=3, by="gcc"))


def test_warnings_name_the_users_line():
    """Through what says the new words, too."""
    undersampled = SCAN.undersample(pi.masks.random(SCAN.kspace.shape, 2, 0.3))
    with pytest.warns(UserWarning, match="widen strengths") as found:
        pi.tune(undersampled, pi.Tikhonov(), strengths=[1, 2, 4], max_iter=2, maps=pi.Espirit(crop=0.9999))
    told = " ".join(str(w.message) for w in found)
    assert "the coil maps are zero" in told
    assert {w.filename for w in found} == {__file__}


def test_an_old_recipe_is_read():
    """As versions before wrote it: Espirit's sets were `maps`, Compress's `by` was `method`."""
    old = {"pisolve": "0.2.0", "type": "Recipe", "maps": {"type": "Espirit", "calib_width": 20, "maps": 2},
           "prior": {"type": "Scaled", "prior": {"type": "Tikhonov"}, "lam": 0.01},
           "compress": {"type": "Compress", "coils": 4, "energy": None, "method": "gcc"}}
    recipe = pi.Recipe.from_dict(old)
    assert recipe.maps == pi.Espirit(20, sets=2)
    assert recipe.compress == pi.Compress(4, by="gcc")
    now = recipe.to_dict()
    assert (now["maps"]["sets"], now["compress"]["by"]) == (2, "gcc")
    assert pi.Recipe.from_dict(now).to_dict() == now
    for part, word in (("maps", "maps"), ("compress", "method")):
        assert word not in now[part]
        assert word in spelled(now, first=True)[part]
    assert spelled(spelled(now, first=True)) == now


def test_an_old_checkpoint_goes_on(tmp_path):
    recipe = pi.Recipe(0.01 * pi.Tikhonov(), compress=pi.Compress(4, by="gcc"), maps=pi.Espirit(8, 4), max_iter=2)
    done = recipe(SCAN, checkpoint=tmp_path)
    about = json.loads((tmp_path / "checkpoint.json").read_text())
    about["recipe"]["maps"]["maps"] = about["recipe"]["maps"].pop("sets")
    about["recipe"]["compress"]["method"] = about["recipe"]["compress"].pop("by")
    (tmp_path / "checkpoint.json").write_text(json.dumps(about))
    np.testing.assert_array_equal(recipe(SCAN, checkpoint=tmp_path).x, done.x)
    with pytest.raises(ValueError, match="another recipe"):
        replace(recipe, compress=pi.Compress(4))(SCAN, checkpoint=tmp_path)


def test_an_old_comparison_is_run_again(tmp_path):
    """Its fingerprint stays: it is of the words that were first written."""
    recipe = pi.Recipe(0.01 * pi.Tikhonov(), compress=pi.Compress(4, by="gcc"), maps=pi.Espirit(8, 4), max_iter=2)
    first = pi.compare({"scan": SCAN}, {"tikhonov": recipe}, accel=2, tune=None, folder=tmp_path)
    path = tmp_path / "comparison.json"
    about = json.loads(path.read_text())
    old = about["about"]["plan"]["methods"]["tikhonov"]
    old["maps"]["maps"] = old["maps"].pop("sets")
    old["compress"]["method"] = old["compress"].pop("by")
    path.write_text(json.dumps(about))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pi.evaluate.rerun(path, scans={"scan": SCAN})
    assert again.mean("tikhonov", "psnr") == first.mean("tikhonov", "psnr")
    plan = make({"scan": SCAN}, {"tikhonov": recipe}, accel=2, tune=None)
    digests = []
    for described in (recipe.to_dict(), spelled(recipe.to_dict(), first=True)):
        digests.append(replace(plan, methods={"tikhonov": pi.Recipe.from_dict(described)}).fingerprint)
    assert digests[0] == digests[1] == plan.fingerprint
