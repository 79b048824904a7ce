"""Signals over echoes and frames: subspaces of them, dictionaries, and the maps that explain them, from T1 to fat."""

from pisolve._hints import rooms
from pisolve.signals._named import NAMES, named
from pisolve.signals.dictionary import Basis, Dictionary, Match, basis, dictionary, match
from pisolve.signals.dixon import b0, water_fat
from pisolve.signals.fit import TimesWarning, fit
from pisolve.signals.gauss_newton import one_step
from pisolve.signals.maps import Maps
from pisolve.signals.model import Model, Parameter
from pisolve.signals.motion import Motion, motion
from pisolve.signals.relaxation import molli, t1_ir, t2, t2star
from pisolve.signals.simulate import decay, fse, inversion_recovery
from pisolve.signals.subspace import encoding, subspace
from pisolve.signals.turning import t2star_kspace

__all__ = ["NAMES", "Basis", "Dictionary", "Maps", "Match", "Model", "Motion", "Parameter", "TimesWarning", "b0",
           "basis", "decay", "dictionary", "encoding", "fit", "fse", "inversion_recovery", "match", "molli", "motion",
           "named", "one_step", "subspace", "t1_ir", "t2", "t2star", "t2star_kspace", "water_fat"]

rooms(globals(), __all__)
