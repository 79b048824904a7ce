"""Several measurements in one file: which one is the scan."""

from __future__ import annotations

import re

from pisolve.io.hdf5 import HARD, link


def groups(file) -> list[str]:
    """The names of the groups with raw data in an open ISMRMRD file, dataset_2 before dataset_10."""
    import h5py

    found = [name for name in file if link(file, name) == HARD and isinstance(file[name], h5py.Group)
             and link(file[name], "data") is not None]
    found = [name for name in found if name == "dataset" or link(file[name], "xml") is not None]
    return sorted(found, key=lambda name: [int(p) if p.isdecimal() else p for p in re.split(r"(\d{1,18})", name)])


def chosen(names: list, imaging: list, number: int | None):
    """One of the measurements: that of this number, else the last one with imaging readouts, else the last.

    Raises:
        ValueError: there is no such number.
    """
    if number is None:
        return (imaging or names)[-1]
    if number >= len(names):
        raise ValueError(f"part['measurement'] is {number}: the file has {len(names)}, from 0: "
                         f"{', '.join(map(str, names))}")
    return names[number]
