"""pisolve: MRI reconstruction where any prior, a plugged-in trained network included, is one argument.

    minimise over x    1/2 ||A x - y||^2  +  g(x)

`pi.recon(scan, prior)` goes from k-space to image in one call; `pi.solve(A, y, prior)` is the equation itself.
"""

from pisolve import calib, io, linops, masks, metrics, priors, solvers
from pisolve._version import __version__
from pisolve.linops import as_torch
from pisolve.priors import L1, L21, RED, TV, Denoiser, PnP, Prior, Tikhonov, Wavelet, Zero
from pisolve.problem import Problem
from pisolve.recipe import Recipe, Sampling, recon
from pisolve.solvers import ADMM, CG, FISTA, HQS, PDHG, GradientDescent, Result, State, iterate, solve

__all__ = [
    "ADMM", "CG", "FISTA", "HQS", "L1", "L21", "PDHG", "RED", "TV", "Denoiser", "GradientDescent", "PnP", "Prior",
    "Problem", "Recipe", "Result", "Sampling", "State", "Tikhonov", "Wavelet", "Zero", "__version__", "as_torch",
    "calib", "io", "iterate", "linops", "masks", "metrics", "nets", "phantom", "priors", "recon", "solve", "solvers",
    "testing",
]


def __getattr__(name):
    """`nets` (torch modules) and other upper rooms load on first use."""
    if name in ("nets", "phantom", "testing"):
        import importlib

        return importlib.import_module(f"pisolve.{name}")
    raise AttributeError(f"module 'pisolve' has no attribute {name!r}")
