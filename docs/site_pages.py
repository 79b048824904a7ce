"""Pages that the web site has beside those in docs/: the reference, the gallery, and the project's own pages.

They are made of docstrings, examples/ and the Markdown files of the top folder each time the site is built, in
docs/reference, docs/gallery and docs/project, which git ignores.
"""

import ast
import hashlib
import importlib
import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import make

import pisolve as pi

ROOMS = ["linops", "priors", "solvers", "calib", "io", "masks", "metrics", "nets", "signals", "trajectories",
         "evaluate", "scan_specific", "phantom", "testing"]
TOP = [name for name in pi.__all__ if name not in (*ROOMS, "__version__") and not hasattr(
    importlib.import_module("pisolve.priors"), name) and not hasattr(importlib.import_module("pisolve.solvers"), name)]
TOP += ["solve"]
EXAMPLES = Path(__file__).parent / "examples"  # what runs, for names whose docstring has no example
PICTURES = {"quickstart": "demo", "cine": "series", "radial_cine": "radial_cine", "own_prior": "priors",
            "own_denoiser": "learned"}
NOT_RUN = {"train_denoiser": "It trains a network for minutes, and is not run when this site is built."}
PROJECT = {"contributing": "CONTRIBUTING.md", "changes": "CHANGES.md", "security": "SECURITY.md",
           "conduct": "CODE_OF_CONDUCT.md"}


def public(room: str) -> dict[str, object]:
    """{name: what it is} of a room: its `__all__`, or the functions and classes that it defines."""
    module = importlib.import_module(f"pisolve.{room}")
    names = getattr(module, "__all__", None) or [
        n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "") == module.__name__]
    return {name: getattr(module, name) for name in names}


def heading(name: str, obj) -> str:
    """The signature in a block of code; nothing for what has none."""
    try:
        text = str(inspect.signature(obj))
    except (TypeError, ValueError):
        return ""
    text = re.sub(r"'([\w.\[\], |]+)'", r"\1", re.sub(r"<function (\w+)[^>]*>|<class '([\w.]+)'>", r"\1\2", text))
    text = re.sub(r"<[\w.]+ object at 0x\w+>", "...", text)
    lines = textwrap.wrap(f"{name}{text}", 88, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return "```python\n{}\n```".format("\n".join(lines))


def examples(page: str) -> dict[str, str]:
    """{name: code} of docs/examples/PAGE.py, whose sections begin with `# ## name`; "" is what comes before them."""
    first, *rest = re.split(r"^# ## (\w+)$", (EXAMPLES / f"{page}.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {"": first.strip(), **{name: code.strip() for name, code in zip(rest[::2], rest[1::2])}}


def body(obj, example: str = "") -> list[str]:
    """A docstring as Markdown, section by section; an example in place of its own."""
    parts = make.sections(obj)
    out = [make.prose(parts["text"])]
    if "Use" in parts:
        out.append(f"**Use it** {make.prose(parts['Use'])}")
    for title, word in (("Args", "Arguments"), ("Attributes", "Attributes")):
        if title in parts:
            out += [f"{word}:", make.arguments(obj, parts[title]) if callable(obj) else make.prose(parts[title])]
    for title in ("Returns", "Raises", "Reference"):
        if title in parts:
            out.append(f"{title}: {make.prose(' '.join(parts[title].split()))}")
    if example or "Example" in parts:
        out.append(f"```python\n{example or parts['Example']}\n```")
    return out


def members(cls) -> list[str]:
    """What a class has beside its constructor: methods and properties that it defines and documents itself."""
    out = []
    for name, value in vars(cls).items():
        inner = getattr(value, "__func__", value)
        inner = value.fget if isinstance(value, property) else getattr(inner, "func", inner)
        if name.startswith("_") or not callable(inner) or inspect.isclass(inner) or not inspect.getdoc(inner):
            continue
        plain = isinstance(value, property) or hasattr(value, "func")
        title = f"{cls.__name__}.{name}"
        out.append(f"#### {title}")
        out += [] if plain else [heading(title, inner)]
        out += body(inner)
    return out


def reference(title: str, told: str, names: dict[str, object], prefix: str) -> str:
    """A page of the reference."""
    shown = examples(title.rpartition(".")[2])
    start = "\n".join(filter(None, [examples("start")[""], shown[""]]))
    out = [f"# {title}", make.prose(told), f"The examples of this page begin with\n\n```python\n{start}\n```"]
    for name, obj in names.items():
        out.append(f"## {name}")
        example = shown.get(name, "")
        code = f"```python\n{example}\n```" if example else ""
        if inspect.ismodule(obj):
            out += [make.prose(inspect.getdoc(obj) or ""), code]
            for inner, value in vars(obj).items():
                if not inner.startswith("_") and getattr(value, "__module__", "") == obj.__name__:
                    out += [f"### {name}.{inner}", heading(f"{prefix}.{name}.{inner}", value), *body(value)]
            continue
        if not callable(obj):
            out += [f"```python\n{prefix}.{name} = {repr(obj)[:300]}\n```", code]
            continue
        out += [heading(f"{prefix}.{name}", obj), *body(obj, example), *(members(obj) if inspect.isclass(obj) else [])]
    return "\n\n".join(filter(None, out)) + "\n"


def references() -> dict[str, str]:
    """{file: text} of the reference."""
    pages = {"pisolve": reference("pisolve", pi.__doc__.split("\n")[0], {n: getattr(pi, n) for n in TOP}, "pi")}
    for room in ROOMS:
        told = importlib.import_module(f"pisolve.{room}").__doc__ or ""
        pages[room] = reference(f"pisolve.{room}", told.split("\n\n")[0], public(room), f"pi.{room}")
    listed = "\n".join(["pisolve", *ROOMS])
    rows = make.rows_of(["page", "names"], [[f"[{p}]({p}.md)", ", ".join(f"`{n}`" for n in (TOP if p == "pisolve" else
                                                                                          public(p)))] for p in pages])
    pages["index"] = ("# Reference\n\nEvery public name, from its docstring. Priors and solvers also have pages with "
                      f"examples: [priors](../priors.md), [solvers](../solvers.md).\n\n{rows}\n\n"
                      f"```{{toctree}}\n:hidden:\n\n{listed}\n```\n")
    return pages


def output(path: Path, cache: Path) -> str:
    """What an example prints; run once for each version of it and of the library."""
    source = path.read_bytes() + "".join(f"{p}{p.stat().st_size}" for p in sorted(
        (path.parents[1] / "pisolve").rglob("*.py"))).encode()
    kept = cache / f"{path.stem}-{hashlib.sha256(source).hexdigest()[:16]}.txt"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "PYTHONPATH": str(path.parents[1])}
        done = subprocess.run([sys.executable, str(path)], cwd=cache, env=env, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise SystemExit(f"{path} failed:\n{done.stderr}")
        kept.write_text(done.stdout, encoding="utf-8")
    return kept.read_text(encoding="utf-8")


def gallery(docs: Path, run: bool) -> dict[str, str]:
    """{file: text} of the gallery: each example with its code, its output and a picture where there is one."""
    pages, titles = {}, []
    for path in sorted((docs.parent / "examples").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        told = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")
        title = path.stem.replace("_", " ").capitalize()
        out = [f"# {title}", make.prose(told[0])]
        if path.stem in PICTURES:
            out.append(f"![{title}](../{PICTURES[path.stem]}.png)")
        out.append(f"```python\n{source.rstrip()}\n```")
        if path.stem in NOT_RUN:
            out.append(NOT_RUN[path.stem])
        elif run:
            out.append(f"It prints:\n\n```text\n{output(path, docs / '_build' / 'gallery')}\n```")
        pages[path.stem] = "\n\n".join(out) + "\n"
        titles.append(f"| [{title}]({path.stem}.md) | {make.prose(' '.join(told[0].split()))} |")
    rows = "\n".join(["| example | |", "|---|---|", *titles])
    pages["index"] = (f"# Gallery\n\nThe scripts in `examples/`; the tests run them.\n\n{rows}\n\n"
                      "```{toctree}\n:hidden:\n\n" + "\n".join(sorted(set(pages) - {"index"})) + "\n```\n")
    return pages


def project(docs: Path) -> dict[str, str]:
    """{file: text} of the project's own pages, with their links as seen from docs/project."""
    names = {file: f"{name}.md" for name, file in PROJECT.items()}

    def moved(match):
        target, _, anchor = match[1].partition("#")
        place = names.get(target) or (f"../{target.removeprefix('docs/')}" if target.startswith("docs/") else None)
        if match[1].startswith(("http", "#")):
            return match[0]
        return f"]({place}{'#' + anchor if anchor else ''})" if place else "]" + f"(../../{target})"

    return {name: re.sub(r"\]\(([^)]+)\)", moved, (docs.parent / file).read_text(encoding="utf-8"))
            for name, file in PROJECT.items()}


def write(docs: Path, *, run: bool = True) -> None:
    """Write all pages; what did not change keeps its time, so that a second build is quick."""
    for folder, pages in (("reference", references()), ("gallery", gallery(docs, run)), ("project", project(docs))):
        (docs / folder).mkdir(exist_ok=True)
        for name, text in pages.items():
            path = docs / folder / f"{name}.md"
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
