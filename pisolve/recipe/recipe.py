"""A recipe: calibration + scaling + operator + prior + solver, from k-space to image; saved, it runs again alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pisolve import backend, io
from pisolve._check import brief, choice, integer, number, renamed
from pisolve._hints import hinted, instead
from pisolve._types import PathLike
from pisolve._version import __version__
from pisolve.io.held import held
from pisolve.prepare import (
    EACH,
    SAMPLINGS,
    CoilImages,
    Compress,
    Espirit,
    Grappa,
    Inati,
    JSense,
    Maps,
    Method,
    Raki,
    Sampling,
    Sense,
    Spirit,
    Walsh,
    as_scan,
    prepare,
    zero_filled_scale,
)
from pisolve.prepare.shots import AUTO, check_delays
from pisolve.priors import Prior, Wavelet, Zero, as_prior
from pisolve.priors._names import check_axes
from pisolve.recipe import automatic, doubt, file, first
from pisolve.recipe.agreement import Watch
from pisolve.recipe.checkpoint import check_folder
from pisolve.recipe.device import session
from pisolve.recipe.format import decode, encode
from pisolve.recipe.network import NetworkResult, accept, beside_network
from pisolve.recipe.network import run as run_network
from pisolve.recipe.reconstruction import WORST, Reconstruction
from pisolve.recipe.run import run
from pisolve.scan.parts import check_each
from pisolve.solvers import Result, Solver, solve
from pisolve.tuning import check_tune, tune_prepared

__all__ = ["SAMPLINGS", "Espirit", "Recipe", "Reconstruction", "Sampling", "as_scan", "zero_filled_scale"]
_FLAGS = ("whiten", "consistency", "off_resonance", "check")
_PARTS = {c.__name__: c for c in (CoilImages, Compress, Espirit, Grappa, Inati, JSense, Raki, Sampling, Sense, Spirit,
                                  Walsh)}


@hinted
@renamed(espirit="maps")
@dataclass(frozen=True)
class Recipe:
    """From k-space to image: whiten?, undersample?, compress?, maps, scale, solve, scale back.

    K-space is scaled so that the zero-filled image (A^H y of the whole scan) has a 99th percentile of 1, so that one
    `lam`, and a denoiser's sigma, carry from scan to scan; the image is scaled back. Maps whose root sum of squares is
    not 1 are divided by its typical value, see `Sense`, and A^H y by sum |S|^2. Slices are problems of their own, a
    series or a volume is one.

    Args:
        prior: g, in the units of the scaled image. None: cycle-spun wavelets, lam = 2e-3; `Zero()` for GRAPPA, RAKI.
        solver: None lets `solve` choose.
        maps: how to make maps where a scan has none: `Espirit()`, `Walsh()`, `Inati()`, `JSense()`, `nets.LearnedMaps`.
        sampling: retrospective undersampling to begin with, or None. A scan that is undersampled already is refused:
            `recipe.replace(sampling=None)` is the same recipe for it.
        max_iter, tol: as for `solve`.
        name: for tables.
        tune: None, or a criterion of `pisolve.tune` that chooses the prior's strength first, on the middle slice
            ("holdout", "sure", "discrepancy", "reference"): `prior` then says which prior, and its own strength does
            not count. The reconstruction's recipe holds the strength and no `tune`, and gives the same bits. For SENSE
            with one set of maps only.
        method: `Sense()`, `Grappa()`, `Raki()` or `Spirit()`.
        whiten: make the noise white by the scan's noise samples first, and maps that the scan brings anew of a root sum
            of squares of 1; the image is then in units of the noise, the SNR where it is fully sampled.
        compress: coil compression, such as `Compress(8)`, or None.
        network: a reconstruction network, `pi.nets.load(name)`, instead of prior and solver. One that `needs_maps`
            is called with the SENSE operator of each slice, another with k-space and mask, and no maps are made.
        fallback: beside a network, the prior whose image is taken where the network's is doubtful and misses more of
            samples that both were not given, see `doubt.judged`: `pi.PnP(D)`, `1.5e-3 * pi.TV()`.
        consistency: bring the measured data back into the network's image: for one coil they replace its samples; for
            maps argmin 1/2 ||A x - y||^2 + 0.005 ||x - x_net||^2. A network without maps gives a magnitude, which for
            this gets the phase of the zero-filled image: at 4x that took 5 % off a perfect one. One coil only.
        each: the axes along which a scan is taken apart into problems of their own, "slice" alone by default; with
            ("slice", "frame") frames are solved one by one, too, and with ("slice", "x") a 3-D scan plane by plane
            along x, which must be sampled fully.
        device: where it is solved: "cpu", "cuda", "cuda:1", or "auto", a GPU where there is one. Maps are calibrated on
            the CPU; k-space and maps then are moved once, and the image comes back. See `device.plan` and docs/gpu.md.
        x0: the first image, in the scan's units and of the shape of `result.x`: an array, a result, or the path of one.
            For one set of maps; `noise_map` and its like begin their own runs anew.
        weights: of the samples, real, >= 0, shaped like a mask, or the path of them: the data term is
            1/2 sum w |A x - y|^2, as SigPy has it. The scale is that of the scan without them. For `Sense()`.
        off_resonance: False leaves out the correction of a scan that has a field map and times.
        check: before the first step test by a few dot products that operators made elsewhere, behind the prior, have
            the adjoint and the normal operator they should, and warn where not: as for `solve`, once for all parts.
        delays, shot_factors: of samples anywhere: gradient delays in samples for each axis, and whether shots are
            divided by their factors; "auto" finds both in radial scans, and `scan.meta` says it; None, False: neither.
        minutes: the time that `tune` may take, see `pisolve.tune`; None: as long as it wants.
    """

    prior: Prior | None = None
    solver: Solver | None = None
    maps: Maps = field(default_factory=Espirit)
    sampling: Sampling | None = None
    max_iter: int = 100
    tol: float = 1e-4
    name: str = ""
    tune: str | None = None
    method: Method = field(default_factory=Sense)
    whiten: bool = False
    compress: Compress | None = None
    network: object = None
    fallback: Prior | None = None
    consistency: bool = False
    device: str = "cpu"
    each: tuple[Any, ...] = EACH
    x0: object = field(default=None, repr=False, compare=False)
    weights: object = field(default=None, repr=False, compare=False)
    off_resonance: bool = True
    delays: object = AUTO
    shot_factors: bool | str = AUTO
    check: bool = True
    minutes: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "each", check_each(self.each))
        object.__setattr__(self, "delays", check_delays(self.delays))
        choice("shot_factors", self.shot_factors, (AUTO, True, False))
        if self.network is not None:
            accept(self, Recipe)
        elif self.prior is None:
            prior = Zero() if getattr(self.method, "fills", False) else 2e-3 * Wavelet(shifts=16)
            object.__setattr__(self, "prior", prior)
        object.__setattr__(self, "prior", as_prior(self.prior))
        prior = Prior if self.network is None else type(None)
        for name, kind, what in (("prior", prior, "a prior such as 1e-3 * pi.TV()"), ("name", str, "a string"),
                                 ("maps", Maps, "an Espirit(calib_width=..., ...), a Walsh(), Inati() or JSense()"),
                                 ("method", Method, "a Sense(), Grappa(), Raki() or Spirit()"),
                                 *((n, bool, "True or False") for n in _FLAGS),
                                 ("compress", Compress | None, "a Compress(coils=...)"),
                                 ("solver", Solver | None, "a solver such as pi.FISTA()"),
                                 ("sampling", Sampling | None, "a pi.Sampling(mask, accel)")):
            if not isinstance(given := getattr(self, name), kind):
                raise TypeError(f"{name} must be {what}, got {brief(given)}{instead(name, given)}")
        for name in ("x0", "weights"):
            first.check(name, getattr(self, name))
        beside_network(self)
        if self.x0 is not None and self.prior.solver() is not None:
            raise ValueError("x0 has no effect on a network that is fitted to the scan: leave it out")
        check_tune(self.tune, self.minutes)
        backend.check_device(self.device)
        integer("max_iter", self.max_iter, low=0)
        number("tol", self.tol, low=0)
        if self.tune is not None and self.method.fills:
            raise ValueError(f"tune={self.tune!r} is for SENSE: held-out samples break what "
                             f"{type(self.method).__name__} fills, and its noise is not white: give the prior a "
                             "strength, or take Sense()")
        if self.tune is not None and not (self.method.tunable and getattr(self.maps, "sets", 1) == 1):
            raise ValueError(f"tune={self.tune!r} is for SENSE with one set of maps: give the prior a strength")

    def prepare(self, scan: Any) -> io.Scan:
        """The scan after undersampling, with a mask and maps: all that solving needs, shared between recipes.

        Args:
            scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).

        Raises:
            ValueError: a scan that is undersampled already, and a recipe with `sampling`.
        """
        scan = as_scan(scan)
        if self.weights is not None:
            scan = replace(scan, weights=first.loaded(self.weights))
        if not self.off_resonance:
            scan = scan._with(field_map=None, times=None)
        self.check_prior(scan)
        if self.sampling is not None:
            self.sampling.check(scan)
        return prepare(scan, self.maps, self.sampling, whiten=self.whiten, compress=self.compress, method=self.method,
                       each=self.each, delays=self.delays, shot_factors=self.shot_factors, stacklevel=4)

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with other arguments: `recipe.replace(sampling=None)` for a scan as it was measured."""
        return replace(self, **changes)

    def check_prior(self, scan: io.Scan) -> None:
        """Refuse a prior that names axes which the parts of the scan have not, before there is any work.

        Raises:
            ValueError: no such axis, with those there are.
        """
        sets = max(scan.sets, getattr(self.maps, "sets", 1) if scan.mps is None else 1)
        if self.prior is not None and self.method.needs_maps and sets == 1:
            names = tuple(a for a in scan.image_axes if a not in self.each)
            sizes = dict(zip(scan.image_axes, scan.image_shape))
            check_axes(self.prior, names, tuple(sizes[a] for a in names))

    def __call__(self, scan: Any, *, callbacks: tuple[Callable[..., Any], ...] = (), progress: bool = False,
                 checkpoint: PathLike | None = None) -> Reconstruction:
        """Reconstruct a scan.

        Ctrl-C ends a fit to the scan (`Untrained`, `ZeroShot`) with its best image so far, status "stopped"; slices
        that were not begun are as the solver would begin them, those finished in `checkpoint` are read. Other solvers
        pass Ctrl-C on.

        Args:
            scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx); never changed.
            callbacks, progress: as for `solve`.
            checkpoint: a folder for the states of the slices, written every half minute and after Ctrl-C or SIGTERM,
                and for RAKI's fits: the same call goes on from there. What is finished is not done again: image and
                history are read. A state that does not fit its digest is solved again, with a warning.

        Raises:
            BlockingIOError: another run works in the folder `checkpoint`; it names the process.
        """
        if checkpoint is not None and self.network is not None:
            raise ValueError("checkpoint has no effect on a network, which is one call a slice: leave it out")
        folder = check_folder(checkpoint)
        start, gpu = time.perf_counter(), backend.find_gpu(self.device)  # no such GPU: said before the work
        scan = as_scan(scan)
        watch = Watch(scan, self)
        scan = self.prepare(scan)
        watch.prepared(scan)
        middle = time.perf_counter()
        recipe, tuning, seconds = self, None, {"maps": middle - start}
        with held(folder), session(gpu, scan, self) as keep, backend.one_blas_thread():
            if self.tune is not None:
                own = {n: getattr(self, n) for n in ("solver", "max_iter", "tol", "each", "minutes")}
                tuning = tune_prepared(scan, self.prior, criterion=self.tune, gpu=gpu, progress=progress, **own)
                recipe = replace(self, prior=tuning.prior, tune=None, minutes=None)
                seconds["tune"] = time.perf_counter() - middle
            done = run(recipe, scan, watch.sigma, gpu=gpu, keep=keep, callbacks=callbacks, progress=progress,
                       folder=folder)
        seconds |= {} if done.fit is None else {"fit": done.fit}
        x = scan.assemble(done.images, self.each)
        x = x / x.real.dtype.type(done.scale)
        status = min((r.status for r in done.results), key=WORST.index)
        seconds["solve"] = time.perf_counter() - start - sum(seconds.values())
        solver = next((r.solver for r in done.results if r.status != "empty"), None)
        return Reconstruction(x, status, done.results, done.scale, replace(done.recipe, solver=solver), scan, seconds,
                              tuning, watch.solved(done.misfits, done.results))

    def solve(self, model: Any, scale: float, callbacks: tuple[Any, ...] = ()) -> Result | NetworkResult:
        """The result for one slice's model of `prepare.models_of`, in scaled units; Ctrl-C is passed on."""
        result = self.solve_model(model, scale, callbacks)
        if result.interrupted:  # a fit that was cut is no result to count on
            raise KeyboardInterrupt
        return result

    def solve_model(self, model: Any, scale: float, callbacks: tuple[Any, ...] = (), progress: bool = False,
                    state: Any = None, max_iter: int | None = None, x0: Any = None,
                    check: bool | None = None) -> Result | NetworkResult:
        """The same with what `solvers.solve` takes, and Ctrl-C ends a fit with what there is."""
        self = automatic.of_model(self, model, scale)  # where no whole scan was there to choose by
        if self.network is not None:
            result = run_network(self.network, model, scale, self.consistency)
            return result if self.fallback is None else doubt.judged(self, model, scale, result)
        y = model.y * backend.number(scale, model.y)
        x0 = None if x0 is None else first.scaled(x0, model, scale)
        result = solve(model.A, y, self.prior, self.solver, callbacks=callbacks, tol=self.tol, progress=progress,
                       max_iter=self.max_iter if max_iter is None else max_iter, state=state, x0=x0,
                       check=self.check if check is None else check)
        return replace(result, status=min(result.status, model.status or "done", key=WORST.index))

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` makes the same recipe of.

        Raises:
            ValueError: a prior of the user's own, an array or a plain function inside it cannot be written down, nor
                an `x0` or `weights` of over 4096 numbers: give them by their paths.
        """
        given = {n: first.written(n, getattr(self, n)) for n in ("x0", "weights")}
        out = {"pisolve": __version__, **encode(replace(self, x0=None, weights=None))}
        left = (("device", "cpu"), ("each", list(EACH)), *((n, None) for n in (*given, "minutes", "fallback")),
                ("check", True), ("off_resonance", True), ("delays", AUTO), ("shot_factors", AUTO))  # as before
        return {k: v for k, v in (out | given).items() if (k, v) not in left}

    def save(self, path: PathLike) -> None:
        """Write the recipe to a small .json that a person can read and change; `load` reads it.

        Raises:
            ValueError: as `to_dict`, or another suffix.
        """
        file.write(path, self.to_dict())

    @staticmethod
    def load(path: PathLike) -> Recipe:
        """The recipe in a .json (or .toml) of `save`, or in a reconstruction's .h5; what is left out has its default.

        Raises:
            ValueError, FileNotFoundError: no such file, or no recipe in it.
        """
        values = file.read(path)
        try:
            return Recipe.from_dict(values)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} holds no recipe: {error}") from error

    @staticmethod
    def from_dict(d: dict[str, Any]) -> Recipe:
        """The recipe that `to_dict` described; run on the same scan it gives the same bits.

        Raises:
            ValueError: not such a description.
        """
        if isinstance(d, dict):
            d = {k: first.read(k, v) if k in ("x0", "weights") else v for k, v in d.items() if k != "pisolve"}
            if "espirit" in d and "maps" not in d:  # as version 0.2 wrote it
                d["maps"] = d.pop("espirit")
        if isinstance(recipe := decode(d, {"Recipe": Recipe, **_PARTS}), Recipe):
            return recipe
        raise ValueError(f"this describes a {type(recipe).__name__}, not a recipe")
