"""Trajectories: where in k-space a scan measures, as `coord` (..., axis) in -N/2..N/2 for `linops.nufft` and `Scan`."""

from pisolve.trajectories.epi import epi
from pisolve.trajectories.limits import check
from pisolve.trajectories.radial import ANGLES, radial, radial_3d
from pisolve.trajectories.spiral import spiral
from pisolve.trajectories.stack import stack

__all__ = ["ANGLES", "check", "epi", "radial", "radial_3d", "spiral", "stack"]
