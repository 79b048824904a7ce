"""How much an image could have come out otherwise: noise, estimated risk, sampling, training, dropout."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pisolve import _check, backend, metrics
from pisolve.evaluate.consistency.forward import noise_of, one_set
from pisolve.evaluate.noise_map import noise_map
from pisolve.evaluate.planes import middle
from pisolve.evaluate.section import Curves, Picture, Section, Told
from pisolve.evaluate.uncertainty import ensembles
from pisolve.evaluate.uncertainty.calibration import Calibration, calibration
from pisolve.evaluate.uncertainty.posterior import drawn
from pisolve.evaluate.uncertainty.risk import Risk, smoothed
from pisolve.evaluate.uncertainty.words import DONE, LACKS
from pisolve.prepare import fully_sampled, like_rss, models_of, spread_maps
from pisolve.recipe import in_order
from pisolve.recipe.reconstruction import empty

KINDS = ("replicas", "sure", "masks", "seeds", "dropout", "posterior")
_COUNT = {"replicas": 30, "sure": 4, "masks": 8, "dropout": 20, "posterior": 8}
_SHARE, _WINDOW = 0.25, 11
_SHOWN = 3  # samples in the pictures
_USED = {"noise": ("replicas", "sure"), "share": ("masks",), "window": ("sure",), "keep": ("masks", "seeds", "dropout"),
         "seed": ("replicas", "sure", "masks", "dropout", "posterior"), "score": ("posterior",)}


@_check.renamed(method="by")
@dataclass(frozen=True, repr=False)
class Uncertainty(Told):
    """What `uncertainty` returns; images have the axes of the reconstruction, and its units.

    Attributes:
        std: standard deviation of one component of the image, that in phase with the object: of the magnitude, where
            the signal is well above the noise. For "sure" the root of the estimated squared error.
        image: the reconstruction as it is, complex (of the first recipe for "seeds").
        mean: of the samples, complex; None for "sure".
        by, n: as given, or chosen.
        region: where std is meant, bool: inside the coil maps; for "sure" the body.
        samples: (n, ...) complex for "posterior" and with `keep`, else None.
        failed: samples that diverged or became non-finite; they are left out.
        noise: where the noise level is from, for "replicas" and "sure".
        mse: "sure": the estimated mean squared error of one component over the region, else None.
        calibration: against the reference, inside its body, where there is one, else None.
        details: what the text says of the run.
    """

    std: np.ndarray
    image: np.ndarray
    mean: np.ndarray | None
    by: str
    n: int
    region: np.ndarray = field(repr=False)
    samples: np.ndarray | None = field(default=None, repr=False)
    failed: int = 0
    noise: str | None = None
    mse: float | None = None
    calibration: Calibration | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`, without the images."""
        inside = self.std[self.region]
        return {"by": self.by, "n": self.n, "failed": self.failed, "noise": self.noise, "mse": self.mse,
                "std_mean": float(inside.mean()), "std_max": float(inside.max()), **self.details,
                "calibration": None if self.calibration is None else self.calibration.to_dict()}

    def section(self) -> Section:
        """For the report."""
        level = float(np.percentile(abs(self.image), 99)) or 1.0
        text = DONE[self.by].format(n=self.n, **self.details)
        text += f" Noise level: {self.noise}." if self.noise else ""
        text += (" std is that of the component in phase with the object, in % of the image's level (99th percentile)."
                 f"\n\n{LACKS[self.by]}")
        inside = 100 * self.std[self.region] / level
        rows = [{"by": self.by, "images": self.n, "std, median [%]": float(np.median(inside)),
                 "std, largest [%]": float(inside.max())}]
        curves, found = [], self.calibration
        if found is None:
            text += "\n\nThere is no truth here, so it cannot be said whether std is as large as the error."
        else:
            text += ("\n\nAgainst the reference, inside the body: coverage is the share of the pixels whose error is "
                     "below k std; for Gaussian errors of that std it is erf(k / sqrt 2). The error is "
                     f"{found.ratio:.2f} times as large as claimed (root mean squares). Rank correlation of |error| "
                     f"and std {found.correlation:.2f}; AUSE {found.ause:.3f} (area between taking away the pixels of "
                     f"largest std and those of largest error first; by chance {found.ause_random:.3f}). The reference "
                     "has noise of its own, which counts as error.")
            rows[0] |= {"error / std": found.ratio, "rank correlation": found.correlation, "AUSE": found.ause}
            rows[0] |= {f"|error| < {c['k']:g} std ({c['expected']:.1%})": c["found"] for c in found.coverage[1::2]}
            ks, lines = [c["k"] for c in found.coverage], found.sparsification
            curves = [Curves("Calibration", "k", "share of pixels with |error| < k std",
                             {n: (ks, [c[n] for c in found.coverage]) for n in ("expected", "found")}),
                      Curves("Sparsification", "share of pixels taken away", "rms error of the rest / of all",
                             {n: (lines["fraction"], lines[n]) for n in ("claimed", "oracle")})]
        warn = [f"{self.failed} images diverged or became non-finite and are left out"] if self.failed else []
        if found is not None and found.ratio > 2:
            warn.append(f"the error is {found.ratio:.1f} times as large as this uncertainty says: most of it is of a "
                        "kind that it does not contain")
        std, image = (middle(x) for x in (self.std * self.region, abs(self.image)))
        high = max(100 * float(np.percentile(std, 99.5)) / level, 1e-9)
        pictures = {"image": Picture(image, 0.0, level), "std": Picture(100 * std / level, 0.0, high, "%", "heat")}
        if self.samples is not None:
            shown = {"mean": self.mean, **{f"sample {k + 1}": x for k, x in enumerate(self.samples[:_SHOWN])}}
            pictures |= {name: Picture(middle(abs(x)), 0.0, level) for name, x in shown.items()}
        return Section(f"Uncertainty: {self.by}", text, rows, pictures, curves, warn)


@_check.renamed(method="by")
def uncertainty(recipe: Any, scan: Any = None, *, by: str = "replicas", n: int | None = None,
                noise: float | None = None, share: float | None = None, window: int | None = None, keep: bool = False,
                score: Any = None, seed: int = 0, reference: Any = None, progress: bool = False) -> Uncertainty:
    """How much the image of a recipe could have come out otherwise, as a standard deviation at every pixel.

    * "replicas": noise of the scan's covariance added to its samples, by `noise_map`: the noise in the image.
    * "sure": the squared error itself, estimated from noise level and divergence: |B K x - B T y|^2 - sigma^2 |B T b|^2
      + 2 sigma^2 Re(B T b . B K J b) as in `tune`'s "sure", place by place, smoothed. For SENSE with one set of maps,
      and noise alike in all coils (`whiten` makes it so).
    * "masks": other sampling. A recipe with a `sampling` is run with n seeds of it; else n seeded subsets of the
      samples there are, each without a `share` of the lines outside the centre.
    * "seeds": `recipe` is a list of recipes, such as one network trained from several seeds.
    * "dropout": a network with dropout layers, n passes with them active.
    * "posterior": n draws of `sample`, with `score`, else with the denoiser of the recipe's prior.

    None of them holds every error, and the section says which are left out. Where there is a reference, std is compared
    with the true error.

    Args:
        recipe: a `Recipe` with a fixed strength, a prior, or a result, whose recipe and scan are used; for "seeds" a
            list of recipes.
        scan: a `Scan`, the path of one, or k-space. The two may be changed for each other.
        by: see above.
        n: images to make (probes for "sure"); None: 30 replicas, 4 probes, 8 masks, 20 passes, 8 draws.
        noise: "replicas" and "sure": standard deviation of the real and of the imaginary part of a sample; None: the
            scan's noise samples, else an estimate.
        share: "masks", without a `sampling`: of the lines to leave out; None: 0.25.
        window: "sure": side of the window in pixels that the map is smoothed over; None: 11.
        keep: keep the images of "masks", "seeds" and "dropout"; "posterior" does.
        score: "posterior": a `Score`; None: by the denoiser D of a recipe with `PnP(D)`.
        seed: of noise, probes, patterns, dropout, draws; the same call gives the same bits.
        reference: the true image, complex or magnitude; None: that of the scan, which undersampling a full scan makes.
        progress: show a bar.

    Raises:
        TypeError, ValueError: no recipe, one that tunes, an option of another kind, fewer than two good images, a
            network without dropout, no SENSE for "sure", no denoiser for "posterior".

    Reference:
        Robson et al., Magn Reson Med 60 (2008) 895 (replicas); Ramani et al., IEEE Trans Image Process 17 (2008) 1540,
        and Edupuganti et al., IEEE Trans Med Imaging 40 (2021) 239 (SURE); Gal and Ghahramani, ICML 2016 (dropout);
        Lakshminarayanan et al., NeurIPS 2017 (ensembles).

    Example:
        pi.evaluate.uncertainty(recipe, scan, n=50).section()
    """
    _check.choice("by", by, KINDS)
    given = {"noise": noise is not None, "share": share is not None, "window": window is not None, "keep": keep,
             "seed": seed != 0, "score": score is not None}
    for name, used in _USED.items():
        if given[name] and by not in used:
            raise ValueError(f"{name} has no effect on by={by!r}: it is for {' and '.join(used)}")
    if by == "seeds":
        if n is not None:
            raise ValueError("n has no effect on by='seeds': the list of recipes says how many")
        recipe, scan = ensembles.recipes_and_scan(recipe, scan)
    else:
        recipe, scan = in_order("uncertainty", recipe, scan)
        n = _COUNT[by] if n is None else _check.integer("n", n, low=1 if by == "sure" else 2)
    noise = _check.number("noise", noise, low=0, strict=True, allow_none=True)
    seed = _check.integer("seed", seed, low=0)
    prepared = (recipe[0] if by == "seeds" else recipe).prepare(scan)
    if by == "replicas":
        found = _replicas(recipe, scan, prepared, n, noise, seed, progress)
    elif by == "sure":
        window = _WINDOW if window is None else _check.integer("window", window, low=1)
        found = _sure(recipe, prepared, n, noise, window, seed, progress)
    else:
        found = _ensemble(recipe, scan, prepared, by, n, share, keep, seed, progress, score)
    return _calibrated(found, scan, prepared, reference)


def _replicas(recipe, scan, prepared, n, noise, seed, progress) -> Uncertainty:
    if noise is None and scan.noise is None:
        source = "estimated from the data, which tends to be too large"
    else:
        source = "as given" if noise is not None else "the scan's noise samples, with their covariance between coils"
    found = noise_map(recipe, scan, replicas=n, covariance=None if noise is None else 2 * noise**2, seed=seed,
                      progress=progress)
    real = not found.image.imag.any()  # roots of sums of squares have one component only
    return Uncertainty(found.std if real else found.std / np.sqrt(2), found.image, found.image + found.bias, "replicas",
                       found.replicas, _inside(prepared), failed=found.failed, noise=source)


def _inside(prepared) -> np.ndarray:
    """Where the coils see anything: a prior may fill what lies outside of the maps with what it likes."""
    coil = prepared.axes.index("coil")
    if not one_set(prepared):
        return np.ones(prepared.kspace.shape[:coil] + prepared.kspace.shape[coil + 1:], bool)
    return (spread_maps(prepared) != 0).any(coil)


def _sure(recipe, prepared, n, noise, window, seed, progress) -> Uncertainty:
    from tqdm import tqdm

    if prepared.weights is not None:
        raise ValueError("by='sure' is for samples that weigh the same: take by='replicas', or leave the weights out")
    if not recipe.method.tunable or not one_set(prepared):
        raise ValueError("by='sure' needs SENSE with one set of maps, where the image predicts k-space: take "
                         "by='replicas'")
    if recipe.whiten and noise is not None:
        raise ValueError("noise has no effect with whiten=True, which makes it 1 / sqrt(2): leave it out")
    level = noise_of(prepared, noise)
    models, scale = models_of(prepared, recipe.method, each=recipe.each)
    parts = prepared.parts(recipe.each)
    images, maps, regions, total = [], [], [], [0.0, 0]
    with tqdm(total=n * len(models), desc="uncertainty", disable=not progress, leave=False) as bar:
        for z, model in enumerate(models):
            if model is None:
                nothing = np.zeros(empty(parts[z]).x.shape)
                images, maps, regions = [*images, nothing], [*maps, nothing], [*regions, nothing > 0]
                continue
            result, raw = None, 0.0
            for k in range(n):
                risk = Risk(recipe, model, scale, noise=level.sigma, seed=[seed, z, k])
                result = risk.run(risk.data.A, risk.data.y) if result is None else result
                raw = raw + risk.map(result) / n
                bar.update()
            region = risk.region
            images.append(model.image(result.x) / result.x.real.dtype.type(scale))
            maps.append(np.sqrt(np.maximum(smoothed(raw, region, window, risk.data.ndim), 0)))
            regions.append(region)
            total = [total[0] + float(raw[region].sum()), total[1] + int(region.sum())]
    image, std, region = (prepared.assemble(a, recipe.each) for a in (images, maps, regions))
    return Uncertainty(std, image, None, "sure", n, region, noise=level.source, mse=total[0] / max(total[1], 1),
                       details={"window": window})


def _ensemble(recipe, scan, prepared, by, n, share, keep, seed, progress, score) -> Uncertainty:
    from tqdm import tqdm

    details, total = {}, n or len(recipe)
    if by == "masks" and recipe.sampling is not None and share is not None:
        raise ValueError("share has no effect on a recipe with a sampling, whose patterns are drawn anew: leave it out")
    with tqdm(total=total, desc="uncertainty", disable=not progress, leave=False) as bar:
        if by == "seeds":
            images = ensembles.members(recipe, scan, bar=bar)
        elif by == "posterior":
            images = drawn(recipe, scan, score, n=n, seed=seed)
        elif by == "masks" and recipe.sampling is not None:
            details = {"how": f"with other random patterns of the same kind, {recipe.sampling}, maps included"}
            images = ensembles.patterns(recipe, scan, n=n, seed=recipe.sampling.seed + seed, bar=bar)
        elif by == "masks":
            share = _check.number("share", _SHARE if share is None else share, low=0, high=1, strict=True)
            details = {"how": f"from random subsets of the samples, each without {share:.0%} of the lines or points "
                              "outside the full centre"}
            images = ensembles.subsets(recipe, prepared, n=n, share=share, seed=seed, bar=bar)
        else:
            images = ensembles.dropped(recipe, prepared, n=n, seed=seed, bar=bar)
        made = list(images)
    good = [x for x in made if x is not None]
    if len(good) < 2:
        raise ValueError(f"only {len(good)} of {len(made)} runs gave an image: two at least have a standard deviation")
    if len({x.shape for x in good}) > 1:
        raise ValueError(f"the recipes give images of different shapes, {sorted({x.shape for x in good})}: they cannot "
                         "be compared")
    samples = np.stack(good)
    mean = samples.mean(0)
    std = (samples * backend.unit(mean).conj()).real.std(0, ddof=1)
    image = good[0] if by == "seeds" else ensembles.plain(recipe, prepared)
    kept = samples if keep or by == "posterior" else None
    return Uncertainty(std, image, mean, by, len(good), _inside(prepared), kept, len(made) - len(good), details=details)


def _calibrated(found: Uncertainty, scan, prepared, reference) -> Uncertainty:
    """With the calibration against a reference, where there is one: in phase with it, or of magnitudes."""
    if reference is None:
        reference = None if _own_rss(scan) else prepared.reference
    else:
        reference = backend.to_numpy(_check.array("reference", reference, complex_=False, nonzero=True))
    if reference is None:
        return found
    image, std, region = found.image, found.std, found.region
    if reference.dtype.kind == "c":
        if reference.shape != image.shape:
            raise ValueError(f"reference has shape {reference.shape}, the image {image.shape}: they must agree")
        error = ((image - reference) * backend.unit(reference).conj()).real
    else:
        image, std = like_rss(prepared, image), like_rss(prepared, std)
        if reference.shape != image.shape:
            cut = replace(prepared, reference=reference).crop
            image, std, region = cut(image), cut(std), cut(region)
        error = abs(image) - reference
    return replace(found, calibration=calibration(error, std, region=region & metrics.body(reference)))


def _own_rss(scan) -> bool:
    """Whether the reference of an undersampled scan is no truth, but the RSS of its own zero-filled images."""
    if scan.reference is None or fully_sampled(scan):
        return False
    own = scan.crop(scan.rss())
    return own.shape == scan.reference.shape and metrics.nmse(scan.reference, own) < 1e-4
