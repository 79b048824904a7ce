"""Writing a scan as ISMRMRD's HDF5, through the types of the `ismrmrd` package."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from pisolve import _check
from pisolve.backend import fft
from pisolve.io.atomic import atomic
from pisolve.scan import Scan

BLOCK = 256  # readouts that are put together at once
# what the new file's own header and readouts say
DERIVED = ("readouts", "slices", "averages", "oversampling_removed", "partial_fourier", "format", "skipped", "part",
           "encoded_size", "recon_size", "encoded_fov_mm", "recon_fov_mm", "padding", "phase_axis")


def save_mrd(path, scan: Scan) -> None:
    """Write a scan as ISMRMRD, readable by everything that reads raw data; `load` gives the same scan again.

    Each sampled line becomes a readout, `calib` readouts for calibration alone, `noise` noise measurements. What the
    format has no place for, `mps`, `reference` and `meta`, is kept beside it in the group `pisolve`. A "hybrid" scan,
    the slices of a 3-D encoding, is transformed back and written as 3-D, exact to rounding. The format's readout is kx:
    of a scan with lines along ky (phase_axis -1) the axes are exchanged, which `load` undoes and other programs do not.

    Args:
        path: .h5, .hdf5 or .mrd; complete or not there.
        scan: k-space is written as complex64. One without slices comes back with one slice, one without a mask with a
            mask that is True everywhere.

    Raises:
        ValueError: a mask with holes inside its lines along kx and along ky, or lines that do not reach the centre,
            over 65535 samples.
        ImportError: without the `ismrmrd` package.
    """
    ismrmrd = _check.extra("ismrmrd", "mrd")
    if not isinstance(scan, Scan):
        raise TypeError(f"scan must be a pisolve.io.Scan, got {type(scan).__name__}: make one of k-space first")
    _check.choice("the suffix of path", str(path)[str(path).rfind("."):], (".h5", ".hdf5", ".mrd"))
    hybrid = "hybrid" in scan.meta and scan.kspace.ndim == 4
    given, lines, turned = scan, *_readouts(scan, hybrid)
    scan = _turned(scan) if turned else scan
    kspace = _volume(scan.kspace, hybrid)
    slices, _, kz, ky, kx = kspace.shape
    if max(kspace.shape) >= 1 << 16:
        raise ValueError(f"kspace has shape {scan.kspace.shape}: ISMRMRD counts to 65535")
    place = _place(scan, hybrid)
    jobs = [(kspace, s, z, y, a, b, 0, kx // 2 - a) for s in range(slices) for z, y, a, b in lines]
    if scan.calib is not None:
        calib = _volume(scan.calib, hybrid)
        cz, cy, cx = calib.shape[-3:]
        jobs += [(calib, s, z, y, 0, cx, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, cx // 2)
                 for s in range(len(calib)) for z in range(cz) for y in range(cy)]
    noise = [] if scan.noise is None else np.array_split(scan.noise.astype(np.complex64),
                                                         -(-scan.noise.shape[1] // 65535), axis=1)
    xml = ismrmrd.xsd.ToXML(_header(ismrmrd.xsd, scan, (kx, ky, kz), len(kspace[0])))
    with atomic(path) as temporary:
        import h5py

        with h5py.File(temporary, "w") as file:
            file.create_dataset("dataset/xml", (1,), h5py.special_dtype(vlen=bytes))[0] = xml.encode("ascii")
            kind, count = ismrmrd.hdf5.acquisition_dtype, len(jobs) + len(noise)
            data = file.create_dataset("dataset/data", (count,), kind, maxshape=(None,), chunks=(min(count, 64),))
            rows = np.zeros(len(noise), kind)
            for row, samples in zip(rows, noise):
                _fill(row, samples, ismrmrd.ACQ_IS_NOISE_MEASUREMENT, 0)
            if len(noise):
                data[: len(noise)] = rows
            for start in range(0, len(jobs), BLOCK):
                rows = np.zeros(len(jobs[start : start + BLOCK]), kind)
                for row, (source, s, z, y, a, b, flag, centre) in zip(rows, jobs[start : start + BLOCK]):
                    _fill(row, source[s, :, z, y, a:b], flag, centre)
                    index = row["head"]["idx"]
                    index["slice"] = s
                    index["kspace_encode_step_1"] = y + ky // 2 - source.shape[3] // 2
                    index["kspace_encode_step_2"] = z + kz // 2 - source.shape[2] // 2
                    for name, value in place(s).items():
                        row["head"][name] = value
                data[len(noise) + start : len(noise) + start + len(rows)] = rows
            for name in ("mps", "reference"):
                if getattr(given, name) is not None:
                    file[f"pisolve/{name}"] = getattr(given, name)
            if turned:
                file["pisolve/readout"] = "ky"
            kept = {k: v for k, v in given.meta.items() if k not in DERIVED}
            file["pisolve/meta"] = _json({"voxel_mm": None} | kept)  # None: the header's millimetres were made up


def _volume(array, hybrid: bool) -> np.ndarray:
    """(slice, coil, kz, ky, kx) complex64 of k-space or calibration data."""
    array = array if array.ndim == 4 else array[None]
    array = fft(array.transpose(1, 2, 3, 0), (-1,))[None] if hybrid else array[:, :, None]
    return _check.array("kspace", np.ascontiguousarray(array, np.complex64))  # finite in single precision, too


def _readouts(scan: Scan, hybrid: bool):
    """((z, y, first sample, one past the last) of every readout, whether readouts run along ky)."""
    mask = np.ones(scan.kspace.shape[-2:], bool) if scan.mask is None else scan.mask
    if hybrid:
        return [(int(z), int(y), 0, len(scan.kspace)) for z, y in np.argwhere(mask)], False
    along_kx, along_ky = _lines(mask), _lines(mask.T)
    if along_ky and (scan.meta.get("phase_axis") == -1 or not along_kx):
        return along_ky, True
    if not along_kx:
        raise ValueError("mask has holes along kx and along ky, or leaves out the centre: a readout of ISMRMRD is one "
                         "piece of a line around it. A pattern of two phase-encoding axes belongs to a 3-D scan: give "
                         "all its planes along the readout as slices, and meta with the entry 'hybrid'")
    return along_kx, False


def _lines(mask) -> list | None:
    """The readouts along kx of a 2-D mask; None where a line is not one piece around its centre."""
    found, kx = [], mask.shape[1]
    for y in np.flatnonzero(mask.any(axis=1)):
        where = np.flatnonzero(mask[y])
        a, b = int(where[0]), int(where[-1]) + 1
        if len(where) < b - a or a > kx // 2:
            return None
        found.append((0, int(y), a, b))
    return found


def _turned(scan: Scan) -> Scan:
    """What of a scan becomes readouts, with ky and kx exchanged."""
    def swap(a):
        return None if a is None else np.ascontiguousarray(a.swapaxes(-2, -1))

    meta = dict(scan.meta)
    if meta.get("voxel_mm"):
        meta["voxel_mm"] = [meta["voxel_mm"][i] for i in (0, 2, 1)]
    if "affine" in meta:
        meta["affine"] = np.array(meta["affine"], float)[:, [1, 0, 2, 3]].tolist()
    return replace(scan, kspace=swap(scan.kspace), mask=swap(scan.mask), calib=swap(scan.calib), mps=None,
                   reference=None, meta=meta)


def _fill(row, samples, flag: int, centre: int) -> None:
    coils, n = samples.shape
    head = row["head"]
    head["version"], head["flags"] = 1, 1 << (flag - 1) if flag else 0
    head["number_of_samples"], head["active_channels"], head["available_channels"] = n, coils, coils
    head["center_sample"] = centre
    row["data"] = np.ascontiguousarray(samples).view(np.float32).ravel()
    row["traj"] = np.zeros(0, np.float32)


def _place(scan: Scan, hybrid: bool):
    """A function of the slice's number that gives position and directions, as far as `meta` has them."""
    if "affine" not in scan.meta:
        return lambda s: {}
    matrix, size = np.array(scan.meta["affine"], float), scan.kspace.shape
    middle = np.array([size[-1] // 2, size[-2] // 2, (size[0] // 2 if hybrid else 0), 1])
    matrix = np.diag([-1, -1, 1, 1]) @ matrix
    names = ("phase_dir", "slice_dir", "read_dir") if hybrid else ("read_dir", "phase_dir", "slice_dir")
    fixed = {name: column[:3] / np.linalg.norm(column[:3]) for name, column in zip(names, matrix.T)}
    step = np.zeros(4) if hybrid else np.array([0, 0, 1, 0])
    return lambda s: fixed | {"position": (matrix @ (middle + s * step))[:3]}


def _header(xsd, scan: Scan, size, coils: int):
    """The header, with fields of view of 1 mm a voxel where the scan does not say them."""
    slice_mm, y_mm, x_mm = scan.meta.get("voxel_mm") or (1.0, 1.0, 1.0)
    voxel = (slice_mm, x_mm, y_mm) if "hybrid" in scan.meta and size[2] > 1 else (x_mm, y_mm, slice_mm)
    space = xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(**dict(zip("xyz", size))),
        fieldOfView_mm=xsd.fieldOfViewMm(**{k: float(n * v) for k, n, v in zip("xyz", size, voxel)}))
    limits = {f"kspace_encoding_step_{i}": xsd.limitType(minimum=0, maximum=n - 1, center=n // 2)
              for i, n in enumerate(size)}
    factor = [round(scan.meta.get(name, 1)) for name in ("acceleration", "acceleration_kz")]  # whole in this format
    parallel = None if factor == [1, 1] else xsd.parallelImagingType(accelerationFactor=xsd.accelerationFactorType(
        kspace_encoding_step_1=factor[0], kspace_encoding_step_2=factor[1]))
    encoding = xsd.encodingType(encodedSpace=space, reconSpace=space, encodingLimits=xsd.encodingLimitsType(**limits),
                                trajectory=xsd.trajectoryType.CARTESIAN, parallelImaging=parallel)
    field = scan.meta.get("field_strength_t")
    system = xsd.acquisitionSystemInformationType(receiverChannels=coils, systemFieldStrength_T=field)
    # hydrogen's 42.58 MHz / T; 1.5 T where the field is not known, since the format requires a number
    conditions = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=round((field or 1.5) * 42577478))
    return xsd.ismrmrdHeader(version=1, experimentalConditions=conditions, acquisitionSystemInformation=system,
                             encoding=[encoding])


def _json(meta: dict) -> str:
    try:
        return json.dumps(meta, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"scan.meta must be made of plain values, dict, list, str, numbers: {error}") from None
