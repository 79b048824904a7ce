"""The pages of docs/ are what docs/make.py makes of the docstrings, name every part, and their examples run."""

import importlib.util
import inspect
import re
import shlex
import sys
import types
from pathlib import Path

import pytest

import pisolve as pi
from pisolve import cli, nets

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
spec = importlib.util.spec_from_file_location("docs_make", DOCS / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)
shipped = pytest.mark.skipif("denoiser-brain" not in nets.available(), reason="the shipped denoiser is not there")
PARTS = [(page, name) for page in ("priors", "solvers") for name in vars(pi)[page].__all__
         if inspect.isclass(getattr(pi, name))]


@pytest.fixture(scope="module")
def pages():
    return make.pages()


@shipped
@pytest.mark.parametrize("page", make.PAGES)
def test_the_page_is_what_the_script_makes(pages, page):
    assert (DOCS / f"{page}.md").read_text(encoding="utf-8") == pages[page], "run python docs/make.py"


def test_the_tables_of_parts_are_what_the_script_makes():
    text = (DOCS / "parts.md").read_text(encoding="utf-8")
    assert text == make.parts(text), "run python docs/make.py"


def test_the_readme_is_short():
    """What a stranger reads first has two commands, ten lines of Python and no more than 120 lines in all."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert {"    make demo", "    make test"} <= {line.partition("  #")[0].rstrip() for line in lines}
    block = lines[lines.index("```python") + 1 :]
    assert len(block[: block.index("```")]) <= 10


def test_every_part_has_its_section():
    assert len(PARTS) > 30
    text = {page: (DOCS / f"{page}.md").read_text(encoding="utf-8") for page in ("priors", "solvers")}
    assert [name for page, name in PARTS if f"\n### {name}\n" not in text[page]] == []


def test_every_part_says_when_to_use_it_with_an_example_and_a_reference():
    lacks = {name: {"Use", "Reference", "Example"} - make.sections(getattr(pi, name)).keys()
             for _, name in PARTS if name not in make.OTHER}
    assert {name: what for name, what in lacks.items() if what} == {}


def test_every_argument_is_described():
    differ = {}
    for name in (name for _, name in PARTS if name not in make.OTHER):
        text = make.sections(getattr(pi, name)).get("Args", "")
        described = {n for names in re.findall(r"^(\w[\w, ]*): ", text, re.MULTILINE) for n in names.split(", ")}
        differ[name] = described ^ (set(inspect.signature(getattr(pi, name)).parameters) - {"args", "kwargs"})
    assert {name: what for name, what in differ.items() if what} == {}


PAGES = ["priors", "solvers", "tuning", "design", "data", "calibration", "networks", "scan_specific", "compare",
         "series", "signals", "command_line", "index", "tutorial", "howto", "migrating", "../README"]
# in the tutorial, to be quick
SMALLER = {"shape = (128, 128)": "shape = (80, 80)", "--minutes 2": "--minutes 0.1"}


@shipped
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_the_page_run(page, tmp_path, monkeypatch, capsys):
    """Blocks of Python, and the commands of blocks of sh, in their order; a peer that is missing ends the page."""
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # a law pickles a class of the page
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for old, new in SMALLER.items() if page == "tutorial" else ():
        assert old in text
        text = text.replace(old, new)
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", text, re.M | re.S)
    assert blocks
    for kind, code in blocks:
        if kind == "python":
            for peer in re.findall(r"^import (deepinv|fastmri|mrpro|sigpy)\b", code, re.M):
                pytest.importorskip(peer)
            exec(compile(code, f"{page}.md", "exec"), vars(module))
            continue
        for line in code.splitlines():
            program, *words = shlex.split(line)
            assert program == "pisolve"
            assert cli.main(words) == 0, line


def test_links_lead_somewhere():
    def anchors(text):
        heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in heads}

    lost = []
    for path in [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]:
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            file, _, anchor = target.partition("#")
            file = path.parent / file if file else path
            if not target.startswith("http") and not (
                    file.exists() and (not anchor or anchor in anchors(file.read_text(encoding="utf-8")))):
                lost.append(f"{path.name}: {target}")
    assert lost == []
