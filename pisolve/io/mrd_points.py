"""ISMRMRD's raw data of samples anywhere in k-space: readouts with trajectories, as shots of a scan with `coord`."""

from __future__ import annotations

import numpy as np

from pisolve.io import points
from pisolve.io.geometry import place, spatial_order
from pisolve.io.readouts import _noise
from pisolve.io.shots import at, gathered, imaging
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
    index, chosen, told = imaging(r, part)
    m = r.matrix(chosen["encoding"])
    kinds = np.unique(head["trajectory_dimensions"][index])
    if len(kinds) > 1 or kinds[0] not in (2, 3) or "traj" not in data.dtype.names:
        raise ValueError(f"the trajectory is {header.text('encoding/trajectory')}, and its readouts have "
                         f"{kinds.tolist()} coordinates: 2 or 3 for each sample are needed in every one, or give "
                         "coord yourself, load(path, coord=...) or --coord")
    d = 2 if m.flat else int(kinds[0])
    found = gathered(r, index, chosen, told, d=d, m=m, part=part, max_bytes=max_bytes, average=average,
                     lines=lambda at: _trajectories(data, at, head))
    coord, size, said = _units(found.coord, found.mask, header, m, d)
    fields = {"kspace": found.kspace, "mask": found.mask, "coord": coord, "axes": found.axes}
    meta = header.describe() | found.facts | {"format": "ISMRMRD"} | said | meta
    _place(fields, meta, head[index], r.counters["slice"][index], header, m, size)
    kspace, mask, coord = (fields[n] for n in ("kspace", "mask", "coord"))
    sizes = coord.ndim - 3
    if sizes and (coord == coord[(slice(1),) * sizes]).all():
        coord = coord[(0,) * sizes]  # one trajectory for all
    return points.scan(path, kspace, coord, size, found.axes, None if mask.all() else mask, meta,
                       noise=_noise(r, index, bandwidth, 1.0, noise))


def _place(fields: dict, meta: dict, head, slices, header, m, size) -> None:
    """Where the image lies, as `geometry.place` says it; trajectories run along read, phase and slice direction.

    Args:
        fields, meta: see `geometry.place`.
        head, slices: of each readout.
        header, m: of the file, and the encoding's matrix.
        size: of the image.
    """
    vendor = header.text("acquisitionSystemInformation/systemVendor")
    meta |= {"vendor": vendor} if vendor else {}
    fov = [header.number(f"encoding/reconSpace/fieldOfView_mm/{a}") for a in "zyx"[-len(size):]]
    known = all(f is not None and 0 < f < float("inf") for f in fov)
    inner = [f / n for f, n in zip(fov, size)] if known else None
    voxel = inner if inner is None or not m.flat else [m.thickness, *inner] if m.thickness else None
    firsts = _firsts(head, slices, meta.get("slices", np.unique(slices)[:1]))
    directions = [[h[f"{name}_dir"] for name in ("slice", "phase", "read")] for h in firsts]
    place(fields, meta, [h["position"] for h in firsts], directions, voxel, flat=m.flat, vendor=vendor, size=size)


def given(path, r, head, header, coord, size, *, meta: dict, **how) -> Scan:
    """The scan of readouts at given coordinates, see `shots.at`; `size` is the header's where it is None."""
    m = r.matrix(0)
    if size is None:
        full = "yx" if m.flat else "zyx"
        size = [header.number(f"encoding/reconSpace/matrixSize/{a}") for a in full]
        size = tuple(size) if all(isinstance(n, int) and n > 0 for n in size) else None
    said = header.describe() | {"format": "ISMRMRD"} | meta
    if size is None:  # how large a pixel is depends on it
        return at(path, r, coord, size, r.matrix, meta=said,
                  order=lambda index, slices: _order(r, head, index, slices), **how)

    def locate(fields, facts, index):
        _place(fields, facts, head[index], r.counters["slice"][index], header, m, size)

    return at(path, r, coord, size, r.matrix, meta=said, locate=locate, **how)


def _order(r, head, index, slices):
    """The order of slices in space, or None where it is that of their counters."""
    firsts = _firsts(head[index], r.counters["slice"][index], slices)
    return spatial_order([h["position"] for h in firsts], firsts[0]["slice_dir"])


def _firsts(head, counter, slices):
    """The head of the first readout of each of these slices."""
    return [head[np.flatnonzero(counter == s)[0]] for s in slices]


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
