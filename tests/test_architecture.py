"""The architecture, enforced: imports run downwards, nothing heavy loads early, every part stands in a table."""

import ast
import importlib
import inspect
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import cases
import pytest

import pisolve as pi
from pisolve import _words, linops, priors, solvers
from pisolve.cli.main import WORDS
from pisolve.recipe import named
from pisolve.solvers.base import walk
from pisolve.solvers.posterior import Sampler

ROOT = Path(pi.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = [".".join(("pisolve", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__") for p in FILES]

# a room may import rooms of a lower number
RANK = {"_hints": -1, "_types": -2, "_version": -1, "_former": -0.5, "_check": 0, "_words": 0, "_axes": 0.5, "backend":
        1, "scan": 1.5, "linops": 2, "masks": 2, "io": 2, "metrics": 2.2, "phantom": 2, "trajectories": 2.5,
        "priors": 3, "calib": 3, "figure": 3, "problem": 4, "prepare": 4, "solvers": 5, "workers": 5, "tuning": 6,
        "signals": 6,
        "testing": 6, "nets": 6, "scan_specific": 7, "recipe": 8, "many": 9, "server": 10, "evaluate": 11, "demo": 12,
        "cli": 13, "__main__": 14}
GROUND = {"_hints", "_types", "_former", "_axes", "_check", "_words", "backend", "_version"}
ONLY = {"scan": GROUND, "metrics": {*GROUND, "io"}, "phantom": GROUND, "linops": GROUND,
        "trajectories": {*GROUND, "linops"},
        "io": {*GROUND, "scan"}, "masks": {*GROUND, "scan"}}  # though others are low
OPTIONAL = {"matplotlib", "skimage", "nibabel", "pydicom", "cupy", "pandas", "bart", "sewar"}
LATE = {"scipy", "numba", "sigpy", "pywt", "h5py", "tqdm", "threadpoolctl"}  # needed, and imported where they are used
HEAVY = {"torch", *OPTIONAL, *LATE}
KERNELS = {"pisolve.linops._lanes"}  # imports numba at the top, and is itself imported where a kernel is run


FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@cache
def tree(module: str):
    """The module's parsed file."""
    return ast.parse(FILES[MODULES.index(module)].read_text())


@cache
def imports(module: str, *, top: bool) -> list:
    """(full name, line) of every import in a module; `top`: only those that run when it is imported."""
    package = module if FILES[MODULES.index(module)].name == "__init__.py" else module.rpartition(".")[0]
    found, left = [], [tree(module)]
    while left:
        node = left.pop()
        if top and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":  # which is never run
            left.extend(node.orelse)
        elif not (top and isinstance(node, FUNCTIONS)):
            left.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            found += [(name.name, node.lineno) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            full = [f"{base}.{name.name}" for name in node.names]
            found += [(name if name in MODULES else base, node.lineno) for name in full]
    return found


def nothing(offenders) -> None:
    """One law over all modules: the message lists all that break it."""
    found = list(offenders)
    assert not found, "\n".join(["", *found])


def room(module: str) -> str:
    """The room a module belongs to: the first part after `pisolve`."""
    return (module.split(".") + [""])[1]


def upwards(module):
    """The imports of a module that do not run downwards, in words."""
    mine = room(module)
    if mine not in RANK:
        yield f"{module} has no place in the architecture: give it one in RANK and in the design"
        return
    for name, line in imports(module, top=False):
        if name.split(".")[0] != "pisolve" or room(name) == mine:
            continue
        where = f"{module}:{line} imports {name}"
        if name == "pisolve":
            if RANK[mine] < RANK["demo"]:
                yield f"{where}: only the rooms on top see the whole library"
        elif RANK[room(name)] >= RANK[mine]:
            yield f"{where}, which does not lie below"
        elif mine in ONLY and room(name) not in ONLY[mine]:
            yield f"{where}: {mine} may import {', '.join(sorted(ONLY[mine]))} only"


def test_imports_run_downwards():
    assert len(MODULES) > 250
    nothing(told for module in MODULES if module != "pisolve" for told in upwards(module))


@pytest.mark.parametrize("top", [True, False], ids=["at-the-top", "in-functions"])
def test_there_are_no_circles_between_files(top):
    """Of all imports, those in functions too: they would run upwards as well."""
    graph = {m: {n for n, _ in imports(m, top=top) if n in MODULES and n not in (m, "pisolve")}
             for m in MODULES}
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module):], module])
        if module not in done:
            path.append(module)
            for other in sorted(graph[module]):
                visit(other)
            done.add(path.pop())

    for module in MODULES:
        visit(module)
    assert done == set(MODULES)


def barred(module) -> set:
    """What a module must not import when it is imported."""
    return HEAVY - ({"torch"} if room(module) in ("nets", "scan_specific") else set()) - (
        {"numba"} if module in KERNELS else set())


def test_nothing_heavy_is_imported_early():
    nothing(f"{module}:{line} imports {name} when it is imported: do so inside the function"
            for module in MODULES for name, line in imports(module, top=True) if name.split(".")[0] in barred(module))


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


BLOCK = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda c, name, *a: None if name.split(".")[0] in {names!r} else find(name, *a))
"""


def test_import_loads_nothing():
    loaded = run("import sys; before = set(sys.modules); import pisolve; print(*set(sys.modules) - before)").split()
    assert not {m for m in loaded if m.split(".")[0] in HEAVY | {"numpy", "torchvision"}}
    assert {m for m in loaded if m.startswith("pisolve")} == {"pisolve", "pisolve._version"}


def test_a_name_loads_its_own_rooms_only():
    loaded = set(run("import sys, pisolve; pisolve.recon, pisolve.TV, pisolve.ADMM; print(*sys.modules)").split())
    assert not {m for m in loaded if m.split(".")[0] in OPTIONAL | {"torch", "h5py"}}
    assert not {"pisolve.nets", "pisolve.cli", "pisolve.evaluate", "pisolve.demo", "pisolve.testing"} & loaded
    assert not loaded & (KERNELS | {"scipy.fft", "scipy.linalg", "scipy.signal", "scipy.ndimage", "scipy.sparse"})
    loaded = set(run("import sys, pisolve; pisolve.io, pisolve.masks, pisolve.metrics; print(*sys.modules)").split())
    assert not {m for m in loaded if m.split(".")[0] in HEAVY}


def test_the_words_load_nothing_and_are_known():
    loaded = run("import sys; from pisolve import _words; print(*sys.modules)").split()
    assert not {m for m in loaded if m.split(".")[0] in HEAVY | {"numpy"}}
    made = {n.lower() for n, c in vars(solvers).items() if inspect.isclass(c) and issubclass(c, solvers.Solver)}
    assert set(_words.SOLVERS) == made - {"solver"}
    assert {named.named(w).name for w in _words.WORDS[1:] if w not in ("pnp", "red", "pnp-hqs")} < set(_words.WORDS)
    assert {"sense", *named._OTHERS} == {*_words.RECONSTRUCTIONS, *_words.FITTED, "pnp-hqs"}
    assert set(_words.DEFAULTS) == {*named.PLAIN, "pnp", "red"}
    patterns = [n for n in _words.SAMPLINGS if n not in _words.TRAJECTORIES]
    for names, module in ((patterns, pi.masks), (_words.MAPS, pi.calib)):
        assert all(hasattr(module, name) for name in names)


def test_the_library_shows_all_priors_and_solvers():
    assert pi._NAMES["priors"] == priors.__all__
    assert pi._NAMES["solvers"] == solvers.__all__
    assert {*pi.__all__} <= {*dir(pi)}
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = pi.nothing_such


def test_a_reconstruction_loads_no_torch():
    assert run("""
import sys, numpy as np, pisolve as pi
kspace = pi.phantom.brain((192, 160), 4).kspace
done = pi.recon(kspace, 1e-2 * pi.Tikhonov())
print(done.status, {"torch", "h5py", "scipy.signal", "scipy.sparse", "scipy.ndimage"} & set(sys.modules))
""") == "converged set()\n"


@pytest.mark.parametrize("first", ["import sigpy", "import torch", "pass"])
def test_sigpy_is_whole_whoever_imports_it(first):
    assert run(f"""
import sys
{first}
import pisolve as pi
A = pi.linops.identity((3, 4))
seen = "torch" in sys.modules, "scipy.signal" in sys.modules
import numpy as np, sigpy, sigpy.mri, sigpy.plot
print(isinstance(A, sigpy.linop.Linop), issubclass(pi.linops.Linop, sigpy.linop.Linop), sigpy.config.pytorch_enabled)
print(sigpy.convolve(np.ones(3), np.ones(2)).tolist(), "scipy.signal" in sys.modules)
import scipy.signal, torch, torch.nn
print(type(torch).__name__, type(scipy.signal).__name__, sigpy.to_pytorch(np.ones(2)).requires_grad)
print(seen)
""").splitlines() == ["True True True", "[1.0, 2.0, 2.0, 1.0] True", "module module True",
                      str({"import sigpy": (True, True), "import torch": (True, False)}.get(first, (False, False)))]


def test_the_words_of_the_command_line_load_nothing_early():
    """What `pisolve --help` loads; rooms, numpy too, are imported where a word's options or its work need them."""
    words = {word.__name__ for word in WORDS}
    cheap = {"argparse", "sys", "time", "warnings", "pisolve._version"} | {
        f"pisolve.cli.{name}" for name in ("parser", "options", "say")}
    nothing(f"{module}:{line} imports {name}"
            for module in [f"pisolve.cli.{name}" for name in ("main", "parser", "options", "say")] + sorted(words)
            for name, line in imports(module, top=True)
            if name not in cheap | (words if module == "pisolve.cli.main" else set()))


def test_help_loads_the_words_alone():
    """The package's own `__init__` is left out, which is not the command line's matter."""
    loaded = set(run(f"""
import sys, types
sys.modules["pisolve"] = types.ModuleType("pisolve")
sys.modules["pisolve"].__path__ = [{str(ROOT)!r}]
from pisolve.cli import main
try:
    main(["--help"])
finally:
    print("loaded", *sys.modules)
""").partition("loaded ")[2].split())
    assert {word.__name__ for word in WORDS} <= loaded
    assert not {"numpy", "scipy", "h5py", "sigpy", "numba", *HEAVY} & {name.split(".")[0] for name in loaded}
    assert {room(name) for name in loaded if name.startswith("pisolve.")} == {"cli", "_version"}


@pytest.mark.parametrize("absent", [["cupy"], ["cupy", "matplotlib", "skimage", "nibabel", "torch"]])
def test_a_reconstruction_runs_without(absent):
    assert run(BLOCK.format(names=absent) + """
import numpy as np, pisolve as pi
kspace = pi.phantom.brain((32, 28), 4).kspace
done = pi.recon(kspace, 1e-2 * pi.TV(), maps=pi.recipe.Espirit(calib_width=16), max_iter=5)
print(done.status, bool(np.isfinite(done.x).all()))
""") == "max_iter True\n"


def public_names():
    for name in MODULES:
        if "._" in name:
            continue
        module = importlib.import_module(name)
        for key, value in vars(module).items():
            if not key.startswith("_") and getattr(value, "__module__", None) == name and (
                    inspect.isfunction(value) or inspect.isclass(value)):
                yield f"{name}.{key}", value


def test_everything_public_has_a_docstring():
    public = dict(public_names())
    assert len(public) > 500
    nothing(f"{name} has no docstring of its own" for name, value in public.items()
            if not (value.__doc__ or "").strip()
            or value.__doc__.startswith(f"{value.__name__}("))  # which dataclass writes by itself


def absent(module):
    """The names in `__all__` that are not there, or warn."""
    found = importlib.import_module(module)
    names = getattr(found, "__all__", [])
    yield from (f"{module}.__all__ has {name} twice" for name in {n for n in names if names.count(n) > 1})
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                there = getattr(found, name) is not None
        except Exception as error:
            there, name = False, f"{name}: {error!r}"
        if not there:
            yield f"{module} has no {name}"


def test_every_name_in_all_exists():
    nothing(told for module in MODULES for told in absent(module))


def test_files_stay_small_and_say_what_they_are():
    nothing(f"{module} has {n} lines: over about 300 lines a file wants a second room"
            for module, path in zip(MODULES, FILES) if (n := len(path.read_text().splitlines())) >= 320)
    nothing(f"{module} says not what it is" for module in MODULES if not ast.get_docstring(tree(module)))


def test_every_linop_stands_in_the_table():
    makers = {name for name in linops.__all__ if inspect.isfunction(getattr(linops, name))}
    tools = {"apply", "as_linop", "as_torch", "combine_sets", "dense", "opnorm"}
    table = ast.parse(inspect.getsource(cases))
    value = next(n.value for n in table.body if isinstance(n, ast.Assign) and n.targets[0].id == "LINOPS")
    used = {n.func.attr for n in ast.walk(value) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    assert makers - tools <= used, f"no case for {makers - tools - used}: a line in cases.py puts it under the laws"


@pytest.mark.parametrize(("room", "base", "table"), [
    (priors, pi.Prior, cases.PRIORS), (solvers, solvers.Solver, cases.SOLVERS),
    (solvers, Sampler, cases.SAMPLERS)])
def test_every_prior_and_solver_stands_in_the_table(room, base, table):
    classes = {c for c in vars(room).values() if inspect.isclass(c) and issubclass(c, base) and c is not base}
    used = {type(q) for entry in table.values() for q in (walk(entry) if base is pi.Prior else [entry])}
    implicit = {c for c in classes if getattr(c, "implicit", False)}  # denoisers are recorded, not judged by the laws
    assert classes
    missing = classes - used - implicit
    assert not missing, f"no case for {missing}: a line in tests/cases.py puts it under the laws"
