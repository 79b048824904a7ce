"""A recipe: calibration + scaling + operator + prior + solver, from k-space to image; saved, it runs again alike."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from pisolve import backend, calib, io, linops, masks
from pisolve._check import brief, choice, integer, number
from pisolve._version import __version__
from pisolve.priors import Prior, Wavelet
from pisolve.recipe_format import decode, encode
from pisolve.solvers import Result, Solver, solve

SAMPLINGS = ("random", "equispaced", "equispaced_fraction", "poisson", "variable_density")
_WORST = ("nonfinite", "diverged", "stopped", "max_iter", "converged")


@dataclass(frozen=True)
class Sampling:
    """A retrospective undersampling, one of `pisolve.masks`' patterns, applied to the scan before anything else.

    Args:
        mask: "random", "equispaced", "equispaced_fraction" (lines), "poisson" or "variable_density" (points).
        accel: acceleration.
        center_fraction: share of lines in the full centre, for the patterns of lines; None: fastMRI's.
        seed: of the pattern.
    """

    mask: str = "random"
    accel: float = 4
    center_fraction: float | None = None
    seed: int = 0

    def __post_init__(self):
        choice("mask", self.mask, SAMPLINGS)
        if self.center_fraction is not None and self.mask in ("poisson", "variable_density"):
            raise ValueError(f"center_fraction is for patterns of lines, {self.mask!r} has its own centre of 24 x 24")

    def __call__(self, scan: io.Scan) -> io.Scan:
        """The undersampled scan, with the full data's RSS as reference."""
        make, shape = getattr(masks, self.mask), scan.kspace.shape
        if self.mask in ("poisson", "variable_density"):
            pattern = make(shape, self.accel, seed=self.seed)
        else:
            pattern = make(shape, self.accel, self.center_fraction, axis=scan.phase_axis, seed=self.seed)
        return scan.undersample(pattern)


@dataclass(frozen=True)
class Espirit:
    """How the coil maps are made where the scan brings none: the arguments of `calib.espirit`."""

    calib_width: int = 24
    kernel_width: int | None = None
    thresh: float = 0.02
    crop: float = 0.8
    soft_crop: bool = False

    def __call__(self, kspace, mask):
        """Coil maps of (..., coil, ky, kx); one coil gets a map of ones."""
        if kspace.shape[-3] == 1:
            return np.ones_like(kspace)
        return calib.espirit(kspace, mask=mask, calib_width=self.calib_width, kernel_width=self.kernel_width,
                             thresh=self.thresh, crop=self.crop, soft_crop=self.soft_crop)


@dataclass(frozen=True)
class Reconstruction:
    """What a recipe returns.

    Attributes:
        x: the image in the scan's own units, complex, (slice, y, x) or (y, x).
        status: the worst of the slices' statuses, see `Result`.
        results: one `Result` a slice, in scaled units.
        scale: what k-space was multiplied by before solving.
        recipe: what was done, solver and maps included.
        scan: what it was done to, after undersampling, with the mask and the maps that were used.
        seconds: wall time by stage: maps, solve.
    """

    x: np.ndarray
    status: str
    results: list
    scale: float
    recipe: Recipe
    scan: io.Scan
    seconds: dict

    @property
    def ok(self) -> bool:
        """True where no slice diverged or became non-finite."""
        return self.status in ("converged", "max_iter", "stopped")

    def save(self, path) -> None:
        """Write the image, with the recipe, versions and scale as attributes; see `io.save`."""
        if str(path).endswith((".h5", ".hdf5")):
            io.save(path, self.x, recipe=self.recipe, scale=self.scale, meta={"status": self.status})
        else:
            io.save(path, self.x)

    def __repr__(self):
        return f"Reconstruction({self.x.shape}, {self.status}, {self.recipe.prior!r} by {self.results[0].solver})"


@dataclass(frozen=True)
class Recipe:
    """From k-space to image: undersample?, maps, scale, solve, scale back.

    K-space is scaled so that the zero-filled image (A^H y of the whole scan) has a 99th percentile of 1, so that one
    `lam`, and a denoiser's sigma, carry from scan to scan; the image is scaled back. 2-D slices are solved one by one.

    Args:
        prior: g, in the units of the scaled image.
        solver: None lets `solve` choose.
        espirit: how maps are made where the scan has none.
        sampling: retrospective undersampling to begin with, or None.
        max_iter, tol: as for `solve`.
        name: for tables.
    """

    prior: Prior = field(default_factory=lambda: 2e-3 * Wavelet(shifts=16))
    solver: Solver | None = None
    espirit: Espirit = Espirit()
    sampling: Sampling | None = None
    max_iter: int = 100
    tol: float = 1e-4
    name: str = ""

    def __post_init__(self):
        for name, kind, what in (("prior", Prior, "a prior such as 1e-3 * pi.TV()"), ("name", str, "a string"),
                                 ("espirit", Espirit, "an Espirit(calib_width=..., ...)"),
                                 ("solver", Solver | None, "a solver such as pi.FISTA()"),
                                 ("sampling", Sampling | None, "a pi.Sampling(mask, accel)")):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} must be {what}, got {brief(getattr(self, name))}")
        integer("max_iter", self.max_iter, low=0)
        number("tol", self.tol, low=0)

    def prepare(self, scan) -> io.Scan:
        """The scan after undersampling, with a mask and maps: all that solving needs, shared between recipes.

        Args:
            scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).
        """
        scan = as_scan(scan)
        if self.sampling is not None:
            scan = self.sampling(scan)
        if scan.mask is None:
            scan = replace(scan, mask=masks.estimate(scan.kspace))
        masks.check(scan.mask, scan.kspace.shape)
        if scan.mps is None:
            scan = replace(scan, mps=self.espirit(scan.kspace, scan.mask))
            seen = calib.coverage(scan.mps, scan.kspace, scan.mask)
            if seen is not None and seen < 0.97:  # good maps lose 2 % at most
                warnings.warn(f"the coil maps are zero where {1 - seen:.0%} of the object's energy is, and so will be "
                              "the image: lower crop (--crop), or give mps (--mps)", stacklevel=3)
        return scan

    def __call__(self, scan, *, callbacks: tuple[Callable, ...] = (), progress: bool = False) -> Reconstruction:
        """Reconstruct a scan.

        Args:
            scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx); never changed.
            callbacks, progress: as for `solve`.
        """
        start = time.perf_counter()
        scan = self.prepare(scan)
        middle = time.perf_counter()
        slices = scan.kspace if scan.kspace.ndim == 4 else scan.kspace[None]
        mps = np.broadcast_to(scan.mps, slices.shape)
        operators = [linops.sense(m, scan.mask) for m in mps]
        scale = zero_filled_scale(operators, slices)
        results = [self._solve(A, y * y.real.dtype.type(scale), callbacks, progress)
                   for A, y in zip(operators, slices)]
        x = np.stack([backend.to_numpy(r.x) for r in results]) / results[0].x.real.dtype.type(scale)
        status = min((r.status for r in results), key=_WORST.index)
        seconds = {"maps": middle - start, "solve": time.perf_counter() - middle}
        return Reconstruction(x if scan.kspace.ndim == 4 else x[0], status, results, scale,
                              replace(self, solver=results[0].solver), scan, seconds)

    def _solve(self, A, y, callbacks, progress) -> Result:
        return solve(A, y, self.prior, self.solver, max_iter=self.max_iter, tol=self.tol, callbacks=callbacks,
                     progress=progress)

    def to_dict(self) -> dict:
        """Plain values that `from_dict` makes the same recipe of.

        Raises:
            ValueError: a prior of the user's own, an array or a plain function inside it cannot be written down.
        """
        return {"pisolve": __version__, **encode(self)}

    @staticmethod
    def from_dict(d: dict) -> Recipe:
        """The recipe that `to_dict` described; run on the same scan it gives the same bits.

        Raises:
            ValueError: not such a description.
        """
        d = {k: v for k, v in d.items() if k != "pisolve"} if isinstance(d, dict) else d
        recipe = decode(d, {"Recipe": Recipe, "Sampling": Sampling, "Espirit": Espirit})
        if not isinstance(recipe, Recipe):
            raise ValueError(f"this describes a {type(recipe).__name__}, not a recipe")
        return recipe


def as_scan(scan) -> io.Scan:
    """A `Scan` from a scan, a path or a k-space array."""
    if isinstance(scan, io.Scan):
        return scan
    return io.load(scan) if isinstance(scan, str) or hasattr(scan, "__fspath__") else io.Scan(scan)


def zero_filled_scale(operators, kspace) -> float:
    """What k-space has to be multiplied by for |A^H y| of the whole scan to have a 99th percentile of 1.

    A first scaling to a peak of 1 keeps 1e-20 and 1e20 from under- and overflowing.
    """
    with np.errstate(over="ignore"):
        peak, info = float(abs(kspace).max()), np.finfo(kspace.dtype)
    if not 1e8 * float(info.tiny) <= peak <= 1e-8 * float(info.max):
        raise ValueError(f"kspace peaks at {peak:.3g}, where {kspace.dtype} loses digits: multiply it to a peak near 1 "
                         "before it is stored in this precision")
    zero_filled = [abs(A.H((y / peak).astype(y.dtype))) for A, y in zip(operators, kspace)]
    level = float(np.percentile(zero_filled, 99)) or float(np.max(zero_filled))
    if not level > 0:
        raise ValueError("kspace and mps do not overlap: the zero-filled image is zero everywhere")
    return 1 / (level * peak)


def recon(scan, prior: Prior | None = None, solver: Solver | None = None, *, mps=None, sampling: Sampling | None = None,
          espirit: Espirit | None = None, max_iter: int = 100, tol: float = 1e-4, callbacks=(),
          progress: bool = False) -> Reconstruction:
    """Reconstruct a scan in one call: mask, maps, scaling, operator, solver.

    Args:
        scan: a `Scan`, the path of one, or k-space (coil, ky, kx) or (slice, coil, ky, kx).
        prior: g for the image scaled to a 99th percentile of 1; None: wavelets with cycle spinning, lam = 2e-3.
        solver: None lets `solve` choose.
        mps: coil maps to use instead of ESPIRiT's.
        sampling, espirit, max_iter, tol: as for `Recipe`.
        callbacks, progress: as for `solve`.

    Returns:
        `Reconstruction`: image, status, recipe, and `.save(path)`.

    Raises:
        TypeError, ValueError, FileNotFoundError: input that cannot be reconstructed, with the remedy.
    """
    scan = as_scan(scan)
    if mps is not None:
        scan = replace(scan, mps=mps)
    options = {k: v for k, v in (("prior", prior), ("espirit", espirit)) if v is not None}
    recipe = Recipe(solver=solver, sampling=sampling, max_iter=max_iter, tol=tol, **options)
    return recipe(scan, callbacks=callbacks, progress=progress)
