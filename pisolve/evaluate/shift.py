"""Where a reconstruction falls off: recipes under other anatomy, noise, acceleration and masks than their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from pisolve import _check, metrics
from pisolve.evaluate.planes import one_part, which
from pisolve.evaluate.section import Picture, Section, Told
from pisolve.evaluate.stability.replay import GOOD
from pisolve.prepare import SAMPLINGS, Espirit, Maps, Sampling, as_scan, fully_sampled, prepare
from pisolve.recipe import Recipe, Reconstruction
from pisolve.recipe.order import as_recipe, is_method

FACTORS = ("scan", "acceleration", "mask", "noise")


@dataclass(frozen=True, repr=False)
class Shift(Told):
    """What `shift` returns.

    Attributes:
        recipes: their names; the baseline comes last where it is none of them.
        baseline: the name of the baseline.
        conditions: a dict for each: "scan", "acceleration", "mask", "noise", and "label"; the first is home.
        rows: a dict for each condition and recipe: "condition" (its label), "recipe", "PSNR" in dB and "NMSE" inside
            the body of the reference, "from home" = PSNR - PSNR at home, "over baseline" = PSNR - that of the baseline
            in this condition, "shift" = "over baseline" here minus that at home, "status".
        left_out: why a condition could not be made, one sentence each.
    """

    recipes: list[str]
    baseline: str
    conditions: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    left_out: list[str]

    def matrix(self, key: str = "PSNR") -> np.ndarray:
        """A column of `rows` as an array (condition, recipe).

        Raises:
            ValueError: no such column of numbers.
        """
        _check.choice("key", key, ("PSNR", "NMSE", "from home", "over baseline", "shift"))
        return np.array([row[key] for row in self.rows]).reshape(len(self.conditions), len(self.recipes))

    def to_dict(self) -> dict[str, Any]:
        """The attributes as plain values."""
        return {"recipes": list(self.recipes), "baseline": self.baseline, "warnings": self.warnings,
                "conditions": [dict(c) for c in self.conditions], "rows": [dict(r) for r in self.rows],
                "left_out": list(self.left_out)}

    @property
    def warnings(self) -> list[str]:
        """Runs that failed, and where a recipe that beats the baseline at home loses to it, one sentence each."""
        first = self.conditions[0]["label"]
        home = {row["recipe"]: row["over baseline"] for row in self.rows if row["condition"] == first}
        found = [f"{row['recipe']} ends as {row['status']} at {row['condition']}" for row in self.rows
                 if row["status"] not in GOOD]
        return found + [f"{row['recipe']} is {home[row['recipe']]:.1f} dB above {self.baseline} at home and "
                        f"{-row['over baseline']:.1f} dB below it at {row['condition']}" for row in self.rows
                        if home[row["recipe"]] > 0.1 and row["over baseline"] < -0.1]

    def section(self) -> Section:
        """The matrix as a part of a report: a line for each condition, a column for each recipe."""
        psnr, over, moved = (self.matrix(k) for k in ("PSNR", "over baseline", "shift"))
        others = [k for k, name in enumerate(self.recipes) if name != self.baseline]
        rows = [{"condition": c["label"], **{f"{name} / dB": float(v) for name, v in zip(self.recipes, psnr[i])},
                 **{f"{self.recipes[k]} - {self.baseline}": float(over[i, k]) for k in others}}
                for i, c in enumerate(self.conditions)]
        pictures = {}
        if others:
            pictures = {f"PSNR - {self.baseline}": _heat(over[:, others]), "the same - that at home": _heat(
                moved[:, others])}
        text = (
            "Every recipe was run under every condition on the same undersampled data, with the same maps and the same "
            f"added noise. The first condition, {self.conditions[0]['label']}, is home; noise is the standard "
            "deviation of the real and of the imaginary part of what was added to each coil's image, in units of the "
            "99th percentile of the full data's root sum of squares. PSNR is that of magnitudes inside the body "
            "against the scan's own full data without added noise, its peak the reference's largest value.\n\n"
            "More noise and fewer samples lower every number. So read the columns that subtract the baseline "
            f"{self.baseline}: above 0 the recipe is better than the baseline there. A prior that was learned at home "
            "and carries over keeps its lead; one that does not loses it, or falls below 0, under the conditions that "
            "it does not know."
            + ("" if not pictures else "\n\nThe two maps have a line for each condition, from the top, and a column "
               f"for each of {', '.join(self.recipes[k] for k in others)}, from the left, in dB; the second subtracts "
               "the first line."))
        return Section("Shift of conditions", "\n\n".join([text, *self.left_out]), rows, pictures,
                       warnings=self.warnings)


def shift(recipes: Any, scans: Any, *, accels: Any = (4,), masks: Any = ("random",), noises: Any = (0.0,),
          baseline: Any = None, maps: Maps | None = None, grid: bool = False, slice: int | None = None, seed: int = 0,
          progress: bool = False) -> Shift:
    """Recipes under other conditions than their own: anatomy, acceleration, kind of mask, added noise.

    The first scan, acceleration, mask and noise are home; every other one is tried with the rest as at home, or, with
    `grid`, in all combinations. In each condition all recipes get the same samples, maps and noise.

    Args:
        recipes: name -> `Recipe` (a prior, or a result for its recipe), or one. Their `sampling` and `maps` are not
            used; `tune` is refused, since a strength would be chosen anew in every condition: give the
            reconstruction's recipe.
        scans: name -> fully sampled scan (a `Scan`, the path of one, or k-space), or one scan. The two may be changed
            for each other.
        accels: accelerations >= 1, 1 being the full scan.
        masks: out of "random", "equispaced", "equispaced_fraction", "poisson", "variable_density".
        noises: standard deviations of the real and of the imaginary part of the noise that is added to each coil's
            image, >= 0, in units of the 99th percentile of the scan's root sum of squares.
        baseline: the name of one of the recipes, or a `Recipe`; None: `Recipe()`, wavelets of the default strength.
        maps: how maps are made where a scan has none; None: `Espirit()`.
        grid: all combinations.
        slice: of volumes; None: the middle one.
        seed: of masks and noise.
        progress: show a bar.

    Raises:
        TypeError, ValueError: no recipes, one that tunes or whitens, a scan that is not fully sampled, numbers out of
            range.

    Reference:
        Knoll et al., Magn Reson Med 81 (2019) 116; Darestani, Chaudhari and Heckel, ICML 2021, on shifts of anatomy and
        acquisition.

    Example:
        pi.evaluate.shift({"tv": tv, "modl": net}, {"brain": "a.h5", "knee": "b.h5"}, accels=(4, 8), noises=(0, 0.02))
    """
    if _says_recipes(scans) and not _says_recipes(recipes):
        recipes, scans = scans, recipes
    recipes, base = _recipes(recipes, baseline)
    scans = {n: _full(n, s, slice) for n, s in _named("scans", scans).items()}
    axes = [list(scans), _listed("accels", accels, lambda v: _check.number("accels", v, low=1)),
            _listed("masks", masks, lambda v: _check.choice("masks", v, SAMPLINGS)),
            _listed("noises", noises, lambda v: _check.number("noises", v, low=0))]
    seed, maps = _check.integer("seed", seed, low=0), Espirit() if maps is None else maps
    if not isinstance(maps, Maps):
        raise TypeError(f"maps must be an Espirit(...), a Walsh(), Inati() or JSense(), got {_check.brief(maps)}")
    home = tuple(axis[0] for axis in axes)
    if grid:
        chosen = list(product(*axes))
    else:
        chosen = [home] + [(*home[:k], v, *home[k + 1:]) for k, axis in enumerate(axes) for v in axis[1:]]
    from tqdm import tqdm

    conditions, results, left_out = [], [], []
    with tqdm(total=len(chosen) * len(recipes), desc="shift", disable=not progress, leave=False) as bar:
        for values in chosen:
            condition = dict(zip(FACTORS, values))
            condition["label"] = _label(condition, axes)
            try:
                scan, reference = _made(scans[values[0]], condition, maps, seed)
            except ValueError as error:
                if values == home:
                    raise
                left_out.append(f"{condition['label']} was left out: {error}")
                bar.update(len(recipes))
                continue
            body = metrics.body(reference)
            conditions.append(condition)
            for name, recipe in recipes.items():
                done = recipe(scan)
                results.append({"condition": condition["label"], "recipe": name,
                                "PSNR": metrics.psnr(reference, done.x, region=body),
                                "NMSE": metrics.nmse(reference, done.x, region=body), "status": done.status})
                bar.update()
    return Shift(list(recipes), base, conditions, _differences(results, list(recipes), base), left_out)


def _differences(results, names, base) -> list[dict]:
    rows, count, b = [], len(names), names.index(base)
    over = [row["PSNR"] - results[i - i % count + b]["PSNR"] for i, row in enumerate(results)]
    for i, row in enumerate(results):
        status = row.pop("status")
        rows.append(row | {"from home": row["PSNR"] - results[i % count]["PSNR"], "over baseline": over[i],
                           "shift": over[i] - over[i % count], "status": status})
    return rows


def _says_recipes(x) -> bool:
    """Whether x is a recipe, a prior or a result, or a dict of them."""
    values = list(x.values()) if isinstance(x, Mapping) else [x]
    return bool(values) and all(is_method(v) or isinstance(v, Reconstruction) for v in values)


def _recipes(recipes, baseline) -> tuple[dict, str]:
    if isinstance(recipes, Mapping):
        recipes = {name: as_recipe(r) for name, r in recipes.items()}
    one, baseline = as_recipe(recipes), as_recipe(baseline)
    recipes = _named("recipes", {one.name or "recipe": one} if isinstance(one, Recipe) else recipes)
    if baseline is None or isinstance(baseline, Recipe):
        name = (baseline.name if baseline else "") or ("baseline" if baseline else "wavelet baseline")
        if name in recipes:
            raise ValueError(f"baseline is called {name!r} as one of the recipes is: give it another name")
        recipes, baseline = {**recipes, name: baseline or Recipe()}, name
    elif baseline not in recipes:
        raise ValueError(f"baseline must be one of {', '.join(recipes)} or a Recipe, got {_check.brief(baseline)}")
    for name, recipe in recipes.items():
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipes[{name!r}] must be a pi.Recipe, got {_check.brief(recipe)}")
        if recipe.tune is not None:
            raise ValueError(f"recipes[{name!r}] tunes its strength: give a reconstruction's recipe, whose is fixed")
        if recipe.whiten:
            raise ValueError(f"recipes[{name!r}] whitens, so its image has other units than the others': whiten=False")
    return {name: replace(recipe, sampling=None) for name, recipe in recipes.items()}, baseline


def _named(name, given) -> dict:
    if isinstance(given, Mapping):
        if not given or not all(isinstance(k, str) for k in given):
            raise ValueError(f"{name} must have at least one entry, with names as keys, got {_check.brief(given)}")
        return dict(given)
    if name == "recipes" or isinstance(given, tuple | list):
        raise TypeError(f"{name} must be a dict, name -> one of them, got {_check.brief(given)}")
    return {"scan": given}


def _full(name, scan, slice):
    scan = as_scan(scan)
    if not fully_sampled(scan):
        raise ValueError(f"scans[{name!r}] is undersampled: shift needs the full data to compare with")
    return one_part(scan, which(scan, slice))._with(reference=None, mask=None)


def _listed(name, values, check) -> list:
    if not isinstance(values, tuple | list | np.ndarray) or not len(values):
        raise TypeError(f"{name} must be a tuple of at least one, got {_check.brief(values)}")
    return list(dict.fromkeys(check(v) for v in values))


def _label(condition, axes) -> str:
    """What a condition is called: its scan where there are several, acceleration, mask, noise where there is any."""
    parts = [condition["scan"]] if len(axes[0]) > 1 else []
    parts += [f"{condition['acceleration']:g}x", condition["mask"]]
    return ", ".join([*parts, *([f"noise {condition['noise']:g}"] if len(axes[3]) > 1 or condition["noise"] else [])])


def _made(full, condition, maps, seed):
    """(the scan as it is measured under a condition, with its mask and maps; the full data's root sum of squares)."""
    reference = full.rss()
    scan = full
    if condition["noise"]:  # the same draw for all masks of a scan
        level = condition["noise"] * float(np.percentile(reference, 99))
        noise = np.random.default_rng(seed).standard_normal((*full.kspace.shape, 2)).view(complex)[..., 0]
        scan = replace(full, kspace=(full.kspace + level * noise).astype(full.kspace.dtype))
    accel = condition["acceleration"]
    sampling = None if accel == 1 else Sampling(condition["mask"], accel, seed=seed)
    return prepare(replace(scan, calib=None) if condition["noise"] else scan, maps, sampling), reference


def _heat(values) -> Picture:
    """A matrix as a picture with large cells."""
    top = max(float(abs(values).max()), 0.1)
    return Picture(np.kron(values, np.ones((24, 48))), -top, top, "dB", "signed", place=False)
