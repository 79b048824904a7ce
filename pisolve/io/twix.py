"""Siemens' raw data, twix `.dat` of VB and of VD/VE: layout, flags and protocol by the `twixtools` package.

Tested with files that `twixtools` writes (VD/VE), against what `twixtools` and `mapvbvd` read of them; never tried on a
file of a scanner, and VB only on files made by hand.

The readout's oversampling is removed as the protocol's base resolution says. Noise scans' dwell times are those of
siemens_to_ismrmrd: a noise adjustment's bandwidth is 130 Hz a sample. Of a file with several measurements the last is
the scan; noise is taken from all.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings

import numpy as np

from pisolve import _check
from pisolve.io import epi_raw
from pisolve.io.grid import BOTH, CALIB, IMAGE, NOISE, SKIP, STEPS, Matrix, Readouts
from pisolve.io.limits import too_large
from pisolve.io.readouts import assemble, sort_slices, warn_epi
from pisolve.scan import Scan

SKIPPED = {"PHASCOR": "phase correction", "RTFEEDBACK": "RT feedback", "HPFEEDBACK": "HP feedback",
           "REFPHASESTABSCAN": "phase stabilization reference", "PHASESTABSCAN": "phase stabilization",
           "SLICE_ACCEL_REFSCAN": "single-band reference", "SLICE_ACCEL_PHASCOR": "multi-band phase correction",
           "RETRO_DUMMYSCAN": "dummy", "B1_CONTROLLOOP": "B1 control", "MDH_VOP": "VOP", "noname60": "FID navigation"}
COUNTERS = {"slice": "Sli", "contrast": "Eco", "phase": "Phs", "repetition": "Rep", "set": "Set"}
BANDWIDTH = 0.793  # the share of the nominal bandwidth that Siemens' receivers let through (siemens_to_ismrmrd)
TRAJECTORIES = {1: "cartesian", 2: "radial", 4: "spiral", 8: "blade"}


def read(path, max_bytes: int, part: dict, epi: str = "auto") -> Scan:
    """Read a scan: see `load`; k-space is (slice, ..., coil, ky, kx), or of a 3-D encoding (..., coil, kz, ky, kx).

    Args:
        epi: how the ghost of an EPI scan is found, see `epi_raw`.

    Raises:
        ValueError: damaged or cut off files, no imaging data, not Cartesian, or a protocol that does not fit.
        ImportError: without the `twixtools` package.
    """
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
    protocol = _protocol(path, starts[-1][0])
    last = np.repeat(np.arange(len(head)) == len(head) - 1, [len(h) for h in head])
    head, where = np.concatenate(head), np.concatenate(where)
    if not len(head):
        raise ValueError(f"{path} has no readouts")
    readouts, skipped = _readouts(raw, head, where, last, protocol, mdh, modern)
    navigators = last & ((head["EvalInfoMask"] & np.uint64(1 << mdh.mask_dict["PHASCOR"])) != 0)
    lobe = epi_raw.siemens(lambda name: _at(protocol, "Meas", name, 0), int(readouts.samples[last].max(initial=0)))
    readouts, lines = epi_raw.corrected(readouts, lobe, navigators, epi, max_bytes)
    fields, facts = assemble(readouts, part=part, max_bytes=max_bytes, bandwidth=BANDWIDTH)
    m = readouts.matrices[0]
    meta = facts | {"format": f"twix {'VD/VE' if modern else 'VB'}"} | _facts(protocol)
    meta |= {"phase_axis": -2} if m.flat else {}
    meta |= {"skipped": skipped} if skipped else {}
    meta |= lines
    if epi != "none" and "phase correction" in skipped and lines.get("epi", {}).get("by", "none") == "none":
        warn_epi(skipped["phase correction"])
    meta |= {"voxel_mm": m.voxel()} if m.voxel() else {}
    if len(facts["slices"]) > 1:
        image = (readouts.role == IMAGE) | (readouts.role == BOTH)
        at = [head[image & (readouts.counters["slice"] == s)][0]["SliceData"]["SlicePos"] for s in facts["slices"]]
        at = np.array([list(p) for p in at], float)
        sort_slices(fields, meta, at, at.max(axis=0) - at.min(axis=0))
    return Scan(**fields, meta=meta)


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
    for row, place in enumerate(found):
        head[row] = np.frombuffer(raw, kind, 1, place)[0]
    return head, np.array(found, np.int64)


def _protocol(path, start: int) -> dict:
    """The protocol as nested dicts; what cannot be parsed becomes a ValueError."""
    parse = _check.extra("twixtools.twixprot", "twix").parse_twix_hdr
    with open(path, "rb") as file:
        file.seek(start)
        try:
            with contextlib.redirect_stdout(io.StringIO()) as said:  # where the package prints its warnings
                found = parse(file)
            if said.getvalue():
                warnings.warn(f"{path}: twixtools says {' '.join(said.getvalue().split())}", stacklevel=5)
            return found
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}: the protocol cannot be read: {error}") from error


def _at(protocol: dict, *keys):
    """The finite number at a place of the protocol, of lists the first, or None."""
    for key in keys:
        listed = isinstance(protocol, list) and len(protocol) > 0
        protocol = protocol[0] if listed else protocol.get(key) if isinstance(protocol, dict) else None
    fine = isinstance(protocol, int | float) and np.isfinite(protocol)
    return protocol if fine else None


def _facts(protocol: dict) -> dict:
    yaps = protocol.get("MeasYaps", {})
    found = {"acceleration": _at(yaps, "sPat", "lAccelFactPE"), "acceleration_kz": _at(yaps, "sPat", "lAccelFact3D"),
             "field_strength_t": _at(yaps, "sProtConsistencyInfo", "flNominalB0")}
    return {k: v for k, v in found.items() if v is not None and v != 1} | {"trajectory": "cartesian"}


def _readouts(raw, head, where, last, protocol: dict, mdh, modern: bool):
    """(what the heads and the protocol say in the terms of `Readouts`, names and numbers of what is skipped)."""
    def flag(*names):
        return (head["EvalInfoMask"] & np.uint64(sum(1 << mdh.mask_dict[n] for n in names))) != 0

    role = np.where(flag("PATREFSCAN"), CALIB, IMAGE)
    role[flag("PATREFANDIMASCAN")] = BOTH
    role[flag(*SKIPPED) | ~last] = SKIP
    role[flag("NOISEADJSCAN")] = NOISE
    size = {"samples": head["SamplesInScan"].astype(np.int64), "coils": head["UsedChannels"].astype(np.int64)}
    image = (role == IMAGE) | (role == BOTH)
    if image.any():
        other = (role == NOISE) & (size["coils"] != size["coils"][image][0])
        if other.any():
            warnings.warn(f"{other.sum()} noise readouts of other coils are left out", stacklevel=6)
            role[other] = SKIP
    counters = {name: head["Counter"][field].astype(np.int64) for name, field in
                (*zip(STEPS, ("Lin", "Par")), *COUNTERS.items())}
    counters["encoding"] = np.zeros(len(head), np.int64)
    n, yaps = np.maximum(size["samples"], 1), protocol.get("MeasYaps", {})
    dwell = np.where(role == NOISE, np.floor(76800 / n) / 10 if modern else 1e7 / n / 130,
                     (_at(yaps, "sRXSPEC", "alDwellTime", 0) or 0) / 1000)
    inner = np.dtype(mdh.Channel_header if modern else mdh.VB17_header).itemsize
    outer = head.dtype.itemsize if modern else 0

    def samples(index):
        kinds = {s: np.dtype([("head", f"V{inner}"), ("data", "<c8", (int(s),))]) for s in set(size["samples"][index])}
        return [np.frombuffer(raw, kinds[n], c, at + outer)["data"] for n, c, at in
                zip(size["samples"][index], size["coils"][index], where[index])]

    matrix = _matrix(head, image, size["samples"], counters, protocol)
    cut = {"pre": head["CutOff"]["Pre"].astype(np.int64), "post": head["CutOff"]["Post"].astype(np.int64)}
    skipped = {word: k for name, word in SKIPPED.items() if (k := int((flag(name) & last).sum()))}
    return Readouts(role=role, counters=counters, **size, centre=head["CenterCol"].astype(np.int64), **cut,
                    reverse=flag("REFLECT"), dwell=dwell, read=samples, matrices=[matrix]), skipped


def _matrix(head, image, samples, counters, protocol: dict) -> Matrix:
    """The encoding, from the protocol where it has one, else just large enough."""
    yaps = protocol.get("MeasYaps", {})
    kind = _at(yaps, "sKSpace", "ucTrajectory")
    if kind is not None and kind != 1:
        raise ValueError(f"the trajectory is {TRAJECTORIES.get(kind, kind)}, not Cartesian: give coord to the NUFFT")
    if not image.any():
        return Matrix((1, 1, 1), 1, (0, 0), ((0, 0), (0, 0)))
    base, over = _at(yaps, "sKSpace", "lBaseResolution"), _at(protocol.get("Dicom", {}), "flReadoutOSFactor") or 2
    longest = int((samples[image] - head["CutOff"]["Pre"][image] - head["CutOff"]["Post"][image]).max())
    x = round(base * over) if base else longest
    if base is None:
        warnings.warn("the protocol has no base resolution: readout oversampling, if any, is kept", stacklevel=7)
    size, centre = [x], []
    three = _at(yaps, "sKSpace", "ucDimension") == 4 or counters[STEPS[1]][image].any()
    for step, field, name, used in zip(STEPS, ("CenterLin", "CenterPar"), ("lPhaseEncodingLines", "lPartitions"),
                                       (True, three)):
        c, top = int(head[field][image][0]), int(counters[step][image].max())
        size.append(int(_at(yaps, "sKSpace", name) or 2 * max(c, top - c + 1)) if used else 1)
        centre.append(c if used else 0)
    fov = [_at(yaps, "sSliceArray", "asSlice", 0, f) for f in ("dReadoutFOV", "dPhaseFOV", "dThickness")]
    fov = tuple(f * (1 + (_at(yaps, "sKSpace", p) or 0)) for f, p in zip(
        fov, ("", "dPhaseOversamplingForDialog", "dSliceOversamplingForDialog"))) if None not in fov else None
    if fov is not None:
        fov = (fov[0] * over, *fov[1:]) if min(fov) > 0 else None
    if any(not 1 <= n < 1 << 16 for n in size):
        raise ValueError(f"the protocol gives a matrix of {size}: 1 to 65535 are possible")
    return Matrix(tuple(size), min(int(base), x) if base else x, tuple(centre), ((0, 65535), (0, 65535)), fov)
