"""Choosing the strength of a prior: `pisolve.tune`."""

from pisolve.tuning.choose import METHODS, tune, tune_prepared
from pisolve.tuning.noise import noise_level, residual_noise
from pisolve.tuning.result import Tuning
from pisolve.tuning.strength import TRIALS

__all__ = ["METHODS", "TRIALS", "Tuning", "noise_level", "residual_noise", "tune", "tune_prepared"]
