"""The end of a blinded reader study: grades by method, and how far readers agree."""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._types import Numbers, PathLike
from pisolve.evaluate.section import Section, Told
from pisolve.io.door import json_of, reading


@dataclass(frozen=True, repr=False)
class ReaderStudy(Told):
    """Grades of a reader study, unblinded.

    Attributes:
        rows: one dict a method and criterion: method, criterion, mean, sd, n (grades, repeats not counted), best (the
            share of readings in which no other method of the same case had a higher grade from the same reader).
        agreement: one dict a criterion: inter (weighted kappa, the mean over pairs of readers), pairs, intra (of each
            reader's repeats against his first grades, all readers together), repeats. NaN: not defined.
        missing: how many grades are empty.
        weights: of kappa.
    """

    rows: list[dict[str, Any]]
    agreement: list[dict[str, Any]]
    missing: int
    weights: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what is not defined is None."""
        def plain(rows):
            return [{k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()} for row in rows]

        return {"rows": plain(self.rows), "agreement": plain(self.agreement), "missing": self.missing,
                "weights": self.weights}

    def section(self) -> Section:
        """For the report and the terminal."""
        lines = [f"{a['criterion']}: between readers {_words(a['inter'])} ({a['pairs']} pairs), of a reader with "
                 f"himself {_words(a['intra'])} ({a['repeats']} repeats)" for a in self.agreement]
        text = ("The grades of a blinded reading, by method. mean, sd and n are over readers and cases, without second "
                "showings; best is the share of readings in which no other method of the case got a higher "
                "grade from that reader, ties included.\n\n"
                f"Agreement is kappa with {self.weights} weights, 1 - sum w O / sum w E: 1 is full agreement, 0 what "
                "chance gives with the same use of grades (below 0.2 slight, to 0.4 fair, to 0.6 moderate, to 0.8 "
                "substantial; Landis and Koch 1977). " + "; ".join(lines) + ".")
        warnings = [f"{self.missing} grades are missing"] if self.missing else []
        warnings += [f"readers agree little on {a['criterion']} (kappa {a['inter']:.2f}): its means say little"
                     for a in self.agreement if a["inter"] < 0.4]
        return Section("Blinded reader study", text, [dict(r) for r in self.rows], warnings=warnings)


def _words(kappa: float) -> str:
    return "not defined" if np.isnan(kappa) else f"{kappa:.2f}"


def weighted_kappa(first: Numbers, second: Numbers, grades: Numbers, *, weights: str = "quadratic") -> float:
    """Cohen's weighted kappa of two lists of grades, 1 - sum_ij w_ij O_ij / sum_ij w_ij E_ij.

    O counts the pairs of grades, E is the product of the two lists' own counts, w_ij = (i - j)^2 or |i - j| on the
    ranks of `grades`. NaN where both lists hold one and the same grade only, or nothing.

    Args:
        first, second: grades of the same things, of one length.
        grades: all grades of the scale, ascending.
        weights: "quadratic" or "linear".

    Raises:
        ValueError: other lengths, or a grade that is not on the scale.

    Reference:
        Cohen, Weighted kappa, Psychological Bulletin 70:213, 1968.
    """
    _check.choice("weights", weights, ("quadratic", "linear"))
    first, second, grades = list(first), list(second), list(grades)
    if len(first) != len(second):
        raise ValueError(f"second has {len(second)} grades, first {len(first)}: grades of the same things are needed")
    strange = sorted(set(first + second) - set(grades))
    if strange:
        raise ValueError(f"first and second hold {strange[0]!r}, which is not on the scale {grades}")
    observed = np.zeros((len(grades), len(grades)))
    for a, b in zip(first, second):
        observed[grades.index(a), grades.index(b)] += 1
    expected = np.outer(observed.sum(1), observed.sum(0)) / max(observed.sum(), 1)
    rank = np.arange(len(grades))
    distance = abs(rank[:, None] - rank) ** (2 if weights == "quadratic" else 1)
    chance = float(np.sum(distance * expected))
    return 1 - float(np.sum(distance * observed)) / chance if chance else float("nan")


def unblind(folder: PathLike, sheets: Any = None, *, key: Any = None, weights: str = "quadratic") -> ReaderStudy:
    """Grades by method from the filled sheets of a study that `blinded` wrote, with the readers' agreement.

    Args:
        folder: the readers' folder.
        sheets: paths of the filled sheets (CSV, comma or semicolon), in any order; None: reader*/sheet.csv in the
            folder. Empty grades are counted as missing.
        key: the key's path; None: beside the folder, as `blinded` wrote it.
        weights: of kappa, "quadratic" or "linear".

    Returns:
        `ReaderStudy`.

    Raises:
        FileNotFoundError: no key, or no sheets.
        ValueError: a sheet of another study, an image that is named twice, a grade that is not on the scale.
    """
    folder = Path(folder)
    key = folder.with_name(folder.name + "_key.json") if key is None else Path(key)
    if not key.is_file():
        raise FileNotFoundError(f"the key {key} is not there: give key=")
    told = json_of(key)
    with reading(key, "the key of a study"):
        grades, shown = [int(g) for g in told["scale"]], told["images"]
        criteria = [str(c) for c in told["criteria"]]
        methods = list(dict.fromkeys(entry["method"] for entry in sorted(shown.values(), key=lambda e: e["method"])))
    if sheets is None:
        sheets = sorted(folder.glob("reader*/sheet.csv"))
    sheets = [sheets] if isinstance(sheets, str) or hasattr(sheets, "__fspath__") else list(sheets)
    if not sheets:
        raise FileNotFoundError(f"no sheets in {folder}: give their paths")
    given = {}
    for sheet in sheets:
        with reading(sheet, "a sheet"):
            rated = _rows(sheet, criteria, grades)
        for name, row in rated.items():
            if name not in shown:
                raise ValueError(f"{sheet} names image {name!r}, not one of this study: another study's sheet?")
            if name in given:
                raise ValueError(f"{sheet} names image {name!r} again: give every sheet once")
            given[name] = row
    rows, agreement = [], []
    missing = sum(grade is None for row in given.values() for grade in row.values())
    for criterion in criteria:
        first, again = {}, {}  # reader -> (case, method) -> grade
        for name, row in given.items():
            if row[criterion] is not None:
                entry, kind = shown[name], again if shown[name]["repeat"] else first
                kind.setdefault(name.split("_")[0], {})[entry["case"], entry["method"]] = row[criterion]
        rows += [_summary(method, criterion, first) for method in methods]
        agreement.append({"criterion": criterion} | _agreement(first, again, grades, weights))
    return ReaderStudy(rows, agreement, missing, weights)


def _rows(sheet, criteria, grades) -> dict:
    """image -> criterion -> grade or None of one sheet."""
    text = Path(sheet).read_text(encoding="utf-8-sig")  # as spreadsheets write it
    first = text.partition("\n")[0]
    table = csv.DictReader(text.splitlines(), delimiter=";" if first.count(";") > first.count(",") else ",")
    absent = [c for c in ("image", *criteria) if c not in (table.fieldnames or ())]
    if absent:
        raise ValueError(f"{sheet} has no column {absent[0]!r}: the sheet that was exported has")
    found = {}
    for line in table:
        name = (line["image"] or "").strip().removesuffix(".png")
        if not name:
            continue
        if name in found:
            raise ValueError(f"{sheet} names image {name!r} again: every image has one row")
        found[name] = {c: _grade(line[c], grades, f"{sheet}, image {name}, {c}") for c in criteria}
    return found


def _grade(text, grades, where) -> int | None:
    text = (text or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = None
    if value not in grades:
        raise ValueError(f"{where}: {text!r} is no grade of {grades[0]} to {grades[-1]}")
    return int(value)


def _summary(method, criterion, first) -> dict:
    values, best = [], []
    for graded in first.values():
        for (case, which), grade in graded.items():
            if which == method:
                values.append(grade)
                best.append(all(grade >= g for (c, _), g in graded.items() if c == case))
    known = len(values) > 0
    return {"method": method, "criterion": criterion, "mean": float(np.mean(values)) if known else float("nan"),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"), "n": len(values),
            "best": float(np.mean(best)) if known else float("nan")}


def _agreement(first, again, grades, weights) -> dict:
    def kappa(pairs):
        return weighted_kappa([a for a, _ in pairs], [b for _, b in pairs], grades, weights=weights)

    inter = []
    for one, other in itertools.combinations(first.values(), 2):
        common = [(one[k], other[k]) for k in one if k in other]
        inter.append(kappa(common))
    defined = [k for k in inter if not np.isnan(k)]
    repeats = [(first[r][k], grade) for r, graded in again.items() for k, grade in graded.items()
               if k in first.get(r, {})]
    return {"inter": float(np.mean(defined)) if defined else float("nan"), "pairs": len(inter),
            "intra": kappa(repeats), "repeats": len(repeats)}
