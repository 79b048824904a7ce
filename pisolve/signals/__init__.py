"""Signals over echoes and frames: subspaces of them, dictionaries, and the maps of T1, T2 and T2* that explain them."""

from pisolve.signals.subspace import encoding, subspace

__all__ = ["encoding", "subspace"]
