"""`compare`: the same data and chances for all methods, numbers that oracles confirm, kills that cost little."""

import csv
import io as text
import json
import random
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats
import torch
from nursery import Nursery
from pandas import DataFrame

import pisolve as pi
from pisolve import phantom
from pisolve.evaluate import comparison, plan, run
from pisolve.evaluate.outcome import FAILED
from pisolve.evaluate.statistics import bootstrap
from pisolve.evaluate.tables import csv_text, markdown

METHODS = {"zero-filled": "zero-filled", "sense": "sense", "tikhonov": pi.Tikhonov(),
           "tv": pi.Recipe(pi.TV(), max_iter=8)}


@pytest.fixture(scope="module")
def scan():
    """Two slices of a small head with noise."""
    slices = [phantom.brain((64, 48), 4, noise=0.03, seed=s).kspace for s in (1, 2)]
    return pi.io.Scan(np.stack(slices).astype(np.complex64))


@pytest.fixture(scope="module")
def done(scan, tmp_path_factory):
    """A comparison, and the folder that it is in."""
    folder = tmp_path_factory.mktemp("compare")
    return pi.compare({"head": scan}, METHODS, accel=[2, 3], trials=9, folder=folder), folder


def test_what_it_holds(done, scan):
    result, folder = done
    assert [s.label for s in result.settings] == ["head, 2x random", "head, 3x random"]
    assert list(result.methods) == list(METHODS)
    assert sorted(p.name for p in folder.iterdir()) == ["comparison.json", "parts", "records.csv", "slices.csv",
                                                        "summary.md"]
    frame = DataFrame(result.records())
    assert len(frame) == 8
    assert len(DataFrame(result.records(slices=True))) == 16
    body = pi.metrics.body(scan.rss())
    for (index, name), o in result.outcomes.items():
        truth = result.settings[index].reference
        np.testing.assert_allclose(truth, scan.rss(), rtol=1e-5)
        assert o.values["psnr"] == pi.metrics.psnr(truth, o.images)
        assert o.values["psnr_body"] == pi.metrics.psnr(truth, o.images, region=body)
        row = frame[(frame.accel == result.settings[index].accel) & (frame.method == name)]
        assert float(row.ssim.iloc[0]) == pi.metrics.ssim(truth, o.images)
        assert o.slices["nmse"][1] == pi.metrics.nmse(truth[1], o.images[1])
    assert result.mean("tikhonov", "psnr") > result.mean("zero-filled", "psnr") + 1


def test_equal_terms(done, scan):
    """One mask, one set of maps, one scale; as many trials for each prior that has a strength, none for the others."""
    result, folder = done
    trials = {name: {len((o.tuning or {}).get("curve", ())) for (_, n), o in result.outcomes.items() if n == name}
              for name in METHODS}
    assert trials == {"zero-filled": {0}, "sense": {0}, "tikhonov": {9}, "tv": {9}}
    for k, s in enumerate(result.settings):
        prepared = run.prepared(folder / "parts", k)
        np.testing.assert_array_equal(prepared.mask, s.pattern)
        for name in ("tikhonov", "tv"):  # each image is what a recipe of its own makes of the same data
            o = result.outcomes[k, name]
            lam = o.tuning["strength"]
            prior = lam * (pi.TV() if name == "tv" else pi.Tikhonov())
            alone = pi.recon(prepared, prior, max_iter=8 if name == "tv" else 100)
            np.testing.assert_array_equal(alone.x, o.images)
            tuned = pi.tune(prepared, prior, max_iter=8 if name == "tv" else 100, refine=0,
                            strengths=[s for s, _ in o.tuning["curve"]])
            assert tuned.strength == lam
            assert [v for _, v in tuned.curve] == [v for _, v in o.tuning["curve"]]


@pytest.mark.parametrize("trials", [9, 10, 12, 16])
@pytest.mark.parametrize("criterion", ["holdout", "discrepancy"])
def test_trials(scan, trials, criterion):
    """The budget is kept, and where the minimum is inside it is spent."""
    tuning = pi.tuning.tune_prepared(plan.Recipe(sampling=pi.Sampling("random", 3)).prepare(scan), pi.Tikhonov(),
                                     criterion=criterion, max_iter=5, trials=trials)
    assert len(tuning.curve) <= trials
    if criterion == "holdout" and tuning.ok:
        assert len(tuning.curve) == trials


UNEQUAL = {
    "tuned by itself": (lambda: {"a": pi.Recipe(pi.TV(), tune="holdout")}, ValueError, "tune='holdout'"),
    "sampling of its own": (lambda: {"a": pi.Recipe(pi.TV(), sampling=pi.Sampling())}, ValueError, "sampling="),
    "other maps": (lambda: {"a": pi.Recipe(pi.TV()), "b": pi.Recipe(pi.TV(), maps=pi.Walsh())}, ValueError, "unequal"),
    "other coils": (lambda: {"a": "sense", "b": pi.Recipe(pi.TV(), compress=pi.Compress(2))}, ValueError, "compress="),
    "a word that is none": (lambda: ["sense", "magic"], ValueError, "'magic'"),
    "twice": (lambda: ["tv", "tv"], ValueError, "twice"),
    "nothing": (lambda: [], ValueError, "empty"),
    "a denoiser": (lambda: {"a": pi.Denoiser(lambda x, s: x)}, TypeError, "pi.PnP"),
    "a number": (lambda: {"a": 3}, TypeError, "'a' must be"),
}


@pytest.mark.parametrize("name", UNEQUAL)
def test_unequal_terms_are_refused(scan, name):
    methods, kind, words = UNEQUAL[name]
    with pytest.raises(kind, match=re.escape(words)):
        pi.compare(scan, methods(), accel=2)


@pytest.mark.parametrize(("options", "words"), [
    ({"mask": "random"}, "mask has no effect without accel"), ({"seeds": 2}, "seeds has no effect"),
    ({"accel": 0.5}, "accel"), ({"accel": 2, "mask": "star"}, "mask"), ({"accel": 2, "trials": 3}, "trials"),
    ({"accel": [2, 2]}, "twice"), ({"accel": 2, "tune": "luck"}, "tune"), ({"accel": 2, "workers": 0}, "workers"),
    ({"tune": "reference"}, "needs the truth"), ({"accel": 2, "report": "x.pdf"}, "report"),
    ({"accel": 2, "slices": 7}, "slices")])
def test_bad_options(scan, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        pi.compare(scan, ["sense"], **options)


def test_oracle_is_told(scan):
    result = pi.compare(scan, ["tikhonov"], accel=2, tune="reference", trials=9, slices=0)
    assert "oracle" in result.warnings[0]
    assert "reference" in json.dumps(result.to_dict()["about"])


def test_another_comparison_is_refused(done, scan):
    with pytest.raises(ValueError, match=re.escape("another comparison")):
        pi.compare({"head": scan}, METHODS, accel=[2, 3], trials=10, folder=done[1])


def same(a, b):
    """Whether two comparisons hold the same bits, but for times and memory."""
    assert a.records(costs=False) == b.records(costs=False)
    assert a.records(slices=True, costs=False) == b.records(slices=True, costs=False)
    for key, outcome in a.outcomes.items():
        np.testing.assert_array_equal(outcome.images, b.outcomes[key].images)
    return True


def test_rerun(done, scan):
    """From its own file: the same bits; with processes beside each other, too."""
    result, folder = done
    with pytest.raises(ValueError, match=re.escape("give scans={'head'")):
        pi.evaluate.rerun(folder)
    assert same(result, pi.evaluate.rerun(folder, scans={"head": scan}))


def test_workers(scan):
    one, two = (pi.compare(scan, ["sense", "tikhonov"], accel=2, trials=9, slices=[0], workers=n) for n in (1, 2))
    assert [o.status for o in one.outcomes.values()] == [o.status for o in two.outcomes.values()]
    for key, outcome in one.outcomes.items():
        np.testing.assert_allclose(outcome.images, two.outcomes[key].images, rtol=1e-4, atol=1e-6)


CHILD = """
import numpy as np
import pisolve as pi
from pisolve.recipe import recipe
from pisolve.tuning import scores

pi.compare, pi.masks, pi.metrics  # loads them

def main(folder, path):
    log = open(path, "a")

    def counted(run):
        def inner(*a, **k):
            log.write("begun\\n"); log.flush()
            return run(*a, **k)
        return inner

    recipe.solve, scores.solve = counted(recipe.solve), counted(scores.solve)
    scan = pi.io.Scan(np.load(folder + "/kspace.npy"))
    methods = {"zero-filled": None, "sense": "sense", "tikhonov": pi.Recipe(pi.Tikhonov(), max_iter=10),
               "tv": pi.Recipe(pi.TV(), max_iter=15)}
    pi.compare({"head": scan}, methods, accel=[2, 3, 4], trials=9, folder=folder + "/out")
"""


def test_twenty_kills(scan, tmp_path):
    """Killed twenty times at random moments, it ends with the same bits; each kill costs one reconstruction at most."""
    np.save(tmp_path / "kspace.npy", scan.kspace)
    methods, options = {"zero-filled": None, "sense": "sense", "tikhonov": pi.Recipe(pi.Tikhonov(), max_iter=10),
                        "tv": pi.Recipe(pi.TV(), max_iter=15)}, {"accel": [2, 3, 4], "trials": 9}
    whole = pi.compare({"head": scan}, methods, **options)
    needed = 3 * (2 + 2 + 2 + 2 * 9 * 3)  # slices of three methods with a solver; two tunings of nine times three folds
    rng, log = random.Random(5), tmp_path / "log"
    log.touch()
    with Nursery(CHILD, tmp_path, log) as child:
        for _ in range(20):  # by what was done rather than by the clock: machines are slow and fast
            child.begin()
            after = log.read_text().count("\n") + rng.randint(0, 10)
            while log.read_text().count("\n") < after:
                assert child.runs(), "it came to its end before the kills did"
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.02))
            assert child.kill() == -signal.SIGKILL
        child.begin()
        assert child.wait() == 0
    assert needed <= len(log.read_text().splitlines()) <= needed + 20
    assert same(whole, pi.compare({"head": scan}, methods, folder=tmp_path / "out", **options))


def fake(values):
    """A comparison of numbers: {(scan, method): values of the slices}."""
    scans = list(dict.fromkeys(s for s, _ in values))
    settings = tuple(comparison.Setting(s, 4.0, "random", 0, np.ones((2, 2), bool), None, "", (1, 1, 2, 2), 1.0)
                     for s in scans)
    outcomes = {(scans.index(s), m): comparison.Outcome(
        scans.index(s), m, np.zeros((len(v), 2, 2)), "done", (1,) * len(v), (0.1,) * len(v), None,
        {"psnr": float(np.mean(v))}, {"psnr": v}) for (s, m), v in values.items()}
    return comparison.Comparison(settings, {m: m for _, m in values}, outcomes, {})


def test_paired_differences():
    """Worked by hand: 5 pairs, differences 1, 1, 3, -1, 1, so a mean of 1 and four wins."""
    c = fake({("s", "a"): [30.0, 31.0, 33.0, 29.0, 31.0], ("s", "b"): [29.0, 30.0, 30.0, 30.0, 30.0]})
    a, b = c.differences("psnr", "b")
    assert (a["method"], a["difference"], a["wins"], a["pairs"]) == ("a", 1.0, 4, 5)
    assert a["low"] < 1 < a["high"]
    assert (b["difference"], b["low"], b["high"], b["wins"]) == (0.0, 0.0, 0.0, 0)
    assert c.summary()[0]["best on"] == "1 of 1"
    with pytest.raises(ValueError, match="metric"):
        c.differences("beauty")


def test_bootstrap_against_scipy():
    """scipy's percentile bootstrap, and for many values the normal interval."""
    values = np.random.default_rng(1).normal(2, 3, 40)
    ours = bootstrap(values, draws=40000)
    theirs = scipy.stats.bootstrap((values,), np.mean, method="percentile", n_resamples=40000, rng=2)
    np.testing.assert_allclose(ours, theirs.confidence_interval, atol=0.03)
    values = np.random.default_rng(2).normal(0, 1, 4000)
    np.testing.assert_allclose(bootstrap(values), values.mean() + 1.96 / np.sqrt(4000) * np.array([-1, 1]), atol=0.003)


def test_bootstrap_of_groups():
    """Slices of one scan are drawn together: two scans of equal slices give the two means as ends, however many."""
    assert bootstrap([0.0] * 50 + [1.0] * 50, [0] * 50 + [1] * 50) == (0.0, 1.0)
    low, high = bootstrap([0.0] * 50 + [1.0] * 50)
    assert 0.35 < low < 0.5 < high < 0.65
    assert np.isnan(bootstrap([1.0])).all()
    assert bootstrap([1.0, 2.0], seed=3) == bootstrap([1.0, 2.0], seed=3)
    for bad in ([1.0, np.nan], [[1.0]]):
        with pytest.raises(ValueError, match=re.escape("values")):
            bootstrap(bad)


def test_tables():
    rows = [{"a|b": "x", "n": 1.23456}, {"n": 2, "more": None}]
    assert markdown(rows).splitlines() == ["| a\\|b |     n | more |", "|------|------:|------|",
                                           "| x    | 1.235 |      |", "|      |     2 |      |"]
    back = list(csv.DictReader(text.StringIO(csv_text(rows))))
    assert back[0] == {"a|b": "x", "n": "1.23456", "more": ""}


def test_strict_json(done):
    """What is written can be read by anybody: no NaN."""
    text = (done[1] / "comparison.json").read_text()
    assert json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} in the file"))["summary"]


def test_without_reference(scan):
    """As it was measured: no truth, so images are judged by samples that they did not see."""
    thin = scan.undersample(pi.masks.random(scan.kspace.shape, 2))
    thin = pi.io.Scan(thin.kspace, mask=thin.mask)
    result = pi.compare(thin, ["zero-filled", "tikhonov"], trials=9, slices=0)
    assert result.settings[0].reference is None
    assert result.settings[0].sampling == "as measured"
    assert "holdout" in result.metrics
    assert result.ranking()[0] == "tikhonov"


class Scaled(torch.nn.Module):
    """A network that returns a times the zero-filled image; it has no place in a registry."""

    needs_maps = True

    def __init__(self, a, error=None):
        super().__init__()
        self.a, self.error = torch.nn.Parameter(torch.tensor(float(a))), error

    def forward(self, A, y):
        if self.error:
            raise self.error
        return torch.from_numpy(A.H(y.numpy())) * self.a


def test_other_weights_are_another_comparison(scan, tmp_path):
    """A folder never hands out the images of other weights or of another prior made in Python."""
    options = {"accel": 2, "slices": 0, "folder": tmp_path / "out"}
    first = pi.compare(scan, {"net": Scaled(1)}, **options)
    assert same(first, pi.compare(scan, {"net": Scaled(1)}, **options))
    with pytest.raises(ValueError, match="another comparison"):
        pi.compare(scan, {"net": Scaled(0.5)}, **options)
    pnp = {"pnp": pi.Recipe(pi.PnP(lambda x, s: x, sigma=0.1), max_iter=2)}
    pi.compare(scan, pnp, accel=2, slices=0, tune=None, folder=tmp_path / "own")
    with pytest.raises(ValueError, match="another comparison"):
        pi.compare(scan, pnp, accel=2, slices=0, tune=None, folder=tmp_path / "own")


def test_a_phase_axis_is_part_of_the_scan():
    kspace = phantom.brain((32, 32), 2).kspace
    stamps = {plan.make(pi.io.Scan(kspace, meta={"phase_axis": axis}), ["sense"], accel=2).fingerprint
              for axis in (-2, -1)}
    assert len(stamps) == 2


def test_a_kill_during_the_prediction_of_samples(scan, tmp_path):
    """What was withheld is predicted after the images: it is made up for, too."""
    thin = pi.io.Scan(scan.kspace[0] * (mask := pi.masks.random(scan.kspace.shape, 2)), mask=mask)
    whole = pi.compare(thin, ["sense", "tikhonov"], trials=9, folder=tmp_path)
    for path in (tmp_path / "parts" / "000").glob("01-holdout.json*"):
        path.unlink()
    assert same(whole, pi.compare(thin, ["sense", "tikhonov"], trials=9, folder=tmp_path))


def test_undersampled_data_are_no_truth(scan):
    """Neither without a mask, nor where the file brings their own root sum of squares as a reference."""
    mask = pi.masks.random(scan.kspace.shape, 2, 0.3)
    thin = pi.io.Scan(scan.kspace[0] * mask)
    result = pi.compare(thin, ["tikhonov"], accel=1.3, trials=9)
    assert result.settings[0].reference is None
    assert result.settings[0].reference_kind == ""
    own = pi.io.Scan(thin.kspace, mask=mask, reference=thin.rss())
    result = pi.compare(own, ["tikhonov"], trials=9)
    assert result.settings[0].reference is None
    assert any("not used" in w for w in result.settings[0].warnings)


def test_maps_of_another_size(scan):
    """Maps three times as large change no method's image: SENSE's is seen through them, SPIRiT's is not."""
    calm = pi.io.Scan(phantom.brain((64, 48), 4, noise=0.005).kspace)
    mps = pi.calib.espirit(calm.kspace)
    methods = {"spirit": pi.Recipe(pi.Zero(), method=pi.Spirit(), max_iter=20), "sense": "sense"}
    one, three = (pi.compare(pi.io.Scan(calm.kspace, mps=f * mps), methods, accel=2) for f in (1, 3))
    for key, o in one.outcomes.items():
        assert three.outcomes[key].values["psnr"] == pytest.approx(o.values["psnr"], abs=0.1)


def test_a_given_reference_is_asked_for_again(scan, tmp_path):
    options = {"accel": 2, "slices": 0, "folder": tmp_path}
    np.savez(tmp_path / "s.npz", kspace=scan.kspace)
    pi.compare(tmp_path / "s.npz", ["sense"], reference=scan.rss()[0], **options)
    with pytest.raises(ValueError, match="give scans="):
        pi.evaluate.rerun(tmp_path)


def test_a_changed_file_is_told(scan, tmp_path):
    np.savez(tmp_path / "s.npz", kspace=scan.kspace)
    pi.compare(tmp_path / "s.npz", ["sense"], accel=2, slices=range(1), folder=tmp_path / "out")
    np.savez(tmp_path / "s.npz", kspace=2 * scan.kspace)
    with pytest.warns(UserWarning, match="changed since"):
        pi.evaluate.rerun(tmp_path / "out")


def test_whitening_keeps_the_truth(scan):
    """Noise is made white before the scan is undersampled, so that the truth is in the same units."""
    rng = np.random.default_rng(0)
    noisy = pi.io.Scan(scan.kspace[0], noise=(rng.standard_normal((4, 200, 2)) @ [0.03, 0.03j]).astype(np.complex64))
    result = pi.compare(noisy, {"tv": pi.Recipe(1e-3 * pi.TV(), whiten=True, max_iter=20)}, accel=2, tune=None)
    expected = pi.Recipe(pi.Zero(), whiten=True).prepare(noisy).rss()
    np.testing.assert_allclose(result.settings[0].reference[0], expected, rtol=1e-3)
    assert result.outcomes[0, "tv"].values["psnr"] > 15


@pytest.mark.parametrize("bad", ["nan", "raises"])
@pytest.mark.parametrize("truth", [True, False])
def test_a_method_that_fails_fails_alone(scan, bad, truth, tmp_path):
    """It has no numbers, it is last, it is told; the others are as they are without it."""
    net = Scaled(np.nan) if bad == "nan" else Scaled(1, RuntimeError("expected 15 coils"))
    mask = pi.masks.random(scan.kspace.shape, 2)
    data = scan.select(0) if truth else pi.io.Scan(scan.kspace[:1] * mask, mask=mask)
    options = {"accel": 2} if truth else {}
    result = pi.compare(data, {"net": net, "sense": "sense"}, folder=tmp_path, report=tmp_path / "x.html", **options)
    outcome = result.outcomes[0, "net"]
    assert outcome.status == ("nonfinite" if bad == "nan" and truth else "failed")  # no fold of it ends well, either
    assert all(np.isnan(v) for v in outcome.values.values())
    assert result.ranking() == ["sense", "net"]
    assert any("net has no numbers" in w for w in result.warnings)
    alone = pi.compare(data, {"sense": "sense"}, **options)
    np.testing.assert_array_equal(alone.outcomes[0, "sense"].images, result.outcomes[0, "sense"].images)
    assert bad == "nan" or "expected 15 coils" in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize("others", [["sense"], ["spirit"], []])
def test_raki_fails_alone_on_a_random_mask(scan, others):
    """The first method is not the one that maps and scale are made by."""
    options = {"accel": 2, "slices": 0, "tune": None}
    quick = {"sense": "sense", "spirit": pi.Recipe(pi.Zero(), method=pi.Spirit(), max_iter=3)}
    result = pi.compare(scan, {"raki": "raki", **{n: quick[n] for n in others}}, **options)
    assert result.outcomes[0, "raki"].status == "failed"
    assert "no regular lattice" in result.outcomes[0, "raki"].solver
    assert all(np.isnan(v) for v in result.outcomes[0, "raki"].values.values())
    for name in others:
        np.testing.assert_array_equal(pi.compare(scan, {name: quick[name]}, **options).outcomes[0, name].images,
                                      result.outcomes[0, name].images)


def test_a_fit_of_raki_that_diverged_has_no_numbers(scan):
    methods = {"raki": pi.Recipe(method=pi.Raki(lr=30.0, iterations=60, channels=(6, 4))), "sense": "sense"}
    result = pi.compare(scan, methods, accel=2, mask="equispaced", center_fraction=0.3, slices=0, tune=None)
    assert [result.outcomes[0, n].status for n in methods] == ["diverged", "max_iter"]
    assert result.ranking() == ["sense", "raki"]


FITS = {"sense": (pi.Sense(), 0), "grappa": (pi.Grappa(), 10), "raki": (pi.Raki(variant="linear"), 10),
        "spirit": (pi.Spirit(), 10)}  # name: (method, seconds that its fit shall take)


def test_seconds_are_those_of_all_that_a_method_does(scan, clock):
    """Fits, operators, scale, solving; not what is done once for all methods, nor the measures of the image."""
    clock(pi.calib, "espirit", 1000)
    for name in ("grappa", "raki", "spirit_kernel"):
        clock(pi.calib, name, 10)
    clock(pi.Recipe, "solve", 3)
    clock(run, "zero_filled", 2)
    clock(run, "like_rss", 500)
    clock(run, "consistency", 500)
    methods = {"zero-filled": "zero-filled", **{n: pi.Recipe(pi.Zero(), method=m, max_iter=2)
                                                for n, (m, _) in FITS.items()}}
    result = pi.compare(scan, methods, accel=2, mask="equispaced", center_fraction=0.3, tune=None)
    expected = {"zero-filled": 2, **{n: seconds + 3 for n, (_, seconds) in FITS.items()}}
    for name, seconds in expected.items():
        assert result.outcomes[0, name].status not in FAILED
        assert result.outcomes[0, name].seconds == (seconds, seconds)
    assert {r["method"]: r["seconds"] for r in result.records()} == {n: 2 * s for n, s in expected.items()}


def test_seconds_after_a_kill(scan, clock, tmp_path):
    """All slices are fitted again for the scale; the one that is missing gets its share of it."""
    clock(pi.calib, "grappa", 10)
    clock(pi.Recipe, "solve", 3)
    methods, options = {"grappa": "grappa"}, {"accel": 2, "mask": "equispaced", "center_fraction": 0.3, "tune": None}
    pi.compare(scan, methods, folder=tmp_path, **options)
    (path,) = (tmp_path / "parts" / "000").glob("00-001.npz")
    path.unlink()
    assert pi.compare(scan, methods, folder=tmp_path, **options).outcomes[0, "grappa"].seconds == (13, 13)


def test_raki_without_a_reference(scan):
    """Withheld samples would break its lattice: it has an image, no number, and that is told."""
    mask = pi.masks.equispaced(scan.kspace.shape, 2, 0.3)
    thin = pi.io.Scan(scan.kspace[:1] * mask, mask=mask)
    methods = {"raki": pi.Recipe(method=pi.Raki(variant="linear")), "grappa": "grappa", "sense": "sense"}
    result = pi.compare(thin, methods, tune=None)
    alone = methods["raki"](thin)
    np.testing.assert_array_equal(result.outcomes[0, "raki"].images, alone.x)
    assert result.outcomes[0, "raki"].status == alone.status
    assert "holdout" not in result.outcomes[0, "raki"].values
    assert result.outcomes[0, "grappa"].values["holdout"] > 0
    assert result.ranking()[-1] == "raki"
    assert [w for w in result.settings[0].warnings if "hold-out error" in w] == [
        "raki has no hold-out error: withheld samples would break the lattice that RAKI needs"]


def test_a_prior_that_is_not_tuned_is_told(scan):
    """Strengths are chosen for SENSE; others keep theirs, and nobody should take it for a tuned one."""
    methods = {n: pi.Recipe(1e-3 * pi.TV(), method=m, max_iter=2) for n, (m, _) in FITS.items()} | {"bare": "grappa"}
    options = {"accel": 2, "mask": "equispaced", "center_fraction": 0.3, "slices": 0}
    told = [w for w in pi.compare(scan, methods, trials=9, **options).settings[0].warnings if "keeps the strength" in w]
    assert [w.split()[3] for w in told] == ["grappa", "raki", "spirit"]
    told = pi.compare(scan, methods, tune=None, **options).settings[0].warnings
    assert not any("keeps the strength" in w for w in told)


def test_an_analysis_that_fails_loses_nothing(scan, tmp_path):
    result = pi.compare(scan, ["zero-filled"], accel=2, analyses=["stability", "visibility"], slices=0, folder=tmp_path)
    assert (tmp_path / "records.csv").exists()
    assert "Where could something hide?" in [s.title for s in result.sections]


def test_draws_from_the_posterior_are_a_section_of_each_method_with_a_denoiser(scan):
    options = {"accel": 2, "slices": 0, "tune": None, "analyses": ["posterior"]}
    methods = {"pnp": pi.Recipe(pi.PnP(lambda x, s: x / (1 + s * s), 0.1), max_iter=2), "sense": "sense"}
    section = pi.compare(scan, methods, **options).sections[-1]
    assert section.title == "Uncertainty: draws from the posterior, pnp"
    assert {"std", "mean", "sample 3"} <= set(section.pictures)
    section = pi.compare(scan, ["sense"], **options).sections[-1]
    assert "no method here has a denoiser" in str(section.warnings)


def test_oracle_with_several_sets_of_maps(scan):
    sets = pi.io.Scan(scan.kspace[0], mps=pi.calib.espirit(scan.kspace[0], sets=2))
    with pytest.raises(ValueError, match="several"):
        pi.compare(sets, ["tikhonov"], accel=2, tune="reference")


def test_methods_for_other_processes(scan):
    with pytest.raises(ValueError, match="workers=1"):
        pi.compare(scan, {"a": pi.PnP(lambda x, s: x, sigma=0.1), "b": "sense"}, accel=2, workers=2, tune=None)


def test_methods_over_the_workers_of_somebody_else(scan):
    options = {"accel": 2, "tune": None, "slices": 0}
    with ThreadPoolExecutor(2) as mine:
        there = pi.compare(scan, ["zero-filled", "sense", "tv"], client=mine, **options)
    here = pi.compare(scan, ["zero-filled", "sense", "tv"], **options)
    assert there.records(costs=False) == here.records(costs=False)
    with pytest.raises(ValueError, match="beside client"):
        pi.compare(scan, ["sense"], client=mine, workers=2)


def test_a_method_that_fails_while_it_is_tuned(scan):
    """There is no strength to analyse it at: the analyses are those of the others."""
    result = pi.compare(scan, {"bad": pi.PnP(lambda x, s: 1 / 0, sigma=0.1), "sense": "sense"}, accel=2, slices=0,
                        analyses=["uncertainty"])
    assert result.outcomes[0, "bad"].status == "failed"
    assert [row["method"] for row in result.sections[-1].rows] == ["sense"]
