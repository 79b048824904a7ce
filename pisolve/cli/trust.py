"""The words of the command line that ask how far a scan or a method can be trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pisolve import io
from pisolve._check import extra
from pisolve.cli.recipe import read_recipe
from pisolve.cli.report import say, table
from pisolve.evaluate.figure import SUFFIXES
from pisolve.recipe import Recipe, Sampling
from pisolve.recipe.named import ZERO_FILLED, named


def crimes(a) -> int:
    """Look for data crimes: what makes a scan or its reference flatter methods."""
    from pisolve.evaluate import crimes as look

    found = look(io.load(a.scan, part=a.part), phase_axes=a.phase_axes)
    print(found.section())
    return 1 if found else 0


def consistency(a) -> int:
    """Ask whether the image explains the data, in units of the noise."""
    from pisolve.evaluate import consistency as ask

    _output(a)
    recipe, scan = _ready(a, seeded=a.probe)
    return _told(a, ask(recipe(scan), noise=a.noise, probe=a.probe, seed=a.seed or 0).section())


def visibility(a) -> int:
    """Map where the samples determine small structures, and where they could be invented or lost."""
    from pisolve.evaluate import visibility as ask

    _output(a)
    recipe = _recipe(a, seeded=False)
    return _told(a, ask(recipe.prepare(_scan(a)), width=a.width, grid=a.grid, noise=a.noise).section())


def uncertainty(a) -> int:
    """Estimate by how much the image could have come out otherwise."""
    from pisolve.evaluate import uncertainty as ask

    _output(a)
    found = ask(*_ready(a), method=a.by, n=a.n, noise=a.noise, seed=a.seed or 0, progress=a.progress)
    return _told(a, found.section())


def stability(a) -> int:
    """Perturb the data, insert small structures, change the number of samples."""
    from pisolve.evaluate import stability as ask

    _output(a)
    sizes = [s / 100 for s in a.sizes]
    found = ask(*_ready(a), sizes=sizes, tests=a.tests, steps=a.steps, seed=a.seed or 0, progress=a.progress)
    for section in found.sections():
        print(section, end="\n\n")
    if a.png:
        from pisolve.evaluate.draw import draw

        draw(found.section(), a.png)
        table([("written", a.png)])
    return 0


def shift(a) -> int:
    """Try methods under other anatomy, acceleration, masks and noise than their own."""
    from pisolve.evaluate import shift as ask
    from pisolve.evaluate.plan import scans_of

    _output(a)
    recipes = {word: _named("priors", word) for word in a.priors}
    if a.tune is not None:
        _tunable(*recipes.values())
    scans, _ = scans_of(a.scans)
    home = next(iter(scans.values()))
    recipes = {w: _tuned(r, home, a.accels[0], a.masks[0], a.tune) for w, r in recipes.items()}
    found = ask(recipes, scans, accels=a.accels, masks=a.masks, noises=a.noises, grid=a.grid, progress=a.progress)
    return _told(a, found.section())


def blinded(a) -> int:
    """Export images for readers who must not know which method made which."""
    from pisolve.evaluate import blinded as export

    paths = {}
    for path in a.images:
        if (name := Path(path).stem) in paths:
            raise ValueError(f"{paths[name]} and {path} would both be the method {name!r}: rename one of the files")
        paths[name] = path
    images = {name: io.load_image(path) for name, path in paths.items()}
    reference = None if a.reference is None else io.load_image(a.reference)
    study = export(images, a.output, reference=reference, readers=a.readers, seed=a.seed or 0)
    table([("written", f"{a.output}, a folder for each reader"), ("key", f"{study.key}: keep it from the readers")])
    return 0


def unblind(a) -> int:
    """Put the readers' grades together by method."""
    from pisolve.evaluate import unblind as read

    print(read(a.folder, a.sheets or None).section())
    return 0


def _output(a) -> None:
    """Refuse a picture that could not be written, before the work is done."""
    if a.png is not None:
        if Path(a.png).suffix not in SUFFIXES:
            raise ValueError(f"--png must end in {', '.join(SUFFIXES)}, got {a.png!r}")
        if not Path(a.png).resolve().parent.is_dir():
            raise FileNotFoundError(f"the folder of {a.png} does not exist: make it first")
        extra("matplotlib", "plot")


def _scan(a):
    scan = io.load(a.scan, part=a.part)
    for text in scan.warnings():
        say("warning", text)
    return scan if a.slices is None else scan.select(a.slices)


def _recipe(a, *, seeded: bool = True) -> Recipe:
    """The recipe that the words name, with their sampling; `seeded`: --seed is of more than the pattern."""
    if a.seed is not None and not seeded and a.accel is None:
        more = " or --probe" if hasattr(a, "probe") else ""
        raise ValueError(f"--seed has no effect without --accel{more}: leave it out")
    if a.recipe:
        given = [n for n in ("prior", "accel", "mask", "tune") if getattr(a, n, None) is not None]
        if given:
            raise ValueError(f"--{given[0]} beside --recipe: the recipe says it all")
        return read_recipe(a.recipe)
    recipe = _named("prior", getattr(a, "prior", None) or "wavelet")
    if a.accel is None and a.mask is not None:
        raise ValueError("--mask needs --accel")
    if a.accel is None:
        return recipe
    return replace(recipe, sampling=Sampling(a.mask or "random", a.accel, seed=a.seed or 0))


def _named(option: str, word: str) -> Recipe:
    if word == ZERO_FILLED:
        raise ValueError(f"--{option} {word} is no recipe: compare shows it, trust words need a reconstruction")
    return named(word)


def _ready(a, *, seeded: bool = True) -> tuple:
    """The recipe, its strength chosen where --tune or the recipe itself asks for it, and the scan."""
    recipe = _recipe(a, seeded=seeded)
    if a.tune is not None:
        _tunable(recipe)
    scan, tune = _scan(a), a.tune or recipe.tune
    return (recipe if tune is None else _chosen(recipe, scan, tune)), scan


def _tuned(recipe, scan, accel, mask, tune) -> Recipe:
    """The recipe at the strength that suits the scan at home."""
    if tune is None or not _has_strength(recipe):
        return recipe
    return replace(_chosen(replace(recipe, sampling=Sampling(mask, accel)), scan, tune), sampling=None)


def _tunable(*recipes) -> None:
    """Refuse --tune where none of the recipes has a strength."""
    if not any(map(_has_strength, recipes)):
        raise ValueError(f"--tune has no effect on {', '.join(r.name for r in recipes)}: no strength to choose")


def _has_strength(recipe) -> bool:
    from pisolve.evaluate.plan import has_strength

    return has_strength(recipe)


def _chosen(recipe, scan, tune) -> Recipe:
    return replace(recipe, prior=replace(recipe, tune=tune)(scan).recipe.prior, tune=None)


def _told(a, section) -> int:
    print(section)
    if a.png:
        from pisolve.evaluate.draw import draw

        draw(section, a.png)
        table([("written", a.png)])
    return 0


WORDS = (crimes, consistency, visibility, uncertainty, stability, shift, blinded, unblind)
