"""`tune`: which strength of a prior fits this data."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pisolve import backend, io
from pisolve._check import array, choice, integer, number, outside, renamed
from pisolve._hints import instead
from pisolve._words import CRITERIA
from pisolve.backend import to_numpy
from pisolve.prepare import EACH, Espirit, Maps, models_of, prepare
from pisolve.priors import Prior
from pisolve.problem import Problem
from pisolve.solvers import Solver
from pisolve.solvers.probe import probe
from pisolve.tuning import budget, scores
from pisolve.tuning.ahead import ahead
from pisolve.tuning.data import Data
from pisolve.tuning.noise import noise_level, residual_noise
from pisolve.tuning.result import Tuning
from pisolve.tuning.search import minimise, root
from pisolve.tuning.strength import checked, family

FOLDS, SHARE = 3, 0.25  # holdout


@renamed(method="criterion", espirit="maps")
def tune(data: Any, prior: Prior | None = None, *, criterion: str = "holdout", strengths: Any = None,
         solver: Solver | None = None, noise: float | None = None, reference: Any = None, max_iter: int = 100,
         tol: float = 1e-4, seed: int = 0, refine: int = 4, slice: int | None = None, maps: Maps | None = None,
         each: Sequence[str] = EACH, check: bool = True, progress: bool = False,
         minutes: float | None = None, client: Any = None) -> Tuning:
    """Choose the strength of a prior: lam, or the sigma of `PnP`.

    A grid of strengths is tried from the strongest down, each by a whole run with these `solver`, `max_iter` and `tol`,
    so that what is judged is what a reconstruction with them gives; then golden sections in the logarithm narrow the
    minimum down. Every run starts anew: no strength sees another's image, and unfinished runs are judged as such.

    * "holdout": a seeded quarter of the samples outside the full centre (lines where the sampling is in lines, else
      points; in a series whose frames have their own masks those of each frame by themselves) is withheld and
      predicted by the image of the rest; three folds. Needs no noise level.
    * "sure": Stein's unbiased estimate of the risk in the image, restricted to what the data determine (generalised
      SURE with the filter A^H A / (A^H A + 0.003 L)), the divergence by one seeded probe and a finite difference.
      Needs the noise level. Two runs a strength. It does not see errors in what the data do not determine: good with
      several coils (8 and 16 at 3x to 5x were measured); with a single coil, undersampled, prefer "holdout".
    * "discrepancy": ||A x - y||^2 = 2 sigma^2 m for m complex samples (Morozov), by bisection. Needs the noise level,
      and operator and maps without error; the image comes out too smooth, as known of it, since the residual of a good
      image is smaller than the noise.
    * "reference": NMSE of magnitudes within the body of a reference. An oracle: the truth was seen, so its images
      prove nothing.

    Holdout and sure count errors as magnitudes see them: the part in phase with the object, inside the body, both
    known from the full centre of k-space.

    Args:
        data: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx), prepared as by `Recipe`
            (mask, maps, scale): the strength is then in the recipe's units, of images with a 99th percentile of 1. Or a
            `Problem`, whose units it then is in. Or a result, whose scan, as it was solved, and prior are taken.
        prior: of any strength: a factor it has does not count. PnP(D, sigma): sigma is chosen; lam * RED(D, sigma):
            lam. Or a function strength -> prior. None: that of the problem.
        criterion: see above.
        strengths: at least 3 to try; None: 9 from 1e-4 to 1e-1, for sigma from 1e-2 to 0.3 (with a `Problem` times its
            own level), continued by up to 4 where the best is at an end.
        solver, max_iter, tol: as for `solve`: those of the reconstruction to come. 30 iterations suit PnP.
        noise: standard deviation of the real and of the imaginary part of a k-space sample, in the data's own units;
            None: estimated, the lower of `tuning.residual_noise` and `tuning.noise_level`.
        reference: for "reference", the image to compare with, real or complex; None: that of the scan.
        seed: of the withheld samples, or of the probe.
        refine: golden sections (bisections for "discrepancy") after the grid.
        slice: which slice of a volume; None: the middle one. A slice that holds nothing gives way to the nearest that
            does.
        maps: how maps are made where the scan has none.
        each: the axes along which the scan is taken apart, as for `Recipe`: the middle part is tuned.
        check: as for `solve`, once before the first run.
        progress: show bars.
        minutes: the time that the search may take: one run is timed, and what fits is done, from 12 strengths judged by
            three folds down to 5 judged by one. None: as many as the search wants.
        client: a cluster or an executor over which the runs are made, as for `recon_many`, all those of the grid beside
            each other, then the folds of each further strength; the same bits. Problem and prior are sent to them.

    Returns:
        `Tuning`: the prior, its strength, the curve, and a status: "ok", "edge", "unreachable" or "failed".

    Raises:
        TypeError, ValueError: as `Recipe` and `Problem` do; a prior without a strength; no reference; a noise level
            that cannot be estimated; too few samples to withhold some.

    Reference:
        Ramani et al., IEEE Trans Image Process 17 (2008) 1540 (Monte-Carlo SURE), and 21 (2012) 3659 (MRI, projected);
        Eldar, IEEE Trans Signal Process 57 (2009) 471 (GSURE); Yaman et al., Magn Reson Med 84 (2020) 3172 (withheld
        samples); Morozov, Soviet Math Dokl 7 (1966) 414.
    """
    data, prior = (prior, data) if isinstance(data, Prior) else (data, prior)
    prior = getattr(getattr(data, "recipe", None), "prior", None) if prior is None else prior
    run = _checked(criterion, solver, max_iter, tol)
    options = {"criterion": criterion, "strengths": strengths, "noise": number("noise", noise, low=0, strict=True,
               allow_none=True), "seed": integer("seed", seed, low=0), "refine": integer("refine", refine, low=0),
               "check": choice("check", check, (True, False)), "progress": progress, "client": client,
               "seconds": None if minutes is None else 60 * number("minutes", minutes, low=0, strict=True)}
    if minutes is not None and strengths is not None:
        raise ValueError("minutes beside strengths, which say how many are tried: give one of them")
    if not isinstance(data, Problem):
        if prior is None:
            raise ValueError("prior is needed: for example pi.tune(scan, pi.TV())")
        scan = prepare(data, Espirit() if maps is None else maps, each=each, stacklevel=4)
        if reference is not None:
            scan = replace(scan, reference=_image(reference, scan))
        return _told(_of_scan(scan, prior, run, slice, options, each=each))
    if slice is not None or maps is not None or each != EACH:
        raise ValueError("slice, maps and each are for scans: a Problem is tuned as it is")
    if reference is not None:
        reference = to_numpy(array("reference", reference, shape=data.ishape, complex_=False, nonzero=True))
    return _told(_tune(data, data.prior if prior is None else prior, run, reference, _same, **options))


def tune_prepared(scan: io.Scan, prior: Prior, *, criterion: str, solver: Solver | None = None, max_iter: int = 100,
                  tol: float = 1e-4, trials: int | None = None, memo: dict | None = None, each: Sequence[str] = EACH,
                  gpu: Any = None, folds: int = FOLDS, minutes: float | None = None, progress: bool = False) -> Tuning:
    """`tune` of a scan that has its mask and maps, as a recipe does it.

    Args:
        scan: prepared, see `prepare`.
        prior, criterion, solver, max_iter, tol, minutes, progress: as for `tune`.
        trials: most strengths that are tried, 9 of them as a grid, below 9 a coarser one; None: 9, up to 4 more and 4
            refinements.
        memo: what is known of the scores, filled as they are found: with it a search that was cut off goes on.
        each: the axes along which the scan is taken apart.
        gpu: the `torch.device` it runs on, None: the CPU.
        folds: of "holdout".

    Operators made elsewhere are not tested here: the recipe does so.
    """
    run = _checked(criterion, solver, max_iter, tol)
    options = {"criterion": criterion, "strengths": None, "noise": None, "seed": 0, "refine": 4, "progress": progress,
               "check": False, "memo": memo, "folds": folds, "seconds": minutes and 60 * minutes,
               "trials": integer("trials", trials, low=budget.LEAST) if trials is not None else None}
    return _told(_of_scan(scan, prior, run, None, options, gpu, each))


def _told(tuning) -> Tuning:
    """The tuning, after its warnings have been given."""
    for note in tuning.warnings:
        warnings.warn(f"tune: {note}", stacklevel=outside())
    return tuning


def _checked(criterion, solver, max_iter, tol):
    choice("criterion", criterion, CRITERIA)
    if solver is not None and not isinstance(solver, Solver):
        raise TypeError(f"solver must be a solver such as pi.FISTA(), got {type(solver).__name__}"
                        f"{instead('solver', solver)}")
    return solver, integer("max_iter", max_iter, low=1), number("tol", tol, low=0)


def _image(reference, scan):
    """A reference in the shape that the scan wants it in."""
    reference = to_numpy(array("reference", reference, complex_=False, nonzero=True))
    alone = scan.axes[0] == "slice" and len(scan.kspace) == 1
    return reference[None] if alone and reference.ndim == len(scan.image_axes) - 1 else reference


def _of_scan(scan, prior, run, index, options, gpu=None, each=EACH):
    if scan.weights is not None:
        raise ValueError("weights and tune do not go together: samples are withheld, and noise is counted, as if all "
                         "weighed the same: give the prior a strength, or leave the weights out")
    models, scale = models_of(scan, each=each, gpu=gpu, keep=1)
    index = _part(scan.labels(each), index, [p.kspace.any() and p.mps.any() for p in scan.parts(each)])
    part, A, y = scan.parts(each)[index], models[index].A, models[index].y
    if options["noise"] is not None:
        options["noise"] *= scale
    size = np.linalg.norm(to_numpy(A.mps), axis=-1 - A.ndim)  # the reference is a root of a sum of squares
    problem = Problem(A, y * backend.number(scale, y))
    return _tune(problem, prior, run, part.reference, partial(_view, part, size), **options)


def _view(part, size, x):
    """An image as the reference of a scan shows it."""
    return part.crop(x * size)


def _same(x):
    return x


def _part(labels, index, filled) -> int:
    """The middle part, of slice `index` where there is one; where it holds nothing the nearest that does."""
    found = list(range(len(labels)))
    if index is not None:
        count = max((label.get("slice", 0) for label in labels), default=0) + 1
        index = integer("slice", index, low=0, high=count - 1)
        found = [k for k in found if labels[k].get("slice", 0) == index]
    middle = found[len(found) // 2]
    return min((k for k in range(len(labels)) if filled[k]), key=lambda k: (abs(k - middle), k))


def _tune(problem, prior, run, reference, view, *, criterion, strengths, noise, seed, refine, progress, check=True,
          trials=None, memo=None, folds=FOLDS, seconds=None, client=None) -> Tuning:
    start = time.perf_counter()
    chosen = family(prior)
    grid = chosen.grid(problem, trials) if strengths is None else checked(strengths)
    data, notes = Data(problem), []
    if check:
        probe(problem, chosen.make(grid[0]))
    if seconds is not None:
        one = budget.seconds_of_trial(problem, chosen.make(grid[len(grid) // 2]), *run, limit=seconds / 10)
        trials, folds = budget.affordable(seconds - (time.perf_counter() - start), criterion, one)
        grid = chosen.grid(problem, trials)
    if criterion in ("sure", "discrepancy") and noise is None:
        noise = _estimate(data)
    about = {"noise": noise, "reference": reference, "view": view, "seed": seed, "folds": folds, "share": SHARE}
    score = scores.score_of(criterion, (data, *run), **about)
    score.memo = {} if memo is None else memo
    from tqdm import tqdm

    total = trials or len(grid) + refine
    with (tqdm(total=total, desc=f"tune {chosen.kind}", disable=not progress, leave=False) as bar,
          ahead(client, score, problem, chosen.make, run, criterion, about) as compute):
        def judged(strength):
            bar.update()
            if strength not in done:
                compute([strength])
            return score.at(strength, chosen.make(strength))

        done = set() if score.equation else set(grid)
        compute(sorted(done))
        if score.equation:
            curve, status = root(judged, grid, refine=refine, trials=trials)
            goal = {s: abs(math.log(v)) if 0 < v < math.inf else math.inf for s, v in curve.items()}
        else:
            curve, status = minimise(judged, grid, refine=refine, extend=strengths is None, trials=trials)
            goal = curve
    best = min(goal, key=goal.get) if status != "failed" else min(curve)
    lost = sum(not math.isfinite(v) for v in curve.values())
    if lost:
        notes.append(f"{lost} of {len(curve)} runs diverged or became non-finite")
    notes += {"edge": [f"the best {chosen.kind}, {best:.3g}, is at the end of those tried: widen strengths"],
              "unreachable": [f"the residual exceeds the noise even at {chosen.kind} {best:.3g}: noise is too low, or "
                              "the maps do not explain the data; take criterion='holdout'"],
              "failed": ["no run ended well: take another solver"]}.get(status, [])
    used = noise if criterion in ("sure", "discrepancy") else None
    return Tuning(chosen.make(best), best, tuple(sorted(curve.items())), criterion, score.label, chosen.kind, status,
                  tuple(notes), used, time.perf_counter() - start)


def _estimate(data):
    """The noise level of the data: the lower of the two estimates, which signal and wrong maps only make larger."""
    outer = noise_level(data.y, data.sampled, ndim=data.ndim) if data.is_sense else None
    found = [s for s in (residual_noise(data), outer) if s]
    if not found:
        raise ValueError("noise cannot be estimated from this data: give noise=..., or take criterion='holdout'")
    return min(found)
