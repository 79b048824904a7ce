"""Siemens' raw data, twix `.dat` of VB and of VD/VE: layout, flags and protocol by the `twixtools` package.

Tested with files that `twixtools` writes (VD/VE), against what `twixtools` and `mapvbvd` read of them; never tried on a
file of a scanner, and VB only on files made by hand.

The readout's oversampling is removed as the protocol's base resolution says. Noise scans' dwell times are those of
siemens_to_ismrmrd: a noise adjustment's bandwidth is 130 Hz a sample. Of a file with several measurements the last is
the scan; noise is taken from all.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from pisolve import _check
from pisolve.io import epi_raw, points, shots
from pisolve.io.epi import refuse
from pisolve.io.geometry import directions_of, place
from pisolve.io.grid import BOTH, CALIB, IMAGE, NOISE, SKIP, STEPS, Readouts
from pisolve.io.limits import too_large
from pisolve.io.measurements import chosen
from pisolve.io.noise import samples_of
from pisolve.io.protocol import at_place, facts_of, matrix_of, partitions_of, protocol_of
from pisolve.io.readouts import assemble, warn_epi
from pisolve.io.sieve import flattened, one_array
from pisolve.scan import Scan

SKIPPED = {"PHASCOR": "phase correction", "RTFEEDBACK": "RT feedback", "HPFEEDBACK": "HP feedback",
           "REFPHASESTABSCAN": "phase stabilization reference", "PHASESTABSCAN": "phase stabilization",
           "SLICE_ACCEL_REFSCAN": "single-band reference", "SLICE_ACCEL_PHASCOR": "multi-band phase correction",
           "RETRO_DUMMYSCAN": "dummy", "B1_CONTROLLOOP": "B1 control", "MDH_VOP": "VOP", "noname60": "FID navigation"}
COUNTERS = {"slice": "Sli", "contrast": "Eco", "phase": "Phs", "repetition": "Rep", "set": "Set", "average": "Ave"}
BANDWIDTH = 0.793  # the share of the nominal bandwidth that Siemens' receivers let through (siemens_to_ismrmrd)
EMBEDDED, NONE = 2, 1  # of sPat.ucRefScanMode


def read(path, max_bytes: int, part: dict, *, average: str = "mean", noise: list | None = None,
         epi: str = "auto", coord=None, size=None) -> Scan:
    """Read a scan: see `load`; k-space is (slice, ..., coil, ky, kx), or of a 3-D encoding (..., coil, kz, ky, kx).

    Args:
        coord, size: of samples anywhere, which the format does not say; every readout is a shot then.
        noise: samples of another file, as `noise.samples_of` gives them, instead of those of this one.
        epi: how the ghost of an EPI scan is found, see `epi_raw`.

    Raises:
        ValueError: damaged or cut off files, no imaging data, not Cartesian, or a protocol that does not fit.
        ImportError: without the `twixtools` package.
    """
    part = dict(part)
    raw, starts, heads, where, mdh, modern = _opened(path, max_bytes)
    number = chosen(range(len(heads)), [k for k, h in enumerate(heads) if _imaging(h, mdh).any()],
                    part.pop("measurement", None))
    protocol = protocol_of(path, starts[number][0])
    ours = np.repeat(np.arange(len(heads)) == number, [len(h) for h in heads])
    head, where = np.concatenate(heads), np.concatenate(where)
    if not len(head):
        raise ValueError(f"{path} has no readouts")
    readouts, skipped = _readouts(raw, head, where, ours, protocol, mdh, modern, placed=coord is None)
    meta = {"format": f"twix {'VD/VE' if modern else 'VB'}", "vendor": "SIEMENS"} | facts_of(protocol)
    meta |= {"skipped": skipped} if skipped else {}
    if coord is not None:
        refuse(epi)
        readouts = one_array(readouts, part.pop("channels", None))
        return _at(path, readouts, coord, size, head, protocol, part=part, max_bytes=max_bytes, bandwidth=BANDWIDTH,
                   average=average, noise=noise, meta=meta)
    readouts = flattened(one_array(readouts, part.pop("channels", None)))
    lobe = epi_raw.siemens(lambda name: at_place(protocol, "Meas", name, 0), int(readouts.samples[ours].max(initial=0)))
    readouts, lines = epi_raw.corrected(readouts, lobe, ours & _flag(head, mdh, "PHASCOR"), epi, max_bytes)
    mode = at_place(protocol, "MeasYaps", "sPat", "ucRefScanMode")
    fields, facts = assemble(readouts, part=part, max_bytes=max_bytes, bandwidth=BANDWIDTH, average=average,
                             noise=noise, told=None if mode in (None, NONE) else mode == EMBEDDED)
    m = readouts.matrix(0)
    meta = facts | meta | ({"phase_axis": -2} if m.flat else {}) | lines
    if epi != "none" and "phase correction" in skipped and lines.get("epi", {}).get("by", "none") == "none":
        warn_epi(skipped["phase correction"])
    image = (readouts.role == IMAGE) | (readouts.role == BOTH)
    slices = [head[image & (readouts.counters["slice"] == s)][0]["SliceData"] for s in facts["slices"]]
    place(fields, meta, [list(s["SlicePos"].item()) for s in slices], [directions_of(s["Quaternion"]) for s in slices],
          m.voxel(), flat=m.flat, vendor="SIEMENS")
    return Scan(**fields, meta=meta)


def _at(path, readouts, coord, size, head, protocol, **how) -> Scan:
    """The scan of readouts at given coordinates, its slices in the order of their places, and where the image lies."""
    image = (readouts.role == IMAGE) | (readouts.role == BOTH)
    counters = readouts.counters
    m = partitions_of(head, image, counters, protocol)

    def locate(fields, meta, index):
        n = points.reached(path, coord, fields["kspace"], fields["axes"]) if size is None else np.ravel(size).tolist()
        flat, of = len(n) == 2, counters["slice"][index]
        firsts = [head[index[of == s][0]]["SliceData"] for s in meta.get("slices", np.unique(of)[:1])]
        known = m.fov is not None and min(n) > 0
        place(fields, meta, [list(s["SlicePos"].item()) for s in firsts],
              [directions_of(s["Quaternion"]) for s in firsts],
              replace(m, size=(*n[::-1], 1)[:3]).voxel() if known else None, flat=flat, vendor="SIEMENS", size=n)

    return shots.at(path, readouts, coord, size, lambda encoding: m, locate=locate, **how)


def read_noise(path, max_bytes: int) -> list:
    """The samples of a file of noise, of all its measurements: see `noise.samples_of`."""
    raw, starts, heads, where, mdh, modern = _opened(path, max_bytes)
    head, where = np.concatenate(heads), np.concatenate(where)
    protocol = protocol_of(path, starts[-1][0])
    found, _ = _readouts(raw, head, where, np.ones(len(head), bool), protocol, mdh, modern, placed=False)
    return samples_of(found, alone=True)


def _opened(path, max_bytes: int):
    """(bytes, [(first, one past the last) byte of each measurement], [heads], [places], twixtools, whether VD/VE)."""
    mdh = _check.extra("twixtools.mdh_def", "twix")
    raw = np.memmap(path, np.uint8, "r")
    starts, modern = _measurements(raw, path)
    head, where = [], []
    for start, end in starts:
        length = _number(raw, start, path)
        if not 8 <= length <= end - start:
            raise ValueError(f"{path} is damaged, or no twix: a header of {length:,} of {end - start:,} bytes")
        found = _walk(raw, start + length, end, mdh, modern, path)
        if 500 * len(found[1]) > max_bytes:
            raise too_large(path, "the list of readouts", 500 * len(found[1]), max_bytes)
        head.append(found[0])
        where.append(found[1])
    return raw, starts, head, where, mdh, modern


def _number(raw, at: int, path) -> int:
    if at + 4 > len(raw):
        raise ValueError(f"{path} is cut off at byte {len(raw):,}: {at + 4:,} are needed")
    return int(struct.unpack_from("<I", raw, at)[0])


def _measurements(raw, path):
    """([(first byte, one past the last) of each measurement], whether this is VD/VE)."""
    first, count = _number(raw, 0, path), _number(raw, 4, path)
    if not (first < 10000 and count <= 64):  # VB begins with the length of its only header
        return [(0, len(raw))], False
    if count < 1 or len(raw) < 8 + 152 * count:
        raise ValueError(f"{path} is no twix file, or cut off: {count} measurements in {len(raw):,} bytes")
    found = []
    for k in range(count):
        start, length = struct.unpack_from("<QQ", raw, 8 + 152 * k + 8)
        length = length or len(raw) - start
        if start + length > len(raw) or start < 8:
            raise ValueError(f"{path} is cut off or damaged: measurement {k + 1} lies at bytes {start:,} to "
                             f"{start + length:,} of {len(raw):,}")
        found.append((start, start + length))
    return found, True


def _walk(raw, at: int, end: int, mdh, modern: bool, path):
    """(heads, byte positions) of the readouts between two bytes."""
    kind = np.dtype(mdh.Scan_header if modern else mdh.VB17_header)
    places = {name: kind.fields[name][1] for name in ("FlagsAndDMALength", "EvalInfoMask", "SamplesInScan")}
    per_channel = np.dtype(mdh.Channel_header).itemsize if modern else kind.itemsize
    stop, sync = (1 << mdh.mask_dict[name] for name in ("ACQEND", "SYNCDATA"))
    found = []
    while True:
        if at + kind.itemsize > end:
            raise ValueError(f"{path} is cut off: its readouts have no end after {len(found)} of them")
        flags, = struct.unpack_from("<Q", raw, at + places["EvalInfoMask"])
        if flags & stop:
            break
        samples, channels = struct.unpack_from("<HH", raw, at + places["SamplesInScan"])
        length = channels * (per_channel + 8 * samples) + (kind.itemsize if modern else 0)
        if flags & sync:
            length = struct.unpack_from("<I", raw, at + places["FlagsAndDMALength"])[0] % (1 << 25)
        else:
            found.append(at)
        if length < kind.itemsize or at + length > end:
            raise ValueError(f"{path} is cut off or damaged: readout {len(found)} has {length:,} bytes, and there are "
                             f"{end - at:,}")
        at += length
    head = np.empty(len(found), kind)
    for row, first in enumerate(found):
        head[row] = np.frombuffer(raw, kind, 1, first)[0]
    return head, np.array(found, np.int64)


def _flag(head, mdh, *names) -> np.ndarray:
    return (head["EvalInfoMask"] & np.uint64(sum(1 << mdh.mask_dict[n] for n in names))) != 0


def _imaging(head, mdh) -> np.ndarray:
    calibration = _flag(head, mdh, "PATREFSCAN") & ~_flag(head, mdh, "PATREFANDIMASCAN")
    return ~calibration & ~_flag(head, mdh, *SKIPPED, "NOISEADJSCAN")


def _readouts(raw, head, where, ours, protocol: dict, mdh, modern: bool, placed: bool = True):
    """(what the heads and the protocol say in the terms of `Readouts`, names and numbers of what is skipped).

    Without `placed` the readouts have no place in k-space, as those of a noise scan.
    """
    role = np.where(_flag(head, mdh, "PATREFSCAN"), CALIB, IMAGE)
    role[_flag(head, mdh, "PATREFANDIMASCAN")] = BOTH
    role[_flag(head, mdh, *SKIPPED) | ~ours] = SKIP
    role[_flag(head, mdh, "NOISEADJSCAN")] = NOISE
    size = {"samples": head["SamplesInScan"].astype(np.int64), "coils": head["UsedChannels"].astype(np.int64)}
    image = (role == IMAGE) | (role == BOTH)
    counters = {name: head["Counter"][field].astype(np.int64) for name, field in
                (*zip(STEPS, ("Lin", "Par")), *COUNTERS.items())}
    counters["encoding"] = np.zeros(len(head), np.int64)
    n, yaps = np.maximum(size["samples"], 1), protocol.get("MeasYaps", {})
    dwell = np.where(role == NOISE, np.floor(76800 / n) / 10 if modern else 1e7 / n / 130,
                     (at_place(yaps, "sRXSPEC", "alDwellTime", 0) or 0) / 1000)
    inner = np.dtype(mdh.Channel_header if modern else mdh.VB17_header).itemsize
    outer = head.dtype.itemsize if modern else 0

    def samples(index):
        kinds = {s: np.dtype([("head", f"V{inner}"), ("data", "<c8", (int(s),))]) for s in set(size["samples"][index])}
        return [np.frombuffer(raw, kinds[n], c, at + outer)["data"] for n, c, at in
                zip(size["samples"][index], size["coils"][index], where[index])]

    matrices = [matrix_of(head, image, size["samples"], counters, protocol)] if placed else []
    cut = {"pre": head["CutOff"]["Pre"].astype(np.int64), "post": head["CutOff"]["Post"].astype(np.int64)}
    skipped = {word: k for name, word in SKIPPED.items() if (k := int((_flag(head, mdh, name) & ours).sum()))}
    return Readouts(role=role, counters=counters, **size, centre=head["CenterCol"].astype(np.int64), **cut,
                    reverse=_flag(head, mdh, "REFLECT"), dwell=dwell, read=samples, matrices=matrices), skipped
