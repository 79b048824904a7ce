"""The architecture, enforced: imports run downwards, nothing heavy loads early, every part stands in a table."""

import ast
import importlib
import inspect
import subprocess
import sys
import warnings
from pathlib import Path

import cases
import pytest

import pisolve as pi
from pisolve import _words, linops, priors, solvers
from pisolve.cli.main import WORDS
from pisolve.recipe import named

ROOT = Path(pi.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = [".".join(("pisolve", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__") for p in FILES]

# a room may import rooms of a lower number
RANK = {"_hints": -1, "_version": 0, "_check": 0, "_words": 0, "_axes": 0.5, "backend": 1, "scan": 1.5, "linops": 2,
        "masks": 2, "io": 2, "metrics": 2, "phantom": 2, "trajectories": 2.5, "priors": 3, "calib": 3, "figure": 3,
        "problem": 4, "prepare": 4, "solvers": 5, "tuning": 6, "signals": 6, "testing": 6, "nets": 6,
        "scan_specific": 7, "recipe": 8, "many": 9, "server": 10, "evaluate": 11, "demo": 12, "cli": 13, "__main__": 14}
GROUND = {"_hints", "_axes", "_check", "_words", "backend", "_version"}
ONLY = {"scan": GROUND, "metrics": GROUND, "phantom": GROUND, "linops": GROUND,
        "trajectories": {*GROUND, "linops"},
        "io": {*GROUND, "scan"}, "masks": {*GROUND, "scan"}}  # though others are low
OPTIONAL = {"matplotlib", "skimage", "nibabel", "pydicom", "cupy", "pandas", "bart", "sewar"}
LATE = {"scipy", "numba", "sigpy", "pywt", "h5py", "tqdm", "threadpoolctl"}  # needed, and imported where they are used
HEAVY = {"torch", *OPTIONAL, *LATE}
KERNELS = {"pisolve.linops._lanes"}  # imports numba at the top, and is itself imported where a kernel is run


def imports(module: str, *, top: bool):
    """(full name, line) of every import in a module; `top`: only those that run when it is imported."""
    path = FILES[MODULES.index(module)]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
              for n in ast.walk(f)}
    for node in ast.walk(tree):
        if top and id(node) in inside:
            continue
        if isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for name in node.names:
                full = f"{base}.{name.name}"
                yield (full if full in MODULES else base, node.lineno)


def room(module: str) -> str:
    """The room a module belongs to: the first part after `pisolve`."""
    return (module.split(".") + [""])[1]


@pytest.mark.parametrize("module", [m for m in MODULES if m != "pisolve"])
def test_imports_run_downwards(module):
    mine = room(module)
    assert mine in RANK, f"{module} has no place in the architecture: give it one in RANK and in the design"
    for name, line in imports(module, top=False):
        if name.split(".")[0] != "pisolve" or room(name) == mine:
            continue
        where = f"{module}:{line} imports {name}"
        if name == "pisolve":
            assert RANK[mine] >= RANK["demo"], f"{where}: only the rooms on top see the whole library"
            continue
        assert RANK[room(name)] < RANK[mine], f"{where}, which does not lie below"
        assert mine not in ONLY or room(name) in ONLY[mine], where


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


@pytest.mark.parametrize("module", MODULES)
def test_nothing_heavy_is_imported_early(module):
    early = {name.split(".")[0]: line for name, line in imports(module, top=True)}
    barred = HEAVY - {"torch"} if room(module) in ("nets", "scan_specific") else HEAVY
    barred = barred - {"numba"} if module in KERNELS else barred
    found = {name: line for name, line in early.items() if name in barred}
    assert not found, f"{module} imports {found} when it is imported: do so inside the function"


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


@pytest.mark.parametrize("module", [f"pisolve.cli.{name}" for name in ("main", "parser", "options", "say")]
                         + [word.__name__ for word in WORDS])
def test_the_words_of_the_command_line_load_nothing_early(module):
    """What `pisolve --help` loads; rooms, numpy too, are imported where a word's options or its work need them."""
    cheap = {"argparse", "sys", "time", "warnings"}
    assert {name for name, _ in imports(module, top=True)} <= cheap | {"pisolve._version"} | {
        f"pisolve.cli.{name}" for name in ("parser", "options", "say")} | (
        {word.__name__ for word in WORDS} if module == "pisolve.cli.main" else set())


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
                yield pytest.param(value, id=f"{name}.{key}")


@pytest.mark.parametrize("value", public_names())
def test_everything_public_has_a_docstring(value):
    assert (value.__doc__ or "").strip(), f"{value} has no docstring"
    assert not value.__doc__.startswith(f"{value.__name__}("), f"{value} has only what dataclass writes by itself"


@pytest.mark.parametrize("module", MODULES)
def test_every_name_in_all_exists(module):
    module = importlib.import_module(module)
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert getattr(module, name) is not None


@pytest.mark.parametrize("path", FILES, ids=MODULES)
def test_files_stay_small_and_say_what_they_are(path):
    text = path.read_text()
    assert len(text.splitlines()) < 320, "over about 300 lines a file wants a second room"
    assert ast.get_docstring(ast.parse(text))


def parts(prior):
    """A prior and the priors inside it."""
    inner = [getattr(prior, name) for name in ("prior", "f") if hasattr(prior, name)] + getattr(prior, "priors", [])
    return [prior, *(q for p in inner for q in parts(p))]


def test_every_linop_stands_in_the_table():
    makers = {name for name in linops.__all__ if inspect.isfunction(getattr(linops, name))}
    tools = {"apply", "as_linop", "as_torch", "combine_sets", "dense", "opnorm"}
    table = ast.parse(inspect.getsource(cases))
    value = next(n.value for n in table.body if isinstance(n, ast.Assign) and n.targets[0].id == "LINOPS")
    used = {n.func.attr for n in ast.walk(value) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    assert makers - tools <= used, f"no case for {makers - tools - used}: a line in cases.py puts it under the laws"


@pytest.mark.parametrize(("room", "base", "table"), [
    (priors, pi.Prior, cases.PRIORS), (solvers, solvers.Solver, cases.SOLVERS)])
def test_every_prior_and_solver_stands_in_the_table(room, base, table):
    classes = {c for c in vars(room).values() if inspect.isclass(c) and issubclass(c, base) and c is not base}
    used = {type(q) for entry in table.values() for q in (parts(entry) if base is pi.Prior else [entry])}
    implicit = {c for c in classes if getattr(c, "implicit", False)}  # denoisers are recorded, not judged by the laws
    assert classes
    missing = classes - used - implicit
    assert not missing, f"no case for {missing}: a line in tests/cases.py puts it under the laws"
