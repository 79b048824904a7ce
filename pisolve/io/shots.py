"""Single readouts as the shots of samples anywhere in k-space."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from pisolve._check import outside
from pisolve.io import points
from pisolve.io.grid import AXES, BOTH, IMAGE, STEPS
from pisolve.io.limits import spend
from pisolve.io.readouts import _choose, _count, _lead, _noise, _words
from pisolve.scan import Scan


@dataclass
class Shots:
    """Readouts in the order of their parts.

    Attributes:
        kspace: (*parts, coil, shot, sample), 0 where there is nothing.
        mask: (*parts, shot, sample), whether it was measured.
        coord: (*parts, shot, sample, axis) as the readouts have it, in (z,) y, x; None where they have none.
        axes: the names of k-space's axes.
        lead: {counter: its values} of the axes before the coils.
        index: which readouts they are.
        facts: what there is to say about them, for `meta`.
    """

    kspace: np.ndarray
    mask: np.ndarray
    coord: np.ndarray | None
    axes: tuple[str, ...]
    lead: dict
    index: np.ndarray
    facts: dict


def imaging(r, part: dict):
    """(the readouts for imaging of one scan, the counters that choose them, whether there are others).

    Raises:
        ValueError: there are none.
    """
    index = np.flatnonzero((r.role == IMAGE) | (r.role == BOTH))
    if not len(index):
        raise ValueError(f"no readout is for imaging, of {len(r.role)} there are {_count(r.role)}")
    index, chosen, others = _choose(r, index, part)
    if others:
        warnings.warn(f"read {_words(chosen)} only, of {others}; choose by load(path, part={{...}}) or --part",
                      stacklevel=outside())
    return index, chosen, bool(others or part)


def gathered(r, index, chosen, told, *, d: int, m, part: dict, max_bytes: int, average: str, lines=None) -> Shots:
    """Every imaging readout as a shot of its part; averages are further shots, or an axis where they are kept.

    Slices, phases, contrasts, repetitions and sets become axes as for Cartesian data, and the partitions of a 3-D
    encoding with two coordinates "kz", a stack. Parts with fewer shots are padded, which `mask` says.

    Args:
        r: all readouts; index, chosen, told: those of `imaging`.
        d: the number of coordinates.
        m: the encoding, of which `flat`, `size[2]` and `centre[1]` are looked at.
        part, max_bytes, average: as for `readouts.assemble`.
        lines: of an array of readouts, the coordinates (sample, axis) of each in (x, y, z); None: they have none.

    Raises:
        ValueError: several numbers of channels, counters outside, no samples.
    """
    coils = np.unique(r.coils[index])
    if len(coils) > 1 or not coils[0]:
        raise ValueError(f"the number of channels changes between readouts: {coils.tolist()}")
    lead = _lead(r, index, part, m.flat, None)
    if average == "keep" and "average" not in part:
        values = np.unique(r.counters["average"][index])
        lead |= {"average": values} if len(values) > 1 else {}
    place = [np.searchsorted(values, r.counters[name][index]) for name, values in lead.items()]
    sizes = [len(values) for values in lead.values()]
    stack = not m.flat and d == 2
    if stack:
        z = m.size[2] // 2 - m.centre[1] + r.counters[STEPS[1]][index].astype(np.int64)
        if (z < 0).any() or (z >= m.size[2]).any():
            raise ValueError(f"a readout has {STEPS[1]} {r.counters[STEPS[1]][index][(z < 0) | (z >= m.size[2])][0]}, "
                             f"outside of the {m.size[2]} partitions that the header gives")
        place, sizes = [*place, z], [*sizes, m.size[2]]
    part_of = np.ravel_multi_index(place, sizes) if sizes else np.zeros(len(index), int)
    shot = _number(part_of)
    keep = (r.samples - r.pre - r.post)[index].astype(np.int64)
    if keep.min() < 1:
        raise ValueError("a readout has no sample left once those to be discarded are: the header belongs to other "
                         "data")
    count, shots, samples = int(np.prod(sizes)), int(shot.max()) + 1, int(keep.max())
    spend("the header", f"k-space of {count} parts with {shots} shots", 8 * int(coils[0]) * count * shots * samples
          + 24 * count * shots * samples, max_bytes)
    kspace = np.zeros((count, int(coils[0]), shots, samples), np.complex64)
    mask = np.zeros((count, shots, samples), bool)
    coord = None if lines is None else np.zeros((count, shots, samples, d))
    for at, read in r.blocks(index):
        for k, one in zip(at, read):
            i, n = index[k], keep[k]
            kspace[part_of[k], :, shot[k], :n] = one[:, r.pre[i]:r.pre[i] + n]
            mask[part_of[k], shot[k], :n] = True
        for k, line in zip(at, () if lines is None else lines(index[at])):
            i, n = index[k], keep[k]
            coord[part_of[k], shot[k], :n] = line[r.pre[i]:r.pre[i] + n, d - 1::-1]  # z, y, x
    axes = (*(AXES[name] for name in lead), *(("kz",) if stack else ()), "coil", "shot", "sample")
    facts = {"readouts": _count(r.role)} | ({"part": chosen} if told else {})
    facts |= {"slices": lead["slice"].tolist()} if "slice" in lead else {}
    further = {AXES[name]: values.tolist() for name, values in lead.items() if name != "slice"}
    facts |= {"counters": further} if further else {}
    kspace, mask, coord = (a if a is None else a.reshape(*sizes, *a.shape[1:]) for a in (kspace, mask, coord))
    return Shots(kspace, mask, coord, axes, lead, index, facts)


def at(path, r, coord, size, matrix, *, part: dict, max_bytes: int, bandwidth: float | None, average: str,
       noise: list | None, meta: dict, order=None, locate=None) -> Scan:
    """The scan of readouts whose coordinates are given, as the samples were measured.

    Args:
        path: for messages.
        r: all readouts.
        coord, size: see `load`; coordinates of slices of their own are in the order of the file.
        matrix: the number of an encoding -> its `Matrix`, of which `gathered` looks at the partitions.
        part, max_bytes, bandwidth, average, noise: as for `readouts.assemble`.
        meta: what else is known of the file.
        order: (readouts, slices' counters) -> their order in space, or None where that is the file's.
        locate: (kspace, mask, coord and axes by name, meta, readouts), all of which it may change, as `geometry.place`
            does, instead of `order`.

    Raises:
        TypeError, ValueError: coordinates that do not fit the readouts, with the path.
    """
    index, chosen, told = imaging(r, part)
    found = gathered(r, index, chosen, told, d=coord.shape[-1], m=matrix(chosen["encoding"]), part=part,
                     max_bytes=max_bytes, average=average)
    kspace, mask, facts = found.kspace, found.mask, found.facts
    turned = order(index, facts["slices"]) if order and len(facts.get("slices", ())) > 1 else None
    if turned is not None:
        kspace, mask = kspace[turned], mask[turned]
        coord = coord[turned] if coord.ndim == mask.ndim + 1 else coord
        facts["slices"] = [facts["slices"][i] for i in turned]
    fields, meta = {"kspace": kspace, "mask": mask, "coord": coord, "axes": found.axes}, meta | facts
    if locate is not None:
        locate(fields, meta, index)
    kspace, mask, coord = (fields[n] for n in ("kspace", "mask", "coord"))
    return points.scan(path, kspace, coord, size, found.axes, None if mask.all() else mask, meta,
                       noise=_noise(r, found.index, bandwidth, 1.0, noise))


def _number(part_of) -> np.ndarray:
    """The number of each readout among those of its part, in the order of the file."""
    order = np.argsort(part_of, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(part_of[order])) + 1]
    number = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    found = np.empty_like(number)
    found[order] = number
    return found
