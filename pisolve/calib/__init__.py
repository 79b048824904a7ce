"""Calibration: functions from arrays to arrays."""

from pisolve.calib.coverage import coverage
from pisolve.calib.espirit import espirit
from pisolve.calib.region import calibration_region

__all__ = ["calibration_region", "coverage", "espirit"]
