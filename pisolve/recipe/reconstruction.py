"""What a recipe returns: the image, how the run ended, and what was done."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pisolve import backend, io
from pisolve._types import PathLike
from pisolve.figure import SUFFIXES, figure
from pisolve.io.zarr import SUFFIXES as ZARR
from pisolve.prepare import TOLD, like_rss, zero_filled
from pisolve.recipe.agreement import Agreement
from pisolve.recipe.network import name_of
from pisolve.scan.html import page, planes
from pisolve.scan.size import cut, pixel_of, wanted
from pisolve.solvers import CG, Result, State, solve
from pisolve.tuning import Tuning

WORST = ("nonfinite", "diverged", "stopped", "max_iter", "converged", "done", "empty")
KEPT = ("voxel_mm", "affine", "affine_code", "frame_s", "epi")  # of a scan's meta, what its image keeps
_GOOD = ("converged", "max_iter", "stopped", "done", "empty")


def empty(part) -> Result:
    """The result of a part of a scan that holds nothing: zeros."""
    x = np.zeros(part.image_shape, part.kspace.dtype)
    return Result(x, "empty", State(x), [], None, None)


def plain(model, scale: float):
    """The SENSE image of a part whose run failed, in scaled units: nothing that a prior made of it."""
    return solve(model.A, model.y * backend.number(scale, model.y), None, CG(), max_iter=10).x


def repeated(recipe: Any, result: Any) -> Any:
    """The recipe with the solver and the number of steps of a run: no stopping rule differs; a network as it is."""
    if result.solver is None:
        return recipe
    return replace(recipe, solver=result.solver, max_iter=max(result.state.k, 1), tol=0.0)


@dataclass(frozen=True)
class Reconstruction:
    """What a recipe returns.

    Attributes:
        x: the image in the scan's own units, complex, with the axes `axes`, such as (slice, y, x). Of several parts
            one that failed is the SENSE image, one that holds nothing is 0.
        status: the worst of the parts' statuses, see `Result`; "done" or "nonfinite" for a network.
        results: one `Result` (`NetworkResult` for a network) a part, in scaled units; "empty" where there was nothing
            to solve: no sample, or maps that are zero.
        scale: what k-space was multiplied by before solving, with normalised maps.
        recipe: what was done, solver and maps included.
        scan: what it was done to, after undersampling, with the mask and the maps that were used.
        seconds: wall time by stage: maps, (tune,) (fit,) solve; fit: of GRAPPA's, RAKI's and SPIRiT's weights.
        tuning: how the strength was chosen, for a recipe with `tune`; its recipe then holds the chosen prior.
        agreement: what the image leaves of the measured samples, in units of the noise, and `agreement.doubts`, what is
            odd about data, maps and image, each with its likely cause.
    """

    x: np.ndarray[Any, np.dtype[Any]]
    status: str
    results: list[Any]
    scale: float
    recipe: Any  # a Recipe, which is made above here
    scan: io.Scan
    seconds: dict[str, float]
    tuning: Tuning | None = None
    agreement: Agreement | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes of x."""
        return self.scan.image_axes

    @property
    def corrections(self) -> dict[str, str]:
        """What was done to the shots of samples anywhere, in words: "simulated", "delays", "shots", where it was."""
        return {word: self.scan.meta[name] for name, word in TOLD.items() if name in self.scan.meta}

    @property
    def like_reference(self) -> np.ndarray:
        """x as a root of the sum of squares of the coils' images shows it: times that of maps where it is not 1."""
        return like_rss(self.scan, self.x)

    @property
    def ok(self) -> bool:
        """True where no part diverged or became non-finite."""
        return self.status in _GOOD

    @property
    def doubtful(self) -> bool:
        """True where a network's `fallback` predicted samples that neither was given better, and took its place."""
        return any(getattr(r, "doubtful", False) for r in self.results)

    @property
    def failed(self) -> dict[str, str]:
        """{part: status} of those that diverged or became non-finite, a part as "slice 3"."""
        labels = self.scan.labels(self.recipe.each)
        told = [", ".join(f"{n} {i}" for n, i in label.items()) or "the scan" for label in labels]
        return {t: r.status for t, r in zip(told, self.results) if r.status not in _GOOD}

    def save(self, path: PathLike, *, crop: Any = "recon", component: str | None = None) -> None:
        """Write the image, with the recipe, versions and scale as attributes, see `io.save`; or draw it.

        Args:
            path: .h5, .zarr, .npy, .cfl, .mat, .nii(.gz), .dcm, .mrd (ISMRMRD's images), or for a picture, as `plot`
                shows it, .png, .pdf or .svg.
            crop: the size that is written, of the image's centre: "recon", the header's reconstruction matrix where the
                scan has one, so that phase oversampling is cut off; "none"; a number for y and x; or (y, x).
            component: "magnitude", "phase", "real", "imaginary" or "complex"; None as `io.save` has it.
        """
        if Path(path).suffix in SUFFIXES:
            self._drawn(path=path)
            return
        image, meta = cut(self.x, self.scan.meta, wanted(self.scan, crop))
        if str(path).endswith((".h5", ".hdf5", *ZARR)):
            told = {n: meta[n] for n in KEPT if n in meta}
            io.save(path, image, axes=self.axes, recipe=self.recipe, scale=self.scale, component=component,
                    meta={"status": self.status} | told)
        else:
            plain = str(path).endswith((".npy", ".cfl", ".mat"))
            io.save(path, image, axes=self.axes, component=component, meta=None if plain else meta | self._said())

    def _said(self) -> dict[str, Any]:
        """What a format says of its image that has no place for a recipe."""
        found = {"done": repr(self), "status": self.status, "scale": self.scale}
        with suppress(TypeError, ValueError):  # a recipe of parts that cannot be written
            found["recipe"] = self.recipe.to_dict()
        return found

    def plot(self, *, slice: Any = None, zoom: Any = None, title: str = "") -> Any:
        """Draw the image beside the zero-filled one, with errors where the scan has a reference.

        Args:
            slice, zoom, title: as for `figure.figure`.

        Returns:
            A figure of `matplotlib.pyplot`: a notebook shows it, elsewhere `matplotlib.pyplot.show()` does.

        Raises:
            ImportError: matplotlib is not installed (the extra `plot`).
        """
        return self._drawn(slice=slice, zoom=zoom, title=title)

    def _drawn(self, **options):
        pictures = {"zero-filled": zero_filled(self.scan), "reconstruction": self.x}
        images = {name: self.scan.crop(like_rss(self.scan, x)) for name, x in pictures.items()}
        return figure(images, self.scan.reference, axes=self.axes, pixel=pixel_of(self.scan.meta), **options)

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture, with how it was made."""
        pictures = planes(self.scan.crop(self.x) if self.ok else self.x, self.axes)
        rows = [("status", self.status), ("solved", repr(self.recipe.prior)), ("scale", f"{self.scale:.4g}"),
                ("seconds", f"{sum(self.seconds.values()):.2f}")]
        return page(repr(self), rows, pictures, pixel_of(self.scan.meta))

    def __repr__(self) -> str:
        what = f"{self.recipe.prior!r} by {self.recipe.solver}"
        network = self.recipe.network
        return f"Reconstruction({self.x.shape}, {self.status}, {what if network is None else name_of(network)})"
