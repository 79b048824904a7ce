"""What a comparison says of who is best and how sure that is, and of methods that failed, in tables and the report."""

import base64
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from reports import Page, made

from pisolve.evaluate.comparison import Comparison
from pisolve.evaluate.outcome import Outcome, Setting
from pisolve.evaluate.report import words as report_words


def page_of(comparison, tmp_path):
    comparison.to_html(tmp_path / "r.html")
    return (tmp_path / "r.html").read_text(encoding="utf-8")


def table_of(*settings):
    """A comparison of numbers alone: of each setting (scan, {method: {metric: one value a slice}})."""
    names = list(dict.fromkeys(n for _, methods in settings for n in methods))
    count = [max((len(v) for m in methods.values() for v in m.values()), default=1) for _, methods in settings]
    places = [Setting(scan, 2.0, "random", 0, np.ones((4, 4), bool), None, "", (count[k], 1, 4, 4), 1.0)
              for k, (scan, _) in enumerate(settings)]
    outcomes = {(k, n): Outcome(k, n, np.ones((count[k], 4, 4), np.complex64), "done",
                                (1,) * count[k], (0.1,) * count[k], None,
                                {m: float(np.mean(v)) for m, v in own.items()}, own)
                for k, (_, methods) in enumerate(settings) for n, own in methods.items()}
    return Comparison(tuple(places), {n: n for n in names}, outcomes, {})


def both(good, bad, metric="psnr", **more):
    return {"a": {metric: good, **more}, "b": {metric: bad, **more}}


NAN = math.nan
CHI = {"a": {"chi": [1.0]}, "b": {"chi": [0.1]}}
HELD = {"a": {"holdout": [0.2], "chi": [1.0]}, "b": {"holdout": [0.1], "chi": [3.0]}}
RANKED = {  # settings -> what methods are ranked by, in which order, on how many settings, words of the verdict
    "one scan has no reference, and stands first": (
        [("p", HELD), ("q", both([31.0], [30.0])), ("r", both([31.0], [30.0]))], "psnr", "ab", 2,
        "mean of 2 of 3 settings"),
    "chi alone ranks nothing": ([("p", CHI)], None, "ab", 0, "No ranking"),
    "chi is on more settings": ([("p", both([31.0], [30.0], chi=[2.0])), ("q", CHI)], "psnr", "ab", 1,
                                "mean of 1 of 2 settings"),
    "no metric at all": ([("p", {"zero-filled": {}})], None, ["zero-filled"], 0, "No ranking"),
    "zero-filled beside what predicts samples": (
        [("p", {"z": {}, **HELD})], "holdout", "baz", 1, "Not ranked, since hold-out error is missing: z."),
    "only one has a value": ([("p", {"a": {}, "b": {"psnr": [30.0]}})], "psnr", "ba", 1, "No other method has one"),
    "failed on one of two": ([("p", both([35.0], [30.0])), ("q", both([NAN], [29.0]))], "psnr", "ba", 2,
                             "Not ranked, since PSNR is missing on some settings: a."),
    "all failed": ([("p", both([NAN], [NAN]))], "psnr", "ab", 0, "no method has a finite PSNR (dB)."),
}


@pytest.mark.parametrize("case", RANKED)
def test_what_is_ranked(case, tmp_path):
    """By what most settings have, never by chi; a mean is that of all settings which have it, or none."""
    settings, metric, order, count, words = RANKED[case]
    comparison = table_of(*settings)
    assert comparison.ranked_by == metric
    assert comparison.ranking() == list(order) == [r["method"] for r in comparison.summary()]
    assert (comparison.measured(metric) if metric else 0) == count
    assert words in report_words.verdict(comparison)["text"]
    assert bool(comparison.differences()) == ("to best" in comparison.summary()[0]) == (metric is not None)
    assert comparison.markdown().splitlines()[0].startswith("| method")
    assert "Comparison(" in repr(comparison)
    page = Page(page_of(comparison, tmp_path))
    assert len(page.all("table", class_="sortable")) == 3 + bool(comparison.by_setting())
    comparison.save(tmp_path / "all")
    for bad in ("chi", "beauty"):
        with pytest.raises(ValueError, match="metric must be"):
            comparison.ranking(bad)
        with pytest.raises(ValueError, match="metric must be"):
            comparison.differences(bad)


@pytest.mark.parametrize(("scans", "slices", "samplings", "groups", "known"), [
    (1, 4, 1, 1, False), (1, 5, 1, 1, True), (1, 2, 3, 1, False), (2, 8, 1, 2, False), (4, 8, 2, 4, False),
    (5, 1, 1, 5, True), (6, 3, 2, 6, True)])
def test_intervals_rest_on_independent_groups(scans, slices, samplings, groups, known):
    """Scans are witnesses, of one scan its slices, their samplings are not: an interval takes five."""
    rng = np.random.default_rng(0)
    settings = [(f"scan {s}", both(*(list(rng.normal(m, 0.1, slices)) for m in (31, 30))))
                for s in range(scans) for _ in range(samplings)]
    row = table_of(*settings).differences()[1]
    assert (row["pairs"], row["scans"], row["slices"]) == (scans * slices * samplings, groups, scans * slices)
    gaps = [np.subtract(m["b"]["psnr"], m["a"]["psnr"]) for _, m in settings]
    assert row["difference"] == pytest.approx(np.mean(gaps))
    assert math.isfinite(row["low"]) == math.isfinite(row["high"]) == known
    assert not known or row["low"] <= row["difference"] <= row["high"]


def test_samplings_of_one_slice_are_drawn_together():
    """Worked by hand: of ten equal samplings the interval is that of one."""
    values = both([31.0, 32.0, 30.5, 33.0, 31.5], [30.0] * 5)
    once, often = (table_of(*[("s", values)] * n).differences()[1] for n in (1, 10))
    assert (once["low"], once["high"]) == pytest.approx((often["low"], often["high"]))
    assert once["pairs"] * 10 == often["pairs"]


def spoiled(kind, reference=True):
    """The comparison of `made` with one method that went wrong, as `compare` leaves it."""
    comparison = made(reference=reference)
    good = comparison.outcomes[0, "method 1"]
    shape, status, solver, fill = {
        "failed, zeros": (good.images.shape, "failed", "ValueError: expected 15 coils", 0),
        "failed, of k-space's size": ((2, 48, 20), "failed", "ValueError: <b>", 0),
        "failed, NaN": (good.images.shape, "failed", "", np.nan),
        "network, A^H y": (good.images.shape, "nonfinite", "network", 7),
        "network, NaN": (good.images.shape, "nonfinite", "network", np.nan),
        "infinite": (good.images.shape, "nonfinite", "FISTA()", np.inf),
        "solver's best": (good.images.shape, "nonfinite", "FISTA()", 0.5),
        "diverged": (good.images.shape, "diverged", "FISTA()", 0.5)}[kind]
    bad = replace(good, images=np.full(shape, fill, np.complex64), status=status, solver=solver, history=[],
                  tuning=None, iterations=(0, 0), seconds=(0.0, 0.0), memory_mb=None,
                  values=dict.fromkeys(good.values, NAN), slices={n: [NAN] * 2 for n in good.slices}, residual=None)
    return replace(comparison, outcomes={**comparison.outcomes, (0, "method 1"): bad})


SPOILED = {"failed, zeros": "failed: no image", "failed, of k-space's size": "failed: no image",
           "failed, NaN": "failed: no image", "network, A^H y": "not finite: no image",
           "network, NaN": "not finite: no image", "infinite": "not finite: no image",
           "solver's best": "not finite: its best iterate, not judged",
           "diverged": "diverged: its best iterate, not judged"}


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("reference", [True, False])
def test_what_failed_is_said_where_its_image_would_be(kind, reference, tmp_path):
    """Told in the panel, the tables and the warnings; it moves no scale and has no number."""
    comparison = spoiled(kind, reference)
    page, clean = (Page(page_of(c, tmp_path)) for c in (comparison, made(reference=reference)))
    data, whole = (json.loads(p.all("script", id="data")[0]["text"])["settings"][0] for p in (page, clean))
    panel = next(p for p in data["panels"] if p["name"] == "method 1")
    assert panel["values"] == [SPOILED[kind]] * 2
    assert panel["absent"] == [SPOILED[kind] if "no image" in SPOILED[kind] else ""] * 2
    assert data["size"] == whole["size"]
    if any(panel["absent"]):
        fewer = replace(comparison, outcomes={key: o for key, o in comparison.outcomes.items() if key[1] != "method 1"})
        others = json.loads(Page(page_of(fewer, tmp_path)).all("script", id="data")[0]["text"])["settings"][0]
        assert [data[n] for n in ("top", "peak", "limit")] == [others[n] for n in ("top", "peak", "limit")]
        place = data["panels"].index(panel)
        pixels = base64.b64decode(page.all("script", id=f"image-0-{place}-0")[0]["text"])
        assert not np.asarray(Image.open(io.BytesIO(pixels))).any()
    status = comparison.outcomes[0, "method 1"].status
    assert {r["method"]: r["status"] for r in comparison.summary()} == {
        "method 0": "", "method 1": status, "method 2": ""}
    assert {r["status"] for r in comparison.records() if r["method"] == "method 1"} == {status}
    assert {r["status"] for r in comparison.records(slices=True) if r["method"] == "method 1"} == {status}
    assert f"| {status}" in comparison.markdown()
    assert "[method 1 on scan 0, 4x random]" in next(e["text"] for e in page.has_class("warnings"))
    assert page_of(comparison, tmp_path) == page_of(spoiled(kind, reference), tmp_path)
    if reference:
        assert "Not ranked, since PSNR is missing: method 1." in " ".join(page.texts)
        assert "none" in [e["text"] for e in page.all("td")]
    figure_of = tmp_path / "f.png"
    comparison.figure(figure_of)
    assert Image.open(figure_of).size[0] > 100


def test_status_is_silent_where_all_ended_well():
    assert not any("status" in r for r in made().summary())


def test_what_failed_is_the_best_in_nothing(tmp_path):
    """Not where it was the quickest, nor where it took as long as the best that ended."""
    comparison = spoiled("failed, zeros")
    for seconds in (0.0, 0.5):
        bad = replace(comparison.outcomes[0, "method 1"], seconds=(seconds,) * 2)
        shown = replace(comparison, outcomes={**comparison.outcomes, (0, "method 1"): bad})
        marked = [e["text"] for e in Page(page_of(shown, tmp_path)).has_class("best") if e["tag"] == "td"]
        assert marked.count("1.00 (best)") == 1
        assert "0.00 (best)" not in marked


def test_nothing_is_left(tmp_path):
    """Every method failed: a page without a winner, and no figure."""
    comparison = spoiled("failed, zeros")
    comparison = replace(comparison, outcomes={(0, n): replace(comparison.outcomes[0, "method 1"], method=n)
                                               for n in comparison.methods})
    for shown in (comparison, replace(comparison, settings=tuple(replace(s, reference=None)
                                                                 for s in comparison.settings))):
        page = Page(page_of(shown, tmp_path))
        assert "No ranking: no method has a finite PSNR" in " ".join(page.texts)
        with pytest.raises(ValueError, match="nothing to draw"):
            shown.figure(tmp_path / "f.png")


@pytest.mark.parametrize(("ssim", "words"), [
    ({"a": 0.5, "b": 0.7, "c": 0.6}, "b comes first with 0.7000, a has the lowest value (0.5000)."),
    ({"a": 0.6, "b": 0.7, "c": 0.5}, "b comes first with 0.7000, a is behind it (0.6000)."),
    ({"a": 0.7, "b": 0.6, "c": 0.5}, ""), ({"a": 0.7, "b": 0.7, "c": 0.5}, ""), ({"a": NAN, "b": 0.7, "c": 0.5}, "")])
def test_the_verdict_says_where_another_metric_disagrees(ssim, words):
    """The winner by PSNR is not praised alone where SSIM has another one."""
    psnr = {"a": 32.0, "b": 31.0, "c": 30.0}
    comparison = table_of(("p", {n: {"psnr": [psnr[n]], "ssim": [ssim[n]]} for n in "abc"}))
    found = report_words.verdict(comparison)
    assert found["best"] == "a"
    assert ("By SSIM the order is another: " in found["text"]) == bool(words)
    assert words in found["text"]


def test_trials_are_told_only_where_strengths_were_tuned():
    told = {tune: dict(report_words.terms(made(tune=tune))) for tune in (None, "holdout")}
    assert "most trials for each prior" not in told[None]
    assert told["holdout"]["most trials for each prior"] == "13"


def test_settings_are_told_apart():
    """A mean over an easy and a hopeless setting hides both: a column for each, the best of each marked."""
    comparison = table_of(("p", {"a": {"psnr": [32.0]}, "b": {"psnr": [31.0]}}),
                          ("q", {"a": {"psnr": [14.0]}, "b": {"psnr": [14.5]}}))
    labels = [s.label for s in comparison.settings]
    assert comparison.by_setting() == [{"method": "a", labels[0]: 32.0, labels[1]: 14.0},
                                       {"method": "b", labels[0]: 31.0, labels[1]: 14.5}]
    found = report_words.by_setting(comparison)
    assert [[c["text"] for c in line] for line in found["rows"]] == [["a", "32.00", "14.00"], ["b", "31.00", "14.50"]]
    assert [[c["best"] for c in line[1:]] for line in found["rows"]] == [[True, False], [False, True]]
    assert f"| {labels[1]}" in comparison.markdown()
    assert table_of(("p", both([2.0], [1.0]))).by_setting() == []
