"""`compare`: several methods on the same k-space, on equal terms."""

from __future__ import annotations

import concurrent.futures
import contextlib
import importlib.metadata
import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from pisolve import _check, backend, io, metrics
from pisolve._version import __version__
from pisolve.evaluate import run
from pisolve.evaluate.analyses import analyse, check, explained
from pisolve.evaluate.comparison import DEFINITIONS, Comparison, Outcome, Setting
from pisolve.evaluate.crimes.crimes import Crime, Crimes
from pisolve.evaluate.plan import Plan, make
from pisolve.tuning import TRIALS

_FACTOR, _BASE = 40, 600 * 2**20  # bytes of a job: per byte of one slice's k-space, and of the libraries themselves


def compare(scans, methods=("zero-filled", "sense", "wavelet", "tv", "pnp"), *, accel=None, mask=None, seeds: int = 1,
            center_fraction: float | None = None, tune: str | None = "holdout", trials: int = TRIALS, reference=None,
            slices=None, analyses=(), folder=None, report=None, workers: int = 1, progress: bool = False) -> Comparison:
    """Compressed sensing, learned priors and networks on the same scans, on equal terms.

    Every method gets the same k-space, mask, coil maps and scale, and every prior that has a strength the same number
    of trials to find it, on the middle slice, by the same criterion. The tuning never sees the reference unless
    `tune="reference"` says so, and then the result says so too. Networks, SENSE and denoisers of one level have nothing
    to tune. A recipe's own solver and number of iterations are its own, and are listed.

    Images are compared by magnitude, without fitting a scale, with the reference: that of the scan, else the root sum
    of squares of its full k-space before undersampling. A scan that was undersampled when it was measured has none:
    methods are then judged by how well they predict withheld samples.

    Args:
        scans: a `Scan`, the path of one, k-space, a list of these, or a dict from names to them.
        methods: a list of words (`named.words()`), priors, recipes and networks, or a dict from names to them.
        accel: undersample to this acceleration, or to each of a list; None: take the scans as they were measured.
        mask: kind of pattern, "random" by default, or a list of kinds, see `Sampling`; or a bool array (ky, kx).
        seeds: number of random patterns for each acceleration and kind.
        center_fraction: share of lines in the full centre; None: fastMRI's.
        tune: "holdout", "sure", "discrepancy", "reference" (an oracle), see `tune`; None: strengths as they are.
        trials: most strengths that are tried for each prior.
        reference: image (slice, y, x) or (y, x) to compare a single scan with.
        slices: only these of every scan: an index, a list of them or a `slice`.
        analyses: further sections of the report, out of "stability" (minutes), "uncertainty" and "visibility", on the
            middle slice of the first scan under the first sampling.
        folder: where everything is kept: a comparison that was stopped or killed goes on there, and what is done is not
            done again. None: a temporary one.
        report: path of an HTML report, or None.
        workers: processes that run methods beside each other; each gets its share of the cores, and fewer are started
            where memory would not do. Times then are times beside the others.
        progress: show bars.

    Returns:
        `Comparison`.

    Raises:
        TypeError, ValueError: input that cannot be compared, or not on equal terms; a folder of another comparison.

    Example:
        pi.compare("scan.h5", ["wavelet", "tv", "pnp"], accel=4, folder="report")
    """
    plan = make(scans, methods, accel=accel, mask=mask, seeds=seeds, center_fraction=center_fraction, tune=tune,
                trials=trials, reference=reference, slices=slices)
    return execute(plan, analyses=analyses, folder=folder, report=report, workers=workers, progress=progress)


def rerun(file, *, scans=None, analyses=(), folder=None, report=None, workers: int = 1,
          progress: bool = False) -> Comparison:
    """Run a comparison again from the comparison.json that it wrote: the same bits on the same machine.

    Args:
        file: comparison.json, or the folder that it is in.
        scans: name -> scan, for those that were not read from files.
        analyses, folder, report, workers, progress: as for `compare`.

    Raises:
        FileNotFoundError, ValueError: no comparison, or one with a method that cannot be written down.
    """
    path = Path(file) / "comparison.json" if Path(file).is_dir() else Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        plan = json.loads(path.read_text())["about"]["plan"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no comparison: {error!r}") from error
    if plan is None:
        raise ValueError(f"{path} has a method that was made in Python: run compare again")
    return execute(Plan.from_dict(plan, scans), analyses=analyses, folder=folder, report=report, workers=workers,
                   progress=progress)


def execute(plan: Plan, *, analyses=(), folder=None, report=None, workers: int = 1,
            progress: bool = False) -> Comparison:
    """Run a plan; see `compare`."""
    workers = _check.integer("workers", workers, low=1)
    if report is not None:
        _check.extra("jinja2", "report")  # before the work, not after it
        _check.choice("the suffix of report", Path(report).suffix, (".html",))
    analyses = check(analyses)
    with _kept(folder, plan) as work:
        _run(plan, work, workers, progress)
        result = gather(plan, work)
        result = result.with_sections(*explained(result), *analyse(analyses, plan, work, result, progress))
    if folder is not None:
        result.save(folder)
    if report is not None:
        result.to_html(report)
    return result


@contextlib.contextmanager
def _kept(folder, plan) -> Iterator[Path]:
    """The folder for the parts, checked to be of this plan; a temporary one where none is asked for."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="pisolve-") as name:
            yield Path(name)
        return
    work = Path(folder) / "parts"
    work.mkdir(parents=True, exist_ok=True)
    stamp, now = work / "plan.sha256", plan.fingerprint()
    if stamp.exists() and stamp.read_text() != now:
        raise ValueError(f"{folder} holds another comparison, of other scans, methods or settings: give a new folder")
    with io.atomic(stamp) as temporary:
        temporary.write_text(now)
    yield work


def _jobs(plan, work) -> list:
    return [run.Job(work, k, m, recipe, plan.tune if plan.tuned(name) else None, plan.trials)
            for k in range(len(plan.settings())) for m, (name, recipe) in enumerate(plan.methods.items())]


def _run(plan, work, workers, progress):
    from tqdm import tqdm

    counts = [len(s.kspace) if s.kspace.ndim == 4 else 1 for s in plan.scans.values() for _ in plan.samplings]
    jobs = _jobs(plan, work)
    total = sum(counts[j.setting] + (j.tune is not None) for j in jobs)
    left = [j for j in jobs if j.missing(counts[j.setting])]
    done = total - sum(len(j.missing(counts[j.setting])) + (j.tune is not None) for j in left)
    for k in sorted({j.setting for j in left}):
        run.settle(plan, work, k)
    workers = min(workers, len(left) or 1, _fitting(plan))
    with tqdm(total=total, initial=done, desc="compare", unit="image", disable=not progress) as bar:
        if workers == 1:
            for job in left:
                run.do(job, bar.update, progress)
            return
        with _share(workers), concurrent.futures.ProcessPoolExecutor(
                workers, multiprocessing.get_context("spawn"), _begin, (max(1, backend.threads() // workers),)) as pool:
            running = {pool.submit(run.do, job): job for job in left}
            for finished in concurrent.futures.as_completed(running):
                finished.result()
                job = running[finished]
                bar.update(counts[job.setting] + (job.tune is not None))


def _fitting(plan) -> int:
    """How many jobs the free memory holds."""
    slices = max(s.kspace.nbytes / (len(s.kspace) if s.kspace.ndim == 4 else 1) for s in plan.scans.values())
    volume = max(s.kspace.nbytes for s in plan.scans.values())
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1
    return max(1, int(0.7 * free / (_BASE + 3 * volume + _FACTOR * slices)))


@contextlib.contextmanager
def _share(workers):
    """The environment that other processes start in: their share of the threads."""
    before = os.environ.get("PISOLVE_THREADS")
    os.environ["PISOLVE_THREADS"] = str(max(1, backend.threads() // workers))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PISOLVE_THREADS"]
        else:
            os.environ["PISOLVE_THREADS"] = before


def _begin(threads):
    """The first act of another process: torch takes no more than its share of the cores."""
    import torch

    torch.set_num_threads(threads)


def gather(plan: Plan, work: Path) -> Comparison:
    """The comparison of what lies in a folder."""
    settings, outcomes, suspected = [], {}, {}
    for k, (name, _) in enumerate(plan.settings()):
        with np.load(work / f"{k:03d}" / "setting.npz") as file:
            about = json.loads(str(file["about"]))
            pattern, reference = file["pattern"], file.get("reference")
        settings.append(Setting(about["scan"], about.get("accel"), about.get("mask"), about.get("seed"), pattern,
                                reference, about["kind"], tuple(about["shape"]), about["scale"],
                                tuple(about["warnings"]), about["noise"], about["noise_from"]))
        found = about["crimes"]
        suspected.setdefault(name, Crimes(tuple(Crime(**c) for c in found["found"]), tuple(found["checks"])).section())
    for job in _jobs(plan, work):
        name = list(plan.methods)[job.method]
        outcomes[job.setting, name] = _outcome(job, name, settings[job.setting])
    try:
        written, notes = plan.to_dict(), []
    except ValueError as error:
        written, notes = None, [f"this comparison cannot be run again from its file: {error}"]
    if plan.tune == "reference":
        notes.append("strengths were chosen by the reference, an oracle's choice: these numbers cannot be had in "
                     "practice")
    about = {"pisolve": __version__, "tune": plan.tune, "trials": plan.trials, "plan": written,
             "versions": {n: importlib.metadata.version(n) for n in ("numpy", "scipy", "sigpy", "torch")},
             **{n: repr(v) for n, v in plan.common.items() if v},
             "definitions": {m: DEFINITIONS[m] for o in outcomes.values() for m in o.values if m in DEFINITIONS}}
    sections = [replace(s, title=f"{s.title}: {name}", warnings=[]) for name, s in suspected.items()]  # told already
    return Comparison(tuple(settings), {n: _words(r) for n, r in plan.methods.items()}, outcomes, about, tuple(notes),
                      tuple(sections))


def _words(recipe) -> str:
    if recipe is None:
        return "A^H y, weighted by the coil maps"
    if recipe.network is not None:
        return f"network {type(recipe.network).__name__}"
    method = "" if type(recipe.method).__name__ == "Sense" else f"{recipe.method!r}, "
    solver = "" if recipe.solver is None else f" by {recipe.solver!r}"
    return f"{method}{recipe.prior!r}{solver}, at most {recipe.max_iter} iterations"


def _outcome(job, name, setting) -> Outcome:
    images, parts, residual = [], [], None
    for z in range(setting.shape[0]):
        with np.load(job.slice_file(z)) as file:
            images.append(file["image"])
            parts.append(json.loads(str(file["about"])))
            if z == setting.shape[0] // 2:
                residual = file.get("residual")
    images = np.stack(images)
    values, slices = judged(setting.reference, images)
    chis = [p["chi"] for p in parts]
    if None not in chis:
        values["chi"], slices["chi"] = float(np.sqrt(np.mean(np.square(chis)))), chis
    tuning, holdout = (_read(job, kind) for kind in ("tuning", "holdout"))
    if holdout is not None:
        for kind, one, each in (("holdout", "error", "slices"), ("holdout_image", "image_error", "image_slices")):
            if holdout[one] is not None:
                values, slices = {kind: holdout[one], **values}, {kind: holdout[each], **slices}
    strength = "" if tuning is None else f"{tuning['kind']} = {tuning['strength']:.3g}"
    memory = [p["memory_mb"] for p in parts if p["memory_mb"] is not None]
    worst = min((p["status"] for p in parts), key=run.WORST.index)
    return Outcome(job.setting, name, images, worst, tuple(p["iterations"] for p in parts),
                   tuple(p["seconds"] for p in parts), max(memory, default=None), values, slices, strength, tuning,
                   parts[len(parts) // 2]["history"], parts[0]["solver"], residual)


def _read(job, kind) -> dict | None:
    """What a job has written beside its images."""
    path = job.file(f"{kind}.json")
    return json.loads(path.read_text()) if path.exists() else None


def judged(reference, images) -> tuple[dict, dict]:
    """({metric: value over the volume}, {metric: one value a slice}) against a reference; empty without one.

    Slices are judged with the volume's maximum as range, so that they can be compared with each other.
    """
    if reference is None:
        return {}, {}
    body, peak = metrics.body(reference), float(reference.max())
    values = {"psnr_body": metrics.psnr(reference, images, region=body), **metrics.all(reference, images),
              "hfen": metrics.hfen(reference, images)}
    slices = {name: [] for name in values}
    for truth, image, inside in zip(reference, images, body):
        empty = not truth.any() or not inside.any()
        one = {} if empty else {
            "psnr_body": metrics.psnr(truth, image, data_range=peak, region=inside), "nmse": metrics.nmse(truth, image),
            "psnr": metrics.psnr(truth, image, data_range=peak), "hfen": metrics.hfen(truth, image),
            "ssim": metrics.ssim(truth, image, data_range=peak)}
        for name in slices:
            slices[name].append(one.get(name, float("nan")))
    return values, slices
