"""The scans of a comparison, by name, and how each can be found again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pisolve import io
from pisolve.prepare import as_scan


def load(path: str, slices=None, select=None, axes=None) -> io.Scan:
    """A scan or what is asked for of it, as `_written` writes it down; `axes` names those of a file or array."""
    if axes is None:
        scan = as_scan(path)
    elif isinstance(path, io.Scan):
        raise ValueError(f"axes={','.join(axes)} beside a Scan, whose axes are {','.join(path.axes)}: leave it out")
    else:
        scan = io.load(path, axes=tuple(axes)) if _is_path(path) else io.Scan(path, axes=tuple(axes))
    wanted = {name: slice(*one["from"]) if isinstance(one, dict) else one
              for name, one in ({"slice": slices} | (select or {})).items() if one is not None}
    return scan.select(**wanted) if wanted else scan


def _is_path(scan) -> bool:
    return isinstance(scan, str) or hasattr(scan, "__fspath__")


def _written(wanted):
    """An index, a list of them, or {"from": [start, stop, step]} for a `slice`: plain values."""
    if isinstance(wanted, slice):
        return {"from": [wanted.start, wanted.stop, wanted.step]}
    return wanted if wanted is None or isinstance(wanted, int | np.integer) else [int(z) for z in wanted]


def scans_of(scans, slices=None, select=None, axes=None) -> tuple[dict, dict]:
    """name -> scan, and name -> source, of what the user gives; files of one name are told apart by a number."""
    asked = {"slices": _written(slices)}  # what was asked for before there were axes is written as it was
    if select:
        asked["select"] = {name: _written(one) for name, one in select.items()}
    if axes is not None:
        asked["axes"] = list(axes)
    if isinstance(scans, Mapping):
        given = dict(scans)
    else:
        several = list(scans) if isinstance(scans, list | tuple) else [scans]
        given = {}
        for k, scan in enumerate(several):
            name = Path(scan).stem if _is_path(scan) else "scan" if len(several) == 1 else f"scan {k + 1}"
            given[name if name not in given else f"{name} ({k + 1})"] = scan
    if not given:
        raise ValueError("scans is empty: at least one scan is needed")
    found, sources = {}, {}
    for name, scan in given.items():
        found[str(name)] = load(scan, **asked)
        sources[str(name)] = {"path": str(Path(scan).resolve()), **asked} if _is_path(scan) else None
    return found, sources
