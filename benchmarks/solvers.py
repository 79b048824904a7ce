"""Time to 1e-3 and 1e-5 of the minimum: every solver for each prior, SigPy and BART in the same run, 2 threads.

    OMP_NUM_THREADS=2 python benchmarks/solvers.py [--only tv] [--case invivo] [--repeats 3]

The gap is objective / minimum - 1, each program by its own objective: SigPy's and BART's wavelets differ from ours at
the border, SigPy's TV is anisotropic (its row is compared with ours of that kind), BART's takes backward differences
(ours of the mirrored image). The minimum is the lowest value of long runs. First the number of iterations to the gap is
found, then whole calls of that many iterations are timed, programs taking turns, medians. BART's time is that of its
process, files included, with the best of three ADMM penalties; SigPy's includes the making of its app.
Series (LLR) and TGV: pisolve's solvers only; BART's TGV is another functional (anisotropic first order), its LLR scales
lambda by the block.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import sigpy.mri
from keep import bart, keep, timed

import pisolve as pi
from pisolve import backend, phantom
from pisolve.io import atomic, cfl
from pisolve.solvers import choose

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PISOLVE_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "benchmarks" / "results" / "solvers.json"
GAPS = (1e-3, 1e-5)
LAMS = {"tikhonov": 1e-2, "wavelet": 2e-3, "tv": 2e-3, "tv-anisotropic": 2e-3, "tgv": 2e-3, "llr": 2e-2}
PRIORS = {"tikhonov": pi.Tikhonov(), "wavelet": pi.Wavelet(), "tv": pi.TV(), "tv-anisotropic": pi.TV(isotropic=False),
          "tgv": pi.TGV(), "llr": pi.LLR()}
SPLIT = [pi.ADMM(), pi.ADMM(inner=4), pi.ADMM(relaxation=1.0), pi.ADMM(balance=True), pi.PDHG(),
         pi.PDHG(backtracking=True)]
PROX = [pi.POGM(), pi.POGM(restart=False), pi.FISTA(), pi.FISTA(restart=False), pi.FISTA(backtracking=True),
        pi.ADMM(inner=4), pi.PDHG()]
SOLVERS = {"tikhonov": [pi.CG(), pi.LSQR(), pi.LSMR(), pi.GMRES(), pi.POGM(), pi.FISTA(), pi.GradientDescent()],
           "wavelet": PROX, "tv": SPLIT, "tv-anisotropic": SPLIT, "tgv": SPLIT, "llr": PROX}


class Case:
    """A scan at 4x random lines, maps from its centre, k-space scaled so that |A^H y| has a 99th percentile of 1."""

    def __init__(self, kspace, mask, folder):
        self.mps = pi.calib.espirit(kspace * mask, mask=mask)
        self.A = pi.linops.sense(self.mps, mask)
        y = kspace * mask
        self.y = (y / np.percentile(abs(self.A.H(y)), 99)).astype(np.complex64)
        self.weights, self.folder = mask.astype(np.float32), Path(folder)
        cfl.write(self.folder / "y", self.y, coils=True)
        cfl.write(self.folder / "mps", self.mps, coils=True)

    def data(self, x):
        return 0.5 * float(np.linalg.norm((self.A(x.astype(np.complex64)) - self.y).astype(np.complex128)) ** 2)

    def bart(self, *words):
        bart(self.folder, *words)
        return cfl.read_image(self.folder / "x").reshape(self.A.ishape)


class Series(Case):
    """A simulated multi-coil cine at 4x, every frame with its own lines."""

    def __init__(self):
        frames = np.load(DATA / "volumes" / "cardiac_cine.npy")[::2].astype(np.complex64)
        n = frames.shape[-1]
        mps = phantom.brain((n, n), 6).mps
        mps = (mps / np.sqrt((abs(mps) ** 2).sum(0))).astype(np.complex64)
        masks = np.stack([pi.masks.random((n, n), 4, seed=s) for s in range(len(frames))])
        self.A = pi.linops.sense(np.broadcast_to(mps, (len(frames), *mps.shape)), masks)
        y = self.A(frames / np.percentile(abs(frames), 99))
        rng = np.random.default_rng(0)
        noise = 0.02 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape)) * (y != 0)
        self.y = (y + noise).astype(np.complex64)


def objective(case, prior, state, problem):
    """In double precision; of a prior with further variables at the solver's own."""
    w = state.aux.get("x", state.x) if problem.splitting.domain is not None else None
    if w is not None:
        return case.data(state.x) + problem.splitting.f.value(problem.splitting.G(w))
    return case.data(state.x) + prior.value(state.x.astype(np.complex128))


def curve(case, prior, solver, most, seconds):
    """[objective after each step], at most so many steps or seconds."""
    problem = pi.Problem(case.A, case.y, prior)
    values, start = [], time.perf_counter()
    for state in pi.iterate(solver, problem):
        values.append(objective(case, prior, state, problem))
        if state.k >= most or time.perf_counter() - start > seconds:
            return values[1:]


def first(values, goal):
    return next((k for k, v in enumerate(values, 1) if v <= goal), None)


def reach(values, minimum):
    """{gap: steps} of a dict of values by number of steps."""
    return {gap: min((n for n, v in values.items() if v <= minimum * (1 + gap)), default=None) for gap in GAPS}


def sigpy_row(case, name, lam):
    """(steps to each gap, function of steps) of SigPy's app, judged by its own objective."""
    options = {"weights": case.weights, "show_pbar": False}
    if name == "tikhonov":
        make = lambda n: sigpy.mri.app.SenseRecon(case.y, case.mps, lamda=lam, tol=0, max_iter=n, **options)  # noqa: E731
        value, steps = lambda x: case.data(x) + lam / 2 * float(np.linalg.norm(x)) ** 2, 100
    elif name == "wavelet":
        W = sigpy.linop.Wavelet(case.A.ishape)
        make = lambda n: sigpy.mri.app.L1WaveletRecon(case.y, case.mps, lam, max_iter=n, **options)  # noqa: E731
        value, steps = lambda x: case.data(x) + lam * float(abs(W(x)).sum(dtype=float)), 800
    else:
        make = lambda n: sigpy.mri.app.TotalVariationRecon(case.y, case.mps, lam, max_iter=n, **options)  # noqa: E731
        value, steps = lambda x: case.data(x) + lam * pi.TV(isotropic=False).value(x), 600
    app, values = make(steps), {}
    for k in range(1, steps + 1):
        app.alg.update()
        if k < 60 or k % 5 == 0:
            values[k] = value(app.x)
    return values, lambda n: make(n).run()


def bart_row(case, name, lam):
    """The same of BART's pics; for TV with the best of three penalties."""
    mirrored = lambda x: np.roll(x[::-1, ::-1], 1, (0, 1))  # noqa: E731
    if name == "tikhonov":
        options, marks = {"": ["-l2", f"-r{lam}"]}, [*range(4, 31), 60]
        value = lambda x: case.data(x) + lam / 2 * float(np.linalg.norm(x)) ** 2  # noqa: E731
    elif name == "wavelet":
        options, marks = {"": [f"-RW:3:0:{lam}", "-n"]}, [20, 30, *range(40, 81, 4), *range(90, 200, 10), 300, 1000]

        def value(x):
            case.bart("wavelet", "3", "x", "w")
            return case.data(x) + lam * float(abs(cfl.read(case.folder / "w")).sum(dtype=float))
    else:
        options = {u: [f"-RT:3:0:{lam}", f"-u{u}"] for u in (0.5, 0.1, 0.02)}
        marks = [5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200]
        value = lambda x: case.data(x) + lam * pi.TV().value(mirrored(x).astype(np.complex128))  # noqa: E731
    run = lambda words, n: case.bart("pics", "-S", "-w1", *words, f"-i{n}", "y", "mps", "x")  # noqa: E731
    best, least = None, np.inf
    for words in options.values():
        values = {n: value(run(words, n)) for n in marks}
        quick = first([values[n] for n in marks], min(min(values.values()), least) * 1.001) or 99
        if best is None or quick < best[0]:
            best = (quick, values, lambda n, words=words: run(words, n), words)
        least = min(least, *values.values())
    return best[1], best[2], best[3], least


def task(case, name, repeats, others, seconds):
    """The row of one prior in one case."""
    prior, programs = LAMS[name] * PRIORS[name], {}
    curves = {repr(s): curve(case, prior, s, 400, seconds) for s in SOLVERS[name]}
    long = SOLVERS[name][0] if name != "wavelet" else pi.FISTA(restart=False)
    minimum = min(min(map(min, curves.values())), min(curve(case, prior, long, 1500, 4 * seconds)))
    automatic = repr(choose(pi.Problem(case.A, case.y, prior)))
    row = {"lam": LAMS[name], "minimum": minimum, "automatic": automatic, "solvers": {}, "gaps": {}}

    def ours(solver, n):
        return lambda: pi.solve(case.A, case.y, prior, solver, max_iter=n, tol=0)

    for solver in SOLVERS[name]:
        steps = reach(dict(enumerate(curves[repr(solver)], 1)), minimum)
        row["solvers"][repr(solver)] = {"iterations": {f"{g:g}": n for g, n in steps.items()}}
        programs.update({(repr(solver), gap): ours(solver, n) for gap, n in steps.items() if n})
    if others and name != "tv":
        values, run = sigpy_row(case, name, LAMS[name])
        low = minimum if name == "tv-anisotropic" else min(values.values())
        steps = reach(values, low)
        row["sigpy"] = {"iterations": {f"{g:g}": n for g, n in steps.items()},
                        "last gap": min(values.values()) / low - 1}
        programs.update({("sigpy", gap): lambda n=n: run(n) for gap, n in steps.items() if n})
        if not steps[GAPS[0]]:
            programs["sigpy", GAPS[0]] = lambda: run(60)  # a tenth of the 600 that were not enough
            row["sigpy"]["lower bound"] = 10
    if others and name != "tv-anisotropic" and shutil.which("bart"):
        values, bart, words, low = bart_row(case, name, LAMS[name])
        steps = reach(values, low)
        row["bart"] = {"iterations": {f"{g:g}": n for g, n in steps.items()}, "options": " ".join(words)}
        programs.update({("bart", gap): lambda n=n: bart(n) for gap, n in steps.items() if n})
    times = timed(programs, repeats)
    for (who, gap), t in times.items():
        entry = row["solvers"][who] if who in row["solvers"] else row[who]
        entry.setdefault("seconds", {})[f"{gap:g}"] = t * entry.get("lower bound", 1)
    for gap in map("{:g}".format, GAPS):
        reached = {s: e["seconds"][gap] for s, e in row["solvers"].items() if gap in e.get("seconds", {})}
        if reached:
            best = min(reached, key=reached.get)
            row["gaps"][gap] = {"fastest": best, "seconds": reached[best], **{
                f"{who} / ours": round(row[who]["seconds"][gap] / reached[best], 2)
                for who in ("sigpy", "bart") if gap in row.get(who, {}).get("seconds", {})}}
    row["curves"] = {s: [float(f"{v / minimum - 1:.3g}") for v in values[:200]] for s, values in curves.items()}
    return row


def cases(folder):
    """name -> (function that makes it, names of its priors)."""
    def brain():
        kspace = phantom.brain((320, 320), 12, noise=0.01, seed=0).kspace
        return Case(kspace, pi.masks.random(kspace.shape[-2:], 4, seed=0), folder)

    def invivo():
        kspace = pi.io.load(DATA / "kspace" / "invivo_brain_cimax_16ch.h5").select(0).kspace[0]
        return Case(kspace, pi.masks.random(kspace.shape[-2:], 4, 0.125, seed=0), folder)

    still = ("tikhonov", "wavelet", "tv", "tv-anisotropic", "tgv")
    out = {"12x320x320": (brain, still)}
    if DATA.exists():
        out |= {"invivo 16x128x128": (invivo, still), "cine 15x6x144x144": (Series, ("llr",))}
    return out


def draw(report, path):
    """Convergence of every solver, a panel a prior and case."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = [(case, name, row) for case, rows in report["cases"].items() for name, row in rows.items()]
    columns, rows = 4, -(-len(panels) // 4)
    drawn, axes = plt.subplots(rows, columns, figsize=(4.4 * columns, 3.3 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(panels):]:
        ax.set_axis_off()
    for ax, (case, name, row) in zip(axes.flat, panels):
        for solver, values in row["curves"].items():
            ax.semilogy(np.arange(1, len(values) + 1), np.maximum(values, 1e-7), lw=1.2, label=short(solver))
        ax.set_ylim(3e-7, 3)
        ax.set_title(f"{name}, {case}", fontsize=9)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=6)
    for ax in axes[-1]:
        ax.set_xlabel("iteration")
    with atomic(path) as part:
        drawn.savefig(part, dpi=110)


def short(solver: str) -> str:
    """A solver's repr without the arguments that are None or a default."""
    name, _, arguments = solver.rstrip(")").partition("(")
    default = set(repr(getattr(pi, name)())[len(name) + 1:-1].split(", "))
    return f"{name}({', '.join(a for a in arguments.split(', ') if a not in default)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="this prior only, put into the results that are there")
    parser.add_argument("--case", default="", help="cases whose name holds this, put into the results that are there")
    parser.add_argument("--alone", action="store_true", help="without SigPy and BART")
    parser.add_argument("--seconds", type=float, default=12, help="most for one convergence curve")
    parser.add_argument("--picture", default=str(ROOT / "docs" / "solvers.png"))
    args = parser.parse_args()
    report = {"command": "OMP_NUM_THREADS=2 python benchmarks/solvers.py", "threads": backend.threads(), "cases": {}}
    if (args.only or args.case) and OUT.exists():
        report = json.loads(OUT.read_text())
    with tempfile.TemporaryDirectory() as folder:
        for title, (make, names) in cases(folder).items():
            if args.case not in title:
                continue
            case = make()
            for name in names:
                if args.only in ("", name):
                    others = not args.alone and name not in ("tgv", "llr")
                    row = task(case, name, args.repeats, others, args.seconds)
                    report["cases"].setdefault(title, {})[name] = row
                    print(title, name, json.dumps(row["gaps"]), flush=True)
                    keep(OUT, report)
    draw(report, args.picture)


if __name__ == "__main__":
    main()
