"""Calibration: functions from arrays to arrays."""

from pisolve.calib.coverage import coverage
from pisolve.calib.espirit import calibration_region, espirit

__all__ = ["calibration_region", "coverage", "espirit"]
