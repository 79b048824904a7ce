"""Does this image explain the data? The residual against what was measured, in units of the noise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pisolve import _check, backend
from pisolve.evaluate.consistency.forward import Noise, directions, noise_of, one_set, predicted
from pisolve.evaluate.consistency.residual import in_image, is_magnitude, noise_alone, structure_rows, unknowns
from pisolve.evaluate.planes import planes, told
from pisolve.evaluate.section import Curves, Picture, Section, Told
from pisolve.prepare import EACH, Espirit, prepare
from pisolve.recipe import Reconstruction, in_order
from pisolve.recipe.order import is_method, ordered
from pisolve.scan import Scan

TAIL = 4.0  # standard deviations; |r| of pure noise is beyond with a probability of exp(-8)
_TOLERANCE = {True: 0.05, False: 0.2}  # of chi: where the noise was measured, and where it was estimated
_RINGS = 8
_HIDDEN = ("What the samples do not determine leaves no trace here: a structure made to lie in the null space of A "
           "passes this test whatever it shows. `visibility` maps where that is possible.")


@dataclass(frozen=True, repr=False)
class Consistency(Told):
    """What `consistency` returns.

    Attributes:
        chi: sqrt(mean |r|^2 / 2) over all samples, r in units of the noise: 1 is noise alone. None: it cannot be said,
            see `notes`.
        slices: chi of every slice (part); NaN where there is nothing.
        expected: chi that noise alone leaves behind this recipe (`probe`), else None.
        verdict: one sentence.
        beyond: share of the samples with |r| > 4; exp(-8) = 0.00034 of noise.
        sigma, noise: the noise level used (of one part, root mean square over coils), and where it is from.
        samples: number of complex samples.
        rings: one dict a ring of k-space: its radius (0 the centre, 1 the edge), samples, chi.
        lines: chi of every line along the phase-encoding axis (of a 3-D scan the last of them); None where not sampled.
        unit: what `lines` are, "line" or, of samples anywhere, "shot".
        kspace: ((slice, frame, ...) ky, kx), root mean square over coils of r, over sqrt(2); 0 where not sampled. Of
            samples anywhere ((slice, frame, ...) shot, sample).
        image: as the image, |A^H r| smoothed by a blob of 3 pixels (in 3-D a ball), in its own standard deviations (of
            one part).
        peak, place: the largest of it, and where, ((slice, frame, ...) y, x).
        limit: what noise alone exceeds in 1 % of images.
        structures: one dict a structure, see `consistency`.
        notes: what to know, one sentence each.
    """

    chi: float | None
    verdict: str
    sigma: float
    noise: str
    samples: int
    slices: tuple[Any, ...] = ()
    expected: float | None = None
    beyond: float | None = None
    rings: tuple[Any, ...] = ()
    lines: tuple[Any, ...] = ()
    unit: str = "line"
    kspace: np.ndarray | None = field(default=None, repr=False)
    image: np.ndarray | None = field(default=None, repr=False)
    peak: float | None = None
    place: tuple[Any, ...] = ()
    limit: float | None = None
    structures: tuple[Any, ...] = ()
    notes: tuple[Any, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`, without the pictures."""
        left_out = ("kspace", "image")
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self.__dict__.items() if k not in left_out}

    def section(self) -> Section:
        """For the report."""
        title = "Does the image explain the data?"
        along = "line along the phase-encoding axis" if self.unit == "line" else self.unit
        place = "by its place in k-space" if self.unit == "line" else "by shot and sample"
        if self.chi is None:
            return Section(title, f"{self.verdict}\n\n" + " ".join(self.notes))
        noise_only = ("" if self.expected is None else
                      f" Noise alone, sent through this recipe, would leave {self.expected:.3f}: the fair comparison.")
        text = (f"{self.verdict}\n\n"
                "The image is sent through coil maps, Fourier transform and sampling and compared with what was "
                "measured: r = M (F S x - y) / sigma, sigma the standard deviation of the real and of the imaginary "
                f"part of the noise ({self.sigma:.3g}, {self.noise}). chi = sqrt(mean |r|^2 / 2) over {self.samples} "
                f"samples is {self.chi:.3f}.{noise_only} chi = 1: what is left is as large as the noise. Below 1: the "
                "image has fitted noise, as any image made of these data does; an unregularised one falls to sqrt(1 - "
                "unknowns / samples). Above 1: something in the image is invented, or something in the data was lost "
                "(smoothing, wrong maps, motion between lines count as well).\n\n"
                f"|r| exceeds {TAIL:g} at a share of {self.beyond:.2g} of the samples, for noise {np.exp(-8):.2g}. The "
                f"first picture is r {place}, root mean square over coils, 10^0 = noise. The second "
                "says where in the image: A^H r, smoothed by a blob of 3 pixels, in its own standard deviations; its "
                f"largest value is {self.peak:.1f}, that of noise alone exceeds {self.limit:.1f} in one image of a "
                "hundred.\n\n"
                + _HIDDEN)
        if self.structures:
            text += ("\n\nStructures: 'seen' = ||A d|| / ||A_full d||, what reaches the samples; 'determined' = share "
                     "of d that the samples fix without a prior; 'reach' = ||A d|| in standard deviations of the "
                     "noise; 'excess' = how many standard deviations more of d the image has than the data; "
                     "'unsupported' = that as a share of d: 1 means that the data want none of it.")
        rows = list(self.structures) or [{"|k|": f"{r['low']:.2f} to {r['high']:.2f}", "samples": r["samples"],
                                          "chi": r["chi"]} for r in self.rings]
        at = [i for i, v in enumerate(self.lines) if v is not None]
        curves = [Curves("Residual by ring of k-space", "|k| / k_max", "chi",
                         {"chi": ([(r["low"] + r["high"]) / 2 for r in self.rings], [r["chi"] for r in self.rings]),
                          "noise": ([0.0, 1.0], [1.0, 1.0])}),
                  Curves(f"Residual by {self.unit}", along, "chi",
                         {"chi": (at, [self.lines[i] for i in at]), "noise": ([at[0], at[-1]], [1.0, 1.0])})]
        kspace, image = (planes(p) for p in (self.kspace, self.image))
        if len(kspace) == len(self.slices):
            worst = int(np.nanargmax(self.slices))
        else:  # frames, or planes of a volume
            worst = int(np.argmax((image**2).sum((-2, -1))))
        kspace, image = kspace[worst], image[worst]
        log = np.log10(np.maximum(kspace, 10**-0.5))
        pictures = {"residual in k-space": Picture(log, -0.5, max(1.0, float(log.max())), "log10 sigma", "heat",
                                                   place=False),
                    "residual in the image": Picture(image, 0.0, max(2 * self.limit, self.peak), "sigma", "heat")}
        return Section(title, text, rows, pictures, curves, list(self.notes))


def consistency(done: Any, scan: Any = None, *, structures: dict[str, Any] | None = None, noise: float | None = None,
                probe: bool = False, seed: int = 0) -> Consistency:
    """Does this image explain the data? Its residual against the measured samples, in units of the noise.

        r = M (F S x - y) / sigma,    chi = sqrt(mean |r|^2 / 2)

    sigma is the standard deviation of the real and of the imaginary part of the noise; with noise samples r is whitened
    by their covariance. chi is 1 where only noise is left. Noise alone leaves less, since part of it is in the image:
    with `probe` b - J b is measured, J b what the recipe's image predicts of the noise b, and chi is judged against
    that. For linear recipes this is exact, and it replaces a count of degrees of freedom.

    A network without maps gives a magnitude, whose phase is unknown. For one coil, or where the scan has maps, a phase
    is fitted to the data (30 steps from that of the zero-filled image): chi is then a lower bound, so that a large one
    still accuses, and a small one proves little. For several coils without maps chi is None.

    Args:
        done: a `Reconstruction`, whose recipe and scan are used, or an image with the axes of the scan's, in its units,
            or a recipe (a prior), which is run on the scan.
        scan: for an image or a recipe: the scan that it is to explain, as for `Recipe`; without maps ESPIRiT's are
            made. The two may be changed for each other.
        structures: name -> d, (y, x) or the image's shape: what to look for in the residual, such as a suspicious
            lesion as it is in the image; a real d gets the phase of the image. For one set of maps.
        noise: standard deviation of the real and of the imaginary part of a sample, in the units of the k-space that
            was solved; None: the scan's noise samples, else an estimate, which tends to be too large.
        probe: reconstruct once more, with a little noise added, for `expected`. Needs a `Reconstruction`.
        seed: of that noise.

    Raises:
        TypeError, ValueError: no image and no reconstruction, shapes that disagree, a scan beside a reconstruction.

    Reference:
        Antun et al., PNAS 117 (2020) 30088 (hallucinations); Bhadra et al., IEEE Trans Med Imaging 40 (2021) 3249 (what
        lies in the null space).

    Example:
        print(pi.evaluate.consistency(pi.recon(scan), probe=True).section())
    """
    _check.choice("probe", probe, (True, False))
    _check.integer("seed", seed, low=0)
    recipe, each = None, EACH
    done, scan = ordered(done, scan)
    if isinstance(done, Scan):
        done, scan = scan, done
    if is_method(done):
        recipe, scan = in_order("consistency", done, scan)
        done, scan = recipe(scan), None
    if isinstance(done, Reconstruction):
        if scan is not None:
            raise ValueError("scan is for images: a Reconstruction knows its own")
        recipe, scan, picture, each = done.recipe, done.scan, done.x, done.recipe.each
    else:
        if scan is None:
            raise ValueError("scan is needed: consistency(image, scan), or consistency(result)")
        if probe:
            raise ValueError("probe needs a Reconstruction, whose recipe can be run again: an image cannot")
        scan = prepare(scan, Espirit(), stacklevel=3)
        picture = backend.to_numpy(_check.array("done", done, complex_=False, nonzero=True))
        if picture.shape != scan.image_shape:
            raise ValueError(f"done has shape {picture.shape}, the scan's images have {scan.image_shape}")
    n = noise_of(scan, noise)
    notes = [] if n.measured else ["the noise level was estimated from the data and tends to be too large, so that chi "
                                   "is too small: compare recipes by it, or give noise=..."]
    count = int(np.broadcast_to(scan.inside, scan.kspace.shape).sum())
    alone = recipe is None or (recipe.method.magnitude and not recipe.method.predicts)
    magnitude = is_magnitude(picture) and alone
    if magnitude and not one_set(scan) and scan.coils > 1:
        note = ("The image is a magnitude of several coils and there are no maps: neither its phase nor the coils' "
                "sensitivities are known, so it predicts no k-space. Give the image and a scan with maps.")
        return Consistency(None, "It cannot be said whether this image explains the data.", n.sigma, n.source, count,
                           notes=(note,))
    if magnitude:
        notes.append("the image is a magnitude: a phase was fitted to the data, so that chi is a lower bound")
    models, xs = unknowns(done, recipe, scan, picture, magnitude, each)
    parts = scan.parts(each)
    n = replace(n, ndim=len(parts[0].encoding.encoded))
    whites = [m and n.units((predicted(m, x) - p.kspace) * p.inside) for m, x, p in zip(models, xs, parts)]
    left = None
    if probe and magnitude:
        notes.append("probe is not for magnitudes: what noise alone would leave is not known")
    elif probe:
        left = noise_alone(done, models, xs, parts, n, seed)
    found = [m and in_image(r, n.units(directions(m, x)), p) for r, m, x, p in zip(whites, models, xs, parts)]
    rows = structure_rows({} if structures is None else structures, scan, picture, n, whites, each)
    return _judged(whites, found, scan, parts, each, n, left, rows, notes)


def _judged(whites, found, scan, parts, each, noise: Noise, left, rows, notes) -> Consistency:
    """The numbers, and what they say."""
    there = [k for k, r in enumerate(whites) if r is not None]
    first = parts[there[0]]
    size = first.kspace.shape[-len(first.encoding.encoded):]
    coils, shape = first.coils, [n for n, a in zip(first.kspace.shape, first.axes) if a != "coil"]
    square = np.stack([abs(whites[k]) ** 2 for k in there])
    sampled = np.stack([np.broadcast_to(parts[k].mask, shape) for k in there])
    samples, slices = coils * int(sampled.sum()), [float("nan")] * len(parts)
    for k, s, m in zip(there, square, sampled):
        slices[k] = float(np.sqrt(s.sum() / (2 * coils * m.sum())))
    chi = float(np.sqrt(square.sum() / (2 * samples)))
    flat = square.reshape(-1, coils, *size)
    if first.coord is None:
        by_place = flat.sum((0, 1)) / (2 * len(flat) * coils)
        share = sampled.reshape(-1, *size).mean(0)  # of the parts and frames that were sampled there
        radius = np.sqrt(sum(((np.arange(n) - n // 2) / (n / 2)).reshape(
            [-1 if a == i else 1 for a in range(len(size))]) ** 2 / len(size) for i, n in enumerate(size)))
    else:  # each part and frame may have places of its own
        by_place, share = flat.sum(1) / (2 * coils), sampled.reshape(-1, *size).astype(float)
        radius = np.stack([parts[k].encoding.radius() for k in there]).reshape(-1, *size)
    mask, repeats = share > 0, square.size // by_place.size // coils
    ring = np.minimum((radius * _RINGS).astype(int), _RINGS - 1)
    rings = tuple({"low": k / _RINGS, "high": (k + 1) / _RINGS, "samples": round(share[here].sum() * repeats) * coils,
                   "chi": float(np.sqrt(by_place[here].mean() / by_place.dtype.type(share[here].mean())))}
                  for k in range(_RINGS) if (here := mask & (ring == k)).any())
    encoded = first.encoding.encoded
    phase = [i for i, a in enumerate(encoded) if a != first.readout][-1] - len(encoded)
    across = tuple(i for i in range(-by_place.ndim, 0) if i != phase)
    lines = tuple(None if not c else float(np.sqrt(v / c)) for v, c in zip(by_place.sum(across), share.sum(across)))
    nothing = np.zeros(shape)
    image = scan.assemble([np.zeros(first.image_shape) if f is None else f[0] for f in found], each)
    place = tuple(int(i) for i in np.unravel_index(image.argmax(), image.shape))
    peak, inside = float(image.max()), max(f[1] for f in found if f is not None)
    limit = float(np.sqrt(2 * np.log(inside * len(there) / 0.01)))
    axis = -1 - len(size)
    kspace = [nothing] * len(parts)
    for k, s in zip(there, square):
        kspace[k] = np.sqrt(s.sum(axis) / (2 * coils))
    verdict = _verdict(chi, left, peak, dict(zip(scan.image_axes, place)), limit, noise)
    return Consistency(chi, verdict, noise.sigma, noise.source, samples, tuple(slices), left,
                       float((square > TAIL**2).sum() / samples), rings, lines,
                       "line" if first.coord is None else "shot", scan.assemble(kspace, each), image, peak, place,
                       limit, rows, tuple(notes))


def _verdict(chi, left, peak, place, limit, noise: Noise) -> str:
    base, tolerance = 1.0 if left is None else left, _TOLERANCE[noise.measured]
    against = "the noise" if left is None else "what noise alone leaves"
    row, column = (place.pop(name) for name in list(place)[-2:])
    where = (f"around row {row}, column {column}{f' of {told(place)}' if place else ''} the "
             f"residual is {peak:.1f} standard deviations, where noise alone stays below {limit:.1f}")
    if chi > (1 + tolerance) * base:
        return (f"The image does not explain the data: the residual is {chi / base:.2f} times {against}, so something "
                f"was invented or lost{f', most of all {where}' if peak > limit else ''}.")
    if peak > limit:
        return (f"The image explains the data on the whole (chi {chi:.2f}), but not everywhere: {where}, so something "
                "was invented or lost there.")
    if chi < (1 - tolerance) * base:
        return (f"Nothing in the image contradicts the data. It is closer to them than {against} (chi {chi:.2f}): it "
                "has fitted noise, or the noise level is too large.")
    return f"The image explains the data to the noise (chi {chi:.2f})."
