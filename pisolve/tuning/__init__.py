"""Choosing the strength of a prior: `pisolve.tune`."""

from pisolve._words import CRITERIA, TRIALS
from pisolve.tuning.budget import check_tune
from pisolve.tuning.choose import tune, tune_prepared
from pisolve.tuning.noise import noise_level, residual_noise
from pisolve.tuning.result import Tuning

__all__ = ["CRITERIA", "TRIALS", "Tuning", "check_tune", "noise_level", "residual_noise", "tune", "tune_prepared"]
