"""From single readouts, as scanners and raw files keep them, to a `Scan`; the formats only say where each belongs."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve import _check
from pisolve.io.geometry import spatial_order
from pisolve.io.grid import BOTH, CALIB, COUNTERS, IMAGE, NOISE, Matrix, Readouts, fill


def check_part(part) -> dict:
    """`part` of `load` as a dict of counters."""
    if part is None:
        return {}
    names = (*COUNTERS, "slice")
    if not isinstance(part, dict) or not set(part) <= set(names):
        raise ValueError(f"part must be a dict of {', '.join(names)}, got {_check.brief(part)}")
    return {name: _check.integer(f"part[{name!r}]", value, low=0) for name, value in part.items()}


def assemble(r: Readouts, *, part: dict, max_bytes: int, bandwidth: float | None = None) -> tuple[dict, dict]:
    """The fields of the `Scan` that some readouts make, and what there is to say about them.

    Readouts of one line are averaged, each line by the number of its own. The readout's oversampling is cut off in the
    image. All transforms are orthonormal, which keeps the variance of the noise of a sample. 3-D encodings are
    transformed along the readout: F_x^H F_x = I takes them apart into slices (x, coil, kz, ky).

    Noise-only samples are multiplied by sqrt(t_noise / (t_image b) / averages), t the dwell times: noise power goes
    with the bandwidth 1 / t, and b is the part of the nominal bandwidth that the receiver's filter lets through, which
    noise over the full band sees and the object in the middle of the readout does not (Kellman & McVeigh, Magn Reson
    Med 54:1439, 2005).

    Args:
        part: counters to choose; else the lowest there are, with a warning where there are more.
        max_bytes: most memory for an array.
        bandwidth: b; None is 1.

    Returns:
        (kspace, mask, noise and calib by name, facts for `Scan.meta`).
    """
    index = np.flatnonzero((r.role == IMAGE) | (r.role == BOTH))
    if not len(index):
        raise ValueError(f"no readout is for imaging, of {len(r.role)} there are {_count(r.role)}")
    index, chosen, others = _choose(r, index, part)
    if others:
        warnings.warn(f"read {_words(chosen)} only, of {others}; choose by load(path, part={{...}}) or --part",
                      stacklevel=5)
    m = r.matrices[chosen["encoding"]]
    kspace, mask, repeats, slices = fill(r, index, m, max_bytes)
    facts = {"readouts": _count(r.role), "slices": slices.tolist()} | ({"part": chosen} if others else {})
    if repeats.max() > 1:
        facts["averages"] = sorted({int(repeats.min()), int(repeats.max())})
    if m.out != m.size[0]:
        facts["oversampling_removed"] = [m.size[0], m.out]
    facts |= _partial(mask, ("ky", "kx") if m.flat else ("kz", "ky"))
    if not m.flat:
        facts["hybrid"] = "slices are positions along the readout, (ky, kx) is (kz, ky)"
    fields = {"kspace": kspace, "mask": mask, "noise": _noise(r, index, bandwidth, float((1 / repeats).mean())),
              "calib": _calib(r, index, chosen, m, len(slices), max_bytes)}
    return fields, facts


def _count(role) -> dict:
    names = ("imaging", "calibration", "imaging and calibration", "noise", "skipped")
    return {name: int(n) for name, n in zip(names, np.bincount(role, minlength=5)) if n}


def _words(d: dict) -> str:
    return ", ".join(f"{k} {v}" for k, v in d.items())


def _choose(r: Readouts, index, part: dict):
    """(indices of one scan, the counters chosen, words about what else there is)."""
    chosen, others = {}, []
    for name in (*COUNTERS, "slice"):
        values = np.unique(r.counters[name][index])
        volume = name == "slice" and r.matrices[chosen["encoding"]].flat
        if volume and name not in part:
            continue  # slices make a scan together; slabs of 3-D encodings do not
        value = part.get(name, int(values[0]))
        if value not in values:
            raise ValueError(f"part[{name!r}] is {value}: the file has {_check.brief(values.tolist())}")
        if name == "encoding" and value >= len(r.matrices):
            raise ValueError(f"readouts refer to encoding {value}, but the header has {len(r.matrices)}")
        if len(values) > 1 and name not in part:
            others.append(f"{len(values)} {name}s" if name != "slice" else f"{len(values)} slabs (slice)")
        chosen[name] = value
        index = index[r.counters[name][index] == value]
    return index, chosen, ", ".join(others)


def sort_slices(fields: dict, meta: dict, positions, normal) -> list[int]:
    """Bring the slices of `fields` and `meta` into the order of their positions along `normal`; returns the order."""
    order = spatial_order(positions, normal)
    if order is None:
        return list(range(len(positions)))
    for name in ("kspace", "calib"):
        if fields[name] is not None and fields[name].ndim == 4:
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
        where = np.flatnonzero(mask.any(axis=1 - axis))
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


def _calib(r: Readouts, image, chosen: dict, m: Matrix, slices: int, max_bytes: int):
    """The largest fully measured centre of the calibration readouts, or None where k-space itself holds them all."""
    if not (r.role == CALIB).any():
        return None
    index = np.flatnonzero((r.role == CALIB) | (r.role == BOTH))
    for name in (*COUNTERS, "slice"):
        if name not in chosen:
            continue
        values = r.counters[name][index]
        alone = r.counters[name][r.role == CALIB]
        index = index[values == (chosen[name] if chosen[name] in alone else alone.min())]
    own, reason = r.matrices[int(r.counters["encoding"][index[0]])], None
    if own.flat != m.flat or (not m.flat and own.out != m.out) or not own.fits(m):
        reason = "on another grid than the image's"
    elif (r.coils[index] != r.coils[image[0]]).any():
        reason = "with another number of channels"
    else:
        kspace, mask, _, found = fill(r, index, own, max_bytes)
        y, x = (min(n) for n in zip(centred_window(mask), (m.size[1], m.out) if m.flat else (m.size[2], m.size[1])))
        if m.flat and len(found) not in (1, slices):
            reason = f"in {len(found)} of {slices} slices"
        elif min(y, x) < 2:
            reason = "with holes at the centre"
    if reason:
        warnings.warn(f"calibration readouts were measured {reason}: they are left out", stacklevel=6)
        return None
    top, left = mask.shape[0] // 2 - y // 2, mask.shape[1] // 2 - x // 2
    kspace = kspace[..., top : top + y, left : left + x].copy()
    return kspace[0] if m.flat and len(found) < slices else kspace


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
