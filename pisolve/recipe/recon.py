"""`recon`: from k-space to image in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from pisolve._hints import meant
from pisolve._types import PathLike
from pisolve.prepare import as_scan
from pisolve.recipe.order import as_recipe, is_method, ordered, own
from pisolve.recipe.recipe import Recipe
from pisolve.recipe.reconstruction import Reconstruction
from pisolve.solvers import Solver


def recon(scan: Any, prior: Any = None, solver: Solver | None = None, *, mps: Any = None,
          checkpoint: PathLike | None = None, callbacks: Sequence[Callable[..., Any]] = (), progress: bool = False,
          **options: Any) -> Reconstruction:
    """Reconstruct a scan in one call: mask, maps, scaling, operator, solver.

    Args:
        scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx); a result, whose scan is
            reconstructed as it was solved, without a `prior` by its own recipe.
        prior: g for the image scaled to a 99th percentile of 1; None: wavelets with cycle spinning, lam = 2e-3, and
            nothing for GRAPPA and RAKI. Or a `Recipe`, or a result for its recipe, whose arguments `solver` and
            `options` then change. The two may be changed for each other.
        solver: None lets `solve` choose.
        mps: coil maps to use instead of ESPIRiT's.
        checkpoint: a folder to go on from after an interruption, see `Recipe`.
        callbacks, progress: as for `solve`.
        options: the other arguments of `Recipe` by their names: sampling, maps, method, whiten, compress, max_iter,
            tol, tune, network, consistency, each, device, x0, weights, off_resonance, delays, shot_factors,
            check.

    Returns:
        `Reconstruction`: image, status, recipe, and `.save(path)`.

    Raises:
        TypeError, ValueError, FileNotFoundError: input that cannot be reconstructed, with the remedy; a `device` that
            this machine has not.
        ImportError: a GPU is asked for, and torch is missing, or one without CUDA.
        device.OutOfMemory: a slice does not fit into the GPU's memory, with what it needs.
    """
    if prior is not None:
        prior, scan = ordered(prior, scan)
    if scan is None or is_method(scan):
        raise TypeError("recon needs a scan: recon(scan, prior)")
    if prior is None and isinstance(scan, Reconstruction) and "network" not in options:
        prior = own(scan)
    scan = as_scan(scan)
    if mps is not None:
        scan = replace(scan, mps=mps)
    for name in sorted(set(options) - set(_OPTIONS)):
        known = (*inspect.signature(recon).parameters, *_OPTIONS)
        if name in ("lam", "sigma"):
            how = f"{options[name]!r} * {'pi.TV()' if prior is None else 'prior'}" if name == "lam" else (
                f"pi.PnP(D, sigma={options[name]!r})")
            raise TypeError(f"recon takes no {name}, which belongs to the prior: write recon(scan, {how})")
        if name in _INSTEAD:
            raise TypeError(f"recon has no argument {name!r}: write {_INSTEAD[name].format(options[name])}")
        beside = f": beside its own it takes {', '.join(_OPTIONS)}"
        raise TypeError(f"recon has no argument {name!r}{meant(name, known) or beside}")
    given = {k: v for k, v in options.items() if v is not None or k not in ("maps", "method")}
    if isinstance(prior, Recipe | Reconstruction):
        recipe = as_recipe(prior).replace(**given, **({} if solver is None else {"solver": solver}))
    else:
        recipe = Recipe(prior, solver, **given)
    return recipe(scan, callbacks=callbacks, progress=progress, checkpoint=checkpoint)


_INSTEAD = {"mask": "recon(pi.io.Scan(kspace, mask), prior)", "accel": "sampling=pi.Sampling(accel={!r})",
            "rho": "recon(scan, prior, pi.ADMM(rho=...))",
            "coord": "recon(pi.io.Scan(kspace, coord=..., size=...), prior)",
            "noise": "recon(pi.io.Scan(kspace, noise=...), whiten=True)"}
_OPTIONS = tuple(f.name for f in fields(Recipe) if f.name not in ("prior", "solver", "name"))
_own = inspect.signature(recon)
recon.__signature__ = _own.replace(parameters=[  # what help() and editors show: one list of arguments, that of Recipe
    *(p for p in _own.parameters.values() if p.kind != p.VAR_KEYWORD),
    *(inspect.signature(Recipe).parameters[n].replace(kind=inspect.Parameter.KEYWORD_ONLY) for n in _OPTIONS)])
