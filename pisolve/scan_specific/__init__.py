"""Priors that are networks fitted to the one scan, without a training set, and the solver that fits them."""

from pisolve.scan_specific.fit import Fit, Fitted
from pisolve.scan_specific.generator import Generator
from pisolve.scan_specific.untrained import Untrained
from pisolve.scan_specific.zero_shot import ZeroShot, three_way

__all__ = ["Fit", "Fitted", "Generator", "Untrained", "ZeroShot", "three_way"]
