"""Several images of one scan: by other sampling patterns, other recipes, or a network that drops parts of itself."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

from pisolve import _check, backend
from pisolve.evaluate.consistency.holdout import split, without
from pisolve.prepare import as_scan, model_of, models_of
from pisolve.recipe import Recipe, check_fixed
from pisolve.recipe.network import name_of
from pisolve.recipe.order import as_recipe
from pisolve.recipe.reconstruction import empty


def patterns(recipe: Recipe, scan, *, n: int, seed: int, bar):
    """Images by n seeds of the recipe's sampling; None for one that failed."""
    for k in range(n):
        done = replace(recipe, sampling=replace(recipe.sampling, seed=seed + 1 + k))(scan)
        bar.update()
        yield done.x if done.ok else None


def subsets(recipe: Recipe, scan, *, n: int, share: float, seed: int, bar):
    """Images without n seeded sets of the prepared scan's samples outside the full centre; maps and scale stay."""
    models, scale = models_of(scan, recipe.method, each=recipe.each)
    parts = [p if m else None for p, m in zip(scan.parts(recipe.each), models)]
    for k in range(n):  # anew each time: folds would repeat themselves
        less = [p and without(p, split(p, folds=1, share=share, seed=[seed, k])[0]) for p in parts]
        image = _solved(recipe, scan, [p and model_of(p, recipe.method) for p in less], scale)
        bar.update()
        yield image


def plain(recipe: Recipe, scan):
    """The image of a prepared scan.

    Raises:
        ValueError: the recipe diverges.
    """
    image = _solved(recipe, scan, *models_of(scan, recipe.method, each=recipe.each))
    if image is None:
        raise ValueError("recipe diverges on this scan: there is no image whose uncertainty could be measured")
    return image


def members(recipes, scan, *, bar):
    """Images of several recipes."""
    for recipe in recipes:
        done = recipe(scan)
        bar.update()
        yield done.x if done.ok else None


def dropped(recipe: Recipe, scan, *, n: int, seed: int, bar):
    """Images of n seeded passes of a network whose dropout layers stay active.

    Raises:
        ValueError: no network, or one that drops nothing.
    """
    layers = dropout_layers(recipe)
    models, scale = models_of(scan, recipe.method, each=recipe.each)
    for k in range(n):
        with _active(layers, seed + k):
            image = _solved(recipe, scan, models, scale)
        bar.update()
        yield image


def dropout_layers(recipe: Recipe) -> list:
    """The layers of the recipe's network that drop something; ValueError where there are none."""
    if recipe.network is None:
        raise ValueError("by='dropout' needs a recipe with a reconstruction network: Recipe(network=...)")
    from torch.nn.modules.dropout import _DropoutNd

    layers = [m for m in recipe.network.modules() if isinstance(m, _DropoutNd) and m.p > 0]
    if not layers:
        raise ValueError(f"{name_of(recipe.network)} has no dropout layer with p > 0, so every pass gives the same "
                         "image: take by='replicas', or several trained networks with by='seeds'")
    return layers


@contextmanager
def _active(layers, seed: int):
    """Dropout in eval mode: each layer's own forward once more, as in training; torch's generators are left alone.

    A pass in eval mode leaves the input of a dropout as it is, also of one that works in place.
    """
    import torch

    def again(layer, arguments, output):
        layer.training = True
        try:
            return type(layer).forward(layer, *arguments)
        finally:
            layer.training = False

    hooks = [layer.register_forward_hook(again) for layer in layers]
    try:
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _solved(recipe, scan, models, scale):
    """The picture of the whole scan, 0 where a part holds nothing; None where one failed."""
    results = [recipe.solve(m, scale) if m else empty(p) for m, p in zip(models, scan.parts(recipe.each))]
    if not all(r.ok or r.status == "empty" for r in results):
        return None
    x = scan.assemble([backend.to_numpy(m.image(r.x)) if m else r.x for m, r in zip(models, results)], recipe.each)
    return x / x.real.dtype.type(scale)


def recipes_and_scan(recipes, scan) -> tuple:
    """An ensemble, at least two recipes with fixed strengths (results or priors for them), and its scan, in any order.

    Raises:
        TypeError, ValueError: no list, fewer than two, no scan.
    """
    recipes, scan = (scan, recipes) if isinstance(scan, list | tuple) else (recipes, scan)
    if not isinstance(recipes, list | tuple):
        raise TypeError(f"by='seeds' takes a list of recipes, got {_check.brief(recipes)}: one for each training "
                        "seed")
    if len(recipes) < 2:
        raise ValueError(f"recipe holds {len(recipes)} recipes: an ensemble has two at least")
    if scan is None:
        raise TypeError("uncertainty needs a scan, too: uncertainty(recipes, scan, by='seeds')")
    return [check_fixed(as_recipe(r)) for r in recipes], as_scan(scan)
