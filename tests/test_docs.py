"""The pages of docs/ are what docs/make.py makes of the docstrings, name every part, and their examples run."""

import importlib.util
import inspect
import re
import sys
import types
from pathlib import Path

import pytest

import pisolve as pi
from pisolve import nets

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


def test_the_tables_of_the_readme_are_what_the_script_makes():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == make.readme(text), "run python docs/make.py"


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


@shipped
@pytest.mark.parametrize("page", ["priors", "solvers", "tuning", "design", "data", "calibration", "networks",
                                  "scan_specific", "compare", "series", "signals", "command_line", "../README"])
def test_the_examples_of_the_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # a law pickles a class of the page
    codes = re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.M | re.S)
    assert codes
    for code in codes:
        exec(compile(code, f"{page}.md", "exec"), vars(module))


def test_links_lead_somewhere():
    def anchors(text):
        heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in heads}

    lost = []
    for path in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]:
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            file, _, anchor = target.partition("#")
            file = path.parent / file if file else path
            if not target.startswith("http") and not (
                    file.exists() and (not anchor or anchor in anchors(file.read_text(encoding="utf-8")))):
                lost.append(f"{path.name}: {target}")
    assert lost == []
