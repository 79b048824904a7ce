"""Writes the tables of README.md: nothing in them is typed by hand.

    python benchmarks/tables.py

pairs and defaults come from the library itself, quality and speed from benchmarks/results/quality.json and
cartesian.json where they exist. A table stands between <!-- name --> and <!-- /name -->; the rest is left as it is.
"""

import json
import re
from pathlib import Path

import numpy as np

import pisolve as pi
from pisolve import linops
from pisolve.cli_recipe import DEFAULTS
from pisolve.io import atomic
from pisolve.solvers import choose

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TASKS = {"normal": "one A^H A", "cg": "CG-SENSE, 30 iterations", "espirit": "ESPIRiT maps",
         "wavelet": "L1-wavelet, as near to its minimum as SigPy after 200 iterations",
         "tv": "TV, within 0.1 % of the minimum"}


def rows_of(head, rows):
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def pairs():
    """Which solver takes which prior, by asking `init`; the automatic choice in bold."""
    shape = (16, 16)
    W, G = linops.wavelet(shape, "haar"), linops.gradient(shape)
    brain = pi.phantom.brain(shape, 4, noise=0.02)
    A = linops.sense(brain.mps)

    def D(x, sigma):
        return W.H(W(x) / (1 + sigma))

    priors = {
        "Zero()": pi.Zero(), "Tikhonov()": pi.Tikhonov(), "Tikhonov() @ G": pi.Tikhonov() @ G, "L1()": pi.L1(),
        "L1() @ W": pi.L1() @ W, "L1() @ G": pi.L1() @ G, "L21() @ G": pi.L21() @ G,
        "Wavelet()": pi.Wavelet("haar"), "TV()": pi.TV(), "PnP(D, sigma)": pi.PnP(D, sigma=0.1),
        "RED(D, sigma)": pi.RED(D, sigma=0.1), "TV() + Tikhonov()": pi.TV() + pi.Tikhonov(),
        "TV() + RED(D, sigma)": pi.TV() + pi.RED(D, sigma=0.1), "TV() + Wavelet()": pi.TV() + pi.Wavelet("haar"),
        "TV() + PnP(D, sigma)": pi.TV() + pi.PnP(D, sigma=0.1),
    }
    solvers = [pi.CG(), pi.GradientDescent(), pi.FISTA(), pi.ADMM(), pi.HQS(), pi.PDHG()]
    rows = []
    for name, prior in priors.items():
        problem, row = pi.Problem(A, brain.kspace, prior), [f"`{name}`"]
        for solver in solvers:
            try:
                solver.init(problem)
            except ValueError:
                row.append("")
            else:
                row.append("**auto**" if isinstance(solver, type(choose(problem))) else "yes")
        rows.append(row)
    return rows_of(["prior", *(type(s).__name__ for s in solvers)], rows)


def defaults():
    """What the command line gives a prior that is not told its strength."""
    rows = [[f"`{name}`", *(f"{d[k]:g}" if k in d else "" for k in ("lam", "sigma")), d.get("max_iter", 100)]
            for name, d in DEFAULTS.items()]
    return rows_of(["`--prior`", "lam", "sigma", "iterations at most"], rows)


def quality(results):
    """Mean PSNR over the body and SSIM of every method, a column each scan."""
    report = json.loads((results / "quality.json").read_text())
    rows = report["rows"]
    scans, methods = (list(dict.fromkeys(r[key] for r in rows)) for key in ("scan", "method"))

    def cell(scan, method):
        found = [r for r in rows if (r["scan"], r["method"]) == (scan, method)]
        return f"{np.mean([r['psnr'] for r in found]):.1f} / {np.mean([r['ssim'] for r in found]):.3f}" if found else ""

    seeds = len({r["seed"] for r in rows})
    table = rows_of(["4x, random lines", *scans], [[m, *(cell(s, m) for s in scans)] for m in methods])
    return (f"{table}\n\nPSNR over the body in dB / SSIM, means of {seeds} sampling pattern{'s' * (seeds != 1)}; for "
            "each scan and pattern every method is at its own best of one grid of strengths, which is an oracle's "
            "choice. These scans are no test set: the crop of the maps, the rule for ADMM's penalty and the default "
            f"strengths were chosen while looking at them. Made by `{report['command']}`.")


def speed(results):
    """Seconds of every task, and how many times longer the others take."""
    report = json.loads((results / "cartesian.json").read_text())

    def seconds(value):
        return f"{1e3 * value:.3g} ms" if value < 0.1 else f"{value:.2f} s"

    def times(ratio):
        return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"

    rows, never = [], False
    for case, tasks in report["cases"].items():
        for task, title in TASKS.items():
            row = tasks.get(task)
            if row is None:
                continue
            solvers = {k.removeprefix("pisolve").strip(): v for k, v in row.items() if k.startswith("pisolve")}
            best = min(solvers, key=solvers.get)
            cells = []
            for other in ("sigpy", "bart"):
                failed = isinstance(row.get(f"iterations {other}"), str)
                never |= failed
                cell = f"{seconds(row[other])} ({times(row['ratios'][other])})" if other in row else ""
                cells.append(cell + " \\*" * failed)
            name = f"{title} ({best})" if best else title
            rows.append([case.replace("x", " x "), name, seconds(solvers[best]), *cells])
    notes = (f"Medians on {report['threads']} threads, in brackets the ratio to pisolve's time; BART is timed as a "
             "process with its files, and for the wavelet with pisolve's number of iterations. Made by "
             f"`{report['command']}`.")
    if never:
        notes += " \\*: when stopped, not within 0.1 % of the minimum of this objective; see benchmarks/cartesian.py."
    return rows_of(["coils x ky x kx", "task", "pisolve", "SigPy", "BART"], rows) + f"\n\n{notes}"


def write(readme=ROOT / "README.md", results=RESULTS):
    """Replace every table that can be made; tell which could not."""
    text = readme.read_text(encoding="utf-8")
    makers = {"pairs": pairs, "defaults": defaults, "quality": lambda: quality(results),
              "speed": lambda: speed(results)}
    for name, make in makers.items():
        try:
            table = make()
        except FileNotFoundError as error:
            print(f"{name}: left as it is, no {Path(error.filename).name}")
            continue
        text, count = re.subn(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, t=table: f"{m[1]}{t}\n{m[2]}",
                              text, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{readme.name} has {count} places <!-- {name} -->...<!-- /{name} -->: one is needed")
        print(f"{name}: written")
    with atomic(readme) as part:
        Path(part).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
