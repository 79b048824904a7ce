"""A user's file passes mypy, strictly too, mistakes in it are found, and the public names have whole types."""

import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pisolve as pi

ROOT = Path(__file__).parents[1]
USER = '''
from typing import Any

import numpy as np
import numpy.typing as npt
import pisolve as pi

scan = pi.io.load("scan.h5")
kspace = pi.phantom.brain((64, 64), 4, noise=0.02).kspace
full = pi.io.Scan(kspace)
mask = pi.masks.random((64, 64), accel=4, seed=1)
thin = full.undersample(mask)
D = pi.nets.load("denoiser-brain")
priors = [1e-2 * pi.Tikhonov(), 1e-3 * pi.TV() + 5e-4 * pi.Wavelet(), 2e-3 * pi.L1() @ pi.linops.wavelet((64, 64))]
done = pi.recon(thin, priors[1], pi.ADMM(rho=0.5), max_iter=30)
size: float = float(abs(done.x).max())
psnr: float = pi.metrics.psnr(full.reference, done.x)
done.save("image.h5")
mps = pi.calib.espirit(kspace, mask=mask)
A = pi.linops.sense(mps, mask)
watch = [lambda problem, state: {"size": abs(state.x).max()}]
result = pi.solve(A, kspace, 1e-3 * pi.TV(), max_iter=50, callbacks=watch)
if not result.ok:
    print(result.status, result.state.k, result.history[-1]["residual"])
middle: npt.NDArray[Any] = result.x[10:20, 10:20] * 2
moved: npt.NDArray[Any] = np.roll(result.state.x, 1, axis=0)
tuning = pi.tune(thin, pi.TV(), criterion="holdout")
report = pi.compare(thin, ["sense", "tv"], accel=4)
report.to_html("report.html")
pi.io.save("again.npy", result.x)
noise = pi.noise_map(done, replicas=4)
print(noise.std.shape, pi.evaluate.consistency(done).chi)
pi.testing.check_linop(A)
maps = pi.signals.t2(np.zeros((4, 64, 64)), [0.02, 0.04, 0.06, 0.08])
points = pi.masks.poisson((64, 64), 4, calib=16)
'''
WRONG = {
    "pi.Wavlet()": 'has no attribute "Wavlet"',
    "pi.io.laod('a')": 'has no attribute "laod"',
    "pi.solve(A, kspace, max_iter='many')": 'Argument "max_iter"',
    "pi.ADMM(rho='large')": 'Argument "rho"',
    "pi.masks.random(4, seed='x')": "Argument",
    "result.statsu": 'has no attribute "statsu"',
    "(1e-3 * pi.TV()).valeu": 'has no attribute "valeu"',
    "pi.recon(thin, priors[0]).ok()": "not callable",
    "pi.tune(thin, pi.TV(), max_iter='many')": 'Argument "max_iter"',  # through a decorator
}
ARRAYS = ("result.x", "result.state.x", "done.x", "mps")  # what a checker takes them for


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """mypy's lines on the user's file, and on one with a mistake in each line."""
    pytest.importorskip("mypy", reason="needs mypy")
    folder = tmp_path_factory.mktemp("types")
    (folder / "user.py").write_text(USER + "".join(f"reveal_type({a})\n" for a in ARRAYS))
    (folder / "wrong.py").write_text(USER + "\n".join(WRONG) + "\n")
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"),
                           "--cache-dir", str(folder / "cache"), "user.py", "wrong.py"], cwd=folder,
                          capture_output=True, text=True, check=False, env={"MYPYPATH": str(ROOT), "PATH": ""})
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_users_file_type_checks(checked):
    assert [line for line in checked if line.startswith("user.py") and "note: Revealed" not in line] == []


def test_images_are_arrays(checked):
    told = [line.partition("type is ")[2] for line in checked if line.startswith("user.py") and "Revealed" in line]
    assert len(told) == len(ARRAYS)
    assert set(told) <= {'"pisolve._types.Array"', '"numpy.ndarray[Any, numpy.dtype[Any]]"'}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_found(checked, mistake):
    line = len(USER.splitlines()) + 1 + list(WRONG).index(mistake)
    found = [text for text in checked if text.startswith(f"wrong.py:{line}:")]
    assert any(WRONG[mistake] in text for text in found), found


def public():
    """The full names of what is public: where it is found and defined, and the classes that it derives from."""
    found = {}
    for room in ["", *pi._ROOMS]:
        module = importlib.import_module(f"pisolve.{room}".rstrip("."))
        names = getattr(module, "__all__", None) or [n for n, v in vars(module).items() if not n.startswith("_") and
                                                     getattr(v, "__module__", "") == module.__name__]
        found |= {f"{module.__name__}.{n}": getattr(module, n) for n in names}
    objects = [o for o in found.values() if hasattr(o, "__qualname__")]
    objects += [c for o in objects if inspect.isclass(o) for c in o.__mro__ if c.__module__.startswith("pisolve")]
    full = {n for n, o in found.items() if not inspect.ismodule(o)}
    full |= {f"{o.__module__}.{o.__qualname__}" for o in objects}
    return full - set(sys.modules)  # `calib.raki`, a function, has the name of a module


def test_public_names_have_whole_types():
    """pyright's --verifytypes, over the public names with their attributes and methods."""
    if importlib.util.find_spec("basedpyright") is None:
        pytest.skip("needs basedpyright")
    env = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--ignoreexternal",
                           "--outputjson", "--verifytypes", "pisolve"], env=env, capture_output=True, text=True,
                          check=False)
    told, names = json.loads(done.stdout)["typeCompleteness"], public()
    symbols = [s for s in told["symbols"] if s["name"] in names or s["name"].rpartition(".")[0] in names]
    vague = [s["name"] for s in symbols if not s["isTypeKnown"]]
    assert len(symbols) > 2000
    assert len(vague) < 0.05 * len(symbols), vague
