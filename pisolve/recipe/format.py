"""Recipes as plain dicts: every part by its class's name and constructor arguments."""

from __future__ import annotations

import inspect

import numpy as np

from pisolve import _check, priors, solvers
from pisolve.prepare import Compress, Espirit
from pisolve.priors import Denoiser, Prior
from pisolve.priors._module import is_module
from pisolve.priors._weights import Weights
from pisolve.priors.base import Scaled, Sum
from pisolve.solvers import Solver

_KNOWN = {cls.__name__: cls for module in (priors, solvers) for cls in vars(module).values()
          if isinstance(cls, type) and issubclass(cls, Prior | Solver) and cls not in (Prior, Solver)}
_KNOWN |= {"Scaled": Scaled, "Sum": Sum}
_FORMER = {cls.__name__: cls.former for cls in (Compress, Espirit)}  # what arguments were called in older files
_LATER = ("weights", "spokes")  # arguments that are written where they are not None
_FITTED = ("Fit", "Generator", "Untrained", "ZeroShot")  # of `scan_specific`, which loads torch
_NETWORKS = ("LearnedMaps",)  # parts of `nets`, which loads torch


def encode(value):
    """A plain value for `json`: numbers and strings as they are, objects as {"type": name, argument: value, ...}."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.integer | np.floating):
        return value.item()
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    if isinstance(value, dict) and "architecture" in value:  # a network with fresh weights, plain values already
        return value
    if isinstance(value, Denoiser) or is_module(value):
        source = getattr(value, "source", None)
        if source is None:
            what = repr(value) if isinstance(value, Denoiser) else type(value).__name__
            raise ValueError(f"{what} was made in Python and cannot be written into a recipe: "
                             "save its weights and load them with pi.nets.load(path)")
        return {"type": "Denoiser" if isinstance(value, Denoiser) else "Network", **source}
    cls = type(value)
    if isinstance(value, Weights):
        raise ValueError(f"{value.name}, an {value!r}, cannot be written into a recipe: make the prior in Python")
    if _check.is_array(value) or _KNOWN.get(cls.__name__, cls) is not cls or not cls.__module__.startswith("pisolve."):
        raise ValueError(f"a {cls.__name__} cannot be written into a recipe: only pisolve's own priors and solvers can")
    names = list(inspect.signature(cls).parameters)
    missing = [n for n in names if not hasattr(value, n)]
    if missing:
        raise ValueError(f"{value!r} cannot be written into a recipe")
    names = [n for n in names if n not in _LATER or getattr(value, n) is not None]  # older files say nothing of them
    return {"type": cls.__name__, **{n: encode(getattr(value, n)) for n in names}}


def decode(value, further: dict | None = None):
    """What `encode` described. Only names known here are made: a recipe cannot run code.

    Args:
        value: the description.
        further: more classes by name.
    """
    known = {**_KNOWN, **(further or {})}
    if isinstance(value, list):
        return [decode(v, further) for v in value]
    if not isinstance(value, dict) or "architecture" in value:
        return value
    arguments = {k: decode(v, further) for k, v in _words(value).items() if k != "type"}
    name = value.get("type")
    try:
        if name in ("Denoiser", "Network"):
            from pisolve import nets

            return nets.load(**arguments)
        if name in _NETWORKS:
            from pisolve import nets

            return getattr(nets, name)(**arguments)
        if name in _FITTED:
            from pisolve import scan_specific

            return getattr(scan_specific, name)(**arguments)
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"unknown type {_check.brief(name)}: a recipe holds pisolve's own priors and solvers only")
        return _MAKERS.get(name, known[name])(**arguments)
    except TypeError as error:
        raise ValueError(f"a recipe's {name} does not fit this version of pisolve: {error}") from error


def spelled(value, *, first: bool = False):
    """A description in the words of this version; `first`: in those that it was first written with."""
    if isinstance(value, list):
        return [spelled(v, first=first) for v in value]
    return {k: spelled(v, first=first) for k, v in _words(value, first).items()} if isinstance(value, dict) else value


def _words(value: dict, first: bool = False) -> dict:
    kind = value.get("type")
    words = _FORMER.get(kind, {}) if isinstance(kind, str) else {}
    words = {new: old for old, new in words.items()} if first else words
    return {words.get(k, k): v for k, v in value.items()}


def _scaled(prior, lam):
    if not isinstance(prior, Prior):
        raise TypeError(f"prior must be a prior, got {_check.brief(prior)}")
    return lam * prior


def _sum(priors):
    if not isinstance(priors, list) or not priors or not all(isinstance(p, Prior) for p in priors):
        raise TypeError(f"priors must be a list of priors, got {_check.brief(priors)}")
    return Sum(priors)


_MAKERS = {"Scaled": _scaled, "Sum": _sum}  # with the checks that `lam * prior` and `prior + prior` make
