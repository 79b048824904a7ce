"""The documentation's site builds without a warning, has every public name, and its search finds words."""

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import pisolve as pi

ROOT = Path(__file__).parents[1]
MADE = ("reference", "gallery", "project")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of a copy of docs/, without running the gallery: the tests of the examples do that."""
    for name in ("sphinx", "myst_parser", "furo"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name} (the extra docs)")
    top = tmp_path_factory.mktemp("site")
    for path in ROOT.iterdir():
        if path.name not in ("docs", ".git", ".venv", "build", "dist"):
            (top / path.name).symlink_to(path)
    shutil.copytree(ROOT / "docs", top / "docs", ignore=shutil.ignore_patterns(*MADE, "_build", "__pycache__"))
    done = subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "2", "-b", "html", "docs",
                           "html"], cwd=top, capture_output=True, text=True, check=False,
                          env={"PATH": "/usr/bin:/bin", "PISOLVE_DOCS_GALLERY": "no", "PYTHONPATH": str(ROOT),
                               "HOME": str(top)})
    assert done.returncode == 0, done.stderr
    return top / "html"


class Links(HTMLParser):
    """What a page asks for: scripts, styles and pictures; and its links."""

    def __init__(self, text):
        super().__init__()
        self.asked, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag in ("script", "img") and "src" in attrs:
            self.asked.append(attrs["src"])
        if tag == "link" and attrs.get("rel") in ("stylesheet", "preload"):
            self.asked.append(attrs["href"])
        if tag == "a" and "href" in attrs:
            self.links.append(attrs["href"])


def test_every_page_is_there_and_asks_nobody(site):
    pages = list(site.rglob("*.html"))
    assert {"index.html", "tutorial.html", "howto.html", "migrating.html", "glossary.html", "compared.html",
            "search.html"} <= {p.name for p in pages}
    for page in pages:
        found = Links(page.read_text(encoding="utf-8"))
        assert [a for a in found.asked if a.startswith(("http", "//"))] == [], page.name
        for link in found.links:
            if not link.startswith(("http", "#", "mailto")):
                assert (page.parent / link.partition("#")[0]).exists(), (page.name, link)


def test_every_public_name_is_in_the_reference(site):
    text = "".join(p.read_text(encoding="utf-8") for p in (site / "reference").glob("*.html"))
    titles = {re.sub("<.*?>", "", t).strip("#¶\ue157 ") for t in re.findall(r"<h[1-4]>(.*?)</h[1-4]>", text, re.S)}
    missing = [n for n in pi.__all__ if n not in titles and n not in (*pi._ROOMS, "__version__")]
    for room in pi._ROOMS:
        module = importlib.import_module(f"pisolve.{room}")
        missing += [f"{room}.{n}" for n in getattr(module, "__all__", ()) if n not in titles]
    assert missing == []


def test_the_search_finds_words(site):
    """The index that the search box reads, without a server."""
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    for word, page in (("espirit", "calibration"), ("lambda", "howto"), ("cine", "series")):
        found = [k for part in ("terms", "titleterms") for k in np.atleast_1d(index[part].get(word, []))]
        assert page in {index["docnames"][int(k)] for k in found}
