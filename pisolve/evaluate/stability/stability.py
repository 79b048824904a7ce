"""Can a reconstruction be trusted off the beaten track? Antun's three tests, for any recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pisolve import _check
from pisolve._words import TESTS
from pisolve.evaluate.planes import one_part, which
from pisolve.evaluate.section import Section, Told
from pisolve.evaluate.stability.details import STRUCTURES, Details, insert, plan, shown
from pisolve.evaluate.stability.over import over, silent
from pisolve.evaluate.stability.perturbation import KINDS, Perturbation, perturb
from pisolve.evaluate.stability.replay import GOOD, Replay
from pisolve.evaluate.stability.samples import masks_of, rows_of, run_samples
from pisolve.evaluate.stability.section import merged, percent, sections
from pisolve.prepare import Sampling, as_scan, fully_sampled
from pisolve.recipe import in_order

ACCELS = (1, 2, 3, 4, 6, 8)
LARGE = 50.0  # a gain that is pointed out: 1 % of the data changes half of the image (classical priors: 2 to 20)


@dataclass(frozen=True, repr=False)
class Stability(Told):
    """What `stability` returns.

    Attributes:
        name: of the recipe.
        perturbation: `Perturbation`, the first test, or None where it was not asked for.
        details: `Details`, the second, or None.
        samples: the rows of the third, see `samples.run_samples`, or None where it was not asked for or cannot be.
        notes: why something was left out, one sentence each.
        slice: which slice of a volume.
        runs: how many reconstructions were made.
    """

    name: str
    perturbation: Perturbation | None
    details: Details | None
    samples: list[dict[str, Any]] | None
    notes: list[str]
    slice: int
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """Names, numbers and tables as plain values; arrays are left out."""
        p, d = self.perturbation, self.details
        return {"name": self.name, "slice": self.slice, "runs": self.runs, "notes": list(self.notes),
                "warnings": self.warnings,
                "perturbation": p and {"by": p.by, "reason": p.reason, "bound": p.bound, "runs": p.runs,
                                       "rows": [dict(r) for r in p.rows]},
                "details": d and {"rows": [dict(r) for r in d.rows], "left_out": list(d.left_out)},
                "samples": self.samples and [dict(r) for r in self.samples]}

    @property
    def warnings(self) -> list[str]:
        """What the user should see at once, one sentence each; empty where nothing is."""
        found = []
        if p := self.perturbation:
            found += [f"a perturbation of {percent(r['size'])} of the data makes the run end as {r['status']}"
                      for r in p.rows if r["status"] not in GOOD]
            top = max(p.rows, key=lambda r: r["gain"])
            if top["gain"] > LARGE:
                found.append(f"unstable: a change of the data by {percent(top['size'])} changes the image by "
                             f"{percent(top['gain'] * top['size'])}, a gain of {top['gain']:.0f}")
            over = [r["data gain"] for r in p.rows if p.bound and r["data gain"] > 1.02 * p.bound]
            if over:
                found.append(f"the data gain reaches {max(over):.2f}, above its bound of {p.bound:g}: the iteration is "
                             "far from the minimum, give it more iterations")
        if d := self.details:
            found += [f"{r['structure']} of contrast {r['contrast']:g} is lost: {r['worst copy']:.2f} of it is "
                      "recovered in the worst place" for r in d.rows if r["verdict"] == "lost"]
        found += [f"more samples make it worse: at {r['acceleration']:g}x the error is larger than with fewer samples"
                  for r in self.samples or [] if r["worse"]]
        return found

    def sections(self) -> list[Section]:
        """The three tests, each with its own table."""
        return sections(self)

    def section(self) -> Section:
        """The three tests in one, whose table has the columns of all of them; `sections` are easier to read."""
        return merged(self)


@_check.renamed(method="by")
def stability(recipe: Any, scan: Any = None, *, sizes: Any = (0.005, 0.01, 0.02, 0.05), steps: int = 5,
              by: str = "auto", structures: Any = tuple(STRUCTURES), contrasts: Any = (0.1, 0.3), accels: Any = None,
              tests: Any = TESTS, slice: int | None = None, seed: int = 0, client: Any = None,
              progress: bool = False) -> Stability:
    """Antun's three tests of a recipe on a scan: perturbed data, inserted structures, more and fewer samples.

        1. max ||f(y + e) - f(y)|| over ||e|| = size ||y||, beside ||f(y + noise) - f(y)||
        2. Re<d, f(y + A d) - f(y)> / <d, d> for small structures d
        3. the error of f(M y) against the full data for masks M with more and fewer samples

    f is the recipe on one slice (of a series all frames together, unless the recipe's `each` names them) with the maps,
    scale and number of iterations of the scan itself. In 1 a gain of 1 means that a change of the data by 1 % changes
    the image by 1 %. What is found is a lower bound of the worst case: a large one refutes, a small one is good news,
    and no proof. For convex priors ||A (f(y + e) - f(y))|| <= ||e|| at the minimum, whatever e is (the subgradients A^H
    (y - A x) of the prior are monotone), the "data gain"; what A does not see has no such bound. Tikhonov's largest
    gain is the largest singular value of (A^H A + lam)^-1 A^H.

    The number of reconstructions is at most len(sizes) (4 steps + 2) + structures * contrasts + accels, shown in the
    bar. A step by the gradient takes about as long as five to ten reconstructions.

    Args:
        recipe: a `Recipe` with a fixed strength (`tune=None`), a network or any prior, or a result, whose recipe and
            scan are used.
        scan: a `Scan`, the path of one, or k-space; fully sampled for the third test, which undersamples it. The two
            may be changed for each other.
        sizes: ||e|| / ||y||, > 0, at most 1.
        steps: of the search, and again of the ascent by gradients, for each size; each size starts from the worst of
            the size before. More make the bound tighter.
        by: "search" calls the recipe only: a power iteration by finite differences. "gradient" is projected
            gradient ascent through network or iterations by torch. "auto": the search, then the gradient where there is
            one, which the result tells.
        structures: out of "dot", "line", "lesion", "text".
        contrasts: of the structures, > 0, in units of the 99th percentile of the object (see `details.insert`).
        accels: accelerations, 1 being the full scan; None: 1, 2, 3, 4, 6, 8 and that of the recipe.
        tests: out of "perturbation", "details", "samples".
        slice: of a volume; None: the middle one.
        seed: of noise and places.
        client: a cluster or an executor over which the tests are made, as for `recon_many`; the same bits. The search
            for perturbations is one piece of work, so that at best it alone is waited for.
        progress: show a bar.

    Raises:
        TypeError, ValueError: no recipe, one that tunes or diverges on this scan, numbers out of range, unknown names.

    Reference:
        Antun, Renna, Poon, Adcock and Hansen, On instabilities of deep learning in image reconstruction and the
        potential costs of AI, PNAS 117 (2020) 30088. Genzel, Macdonald and Maerz, IEEE TPAMI 45 (2023) 1119, on the
        ascent; Darestani, Chaudhari and Heckel, ICML 2021, on comparing with classical priors.

    Example:
        print(pi.evaluate.stability(pi.Recipe(sampling=pi.Sampling("random", 4)), "scan.h5").section())
    """
    recipe, raw = in_order("stability", recipe, scan)
    sizes = _numbers("sizes", sizes, high=1)
    contrasts = _numbers("contrasts", contrasts)
    steps, seed = _check.integer("steps", steps, low=1), _check.integer("seed", seed, low=0)
    _check.choice("by", by, KINDS)
    tests, structures = _names("tests", tests, TESTS), _names("structures", structures, tuple(STRUCTURES))
    notes = []
    replay = Replay(recipe, raw, slice=slice)
    if "details" in tests and replay.image.ndim > 2:
        tests = tuple(t for t in tests if t != "details")
        left = replay.scan.image_axes[:-2]
        notes.append("Small structures were not inserted: they are drawn on single planes, and this recipe solves all "
                     f"of {' and '.join(left)} together.")
    made, home = {}, None
    if "samples" in tests:
        made, home = _undersampled(recipe, raw, slice, accels, notes)
    from tqdm import tqdm

    per_size = 2 + 2 * steps * (1 + (by == "auto"))
    total = len(sizes) * per_size * ("perturbation" in tests) + len(structures) * len(contrasts) * ("details" in tests)
    with tqdm(total=total + len(made), desc="stability", disable=not progress, leave=False) as bar:
        worst = details = samples = None
        if client is not None:
            worst, details, samples = _spread(client, replay, recipe, raw, slice, made, home, bar.update, tests,
                                              (structures, contrasts, seed),
                                              {"sizes": sizes, "steps": steps, "by": by, "seed": seed})
            replay.runs += (worst.runs if worst else 0) + (len(details.rows) if details else 0)
            tests = ()
        if "perturbation" in tests:
            worst = perturb(replay, sizes, steps=steps, by=by, seed=seed, tick=bar.update)
        if "details" in tests:
            details = insert(replay, structures, contrasts, seed=seed, tick=bar.update)
        if made and client is None:
            flat = one_part(raw, which(raw, slice))
            samples = run_samples(recipe, flat, made, home=home, tick=bar.update)
    notes += [f"The object is too small for the structure {name}." for name in details.left_out] if details else []
    return Stability(_name(recipe), worst, details, samples, notes, replay.slice, replay.runs + len(made))


def _spread(client, replay, recipe, raw, slice, made, home, tick, tests, inserted, search):
    """The three tests as `stability` has them, over workers."""
    planned, missing = plan(replay, *inserted) if "details" in tests else ([], [])
    worst, images, others = over(
        client, recipe, as_scan(raw), slice, search=search if "perturbation" in tests else None,
        data=[one.kspace(replay) for one in planned], parts=list(made.values()), tick=tick)
    details = shown(replay, planned, missing, images, silent) if "details" in tests else None
    flat = one_part(raw, which(raw, slice)) if made else None
    return worst, details, rows_of(recipe, flat, made, others, home=home, tick=silent) if made else None


def _undersampled(recipe, scan, slice, accels, notes):
    """({acceleration: undersampled slice}, the recipe's acceleration); why there are none is added to the notes."""
    home = recipe.sampling.accel if recipe.sampling and np.ndim(recipe.sampling.accel) == 0 else None
    if accels is None:
        chosen = sorted({*ACCELS, *([home] if home else [])})
    else:
        chosen = _numbers("accels", accels)
        if chosen[0] < 1:
            raise ValueError(f"accels must be >= 1, got {chosen[0]:g}")
    if not fully_sampled(scan):
        notes.append("More and fewer samples were not tried: this needs a fully sampled scan.")
        return {}, home
    flat = one_part(scan, which(scan, slice))._with(reference=None)
    made, refused = masks_of(flat, recipe.sampling or Sampling(), chosen)
    notes += [f"Acceleration {accel:g} was left out: {why}" for accel, why in refused.items()]
    return made, home


def _numbers(name, values, high=math.inf) -> list[float]:
    if not isinstance(values, tuple | list | np.ndarray) or not len(values):
        raise TypeError(f"{name} must be at least one number, such as (0.01, 0.05), got {_check.brief(values)}")
    return sorted(_check.number(name, v, low=0, high=high, strict=True) for v in values)


def _names(name, values, options) -> tuple[str, ...]:
    if not isinstance(values, tuple | list) or not values:
        raise TypeError(f"{name} must be a tuple out of {', '.join(options)}, got {_check.brief(values)}")
    return tuple(dict.fromkeys(_check.choice(name, v, options) for v in values))


def _name(recipe) -> str:
    from pisolve.recipe.network import name_of

    return recipe.name or (repr(recipe.prior) if recipe.network is None else name_of(recipe.network))
