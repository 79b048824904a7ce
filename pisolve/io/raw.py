"""Raw data, of ISMRMRD or twix: which reader takes a file, and noise that a file of its own holds."""

from __future__ import annotations

import warnings
from dataclasses import replace

from pisolve import _check
from pisolve.io import fastmri, mrd, twix, zarr
from pisolve.io import numpy as npy
from pisolve.io.door import reading
from pisolve.io.hdf5 import link, open_hdf5
from pisolve.io.measurements import groups
from pisolve.io.noise import scaled
from pisolve.scan import Scan

HDF5 = (".h5", ".hdf5", ".mrd")


def is_raw(path) -> bool:
    """Whether a file holds single readouts."""
    if path.suffix not in HDF5:
        return path.suffix == ".dat"
    with open_hdf5(path) as file:
        return link(file, "kspace") is None and bool(groups(file))


def read(path, max_bytes: int, part: dict, *, average: str, noise, epi: str, coord=None, size=None) -> Scan:
    """Read a scan: see `load`; `noise` as `load_noise` gives it, or as `Scan` has it, or None; `coord` an array."""
    listed = noise if isinstance(noise, list) else None if noise is None else []
    scan = _reader(path).read(path, max_bytes, part, average=average, noise=listed, epi=epi, coord=coord,
                              size=size)
    if isinstance(noise, list) and scan.noise is None:
        raise ValueError(f"the file of noise has none of {scan.coils} channels")
    return scan if noise is None or isinstance(noise, list) else replace(scan, noise=noise)


def beside(scan: Scan, noise) -> Scan:
    """A scan that is no raw data with this noise, of raw data as it was sampled."""
    if isinstance(noise, list):
        warnings.warn("the scan does not say how fast it was sampled: the noise is taken as it is",
                      stacklevel=_check.outside())
        noise = scaled(noise, scan.coils, 0, None, 1)
        if noise is None:
            raise ValueError(f"the file of noise has none of {scan.coils} channels")
    return replace(scan, noise=noise)


def load_noise(path, max_bytes: int):
    """Noise of a file of its own: a list for raw data, as `noise.samples_of` gives it, else an array.

    Raises:
        ValueError: the file holds none.
    """
    with reading(path):
        if is_raw(path):
            found = _reader(path).read_noise(path, max_bytes)
            if not found:
                raise ValueError("no readout of it could be noise")
            return found
        if path.suffix in HDF5:
            return fastmri.read_array(path, ("noise",), max_bytes)
        if zarr.is_zarr(path):
            return zarr.read_array(path, ("noise",), max_bytes)
        if path.suffix == ".npy":
            return npy.read_npy(path, max_bytes)
        found = npy.read_npz(path, ("noise",), max_bytes) if path.suffix == ".npz" else {}
        if not found:
            raise ValueError("it holds no noise: raw data, a .npy, or an .npz, .h5 or .zarr with an array noise is "
                             "needed")
        return found["noise"]


def _reader(path):
    return twix if path.suffix == ".dat" else mrd
