"""Calibration: functions from arrays to arrays."""

from pisolve._hints import rooms
from pisolve.calib.body_coil import body_coil
from pisolve.calib.compress import Compression, compress, compression
from pisolve.calib.coverage import coverage
from pisolve.calib.delays import delayed, delays, shot_factors
from pisolve.calib.espirit import espirit
from pisolve.calib.field_map import field_map
from pisolve.calib.grappa import GrappaWeights, grappa
from pisolve.calib.gridded import gridded
from pisolve.calib.jsense import jsense
from pisolve.calib.noise import mix, noise_covariance, prewhiten, whitening_matrix
from pisolve.calib.partial_fourier import centre_phase, homodyne, pocs, virtual_coils
from pisolve.calib.raki import RakiWeights, raki
from pisolve.calib.region import calibration_region
from pisolve.calib.slice_grappa import SliceGrappa, slice_grappa, sms_collapse, sms_shift
from pisolve.calib.smash import smash
from pisolve.calib.spirit import spirit_kernel
from pisolve.calib.unfold import FoldWarning, gfactor, unfold
from pisolve.calib.unwrap import unwrap
from pisolve.calib.walsh import inati, walsh
from pisolve.scan.density import density
from pisolve.scan.epi import Epi, epi, epi_ghost
from pisolve.scan.ghost import EpiErrors, ghost_level

__all__ = ["Compression", "Epi", "EpiErrors", "FoldWarning", "GrappaWeights", "RakiWeights", "SliceGrappa", "body_coil",
           "calibration_region", "centre_phase", "compress", "compression", "coverage", "delayed", "delays", "density",
           "epi", "epi_ghost", "espirit", "field_map", "gfactor", "ghost_level", "grappa", "gridded", "homodyne",
           "inati", "jsense", "mix", "noise_covariance", "pocs", "prewhiten", "raki", "shot_factors", "slice_grappa",
           "smash", "sms_collapse", "sms_shift", "spirit_kernel", "unfold", "unwrap", "virtual_coils", "walsh",
           "whitening_matrix"]

rooms(globals(), __all__)
