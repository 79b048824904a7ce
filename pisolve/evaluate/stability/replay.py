"""A recipe on one slice (part) of a scan, ready to be run again on other data of it with the same calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pisolve import backend
from pisolve.evaluate.planes import one_part, which
from pisolve.prepare import as_scan, models_of, prepare, sense_of
from pisolve.priors._module import ready
from pisolve.recipe import Recipe, check_fixed, repeated
from pisolve.solvers import solve

GOOD = ("converged", "max_iter", "stopped", "done")
LARGEST = 4e9  # bytes that the derivative of a whole run may hold
_KEPT = {False: 40, True: 1000}  # images that a step keeps: 26 for TV by ADMM, 200 for a small denoiser were measured


class Replay:
    """y -> x of a recipe on one slice: maps, kernels, scale, solver and the number of iterations are those of the scan.

    Only the sampled k-space changes from call to call, as in `noise_map`; the number of iterations is that of the run
    on the scan itself, so that y -> x is one fixed map and no stopping rule is measured with it.

    Args:
        recipe: with a fixed strength.
        scan: a `Scan`, the path of one, or k-space.
        slice: of a volume; None: the middle one, or the nearest that is not empty. The scale is that of the whole scan;
            what is looked at is one part by the recipe's `each`: all frames together, unless it names them.

    Attributes:
        recipe: as it is run again.
        scan: what the recipe made of the scan, this part only: kspace (coil, ky, kx), with its further axes in front.
        kspace, mask: of this part; the mask broadcasts to k-space.
        image: its reconstruction (y, x), complex, in the scan's units.
        label: of the part, {name: number}.
        magnitude: whether images are magnitudes, without the object's phase.
        runs: how many reconstructions were made so far.

    Raises:
        TypeError, ValueError: no recipe, one that tunes, one that diverges on this scan, no such slice.
    """

    def __init__(self, recipe: Recipe, scan, *, slice: int | None = None):
        check_fixed(recipe)
        whole = recipe.prepare(as_scan(scan))
        z = which(whole, slice, recipe.each)
        models, self.scale = models_of(whole, recipe.method, each=recipe.each)
        self.model, self.scan, self.label = models[z], one_part(whole, z, recipe.each), whole.labels(recipe.each)[z]
        if self.model is None:
            raise ValueError(f"slice {slice} of the scan holds nothing: give another")
        self.slice = self.label.get("slice", 0)
        self.kspace, self.mask = self.scan.kspace, self.scan.inside
        self.magnitude = recipe.method.magnitude
        self.runs, self.recipe = 0, recipe
        result = recipe.solve(self.model, self.scale)
        if not result.ok:
            raise ValueError("recipe diverges on this scan: there is no image to compare with")
        self.recipe = repeated(recipe, result)
        self.image, self.status = self(self.kspace)

    def __call__(self, kspace) -> tuple[np.ndarray, str]:
        """The image (y, x) of other k-space (coil, ky, kx) of this slice, and the status of its run."""
        self.runs += 1
        y = self.model.data(kspace.astype(self.kspace.dtype, copy=False))
        result = self.recipe.solve(replace(self.model, y=y), self.scale)
        return self.model.image(backend.to_numpy(result.x)) / self.scale, result.status

    @property
    def coils(self):
        """A of this slice by its maps, images (y, x) -> sampled k-space (coil, ky, kx), whatever the method is.

        Methods without maps get them from the recipe's `maps`; of several sets it is the first.
        """
        if not hasattr(self, "_coils"):
            part = self.scan
            part = prepare(part, self.recipe.maps) if part.mps is None else part
            mps = part.mps[0] if part.sets > 1 else part.mps
            self._coils = sense_of(part, mps)
        return self._coils

    @property
    def phase(self):
        """e^(i phase) of the zero-filled image, (y, x): what magnitudes lack."""
        return backend.unit(self.coils.H(self.kspace))

    def tensor_map(self):
        """The same map on torch tensors, differentiable: sampled k-space (coil, ky, kx) -> image (y, x).

        Raises:
            NotImplementedError: this recipe has none, and why.
            ImportError: torch is not installed.
        """
        import torch

        recipe, model = self.recipe, self.model
        if recipe.consistency and self.magnitude:
            raise NotImplementedError("bringing the data back into a magnitude is not differentiated")
        if recipe.network is None and not recipe.method.tunable:
            raise NotImplementedError(f"kernels of {type(recipe.method).__name__} are not differentiated")
        if self.scan.weights is not None:
            raise NotImplementedError("weights of the samples are not differentiated")
        if not self.magnitude and self.scan.sets > 1:
            raise NotImplementedError("several sets of maps are not differentiated")
        if recipe.network is None and self.image.nbytes * recipe.max_iter * _KEPT[recipe.prior.implicit] > LARGEST:
            raise NotImplementedError("the derivative of all iterations would take too much memory")
        if recipe.consistency:  # eps = 0.01, as in the recipe but for one coil
            from pisolve.nets import DataConsistency

            back = DataConsistency(100.0, inner=100)
        seen = torch.from_numpy(self.mask[None, None].copy())

        def image(y):
            y = y * self.scale
            if recipe.network is None:
                x = solve(model.A, y, recipe.prior, recipe.solver, max_iter=recipe.max_iter, tol=0.0).x
            else:
                weight = next(recipe.network.parameters(), y)
                with ready(recipe.network, True):
                    x = recipe.network(model.A, y) if recipe.network.needs_maps else recipe.network(
                        y[None].to(weight.device), seen.to(weight.device))[0].to(y.device)
            if recipe.consistency:
                x = back(model.A, y, x)
            return x / (self.scale * model.size)

        return image
