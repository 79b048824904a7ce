"""What is compared with what: the user's words, checked, as a plan that can be written down and run again."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._version import __version__
from pisolve._words import WORDS, ZERO_FILLED
from pisolve.evaluate.sources import load, scans_of
from pisolve.prepare import EACH, SAMPLINGS, Sampling, as_scan, fully_sampled
from pisolve.priors import Denoiser, Prior
from pisolve.priors._module import is_module
from pisolve.recipe import Recipe
from pisolve.recipe.format import encode, spelled
from pisolve.recipe.named import named
from pisolve.scan.parts import check_each
from pisolve.tuning import TRIALS, check_tune
from pisolve.tuning.budget import LEAST
from pisolve.tuning.choose import FOLDS
from pisolve.tuning.strength import family

PLAIN = ("slice", "coil", "ky", "kx")  # axes that go without saying
_ONCE = ("maps", "whiten", "compress", "delays", "shot_factors")  # what prepares the data: one for all methods
ADVICE = "compare has its own, the same for all methods: leave it out of the recipe"


@dataclass(frozen=True)
class Plan:
    """Scans, samplings and methods of a comparison, and how strengths are chosen.

    Attributes:
        scans: name -> `Scan`.
        sources: name -> how the scan can be found again, what `load` takes, or None.
        methods: name -> `Recipe`, None for the zero-filled image.
        samplings: `Sampling`, bool array as for `Scan`'s mask, or None (as measured), in turn.
        tune: None, or a criterion of `pi.tune`.
        trials: most strengths that are tried for each prior; None: still to be decided by `minutes`.
        common: what prepares the data, the same in all recipes: maps, whiten, compress, ...
        minutes: the time that decides trials and folds, see `budget.decided`; None: they are as given.
        folds: of "holdout".
    """

    scans: dict[str, Any]
    sources: dict[str, Any]
    methods: dict[str, Any]
    samplings: tuple[Any, ...]
    tune: str | None
    trials: int | None
    common: dict[str, Any]
    minutes: float | None = None
    folds: int = FOLDS

    def settings(self) -> list[tuple[str, object]]:
        """(name of the scan, sampling), in their order."""
        return [(name, sampling) for name in self.scans for sampling in self.samplings]

    def tuned(self, name: str) -> bool:
        """Whether a strength is chosen for this method."""
        return self.tune is not None and has_strength(self.methods[name])

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` makes the same plan of, given the scans where they have no file.

        Raises:
            ValueError: a prior of the user's own cannot be written down.
        """
        return {"pisolve": __version__, "scans": self.sources,
                "methods": {n: ZERO_FILLED if r is None else r.to_dict() for n, r in self.methods.items()},
                "samplings": [encode(s) if isinstance(s, Sampling) else s if s is None else s.astype(int).tolist()
                              for s in self.samplings], "tune": self.tune, "trials": self.trials,
                **({} if self.minutes is None else {"minutes": self.minutes, "folds": self.folds})}

    @staticmethod
    def from_dict(d: dict[str, Any], scans: Any = None) -> Plan:
        """The plan that `to_dict` described.

        Args:
            d: the description.
            scans: name -> scan, for those without a file, or in place of all of them.

        Raises:
            ValueError: no such description, or a scan without a file is not given.
        """
        try:
            sources, methods = d["scans"], {n: None if r == ZERO_FILLED else Recipe.from_dict(r)
                                            for n, r in d["methods"].items()}
            samplings = [Sampling(**{k: v for k, v in s.items() if k != "type"}) if isinstance(s, dict) else
                         s if s is None else np.array(s, bool) for s in d["samplings"]]
            tune, trials, minutes, folds = d["tune"], d["trials"], d.get("minutes"), d.get("folds", FOLDS)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this describes no comparison: {error!r}") from error
        found = {}
        for name, source in sources.items():
            given = (scans or {}).get(name)
            if given is None and source is None:
                raise ValueError(f"scan {name!r} was given as an array, not as a file: give scans={{{name!r}: ...}}")
            found[name] = as_scan(given) if given is not None else load(**source)
        return Plan(found, sources, methods, tuple(samplings), tune, trials, _common(methods), minutes, folds)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the scans' data, the methods with their weights and everything else that the images depend on.

        A method that was made in Python and is no network cannot be recognised again: then it is another every time.
        """
        digest = hashlib.sha256()
        for name, scan in self.scans.items():
            named = () if scan.axes in (PLAIN, PLAIN[1:]) else (scan.axes,)
            digest.update(repr((name, scan.phase_axis, sorted(kept(scan.meta).items()), *named)).encode())
            size = None if scan.size is None else np.array(scan.size)
            further = [a for a in (scan.weights, scan.field_map, scan.times, scan.coord, size) if a is not None]
            for part in (scan.kspace, scan.mask, scan.mps, scan.reference, scan.noise, scan.calib, *further):
                digest.update(b"-" if part is None else repr((part.shape, str(part.dtype))).encode())
                if part is not None:
                    digest.update(np.ascontiguousarray(part).tobytes())
        samplings = [repr(s) if not isinstance(s, np.ndarray) else s.astype(int).tolist() for s in self.samplings]
        asked = self.trials if self.minutes is None else {"minutes": self.minutes}  # what it decides is in the folder
        digest.update(json.dumps([__version__, list(self.methods), samplings, self.tune, asked]).encode())
        for recipe in self.methods.values():
            _digest(recipe, digest)
        return digest.hexdigest()


def kept(meta: dict) -> dict:
    """What of a scan's attributes goes with it: numbers and words."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in meta.items()
            if isinstance(v, str | int | float | np.integer | np.floating)}


def _digest(recipe: Recipe | None, digest) -> None:
    """Add a recipe and the weights of its networks to a digest."""
    if recipe is None:
        return
    modules = _modules(recipe)
    try:
        digest.update(json.dumps(spelled(recipe.to_dict(), first=True)).encode())
    except ValueError:
        if not modules:
            digest.update(secrets.token_bytes(16))
        digest.update(repr(recipe).encode())
    for module in modules:
        for name, value in module.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())


def _modules(part, depth: int = 5) -> list:
    """The networks inside of a recipe."""
    if is_module(part):
        return [part]
    inside = list(part) if isinstance(part, tuple | list) else list(getattr(part, "__dict__", {}).values())
    return [m for value in inside if depth for m in _modules(value, depth - 1)]


def make(scans, methods, *, accel=None, mask=None, seeds=1, center_fraction=None, tune="holdout", trials=None,
         minutes=None, reference=None, slices=None, select=None, axes=None, each=None, vary=None,
         spokes=None) -> Plan:
    """The plan of what the user asks for; see `compare` for the arguments."""
    if slices is not None and "slice" in (select or {}):
        raise ValueError("slices beside select={'slice': ...}: give one of them")
    if _says_methods(scans) and not _says_methods(methods):
        scans, methods = methods, scans
    found, sources = scans_of(scans, slices, select, axes)
    if reference is not None:
        if len(found) > 1:
            raise ValueError("reference is for one scan: give others theirs by Scan(kspace, reference=...)")
        found = {name: replace(scan, reference=_reference(reference, scan, slices)) for name, scan in found.items()}
        sources = dict.fromkeys(sources)  # a file says nothing of it
    recipes = _methods(methods) if each is None else _each(_methods(methods), found, each)
    for recipe in (r for r in recipes.values() if r is not None):
        for scan in found.values():
            recipe.check_prior(scan)
    trials = _trials(trials, minutes, tune)
    samplings = _samplings(accel, mask, seeds, center_fraction, vary, spokes)
    plan = Plan(found, sources, recipes, samplings, tune, trials, _common(recipes), minutes)
    several = [n for n, s in found.items() if s.sets > 1]
    if tune == "reference" and several:
        raise ValueError(f"tune='reference' is for one set of maps, {several[0]!r} has several: take tune='holdout'")
    if tune == "reference":
        blind = [n for n, s in found.items() if s.reference is None and not (samplings[0] is not None
                                                                             and fully_sampled(s))]
        if blind:
            raise ValueError(f"tune='reference' needs the truth, and {blind[0]!r} has none: give reference=..., or a "
                             "full scan with accel")
    return plan


def _trials(trials, minutes, tune) -> int | None:
    """How many strengths are tried; None where the time is to decide it."""
    check_tune(tune, minutes)
    if minutes is None:
        return TRIALS if trials is None else _check.integer("trials", trials, low=LEAST)
    if trials is not None:
        raise ValueError(f"minutes={minutes!r} beside trials={trials!r}, which it decides: give one of them")
    return None


def _reference(reference, scan, slices):
    """The image to compare with in the shape of the scan, for the slices that were asked for."""
    reference = np.asarray(reference)
    if "slice" in scan.axes:
        reference = reference[None] if reference.ndim == len(scan.image_axes) - 1 else reference
        if slices is not None and len(reference) != len(scan.kspace):
            reference = reference[slices if isinstance(slices, slice) else np.atleast_1d(slices)]
    return reference


def _each(recipes, scans, each) -> dict:
    """The recipes with one `each`: a recipe that says another one is refused."""
    each = check_each(each)
    for scan in scans.values():
        scan.labels(each)  # refuses axes that it has not, and those that hang together
    for name, recipe in recipes.items():
        if recipe is not None and recipe.each not in (EACH, each):
            raise ValueError(f"method {name!r} is a recipe with each={recipe.each!r} beside each={each!r}: give one of "
                             "them")
    return {n: None if r is None else replace(r, each=each) for n, r in recipes.items()}


def has_strength(recipe: Recipe | None) -> bool:
    """Whether there is a strength to choose: networks, SENSE, GRAPPA and denoisers of one level have none."""
    if recipe is None or recipe.prior is None or not recipe.method.tunable:
        return False
    try:
        family(recipe.prior)
    except ValueError:
        return False
    return getattr(recipe.maps, "sets", 1) == 1


def _says_methods(x) -> bool:
    """Whether x is a method, or several, by priors, recipes or the words of `_words`: then it is no scan."""
    several = list(x.values()) if isinstance(x, Mapping) else x if isinstance(x, list | tuple) else [x]
    return bool(several) and all(m in WORDS if isinstance(m, str) else isinstance(m, Prior | Recipe) for m in several)


def _methods(methods) -> dict:
    """name -> recipe of all methods, None for the zero-filled image."""
    if isinstance(methods, Mapping):
        given = dict(methods)
    else:
        single = isinstance(methods, str | Prior | Recipe) or not isinstance(methods, list | tuple)
        given = {}
        for method in [methods] if single else methods:
            name = method if isinstance(method, str) else getattr(method, "name", "") or repr(method)
            if name in given:
                raise ValueError(f"methods holds {name!r} twice: give a dict from names to methods")
            given[name] = method
    if not given:
        raise ValueError("methods is empty: give priors, recipes or words such as 'wavelet'")
    return {str(name): _recipe(str(name), method) for name, method in given.items()}


def _recipe(name: str, method) -> Recipe | None:
    if method == ZERO_FILLED if isinstance(method, str) else method is None:
        return None
    if isinstance(method, str):
        return named(method)
    if isinstance(method, Recipe):
        for field in ("tune", "sampling"):
            if getattr(method, field) is not None:
                raise ValueError(f"method {name!r} is a recipe with {field}={getattr(method, field)!r}: {ADVICE}")
        return method
    if isinstance(method, Prior):
        return Recipe(method, name=name)
    if isinstance(method, Denoiser):
        raise TypeError(f"method {name!r} is a denoiser: give pi.PnP(D, sigma=0.05), or pi.RED")
    if getattr(method, "needs_maps", None) is not None:
        return Recipe(network=method, name=name)
    raise TypeError(f"method {name!r} must be a prior, a recipe, a reconstruction network or a word such as 'tv', got "
                    f"{_check.brief(method)}")


def _common(recipes) -> dict:
    """What prepares the data, the same in all recipes."""
    first = next((r for r in recipes.values() if r is not None), Recipe())
    for name, recipe in recipes.items():
        for part in _ONCE if recipe is not None else ():
            if getattr(recipe, part) != getattr(first, part):
                raise ValueError(f"methods are on unequal terms: {name!r} has {part}={getattr(recipe, part)!r}, others "
                                 f"{getattr(first, part)!r}: give all of them the same")
    return {part: getattr(first, part) for part in _ONCE}


def _samplings(accel, mask, seeds, center_fraction, vary, spokes) -> tuple:
    beside = {"center_fraction": center_fraction, "vary": vary, "spokes": spokes}
    if mask is not None and _check.is_array(mask):
        if accel is not None or seeds != 1 or any(v is not None for v in beside.values()):
            raise ValueError(f"mask is a pattern already: leave accel, seeds, {', '.join(beside)} out")
        return (np.asarray(mask) != 0,)
    if accel is None and spokes is None:
        given = [n for n, v in ({"mask": mask} | beside).items() if v is not None]
        if given or seeds != 1:
            raise ValueError(f"{given[0] if given else 'seeds'} has no effect without accel: give accel=4, say")
        return (None,)
    accels = [a if a is None or isinstance(a, tuple) else _check.number("accel", a, low=1)
              for a in (accel if isinstance(accel, list | tuple) else [accel])]
    usual = "random" if spokes is None else "radial"
    kinds = list(mask) if isinstance(mask, list | tuple) else [usual if mask is None else mask]
    for kind in kinds:
        _check.choice("mask", kind, SAMPLINGS)
    if center_fraction is not None and all(k in ("poisson", "variable_density") for k in kinds):
        raise ValueError(f"center_fraction has no effect on {kinds[0]}: leave it out")
    count = _check.integer("seeds", seeds, low=1)
    drawn = [Sampling(k, a, None if k in ("poisson", "variable_density") else center_fraction, s, vary, n)
             for k in kinds for a in accels for n in (spokes if isinstance(spokes, list | tuple) else [spokes])
             for s in range(count)]
    if not drawn or len(set(drawn)) < len(drawn):
        raise ValueError("accel and mask must name at least one sampling, and none twice")
    return tuple(drawn)
