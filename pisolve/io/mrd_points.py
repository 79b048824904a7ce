"""ISMRMRD's raw data of samples anywhere in k-space: readouts with trajectories, as shots of a scan with `coord`."""

from __future__ import annotations

import warnings

import numpy as np

from pisolve._check import outside
from pisolve.io import points
from pisolve.io.geometry import spatial_order
from pisolve.io.grid import AXES, BOTH, IMAGE, STEPS
from pisolve.io.limits import spend
from pisolve.io.readouts import _choose, _count, _lead, _noise, _words
from pisolve.scan import Scan


def scan(path, data, head, r, header, *, part: dict, max_bytes: int, bandwidth: float | None, average: str,
         noise: list | None, meta: dict) -> Scan:
    """The scan of readouts that have trajectories.

    Every imaging readout is a shot, averages are further shots; slices, phases, contrasts, repetitions and sets become
    axes as for Cartesian data, and the partitions of a 3-D encoding with two coordinates "kz", a stack. Parts with
    fewer shots are padded, which `mask` says. The format does not say the units of its trajectories: up to 0.5 they are
    cycles per sample of the encoded matrix, up to pi radians, else already -N/2..N/2 of the encoded field of view; they
    become those of the reconstructed one.

    Args:
        path: for messages.
        data, head, r: the dataset of readouts, their heads, and the same in the terms of `Readouts`.
        header: of the file.
        part, max_bytes, bandwidth, average, noise: as for `readouts.assemble`.
        meta: what else is known of the file.

    Raises:
        ValueError: readouts without a trajectory, of several lengths of coordinates or numbers of channels.
    """
    index = np.flatnonzero((r.role == IMAGE) | (r.role == BOTH))
    if not len(index):
        raise ValueError(f"no readout is for imaging, of {len(r.role)} there are {_count(r.role)}")
    index, chosen, others = _choose(r, index, part)
    if others:
        warnings.warn(f"read {_words(chosen)} only, of {others}; choose by load(path, part={{...}}) or --part",
                      stacklevel=outside())
    m = r.matrix(chosen["encoding"])
    kinds = np.unique(head["trajectory_dimensions"][index])
    if len(kinds) > 1 or kinds[0] not in (2, 3) or "traj" not in data.dtype.names:
        raise ValueError(f"the trajectory is {header.text('encoding/trajectory')}, and its readouts have "
                         f"{kinds.tolist()} coordinates: 2 or 3 for each sample are needed in every one, or give "
                         "coord yourself, Scan(kspace, coord=...)")
    coils = np.unique(r.coils[index])
    if len(coils) > 1 or not coils[0]:
        raise ValueError(f"the number of channels changes between readouts: {coils.tolist()}")
    d = 2 if m.flat else int(kinds[0])
    lead = _lead(r, index, part, m.flat, None)
    if average == "keep" and "average" not in part:
        values = np.unique(r.counters["average"][index])
        lead |= {"average": values} if len(values) > 1 else {}
    names = [AXES[name] for name in lead]
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
    coord, mask = np.zeros((count, shots, samples, d)), np.zeros((count, shots, samples), bool)
    for at, read in r.blocks(index):
        for k, one, line in zip(at, read, _trajectories(data, index[at], head)):
            i, n = index[k], keep[k]
            kspace[part_of[k], :, shot[k], :n] = one[:, r.pre[i]:r.pre[i] + n]
            coord[part_of[k], shot[k], :n] = line[r.pre[i]:r.pre[i] + n, d - 1::-1]  # z, y, x
            mask[part_of[k], shot[k], :n] = True
    coord, size, said = _units(coord, mask, header, m, d)
    kspace, coord, mask = (a.reshape(*sizes, *a.shape[1:]) for a in (kspace, coord, mask))
    slices = lead["slice"].tolist() if "slice" in lead else None
    if slices is not None and len(slices) > 1:  # in the order of their places
        firsts = [head[index][np.flatnonzero(r.counters["slice"][index] == s)[0]] for s in slices]
        order = spatial_order([h["position"] for h in firsts], firsts[0]["slice_dir"])
        if order is not None:
            kspace, coord, mask = kspace[order], coord[order], mask[order]
            slices = [slices[i] for i in order]
    axes = (*names, *(("kz",) if stack else ()), "coil", "shot", "sample")
    if sizes and (coord == coord[(slice(1),) * len(sizes)]).all():
        coord = coord[(0,) * len(sizes)]  # one trajectory for all
    facts = {"readouts": _count(r.role)} | ({"part": chosen} if others or part else {})
    facts |= {} if slices is None else {"slices": slices}
    further = {AXES[name]: values.tolist() for name, values in lead.items() if name != "slice"}
    facts |= {"counters": further} if further else {}
    meta = header.describe() | facts | {"format": "ISMRMRD"} | said | meta
    return points.scan(path, kspace, coord, size, axes, None if mask.all() else mask, meta,
                       noise=_noise(r, index, bandwidth, 1.0, noise))


def _number(part_of) -> np.ndarray:
    """The number of each readout among those of its part, in the order of the file."""
    order = np.argsort(part_of, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(part_of[order])) + 1]
    number = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    found = np.empty_like(number)
    found[order] = number
    return found


def _trajectories(data, index, head):
    """The trajectories (sample, coordinate) of some readouts, in (x, y, z)."""
    first, last = int(index[0]), int(index[-1]) + 1
    found = data.fields("traj")[first:last][index - first] if last - first <= 2 * len(index) else (
        data.fields("traj")[index])
    for i, line in zip(index, found):
        n, d = int(head["number_of_samples"][i]), int(head["trajectory_dimensions"][i])
        if line.size != n * d:
            raise ValueError(f"readout {i} has a trajectory of {line.size} numbers, its head says {n} samples of {d} "
                             "coordinates")
        yield np.asarray(line, np.float64).reshape(n, d)


def _units(coord, mask, header, m, d: int):
    """(coordinates in 1 / field of view of the image, its size, what was assumed for `meta`)."""
    axes = "zyx"[-d:]
    full = "zyx" if not m.flat else "yx"
    size = {a: header.number(f"encoding/reconSpace/matrixSize/{a}") for a in full}
    encoded = {a: m.size["xyz".index(a)] for a in full}
    size = {a: n if isinstance(n, int) and n > 0 else encoded[a] for a, n in size.items()}
    fov = [{a: header.number(f"encoding/{space}/fieldOfView_mm/{a}") for a in full}
           for space in ("encodedSpace", "reconSpace")]
    ratio = np.array([fov[1][a] / fov[0][a] if fov[0][a] and fov[1][a] and fov[0][a] > 0 else size[a] / encoded[a]
                      for a in axes])
    n = np.array([encoded[a] for a in axes])
    reach, said = float(abs(coord[mask]).max(initial=0)), {}
    if not np.isfinite(reach):
        raise ValueError("a trajectory holds NaN or infinite numbers")
    if reach <= 0.5 * 1.05:
        scale = n * ratio
    elif reach <= np.pi * 1.05:
        scale = n * ratio / (2 * np.pi)
        said["assumed"] = f"the trajectory reaches {reach:.3g}: it is taken as radians per sample"
    else:
        scale = ratio
        said["assumed"] = (f"the trajectory reaches {reach:.4g}: it is taken as steps of 1 / field of view of the "
                           "encoded space")
    return coord * scale, tuple(size[a] for a in full), said
