"""An error without a reference: measured lines are withheld and predicted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve.evaluate.consistency.forward import noise_of, one_set, predicted
from pisolve.evaluate.planes import filled
from pisolve.evaluate.section import Section, Told
from pisolve.prepare import model_of, models_of, sense_of
from pisolve.problem import Problem
from pisolve.recipe import in_order
from pisolve.tuning.choose import FOLDS, SHARE
from pisolve.tuning.data import Data
from pisolve.tuning.scores import Holdout


@dataclass(frozen=True, repr=False)
class HoldoutError(Told):
    """What `holdout_error` returns.

    Attributes:
        error: ||P (F S x_P - y)|| / ||P y||, over all withheld samples.
        floor: what an image without error would have: the noise of the withheld samples, sqrt(2 sigma^2 m) / ||P y||.
        image_error: ||B A^H P (F S x_P - y)|| / ||B A^H P y||, the part that magnitudes inside the body see; None for
            SPIRiT and several sets of maps.
        folds: `error` of every fold.
        slices: `error` of every slice (part); NaN where there is nothing.
        image_slices: `image_error` of every slice; empty where that is None.
        samples: number of complex samples withheld, all folds together.
        share, seed: as given.
        noise: where the noise level is from.
        failed: folds whose reconstruction diverged or became non-finite; they are left out of every number.
    """

    error: float
    floor: float
    image_error: float | None
    folds: tuple[Any, ...]
    slices: tuple[Any, ...]
    image_slices: tuple[Any, ...]
    samples: int
    share: float
    seed: int
    noise: str
    failed: int = 0
    notes: tuple[Any, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self.__dict__.items()}

    def section(self) -> Section:
        """For the report."""
        rows = [{"hold-out error": self.error, "noise floor": self.floor, "as magnitudes see it": self.image_error,
                 "lowest fold": min(self.folds), "highest fold": max(self.folds), "samples": self.samples}]
        text = (f"There is no reference, so the scan itself is asked: {self.share:.0%} of the lines (or points) "
                "outside the full centre are withheld, the recipe makes an image of the rest, and the image predicts "
                f"them; {len(self.folds)} folds, seed {self.seed}. Hold-out error = ||P (F S x_P - y)|| / ||P y|| over "
                "the withheld samples P: 0 is perfect, 1 is as bad as predicting nothing. The noise of the withheld "
                f"samples alone makes it {self.floor:.3g}, the noise floor (noise: {self.noise}); only what is above "
                "it is the recipe's. 'As magnitudes see it': the same errors brought into the image, A^H, in phase "
                "with the object and inside the body, where the noise of empty k-space counts less.\n\n"
                "It compares recipes on one scan; it is no image error: the images that are judged are made of fewer "
                "lines than the final one, and high frequencies, which hold little energy, hardly count. Errors that "
                "the coil maps make in every recipe are in it.")
        warn = list(self.notes)
        if self.failed:
            warn.append(f"{self.failed} folds diverged or became non-finite and are left out")
        return Section("Predicting withheld k-space", text, rows, warnings=warn)


def holdout_error(recipe: Any, scan: Any = None, *, share: float = SHARE, folds: int = FOLDS, seed: int = 1,
                  noise: float | None = None, memo: dict[str, Any] | None = None,
                  progress: bool = False) -> HoldoutError:
    """The error of a recipe over measured samples that it did not see: for scans without a reference.

        error = ||P (F S x_P - y)|| / ||P y||

    P keeps the withheld samples, x_P is made without them; coil maps, coil compression, the scale and the full centre
    are those of the whole scan. Works for priors, GRAPPA, SPIRiT and networks that return a complex image; a network
    without maps gives a magnitude, which predicts no k-space, and is refused. The withheld sets are those of `tune`'s
    "holdout" with another seed: samples that chose the strength would flatter it.

    Args:
        recipe: with a fixed strength (`tune=None`), a prior, or a result, whose recipe and scan are used.
        scan: a `Scan`, the path of one, or k-space. The two may be changed for each other.
        share: of the lines (points where the sampling is not in lines) outside the full centre, per fold.
        folds: how many disjoint sets, as far as folds * share <= 1.
        seed: of the sets.
        noise: standard deviation of the real and of the imaginary part of a sample, for the floor; None: the scan's
            noise samples, else an estimate.
        memo: what is known of the folds' errors, filled as they are found: with it a run that was cut off goes on.
        progress: show a bar.

    Raises:
        TypeError, ValueError: no recipe, one that tunes, a network without maps, too few samples to withhold some, no
            fold that ended well.

    Reference:
        Yaman et al., Magn Reson Med 84 (2020) 3172.
    """
    recipe, scan = in_order("holdout_error", recipe, scan)
    if not recipe.method.predicts:
        why = ("RAKI, which fills a lattice that withheld samples break" if recipe.method.fills else
               "a network without maps, whose magnitude predicts no k-space")
        raise ValueError(f"recipe has {why}: compare it where there is a reference")
    share = _check.number("share", share, low=0, high=1, strict=True)
    folds, seed = _check.integer("folds", folds, low=1), _check.integer("seed", seed, low=0)
    scan = recipe.prepare(scan)
    n = noise_of(scan, noise)
    models, scale = models_of(scan, recipe.method, each=recipe.each)
    parts = [None if m is None or not filled(p) else p for m, p in zip(models, scan.parts(recipe.each))]
    judges = [p and Holdout(data_of(p), None, 1, 0.0, folds=folds, share=share, seed=seed) for p in parts]
    count = min(len(judge.folds) for judge in judges if judge)
    memo, found = {} if memo is None else memo, []
    from tqdm import tqdm

    for k in tqdm(range(count), desc="hold-out", disable=not progress, leave=False):
        rows = []
        for z, (part, judge) in enumerate(zip(parts, judges)):
            key = f"{k} {z}"
            if part is None:
                rows.append([0.0] * 5)
                continue
            if key not in memo:
                out = backend.to_numpy(judge.folds[k][-1])  # with an axis of coils
                left = model_of(without(part, out), recipe.method)
                memo[key] = _numbers(recipe, left, part.kspace, out, scale, judge if one_set(part) else None)
            rows.append(memo[key])
        if None not in rows:
            found.append(rows)
    if not found:
        raise ValueError("no fold ended well: the recipe diverges on fewer samples, take another solver")
    table = np.array(found, float)  # (fold, slice, (error, energy, in the image, its energy, samples))
    e, energy, image, image_energy, samples = table.sum((0, 1))
    notes = () if n.measured else ("the noise level, and so the floor, was estimated and tends to be too large",)
    if recipe.method.fills:
        notes += ("GRAPPA fills the gaps of a regular pattern, which withholding lines widens: its error here is "
                  "larger than that of its image",)

    def ratios(axis, first=0):
        with np.errstate(invalid="ignore"):
            return tuple(map(float, np.sqrt(table[..., first].sum(axis) / table[..., first + 1].sum(axis))))

    return HoldoutError(float(np.sqrt(e / energy)), float(np.sqrt(2 * n.sigma**2 * samples / energy)),
                        float(np.sqrt(image / image_energy)) if image_energy > 0 else None, ratios(1), ratios(0),
                        ratios(0, 2) if image_energy > 0 else (), int(samples), share, seed, n.source,
                        count - len(found), notes)


def split(part, *, folds: int, share: float, seed) -> list:
    """`tune`'s seeded sets of samples of a part of a prepared scan, bool arrays that broadcast to its k-space.

    See `tuning.data.Data.split`.
    """
    data = data_of(part)
    return [data.on_data(out) for out in data.split(folds=folds, share=share, seed=seed)]


def without(part, out):
    """A part of a prepared scan without the samples in `out`, see `split`; its maps stay."""
    inner = len(part.encoding.encoded)
    mask = out if out.ndim == inner else np.take(out, 0, axis=-1 - inner)
    return part._with(kspace=part.kspace * ~out, mask=part.mask & ~mask)


def _numbers(recipe, model, y, out, scale, judge) -> list | None:
    """Error, energy, both in the image, and samples of one slice and fold; None where the run failed."""
    result = recipe.solve(model, scale)
    if not result.ok:
        return None
    e = (predicted(model, backend.to_numpy(result.x) / y.real.dtype.type(scale)) - y) * out
    seen = [0.0, 0.0] if judge is None else [float(judge._size(e)), float(judge._size(y * out))]
    return [float(np.linalg.norm(e) ** 2), float(np.linalg.norm(y * out) ** 2), *seen,
            int(np.broadcast_to(out, y.shape).sum())]


def data_of(part) -> Data:
    """What `Holdout` splits: SENSE with the part's maps, or one coil with a map of 1 where it has not one set."""
    if not one_set(part):
        inner = len(part.encoding.encoded)
        y = np.take(part.kspace, [0], axis=-1 - inner)
        part = part._with(kspace=y, mps=np.ones((1, *(part.size or y.shape[-inner:])), y.dtype))
    return Data(Problem(sense_of(part), part.kspace))
