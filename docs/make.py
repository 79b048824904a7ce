"""Writes docs/priors.md, solvers.md and tuning.md, and the two tables of docs/parts.md.

    python docs/make.py [--pictures]

A page is its template in docs/templates with the sections of the docstrings put in: [[Name]] is the entry of a public
prior, solver or function, [[pairs]] the solvers that take each example's prior, [[tuning]] the committed results.
tests/test_docs.py compares the pages with what this makes, so they cannot go stale. --pictures draws docs/priors.png
and docs/series.png as well; they are not compared.
"""

import argparse
import ast
import inspect
import json
import re
from pathlib import Path

import pisolve as pi
from pisolve import tuning
from pisolve.io import atomic

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS.parent / "benchmarks" / "results"
PAGES = ("priors", "solvers", "tuning")
SECTION = re.compile(r"^(Use|Args|Attributes|Returns|Raises|Reference|Example):$", re.MULTILINE)
SUMS = ["1e-3 * pi.TV() + 1e-2 * pi.Tikhonov()", "1e-3 * pi.TV() + 1e-3 * pi.Wavelet()",
        "1e-3 * pi.TV() + 0.1 * pi.RED(D, sigma=0.03)", "1e-3 * pi.TV() + pi.PnP(D, sigma=0.1)"]
OTHER = ("Prior", "Result", "Score", "Solver", "State")  # public classes that are no parts to choose from
HEAD = "<!-- Made by `python docs/make.py` from docs/templates and the docstrings: edit those. -->\n"


def template(page: str) -> str:
    """The hand-written part of a page."""
    return (DOCS / "templates" / f"{page}.md").read_text(encoding="utf-8")


def listed(page: str, text: str | None = None) -> list[str]:
    """The public classes that a page (or a part of it) has sections of, in its order."""
    names = re.findall(r"^\[\[(\w+)\]\]$", template(page) if text is None else text, re.MULTILINE)
    return [n for n in names if n in vars(pi)[page].__all__]


def sections(obj) -> dict[str, str]:
    """A docstring by its sections; what comes before the first one is "text"."""
    text, *rest = SECTION.split(inspect.getdoc(obj))
    return {"text": text.strip(), **{k: inspect.cleandoc("\n" + v) for k, v in zip(rest[::2], rest[1::2])}}


def prose(text: str) -> str:
    """Plain text as Markdown: what could open emphasis or a tag is escaped, but for code and bullets."""
    pieces = re.split(r"(`[^`]*`)", text)
    pieces[::2] = [re.sub(r"\*(?=\S)|(?<!\w)_|<(?=[\w/!?])", r"\\\g<0>", p) for p in pieces[::2]]
    return "".join(pieces)


def arguments(obj, text: str) -> str:
    """An Args section as a list, with the defaults of the signature."""
    entries = re.split(r"^(?=\w[\w, ]*: )", text, flags=re.MULTILINE)[1:]
    lines = []
    for names, meaning in (e.split(": ", 1) for e in entries):
        known = inspect.signature(obj).parameters
        defaults = [known[n].default for n in names.split(", ") if n in known]
        given = [repr(d) for d in defaults if d is not inspect.Parameter.empty and not repr(d).startswith("<")]
        told = f" ({', '.join(dict.fromkeys(given))})" if given else ""
        called = ", ".join(f"`{n}`" for n in names.split(", "))
        lines.append(f"* {called}{told}: {prose(' '.join(meaning.split()))}")
    return "\n".join(lines)


def problem_of(example: str, names: dict):
    """(the prior's source, the problem) of an example's `pi.recon(scan, prior)` or `pi.solve(A, y, prior)`."""
    names = dict(names)
    for line in ast.parse(example).body:
        call = getattr(line, "value", None)
        if not isinstance(line, ast.Expr) or call.func.attr not in ("recon", "solve"):
            exec(ast.unparse(line), names)
            continue
        *data, source = map(ast.unparse, call.args[: 2 if call.func.attr == "recon" else 3])
        A, y = (eval(d, names) for d in data) if len(data) == 2 else (pi.linops.sense(names["brain"].mps),
                                                                     names["brain"].kspace)
        return source, pi.Problem(A, y, eval(source, names))
    raise SystemExit(f"no pi.recon or pi.solve in {example!r}")


def takers(problem) -> list[str]:
    """The names of the solvers whose `init` takes the problem; the automatic one in bold."""
    found = []
    for solver in SOLVERS:
        try:
            solver().init(problem)
        except ValueError:
            continue
        auto = isinstance(pi.solvers.choose(problem), solver)
        found.append(f"**{solver.__name__}**" if auto else solver.__name__)
    return found


def entry(name: str, table: dict) -> str:
    """The section of a public name: formula, text, when to use it, arguments, solvers, reference, example."""
    obj = getattr(pi, name, None) or getattr(tuning, name)
    parts = sections(obj)
    out = [f"### {name}", prose(parts["text"])]
    if "Use" in parts:
        out.append(f"**Use it** {prose(parts['Use'])}")
    if "Args" in parts:
        out.append(arguments(obj, parts["Args"]))
    if "Attributes" in parts:
        out += ["Attributes:"] * ("Args" in parts) + [arguments(obj, parts["Attributes"])]
    if name in table:
        out.append(f"Solvers: {', '.join(table[name][1])}.")
    if "Returns" in parts:
        out.append(f"Returns {prose(parts['Returns'])}")
    if "Reference" in parts:
        out.append(f"Reference: {prose(parts['Reference'])}")
    if "Example" in parts:
        out.append(f"```python\n{parts['Example']}\n```")
    return "\n\n".join(out)


def pairs() -> dict[str, tuple[str, list[str]]]:
    """{name of a prior or a sum: (its example's prior, the solvers that take it)}, by asking every solver's `init`."""
    names, found = {}, {}
    for code in re.findall(r"```python\n(.*?)```", template("priors").split("[[")[0], re.DOTALL):
        exec(code, names)
    examples = {n: sections(getattr(pi, n))["Example"] for n in listed("priors") if n not in (*OTHER, "Denoiser")}
    for name, example in {**examples, **{s: f"pi.recon(scan, {s})" for s in SUMS}}.items():
        source, problem = problem_of(example, names)
        found[name] = re.sub(r"pi\.|[\d.]+(e-?\d+)? \* ", "", source), takers(problem)
    return found


def pairs_table(table) -> str:
    """Which solver takes which prior."""
    names = [s.__name__ for s in SOLVERS]
    rows = [[f"`{source}`", *("**auto**" if f"**{n}**" in taken else "yes" if n in taken else "" for n in names)]
            for source, taken in table.values()]
    return rows_of(["prior", *names], rows)


def rows_of(head, rows) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in [head, ["---"] * len(head), *rows])


def tuning_table() -> str:
    """benchmarks/results/tuning.json: the oracle, and what each criterion loses to it."""
    report = json.loads((RESULTS / "tuning.json").read_text())
    criteria = [m for m in tuning.CRITERIA if m != "reference"]
    cells = {}
    for row in report["rows"]:
        cells.setdefault((row["scan"], row["prior_name"]), {})[row["criterion"]] = row

    def cell(row):
        note = "" if row["status"] == "ok" else f", {row['status']}"
        return f"{0 - row['loss_db'] + 0:.2f} dB at {row['strength']:.2g}{note}"

    rows = [[*key, f"{mine['reference']['psnr']:.2f} dB at {mine['reference']['strength']:.2g}",
             *(cell(mine[m]) for m in criteria)] for key, mine in cells.items()]
    worst = ", ".join("{} {:.2f} dB ({}, {})".format(m, *max((c[m]["loss_db"], *key) for key, c in cells.items()))
                      for m in criteria)
    return (rows_of(["scan", "prior", "oracle", *criteria], rows) + f"\n\nThe largest losses: {worst}. "
            f"Made by `{report['command']}`.")


SOLVERS = [s for n in listed("solvers") if n not in (*OTHER, "Relaxed") and hasattr(s := getattr(pi, n), "init")]


def pages() -> dict[str, str]:
    """{name of a page: its text}."""
    table = pairs()
    special = {"pairs": lambda: pairs_table(table), "tuning": tuning_table}

    def fill(match):
        return special[match[1]]() if match[1] in special else entry(match[1], table)

    return {page: HEAD + re.sub(r"^\[\[(\w+)\]\]$", fill, template(page), flags=re.MULTILINE) for page in PAGES}


def parts(text: str) -> str:
    """docs/parts.md with its tables: the groups of the pages, each name linked to its section."""
    for page in ("priors", "solvers"):
        groups = [(g.split("\n")[0], [n for n in listed(page, g) if n not in OTHER])
                  for g in template(page).split("\n## ")[1:]]
        rows = [[title, ", ".join(f"[`{n}`]({page}.md#{n.lower()})" for n in names)] for title, names in groups
                if names]
        text, count = re.subn(rf"(<!-- {page} -->\n).*?(<!-- /{page} -->)",
                              lambda m, r=rows, p=page: f"{m[1]}{rows_of([p, ''], r)}\n{m[2]}", text, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"docs/parts.md has {count} places <!-- {page} -->...<!-- /{page} -->: one is needed")
    return text


def main():
    """Write all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", action="store_true", help="draw the pictures, too")
    if parser.parse_args().pictures:
        from pictures import draw

        draw(DOCS)
    files = {DOCS / f"{name}.md": text for name, text in pages().items()}
    files[DOCS / "parts.md"] = parts((DOCS / "parts.md").read_text(encoding="utf-8"))
    for path, text in files.items():
        with atomic(path) as part:
            Path(part).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
