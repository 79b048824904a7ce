"""What was meant: the nearest of the names there are, and unknown arguments told with those that are known."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any

from pisolve._types import What

_STRENGTH = ("lam", "lamda", "lambd", "lambda_", "strength", "weight", "reg")  # what others call the factor of a prior
_OF_A_RUN = ("max_iter", "tol", "x0", "callbacks", "progress", "gap", "preconditioner")  # arguments of `solve`
_ALSO = {  # what others call it: ours, as far as they are among the options
    "niter": "max_iter", "niters": "max_iter", "iter": "max_iter", "iters": "max_iter", "iterations": "max_iter",
    "numiter": "max_iter", "maxiterations": "max_iter", "verbose": "progress", "showpbar": "progress",
    "linesearch": "backtracking", "stepsize": "step_size", "alpha": "step_size", "reconstruct": "recon",
    "totalvariation": "tv", "conjugategradient": "cg", "l2": "tikhonov", "ridge": "tikhonov", "nuclearnorm": "nuclear",
    "condatvu": "pdhg", "chambollepock": "pdhg", "lambda": "lam", "calibsize": "calib_width", "ksize": "kernel_width",
    "center": "center_fraction", "acs": "center_fraction", "acceleration": "accel", "factor": "accel", "r": "accel"}
_BESIDE = ("io", "linops", "masks", "metrics", "calib", "trajectories", "phantom", "signals")  # those without torch


def _plain(word) -> str:
    return str(word).lower().replace("_", "").replace("-", "").strip()


def nearest(word, options) -> str | None:
    """The option that is most like a word, capitals aside; None where none is."""
    if not isinstance(word, str):
        return None
    import difflib

    names = {str(o).lower(): str(o) for o in options}
    known = {_plain(o): str(o) for o in options}
    if _plain(word) in known or _plain(_ALSO.get(_plain(word), "")) in known:
        return known.get(_plain(word)) or known[_plain(_ALSO[_plain(word)])]
    found = difflib.get_close_matches(word.lower().strip(), names, n=1, cutoff=0.65)
    return names[found[0]] if found else None


def meant(word, options) -> str:
    """": did you mean ...?", or nothing."""
    found = nearest(word, options)
    return f": did you mean {found!r}?" if found else ""


def hinted(what: What) -> What:
    """Decorate a function or a class: an unknown keyword argument is told with what was meant, or those there are."""
    call: Any = what.__init__ if isinstance(what, type) else what

    @functools.wraps(call)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except (TypeError, ValueError) as error:
            given = args[1:] if isinstance(what, type) else args
            told = unknown(what, call, given, kwargs) or misplaced(what, given, kwargs, error)
            if told is None:
                raise
            raise type(error)(told) from error

    if isinstance(what, type):
        what.__init__ = checked
        return what
    return checked


def hint(names: dict, public) -> None:
    """`hinted` for the classes among the public names of a room."""
    for name in public:
        if isinstance(names[name], type) and "__init__" in vars(names[name]):
            hinted(names[name])


def rooms(names: dict, public) -> None:
    """A name that a room has not is told with the nearest it has: the `__getattr__` of the module."""
    def attribute(name):
        raise AttributeError(missing(names["__name__"], name, public))

    names["__getattr__"] = attribute


def missing(room: str, name: str, public) -> str:
    """The message of a module that has no such name."""
    return f"module {room!r} has no attribute {name!r}" + (
        "" if name.startswith("_") or _importing(3) else meant(name, public))


def elsewhere(name: str, public) -> str:
    """": did you mean ...?" of a name that `pisolve` has not: one that a room has as it is, else the nearest."""
    if name.startswith("_") or _importing(3):
        return ""
    import importlib

    found = [n for n in public if _plain(n) == _plain(name)]
    modules = {room: importlib.import_module(f"pisolve.{room}") for room in _BESIDE}
    found += [f"pi.{room}.{name}" for room, m in modules.items() if name in getattr(m, "__all__", ())]
    return f": did you mean {' or '.join(map(repr, found))}?" if found else meant(name, public)


def _importing(depth: int) -> bool:
    """Whether the import system asks, which looks whether a name is there before it loads a module."""
    return sys._getframe(depth).f_globals.get("__name__", "").startswith("importlib")


def instead(name: str, x) -> str:
    """": write ..." for what is often given in the place of a prior, a solver or a part of a recipe, or nothing."""
    if isinstance(x, type):
        return f": that is a class, write pi.{x.__name__}()"
    if isinstance(x, str):
        word = _ALSO.get(_plain(x), _plain(x))
        found = [n for n in sys.modules["pisolve"].__all__ if n[0].isupper() and _plain(n) == word]
        return f": write pi.{found[0]}()" if found else ""
    if hasattr(x, "preconditions") and name != "solver":
        return f": that is a solver, write solver=pi.{x!r}"
    if hasattr(x, "has_prox") and name == "solver":
        return ": that is a prior, which comes before the solver"
    if hasattr(x, "needs_maps") and name == "prior":
        return ": that is a reconstruction network, write network=..."
    if hasattr(x, "noise_input") or (hasattr(x, "forward") and hasattr(x, "state_dict")):
        return ": a denoiser goes in as pi.PnP(D, sigma=0.05) or pi.RED(D, sigma=0.05)" if name == "prior" else ""
    if hasattr(x, "encoding") and name == "prior":
        return ": that is a scan, write pi.Recipe(prior)(scan) or pi.recon(scan, prior)"
    number = isinstance(x, int | float) and not isinstance(x, bool)
    if name == "prior" and number:
        return f": a strength is a factor, write {x!r} * pi.TV()"
    if name == "sampling" and (number or hasattr(x, "ndim")):
        return f": write sampling=pi.Sampling(accel={x!r})" if number else ": write scan.undersample(mask)"
    if name == "compress" and number:
        return f": write compress=pi.Compress({x!r})"
    return ": coil maps are mps=..." if name == "maps" and hasattr(x, "ndim") else ""


def misplaced(what, args, kwargs, error) -> str | None:
    """The message where a strength was given in the place of a prior's first argument."""
    if not (args and isinstance(args[0], float) and hasattr(what, "has_prox")) or "factor" in str(error):
        return None
    if any(p.default is p.empty and p.name != "self" for p in inspect.signature(what.__init__).parameters.values()):
        return None
    left = ", ".join([*map(repr, args[1:]), *(f"{n}={v!r}" for n, v in kwargs.items())])
    return (f"{what.__name__}({args[0]!r}): if this is a strength, it is a factor: write "
            f"{args[0]!r} * pi.{what.__name__}({left}); else {error}")


def unknown(what, call, args, kwargs) -> str | None:
    """The message on the first unknown keyword argument; None where all are known."""
    parameters = inspect.signature(call).parameters
    known = [n for n, p in parameters.items() if n != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
        return None
    wrong = next((n for n in kwargs if n not in known and n not in getattr(what, "former", ())), None)
    if wrong is None:
        return None
    if wrong in _STRENGTH and "lam" not in known and hasattr(what, "has_prox"):
        left = ["D" if callable(a) else repr(a) for a in args]
        left += [f"{n}={v!r}" for n, v in kwargs.items() if n in known]
        return f"{what.__name__} takes no {wrong}: write {kwargs[wrong]!r} * pi.{what.__name__}({', '.join(left)})"
    if wrong in _OF_A_RUN and hasattr(what, "preconditions"):
        return (f"{what.__name__} has no argument {wrong!r}, which belongs to the run: write "
                f"solve(A, y, prior, pi.{what.__name__}(), {wrong}={kwargs[wrong]!r}), or recon(scan, prior, ...)")
    takes = f"it takes {', '.join(known)}" if known else "it takes none"
    return f"{what.__name__} has no argument {wrong!r}{meant(wrong, known) or f': {takes}'}"
