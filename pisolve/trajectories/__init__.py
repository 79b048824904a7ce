"""Trajectories: where in k-space a scan measures, as `coord` (..., axis) in -N/2..N/2 for `linops.nufft` and `Scan`."""

from pisolve._hints import rooms
from pisolve.trajectories.cones import cones
from pisolve.trajectories.epi import epi
from pisolve.trajectories.fastest import fastest
from pisolve.trajectories.learn import Learned, learn
from pisolve.trajectories.limits import check
from pisolve.trajectories.propeller import propeller
from pisolve.trajectories.radial import ANGLES, radial, radial_3d
from pisolve.trajectories.rosette import rosette
from pisolve.trajectories.spiral import spiral
from pisolve.trajectories.stack import stack

__all__ = ["ANGLES", "Learned", "check", "cones", "epi", "fastest", "learn", "propeller", "radial", "radial_3d",
           "rosette", "spiral", "stack"]

rooms(globals(), __all__)
