"""Which readouts make the scan: one number of channels, lines inside the matrix, repeated lines told apart."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from pisolve import _check
from pisolve.io.grid import BOTH, IMAGE, NOISE, SKIP, STEPS, Matrix, Readouts

AVERAGE = ("mean", "keep")  # what becomes of repeated lines
_APART = 0.6  # of the energy of repeated lines that their mean has, where they differ by more than noise
_LOOKED = 8  # repeated lines that are compared, the nearest to the centre


def one_array(r: Readouts, channels: int | None = None) -> Readouts:
    """The readouts of one set of coils: others, such as the body coil's beside those of an array, are skipped.

    Args:
        channels: of the coils wanted; None: the most that an imaging readout has, with a warning where there are more
            sets.

    Raises:
        ValueError: no imaging readout has so many channels, or any.
    """
    image = (r.role == IMAGE) | (r.role == BOTH)
    there, numbers = np.unique(r.coils[image], return_counts=True)
    if not len(there):
        return r
    if not there[-1]:
        raise ValueError("the imaging readouts have no channels")
    wanted = int(there[-1]) if channels is None else channels
    if wanted not in there:
        raise ValueError(f"part['channels'] is {channels}: the file has {_check.brief(there.tolist())}")
    others = {int(c): int(n) for c, n in zip(there, numbers) if c != wanted}
    if others and channels is None:
        told = ", ".join(f"{n} of {c}" for c, n in others.items())
        warnings.warn(f"read the readouts of {wanted} channels only, and not {told} channels, a body coil's perhaps: "
                      f"choose by load(path, part={{'channels': {next(iter(others))}}}) or --part channels="
                      f"{next(iter(others))}", stacklevel=_check.outside())
    other = (r.coils != wanted) & (r.role != NOISE)
    return replace(r, role=np.where(image & other, SKIP, r.role)) if others else r


def flattened(r: Readouts) -> Readouts:
    """Encodings of several partitions, of which only one was ever measured, as the 2-D ones they are.

    A converter writes the length of the third transform, 2, for every 2-D scan.
    """
    matrices = list(r.matrices)
    for k, m in enumerate(matrices):
        mine = (r.counters["encoding"] == k) & (r.role != NOISE) & (r.role != SKIP)
        partitions = np.unique(r.counters[STEPS[1]][mine])
        if not isinstance(m, Matrix) or len(partitions) != 1:
            continue
        only = int(partitions[0])
        if only > max(m.limits[1][1], m.size[2] - 1):
            continue  # a wrong counter
        if m.size[2] > 2:
            warnings.warn(f"the header encodes {m.size[2]} partitions, and all lines are of partition {only}: they are "
                          "read as a 2-D scan", stacklevel=_check.outside())
        matrices[k] = replace(m, size=(*m.size[:2], 1), centre=(m.centre[0], only),
                              limits=(m.limits[0], (only, only)))
    return replace(r, matrices=matrices)


def inside(r: Readouts, index, m: Matrix) -> np.ndarray:
    """The readouts whose line and partition the matrix has, where more were measured than it has: a warning says so.

    Where there are no more lines than the matrix has, none is left out: then the centre is wrong, not the size.
    """
    out = np.zeros(len(index), bool)
    for step, centre, n, (first, last) in zip(STEPS, m.centre, m.size[1:], m.limits):
        counter = r.counters[step][index]
        row = n // 2 - centre + counter
        known = counter.min() >= first and counter.max() <= last
        if known and np.ptp(counter) + 1 > n:
            out |= (row < 0) | (row >= n)
    if out.all():
        return index  # the header belongs to other data: what places the lines says so
    if out.any():
        warnings.warn(f"{out.sum()} of {len(index)} readouts lie outside the matrix of {' x '.join(map(str, m.size))} "
                      "that the header gives, and are left out", stacklevel=_check.outside())
    return index[~out]


def key(r: Readouts, index, names) -> np.ndarray:
    """A number for each readout, the same where all these counters are."""
    found = np.zeros(len(index), np.int64)
    for name in names:
        values, which = np.unique(r.counters[name][index], return_inverse=True)
        found = np.unique(found * len(values) + which, return_inverse=True)[1]
    return found


def repeated(r: Readouts, index, m: Matrix, lead: dict, average: str) -> Readouts:
    """Readouts that fall on one place of k-space: their averages numbered for an axis, or a warning before the mean.

    What the counter `average` tells apart is averaged in silence, unless the lines cancel: averages of opposite phase
    do. What no counter tells apart may be anything, such as echoes without a label.

    Args:
        lead: {counter: its values} of the axes in front.
        average: "mean" or "keep", which numbers the readouts of a place in the order of time where the file does not.
    """
    place = key(r, index, [*(name for name in lead if name != "average"), *STEPS])
    counts = np.bincount(place)
    if counts.max() == 1 or "average" in lead:
        return r
    told = r.counters["average"][index]
    alone = key(r, index, [*(n for n in lead), *STEPS, "average"]).max() + 1 == len(index)  # each has a number
    if average == "keep":
        if alone:
            return r
        order = np.lexsort((index, told, place))
        rank = np.empty(len(index), np.int64)
        rank[order] = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
        counter = r.counters["average"].copy()
        counter[index] = rank
        return replace(r, counters=r.counters | {"average": counter})
    share, many = _agreement(r, index, m, place, counts), int((counts > 1).sum())
    what = "" if not np.isfinite(share) else f"; their mean has {share:.0%} of their energy"
    keep = "load(path, average='keep') or --average keep makes an axis of them"
    if not alone:
        warnings.warn(f"{many} lines were measured up to {counts.max()} times with all counters the same, as echoes "
                      f"without a label are, and they are averaged{what}: {keep}", stacklevel=_check.outside())
    elif share < _APART:
        warnings.warn(f"the averages of {many} lines do not agree, as those of opposite phase do, and they are averaged"
                      f"{what}: {keep}", stacklevel=_check.outside())
    return r


def _agreement(r: Readouts, index, m: Matrix, place, counts) -> float:
    """||mean||^2 over the mean of ||line||^2, of the repeated lines nearest to the centre; 1 where all are the same."""
    far = sum(abs(r.counters[step][index] - c) for step, c in zip(STEPS, m.centre))
    first = np.unique(place, return_index=True)[1]
    several = np.flatnonzero(counts > 1)
    chosen = several[np.argsort(far[first[several]], kind="stable")[:_LOOKED]]
    above = below = 0.0
    for one in chosen:
        at = index[place == one]
        lines = [data[:, r.pre[i] : data.shape[1] - r.post[i]][:, :: -1 if r.reverse[i] else 1]
                 for k, block in r.blocks(at) for i, data in zip(at[k], block)]
        if len({line.shape for line in lines}) == 1:
            with np.errstate(all="ignore"):
                above += float(np.square(abs(np.mean(lines, axis=0))).sum())
                below += float(np.square(abs(np.array(lines))).sum() / len(lines))
    return above / below if below > 0 else np.nan
