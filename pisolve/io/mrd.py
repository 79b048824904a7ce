"""ISMRMRD's HDF5 files, raw data of any vendor: read in blocks through h5py, written with the `ismrmrd` package.

One readout at a time, as the package reads them, takes 5 to 70 times longer; a test holds both to the same numbers.

Reference:
    Inati et al., ISMRM Raw data format: a proposed standard for MRI raw datasets, Magn Reson Med 77:411, 2017.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from pisolve import _check
from pisolve.io import epi_raw, lengths, mrd_points, written
from pisolve.io.epi import refuse
from pisolve.io.geometry import place
from pisolve.io.grid import AXES, BOTH, CALIB, COUNTERS, IMAGE, NOISE, SKIP, STEPS, Readouts
from pisolve.io.hdf5 import array_at, dataset, open_hdf5, text
from pisolve.io.header import Header
from pisolve.io.limits import too_large
from pisolve.io.matrices import CARTESIAN, centred, matrices
from pisolve.io.measurements import chosen, groups
from pisolve.io.noise import samples_of
from pisolve.io.readouts import assemble, warn_epi
from pisolve.io.sieve import flattened, one_array
from pisolve.scan import Scan

# numbers of ISMRMRD's flags, which count from 1; readouts of any of SKIPPED are no imaging data
NOISE_FLAG, CALIB_FLAG, BOTH_FLAG, REVERSE_FLAG, COMPRESSED = 19, 20, 21, 22, (53, 54, 55, 56)
SKIPPED = {23: "navigation", 24: "phase correction", 26: "HP feedback", 27: "dummy", 28: "RT feedback",
           29: "surface coil correction", 30: "phase stabilization reference", 31: "phase stabilization"}
FIELDS = ("flags", "number_of_samples", "active_channels", "center_sample", "discard_pre", "discard_post",
          "trajectory_dimensions", "encoding_space_ref", "sample_time_us", "idx", "position", "read_dir", "phase_dir",
          "slice_dir")


def read(path, max_bytes: int, part: dict, *, average: str = "mean", noise: list | None = None,
         epi: str = "auto", coord=None, size=None) -> Scan:
    """Read a scan: see `load`; k-space is (slice, ..., coil, ky, kx), or of a 3-D encoding (..., coil, kz, ky, kx).

    Of several measurements in one file the last with imaging readouts is the scan; noise is taken from all.

    Args:
        coord, size: of samples anywhere, instead of what the readouts say; every readout is a shot then.
        noise: samples of another file, as `noise.samples_of` gives them, instead of those of this one.
        epi: how the ghost of an EPI scan is found, see `epi_raw`.

    Raises:
        ValueError: damaged files, no imaging data, compressed, no trajectories of what is not Cartesian, or a header
            that does not fit the data.
    """
    part = dict(part)
    with open_hdf5(path) as file:
        names = groups(file)
        if not names:
            raise ValueError(f"{path} holds no ISMRMRD data: a group with data and xml is needed")
        opened = {name: _opened(file, name, max_bytes, path) for name in names}
        imaging = [name for name, (_, head, _) in opened.items() if _imaging(head).any()]
        group = chosen(names, imaging, part.pop("measurement", None))
        data, head, header = opened[group]
        several = {"measurement": f"{group} of {', '.join(names)}"} if len(names) > 1 else {}
        counts = _counts(text(file, "pisolve/counts", path), path)
        if noise is None and len(names) > 1:
            def noise(own):
                return [pair for name in names
                        for pair in samples_of(own if name == group else _readouts(*opened[name]))]

        def beside():
            own = {name: dataset(file, f"pisolve/{name}", max_bytes, path) for name in written.KEPT}
            return own, text(file, "pisolve/meta", path), text(file, "pisolve/readout", path)

        return scan_of(path, data, head, header, part, max_bytes, average=average, noise=noise, epi=epi, counts=counts,
                       several=several, beside=beside, coord=coord, size=size)


def scan_of(path, data, head, header: Header, part: dict, max_bytes: int, *, average: str = "mean",
            noise: list | Callable | None = None, epi: str = "auto", counts: dict | None = None,
            several: dict | None = None, beside: Callable = lambda: ({}, None, None), coord=None, size=None) -> Scan:
    """The scan that the readouts of one measurement make, from a file or from a scanner.

    Args:
        path: for messages.
        data, head: the readouts, what has `fields(name)` as a dataset of HDF5 has it; their heads.
        part, max_bytes, average, noise, epi, coord, size: as for `read`; noise may be a function of the readouts.
        counts: the sizes of the axes in front, where the file says them.
        several: what to add to `meta`.
        beside: what `save_mrd` kept beside the readouts: (arrays by name, meta as JSON, the readout's axis).

    Raises:
        ValueError: as `read`.
    """
    part = dict(part)
    readouts = one_array(_readouts(data, head, header), part.pop("channels", None))
    bandwidth = header.number("acquisitionSystemInformation/relativeReceiverNoiseBandwidth")
    bandwidth = bandwidth if bandwidth and bandwidth > 0 else None
    noise = noise(readouts) if callable(noise) else noise
    how = {"part": part, "max_bytes": max_bytes, "noise": noise, "bandwidth": bandwidth, "average": average,
           "meta": several or {}}
    if coord is not None:
        refuse(epi)
        return mrd_points.given(path, readouts, head, header, coord, size, **how)
    if (header.text("encoding/trajectory") or "cartesian").lower() not in CARTESIAN:
        refuse(epi)
        return mrd_points.scan(path, data, head, readouts, header, **how)
    readouts = flattened(readouts) if counts is None else readouts
    readouts, lines = epi_raw.corrected(readouts, epi_raw.spaces(header), _flag(head, 24), epi, max_bytes)
    mode = header.text("encoding/parallelImaging/calibrationMode")
    fields, facts = assemble(readouts, part=part, max_bytes=max_bytes, counts=counts, average=average, noise=noise,
                             bandwidth=bandwidth, told=None if mode in (None, "", "other") else mode == "embedded")
    own, kept, readout = beside()
    meta = _meta(header, head, readouts, facts | lines, fields) | (several or {})
    try:
        kept = json.loads(kept) if kept else {}
        if "affine" in kept:
            meta.pop("affine_code", None)  # it says of the other one that its vendor is not known
        meta = {k: v for k, v in (meta | kept).items() if v is not None}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: pisolve/meta is not JSON of a dict: {error}") from error
    if readout in ("ky", "kz"):
        written.turn(fields, meta, readout)
    if "hybrid" in meta and "kz" in fields["axes"]:
        written.no_hybrid(own, meta)
    elif part and counts:
        written.take(own, fields, counts, part)
    return Scan(**fields, **own, meta=meta)


def read_noise(path, max_bytes: int) -> list:
    """The samples of a file of noise, of all its measurements: see `noise.samples_of`."""
    with open_hdf5(path) as file:
        return [pair for name in groups(file)
                for pair in samples_of(_readouts(*_opened(file, name, max_bytes, path)), alone=True)]


def _opened(file, group: str, max_bytes: int, path):
    """(the dataset of readouts, their heads, the header) of a measurement."""
    xml = text(file, f"{group}/xml", path)
    if xml is None:
        raise ValueError(f"{path}: {group} has no header xml")
    header = Header(xml, "the ISMRMRD header")
    data = _data(file, f"{group}/data", max_bytes, path)
    return data, _completed(data, data.fields("head")[:], header), header


def _completed(data, head, header: Header):
    """The heads, with channels and samples where old converters left 0: those of the header, and of the data."""
    empty = np.flatnonzero(((head["active_channels"] == 0) | (head["number_of_samples"] == 0)) & ~_skipped(head))
    if not len(empty):
        return head
    channels = header.number("acquisitionSystemInformation/receiverChannels")
    head = head.copy()
    for start in range(0, len(empty), 1024):
        for i, samples in zip(empty[start : start + 1024], data.fields("data")[empty[start : start + 1024]]):
            coils, n = int(head["active_channels"][i]), int(head["number_of_samples"][i])
            coils = coils or (samples.size // (2 * n) if n else channels or 0)
            n = n or (samples.size // (2 * coils) if isinstance(coils, int) and coils > 0 else 0)
            if samples.size and 2 * coils * n == samples.size and max(coils, n) < 1 << 16:
                head["active_channels"][i], head["number_of_samples"][i] = coils, n
    return head


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
    if missing or head.hasobject or "data" not in names or item.ndim != 1 or not len(item):
        raise ValueError(f"{path}: {name} is not a list of ISMRMRD's readouts")
    if h5py.check_vlen_dtype(item.dtype["data"]) != np.float32:
        raise ValueError(f"{path}: {name} holds {item.dtype['data']}, ISMRMRD's readouts are float32")
    if 2 * len(item) * item.dtype.itemsize > max_bytes:
        raise too_large(path, name, 2 * len(item) * item.dtype.itemsize, max_bytes)
    lists = {field: 4 for field in names if h5py.check_vlen_dtype(item.dtype[field]) == np.float32}
    lengths.of_dataset(item, path, lists, max_bytes)
    return item


def roles(head) -> np.ndarray:
    """What the readouts of these heads are for: IMAGE, CALIB, BOTH, NOISE or SKIP of `grid`."""
    role = np.full(len(head), IMAGE)
    role[_flag(head, CALIB_FLAG)] = CALIB
    role[_flag(head, BOTH_FLAG)] = BOTH
    role[_skipped(head)] = SKIP
    role[_flag(head, NOISE_FLAG)] = NOISE
    return role


def _readouts(data, head, header: Header) -> Readouts:
    """What ISMRMRD's heads say, in the terms of `Readouts`."""
    role = roles(head)
    if (_flag(head, *COMPRESSED) & (role != SKIP)).any():
        raise ValueError("the samples are compressed: unpack them with ismrmrd's own tools first")
    counters = {name: head["idx"][name.replace("encoding", "encode")].astype(np.int64) for name in STEPS}
    counters |= {name: head["idx"][name].astype(np.int64) for name in ("slice", *COUNTERS[1:], "average")}
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
    found = centred(matrices(header), counters, head["idx"]["user"], _imaging(head), header)
    return Readouts(role=role, counters=counters, reverse=_flag(head, REVERSE_FLAG), dwell=dwell, read=read,
                    matrices=found, **small)


def _flag(head, *flags) -> np.ndarray:
    return (head["flags"] & np.uint64(sum(1 << (f - 1) for f in flags))) != 0


def _skipped(head) -> np.ndarray:
    return _flag(head, *SKIPPED)


def _imaging(head) -> np.ndarray:
    return ~_flag(head, NOISE_FLAG, CALIB_FLAG, *SKIPPED) | (
        _flag(head, BOTH_FLAG) & ~_flag(head, NOISE_FLAG, *SKIPPED))


def _meta(header: Header, head, r: Readouts, facts: dict, fields: dict) -> dict:
    """What is known beside the arrays; slices are brought into the order of their positions on the way."""
    meta = header.describe() | facts | {"format": "ISMRMRD"}
    meta |= {} if "kz" in fields["axes"] else {"phase_axis": -2}
    vendor = header.text("acquisitionSystemInformation/systemVendor")
    meta |= {"vendor": vendor} if vendor else {}
    for name, at in (("acceleration", "accelerationFactor/kspace_encoding_step_1"),
                     ("acceleration_kz", "accelerationFactor/kspace_encoding_step_2")):
        factor = header.number(f"encoding/parallelImaging/{at}")
        if factor is not None and factor != 1:
            meta[name] = factor
    mode = header.text("encoding/parallelImaging/calibrationMode")
    meta |= {"calibration_mode": mode} if mode else {}
    skipped = {word: n for flag, word in SKIPPED.items() if (n := int(_flag(head, flag).sum()))}
    if skipped:
        meta["skipped"] = skipped
    if "epi" not in meta and (meta.get("trajectory") == "epi" or "phase correction" in skipped):
        warn_epi(skipped.get("phase correction", 0))
    image = (r.role == IMAGE) | (r.role == BOTH)
    for name, value in facts.get("part", {}).items():
        image &= r.counters[name] == value
    matrix = r.matrix(int(r.counters["encoding"][image][0]))
    where = [np.flatnonzero(image & (r.counters["slice"] == s)) for s in facts["slices"]]
    if not all(map(len, where)):  # a slice of which nothing was measured
        return meta | ({"voxel_mm": matrix.voxel()} if matrix.voxel() else {})
    firsts = [head[w[0]] for w in where]
    directions = [[h[f"{name}_dir"] for name in ("slice", "phase", "read")] for h in firsts]
    place(fields, meta, [h["position"] for h in firsts], directions, matrix.voxel(), flat=matrix.flat,
          vendor=vendor)
    return meta
