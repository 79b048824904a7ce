"""ISMRMRD's HDF5 files, raw data of any vendor: read in blocks through h5py, written with the `ismrmrd` package.

One readout at a time, as the package reads them, takes 5 to 70 times longer; a test holds both to the same numbers.

Reference:
    Inati et al., ISMRM Raw data format: a proposed standard for MRI raw datasets, Magn Reson Med 77:411, 2017.
"""

from __future__ import annotations

import json

import numpy as np

from pisolve import _check
from pisolve.io import mrd_points, written
from pisolve.io.geometry import affine
from pisolve.io.grid import AXES, BOTH, CALIB, COUNTERS, IMAGE, NOISE, SKIP, STEPS, Matrix, Readouts
from pisolve.io.hdf5 import HARD, array_at, dataset, link, open_hdf5, text
from pisolve.io.header import Header
from pisolve.io.limits import too_large
from pisolve.io.readouts import assemble, sort_slices, warn_epi
from pisolve.scan import Scan

# numbers of ISMRMRD's flags, which count from 1; readouts of any of SKIPPED are no imaging data
NOISE_FLAG, CALIB_FLAG, BOTH_FLAG, REVERSE_FLAG, COMPRESSED = 19, 20, 21, 22, (53, 54, 55, 56)
SKIPPED = {23: "navigation", 24: "phase correction", 26: "HP feedback", 27: "dummy", 28: "RT feedback",
           29: "surface coil correction", 30: "phase stabilization reference", 31: "phase stabilization"}
CARTESIAN = ("cartesian", "epi")
FIELDS = ("flags", "number_of_samples", "active_channels", "center_sample", "discard_pre", "discard_post",
          "trajectory_dimensions", "encoding_space_ref", "sample_time_us", "idx", "position", "read_dir", "phase_dir",
          "slice_dir")


def group_of(file) -> str | None:
    """The name of the group with raw data in an open HDF5 file, or None: "dataset", else another that has them."""
    import h5py

    groups = [name for name in file if link(file, name) == HARD and isinstance(file[name], h5py.Group)
              and link(file[name], "data") is not None]
    return "dataset" if "dataset" in groups else next((g for g in groups if link(file[g], "xml") is not None), None)


def read(path, max_bytes: int, part: dict) -> Scan:
    """Read a scan: see `load`; k-space is (slice, ..., coil, ky, kx), or of a 3-D encoding (..., coil, kz, ky, kx).

    Raises:
        ValueError: damaged files, no imaging data, compressed, no trajectories of what is not Cartesian, or a header
            that does not fit the data.
    """
    with open_hdf5(path) as file:
        group = group_of(file)
        if group is None:
            raise ValueError(f"{path} holds no ISMRMRD data: a group with data and xml is needed")
        xml = text(file, f"{group}/xml", path)
        if xml is None:
            raise ValueError(f"{path}: {group} has no header xml")
        header = Header(xml, "the ISMRMRD header")
        data = _data(file, f"{group}/data", max_bytes, path)
        head = data.fields("head")[:]
        readouts = _readouts(data, head, header)
        bandwidth = header.number("acquisitionSystemInformation/relativeReceiverNoiseBandwidth")
        if (header.text("encoding/trajectory") or "cartesian").lower() not in CARTESIAN:
            return mrd_points.scan(path, data, head, readouts, header, part, max_bytes, bandwidth)
        counts = _counts(text(file, "pisolve/counts", path), path)
        fields, facts = assemble(readouts, part=part, max_bytes=max_bytes, counts=counts,
                                 bandwidth=bandwidth if bandwidth and bandwidth > 0 else None)
        own = {name: dataset(file, f"pisolve/{name}", max_bytes, path) for name in ("mps", "reference")}
        kept = text(file, "pisolve/meta", path)
        readout = text(file, "pisolve/readout", path)
    meta = _meta(header, head, readouts, facts, fields)
    try:
        meta = {k: v for k, v in (meta | (json.loads(kept) if kept else {})).items() if v is not None}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: pisolve/meta is not JSON of a dict: {error}") from error
    if readout in ("ky", "kz"):
        written.turn(fields, meta, readout)
    if "hybrid" in meta and "kz" in fields["axes"]:
        written.no_hybrid(own, meta)
    elif part and counts:
        written.take(own, fields, counts, part)
    return Scan(**fields, **own, meta=meta)


def _counts(told: str | None, path) -> dict | None:
    """The sizes of the axes in front that `save_mrd` wrote, by name."""
    try:
        counts = None if told is None else json.loads(told)
    except ValueError as error:
        raise ValueError(f"{path}: pisolve/counts is not JSON: {error}") from error
    known = set(AXES.values())
    if counts is not None and not (isinstance(counts, dict) and set(counts) <= known and all(
            isinstance(n, int) and 1 <= n < 1 << 16 for n in counts.values())):
        raise ValueError(f"{path}: pisolve/counts must give sizes of {', '.join(known)}, got {_check.brief(told)}")
    return counts


def _data(file, name: str, max_bytes: int, path):
    """The dataset of readouts, checked."""
    import h5py

    item = array_at(file, name, max_bytes, path)
    names = () if item is None else item.dtype.names or ()
    head = item.dtype["head"] if "head" in names else None
    missing = [f for f in FIELDS if head is None or f not in (head.names or ())]
    if missing or "data" not in names or item.ndim != 1 or not len(item):
        raise ValueError(f"{path}: {name} is not a list of ISMRMRD's readouts")
    if h5py.check_vlen_dtype(item.dtype["data"]) != np.float32:
        raise ValueError(f"{path}: {name} holds {item.dtype['data']}, ISMRMRD's readouts are float32")
    if 2 * len(item) * item.dtype.itemsize > max_bytes:
        raise too_large(path, name, 2 * len(item) * item.dtype.itemsize, max_bytes)
    return item


def _readouts(data, head, header: Header) -> Readouts:
    """What ISMRMRD's heads say, in the terms of `Readouts`."""
    role = np.full(len(head), IMAGE)
    role[_flag(head, CALIB_FLAG)] = CALIB
    role[_flag(head, BOTH_FLAG)] = BOTH
    role[_skipped(head)] = SKIP
    role[_flag(head, NOISE_FLAG)] = NOISE
    if (_flag(head, *COMPRESSED) & (role != SKIP)).any():
        raise ValueError("the samples are compressed: unpack them with ismrmrd's own tools first")
    counters = {name: head["idx"][name.replace("encoding", "encode")].astype(np.int64) for name in STEPS}
    counters |= {name: head["idx"][name].astype(np.int64) for name in ("slice", *COUNTERS[1:])}
    counters["encoding"] = head["encoding_space_ref"].astype(np.int64)
    small = {name: head[field].astype(np.int64) for name, field in (
        ("samples", "number_of_samples"), ("coils", "active_channels"), ("centre", "center_sample"),
        ("pre", "discard_pre"), ("post", "discard_post"))}

    def read(index):
        first, last = int(index[0]), int(index[-1]) + 1
        near = last - first <= 2 * len(index)  # a few too many in one piece are cheaper than many pieces
        found = data.fields("data")[first:last][index - first] if near else data.fields("data")[index]
        for i, samples in zip(index, found):
            if samples.size != 2 * small["coils"][i] * small["samples"][i]:
                raise ValueError(f"readout {i} has {samples.size} numbers, its head says {small['coils'][i]} channels "
                                 f"of {small['samples'][i]} complex samples")
        return [s.view(np.complex64).reshape(small["coils"][i], -1) for i, s in zip(index, found)]

    dwell = np.nan_to_num(head["sample_time_us"].astype(float), posinf=0, neginf=0)
    return Readouts(role=role, counters=counters, reverse=_flag(head, REVERSE_FLAG), dwell=dwell, read=read,
                    matrices=[_matrix(e) for e in header.encodings()] or [_matrix(header)], **small)


def _flag(head, *flags) -> np.ndarray:
    return (head["flags"] & np.uint64(sum(1 << (f - 1) for f in flags))) != 0


def _skipped(head) -> np.ndarray:
    return _flag(head, *SKIPPED)


def _matrix(header: Header) -> Matrix:
    """The matrix of one encoding of the header."""
    size = [header.number(f"encodedSpace/matrixSize/{axis}") for axis in "xyz"]
    if any(not isinstance(n, int) or not 1 <= n < 1 << 16 for n in size):
        raise ValueError(f"the ISMRMRD header gives the encodedSpace a matrixSize of {size}: three whole numbers of 1 "
                         "to 65535 are needed")
    fov, recon = ([header.number(f"{space}/fieldOfView_mm/{axis}") for axis in "xyz"]
                  for space in ("encodedSpace", "reconSpace"))
    out = header.number("reconSpace/matrixSize/x")
    if fov[0] and recon[0] and fov[0] > 0:  # what the field of view leaves; a smaller matrix alone is a coarser image
        left = size[0] * min(recon[0] / fov[0], 1)
        out = out if isinstance(out, int) and abs(out - left) <= 1 else round(left)
    out = out if isinstance(out, int) and 1 <= out <= size[0] else size[0]
    centre, limits = [], []
    for step, n in zip(STEPS, size[1:]):
        given = [header.number(f"encodingLimits/{step}/{name}") for name in ("center", "minimum", "maximum")]
        c, low, high = (d if v is None else v for v, d in zip(given, (n // 2, 0, n - 1)))
        centre.append(c)
        limits.append((low, high))
    known = None not in fov and all(np.isfinite(fov)) and min(fov) > 0
    return Matrix(tuple(size), out, tuple(centre), tuple(limits), tuple(map(float, fov)) if known else None)


def _meta(header: Header, head, r: Readouts, facts: dict, fields: dict) -> dict:
    """What is known beside the arrays; slices are brought into the order of their positions on the way."""
    meta = header.describe() | facts | {"format": "ISMRMRD"}
    meta |= {} if "kz" in fields["axes"] else {"phase_axis": -2}
    for name, place in (("acceleration", "accelerationFactor/kspace_encoding_step_1"),
                        ("acceleration_kz", "accelerationFactor/kspace_encoding_step_2")):
        factor = header.number(f"encoding/parallelImaging/{place}")
        if factor is not None and factor != 1:
            meta[name] = factor
    mode = header.text("encoding/parallelImaging/calibrationMode")
    meta |= {"calibration_mode": mode} if mode else {}
    skipped = {word: n for flag, word in SKIPPED.items() if (n := int(_flag(head, flag).sum()))}
    if skipped:
        meta["skipped"] = skipped
    if meta.get("trajectory") == "epi" or "phase correction" in skipped:
        warn_epi(skipped.get("phase correction", 0))
    image = (r.role == IMAGE) | (r.role == BOTH)
    for name, value in facts.get("part", {}).items():
        image &= r.counters[name] == value
    first = head[image][0]
    matrix = r.matrices[int(first["encoding_space_ref"])]
    if matrix.voxel():
        meta["voxel_mm"] = matrix.voxel()
    where = [np.flatnonzero(image & (r.counters["slice"] == s)) for s in facts["slices"]]
    if not all(map(len, where)):  # a slice of which nothing was measured
        return meta
    firsts = [head[w[0]] for w in where]
    order = sort_slices(fields, meta, [h["position"] for h in firsts], first["slice_dir"])
    firsts = [firsts[i] for i in order]
    if matrix.voxel() and (matrix.flat or len(firsts) == 1):  # several slabs are no regular volume
        size = (len(firsts) if matrix.flat else fields["kspace"].shape[-3], *fields["kspace"].shape[-2:])
        axes = [first[f"{name}_dir"] for name in ("slice", "phase", "read")]
        place = affine([h["position"] for h in firsts], axes, matrix.voxel(), size)
        meta |= {} if place is None else {"affine": place}
    return meta
