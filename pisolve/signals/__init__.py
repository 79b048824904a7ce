"""Signals over echoes and frames: subspaces of them, dictionaries, and the maps of T1, T2 and T2* that explain them."""

from pisolve._hints import rooms
from pisolve.signals.dictionary import Basis, Dictionary, Match, basis, dictionary, match
from pisolve.signals.fit import Maps, TimesWarning, fit
from pisolve.signals.model import Model, Parameter
from pisolve.signals.one_step import t2star_kspace
from pisolve.signals.relaxation import t1_ir, t2, t2star
from pisolve.signals.simulate import decay, fse, inversion_recovery
from pisolve.signals.subspace import encoding, subspace

__all__ = ["Basis", "Dictionary", "Maps", "Match", "Model", "Parameter", "TimesWarning", "basis", "decay",
           "dictionary", "encoding", "fit", "fse", "inversion_recovery", "match", "subspace", "t1_ir", "t2", "t2star",
           "t2star_kspace"]

rooms(globals(), __all__)
