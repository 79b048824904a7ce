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


def test_old_words_say_the_new_ones():
    assert (told(3), told(3, criterion="sure")) == ((3, "holdout"), (3, "sure"))
    assert (told.former, told.__name__) == ({"method": "criterion"}, "told")
    assert (Part("gcc"), Part.former) == (Part(by="gcc"), {"method": "by"})
    with pytest.raises(TypeError, match=r"^method is called criterion now: criterion='sure'$"):
        told(3, method="sure")
    with pytest.raises(TypeError, match=r"^method is called by now: by='gcc'$"):
        Part(method="gcc")
    with pytest.raises(AttributeError, match=r"^method is called by now$"):
        assert Part().method
    with pytest.raises(AttributeError, match="'Part' object has no attribute 'other'"):
        assert Part().other
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        told(3, other=1)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: pi.tune(None, pi.TV(), method="holdout"), "method is called criterion now: criterion='holdout'"),
    (lambda: pi.evaluate.uncertainty(None, None, method="sure"), "method is called by now: by='sure'"),
    (lambda: pi.evaluate.stability(None, None, method="search"), "method is called by now: by='search'"),
    (lambda: pi.Compress(method="gcc"), "method is called by now: by='gcc'"),
    (lambda: pi.calib.compress(None, method="gcc"), "method is called by now: by='gcc'"),
    (lambda: pi.calib.compression(None, method="svd"), "method is called by now: by='svd'"),
    (lambda: pi.Espirit(maps=2), "maps is called sets now: sets=2"),
    (lambda: pi.calib.espirit(None, maps=2), "maps is called sets now: sets=2"),
])
def test_public_arguments_of_old(call, message):
    with pytest.raises(TypeError, match=message):
        call()


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
