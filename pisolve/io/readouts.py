"""From single readouts, as scanners and raw files keep them, to a `Scan`; the formats only say where each belongs."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve import _check
from pisolve._words import PARTS
from pisolve.io import noise as alone
from pisolve.io.embedded import embedded
from pisolve.io.grid import AXES, BOTH, CALIB, COUNTERS, IMAGE, NOISE, Matrix, Readouts, fill
from pisolve.io.sieve import inside, repeated
from pisolve.scan.grid import shortened


def check_part(part) -> dict:
    """`part` of `load` as a dict of counters; the name of an axis, "echo" or "frame", stands for its counter."""
    if part is None:
        return {}
    told = {axis: name for name, axis in AXES.items()}
    if not isinstance(part, dict) or not set(part) <= {*PARTS, *told}:
        raise ValueError(f"part must be a dict of {', '.join(PARTS)}, got {_check.brief(part)}")
    return {told.get(name, name): _check.integer(f"part[{name!r}]", value, low=0) for name, value in part.items()}


def assemble(r: Readouts, *, part: dict, max_bytes: int, bandwidth: float | None = None, counts: dict | None = None,
             average: str = "mean", noise: list | None = None, told: bool | None = None) -> tuple[dict, dict]:
    """The fields of the `Scan` that some readouts make, and what there is to say about them.

    Slices, cardiac phases, contrasts, repetitions and sets become axes where there is more than one, each value with
    the lines that were measured of it. Readouts of one line are averaged, each line by the number of its own. The
    readout's oversampling is cut off in the image. All transforms are orthonormal, which keeps the variance of the
    noise of a sample; noise alone is brought to it, see `noise.scaled`. Calibration lines between those of the image
    are used in it, see `embedded`.

    Args:
        part: counters to choose; of several encodings the first else, with a warning.
        max_bytes: most memory for an array.
        bandwidth: the share of the nominal bandwidth that the receiver lets through; None is 1.
        counts: {axis: its size} of all axes in front, in their order, where the file says them; there may be slices,
            frames, ... of which no readout is.
        average: "mean" of the readouts of a line, or "keep" them along an axis "average".
        noise: of all measurements, as `noise.samples_of` gives it; None: of the readouts.
        told: whether the file says that calibration lines are embedded in the image's; None where it says nothing.

    Returns:
        (kspace, mask, noise, calib and axes by name, facts for `Scan.meta`).
    """
    index = np.flatnonzero((r.role == IMAGE) | (r.role == BOTH))
    if not len(index):
        words = ": for another scan it is noise, load(scan, noise=path) or --noise" if (r.role == NOISE).any() else ""
        raise ValueError(f"no readout is for imaging, of {len(r.role)} there are {_count(r.role)}{words}")
    index, chosen, others = _choose(r, index, part)
    if others:
        warnings.warn(f"read {_words(chosen)} only, of {others}; choose by load(path, part={{...}}) or --part",
                      stacklevel=_check.outside())
    m = r.matrix(chosen["encoding"])
    index = inside(r, index, m)
    lead = _lead(r, index, part, m.flat, counts)
    between, words = embedded(r, index, m, told)
    index = np.union1d(index, between)
    r = repeated(r, index, m, lead, average)
    if average == "keep" and not {"average"} & {*part, *lead}:
        values = np.unique(r.counters["average"][index])
        lead |= {"average": values} if len(values) > 1 else {}
    kspace, mask, repeats = fill(r, index, m, lead, max_bytes)
    axes = (*(AXES[name] for name in lead), "coil", *(("ky", "kx") if m.flat else ("kz", "ky", "kx")))
    slices = lead.get("slice", np.unique(r.counters["slice"][index]))
    facts = {"readouts": _count(r.role), "slices": slices.tolist()} | ({"part": chosen} if others or part else {})
    further = {AXES[name]: values.tolist() for name, values in lead.items() if name != "slice"}
    facts |= {"counters": further} if further else {}
    facts |= {"calibration_lines": words} if words else {}
    if repeats.max() > 1:
        facts["averages"] = sorted({int(repeats.min()), int(repeats.max())})
    if m.out != m.size[0]:
        facts["oversampling_removed"] = [m.size[0], m.out]
    grid = tuple(a for a in axes if a != "coil")
    facts |= _partial(mask.any(axis=tuple(range(len(lead)))), axes[len(lead) + 1:])
    fields = {"kspace": kspace, "mask": shortened(mask, grid), "axes": axes,
              "noise": _noise(r, index, bandwidth, float((1 / repeats).mean()), noise),
              "calib": _calib(r, index, chosen, m, lead, max_bytes, used=len(between) > 0)}
    return fields, facts


def _count(role) -> dict:
    names = ("imaging", "calibration", "imaging and calibration", "noise", "skipped")
    return {name: int(n) for name, n in zip(names, np.bincount(role, minlength=5)) if n}


def _words(d: dict) -> str:
    return ", ".join(f"{k} {v}" for k, v in d.items())


def _choose(r: Readouts, index, part: dict):
    """(indices of one scan, the counters chosen, words about what else there is)."""
    chosen, others = {}, ""
    for name in (*COUNTERS, "slice", "average"):
        if name != "encoding" and name not in part:
            continue
        values = np.unique(r.counters[name][index])
        value = part.get(name, int(values[0]))
        if value not in values:
            raise ValueError(f"part[{name!r}] is {value}: the file has {_check.brief(values.tolist())}")
        if len(values) > 1 and name not in part:
            others = f"{len(values)} {name}s"
        chosen[name] = value
        index = index[r.counters[name][index] == value]
    return index, chosen, others


def _lead(r: Readouts, index, part: dict, flat: bool, counts: dict | None) -> dict:
    """{counter: its values} of the axes before that of coils; a 2-D scan has slices, even one."""
    found, told = {}, {axis: name for name, axis in AXES.items()}
    for name in AXES if counts is None else [told[a] for a in counts]:
        values = np.unique(r.counters[name][index])
        if name == "slice" and flat and (name in part or counts is None):
            found[name] = values
        elif name not in part and counts is not None:
            size = counts[AXES[name]]
            if values[-1] >= size:
                raise ValueError(f"a readout has {name} {values[-1]}, and there should be {size}")
            found[name] = np.arange(size)
        elif name not in part and len(values) > 1 and name != "average":
            found[name] = values
    return found


def warn_epi(skipped: int) -> None:
    """Say what EPI would need and does not get."""
    warnings.warn("this is EPI: ghosts are not corrected and samples on the gradient's ramps not regridded, its "
                  f"{skipped} phase-correction readouts are skipped", stacklevel=6)


def _partial(mask, names) -> dict:
    """Which part of each axis was measured, where one end was left out: partial Fourier, asymmetric echo."""
    found = {}
    for axis, name in enumerate(names):
        where = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        n, step = mask.shape[axis], int(np.diff(where).max()) if len(where) > 1 else 1
        before, after = int(where[0]), int(n - 1 - where[-1])
        if abs(before - after) > step + 1:
            found[name] = [before, n - after]
    return {"partial_fourier": found} if found else {}


def _noise(r: Readouts, index, bandwidth, averaged: float, found: list | None = None):
    """Noise-only samples (coil, samples) with the covariance of the averaged data, or None."""
    found = alone.samples_of(r) if found is None else found
    return alone.scaled(found, int(r.coils[index[0]]), float(r.dwell[index[0]]), bandwidth, averaged)


def _calib(r: Readouts, image, chosen: dict, m: Matrix, lead: dict, max_bytes: int, used: bool):
    """The largest fully measured centre of the calibration readouts, or None where k-space itself holds them all.

    Coils do not change from frame to frame: lines of the first that has any are taken. Those that are `used` in the
    image are in k-space, too: where they have holes, the image's lines fill them.
    """
    if not (r.role == CALIB).any():
        return None
    index = np.flatnonzero((r.role == CALIB) | (r.role == BOTH))
    for name in (*COUNTERS, "slice"):
        if name == "slice" and name in lead and name not in chosen:
            continue
        values = r.counters[name][index]
        alone = values[r.role[index] == CALIB]
        index = index[values == (chosen[name] if chosen.get(name) in alone else alone.min())]
    encoding, slices = int(r.counters["encoding"][index[0]]), len(lead.get("slice", [0]))
    own, reason = r.matrices[min(encoding, len(r.matrices) - 1)], None
    if isinstance(own, ValueError):
        reason = f"on an encoding whose size is not known ({own})"
    elif own.flat != m.flat or not own.fits(m):
        reason = "on another grid than the image's"
    elif (r.coils[index] != r.coils[image[0]]).any():
        reason = "with another number of channels"
    else:
        found = {"slice": np.unique(r.counters["slice"][index])} if "slice" in lead else {}
        index = inside(r, index, own)
        kspace, mask, _ = fill(r, index, own, found, max_bytes)
        mask = mask.all(axis=0) if found else mask
        size = [min(n) for n in zip(_window(mask), (*m.size[:0:-1], m.out)[-mask.ndim:])]
        if found and len(found["slice"]) not in (1, slices):
            reason = f"in {len(found['slice'])} of {slices} slices"
        elif min(size) < 2:
            reason = "with holes at the centre"
    if reason and used:
        return None
    if reason:
        warnings.warn(f"calibration readouts were measured {reason}: they are left out", stacklevel=6)
        return None
    kspace = kspace[(..., *_centre(kspace.shape[-len(size):], size))].copy()
    return kspace[0] if found and len(found["slice"]) < slices else kspace


def _centre(shape, size) -> tuple[slice, ...]:
    """The centre of this size, as k-space is centred."""
    return tuple(slice(n // 2 - c // 2, n // 2 - c // 2 + c) for n, c in zip(shape, size))


def _window(mask) -> tuple[int, ...]:
    """`centred_window` of a mask (ky, kx), or (kz, ky, kx) with the columns that all its lines have."""
    if mask.ndim == 2:
        return centred_window(mask)
    lines = mask.any(axis=-1)
    columns = centred_window(mask[lines].all(axis=0)[None])[1]
    return (*centred_window(mask[(..., *_centre(mask.shape[-1:], (columns,)))].all(axis=-1) & (columns > 0)), columns)


def centred_window(mask) -> tuple[int, int]:
    """The size (rows, columns) of the largest window, centred as k-space is, in which all of `mask` is True."""
    total = np.pad(np.cumsum(np.cumsum(mask, 0), 1), ((1, 0), (1, 0)))
    best = (0, 0)
    for rows in range(1, mask.shape[0] + 1):
        top = mask.shape[0] // 2 - rows // 2
        columns = np.arange(1, mask.shape[1] + 1)
        left = mask.shape[1] // 2 - columns // 2
        inside = (total[top + rows, left + columns] - total[top, left + columns] - total[top + rows, left]
                  + total[top, left])
        full = columns[inside == rows * columns]
        if len(full) and rows * full[-1] > best[0] * best[1]:
            best = rows, int(full[-1])
    return best
