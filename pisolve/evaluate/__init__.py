"""Comparing methods, and how far each can be trusted."""

from pisolve._hints import rooms
from pisolve.evaluate.compare import compare, rerun
from pisolve.evaluate.comparison import Comparison, Outcome, Setting
from pisolve.evaluate.consistency.consistency import Consistency, consistency
from pisolve.evaluate.consistency.holdout import HoldoutError, holdout_error
from pisolve.evaluate.consistency.visibility import Visibility, seen, visibility
from pisolve.evaluate.crimes.crimes import Crime, Crimes, crimes
from pisolve.evaluate.influence.influence import Influence, influence
from pisolve.evaluate.noise_map import NoiseMap, noise_map
from pisolve.evaluate.quantities.compare_maps import MapComparison, compare_maps
from pisolve.evaluate.quantities.of_images import MapsOf
from pisolve.evaluate.reader.blinded import Blinded, blinded
from pisolve.evaluate.reader.unblind import ReaderStudy, unblind, weighted_kappa
from pisolve.evaluate.realism import realism
from pisolve.evaluate.section import Curves, Picture, Section
from pisolve.evaluate.shift import Shift, shift
from pisolve.evaluate.stability.details import Details
from pisolve.evaluate.stability.perturbation import Perturbation
from pisolve.evaluate.stability.stability import Stability, stability
from pisolve.evaluate.uncertainty.calibration import Calibration, calibration
from pisolve.evaluate.uncertainty.uncertainty import Uncertainty, uncertainty

__all__ = ["Blinded", "Calibration", "Comparison", "Consistency", "Crime", "Crimes", "Curves", "Details",
           "HoldoutError", "Influence", "MapComparison", "MapsOf", "NoiseMap", "Outcome", "Perturbation", "Picture",
           "ReaderStudy", "Section", "Setting", "Shift", "Stability", "Uncertainty", "Visibility", "blinded",
           "calibration", "compare", "compare_maps", "consistency", "crimes", "holdout_error", "influence", "noise_map",
           "realism", "rerun", "seen", "shift", "stability", "unblind", "uncertainty", "visibility", "weighted_kappa"]

rooms(globals(), __all__)
