"""What a recipe returns: the image, how the run ended, and what was done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pisolve import io
from pisolve.recipe.network import name_of
from pisolve.tuning import Tuning

WORST = ("nonfinite", "diverged", "stopped", "max_iter", "converged", "done")


@dataclass(frozen=True)
class Reconstruction:
    """What a recipe returns.

    Attributes:
        x: the image in the scan's own units, complex, (slice, y, x) or (y, x).
        status: the worst of the slices' statuses, see `Result`; "done" or "nonfinite" for a network.
        results: one `Result` (`NetworkResult` for a network) a slice, in scaled units.
        scale: what k-space was multiplied by before solving, with normalised maps.
        recipe: what was done, solver and maps included.
        scan: what it was done to, after undersampling, with the mask and the maps that were used.
        seconds: wall time by stage: maps, (tune,) (fit,) solve; fit: of GRAPPA's, RAKI's and SPIRiT's weights.
        tuning: how the strength was chosen, for a recipe with `tune`; its recipe then holds the chosen prior.
    """

    x: np.ndarray
    status: str
    results: list
    scale: float
    recipe: object  # a Recipe, which is made above here
    scan: io.Scan
    seconds: dict
    tuning: Tuning | None = None

    @property
    def ok(self) -> bool:
        """True where no slice diverged or became non-finite."""
        return self.status in ("converged", "max_iter", "stopped", "done")

    def save(self, path) -> None:
        """Write the image, with the recipe, versions and scale as attributes; see `io.save`."""
        if str(path).endswith((".h5", ".hdf5")):
            io.save(path, self.x, recipe=self.recipe, scale=self.scale, meta={"status": self.status})
        else:
            nifti = str(path).endswith((".nii", ".nii.gz"))
            io.save(path, self.x, meta=self.scan.meta if nifti else None)

    def __repr__(self):
        what = f"{self.recipe.prior!r} by {self.results[0].solver}"
        network = self.recipe.network
        return f"Reconstruction({self.x.shape}, {self.status}, {what if network is None else name_of(network)})"
