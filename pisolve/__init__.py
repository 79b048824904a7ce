"""pisolve: MRI reconstruction where any prior, a plugged-in trained network included, is one argument.

    minimise over x    1/2 ||A x - y||^2  +  g(x)

`pi.recon(scan, prior)` goes from k-space to image in one call; `pi.solve(A, y, prior)` is the equation itself. Every
name below loads its room when it is first asked for: `import pisolve` alone loads nothing.
"""

# ruff: noqa: F403 - the imports below are read by editors and checkers, and never run; `a as a` says that a is public

from typing import TYPE_CHECKING

from pisolve._version import __version__ as __version__

if TYPE_CHECKING:
    from pisolve import (
        calib as calib,
        evaluate as evaluate,
        io as io,
        linops as linops,
        masks as masks,
        metrics as metrics,
        nets as nets,
        phantom as phantom,
        priors as priors,
        scan_specific as scan_specific,
        signals as signals,
        solvers as solvers,
        testing as testing,
        trajectories as trajectories,
    )
    from pisolve.evaluate.compare import compare as compare
    from pisolve.evaluate.noise_map import NoiseMap as NoiseMap, noise_map as noise_map
    from pisolve.linops import as_torch as as_torch
    from pisolve.many import recon_many as recon_many
    from pisolve.prepare import (
        Compress as Compress,
        Espirit as Espirit,
        Grappa as Grappa,
        Inati as Inati,
        JSense as JSense,
        Raki as Raki,
        Sampling as Sampling,
        Sense as Sense,
        Spirit as Spirit,
        Walsh as Walsh,
    )
    from pisolve.priors import *
    from pisolve.problem import Problem as Problem
    from pisolve.recipe import (
        Recipe as Recipe,
        Samples as Samples,
        ScanNoise as ScanNoise,
        device as device,
        quantify as quantify,
        recon as recon,
        sample as sample,
        scan_noise as scan_noise,
    )
    from pisolve.scan_specific import (
        Fit as Fit,
        Generator as Generator,
        Untrained as Untrained,
        ZeroShot as ZeroShot,
    )
    from pisolve.server import serve as serve
    from pisolve.solvers import *
    from pisolve.tuning import Tuning as Tuning, tune as tune

_ROOMS = ["calib", "evaluate", "io", "linops", "masks", "metrics", "nets", "phantom", "priors", "scan_specific",
          "signals", "solvers", "testing", "trajectories"]
# rooms that are no public names
_INNER = ["backend", "many", "prepare", "problem", "recipe", "scan", "server", "tuning"]
_NAMES = {  # room: what of it is a public name here; all of `priors` and `solvers`
    "evaluate": ["NoiseMap", "compare", "noise_map"],
    "linops": ["as_torch"],
    "many": ["recon_many"],
    "prepare": ["Compress", "Espirit", "Grappa", "Inati", "JSense", "Raki", "Sampling", "Sense", "Spirit", "Walsh"],
    "priors": ["DCT", "L1", "L21", "LLR", "RED", "TGV", "TV", "Box", "Denoiser", "InfimalConvolution", "L1MinusL2",
               "Nuclear", "PnP", "Prior", "Quadratic", "RealNonNegative", "Score", "StructuredLowRank", "TemporalFFT",
               "Tikhonov", "Wavelet", "Zero", "as_deepinv", "as_denoiser", "as_prior",
               "as_sigpy"],
    "problem": ["Problem"],
    "recipe": ["Recipe", "Samples", "ScanNoise", "device", "quantify", "recon", "sample", "scan_noise"],
    "scan_specific": ["Fit", "Generator", "Untrained", "ZeroShot"],
    "server": ["serve"],
    "solvers": ["ADMM", "CG", "DPS", "FISTA", "GMRES", "HQS", "LSMR", "LSQR", "PDHG", "POGM", "DataProx",
                "GradientDescent", "ImplicitLangevin", "Langevin", "Relaxed", "Result", "Solver", "SplitGibbs", "State",
                "choose", "draws", "iterate", "load_state", "save_state", "solve"],
    "tuning": ["Tuning", "tune"],
}
_ROOM = {name: room for room, names in _NAMES.items() for name in names}
__all__ = ["__version__", *_ROOMS, *_ROOM]


def _get(name):
    """What `pisolve.name` is, loaded when it is first asked for."""
    import importlib

    if name in _ROOMS or name in _INNER:
        return importlib.import_module(f"pisolve.{name}")
    if name not in _ROOM:
        from pisolve._hints import elsewhere

        raise AttributeError(f"module 'pisolve' has no attribute {name!r}{elsewhere(name, __all__)}")
    value = globals()[name] = getattr(importlib.import_module(f"pisolve.{_ROOM[name]}"), name)
    return value


if not TYPE_CHECKING:  # a checker would take any name for one that exists
    __getattr__ = _get


def __dir__():
    return sorted({*globals(), *__all__})
