"""pisolve: MRI reconstruction where any prior, a plugged-in trained network included, is one argument.

    minimise over x    1/2 ||A x - y||^2  +  g(x)

`pi.recon(scan, prior)` goes from k-space to image in one call; `pi.solve(A, y, prior)` is the equation itself.
"""

from pisolve import calib, io, linops, masks, metrics, priors, solvers
from pisolve._version import __version__
from pisolve.linops import as_torch
from pisolve.prepare import Compress, Espirit, Grappa, Inati, JSense, Raki, Sampling, Sense, Spirit, Walsh
from pisolve.priors import *  # noqa: F403 - every prior and solver is a public name, listed by its own room
from pisolve.problem import Problem
from pisolve.recipe import Recipe, device, recon
from pisolve.solvers import *  # noqa: F403
from pisolve.tuning import Tuning, tune

_ROOMS = ["evaluate", "nets", "phantom", "scan_specific", "testing"]  # that load on first use
_LATER = {"Fit": "scan_specific", "Untrained": "scan_specific", "ZeroShot": "scan_specific", "compare": "evaluate",
          "NoiseMap": "evaluate", "noise_map": "evaluate"}  # name: the room that holds it
__all__ = ["Compress", "Espirit", "Grappa", "Inati", "JSense", "Problem", "Raki", "Recipe", "Sampling",
           "Sense", "Spirit", "Tuning", "Walsh", "__version__", "as_torch", "calib", "device", "io", "linops", "masks",
           "metrics", "priors", "recon", "solvers", "tune", *_LATER, *_ROOMS, *priors.__all__, *solvers.__all__]


def __getattr__(name):
    if name in _ROOMS:
        import importlib

        return importlib.import_module(f"pisolve.{name}")
    if name in _LATER:
        return getattr(__getattr__(_LATER[name]), name)
    raise AttributeError(f"module 'pisolve' has no attribute {name!r}")
