"""From the words of the command line to a recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pisolve import solvers
from pisolve._check import choice
from pisolve.cli.maps import maps_of_recipe
from pisolve.cli.options import flag, given
from pisolve.cli.say import say
from pisolve.prepare import Compress, Grappa, Method, Raki, Sense, Spirit
from pisolve.prepare.sampling import POINTS
from pisolve.priors import Prior
from pisolve.priors.adapter import as_denoiser
from pisolve.recipe import Recipe, Sampling
from pisolve.recipe.file import SUFFIXES
from pisolve.recipe.named import DEFAULTS, DENOISER, FITTED, named, prior

RECONSTRUCTIONS = {"sense": Sense, "grappa": Grappa, "raki": Raki, "spirit": Spirit}  # --method
ARGUMENTS = ("prior", "lam", "sigma", "denoiser", "level", "scale", "offset", "rescale", "solver", "max_iter", "tol",
             "map_crop", "sets", "maps", "method", "variant", "coils", "gcc", "prewhiten", "tune", "accel", "mask",
             "center_fraction", "seed", "vary", "spokes", "network", "consistency", "fallback", "each", "delays",
             "shot_factors", "minutes")  # those that a recipe holds
PATTERN = ("accel", "mask", "center_fraction", "seed", "vary", "spokes")  # those of the undersampling
AUTO = "auto"  # for --lam and --sigma: choose it
NOISE = "noise"  # for --sigma: by the noise of the scan
SOLVERS = {n.lower(): s for n, s in vars(solvers).items()
           if isinstance(s, type) and issubclass(s, solvers.Solver) and s is not solvers.Solver}


def make_recipe(a) -> Recipe:
    """The recipe that the arguments describe; an argument without effect is an error."""
    recipe = _recipe(a)
    if getattr(a, "no_off_resonance", None):
        recipe = replace(recipe, off_resonance=False)
    return recipe if a.device is None else replace(recipe, device=a.device)  # beside --recipe, too: machines differ


def _recipe(a) -> Recipe:
    asked = given(a, ARGUMENTS)
    if a.recipe:
        return recipe_in(a, asked)
    check_no_sampling(a, asked)
    drawn = make_sampling(asked)
    run = _channels(asked) | {"maps": maps_of_recipe(asked, a.mps)}
    run |= {"each": tuple(asked.pop("each"))} if "each" in asked else {}
    if "network" in asked:
        return Recipe(sampling=drawn, **run, **_network(asked))
    if "consistency" in asked:
        raise ValueError("--consistency is for --network: a prior's image has the data term")
    if "fallback" in asked:
        raise ValueError("--fallback is for --network: it stands in for a network's image")
    run |= {n: asked.pop(n) for n in ("max_iter", "tol") if n in asked}
    if asked.get("method") in FITTED:
        return _fitted(asked.pop("method"), asked, {"sampling": drawn, **run})
    run["method"] = _method(asked)
    solver = SOLVERS[asked.pop("solver")]() if "solver" in asked else None
    word = asked.pop("prior", "zero" if run["method"].fills else "wavelet")
    run |= _tune(word, asked)
    usual = {} if asked.get("sigma") == NOISE else default_run(word)
    chosen, run = make_prior(word, **asked), usual | run
    return Recipe(chosen, solver, sampling=drawn, name=word, **run)


def check_no_sampling(a, asked: dict) -> None:
    """Refuse --no-sampling beside a pattern."""
    pattern = [n for n in PATTERN if n in asked]
    if a.no_sampling and pattern:
        raise ValueError(f"{flag(pattern[0])} beside --no-sampling: leave one of them out")


def recipe_in(a, asked: dict) -> Recipe:
    """The recipe of --recipe, with the undersampling of this command where there is one: --accel 1 is none."""
    check_no_sampling(a, asked)
    if others := [flag(n) for n in asked if n not in PATTERN]:
        raise ValueError(f"{'/'.join(others)} beside --recipe: the recipe says it all, but the undersampling")
    drawn, recipe = make_sampling(asked), read_recipe(a.recipe)
    return replace(recipe, sampling=drawn) if a.no_sampling or drawn is not None or a.accel is not None else recipe


def make_sampling(asked: dict) -> Sampling | None:
    """The undersampling, None for none; takes --accel, --mask and the like out of `asked`."""
    sampling = {n: asked.pop(n) for n in PATTERN if n in asked}
    if "spokes" in sampling:
        sampling.setdefault("mask", "radial")
    elif sampling and "accel" not in sampling:
        raise ValueError(f"{flag(next(iter(sampling)))} needs --accel")
    if "center_fraction" in sampling and sampling.get("mask") in POINTS:
        raise ValueError(f"--center-fraction is for lines, not for --mask {sampling['mask']}")
    if isinstance(sampling.get("accel"), tuple):
        sampling.setdefault("mask", "equispaced")
    return Sampling(**sampling) if sampling else None


def _method(asked: dict) -> Method:
    """Recipe's `method`; takes --method and --variant out of `asked`."""
    word, variant = asked.pop("method", "sense"), asked.pop("variant", None)
    if variant is None:
        return RECONSTRUCTIONS[word]()
    if word != "raki":
        raise ValueError(f"--variant {variant} is for --method raki, not for {word}")
    return Raki(variant=variant)


def _fitted(word: str, asked: dict, run: dict) -> Recipe:
    """The recipe of a network that is fitted to the scan, on which other words about priors have no effect."""
    if asked:
        raise ValueError(f"{flag(next(iter(asked)))} has no effect on --method {word}")
    return replace(named(word), **run)


def _network(asked: dict) -> dict:
    """Recipe's `network`, `consistency` and `fallback`; nothing else that is given has an effect on a network."""
    network, consistency = nets_room().load(asked.pop("network")), asked.pop("consistency", False)
    word = asked.pop("fallback", None)
    fallback = None if word is None else make_prior(word, sigma=NOISE if word == "pnp" else None)
    if asked:
        raise ValueError(f"{flag(next(iter(asked)))} has no effect on --network")
    return {"network": network, "consistency": consistency, "fallback": fallback, "name": "network"}


def _channels(asked: dict) -> dict:
    """Recipe's `whiten` and `compress`, and what corrects shots; takes the words for them out of `asked`."""
    whiten, coils, gcc = (asked.pop(n, None) for n in ("prewhiten", "coils", "gcc"))
    if gcc and coils is None:
        raise ValueError("--gcc is for --coils N: without it no coils are compressed")
    compress = None if coils is None else Compress(coils, by="gcc" if gcc else "svd")
    shots = {n: asked.pop(n) for n in ("delays", "shot_factors") if n in asked}
    shots |= {"delays": None} if shots.get("delays") == "none" else {}
    if "shot_factors" in shots:
        shots["shot_factors"] = {"yes": True, "no": False}.get(shots["shot_factors"], shots["shot_factors"])
    return {"whiten": bool(whiten), "compress": compress, **shots}


def check_maps(a, recipe: Recipe, scan=None) -> None:
    """Refuse words about coil maps that have no effect on the recipe's method, or on the scan once it is there."""
    word = next(iter(given(a, ("mps", "maps", "sets", "map_crop"))), None)
    if word and not recipe.method.needs_maps:
        what = "this network" if recipe.network else f"--method {type(recipe.method).__name__.lower()}"
        raise ValueError(f"{flag(word)} has no effect on {what}, which needs no coil maps: leave it out")
    if word not in (None, "mps") and scan is not None and scan.mps is not None:
        raise ValueError(f"{flag(word)} is for maps that are estimated, and this scan brings its own: leave it out, or "
                         "give others by --mps (pisolve calib makes them)")


def _tune(word: str, asked: dict) -> dict:
    """Recipe's `tune` where a strength is to be chosen; takes --tune, --minutes and auto out of `asked`."""
    criterion = asked.pop("tune", None)
    auto = [n for n in ("lam", "sigma") if asked.get(n) == AUTO]
    strength = next((n for n in ("lam", "sigma") if n in DEFAULTS[word]), None)
    time = {"minutes": asked.pop("minutes")} if "minutes" in asked else {}
    if criterion is None and not auto:
        if time:
            raise ValueError("--minutes is the time for --lam auto (--sigma auto of pnp): without it nothing is chosen")
        return {}
    for name in auto:
        if strength is not None and name != strength:
            raise ValueError(f"--{name} auto: what is chosen for {word} is {strength}, --{strength} auto")
        del asked[name]
    if strength is None:
        what = "tune" if criterion else f"{auto[0]} auto"
        raise ValueError(f"--{what} has no effect on {word}, which has no strength to choose")
    if strength in asked:
        raise ValueError(f"--tune {criterion} chooses {strength}: leave --{strength} out, or write --{strength} auto")
    return {"tune": criterion or "holdout", **time}


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
    if sigma == NOISE and word != "pnp":
        raise ValueError(f"--sigma noise is for pnp: {word} needs a number, or --lam auto")
    D = _load(DENOISER if denoiser is None else denoiser, network)
    if sigma is None and (D.level is None or D.rescale):
        sigma = values["sigma"]
    sigma = AUTO if sigma == NOISE else sigma
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
    """The recipe in a .json or .toml, or in an image that `recon` wrote."""
    choice("the suffix of --recipe", Path(path).suffix, SUFFIXES)
    return Recipe.load(path)
