"""Every public name has an example in the reference, and all of them run."""

import contextlib
import importlib.util
import sys
import types
from pathlib import Path

import pytest

import pisolve as pi
from pisolve import nets

DOCS = Path(__file__).parents[1] / "docs"
pytestmark = [pytest.mark.usefixtures("one_thread"),
              pytest.mark.skipif("denoiser-fast" not in nets.available(), reason="the shipped denoisers are not there")]


def load(name):
    """A script of docs/, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


with contextlib.ExitStack() as stack:
    sys.path.insert(0, str(DOCS))
    stack.callback(sys.path.remove, str(DOCS))
    make, pages = load("make"), load("site_pages")
PAGES = {"pisolve": {n: getattr(pi, n) for n in pages.TOP}, **{room: pages.public(room) for room in pages.ROOMS}}
ELSEWHERE = {name for page in ("priors", "solvers") for name in make.listed(page)}  # tests/test_docs.py runs these


def blocks(page):
    """{name: code} in the page's order: what docs/examples has, else the docstring's example."""
    shown = pages.examples(page)
    return {name: shown.get(name) or make.sections(obj).get("Example", "") for name, obj in PAGES[page].items()
            if name in shown or name not in ELSEWHERE}


@pytest.mark.parametrize("page", PAGES)
def test_every_name_has_an_example(page):
    shown = pages.examples(page)
    assert set(shown) - {""} <= set(PAGES[page]), "a section of a name that is not public"
    assert [name for name, code in blocks(page).items() if not code] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_run(page, tmp_path, monkeypatch):
    """In the order of docs/examples, then the docstrings'; each may use what those before it made."""
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # a law pickles a class of the page
    ours, all_of = pages.examples(page), blocks(page)
    code = {"start": pages.examples("start")[""], "begin": ours[""], **{n: all_of[n] for n in ours if n},
            **{n: c for n, c in all_of.items() if n not in ours}}
    for name, text in code.items():
        try:
            exec(compile(text, f"{page}.{name}", "exec"), vars(module))
        except Exception as error:
            raise AssertionError(f"the example of {page}.{name} fails: {error!r}\n{text}") from error
