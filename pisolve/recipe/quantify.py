"""`quantify`: from k-space to maps of T1, T2, T2*, a field, fat, or of a model of the user's own."""

from __future__ import annotations

import inspect
import time
import warnings
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import _axes, _check, backend
from pisolve._types import Numbers, PathLike
from pisolve.figure import SUFFIXES
from pisolve.prepare import as_scan, models_of
from pisolve.priors import Prior, Wavelet
from pisolve.recipe.noise import scan_noise
from pisolve.recipe.recipe import Recipe
from pisolve.recipe.recon import recon
from pisolve.recipe.reconstruction import KEPT, Reconstruction
from pisolve.scan import Scan
from pisolve.scan.size import cut, wanted
from pisolve.signals import Maps, TimesWarning, named
from pisolve.signals import one_step as solved_in_one

_STRENGTH = 2e-3  # of the wavelets that maps in one step have where no prior is given
_SERIES = "echo"  # which of several further axes the times are along, where nothing is said
_TIMES = {"echo_times": (("echo_times", 1.0), ("te_ms", 1e-3)),
          "inversion_times": (("inversion_times", 1.0), ("ti_ms", 1e-3))}  # where a scan's meta has them, in s
_BIDS = {"echo_times": "EchoTime", "inversion_times": "InversionTime"}
FIELD = "field_strength_t"


@dataclass(frozen=True, repr=False)
class Quantified:
    """What `quantify` returns.

    Attributes:
        maps: `signals.Maps`, with names, units, standard deviations and masks.
        signal: the word, or "model".
        times: s, and clock: what they are called.
        reconstruction: of the images, None for one step.
        scan: what it was done to, after undersampling, with the maps of the coils.
        recipe: which made the images, or prepared the one step.
        prior: of the images or of the maps.
        status: of the reconstruction, "done" for one step.
        seconds: wall time by stage.
    """

    maps: Maps
    signal: str
    times: np.ndarray
    clock: str
    reconstruction: Reconstruction | None
    scan: Scan
    recipe: Recipe
    prior: Prior
    status: str
    seconds: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.maps[name]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of the maps."""
        return self.maps.axes

    def save(self, path: PathLike, *, crop: Any = "recon") -> list[Path]:
        """Write the maps: .h5 all of them with the recipe, .nii(.gz) one each by BIDS' names, .png, .pdf or .svg drawn.

        Args:
            path: the file; of NIfTI "sub-01.nii.gz" stands for sub-01_T2map.nii.gz and its like, see `io.save_maps`.
            crop: as for `Reconstruction.save`.

        Returns:
            The files that were written.
        """
        if Path(path).suffix in SUFFIXES:
            return self.maps.save(path)
        size = wanted(self.scan, crop)
        meta = cut(self.maps.amplitude, self.scan.meta, size)[1]
        less = replace(self.maps, amplitude=cut(self.maps.amplitude, {}, size)[0], **{
            n: {k: cut(v, {}, size)[0] for k, v in getattr(self.maps, n).items()} for n in ("values", "std", "mask")})
        told = {"SignalModel": self.signal, _BIDS.get(self.clock, "Times"): [float(t) for t in self.times]}
        told |= {"Prior": repr(self.prior)} if self.reconstruction is None else {}
        plain = str(path).endswith((".h5", ".hdf5"))
        recipe = self.recipe if plain and self.reconstruction is not None else None  # of images: it runs again
        kept = {n: v for n, v in meta.items() if n not in ("te_ms", "ti_ms", "echo_times", "inversion_times")}
        if plain:
            kept, told = {n: kept[n] for n in KEPT if n in kept}, told | {"status": self.status}
        else:
            kept |= {"status": self.status, "done": repr(self)}
        return less.save(path, meta=kept, recipe=recipe, told=told)

    def plot(self, *, slice: int | None = None, title: str = "") -> Any:
        """Draw the maps with bars in their units, see `Maps.plot`."""
        return self.maps.plot(slice=slice, title=title)

    def _repr_html_(self) -> str:
        return self.maps._repr_html_()

    def __repr__(self) -> str:
        by = f"{'one step' if self.reconstruction is None else 'images'} by {self.prior!r}"
        return f"Quantified({self.signal}: {', '.join(self.maps.values)}; {self.maps.amplitude.shape}, {by})"


def quantify(scan: Any, signal: Any, prior: Prior | None = None, *, times: Numbers | None = None,
             axis: str | None = None, one_step: bool = False, noise: float | None = None, replicas: int = 0,
             seed: int = 0, field_strength: float | None = None, **options: Any) -> Quantified:
    """Maps of a signal model from the k-space of a series, in one call: images and a fit, or in one step.

    Args:
        scan: a `Scan`, the path of one, or what else `recon` takes, with an axis of echoes or inversion times.
        signal: "t2", "t2star", "t1_ir", "molli", "b0", "water_fat", or a `signals.Model` of your own.
        prior: of the images, or a `Recipe`, as for `recon`; in one step of the maps, whose first axis is called
            "parameter": None is 2e-3 * Wavelet(axes=("y", "x")).
        times: s of each frame, increasing. None: what the scan says, `meta["echo_times"]`, `meta["te_ms"]` and their
            like for inversions.
        axis: the name of the axis that they are along; None: the only one there is, or "echo".
        one_step: maps straight from k-space, see `signals.one_step`; `options` are those of `Recipe` that prepare the
            scan (sampling, maps, compress, ...), max_iter and solver, of each linear problem.
        noise: standard deviation of the images' noise (in one step of the samples'); None: from what the fit leaves.
        replicas: of images: how many times the scan is reconstructed with further noise of its own strength, of which
            the standard deviation of the maps comes; of one step see there. 0: that of the images' own noise alone,
            which knows nothing of what a prior does.
        seed: of these.
        field_strength: T, for "water_fat"; None: what the scan says.
        options: the other arguments of `recon` by their names.

    Returns:
        `Quantified`, with `.save(path)` and `.plot()`; `["t2"]` is the map.

    Raises:
        TypeError, ValueError: no such signal; times that do not fit, are in milliseconds, or are not known; an axis
            that the scan has not; and as `recon`.

    Example:
        maps = pi.quantify(scan, "t2", 0.1 * pi.LLR(), times=[0.02, 0.04, 0.06, 0.08])
        maps.save("sub-01.nii.gz")
    """
    start = time.perf_counter()
    mps = options.pop("mps", None)
    scan = as_scan(scan)
    scan = scan if mps is None else replace(scan, mps=mps)
    if field_strength is None and isinstance(scan.meta.get(FIELD), int | float):
        field_strength = float(scan.meta[FIELD])
    signal = named(signal, field_strength=field_strength)
    axis = axis_of(scan, axis)
    times = times_of(scan, signal, axis, times)
    replicas, seed = _check.integer("replicas", replicas, low=0), _check.integer("seed", seed, low=0)
    if replicas == 1:
        raise ValueError("replicas is 1: a standard deviation needs two, and 16 are of use; 0 makes none")
    if one_step:
        return _in_one(scan, signal, prior, times, axis, noise, replicas, seed, field_strength, options, start)
    done = recon(scan, prior, **options)
    middle = time.perf_counter()
    at = done.axes.index(axis)
    maps = signal.fit(done.x, times, at, noise)
    if replicas:
        maps = replace(maps, std=_replicated(done, signal, times, at, replicas, seed, maps))
    maps = replace(maps, axes=tuple(a for a in done.axes if a != axis))
    return Quantified(maps, signal.name, times, signal.clock, done, done.scan, done.recipe,
                      done.recipe.prior, done.status,
                      {"images": middle - start, "maps": time.perf_counter() - middle})


def axis_of(scan: Scan, axis: str | None) -> str:
    """The axis of the scan that times are along.

    Raises:
        ValueError: it has none, no such one, or several.
    """
    further = scan.further
    if axis is not None:
        return _check.choice("axis", axis, further)
    if not further:
        raise ValueError(f"this scan has the axes {', '.join(scan.axes)}: a signal needs one of echoes or times, such "
                         "as axes=('echo', 'coil', 'ky', 'kx')")
    if len(further) > 1 and _SERIES not in further:
        raise ValueError(f"axis is needed: the times may be along {' or '.join(further)}")
    return _SERIES if _SERIES in further else further[0]


def times_of(scan: Scan, signal: Any, axis: str, times: Numbers) -> np.ndarray:
    """The times in s, given or as the scan says them.

    Raises:
        TypeError, ValueError: none are known, or they do not fit.
    """
    from pisolve.signals._times import checked_times

    count = scan.kspace.shape[scan.axes.index(axis)]
    if times is None:
        for name, factor in _TIMES.get(signal.clock, ()):
            said = scan.meta.get(name)
            if np.ndim(said) == 1 and len(said) == count:  # a list, or an array
                times = [factor * t for t in said]
                break
        else:
            raise ValueError(f"times are needed: the seconds of each of the {count} images along {axis!r}, and the "
                             f"scan says no {signal.clock} of so many; give times=[...] (--"
                             f"{signal.clock.replace('_', '-')})")
    return checked_times(signal.clock, times, count=count, least=signal.least, longest=signal.longest)


def _replicated(done, signal, times, at, replicas, seed, maps) -> dict:
    """The standard deviation of each map over reconstructions of the scan with further noise."""
    recipe = done.recipe.replace(sampling=None, whiten=False, compress=None, tune=None)
    sigma = scan_noise(done.scan, recipe).sigma
    rng, scan = np.random.default_rng(seed), done.scan
    there = scan.kspace != 0
    found = {name: [] for name in maps.values}
    for _ in range(replicas):
        drawn = rng.standard_normal((2, *there.shape))
        more = (sigma * (drawn[0] + 1j * drawn[1]) * there).astype(scan.kspace.dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what was said of the scan itself is said
            x = recipe(scan._with(kspace=scan.kspace + more)).x
            one = signal.fit(x, times, at, None)
        for name, values in one.values.items():
            found[name].append(values)
    std = {}
    for name, values in found.items():
        several = np.stack(values)
        enough = np.isfinite(several).sum(0) >= max(2, replicas // 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pixels that are NaN in all of them
            spread = np.nanstd(several, axis=0, ddof=1)
        std[name] = np.where(enough & maps.mask[name], spread, np.nan).astype(np.float32)
    return std


def _in_one(scan, signal, prior, times, axis, noise, replicas, seed, field_strength, options, start) -> Quantified:
    """All slices in one step each."""
    recipe = _of_one_step(scan, axis, prior, options)
    prior = _STRENGTH * Wavelet(axes=("y", "x")) if prior is None else prior
    scan = recipe.prepare(scan)
    if scan.sets > 1 or recipe.each != (_axes.SLICE,):
        raise ValueError("one_step is for one set of maps, and slices one by one: leave sets and each out")
    middle, parts = time.perf_counter(), scan.parts(recipe.each)
    models, scale = models_of(scan, recipe.method, parts=parts)
    how = {"max_iter": options.get("max_iter", 20), "solver": recipe.solver, "replicas": replicas, "seed": seed,
           "noise": None if noise is None else noise * scale}
    found = [None if m is None else _of_slice(m, scale, signal, times, prior, how) for m in models]
    maps = _together(found, scan, axis)
    return Quantified(maps, signal.name, times, signal.clock, None, scan, recipe, prior, "done",
                      {"coil maps": middle - start, "maps": time.perf_counter() - middle})


def _of_one_step(scan, axis, prior, options) -> Recipe:
    """The recipe of these options; what one step cannot do is refused."""
    if scan.further != (axis,):
        others = [a for a in scan.further if a != axis]
        raise ValueError(f"one_step takes no {others[0]!r} beside {axis!r}: select one, or make images first")
    if isinstance(prior, Recipe | Reconstruction):
        raise TypeError("one_step takes a prior of the maps, and no recipe of images: give 1e-3 * pi.Wavelet(axes="
                        "('y', 'x')), or None")
    known = {f.name for f in fields(Recipe)} - {"prior", "name", "tol"}
    if wrong := sorted(set(options) - known):
        raise TypeError(f"one_step takes no {wrong[0]}: beside its own arguments {', '.join(sorted(known))}")
    recipe = Recipe(**options)
    if not recipe.method.tunable or recipe.network is not None or recipe.tune or recipe.x0 is not None:
        raise ValueError("one_step is for Sense() and a prior with a strength: leave method, network, tune and x0 out")
    return recipe


def _of_slice(model, scale, signal, times, prior, how) -> Maps:
    """The maps of one slice, in the scan's units."""
    with warnings.catch_warnings():
        warnings.simplefilter("once", TimesWarning)
        maps = solved_in_one(model.A, model.y * model.y.real.dtype.type(scale), signal, times, prior, **how)
    amplitude = backend.to_numpy(model.image(maps.amplitude)) / np.float32(scale)
    return replace(maps, amplitude=amplitude, noise=maps.noise / scale)


def _together(found, scan, axis) -> Maps:
    """The maps of the slices as one."""
    axes = tuple(a for a in scan.image_axes if a != axis)
    some = next((m for m in found if m is not None), None)
    if some is None:
        raise ValueError("this scan holds nothing: no slice has samples and maps")
    if _axes.SLICE not in axes:
        return replace(some, axes=axes)
    nothing = np.full(some.amplitude.shape, np.nan, np.float32)

    def stacked(pick, empty):
        return np.stack([empty if m is None else pick(m) for m in found])

    names, noises = tuple(some.values), [m.noise for m in found if m is not None]
    return Maps({n: stacked(lambda m, n=n: m.values[n], nothing) for n in names},
                {n: stacked(lambda m, n=n: m.std[n], nothing) for n in names}, some.units,
                {n: stacked(lambda m, n=n: m.mask[n], nothing == 0) for n in names},
                stacked(lambda m: m.amplitude, 0 * some.amplitude), float(np.median(noises)),
                stacked(lambda m: m.misfit, nothing), axes)


_own = inspect.signature(quantify)
_theirs = inspect.signature(recon).parameters
quantify.__signature__ = _own.replace(parameters=[  # what help() and editors show
    *(p for p in _own.parameters.values() if p.kind != p.VAR_KEYWORD),
    *(p for n, p in _theirs.items() if n not in _own.parameters and p.kind == p.KEYWORD_ONLY)])
