"""Signals over echoes and frames: subspaces of them, dictionaries, and the maps of T1, T2 and T2* that explain them."""

from pisolve.signals.dictionary import Basis, Dictionary, Match, basis, dictionary, match
from pisolve.signals.simulate import decay, fse, inversion_recovery
from pisolve.signals.subspace import encoding, subspace

__all__ = ["Basis", "Dictionary", "Match", "basis", "decay", "dictionary", "encoding", "fse", "inversion_recovery",
           "match", "subspace"]
