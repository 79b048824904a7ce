"""Calibration lines between those of the image: where they are of the same contrast, the image is made of them, too."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve import _check
from pisolve.io.grid import BOTH, CALIB, COUNTERS, STEPS, Matrix, Readouts, columns
from pisolve.io.sieve import key

_PARTS = (*COUNTERS[1:], "slice")
_LOOKED = 64  # lines whose energy is compared with that of their neighbours
_APART = 4.0  # the ratio of energies from which on the contrast is another


def embedded(r: Readouts, image, m: Matrix, told: bool | None):
    """(the calibration-only readouts that belong into k-space, where the image has none; words on them, or None).

    Embedded calibration fills the gaps of an undersampled centre within the scan itself. Its lines are used where file
    or flags say that this is what they are (`told`, or lines that are flagged for imaging and calibration both), and
    nothing speaks against it: they have the counters, the part of kx and the dwell time of the image's lines, and an
    energy between a fourth and four times that of their neighbours. A warning says where one of these is not so.

    Args:
        image: the imaging readouts.
        told: whether the file says that calibration is embedded; None where it says nothing.
    """
    index = np.flatnonzero(r.role == CALIB)
    none = np.zeros(0, np.int64)
    if not len(index) or told is False:
        return none, "measured apart: not used in the image" if len(index) else None
    if told is None and not (r.role[image] == BOTH).any():
        return none, "not said to be embedded: not used in the image"
    why, same = None, np.ones(len(index), bool)
    for name in ("encoding", *_PARTS):
        same &= np.isin(r.counters[name][index], r.counters[name][image])
    if not same.any():
        why = "with other counters, a contrast of its own"
    index = index[same]
    new = ~_measured(r, index, image)
    index = index[new]
    if why is None and not len(index):
        return none, None
    why = why or _difference(r, index, image, m)
    if why:
        warnings.warn(f"calibration lines were measured {why}: they are not used in the image",
                      stacklevel=_check.outside())
        return none, f"measured {why}: not used in the image"
    return index, f"{len(index)} between those of the image, and used in it"


def _measured(r: Readouts, index, image) -> np.ndarray:
    """Whether the image has the line of each readout already."""
    both = np.concatenate([index, image])
    found = key(r, both, (*_PARTS, *STEPS))
    return np.isin(found[: len(index)], found[len(index):])


def _difference(r: Readouts, index, image, m: Matrix) -> str | None:
    """In what readouts differ from the image's, in words; None for nothing that can be seen."""
    if not np.isin(r.coils[index], r.coils[image]).all():
        return "with another number of channels"
    ours = {tuple(c) for c in np.stack(columns(r, image, m), 1).tolist()}
    try:
        if not {tuple(c) for c in np.stack(columns(r, index, m), 1).tolist()} <= ours:
            return "over another part of kx"
    except ValueError:
        return "with another number of samples"
    if not np.allclose(r.dwell[index], r.dwell[image[0]], rtol=0.01):
        return "with another dwell time"
    for step, centre, n, (first, last) in zip(STEPS, m.centre, m.size[1:], m.limits):
        counter = r.counters[step][index]
        row = n // 2 - centre + counter
        if ((row < 0) | (row >= n) | (counter < first) | (counter > last)).any():
            return "outside the image's matrix"
    ratio = _ratio(r, index, image)
    return None if 1 / _APART <= ratio <= _APART else (f"with another contrast, {ratio:.2g} times the energy of their "
                                                       "neighbours")


def _ratio(r: Readouts, index, image) -> float:
    """The median ratio of a line's energy to the geometric mean of its neighbours' in the image; 1 where none has."""
    both = np.concatenate([index, image])
    part, ky = key(r, both, (*_PARTS, STEPS[1])), r.counters[STEPS[0]][both]
    there = dict(zip(zip(part[len(index):].tolist(), ky[len(index):].tolist()), image.tolist()))
    near = [(i, found) for i, p, y in zip(index.tolist(), part.tolist(), ky.tolist())
            if (found := [there[p, y + s] for s in (-1, 1) if (p, y + s) in there])]
    near = near[:: max(len(near) // _LOOKED, 1)]
    wanted = np.unique([i for one, found in near for i in (one, *found)]).astype(np.int64)
    energy = {}
    for at, block in r.blocks(wanted):
        with np.errstate(all="ignore"):
            energy |= {i: float(np.square(abs(data)).sum()) for i, data in zip(wanted[at].tolist(), block)}
    ratios = [np.log(energy[i]) - np.mean([np.log(energy[j]) for j in found]) for i, found in near
              if all(0 < energy[j] < np.inf for j in (i, *found))]
    return float(np.exp(np.median(ratios))) if ratios else 1.0
