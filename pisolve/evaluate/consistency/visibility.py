"""Where in an image something could hide from the samples, and how much of a structure they see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pisolve import _axes, _check, backend, linops
from pisolve._types import ArrayLike
from pisolve.evaluate.consistency.forward import Noise, noise_of, one_set
from pisolve.evaluate.planes import flat, which
from pisolve.evaluate.section import Picture, Section, Told
from pisolve.linops.solve import cg_solve
from pisolve.prepare import Espirit, prepare
from pisolve.tuning.scores import BETA

CLEAR = 5.0  # standard deviations that make a structure stand out
LOW = 0.5  # the share below which a structure is made up more than it is measured
_STEPS, _TOL = 60, 1e-3
_FWHM = 4 * np.log(2)


def gaussian(shape, centre, width: float) -> np.ndarray:
    """exp(-4 ln 2 |r - centre|^2 / width^2): a blob of full width `width` at half maximum and a height of 1."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return np.exp(-_FWHM * sum((a - c) ** 2 for a, c in zip(axes, centre)) / width**2)


class Sight:
    """What the samples of a part of a scan see of structures: A with its filter K = (A^H A + beta)^-1 A^H A.

    beta = 0.003 ||A||^2, as in `tune`'s "sure": K passes what the samples determine. A structure d with K d = 0 can be
    added to any image without leaving a trace in the data.

    Args:
        mps, mask: coil maps (coil, y, x) and sampling.
        noise: `Noise`.
        axes, shape: the names of the axes of k-space, and its shape, as for `linops.sense`.
        field_map, times: of off-resonance, as for `linops.off_resonance`; None: there is none.
        coord, density: of samples anywhere, and the area of k-space that each stands for, 0 where it was not kept. A
            sample then counts as the share of a cell of the grid that it covers, so that all numbers mean what they do
            on a grid, however dense the samples lie.
    """

    def __init__(self, mps, mask, noise: Noise, *, axes=None, shape=None, field_map=None, times=None, coord=None,
                 density=None):
        off, place = field_map is not None and times is not None, {"axes": axes, "shape": shape}
        self.noise, self.root = noise, None
        if coord is None:
            plain = [linops.sense(mps, m, **place) for m in (mask, None)]
            self.A, self.full = (linops.off_resonance(B, field_map, times) if off else B for B in plain)
            self.samples = self.A
        else:
            cells = np.minimum(density, 1)
            B = [linops.sense(mps, weights=w, coord=coord, **place) for w in (cells, 1.0 * (density > 0))]
            self.A, self.samples = (linops.off_resonance(b, field_map, times) if off else b for b in B)
            self.root = np.expand_dims(np.sqrt(cells), B[0].coil_axis).astype(mps.real.dtype)
            plain = [_on_the_grid(B[0].mps, axes, len(coord.shape) - 1)]
            self.full = plain[0]
        self.beta = BETA * plain[0].norm_bound() ** 2

    def back(self, y):
        """A^H of data as they were measured."""
        return self.A.H(y if self.root is None else y * self.root)

    def _filtered(self, d):
        """(A^H A + beta)^-1 d."""
        return cg_solve(lambda p: self.A.N(p) + self.beta * p, d, d / (1 + self.beta), iterations=_STEPS, tol=_TOL)

    def determined(self, d) -> float:
        """<d, K d> / <d, d>: the share of d that the samples determine, 0 to 1."""
        return self.measured(d)[0]

    def measured(self, d) -> tuple[float, float]:
        """(share V of d that the samples determine, standard deviation of d's factor as they measure it).

        With u = (A^H A + beta)^-1 d, <A u, y> is V <d, d> times the factor of d in the image, and noise.
        """
        if not d.any():
            return 0.0, float("inf")
        d = d.astype(self.A.mps.dtype)
        u, energy = self._filtered(d), float(backend.dot(d, d))
        share = float(np.clip(1 - self.beta * backend.dot(d, u) / energy, 0, 1))
        k = self.A(u) if self.root is None else self.root * self.A(u)
        return share, self.noise.spread(k) / (share * energy) if share > 0 else float("inf")

    def seen(self, d) -> float:
        """||A d|| / ||A_full d||: how much of the structure reaches the samples, of what a full scan would see."""
        part, full = self.lengths(d)
        return part / full if full > 0 else 0.0

    def lengths(self, d) -> tuple[float, float]:
        """(||A d||, ||A_full d||)."""
        d = d.astype(self.A.mps.dtype)
        return float(np.linalg.norm(self.A(d))), float(np.linalg.norm(self.full(d)))

    def trace(self, d):
        """A d in units of the noise."""
        return self.noise.units(self.samples(d.astype(self.A.mps.dtype)))


def _on_the_grid(mps, axes, points: int):
    """SENSE of all cells of the grid, with maps spread to every frame."""
    names = axes or (_axes.COIL, *tuple(_axes.POINTS)[-points:])
    inner = len(_axes.encoded(names))
    return linops.sense(mps, axes=(*names[:-inner], *tuple(_axes.GRID)[-inner:]))


@dataclass(frozen=True, repr=False)
class Visibility(Told):
    """What `visibility` returns, for one slice.

    Attributes:
        determined: (y, x), 0 to 1: the share of a small blob there that the samples determine; 0 outside of the maps.
        contrast: (y, x), 5 standard deviations of the noise that the height of a blob there has where it is measured
            without a prior, in units of the image; 0 outside of the maps.
        level: 99th percentile of the zero-filled image, what `contrast` compares with.
        inside: (y, x) bool, where there are maps.
        width: of the blob, full width at half maximum, in pixels.
        noise: where the noise level is from.
    """

    determined: np.ndarray
    contrast: np.ndarray
    level: float
    inside: np.ndarray
    width: float
    noise: str

    @property
    def hidden(self) -> float:
        """The share of the pixels inside the maps where less than half of a blob is determined."""
        return float((self.determined[self.inside] < LOW).mean())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `json`."""
        inside = self.determined[self.inside]
        return {"width": self.width, "lowest": float(inside.min()), "median": float(np.median(inside)),
                "hidden": self.hidden, "contrast": float(np.median(self.contrast[self.inside]) / self.level),
                "noise": self.noise}

    def section(self) -> Section:
        """For the report."""
        d = self.to_dict()
        text = (f"A blob of {self.width:g} pixels is put at every place, and asked how much of it the samples "
                "determine without any prior: <d, K d> / <d, d>, K = (A^H A + beta)^-1 A^H A, beta = 0.003 ||A||^2. 1: "
                "an image that shows another blob there contradicts the data. 0: a blob may be added or taken away and "
                "no sample changes: a lesion could hide there, or be invented, and no residual can tell. "
                f"Here the median is {d['median']:.2f}, the lowest {d['lowest']:.2f}; at {self.hidden:.0%} of the "
                "places it is below one half.\n\n"
                "The second picture is the height that a blob needs to be 5 standard deviations above the noise, where "
                "the samples measure it without a prior, in % of the image's level (99th percentile); coils that can "
                f"hardly tell its place from others make it large. Noise: {self.noise}.")
        warn = [] if self.hidden == 0 else [f"at {self.hidden:.0%} of the places less than half of a small structure "
                                            "is determined by the data: what is there comes from the prior"]
        percent = 100 * self.contrast / self.level
        pictures = {"determined by the samples": Picture(self.determined, 0.0, 1.0, "share", "gray"),
                    "height for 5 sigma": Picture(percent, 0.0, float(max(percent.max(), 1e-6)), "%", "heat")}
        rows = [{"blob [pixels]": self.width, "determined, median": d["median"], "determined, lowest": d["lowest"],
                 "places below 1/2": self.hidden, "height for 5 sigma [%], median": 100 * d["contrast"]}]
        return Section("Where could a structure hide?", text, rows, pictures, warnings=warn)


def visibility(scan: Any, *, width: float = 3.0, grid: int = 16, slice: int | None = None,
               noise: float | None = None) -> Visibility:
    """How much of a small structure at each place of the image is determined by what was sampled.

        V(r) = <g_r, K g_r> / <g_r, g_r>,    K = (A^H A + beta)^-1 A^H A,    g_r a Gaussian blob at r

    by conjugate gradients on a grid of places, linear in between. V knows operator and mask only, not the image: it
    says where a prior or a network is free to invent or to lose, not that it does.

    Args:
        scan: as for `Recipe`; without maps ESPIRiT's are made. Of a series the middle frame is looked at; of a 3-D
            scan give a plane, `scan.parts(each=("slice", "x"))[n]`.
        width: full width at half maximum of the blob, in pixels.
        grid: places along the longer side.
        slice: which slice of a volume; None: the middle one.
        noise: standard deviation of the real and of the imaginary part of a sample; None: the scan's noise samples,
            else an estimate.

    Raises:
        TypeError, ValueError: no scan, a 3-D one, several sets of maps, numbers out of range.

    Example:
        pi.evaluate.visibility(scan).section()
    """
    width = _check.number("width", width, low=0, strict=True)
    grid = _check.integer("grid", grid, low=2)
    scan = prepared(scan)
    plane = flat(scan, slice, "visibility")
    sight = sight_of(plane, noise_of(scan, noise))
    shape = plane.image_shape
    energy = (abs(sight.A.mps) ** 2).sum(0)
    inside = energy > 0.1 * energy.max()
    step = max(shape) / grid
    ys, xs = (np.arange(step / 2, n, step).astype(int) for n in shape)
    found = np.full((2, len(ys), len(xs)), np.nan)
    for i, j in np.ndindex(len(ys), len(xs)):
        if inside[ys[i], xs[j]]:
            share, std = sight.measured(gaussian(shape, (ys[i], xs[j]), width) * (energy > 0))
            found[:, i, j] = share, CLEAR * min(std, 1e30)
    if np.isnan(found).all():
        raise ValueError(f"grid is too coarse, no place of {grid} lies inside the maps: give more")
    determined, contrast = (_everywhere(f, ys, xs, shape) * inside for f in found)
    zero_filled = abs(sight.back(plane.kspace))[inside] / energy[inside]
    return Visibility(determined, contrast, float(np.percentile(zero_filled, 99)), inside, width, sight.noise.source)


def seen(structure: ArrayLike, scan: Any, *, slice: int | None = None, noise: float | None = None) -> dict[str, float]:
    """How much of a structure, a lesion or the change that a network made, the samples can know of.

    Args:
        structure: d (y, x), real or complex, in units of the image; of a 3-D scan (z, y, x).
        scan, slice, noise: as for `visibility`; a 3-D scan is looked at as a whole.

    Returns:
        "seen" = ||A d|| / ||A_full d||; "determined" = <d, K d> / <d, d>, see `visibility`; "sigmas" = ||A d|| in units
        of the noise: how far it stands out in the residual of an image that is right otherwise.

    Raises:
        TypeError, ValueError: a structure of another shape than the image, or zero everywhere.
    """
    scan = prepared(scan)
    volume = len(scan.encoding.encoded) > 2 and not scan.further
    part = scan.parts()[which(scan, slice)] if volume else flat(scan, slice, "seen")
    inner = len(part.encoding.encoded)
    d = backend.to_numpy(_check.array("structure", structure, shape=part.image_shape[-inner:], nonzero=True))
    sight = sight_of(part, noise_of(scan, noise))
    return {"seen": sight.seen(d), "determined": sight.determined(d), "sigmas": float(np.linalg.norm(sight.trace(d)))}


def prepared(scan):
    """The scan with mask and one set of maps."""
    scan = prepare(scan, Espirit(), stacklevel=4)
    if not one_set(scan):
        raise ValueError(f"scan has {scan.sets} sets of coil maps: this needs one, Espirit(sets=1)")
    return scan


def sight_of(part, noise: Noise) -> Sight:
    """`Sight` of a part of a prepared scan."""
    anywhere = {} if part.coord is None else {"coord": part.coord, "density": part.encoding.density}
    return Sight(part.mps, part.mask, noise, axes=part.axes, shape=part.kspace.shape, field_map=part.field_map,
                 times=part.times, **anywhere)


def _everywhere(values, ys, xs, shape):
    """Values on a grid, NaN where there is none, as an image: the nearest where there is none, linear in between."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(np.isnan(values), return_distances=False, return_indices=True)
    places = [np.interp(np.arange(n), at, np.arange(len(at))) for n, at in zip(shape, (ys, xs))]
    return ndimage.map_coordinates(values[tuple(nearest)], np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
