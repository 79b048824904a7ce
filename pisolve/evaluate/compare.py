"""`compare`: several methods on the same k-space, on equal terms."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import pickle
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pisolve import _check, backend
from pisolve._types import Axes, PathLike
from pisolve.evaluate import run
from pisolve.evaluate.analyses import analyse, check, explained
from pisolve.evaluate.budget import decided
from pisolve.evaluate.comparison import Comparison
from pisolve.evaluate.folder import parts_of
from pisolve.evaluate.gather import gather
from pisolve.evaluate.job import jobs_of
from pisolve.evaluate.perceptual import judge
from pisolve.evaluate.plan import Plan, make
from pisolve.evaluate.quantities import of_images
from pisolve.io.door import json_of, mapping, reading
from pisolve.workers.processes import begin
from pisolve.workers.sizes import available
from pisolve.workers.spread import spread

_FACTOR, _BASE = 40, 600 * 2**20  # bytes of a job: per byte of one slice's k-space, and of the libraries themselves


def compare(scans: Any, methods: Any = ("zero-filled", "sense", "wavelet", "tv", "pnp"), *,
            accel: float | Sequence[float] | None = None, mask: Any = None, seeds: int = 1,
            center_fraction: float | None = None, tune: str | None = "holdout", trials: int | None = None,
            minutes: float | None = None, reference: Any = None, slices: Any = None, select: Any = None,
            axes: Axes | None = None,
            each: Axes | None = None, vary: Any = None, spokes: Any = None, analyses: Any = (),
            lpips: Any = None, signal: Any = None, folder: PathLike | None = None, report: Any = None, workers: int = 1,
            client: Any = None, progress: bool = False) -> Comparison:
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
        accel: undersample to this acceleration, or to each of a list, in which a pair (2, 2) is for kz and ky; None:
            take the scans as they were measured.
        mask: kind of pattern, "random" by default, or a list of kinds, see `Sampling`; or a bool array as for `Scan`.
        seeds: number of random patterns for each acceleration and kind.
        center_fraction: share of lines in the full centre; None: fastMRI's.
        tune: "holdout", "sure", "discrepancy", "reference" (an oracle), see `tune`; None: strengths as they are.
        trials: most strengths that are tried for each prior, 5 at least; None: 12. Each is solved on 3 folds, so that a
            prior takes up to 36 times as long as one image: `tune=None` or `minutes` are quicker.
        minutes: the time it may take, instead of `trials`: each method is timed once, and what is left beside the
            images decides the strengths for each prior and the folds that judge them, from 12 and 3 down to 5 and 1,
            the same for all. Analyses are not counted. The decision is kept, so that the same comparison goes on, and
            `rerun` repeats it.
        reference: image with the axes of the scan's, such as (slice, y, x) or (y, x), to compare a single scan with.
        slices: only these of every scan: an index, a list of them or a `slice`.
        select: the same for any axis that is not encoded, such as {"slice": slice(3, 5), "frame": slice(0, 8)}.
        axes: names of the axes of k-space as it stands in the files or arrays; None: as they say themselves.
        each: the axes along which scans are taken apart, as for `Recipe`, the same for all methods; None: as their
            recipes say, "slice" for words, priors and networks.
        vary: the axis whose parts have a pattern each, such as "frame", see `Sampling`.
        spokes: of a simulated trajectory in place of `accel`, a number or a list of them; `mask` is "radial" then where
            nothing is said.
        analyses: further sections of the report, out of "stability" (minutes), "uncertainty", "visibility" and
            "gfactor" (of linear methods), "posterior" (minutes), on the middle slice of the first scan under the first
            sampling, and "realism" of all of them, which comes by itself where a method is a network that was trained
            against a critic.
        lpips: (network, weights) as `metrics.lpips` takes them, or the paths of torchvision's AlexNet and of LPIPS's
            `alex.pth`: LPIPS is one of the metrics then, where there is a reference.
        signal: maps of a signal model from the images of each method, compared by bias and precision in further
            sections: a word such as "t2", a `signals.Model`, or `evaluate.MapsOf("t2", times=..., regions=labels)`.
        folder: where everything is kept: a comparison that was stopped or killed goes on there, and what is done is not
            done again. None: a temporary one.
        report: path of an HTML report, or None.
        workers: processes that run methods beside each other; each gets its share of the cores, and fewer are started
            where memory would not do. Times then are times beside the others.
        client: a cluster instead, as for `recon_many`; its workers must see `folder` under the same path.
        progress: show bars.

    Returns:
        `Comparison`.

    Raises:
        TypeError, ValueError: input that cannot be compared, or not on equal terms; a folder of another comparison.
        BlockingIOError: another run works in the folder; it names the process.

    Warns:
        UserWarning: a file that is kept in the folder is damaged; it is made again. `minutes` are too few even for the
            fewest trials.

    Example:
        pi.compare("scan.h5", ["wavelet", "tv", "pnp"], accel=4, folder="report")
    """
    plan = make(scans, methods, accel=accel, mask=mask, seeds=seeds, center_fraction=center_fraction, tune=tune,
                trials=trials, minutes=minutes, reference=reference, slices=slices, select=select, axes=axes,
                each=each, vary=vary, spokes=spokes)
    return execute(plan, analyses=analyses, lpips=lpips, signal=signal, folder=folder, report=report, workers=workers,
                   client=client, progress=progress)


def rerun(file: PathLike, *, scans: Any = None, analyses: Any = (), lpips: Any = None, signal: Any = None,
          folder: PathLike | None = None, report: Any = None, workers: int = 1, client: Any = None,
          progress: bool = False) -> Comparison:
    """Run a comparison again from the comparison.json that it wrote: the same bits on the same machine.

    Args:
        file: comparison.json, or the folder that it is in.
        scans: name -> scan, for those that were not read from files.
        analyses, lpips, signal, folder, report, workers, client, progress: as for `compare`.

    Raises:
        FileNotFoundError, ValueError: no comparison, or one with a method that cannot be written down.
    """
    return execute(planned(file, scans), analyses=analyses, lpips=lpips, signal=signal, folder=folder, report=report,
                   workers=workers, client=client, progress=progress)


def planned(file, scans=None) -> Plan:
    """The plan of a comparison.json; see `rerun`."""
    path = Path(file) / "comparison.json" if Path(file).is_dir() else Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    found = json_of(path)
    with reading(path, "a comparison"):
        try:
            plan = found["about"]["plan"]
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{path} holds no comparison: {error!r}") from error
        if plan is None:
            raise ValueError(f"{path} has a method that was made in Python: run compare again")
        before, plan = mapping(path, plan, "the plan").get("fingerprint"), Plan.from_dict(plan, scans)
        changed = plan.fingerprint != before
    if changed:
        warnings.warn(f"this is not quite the comparison of {path}: a scan, weights or the version changed since",
                      stacklevel=_check.outside())
    return plan


def execute(plan: Plan, *, analyses=(), lpips=None, signal=None, folder=None, report=None, workers: int = 1,
            client=None, progress: bool = False) -> Comparison:
    """Run a plan; see `compare`."""
    workers = _check.integer("workers", workers, low=1)
    if client is not None and workers > 1:
        raise ValueError(f"workers={workers} beside client, which has its own: leave it out")
    if report is not None:  # before the work, not after it
        _check.extra("jinja2", "report")
        _check.choice("the suffix of report", Path(report).suffix, (".html",))
        if not Path(report).resolve().parent.is_dir() and Path(report).parent != Path(folder or "."):
            raise FileNotFoundError(f"the folder of {report} does not exist: make it first")
    analyses, signal = check(analyses), of_images.check(signal, plan)
    further = judge(lpips, [scan.image_shape[-2:] for scan in plan.scans.values()])
    start = time.perf_counter()
    with parts_of(folder, plan) as work:
        plan = decided(plan, work, start, workers)
        _run(plan, work, workers, client, progress)
        result = gather(plan, work, further)
        result = result.with_sections(*of_images.mapped(signal, plan, result), *explained(result))
        if folder is not None:
            result.save(folder)
        result = result.with_sections(*analyse(analyses, plan, work, result, progress))
    if report is not None:
        result.to_html(report)
    return result


def _run(plan, work, workers, client, progress):
    from tqdm import tqdm

    settings = plan.settings()
    for k in range(len(settings)):
        run.settle(plan, work, k)
    jobs = jobs_of(plan, work.absolute())  # as other processes see it
    counts = {(j.setting, j.method): j.count(plan.scans[settings[j.setting][0]]) for j in jobs}
    left = [j for j in jobs if j.unfinished(counts[j.setting, j.method])]
    total = sum(counts[j.setting, j.method] + (j.tune is not None) for j in jobs)
    done = total - sum(len(j.missing(counts[j.setting, j.method])) + (j.tune is not None) for j in left)
    workers = min(workers, len(left) or 1, _fitting(plan))
    with tqdm(total=total, initial=done, desc="compare", unit="image", disable=not progress) as bar:
        if client is not None:
            _picklable(left)
            for k, _ in spread(run.do, left, client):
                bar.update(counts[left[k].setting, left[k].method] + (left[k].tune is not None))
            return
        if workers == 1:
            for job in left:
                run.do(job, bar.update, progress)
            return
        _picklable(left)
        share = max(1, backend.threads() // workers)
        with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin,
                                                    (share,)) as pool:
            running = {pool.submit(run.do, job): job for job in left}
            try:
                for finished in concurrent.futures.as_completed(running):
                    finished.result()
                    job = running[finished]
                    bar.update(counts[job.setting, job.method] + (job.tune is not None))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):  # what is done is on the disk, the rest is begun again
                    for child in list((pool._processes or {}).values()):
                        child.terminate()
                pool.shutdown(cancel_futures=True)
                raise


def _picklable(jobs) -> None:
    """Refuse methods that cannot be sent to another process, before any is started."""
    for job in jobs:
        try:
            pickle.dumps(job)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"workers > 1 and client need methods that can be sent to another process: {error}; give "
                             "workers=1") from error


def _fitting(plan) -> int:
    """How many jobs the free memory holds."""
    slices = max(s.kspace.nbytes / len(s.labels()) for s in plan.scans.values())
    volume = max(s.kspace.nbytes for s in plan.scans.values())
    free = available()
    return 1 if free is None else max(1, int(0.7 * free / (_BASE + 3 * volume + _FACTOR * slices)))
