"""SENSE of a part of a scan, on a grid or of samples anywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pisolve import _check, backend, linops
from pisolve.prepare.model import Method, Model, same
from pisolve.scan.field import corrected


@dataclass(frozen=True)
class Sense(Method):
    """A = `linops.sense(mps, mask)`; soft SENSE with several sets of maps, whose image is the root sum of squares.

    Maps that are not normalised are divided by their typical root sum of squares, one number, so that the strength of a
    prior means the same with them; the picture, divided by it, is that of the maps as they were given.
    """

    tunable = networks = anywhere = corrects = True
    planar = False

    def __call__(self, part: Any) -> Model:
        if part.weights is not None:
            return self._weighted(part)
        if part.coord is not None:
            return _of_points(part)
        make, image = (linops.soft_sense, linops.combine_sets) if part.sets > 1 else (linops.sense, same)
        place = {"axes": part.axes, "shape": part.kspace.shape}
        A = _with_field(part, make(part.mps, part.mask, **place))
        size, energy = _normalisation(A, part.kspace)
        if energy is None:
            return Model(A, part.kspace, image)
        return Model(_with_field(part, make(part.mps / size, part.mask, **place)), part.kspace,
                     lambda x: image(x) / backend.number(size, x), size=size, energy=energy)

    def _weighted(self, part) -> Model:
        """With W^(1/2) in A and y: A x = W^(1/2) M F S x."""
        bare = self(part._with(weights=None))
        A = sense_of(part, bare.A.mps)
        root = np.sqrt(part.weights).astype(_check.real_name(part.kspace))
        root = backend.like(np.expand_dims(root, -1 - A.ndim), part.kspace)
        return replace(bare, A=A, y=part.kspace * root, data=lambda kspace: kspace * root, bare=bare)


SENSE = Sense()


def _of_points(part) -> Model:
    """SENSE of samples anywhere in k-space."""
    image = linops.combine_sets if part.sets > 1 else same
    density = np.expand_dims(part.encoding.density, -1 - len(part.size)).astype(_check.real_name(part.kspace))
    density = backend.like(density, part.kspace)
    A = sense_of(part)
    size, energy = _normalisation(A, part.kspace * density)
    if energy is None:
        return Model(A, part.kspace, image, density=density)
    energy = backend.like(energy, part.kspace)
    return Model(sense_of(part, part.mps / size), part.kspace, lambda x: image(x) / backend.number(size, x), size=size,
                 energy=energy, density=density)


def sense_of(part: Any, mps: Any = None) -> linops.Linop:
    """The operator of a part of a scan with its own maps or others, off-resonance included."""
    place = {"axes": part.axes, "shape": part.kspace.shape}
    mps = part.mps if mps is None else mps
    make = linops.soft_sense if part.sets > 1 else linops.sense
    if part.coord is None:
        return _with_field(part, make(mps, part.mask, part.weights, **place))
    kept = [w for w in (part.mask, part.weights) if w is not None]
    weights = np.prod(np.broadcast_arrays(*kept), axis=0, dtype=float) if kept else None
    return _with_field(part, make(mps, weights=weights, coord=part.coord, **place))


def _with_field(part, A) -> linops.Linop:
    """The operator A with the off-resonance of a part of a scan, where that has a field map and times."""
    return linops.off_resonance(A, part.field_map, part.times) if corrected(part) else A


def _normalisation(A, kspace) -> tuple[float, np.ndarray | None]:
    """The typical root sum of squares s of A's maps, and sum_c |S_c|^2 / s^2; (1, None) for maps that are normalised.

        s^2 = sum_r |z|^2 / sum_r |z|^2 / e,    z = A^H y,   e = sum_c |S_c|^2

    is the mean of e weighted by the signal as the coils see it, |z|^2 / e. Normalised are maps with e = 1 wherever they
    are not 0, and maps faded from 1 (ESPIRiT's with `soft_crop`). What is below 0.1 s^2 counts as that: dividing by it
    would make the scale one of noise.
    """
    kind, xp = _check.real_name(kspace), backend.namespace(A.mps)
    kspace = backend.to_numpy(kspace) if A.host else kspace
    e = sum(backend.cast(abs(m), "float64") ** 2 for m in xp.moveaxis(A.mps, -1 - A.ndim, 0))
    if abs(e[e > 0] - 1).max() < 1e-3:
        return 1.0, None
    z = backend.cast(abs(A.H(kspace / (abs(kspace).max() or 1))), "float64") ** 2
    seen = (z / xp.where(e > 0, e, xp.ones_like(e)) * (e > 0)).sum()
    if seen == 0 or (e.max() < 1.001 and z.sum() > 0.99 * seen):
        return 1.0, None
    square = z.sum() / seen
    return float(square**0.5), backend.cast((e / square).clip(min=0.1), kind)
