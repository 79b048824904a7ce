"""The blinded reader study: nothing gives the method away, the way back is exact, kappa by hand."""

import csv
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import refused
from PIL import Image

from pisolve.evaluate.reader.blinded import CRITERIA, SCALE, _order, blinded
from pisolve.evaluate.reader.unblind import unblind, weighted_kappa

METHODS = ("zero-filled", "TV", "MoDL")


@pytest.fixture
def volumes(rng):
    truth = rng.random((6, 24, 20))
    noisy = {m: truth + (k + 1) * 0.1 * rng.standard_normal(truth.shape) for k, m in enumerate(METHODS)}
    return truth, {m: v * np.exp(1j) for m, v in noisy.items()}


def told(study):
    return json.loads(study.key.read_text())["images"]


def sheet_rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def fill(study, grade):
    """Write grade(method, case, reader, criterion, repeat) into every sheet."""
    for sheet in sorted(study.folder.glob("reader*/sheet.csv")):
        rows = sheet_rows(sheet)
        for row in rows:
            entry = told(study)[row["image"]]
            for criterion in set(row) - {"image", "comment"}:
                row[criterion] = grade(entry["method"], entry["case"], int(row["image"][1]), criterion,
                                       entry["repeat"])
        with open(sheet, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


def test_nothing_tells_the_method(volumes, tmp_path):
    truth, images = volumes
    study = blinded(images, tmp_path / "study", reference=truth, readers=2, seed=3, repeats=0.25)
    assert study.methods == (*METHODS, "reference")
    assert study.images == 6 * 4 + 6
    assert study.key == tmp_path / "study_key.json"
    files = sorted(p for p in study.folder.rglob("*") if p.is_file())
    words = [*METHODS, "reference", "slice", "pisolve", "MoDL"]
    for path in files:
        content = path.read_bytes()
        assert not any(w.lower() in str(path.relative_to(tmp_path)).lower() for w in words)
        assert not any(w.encode().lower() in content.lower() for w in words if path.suffix != ".png")
    pictures = [p for p in files if p.suffix == ".png"]
    assert len(pictures) == 2 * study.images
    assert len({p.stat().st_size for p in pictures}) == 1  # noise does not show in the size of a file
    for path in pictures:
        content, chunks, place = path.read_bytes(), [], 8
        while place < len(content):
            size = int.from_bytes(content[place: place + 4], "big")
            chunks.append(content[place + 4: place + 8])
            place += size + 12
        assert chunks == [b"IHDR", b"IDAT", b"IEND"]  # no text, no time, no colour profile
        with Image.open(path) as picture:
            assert picture.info == {}
            assert picture.mode == "L"
    for reader in (1, 2):
        names = [r["image"] for r in sheet_rows(study.folder / f"reader{reader}" / "sheet.csv")]
        assert names == sorted(p.stem for p in pictures if p.parent.name == f"reader{reader}")


def test_the_window_is_one_for_all_methods_of_a_case(volumes, tmp_path):
    truth, images = volumes
    study = blinded(images, tmp_path / "study", reference=truth, enlarge=2, repeats=0)
    for name, entry in told(study).items():
        k = int(entry["case"].split()[1])
        image = truth[k] if entry["method"] == "reference" else abs(images[entry["method"]][k])
        expected = np.round(255 * np.clip(image / np.percentile(truth[k], 99.8), 0, 1)).repeat(2, 0).repeat(2, 1)
        with Image.open(study.folder / "reader1" / f"{name}.png") as picture:
            assert (np.asarray(picture) == expected).all()


def test_orders_are_random_and_reproducible(volumes, tmp_path):
    """Over many seeds every method stands at every place alike (chi-square), and readers have other orders."""
    _, images = volumes
    items = [(case, method) for case in range(2) for method in METHODS]
    counts, found = np.zeros((3, 6)), set()
    for seed in range(600):
        order = _order(items, 0, np.random.default_rng([seed, 1]))
        found.add(tuple(order))
        for place, (_, method) in enumerate(order):
            counts[METHODS.index(method), place] += 1
    assert len(found) > 300  # of 720
    assert ((counts - 200) ** 2 / 200).sum() < 27  # 99.9 % for 10 degrees of freedom: 29.6
    a = blinded(images, tmp_path / "a", readers=2, seed=7)
    b = blinded(images, tmp_path / "b", readers=2, seed=7)
    for path in a.folder.rglob("*.*"):
        assert path.read_bytes() == (b.folder / path.relative_to(a.folder)).read_bytes()
    assert a.key.read_text() == b.key.read_text()
    orders = [[(e["case"], e["method"]) for n, e in told(a).items() if n.startswith(f"r{r}_")] for r in (1, 2)]
    assert orders[0] != orders[1]
    assert all(x != y for order in orders for x, y in itertools.pairwise(order))  # no repeat directly after its first


def test_round_trip(volumes, tmp_path):
    _, images = volumes
    study = blinded(images, tmp_path / "study", readers=2, seed=1, repeats=0.3,
                    criteria={"sharpness": "clear", "trust": "yes"})
    base = {"zero-filled": 1, "TV": 3, "MoDL": 4}

    def grade(method, case, reader, criterion, repeat):
        if criterion == "trust":
            return 5
        return base[method] + (reader == 2 and method == "TV")

    fill(study, grade)
    result = unblind(study.folder)
    rows = {(r["method"], r["criterion"]): r for r in result.rows}
    assert rows["zero-filled", "sharpness"]["mean"] == 1
    assert rows["TV", "sharpness"]["mean"] == 3.5
    assert rows["TV", "sharpness"]["sd"] == pytest.approx(np.std([3, 4] * 6, ddof=1))
    assert rows["TV", "sharpness"]["n"] == 12
    assert rows["TV", "sharpness"]["best"] == 0.5  # reader 2 has it level with MoDL
    assert rows["MoDL", "sharpness"]["best"] == 1
    agreement = {a["criterion"]: a for a in result.agreement}
    assert agreement["sharpness"]["intra"] == 1
    assert agreement["sharpness"]["repeats"] == 2 * 6
    assert agreement["sharpness"]["pairs"] == 1
    first, second = [1] * 6 + [3] * 6 + [4] * 6, [1] * 6 + [4] * 12
    assert agreement["sharpness"]["inter"] == pytest.approx(weighted_kappa(first, second, range(1, 6)))
    assert np.isnan(agreement["trust"]["inter"])  # one grade only: kappa is not defined, and not 1
    json.dumps(result.to_dict(), allow_nan=False)
    text = str(result.section())
    assert "not defined" in text
    assert "| TV " in text
    assert str(tmp_path) in str(study.section())


def test_sheets_from_elsewhere_missing_grades_and_bad_ones(volumes, tmp_path):
    _, images = volumes
    study = blinded({m: v[0] for m, v in images.items()}, tmp_path / "study", readers=2, repeats=0,
                    key=tmp_path / "elsewhere.json")
    assert study.cases == ("slice 0",)
    sheets = [tmp_path / "b.csv", tmp_path / "a.csv"]
    fill(study, lambda method, case, reader, criterion, repeat: "" if (reader, method) == (1, "TV") else 4)
    for reader, sheet in enumerate(sheets, 1):  # as a spreadsheet in a country of decimal commas writes it
        text = (study.folder / f"reader{reader}" / "sheet.csv").read_text()
        sheet.write_bytes(b"\xef\xbb\xbf" + text.replace(",", ";").replace("\n", "\r\n").encode())
    result = unblind(study.folder, sheets, key=study.key)
    assert result.missing == len(CRITERIA)
    assert {r["n"] for r in result.rows if r["method"] == "TV"} == {1}
    assert any("missing" in w for w in result.section().warnings)
    refused(lambda: unblind(study.folder, sheets), FileNotFoundError, "give key=")
    refused(lambda: unblind(study.folder, [sheets[0], sheets[0]], key=study.key), ValueError, "again")
    refused(lambda: unblind(study.folder, [], key=study.key), FileNotFoundError, "no sheets")
    for old, new, message in ((";4;", ";9;", "no grade of 1 to 5"), ("r2_001;", "r7_001;", "not one of this study"),
                              ("image;", "picture;", "no column 'image'"), (";4;", ";2.5;", "no grade"),
                              ("r2_002;", "r2_001;", "again")):
        bad = tmp_path / "bad.csv"
        bad.write_text(sheets[1].read_text("utf-8-sig").replace(old, new, 1))
        refused(lambda b=bad: unblind(study.folder, b, key=study.key), ValueError, message)


def test_kappa_by_hand():
    """O = [[2, 1], [0, 1]]: po = 3/4, pe = (3 * 2 + 1 * 2) / 16 = 1/2, kappa = 1/2."""
    assert weighted_kappa([1, 1, 1, 2], [1, 1, 2, 2], [1, 2]) == pytest.approx(0.5)
    # 3 grades, quadratic: sum w O = 1 + 4 = 5 of 4 pairs, by hand sum w E = 36/4
    first, second = [1, 2, 3, 1], [1, 3, 3, 3]
    expected = sum((a - b) ** 2 for a in first for b in second) / 4
    assert weighted_kappa(first, second, [1, 2, 3]) == pytest.approx(1 - 5 / expected)
    expected = sum(abs(a - b) for a in first for b in second) / 4
    assert weighted_kappa(first, second, [1, 2, 3], weights="linear") == pytest.approx(1 - 3 / expected)
    assert weighted_kappa([1, 2, 3], [1, 2, 3], range(1, 6)) == 1
    assert weighted_kappa([1, 5], [5, 1], range(1, 6)) == pytest.approx(-1)
    assert np.isnan(weighted_kappa([3, 3], [3, 3], range(1, 6)))
    assert np.isnan(weighted_kappa([], [], range(1, 6)))
    rng = np.random.default_rng(0)
    a, b = rng.integers(1, 6, (2, 20000))
    assert abs(weighted_kappa(a.tolist(), b.tolist(), range(1, 6))) < 0.03  # chance
    refused(lambda: weighted_kappa([1], [1, 2], [1, 2]), ValueError, "same things")
    refused(lambda: weighted_kappa([1], [9], [1, 2]), ValueError, "not on the scale")


def test_cases_of_different_sizes(rng, tmp_path):
    images = {"knee": {"a": rng.random((9, 8)), "b": rng.random((9, 8))}, "head": {"a": rng.random((12, 7)),
                                                                                   "b": rng.random((12, 7))}}
    truth = {c: m["a"] for c, m in images.items()}
    before = {c: dict(m) for c, m in images.items()}
    study = blinded(images, tmp_path / "study", reference=truth, criteria={"quality": "best"},
                    scale={0: "no", 1: "so", 2: "yes"})
    assert study.cases == ("knee", "head")
    assert all(images[c].keys() == m.keys() for c, m in before.items())
    instructions = (study.folder / "instructions.txt").read_text()
    assert "from 0 to 2" in instructions
    assert "quality: best" in instructions
    assert json.dumps(study.to_dict())
    fill(study, lambda *_: 2)
    assert {r["mean"] for r in unblind(study.folder).rows} == {2}


flat = np.ones((8, 8))


@pytest.mark.parametrize(("call", "kind", "message"), [
    (lambda f: blinded({}, f), TypeError, "images must be a dict"),
    (lambda f: blinded(flat, f), TypeError, "images must be a dict"),
    (lambda f: blinded({"a": flat, "b": flat[1:]}, f), ValueError, "would tell them apart"),
    (lambda f: blinded({"a": flat * np.nan}, f), ValueError, "holds NaN"),
    (lambda f: blinded({"a": flat, "b": np.ones((2, 8, 8))}, f), ValueError, "slices"),
    (lambda f: blinded({"reference": flat}, f, reference=flat), ValueError, "rename it"),
    (lambda f: blinded({"k": {"a": flat}}, f, reference=flat), ValueError, "with the cases of images"),
    (lambda f: blinded({"a": flat}, f, readers=0), ValueError, "readers must be in 1"),
    (lambda f: blinded({"a": flat}, f, repeats=2), ValueError, "repeats must be"),
    (lambda f: blinded({"a": flat}, f, criteria=["noise"]), TypeError, "criteria must be a dict"),
    (lambda f: blinded({"a": flat}, f, criteria={"image": ""}), ValueError, "rename it"),
    (lambda f: blinded({"a": flat}, f, scale={1: "a", 3: "b"}), ValueError, "ascending by one"),
    (lambda f: blinded({"a": flat}, f, key=Path(f) / "key.json"), ValueError, "keep it apart"),
])
def test_bad_input(call, kind, message, tmp_path):
    refused(lambda: call(tmp_path / "study"), kind, message)
    assert not (tmp_path / "study").exists()


def test_nothing_is_overwritten(tmp_path):
    blinded({"a": flat}, tmp_path / "study")
    refused(lambda: blinded({"a": flat}, tmp_path / "study"), FileExistsError, "not overwritten")
    refused(lambda: blinded({"a": flat}, tmp_path / "other", key=tmp_path / "study_key.json"), FileExistsError, "key")
    assert set(SCALE) == set(range(1, 6))
