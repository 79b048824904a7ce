"""From the words of the command line to a recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pisolve import solvers
from pisolve._check import choice
from pisolve.cli.report import say
from pisolve.io.hdf5 import attributes, open_hdf5
from pisolve.prepare import Compress, Espirit, Grappa, Inati, JSense, Maps, Method, Raki, Sense, Spirit, Walsh
from pisolve.priors import Prior
from pisolve.priors.adapter import as_denoiser
from pisolve.recipe import Recipe, Sampling
from pisolve.recipe.named import DEFAULTS, DENOISER, FITTED, named, prior

MAPS = {"espirit": Espirit, "walsh": Walsh, "inati": Inati, "jsense": JSense}
RECONSTRUCTIONS = {"sense": Sense, "grappa": Grappa, "raki": Raki, "spirit": Spirit}  # --method
AUTO = "auto"  # for --lam and --sigma: choose it
SOLVERS = {n.lower(): s for n, s in vars(solvers).items()
           if isinstance(s, type) and issubclass(s, solvers.Solver) and s is not solvers.Solver}


def make_recipe(a) -> Recipe:
    """The recipe that the arguments describe; an argument without effect is an error."""
    recipe, device = _recipe(a), getattr(a, "device", None)
    return recipe if device is None else replace(recipe, device=device)  # beside --recipe, too: machines differ


def _recipe(a) -> Recipe:
    names = ("prior", "lam", "sigma", "denoiser", "level", "scale", "offset", "rescale", "solver", "max_iter", "tol",
             "crop", "sets", "maps", "method", "variant", "coils", "gcc", "prewhiten", "tune", "accel", "mask",
             "center_fraction", "seed", "network", "consistency")
    given = {n: getattr(a, n) for n in names if getattr(a, n) is not None}
    if a.recipe:
        if given:
            raise ValueError(f"--{'/--'.join(given).replace('_', '-')} beside --recipe: the recipe says it all")
        return read_recipe(a.recipe)
    sampling = {n: given.pop(n) for n in ("accel", "mask", "center_fraction", "seed") if n in given}
    if sampling and "accel" not in sampling:
        raise ValueError(f"--{next(iter(sampling)).replace('_', '-')} needs --accel")
    if "center_fraction" in sampling and sampling.get("mask") in ("poisson", "variable_density"):
        raise ValueError(f"--center-fraction is for lines, not for --mask {sampling['mask']}")
    drawn = Sampling(**sampling) if sampling else None
    run = _channels(given) | _maps(given, a.mps)
    if "network" in given:
        return Recipe(sampling=drawn, **run, **_network(given))
    if "consistency" in given:
        raise ValueError("--consistency is for --network: a prior's image has the data term")
    run |= {n: given.pop(n) for n in ("max_iter", "tol") if n in given}
    if given.get("method") in FITTED:
        return _fitted(given.pop("method"), given, {"sampling": drawn, **run})
    run["method"] = _method(given)
    solver = SOLVERS[given.pop("solver")]() if "solver" in given else None
    word = given.pop("prior", "zero" if isinstance(run["method"], Grappa | Raki) else "wavelet")
    run |= _tune(word, given)
    chosen, run = make_prior(word, **given), default_run(word) | run
    return Recipe(chosen, solver, sampling=drawn, name=word, **run)


def _method(given: dict) -> Method:
    """Recipe's `method`; takes --method and --variant out of `given`."""
    word, variant = given.pop("method", "sense"), given.pop("variant", None)
    if variant is None:
        return RECONSTRUCTIONS[word]()
    if word != "raki":
        raise ValueError(f"--variant {variant} is for --method raki, not for {word}")
    return Raki(variant=variant)


def _fitted(word: str, given: dict, run: dict) -> Recipe:
    """The recipe of a network that is fitted to the scan, on which other words about priors have no effect."""
    if given:
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} has no effect on --method {word}")
    return replace(named(word), **run)


def _network(given: dict) -> dict:
    """Recipe's `network` and `consistency`; everything else that is given has no effect on a network."""
    network, consistency = nets_room().load(given.pop("network")), given.pop("consistency", False)
    if given:
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} has no effect on --network")
    return {"network": network, "consistency": consistency, "name": "network"}


def _channels(given: dict) -> dict:
    """Recipe's `whiten` and `compress`; takes --prewhiten, --coils and --gcc out of `given`."""
    whiten, coils, gcc = (given.pop(n, None) for n in ("prewhiten", "coils", "gcc"))
    if gcc and coils is None:
        raise ValueError("--gcc is for --coils N: without it no coils are compressed")
    compress = None if coils is None else Compress(coils, method="gcc" if gcc else "svd")
    return {"whiten": bool(whiten), "compress": compress}


def _maps(given: dict, mps) -> dict:
    """Recipe's `maps`; takes --maps, --crop and --sets out of `given`."""
    word = given.pop("maps", None)
    options = {name: given.pop(key) for key, name in (("crop", "crop"), ("sets", "maps")) if key in given}
    if (word or options) and mps:
        word = "crop" if "crop" in options else "sets" if options else "maps"
        raise ValueError(f"--{word} is for maps that are estimated: with --mps there is nothing to estimate")
    if options and word not in (None, "espirit"):
        raise ValueError(f"--crop and --sets are for ESPIRiT's maps, not for --maps {word}")
    return {"maps": MAPS[word or "espirit"](**options)}


def check_maps(a, recipe: Recipe, scan=None) -> None:
    """Refuse words about coil maps that have no effect on the recipe's method, or on the scan once it is there."""
    word = next((n for n in ("mps", "maps", "sets", "crop") if getattr(a, n) is not None), None)
    if word and not recipe.method.needs_maps:
        what = "this network" if recipe.network else f"--method {type(recipe.method).__name__.lower()}"
        raise ValueError(f"--{word} has no effect on {what}, which needs no coil maps: leave it out")
    if word not in (None, "mps") and scan is not None and scan.mps is not None:
        raise ValueError(f"--{word} is for maps that are estimated, and this scan brings its own: leave it out, or "
                         "give others by --mps (pisolve calib makes them)")


def make_maps(a) -> Maps:
    """How `calib` makes maps; an option that its method does not have is an error."""
    cls = MAPS[a.method]
    given = {n: getattr(a, n) for n in {n for m in MAPS.values() for n in m.__dataclass_fields__}
             if getattr(a, n) is not None}
    unfit = sorted(given.keys() - cls.__dataclass_fields__.keys())
    if unfit:
        raise ValueError(f"--{unfit[0].replace('_', '-')} has no effect on --method {a.method}")
    return cls(**given)


def _tune(word: str, given: dict) -> dict:
    """Recipe's `tune` where a strength is to be chosen; takes --tune and auto out of `given`."""
    method = given.pop("tune", None)
    asked = [n for n in ("lam", "sigma") if given.get(n) == AUTO]
    strength = next((n for n in ("lam", "sigma") if n in DEFAULTS[word]), None)
    if method is None and not asked:
        return {}
    for name in asked:
        if strength is not None and name != strength:
            raise ValueError(f"--{name} auto: what is chosen for {word} is {strength}, --{strength} auto")
        del given[name]
    if strength is None:
        what = "tune" if method else f"{asked[0]} auto"
        raise ValueError(f"--{what} has no effect on {word}, which has no strength to choose")
    if strength in given:
        raise ValueError(f"--tune {method} chooses {strength}: leave --{strength} out, or write --{strength} auto")
    return {"tune": method or "holdout"}


def default_run(word: str) -> dict:
    """Recipe's arguments that the prior of this name wants other than usual."""
    return {k: v for k, v in DEFAULTS[word].items() if k == "max_iter"}


def make_prior(word: str, *, lam=None, sigma=None, denoiser=None, **network) -> Prior:
    """The prior of this name; what it is not given stands in DEFAULTS."""
    values = {k: v for k, v in DEFAULTS[word].items() if k != "max_iter"}
    for name, value in (("lam", lam), ("sigma", sigma)):
        if value is not None and name not in values:
            raise ValueError(f"--{name} has no effect on {word}: it takes "
                             f"{' and '.join(f'--{n}' for n in values) or 'no parameter'}")
    if word not in ("pnp", "red"):
        if denoiser is not None or network:
            raise ValueError(f"--{next(iter(network), 'denoiser')} is for pnp and red, not for {word}")
        return prior(word, lam=values.get("lam") if lam is None else lam)
    D = _load(DENOISER if denoiser is None else denoiser, network)
    if sigma is None and (D.level is None or D.rescale):
        sigma = values["sigma"]
    return prior(word, D, lam=values.get("lam") if lam is None else lam, sigma=sigma)


def _load(name, options):
    """The denoiser; a public grey one gets its own range, unless the options speak of range or level."""
    nets = nets_room()
    D = as_denoiser(nets.load(name, **options))
    if D.channels != "parts" or nets.store.named_level(name) is None or {"scale", "offset", "level"} & options.keys():
        return D
    say("note", f"{Path(name).name} was trained on [0, 1], parts of images are in -1..1: it sees 0.5 image + 0.5, "
        "unless --scale and --offset say otherwise")
    return nets.load(name, **options, scale=0.5, offset=0.5)


def nets_room():
    """The module `pisolve.nets`, with torch's modules: only where a network is asked for."""
    from pisolve import nets

    return nets


def read_recipe(path) -> Recipe:
    """The recipe in a .json, or in an image that `recon` wrote."""
    choice("the suffix of --recipe", Path(path).suffix, (".json", ".h5", ".hdf5"))
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist")
    if path.endswith(".json"):
        text = Path(path).read_text(encoding="utf-8")
    else:
        with open_hdf5(path) as file:
            text = attributes(file).get("recipe", "")
    try:
        return Recipe.from_dict(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} holds no recipe: {error}") from error
