"""Writes the tables of results, command_line, calibration, networks, scan_specific, series, signals and
trajectories.md.

    python benchmarks/tables.py

defaults come from the library itself, the others from the files in benchmarks/results where they exist. A table stands
between <!-- name --> and <!-- /name -->; the rest is left as it is.
"""

import json
import re
from pathlib import Path

import numpy as np

from pisolve.cli.recipe import DEFAULTS
from pisolve.io import atomic

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TASKS = {"normal": "one A^H A", "cg": "CG-SENSE, 30 iterations"}
CALIBRATION = {"espirit": "ESPIRiT maps", "walsh": "Walsh's maps", "jsense": "JSENSE",
               "compress svd": "compression to 6, SVD", "compress gcc": "compression to 6, GCC",
               "whiten": "whitening", "grappa 2x1": "GRAPPA, R = 2",
               "grappa 3x1": "GRAPPA, R = 3", "grappa 4x1": "GRAPPA, R = 4", "grappa 2x2": "GRAPPA, R = 2 x 2",
               "spirit": "SPIRiT, 30 iterations", "homodyne": "homodyne"}
PROBLEMS = {"tikhonov": "Tikhonov", "wavelet": "L1-wavelet", "tv": "TV, isotropic", "tv-anisotropic": "TV, anisotropic",
            "tgv": "TGV", "llr": "LLR"}


def rows_of(head, rows):
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def defaults():
    """What the command line gives a prior that is not told its strength."""
    rows = [[f"`{name}`", *(f"{d[k]:g}" if k in d else "" for k in ("lam", "sigma")), d.get("max_iter", 100)]
            for name, d in DEFAULTS.items()]
    return rows_of(["`--prior`", "lam", "sigma", "iterations at most"], rows)


FIRST = ("pnp", "red")  # rows of the first denoiser, which is no longer there: the page does not show them
DB4 = {"wavelet": "wavelet db4", "wavelet, shifts": "wavelet db4, shifts"}  # the default of that time


def quality(results):
    """Mean PSNR over the body and SSIM of every method, a column each scan."""
    report = json.loads((results / "quality.json").read_text())
    rows = [r for r in report["rows"] if not r["method"].startswith(FIRST)]
    scans, methods = (list(dict.fromkeys(r[key] for r in rows)) for key in ("scan", "method"))

    def cell(scan, method):
        found = [r for r in rows if (r["scan"], r["method"]) == (scan, method)]
        return f"{np.mean([r['psnr'] for r in found]):.1f} / {np.mean([r['ssim'] for r in found]):.3f}" if found else ""

    seeds = len({r["seed"] for r in rows})
    table = rows_of(["4x, random lines", *scans], [[DB4.get(m, m), *(cell(s, m) for s in scans)] for m in methods])
    return (f"{table}\n\nPSNR over the body in dB / SSIM, means of {seeds} sampling pattern{'s' * (seeds != 1)}; for "
            "each scan and pattern every method is at its own best of one grid of strengths, which is an oracle's "
            "choice. These scans are no test set: the crop of the maps, the rule for ADMM's penalty and the default "
            f"strengths were chosen while looking at them. Made by `{report['command']}`.")


def seconds(value):
    return f"{1e3 * value:.3g} ms" if value < 0.1 else f"{value:.2f} s"


def times(ratio):
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def compared(report, tasks, others):
    """Seconds of every task, and how many times longer the others take."""
    rows = []
    for case, found in report["cases"].items():
        for row, title in ((found[task], title) for task, title in tasks.items() if task in found):
            cells = [f"{seconds(row[o])} ({times(row['ratios'][o])})" if o in row else "" for o in others]
            rows.append([case.replace("x", " x "), title, seconds(row["pisolve"]), *cells])
    names = {"sigpy": "SigPy", "bart": "BART"}
    return rows_of(["coils x ky x kx", "task", "pisolve", *(names.get(o, o) for o in others)], rows) + (
        f"\n\nMedians on {report['threads']} threads, in brackets the ratio to pisolve's time; BART is timed as a "
        f"process with its files. Made by `{report['command']}`.")


def speed(results):
    return compared(json.loads((results / "cartesian.json").read_text()), TASKS, ("sigpy", "bart"))


def calibration(results):
    return compared(json.loads((results / "calibration.json").read_text()), CALIBRATION, ("sigpy", "bart", "pygrappa"))


def learned(results):
    """Mean gain over the best classical method, and the PSNR of each kind of mask."""
    report = json.loads((results / "learned.json").read_text())
    masks = list(dict.fromkeys(r["mask"] for r in report["rows"]))

    def mean(method, mask):
        return f"{np.mean([r['psnr'] for r in report['rows'] if (r['method'], r['mask']) == (method, mask)]):.1f}"

    rows = [[method, *(mean(method, m) for m in masks), f"{v['gain']:+.2f}",
             "{:+.2f} to {:+.2f}".format(*v["interval"]), f"{v['least']:+.2f}", v["wins"]]
            for method, v in report["summary"].items()]
    return rows_of(["method", *masks, "gain", "95 %", "least", "wins"], rows) + (
        "\n\nMean PSNR over the body in dB; gain over the best of wavelets and TV on each scan and mask. Made by "
        f"`{report['command']}`.")


def denoising(results):
    """PSNR of every denoiser: mean of all images and the in-vivo one, by noise level; cost."""
    report = json.loads((results / "denoising.json").read_text())
    sigmas = list(dict.fromkeys(r["sigma"] for r in report["rows"]))

    def cells(method):
        for sigma in sigmas:
            found = {r["image"]: r["psnr"] for r in report["rows"] if (r["method"], r["sigma"]) == (method, sigma)}
            vivo = next(v for k, v in found.items() if "vivo" in k)
            yield f"{np.mean([v for k, v in found.items() if 'vivo' not in k]):.2f} / {vivo:.2f}"

    rows = [[m, *cells(m), c["gflop"] or "", seconds(c["seconds"])] for m, c in report["cost"].items()]
    return rows_of(["denoiser", *(f"sigma {s:g}" for s in sigmas), "GFLOP", "time"], rows) + (
        "\n\nPSNR in dB, mean of six held-out slices / brain in vivo, whose reference holds noise of its own; cost for "
        f"320 x 320 complex on {report['threads']} thread. Made by `{report['command']}`.")


def catalogue():
    """Every network there is."""
    from pisolve.nets import networks

    rows = [entry.row() for entry in networks()]
    return rows_of(list(rows[0]), [[f"`{v}`" if n == "call" else v for n, v in row.items()] for row in rows])


def networks(results):
    """All networks after one training budget: means over the scans, sorted by PSNR."""
    report = json.loads((results / "networks.json").read_text())
    found = {}
    for row in report["rows"]:
        found.setdefault(row["network"], []).append(row)

    def mean(name, key):
        return float(np.mean([row[key] for row in found[name]]))

    lines = [[name, f"{mean(name, 'psnr'):.1f}", f"{mean(name, 'ssim'):.3f}", f"{mean(name, 'hfen'):.3f}",
              f"{mean(name, 'frechet'):.2f}", seconds(mean(name, "seconds")),
              *(f"{rows[0][key]:,}" if key in rows[0] else "" for key in ("parameters", "steps")),
              rows[0].get("paper", "")]
             for name, rows in sorted(found.items(), key=lambda item: -mean(item[0], "psnr"))]
    table = rows_of(["network", "PSNR", "SSIM", "HFEN", "Frechet", "an image", "parameters", "steps",
                     "the paper, of other data"], lines)
    budgets = sorted({row["minutes"] for row in report["rows"] if "minutes" in row})
    return (f"{table}\n\n{' or '.join(f'{m:g}' for m in budgets)} min of CPU time of training each, on one thread, "
            "same data and seed; means over three held-out scans at 4x: two heads, simulated, and the brain in vivo. "
            "automap-64 is judged at 64 x 64, its only size: compare it with the rows that say so. Frechet: how far "
            "the details look from real ones, `pi.evaluate.realism`, no measure of truth. An image: seconds of CPU. "
            f"Made by `{report['command']}`.")


def federated(results):
    """Each site alone, federated and central: PSNR on the scans of each kind."""
    report = json.loads((results / "federated.json").read_text())
    kinds = list(dict.fromkeys(kind for row in report["rows"] for kind in row["psnr"]))
    rows = [[row["training"], row["scans"], *(f"{row['psnr'][kind]:.2f}" for kind in kinds),
             f"{np.mean(list(row['psnr'].values())):.2f}"] for row in report["rows"]]
    return rows_of(["trained on", "scans", *kinds, "mean"], rows) + (
        f"\n\nPSNR over the body in dB at 4x on held-out scans, by their kind. Every row has {report['steps']} steps "
        f"of one scan; federated: {report['rounds']} rounds of {report['local_steps']} steps at each site. Made by "
        f"`{report['command']}`.")


def scan_specific(results):
    """PSNR of every method on every scan; of a fit also the best image it ever had, and its time."""
    report = json.loads((results / "scan_specific.json").read_text())
    rows, scans = report["rows"], list(dict.fromkeys(r["scan"] for r in report["rows"]))
    made = []
    for method in dict.fromkeys(r["method"] for r in rows):
        found = {r["scan"]: r for r in rows if r["method"] == method}
        fit = "oracle_psnr" in next(iter(found.values()))
        cells = [f"{found[s]['psnr']:.1f}" if s in found else "" for s in scans]
        below = max(r["oracle_psnr"] - r["psnr"] for r in found.values()) if fit else 0
        times = [r["seconds"] for r in found.values()] if fit else []
        made.append([method, *cells, f"{np.mean([r['psnr'] for r in found.values()]):.2f}" if len(found) == len(scans)
                     else "", f"{below:.2f}" if fit else "", f"{max(times):.0f} s" if fit else ""])
    return rows_of(["4x, random lines", *scans, "mean", "below the best, at most", "time, at most"], made) + (
        "\n\nPSNR over the body in dB, scans of 144 x 120 and 128 x 128; `below the best`: what early stopping lost "
        f"against the best image of the whole fit; times with {report['threads']} thread, beside other work. Made by "
        f"`{report['command']}`.")


def minimum(results):
    """Time to 1e-3 and 1e-5 of the minimum: the automatic solver, our fastest, SigPy and BART."""
    report, rows = json.loads((results / "solvers.json").read_text()), []
    for case, problems in report["cases"].items():
        for name, title in PROBLEMS.items():
            problem = problems.get(name, {})
            for gap, row in problem.get("gaps", {}).items():
                ours = problem["solvers"][problem["automatic"]].get("seconds", {}).get(gap)
                cells = []
                for other in ("sigpy", "bart"):
                    theirs = problem.get(other, {}).get("seconds", {}).get(gap)
                    more = "> " if "lower bound" in problem.get(other, {}) else ""
                    ratio = f" ({times(theirs / ours)})" if theirs and ours else ""
                    cells.append(f"{more}{seconds(theirs)}{ratio}" if theirs else "")
                rows.append([case, title, f"{float(gap):.0e}", short(problem["automatic"]),
                             seconds(ours) if ours else "not reached",
                             f"{short(row['fastest'])} {seconds(row['seconds'])}", *cells])
    return rows_of(["scan", "problem", "gap", "automatic solver", "time", "our fastest", "SigPy", "BART"], rows) + (
        "\n\nTime until the objective is within the gap of its minimum, each program by its own functional, in "
        "brackets the ratio to the automatic solver's time; an empty cell: not run, or not reached. >: not reached "
        "after 600 iterations, ten times the time of 60. BART is timed as a process with its files. Medians on "
        f"{report['threads']} threads. Made by `{report['command']}`.")


def short(solver):
    """A solver's repr without what is None or False."""
    name, _, arguments = solver.rstrip(")").partition("(")
    kept = [a for a in arguments.split(", ") if a and not a.endswith(("=None", "=False", "inner=10", "=True"))]
    kept += ["restart=False"] * ("restart=False" in arguments) + ["balance=True"] * ("balance=True" in arguments)
    kept += ["backtracking=True"] * ("backtracking=True" in arguments)
    return f"{name}({', '.join(kept)})"


def series(results):
    """dB of every method on the cine and on the volumes, at its usual strength and at its best."""
    report = json.loads((results / "series.json").read_text())
    heart, volumes = report["cine"], {n: r for n, r in report.items() if isinstance(r, dict) and "acceleration" in r}
    theirs = {"wavelet, frame by frame": "wavelet, frame by frame, shifts", "temporal TV": "temporal tv",
              "temporal FFT": "temporal fft", "nuclear": "nuclear", "LLR": "llr, shifts"}

    def cells(row):
        edge = "*" if row.get("at_the_edge_of_the_grid") else ""
        best = f"{row['best_psnr']:.2f} at {row['best_lam']:.2g}{edge}" if "best_psnr" in row else ""
        return [f"{row['psnr']:.2f}" + (f" at {row['lam']:.2g}" if "lam" in row else ""), best]

    frames, ny, nx = heart["shape"]
    first = rows_of([f"cine, {heart['coils']} x {frames} x {ny} x {nx}, {heart['accel']}x", "as the word has it",
                     "best", "`pi.solve` at its best"],
                    [[r["method"], *cells(r), heart["solve"].get(theirs.get(r["method"]), "")] for r in heart["rows"]])
    one = next(iter(volumes.values()))
    head = [x for n, r in volumes.items() for x in (f"{n} ({r['acceleration']:.2f}x), as the word has it", "best")]
    methods = [r["method"] for r in one["rows"]]
    found = {n: {r["method"]: r for r in v["rows"]} for n, v in volumes.items()}
    second = rows_of([f"volume, {one['coils']} x {' x '.join(map(str, one['shape']))}", *head],
                     [[m, *(c for n in volumes for c in cells(found[n][m]))] for m in methods])
    return (f"{first}\n\n{second}\n\n*: at the edge of the grid, so more may be had. `pi.solve` at its best: what "
            "benchmarks/cine.py measured with an operator made by hand, another grid and 40 iterations. Made by "
            f"`{report['command']}`.")


def volumes(results):
    """3-D and a cine beside SigPy and BART, memory, and slices side by side."""
    report, rows = json.loads((results / "volumes.json").read_text()), []

    def row(title, part):
        took, times_ours = part["seconds"], part["ratio"]
        rows.append([title, seconds(took["pisolve"]), *(f"{times_ours[n]:g}x" if n in times_ours else ""
                                                        for n in ("SigPy", "BART"))])

    tasks = {"normal": "3-D, one A^H A", "cg": "3-D, CG-SENSE, 30 iterations", "cine": "cine, LLR, to BART's objective"}
    for name, title in tasks.items():
        if name in report:
            row(title, report[name])
    for kind, part in report.get("tv", {}).items():
        if part["ratio"]:
            part["ratio"] = {n.partition(",")[0]: v for n, v in part["ratio"].items()}
            row(f"3-D, {kind} TV, to 1e-3 of the minimum", part)
    notes = []
    if "memory" in report:
        notes.append(f"CG-SENSE in 3-D needs {report['memory']:.2f} times k-space, maps and k-space counted.")
    slow = report.get("tv", {}).get("anisotropic", {}).get("SigPy's gap after 40")
    if slow is not None:
        notes.append(f"SigPy's TV is timed at 40 iterations, after which it is still {slow:.1%} above the minimum.")
    if "slices" in report:
        notes.append("Twelve slices side by side on two cores take "
                     + ", ".join(f"1 / {v['gain']:.2f} ({n})" for n, v in report["slices"].items())
                     + " of their time one after another on one.")
    table = rows_of(["8 x 128 x 128 x 96 at 4x; cine 15 x 12 x 144 x 144", "pisolve", "SigPy", "BART"], rows)
    return f"{table}\n\n{' '.join(notes)} Medians on {report['threads']} threads. Made by `{report['command']}`."


def dynamic(results):
    """Ways to reconstruct a cine: a row a method, a column a sampling."""
    return of_dynamic(json.loads((results / "dynamic.json").read_text()))


def of_dynamic(report):
    found = report["rows"]
    columns = list(dict.fromkeys(r["sampling"] for r in found))

    def cell(method, sampling):
        row = next((r for r in found if (r["method"], r["sampling"]) == (method, sampling)), None)
        return "" if row is None else (f"{row['psnr']:.2f}{'*' * row.get('at_the_edge_of_the_grid', False)} / "
                                       f"{row['ssim']:.3f} / {row['seconds']:.2g} s")

    table = rows_of(["", *columns], [[m, *(cell(m, c) for c in columns)] for m in dict.fromkeys(
        r["method"] for r in found)])
    return (f"{table}\n\nPSNR in dB / SSIM / seconds of one run, its operator included (BART: its files, too), for "
            f"{found[0]['frames']} frames, {report['coils']} coils. Strengths were chosen on another sampling and "
            f"noise of the same heart; *: at the edge of their grid. What a scan of spokes knows of itself, its "
            f"density, is made once, in the first row. Made by `{report['command']}`.")


def shuffling(results):
    """Coefficients of echoes instead of echoes, beside BART's `pics -B`."""
    report = json.loads((results / "shuffling.json").read_text())
    names = {"grid": "lines, 192 x 192", "points": "points, golden-angle spokes"}
    rows = [[names[k], *(seconds(report[k]["A^H A"][n]) for n in ("pisolve", "by way of the echoes")),
             *(seconds(v) for v in report[k]["seconds"].values()), f"{report[k]['BART over pisolve']:g}x",
             f"{report[k]['difference']:.1g}"] for k in names if k in report]
    table = rows_of(["", "A^H A", "by way of the echoes", "solved", "by way of the echoes", "BART", "BART / pisolve",
                     "difference of the images"], rows)
    return f"{table}\n\nMedians on {report['threads']} threads. Made by `{report['command']}`."


def spokes(results):
    """Fewer of the radial phantom's spokes: a row each method."""
    rows = json.loads((results / "noncartesian.json").read_text())["spokes"]
    counts = list(dict.fromkeys(r["spokes"] for r in rows))

    def cell(row):
        return f"{row['psnr']:.1f}" + ("" if row["withheld"] is None else f" / {row['withheld']:.3f}")

    table = [[f"`{m}`", *(cell(next(r for r in rows if (r["method"], r["spokes"]) == (m, n))) for n in counts)]
             for m in dict.fromkeys(r["method"] for r in rows)]
    return rows_of(["", *(f"{n} spokes" for n in counts)], table) + (
        "\n\nPSNR in dB against the mean of the three images of all spokes / error of the spokes that were withheld, "
        "||A x - y|| / ||y||; means of slices 1 and 2, as the words of the command line are, nothing tuned. Made by "
        "`OMP_NUM_THREADS=2 python benchmarks/noncartesian.py`.")


def learned_maps(results):
    """NRMSE of CG-SENSE by the way its maps were made: means over the scans, and how often it beat ESPIRiT."""
    report = json.loads((results / "learned_maps.json").read_text())
    rows, names = report["rows"], list(report["rows"][0]["nrmse"])

    def line(name):
        found = {a: [r["nrmse"][name] for r in rows if r["accel"] == a] for a in (3, 4)}
        wins = sum(r["nrmse"][name] < r["nrmse"]["ESPIRiT"] for r in rows)
        about = report["networks"].get(name, {})
        return [name, *(f"{np.mean(v):.4f}" for v in found.values()),
                "" if name.startswith("ESPIRiT") else f"{wins} of {len(rows)}", about.get("parameters", "")]

    table = rows_of(["maps by", "3x", "4x", "better than ESPIRiT", "parameters"], [line(n) for n in names])
    return (f"{table}\n\nNRMSE of CG-SENSE's magnitudes inside the body, means over {len(rows) // 2} held-out scans, "
            f"equispaced lines with {report['lines']} calibration lines (where it says so 24), each way at its best of "
            f"a grid of Tikhonov strengths; {report['minutes']:g} minutes of training each on {report['threads']} "
            f"threads. Made by `{report['command']}`.")


PAGES = {"docs/command_line.md": {"defaults": lambda results: defaults()},
         "docs/results.md": {"quality": quality, "speed": speed, "minimum": minimum},
         "docs/calibration.md": {"calibration": calibration},
         "docs/networks.md": {"denoising": denoising, "learned": learned, "networks": networks, "federated": federated,
                              "learned_maps": learned_maps,
                              "catalogue": lambda results: catalogue()},
         "docs/scan_specific.md": {"scan_specific": scan_specific},
         "docs/series.md": {"series": series, "volumes": volumes, "dynamic": dynamic},
         "docs/signals.md": {"shuffling": shuffling},
         "docs/trajectories.md": {"spokes": spokes}}


def write(root=ROOT, results=RESULTS):
    """Replace every table that can be made; tell which could not."""
    for page, makers in PAGES.items():
        text = (root / page).read_text(encoding="utf-8")
        for name, make in makers.items():
            try:
                table = make(results)
            except FileNotFoundError as error:
                print(f"{name}: left as it is, no {Path(error.filename).name}")
                continue
            text, count = re.subn(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, t=table: f"{m[1]}{t}\n{m[2]}",
                                  text, flags=re.DOTALL)
            if count != 1:
                raise SystemExit(f"{page} has {count} places <!-- {name} -->...<!-- /{name} -->: one is needed")
            print(f"{name}: written")
        with atomic(root / page) as part:
            Path(part).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
