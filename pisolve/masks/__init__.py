"""Sampling patterns by their published definitions: boolean arrays (ky, kx), True where k-space is sampled.

`random`, `equispaced` and `equispaced_fraction` are fastMRI's masks to the index: the same numpy `RandomState`, seeded
with `seed`, gives the same lines as `RandomMaskFunc`, `EquiSpacedMaskFunc` and `EquispacedMaskFractionFunc` called with
that seed. A single 2-D image has one phase-encoding axis, along `axis`; `poisson`, `regular` and the 2-D
`variable_density` need two, so they belong to slices of a 3-D scan: `check` warns otherwise. `vista` gives a series its
lines, (frames, ky, kx).
"""

from pisolve._hints import rooms
from pisolve.masks.inspect import PoorMaskWarning, centre, check, describe, estimate
from pisolve.masks.lines import equispaced, equispaced_fraction, random
from pisolve.masks.points import poisson, regular, variable_density
from pisolve.masks.series import vista

__all__ = ["PoorMaskWarning", "centre", "check", "describe", "equispaced", "equispaced_fraction", "estimate", "poisson",
           "random", "regular", "variable_density", "vista"]

rooms(globals(), __all__)
