"""Calibration: functions from arrays to arrays."""

from pisolve.calib.espirit import calibration_region, espirit

__all__ = ["calibration_region", "espirit"]
