"""The report without a browser: what stands in the page, that it needs nothing else, and how large it is."""

import base64
import hashlib
import io
import json
import math
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from reports import ODD, Page, made

from pisolve.evaluate.report import images as report_images
from pisolve.evaluate.report import svg as report_svg
from pisolve.evaluate.report import words as report_words
from pisolve.evaluate.report import write as report
from pisolve.evaluate.section import Curves, Picture, Section


def written(comparison, tmp_path, **options):
    report.write(comparison, tmp_path / "r.html", **options)
    return (tmp_path / "r.html").read_text(encoding="utf-8")


def sections():
    image = np.linspace(-1, 2, 30).reshape(5, 6)
    broken = np.where(image > 1.5, np.nan, image)
    return Section("Odd & <even>", "First.\n\nSecond <b>.", [{"method": ODD, "gain": 1.5, "sure": True}],
                   {"signed": Picture(image, -2, 2, "SNR", "signed"), "heat": Picture(broken, 0, 2, "%", "heat"),
                    "grey": Picture(image, 0, 0)},
                   [Curves("Gain", "x", "y", {"method 0": ([1, 2, np.inf], [3, 4, 5]), "none": ([], [])}, "xy")],
                   ["Look here."])


FULL = {
    "plain": lambda: made(),
    "one method, one slice": lambda: made(1, 1),
    "twelve, four settings": lambda: made(12, 2, settings=4),
    "no reference": lambda: made(reference=False),
    "odd names": lambda: made(names=[ODD, "two"], tune="reference"),
    "sections": lambda: made().with_sections(sections()),
    "one is missing": lambda: replace(made(settings=2), outcomes={
        k: v for k, v in made(settings=2).outcomes.items() if k != (1, "method 1")}),
    "little is known": lambda: replace(made(), about={}),
}


@pytest.mark.parametrize("case", FULL)
def test_the_page_is_whole_and_needs_nothing_else(case, tmp_path):
    """Balanced, ids unique and resolved, no address but data and places in the page, and a policy that forbids more."""
    text = written(FULL[case](), tmp_path)
    page = Page(text)
    ids = [e["attrs"]["id"] for e in page.elements if "id" in e["attrs"]]
    assert len(set(ids)) == len(ids)
    for e in page.elements:
        for name in ("src", "href", "action", "poster", "srcset", "data"):
            address = e["attrs"].get(name, "#top")
            assert address.startswith("data:image/png;base64,") or address[1:] in ids, (e["tag"], address)
        assert not any(name.startswith("on") or name == "style" for name in e["attrs"])
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert e["attrs"].get(name, ids[0]) in ids
    assert not page.all("link")
    assert not page.all("iframe")
    style, = page.all("style")
    assert not re.search(r"url\(|@import|expression", style["text"])
    code = [e["text"] for e in page.all("script") if "type" not in e["attrs"]]
    assert len(code) == 1
    assert set(re.findall(r"\w+://[^\"' ]+", code[0])) <= {"http://www.w3.org/2000/svg"}  # the name of SVG, not a place
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|eval|import)\(|innerHTML", code[0])
    policy = page.all("meta", http_equiv="Content-Security-Policy")[0]["attrs"]["content"]
    assert "default-src 'none'" in policy
    for words, source in (("script-src", code[0]), ("style-src", style["text"])):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{words} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_names_are_text(tmp_path):
    """Names, titles and sentences with < & \" ' stand in the page as they are, and open no element."""
    comparison = replace(made(names=[ODD, "two"]), warnings=(ODD,)).with_sections(sections())
    page = Page(written(comparison, tmp_path, title=ODD))
    plain = Page(written(made(2), tmp_path))
    assert page.all("title")[0]["text"] == page.all("h1")[0]["text"] == ODD
    assert any(e["text"] == ODD for e in page.all("th", scope="row"))
    assert not page.all("b")
    code = [sum("type" not in e["attrs"] for e in p.all("script")) for p in (page, plain)]
    assert code == [1, 1]
    data = json.loads(page.all("script", id="data")[0]["text"])
    assert ODD in [p["name"] for p in data["settings"][0]["panels"]]


def test_alike_and_left_alone(tmp_path):
    """The same comparison gives the same bytes, one file is written, and nothing of the comparison is changed."""
    comparison, again = made(), made()
    first, second = written(comparison, tmp_path), written(again, tmp_path)
    assert first == second
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    for key, o in comparison.outcomes.items():
        np.testing.assert_array_equal(o.images, made().outcomes[key].images)


PIXELS = np.random.default_rng(1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (33, 20)])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "palette"])
def test_png_is_read_by_others(shape, kind):
    """Pillow reads what was written: noise and ramps, so that every filter is used."""
    top = 2**16 if kind == "uint16" else 2**8
    ramp = np.add.outer(7 * np.arange(shape[0]), 3 * np.arange(shape[1]))
    for pixels in (PIXELS.integers(top, size=shape), ramp % top):
        pixels = pixels.astype("uint16" if kind == "uint16" else "uint8")
        palette = PIXELS.integers(256, size=(256, 3)).astype("uint8") if kind == "palette" else None
        image = Image.open(io.BytesIO(report_images.png(pixels, palette=palette)))
        found = np.asarray(image.convert("RGB") if kind == "palette" else image)
        np.testing.assert_array_equal(found, pixels if palette is None else palette[pixels])


@pytest.mark.parametrize(("budget", "bits"), [(1e9, 12), (9500, 8)])
def test_images_are_those_of_the_comparison(tmp_path, monkeypatch, budget, bits):
    """Every image in the page is its magnitude to half a step, or white where it is above the largest that is kept."""
    monkeypatch.setattr(report_images, "BUDGET", budget)
    comparison = made(settings=2)
    page = Page(written(comparison, tmp_path))
    data = json.loads(page.all("script", id="data")[0]["text"])
    assert data["bits"] == bits
    for k, setting in enumerate(data["settings"]):
        assert setting["slices"]
        for p, panel in enumerate(setting["panels"]):
            for s in setting["slices"]:
                pixels = base64.b64decode(page.all("script", id=f"image-{k}-{p}-{s}")[0]["text"])
                levels = np.asarray(Image.open(io.BytesIO(pixels))).astype(int) >> (16 - bits if bits > 8 else 0)
                truth = comparison.settings[k].reference if panel["reference"] else abs(
                    comparison.outcomes[k, panel["name"]].images)
                step = setting["peak"] / (2**bits - 1)
                wanted = np.minimum(truth[s], setting["peak"])
                assert abs(levels * step - wanted).max() <= 0.5001 * step
        top = np.percentile(comparison.settings[k].reference, 99.8)
        assert setting["top"] == pytest.approx(top)


@pytest.mark.parametrize(("slices", "size", "settings", "budget", "bits", "thinned", "step"), [
    (2, (32, 32), 1, 1e6, 12, False, 1),
    (6, (64, 64), 1, 1.4e5, 8, False, 1),
    (6, (64, 64), 1, 5e4, 8, True, 1),
    (6, (64, 64), 3, 1.5e5, 8, True, 1),
    (2, (256, 256), 1, 1.6e5, 8, False, 2),
    (1, (256, 256), 2, 4e4, 8, False, 4),
    (1, (256, 256), 2, 1, 8, False, 4),  # nothing fits: the smallest there is
])
def test_the_plan_fits_and_is_told(tmp_path, monkeypatch, slices, size, settings, budget, bits, thinned, step):
    monkeypatch.setattr(report_images, "BUDGET", budget)
    page = Page(written(made(3, slices, size, settings), tmp_path))
    data = json.loads(page.all("script", id="data")[0]["text"])
    kept = [len(s["slices"]) for s in data["settings"]]
    assert (data["bits"], any(k < slices for k in kept), data["step"]) == (bits, thinned, step)
    spent = sum(len(e["text"]) for e in page.all("script", type="image/png;base64"))
    assert spent <= budget or budget == 1
    told = " ".join(page.texts)
    assert ("slices" in told and "evenly spaced" in told) == thinned
    assert (f"means of {step} x {step} pixels" in told) == (step > 1)
    assert data["settings"][0]["size"] == [n // step for n in size]


def rows(*gaps, metric="psnr", pairs=30, scans=30):
    """Differences as `Comparison.differences` gives them, the best first."""
    shared = {"metric": metric, "to": "A", "pairs": pairs, "scans": scans, "slices": pairs}
    out = [{"method": "A", "mean": 30.0, "difference": 0.0, "low": 0.0, "high": 0.0, "wins": 0, **shared}]
    for name, (middle, low, high) in zip("BCD", gaps):
        out.append({"method": name, "mean": 30 + middle, "difference": middle, "low": low, "high": high, "wins": 3,
                    **shared})
    return out


TIED = "First, but not told apart"
UNKNOWN = (-1, math.nan, math.nan)  # no interval


@pytest.mark.parametrize(("gaps", "options", "kicker", "present", "absent"), [
    ([(-1, -1.5, -0.5), (-2, -3, -1)], {}, "Best", "1.00 dB better than the next, B (95 % interval 0.50 to 1.5", "Not"),
    ([(-1, -1.5, 0.5), (-2, -3, 1)], {}, TIED, "Not told apart from B", "better than"),
    ([(-1, -1.5, 0.5), (-2, -3, 1)], {}, TIED, "Nor from C.", "rough"),
    ([(-1, -1.5, -0.5), (-2, -3, 1)], {}, TIED, "Not told apart from C", "from B"),
    ([(-1, -1.5, 0)], {}, TIED, "holds 0", "better than"),
    ([(-1, -1.5, -0.5)], {"pairs": 5, "scans": 1}, "First, on few slices", "so few slices the interval is a r", "Not"),
    ([(-1, -1.5, -0.5)], {"pairs": 48, "scans": 6}, "First, on few scans", "so few scans the interval is a", "Not"),
    ([(-1, -1.5, -0.5)], {"scans": 1}, "Best on this scan", "of other scans it says nothing", "rough"),
    ([(-1, -1.5, 0.5)], {"scans": 1}, TIED, "It takes the slices of this scan as independent", "rough"),
    ([UNKNOWN], {"pairs": 1, "scans": 1}, "First, but one slice proves nothing", "No interval can be given", "better"),
    ([UNKNOWN], {"pairs": 4, "scans": 1}, "First, but 4 slices prove nothing", "takes at least 5 slices.", "are not"),
    ([UNKNOWN], {"pairs": 8, "scans": 2}, "First, but 2 scans prove nothing",
     "on 8 paired slices of 2 scans. No interval can be given: that takes at least 5 scans, and slices of one scan are "
     "not independent", "Best"),
    ([UNKNOWN, (-2, -3, 1)], {"scans": 5}, "First, but 5 scans prove nothing", "B comes next", "Not told apart"),
    ([(math.nan,) * 3], {"pairs": 0, "scans": 0}, "Result", "Not ranked, since PSNR is missing: B.", "  "),
    ([(0.1, 0.05, 0.15)], {"metric": "nmse"}, "Best", "0.10000 better than the next, B", "Not"),
    ([], {}, "Result", "One method was run", "better"),
])
def test_verdict(monkeypatch, gaps, options, kicker, present, absent):
    """What the intervals allow to say, and no more."""
    comparison = made(4)
    monkeypatch.setattr(type(comparison), "differences", lambda self: rows(*gaps, **options))
    found = report_words.verdict(comparison)
    assert (found["best"], found["kicker"]) == ("A", kicker)
    assert present in found["text"]
    assert absent not in found["text"]


def test_every_warning_is_shown(tmp_path):
    """Of the comparison, of settings, of tunings, of failed runs and of sections; shared ones once."""
    comparison = made(settings=2).with_sections(sections())
    first, bad = comparison.outcomes[0, "method 1"], comparison.outcomes[1, "method 2"]
    tuned = replace(first, tuning={**first.tuning, "warnings": ["the best strength is at the edge"]})
    comparison = replace(
        comparison, warnings=("of the whole",), settings=tuple(replace(s, warnings=("odd data",))
                                                               for s in comparison.settings),
        outcomes={**comparison.outcomes, (0, "method 1"): tuned, (1, "method 2"): replace(bad, status="diverged")})
    text = written(comparison, tmp_path)
    page = Page(text)
    box = next(e["text"] for e in page.has_class("warnings") if e["tag"] == "section")
    for words in ("of the whole", "odd data [scan 0, 4x random; scan 1, 4x random]", "Look here. [Odd & <even>]",
                  "Tuning: the best strength is at the edge [method 1 on scan 0, 4x random]",
                  "diverged; the image shown is its steadiest iterate. [method 2 on scan 1, 4x random]"):
        assert box.count(words) == 1, words
    assert "5 warnings" in box
    assert not Page(written(made(), tmp_path)).has_class("warnings")


@pytest.mark.parametrize(("tune", "shown"), [("reference", True), ("holdout", False), (None, False)])
def test_an_oracle_is_told(tmp_path, tune, shown):
    page = Page(written(made(tune=tune), tmp_path))
    assert bool(page.has_class("oracle")) == shown
    assert ("The tuning saw the reference." in " ".join(page.texts)) == shown


def test_without_a_reference_the_page_says_why(tmp_path):
    page = Page(written(made(reference=False), tmp_path))
    told = " ".join(page.texts)
    assert "No reference" in told
    assert "nobody knows the true image" in told
    data = json.loads(page.all("script", id="data")[0]["text"])
    assert not any(p["reference"] for p in data["settings"][0]["panels"])


def test_the_tables_hold_the_numbers(tmp_path):
    """Sorting keys are the records' own numbers; the best of a column, and of no other, is marked."""
    comparison = made()
    page = Page(written(comparison, tmp_path))
    keys = {e["attrs"].get("data-sort") for e in page.elements}
    for row in comparison.records():
        assert {str(float(row["psnr"])), str(float(row["seconds"]))} <= keys
    marked = {e["text"].removesuffix(" (best)") for e in page.has_class("best") if e["tag"] == "td"}
    best = comparison.summary()[0]
    assert marked == {f"{best['psnr']:.2f}", "1.00", "10"}
    assert all(e["attrs"]["aria-sort"] == "none" for e in page.all("th", scope="col") if "aria-sort" in e["attrs"])
    assert "10 log10(range^2 / mse)" in " ".join(page.texts)
    assert json.loads(page.all("pre", id="plan")[0]["text"]) == comparison.about["plan"]


def test_sections_are_drawn(tmp_path):
    """Paragraphs, table, pictures on their scales, curves and warnings."""
    page = Page(written(made().with_sections(sections()), tmp_path))
    told = " ".join(page.texts)
    assert "First." in told
    assert "Second <b>." in told
    assert any(e["text"] == "yes" for e in page.all("td"))
    shown = {e["attrs"]["alt"]: e["attrs"] for e in page.all("img") if "alt" in e["attrs"]}
    for name, wanted in (("signed", lambda x: (255, 160, 60)), ("grey", lambda x: (255, 255, 255))):
        image = Image.open(io.BytesIO(base64.b64decode(shown[name]["src"].partition(",")[2]))).convert("RGB")
        assert image.size == (6, 5)
        corner = image.getpixel((5, 4))
        assert all(abs(a - b) <= 2 for a, b in zip(corner, wanted(2)))
    assert "none (no finite values)" in told


@pytest.mark.parametrize("log", [False, True])
def test_ticks(log):
    """Inside the range, round, evenly spaced on a linear axis, not too many, and never none of a decade."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        low, high = np.sort(10 ** rng.uniform(-6, 6, 2))
        high = low * 10 if log and high < 10 * low else high
        found = report_svg.ticks(float(low), float(high), log)
        assert 1 <= len(found) <= 8
        assert all(low * 0.99 - 1e-8 * (high - low) <= t <= high * 1.01 for t in found)
        for t in found:
            assert float(f"{t:.6g}") == pytest.approx(t)
        if len(found) > 2 and not log:
            assert np.ptp(np.diff(found)) < 1e-6 * high


@pytest.mark.parametrize(("log", "xs", "ys"), [("", [0, 1, 2], [5, 3, 4]), ("x", [0, 1, 100], [5, 3, 4]),
                                               ("xy", [-1, 1, 100], [1, 10, math.nan]), ("y", [3, 3], [1, 100])])
def test_lines_are_where_their_points_are(log, xs, ys):
    """A path is an affine map of its points, of their logarithms on logarithmic axes; others are left out."""
    text = report_svg.lines(Curves("t", "x", "y", {"a": (xs, ys)}, log), marks={"a": (xs[-1], ys[-1])})
    page = Page(text)
    path = next(e["attrs"]["d"] for e in page.all("path") if e["attrs"].get("class") != "grid")
    drawn = np.array([[float(v) for v in p.split()] for p in path[1:].split("L")])
    points = [(x, y) for x, y in zip(xs, ys) if math.isfinite(x + y) and (x > 0 or "x" not in log) and
              (y > 0 or "y" not in log)]
    assert len(drawn) == len(points)
    for axis, name in enumerate("xy"):
        wanted = np.array([p[axis] for p in points], float)
        wanted = np.log10(wanted) if name in log else wanted
        if len(wanted) > 2 and np.ptp(wanted):
            slope, start = np.polyfit(wanted, drawn[:, axis], 1)
            np.testing.assert_allclose(slope * wanted + start, drawn[:, axis], atol=0.1)
            assert (slope > 0) == (name == "x")  # y is counted downwards
    assert bool(page.has_class("mark")) == math.isfinite(ys[-1])


@pytest.mark.parametrize(("error", "message", "comparison", "path", "options"), [
    (TypeError, "must be a Comparison", {"a": 1}, "r.html", {}),
    (TypeError, "title", None, "r.html", {"title": 3}),
    (ValueError, "suffix", None, "r.pdf", {}),
    (ValueError, "nothing to report", replace(made(), outcomes={}), "r.html", {}),
    (FileNotFoundError, "folder", None, "nowhere/r.html", {}),
])
def test_refused(tmp_path, error, message, comparison, path, options):
    with pytest.raises(error, match=message):
        report.write(made() if comparison is None else comparison, tmp_path / path, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_without_the_extra(tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pisolve\[report\]"):
        made().to_html(tmp_path / "r.html")


def test_images_that_are_not_finite(tmp_path):
    """A failed method is drawn black where it has no value, and does not spoil the others' scale."""
    comparison = made()
    outcome = comparison.outcomes[0, "method 2"]
    broken = replace(outcome, images=np.full_like(outcome.images, np.nan), status="nonfinite",
                     values={"psnr": math.nan}, slices={"psnr": [math.nan] * 2})
    page = Page(written(replace(comparison, outcomes={**comparison.outcomes, (0, "method 2"): broken}), tmp_path))
    data = json.loads(page.all("script", id="data")[0]["text"])["settings"][0]
    assert 0.9 < data["top"] < 1.1
    assert data["panels"][3]["values"] == data["panels"][3]["absent"] == ["not finite: no image"] * 2
    assert "The result is not finite. [method 2 on scan 0, 4x random]" in " ".join(page.texts)
