"""The protocol in Siemens' twix files: read by `twixtools`, and what it says of the matrix."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np

from pisolve import _check
from pisolve.io.grid import STEPS, Matrix

TRAJECTORIES = {1: "cartesian", 2: "radial", 4: "spiral", 8: "blade"}
_SLAB = "dSliceOversamplingForDialog"


def protocol_of(path, start: int) -> dict:
    """The protocol as nested dicts; what cannot be parsed becomes a ValueError."""
    parse = _check.extra("twixtools.twixprot", "twix").parse_twix_hdr
    with open(path, "rb") as file:
        file.seek(start)
        try:
            with contextlib.redirect_stdout(io.StringIO()) as said:  # where the package prints its warnings
                found = parse(file)
            if said.getvalue():
                warnings.warn(f"{path}: twixtools says {' '.join(said.getvalue().split())}",
                              stacklevel=_check.outside())
            return found
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path}: the protocol cannot be read: {error}") from error


def at_place(protocol: dict, *keys):
    """The finite number at a place of the protocol, of lists the first, or None."""
    for key in keys:
        listed = isinstance(protocol, list) and len(protocol) > 0
        protocol = protocol[0] if listed else protocol.get(key) if isinstance(protocol, dict) else None
    fine = isinstance(protocol, int | float) and np.isfinite(protocol)
    return protocol if fine else None


def facts_of(protocol: dict) -> dict:
    """What goes to the `meta` of a scan."""
    yaps = protocol.get("MeasYaps", {})
    found = {"acceleration": at_place(yaps, "sPat", "lAccelFactPE"),
             "acceleration_kz": at_place(yaps, "sPat", "lAccelFact3D"),
             "field_strength_t": at_place(yaps, "sProtConsistencyInfo", "flNominalB0")}
    kind = TRAJECTORIES.get(at_place(yaps, "sKSpace", "ucTrajectory") or 1, "other")
    return {k: v for k, v in found.items() if v is not None and v != 1} | {"trajectory": kind}


def partitions_of(head, image, counters, protocol: dict) -> Matrix:
    """What is known of an encoding whose samples lie anywhere: its field of view, partitions, and the middle one.

    Coordinates are in units of 1 / field of view: the protocol's of readout and phase, without their oversampling.
    """
    yaps = protocol.get("MeasYaps", {})
    top = int(counters[STEPS[1]][image].max(initial=0))
    three = at_place(yaps, "sKSpace", "ucDimension") == 4 or top > 0
    count = max(int(at_place(yaps, "sKSpace", "lPartitions") or 1), top + 1) if three else 1
    centre = int(head["CenterPar"][image].max(initial=0)) or count // 2
    fov, slab = _fov(yaps), 1 + (at_place(yaps, "sKSpace", _SLAB) or 0)
    known = fov is not None and min(fov) > 0 and not _pulseq(yaps)
    return Matrix((1, 1, count), 1, (0, centre if three else 0), ((0, 65535), (0, 65535)),
                  (*fov[:2], fov[2] * slab) if known else None, fov[2] if known else None)


def _fov(yaps):
    """mm along readout and phase, and the thickness of a slice or a slab; None where one of them is not told."""
    found = tuple(at_place(yaps, "sSliceArray", "asSlice", 0, f) for f in ("dReadoutFOV", "dPhaseFOV", "dThickness"))
    return None if None in found else found


def _pulseq(yaps) -> bool:
    return "pulseq" in str(yaps.get("tSequenceFileName", "")).lower()


def matrix_of(head, image, samples, counters, protocol: dict) -> Matrix:
    """The encoding, from the protocol where it has one, else just large enough.

    A sequence that does not fill in the line at the centre, as interpreters of other people's sequences do not, has it
    at n // 2. Where such a sequence counts other lines than the protocol has, or is called Pulseq, the protocol is one
    that nobody measured: then counters and samples give the size, and no voxel is known.
    """
    yaps = protocol.get("MeasYaps", {})
    kind = at_place(yaps, "sKSpace", "ucTrajectory")
    if kind is not None and kind != 1:
        raise ValueError(f"the trajectory is {TRAJECTORIES.get(kind, kind)}, not Cartesian, and Siemens' "
                         "files do not say where its samples lie: give load(path, coord=..., size=...) or --coord, an "
                         "array (shot, sample, axis)")
    if not image.any():
        return Matrix((1, 1, 1), 1, (0, 0), ((0, 0), (0, 0)))
    base, over = at_place(yaps, "sKSpace", "lBaseResolution"), at_place(
        protocol.get("Dicom", {}), "flReadoutOSFactor") or 2
    longest = int((samples[image] - head["CutOff"]["Pre"][image] - head["CutOff"]["Post"][image]).max())
    three = at_place(yaps, "sKSpace", "ucDimension") == 4 or counters[STEPS[1]][image].any()
    pulseq = _pulseq(yaps)
    foreign, size, centre = pulseq, [], []
    for step, field, name, used in zip(STEPS, ("CenterLin", "CenterPar"), ("lPhaseEncodingLines", "lPartitions"),
                                       (True, three)):
        c, counter = int(head[field][image][0]), np.unique(counters[step][image])
        told, top = at_place(yaps, "sKSpace", name), int(counter[-1])
        if used and not head[field][image].any() and top > 0:  # the centre was never filled in
            every = int(np.gcd.reduce(np.diff(counter))) if len(counter) > 1 else 1
            n = -(-(top + 1) // every) * every
            known = told is not None and top < told < top + 1 + every
            foreign |= (told is not None and not known) or (base is not None and longest != round(base * over))
            told, c = told if known else n, int(told if known else n) // 2
        elif pulseq:
            told = None
        size.append(int(told or 2 * max(c, top - c + 1)) if used else 1)
        centre.append(c if used else 0)
    if foreign:
        warnings.warn(f"the protocol is not that of this scan, as with Pulseq: the counters give {size[0]} lines"
                      f"{f' and {size[1]} partitions' if three else ''}, the readouts {longest} samples, whose "
                      "oversampling, if any, is kept, with the centre in the middle; the size of a voxel is not known",
                      stacklevel=_check.outside())
    elif base is None:
        warnings.warn("the protocol has no base resolution: readout oversampling, if any, is kept",
                      stacklevel=_check.outside())
    base = None if foreign else base
    size.insert(0, round(base * over) if base else longest)
    fov = _fov(yaps)
    if fov is not None:
        thickness = fov[2]
        fov = tuple(f * (1 + (at_place(yaps, "sKSpace", p) or 0)) for f, p in zip(
            fov, ("", "dPhaseOversamplingForDialog", _SLAB)))
        fov = (fov[0] * over, *fov[1:]) if min(fov) > 0 and not foreign else None
    if any(not 1 <= n < 1 << 16 for n in size):
        raise ValueError(f"the protocol gives a matrix of {size}: 1 to 65535 are possible")
    return Matrix(tuple(size), min(int(base), size[0]) if base else size[0], tuple(centre), ((0, 65535), (0, 65535)),
                  fov, None if fov is None else thickness)
