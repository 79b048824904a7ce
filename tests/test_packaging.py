"""What is shipped: metadata in one place, extras that exist, and a wheel with all that the library needs."""

import configparser
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import pisolve as pi

ROOT = Path(__file__).parents[1]
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg", encoding="utf-8")
EXTRAS = {name: text.split() for name, text in CONFIG["options.extras_require"].items()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of a copy without a network by the setuptools that is here: {name: bytes}."""
    pytest.importorskip("setuptools", reason="needs setuptools, which builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    tracked = [p for p in ROOT.glob("pisolve/**/*") if p.is_file() and "__pycache__" not in p.parts]
    for path in [*tracked, *(ROOT / n for n in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"))]:
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
    code = "import sys; from setuptools.build_meta import build_wheel; sys.stderr.write(build_wheel('dist'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next((folder / "dist").glob("*.whl"))) as file:
        return {name: file.read(name) for name in file.namelist()}


def metadata(wheel):
    return next(text for name, text in wheel.items() if name.endswith("METADATA")).decode()


def test_the_wheel_has_every_file_of_the_package(wheel):
    here = {str(p.relative_to(ROOT)) for p in (ROOT / "pisolve").rglob("*")
            if p.is_file() and "__pycache__" not in p.parts and not p.name.endswith(".part")}
    assert here == {n for n in wheel if n.startswith("pisolve/")}
    assert {"pisolve/py.typed", "pisolve/nets/weights/denoiser-brain.safetensors",
            "pisolve/evaluate/report/templates/report.html"} <= here


def test_the_wheel_is_small(wheel):
    """Weights and our own code aside there is next to nothing: no data, pictures, caches or results."""
    code = sum(len(v) for n, v in wheel.items() if n.endswith(".py"))
    weights = sum(len(v) for n, v in wheel.items() if n.endswith(".safetensors"))
    assert sum(map(len, wheel.values())) - code - weights < 1.5e5
    assert code < 4e6
    assert weights < 12e6


def test_the_wheel_runs_the_command_line(wheel, tmp_path):
    """Unpacked into an empty folder, away from the checkout, it is what is imported, and has its weights."""
    for name, data in wheel.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import pisolve; from pisolve import cli; "
            "print(pisolve.__file__); cli.main(['--version'])")
    done = subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path)], capture_output=True, text=True,
                          check=False, cwd=tmp_path)
    assert done.stdout.split() == [str(tmp_path / "pisolve" / "__init__.py"), "pisolve", pi.__version__], done.stderr
    points = next(text for name, text in wheel.items() if name.endswith("entry_points.txt")).decode()
    assert "pisolve = pisolve.cli:main" in points


def test_the_metadata_says_who_and_what(wheel):
    text = metadata(wheel)
    for line in (f"Version: {pi.__version__}", "Author: the pisolve authors", "Requires-Python: >=3.11",
                 "Classifier: Typing :: Typed", "Description-Content-Type: text/markdown"):
        assert line in text
    assert set(re.findall(r"^Provides-Extra: (\S+)$", text, re.MULTILINE)) == set(EXTRAS)


def test_metadata_is_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "project" not in project
    assert "version" not in project.get("tool", {}).get("setuptools", {})


def test_versions_agree():
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited[1] == pi.__version__
    assert json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))["license"] == "BSD-3-Clause"


def test_every_extra_that_a_message_names_exists():
    """`_check.extra` and `pip install 'pisolve[...]'` in messages, docs and docstrings."""
    files = [*(ROOT / "pisolve").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    told = {name: path for path in files for found in re.findall(
        r"pisolve\[([\w,]+)\]|pip install '?\.\[([\w,]+)\]|\bextra\(\"[\w.]+\", \"(\w+)\"\)",
        path.read_text(encoding="utf-8")) for name in ",".join(filter(None, found)).split(",")}
    assert {"report", "gpu", "cluster"} <= set(told)
    assert set(told) <= set(EXTRAS), {n: p for n, p in told.items() if n not in EXTRAS}


def test_what_tests_and_docs_need_is_pinned():
    """`make test` and `make docs` install the same versions everywhere."""
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    needed = [*CONFIG["options"]["install_requires"].split(), *EXTRAS["test"], *EXTRAS["docs"]]
    names = {re.match(r"[\w.-]+", one)[0].lower() for one in needed}
    assert names - {"torch"} <= pinned


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md"])
def test_what_a_page_names_is_there(page):
    """Files and folders in code marks, and the names of `UPPER` tables in the file that is named beside them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = [p for p in re.findall(r"`((?:pisolve|tests|docs|benchmarks)/[\w/.]+)`", text) if "results" not in p]
    assert paths or page == "CODE_OF_CONDUCT.md"
    assert [p for p in paths if not (ROOT / p).exists()] == []
    tables = re.findall(r"`([A-Z_]{4,})` (?:in|of)\s+`([\w/.]+)`", text)
    assert page != "CONTRIBUTING.md" or len(tables) >= 7
    for name, path in tables:
        assert re.search(rf"^\s*{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (name, path)
