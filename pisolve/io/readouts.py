"""From single readouts, as scanners and raw files keep them, to a `Scan`; the formats only say where each belongs."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve import _axes, _check
from pisolve.io.geometry import spatial_order
from pisolve.io.grid import AXES, BOTH, CALIB, COUNTERS, IMAGE, NOISE, Matrix, Readouts, fill
from pisolve.scan.grid import shortened


def check_part(part) -> dict:
    """`part` of `load` as a dict of counters; the name of an axis, "echo" or "frame", stands for its counter."""
    if part is None:
        return {}
    names = (*COUNTERS, "slice")
    told = {axis: name for name, axis in AXES.items()}
    if not isinstance(part, dict) or not set(part) <= {*names, *told}:
        raise ValueError(f"part must be a dict of {', '.join(names)}, got {_check.brief(part)}")
    return {told.get(name, name): _check.integer(f"part[{name!r}]", value, low=0) for name, value in part.items()}


def assemble(r: Readouts, *, part: dict, max_bytes: int, bandwidth: float | None = None,
             counts: dict | None = None) -> tuple[dict, dict]:
    """The fields of the `Scan` that some readouts make, and what there is to say about them.

    Slices, cardiac phases, contrasts, repetitions and sets become axes where there is more than one, each value with
    the lines that were measured of it. Readouts of one line are averaged, each line by the number of its own. The
    readout's oversampling is cut off in the image. All transforms are orthonormal, which keeps the variance of the
    noise of a sample.

    Noise-only samples are multiplied by sqrt(t_noise / (t_image b) / averages), t the dwell times: noise power goes
    with the bandwidth 1 / t, and b is the part of the nominal bandwidth that the receiver's filter lets through, which
    noise over the full band sees and the object in the middle of the readout does not (Kellman & McVeigh, Magn Reson
    Med 54:1439, 2005).

    Args:
        part: counters to choose; of several encodings the first else, with a warning.
        max_bytes: most memory for an array.
        bandwidth: b; None is 1.
        counts: {axis: its size} of all axes in front, in their order, where the file says them; there may be slices,
            frames, ... of which no readout is.

    Returns:
        (kspace, mask, noise, calib and axes by name, facts for `Scan.meta`).
    """
    index = np.flatnonzero((r.role == IMAGE) | (r.role == BOTH))
    if not len(index):
        raise ValueError(f"no readout is for imaging, of {len(r.role)} there are {_count(r.role)}")
    index, chosen, others = _choose(r, index, part)
    if others:
        warnings.warn(f"read {_words(chosen)} only, of {others}; choose by load(path, part={{...}}) or --part",
                      stacklevel=5)
    m = r.matrices[chosen["encoding"]]
    lead = _lead(r, index, part, m.flat, counts)
    kspace, mask, repeats = fill(r, index, m, lead, max_bytes)
    axes = (*(AXES[name] for name in lead), "coil", *(("ky", "kx") if m.flat else ("kz", "ky", "kx")))
    slices = lead.get("slice", np.unique(r.counters["slice"][index]))
    facts = {"readouts": _count(r.role), "slices": slices.tolist()} | ({"part": chosen} if others or part else {})
    further = {AXES[name]: values.tolist() for name, values in lead.items() if name != "slice"}
    facts |= {"counters": further} if further else {}
    if repeats.max() > 1:
        facts["averages"] = sorted({int(repeats.min()), int(repeats.max())})
    if m.out != m.size[0]:
        facts["oversampling_removed"] = [m.size[0], m.out]
    grid = tuple(a for a in axes if a != "coil")
    facts |= _partial(mask.any(axis=tuple(range(len(lead)))), axes[len(lead) + 1:])
    fields = {"kspace": kspace, "mask": shortened(mask, grid), "axes": axes,
              "noise": _noise(r, index, bandwidth, float((1 / repeats).mean())),
              "calib": _calib(r, index, chosen, m, lead, max_bytes)}
    return fields, facts


def _count(role) -> dict:
    names = ("imaging", "calibration", "imaging and calibration", "noise", "skipped")
    return {name: int(n) for name, n in zip(names, np.bincount(role, minlength=5)) if n}


def _words(d: dict) -> str:
    return ", ".join(f"{k} {v}" for k, v in d.items())


def _choose(r: Readouts, index, part: dict):
    """(indices of one scan, the counters chosen, words about what else there is)."""
    chosen, others = {}, ""
    for name in (*COUNTERS, "slice"):
        if name != "encoding" and name not in part:
            continue
        values = np.unique(r.counters[name][index])
        value = part.get(name, int(values[0]))
        if value not in values:
            raise ValueError(f"part[{name!r}] is {value}: the file has {_check.brief(values.tolist())}")
        if name == "encoding" and value >= len(r.matrices):
            raise ValueError(f"readouts refer to encoding {value}, but the header has {len(r.matrices)}")
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
        elif name not in part and len(values) > 1:
            found[name] = values
    return found


def sort_slices(fields: dict, meta: dict, positions, normal) -> list[int]:
    """Bring the slices of `fields` and `meta` into the order of their positions along `normal`; returns the order."""
    order = spatial_order(positions, normal) if "slice" in fields["axes"] else None
    if order is None:
        return list(range(len(positions)))
    inner = len(_axes.encoded(fields["axes"]))
    for name, ndim in (("kspace", 0), ("mask", inner + 1), ("calib", inner + 2)):  # the least with slices
        if fields[name] is not None and fields[name].ndim >= ndim and len(fields[name]) > 1:
            fields[name] = fields[name][order]
    meta["slices"] = [meta["slices"][i] for i in order]
    return order.tolist()


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


def _noise(r: Readouts, index, bandwidth, averaged: float):
    """Noise-only samples (coil, samples) with the covariance of the averaged data, or None."""
    noise = np.flatnonzero(r.role == NOISE)
    if not len(noise):
        return None
    coils = r.coils[index[0]]
    if (r.coils[noise] != coils).any():
        raise ValueError(f"noise was measured with {r.coils[noise].max()} channels, the image with {coils}")
    times = r.dwell[noise] / r.dwell[index[0]] if r.dwell[index[0]] > 0 else np.ones(len(noise))
    times = np.where(times > 0, times, 1) / (bandwidth or 1) * averaged
    parts = [samples[:, r.pre[noise[k]] : samples.shape[1] - r.post[noise[k]]] * np.float32(np.sqrt(times[k]))
             for at, data in r.blocks(noise) for k, samples in zip(at, data)]
    return np.concatenate(parts, axis=1)


def _calib(r: Readouts, image, chosen: dict, m: Matrix, lead: dict, max_bytes: int):
    """The largest fully measured centre of the calibration readouts, or None where k-space itself holds them all.

    Coils do not change from frame to frame: lines of the first that has any are taken.
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
    if own.flat != m.flat or not own.fits(m):
        reason = "on another grid than the image's"
    elif (r.coils[index] != r.coils[image[0]]).any():
        reason = "with another number of channels"
    else:
        found = {"slice": np.unique(r.counters["slice"][index])} if "slice" in lead else {}
        kspace, mask, _ = fill(r, index, own, found, max_bytes)
        mask = mask.all(axis=0) if found else mask
        size = [min(n) for n in zip(_window(mask), (*m.size[:0:-1], m.out)[-mask.ndim:])]
        if found and len(found["slice"]) not in (1, slices):
            reason = f"in {len(found['slice'])} of {slices} slices"
        elif min(size) < 2:
            reason = "with holes at the centre"
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
