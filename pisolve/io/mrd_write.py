"""Writing a scan as ISMRMRD's HDF5, through the types of the `ismrmrd` package."""

from __future__ import annotations

import json

import numpy as np

from pisolve import _check
from pisolve._types import PathLike
from pisolve.io.atomic import atomic
from pisolve.io.failure import room
from pisolve.io.geometry import sign_of
from pisolve.io.grid import AXES
from pisolve.io.written import KEPT, exchange, exchanged
from pisolve.scan import Scan, estimate

BLOCK = 256  # readouts that are put together at once
COUNTER = {axis: counter for counter, axis in AXES.items()}
# what the new file's own header and readouts say
DERIVED = ("readouts", "slices", "averages", "oversampling_removed", "partial_fourier", "format", "skipped", "part",
           "encoded_size", "recon_size", "encoded_fov_mm", "recon_fov_mm", "padding", "phase_axis", "counters")


def save_mrd(path: PathLike, scan: Scan) -> None:
    """Write a scan as ISMRMRD, readable by everything that reads raw data; `load` gives the same scan again.

    Each sampled line becomes a readout, `calib` readouts for calibration alone, `noise` noise measurements. Slices,
    frames, echoes, repetitions and sets are the counters slice, phase, contrast, repetition and set. What the format
    has no place for, `mps`, `reference`, `field_map`, `times`, `meta` and what was not measured at all, is kept beside
    it in the group `pisolve`. The format's readout is kx: of a scan with lines along ky (phase_axis -1) or kz that axis
    and kx are exchanged, which `load` undoes and other programs do not.

    Args:
        path: .h5, .hdf5 or .mrd; complete or not there.
        scan: k-space is written as complex64. One without a mask comes back with that of `masks.estimate`.

    Raises:
        ValueError: a mask with holes inside its lines along every axis, or lines that do not reach the centre, over
            65535 samples, axes that the format does not count, samples anywhere (coord).
        ImportError: without the `ismrmrd` package.
    """
    ismrmrd = _check.extra("ismrmrd", "mrd")
    if not isinstance(scan, Scan):
        raise TypeError(f"scan must be a pisolve.io.Scan, got {type(scan).__name__}: make one of k-space first")
    if scan.coord is not None:
        raise ValueError("save_mrd writes k-space on a grid, and this scan has samples anywhere (coord): write .h5 "
                         "or .npz by save_scan")
    _check.choice("the suffix of path", str(path)[str(path).rfind("."):], (".h5", ".hdf5", ".mrd"))
    front = dict(zip(scan.axes[: -1 - len(scan.encoding.encoded)], scan.kspace.shape))
    unknown = [a for a in front if a not in COUNTER]
    if unknown:
        raise ValueError(f"the axis {unknown[0]!r} has no counter in ISMRMRD, which counts {', '.join(COUNTER)}: name "
                         "it one of these, Scan(kspace, axes=...), or store k-space as .npz with an entry axes")
    if scan.axes[-2:] != ("ky", "kx"):
        raise ValueError(f"kspace has the axes {', '.join(scan.axes)}: ky and kx, in 3-D kz too, are needed here")
    lines, readout = _readouts(scan)
    given, meta = scan, scan.meta if readout == "kx" else exchanged(scan.meta, readout)
    kspace, calib = (None if a is None else _lined(a, scan, readout) for a in (scan.kspace, scan.calib))
    kz, ky, kx = kspace.shape[-3:]
    if max(kspace.shape) >= 1 << 16:
        raise ValueError(f"kspace has shape {scan.kspace.shape}: ISMRMRD counts to 65535")
    place = _place(meta, front, (kz, ky, kx))
    jobs = [(kspace, part, z, y, a, b, 0, kx // 2 - a) for part in np.ndindex(kspace.shape[:-4])
            for z, y, a, b in lines(part)]
    if calib is not None:
        *parts, _, cz, cy, cx = calib.shape
        jobs += [(calib, part, z, y, 0, cx, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, cx // 2)
                 for part in np.ndindex(*parts) for z in range(cz) for y in range(cy)]
    noise = [] if scan.noise is None else np.array_split(scan.noise.astype(np.complex64),
                                                         -(-scan.noise.shape[1] // 65535), axis=1)
    xml = ismrmrd.xsd.ToXML(_header(ismrmrd.xsd, meta, (kx, ky, kz), scan.coils, front))
    xml = xml.encode("ascii", "xmlcharrefreplace")
    with atomic(path) as temporary:
        import h5py

        room(path, 8 * scan.coils * sum(b - a for _, _, _, _, a, b, _, _ in jobs))

        with h5py.File(temporary, "w") as file:
            file.create_dataset("dataset/xml", (1,), h5py.special_dtype(vlen=bytes))[0] = xml
            kind, count = ismrmrd.hdf5.acquisition_dtype, len(jobs) + len(noise)
            data = file.create_dataset("dataset/data", (count,), kind, maxshape=(None,), chunks=(min(count, 64),))
            rows = np.zeros(len(noise), kind)
            for row, samples in zip(rows, noise):
                _fill(row, samples, ismrmrd.ACQ_IS_NOISE_MEASUREMENT, 0)
            if len(noise):
                data[: len(noise)] = rows
            for start in range(0, len(jobs), BLOCK):
                rows = np.zeros(len(jobs[start : start + BLOCK]), kind)
                for row, (source, part, z, y, a, b, flag, centre) in zip(rows, jobs[start : start + BLOCK]):
                    _fill(row, source[(*part, slice(None), z, y, slice(a, b))], flag, centre)
                    index = row["head"]["idx"]
                    for name, i in zip(front, part):  # calibration lines have the axis of slices only, the first one
                        index[COUNTER[name]] = i
                    index["kspace_encode_step_1"] = y + ky // 2 - source.shape[-2] // 2
                    index["kspace_encode_step_2"] = z + kz // 2 - source.shape[-3] // 2
                    for name, value in place(part).items():
                        row["head"][name] = value
                data[len(noise) + start : len(noise) + start + len(rows)] = rows
            for name in KEPT:
                if getattr(given, name) is not None:
                    file[f"pisolve/{name}"] = getattr(given, name)
            if readout != "kx":
                file["pisolve/readout"] = readout
            file["pisolve/counts"] = json.dumps(front)
            kept = {k: v for k, v in given.meta.items() if k not in DERIVED}
            file["pisolve/meta"] = _json({"voxel_mm": None} | kept)  # None: the header's millimetres were made up


def _lined(array, scan: Scan, readout: str) -> np.ndarray:
    """(..., coil, kz, ky, kx) complex64 of k-space or calibration data, with the readout's axis last."""
    array = array if readout == "kx" else exchange(array, readout)
    array = array if len(scan.encoding.encoded) == 3 else np.expand_dims(array, -3)
    return _check.array("kspace", np.ascontiguousarray(array, np.complex64))  # finite in single precision, too


def _readouts(scan: Scan):
    """(a function of a part's index that gives (z, y, first sample, one past the last) of its lines, their axis)."""
    encoded = scan.encoding.encoded
    mask = estimate(scan.kspace, scan.axes) if scan.mask is None else scan.mask
    own = mask.shape[: mask.ndim - len(encoded)]
    order = encoded if scan.meta.get("phase_axis") == -1 and len(encoded) == 2 else encoded[::-1]
    for readout in order:
        turned = exchange(mask, readout)
        turned = turned if len(encoded) == 3 else turned[..., None, :, :]
        found = {part: _lines(turned[part]) for part in np.ndindex(own)}
        if None not in found.values():
            break
    else:
        raise ValueError(f"mask has holes along {' and along '.join(order)}, or leaves out the centre: a readout of "
                         "ISMRMRD is one piece of a line around it. A pattern of two phase-encoding axes belongs to a "
                         "3-D scan: Scan(kspace, mask, axes=('coil', 'kz', 'ky', 'kx'))")
    return lambda part: found[tuple(i if n > 1 else 0 for i, n in zip(part, own))], readout


def _lines(mask) -> list | None:
    """The readouts along kx of a mask (kz, ky, kx); None where a line is not one piece around its centre."""
    kx = mask.shape[-1]
    where = np.argwhere(mask.any(axis=-1))
    inside = mask[tuple(where.T)]
    first, last = inside.argmax(1), kx - inside[:, ::-1].argmax(1)
    if (inside.sum(1) < last - first).any() or (first > kx // 2).any():
        return None
    return np.column_stack([where, first, last]).tolist()


def _fill(row, samples, flag: int, centre: int) -> None:
    coils, n = samples.shape
    head = row["head"]
    head["version"], head["flags"] = 1, 1 << (flag - 1) if flag else 0
    head["number_of_samples"], head["active_channels"], head["available_channels"] = n, coils, coils
    head["center_sample"] = centre
    row["data"] = np.ascontiguousarray(samples).view(np.float32).ravel()
    row["traj"] = np.zeros(0, np.float32)


def _place(meta: dict, front: dict, size):
    """A function of a part's index that gives position and directions, as far as `meta` has them."""
    volume = size[0] > 1
    if "affine" not in meta or (volume and "slice" in front):  # of several slabs none is known
        return lambda part: {}
    matrix = np.diag([-1, -1, 1, 1]) @ np.array(meta["affine"], float)
    middle = np.array([size[2] // 2, size[1] // 2, size[0] // 2, 1])
    sign = sign_of(_vendor(meta)) or 1
    fixed = {name: s * column[:3] / np.linalg.norm(column[:3]) for name, column, s in
             zip(("read_dir", "phase_dir", "slice_dir"), matrix.T, (sign, sign, sign if volume else 1))}
    step = np.array([0, 0, 0 if volume or "slice" not in front else 1, 0])
    return lambda part: fixed | {"position": (matrix @ (middle + (part[0] if part else 0) * step))[:3]}


def _vendor(meta: dict) -> str | None:
    """The vendor that the file names: whose directions the image is placed by, "pisolve" where they are ours."""
    vendor = meta.get("vendor")
    ours = "affine" in meta and sign_of(vendor) is None and meta.get("affine_code", 1)
    return "pisolve" if ours else None if vendor is None else str(vendor)


def _header(xsd, meta: dict, size, coils: int, front: dict):
    """The header, with fields of view of 1 mm a voxel where the scan does not say them."""
    voxel = (meta.get("voxel_mm") or (1.0, 1.0, 1.0))[::-1]
    space = xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(**dict(zip("xyz", size))),
        fieldOfView_mm=xsd.fieldOfViewMm(**{k: float(n * v) for k, n, v in zip("xyz", size, voxel)}))
    limits = {f"kspace_encoding_step_{i}": xsd.limitType(minimum=0, maximum=n - 1, center=n // 2)
              for i, n in enumerate(size)}
    limits |= {COUNTER[name]: xsd.limitType(minimum=0, maximum=n - 1, center=0) for name, n in front.items()}
    factor = [round(meta.get(name, 1)) for name in ("acceleration", "acceleration_kz")]  # whole in this format
    parallel = None if factor == [1, 1] else xsd.parallelImagingType(accelerationFactor=xsd.accelerationFactorType(
        kspace_encoding_step_1=factor[0], kspace_encoding_step_2=factor[1]))
    encoding = xsd.encodingType(encodedSpace=space, reconSpace=space, encodingLimits=xsd.encodingLimitsType(**limits),
                                trajectory=xsd.trajectoryType.CARTESIAN, parallelImaging=parallel)
    field = meta.get("field_strength_t")
    system = xsd.acquisitionSystemInformationType(systemVendor=_vendor(meta), receiverChannels=coils,
                                                  systemFieldStrength_T=field)
    # hydrogen's 42.58 MHz / T; 1.5 T where the field is not known, since the format requires a number
    conditions = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=round((field or 1.5) * 42577478))
    return xsd.ismrmrdHeader(version=1, experimentalConditions=conditions, acquisitionSystemInformation=system,
                             encoding=[encoding])


def _json(meta: dict) -> str:
    try:
        return json.dumps(meta, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"scan.meta must be made of plain values, dict, list, str, numbers: {error}") from None
